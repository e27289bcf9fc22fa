// The old server of kschat, after its contract: Socket.IO 2.1 with a token, socket.io-redis between the replicas, and the
// direct exchange `direct_logs` for the messages themselves, a queue for each socket.

import amqplib from 'amqplib';
import jsonwebtoken from 'jsonwebtoken';
import adapter from 'socket.io-redis';

import { httpServer, listen, require, settings } from './process.mjs';

const { amqp, redis, secret } = settings('secret');
const server = httpServer();
const io = require('socket.io-2')(server, { pingInterval: 10_000, pingTimeout: 5_000, cookie: false, serveClient: false });
io.adapter(adapter(redis));

const connection = await amqplib.connect(`${amqp}?heartbeat=60`);
const channel = await connection.createChannel();
await channel.assertExchange('direct_logs', 'direct', { durable: false });
// Nobody was there to take it. The old server did not look at this either, and the message was lost.
channel.on('return', ({ content }) => console.log(`returned ${content}`));

const chat = io.of('/kschat');
chat.use((socket, next) => {
  jsonwebtoken.verify(socket.handshake.query.token, secret, { algorithms: ['HS256'], ignoreNotBefore: true }, (error, claims) => {
    if (error || !claims.data?.id) return next(new Error('Authentication error'));
    socket.user = claims.data.id;
    next();
  });
});

chat.on('connection', async (socket) => {
  const answered = () => {};
  socket.on('Send', ({ uId, pId, msg, rno }, answer) => {
    answer({ RESPONSE: 'Send Emit is success.', uId });
    const msgTime = Date.now();
    const body = { uId, pId, msg, rStatus: 1, msgTime };
    channel.publish('direct_logs', `ks_${pId}`, Buffer.from(JSON.stringify(body)), { deliveryMode: 2, mandatory: true });
    socket.emit('RESPSEND', { RC: 1, ER: 0, SID: uId, RID: pId, MSG: msg, RANDOMNO: rno, MSGTIME: msgTime, STATUS: 1 }, answered);
  });
  socket.on('Logout', ({ uId }, answer) => {
    answer({ RESPONSE: 'Logout Emit is success.', uId });
    socket.emit('RESPLOGOUT', { RC: 1, ERR: 0 }, answered);
  });

  const bound = bind(socket);
  // Not the old server's: a test has no other way to know that messages reach this socket from now on.
  socket.on('isBound', async (_, answer) => answer(await bound));
  const queue = await bound;
  const leave = () => channel.deleteQueue(queue);
  if (socket.connected) socket.once('disconnect', leave);
  else leave();
});

listen(server);

/** The name of the queue of one socket, when it is consumed. */
async function bind(socket) {
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.bindQueue(queue, 'direct_logs', `ks_${socket.user}`);
  const show = ({ content }) => socket.emit('RESPRECEIVER', { RC: 1, ER: 0, MSG: [JSON.parse(content)] }, () => {});
  await channel.consume(queue, (message) => message && show(message), { noAck: true });
  return queue;
}
