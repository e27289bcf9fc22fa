// A WebSocket that breaks between the 101 and the client's going over to it, as behind some proxies: the client goes
// on polling, and nobody notices.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';

import { kinds, open } from './generations.mjs';
import { eventually, startServer } from './harness.mjs';

let server;
before(async () => (server = await startServer()));
after(() => server.stop());

// What becomes of the server's bytes on a WebSocket behind the head of its answer.
const BREAKS = {
  'after the 101': ({ cut }) => cut(),
  'after the probe': ({ more, cut }) => more && cut(),
  'by swallowing everything': () => {},
};

/** Hands TCP connections on to the server; those that are upgraded break. */
async function proxy(t, breaks) {
  const broken = { count: 0 };
  const sockets = new Set();
  const listener = net.createServer((client) => {
    const upstream = net.connect(server.port, '127.0.0.1');
    const both = [client, upstream];
    const cut = () => both.forEach((socket) => socket.destroy());
    for (const socket of both) {
      sockets.add(socket);
      socket.on('error', cut).on('close', cut);
    }
    client.pipe(upstream);
    let head = '';
    upstream.on('data', (data) => {
      if (head.startsWith('HTTP/1.1 101')) return breaks({ more: data.length > 0, cut });
      head = data.toString('latin1');
      if (!head.startsWith('HTTP/1.1 101')) return client.write(data);
      broken.count += 1;
      const end = head.indexOf('\r\n\r\n') + 4;
      client.write(data.subarray(0, end), () => breaks({ more: data.length > end, cut }));
    });
  });
  t.after(() => {
    listener.close();
    sockets.forEach((socket) => socket.destroy());
  });
  await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${listener.address().port}`, broken };
}

for (const generation of ['1.7.4', '2.5.0', '3.1.3', '4.8']) {
  for (const [how, breaks] of Object.entries(BREAKS)) {
    test(`${generation} goes on polling when its WebSocket breaks ${how}`, async (t) => {
      const { url, broken } = await proxy(t, breaks);
      const kind = kinds.find((kind) => kind.generation === generation && kind.way === 'upgrade');
      const peer = open(kind, url);
      t.after(() => peer.close());
      let lost = 0;
      peer.socket.on('disconnect', () => (lost += 1));
      await eventually('the client is connected', () => peer.socket.connected);
      await eventually('a WebSocket was tried', () => broken.count > 0);
      for (let i = 0; i < 5; i++) {
        const text = `${generation} ${how} ${i}`;
        peer.socket.emit('message', text);
        await eventually(`message ${i}`, () => peer.texts().includes(text));
      }
      assert.equal(peer.socket.io.engine.transport.name, 'polling');
      assert.equal(lost, 0);
      assert.doesNotMatch(server.log(), /ending a session/);
    });
  }
}
