// Unit tests of www/render.js: what a text becomes, and what that costs.
//
//   node --experimental-default-type=module --test test/page/render.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventNode, eventText, hueOf, initialOf, isEmojiOnly, make, pieces, textNodes }
  from '../../www/render.js';

const of = (type, text, ctx) =>
  pieces(text, ctx).filter((piece) => piece.type === type).map((piece) => piece.text);
const links = (text) => of('link', text);
const mentions = (text, ctx) => of('mention', text, ctx);

// Checks which part of each text becomes a link; '' means none.
function linkIn(cases) {
  for (const [text, link] of Object.entries(cases)) {
    assert.deepEqual(links(text), link ? [link] : [], text);
    assert.equal(pieces(text).map((piece) => piece.text).join(''), text);
  }
}

// ---- Links ----

test('a link ends before the marks of the sentence around it', () => {
  linkIn({
    'see http://a.example/b.': 'http://a.example/b',
    'http://a.example/b, and so on': 'http://a.example/b',
    'is it http://a.example/b?c=d?': 'http://a.example/b?c=d',
    'wow http://a.example/b!!!…': 'http://a.example/b',
    "'http://a.example/b'": 'http://a.example/b',
    '“http://a.example/b”': 'http://a.example/b',
    '«http://a.example/b»': 'http://a.example/b',
    '<http://a.example/b>': 'http://a.example/b',
    '"http://a.example/b"': 'http://a.example/b',
    '`http://a.example/b`': 'http://a.example/b',
    '*http://a.example/b* _http://_': 'http://a.example/b',
    'http://a.example/b\nhttp': 'http://a.example/b',
    'http://a.example/b.c/d:e;f,g!h': 'http://a.example/b.c/d:e;f,g!h',
    'http://a.example/b\'c': 'http://a.example/b\'c',
    'http://a.example/b~ ~': 'http://a.example/b',
    'http://a.example/~ann/': 'http://a.example/~ann/',
    'http://a.example/#/b?c&d=%20+-_': 'http://a.example/#/b?c&d=%20+-',
    'http://a.example': 'http://a.example',
    'http://127.0.0.1:8080/?room=dev': 'http://127.0.0.1:8080/?room=dev',
    'http://[::1]:8080/a': 'http://[::1]:8080/a',
    '(http://[::1])': 'http://[::1]',
  });
});

test('a link ends before Chinese and Japanese marks, and before full-width ones', () => {
  for (const mark of '。、，；：！？（）「」『』《》〈〉【】〔〕…—～｡､　') {
    linkIn({ [`看http://a.example/b${mark}好`]: 'http://a.example/b' });
  }
  linkIn({ '（http://a.example/维基/百科）': 'http://a.example/维基/百科' });
});

test('brackets that the address opens stay in it, others end it', () => {
  linkIn({
    '(see http://a.example/b)': 'http://a.example/b',
    '(see http://a.example/b).': 'http://a.example/b',
    '(see http://a.example/b.)': 'http://a.example/b',
    '(http://a.example/b)and more': 'http://a.example/b',
    'http://a.example/b_(c)': 'http://a.example/b_(c)',
    '(http://a.example/b_(c))': 'http://a.example/b_(c)',
    'http://a.example/b_(c_(d)).': 'http://a.example/b_(c_(d))',
    'http://a.example/b?c[]=1&d[0]=2': 'http://a.example/b?c[]=1&d[0]=2',
    '[a](http://a.example/b)': 'http://a.example/b',
    '{http://a.example/{b}}': 'http://a.example/{b}',
    '[http://a.example/b(c]': 'http://a.example/b(c',
    'http://a.example/b(': 'http://a.example/b',
    'http://a.example/b)(': 'http://a.example/b',
  });
});

test('a link can have any letters, and a scheme in upper case', () => {
  linkIn({
    'HTTPS://Example.ORG/Path': 'HTTPS://Example.ORG/Path',
    'hTTp://a.example': 'hTTp://a.example',
    'http://例え.example/あ': 'http://例え.example/あ',
    'http://bücher.example': 'http://bücher.example',
    'http://a.example/👍': 'http://a.example/👍',
    'İ http://a.example/ſK': 'http://a.example/ſK',
  });
  assert.equal(pieces('HTTP://BÜCHER.example/Ä')[0].href, 'http://xn--bcher-kva.example/%C3%84');
});

test('only a complete http or https address becomes a link', () => {
  for (const text of ['javascript:alert(1)', 'JavaScript://http/%0aalert(1)', 'data:text/html,<b>',
    'vbscript:x', 'file:///etc/passwd', 'ftp://a.example', 'blob:http', 'mailto:a@a.example',
    'www.a.example', '//a.example', 'http', 'http:', 'http:/', 'http://', 'http://...', 'http://)',
    'http:// a.example', 'https://?', 'https://#', 'http://a.example:99999/', 'http://[a]/',
    'http://%/', 'xhttp://a.example', '1http://a.example', 'http：//a.example']) {
    linkIn({ [text]: '' });
  }
});

test('an address with a user name, or with a host that is too long, is no link', () => {
  linkIn({
    'https://bank.example@evil.example/': '',
    'https://bank.example:x@evil.example/': '',
    'https://a.example/@ann': 'https://a.example/@ann',
    [`http://${'点'.repeat(300)}/`]: '',
    [`http://a.example/${'b'.repeat(3000)}`]: `http://a.example/${'b'.repeat(3000)}`,
  });
});

test('invisible characters that change the direction end a link', () => {
  for (const mark of '\u061c\u200b\u200e\u200f\u202a\u202e\u2066\u2069\ufeff') {
    linkIn({ [`http://a.example/b${mark}gpj.exe`]: 'http://a.example/b' });
  }
});

test('several links, and the text between them, keep their order', () => {
  assert.deepEqual(pieces('a http://b.example, (https://c.example/d) e'), [
    { type: 'text', text: 'a ' },
    { type: 'link', text: 'http://b.example', href: 'http://b.example/' },
    { type: 'text', text: ', (' },
    { type: 'link', text: 'https://c.example/d', href: 'https://c.example/d' },
    { type: 'text', text: ') e' },
  ]);
});

// ---- Mentions ----

const ctx = { me: 'ann', names: ['ann', 'Ann Lee', 'ben', '小明', '小明明', 'Иван', 'x+y', '👍', 'İz'] };

test('a mention is an @ and a known name', () => {
  const cases = {
    '@ben hi': ['@ben'],
    'hi @BEN!': ['@BEN'],
    '(@ben)': ['@ben'],
    '@ben, @ben': ['@ben', '@ben'],
    '@ben\'s': ['@ben'],
    '@иван?': ['@иван'],
    '@x+y': ['@x+y'],
    '@👍 yes': ['@👍'],
    '@İZ @iz': ['@İZ', '@iz'],
    'İİ @ben': ['@ben'],
    '@carl @ ben @': [],
    '@benny': [],
    '@ben_': [],
    '@ben2': [],
    '@be': [],
    'mail ann@ben.example': [],
    'é@ben': [],
    '@@ben': [],
    'http://a.example/@ben': [],
    '': [],
  };
  for (const [text, found] of Object.entries(cases)) {
    assert.deepEqual(mentions(text, ctx), found, text);
  }
});

test('of two names the longer one is meant', () => {
  assert.deepEqual(mentions('@ann lee, @ann Leeds, @Ann', ctx), ['@ann lee', '@ann', '@Ann']);
  assert.deepEqual(mentions('@小明明', ctx), ['@小明明']);
});

test('beside Chinese a mention needs no spaces', () => {
  assert.deepEqual(mentions('你好@ben请看', ctx), ['@ben']);
  assert.deepEqual(mentions('@小明你好，@小明。', ctx), ['@小明', '@小明']);
});

test('a mention of me is marked, with other letters too, and never one of others', () => {
  const mine = (text, me) => pieces(text, { ...ctx, me }).filter((piece) => piece.mine).length;
  assert.equal(mine('@ann', 'ann'), 1);
  assert.equal(mine('@ANN', 'ann'), 1);
  assert.equal(mine('@ann lee', 'ann'), 0);
  assert.equal(mine('@ann', ''), 0);
  assert.equal(mine('@zoe', 'zoe'), 1);
  assert.deepEqual(pieces('@ @', { me: '', names: [''] }), [{ type: 'text', text: '@ @' }]);
  assert.deepEqual(pieces('@ben', { names: new Set(['ben']) })[0].mine, false);
  assert.deepEqual(pieces('@ben'), [{ type: 'text', text: '@ben' }]);
});

test('a name can be anything', () => {
  for (const name of ['__proto__', 'constructor', '.*', '$&', '(', '\\', 'a\nb', '<b>', 'http:']) {
    assert.deepEqual(mentions(`@${name}`, { names: [name] }), [`@${name}`]);
    assert.deepEqual(mentions(`@${name}`, { names: ['ann'] }), []);
  }
});

// ---- Code ----

test('fenced code is code, without its fence, its language and the line ends beside it', () => {
  const shape = (text) => pieces(text).map((piece) => `${piece.type}:${piece.text}`);
  assert.deepEqual(shape('a\n```js\nlet b;\n```\nc'), ['text:a', 'code:let b;', 'text:c']);
  assert.deepEqual(shape('```\n  a\n\n b\n```'), ['code:  a\n\n b']);
  assert.deepEqual(shape('call ```f()``` now'), ['text:call ', 'code:f()', 'text: now']);
  assert.deepEqual(shape('```one``````two```'), ['code:one', 'text:two```']);
  assert.deepEqual(shape('```c++\nx```'), ['code:x']);
  assert.deepEqual(shape('``` x ```'), ['code:x']);
  assert.deepEqual(shape('````\nx\n````'), ['code:x']);
  assert.deepEqual(shape('```two words\nx```'), ['code:two words\nx']);
});

test('code that is never closed begins at the beginning of a line only', () => {
  assert.deepEqual(pieces('```sh\nls'), [{ type: 'code', text: 'ls' }]);
  assert.deepEqual(pieces('a\n```\nb').at(-1), { type: 'code', text: 'b' });
  assert.deepEqual(pieces('type ``` for code'), [{ type: 'text', text: 'type ``` for code' }]);
});

test('a fence with nothing in it stays text', () => {
  for (const text of ['```', '``````', '```\n```', '```js\n\n```', '`````````']) {
    assert.deepEqual(pieces(text), [{ type: 'text', text }]);
  }
});

test('code has no links and no mentions', () => {
  assert.deepEqual(pieces('```\n@ann http://a.example\n```', ctx),
    [{ type: 'code', text: '@ann http://a.example' }]);
});

// ---- What it costs ----

// Runs the work on texts of 16 and of 128 KiB. The long one may take 8 times as long, and five times
// that for the garbage; work that grows with the square takes 64 times. Counts the time of the
// processor, because the machine can do other things meanwhile.
function isLinear(name, unit, work) {
  const spent = () => Object.values(process.cpuUsage()).reduce((sum, us) => sum + us / 1000, 0);
  const quickest = (size) => {
    const text = unit.repeat(size / unit.length);
    let least = Infinity;
    for (let turn = 0; turn < 8; turn += 1) {
      const start = spent();
      work(text);
      least = Math.min(least, spent() - start);
    }
    return least;
  };
  quickest(16_384);   // compiled from here on
  const short = Math.max(quickest(16_384), 0.05);
  const long = quickest(131_072);
  assert.ok(long < 40 * short, `${name}: ${long} ms for 128 KiB, ${short} ms for 16 KiB`);
}

const HOSTILE = ['.', 'http://', '@', '```', '(', ')', '@ ', '@a ', ' @ann', 'http://a)',
  'http://(', 'http://a.', '```a', '```\n', '`', '"', '[', '\\', '{"":', '"\\', 'http://?',
  'http://点', '点', '\u200d', '👍\u200d', '👍', '🇩', '\n', ' ', '\u0301', 'İ', 'http://[',
  'http://a.example,'];

test('the work on a text grows with its length only', () => {
  const names = Array.from({ length: 200 }, (_, n) => 'a '.repeat(n % 16).trim() + n);
  for (const unit of HOSTILE) {
    isLinear(`pieces ${unit}`, unit, (text) => pieces(text, { me: 'ann', names }));
    isLinear(`isEmojiOnly ${unit}`, unit, isEmojiOnly);
    isLinear(`eventText ${unit}`, unit, eventText);
    isLinear(`initialOf ${unit}`, unit, initialOf);
  }
});

test('nothing of a hostile text gets lost', () => {
  for (const unit of HOSTILE) {
    const text = `a${unit.repeat(50)}`;
    const kept = pieces(text, ctx).map((piece) => piece.text).join('');
    const bare = (string) => string.replace(/[`\s]/g, '');
    assert.equal(bare(kept), bare(text));
  }
});

// ---- Emoji, initials, colours ----

test('up to eight emoji and white space are emoji only', () => {
  for (const text of ['😀', ' 😀\n😀 ', '👍🏽', '❤️', '❤', '🇩🇪', '🇩🇪🇫🇷', '👨‍👩‍👧‍👦', '🏳️‍🌈', '👨🏽‍❤️‍💋‍👨🏻',
    '1️⃣', '#️⃣*️⃣', '🏴󠁧󠁢󠁥󠁮󠁧󠁿', '🙂‍↔️', '✅', '☀️', '⛹🏿‍♀️', '😀'.repeat(8),
    '👨🏽‍❤️‍💋‍👨🏻'.repeat(8), '🏴󠁧󠁢󠁥󠁮󠁧󠁿'.repeat(8), '©️']) {
    assert.ok(isEmojiOnly(text), text);
  }
});

test('anything else is not', () => {
  for (const text of ['', ' ', '1', '12', '#', '*', 'a', '😀a', 'a😀', '😀'.repeat(9), '🇩', '🏽',
    '\u200d', '\ufe0f', '😀\u200d', '\u{e0067}', '中', ':)', '😀 1', '\ud83d', '👍'.repeat(2000)]) {
    assert.ok(!isEmojiOnly(text), text);
  }
});

test('the initial is the first character as it is seen, in upper case', () => {
  const cases = { ann: 'A', ' ann': 'A', 'élan': 'É', 'e\u0301lan': 'E\u0301', '小明': '小',
    '👨‍👩‍👧 us': '👨‍👩‍👧', '🇩🇪': '🇩🇪', '1': '1', иван: 'И', '': '', ' ': '' };
  for (const [name, initial] of Object.entries(cases)) assert.equal(initialOf(name), initial);
  assert.ok(initialOf(`a${'\u0301'.repeat(31)}`).length < 5);
});

test('a name has one of six colours, always the same', () => {
  for (const name of ['', 'ann', '小明', '\ud83d', '__proto__']) {
    assert.ok([0, 1, 2, 3, 4, 5].includes(hueOf(name)));
    assert.equal(hueOf(name), hueOf(name));
  }
  assert.equal(new Set(Array.from({ length: 100 }, (_, n) => hueOf(`user ${n}`))).size, 6);
});

// ---- Named events ----

test('JSON is broken into lines', () => {
  assert.equal(eventText(' { "a" : [1,{"b":"x\\"{,: "},[],{}] } '),
    ['{', '  "a": [', '    1,', '    {', '      "b": "x\\"{,: "', '    },', '    [],', '    {}',
      '  ]', '}'].join('\n'));
  for (const data of ['[]', '{}', '[[],[]]', '{"":""}', '["\\"","\\\\"]', '[-1e5,true,null]']) {
    assert.deepEqual(JSON.parse(eventText(data)), JSON.parse(data));
  }
});

test('other data, and numbers that would be rounded, are shown as they are', () => {
  for (const data of ['', 'hello', '"a"', '12', 'null', '{', '[1,]', '{"a":1} x', ' \n', '<b>',
    '{"n":12345678901234567890}', '[0.12345678901234567890]', '{"n":9007199254740993}']) {
    assert.equal(eventText(data), data);
  }
  for (const data of [undefined, null, 5, {}, []]) assert.equal(typeof eventText(data), 'string');
});

test('an event is cut at 64 Ki characters, and its lines are counted', () => {
  const cut = 64 * 1024 + 1;
  assert.equal(eventText('a'.repeat(1e6)).length, cut);
  assert.equal(eventText(`${'['.repeat(500)}${']'.repeat(500)}`).length, cut);
  assert.equal(eventText(`${'['.repeat(30_000)}${']'.repeat(30_000)}`).length, 60_000);
});

// ---- Nodes, with as much of a document as they need ----

function useDocument() {
  class Element {
    constructor(tag) { Object.assign(this, { tag, children: [] }); }
    append(...children) { this.children.push(...children); }
    get text() { return this.children.map((child) => child.text ?? child).join(''); }
  }
  globalThis.document = {
    createElement: (tag) => new Element(tag),
  };
}

test('a text becomes text nodes, and elements without a class of its own choice', () => {
  useDocument();
  const nodes = textNodes('a <b> @ann\r\nhttp://a.example/<i> ```<u>```', ctx);
  assert.deepEqual(nodes.map((node) => [node.tag ?? '', node.text ?? node]), [['', 'a <b> '],
    ['bdi', '@ann'], ['', '\n'], ['a', 'http://a.example/'], ['', '<i> '], ['pre', '<u>']]);
  assert.equal(nodes[1].className, 'mention mine');
  assert.equal(nodes[3].href, 'http://a.example/');
  assert.equal(nodes[3].rel, 'noopener noreferrer nofollow');
  assert.equal(nodes[3].target, '_blank');
});

test('an event is a closed element with its name and its data', () => {
  useDocument();
  const node = eventNode({ id: '1-0', event: '<b>news', data: '{"a":1}' });
  assert.deepEqual([node.tag, node.className], ['details', 'event']);
  assert.deepEqual(node.children.map((child) => [child.tag, child.text]),
    [['summary', '<b>news'], ['pre', '{\n  "a": 1\n}']]);
  for (const item of [{}, { event: null, data: null }, { event: {}, data: [] }]) eventNode(item);
});

test('make keeps strings as text', () => {
  useDocument();
  assert.deepEqual(make('p', 'a', '<b>', make('i')).children[0], '<b>');
  assert.equal(make('p').className, undefined);
});
