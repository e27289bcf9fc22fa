// What no honest page sends. Whatever comes, the sender at most harms itself: a healthy pair of clients goes on
// chatting at once, the process lives, and its memory stays within bounds.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';

import { current, join, kinds } from './generations.mjs';
import { eventually, freshFolder, startServer } from './harness.mjs';
import { connected, handshake, send, webSocket } from './wire.mjs';

const MAX_MESSAGE = 100_000;
const MEMORY_BOUND = 200 << 20;
// The healthy pair keeps well below the rate at which it would be slowed down itself.
const HEALTHY_PACE_MS = 100;
const SECRET = 'nobody may read this';

let server;
let speaker;
let listener;
let mark;
let marks = 0;

before(async () => {
  const folder = freshFolder();
  mkdirSync(path.join(folder, 'public'));
  writeFileSync(path.join(folder, 'secret.txt'), SECRET);
  writeFileSync(path.join(folder, 'public/index.html'), '<!doctype html><title>front page</title>');
  server = await startServer({ limited: true, args: ['--public', path.join(folder, 'public'), '--flood-timeout', '5s'] });
  speaker = await join(current, server.url);
  listener = await join(kinds[0], server.url);
});
after(async () => {
  speaker?.close();
  listener?.close();
  await server?.stop();
});

// What is heard between two marks is what the bad input in between led to.
async function chat(pair = [speaker, listener]) {
  const text = `mark ${++marks}`;
  pair[0].socket.emit('message', text);
  for (const peer of pair) {
    await eventually(`${peer.kind.name} hears the healthy one`, () => peer.texts().includes(text));
  }
  return text;
}
const heardSinceMark = () => listener.texts().slice(listener.texts().indexOf(mark) + 1);

beforeEach(async () => (mark = await chat()));
afterEach(async () => {
  await chat();
  assert.ok(server.isRunning(), server.log());
  const resident = server.residentBytes();
  assert.ok(resident < MEMORY_BOUND, `${resident >> 20} MB resident`);
});

const quoted = (text) => JSON.stringify(text);

test('text that is not a text is not said', async (t) => {
  const peer = await connected(server);
  t.after(peer.close);
  for (const value of ['{"a":1}', '5', '-1e999', 'null', 'true', '["text"]', '""', '{"text":"x"}', '[]', '{}']) {
    peer.send(`42["message",${value}]`);
  }
  peer.send('42["message"]');
  peer.send('42["message","said","and","more"]');
  if (peer.isOpen()) await eventually('the sender is served or gone', () => peer.said().includes('said') || !peer.isOpen());
  await chat();
  const said = heardSinceMark().filter((text) => !text.startsWith('mark '));
  assert.ok(said.every((text) => text === 'said'), quoted(said));
});

test('a text of almost the largest size is said, one above it is not', async (t) => {
  const large = 'x'.repeat(MAX_MESSAGE - 1_000);
  const peer = await join(current, server.url);
  t.after(() => peer.close());
  peer.socket.emit('message', large);
  await eventually('the large text', () => listener.texts().includes(large));
  peer.socket.emit('message', 'y'.repeat(MAX_MESSAGE + 1));
  await chat();

  const polling = await handshake(server);
  const query = `EIO=4&transport=polling&sid=${polling}`;
  assert.equal((await send(server, 'POST', query, { body: '40' })).status, 200);
  const { status } = await send(server, 'POST', query, { body: `42["message",${quoted('z'.repeat(MAX_MESSAGE + 1))}]` });
  assert.equal(status, 413);
  await chat();
  assert.ok(heardSinceMark().every((text) => !/^[yz]/.test(text)));
});

for (const [what, frames] of [
  ['an event cut short', ['42["message"']],
  ['an event cut within a character', ['42["message","\\u26']],
  ['JSON that nests without end', [`42["message",${'['.repeat(50_000)}`]],
  ['an event that is no array', ['42{"message":"x"}', '42"message"', '42null', '42']],
  ['an event without a name', ['42[]', '42[5,"x"]', '42[null]', '42[{"message":1}]']],
  ['names that belong to the library', ['42["connect"]', '42["disconnect","x"]', '42["connection","x"]', '42["error","x"]']],
  ['binary data where text belongs', ['451-["message",{"_placeholder":true,"num":0}]', Buffer.from('data')]],
  ['binary data nobody announced', [Buffer.from('data')]],
  ['binary data that never comes', ['453-["message",{"_placeholder":true,"num":0}]']],
  ['a placeholder for what is not there', ['451-["message",{"_placeholder":true,"num":7}]', Buffer.from('data')]],
  ['attachments beyond counting', ['459999999999-["message",{"_placeholder":true,"num":0}]']],
  ['text where an attachment belongs', ['451-["message",{"_placeholder":true,"num":0}]', '42["message",5]']],
  ['an acknowledgement nobody asked for', ['43["x"]', '437["x"]', '4399999999999999999999["x"]']],
  ['an event that asks for an answer it never gets', ['4212["message",5]', '42999999999999999999999["message",5]']],
  ['an event for a namespace that does not exist', ['42/nowhere,["message","x"]', '42/nowhere,1["message","x"]']],
  ['an event for a namespace it is not in', ['42/chat,["post",{"room":"lobby","text":"x"}]']],
  ['a namespace without end', [`40/${'n'.repeat(50_000)},`, `42/${'n'.repeat(50_000)}`]],
  ['packets of no known type', ['9', '47', '4', '', '4x', '{}', '\u0000', '✓']],
  ['a probe after the upgrade', ['2probe', '5', '6']],
  ['a payload of a newcomer that is no object', ['40/chat,5', '40/chat,"x"', '40/chat,[', '40{"after":{"a":1}}']],
]) {
  test(`${what} harms at most its sender`, async (t) => {
    const peer = await connected(server);
    t.after(peer.close);
    for (const frame of frames) if (peer.isOpen()) peer.send(frame);
    if (peer.isOpen()) peer.send('42["message","still here"]');
    await eventually('the sender is served or gone', () => !peer.isOpen() || peer.said().includes('still here') || frames.some((f) => /^45/.test(f)));
    await chat();
    const said = heardSinceMark().filter((text) => !text.startsWith('mark '));
    assert.ok(said.every((text) => text === 'still here'), quoted(said));
  });
}

test('a client that connects twice is heard once', async (t) => {
  const peer = await connected(server);
  t.after(peer.close);
  peer.send('40');
  peer.send('40{"after":"x"}');
  peer.send('42["message","once"]');
  await eventually('the sender is served or gone', () => !peer.isOpen() || listener.texts().includes('once'));
  await chat();
  assert.ok(heardSinceMark().filter((text) => text === 'once').length <= 1);
  assert.ok(peer.said().filter((text) => text === 'once').length <= 1);
});

test('clients that never connect are told nothing and hold up nobody', async (t) => {
  const idle = await Promise.all(Array.from({ length: 100 }, () => webSocket(server)));
  t.after(() => idle.forEach((peer) => peer.close()));
  for (let i = 0; i < 50; i++) await handshake(server);
  await chat();
  for (const peer of idle) {
    peer.send('42["message","from nobody"]');
    assert.deepEqual(peer.said(), []);
  }
  await chat();
  assert.ok(!heardSinceMark().includes('from nobody'));
});

test('a POST of 64 MiB is cut off early', async (t) => {
  const sid = await handshake(server);
  const socket = net.connect(server.port, '127.0.0.1');
  t.after(() => socket.destroy());
  let answer = '';
  let ended = false;
  socket.on('data', (data) => (answer += data)).on('error', () => {}).on('close', () => (ended = true));
  const size = 64 << 20;
  socket.write(`POST /socket.io/?EIO=4&transport=polling&sid=${sid} HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n`);
  const chunk = Buffer.alloc(1 << 16, 'x');
  for (let sent = 0; sent < size && !ended && !answer; sent += chunk.length) {
    if (!socket.write(chunk)) await Promise.race([once(socket, 'drain'), once(socket, 'close'), once(socket, 'data')]);
  }
  await eventually('the refusal', () => answer || ended);
  if (answer) assert.match(answer, /^HTTP\/1\.1 413 /);
});

test('a POST of 64 MiB in chunks is cut off early', async (t) => {
  const sid = await handshake(server);
  const socket = net.connect(server.port, '127.0.0.1');
  t.after(() => socket.destroy());
  let answer = '';
  let ended = false;
  socket.on('data', (data) => (answer += data)).on('error', () => {}).on('close', () => (ended = true));
  socket.write(`POST /socket.io/?EIO=4&transport=polling&sid=${sid} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`);
  const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(1 << 16, 'x'), Buffer.from('\r\n')]);
  for (let sent = 0; sent < 64 << 20 && !ended && !answer; sent += 1 << 16) {
    if (!socket.write(chunk)) await Promise.race([once(socket, 'drain'), once(socket, 'close'), once(socket, 'data')]);
  }
  await eventually('the refusal', () => answer || ended);
  if (answer) assert.match(answer, /^HTTP\/1\.1 413 /);
});

test('half of a POST says nothing', async () => {
  const sid = await handshake(server);
  const query = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
  assert.equal((await send(server, 'POST', '', { path: query, body: '40' })).status, 200);
  const body = '42["message","half"]\u001e42["message","whole"]';
  const socket = net.connect(server.port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(`POST ${query} HTTP/1.1\r\nHost: x\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body.slice(0, 25)}`);
  await chat();
  socket.destroy();
  await chat();
  assert.ok(!heardSinceMark().includes('half'));
});

test('an upgrade in the middle of a POST succeeds or fails, but is served', async (t) => {
  const sid = await handshake(server);
  const query = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
  assert.equal((await send(server, 'POST', '', { path: query, body: '40' })).status, 200);
  const body = '42["message","in two parts"]';
  const socket = net.connect(server.port, '127.0.0.1');
  let ended = false;
  let answer = '';
  socket.on('data', (data) => (answer += data)).on('error', () => {}).on('close', () => (ended = true));
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  socket.write(`POST ${query} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 10)}`);
  const wire = await webSocket(server, { sid });
  t.after(wire.close);
  wire.send('2probe');
  await eventually('the probe is answered', () => wire.frames.includes('3probe') || !wire.isOpen());
  wire.send('5');
  wire.send('42["message","upgraded"]');
  await eventually('the upgraded one is heard or gone', () => listener.texts().includes('upgraded') || !wire.isOpen());
  socket.write(body.slice(10));
  await eventually('the POST is answered or cut', () => answer || ended);
  await chat();
  const heard = heardSinceMark();
  assert.ok(heard.filter((text) => text === 'upgraded').length <= 1);
  assert.ok(heard.filter((text) => text === 'in two parts').length <= 1);
});

test('two GETs at once on a session end at most this session', async () => {
  const sid = await handshake(server);
  const query = `EIO=4&transport=polling&sid=${sid}`;
  await send(server, 'POST', query, { body: '40' });
  const gets = Array.from({ length: 5 }, () => send(server, 'GET', query));
  await Promise.any(gets);
  await chat();
  await send(server, 'POST', query, { body: '1' });
  const statuses = (await Promise.all(gets)).map(({ status }) => status);
  assert.ok(statuses.every((status) => status === 200 || status === 400), quoted(statuses));
});

test('names and rooms that look like HTML are names like any other', async (t) => {
  const name = '<script>alert(1)</script>';
  const peer = await join(current, server.url, { namespace: '/chat' });
  t.after(() => peer.close());
  assert.equal((await peer.request('hello', { name })).name, name);
  const { people, room } = await peer.request('join', { room: name });
  assert.equal(room, name);
  assert.deepEqual(people.map(({ name }) => name), [name]);
  const { id } = await peer.request('post', { room: name, text: '<img src=x onerror=alert(1)>' });
  const message = await eventually('the message', () => peer.messages.find((message) => message.id === id));
  assert.deepEqual([message.author, message.text], [name, '<img src=x onerror=alert(1)>']);
});

test('HTML in a text is harmless to pages of the old chats', async () => {
  const text = '<img src=x onerror="alert(1)"> & <b>bold</b>';
  speaker.socket.emit('message', text);
  const rendered = await eventually('the text', () => listener.texts().find((text) => text.includes('onerror')));
  assert.ok(!rendered.includes('<'), rendered);
  assert.ok(rendered.startsWith('&lt;img src=x onerror='), rendered);
});

test('a path with dots leads to no file outside the folder', async () => {
  for (const target of [
    '/../secret.txt', '/public/../secret.txt', '/public/../../secret.txt', '/%2e%2e/secret.txt', '/..%2fsecret.txt',
    '/public/%2e%2e/%2e%2e/secret.txt', '/public/..%5csecret.txt', '/./../secret.txt', '//../secret.txt',
    '/public//../../secret.txt', '/%252e%252e/secret.txt', '/..%00/secret.txt', '/secret.txt', '/socket.io/../secret.txt',
    '/socket.io/../../secret.txt', '/socket.io/4/../../../secret.txt', '/..;/secret.txt', '/../../../../../../etc/passwd',
    '/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd', '//etc/passwd', '/%2fetc%2fpasswd', 'http://x/../secret.txt',
    '/public/%c0%ae%c0%ae/secret.txt', '/\\..\\secret.txt',
  ]) {
    const answer = await ask(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    assert.ok(!answer.includes(SECRET) && !answer.includes('root:'), target);
    assert.match(answer, /^HTTP\/1\.1 (3\d\d|4\d\d) /, `${target}: ${answer.slice(0, 100)}`);
  }
  assert.match(await ask('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'), /front page/);
});

test('requests that are no HTTP are answered or cut', async () => {
  for (const bytes of ['\u0000\u0001\u0002\r\n\r\n', 'GET\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n', `GET /${'x'.repeat(500_000)} HTTP/1.1\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: x\r\n${'x: y\r\n'.repeat(5_000)}\r\n`, 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n',
    'POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab']) {
    const answer = await ask(bytes);
    if (answer) assert.match(answer, /^HTTP\/1\.[01] \d\d\d /, bytes.slice(0, 40));
  }
});

test('a flood of events from one socket slows nobody else, and is cut off', { timeout: 60_000 }, async (t) => {
  const flooder = await connected(server);
  t.after(flooder.close);
  const heard = await flooding(flooder, (i) => `42["message","flood ${i}"]`);
  assert.ok(heard > 1, 'the healthy one has to wait until the flood is over');
});

test('a flood in the native dialect is cut off with a goodbye that says why', { timeout: 60_000 }, async (t) => {
  const flooder = await connected(server);
  t.after(flooder.close);
  flooder.send('40/chat,');
  await eventually('CONNECT is acknowledged', () => flooder.frames.some((frame) => frame.startsWith('40/chat,{')));
  flooder.send('42/chat,["hello",{"name":"flooder"}]');
  flooder.send('42/chat,["join",{"room":"flooded"}]');
  await flooding(flooder, () => '42/chat,["typing",{"room":"flooded","on":true}]');
  const goodbye = flooder.frames.find((frame) => frame.startsWith('42/chat,["goodbye"'));
  assert.ok(goodbye, `closed without a goodbye; the last frames were ${quoted(flooder.frames.slice(-3))}`);
  const [, { code, reconnect }] = JSON.parse(goodbye.slice('42/chat,'.length));
  assert.deepEqual([code, reconnect], ['flooding', false]);
});

/** Sends 10,000 events a second until the socket is closed; how often a healthy pair was heard meanwhile. */
async function flooding(flooder, frame) {
  let sent = 0;
  const sending = setInterval(() => {
    if (flooder.socket.bufferedAmount < 1 << 20) for (let i = 0; i < 100; i++) flooder.send(frame(sent++));
  }, 10);
  let heard = 0;
  let next = 0;
  try {
    await eventually('the flood is cut off', async () => {
      if (!flooder.isOpen()) return true;
      if (performance.now() < next) return false;
      next = performance.now() + HEALTHY_PACE_MS;
      await chat();
      if (flooder.isOpen()) heard += 1;
    });
  } finally {
    clearInterval(sending);
  }
  return heard;
}

function once(emitter, event) {
  return new Promise((resolve) => emitter.once(event, resolve));
}

/** All that is answered to bytes sent as they are. */
async function ask(bytes) {
  const socket = net.connect(server.port, '127.0.0.1');
  let answer = '';
  let ended = false;
  socket.on('data', (data) => (answer += data)).on('error', () => {}).on('close', () => (ended = true));
  socket.write(bytes);
  try {
    await eventually('an answer', () => ended || /^HTTP\/1\.[01] [45]/.test(answer));
  } finally {
    socket.destroy();
  }
  return answer;
}
