// Unit tests of www/conversations.js: the order of messages that come twice, late, and from two
// sides.
//
//   node --experimental-default-type=module --test test/page/conversation.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createConversation } from '../../www/conversations.js';

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
