// A program that only listens on talk's exchange, as its author promised that one could: prints each message on a line of
// its own, with the id that its publisher gave it, if any.

import amqplib from 'amqplib';

import { settings } from './process.mjs';

const { amqp } = settings();
const channel = await (await amqplib.connect(amqp)).createChannel();
await channel.assertExchange('messages', 'fanout', { durable: false });
const { queue } = await channel.assertQueue('', { exclusive: true });
await channel.bindQueue(queue, 'messages', '');
await channel.consume(
  queue,
  ({ content, properties: { messageId } }) => {
    const { text } = JSON.parse(content);
    console.log(`logged ${JSON.stringify({ messageId, text })}`);
  },
  { noAck: true },
);
console.log('listening');
