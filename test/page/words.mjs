// Unit tests of www/words.js: the tables against each other, and against the keys of the page.
//
//   node --experimental-default-type=module --test test/page/words.mjs

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { gapText, languageFor, localeFor, t, tables, translate, whyText, words }
  from '../../www/words.js';

const { en, zh } = tables;
const WWW = new URL('../../www/', import.meta.url);

// The forms of a text: one, or two for different numbers.
const forms = (text) => text.split('|');
const placeholders = (text) =>
  [...new Set(forms(text).join().match(/\{\w+\}/g) ?? [])].sort();

// Runs a function with the words of a language.
function speaking(language, locale, run) {
  const before = { ...words };
  Object.assign(words, { language, locale });
  try {
    return run();
  } finally {
    Object.assign(words, before);
  }
}

// ---- The tables ----

test('the tables have the same keys in the same order', () => {
  assert.deepEqual(Object.keys(zh), Object.keys(en));
});

test('each text has the same placeholders in both languages, and in all of its forms', () => {
  for (const key of Object.keys(en)) {
    assert.deepEqual(placeholders(zh[key]), placeholders(en[key]), key);
    for (const form of [...forms(en[key]), ...forms(zh[key])]) {
      assert.deepEqual(placeholders(form), placeholders(en[key]), key);
    }
  }
});

test('a text with two forms has a number that chooses', () => {
  for (const [language, table] of Object.entries(tables)) {
    for (const [key, text] of Object.entries(table)) {
      const { length } = forms(text);
      assert.ok(length === 1 || (length === 2 && language === 'en'), key);
      if (length > 1) assert.ok(placeholders(text).includes('{n}'), key);
    }
  }
});

test('no text is empty, has spaces at its ends, three dots, straight quotes or markup', () => {
  for (const table of Object.values(tables)) {
    for (const [key, text] of Object.entries(table)) {
      for (const form of forms(text)) assert.match(form, /^(?! )(?!.*(\.\.\.|["'<>&]| $)).+$/, key);
    }
  }
});

test('Chinese texts have Chinese marks, and no space beside them', () => {
  for (const [key, text] of Object.entries(zh)) {
    assert.doesNotMatch(text, /[,:;!?()]|\.$|[，。：；！？（）] | [，。：；！？（）]/, key);
    assert.doesNotMatch(text, /[\u4e00-\u9fff][{\w]|[\w}][\u4e00-\u9fff]/, `${key}: needs a space`);
    assert.match(text, /[\u4e00-\u9fff]/, key);
  }
});

test('the names that tools find things by', () => {
  const names = { messages: ['Messages', '消息'], name: ['Name', '昵称'], message: ['Message', '消息'],
    room: ['Room', '房间'], send: ['Send', '发送'], retryNow: ['Retry now', '立即重试'],
    older: ['Load older', '更早'], notifications: ['Notifications', '通知'],
    offline: ['Offline', '连接已断开'], sending: ['sending', '发送中'], failed: ['failed', '失败'],
    changeName: ['Change name', '修改昵称'], copyLink: ['Copy link', '复制链接'] };
  for (const [key, pair] of Object.entries(names)) assert.deepEqual([en[key], zh[key]], pair);
  assert.match(en.reconnecting, /^Reconnecting…/);
  assert.match(zh.reconnecting, /^正在重连/);
  assert.match(en.gap, /. missed./);
  assert.match(zh.gap, /.遗漏./);
});

// ---- The keys and the page ----

// The files of the page. The tables are left out: in them a key stands before a colon.
const sources = readdirSync(WWW).filter((file) => /\.(js|html)$/.test(file)).map((file) => {
  const text = readFileSync(new URL(file, WWW), 'utf8');
  return file === 'words.js' ? text.slice(text.indexOf('export const tables')) : text;
}).join('\n');

const all = (pattern) => [...sources.matchAll(pattern)].map((match) => match[1]);
const inPage = all(/\bdata-(?:t|label|placeholder)="([^"]*)"/g);
const families = all(/`(\w+\.)\$\{/g);    // `status.${status}`

test('each key that the page uses is in the tables', () => {
  for (const key of [...inPage, ...all(/\bt\('([^']*)'/g)]) assert.ok(Object.hasOwn(en, key), key);
  for (const family of families) {
    assert.ok(Object.keys(en).some((key) => key.startsWith(family)), family);
  }
});

test('the page uses each key of the tables', () => {
  const quoted = new Set([...inPage, ...all(/'([^'\n]*)'/g)]);
  for (const key of Object.keys(en)) {
    const used = quoted.has(key) || families.some((family) => key.startsWith(family));
    assert.ok(used, `nothing uses '${key}'`);
  }
});

// ---- t ----

test('a text depends on the number', () => {
  assert.equal(t('newMessages', { n: 1 }), '1 new message');
  assert.equal(t('newMessages', { n: 0 }), '0 new messages');
  assert.equal(t('newMessages', { n: 3 }), '3 new messages');
  for (const n of [0, 1, 3]) {
    assert.equal(speaking('zh', 'zh-CN', () => t('newMessages', { n })), `${n} 条新消息`);
  }
});

test('numbers are written as the user writes them', () => {
  for (const [locale, number] of [['en-US', '123,456'], ['en-IN', '1,23,456'], ['zh', '123,456']]) {
    assert.equal(speaking('en', locale, () => t('unread', { n: 123_456 })), `${number} unread`);
  }
});

test('a value is put in as it is', () => {
  for (const name of ['$&', '{name}', '{room}', '<b>', '', '\\', '$1', '__proto__']) {
    assert.equal(t('mentioned', { name, room: '{name}' }), `${name} mentioned you in {name}`);
  }
  assert.equal(t('mentioned'), '{name} mentioned you in {room}');
});

test('a key that is missing shows itself', () => {
  assert.equal(t('no.such.key'), 'no.such.key');
});

// ---- The language ----

test('Chinese for all kinds of Chinese, English for all others', () => {
  for (const tag of ['zh', 'zh-CN', 'zh-TW', 'zh-Hant', 'zh-Hans-SG', 'ZH-cn', 'zh-Hant-HK']) {
    assert.equal(languageFor(tag), 'zh', tag);
  }
  for (const tag of ['en', 'en-GB', 'de', 'ja', 'zha', 'za', '', 'x-zh', undefined, 'en@posix']) {
    assert.equal(languageFor(tag), 'en', tag);
  }
});

test('dates and numbers are in the language of the words', () => {
  const cases = { en: 'en', 'en-US': 'en-US', 'en-au': 'en-au', 'zh-TW': 'zh-TW', zh: 'zh',
    de: 'en-GB', ja: 'en-GB', '': 'en-GB', 'en@posix': 'en-GB', 'zh@x': 'en-GB' };
  for (const [tag, locale] of Object.entries(cases)) {
    assert.equal(localeFor(tag), locale, tag);
    new Intl.DateTimeFormat(localeFor(tag)).format(0);
  }
});

// ---- Reasons ----

test('a refusal is told in our words, else in the server\'s, else by its number', () => {
  const reason = (status, detail) => whyText({ why: 'refused', status, detail });
  assert.equal(reason(401, 'No token.'), en['status.401']);
  assert.equal(reason(400, 'Field "room" is too long.'), 'Field "room" is too long.');
  assert.equal(reason(502), 'The server answered 502.');
  assert.equal(reason(502, ''), 'The server answered 502.');
  assert.equal(speaking('zh', 'zh-CN', () => reason(502)), '服务器返回了 502。');
  assert.equal(speaking('zh', 'zh-CN', () => reason(507, 'full')), zh['status.507']);
});

test('each state of the connection and each gap has words', () => {
  for (const why of ['lost', 'full', 'address', 'rooms', 'draining']) {
    assert.equal(whyText({ why }), en[`why.${why}`]);
  }
  assert.equal(whyText({ why: 'refused', status: 403, detail: 'x' }), en['status.403']);
  assert.equal(whyText({ why: 'refused', status: 418, detail: 'x' }), 'x');
  for (const why of ['', 'unreachable', 'silent', 'refused', 'new', '__proto__', undefined]) {
    assert.equal(whyText({ why, status: 0, detail: '' }), en['why.unreachable']);
  }
  for (const why of ['expired', 'restarted', 'unknown', 'new', undefined]) {
    assert.match(gapText({ reason: why }), /^Some messages were missed: the server .*\.$/);
  }
});

// ---- The elements ----

test('translate fills text, name and placeholder, and sets the language', () => {
  const element = (dataset) => ({
    dataset,
    attributes: {},
    setAttribute(name, value) { this.attributes[name] = value; },
  });
  const elements = [element({ t: 'send' }), element({ label: 'message', placeholder: 'message' })];
  const root = { querySelectorAll: (css) =>
    elements.filter(({ dataset }) => css.slice('[data-'.length, -1) in dataset) };
  globalThis.document = { documentElement: {} };
  speaking('zh', 'zh-TW', () => translate(root));
  assert.equal(document.documentElement.lang, 'zh');
  assert.equal(elements[0].textContent, '发送');
  assert.deepEqual(elements[1].attributes, { 'aria-label': '消息', placeholder: '消息' });
  translate(root);
  assert.equal(document.documentElement.lang, 'en');
  assert.equal(elements[0].textContent, 'Send');
});
