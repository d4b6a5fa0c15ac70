// Turns texts of strangers into nodes: strings become text, never HTML, and the time grows with the
// length only.

const EVENT_MAX = 64 * 1024;
const HOST_MAX = 255;

export function make(tag, className = '', ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

const STOP = /[\s\p{Cf}<>"`“”«»—…、-〃〈-〟！-･]/u;
const CLOSES = { '(': ')', '[': ']', '{': '}' };

function addressAt(text, start) {
  const open = [];
  let end = start;
  for (; end < text.length && !STOP.test(text[end]); end += 1) {
    const mark = text[end];
    if (CLOSES[mark]) open.push(CLOSES[mark]);
    else if (')]}'.includes(mark) && open.pop() !== mark) break;
  }
  while ('.,:;!?\'’*_~([{'.includes(text[end - 1])) end -= 1;
  return text.slice(start, end);
}

// An address with a user name pretends to be another: https://bank.example@evil.example.
function hrefOf(address) {
  try {
    if (address.split('/', 3)[2].length > HOST_MAX) return '';
    const { href, username, password } = new URL(address);
    return username + password ? '' : href;
  } catch {
    return '';
  }
}

// Chinese and Japanese put no spaces between words: 你好@ann请看 mentions ann.
const LETTER = '(?![\\p{scx=Han}\\p{scx=Hira}\\p{scx=Kana}])[\\p{L}\\p{M}\\p{N}_]';
const GOES_ON = new RegExp(`^${LETTER}`, 'u');
const BEGIN = new RegExp(`(?<!@|${LETTER})(?:@|https?://)`, 'gu');

const fold = (text) => text.replaceAll('İ', 'i').toLowerCase();

const lines = (text) => text.replace(/\r\n?|[\u2028\u2029]/g, '\n');

function addText(out, text, { me = '', names = [] }) {
  const low = fold(text);
  let known;
  let done = 0;
  let next = 0;
  const add = (start, piece) => {
    if (start > done) out.push({ type: 'text', text: text.slice(done, start) });
    if (piece) out.push(piece);
    done = next;
  };
  for (const { 0: mark, index: start } of low.matchAll(BEGIN)) {
    if (start < next) continue;
    if (mark === '@') {
      known ??= [...names, me].map(fold).filter((name) => name && low.includes(`@${name}`))
        .sort((a, b) => b.length - a.length);
      const name = known.find((one) => low.startsWith(one, start + 1)
        && !GOES_ON.test(low.slice(start + 1 + one.length, start + 3 + one.length)));
      if (!name) continue;
      next = start + 1 + name.length;
      add(start, { type: 'mention', text: text.slice(start, next), mine: name === fold(me) });
    } else {
      const address = addressAt(text, start);
      const href = hrefOf(address);
      next = start + address.length;
      if (href) add(start, { type: 'link', text: address, href });
    }
  }
  add(text.length);
}

export function pieces(text, ctx = {}) {
  const out = [];
  let done = 0;
  for (const match of text.matchAll(/```+(?:[\w+#.-]*\n| )?([^]*?)(```+|$)\n?/g)) {
    const before = text.slice(done, match.index);
    const code = match[1].trimEnd();
    // A fence that is never closed counts at the beginning of a line only.
    if (!code || !(match[2] || /(^|\n)$/.test(before))) continue;
    addText(out, before.replace(/\n$/, ''), ctx);
    out.push({ type: 'code', text: code });
    done = match.index + match[0].length;
  }
  addText(out, text.slice(done), ctx);
  return out;
}

const NODES = {
  text: ({ text }) => text,
  code: ({ text }) => make('pre', '', make('code', '', text)),
  link: ({ text, href }) => Object.assign(make('a', '', text),
    { href, dir: 'auto', target: '_blank', rel: 'noopener noreferrer nofollow' }),
  mention: ({ text, mine }) => make('bdi', mine ? 'mention mine' : 'mention', text),
};

export const textNodes = (text, ctx) =>
  pieces(lines(text), ctx).map((piece) => NODES[piece.type](piece));

const PICTURE = '(?:\\p{ExtPict}|\\p{RI}{2}|[0-9#*]\\ufe0f?\\u20e3)';
const EMOJI = `${PICTURE}(?:[\\ufe0f\\p{EMod}\\u{e0020}-\\u{e007f}]|\\u200d${PICTURE})*`;
const EMOJI_ONLY = new RegExp(`^\\s*(?:${EMOJI}\\s*){1,8}$`, 'u');
const INITIAL = new RegExp(`${EMOJI}|\\S\\p{M}{0,3}`, 'u');

export const isEmojiOnly = (text) => EMOJI_ONLY.test(text);

export const initialOf = (name) => (INITIAL.exec(name)?.[0] ?? '').toUpperCase();

export function hueOf(name) {
  let sum = 0;
  for (const character of name) sum = Math.imul(sum + character.codePointAt(0), 0x9e3779b1);
  return (sum >>> 8) % 6;
}

// JSON.stringify changes long numbers, and makes gigabytes of many brackets.
export function eventText(data) {
  let text = lines(`${data}`);
  try {
    const isSafe = text.length * text.split(/[[{]/).length < 1e6 && !/\d{16}/.test(text);
    if (isSafe) text = JSON.stringify(JSON.parse(text), null, 2);
  } catch { /* not JSON */ }
  return text.length > EVENT_MAX ? `${text.slice(0, EVENT_MAX)}…` : text;
}

export function eventNode({ event, data }) {
  const name = make('summary', '', event);
  name.dir = 'auto';
  return make('details', 'event', name, make('pre', '', eventText(data)));
}

export const characters = (text) => [...text].length;

export const printable = (text) => lines(text).replace(/[\0-\x08\x0b-\x1f\x7f-\x9f]/g, '');

export const isBlank = (text) => !/[^\s\p{DI}\u2800]/u.test(text);

// Invisible characters make two names look the same; emoji need some of them.
const nameable = (text) => printable(text).replace(/[\n\t]/g, ' ')
  .replace(/(?![\u200c\u200d\ufe00-\ufe0f\u{e0020}-\u{e01ef}])[\p{DI}\u2800]/gu, '').trim();

export const nameOf = (text) => nameable(text).replace(/\s+/g, ' ');

export function roomOf(text) {
  const room = nameable(text);
  if (!room) return { problem: 'blank' };
  if (/[,/]/.test(room)) return { problem: 'roomBad' };
  return new TextEncoder().encode(room).length > 64 ? { problem: 'nameLong' } : { room };
}
