// The network and the server go and come back: nothing is lost, nothing is doubled, and the page says
// how it is.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { browser, server } from './stage.mjs';
import { Visitor, eventually } from './visitor.mjs';

test('posts_written_offline_and_messages_missed_meanwhile_are_there_once_afterwards', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'tunnel' });
  const ben = await Visitor.enter(browser, server.url, 'Ben', { room: 'tunnel' });
  await ana.write('before');
  await ben.sees(['before']);

  await ana.page.context().setOffline(true);
  await ana.phase('offline');
  await ana.page.getByText('You are offline').waitFor();
  await ana.write('in the tunnel');
  await ana.write('still in it');
  assert.deepEqual(await ana.waiting(), ['in the tunnel', 'still in it']);
  await ana.page.getByText('Waiting for the connection').first().waitFor();
  for (const text of ['missed one', 'missed two']) await ben.write(text);
  await ben.sees(['before', 'missed one', 'missed two']);

  await ana.page.context().setOffline(false);
  const all = ['before', 'missed one', 'missed two', 'in the tunnel', 'still in it'];
  await ana.sees(all);
  await ben.sees(all);
  await eventually('nothing waits any more', async () => assert.deepEqual(await ana.waiting(), []));
  await Promise.all([ana.leaves(), ben.leaves()]);
});

test('a_killed_server_costs_no_message_and_doubles_none', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'killed' });
  const ben = await Visitor.enter(browser, server.url, 'Ben', { room: 'killed' });
  const written = [];
  const write = async (visitor, text) => {
    written.push(text);
    await visitor.write(text);
  };
  for (let count = 1; count <= 10; count += 1) await write(count % 2 ? ana : ben, `before ${count}`);
  await server.kill9();
  await ana.page.getByText('Reconnecting… Messages you write meanwhile wait here.').waitFor();
  for (let count = 1; count <= 4; count += 1) await write(count % 2 ? ana : ben, `during ${count}`);
  await server.restart();
  await Promise.all([ana.connected(), ben.connected()]);
  await write(ana, 'after');

  await eventually('everything is there', async () => assert.deepEqual([...await ana.texts()].sort(), [...written].sort()));
  await ben.sees(await ana.texts());
  assert.deepEqual([await ana.waiting(), await ben.waiting()], [[], []]);
  await Promise.all([ana.leaves(), ben.leaves()]);
});

test('a_post_that_waited_when_the_tab_went_elsewhere_is_sent_when_it_comes_back', async () => {
  const ana = await Visitor.enter(browser, server.url, 'Ana', { room: 'elsewhere' });
  await ana.write('kept');
  await ana.sees(['kept']);
  await server.kill9();
  await ana.phase('reconnecting');
  await ana.write('not lost');
  assert.deepEqual(await ana.waiting(), ['not lost']);
  await ana.page.goto('about:blank');
  await server.restart();
  await ana.page.goto(`${server.url}/#elsewhere`);
  await ana.sees(['kept', 'not lost']);
  await eventually('nothing waits any more', async () => assert.deepEqual(await ana.waiting(), []));
  await ana.leaves();
});
