// Draws a part of a conversation: `first` to `last`, at most 300 rows. At the end it moves on with
// the conversation; for a reader further up, rows leave at the far end only.

import { copiesRows, createPending, drawItem, drawLine, relate } from './row.js';
import { createScroll } from './scroll.js';
import { t } from './words.js';

const ROWS = 300;
const STEP = 50;
const KEPT = 2000;
const HIDDEN_FRAME_MS = 500;

export function createLog({ $, contextOf, onRead, onTop, sending }) {
  let conversation = { items: [], state: {} };
  let first = 0;
  let last = 0;
  let known = 0;
  let asked = false;

  const rows = $.rows;
  const pending = createPending({ box: $.pending, contextOf, sending });
  const scroll = createScroll({
    scroller: $.scroller, column: $.column, rows,
    atEnd: () => last === conversation.items.length, onEdge, onScroll,
  });

  function draw(item) {
    const node = drawItem(item, contextOf(item));
    if (item.id) node.dataset.id = item.id;
    if (item.id && item.id === conversation.state.unreadFrom) {
      dropUnread();
      node.prepend(drawLine('unread', t('newSince')));
    }
    return node;
  }

  function dropUnread() {
    const line = rows.querySelector('.unread');
    const entry = line?.parentElement;
    line?.remove();
    relate(entry, entry?.previousElementSibling);
  }

  function drawDown(count) {
    for (const end = Math.min(last + count, conversation.items.length); last < end; last += 1) {
      const node = draw(conversation.items[last]);
      const above = rows.lastElementChild;
      rows.append(node);
      relate(node, above);
    }
  }

  function drawUp(count) {
    const from = Math.max(0, first - count);
    const below = rows.firstElementChild;
    const nodes = conversation.items.slice(from, first).map(draw);
    rows.prepend(...nodes);
    nodes.forEach((node, i) => relate(node, nodes[i - 1]));
    relate(below, nodes.at(-1));
    first = from;
  }

  function cutAbove(limit) {
    for (; last - first > limit; first += 1) rows.firstElementChild.remove();
    relate(rows.firstElementChild, null);
  }

  function cutBelow(limit) {
    for (; last - first > limit; last -= 1) rows.lastElementChild.remove();
  }

  function insert(index) {
    const below = rows.children[index - first];
    const node = draw(conversation.items[index]);
    const above = scroll.isAbove(below);
    rows.insertBefore(node, below);
    relate(node, node.previousElementSibling);
    relate(below, node);
    if (above) cutAbove(ROWS);
    else cutBelow(ROWS);
  }

  const indexOf = (entry) => [...rows.children].indexOf(entry);

  function jump(index) {
    rows.replaceChildren();
    first = index;
    last = index;
  }

  function schedule() {
    if (asked) return;
    asked = true;
    if (document.hidden) setTimeout(drawFrame, HIDDEN_FRAME_MS);
    else requestAnimationFrame(drawFrame);
  }

  function drawFrame() {
    asked = false;
    if (scroll.pinned()) drawEnd();
    else if (last >= known) drawDown(ROWS - (last - first));
    known = conversation.items.length;
    pending.draw(rows.lastElementChild);
    showButtons();
    if (!scroll.pinned()) return;
    scroll.toBottom();
    onRead();
  }

  function drawEnd() {
    const { items } = conversation;
    if (items.length - last > STEP) jump(items.length - STEP);
    drawDown(STEP);
    if (last - first > ROWS) cutAbove(ROWS - STEP);
    if (items.length > KEPT + STEP) forget(items.length - KEPT);
  }

  function forget(count) {
    conversation.trim(count);
    first -= count;
    last -= count;
  }

  function onEdge(side) {
    if (side === 'down' && last < conversation.items.length) {
      quietly(() => scroll.keep(() => { drawDown(STEP); cutAbove(ROWS); }));
    } else if (side === 'up' && first > 0) {
      quietly(() => scroll.keep(() => { drawUp(STEP); cutBelow(ROWS); }));
    } else if (side === 'up' && conversation.state.more) {
      onTop();
    }
  }

  // Adds rows that are not new, which a screen reader must not read out.
  function quietly(change) {
    $.log.setAttribute('aria-busy', 'true');
    change();
    setTimeout(() => { $.log.setAttribute('aria-busy', !conversation.state.loaded); });
  }

  function showButtons() {
    const { items, state } = conversation;
    if (document.activeElement === $.older && !state.more) $.scroller.focus();
    $.older.hidden = !state.more || first > 0;
    $.empty.hidden = !state.loaded || items.length > 0 || !!$.pending.firstElementChild;
    $.newer.hidden = scroll.pinned();
    $.newer.textContent = state.unread ? t('newMessages', { n: state.unread }) : t('toEnd');
  }

  function onScroll() {
    showButtons();
    if (scroll.pinned()) onRead();
  }

  function toEnd() {
    scroll.toBottom();
    if (last < known) quietly(drawFrame);
    else drawFrame();
  }

  copiesRows($.log);

  $.rows.addEventListener('click', ({ target }) => {
    if (target.closest('summary')) scroll.release();
  });

  $.scroller.addEventListener('keydown', (event) => {
    if (event.key !== 'End') return;
    event.preventDefault();
    toEnd();
  });

  return {
    show(next) {
      const left = scroll.place();
      conversation.state.place = left
        && { item: conversation.items[first + indexOf(left.entry)], top: left.top };
      conversation = next;
      known = next.items.length;
      const { place } = next.state;
      quietly(() => {
        const index = place ? Math.max(0, next.items.indexOf(place.item)) : known;
        jump(Math.max(0, index - STEP));
        drawDown(place ? 2 * STEP : STEP);
        if (place) scroll.go(rows.children[index - first], place.top);
        else scroll.toBottom();
      });
      schedule();
    },
    inserted(index) {
      if (index < known) known += 1;
      if (index < first) first += 1;
      if (index < last) last += 1;
      if (index >= first && index < last) insert(index);
      schedule();
    },
    prepended(count) {
      first += count;
      last += count;
      known += count;
      quietly(() => scroll.keep(() => {
        drawUp(STEP);
        if (!scroll.pinned()) cutBelow(ROWS);
      }));
      schedule();
    },
    loaded() {
      if ($.log.getAttribute('aria-busy') === 'true') quietly(drawFrame);
      else schedule();
    },
    setPending(entries) {
      pending.set(entries);
      schedule();
    },
    clearUnread() {
      conversation.state.unreadFrom = '';
      dropUnread();
    },
    redraw() {
      const count = last - first;
      const place = scroll.place();
      const index = place && indexOf(place.entry);
      quietly(() => {
        jump(first);
        drawDown(count);
        if (place) scroll.go(rows.children[index], place.top);
        else scroll.toBottom();
      });
    },
    toEnd, showButtons,
    pinned: scroll.pinned,
  };
}
