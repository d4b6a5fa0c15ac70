// What this browser remembers for one user. localStorage has no lock, so each tab keeps its messages
// on their way in a list of its own, and takes over those that were not written for ten seconds.

const MINE_MAX = 500;
const ROOMS_MAX = 16;          // as many as one stream can carry
const DEAD_MS = 10_000;

export function nameTab() {
  const tab = crypto.getRandomValues(new Uint32Array(2)).join('-');
  try {
    const lastTab = sessionStorage.getItem('tab');
    sessionStorage.setItem('tab', tab);
    return { tab, lastTab };
  } catch {
    return { tab, lastTab: '' };
  }
}

// `scope` begins all keys: a host can have several chats, and a browser several users.
export function createStore({ getStorage, scope, tab, now = Date.now }) {
  let storage = {};
  try {
    getStorage().getItem('');
    storage = getStorage();
  } catch { /* the page works without it */ }

  const unsaved = new Map();
  const get = (key) => unsaved.get(key) ?? storage.getItem?.(scope + key) ?? '';

  function set(key, value) {
    unsaved.delete(key);
    try {
      if (value === '') storage.removeItem(scope + key);
      else storage.setItem(scope + key, value);
      return true;
    } catch {
      unsaved.set(key, value);
      return false;
    }
  }

  function list(key) {
    try {
      const value = JSON.parse(get(key));
      return Array.isArray(value) ? value : [];
    } catch {
      return [];
    }
  }

  const setList = (key, value) => set(key, value.length ? JSON.stringify(value) : '');

  function memberOf(key) {
    let text;
    let members;
    return (value) => {
      if (text !== get(key)) {
        text = get(key);
        members = new Set(list(key));
      }
      return members?.has(value) ?? false;
    };
  }

  const rooms = () => list('rooms').filter((room) => typeof room === 'string');
  const isMine = memberOf('mine');

  const entriesOf = (owner) => list(`outbox:${owner}`)
    .filter((entry) => typeof entry?.key === 'string' && typeof entry.message === 'string');

  function write(entries, owner = tab) {
    const sorted = entries.sort((a, b) => a.at - b.at);
    return setList(`outbox:${owner}`, sorted.length ? [now(), ...sorted] : []);
  }

  const waiting = () => entriesOf(tab);

  function owners() {
    const prefix = `${scope}outbox:`;
    return Object.keys(storage).filter((key) => key.startsWith(prefix))
      .map((key) => key.slice(prefix.length));
  }

  function forget(key, owner = tab) {
    const entries = entriesOf(owner);
    const left = entries.filter((entry) => entry.key !== key);
    if (left.length < entries.length) write(left, owner);
  }

  function adoptFrom(owner) {
    const entries = waiting();
    const found = entriesOf(owner).filter(({ key }) => !entries.some((entry) => entry.key === key));
    if (found.length && !write([...entries, ...found])) {
      write(entries);
      return [];
    }
    set(`outbox:${owner}`, '');
    return found;
  }

  return {
    get, set, rooms, waiting, forget, isMine,
    isHidden: memberOf('hidden'),
    hidden: () => list('hidden'),

    setHidden(name, hide) {
      const others = list('hidden').filter((other) => other !== name);
      setList('hidden', hide ? [...others, name] : others);
    },

    addMine(id) {
      if (!isMine(id)) setList('mine', [...list('mine'), id].slice(-MINE_MAX));
    },

    join(room) {
      const joined = rooms();
      if (joined.includes(room)) return true;
      return joined.length < ROOMS_MAX && (setList('rooms', [...joined, room]), true);
    },

    leave(room) {
      setList('rooms', rooms().filter((other) => other !== room));
      set(`read:${room}`, '');
    },

    keep(entry) {
      const entries = waiting();
      const index = entries.findIndex(({ key }) => key === entry.key);
      entries.splice(index < 0 ? entries.length : index, 1, entry);
      return write(entries);
    },

    takeBack(key) {
      for (const owner of [tab, ...owners()]) forget(key, owner);
    },

    adopt: (lastTab) => owners()
      .filter((owner) => owner !== tab
        && (owner === lastTab || !(list(`outbox:${owner}`)[0] > now() - DEAD_MS)))
      .flatMap(adoptFrom).sort((a, b) => a.at - b.at),

    beat: () => write(waiting()),
    changed(key) {
      const name = key?.startsWith(scope) ? key.slice(scope.length) : '';
      unsaved.delete(name);
      return name;
    },
  };
}
