// Raw requests and packets to one server, and a transcript of what came back: what is compared is these lines. Session
// ids are replaced, and what only frames a message in HTTP/1.1 is left out.

import http from 'node:http';
import net from 'node:net';
import { unzipSync } from 'node:zlib';

import WebSocket from 'ws';

/** What has not come by then does not come; it is told as `no answer`. */
const PATIENCE_MS = 20_000;
/** Longer lines are cut: nobody reads them in a table. */
const LINE_LENGTH = 160;
const FENCE = '42987["echo","fence"]';
const FENCE_PASSED = '43987["fence"]';
/** A ping of WebSocket with these bytes is the recorder's own. */
const BARRIER = 'barrier';
const SEPARATOR = '\x1e';
/** Headers that depend on the time or a key, or frame the message in its connection. */
const NOT_COMPARED = new Set(['connection', 'content-length', 'date', 'keep-alive', 'sec-websocket-accept', 'transfer-encoding', 'upgrade']);

const UPGRADE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

export class Recorder {
  lines = [];
  #url;
  #open = new Set();

  constructor(url) {
    this.#url = url;
  }

  note(line) {
    const text = escaped(withoutIds(line));
    this.lines.push(text.length > LINE_LENGTH ? `${text.slice(0, LINE_LENGTH)}… (${text.length} characters)` : text);
  }

  /** Sends a request and notes the answer; `silent` answers it only. The path is `/socket.io/` unless `query` has one. */
  async request(method, query, { headers = {}, body, silent = false } = {}) {
    const answer = await this.send(method, query, { headers, body });
    if (!silent) this.#noteAnswer(answer);
    return answer;
  }

  get(query, options) {
    return this.request('GET', query, options);
  }

  post(query, body, options) {
    return this.request('POST', query, { ...options, body });
  }

  /** The answer to an upgrade, whether it is refused or not. */
  upgrade(query, { headers = {}, method = 'GET' } = {}) {
    return this.request(method, query, { headers: { ...UPGRADE, ...headers } });
  }

  /** Like `request`, without a note. An upgrade that succeeds is ended at once. */
  send(method, query, { headers = {}, body } = {}) {
    return new Promise((resolve) => {
      const length = body === undefined ? {} : { 'content-type': 'text/plain;charset=UTF-8', 'content-length': Buffer.byteLength(body) };
      const path = query.startsWith('/') ? query : `/socket.io/?${query}`;
      const request = http.request(this.#url, { path, method, agent: false, headers: { ...length, ...headers } });
      this.#open.add(request);
      const timer = setTimeout(() => request.destroy(new Error('no answer')), PATIENCE_MS);
      const end = (answer) => {
        clearTimeout(timer);
        this.#open.delete(request);
        resolve(answer);
      };
      request.on('error', (error) => end({ failed: error.message === 'no answer' ? 'no answer' : 'connection closed' }));
      request.on('upgrade', (answer, socket) => {
        socket.on('error', () => {});
        socket.destroy();
        end({ status: answer.statusCode, headers: answer.headers, body: Buffer.alloc(0) });
      });
      request.on('response', async (answer) => {
        try {
          const chunks = await answer.toArray();
          end({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) });
        } catch {
          end({ failed: 'connection closed' });
        }
      });
      request.end(body);
    });
  }

  /** Sends the head of a request and a part of its body, and leaves it at that until it is cut. */
  hold(method, query, { headers = {}, part } = {}) {
    const request = http.request(this.#url, { path: `/socket.io/?${query}`, method, agent: false, headers });
    this.#open.add(request);
    request.on('error', () => {});
    request.on('response', (answer) => answer.resume().on('error', () => {}));
    if (part === undefined) request.end();
    else request.write(part);
    const cut = () => new Promise((resolve) => {
      request.once('close', resolve);
      if (request.closed) resolve();
      request.destroy();
    });
    return { cut };
  }

  /** Sends bytes as they are, notes the first line and the body of what is answered, and whether the connection is closed after. */
  async raw(bytes) {
    const { hostname, port } = new URL(this.#url);
    const socket = net.connect(Number(port), hostname);
    this.#open.add(socket);
    const timer = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.on('error', () => {});
    socket.write(bytes.replaceAll('HOST', `${hostname}:${port}`));
    const chunks = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    await new Promise((resolve) => socket.once('close', resolve));
    clearTimeout(timer);
    const [head, ...rest] = Buffer.concat(chunks).toString('latin1').split('\r\n\r\n');
    this.note(`first line ${head.split('\r\n')[0]}`);
    this.note(`body ${rest.join('\r\n\r\n')}`);
  }

  /** Begins a session that polls, without a note unless it is refused. */
  async polling(query = 'EIO=4') {
    const answer = await this.send('GET', `${query}&transport=polling`);
    const sid = /"sid\\?":\\?"([^"\\]+)/.exec(answer.body ?? '')?.[1];
    if (answer.status !== 200 || !sid) {
      this.#noteAnswer(answer);
      throw new Refused();
    }
    return new Polling(this, query, sid);
  }

  /** Opens a WebSocket, without a note unless it is refused. `sid` upgrades a session. */
  async webSocket(query = 'EIO=4', { sid, protocols = [], headers = {}, notes = false, deflate = false } = {}) {
    const url = `${this.#url.replace('http', 'ws')}/socket.io/?${query}&transport=websocket${sid ? `&sid=${sid}` : ''}`;
    const socket = new WebSocket(url, protocols, { headers, perMessageDeflate: deflate, maxPayload: 1 << 28 });
    const session = new Frames(this, query, socket);
    this.#open.add({ destroy: () => socket.terminate() });
    socket.on('upgrade', ({ statusCode, headers }) => {
      if (notes) this.#noteHead({ status: statusCode, headers });
    });
    socket.on('unexpected-response', async (_, answer) => {
      const body = Buffer.concat(await answer.toArray());
      this.#noteAnswer({ status: answer.statusCode, headers: answer.headers, body });
      session.refused = true;
      session.wake();
    });
    await session.until(() => session.isOpen || session.isOver || session.refused);
    if (session.refused || session.isOver) {
      if (!session.refused) this.note(session.ending);
      throw new Refused();
    }
    return session;
  }

  close() {
    for (const open of this.#open) open.destroy();
  }

  #noteAnswer(answer) {
    if (answer.failed) return this.note(answer.failed);
    this.#noteHead(answer);
    this.note(`body ${bodyText(answer)}`);
  }

  #noteHead({ status, headers }) {
    this.note(`status ${status}`);
    for (const [name, value] of Object.entries(headers).sort()) {
      if (!NOT_COMPARED.has(name)) this.note(`${name}: ${name === 'vary' ? nameList(value) : value}`);
    }
  }
}

/** The server did not begin the session; that is noted, and the case is at its end. */
export class Refused extends Error {}

/** What both transports have: packets that came, and a question whose answer shows that all before it has been dealt with. */
class Session {
  constructor(to, query) {
    this.to = to;
    this.version = /(?:^|&)EIO=4(?:&|$)/.test(query) ? 4 : 3;
    this.packets = [];
    this.joined = false;
    this.answersPings = true;
  }

  /** Joins the namespace `/` without a note; clients of version 3 are in it from the start. */
  async join() {
    if (this.version === 4) await this.sendText('40');
    await this.collect((packets) => packets.some((packet) => packet.startsWith('40')));
    this.packets = [];
    this.joined = true;
    return this;
  }

  /** Sends packets, then asks for an answer; notes what came until then, or how the session ended. */
  async exchange(...packets) {
    for (const packet of packets) {
      await this.sendText(packet);
      await this.barrier();
    }
    await this.settle();
  }

  async settle() {
    if (!this.joined && this.version === 4) {
      await this.sendText('40');
      await this.collect((packets) => packets.some((packet) => packet.startsWith('40')));
    }
    await this.sendText(FENCE);
    await this.collect((packets) => packets.includes(FENCE_PASSED));
    // Whoever is told that the session is over may have been answered first.
    if (this.packets.includes('1')) await this.collect(() => false);
    for (const packet of this.packets) {
      if (packet !== FENCE_PASSED) this.to.note(`packet ${packet}`);
    }
    if (!this.isOver) this.to.note('goes on');
    this.packets = [];
  }
}

class Polling extends Session {
  isOver = false;
  #t = 0;

  constructor(to, query, sid) {
    super(to, query);
    this.sid = sid;
    this.address = `${query}&transport=polling&sid=${sid}`;
  }

  async sendText(packet) {
    if (this.isOver) return;
    const body = this.version === 4 ? packet : `${packet.length}:${packet}`;
    await this.to.send('POST', this.address, { body });
  }

  /** Polls until `enough` says so or the session is refused, which is noted. */
  async collect(enough) {
    const deadline = performance.now() + PATIENCE_MS;
    while (!this.isOver && !enough(this.packets)) {
      const answer = await this.poll();
      if (answer.status !== 200) {
        this.isOver = true;
        this.packets.push(`then ${answer.failed ?? `${answer.status} ${answer.body}`}`);
        return;
      }
      // What ends a poll without telling anything, and pings, depend on the time.
      const packets = decoded(answer, this.version);
      if (this.version === 4 && this.answersPings && packets.includes('2')) await this.sendText('3');
      this.packets.push(...packets.filter((packet) => packet !== '6' && (packet !== '2' || this.version === 3)));
      if (performance.now() > deadline) {
        this.isOver = true;
        this.packets.push('then no answer');
      }
    }
  }

  /** A request is answered when its packets have been read. */
  async barrier() {}

  poll() {
    return this.to.send('GET', `${this.address}&t=${this.#t++}`);
  }
}

class Frames extends Session {
  refused = false;
  ending;
  passed = 0;
  #wakes = new Set();

  constructor(to, query, socket) {
    super(to, query);
    this.socket = socket;
    socket.on('open', () => this.wake());
    socket.on('error', () => {});
    socket.on('message', (data, isBinary) => {
      const text = isBinary ? `binary ${data.toString('hex')}` : data.toString();
      if (this.version !== 4 || text !== '2') this.packets.push(text);
      else if (this.answersPings) socket.send('3');
      this.wake();
    });
    socket.on('close', (code, reason) => {
      this.ending = `closed ${code}${reason.length ? ` ${reason}` : ''}`;
      this.wake();
    });
    socket.on('pong', (data) => {
      if (data.toString() === BARRIER) this.passed += 1;
      else this.packets.push(`frame pong ${data}`);
      this.wake();
    });
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  get isOver() {
    return this.ending !== undefined;
  }

  async sendText(packet) {
    if (this.isOpen) this.socket.send(packet);
  }

  /** Waits until the server has read what was sent, so that the next packet does not come in one chunk with it. */
  async barrier() {
    if (!this.isOpen) return;
    const { passed } = this;
    this.socket.ping(BARRIER);
    await this.until(() => this.passed > passed || this.isOver);
  }

  /** A text frame of bytes that need not be text. */
  sendBytes(bytes) {
    this.socket.send(bytes, { binary: false });
  }

  sendBinary(bytes) {
    this.socket.send(bytes, { binary: true });
  }

  /** Bytes past all framing. */
  sendRaw(...bytes) {
    this.socket._socket.write(Buffer.from(bytes));
  }

  wake() {
    for (const wake of this.#wakes) wake();
  }

  async until(check) {
    const deadline = performance.now() + PATIENCE_MS;
    while (!check()) {
      const left = deadline - performance.now();
      if (left <= 0) return false;
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        const wake = () => {
          clearTimeout(timer);
          this.#wakes.delete(wake);
          resolve();
        };
        this.#wakes.add(wake);
      });
    }
    return true;
  }

  async collect(enough) {
    if (this.refused) return;
    const came = await this.until(() => enough(this.packets) || this.isOver);
    if (!came) {
      this.packets.push('no answer');
      this.socket.terminate();
      this.ending = 'no answer';
    } else if (this.isOver && !this.packets.includes(this.ending)) {
      this.packets.push(this.ending);
    }
  }

  /** Notes what comes until the other end closes. */
  async untilClosed() {
    await this.collect(() => false);
    for (const packet of this.packets) this.to.note(`packet ${packet}`);
  }
}

/** The packets of one answer to a poll; what cannot be decoded as one. */
export function decoded({ body, headers }, version) {
  if (version === 4) return body.toString().split(SEPARATOR);
  if (headers['content-type'] === 'application/octet-stream') return [`binary ${body.toString('hex')}`];
  let rest = body.toString();
  const packets = [];
  while (rest) {
    const [, length] = /^(\d+):/.exec(rest) ?? [];
    if (length === undefined) return [`undecodable ${rest}`];
    const start = length.length + 1;
    packets.push(rest.slice(start, start + Number(length)));
    rest = rest.slice(start + Number(length));
  }
  return packets;
}

function bodyText({ headers, body }) {
  if (headers['content-type'] === 'application/octet-stream') return body.toString('hex');
  const text = (headers['content-encoding'] ? unzipSync(body) : body).toString();
  // Lengths of version 3 count the characters of ids, which are replaced: a right one says `ok`.
  const whole = /^(\d+):(0\{.*\})$/s.exec(text);
  return whole && Number(whole[1]) === whole[2].length ? `ok:${whole[2]}` : text;
}

function withoutIds(text) {
  return text.replace(/(\\?"sid\\?":\\?")[A-Za-z0-9_-]+/g, '$1ID').replace(/[A-Za-z0-9_-]{20}(?=:\d+:\d+:websocket)/, 'ID');
}

/** Names of headers are the same in any case and order. */
function nameList(value) {
  return value.toLowerCase().split(/, */).sort().join(', ');
}

/** Characters that would not show, or would break a table in Markdown, as escapes. */
function escaped(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029|`]/g, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
