// Unit tests of www/notify.js, with a document and notifications that only remember.
//
//   node --experimental-default-type=module --test test/page/notify.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createNotifier } from '../../www/notify.js';
import { t } from '../../www/words.js';

const ITEM = { id: '8-0', room: 'lobby', name: 'ben', message: 'hi @ann' };

// Makes a browser that has just opened the page. `answer` is what the user answers when the browser
// asks whether the page may show notifications.
function browser({ answer = 'granted', secure = true, throws = false } = {}) {
  const shown = [];
  const stored = {};
  const timers = [];
  const icon = { href: 'icon.svg' };

  class Notification {
    static permission = 'default';
    static async requestPermission() { return (Notification.permission = answer); }
    constructor(title, options) {
      if (throws) throw new TypeError('Illegal constructor');
      shown.push({ title, ...options, close() { this.closed = true; } });
      return shown.at(-1);
    }
  }
  const use = (name, value) =>
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  use('Notification', Notification);
  use('isSecureContext', secure);
  use('setTimeout', (run, ms, item) => timers.push(() => run(item)));
  use('window', { focus() { stored.focused = true; } });
  use('document', { hidden: false, title: '', querySelector: () => icon });
  const opened = [];
  const notifier = createNotifier({ get: (key) => stored[key] ?? '',
    set: (key, value) => { stored[key] = value; },
    onChange: () => { stored.changes = (stored.changes ?? 0) + 1; },
    onOpen: (item) => opened.push(item) });
  return { notifier, shown, stored, opened, icon,
    // Mentions the user, and returns how many notifications there are after what happens meanwhile.
    mention(meanwhile = () => {}) {
      notifier.mention(ITEM);
      meanwhile();
      while (timers.length) timers.pop()();
      return shown.length;
    } };
}

test('notifications are off until the user wants them and the browser allows them', async () => {
  const { notifier, shown, stored, mention } = browser();
  assert.deepEqual([notifier.supported, notifier.enabled, notifier.blocked], [true, false, false]);
  document.hidden = true;
  assert.equal(mention(), 0);
  await notifier.toggle();
  assert.equal(notifier.enabled, true);
  assert.equal(mention(), 1);
  assert.equal(shown[0].title, 'ben mentioned you in lobby');
  assert.deepEqual([shown[0].body, shown[0].tag], ['hi @ann', '8-0']);
  await notifier.toggle();
  assert.equal(notifier.enabled, false);
  assert.equal(mention(), 1);
  assert.equal(stored.changes, 2);
});

test('a browser that blocks them, or knows none, stays silent', async () => {
  const { notifier } = browser({ answer: 'denied' });
  await notifier.toggle();
  assert.deepEqual([notifier.enabled, notifier.blocked], [false, true]);

  const plain = browser({ secure: false });
  assert.deepEqual([plain.notifier.supported, plain.notifier.enabled, plain.notifier.blocked],
    [false, false, false]);
  document.hidden = true;
  assert.equal(plain.mention(), 0);
});

test('nothing is notified while the page is visible', async () => {
  const { notifier, mention } = browser();
  await notifier.toggle();
  assert.equal(mention(), 0);
  document.hidden = true;
  assert.equal(mention(), 1);
});

test('nothing is notified that another tab has shown by then', async () => {
  const { notifier, stored, mention } = browser();
  await notifier.toggle();
  document.hidden = true;
  const reads = (id) => () => { stored['read:lobby'] = id; };
  assert.equal(mention(reads('8-0')), 0);
  assert.equal(mention(reads('10-0')), 0);
  assert.equal(mention(reads('7-5')), 1);
});

test('a click on a notification leads to the message', async () => {
  const { notifier, shown, stored, opened, mention } = browser();
  await notifier.toggle();
  document.hidden = true;
  mention();
  shown[0].onclick();
  assert.deepEqual([shown[0].closed, stored.focused, opened], [true, true, [ITEM]]);
});

test('a browser whose notifications throw is no error', async () => {
  const { notifier, mention } = browser({ throws: true });
  await notifier.toggle();
  document.hidden = true;
  assert.equal(mention(), 0);
});

test('title and icon show what is unread', () => {
  const { notifier, icon } = browser();
  const seen = (n, title) => {
    notifier.setUnread(n, title);
    return [document.title, icon.href];
  };
  assert.deepEqual(seen(0, 'lobby'), ['lobby · ssechat', 'icon.svg']);
  assert.deepEqual(seen(3, 'lobby'), ['(3) lobby · ssechat', 'unread.svg']);
  assert.deepEqual(seen(99, '中文'), ['(99) 中文 · ssechat', 'unread.svg']);
  assert.deepEqual(seen(100, '(2) x'), ['(100) (2) x · ssechat', 'unread.svg']);
  assert.deepEqual(seen(0, 'lobby'), ['lobby · ssechat', 'icon.svg']);
});
