// How much of what is said reaches clients whose TCP connections are cut every 15 s for 2 s: three replicas of
// Handshaken, then three processes of Node with Redis streams and connection state recovery, on one Redis.
//   node bench/jitter/jitter.mjs [clients] [messages]
// Needs redis-server, a release build and the packages: npm ci --prefix bench/jitter
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { io } from 'socket.io-client';

const CLIENTS = Number(process.argv[2] ?? 1000);
const MESSAGES = Number(process.argv[3] ?? 120);
const PERIOD_MS = 500;
const CUT_EVERY_MS = 15_000;
const CUT_FOR_MS = 2_000;
const REPLICAS = 3;
/** Longer than any client needs to come back. */
const SETTLE_MS = 15_000;

const repository = fileURLToPath(new URL('../../', import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), 'handshaken-jitter-'));
const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

const binary = process.env.HANDSHAKEN_BIN ?? path.join(repository, 'target/release/handshaken');
if (!existsSync(binary)) throw new Error(`no program at ${binary}: cargo build --release`);
// What a page that has its library from the server runs.
new Function('window', readFileSync(path.join(repository, 'src/transport/web/library/catch-up.js'), 'utf8'))({ io });

const redisPort = await freePort();
start('redis-server', ['--bind', '127.0.0.1', '--port', redisPort, '--dir', folder, '--appendonly', 'yes', '--save', '']);
const redis = `redis://127.0.0.1:${redisPort}`;
await pause(500);

const rows = [
  await measure('Handshaken', (n) => [
    binary,
    ['--listen', '127.0.0.1:0', '--redis', redis, '--data', path.join(folder, `data-${n}`), '--host-name', `replica-${n}`],
  ]),
  await measure('Node, Redis streams, state recovery', () => [process.execPath, [path.join(repository, 'bench/jitter/server.mjs'), redis]]),
];
console.log(`${CLIENTS} clients over WebSocket, ${MESSAGES} messages at ${PERIOD_MS} ms; each client's TCP cut every ${CUT_EVERY_MS / 1000} s for ${CUT_FOR_MS / 1000} s\n`);
console.log('| server | delivered | clients that got all | told twice | connections cut |');
console.log('|---|---|---|---|---|');
for (const row of rows) {
  console.log(`| ${row.name} | ${(row.share * 100).toFixed(2)} % | ${row.complete} of ${CLIENTS} | ${row.twice} | ${row.cuts} |`);
}
process.exit(0);

async function measure(name, command) {
  const servers = await Promise.all(Array.from({ length: REPLICAS }, (_, n) => listening(...command(n))));
  const proxy = await startProxy(servers.map(({ port }) => port));
  const clients = [];
  for (let n = 0; n < CLIENTS; n += 1) {
    const address = `127.1.${n >> 8}.${n & 255}`;
    const heard = new Map();
    const socket = io(`http://127.0.0.1:${proxy.port}`, {
      transports: ['websocket'],
      forceNew: true,
      // The proxy knows a client by the address that it comes from.
      agent: new http.Agent({ localAddress: address }),
    });
    socket.on('message', ({ text }) => heard.set(text, (heard.get(text) ?? 0) + 1));
    clients.push({ address, socket, heard });
    if (n % 100 === 99) await pause(50);
  }
  while (!clients.every(({ socket }) => socket.connected)) await pause(50);
  const speaker = io(servers[0].url, { transports: ['websocket'], forceNew: true });
  while (!speaker.connected) await pause(20);
  // A state to come back to: both servers give a client one with the first message.
  speaker.emit('message', 'everybody is here');
  while (!clients.every(({ heard }) => heard.has('everybody is here'))) await pause(50);

  const timers = clients.map(({ address }, n) => {
    let timer = setTimeout(function cut() {
      proxy.cut(address);
      timer = setTimeout(cut, CUT_EVERY_MS);
    }, (CUT_EVERY_MS * n) / CLIENTS);
    return () => clearTimeout(timer);
  });
  for (let n = 0; n < MESSAGES; n += 1) {
    speaker.emit('message', `message ${n}`);
    await pause(PERIOD_MS);
  }
  for (const stop of timers) stop();
  await pause(SETTLE_MS);

  const texts = Array.from({ length: MESSAGES }, (_, n) => `message ${n}`);
  const got = clients.map(({ heard }) => texts.filter((text) => heard.has(text)).length);
  const row = {
    name,
    share: got.reduce((sum, count) => sum + count, 0) / (CLIENTS * MESSAGES),
    complete: got.filter((count) => count === MESSAGES).length,
    twice: clients.reduce((sum, { heard }) => sum + [...heard.values()].filter((count) => count > 1).length, 0),
    cuts: proxy.cuts(),
  };
  for (const { socket } of clients) socket.close();
  speaker.close();
  proxy.stop();
  for (const { child } of servers) child.kill('SIGKILL');
  return row;
}

/** Gives each connection to the next server, and cuts all of one client's for a while. */
async function startProxy(ports) {
  const connections = new Map();
  const cutUntil = new Map();
  let next = 0;
  let cuts = 0;
  const server = net.createServer((client) => {
    const address = client.remoteAddress;
    if ((cutUntil.get(address) ?? 0) > performance.now()) return client.destroy();
    const upstream = net.connect(ports[next++ % ports.length], '127.0.0.1');
    const pair = { end: () => (client.destroy(), upstream.destroy()) };
    const mine = connections.get(address) ?? new Set();
    connections.set(address, mine.add(pair));
    for (const socket of [client, upstream]) {
      socket.setNoDelay();
      socket.on('error', () => {});
      socket.on('close', () => (mine.delete(pair), pair.end()));
    }
    client.pipe(upstream).pipe(client);
  });
  await new Promise((resolve) => server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, resolve));
  return {
    port: server.address().port,
    cut(address) {
      cutUntil.set(address, performance.now() + CUT_FOR_MS);
      for (const pair of connections.get(address) ?? []) {
        cuts += 1;
        pair.end();
      }
    },
    cuts: () => cuts,
    stop() {
      server.close();
      for (const pairs of connections.values()) for (const pair of pairs) pair.end();
    },
  };
}

function start(program, args) {
  const child = spawn(program, args.map(String), { stdio: ['ignore', 'pipe', 'inherit'] });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

async function listening(program, args) {
  const child = start(program, args);
  let said = '';
  const url = await new Promise((resolve, reject) => {
    child.stdout.on('data', (data) => {
      said += data;
      const line = /^listening on (http:\S+)$/m.exec(said);
      if (line) resolve(line[1]);
    });
    child.once('exit', (code) => reject(new Error(`${program} ended with ${code}`)));
  });
  return { child, url, port: Number(new URL(url).port) };
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
