// What every server here has in common: settings from its arguments, a free port, an end by SIGTERM.

import http from 'node:http';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

/** Loads packages whose names are aliases: several generations of one library. */
export const require = createRequire(import.meta.url);

/** `--amqp URL --redis URL --name TEXT`, each once, and whatever else `more` names. */
export function settings(...more) {
  const names = ['amqp', 'redis', 'name', ...more];
  return parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: 'string' }])) }).values;
}

/** A server that answers `/` with a line of text, for `io.attach` or an upgrade. */
export function httpServer() {
  return http.createServer((request, answer) => answer.end('here is a chat\n'));
}

/** Opens a free port, and tells it the way that the tests look for. */
export function listen(server) {
  server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
}

// As a platform would end it: at once. What a chat of these loses then is part of what moving away from it must cope with.
process.once('SIGTERM', () => process.exit(0));
