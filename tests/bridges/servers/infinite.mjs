// The old server of Infinite Chat, after its contract: raw WebSocket, and the Redis channel `newMsg` between the replicas.

import { randomUUID } from 'node:crypto';

import Redis from 'ioredis';
import { WebSocketServer } from 'ws';

import { httpServer, listen, settings } from './process.mjs';

const HISTORY = 24;

const { redis } = settings();
const socketId = randomUUID();
const history = [{ username: 'System', msg: 'Start Chatting!', date: now() }];
const server = httpServer();
const chat = new WebSocketServer({ server });
const [publisher, subscriber] = [new Redis(redis), new Redis(redis)];

const tell = (message) => {
  for (const socket of chat.clients) socket.send(JSON.stringify([message]));
};

subscriber.on('message', (_, body) => {
  const { socketId: publishedBy, ...message } = JSON.parse(body);
  history.push(message);
  if (history.length > HISTORY) history.shift();
  if (publishedBy !== socketId) tell(message);
});
await subscriber.subscribe('newMsg');

chat.on('connection', (socket) => {
  socket.send(JSON.stringify(history));
  socket.on('message', (frame) => {
    const { username, msg } = JSON.parse(frame);
    const message = { username, msg, date: now() };
    tell(message);
    publisher.publish('newMsg', JSON.stringify({ ...message, socketId }));
  });
});

listen(server);

/** As moment's `LLL` writes it: `July 4, 2022 3:30 PM`. */
function now() {
  const [date, time] = [{ dateStyle: 'long' }, { timeStyle: 'short' }].map((style) => new Date().toLocaleString('en-US', style));
  return `${date} ${time.replace('\u202f', ' ')}`;
}
