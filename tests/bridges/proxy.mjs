// A way to a broker that can be cut: TCP through here ends, and is refused until it is mended.

import net from 'node:net';

/** In front of the server at `url`: `url` is the same by this way. */
export async function startProxy(t, { url }) {
  const target = new URL(url);
  const sockets = new Set();
  let isCut = false;
  const proxy = net.createServer((near) => {
    if (isCut) return near.destroy();
    const far = net.connect(target.port, target.hostname);
    near.pipe(far).pipe(near);
    for (const [end, other] of [[near, far], [far, near]]) {
      sockets.add(end);
      end.setNoDelay(true);
      end.on('error', () => other.destroy());
      end.on('close', () => (sockets.delete(end), other.destroy()));
    }
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const way = new URL(url);
  way.port = proxy.address().port;
  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  t.after(() => (cut(), proxy.close()));
  return { url: way.href, cut, mend: () => (isCut = false) };
}
