// People with accounts for the tests of the oldest pages: registered and logged in by their forms, and the 0.9 clients of
// Node, which send no cookies, given one on the way.

import http from 'node:http';
import net from 'node:net';

import { eventually } from '../clients/harness.mjs';
import { open } from './clients.mjs';

/** What a form's address answers, and the cookie that it sets. */
export async function post(server, address, form, cookie = '') {
  const answer = await fetch(server.url + address, { method: 'POST', body: new URLSearchParams(form), headers: cookie ? { cookie } : {} });
  return { status: answer.status, told: await answer.json(), cookie: cookieOf(answer) ?? cookie };
}

export const cookieOf = (answer) => answer.headers.getSetCookie()[0]?.split(';')[0];

let registered = 0;

/** Somebody new, logged in: `{ name, mail, pass, cookie }`. */
export async function newcomer(server, name) {
  registered += 1;
  const mail = `${registered}@example.test`;
  const { told } = await post(server, '/register', { name, mail });
  if (!told.pass) throw new Error(`cannot register ${name}: ${JSON.stringify(told)}`);
  const { cookie } = await post(server, '/login', { mail, pass: told.pass });
  return { name, mail, pass: told.pass, cookie };
}

/** A visitor of rabbitpubsub's page who gave a name. */
export async function visitor(server, user) {
  const { cookie } = await post(server, '/user', { user });
  return { name: user, cookie };
}

/** An address of the server that adds a cookie to every request. */
export async function withCookie(t, server, cookie) {
  const to = new URL(server.url);
  const proxy = http.createServer((request, answer) => {
    const headers = { ...request.headers, cookie };
    const onward = http.request({ host: to.hostname, port: to.port, path: request.url, method: request.method, headers }, (got) => {
      answer.writeHead(got.statusCode, got.headers);
      got.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    answer.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  proxy.on('upgrade', (request, socket, head) => {
    const onward = net.connect(to.port, to.hostname, () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`, `Cookie: ${cookie}`];
      for (let i = 0; i < request.rawHeaders.length; i += 2) lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
      onward.write(`${lines.join('\r\n')}\r\n\r\n`);
      onward.write(head);
      onward.pipe(socket).pipe(onward);
    });
    for (const [end, other] of [[onward, socket], [socket, onward]]) end.on('error', () => other.destroy()).on('close', () => other.destroy());
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return `http://127.0.0.1:${proxy.address().port}`;
}

/** An address of the server on the way to which what the server says is taken and lost from some time on. */
export async function badNetwork(t, server) {
  const to = new URL(server.url);
  const ends = new Set();
  let [isBad, lost] = [false, ''];
  const proxy = net.createServer((client) => {
    const onward = net.connect(to.port, to.hostname);
    client.pipe(onward);
    onward.on('data', (data) => (isBad ? (lost += data) : client.write(data)));
    for (const [end, other] of [[onward, client], [client, onward]]) {
      ends.add(end);
      end.on('error', () => {}).on('close', () => (ends.delete(end), other.destroy()));
    }
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const cut = () => ends.forEach((end) => end.destroy());
  t.after(() => (cut(), proxy.close()));
  return { url: `http://127.0.0.1:${proxy.address().port}`, lose: () => (isBad = true), lost: () => lost, cut };
}

/**
 * A page of AMQPChat's or rabbitpubsub's, connected with a cookie: `told` is what every `chat` event said so far. It says that
 * it joins unless `silent`.
 */
export async function openPage(t, kind, server, { cookie }, { silent = false, joining = 'joined', reconnect = false, query } = {}) {
  const peer = open(kind, await withCookie(t, server, cookie), { reconnect, query });
  t.after(() => peer.close());
  peer.told = [];
  peer.socket.on('chat', (...args) => {
    if (args.length !== 1 || typeof args[0] !== 'string') throw new Error(`chat with ${JSON.stringify(args)}`);
    peer.told.push(JSON.parse(args[0]));
  });
  // As the pages do: before it is connected.
  if (!silent) peer.socket.emit(joining, ...(joining === 'join' ? ['{}'] : []));
  await eventually(`${kind.name} is connected`, () => peer.connections > 0);
  return peer;
}
