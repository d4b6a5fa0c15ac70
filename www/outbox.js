// The outbox: messages to the server, one POST at a time, in order. Each has an Idempotency-Key, so
// that a POST whose answer was lost is repeated and published once. See docs/page.md.

const TIMEOUT_MS = 20_000;
const SETTLED_TIMEOUT_MS = 2000;   // for the answer to a POST whose message the stream brought
const FIRST_MS = 1000;
const LONGEST_MS = 30_000;
const LONGEST_ASKED_MS = 86_400_000;
const REMEMBERED = 500;

const CLOCK = { now: Date.now, random: Math.random, setTimeout, clearTimeout };
const FINE = { why: '', status: 0, detail: '', retryAt: 0 };
const nothing = () => {};

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// A date is compared with the server's own, because the two clocks can differ.
function retryAfter(headers, now) {
  const value = headers.get('Retry-After') ?? '';
  const ms = /^\d+$/.test(value) ? 1000 * value
    : Date.parse(value) - (Date.parse(headers.get('Date')) || now);
  return Math.min(Math.max(ms || 0, 0), LONGEST_ASKED_MS);
}

const isFinal = (status) => status >= 400 && status < 500 && ![408, 425, 429].includes(status);

export function createOutbox({
  base = '', token = '', fetch = globalThis.fetch,
  clock: { now, random, setTimeout, clearTimeout } = CLOCK,
  onChange = nothing, onSent = nothing, on401 = nothing,
} = {}) {
  let queue = [];
  const settled = new Map();
  let current = null;            // the POST on its way: { entry, abort, timer }
  let pause = null;              // { timer, asked, until }: nothing is sent meanwhile
  let failures = 0;
  let closed = false;

  const entries = () => queue.map((entry) => ({ ...entry }));
  const find = (key) => queue.find((entry) => entry.key === key);
  const changed = () => onChange(entries());

  async function pump() {
    if (current || pause || closed) return;
    const entry = queue.find(({ state }) => state === 'waiting');
    if (!entry) return;
    Object.assign(entry, { state: 'sending', retryAt: 0 });
    current = { entry, abort: new AbortController() };
    limit(TIMEOUT_MS);
    changed();
    const answer = await post(entry, current.abort.signal);
    clearTimeout(current.timer);
    current = null;
    if (find(entry.key)) finish(entry, answer);
    pump();
  }

  function limit(ms) {
    const { abort, timer } = current;
    clearTimeout(timer);
    current.timer = setTimeout(() => abort.abort(), ms);
  }

  // The body must be the same each time: the server compares it if a key is used again.
  async function post({ key, room, name, message }, signal) {
    const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': key };
    if (token) headers.Authorization = `Bearer ${token}`;
    try {
      const answer = await fetch(`${base}messages`, {
        method: 'POST',
        headers,
        body: JSON.stringify({ room, name: name || undefined, message }),
        keepalive: true,   // is sent even if the user leaves the page at this moment
        signal,
      });
      const { ok, status } = answer;
      const { id, time, detail } = Object(await answer.json().catch(nothing));
      if (ok && typeof id === 'string') return { id, time };
      if (!ok) {
        const why = status === 401 ? 'token' : isFinal(status) ? 'refused' : 'busy';
        return { why, status, detail: `${detail ?? ''}`, askedMs: retryAfter(answer.headers, now()) };
      }
    } catch { /* no answer */ }
    return { why: signal.aborted ? 'silent' : 'unreachable' };
  }

  function finish(entry, { id, time, why, status = 0, detail = '', askedMs = 0 }) {
    if (id) {
      settle(entry.key, id, time);
      return;
    }
    Object.assign(entry, { state: why === 'refused' ? 'failed' : 'waiting', why, status, detail });
    if (why === 'refused') failures = 0;
    else entry.retryAt = rest(why, askedMs);
    changed();
    if (why === 'token') on401(detail);
  }

  function rest(why, askedMs) {
    const ownMs = Math.min(LONGEST_MS, FIRST_MS * 2 ** failures) * (1 - random() / 4);
    const ms = Math.round(askedMs || ownMs);
    failures += 1;
    pause = { asked: askedMs > 0, until: now() + ms };
    if (why === 'token') return 0;
    pause.timer = setTimeout(resume, ms);
    return pause.until;
  }

  function resume() {
    clearTimeout(pause.timer);
    pause = null;
    pump();
  }

  function wake() {
    failures = 0;
    if (pause && (!pause.asked || now() >= pause.until)) resume();
  }

  function send({ room, name = '', message }, given = {}) {
    const { key = newKey(), at = now(), state, why, status, detail } = given;
    const known = settled.get(key) ?? find(key);
    if (known) return { ...known };
    const entry = { key, room, name, message, at, state: 'waiting', ...FINE };
    if (state === 'failed') Object.assign(entry, { state, why, status, detail });
    queue.push(entry);
    changed();
    pump();
    return { ...entry };
  }

  function settle(key, id, time = '') {
    const entry = find(key);
    if (!entry) return false;
    queue = queue.filter((other) => other !== entry);
    settled.set(key, { ...entry, ...FINE, state: 'sent', id, time });
    if (settled.size > REMEMBERED) settled.delete(settled.keys().next().value);
    if (current?.entry === entry) limit(SETTLED_TIMEOUT_MS);
    const { room, name, message } = entry;
    onSent({ key, id, room, time, name, message });
    changed();
    wake();
    return true;
  }

  return {
    send, settle, wake, entries,
    retry(key) {
      const entry = find(key);
      if (entry?.state !== 'failed') return;
      Object.assign(entry, { state: 'waiting', ...FINE });
      changed();
      pump();
    },
    drop(key) {
      if (find(key)?.state !== 'failed') return;
      queue = queue.filter((entry) => entry.key !== key);
      changed();
    },
    close() {
      closed = true;
      clearTimeout(pause?.timer);
    },
  };
}
