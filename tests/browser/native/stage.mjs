// A server and a browser for the tests of one file: who imports this has them from before the first test until after
// the last.

import { after, before } from 'node:test';
import { openBrowser } from '../../clients/browser.mjs';
import { startServer } from '../../clients/harness.mjs';

export let server;
export let browser;

before(async () => {
  server = await startServer();
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});
