// Engine.IO spoken by hand: single requests and WebSockets without a client library, for what no client would send.

import http from 'node:http';

import WebSocket from 'ws';

import { eventually } from './harness.mjs';

/** One HTTP request over a connection of its own: `{ status, headers, body }`. */
export function send(server, method, query, { body, headers = {}, path = '/socket.io/' } = {}) {
  return new Promise((resolve, reject) => {
    const url = `${server.url}${path}${query ? `?${query}` : ''}`;
    const length = body === undefined ? {} : { 'content-type': 'text/plain;charset=UTF-8', 'content-length': Buffer.byteLength(body) };
    const request = http.request(url, { method, agent: false, headers: { ...length, ...headers } });
    request.on('error', reject);
    request.on('response', async (answer) => {
      try {
        let text = '';
        for await (const chunk of answer.setEncoding('utf8')) text += chunk;
        resolve({ status: answer.statusCode, headers: answer.headers, body: text });
      } catch (error) {
        reject(error);
      }
    });
    request.end(body);
  });
}

/** A session over polling, version 4; its id. */
export async function handshake(server) {
  const { body } = await send(server, 'GET', 'EIO=4&transport=polling');
  return JSON.parse(body.slice(1)).sid;
}

/**
 * A WebSocket, version 4, straight away or for a session: `frames` are the texts that came, pings answered and
 * left out; `said` the payloads of `message` events among them.
 */
export async function webSocket(server, { sid, query: more } = {}) {
  const query = `EIO=4&transport=websocket${sid ? `&sid=${sid}` : ''}${more ? `&${more}` : ''}`;
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/socket.io/?${query}`, { maxPayload: 1 << 28 });
  const frames = [];
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => {
    const text = isBinary ? data : data.toString();
    if (text === '2') socket.send('3');
    else frames.push(text);
  });
  const isOpen = () => socket.readyState === WebSocket.OPEN;
  await eventually('the WebSocket is open', () => {
    if (socket.readyState === WebSocket.CLOSED) throw new Error('it was closed');
    return isOpen();
  });
  const said = () => frames.filter((frame) => /^42\["message"/.test(frame)).map((frame) => JSON.parse(frame.slice(2))[1].text);
  return { socket, frames, said, isOpen, send: (data) => socket.send(data), close: () => socket.terminate() };
}

/** The same, connected to the namespace `/`. */
export async function connected(server) {
  const wire = await webSocket(server);
  wire.send('40');
  await eventually('CONNECT is acknowledged', () => wire.frames.some((frame) => /^40\{/.test(frame)));
  return wire;
}

/** A session that began with polling and now travels over WebSocket. */
export async function upgrade(server) {
  const sid = await handshake(server);
  const wire = await webSocket(server, { sid });
  wire.send('2probe');
  await eventually('the probe is answered', () => wire.frames.includes('3probe'));
  // A GET that waits is ended by the upgrade; without one there is nothing to wait for.
  wire.send('5');
  wire.send('40');
  await eventually('CONNECT is acknowledged', () => wire.frames.some((frame) => /^40\{/.test(frame)));
  return { sid, ...wire };
}
