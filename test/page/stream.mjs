// Unit tests of www/stream.js: when it opens a stream, with what, and what it makes of the frames.
//
//   node --experimental-default-type=module --test test/page/stream.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStream } from '../../www/stream.js';
import { makeClock, makeEventSource, makeFetch, settled } from './lib/fakes.mjs';

// Opens a stream, and records what it says.
function begin(options = {}) {
  const clock = makeClock();
  const sources = makeEventSource();
  const fetches = makeFetch();
  const said = { items: [], gaps: [], presence: [], ready: [], states: [], refused: [] };
  const stream = createStream({
    clock,
    EventSource: sources.EventSource,
    fetch: fetches.fetch,
    onItem: (item) => said.items.push(item),
    onGap: (gap) => said.gaps.push(gap),
    onPresence: (presence) => said.presence.push(presence),
    onReady: (ready) => said.ready.push(ready),
    onState: (state) => said.states.push(state),
    onRoomsRefused: (refusal) => said.refused.push(refusal),
    ...options,
  });
  stream.open();
  const { all, latest } = sources;
  const state = () => said.states.at(-1);
  const waitMs = () => state().retryAt - clock.now();
  return { stream, clock, all, latest, fetches, said, state, waitMs };
}

const chat = (id, room, message = 'hello') =>
  ({ id, room, name: 'bob', message, time: '2025-10-09T08:53:20.001Z' });

// ---- The address ----

test('the address has the rooms, and the name and the token if they are given', () => {
  const { latest } = begin({ base: 'http://a.example/', rooms: ['lobby', 'a b&%中'], name: 'ann', token: 't.o.k' });
  assert.ok(latest().url.startsWith('http://a.example/events?'));
  assert.deepEqual([...latest().query], [
    ['room', 'lobby'], ['room', 'a b&%中'], ['name', 'ann'], ['access_token', 't.o.k']]);
  assert.equal(begin().latest().url, 'events?room=lobby');
});

test('open() and close() are harmless twice', () => {
  const { stream, all, clock } = begin();
  stream.open();
  assert.equal(all.length, 1);
  stream.close();
  stream.close();
  assert.equal(all[0].closed, true);
  assert.equal(clock.timers(), 0);
});

// ---- Resuming ----

test('the first stream asks for no id; the next resumes from the last frame that had one', async () => {
  const { latest, clock, all } = begin();
  assert.equal(latest().query.get('last_event_id'), null);
  latest().give('message', chat('5-0', 'lobby'), '5-0');
  latest().give('presence', { room: 'lobby', online: 1, names: [] });
  latest().lose();
  await clock.pass(2000);
  assert.equal(all.length, 2);
  assert.equal(latest().query.get('last_event_id'), '5-0');
});

test('the id of ready counts, also without a message', async () => {
  const { latest, clock } = begin();
  latest().ready('77-3');
  latest().lose();
  await clock.pass(2000);
  assert.equal(latest().query.get('last_event_id'), '77-3');
});

test('a second loss before any frame keeps the id', async () => {
  const { latest, clock, all } = begin();
  latest().ready('77-3');
  latest().lose();
  await clock.pass(2000);
  latest().lose();
  await clock.pass(4000);
  assert.equal(all.length, 3);
  assert.equal(latest().query.get('last_event_id'), '77-3');
});

test('no stream ever asks for history', async () => {
  const { latest, clock, stream, all } = begin();
  latest().ready();
  stream.setRooms(['lobby', 'dev']);
  latest().lose();
  await clock.pass(60_000);
  assert.ok(all.length > 2);
  assert.ok(all.every((source) => !source.query.has('history')));
});

test('frames of a stream that was replaced are ignored', () => {
  const { stream, all, said } = begin();
  all[0].ready('10-0');
  stream.setName('ann');
  all[0].give('message', chat('11-0', 'lobby'), '11-0');
  assert.deepEqual(said.items, []);
  assert.equal(all[1].query.get('last_event_id'), '10-0');
});

// ---- Items ----

test('a chat message is an item as it is', () => {
  const { latest, said } = begin({ rooms: ['a', 'b'] });
  latest().ready();
  latest().give('message', { ...chat('101-0', 'b'), key: 'k' }, '101-0');
  assert.deepEqual(said.items, [{ ...chat('101-0', 'b'), key: 'k' }]);
});

test('data that only looks like a message is an event, and does not vanish', () => {
  const { latest, said } = begin({ rooms: ['a', 'b'] });
  latest().ready('100-0');
  const posted = [
    '{"message":"x","name":"y","text":5}', '{"id":"1-0","room":"a","name":"y","message":"x","time":"z"}',
    '{"id":"103-0","room":"a","name":7,"message":"x","time":"z"}', 'null', '5', '[]', '"text"', '', 'no JSON {',
  ];
  posted.forEach((data, i) => latest().give('message', data, `${101 + i}-0`));
  assert.deepEqual(said.items.map((item) => item.data), posted);
  assert.deepEqual(said.items[0],
    { id: '101-0', event: 'message', data: posted[0], room: undefined, before: '100-0' });
  assert.ok(said.items.every((item) => item.event === 'message' && !('message' in item)));
});

test('an event tells its room when the stream has one room', () => {
  const { latest, said } = begin({ rooms: ['a'], events: ['news'] });
  latest().ready('100-0');
  latest().give('news', '{"room":"b"}', '101-0');
  assert.deepEqual(said.items, [
    { id: '101-0', event: 'news', data: '{"room":"b"}', room: 'a', before: '100-0' }]);
});

test('of several rooms, only data with the id of the event tells the room', () => {
  const { latest, said } = begin({ rooms: ['a', 'b'], events: ['news'] });
  latest().ready('100-0');
  latest().give('news', { id: '101-0', room: 'b', name: 'n', encoding: 'base64', data: 'AA==', time: 't' }, '101-0');
  latest().give('news', { id: '1-0', room: 'b' }, '102-0');
  latest().give('news', { id: '103-0', room: 'elsewhere' }, '103-0');
  assert.deepEqual(said.items.map(({ room, before }) => [room, before]),
    [['b', '100-0'], [undefined, '101-0'], [undefined, '102-0']]);
});

test('listen() adds a name to the open stream and to later ones, once', async () => {
  const { stream, latest, said, clock } = begin();
  latest().ready();
  stream.listen('news');
  stream.listen('news');
  stream.listen('ready');
  latest().give('news', '1', '101-0');
  latest().lose();
  await clock.pass(2000);
  latest().give('news', '2', '102-0');
  assert.deepEqual(said.items.map((item) => item.data), ['1', '2']);
  latest().ready('103-0');
  assert.equal(said.ready.length, 2);
});

test('names of events that objects have are only names', () => {
  const { latest, said } = begin({ events: ['__proto__', 'constructor', 'toString'] });
  latest().ready();
  for (const event of ['__proto__', 'constructor', 'toString']) latest().give(event, 'x', '101-0');
  assert.deepEqual(said.items.map((item) => item.event), ['__proto__', 'constructor', 'toString']);
});

test('presence and ready are passed on', () => {
  const { latest, said } = begin();
  latest().ready('100-0', { heartbeat: 7, retry: 2500 });
  latest().give('presence', { room: 'lobby', online: 2, names: ['ann'] });
  assert.deepEqual(said.presence, [{ room: 'lobby', online: 2, names: ['ann'] }]);
  assert.equal(said.ready[0].heartbeat, 7);
  assert.equal(said.ready[0].retry, 2500);
  assert.deepEqual(said.ready[0].rooms, [{ room: 'lobby', online: 1 }]);
});

// ---- Gaps and new rooms ----

test('a gap is passed on, but not that of a room which is new in the stream', () => {
  const { stream, latest, said } = begin({ rooms: ['a'] });
  latest().ready();
  stream.setRooms(['a', 'b']);
  latest().give('gap', { room: 'b', after: '100-0', oldest: null, reason: 'expired' });
  latest().give('gap', { room: 'a', after: '100-0', oldest: null, reason: 'expired' });
  assert.deepEqual(said.gaps.map((gap) => gap.room), ['a']);
});

test('the first stream has no gap', () => {
  const { latest, said } = begin();
  latest().give('gap', { room: 'lobby', after: null, oldest: null, reason: 'unknown' });
  assert.deepEqual(said.gaps, []);
});

test('replayed messages of a new room are dropped until ready, and those of the others are not', () => {
  const { stream, latest, said } = begin({ rooms: ['a'] });
  latest().ready();
  stream.setRooms(['a', 'b']);
  latest().give('message', chat('101-0', 'b'), '101-0');
  latest().give('message', chat('102-0', 'a'), '102-0');
  latest().give('message', 'whose?', '103-0');
  latest().ready('103-0');
  latest().give('message', chat('104-0', 'b'), '104-0');
  assert.deepEqual(said.items.map((item) => item.id), ['102-0', '103-0', '104-0']);
});

test('a room stays new until a stream with it has reached ready', async () => {
  const { stream, latest, said, clock } = begin({ rooms: ['a'] });
  latest().ready();
  stream.setRooms(['a', 'b']);
  latest().give('message', chat('101-0', 'b'), '101-0');
  latest().lose();
  await clock.pass(2000);
  assert.equal(latest().query.get('last_event_id'), '101-0');
  latest().give('gap', { room: 'b', after: '101-0', oldest: null, reason: 'restarted' });
  latest().give('message', chat('102-0', 'b'), '102-0');
  assert.deepEqual([said.gaps, said.items], [[], []]);
  latest().ready('102-0');
  latest().lose();
  await clock.pass(2000);
  latest().give('gap', { room: 'b', after: '102-0', oldest: null, reason: 'restarted' });
  assert.equal(said.gaps.length, 1);
});

// ---- Other rooms, another name ----

test('other rooms and another name reopen the stream, and the state stays connected', () => {
  const { stream, all, latest, said } = begin();
  latest().ready('100-0');
  stream.setRooms(['lobby', 'dev']);
  assert.equal(all[0].closed, true);
  assert.deepEqual([...latest().query], [
    ['room', 'lobby'], ['room', 'dev'], ['last_event_id', '100-0']]);
  latest().ready();
  stream.setName('ann');
  assert.equal(latest().query.get('name'), 'ann');
  latest().ready();
  assert.deepEqual(said.states.map((state) => state.state), ['connecting', 'connected']);
});

test('the same rooms in another order, and the same name, change nothing', () => {
  const { stream, all } = begin({ rooms: ['a', 'b'], name: 'ann' });
  stream.setRooms(['b', 'a']);
  stream.setName('ann');
  assert.equal(all.length, 1);
});

test('a reopened stream that fails is shown', async () => {
  const { stream, latest, state, clock } = begin();
  latest().ready();
  stream.setName('ann');
  latest().lose();
  assert.equal(state().state, 'waiting');
  await clock.pass(2000);
  assert.equal(state().state, 'connecting');
});

test('a reopened stream that stays silent is shown', async () => {
  const { stream, latest, state, clock } = begin();
  latest().ready();
  stream.setName('ann');
  await clock.pass(19_999);
  assert.equal(state().state, 'connected');
  await clock.pass(1);
  assert.deepEqual([state().state, state().why], ['connecting', 'silent']);
});

test('a wait is not shortened by another name, unless the name was refused', async () => {
  const { stream, all, latest, fetches } = begin({ name: 'x' });
  latest().give('busy', { reason: 'full', retry: 12_000 });
  stream.setName('y');
  assert.equal(all.length, 1);
  stream.retry();
  latest().refuse();
  await fetches.latest().answer(400, { detail: 'The name is too long.' });
  stream.setName('z');
  assert.equal(all.length, 3);
  assert.equal(latest().query.get('name'), 'z');
});

// ---- Rooms that are refused ----

for (const [what, refuse] of [
  ['a 4xx', async ({ latest, fetches }) => {
    latest().refuse();
    await fetches.latest().answer(403, { detail: 'The token is not for this room.' });
  }],
  ['busy rooms', async ({ latest }) => latest().give('busy', { reason: 'rooms', retry: 12_000 })],
]) {
  test(`${what} for new rooms goes back to the rooms that worked, at once`, async () => {
    const page = begin({ rooms: ['a'] });
    const { stream, latest, said, all } = page;
    latest().ready('100-0');
    stream.setRooms(['a', 'b', 'c']);
    await refuse(page);
    assert.equal(all.length, 3);
    assert.deepEqual([...latest().query], [['room', 'a'], ['last_event_id', '100-0']]);
    assert.equal(said.refused.length, 1);
    assert.deepEqual(said.refused[0].rooms, ['b', 'c']);
    assert.equal(said.refused[0].why, what === 'a 4xx' ? 'refused' : 'rooms');
    assert.equal(said.refused[0].status, what === 'a 4xx' ? 403 : 0);
    assert.equal(said.refused[0].detail, what === 'a 4xx' ? 'The token is not for this room.' : '');
    latest().ready();
    assert.deepEqual(said.states.map((state) => state.state), ['connecting', 'connected']);
  });
}

test('rooms are not given back when no stream has worked, or none is new, or for a 401 or 5xx', async () => {
  const never = begin({ rooms: ['a', 'b'] });
  never.latest().give('busy', { reason: 'rooms', retry: 12_000 });
  assert.deepEqual([never.state().why, never.said.refused], ['rooms', []]);

  const old = begin({ rooms: ['a'] });
  old.latest().ready();
  old.stream.setName('ann');
  old.latest().give('busy', { reason: 'rooms', retry: 12_000 });
  assert.deepEqual([old.state().why, old.said.refused], ['rooms', []]);

  for (const status of [401, 408, 425, 429, 503]) {
    const page = begin({ rooms: ['a'] });
    page.latest().ready();
    page.stream.setRooms(['a', 'b']);
    page.latest().refuse();
    await page.fetches.latest().answer(status, {});
    assert.deepEqual([page.state().status, page.said.refused], [status, []]);
  }
});

// Answers the request that asks why a stream was refused, and then those that ask for each room.
async function answerEach({ fetches, latest }, statuses) {
  latest().refuse();
  await fetches.latest().answer(403, { detail: 'The token is not for this room.' });
  for (const status of statuses) {
    assert.equal(fetches.latest().method, 'HEAD');
    await fetches.latest().answer(status, '', status === 200 ? { 'Content-Type': 'text/event-stream' } : {});
  }
}

test('of rooms that are refused together, those that are refused alone are dropped', async () => {
  const page = begin({ rooms: ['a', 'b', 'c'] });
  await answerEach(page, [403, 200, 404]);
  assert.deepEqual(page.fetches.requests.map(({ url }) => url.split('?')[1]),
    ['room=a&room=b&room=c', 'room=a', 'room=b', 'room=c']);
  assert.deepEqual([...page.latest().query], [['room', 'b']]);
  assert.deepEqual(page.said.refused,
    [{ why: 'refused', status: 403, detail: 'The token is not for this room.', retryAt: 0, rooms: ['a', 'c'] }]);
  page.latest().ready();
  assert.equal(page.state().state, 'connected');

  // Also rooms that have worked, after a restart of the server.
  page.stream.setRooms(['b', 'd']);
  page.latest().ready();
  page.stream.retry();
  await answerEach(page, [200, 403]);
  assert.deepEqual([page.said.refused.at(-1).rooms, page.latest().query.getAll('room')], [['d'], ['b']]);
});

test('rooms that are all refused, or only together, stay in the list, and the stream waits', async () => {
  for (const statuses of [[403, 403], [200, 200], [503, 200]]) {
    const page = begin({ rooms: ['a', 'b'] });
    await answerEach(page, statuses);
    assert.deepEqual([page.state().state, page.state().status, page.said.refused], ['waiting', 403, []]);
    page.stream.retry();
    assert.deepEqual(page.latest().query.getAll('room'), ['a', 'b']);
  }
});

test('an answer about a room is too late when another stream was opened meanwhile', async () => {
  const page = begin({ rooms: ['a', 'b'] });
  await answerEach(page, [403]);
  page.stream.setRooms(['a', 'b', 'c']);
  await settled();
  assert.deepEqual([page.said.refused, page.latest().query.getAll('room')], [[], ['a', 'b', 'c']]);
});

test('new rooms wait like others for a server that is full', () => {
  const { stream, latest, state, said } = begin({ rooms: ['a'] });
  latest().ready();
  stream.setRooms(['a', 'b']);
  latest().give('busy', { reason: 'full', retry: 12_000 });
  assert.deepEqual([state().why, said.refused], ['full', []]);
});

test('a page that takes the refused rooms from its list in the callback opens one stream more at most', () => {
  const page = begin({ rooms: ['a'], onRoomsRefused: () => page.stream.setRooms(['a']) });
  page.latest().ready();
  page.stream.setRooms(['a', 'b']);
  page.latest().give('busy', { reason: 'rooms', retry: 12_000 });
  assert.equal(page.all.length, 3);
});

// ---- Backoff ----

test('a lost stream is reopened after the server\'s retry, doubled each time, up to 30 s', async () => {
  const { latest, state, waitMs, clock, all } = begin();
  latest().ready('100-0', { retry: 2500 });
  latest().lose();
  assert.equal(all[0].closed, true);
  assert.deepEqual([state().state, state().why], ['waiting', 'lost']);
  const waits = [];
  for (let i = 0; i < 7; i += 1) {
    waits.push(waitMs());
    const before = all.length;
    await clock.pass(waitMs() - 1);
    assert.equal(all.length, before);
    await clock.pass(1);
    assert.equal(all.length, before + 1);
    assert.equal(state().state, 'connecting');
    latest().lose();
    assert.equal(state().why, 'unreachable');
  }
  assert.deepEqual(waits, [2500, 5000, 10_000, 20_000, 30_000, 30_000, 30_000]);
});

test('without a word of the server the first wait is 2 s', () => {
  const { latest, waitMs, state } = begin();
  latest().lose();
  assert.equal(waitMs(), 2000);
  assert.equal(state().why, 'unreachable');
});

test('ready resets the backoff', async () => {
  const { latest, waitMs, clock } = begin();
  for (let i = 0; i < 3; i += 1) {
    latest().lose();
    await clock.pass(waitMs());
  }
  latest().ready();
  latest().lose();
  assert.equal(waitMs(), 2000);
});

test('a random part shortens the wait by up to a quarter, also at the limit', async () => {
  const clock = { ...makeClock(), random: () => 0.999 };
  const { latest, state } = begin({ clock });
  for (let i = 0; i < 8; i += 1) {
    latest().lose();
    const ms = state().retryAt - clock.now();
    const full = Math.min(30_000, 2000 * 2 ** i);
    assert.ok(ms > 0.74 * full && ms < 0.77 * full, `${i}: ${ms}`);
    await clock.pass(ms);
  }
});

test('retry() opens at once and resets the backoff', async () => {
  const { stream, latest, waitMs, clock, all } = begin();
  for (let i = 0; i < 4; i += 1) {
    latest().lose();
    await clock.pass(waitMs());
  }
  latest().lose();
  const before = all.length;
  stream.retry();
  assert.equal(all.length, before + 1);
  latest().lose();
  assert.equal(waitMs(), 2000);
  stream.close();
  stream.retry();
  assert.equal(all.length, before + 1);
});

test('busy waits exactly as long as it says, says why, and is closed', async () => {
  const clock = { ...makeClock(), random: () => 0.5 };
  const { latest, state, all } = begin({ clock });
  for (const reason of ['full', 'address', 'draining', 'starting', 'rooms']) {
    latest().give('busy', { reason, retry: 12_345 });
    assert.equal(latest().closed, true);
    assert.deepEqual(state(), {
      state: 'waiting', why: reason, status: 0, detail: '', retryAt: clock.now() + 12_345 });
    const before = all.length;
    await clock.pass(12_344);
    assert.equal(all.length, before);
    await clock.pass(1);
    assert.equal(all.length, before + 1);
    assert.deepEqual([state().state, state().why], ['connecting', reason]);
  }
});

test('retry() also ends the wait of a full server', () => {
  const { stream, latest, all } = begin();
  latest().give('busy', { reason: 'full', retry: 12_000 });
  stream.retry();
  assert.equal(all.length, 2);
});

// ---- Refusals ----

test('a refused stream asks for status and detail, with the same address, and aborts', async () => {
  const { latest, fetches, state, waitMs, all } = begin({ name: 'x' });
  latest().refuse();
  assert.equal(fetches.latest().url, all[0].url);
  await fetches.latest().answer(403, { detail: 'No.' });
  assert.equal(fetches.latest().signal.aborted, true);
  assert.deepEqual(state(), {
    state: 'waiting', why: 'refused', status: 403, detail: 'No.', retryAt: state().retryAt });
  assert.equal(waitMs(), 2000);
});

test('a 4xx may wait up to 300 s, another error up to 30 s', async () => {
  for (const [status, longestMs] of [[403, 300_000], [400, 300_000], [429, 30_000], [503, 30_000], [502, 30_000]]) {
    const { latest, fetches, waitMs, clock } = begin();
    let ms = 0;
    for (let i = 0; i < 10; i += 1) {
      latest().refuse();
      await fetches.latest().answer(status, 'no JSON');
      ms = waitMs();
      await clock.pass(ms);
    }
    assert.equal(ms, longestMs, `${status}`);
  }
});

test('a 401 waits for another token without a timer, and retry() asks again', async () => {
  const { stream, latest, fetches, state, clock, all } = begin({ token: 'old' });
  latest().refuse();
  await fetches.latest().answer(401, { detail: 'The token has expired.' });
  assert.deepEqual(state(), {
    state: 'waiting', why: 'refused', status: 401, detail: 'The token has expired.', retryAt: 0 });
  await clock.pass(1_000_000);
  assert.equal(all.length, 1);
  stream.retry();
  assert.equal(all.length, 2);
});

test('an answer that is no problem has no detail', async () => {
  for (const [status, body] of [[200, '<html>log in</html>'], [502, '<html>'], [503, 'null'], [404, '[]']]) {
    const { latest, fetches, state } = begin();
    latest().refuse();
    await fetches.latest().answer(status, body);
    assert.deepEqual([state().why, state().status, state().detail], ['refused', status, '']);
  }
});

test('a refused stream whose server is back, or away, is reopened after the usual wait', async () => {
  const back = begin();
  back.latest().refuse();
  await back.fetches.latest().answer(200, '', { 'Content-Type': 'text/event-stream; charset=utf-8' });
  assert.deepEqual([back.state().why, back.waitMs()], ['lost', 2000]);
  assert.equal(back.fetches.latest().signal.aborted, true);

  const away = begin();
  away.latest().refuse();
  await away.fetches.latest().fail();
  assert.deepEqual([away.state().why, away.waitMs()], ['unreachable', 2000]);
});

test('a question without an answer is given up after 20 s', async () => {
  const { latest, fetches, state, clock } = begin();
  latest().refuse();
  await clock.pass(19_999);
  assert.equal(fetches.latest().signal.aborted, false);
  await clock.pass(1);
  await settled();
  assert.equal(state().why, 'unreachable');
});

test('the answer to an old question changes nothing', async () => {
  const { stream, latest, fetches, state, all } = begin();
  latest().refuse();
  const question = fetches.latest();
  stream.retry();
  assert.equal(question.signal.aborted, true);
  latest().ready();
  await settled();
  assert.equal(state().state, 'connected');
  assert.equal(all.length, 2);
});

// ---- Silence ----

test('an open stream that is silent for three heartbeats is replaced', async () => {
  const { latest, state, clock, all } = begin();
  latest().ready('100-0', { heartbeat: 10 });
  for (let i = 0; i < 5; i += 1) {
    await clock.pass(29_000);
    latest().give('heartbeat', '0');
  }
  await clock.pass(29_999);
  assert.equal(all.length, 1);
  await clock.pass(1);
  assert.equal(all.length, 2);
  assert.equal(all[0].closed, true);
  assert.deepEqual([state().state, state().why], ['connecting', 'silent']);
  assert.equal(latest().query.get('last_event_id'), '100-0');
  latest().ready();
  assert.deepEqual([state().state, state().why], ['connected', '']);
});

test('without a word of the server, a heartbeat is 15 s', async () => {
  const { latest, clock, all } = begin();
  latest().give('ready', { rooms: [] }, '100-0');
  await clock.pass(44_999);
  assert.equal(all.length, 1);
  await clock.pass(1);
  assert.equal(all.length, 2);
});

test('a stream that opens is replaced after 20 s of silence, not while its replay comes', async () => {
  const { latest, state, clock, all } = begin();
  for (let i = 0; i < 5; i += 1) {
    await clock.pass(15_000);
    latest().give('message', chat(`${i}-1`, 'lobby'), `${i}-1`);
  }
  await clock.pass(19_999);
  assert.equal(all.length, 1);
  await clock.pass(1);
  assert.equal(all.length, 2);
  assert.equal(state().why, 'silent');
});

test('sleep is noticed within 5 s of waking, or at once by look()', async () => {
  const { stream, latest, clock, all } = begin();
  latest().ready();
  clock.sleep(3_600_000);
  await clock.pass(5000);
  assert.equal(all.length, 2);
  latest().ready();
  clock.sleep(3_600_000);
  stream.look();
  assert.equal(all.length, 3);
  stream.look();
  assert.equal(all.length, 3);
});

test('a wait that passed during sleep is over at once', () => {
  const { stream, latest, clock, all } = begin();
  latest().lose();
  clock.sleep(60_000);
  stream.look();
  assert.equal(all.length, 2);
});

test('a clock that is set back lengthens no wait by more than the wait itself', async () => {
  const { latest, clock, all } = begin();
  latest().lose();
  clock.set(clock.now() - 86_400_000);
  await clock.pass(4000);
  assert.equal(all.length, 2);
});

test('there is one timer at most', async () => {
  const { stream, latest, clock } = begin();
  latest().ready();
  for (let i = 0; i < 3; i += 1) stream.look();
  stream.setName('ann');
  await clock.pass(30_000);
  latest().lose();
  stream.look();
  assert.equal(clock.timers(), 1);
});

test('look() does nothing for a closed stream', async () => {
  const { stream, clock, all } = begin();
  stream.close();
  await clock.pass(100_000);
  stream.look();
  assert.equal(all.length, 1);
});

// ---- Offline ----

test('offline is shown at once, and online opens a stream at once', async () => {
  const { stream, latest, state, clock, all } = begin();
  latest().ready();
  stream.setOnline(false);
  assert.equal(state().state, 'offline');
  latest().lose();
  await clock.pass(60_000);
  assert.equal(state().state, 'offline');
  const before = all.length;
  stream.setOnline(true);
  assert.equal(all.length, before + 1);
  assert.equal(state().state, 'connecting');
  latest().ready();
  assert.equal(state().state, 'connected');
});

test('online is connecting until the new stream is ready', () => {
  const { stream, latest, said } = begin();
  latest().ready();
  stream.setOnline(false);
  stream.setOnline(true);
  latest().ready();
  assert.deepEqual(said.states.map((state) => state.state),
    ['connecting', 'connected', 'offline', 'connecting', 'connected']);
});

test('online resets the backoff, and is heard once though each tab says it', async () => {
  const { stream, latest, waitMs, clock, all } = begin();
  for (let i = 0; i < 4; i += 1) {
    latest().lose();
    await clock.pass(waitMs());
  }
  stream.setOnline(false);
  latest().lose();
  const before = all.length;
  stream.setOnline(true);
  stream.setOnline(true);
  assert.equal(all.length, before + 1);
  latest().lose();
  assert.equal(waitMs(), 2000);
});

test('a stream that goes on is connected whatever the browser says', async () => {
  const { stream, latest, state, clock } = begin();
  latest().ready();
  stream.setOnline(false);
  latest().give('heartbeat', '0');
  assert.equal(state().state, 'offline');   // it was on its way
  await clock.pass(1001);
  latest().give('heartbeat', '0');
  assert.equal(state().state, 'connected');
  stream.setOnline(false);
  assert.equal(state().state, 'connected');
  latest().lose();
  assert.equal(state().state, 'offline');
});

test('a browser that is offline from the beginning can reach a server on the same computer', async () => {
  const { stream, latest, state, clock } = begin();
  stream.setOnline(false);
  assert.equal(state().state, 'offline');
  await clock.pass(1001);
  latest().ready();
  assert.equal(state().state, 'connected');
});

// ---- State ----

test('a state is told once', async () => {
  const { stream, latest, said } = begin();
  latest().ready();
  stream.setName('ann');
  latest().ready();
  stream.setOnline(true);
  assert.deepEqual(said.states.map((state) => state.state), ['connecting', 'connected']);
});

test('a stream that was closed and opened again begins with connecting, and resumes', () => {
  const { stream, latest, state } = begin();
  latest().ready('100-0');
  stream.close();
  stream.open();
  assert.equal(state().state, 'connecting');
  assert.equal(latest().query.get('last_event_id'), '100-0');
});
