// Socket.IO's packets: namespaces, events, acknowledgements, attachments, in the one way that both transports share.

export const target = 'events';

export const cases = {
  // Joining.
  'connect': (to) => fresh(to, '40'),
  'connect-auth': (to) => fresh(to, '40{"token":"x"}'),
  'connect-auth-text': (to) => fresh(to, '40"x"'),
  'connect-auth-list': (to) => fresh(to, '40[1]'),
  'connect-auth-null': (to) => fresh(to, '40null'),
  'connect-auth-broken': (to) => fresh(to, '40{"token":'),
  'connect-id': (to) => fresh(to, '401'),
  'connect-twice': (to) => joined(to, '40'),
  'connect-root-named': (to) => fresh(to, '40/,'),
  'connect-other': (to) => joined(to, '40/foo,'),
  'connect-other-no-comma': (to) => joined(to, '40/foo'),
  'connect-other-twice': (to) => joined(to, '40/foo,', '40/foo,'),
  'connect-other-auth': (to) => joined(to, '40/foo,{"token":"x"}'),
  'connect-other-query': (to) => joined(to, '40/foo?token=x,'),
  'connect-unknown': (to) => joined(to, '40/unknown,'),
  'connect-unknown-first': (to) => fresh(to, '40/unknown,'),
  'connect-prototype': (to) => joined(to, '40/__proto__,'),
  'connect-refused': (to) => joined(to, '40/no,'),
  'connect-3': (to) => joined3(to, '40'),
  'connect-3-other': (to) => joined3(to, '40/foo'),
  'connect-3-other-comma': (to) => joined3(to, '40/foo,'),
  'connect-3-other-query': (to) => joined3(to, '40/foo?token=x'),
  'connect-3-other-twice': (to) => joined3(to, '40/foo', '40/foo'),
  'connect-3-unknown': (to) => joined3(to, '40/unknown'),
  'connect-3-refused': (to) => joined3(to, '40/no'),

  // Leaving.
  'disconnect': (to) => joined(to, '41'),
  'disconnect-payload': (to) => joined(to, '41{"a":1}'),
  'disconnect-other': (to) => joined(to, '40/foo,', '41/foo,'),
  'disconnect-other-and-back': (to) => joined(to, '40/foo,', '41/foo,', '40/foo,'),
  'disconnect-other-then-event': (to) => joined(to, '40/foo,', '41/foo,', '42/foo,["hi"]'),
  'disconnect-and-back': (to) => joined(to, '41', '40'),
  'disconnect-never-joined': (to) => joined(to, '41/foo,'),
  'disconnect-before-connect': (to) => fresh(to, '41'),

  // Events.
  'event-before-connect': (to) => fresh(to, '42["hi"]'),
  'event-not-joined': (to) => joined(to, '42/foo,["hi"]'),
  'event-unknown-namespace': (to) => joined(to, '42/unknown,["hi"]'),
  'event-unknown': (to) => joined(to, '42["unknown",1]'),
  'event-unknown-ack': (to) => joined(to, '421["unknown",1]'),
  'event-no-payload': (to) => joined(to, '42'),
  'event-empty-list': (to) => joined(to, '42[]'),
  'event-object': (to) => joined(to, '42{}'),
  'event-text': (to) => joined(to, '42"hi"'),
  'event-number': (to) => joined(to, '42[1]'),
  'event-number-ack': (to) => joined(to, '421[1]'),
  'event-number-arguments': (to) => joined(to, '42[1,"x"]'),
  'event-null': (to) => joined(to, '42[null]'),
  'event-boolean': (to) => joined(to, '42[true]'),
  'event-object-name': (to) => joined(to, '42[{}]'),
  'event-list-name': (to) => joined(to, '42[["hi"]]'),
  'event-empty-name': (to) => joined(to, '42[""]'),
  'event-reserved-connect': (to) => joined(to, '42["connect"]'),
  'event-reserved-connect_error': (to) => joined(to, '42["connect_error"]'),
  'event-reserved-disconnect': (to) => joined(to, '42["disconnect"]'),
  'event-reserved-disconnecting': (to) => joined(to, '42["disconnecting"]'),
  'event-reserved-newListener': (to) => joined(to, '42["newListener"]'),
  'event-reserved-removeListener': (to) => joined(to, '42["removeListener"]'),
  'event-reserved-3': (to) => joined3(to, '42["disconnect"]'),
  'event-error': (to) => joined(to, '42["error"]'),
  'event-broken': (to) => joined(to, '42["hi"'),
  'event-garbage-after': (to) => joined(to, '42["hi"]x'),
  'event-space': (to) => joined(to, '42 ["hi"]'),
  'event-escaped-name': (to) => joined(to, '42["\\u0068i"]'),
  'event-id-0': (to) => joined(to, '420["echo",1]'),
  'event-id-padded': (to) => joined(to, '42007["echo",1]'),
  'event-id-large': (to) => joined(to, '429007199254740993["echo",1]'),
  'event-id-huge': (to) => joined(to, '4299999999999999999999["echo",1]'),
  'event-id-negative': (to) => joined(to, '42-1["echo",1]'),
  'event-root-named': (to) => joined(to, '42/,["hi"]'),
  'event-other': (to) => joined(to, '40/foo,', '42/foo,1["unknown"]'),
  'event-no-comma': (to) => joined(to, '40/foo,', '42/foo'),
  'event-echo-null': (to) => joined(to, '421["echo",null]'),
  'event-echo-nested': (to) => joined(to, '421["echo",{"a":[1,{"b":"\\u2028"}],"c":1.5}]'),

  // Acknowledgements.
  'ack-no-id': (to) => joined(to, '43'),
  'ack-no-id-list': (to) => joined(to, '43[]'),
  'ack-unknown': (to) => joined(to, '435[]'),
  'ack-unknown-huge': (to) => joined(to, '4399999999999999999999[]'),
  'ack-object': (to) => joined(to, '431{}'),
  'ack-broken': (to) => joined(to, '431['),
  'ack-no-payload': (to) => joined(to, '431'),
  'ack-not-joined': (to) => joined(to, '43/foo,1[]'),

  // What servers say, and what nobody says.
  'error-from-client': (to) => joined(to, '44'),
  'error-from-client-text': (to) => joined(to, '44"x"'),
  'error-from-client-object': (to) => joined(to, '44{"message":"x"}'),
  'type-7': (to) => joined(to, '47'),
  'type-word': (to) => joined(to, '4a'),

  // Attachments.
  'binary-no-count': (to) => joined(to, '45["echo",{"_placeholder":true,"num":0}]'),
  'binary-count-0': (to) => joined(to, '450-["hi"]'),
  'binary-count-word': (to) => joined(to, '45x-["hi"]'),
  'binary-count-negative': (to) => joined(to, '45-1-["hi"]'),
  'binary-none-comes': (to) => joined(to, '451-["echo",{"_placeholder":true,"num":0}]', '42["hi"]'),
  'binary-unused': (to) => attached(to, ['451-["hi"]'], 1),
  'binary-two': (to) => attached(to, ['452-1["echo",[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]]'], 2),
  'binary-same-twice': (to) => attached(to, ['451-1["echo",[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]]'], 1),
  'binary-number-too-high': (to) => attached(to, ['451-1["echo",{"_placeholder":true,"num":5}]'], 1),
  'binary-number-missing': (to) => attached(to, ['451-1["echo",{"_placeholder":true}]'], 1),
  'binary-ten': (to) => attached(to, ['4510-["hi"]'], 10),
  'binary-eleven': (to) => attached(to, ['4511-["hi"]'], 11),
  'binary-ack-unknown': (to) => attached(to, ['461-7[{"_placeholder":true,"num":0}]'], 1),
  'binary-ack-no-id': (to) => attached(to, ['461-[{"_placeholder":true,"num":0}]'], 1),
  'placeholder-without-binary': (to) => joined(to, '421["echo",{"_placeholder":true,"num":0}]'),
};

/** Packets of a client that has joined nothing before. */
async function fresh(to, ...packets) {
  const session = await to.webSocket();
  await session.until(() => session.packets.length > 0);
  session.packets = [];
  for (const packet of packets) await session.sendText(packet);
  // Its own answer, or the end, shows that they were dealt with; whoever has not joined yet does so now.
  await session.collect((came) => came.length > 0);
  session.joined = session.packets.some((packet) => packet.startsWith('40{'));
  await session.settle();
}

/** Packets of a client in the namespace `/`. */
async function joined(to, ...packets) {
  await (await (await to.webSocket()).join()).exchange(...packets);
}

async function joined3(to, ...packets) {
  await (await (await to.webSocket('EIO=3')).join()).exchange(...packets);
}

async function attached(to, texts, attachments) {
  const session = await (await to.webSocket()).join();
  for (const text of texts) await session.sendText(text);
  for (let number = 0; number < attachments; number += 1) session.sendBinary(Buffer.from([number]));
  await session.settle();
}
