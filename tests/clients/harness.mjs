// Starts the real programs on a free port with a data folder of their own, and waits for conditions instead
// of for time. Every test file here and in ../browser stands on it; the clients are in generations.mjs.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
/** What takes longer than this does not happen. Machines that run tests are slow at times. */
export const DEADLINE_MS = 40_000;
const LEFT_OVER_DEADLINE_MS = 20_000;
const LOG_KEPT = 1 << 20;
// What the program reads that is not named after it, and might be set where the tests run.
const OF_OTHERS = ['NODE_PORT', 'PORT', 'RUST_LOG', 'REDIS_URL', 'REDIS_HOST', 'REDIS_PORT', 'VCAP_SERVICES'];

const handshaken = process.env.HANDSHAKEN_BIN ?? path.join(repository, 'target/debug/handshaken');

const running = new Set();
const folders = new Set();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
// A client that a failed test left behind would reconnect for ever and keep the whole run from ending.
after(() => {
  setTimeout(() => {
    console.error('something that the tests opened is still open');
    process.exit(1);
  }, LEFT_OVER_DEADLINE_MS).unref();
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

/**
 * Calls `check` until it answers something truthy, and answers that. A check that throws counts as not yet;
 * its last error is told when the deadline has passed.
 */
export async function eventually(what, check, deadlineMs = DEADLINE_MS) {
  const deadline = performance.now() + deadlineMs;
  let reason = 'it was not so';
  for (;;) {
    try {
      const value = await check();
      if (value) return value;
    } catch (error) {
      reason = error.message;
    }
    if (performance.now() > deadline) throw new Error(`${what}: not within ${deadlineMs} ms: ${reason}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A folder that is gone when the test process is. */
export function freshFolder() {
  const folder = mkdtempSync(path.join(tmpdir(), 'handshaken-test-'));
  folders.add(folder);
  return folder;
}

/**
 * The server on a free port and an empty log, or that of another one that has stopped. Events are not limited in rate unless `limited` says so: most
 * tests send far more at once than a person could.
 */
export async function startServer({ args = [], env = {}, limited = false, bin, data = freshFolder() } = {}) {
  const program = bin ?? handshaken;
  const rate = limited ? [] : ['--event-rate', '0'];
  const addresses = 1 + args.filter((arg) => arg === '--listen').length;
  const run = (listen) => launch(program, 'cargo build', ['--listen', listen, '--data', data, ...rate, ...args], env, addresses);

  let launched = await run('127.0.0.1:0');
  const [url] = launched.urls;
  const { port } = new URL(url);
  let earlierLog = '';

  return {
    url,
    port: Number(port),
    /** All addresses, where the arguments name more to listen on. */
    get urls() {
      return launched.urls;
    },
    data,
    get pid() {
      return launched.child.pid;
    },
    log: () => earlierLog + launched.log(),
    output: () => launched.output(),
    residentBytes: () => residentBytes(launched.child.pid),
    isRunning: () => launched.child.exitCode === null && launched.child.signalCode === null,
    stop: () => launched.stop(),
    async kill9() {
      launched.child.kill('SIGKILL');
      await launched.exited;
    },
    async restart() {
      await launched.stop();
      earlierLog += launched.log();
      launched = await run(`127.0.0.1:${port}`);
    },
  };
}

/**
 * The transport with the events of the public suites, `suite` for the protocol's, `clients` for the clients', and
 * `asking`, where a dialect asks its clients.
 */
export async function startConformance({ args = [], env = {}, bin } = {}) {
  const program = bin ?? process.env.CONFORMANCE_BIN ?? path.join(repository, 'target/debug/examples/conformance');
  const ports = ['--protocol', '--clients', '--asking'].flatMap((name) => [name, '127.0.0.1:0']);
  const launched = await launch(program, 'cargo build --example conformance', [...ports, ...args], env, 3);
  const [suite, clients, asking] = launched.urls;
  return { suite, clients, asking, log: launched.log, stop: launched.stop };
}

/**
 * A program that has told `lines` addresses to listen on: `urls`; `output` and `log` are what it wrote so far to stdout and
 * stderr.
 */
export async function launch(program, howToBuild, args, env, lines) {
  if (!existsSync(program)) throw new Error(`no program at ${program}: build it with \`${howToBuild}\``);
  const child = spawn(program, args, {
    cwd: freshFolder(),
    env: { ...withoutSettings(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const exited = new Promise((resolve) => child.once('exit', resolve)).finally(() => running.delete(child));

  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr = (stderr + text).slice(-LOG_KEPT)));
  const log = () => stderr;

  const listening = () => [...stdout.matchAll(/^listening on (http:\/\/\S+)$/gm)].map((match) => match[1]);
  const ended = () => child.exitCode !== null || child.signalCode !== null;
  try {
    await eventually(`${program} listens`, () => listening().length >= lines || ended());
    if (ended()) throw new Error(`${program} ended with ${child.exitCode ?? child.signalCode}`);
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`${error.message}\nstdout: ${stdout}\nstderr: ${stderr}`);
  }

  async function stop() {
    if (ended()) return;
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS);
    await exited;
    clearTimeout(timer);
    if (child.exitCode !== 0) {
      const end = child.exitCode ?? `${child.signalCode} after ${DEADLINE_MS} ms`;
      throw new Error(`${program} ended with ${end} on SIGTERM instead of 0\nstderr: ${stderr}`);
    }
  }

  return { child, exited, urls: listening(), log, output: () => stdout, stop };
}

/** What becomes of looking at settings without a start: `status`, `stderr`. */
export function check(args) {
  return spawnSync(handshaken, ['--check', ...args], { cwd: freshFolder(), env: withoutSettings(), encoding: 'utf8' });
}

/** The environment of the tests without anything that is a setting. */
function withoutSettings() {
  const isSetting = (name) => name.startsWith('HANDSHAKEN_') || OF_OTHERS.includes(name);
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isSetting(name)));
}

function residentBytes(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)[1]) * 1024;
}
