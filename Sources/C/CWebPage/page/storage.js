// What a browser keeps: settings, and for each account drafts and messages that wait. Never a session.

const prefix = 'natter:';

export function read(name) {
  try {
    return JSON.parse(localStorage.getItem(prefix + name));
  } catch {
    return null;
  }
}

/** Returns false if the browser keeps nothing, as in some private windows. */
export function write(name, value) {
  try {
    if (value === null) localStorage.removeItem(prefix + name);
    else localStorage.setItem(prefix + name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** What this tab alone keeps over a reload: reads it, or writes a value; null removes it. */
export function ofTab(name, value) {
  try {
    if (value === undefined) return sessionStorage.getItem(name);
    if (value === null) sessionStorage.removeItem(name);
    else sessionStorage.setItem(name, value);
  } catch {
    // Storage is switched off.
  }
  return null;
}

/** The names that begin with `start`, in order. */
export function names(start) {
  const found = [];
  try {
    for (let index = 0; index < localStorage.length; index += 1) {
      const key = localStorage.key(index);
      if (key.startsWith(prefix + start)) found.push(key.slice(prefix.length));
    }
  } catch {
    // Storage is switched off: there are none.
  }
  return found.sort();
}

export function forget(start) {
  for (const name of names(start)) write(name, null);
}

/** What changes in other tabs. */
export function onChange(start, work, signal) {
  addEventListener('storage', (event) => {
    if (event.key?.startsWith(prefix + start)) work(event.key.slice(prefix.length));
  }, { signal });
}

/** Light or dark: as the system says, unless one is chosen. */
export const theme = () => read('theme') ?? 'system';

export function applyTheme(chosen) {
  if (chosen) write('theme', chosen === 'system' ? null : chosen);
  const now = theme();
  if (now === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = now;
}
