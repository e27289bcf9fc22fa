// Ports for the programs of others that cannot choose one themselves, and whether somebody answers there.

import net from 'node:net';

/** A port that nobody listens on now. */
export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Whether what listens there answers `question` with something that begins with `answer`; without a question, whether it speaks first. */
export function answers(port, question = '', answer = '') {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(question));
    socket.setTimeout(1000, () => socket.destroy(new Error('no answer')));
    socket.once('data', (data) => (socket.destroy(), resolve(data.toString('latin1').startsWith(answer))));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('it closed the connection')));
  });
}
