// Requests that begin a session, or should not: addresses, queries, methods, ids.

const POLL = 'transport=polling';

export const target = 'plain';

export const cases = {
  // The protocol's version.
  'eio-4': (to) => to.get(`EIO=4&${POLL}`),
  'eio-4-b64': (to) => to.get(`EIO=4&${POLL}&b64=1`),
  'eio-3': (to) => to.get(`EIO=3&${POLL}`),
  'eio-3-b64': (to) => to.get(`EIO=3&${POLL}&b64=1`),
  'eio-missing': (to) => to.get(POLL),
  'eio-missing-b64': (to) => to.get(`${POLL}&b64=1`),
  'eio-empty': (to) => to.get(`EIO=&${POLL}`),
  'eio-2': (to) => to.get(`EIO=2&${POLL}`),
  'eio-5': (to) => to.get(`EIO=5&${POLL}`),
  'eio-04': (to) => to.get(`EIO=04&${POLL}`),
  'eio-word': (to) => to.get(`EIO=four&${POLL}`),
  'eio-huge': (to) => to.get(`EIO=99999999999999999999&${POLL}`),
  'eio-twice-last-3': (to) => to.get(`EIO=4&EIO=3&${POLL}`),
  'eio-twice-last-4': (to) => to.get(`EIO=3&EIO=4&${POLL}`),
  'eio-encoded': (to) => to.get(`%45IO=%34&${POLL}`),
  'eio-lower-case': (to) => to.get(`eio=4&${POLL}`),

  // The address.
  'path-1': (to) => to.get(`/socket.io/1/?${POLL}&b64=true`),
  'path-1-eio-4': (to) => to.get(`/socket.io/1/?EIO=4&${POLL}`),
  'path-1-unknown-transport': (to) => to.get('/socket.io/1/?EIO=4&transport=tobi'),
  'path-1-websocket': (to) => to.upgrade('/socket.io/1/?EIO=4&transport=websocket'),
  'path-double-slash': (to) => to.get(`/socket.io//?EIO=4&${POLL}`),
  'path-double-slash-websocket': (to) => to.upgrade('/socket.io//?EIO=4&transport=websocket'),
  'path-without-slash': (to) => to.get(`/socket.io?EIO=4&${POLL}`),
  'path-longer': (to) => to.get(`/socket.io/anything/else?EIO=4&${POLL}`),
  'path-upper-case': async (to) => to.note(`status ${(await to.send('GET', `/Socket.IO/?EIO=4&${POLL}`)).status}`),

  // The transport.
  'transport-missing': (to) => to.get('EIO=4'),
  'transport-empty': (to) => to.get('EIO=4&transport='),
  'transport-unknown': (to) => to.get('EIO=4&transport=tobi'),
  'transport-unknown-jsonp': (to) => to.get('EIO=3&transport=tobi&j=0'),
  'transport-webtransport': (to) => to.get('EIO=4&transport=webtransport'),
  'transport-prototype': (to) => to.get('EIO=4&transport=__proto__'),
  'transport-of-0.9': (to) => to.get('EIO=4&transport=xhr-polling'),
  'transport-twice': (to) => to.get('EIO=4&transport=tobi&transport=polling'),
  'transport-twice-last-unknown': (to) => to.get('EIO=4&transport=polling&transport=tobi'),
  'transport-websocket-no-upgrade': (to) => to.get('EIO=4&transport=websocket'),
  'query-missing': (to) => to.get('/socket.io/'),

  // The id.
  'sid-empty': (to) => to.get(`EIO=4&${POLL}&sid=`),
  'sid-empty-websocket': (to) => to.upgrade('EIO=4&transport=websocket&sid='),
  'sid-empty-post': (to) => to.post(`EIO=4&${POLL}&sid=`, '40'),
  'sid-unknown': (to) => to.get(`EIO=4&${POLL}&sid=nope`),
  'sid-unknown-3': (to) => to.get(`EIO=3&${POLL}&sid=nope`),
  'sid-unknown-no-eio': (to) => to.get(`${POLL}&sid=nope`),
  'sid-unknown-post': (to) => to.post(`EIO=4&${POLL}&sid=nope`, '40'),
  'sid-unknown-jsonp': (to) => to.get(`EIO=3&${POLL}&sid=nope&j=0`),
  'sid-prototype': (to) => to.get(`EIO=4&${POLL}&sid=__proto__`),
  'sid-odd-bytes': (to) => to.get(`EIO=4&${POLL}&sid=%00%FF..%2f`),
  'sid-of-other-version': async (to) => to.get((await to.polling('EIO=4')).address.replace('EIO=4', 'EIO=3')),
  'sid-of-other-version-3': async (to) => to.get((await to.polling('EIO=3')).address.replace('EIO=3', 'EIO=4')),
  'sid-without-version': async (to) => to.get((await to.polling('EIO=4')).address.replace('EIO=4', 'x=1')),
  'sid-over-websocket-no-upgrade': async (to) => to.get((await to.polling()).address.replace('polling', 'websocket')),

  // The method.
  'method-post': (to) => to.post(`EIO=4&${POLL}`, '40'),
  'method-head': (to) => to.request('HEAD', `EIO=4&${POLL}`),
  'method-put': (to) => to.request('PUT', `EIO=4&${POLL}`),
  'method-delete': (to) => to.request('DELETE', `EIO=4&${POLL}`),
  'method-options': (to) => to.request('OPTIONS', `EIO=4&${POLL}`),
  'method-put-session': async (to) => to.request('PUT', (await to.polling()).address, { body: '40' }),
  'method-head-session': async (to) => to.request('HEAD', (await to.polling()).address),
  'method-delete-session': async (to) => to.request('DELETE', (await to.polling()).address),
  'method-options-session': async (to) => to.request('OPTIONS', (await to.polling()).address),
  'method-post-upgrade': (to) => to.upgrade('EIO=4&transport=websocket', { method: 'POST' }),
  'get-with-body': (to) => to.request('GET', `EIO=4&${POLL}`, { body: '40' }),
  'origin-control-character': (to) => to.raw(`GET /socket.io/?EIO=4&${POLL} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nOrigin: http://a\x01\r\n\r\n`),

  // Upgrades.
  'upgrade-unknown-sid': (to) => to.upgrade('EIO=4&transport=websocket&sid=nope'),
  'upgrade-unknown-transport': (to) => to.upgrade('EIO=4&transport=tobi'),
  'upgrade-no-transport': (to) => to.upgrade('EIO=4'),
  'upgrade-polling': (to) => to.upgrade(`EIO=4&${POLL}`),
  'upgrade-old-version': (to) => to.upgrade('EIO=4&transport=websocket', { headers: { 'sec-websocket-version': '7' } }),
  'upgrade-short-key': (to) => to.upgrade('EIO=4&transport=websocket', { headers: { 'sec-websocket-key': 'short' } }),
  'upgrade-other-protocol': (to) => to.upgrade('EIO=4&transport=websocket', { headers: { upgrade: 'h2c' } }),
  'upgrade-of-other-version': async (to) => to.upgrade(`EIO=3&transport=websocket&sid=${(await to.polling()).sid}`),
  'upgrade-headers': (to) => to.upgrade('EIO=4&transport=websocket'),
  'upgrade-headers-origin': (to) => to.upgrade('EIO=4&transport=websocket', { headers: { origin: 'http://a.example' } }),

  // The client library.
  'client-library-unchanged': async (to) => {
    const { headers } = await to.send('GET', '/socket.io/socket.io.js');
    const { status } = await to.send('GET', '/socket.io/socket.io.js', { headers: { 'if-none-match': headers.etag } });
    to.note(`type ${headers['content-type']}, then status ${status}`);
  },
  'client-library-map': async (to) => {
    const { status, headers } = await to.send('GET', '/socket.io/socket.io.js.map');
    to.note(`status ${status}, type ${headers['content-type']}`);
  },
  'client-library-unknown': (to) => to.get('/socket.io/unknown.js'),
};
