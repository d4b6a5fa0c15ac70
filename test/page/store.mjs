// Unit tests of www/store.js, with a Storage that is an object, and a clock that stands still.
//
//   node --experimental-default-type=module --test test/page/store.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStore } from '../../www/store.js';

// Returns a Storage as a browser has it. `full` makes it refuse to grow.
function storageOf() {
  const methods = {
    full: false,
    getItem(key) { return Object.hasOwn(this, key) ? this[key] : null; },
    setItem(key, value) {
      if (methods.full) throw new DOMException('full', 'QuotaExceededError');
      this[key] = value;
    },
    removeItem(key) { delete this[key]; },
  };
  return Object.create(methods);
}

// Returns two tabs of one browser, with their clock.
function tabs(storage = storageOf()) {
  const clock = { ms: 1_000_000 };
  const open = (tab, scope = '/ ann ') =>
    createStore({ getStorage: () => storage, scope, tab, now: () => clock.ms });
  return { storage, clock, open, one: open('one'), two: open('two') };
}

const entry = (key, at = 1) => ({ key, room: 'lobby', name: 'ann', message: `text of ${key}`, at });
const keys = (entries) => entries.map(({ key }) => key);

// ---- Names, drafts, rooms, people ----

test('what one tab remembers, the others and a later one know', () => {
  const { one, two, open } = tabs();
  one.set('name', 'ann');
  one.set('draft:lobby', 'half a sen');
  assert.equal(two.get('name'), 'ann');
  assert.equal(open('three').get('draft:lobby'), 'half a sen');
  one.set('draft:lobby', '');
  assert.equal(two.get('draft:lobby'), '');
});

test('users, and chats under other paths, share nothing', () => {
  const { open } = tabs();
  const ann = open('one', '/chat/ ann ');
  ann.set('name', 'ann');
  ann.join('garden');
  ann.keep(entry('k'));
  for (const scope of ['/chat/ bob ', '/other/ ann ']) {
    const other = open('two', scope);
    assert.deepEqual([other.get('name'), other.rooms(), other.adopt('one')], ['', [], []]);
  }
});

test('only keys of this user are told of', () => {
  const { one } = tabs();
  assert.equal(one.changed('/ ann draft:lobby'), 'draft:lobby');
  for (const key of ['/ bob draft:lobby', 'name', null, undefined]) assert.equal(one.changed(key), '');
});

test('rooms of any name are joined once, in order, at most sixteen', () => {
  const { one } = tabs();
  const odd = ['lobby', '__proto__', 'constructor', '中文', 'a b', '&%', 'toString'];
  for (const room of [...odd, ...odd]) assert.equal(one.join(room), true);
  assert.deepEqual(one.rooms(), odd);
  for (let i = odd.length; i < 16; i += 1) assert.equal(one.join(`r${i}`), true);
  assert.equal(one.join('one too many'), false);
  assert.equal(one.join('lobby'), true);
  one.leave('__proto__');
  assert.equal(one.join('now there is room'), true);
  assert.equal(one.rooms().length, 16);
});

test('leaving a room forgets how far it was read', () => {
  const { one } = tabs();
  one.join('lobby');
  one.set('read:lobby', '5-0');
  one.leave('lobby');
  assert.equal(one.get('read:lobby'), '');
});

test('the last 500 ids are our own, also in the other tab', () => {
  const { one, two } = tabs();
  for (let i = 0; i < 502; i += 1) one.addMine(`${i}-0`);
  one.addMine('501-0');
  assert.deepEqual([1, 2, 501, 502].map((i) => two.isMine(`${i}-0`)), [false, true, true, false]);
  two.addMine('502-0');
  assert.equal(one.isMine('502-0'), true);
});

test('a hidden person stays hidden until shown', () => {
  const { one, two } = tabs();
  one.setHidden('__proto__', true);
  one.setHidden('bob', true);
  one.setHidden('bob', true);
  assert.deepEqual(two.hidden(), ['__proto__', 'bob']);
  assert.equal(two.isHidden('constructor'), false);
  two.setHidden('bob', false);
  assert.deepEqual([one.isHidden('bob'), one.isHidden('__proto__')], [false, true]);
});

// ---- Messages on their way ----

test('entries are kept in order, and changed in place of being doubled', () => {
  const { one, open } = tabs();
  for (const key of ['a', 'b', 'c']) one.keep(entry(key));
  one.keep({ ...entry('b'), state: 'failed', status: 413 });
  const kept = open('one').waiting();
  assert.deepEqual(keys(kept), ['a', 'b', 'c']);
  assert.equal(kept[1].status, 413);
  one.forget('a');
  one.forget('unknown');
  assert.deepEqual(keys(one.waiting()), ['b', 'c']);
});

test('a tab takes over the entries of a tab that was closed, the earliest first', () => {
  const { one, two, open, clock } = tabs();
  one.keep(entry('late', 30));
  two.keep(entry('early', 10));
  const three = open('three');
  assert.deepEqual(three.adopt(), []);
  clock.ms += 9_999;
  assert.deepEqual(three.adopt(), []);
  clock.ms += 2;
  assert.deepEqual(keys(three.adopt()), ['early', 'late']);
  assert.deepEqual(three.adopt(), []);
  assert.deepEqual(keys(three.waiting()), ['early', 'late']);
  assert.deepEqual([one.waiting(), two.waiting()], [[], []]);
});

test('a tab that lives keeps its entries', () => {
  const { one, two, clock } = tabs();
  one.keep(entry('a'));
  for (let i = 0; i < 5; i += 1) {
    clock.ms += 9_000;
    one.beat();
    assert.deepEqual(two.adopt(), []);
  }
  assert.deepEqual(keys(one.waiting()), ['a']);
});

test('a reloaded tab takes its own entries at once', () => {
  const { one, open } = tabs();
  one.keep(entry('a'));
  assert.deepEqual(keys(open('one again').adopt('one')), ['a']);
});

test('an entry that is taken over twice is there once', () => {
  const { one, two, clock } = tabs();
  one.keep(entry('a'));
  clock.ms += 20_000;
  assert.deepEqual(keys(two.adopt()), ['a']);
  one.keep(entry('a'));      // it was only asleep
  clock.ms += 20_000;
  assert.deepEqual(two.adopt(), []);
  assert.deepEqual(keys(two.waiting()), ['a']);
});

test('an entry that is taken back is gone from the list of every tab', () => {
  const { one, two } = tabs();
  one.keep(entry('a'));
  one.keep(entry('b'));
  two.takeBack('a');
  assert.deepEqual(keys(one.waiting()), ['b']);
});

test('a list does not vanish because there is no place for it in another', () => {
  const { one, two, storage, clock } = tabs();
  one.keep(entry('a'));
  clock.ms += 20_000;
  Object.getPrototypeOf(storage).full = true;
  assert.deepEqual(two.adopt(), []);
  Object.getPrototypeOf(storage).full = false;
  assert.deepEqual(keys(two.adopt()), ['a']);
});

// ---- A storage that fails ----

test('a storage that is switched off is replaced by the memory of the tab', () => {
  for (const getStorage of [
    () => { throw new DOMException('denied', 'SecurityError'); },
    () => null,
    () => ({ getItem() { throw new DOMException('denied', 'SecurityError'); } }),
  ]) {
    const store = createStore({ getStorage, scope: '', tab: 'one' });
    store.set('name', 'ann');
    store.keep(entry('a'));
    assert.equal(store.join('lobby'), true);
    assert.deepEqual([store.get('name'), keys(store.waiting())], ['ann', ['a']]);
  }
});

test('what a full storage does not take is in the memory of the tab', () => {
  const { one, storage } = tabs();
  one.keep(entry('a'));
  Object.getPrototypeOf(storage).full = true;
  assert.equal(one.keep(entry('b')), false);
  assert.equal(one.set('name', 'ann'), false);
  assert.deepEqual([one.get('name'), keys(one.waiting())], ['ann', ['a', 'b']]);
  Object.getPrototypeOf(storage).full = false;
  one.changed('/ ann name');                    // another tab could write it
  assert.equal(one.get('name'), '');
  one.beat();
  assert.deepEqual(keys(JSON.parse(storage.getItem('/ ann outbox:one')).slice(1)), ['a', 'b']);
});

test('an entry can be taken back without a storage', () => {
  const store = createStore({ getStorage: () => null, scope: '', tab: 'one' });
  store.keep(entry('a'));
  store.takeBack('a');
  assert.deepEqual(store.waiting(), []);
});

test('spoilt lists count as empty', () => {
  const { one, storage } = tabs();
  for (const spoilt of ['{', '7', 'null', '{"a":1}', '"text"', '[null,7,{"key":1}]']) {
    for (const key of ['rooms', 'mine', 'hidden', 'outbox:one', 'outbox:gone']) {
      storage.setItem(`/ ann ${key}`, spoilt);
    }
    assert.deepEqual([one.rooms(), one.waiting(), one.adopt()], [[], [], []], spoilt);
    assert.equal(one.isMine('1-0'), false);
    assert.equal(one.isHidden('bob'), false);
  }
});
