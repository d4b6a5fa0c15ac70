// Unit tests of www/api.js: the requests for history and rooms, and what a token says.
//
//   node --experimental-default-type=module --test test/page/api.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { claimsOf, createApi, itemOf } from '../../www/api.js';

// Answers the next request, and returns the list of requests.
function answering(status, body) {
  const requests = [];
  globalThis.fetch = async (url, options) => {
    requests.push({ url, ...options });
    if (status === 0) throw new TypeError('no connection');
    return new Response(typeof body === 'string' ? body : JSON.stringify(body), { status });
  };
  return requests;
}

const PAGE = { messages: [], oldest: null, newest: null, more: false, gap: false };
const query = ({ url }) => Object.fromEntries(new URLSearchParams(url.split('?')[1]));

test('the history is asked for by room, and before or after an id', async () => {
  const requests = answering(200, PAGE);
  const api = createApi(() => '');
  await api.history('a b&%中');
  await api.history('lobby', { before: '5-0', limit: 7 });
  await api.history('lobby', { after: '5-0' });
  assert.ok(requests[0].url.startsWith('messages?'));
  assert.deepEqual(requests.map(query), [
    { room: 'a b&%中', limit: '50' },
    { room: 'lobby', limit: '7', before: '5-0' },
    { room: 'lobby', limit: '50', after: '5-0' }]);
  assert.deepEqual(requests[0].headers, {});
});

test('the token of the moment is in the header', async () => {
  const requests = answering(200, { rooms: [], more: false });
  let token = 'one';
  const api = createApi(() => token);
  await api.rooms();
  token = 'two';
  await api.rooms();
  assert.deepEqual(requests.map(({ url, headers }) => [url, headers.Authorization]),
    [['rooms', 'Bearer one'], ['rooms', 'Bearer two']]);
});

test('a page of the history has items instead of messages', async () => {
  const chat = { id: '1-0', room: 'a', name: 'n', message: 'm', time: 't', key: 'k' };
  answering(200, { ...PAGE, oldest: '1-0', newest: '2-0', more: true, gap: true, messages: [
    chat, { id: '2-0', room: 'a', event: 'news', data: 17, time: 't' }] });
  assert.deepEqual(await createApi().history('a'), {
    oldest: '1-0', newest: '2-0', more: true, gap: true,
    items: [chat, { id: '2-0', room: 'a', event: 'news', data: '17', time: 't' }] });
});

test('data is text: strings as they are, all else as JSON', () => {
  const entry = { id: '1-0', room: 'a', event: 'message', time: 't' };
  for (const [data, text] of [
    ['plain', 'plain'], ['', ''], [5, '5'], [false, 'false'], [['a', 1], '["a",1]'],
    [{ message: 'x', name: 'y', text: 5 }, '{"message":"x","name":"y","text":5}'],
  ]) assert.deepEqual(itemOf({ ...entry, data }), { ...entry, data: text });
});

test('errors have the status and the words of the server', async () => {
  for (const [status, body, detail] of [
    [400, { detail: 'The room name is too long.' }, 'The room name is too long.'],
    [401, {}, ''], [502, '<html>', ''], [503, 'null', ''], [403, { detail: null }, ''], [0, '', ''],
  ]) {
    answering(status, body);
    await assert.rejects(createApi().history('a'), (error) => {
      assert.ok(error instanceof Error);
      assert.deepEqual([error.status, error.detail], [status, detail]);
      return true;
    });
  }
});

test('half an answer is an error without a status', async () => {
  answering(200, '{"rooms":[');
  await assert.rejects(createApi().rooms(), { status: 0, detail: '' });
});

test('the claims of a token are read, and nonsense has none', () => {
  const token = (claims) => `h.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.s`;
  assert.deepEqual(claimsOf(token({ sub: 'Zoë 中', rooms: ['a'], exp: 5 })),
    { sub: 'Zoë 中', rooms: ['a'], exp: 5 });
  for (const text of ['', 'a', 'a.b', 'a.%.c', 'a.b.c', token(null), undefined]) {
    assert.deepEqual(claimsOf(text), {}, `${text}`);
  }
});
