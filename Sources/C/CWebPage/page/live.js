// News. One tab of a browser and account waits for them and tells the others, because a browser has only six connections
// to a host, and each wait uses one.
import { path, Refusal } from './api.js';

const waitSeconds = 50;
/** A wait that is older is dead: a proxy or a sleeping computer has lost it. */
const deadAfter = 75_000;
/** After so long without an answer, lists are fetched again rather than all that was missed. */
const longAbsence = 150_000;
const helloTimeout = 400;
/** The tab that waits is asked whether it is there after so much silence, longer than a wait. */
const longSilence = 60_000;
/** One that does not answer within this time is suspended. */
const answerTimeout = 2000;

/** A channel to the other tabs. Where the browser keeps nothing, it may refuse that, too. */
export function channel(name) {
  try {
    return new BroadcastChannel(name);
  } catch {
    return { postMessage() {}, close() {} };
  }
}

export class Live {
  #state;
  #channel;
  #cursor = null;
  /** The turn of this tab to wait for news, while it has one. */
  #turn = null;
  /** Each tab that begins to wait has a higher one. A former one that wakes up is not heard any more. */
  #term = 0;
  #isQueued = false;
  #isFrozen = false;
  /** When this tab asked the one that waits whether it is there, and when it last heard of it. */
  #askedAt = 0;
  #heardAt = 0;
  #lastAnswer = 0;
  #interrupt = null;
  #pause = null;
  #failures = 0;

  constructor(state) {
    this.#state = state;
    this.#channel = channel(`natter ${state.place}`);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    state.signal.addEventListener('abort', () => this.#channel.close(), { once: true });
    for (const name of ['online', 'pageshow', 'focus']) addEventListener(name, () => this.#wake(name), { signal: state.signal });
    document.addEventListener('visibilitychange', () => this.#wake('visibilitychange'), { signal: state.signal });
    addEventListener('offline', () => state.setConnection('offline'), { signal: state.signal });
    // A tab that the browser freezes keeps its locks, but gets no answers.
    document.addEventListener('freeze', () => {
      this.#isFrozen = true;
      this.#stop();
    }, { signal: state.signal });
    document.addEventListener('resume', () => {
      this.#isFrozen = false;
      if (!this.#isQueued && !this.#isLeader) this.#queue();
    }, { signal: state.signal });
    // Whoever sends wants to see it come.
    state.on('outbox', () => this.#check(), state.signal);
    state.every(15_000, () => performance.now() - this.#heardAt > longSilence && this.#check());
  }

  /** Resolves when nothing new can be missed any more, so that lists can be loaded. */
  start() {
    return new Promise((resolve) => {
      this.heard = resolve;
      this.#check();
      // The tab that waits may be suspended. The lists must not wait for it.
      setTimeout(resolve, helloTimeout);
      this.#queue();
    });
  }

  /** Waits for news as soon as no other tab does, or takes over from one that is suspended. */
  async #queue(steal) {
    const { signal, place } = this.#state;
    const lead = async (lock) => {
      if (!steal) this.#isQueued = false;
      if (this.#isFrozen) return;
      this.#turn = Symbol('turn');
      if (lock) {
        this.#term = Math.max(this.#term + 1, Date.now());
        // Now nobody else takes over.
        this.#say({ kind: 'connection', connection: this.#state.connection });
      }
      await this.#lead();
    };
    // Without TLS and on another host than this there are no locks; then each tab waits for itself.
    if (!navigator.locks) return lead();
    if (!steal) this.#isQueued = true;
    try {
      // A lock cannot be stolen with a signal.
      await navigator.locks.request(`natter ${place}`, steal ? { steal } : { signal }, lead);
    } catch (error) {
      // Where the browser keeps nothing, it may refuse locks, too.
      if (error.name === 'SecurityError') return lead();
      if (error.name !== 'AbortError' || signal.aborted) return undefined;
      // Another tab has taken over.
      this.#stop();
      if (!this.#isQueued) this.#queue();
    }
    return undefined;
  }

  get #isLeader() {
    return this.#turn !== null;
  }

  #stop() {
    this.#turn = null;
    this.#interrupt?.abort();
    this.#pause?.();
  }

  /** Takes over from a tab that waits and does not answer: a browser may suspend it without a word, and then it keeps its lock. */
  #check() {
    if (this.#isLeader || this.#askedAt > this.#heardAt) return;
    const asked = performance.now();
    this.#askedAt = asked;
    this.tell({ kind: 'hello' });
    setTimeout(() => {
      this.#askedAt = 0;
      if (!this.#isLeader && this.#heardAt < asked && !this.#state.signal.aborted) this.#queue(true);
    }, answerTimeout);
  }

  /** Tries now rather than after the pause. */
  retry() {
    this.#failures = 0;
    if (this.#isLeader) this.#pause?.();
    else this.#channel.postMessage({ kind: 'retry' });
  }

  /** Tells the other tabs of this account. */
  tell(message) {
    if (!this.#state.signal.aborted) this.#channel.postMessage(message);
  }

  /** Tells them as the tab that waits. */
  #say(message) {
    this.tell({ ...message, term: this.#term });
  }

  #hear(data) {
    if (data.term !== undefined) {
      if (data.term > this.#term) this.#stop();
      if (this.#isLeader || data.term < this.#term) return;
      this.#term = data.term;
      this.#heardAt = performance.now();
    }
    switch (data.kind) {
      case 'hello':
        if (this.#isLeader) this.#say({ kind: this.#cursor ? 'state' : 'connection', cursor: this.#cursor, connection: this.#state.connection });
        break;
      case 'state':
        this.#state.setConnection(data.connection.phase, data.connection);
        this.#hearNews({ ...data, lines: [] });
        this.heard?.();
        break;
      case 'news':
        this.#hearNews(data);
        break;
      case 'connection':
        this.#state.setConnection(data.connection.phase, data.connection);
        break;
      case 'reload':
        this.#cursor = data.cursor;
        this.#reload().catch(() => {});
        break;
      case 'retry':
        if (this.#isLeader) this.retry();
        break;
      default:
        this.#state.emit(`tab-${data.kind}`, data);
    }
  }

  #wake(reason) {
    if (!this.#isLeader) {
      this.#check();
      return;
    }
    const isStale = Date.now() - this.#lastAnswer > deadAfter;
    // A wait that is alive goes on: an interrupted one stays with the server until its time is over.
    if (reason === 'online' || isStale) this.#interrupt?.abort();
    this.#pause?.();
  }

  #setConnection(phase, fields) {
    if (this.#state.signal.aborted) return;
    this.#state.setConnection(phase, fields);
    this.#say({ kind: 'connection', connection: this.#state.connection });
  }

  #hearNews({ cursor, lines }) {
    const isBehind = !this.#cursor && this.#state.areListsAsked;
    this.#cursor = cursor;
    this.#lastAnswer = Date.now();
    for (const line of lines) this.#state.take(line);
    if (isBehind) this.#reload().catch(() => {});
  }

  async #reload() {
    try {
      await this.#state.loadLists();
    } catch (error) {
      // News from here on would leave out what came before: the next answer begins anew.
      this.#cursor = null;
      throw error;
    }
    this.#state.emit('reload');
  }

  async #ask(query) {
    this.#interrupt = new AbortController();
    const headers = document.visibilityState === 'hidden' ? { 'Natter-Presence': 'away' } : {};
    const signal = AbortSignal.any([this.#state.signal, this.#interrupt.signal]);
    const response = await this.#state.api.lines(path(['sync'], query), { signal, timeout: deadAfter, headers });
    signal.throwIfAborted();
    const end = response.at(-1);
    if (end?.type !== 'end') throw new Refusal(0, 'not_reached', 'the answer is incomplete');
    this.#lastAnswer = Date.now();
    return { lines: response.slice(0, -1), cursor: end.cursor, more: end.more };
  }

  async #lead() {
    const state = this.#state;
    const turn = this.#turn;
    const isOver = () => state.signal.aborted || turn !== this.#turn;
    while (!isOver()) {
      try {
        if (this.#cursor && this.#lastAnswer && Date.now() - this.#lastAnswer > longAbsence) this.#cursor = null;
        if (!this.#cursor) {
          this.#cursor = (await this.#ask({ cursor: 'now' })).cursor;
          // Lists that were asked for before may miss what came in between.
          const areBehind = state.areListsAsked;
          this.heard?.();
          if (areBehind) {
            this.#say({ kind: 'reload', cursor: this.#cursor });
            await this.#reload();
            if (isOver()) return;
          } else {
            this.#say({ kind: 'state', cursor: this.#cursor, connection: { phase: 'live' } });
          }
        }
        if (state.connection.phase !== 'live') {
          const isCatchingUp = state.connection.phase === 'offline';
          if (isCatchingUp) {
            this.#setConnection('catching');
            this.#share(await this.#ask({ cursor: this.#cursor }));
          }
          this.#setConnection('live');
        }
        this.#share(await this.#ask({ cursor: this.#cursor, wait: waitSeconds }));
        this.#failures = 0;
      } catch (error) {
        if (isOver()) return;
        if (!(error instanceof Refusal)) {
          // Interrupted, to begin anew.
          if (error.name !== 'AbortError') console.error(error);
          await this.#sleep(100 + Math.random() * 400);
        } else if (error.status === 401) {
          return;
        } else if (error.status === 410 || error.code === 'bad_cursor') {
          this.#cursor = null;
        } else {
          this.#failures += 1;
          const pause = error.pauseAfter(this.#failures);
          this.#setConnection('offline', { retryAt: Date.now() + pause });
          await this.#sleep(pause);
        }
      }
    }
  }

  #share(answer) {
    this.#cursor = answer.cursor;
    this.#say({ kind: 'news', cursor: answer.cursor, lines: answer.lines });
    for (const line of answer.lines) this.#state.take(line);
  }

  #sleep(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#pause = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#state.signal.addEventListener('abort', this.#pause, { once: true });
    }).finally(() => {
      this.#pause = null;
    });
  }
}
