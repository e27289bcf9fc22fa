// A server with talk's events whose replicas are joined by Socket.IO's own Redis adapter: 2.x with socket.io-redis, 4.x with
// @socket.io/redis-adapter. `--generation` says which.

import { createAdapter } from '@socket.io/redis-adapter';
import Redis from 'ioredis';
import adapterOf2 from 'socket.io-redis';

import { httpServer, listen, require, settings } from './process.mjs';

const { redis, name, generation } = settings('generation');
const server = httpServer();
const [pubClient, subClient] = [new Redis(redis), new Redis(redis)];
const servers = {
  2: () => require('socket.io-2')(server, { adapter: adapterOf2({ pubClient, subClient }) }),
  4: () => new (require('socket.io-4').Server)(server, { adapter: createAdapter(pubClient, subClient) }),
};

const io = servers[generation]();
// Redis answers in order: this is answered when what the adapter listens to is subscribed.
await subClient.subscribe('nothing');
io.on('connection', (socket) => {
  socket.on('message', (text) => io.emit('message', { text, date: new Date(), ip: name }));
});

listen(server);
