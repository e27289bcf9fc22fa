// Somebody in front of our own page: what they do and what they see, for the tests of this folder.
// Every visitor has a browser profile of their own.

import assert from 'node:assert/strict';

import { DEADLINE_MS } from '../../clients/harness.mjs';

/** Checks until nothing is thrown any more; fails with the last reason. */
export async function eventually(what, check) {
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    try {
      return await check();
    } catch (reason) {
      if (Date.now() > deadline) throw new Error(`${what}: not within ${DEADLINE_MS} ms`, { cause: reason });
      await new Promise((resume) => setTimeout(resume, 50));
    }
  }
}

export class Visitor {
  /** What the page's scripts threw. */
  errors = [];

  constructor(page, url) {
    this.page = page;
    this.url = url;
    page.setDefaultTimeout(DEADLINE_MS);
    page.on('pageerror', (error) => this.errors.push(String(error)));
    page.on('dialog', (dialog) => {
      this.errors.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
  }

  /** Opens the page in a profile that knows nothing yet, without saying a name. */
  static async arrive(browser, url, { room = 'lobby', profile = {}, prepare } = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...profile });
    const visitor = new Visitor(await context.newPage(), url);
    await prepare?.(visitor.page);
    await visitor.page.goto(`${url}/#${encodeURIComponent(room)}`);
    return visitor;
  }

  /** Opens the page, says a name, and is in the room. */
  static async enter(browser, url, name, options = {}) {
    const visitor = await Visitor.arrive(browser, url, options);
    await visitor.page.getByLabel('Your name', { exact: true }).fill(name);
    await visitor.page.getByRole('button', { name: 'Continue' }).click();
    await visitor.connected();
    return visitor;
  }

  async connected() {
    await this.phase('online');
    await eventually('somebody is here, at least us', async () => {
      assert.match(await this.page.locator('#room-summary').textContent(), /^\d+ (person|people) here$/);
    });
  }

  phase(phase) {
    return this.page.locator(`#connection[data-phase="${phase}"]`).waitFor({ state: 'attached' });
  }

  async write(text) {
    await this.page.getByLabel('Message', { exact: true }).fill(text);
    await this.page.getByLabel('Message', { exact: true }).press('Enter');
  }

  /** The texts of the active room, as they are placed, without those that are still waiting. */
  texts() {
    return this.page.locator('#messages .text').allTextContents();
  }

  waiting() {
    return this.page.locator('#waiting .text').allTextContents();
  }

  sees(texts) {
    return eventually(`sees ${JSON.stringify(texts)}`, async () => assert.deepEqual(await this.texts(), texts));
  }

  async openRoom(room) {
    await this.page.getByLabel('Find or create a room').fill(room);
    await this.page.getByLabel('Find or create a room').press('Enter');
    await this.page.locator('#room-name', { hasText: room }).waitFor();
    await this.connected();
  }

  roomItem(room) {
    return this.page.locator('#joined-rooms .room-item').filter({ has: this.page.locator('bdi').getByText(room, { exact: true }) });
  }

  async leaves() {
    await this.page.context().close();
  }
}

/** Puts messages into a room over a connection of their own, in order, each kept before the next. */
export function say(visitor, room, texts) {
  return visitor.page.evaluate(async ({ room: where, texts: all, deadline }) => {
    const socket = window.io('/chat', { forceNew: true });
    const ask = async (event, payload) => {
      const answer = await socket.timeout(deadline).emitWithAck(event, payload);
      if (!answer.ok) throw new Error(`${event}: ${answer.error.code}: ${answer.error.message}`);
    };
    await new Promise((resolve) => socket.on('connect', resolve));
    await ask('hello', { name: 'Narrator' });
    await ask('join', { room: where });
    for (const text of all) await ask('post', { room: where, text });
    socket.disconnect();
  }, { room, texts, deadline: DEADLINE_MS });
}
