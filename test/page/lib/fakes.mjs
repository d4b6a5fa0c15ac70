// What the unit tests of the page give its modules instead of the real thing: a clock that a test
// moves, an EventSource that a test feeds, and a fetch that a test answers.

import { webcrypto } from 'node:crypto';

globalThis.crypto ??= webcrypto;   // Node 18

// Lets everything happen that only waits for promises. The bodies of answers take several turns.
export async function settled() {
  for (let i = 0; i < 20; i += 1) await new Promise((resolve) => { setImmediate(resolve); });
}

export function makeClock(start = 1_760_000_000_000) {
  let time = start;
  let last = 0;
  const timers = new Map();
  const next = () => [...timers.values()].sort((a, b) => a.at - b.at || a.id - b.id)[0];
  return {
    now: () => time,
    random: () => 0,             // so that no wait is shortened
    setTimeout(run, ms) {
      last += 1;
      timers.set(last, { id: last, at: time + ms, run });
      return last;
    },
    clearTimeout: (id) => { timers.delete(id); },
    timers: () => timers.size,
    // Moves the clock, and runs each timer at its time.
    async pass(ms) {
      const end = time + ms;
      await settled();
      for (let timer = next(); timer && timer.at <= end; timer = next()) {
        timers.delete(timer.id);
        time = Math.max(time, timer.at);
        timer.run();
        await settled();
      }
      time = end;
    },
    // The computer sleeps: the date goes on, the timers stand still.
    sleep(ms) {
      time += ms;
      for (const timer of timers.values()) timer.at += ms;
    },
    // The clock is set; timers do not follow it.
    set(to) {
      for (const timer of timers.values()) timer.at += to - time;
      time = to;
    },
  };
}

// Returns a class, and the list of all that were made of it; the last is `latest()`.
export function makeEventSource() {
  const all = [];
  class EventSource {
    constructor(url) {
      this.url = url;
      this.readyState = 0;
      this.listeners = new Map();
      all.push(this);
    }

    addEventListener(event, run) {
      this.listeners.set(event, [...this.listeners.get(event) ?? [], run]);
    }

    close() { this.readyState = 2; this.closed = true; }

    // ---- What a test does as the server ----

    give(event, data, id = '') {
      this.readyState = 1;
      this.lastId = id || this.lastId || '';
      const text = typeof data === 'string' ? data : JSON.stringify(data);
      for (const run of this.listeners.get(event) ?? []) run({ data: text, lastEventId: this.lastId });
    }

    ready(id = '100-0', data = {}) {
      const rooms = this.query.getAll('room').map((room) => ({ room, online: 1 }));
      this.give('ready', { rooms, time: '2025-10-09T08:53:20.000Z', heartbeat: 15, retry: 2000, ...data }, id);
    }

    lose() { this.readyState = 0; this.onerror?.(); }

    refuse() { this.readyState = 2; this.onerror?.(); }

    get query() { return new URLSearchParams(this.url.split('?')[1]); }
  }
  return { EventSource, all, latest: () => all.at(-1) };
}

// A fetch whose requests wait until a test answers them.
export function makeFetch() {
  const requests = [];
  const fetch = (url, options = {}) => new Promise((resolve, reject) => {
    const request = {
      url,
      ...options,
      open: true,
      answer(status, body, headers = {}) {
        request.open = false;
        const text = typeof body === 'string' ? body : JSON.stringify(body ?? null);
        resolve(new Response(text, { status, headers }));
        return settled();
      },
      fail() {
        request.open = false;
        reject(new TypeError('no connection'));
        return settled();
      },
    };
    options.signal?.addEventListener('abort', () => {
      request.open = false;
      reject(options.signal.reason);
    });
    requests.push(request);
  });
  return { fetch, requests, latest: () => requests.at(-1) };
}
