// What a client may answer to a message, by hand: twice, to nothing, with rubbish, never. Nothing is lost by it, and
// nothing that was acknowledged comes again.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { eventually, startServer } from '../clients/harness.mjs';
import { webSocket } from '../clients/wire.mjs';
import { token } from '../tokens/signing.mjs';
import { startOptions, visit } from './visitor.mjs';

let server;
before(async () => {
  server = await startServer(startOptions);
});
after(() => server.stop());

/** A client that answers nothing by itself; `asked` are the messages that came, `[id, text]`. */
async function wire(t, id) {
  const connection = await webSocket(server, { query: `token=${token({ data: { id } })}` });
  t.after(() => connection.close());
  connection.send('40/kschat,');
  await eventually('it is connected', () => connection.frames.some((frame) => frame.startsWith('40/kschat')));
  const received = /^42\/kschat,(\d+)(\["RESPRECEIVER".*)$/;
  const asked = () =>
    connection.frames
      .map((frame) => received.exec(frame))
      .filter(Boolean)
      .map(([, ack, body]) => [ack, JSON.parse(body)[1].MSG[0].msg]);
  return { ...connection, asked };
}

const RUBBISH = ['[]', '[null]', '[{"RESPONSE":7}]', '["a","b",[[[]]]]', '[1e999]'];

for (const [number, rubbish] of RUBBISH.entries()) {
  test(`an answer is one whatever is in it: ${rubbish}`, async (t) => {
    const [ann, bob] = [`ann${number}`, `bob${number}`];
    const here = await visit(t, server.url, ann);
    const there = await wire(t, bob);
    await here.say(bob, 'first');
    await eventually('it comes', () => there.asked().length === 1);
    const [[ack]] = there.asked();
    // Twice, and to what nobody asked.
    for (const id of [ack, ack, Number(ack) + 1000]) there.send(`43/kschat,${id}${rubbish}`);
    await here.say(bob, 'second');
    const texts = () => there.asked().map(([, text]) => text);
    await eventually('the next comes', () => texts().includes('second'));
    assert.deepEqual(texts(), ['first', 'second']);
    there.close();
    const again = await visit(t, server.url, bob);
    await again.heard(1);
    await here.say(bob, 'third');
    await again.heard(2);
    assert.deepEqual(again.texts(), ['second', 'third']);
    assert.doesNotMatch(server.log(), /panicked/);
  });
}
