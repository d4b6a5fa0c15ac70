// Writing: the text box with each room's draft, the name, and our own messages until they are sent.

import { characters, isBlank, nameOf, printable } from './render.js';
import { t, whyText } from './words.js';

const MESSAGE_MAX = 4096;      // characters; the server refuses longer ones
const NAME_MAX = 32;
const SOON_FULL = 400;
const SLOW_MS = 5000;

// Enter in an input method (Chinese, Japanese, Korean) only confirms a word; in Safari only the key
// code 229 shows that.
const isComposing = (event) => event.isComposing || event.keyCode === 229;

export function createComposer({ $, store, signedName, onSend, onName, lastOwn }) {
  let room = '';
  let name = signedName || store.get('name');
  let waits = false;           // a message, for a name that can be used

  function hint(text, bad = false) {
    $.hint.textContent = text;
    $.hint.classList.toggle('error', bad);
  }

  function showLength() {
    const left = MESSAGE_MAX - characters(printable($.text.value));
    $.grow.dataset.text = $.text.value;
    if (left < 0) hint(t('over', { n: -left }), true);
    else hint(left < SOON_FULL ? t('left', { n: left }) : '');
  }

  // Writes nothing: tabs that did would bring back what was sent.
  function showDraft() {
    $.text.value = store.get(`draft:${room}`);
    showLength();
  }

  function keepDraft() {
    store.set(`draft:${room}`, $.text.value);
    showLength();
  }

  function setText(text) {
    $.text.value = text;
    keepDraft();
  }

  function showName(asked = !name) {
    $.naming.hidden = !!signedName || !asked;
    $.rename.hidden = !!signedName || asked;
    $.me.textContent = $.me.title = asked ? '' : name;
    if (document.activeElement !== $.name) $.name.value = name;
  }

  function takeName() {
    const wanted = nameOf($.name.value);
    const tooLong = characters(wanted) > NAME_MAX;
    hint(tooLong ? t('nameLong') : '', tooLong);
    if (tooLong || wanted === name) return !tooLong;
    name = wanted;
    store.set('name', name);
    onName(name);
    return true;
  }

  $.name.addEventListener('blur', () => { if (takeName()) showName(); });

  $.name.addEventListener('keydown', (event) => {
    if (isComposing(event) || !['Enter', 'Escape'].includes(event.key)) return;
    event.preventDefault();
    if (event.key === 'Escape') $.name.value = name;
    if (!takeName()) return;
    $.text.focus();
    if (waits && event.key === 'Enter') $.composer.requestSubmit();
  });

  $.rename.addEventListener('click', () => {
    showName(true);
    $.name.select();
  });

  $.text.addEventListener('input', keepDraft);

  $.text.addEventListener('keydown', (event) => {
    if (isComposing(event)) return;
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      $.composer.requestSubmit();
    } else if (event.key === 'ArrowUp' && !$.text.value && lastOwn()) {
      event.preventDefault();
      setText(lastOwn());
    }
  });

  $.composer.addEventListener('submit', (event) => {
    event.preventDefault();
    const text = printable($.text.value);
    const over = characters(text) - MESSAGE_MAX;
    waits = !$.naming.hidden && !takeName();
    if (waits) $.name.focus();
    else if (isBlank(text)) hint(t('blank'), true);
    else if (over > 0) hint(t('over', { n: over }), true);
    else {
      setText('');
      $.text.focus();
      onSend(text, name);
    }
  });

  // Chrome gives the focus back to a text box, but not the cursor: nothing could be typed.
  for (const dialog of document.querySelectorAll('dialog')) {
    dialog.addEventListener('close', () => {
      const { value } = document.activeElement;
      document.activeElement.setSelectionRange?.(value.length, value.length);
    });
  }

  showName();

  return {
    name: () => name,
    show(next) {
      room = next;
      $.text.placeholder = t('messageTo', { room });
      showDraft();
    },
    add(text) {
      setText([$.text.value.trimEnd(), text].filter(Boolean).join(' '));
      $.text.focus();
    },
    changed(key, old) {
      if (key === 'name' && !signedName) {
        name = store.get('name');
        showName();
        onName(name);
      } else if (key === `draft:${room}` && $.text.value === (old ?? '')) {
        showDraft();
      }
    },
  };
}

export function createSending({ store, log, net, room, onSent, onEdit }) {
  let entries = [];

  const here = () => entries.filter((entry) => entry.room === room());
  const show = () => log.setPending(here());

  return {
    show,
    last: () => here().at(-1)?.message,

    send(message, name) {
      const entry = {
        key: crypto.getRandomValues(new Uint32Array(4)).join('-'),
        room: room(), name: name || 'anonymous', message, at: Date.now(), state: 'waiting',
      };
      store.keep(entry);
      entries = [...entries, entry];
      net().send(entry);
      show();
      log.toEnd();
    },

    update(list) {
      const kept = new Set(store.waiting().map(({ key }) => key));
      for (const entry of list) if (kept.has(entry.key)) store.keep(entry);
      entries = list;
      show();
    },

    // A message of a closed tab can be in the conversation before it is known as our own.
    sent({ key, ...item }) {
      store.addMine(item.id);
      store.forget(key);
      if (!onSent(item)) log.redraw();
    },

    why(entry) {
      if (entry.state === 'failed') return `${t('failed')} · ${whyText(entry)}`;
      if (Date.now() - entry.at < SLOW_MS) return t('sending');
      const first = entries.find(({ state, why }) => state !== 'failed' && why) ?? entry;
      return `${t('unsent')} · ${whyText(first)}`;
    },

    act(key, action) {
      if (action === 'retry') {
        net().again(key);
        return;
      }
      store.takeBack(key);
      net().drop(key);
      const entry = entries.find((other) => other.key === key);
      if (entry) onEdit(entry.message);
    },
  };
}
