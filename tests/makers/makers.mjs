// The clients: programs of this folder, each on a library of another maker. They take what to send as lines, and print what happens
// to them as JSON: `connect` with the transport, `disconnect`, `message` with the text, `ack` with what was acknowledged.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { eventually } from '../clients/harness.mjs';

/** What a client is told to travel by, and what it then travels by. */
const WAYS = { polling: 'polling', websocket: 'websocket', 'polling,websocket': 'websocket' };
const TEXT = 'hello, ✓😀 "world"';

const LIBRARIES = [
  {
    // Speaks Socket.IO 0.9. By polling it does not come back, to any server: it goes on asking for the session that is gone. It counts a
    // character beyond U+FFFF once, where servers count it twice, and drops what holds one.
    name: 'socketIO-client 0.5.7',
    command: ['python-0.9/venv/bin/python', 'python-client-0.9.py'],
    ways: { websocket: 'websocket', 'xhr-polling': 'xhr-polling' },
    comesBack: ['websocket'],
    text: 'hello, ✓ "world"',
  },
  ...['4', '5'].flatMap((version) => [
    // Each event has a thread of its own there, so they are printed in any order.
    { name: `python-socketio ${version}`, command: [`python-${version}/venv/bin/python`, 'python-client.py'], keepsOrder: false },
    { name: `python-socketio ${version} on asyncio`, command: [`python-${version}/venv/bin/python`, 'python-client-asyncio.py'] },
  ]),
  // It does not say what it travels by.
  { name: 'rust_socketio', command: ['rust/target/debug/handshaken-maker-rust'], ways: { polling: null, websocket: null, 'polling,websocket': null } },
];

/** Each client by each way: `{ name, asked, transport, comesBack, text, keepsOrder, start }`; `text` is one that it can receive. */
export const kinds = LIBRARIES.flatMap(({ name, command, ways = WAYS, comesBack = Object.keys(ways), text = TEXT, keepsOrder = true }) =>
  Object.entries(ways).map(([asked, transport]) => ({
    name: `${name} by ${asked}`,
    asked,
    transport,
    comesBack: comesBack.includes(asked),
    text,
    keepsOrder,
    start: (url) => {
      const [program, ...args] = command.map((file) => fileURLToPath(new URL(file, import.meta.url)));
      if (!existsSync(program)) throw new Error(`no program at ${program}: \`make test\` makes it`);
      return spawn(program, [...args, url, asked], { stdio: ['pipe', 'pipe', 'pipe'] });
    },
  })),
);

/** Starts a client; it ends with the test. */
export function open(t, { name, start }, url) {
  const child = start(url);
  t.after(() => child.kill('SIGKILL'));
  let complaints = '';
  let rest = '';
  const happened = [];
  child.stdin.on('error', () => {});
  child.stderr.setEncoding('utf8').on('data', (text) => (complaints = (complaints + text).slice(-10_000)));
  child.stdout.setEncoding('utf8').on('data', (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    happened.push(...lines.map((line) => JSON.parse(line)));
  });
  const told = (event) => happened.filter((each) => each.event === event).map(({ value }) => value);
  const until = (what, check) =>
    eventually(`${name} ${what}`, () => {
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${complaints}`);
      if (check()) return true;
      throw new Error(`so far: ${JSON.stringify(happened.slice(-5))} ${complaints}`);
    });
  return {
    told,
    send: (text) => child.stdin.write(`${text}\n`),
    connected: (times) => until(`connects for the ${times}. time`, () => told('connect').length >= times),
    received: (text) => until(`receives ${text}`, () => told('message').includes(text)),
  };
}
