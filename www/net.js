// A tab's side of the stream and the outbox. It alone knows whether they run in the worker of all
// tabs or in this page, and keeps what was said, so that a `hello` can say it again.

export const VERSION = '0.3.0';

// An EventSource gets only events whose names it knows. Those in the history are added.
const EVENTS = ['alert', 'build', 'deploy', 'job', 'log', 'metric', 'news', 'notification', 'order',
  'price', 'prices', 'score', 'scores', 'status', 'update'];

const ANSWER_MS = 10_000;
const LOOK_MS = 30_000;
const STAYS_MS = 5000;

const policy = globalThis.trustedTypes?.createPolicy('worker', {
  createScriptURL(address) {
    if (address !== 'worker.js') throw new TypeError('not the address of the worker');
    return address;
  },
});

export function createNet(options, handlers) {
  let { token = '', name = '', rooms = ['lobby'] } = options;
  const { refresh } = options;
  const events = new Set(options.events ?? EVENTS);
  const entries = new Map();
  let port = null;
  let bye = null;
  let inPage = false;
  let answered = false;
  let timer = 0;

  const keep = (list = []) => { for (const entry of list) entries.set(entry.key, entry); };
  const say = (kind, value) => port?.postMessage([kind, value]);

  function join() {
    port?.close();
    bye = () => say('bye');
    port = (!inPage && sharedWorker()) || pageWorker();
    const mine = port;
    mine.onmessage = ({ data }) => { if (mine === port) receive(data); };
    hear(false);
    hello();
  }

  function sharedWorker() {
    try {
      const address = policy?.createScriptURL('worker.js') ?? 'worker.js';
      const worker = new SharedWorker(address, { type: 'module', name: `ssechat ${VERSION} ${token}` });
      worker.onerror = () => { if (worker.port === port) joinPage(); };
      return worker.port;
    } catch {
      inPage = true;
      return null;
    }
  }

  function pageWorker() {
    const { port1, port2 } = new MessageChannel();
    import('./worker.js').then(({ attach }) => { bye = attach(port1); },
      () => setTimeout(join, ANSWER_MS));
    return port2;
  }

  function joinPage() {
    inPage = true;
    join();
  }

  function hello() {
    handlers.hello?.();
    const list = [...entries.values()];
    say('hello', { token, name, rooms, events: [...events], entries: list, online: navigator.onLine });
    expectAnswer();
  }

  function expectAnswer() {
    if (!inPage) timer ||= setTimeout(answered ? join : joinPage, ANSWER_MS);
  }

  function hear(answer) {
    clearTimeout(timer);
    timer = 0;
    answered = answer;
  }

  function receive(frames) {
    hear(true);
    let items = [];
    const giveItems = () => {
      if (items.length) handlers.items?.(items);
      items = [];
    };
    for (const [kind, value] of frames) {
      if (kind === 'item') {
        items.push(value);
        continue;
      }
      giveItems();
      if (value?.key) entries.delete(value.key);
      if (kind === 'outbox') keep(value.filter(({ key }) => entries.has(key)));
      handlers[kind]?.(value);
    }
    giveItems();
  }

  function look() {
    if (document.hidden) return;
    say('look');
    expectAnswer();
  }

  function leave() {
    hear(answered);
    bye();
  }

  const listeners = new AbortController();
  const on = (target, event, run) =>
    target.addEventListener(event, run, { signal: listeners.signal });

  on(window, 'online', () => say('online', true));
  on(window, 'offline', () => say('online', false));
  on(document, 'visibilitychange', look);
  on(window, 'pagehide', leave);
  // At `pagehide` the worker can be frozen already.
  on(window, 'beforeunload', () => {
    leave();
    setTimeout(hello, STAYS_MS);
  });
  on(window, 'pageshow', (event) => {
    if (!event.persisted) return;
    ({ name, rooms } = { name, rooms, ...refresh?.() });
    hello();
  });
  const lookTimer = setInterval(look, LOOK_MS);

  keep(options.entries);
  join();

  return {
    send(entry) {
      keep([entry]);
      say('send', entry);
    },
    again: (key) => say('again', key),
    drop(key) {
      entries.delete(key);
      say('drop', key);
    },
    retry: () => say('retry'),
    setName(text) {
      name = text;
      say('name', name);
    },
    setRooms(list) {
      rooms = list;
      say('rooms', rooms);
    },
    listen(list) {
      list.forEach((event) => events.add(event));
      say('listen', list);
    },
    setToken(text, list) {
      leave();
      token = text;
      entries.clear();
      keep(list);
      join();
    },
    close() {
      leave();
      listeners.abort();
      clearInterval(lookTimer);
      port?.close();
      port = null;
    },
  };
}
