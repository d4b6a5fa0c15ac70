// Draws the items of a conversation: messages, events, gaps.
//
//   entry
//     p.line        the day, if it begins here; the unread line
//     article.row   face | name time
//                        | text

import { eventNode, hueOf, initialOf, isEmojiOnly, make, printable, textNodes } from './render.js';
import { gapText, t, words } from './words.js';

const GROUP_MS = 5 * 60_000;

const format = (options) => new Intl.DateTimeFormat(words.locale, options);
const clock = format({ hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const full = format({ dateStyle: 'full', timeStyle: 'medium' });
const day = format({ weekday: 'long', day: 'numeric', month: 'long' });

export const drawLine = (className, text) => make('p', `line ${className}`, make('span', '', text));

export function drawFace(name, className = '') {
  const face = make('span', `face ${className} hue${hueOf(name)}`, initialOf(name));
  face.setAttribute('aria-hidden', 'true');
  return face;
}

function drawEntry(row, iso) {
  const entry = make('div', 'entry', row);
  const when = new Date(iso);
  if (Number.isNaN(when.getTime())) return entry;
  const time = make('time', '', clock.format(when));
  time.dateTime = iso;
  time.title = full.format(when);
  row.append(time);
  Object.assign(entry.dataset, { day: day.format(when), ms: when.getTime() });
  return entry;
}

function drawMessage({ name, message, time }, context) {
  const label = make('b', `name clip hue${hueOf(name)}`, name);
  const text = context.hidden ? make('div', 'text soft', t('hidden'))
    : make('div', 'text', ...textNodes(printable(message), context));
  label.title = name;
  text.dir = label.dir = 'auto';
  text.classList.toggle('emoji', !context.hidden && isEmojiOnly(message));
  const row = make('article', 'row', drawFace(name), label, text);
  row.classList.toggle('own', !!context.own);
  row.classList.toggle('mentioned', !!text.querySelector('.mine'));
  const entry = drawEntry(row, time);
  entry.dataset.name = name;
  return entry;
}

export function drawItem(item, context) {
  if (item.gap) return make('div', 'entry', drawLine('gap', gapText(item)));
  if (item.message !== undefined) return drawMessage(item, context);
  // A stream does not tell the time of an event, but its id begins with it.
  return drawEntry(make('article', 'row plain', eventNode(item)),
    item.time ?? new Date(parseInt(item.id, 10)).toISOString());
}

export function relate(entry, above) {
  if (!entry) return;
  const { dataset } = entry;
  if (!dataset.day && above?.dataset.day) dataset.day = above.dataset.day;
  const begins = !!dataset.day && above?.dataset.day !== dataset.day;
  const line = entry.querySelector('.day');
  if (begins && !line) entry.prepend(drawLine('day', dataset.day));
  if (!begins) line?.remove();
  entry.querySelector('.row')?.classList.toggle('follows', !begins && !!dataset.name
    && dataset.name === above?.dataset.name && dataset.ms - above.dataset.ms < GROUP_MS
    && !entry.querySelector('.unread') && !entry.querySelector('.own') === !above.querySelector('.own'));
}

function copyOf(entry, range) {
  const lines = [...entry.querySelectorAll('.line')].filter((line) => range.intersectsNode(line))
    .map((line) => line.textContent);
  const text = entry.querySelector('.text, .event')?.innerText;
  const time = entry.querySelector('time')?.textContent;
  const { name } = entry.dataset;
  if (text) lines.push(`${time ? `[${time}] ` : ''}${name ? `${name}: ` : ''}${text}`);
  return lines.join('\n');
}

export function copiesRows(log) {
  log.addEventListener('copy', (event) => {
    if (getSelection().isCollapsed) return;
    const range = getSelection().getRangeAt(0);
    const { startContainer, endContainer, endOffset } = range;
    const entries = [...log.querySelectorAll('.entry')].filter((entry) => range.intersectsNode(entry));
    // A triple click also selects the beginning of the next row.
    if (!endOffset && entries.length > 1 && entries.at(-1).contains(endContainer)) entries.pop();
    const start = startContainer.closest ? startContainer : startContainer.parentElement;
    if (entries.length < 2 && start.closest('.text, .event, .line, .state')) return;
    event.clipboardData.setData('text/plain', entries.map((entry) => copyOf(entry, range)).join('\n'));
    event.preventDefault();
  });
}

export function createPending({ box, contextOf, sending }) {
  const nodes = new Map();
  let entries = [];

  function drawAction(key, action) {
    const button = make('button', '', t(action));
    button.type = 'button';
    button.addEventListener('click', () => sending().act(key, action));
    return button;
  }

  function showState(node, entry) {
    const failed = entry.state === 'failed';
    const words = make('span', '', sending().why(entry));
    const state = node.querySelector('.state');
    node.querySelector('.row').classList.toggle('failed', failed);
    if (state.firstChild?.textContent === words.textContent) return;
    if (failed) words.setAttribute('role', 'alert');
    state.replaceChildren(words,
      ...(failed ? ['retry', 'edit'].map((action) => drawAction(entry.key, action)) : []));
  }

  function drawOwn(entry) {
    const time = new Date(entry.at).toISOString();
    const node = drawMessage({ ...entry, time }, { ...contextOf(entry), own: true, hidden: false });
    node.dataset.key = entry.key;
    node.querySelector('.row').append(make('p', 'state'));
    nodes.set(entry.key, node);
    box.append(node);
    return node;
  }

  return {
    set(list) { entries = list; },
    draw(above) {
      for (const [key, node] of nodes) {
        if (entries.some((entry) => entry.key === key)) continue;
        node.remove();
        nodes.delete(key);
      }
      for (const entry of entries) showState(nodes.get(entry.key) ?? drawOwn(entry), entry);
      for (const node of box.children) relate(node, node.previousElementSibling ?? above);
    },
  };
}
