// A chat server in Node with the words of talk, whose processes meet in Redis through Socket.IO's adapter: `socketio.mjs
// <adapter> <redis url> <name>`. Says on stdout where it listens.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';

import Redis from 'ioredis';

const require = createRequire(import.meta.url);
const [adapter, url, name] = process.argv.slice(2);
const { hostname: host, port } = new URL(url);

const server = createServer();
// The tests read slowly at times.
const patient = { pingTimeout: 120_000 };
const io = await {
  5.2: () => old('socket.io-2.1', 'socket.io-redis-5.2'),
  5.4: () => old('socket.io-2.5', 'socket.io-redis-5.4'),
  6: () => modern('socket.io-3', require('socket.io-redis-6').createAdapter({ host, port })),
  7: () => modern('socket.io-4', require('@socket.io/redis-adapter-7').createAdapter(new Redis(url), new Redis(url))),
  8: async () => {
    const [pub, sub] = [1, 2].map(() => require('redis-4').createClient({ url }).on('error', () => {}));
    await Promise.all([pub.connect(), sub.connect()]);
    return modern('socket.io-4', require('@socket.io/redis-adapter-8').createAdapter(pub, sub));
  },
}[adapter]();

function old(socketio, redis) {
  return require(socketio)(server, patient).adapter(require(redis)({ host, port }));
}

function modern(socketio, adapter) {
  const { Server } = require(socketio);
  return new Server(server, { ...patient, adapter });
}

io.of('/').adapter.on('error', () => {});
io.on('connection', (socket) => {
  socket.join('everybody');
  socket.on('message', (text) => io.emit('message', { text, date: new Date().toISOString(), ip: name }));
  // Adapters write these in their own ways, which those of other generations do not all understand.
  socket.on('dated', (text) => io.emit('message', { text, date: new Date(), ip: name, unknown: undefined }));
  socket.on('bare', (text) => io.emit('message', text));
  socket.on('to others', (text) => socket.broadcast.emit('message', { text, ip: name }));
  socket.on('to rooms', (text) => {
    io.to('everybody').emit('message', { text, ip: name });
    io.to('everybody').to('nobody').emit('message', { text, ip: name });
    io.emit('another event', { text });
  });
  socket.on('volatile', (text) => io.volatile.emit('message', { text, ip: name }));
  // What processes ask each other on the channel of requests.
  socket.on('count', async (_, answer) => answer(await count().catch((error) => String(error))));
});

async function count() {
  const { adapter } = io.of('/');
  if (adapter.serverCount) return { servers: await adapter.serverCount(), sockets: (await io.fetchSockets()).length };
  const sockets = await new Promise((resolve, reject) =>
    adapter.clients([], (error, clients) => (error ? reject(error) : resolve(clients.length))),
  );
  return { sockets };
}

server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
