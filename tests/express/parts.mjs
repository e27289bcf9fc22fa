// What the tests of shared logins run: a real MariaDB for the accounts, Node servers with express's sessions, and
// browsers as far as they keep a cookie.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { eventually, freshFolder } from '../clients/harness.mjs';
import { answers, freePort } from '../clients/ports.mjs';

const NODE_SERVER = fileURLToPath(new URL('server.mjs', import.meta.url));

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** A MariaDB with an empty database; `url` is for `--database`. */
export async function startDatabase() {
  const folder = freshFolder();
  const data = path.join(folder, 'data');
  const user = `--user=${execFileSync('id', ['-un']).toString().trim()}`;
  const install = ['--no-defaults', `--datadir=${data}`, '--auth-root-authentication-method=normal', '--skip-test-db', user];
  execFileSync(program('mariadb-install-db'), install, { env: { ...process.env, TMPDIR: folder }, stdio: 'ignore' });
  const first = path.join(folder, 'first.sql');
  writeFileSync(first, "CREATE USER chat IDENTIFIED BY 'secret';\nGRANT ALL ON *.* TO chat;\nCREATE DATABASE chat;\n");
  const port = await freePort();
  const options = [`--datadir=${data}`, user, `--socket=${folder}/socket`, `--init-file=${first}`, `--port=${port}`];
  const child = start(program('mariadbd'), ['--no-defaults', ...options, '--bind-address=127.0.0.1', '--skip-name-resolve', '--innodb-buffer-pool-size=16M']);
  await eventually('the database answers', () => answers(port));
  return {
    url: `mysql://chat:secret@127.0.0.1:${port}/chat`,
    stop: () => end(child),
  };
}

/** A folder with a template that shows who is logged in. */
export function viewsWith(template) {
  const folder = freshFolder();
  writeFileSync(path.join(folder, 'index.ejs'), template);
  return folder;
}

/** An application of Node on this Redis: of `now`, or of `then`. */
export async function startNode(t, generation, redis, { secrets, maxAge } = {}) {
  const args = [generation, new URL(redis.url).port, secrets.join(','), ...(maxAge ? [String(maxAge)] : [])];
  // What was usual then is deprecated now.
  const child = start(process.execPath, ['--no-deprecation', NODE_SERVER, ...args], ['ignore', 'pipe', 'inherit']);
  t.after(() => end(child));
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (said += text));
  return eventually(`the Node server of ${generation} listens`, () => {
    const url = /http:\S+/.exec(said)?.[0];
    return url && { url };
  });
}

/** Keeps the cookie of logins, whichever server gave it: to a browser all ports of a host are one. */
export class Visitor {
  cookie = '';

  async ask(server, address, form) {
    const headers = { referer: `${server.url}/`, ...(this.cookie && { cookie: this.cookie }) };
    const request = form ? { method: 'POST', body: new URLSearchParams(form) } : {};
    const answer = await fetch(server.url + address, { ...request, headers, redirect: 'manual' });
    for (const set of answer.headers.getSetCookie()) {
      this.cookie = /Max-Age=0|Expires=Thu, 01 Jan 1970/.test(set) ? '' : set.split(';')[0];
    }
    return { status: answer.status, retryAfter: answer.headers.get('retry-after'), text: await answer.text() };
  }

  async json(server, address, form) {
    return JSON.parse((await this.ask(server, address, form)).text);
  }

  /** Another browser that has got hold of the cookie. */
  twin() {
    return Object.assign(new Visitor(), { cookie: this.cookie });
  }

  /** The id that the cookie names. */
  get id() {
    return /s:([^.]*)/.exec(decodeURIComponent(this.cookie))[1];
  }
}

/** Somebody new, with an account made at this server and logged in there. */
export async function newcomer(server, name) {
  const visitor = new Visitor();
  const mail = `${name.toLowerCase()}@mail.example`;
  const { pass } = await visitor.json(server, '/register', { name, mail });
  const { success } = await visitor.json(server, '/login', { mail, pass });
  if (!success) throw new Error(`${name} cannot log in`);
  return Object.assign(visitor, { mail, pass });
}

/** What redis-cli prints. */
export function cli(redis, ...command) {
  return execFileSync('redis-cli', ['-p', new URL(redis.url).port, ...command]).toString().trim();
}

function start(command, args, stdio = 'ignore') {
  const child = spawn(command, args, { stdio });
  running.add(child);
  child.over = new Promise((resolve) => child.once('exit', resolve)).finally(() => running.delete(child));
  return child;
}

async function end(child) {
  child.kill('SIGKILL');
  await child.over;
}

function program(name) {
  const found = ['/usr/sbin', '/usr/bin'].map((folder) => path.join(folder, name)).find(existsSync);
  if (!found) throw new Error(`${name} is missing: install it with apt-get install mariadb-server`);
  return found;
}
