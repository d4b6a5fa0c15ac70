// Tells how the connection is, and, while the page is hidden, what is unread.

import { t, whyText } from './words.js';

const SOON_MS = 500;
const READ_MS = 1000;          // by then another tab marks what was read

function wordOf({ state, why }, wasConnected) {
  if (['connected', 'offline'].includes(state)) return state;
  if (['full', 'address', 'rooms'].includes(why)) return 'full';
  if (why === 'refused') return 'notConnected';
  return wasConnected ? 'reconnecting' : 'connecting';
}

export function createStatus({ $, onRetry }) {
  let current = { state: 'connecting', why: '' };
  let wasConnected = false;

  function show() {
    const good = current.state === 'connected';
    const seconds = Math.ceil((current.retryAt - Date.now()) / 1000);
    const word = t(wordOf(current, wasConnected));
    if ($.status.textContent !== word) $.status.textContent = word;
    $.status.dataset.state = current.state;
    $.status.classList.toggle('unseen', good);
    $.online.hidden = !good;
    if (good && document.activeElement === $.retry) $.text.focus();   // a hidden button loses it
    $.retry.hidden = good;
    $.why.textContent = current.why && whyText(current);
    $.when.textContent = seconds > 0 ? t('nextTry', { n: seconds }) : '';
    $.notice.hidden = good || !($.why.textContent || seconds > 0);
  }

  $.retry.addEventListener('click', onRetry);
  setInterval(() => { if (current.retryAt) show(); }, 1000);
  setTimeout(show, SOON_MS);

  return (state) => {
    current = state;
    wasConnected ||= state.state === 'connected';
    if (wasConnected || state.why || state.state === 'offline') show();
  };
}

export function createNotifier({ get, set, onChange, onOpen }) {
  // Browsers have notifications over https and from the same machine only.
  const supported = !!globalThis.Notification && isSecureContext;
  const icon = document.querySelector('#icon');
  const isEnabled = () => supported && Notification.permission === 'granted'
    && get('notifications') === 'on';

  function show(item) {
    const isRead = parseInt(get(`read:${item.room}`), 10) >= parseInt(item.id, 10);
    if (!document.hidden || !isEnabled() || isRead) return;
    try {
      // Of several hidden tabs, the tag lets one notification remain.
      const shown = new Notification(t('mentioned', item), { body: item.message, tag: item.id });
      shown.onclick = () => {
        window.focus();
        shown.close();
        onOpen(item);
      };
    } catch { /* Android has notifications of service workers only */ }
  }

  return {
    supported,
    get enabled() { return isEnabled(); },
    get blocked() { return supported && Notification.permission === 'denied'; },
    async toggle() {
      const on = !isEnabled() && await Notification.requestPermission() === 'granted';
      set('notifications', on ? 'on' : '');
      onChange();
    },
    mention(item) { setTimeout(show, READ_MS, item); },
    setUnread(n, title) {
      document.title = `${n ? `(${n}) ` : ''}${title} · ssechat`;
      const file = n ? 'unread.svg' : 'icon.svg';
      if (!icon.href.endsWith(file)) icon.href = file;
    },
  };
}
