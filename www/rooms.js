// The lists at the side: the rooms that are joined or offered, and the people of the one that is
// shown. The address names the room.

import { make, roomOf } from './render.js';
import { drawFace } from './row.js';
import { t } from './words.js';

const LISTED = 100;
const COPIED_MS = 3000;
const PRESSED_MS = 200;

export const hrefOf = (room) => `#${encodeURIComponent(room)}`;

export function roomOfAddress(otherwise) {
  let asked = location.hash.slice(1);
  try { asked = decodeURIComponent(asked); } catch { /* a % that stands for itself */ }
  asked ||= new URLSearchParams(location.search).get('room') ?? '';
  return roomOf(asked).room ?? otherwise;
}

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const focused = document.activeElement;
  const box = make('textarea', 'unseen', text);
  document.body.append(box);
  box.select();
  document.execCommand('copy');
  box.remove();
  focused.focus();
}

export function copiesLink(button, room) {
  button.addEventListener('click', async () => {
    const { href } = new URL(location.pathname + hrefOf(room()), location);
    button.textContent = await copy(href).then(() => t('copied'), () => href);
    setTimeout(() => { button.textContent = t('copyLink'); }, COPIED_MS);
  });
}

// A click on what is replaced before the button of the mouse is released would be lost.
function isPressed(list, draw) {
  const pressed = list.matches(':active');
  if (pressed) setTimeout(draw, PRESSED_MS);
  return pressed;
}

export function createRooms({ $, api, store, current, unread, onRooms, onLink }) {
  let listed = [];
  let drawn = '';

  // On a small screen, the text is in a drawer.
  function say(text) {
    $['room-error'].textContent = text;
    if (text && !$.side.getClientRects().length) $.side.showPopover?.();
  }

  function join(room) {
    const joined = store.join(room);
    if (joined) onRooms(store.rooms(), []);
    else say(t('roomsFull', { n: store.rooms().length }));
    return joined;
  }

  function leave(rooms, why = '') {
    rooms.forEach(store.leave);
    onRooms(store.rooms(), rooms);
    say(why);
    draw();
  }

  function drawRoom(room, count, label) {
    const name = make('span', 'clip', room);
    name.dir = 'auto';
    name.title = room;
    const link = make('a', '', name);
    link.href = hrefOf(room);
    if (room === current()) link.setAttribute('aria-current', 'page');
    if (count) {
      const number = make('span', label === 'unread' ? 'count' : 'soft', String(count));
      number.setAttribute('aria-hidden', 'true');
      link.append(' ', number, make('span', 'unseen', t(label, { n: count })));
    }
    return make('li', '', link);
  }

  function drawJoined(room) {
    const item = drawRoom(room, unread(room), 'unread');
    const button = make('button', 'icon', '×');
    button.type = 'button';
    button.setAttribute('aria-label', t('leave', { room }));
    button.addEventListener('click', () => leave([room]));
    if (store.rooms().length > 1) item.append(button);
    return item;
  }

  function draw() {
    const joined = store.rooms();
    const offered = listed.filter(({ room }) => !joined.includes(room) && roomOf(room).room === room)
      .sort((a, b) => a.room.localeCompare(b.room));
    const now = JSON.stringify([joined, joined.map(unread), offered, current()]);
    if (now === drawn || isPressed($.side, draw)) return;
    drawn = now;
    const { activeElement: focused } = document;
    const { hash } = focused?.closest('#rooms li, #offered li')?.firstChild ?? {};
    $.rooms.replaceChildren(...joined.map(drawJoined));
    $.offered.replaceChildren(...offered.map(({ room, online }) => drawRoom(room, online, 'online')));
    $['offered-title'].hidden = !offered.length;
    if (!hash) return;
    const links = [...$.side.querySelectorAll('li > a')];
    const link = links.find((other) => other.hash === hash) ?? links[0];
    (link.parentElement.querySelector(focused.localName) ?? link).focus();
  }

  $['other-room'].addEventListener('submit', (event) => {
    event.preventDefault();
    const { room, problem } = roomOf($.room.value);
    say(problem ? t(problem) : '');
    if (problem || !join(room)) return;
    $.room.value = '';
    location.hash = hrefOf(room);
  });

  // The drawer covers the conversation, which must not get the focus then.
  $.side.addEventListener('beforetoggle', ({ newState }) => { $.main.inert = newState === 'open'; });
  $.side.addEventListener('click', ({ target }) => { if (target.closest('a')) onLink(); });

  return {
    draw, join, leave,
    async load() {
      listed = await api.rooms().catch(() => listed);
      draw();
      return listed;
    },
  };
}

export function createPeople({ $, store, current, me, authors, onMention, onHide }) {
  const present = new Map();   // by room; the stream tells of a room only when it changes
  let person = '';
  let drawn = '';

  function open(name) {
    person = name;
    $['person-name'].textContent = name;
    $.mention.textContent = t('mention', { name });
    $.hide.textContent = t(store.isHidden(name) ? 'show' : 'hide', { name });
    $.person.showModal();
  }

  const names = () => present.get(current())?.names ?? [];

  function drawPerson(name, here) {
    const label = make('span', 'clip', name);
    label.dir = 'auto';
    label.title = name;
    const notes = [name === me() ? 'you' : !here.includes(name) && 'away',
      store.isHidden(name) && 'hidden'].filter(Boolean).map((key) => t(key));
    const button = make(name === me() ? 'span' : 'button', 'person', drawFace(name, 'small'), label,
      ' ', make('span', 'soft', notes.join(', ')));
    if (name !== me()) {
      button.type = 'button';
      button.addEventListener('click', () => open(name));
    }
    return make('li', '', button);
  }

  function draw() {
    const here = names();
    const listed = [...new Set([...here, ...authors(), ...store.hidden()])];
    const online = present.get(current())?.online;
    $.online.textContent = online ? t('online', { n: online }) : '';
    const now = JSON.stringify([listed, here, store.hidden(), me()]);
    if (now === drawn || isPressed($.people, draw)) return;
    drawn = now;
    const focused = document.activeElement?.closest('#people button')?.querySelector('.clip').title;
    $.people.replaceChildren(...listed.map((name) => drawPerson(name, here)));
    if (here.length === LISTED) $.people.append(make('li', 'soft', '…'));
    if (!listed.length) $.people.append(make('li', 'soft', t('anonymous')));
    if (!focused) return;
    [...$.people.querySelectorAll('button')]
      .find((button) => button.querySelector('.clip').title === focused)?.focus();
  }

  $.mention.addEventListener('click', () => {
    $.person.close();
    onMention(person);
  });

  $.hide.addEventListener('click', () => {
    $.person.close();
    onHide(person, !store.isHidden(person));
    draw();
  });

  $.person.addEventListener('click', ({ target }) => {
    if (target === $.person) $.person.close();
  });

  return {
    draw, names,
    show(presence) {
      present.set(presence.room, presence);
      draw();
    },
  };
}
