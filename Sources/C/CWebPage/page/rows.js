// A window of rows over a history: what it contains, and the row that is being read, which stays where it is.
// A subclass has `conversation`, `list`, `start`, `scroller`, `maker`, `actions`, `latest`, `reset`, which forgets what was
// fetched for one end, `open` and `toLatest`.
import { dayKey } from './i18n.js';

/** So close to an end of the window, in pixels, rows are added. Twice as far from the screen, they are given up. */
export const margin = 1000;
/** So few rows are kept wherever they are, and so many at most: each change costs time for all of them. */
const keptRows = { least: 50, most: 450 };
/** So close to the end, a new message is followed. */
export const stickiness = 24;

const endOf = (row) => row.offsetTop + row.offsetHeight;

export class Rows {
  /** The row that is being read, and where it is. */
  anchor = null;
  /** Whether the window begins with the first message, and ends with the last one. */
  isAtTop = false;
  isAtEnd = false;
  /** What is after this seq is new. -1: nothing is. */
  lineAfter = null;
  /** The row that Tab leads to. */
  active = null;
  /** Whether the end is seen, so that what comes is followed. */
  isFollowing = true;
  /** The last row while the end was followed, and how far it was above the bottom, if more is known to come. */
  followed = null;
  size = null;
  /** The day for which rows say “Today”. */
  today = dayKey(Date.now());

  /** The rows of messages, without those that wait. */
  get rows() {
    return this.list.children;
  }

  firstRow() {
    return this.list.firstElementChild?.message ? this.list.firstElementChild : null;
  }

  lastRow() {
    let row = this.list.lastElementChild;
    while (row && !row.message) row = row.previousElementSibling;
    return row;
  }

  /** Adds a page at one end. */
  add(messages, side) {
    const fragment = document.createDocumentFragment();
    let previous = side === 'newer' ? this.lastRow()?.message : undefined;
    const lastSeq = previous?.seq ?? 0;
    const firstSeq = this.firstRow()?.message.seq ?? Infinity;
    for (const message of messages) {
      if (side === 'newer' ? message.seq <= lastSeq : message.seq >= firstSeq) continue;
      fragment.append(this.row(message, previous));
      previous = message;
    }
    if (side === 'newer') {
      const last = this.lastRow();
      if (last) last.after(fragment);
      else this.list.prepend(fragment);
    } else {
      const first = this.firstRow();
      this.list.prepend(fragment);
      if (first && previous) this.maker.decorate(first, previous, this.isFirstUnread(first.message, previous));
    }
  }

  /** Gives up the rows at one end that are far from the screen. They are fetched again when they are wanted. */
  trim(side) {
    const { scroller, list } = this;
    const isOlder = side === 'older';
    // What waits to be sent stays.
    const rows = [...this.rows].filter((row) => row.message);
    const end = scroller.scrollTop + (isOlder ? -2 * margin : scroller.clientHeight + 2 * margin);
    if (!isOlder) rows.reverse();
    const near = rows.findIndex((row) => (isOlder ? endOf(row) > end : row.offsetTop < end));
    const surplus = Math.max(Math.min(near < 0 ? rows.length : near, rows.length - keptRows.least), rows.length - keptRows.most);
    if (surplus <= 0) return;
    const hadFocus = list.contains(document.activeElement);
    for (const row of rows.slice(0, surplus)) row.remove();
    // The keys still work if the focus was on a row that is gone.
    if (hadFocus && !list.contains(document.activeElement)) scroller.focus({ preventScroll: true });
    this.reset(side);
    if (isOlder) this.isAtTop = false;
    else this.isAtEnd = false;
  }

  /** Says days and senders anew, after rows in the midst have changed. */
  redecorate() {
    let previous = this.isAtTop ? undefined : this.firstRow()?.previous;
    for (const row of this.rows) {
      if (!row.message) break;
      this.maker.decorate(row, previous, row.hasLine);
      previous = row.message;
    }
  }

  /** Shows a row anew, with the buttons and the focus that it had. The next row may say its sender now. */
  update(row) {
    const hadFocus = row.contains(document.activeElement);
    this.maker.update(row);
    if (row === this.actions.row) this.actions.show(row);
    if (hadFocus) row.focus({ preventScroll: true });
    const next = row.nextElementSibling;
    if (next?.message) this.maker.decorate(next, row.message, next.hasLine);
  }

  /** Gives up rows that the server does not keep any more. */
  prune() {
    const { first } = this.conversation;
    if ((this.firstRow()?.message.seq ?? first) >= first) return;
    this.keeping(() => {
      while (this.firstRow()?.message.seq < first) this.firstRow().remove();
      this.reset('older');
      this.isAtTop = true;
      if (this.firstRow()) this.maker.decorate(this.firstRow(), undefined, this.firstRow().hasLine);
    });
    if (!this.lastRow()) this.open();
  }

  /** What was of today may be of yesterday. */
  checkDay() {
    const today = dayKey(Date.now());
    if (today !== this.today) this.keeping(() => this.redecorate());
    this.today = today;
  }

  /** Says at the top of the history, if it is there, that it was longer. `messages` are all that the window has. */
  showStart(messages) {
    if (messages) this.isAtTop = (messages[0]?.seq ?? 0) <= this.conversation.first;
    this.start.hidden = !this.isAtTop || this.conversation.first <= 1;
  }

  row(message, previous) {
    return this.maker.row(message, previous, this.isFirstUnread(message, previous));
  }

  /** Whether a message is the first of what is new, as far as is known: the one before it may not be there yet. */
  isFirstUnread({ seq }, previous) {
    return this.lineAfter > 0 && seq > this.lineAfter && (previous ? previous.seq <= this.lineAfter : seq === Math.max(this.lineAfter + 1, this.conversation.first));
  }

  rowOf(seq) {
    const row = document.getElementById(`m${seq}`);
    return row && this.list.contains(row) ? row : null;
  }

  // The place that is being read

  get isSeen() {
    return document.visibilityState === 'visible' && document.hasFocus() && !this.isHidden;
  }

  /** In a narrow window, the list of conversations is shown instead, or people lie over the messages. */
  get isHidden() {
    return this.scroller.clientHeight === 0;
  }

  get isCovered() {
    const details = document.querySelector('.details')?.getBoundingClientRect();
    const { left, right } = this.scroller.getBoundingClientRect();
    return details?.width > 0 && details.left < (left + right) / 2;
  }

  mark() {
    const { scroller } = this;
    if (this.isHidden) return;
    this.isFollowing = this.isAtEnd && this.below <= stickiness;
    const top = scroller.scrollTop;
    // Mostly it is the row of before, and each question where a row is takes time.
    let row = this.anchor?.row;
    const before = row?.previousElementSibling;
    if (!row?.isConnected || endOf(row) <= top + 1 || (before && endOf(before) > top + 1)) row = this.rowAt(top);
    this.anchor = row && { row, offset: row.offsetTop - top };
    this.size = this.measure();
    this.latest.hidden = this.isFollowing || (this.isAtEnd && this.below < scroller.clientHeight / 2);
  }

  get bottom() {
    return this.scroller.scrollTop + this.scroller.clientHeight;
  }

  /** More is known to come after the last row. */
  loseEnd() {
    const row = this.lastRow();
    if (this.isFollowing && row) this.followed = { row, above: this.bottom - endOf(row) };
    this.isAtEnd = false;
  }

  /** Whether the end was followed until more came, and nobody has scrolled since. Rows that waited may be gone. */
  get wasFollowing() {
    if (!this.followed?.row.isConnected) return false;
    const above = this.bottom - endOf(this.followed.row);
    return above >= -stickiness && above <= this.followed.above + stickiness;
  }

  /** How far the end of the window is, in pixels. */
  get below() {
    return this.scroller.scrollHeight - this.scroller.clientHeight - this.scroller.scrollTop;
  }

  /** The first row that ends below a place. */
  rowAt(top) {
    return this.rows[this.indexAt(top)] ?? null;
  }

  /** Its index, by halving: there may be hundreds. */
  indexAt(top) {
    const { rows } = this;
    let low = 0;
    let high = rows.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (endOf(rows[middle]) <= top + 1) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  restore() {
    if (this.isFollowing) {
      this.scroller.scrollTop = this.scroller.scrollHeight;
    } else if (this.anchor?.row.isConnected) {
      const wanted = this.anchor.row.offsetTop - this.anchor.offset;
      if (Math.abs(wanted - this.scroller.scrollTop) > 0.5) this.scroller.scrollTop = wanted;
    }
  }

  measure() {
    return `${this.scroller.clientWidth} ${this.scroller.clientHeight} ${this.scroller.scrollHeight}`;
  }

  /** After a change of the window that no observer has told yet, the place is the one of before. */
  settle() {
    if (this.size !== null && this.measure() !== this.size) this.restore();
  }

  /** Changes rows without moving what is being read. */
  keeping(work) {
    this.settle();
    this.mark();
    work();
    this.showStart();
    this.restore();
    this.mark();
  }

  // Keys: arrows go from message to message

  activate(row) {
    if (this.active && this.active !== row) this.active.tabIndex = -1;
    this.active = row;
    if (row) row.tabIndex = 0;
  }

  point(row) {
    if (!row?.message || row === this.actions.row) return;
    this.activate(row);
    this.maker.point(row);
    this.actions.show(row);
  }

  onKey(event) {
    if (event.target !== this.scroller && !event.target.classList.contains('row')) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const current = event.target.classList.contains('row') ? event.target : this.active;
    let next = null;
    if (event.key === 'ArrowUp') next = current?.isConnected ? current.previousElementSibling : this.rowAt(this.scroller.scrollTop + this.scroller.clientHeight - 60);
    else if (event.key === 'ArrowDown') next = current?.isConnected ? current.nextElementSibling : this.rowAt(this.scroller.scrollTop);
    else if (event.key === 'End') {
      event.preventDefault();
      this.toLatest();
      return;
    } else return;
    event.preventDefault();
    if (!next?.message) return;
    this.activate(next);
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: 'nearest' });
  }
}
