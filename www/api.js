// Requests for the history and the rooms, and the token that servers with --key want: from a link,
// /#token=eyJhbGciOi…, or typed. Anyone can make such a link, so one that would replace another token
// asks first (login CSRF).

import { make, nameOf } from './render.js';
import { t } from './words.js';

const TIMEOUT_MS = 20_000;

async function getJson(url, token) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const answer = await fetch(url, { headers, signal }).catch(() => null);
  const body = await answer?.json().catch(() => null);
  if (answer?.ok && body) return body;
  const status = answer && !answer.ok ? answer.status : 0;
  const detail = `${body?.detail ?? ''}`;
  throw Object.assign(new Error(detail), { status, detail });
}

export function itemOf(entry) {
  if (typeof entry.message === 'string') return entry;
  const { id, room, event, data, time } = entry;
  return { id, room, event, data: typeof data === 'string' ? data : JSON.stringify(data), time };
}

export function createApi(getToken = () => '') {
  return {
    async history(room, { before, after, limit = 50 } = {}) {
      const query = new URLSearchParams({ room, limit });
      if (before) query.set('before', before);
      else if (after) query.set('after', after);
      const { messages, ...page } = await getJson(`messages?${query}`, getToken());
      return { ...page, items: messages.map(itemOf) };
    },
    async rooms() {
      return (await getJson('rooms', getToken())).rooms;
    },
  };
}

// The signature is for the server to check: claims only decide what the page shows.
export function claimsOf(token) {
  try {
    const bytes = atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'));
    const json = new TextDecoder().decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0)));
    return Object(JSON.parse(json));
  } catch {
    return {};
  }
}

const signedName = ({ sub }) => (typeof sub === 'string' ? sub : '');

export function createSession({ $, onToken }) {
  let token = '';
  let offered = '';            // the token of a link, until the user has decided

  try { token = sessionStorage.getItem('token') ?? ''; } catch { /* it is switched off */ }

  function use(text) {
    $.asking.close();
    token = text;
    try { sessionStorage.setItem('token', token); } catch { /* it is forgotten */ }
  }

  function take() {
    if (!location.hash.startsWith('#token=')) return false;
    const linked = new URLSearchParams(location.hash.slice(1)).get('token').trim();
    history.replaceState(history.state, '', location.pathname + location.search);
    if (!linked || linked === token || offered) return false;
    const inUse = token && !(claimsOf(token).exp * 1000 < Date.now());
    if (inUse) offered = linked;
    else use(linked);
    return !inUse;
  }

  function ask() {
    if ($.asking.open || offered) return;
    $['token-error'].textContent = '';
    $.token.value = '';
    $.asking.showModal();
  }

  $['asking-form'].addEventListener('submit', (event) => {
    event.preventDefault();
    const text = $.token.value.replace(/\s/g, '');
    if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(text)) {
      $['token-error'].textContent = t('tokenBad');
      $.token.select();
      return;
    }
    use(text);
    onToken();
  });

  function askSwitch() {
    const as = (text) => make('bdi', '',
      [...nameOf(signedName(claimsOf(text)))].slice(0, 32).join('') || t('anonymous'));
    const [before, between, after] = t('switchWhy', { old: '\n', new: '\n' }).split('\n');
    $.asking.close();
    $['switching-why'].replaceChildren(before, as(token), between, as(offered), after);
    $.switching.returnValue = '';
    $.switching.showModal();
    $.switching.querySelector('.main').focus();
  }

  $.switching.addEventListener('close', () => {
    const linked = offered;
    offered = '';
    if ($.switching.returnValue !== 'switch') return;
    use(linked);
    onToken();
  });

  window.addEventListener('hashchange', () => {
    if (take()) onToken();
    else if (offered && !$.switching.open) askSwitch();
  });

  const rooms = () => [].concat(claimsOf(token).rooms ?? [])
    .filter((room) => typeof room === 'string');

  take();

  return {
    ask,
    token: () => token,
    name: () => signedName(claimsOf(token)),
    room: () => rooms().find((room) => room !== '*') ?? '',
    allows: (room) => !rooms().length || rooms().some((name) => name === room || name === '*'),
    start: () => { if (offered) askSwitch(); },
  };
}
