// Both ends of a window: messages are fetched before they are wanted, and rows for them are added a few in each frame.
// A subclass has also `state`, `signal`, `element`, `refresh`, `showPending` and `readSoon`.
import { h } from './dom.js';
import { t } from './i18n.js';
import { path, Refusal } from './api.js';
import { errorText } from './errors.js';
import { Rows, margin } from './rows.js';

/** Messages on the page that is fetched when the window goes somewhere. */
export const pageRows = 50;
/** Rows that are added in one frame: fewer if frames are held up. Each makes the frame longer; fewer than the least could not follow 18,000 pixels a second. */
const rowsAtOnce = { least: 4, most: 6 };
/** A frame that takes longer, in milliseconds, is held up. */
const slowFrame = 20;
/** Messages that are fetched at once while the window is scrolled. */
export const fetchedRows = 100;

export class Ends extends Rows {
  /** What is known of each end, see `reset`. */
  ends = {};
  /** The highest seq that the window is complete up to, if it is at the end. */
  end = 0;
  /** The highest seq that the news have told of. */
  told = 0;
  /** When the server may be asked again after it has failed. */
  notBefore = 0;
  failures = 0;
  /** Counts how often all rows were replaced, and how often the window began to go somewhere. */
  generation = 0;
  /** How often messages have changed. */
  changes = 0;
  journey = 0;
  /** What to try again after it failed. */
  again = null;
  /** Whether changes of the rows may have been missed. */
  isStale = false;
  /** The message at which the window is opened. */
  goal;
  /** Where to go when the window is first seen. */
  place = null;
  frame = 0;
  /** When the last rows were added, and how many come next. */
  added = { at: 0, next: 6 };

  constructor() {
    super();
    this.reset('older');
    this.reset('newer');
  }

  /**
   * Forgets what was fetched for one end of the window: messages that have no row yet; where to go on, if a page said so;
   * and, if the history ends behind these messages, the head that was known then.
   */
  reset(side) {
    this.ends[side] = { waiting: [], from: null, head: null, isFetching: false };
  }

  /** Begins to go somewhere: where else the window was about to go does not matter any more. */
  leave() {
    this.again = null;
    this.place = null;
    this.goal = undefined;
    this.element.querySelector('.failed')?.remove();
    this.journey += 1;
    return this.journey;
  }

  /** Fetches a page, or null, as when another journey has begun. `again` does it once more; rows around the window are wanted again anyway. */
  async fetch(query, { again = null, journey = null, isLast = false } = {}) {
    const { generation, changes } = this;
    const isOver = () => generation !== this.generation || (journey !== null && journey !== this.journey);
    try {
      const page = await this.state.api.get(path(['conversations', this.conversation.name, 'messages'], { limit: pageRows, fold: 1, ...query }), { signal: this.signal });
      if (isOver()) return null;
      // The page may be older than what the news have told meanwhile of a deleted text.
      if (changes !== this.changes && !isLast) return this.fetch(query, { again, journey, isLast: true });
      this.again = null;
      this.notBefore = 0;
      this.failures = 0;
      this.element.querySelector('.failed')?.remove();
      return page;
    } catch (error) {
      if (isOver() || !(error instanceof Refusal)) return null;
      this.again = again ?? this.again;
      this.failures += 1;
      const pause = error.pauseAfter(this.failures);
      // The clock may be put back.
      this.notBefore = performance.now() + pause;
      clearTimeout(this.retry);
      if (error.isPassing) this.retry = setTimeout(() => (this.isStale ? (this.again ? this.again() : this.refresh()) : this.fillSoon()), pause);
      if (!this.element.querySelector('.failed')) {
        this.element.prepend(h('p', { class: 'failed', role: 'alert' }, t('Messages cannot be fetched: {reason}', { reason: errorText(error) }), ' ',
          h('button', { type: 'button', class: 'link', click: () => {
            this.notBefore = 0;
            if (this.again) this.again();
            else this.fillSoon();
          } }, t('Retry'))));
      }
      return null;
    }
  }

  /** Looks once in a frame at where the window is, however much has happened. */
  fillSoon() {
    if (this.frame) return;
    this.frame = requestAnimationFrame((now) => {
      this.frame = 0;
      if (this.signal.aborted || this.isHidden) return;
      this.settle();
      this.mark();
      this.fill(now);
      this.readSoon();
    });
  }

  fill(now) {
    const { scroller } = this;
    if (!this.isAtTop && scroller.scrollTop < margin) this.extend('older', now);
    if (!this.isAtEnd && this.below < margin) this.extend('newer', now);
  }

  /** Adds a few rows at one end, and fetches more before there are none. */
  extend(side, now) {
    const { waiting, isFetching, head } = this.ends[side];
    if (waiting.length < fetchedRows / 2 && !isFetching && head === null && performance.now() >= this.notBefore) this.fetchMore(side);
    if (waiting.length === 0) return;
    this.fillSoon();
    const { at, next } = this.added;
    const count = now - at > slowFrame ? Math.max(next - 1, rowsAtOnce.least) : Math.min(next + 1, rowsAtOnce.most);
    this.added = { at: now, next: count };
    const some = side === 'older' ? waiting.splice(-count) : waiting.splice(0, count);
    this.keeping(() => {
      if (side === 'newer') this.isFollowing = false;
      this.trim(side === 'older' ? 'newer' : 'older');
      this.add(some, side);
      this.finish(side);
    });
  }

  /** The message before or after which nothing was fetched. */
  edge(side) {
    const { waiting, from } = this.ends[side];
    return from ?? (side === 'older' ? waiting[0] ?? this.firstRow()?.message : waiting.at(-1) ?? this.lastRow()?.message)?.seq;
  }

  async fetchMore(side) {
    const end = this.ends[side];
    const edge = this.edge(side);
    if (edge === undefined) return;
    const known = Math.max(this.conversation.head, this.told);
    end.isFetching = true;
    const page = await this.fetch({ [side === 'older' ? 'before' : 'after']: edge, limit: fetchedRows });
    end.isFetching = false;
    if (!page || this.ends[side] !== end) return;
    // A page may be empty because nothing in it has a row; then it says where to go on.
    end.from = page.messages.length === 0 && page.more ? page.next : null;
    if (side === 'older') {
      end.waiting.unshift(...page.messages);
      if (end.from === null && (page.messages[0]?.seq ?? 0) <= this.conversation.first) end.head = 0;
    } else {
      end.waiting.push(...page.messages);
      if (!page.more) end.head = Math.max(page.head, page.messages.at(-1)?.seq ?? 0, known);
    }
    if (end.waiting.length === 0) this.keeping(() => this.finish(side));
    this.fillSoon();
  }

  /** Notes that the window has come to an end of the history. */
  finish(side) {
    const end = this.ends[side];
    if (end.waiting.length > 0 || end.head === null) return;
    if (side === 'older') {
      this.isAtTop = true;
    } else if (Math.max(this.conversation.head, this.told) > end.head) {
      // Something has come since then, and was not taken because the window was not at its end.
      end.head = null;
    } else {
      this.isAtEnd = true;
      this.end = end.head;
      this.showPending();
      if (this.wasFollowing) this.isFollowing = true;
      this.followed = null;
    }
  }
}
