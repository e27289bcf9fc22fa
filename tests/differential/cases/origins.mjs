// Pages of other origins: none are allowed, one is, all are.

const POLL = 'EIO=4&transport=polling';
const ALLOWED = 'http://a.example';
const OTHER = 'http://b.example';

export const groups = [
  {
    target: 'plain',
    cases: {
      'cors-off-get': (to) => to.get(POLL, from(ALLOWED)),
      'cors-off-preflight': (to) => preflight(to, ALLOWED, 'content-type'),
      'cors-off-options': (to) => to.request('OPTIONS', POLL),
    },
  },
  {
    target: 'oneOrigin',
    cases: {
      'cors-get': (to) => to.get(POLL, from(ALLOWED)),
      'cors-get-3': (to) => to.get('EIO=3&transport=polling', from(ALLOWED)),
      'cors-get-no-origin': (to) => to.get(POLL),
      'cors-get-other': (to) => to.get(POLL, from(OTHER)),
      'cors-get-null': (to) => to.get(POLL, from('null')),
      'cors-get-upper-case': (to) => to.get(POLL, from('HTTP://A.EXAMPLE')),
      'cors-get-other-port': (to) => to.get(POLL, from(`${ALLOWED}:81`)),
      'cors-get-refused': (to) => to.get('EIO=4&transport=tobi', from(ALLOWED)),
      'cors-get-unknown-sid': (to) => to.get(`${POLL}&sid=nope`, from(ALLOWED)),
      'cors-post': async (to) => {
        const { address } = await to.polling();
        await to.post(address, '6', from(ALLOWED));
      },
      'cors-post-other': async (to) => {
        const { address } = await to.polling();
        await to.post(address, '6', from(OTHER));
      },
      'cors-preflight': (to) => preflight(to, ALLOWED),
      'cors-preflight-content-type': (to) => preflight(to, ALLOWED, 'content-type'),
      'cors-preflight-extra-headers': (to) => preflight(to, ALLOWED, 'authorization,content-type,x-my-header'),
      'cors-preflight-odd-case': (to) => preflight(to, ALLOWED, 'X-My-Header, X-Other'),
      'cors-preflight-put': (to) => preflight(to, ALLOWED, 'x-my-header', 'PUT'),
      'cors-preflight-session': async (to) => {
        const { address } = await to.polling();
        await to.request('OPTIONS', address, { headers: { origin: ALLOWED, 'access-control-request-method': 'POST' } });
      },
      'cors-preflight-unknown-sid': (to) =>
        to.request('OPTIONS', `${POLL}&sid=nope`, { headers: { origin: ALLOWED, 'access-control-request-method': 'POST' } }),
      'cors-preflight-other': (to) => preflight(to, OTHER, 'x-my-header'),
      'cors-preflight-no-origin': (to) =>
        to.request('OPTIONS', POLL, { headers: { 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-my-header' } }),
      'cors-options-no-method': (to) => to.request('OPTIONS', POLL, from(ALLOWED)),
      'cors-options-bare': (to) => to.request('OPTIONS', POLL),
      'cors-upgrade': (to) => to.upgrade('EIO=4&transport=websocket', from(ALLOWED)),
      'cors-upgrade-other': (to) => to.upgrade('EIO=4&transport=websocket', from(OTHER)),
      'cors-upgrade-refused': (to) => to.upgrade('EIO=4&transport=websocket&sid=nope', from(ALLOWED)),
    },
  },
  {
    target: 'anyOrigin',
    cases: {
      'cors-any-get': (to) => to.get(POLL, from(OTHER)),
      'cors-any-get-no-origin': (to) => to.get(POLL),
      'cors-any-preflight': (to) => preflight(to, OTHER, 'x-my-header'),
    },
  },
];

function from(origin) {
  return { headers: { origin } };
}

function preflight(to, origin, asked, method = 'POST') {
  const headers = { origin, 'access-control-request-method': method };
  return to.request('OPTIONS', POLL, { headers: asked ? { ...headers, 'access-control-request-headers': asked } : headers });
}
