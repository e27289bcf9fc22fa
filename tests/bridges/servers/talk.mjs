// The old server of talk and chat-scaling, after its contract: Socket.IO 1.x, and the fanout exchange `messages` between the
// replicas. A message is shown when the broker brings it back, to its sender too.

import amqplib from 'amqplib';

import { httpServer, listen, require, settings } from './process.mjs';

const { amqp, name } = settings();
const server = httpServer();
const io = require('socket.io-1')(server);

const connection = await amqplib.connect(amqp);
const channel = await connection.createChannel();
await channel.assertExchange('messages', 'fanout', { durable: false });
const { queue } = await channel.assertQueue('', { exclusive: true });
await channel.bindQueue(queue, 'messages', '');
await channel.consume(queue, ({ content }) => io.emit('message', JSON.parse(content)), { noAck: true });

io.on('connection', (socket) => {
  io.emit('start', { ipHost: name });
  socket.on('message', (text) => {
    channel.publish('messages', '', Buffer.from(JSON.stringify({ text, date: new Date(), ip: name })));
  });
});

listen(server);
