// Unit tests of www/conversations.js: the order of messages that come twice, late, and from two
// sides, what is loaded, and what is unread.
//
//   node --experimental-default-type=module --test test/page/conversations.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createConversation, createConversations } from '../../www/conversations.js';

const item = (id) => ({ id, room: 'lobby', name: 'ann', message: id, time: '' });
const order = ({ items }) => items.map(({ id, reason }) => id ?? reason);

test('items are in the order of their ids, which are numbers', () => {
  const conversation = createConversation('lobby');
  const indexes = ['9-0', '10-0', '9-10', '9-2', '100-0', '9-1'].map((id) => conversation.add(item(id)));
  assert.deepEqual(order(conversation), ['9-0', '9-1', '9-2', '9-10', '10-0', '100-0']);
  assert.deepEqual(indexes, [0, 1, 1, 1, 4, 1]);
});

test('an item that comes again is dropped, from whichever side', () => {
  const conversation = createConversation('lobby');
  conversation.add(item('5-0'));
  assert.equal(conversation.add(item('5-0')), -1);
  assert.equal(conversation.prepend([item('3-0'), item('4-0'), item('5-0')]), 2);
  assert.equal(conversation.add(item('3-0')), -1);
  assert.deepEqual(order(conversation), ['3-0', '4-0', '5-0']);
});

test('a gap is where it belongs, also above our own message that was sent since', () => {
  const conversation = createConversation('lobby');
  for (const id of ['1-0', '2-0', '7-0']) conversation.add(item(id));
  assert.equal(conversation.addGap({ after: '2-0', reason: 'restarted' }), 2);
  conversation.add(item('6-0'));
  assert.deepEqual(order(conversation), ['1-0', '2-0', 'restarted', '6-0', '7-0']);
  assert.equal(conversation.addGap({ after: null, reason: 'unknown' }), 5);
});

test('nothing moves across a gap', () => {
  const conversation = createConversation('lobby');
  conversation.add(item('9-0'));
  conversation.addGap({ after: null, reason: 'restarted' });
  conversation.add(item('5-0'));
  assert.deepEqual(order(conversation), ['9-0', 'restarted', '5-0']);
});

test('the oldest and the newest are those of messages', () => {
  const conversation = createConversation('lobby');
  assert.deepEqual([conversation.oldest(), conversation.newest()], ['', '']);
  conversation.addGap({ after: null, reason: 'restarted' });
  conversation.add(item('1-0'));
  conversation.add(item('2-0'));
  conversation.addGap({ after: '2-0', reason: 'expired' });
  assert.deepEqual([conversation.oldest(), conversation.newest()], ['1-0', '2-0']);
});

test('what was trimmed can be loaded again', () => {
  const conversation = createConversation('lobby');
  for (let i = 1; i <= 10; i += 1) conversation.add(item(`${i}-0`));
  conversation.trim(4);
  assert.deepEqual([conversation.oldest(), conversation.state.more], ['5-0', true]);
  assert.equal(conversation.prepend([3, 4, 5].map((i) => item(`${i}-0`))), 2);
  assert.equal(conversation.oldest(), '3-0');
});

// ---- All rooms ----

const nothing = () => {};

// Conversations of a page that shows no room. `answers` has what the history says to each request in
// turn: a page, or an error. What was asked for is in `asked`, what was read in `values`.
function openConversations(answers, values = {}) {
  const asked = [];
  const conversations = createConversations({
    api: {
      async history(room, { after = '' }) {
        asked.push(`${room} ${after}`.trim());
        const answer = await answers.shift();
        if (answer instanceof Error) throw answer;
        return { more: false, ...answer };
      },
    },
    store: {
      get: (key) => values[key] ?? '',
      set: (key, value) => { values[key] = value; },
      isMine: () => false,
      isHidden: () => false,
    },
    isReading: () => false,
    shown: nothing,
    on: { page: nothing, unread: nothing },
  });
  const ready = (...rooms) => conversations.ready(rooms);
  return { conversations, ready, asked, values };
}

const settle = () => new Promise((resolve) => { setImmediate(resolve); });
const page = (...ids) => ({ items: ids.map((id) => item(id)), newest: ids.at(-1) });

test('a room that was not read to its end is loaded, whether it is listed or not', async () => {
  const { conversations, ready, asked } = openConversations([page('1-0', '2-0'), page()],
    { 'read:~team': '1-0', 'read:lobby': '5-0', 'read:dev': '5-0' });
  ready('lobby', '~team', 'dev');
  conversations.loadUnread([{ room: 'lobby', newest: '5-0' }, { room: 'dev', newest: '6-0' }]);
  await settle();
  assert.deepEqual(asked, ['~team', 'dev']);
  assert.equal(conversations.unread('~team'), 1);
});

test('what was missing before a failed request is asked for again', async () => {
  let fail;
  const failure = new Promise((resolve) => { fail = () => resolve(new Error()); });
  const { conversations, ready, asked } = openConversations([page('1-0'), failure, page('2-0', '4-0')]);
  ready('lobby');
  conversations.load(conversations.of('lobby'));
  await settle();
  conversations.take([{ id: '2-0', event: 'price', data: '1', before: '1-0' }]);
  conversations.load(conversations.of('lobby'));
  conversations.take([{ id: '4-0', event: 'price', data: '2', before: '3-0' }]);
  fail();
  await settle();
  ready('lobby');
  await settle();
  assert.deepEqual(asked, ['lobby', 'lobby 1-0', 'lobby 1-0']);
  assert.deepEqual(order(conversations.of('lobby')), ['1-0', '2-0', '4-0']);
});

test('a request that failed is made again when the stream is back, not later', async () => {
  const { conversations, ready, asked } = openConversations([new Error(), page('1-0')]);
  ready('lobby');
  conversations.load(conversations.of('lobby'));
  await settle();
  assert.deepEqual(asked, ['lobby']);
  ready('lobby');
  await settle();
  assert.deepEqual(asked, ['lobby', 'lobby']);
});

test('the mark of what was read only moves forwards, since other tabs move it, too', async () => {
  const { conversations, ready, values } = openConversations([page(), page('1-0', '2-0')]);
  ready('empty', 'lobby');
  for (const room of ['empty', 'lobby']) {
    await conversations.load(conversations.of(room));
    conversations.mark(conversations.of(room));
  }
  assert.deepEqual(values, { 'read:empty': '0-0', 'read:lobby': '2-0' });
  values['read:lobby'] = '10-0';
  conversations.mark(conversations.of('lobby'));
  assert.equal(values['read:lobby'], '10-0');
});

test('unread messages begin with the oldest of them, also if a later one came first', async () => {
  const { conversations, ready } = openConversations([page('1-0', '2-0', '3-0')], { 'read:lobby': '1-0' });
  ready('lobby');
  conversations.take([item('3-0')]);
  await conversations.load(conversations.of('lobby'));
  const { unread, unreadFrom } = conversations.of('lobby').state;
  assert.deepEqual([unread, unreadFrom], [2, '2-0']);
});
