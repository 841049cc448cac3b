// Messages on their way. Each has an id that is made and kept before the first try, so that it arrives once: after a
// reload, a lost connection, with two tabs.
import { freshKey, meant, Refusal } from './api.js';
import { announce } from './dom.js';
import { errorText } from './errors.js';
import { t } from './i18n.js';
import * as storage from './storage.js';

/** In milliseconds. A tab that is frozen by the browser keeps its lock. */
const longestTurn = 10_000;
/** In milliseconds. A longer one is that of a clock that was put back. */
const longestPause = 300_000;

/** How long to wait before a message is tried again. */
function pauseBefore(entry) {
  const pause = (entry.retryAt ?? 0) - Date.now();
  return pause > longestPause ? 0 : Math.max(0, pause);
}

export class Outbox {
  #state;
  #start;
  /** By key, also where the browser keeps nothing. */
  #entries = new Map();
  #isDelivering = false;
  #counter = 0;
  #failures = 0;
  #timer = 0;

  constructor(state) {
    this.#state = state;
    this.#start = `${state.place}outbox:`;
    this.#load();
    storage.onChange(this.#start, () => {
      this.#load();
      state.emit('outbox');
      // The tab that it came from may be closed.
      this.#deliverLater();
    }, state.signal);
    addEventListener('beforeunload', (event) => {
      if ([...this.#entries.values()].some((one) => !one.isKept)) event.preventDefault();
    }, { signal: state.signal });
    state.on('reload', () => this.deliver(), state.signal);
    state.on('connection', ({ phase }) => phase === 'live' && this.deliver(), state.signal);
    state.signal.addEventListener('abort', () => clearTimeout(this.#timer), { once: true });
  }

  #load() {
    const names = new Set(storage.names(this.#start));
    for (const [name, entry] of this.#entries) if (entry.isKept && !names.has(name)) this.#entries.delete(name);
    for (const name of names) {
      const entry = storage.read(name);
      // Another tab may have taken a field away, such as the refusal.
      if (entry) this.#entries.set(name, { isCovered: this.#entries.get(name)?.isCovered, ...entry, name, isKept: true });
    }
  }

  /** What waits for a conversation, oldest first. */
  of(conversationId) {
    return [...this.#entries.values()].filter((entry) => entry.conversationId === conversationId)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** How many are still tried. */
  get count() {
    return this.#entries.size - this.refused.length;
  }

  /** What was refused. Its conversation may be out of reach. */
  get refused() {
    return [...this.#entries.values()].filter((entry) => entry.refusal).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Whether the first one could not be sent, so that the others wait for it. */
  get isStuck() {
    return Boolean(this.#next()?.isUnsent);
  }

  /** Keeps a message and tries to send it. */
  add(conversation, text, about, uploads = []) {
    this.#counter += 1;
    // The clock may go back, and the order is that of the names.
    const last = [...this.#entries.keys()].reduce((time, name) => Math.max(time, Number(name.slice(this.#start.length).split('-')[0])), 0);
    const name = `${this.#start}${String(Math.max(Date.now(), last + 1)).padStart(15, '0')}-${String(this.#counter).padStart(4, '0')}-${Math.random().toString(36).slice(2, 8)}`;
    const entry = { id: freshKey(), conversation: conversation.name, conversationId: conversation.id, text, about, at: Date.now() };
    if (uploads.length > 0) Object.assign(entry, { files: uploads.map((one) => one.upload), names: uploads.map((one) => one.name) });
    const isKept = storage.write(name, entry);
    this.#entries.set(name, { ...entry, name, isKept });
    this.#state.emit('outbox');
    this.deliver();
    return isKept;
  }

  retry(name) {
    const entry = this.#entries.get(name);
    if (!entry) return;
    this.#keep(entry, { refusal: undefined, isUnsent: undefined, trouble: undefined, retryAt: undefined });
    this.#failures = 0;
    this.deliver();
  }

  drop(name) {
    this.#entries.delete(name);
    storage.write(name, null);
    this.#state.emit('outbox');
  }

  #keep(entry, fields) {
    // It may have been taken back, here or in another tab, while it was tried.
    if (!this.#entries.has(entry.name) || (entry.isKept && !storage.read(entry.name))) return;
    Object.assign(entry, fields);
    if (entry.isKept) {
      const { name, isKept, isCovered, ...kept } = entry;
      storage.write(name, kept);
    }
    this.#state.emit('outbox');
  }

  /** Marks the waiting message that a message from sync is, before its own answer arrives. */
  cover(message) {
    const entry = this.of(message.conversation_id).find((one) => !one.refusal && !one.isCovered && one.text === message.text);
    if (entry) entry.isCovered = true;
  }

  /** What is tried next. */
  #next() {
    return [...this.#entries.values()].filter((one) => !one.refusal).sort((a, b) => (a.name < b.name ? -1 : 1))[0];
  }

  /** Tries when the pause after the last failure is over, in whichever tab that was. */
  #deliverLater() {
    const entry = this.#next();
    if (!entry) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.deliver(false), pauseBefore(entry));
  }

  /** Sends what waits: now, or as soon as the pause after a failure is over. */
  async deliver(isNow = true) {
    if (this.#isDelivering || this.#state.signal.aborted) return;
    this.#isDelivering = true;
    clearTimeout(this.#timer);
    try {
      // Two tabs must not change the order. The ids alone keep a message from being there twice.
      const signal = AbortSignal.any([this.#state.signal, AbortSignal.timeout(longestTurn)]);
      if (navigator.locks) await navigator.locks.request(`natter outbox ${this.#state.place}`, { signal }, () => this.#deliverAll(isNow));
      else await this.#deliverAll(isNow);
    } catch (error) {
      // Where the browser keeps nothing, it may refuse locks, too.
      if (error.name === 'SecurityError' || error.name === 'TimeoutError') await this.#deliverAll(isNow);
      else if (error.name !== 'AbortError') throw error;
    } finally {
      this.#isDelivering = false;
    }
  }

  async #deliverAll(isNow) {
    this.#load();
    for (;;) {
      const entry = this.#next();
      if (!entry || this.#state.signal.aborted) return undefined;
      if (!isNow && pauseBefore(entry) > 0) return this.#deliverLater();
      // Another tab may have sent it while this one waited for its turn.
      if (entry.isKept && !storage.read(entry.name)) {
        this.#entries.delete(entry.name);
        continue;
      }
      try {
        const { conversation, conversationId, text, id, about, files } = entry;
        const message = await this.#state.change('POST', ['messages'], { ...meant(conversation, conversationId), text, id, about, files });
        this.#failures = 0;
        this.#entries.delete(entry.name);
        storage.write(entry.name, null);
        this.#state.emit('sent', message);
        this.#state.emit('outbox');
      } catch (error) {
        if (!(error instanceof Refusal) || error.status === 401) return undefined;
        if (!error.isPassing) {
          this.#keep(entry, { refusal: { code: error.code, message: error.message }, isCovered: false });
          announce(t('not sent: {reason}', { reason: errorText(error) }));
          continue;
        }
        this.#failures += 1;
        // Without an answer it may be what the news have told of.
        const isCovered = entry.isCovered && (error.status === 0 || error.code === 'outcome_unknown');
        // That there is no connection is said elsewhere.
        const trouble = error.status === 0 ? undefined : { code: error.code, message: error.message };
        this.#keep(entry, { isUnsent: true, trouble, isCovered, retryAt: Date.now() + error.pauseAfter(this.#failures) });
        return this.#deliverLater();
      }
    }
  }
}
