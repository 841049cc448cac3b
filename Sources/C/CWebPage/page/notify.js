// Notifications: only if they were asked for by a button, and never for what is seen or was read elsewhere.
import { t } from './i18n.js';
import { excerpt, line, mentions } from './text.js';
import { titleOf } from './layout.js';
import * as storage from './storage.js';

export const areWanted = () => storage.read('notifications') === true && globalThis.Notification?.permission === 'granted';

/** Asks the browser. Call it from a click. */
export async function want(isWanted) {
  if (isWanted) {
    try {
      if (await Notification.requestPermission() !== 'granted') return false;
      // Chrome on Android allows them, and then a page cannot make one.
      new Notification('natter', { silent: true }).close();
    } catch {
      return false;
    }
  }
  storage.write('notifications', isWanted ? true : null);
  return isWanted;
}

export function startNotifications(layout, signal) {
  const { state } = layout;
  const seen = `natter seen ${state.place}`;
  // A tab that is seen holds a lock, so that the others know of it.
  let release = null;
  const hold = () => {
    release?.();
    release = null;
    if (document.visibilityState !== 'visible') return;
    const until = new Promise((resolve) => {
      release = resolve;
    });
    navigator.locks?.request(seen, { mode: 'shared' }, () => until).catch(() => {});
  };
  document.addEventListener('visibilitychange', hold, { signal });
  signal.addEventListener('abort', () => release?.(), { once: true });
  hold();
  const shown = new Map();
  const close = (id) => {
    shown.get(id)?.close();
    shown.delete(id);
  };
  state.on('read', ({ id }) => close(id), signal);
  signal.addEventListener('abort', () => shown.forEach((one) => one.close()), { once: true });
  state.on('message', async (message) => {
    if (!areWanted() || document.visibilityState === 'visible' || !state.isForeign(message)) return;
    const conversation = state.conversations.get(message.conversation_id);
    if (!conversation || (conversation.kind !== 'personal' && !mentions(message.text, state.me.name))) return;
    const { held } = await navigator.locks.query().catch(() => ({ held: [] }));
    if (held.some((one) => one.name === seen) || message.seq <= conversation.read || signal.aborted) return;
    // The tag makes the notifications of several tabs one.
    const note = new Notification(conversation.kind === 'personal' ? line(message.sender) : `${line(message.sender)} · ${line(titleOf(conversation, state.me))}`, {
      body: excerpt(message.text, 200), tag: `${state.place}${conversation.id}`, lang: document.documentElement.lang,
    });
    note.onclick = () => {
      focus();
      layout.go(conversation.name, message.seq);
      note.close();
    };
    shown.set(conversation.id, note);
  }, signal);
}

export const explanation = () => t('For personal messages and when you are named, while this page is not seen.');
