// The old servers of AMQPChat and rabbitpubsub, after their contract: Socket.IO 0.9 over xhr-polling, the package `amqp`, the
// exchange `chatExchange` with a queue for each socket, logins in Redis. `--words` says whose words it speaks.

import { createHmac } from 'node:crypto';
import { EventEmitter } from 'node:events';

import Redis from 'ioredis';

import { httpServer, listen, require, settings } from './process.mjs';

const { amqp, redis, secret, words } = settings('secret', 'words');

// Gone from Node since that library was written.
process.EventEmitter ??= EventEmitter;
const server = httpServer();
const io = require('socket.io-0.9').listen(server, { transports: ['xhr-polling'], log: false });

const sessions = new Redis(redis);
const broker = require('amqp').createConnection({ url: amqp });
await new Promise((resolve) => broker.once('ready', resolve));
const exchange = () => new Promise((resolve) => broker.exchange('chatExchange', { type: 'fanout', autoDelete: true }, resolve));

/** How each page says what its user did: `[event of the page, what is told to all]`. */
const WORDS = {
  amqpchat: ({ name }) => {
    const marked = (text) => text.replaceAll(name, `<b class="you">${name}</b>`);
    const system = (message) => ({ action: 'system', name, message });
    return [
      ['joined', () => system(' joined the chat!')],
      ['message', (text) => ({ action: 'message', name, message: marked(text) })],
      ['left', () => system(' left the chat!')],
    ];
  },
  rabbitpubsub: ({ user }) => [
    ['join', () => ({ action: 'control', user, msg: ' joined the channel' })],
    ['chat', (text) => ({ action: 'message', user, msg: JSON.parse(text).msg })],
  ],
};

io.set('authorization', async (handshake, decide) => {
  handshake.login = await loginOf(handshake.headers.cookie ?? '');
  decide(null, handshake.login !== null);
});

io.sockets.on('connection', (socket) => {
  // Declared anew for each socket: it is gone when the last queue was. What the page says before that waits.
  const told = exchange().then(async (chat) => {
    const queue = await new Promise((resolve) => broker.queue('', { exclusive: true }, resolve));
    await new Promise((resolve) => {
      queue.once('queueBindOk', resolve);
      queue.bind('chatExchange', '');
    });
    queue.subscribe((message) => socket.emit('chat', JSON.stringify(message)));
    socket.once('disconnect', () => queue.destroy());
    return chat;
  });
  for (const [event, say] of WORDS[words](socket.handshake.login)) {
    socket.on(event, async (text) => (await told).publish('', say(text)));
  }
});

listen(server);

/** The session of a cookie that express signed, or null. */
async function loginOf(cookies) {
  const [, value] = /(?:^|; )jsessionid=s%3A([^;]+)/.exec(cookies) ?? [];
  if (!value) return null;
  const [id, signature] = decodeURIComponent(value).split(/\.(.*)/);
  if (signature !== createHmac('sha256', secret).update(id).digest('base64').replace(/=+$/, '')) return null;
  return JSON.parse(await sessions.get(`sess:${id}`));
}
