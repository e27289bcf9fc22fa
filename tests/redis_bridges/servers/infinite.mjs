// A chat server in Node with the words of Infinite Chat, whose processes meet on the channel `newMsg` of a Redis: `infinite.mjs
// <redis url>`. Says on stdout where it listens.

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

import Redis from 'ioredis';
import moment from 'moment';
import { WebSocketServer } from 'ws';

const HISTORY = 24;
const CHANNEL = 'newMsg';

const [url] = process.argv.slice(2);
const socketId = randomUUID();
const [publisher, subscriber] = [new Redis(url), new Redis(url)];
for (const client of [publisher, subscriber]) client.on('error', () => {});

const now = () => moment().format('LLL');
const history = [{ username: 'System', msg: 'Start Chatting!', date: now() }];
const server = createServer((_, response) => response.end());
const sockets = new WebSocketServer({ server });

sockets.on('connection', (socket) => {
  socket.send(JSON.stringify(history));
  socket.on('message', (frame) => {
    const { username, msg } = JSON.parse(frame);
    const message = { username, msg, date: now() };
    publisher.publish(CHANNEL, JSON.stringify({ ...message, socketId }));
    tell(message);
  });
});

subscriber.on('message', (_, body) => {
  const { socketId: origin, ...message } = JSON.parse(body);
  if (history.length >= HISTORY) history.shift();
  history.push(message);
  if (origin !== socketId) tell(message);
});
subscriber.subscribe(CHANNEL);

function tell(message) {
  for (const socket of sockets.clients) socket.send(JSON.stringify([message]));
}

server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
