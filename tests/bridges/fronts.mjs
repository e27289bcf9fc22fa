// The old chats: how a Node server of each is started, which settings bridge ours to it, and how somebody takes part at
// either. What somebody hears is `{ from, text }`, with `from` as far as that front end tells it.

import { createHmac, randomUUID } from 'node:crypto';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import amqplib from 'amqplib';
import Redis from 'ioredis';
import WebSocket from 'ws';

import { join, kinds } from '../clients/generations.mjs';
import { eventually, launch } from '../clients/harness.mjs';
import { visit } from '../kschat/visitor.mjs';
import { kinds as legacyKinds } from '../legacy/clients.mjs';
import { openPage } from '../legacy/logins.mjs';
import { SECRET } from '../tokens/signing.mjs';

const SERVERS = fileURLToPath(new URL('servers', import.meta.url));
const SESSION_SECRET = 'what the old servers sign their cookies with';
const OURS = kinds.find(({ name }) => name === '4.8 over websocket');
const POLLING = legacyKinds.find(({ name }) => name === '0.9.17 over xhr-polling');

/** A Node server, by the name of its file; `options` become its arguments. */
export async function startNode(name, options) {
  const args = Object.entries(options).flatMap(([option, value]) => [`--${option}`, value]);
  const launched = await launch(process.execPath, 'install Node', [path.join(SERVERS, `${name}.mjs`), ...args], {}, name === 'logger' ? 0 : 1);
  return {
    name: options.name,
    url: launched.urls[0],
    isNode: true,
    printed: launched.output,
    stop: launched.stop,
    async kill9() {
      launched.child.kill('SIGKILL');
      await launched.exited;
    },
  };
}

/** `count` servers of one chat. */
export async function startNodes(t, front, brokers, count) {
  const servers = await Promise.all(Array.from({ length: count }, (_, i) => front.start(brokers, `node-${i}`)));
  t.after(() => Promise.all(servers.map((server) => server.stop())));
  return servers;
}

/** talk and chat-scaling. Who says something is not told; on which replica it was said is. */
export const talk = {
  title: 'talk, over the fanout exchange `messages`',
  bus: 'messages',
  settings: ({ rabbitmq }) => [`--amqp=${rabbitmq.url}`, '--amqp-exchange=messages'],
  start: ({ rabbitmq }, name) => startNode('talk', { amqp: rabbitmq.url, name }),
  enter: enterRoom('1.7.4 over upgrade'),
};

/** A chat whose replicas are joined by Socket.IO's own adapter, in one of its generations. */
export const adapter = (generation) => ({
  title: `Socket.IO ${generation}.x, over its Redis adapter`,
  bus: 'socket.io#/#',
  settings: ({ redis }) => [`--neighbour-redis=${redis.url}`, '--socketio-redis-key=socket.io'],
  start: ({ redis }, name) => startNode('adapter', { redis: redis.url, name, generation: String(generation) }),
  enter: enterRoom({ 2: '2.1.1 over upgrade', 4: '4.8 over upgrade' }[generation]),
});

/** kschat: everybody writes to one user, who has a tab at each server. */
export const kschat = {
  title: 'kschat, over the direct exchange `direct_logs`',
  bus: 'direct_logs',
  settings: ({ rabbitmq }) => [`--amqp=${rabbitmq.url}`, '--amqp-exchange=direct_logs'],
  start: ({ rabbitmq, redis }, name) => startNode('kschat', { amqp: rabbitmq.url, redis: redis.url, name, secret: SECRET }),
  env: { HANDSHAKEN_JWT_SECRET: SECRET },
  async enter(t, server, name, { rabbitmq }) {
    const [writer, reader] = [await visitKschat(t, server, name), await visitKschat(t, server, 'everybody')];
    if (!server.isNode) await isReached(rabbitmq, 'everybody', reader);
    return {
      async say(text) {
        await writer.say('everybody', text);
        return { from: name, text };
      },
      heard: () => reader.received().map(({ uId, msg }) => ({ from: uId, text: msg })),
    };
  },
};

/** A user of kschat; at an old server, messages reach it from now on. */
export async function visitKschat(t, server, id) {
  const visitor = await visit(t, server.url, id);
  if (server.isNode) await visitor.request('isBound', {});
  return visitor;
}

/** Waits until a user at ours is told what is published for it: that is so a moment after it is connected. */
export async function isReached({ url }, id, visitor) {
  const connection = await amqplib.connect(url);
  const channel = await connection.createChannel();
  const msg = 'are you there?';
  await eventually(`${id} is reached`, () => {
    channel.publish('direct_logs', `ks_${id}`, Buffer.from(JSON.stringify({ uId: 'caller', pId: id, msg, rStatus: 1, msgTime: Date.now() })));
    return visitor.texts().includes(msg);
  });
  await connection.close();
}

/** AMQPChat or rabbitpubsub, as `words` says: both share the exchange `chatExchange`. */
export const chatExchange = (words) => ({
  title: `${words}, over the fanout exchange \`chatExchange\``,
  bus: 'chatExchange',
  env: { HANDSHAKEN_SESSION_SECRET: SESSION_SECRET },
  settings: ({ rabbitmq }) => [`--amqp=${rabbitmq.url}`, '--amqp-exchange=chatExchange'],
  start: ({ rabbitmq, redis }, name) =>
    startNode('chat_exchange', { amqp: rabbitmq.url, redis: redis.url, name, secret: SESSION_SECRET, words }),
  async enter(t, server, name, { redis }) {
    // One login is good at all of them: the old servers' Redis and secret are ours too.
    const login = await logIn(redis, words === 'amqpchat' ? { name, mail: `${name}@example.test` } : { user: name });
    const [joining, said] = {
      amqpchat: ['joined', (page, text) => page.socket.send(text)],
      rabbitpubsub: ['join', (page, text) => page.socket.emit('chat', JSON.stringify({ action: 'message', msg: text }))],
    }[words];
    const page = await openPage(t, POLLING, server, login, { joining });
    const isHere = () => page.told.some(({ action, ...told }) => action !== 'message' && (told.name ?? told.user) === name);
    await eventually(`${name} is told of its own arrival`, isHere);
    return {
      async say(text) {
        said(page, text);
        return { from: name, text };
      },
      heard: () =>
        page.told.filter(({ action }) => action === 'message').map((told) => ({ from: told.name ?? told.user, text: told.message ?? told.msg })),
    };
  },
});

/** Infinite Chat. */
export const infinite = {
  title: 'Infinite Chat, over the Redis channel `newMsg`',
  bus: 'newMsg',
  settings: ({ redis }) => [`--neighbour-redis=${redis.url}`, '--new-msg-channel=newMsg'],
  start: ({ redis }, name) => startNode('infinite', { redis: redis.url, name }),
  async enter(t, server, name) {
    const socket = new WebSocket(server.url.replace('http', 'ws'));
    t.after(() => socket.terminate());
    const frames = [];
    socket.on('error', (error) => console.error(`${name}: ${error.message}`));
    socket.on('message', (frame) => frames.push(JSON.parse(frame)));
    await eventually(`${name} is told what was said before`, () => frames.length > 0);
    return {
      async say(text) {
        socket.send(JSON.stringify({ username: name, msg: text }));
        return { from: name, text };
      },
      heard: () => frames.slice(1).flat().map(({ username, msg }) => ({ from: username, text: msg })),
    };
  },
};

/** In the room of talk's event: with the library that goes with the Node server there, and with today's at ours. */
function enterRoom(name) {
  const kind = kinds.find((each) => each.name === name);
  return async (t, server) => {
    const peer = await join(server.isNode ? kind : OURS, server.url);
    t.after(() => peer.close());
    return {
      async say(text) {
        peer.socket.emit('message', text);
        return { from: server.name, text };
      },
      heard: () => peer.messages.map(({ ip, text }) => ({ from: ip, text })),
    };
  };
}

/** A session as express would have written it: `{ cookie }`. */
async function logIn({ url }, login) {
  const id = randomUUID();
  const client = new Redis(url);
  await client.set(`sess:${id}`, JSON.stringify({ cookie: { path: '/', httpOnly: true }, ...login }));
  await client.quit();
  const signature = createHmac('sha256', SESSION_SECRET).update(id).digest('base64').replace(/=+$/, '');
  return { cookie: `jsessionid=${encodeURIComponent(`s:${id}.${signature}`)}` };
}
