// Runs the 0.9.16 client library's own suite in Chromium against the conformance server, over one transport after
// the other: node tests/legacy/suite.mjs FOLDER, a checkout of that library. docs/conformance.md says more.
// The suite's files are served as they are; the page around them is made here, since its own server needs
// packages that are gone.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';

import { openBrowser } from '../clients/browser.mjs';
import { eventually } from '../clients/harness.mjs';

const CASES = 22;
const WAYS = ['websocket', 'xhr-polling'];
// The order of the suite's own page; the last one is what needs a server.
const FILES = ['io.test.js', 'parser.test.js', 'util.test.js', 'events.test.js', 'socket.test.js'];
const SCRIPTS = ['jquery.js', 'should.js', 'script.js', 'runner.js'];
const DEADLINE_MS = 120_000;
// A case of `util.test.js` counts on the port of the suite's own page.
const PAGE_PORT = 3000;

const [folder] = process.argv.slice(2);
if (!folder || !existsSync(path.join(folder, 'support/test-runner'))) {
  console.error('name the folder of a checkout of socket.io-client 0.9.16: node tests/legacy/suite.mjs FOLDER');
  process.exit(64);
}

const program = process.env.CONFORMANCE_BIN ?? 'target/debug/examples/conformance';
const cases = spawn(program, ['--protocol', '127.0.0.1:0', '--clients', '127.0.0.1:0', '--legacy'], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
const browser = await openBrowser();
let failed = 0;
try {
  const ports = await portsOfCases();
  const pages = await startPages(ports);
  for (const way of WAYS) failed += await run(way, pages);
} catch (error) {
  console.error(error.message);
  failed += 1;
}
cases.kill();
await browser.close();
process.exit(failed > 0 ? 1 : 0);

/** The ports of the cases, by transport and name. */
async function portsOfCases() {
  let printed = '';
  cases.stdout.setEncoding('utf8').on('data', (text) => (printed += text));
  const lines = () => [...printed.matchAll(/^http:\/\/\S+:(\d+) over (\S+): (.+)$/gm)];
  await eventually(`${program} listens`, () => lines().length === CASES * WAYS.length);
  const found = Object.fromEntries(WAYS.map((way) => [way, {}]));
  for (const [, port, way, name] of lines()) found[way][name] = Number(port);
  return found;
}

async function startPages(ports) {
  const library = readFileSync(path.join(folder, 'dist/socket.io.js'));
  const server = http.createServer((request, answer) => {
    const { pathname, searchParams } = new URL(request.url, 'http://page');
    if (pathname === '/') return answer.writeHead(200, { 'content-type': 'text/html' }).end(page(ports[searchParams.get('way')]));
    const file = pathname.startsWith('/test/') ? pathname : `/support/test-runner/public${pathname}`;
    const read = () => readFileSync(path.join(folder, path.normalize(file)));
    const body = pathname === '/socket.io/socket.io.js' ? library : existsSync(path.join(folder, file)) && read();
    if (!body) return answer.writeHead(404).end();
    answer.writeHead(200, { 'content-type': 'application/javascript; charset=utf-8' }).end(body);
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(PAGE_PORT, '127.0.0.1', resolve));
  return `http://127.0.0.1:${PAGE_PORT}`;
}

function page(ports) {
  const scripts = ['/socket.io/socket.io.js', ...SCRIPTS.map((name) => `/javascript/${name}`)];
  return `<!doctype html><meta charset="utf-8">${scripts.map((src) => `<script src="${src}"></script>`).join('')}
    <body><script>
      var testsPorts = ${JSON.stringify({ 'socket.test.js': ports })};
      $(function () { run(${FILES.map((file) => JSON.stringify(file)).join(', ')}); });
    </script>`;
}

/** How many cases of `socket.test.js`, and of the other files, failed. */
async function run(way, pages) {
  const view = await browser.newPage();
  await view.goto(`${pages}/?way=${way}`);
  await eventually(`${way} is through`, async () => {
    if (await view.getByText('All suites completed').isVisible()) return true;
    throw new Error(`at ${await view.evaluate(() => `${currentSuite}, ${currentCase}`)}`);
  }, DEADLINE_MS);
  const results = await view.locator('.test-list > li').evaluateAll((items) =>
    items.map((item) => ({
      file: item.querySelector('.name').textContent,
      cases: item.querySelectorAll('ul.cases li').length,
      failed: [...item.querySelectorAll('ul.cases li.failed')].map((each) => each.textContent),
    })),
  );
  let count = 0;
  for (const { file, cases, failed } of results) {
    console.log(`${way}: ${file}: ${cases - failed.length} of ${cases}${failed.map((name) => `\n  failed: ${name}`).join('')}`);
    count += failed.length;
  }
  if (results.at(-1)?.cases !== CASES) throw new Error(`${way}: ${JSON.stringify(results)}`);
  await view.close();
  return count;
}
