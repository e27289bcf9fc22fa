// Clients of bare WebSockets, each of another library, behind one face: a peer that remembers what it was told.

import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import WebSocket8 from 'ws';
import WebSocket7 from 'ws-7';

import { eventually } from '../clients/harness.mjs';

const python = process.env.PYTHON ?? '/usr/bin/python3';

export const kinds = [
  { name: 'ws 8', open: (url) => onNode(WebSocket8, url) },
  { name: 'ws 7', open: (url) => onNode(WebSocket7, url) },
  { name: 'ws 8 without compression', open: (url) => onNode(WebSocket8, url, { perMessageDeflate: false }) },
  { name: 'websockets on Python', open: onPython },
];

/** A peer of one kind, once it has been told the history. */
export async function join(t, { name, open }, url) {
  const peer = open(url.replace('http:', 'ws:'));
  t.after(() => peer.end());
  await eventually(`${name} is told the history`, () => peer.lines.length > 0 || peer.failed());
  if (peer.failed()) throw new Error(`${name}: ${peer.failed()}`);
  return peer;
}

function face(send, end) {
  const peer = {
    lines: [],
    arrays: [],
    closed: undefined,
    error: undefined,
    failed: () => peer.error,
    texts: () => peer.lines.map(({ msg }) => msg),
    send,
    say: (username, msg) => send(JSON.stringify({ username, msg })),
    end,
    told: (text) => {
      const lines = JSON.parse(text);
      peer.arrays.push(lines.length);
      peer.lines.push(...lines);
    },
  };
  return peer;
}

function onNode(WebSocket, url, options) {
  const socket = new WebSocket(url, options);
  const peer = Object.assign(face((text) => socket.send(text), () => socket.terminate()), { socket, pings: 0 });
  socket.on('message', (data) => peer.told(data.toString()));
  socket.on('close', (code, reason) => (peer.closed = { code, reason: reason.toString() }));
  socket.on('error', (error) => (peer.error = error.message));
  socket.on('ping', () => (peer.pings += 1));
  return peer;
}

function onPython(url) {
  if (spawnSync(python, ['-c', 'import websockets']).status !== 0) {
    throw new Error(`${python} has no library websockets: install the package python3-websockets, or set PYTHON`);
  }
  const child = spawn(python, [fileURLToPath(new URL('client.py', import.meta.url)), url]);
  const peer = face(
    (text) => child.stdin.write(`${text}\n`),
    () => child.kill('SIGKILL'),
  );
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (complaints += text));
  child.on('exit', (code) => code && (peer.error = complaints));
  createInterface({ input: child.stdout }).on('line', (line) => {
    const [, code, reason] = /^closed (\d+) (.*)$/.exec(line) ?? [];
    if (code) peer.closed = { code: Number(code), reason };
    else peer.told(line);
  });
  return peer;
}
