// Much is written at once, and what was written gets no answer: it goes out as fast as the server reads, in order, and the page
// says what waits and why.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openBrowser } from '../../clients/browser.mjs';
import { startServer } from '../../clients/harness.mjs';
import { Visitor, eventually } from './visitor.mjs';

let server;
let browser;
before(async () => {
  server = await startServer({ limited: true });
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Writes all of these before anything else happens in the page. */
const writeAtOnce = (visitor, texts) => visitor.page.evaluate((all) => {
  const text = document.getElementById('text');
  for (const each of all) {
    text.value = each;
    text.dispatchEvent(new Event('input', { bubbles: true }));
    document.getElementById('composer').requestSubmit();
  }
}, texts);

const numbered = (count) => Array.from({ length: count }, (_, index) => `message ${index + 1}`);

for (const count of [60, 300]) {
  test(`${count}_posts_at_once_go_out_in_order_and_the_connection_stays`, async () => {
    const room = `at once ${count}`;
    const ana = await Visitor.enter(browser, server.url, 'Ana', { room });
    const ben = await Visitor.enter(browser, server.url, 'Ben', { room });
    await writeAtOnce(ana, numbered(count));
    if (count > 100) await ana.page.getByText(/^\d+ earlier messages wait, too$/).waitFor();
    await ana.page.getByText('Sending…').first().waitFor();
    await eventually('all is sent', async () => assert.deepEqual([await ana.waiting(), (await ana.texts()).length], [[], count]));
    await ben.sees(numbered(count));
    assert.deepEqual(await ana.texts(), numbered(count));
    assert.doesNotMatch(server.log(), /ending a session/);
    assert.deepEqual([...ana.errors, ...ben.errors], []);
    await Promise.all([ana.leaves(), ben.leaves()]);
  });
}

test('a_server_that_does_not_answer_is_said_not_to_and_what_was_written_is_sent_once_to_one_that_does', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'silence' });
  await ana.write('before');
  await ana.sees(['before']);
  process.kill(server.pid, 'SIGSTOP');
  try {
    await ana.write('into the silence');
    await ana.page.getByText('The server does not answer. Reconnecting…').waitFor();
    assert.deepEqual(await ana.waiting(), ['into the silence']);
    await ana.page.getByText('Waiting for the connection').waitFor();
  } finally {
    process.kill(server.pid, 'SIGCONT');
  }
  await ana.sees(['before', 'into the silence']);
  await eventually('nothing waits any more', async () => assert.deepEqual(await ana.waiting(), []));
  await ana.phase('online');
  assert.deepEqual(ana.errors, []);
  await ana.leaves();
});

test('what_is_typed_and_sent_very_fast_is_told_with_two_words_about_typing_at_most', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'fast' });
  await ana.page.evaluate(() => {
    window.sentFrames = [];
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = function (data) {
      window.sentFrames.push(String(data));
      send.call(this, data);
    };
  });
  await writeAtOnce(ana, numbered(30));
  await eventually('all is sent', async () => assert.equal((await ana.texts()).length, 30));
  const typed = await ana.page.evaluate(() => window.sentFrames.filter((frame) => frame.includes('"typing"')));
  assert.ok(typed.length <= 2, typed.join('\n'));
  await ana.leaves();
});

test('the_pace_keeps_below_the_rate_and_saves_up_little', async () => {
  const ana = await Visitor.arrive(browser, server.url);
  const sent = await ana.page.evaluate(async () => {
    const { Pace } = await import('/js/pace.js');
    const run = (rate, from, ms) => {
      const pace = new Pace();
      pace.rate = rate;
      pace.wait(0);
      let count = 0;
      for (let now = from; now < from + ms;) {
        const wait = pace.wait(now);
        if (wait > 0) now += wait;
        else if (count >= 10_000) break;
        else {
          pace.spend();
          count += 1;
        }
      }
      return count;
    };
    return { ten: run(50, 0, 10_000), slow: run(1, 0, 10_000), rested: run(50, 3_600_000, 1_000), unlimited: run(null, 0, 1) };
  });
  assert.deepEqual(sent, { ten: 400, slow: 8, rested: 55, unlimited: 10_000 });
  await ana.leaves();
});
