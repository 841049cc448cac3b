// A window of rows over a history: what it contains, and the row that is being read, which stays where it is.
// A subclass has `list`, `scroller`, `maker`, `latest`, `reset`, which forgets what was fetched for one end, and
// `showStart`, which says what is at the top.

/** Each change of a row costs time for all of them. Rows of one line fill twice the margin and a high screen. */
export const maximumRows = 300;
/** So close to the end, a new message is followed. */
export const stickiness = 24;

export class Rows {
  /** The row that is being read, and where it is. */
  anchor = null;
  /** Whether the window begins with the first message, and ends with the last one. */
  isAtTop = false;
  isAtEnd = false;
  /** What is after this seq is new. -1: nothing is. */
  lineAfter = null;
  /** Whether the end is seen, so that what comes is followed. */
  isFollowing = true;
  size = null;

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

  /** Adds a page at one end, and takes away what is too far from the other. */
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
      if (first && previous) this.maker.decorate(first, previous, first.hasLine);
    }
    let surplus = this.rows.length - maximumRows;
    if (surplus <= 0) return;
    if (side === 'newer') {
      while (surplus > 0 && this.firstRow()) {
        this.firstRow().remove();
        surplus -= 1;
      }
      this.isAtTop = false;
      this.reset('older');
    } else {
      for (const row of this.list.querySelectorAll('.pending')) row.remove();
      surplus = this.rows.length - maximumRows;
      while (surplus > 0) {
        this.list.lastElementChild.remove();
        surplus -= 1;
      }
      this.isAtEnd = false;
      this.reset('newer');
    }
  }

  row(message, previous) {
    const isFirstUnread = this.lineAfter >= 0 && message.seq > this.lineAfter && (previous === undefined || previous.seq <= this.lineAfter);
    return this.maker.row(message, previous, isFirstUnread && this.lineAfter > 0);
  }

  rowOf(seq) {
    const row = document.getElementById(`m${seq}`);
    return row && this.list.contains(row) ? row : null;
  }

  // The place that is being read

  mark() {
    const { scroller } = this;
    const bottom = scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop;
    this.isFollowing = this.isAtEnd && bottom <= stickiness;
    const row = this.rowAt(scroller.scrollTop);
    this.anchor = row && { row, offset: row.offsetTop - scroller.scrollTop };
    this.size = this.measure();
    this.latest.hidden = this.isFollowing || (this.isAtEnd && bottom < scroller.clientHeight / 2);
  }

  /** The first row that ends below a place, by halving: there may be 500. */
  rowAt(top) {
    const { rows } = this;
    let low = 0;
    let high = rows.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle].offsetTop + rows[middle].offsetHeight <= top + 1) low = middle + 1;
      else high = middle;
    }
    return rows[low] ?? null;
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
}
