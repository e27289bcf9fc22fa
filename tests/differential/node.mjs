// Node's socket.io 4.8 with the events of examples/conformance, for the cases to be compared with.

import { createServer } from 'node:http';

import { Server } from 'socket.io';

/** A server on a free port: `{ url, stop }`. `mount` puts the events on it. */
export async function startNode(options, mount = () => {}) {
  const server = createServer((_, response) => response.writeHead(404).end('not found\n'));
  const io = new Server(server, { allowEIO3: true, ...options });
  mount(io);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A WebSocket whose client has gone without a close frame would keep the server for half a minute.
  const sockets = new Set();
  server.on('connection', (socket) => sockets.add(socket.once('close', () => sockets.delete(socket))));
  const stop = async () => {
    const closed = io.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return { url: `http://127.0.0.1:${server.address().port}`, stop };
}

/** The events of `examples/conformance/clients.rs`, as far as the cases use them. */
export function mountClients(io) {
  io.on('connection', (socket) => {
    socket.on('echo', (...args) => args.pop()(args[0]));
    socket.on('hi', () => socket.emit('hi'));
    socket.on('doge', () => socket.emit('doge', Buffer.from('asdfasdf')));
    socket.on('getUtf8', () => {
      for (const text of ['てすと', 'Я Б Г Д Ж Й', 'Ä ä Ü ü ß', 'utf8 — string', 'utf8 — string']) {
        socket.emit('takeUtf8', text);
      }
    });
  });
  io.of('/foo');
  io.of('/no').use((_, next) => next(new Error('Auth failed (custom namespace)')));
}
