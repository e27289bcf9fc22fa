// What time ends: clients that never join, or answer no ping. The server's times are short: a ping each 300 ms, 200 ms for
// its answer, a second to join. What is compared is how it ends, not when.

export const target = 'shortTimes';

export const cases = {
  'never-joins-websocket': async (to) => (await to.webSocket()).untilClosed(),
  'never-joins-polling': async (to) => {
    const session = await to.polling();
    await session.collect(() => false);
    for (const packet of session.packets) to.note(`packet ${packet}`);
  },
  'no-pong-websocket': async (to) => {
    const session = await (await to.webSocket()).join();
    session.answersPings = false;
    await session.untilClosed();
  },
  'no-pong-polling': async (to) => {
    const session = await (await to.polling()).join();
    session.answersPings = false;
    await session.collect(() => false);
    for (const packet of session.packets) to.note(`packet ${packet}`);
  },
  'no-ping-websocket-3': async (to) => (await (await to.webSocket('EIO=3')).join()).untilClosed(),
  'no-ping-polling-3': async (to) => {
    const session = await (await to.polling('EIO=3')).join();
    await session.collect(() => false);
    for (const packet of session.packets) to.note(`packet ${packet}`);
  },
};
