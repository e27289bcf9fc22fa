// AMQPChat's and rabbitpubsub's pages while replicas end and connections break: they live on, and show each line once. The
// first does not survive being told that its connection is gone, so it must not be.

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { openBrowser } from '../clients/browser.mjs';
import { join as joinLater, kinds as laterKinds } from '../clients/generations.mjs';
import { eventually, startServer } from '../clients/harness.mjs';
import { knowsAll } from '../replicas/cluster.mjs';
import { startThree } from './three.mjs';

const views = (name) => fileURLToPath(new URL(`../legacy/pages/${name}`, import.meta.url));
const later = laterKinds.find(({ name }) => name === '4.8 over websocket');

/** How each page is entered, and how one says something there. */
const fronts = {
  amqpchat: {
    // The original brings a library of its own, which knows nothing of ours.
    args: ['--views', views('amqpchat'), '--client', '0.9', '--catch-up', 'off'],
    async enter(page) {
      const told = () => eventually('it is answered', () => page.textContent('#told'));
      await page.evaluate(() => register('Ann', 'ann@example.test'));
      const pass = await told();
      await page.evaluate((pass) => login('ann@example.test', pass), pass);
      await page.locator('#lines em', { hasText: 'Ann joined the chat!' }).waitFor();
    },
    say: (page, text) => page.evaluate((text) => socket.send(text), text),
  },
  rabbitpubsub: {
    args: ['--views', views('rabbitpubsub'), '--client', '0.9'],
    async enter(page) {
      await page.evaluate(() => join('Rob'));
      await page.locator('#lines p', { hasText: 'Rob joined the channel' }).waitFor();
    },
    say: (page, text) => page.evaluate((text) => say(text), text),
  },
};

let browser;
before(async () => (browser = await openBrowser()));
after(() => browser?.close());

async function open(t, url, front) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(url);
  await front.enter(page);
  return page;
}

/** Somebody who says lines for as long as it is left to, each once the one before is kept. */
async function openSpeaker(server) {
  const peer = await joinLater(later, server.url, { namespace: '/chat' });
  await peer.request('hello', { name: 'Nat' });
  await peer.request('join', { room: 'lobby' });
  const said = [];
  let goesOn = true;
  const say = async (text) => {
    assert.ok((await peer.request('post', { room: 'lobby', text })).ok);
    said.push(text);
  };
  const speak = async (prefix) => {
    for (let i = 0; goesOn; i++) await say(`${prefix} ${i}.`);
  };
  return { said, say, speak, stop: () => (goesOn = false), close: () => peer.close() };
}

/** Waits until a page shows all of these, and looks that it shows none twice. */
async function showsOnce(page, texts, what) {
  const counts = async () => {
    const lines = await page.locator('#lines > p').allTextContents();
    return texts.map((text) => lines.filter((line) => line.endsWith(`: ${text}`)).length);
  };
  await eventually(`${what}: all is shown`, async () => {
    const missing = texts.filter((_, i, all) => all && !counts.last?.[i]);
    counts.last = await counts();
    if (counts.last.every((count) => count > 0)) return true;
    throw new Error(`${missing.length} of ${texts.length} are missing, the first: ${missing[0]}`);
  });
  const twice = texts.filter((_, i) => counts.last[i] > 1);
  assert.deepEqual(twice, [], `${what}: shown more than once`);
}

for (const [name, front] of Object.entries(fronts)) {
  test(`${name}: a page lives on while each of three replicas is killed or replaced, and shows each line once`, { timeout: 300_000 }, async (t) => {
    const { replicas, balancer } = await startThree(t, front.args);
    const page = await open(t, balancer.url, front);
    const all = [];
    for (const [i, replica] of replicas.entries()) {
      for (const end of ['killed', 'stopped']) {
        const speaker = await openSpeaker(replicas[(i + 1) % replicas.length]);
        const speaking = speaker.speak(`${name}, ${i} ${end},`);
        await eventually('something is said', () => speaker.said.length > 2);
        await (end === 'killed' ? replica.kill9() : replica.stop());
        const before = speaker.said.length;
        await eventually('it goes on', () => speaker.said.length > before + 2);
        await replica.restart();
        for (const each of replicas) await knowsAll(each, replicas.length);
        speaker.stop();
        await speaking;
        speaker.close();
        all.push(...speaker.said);
        const own = `by the page when ${i} was ${end}.`;
        await front.say(page, own);
        all.push(own);
        await showsOnce(page, all, `${i} ${end}`);
      }
    }
    assert.notEqual(await page.title(), 'dead');
  });
}

/** An address of the server on the way to which connections can be reset, all at once. */
async function breakable(t, server) {
  const ends = new Set();
  const proxy = net.createServer((client) => {
    const onward = net.connect(server.port, '127.0.0.1');
    client.pipe(onward).pipe(client);
    ends.add(client);
    for (const end of [client, onward]) {
      end.on('error', () => {}).on('close', () => (ends.delete(client), client.destroy(), onward.destroy()));
    }
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => (proxy.close(), ends.forEach((end) => end.destroy())));
  return { url: `http://127.0.0.1:${proxy.address().port}`, reset: () => ends.forEach((end) => end.resetAndDestroy()) };
}

for (const [name, transports] of [['amqpchat', []], ['rabbitpubsub', []], ['rabbitpubsub', ['--legacy-transports', 'websocket']]]) {
  test(`${name}: a page whose connections are reset, ${transports[1] ?? 'as it is served by itself'}, shows each line once`, async (t) => {
    const front = fronts[name];
    const server = await startServer({ args: [...front.args, ...transports] });
    t.after(() => server.stop());
    const way = await breakable(t, server);
    const page = await open(t, way.url, front);
    const speaker = await openSpeaker(server);
    t.after(() => speaker.close());
    await speaker.say('before.');
    await showsOnce(page, speaker.said, 'at first');
    if (name === 'rabbitpubsub') {
      // What a page shows is its own: another one of the same login, moments before, says nothing of it.
      await page.reload();
      await page.locator('#lines p', { hasText: 'Rob joined the channel' }).waitFor();
    }
    for (let i = 0; i < 3; i++) {
      for (let n = 0; n < 3; n++) await speaker.say(`${n} before reset ${i}.`);
      await showsOnce(page, speaker.said, `before reset ${i}`);
      way.reset();
      for (let n = 0; n < 3; n++) await speaker.say(`${n} after reset ${i}.`);
      await showsOnce(page, speaker.said, `after reset ${i}`);
      const own = `by the page after reset ${i}.`;
      await front.say(page, own);
      speaker.said.push(own);
      await showsOnce(page, speaker.said, `said after reset ${i}`);
    }
    assert.notEqual(await page.title(), 'dead');
  });
}

test('a name that is not taken, and an empty line, are answered so that the page of rabbitpubsub shows it', async (t) => {
  const server = await startServer({ args: fronts.rabbitpubsub.args });
  t.after(() => server.stop());
  for (const wrong of ['x'.repeat(41), '', '   ']) {
    const context = await browser.newContext();
    t.after(() => context.close());
    const page = await context.newPage();
    await page.goto(server.url);
    await page.evaluate((name) => join(name), wrong);
    await page.locator('#lines p', { hasText: 'Not joined:a name has 1 to 40 characters' }).waitFor();
  }
  const page = await open(t, server.url, fronts.rabbitpubsub);
  // As pressing Enter in the field of the name does.
  await page.evaluate(() => say(''));
  await page.evaluate(() => say('something'));
  await page.locator('#lines p', { hasText: 'Rob: something' }).waitFor();
  assert.deepEqual((await page.locator('#lines > p').allTextContents()).filter((line) => line.includes('Not ')), []);
});
