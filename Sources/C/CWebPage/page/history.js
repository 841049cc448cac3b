// The messages of one conversation: a window of some hundred rows over a history of any length. The row that is being
// read stays where it is, whatever comes above or below it, and when the window changes its size.
import { h, iconButton, announce, debounce } from './dom.js';
import { t, n } from './i18n.js';
import { Ends, fetchedRows, pageRows } from './ends.js';
import { RowMaker } from './row.js';
import { stickiness } from './rows.js';
import { excerpt, line } from './text.js';

/** By number: without a position, a page is by time. */
const past = Number.MAX_SAFE_INTEGER;

export class History extends Ends {
  state;
  /** Messages that the news have told of and that have no row yet. */
  fresh = [];
  quotes = new Map();
  arrived = 0;

  constructor(state, conversation, outbox, signal, { actions, onTarget, changed, say }) {
    super();
    this.state = state;
    this.conversation = conversation;
    this.outbox = outbox;
    this.signal = signal;
    this.onTarget = onTarget;
    Object.assign(this, { changed, say });
    this.list = h('ol', { class: 'rows', role: 'list' });
    this.start = h('p', { class: 'start', hidden: true }, t('Older messages are not kept'));
    this.scroller = h('div', { class: 'scroller', tabindex: '0', role: 'region', 'aria-label': t('Messages of {name}', { name: line(conversation.name) }) },
      this.start, this.list);
    this.latest = iconButton('down', t('To the latest message'), () => this.toLatest(), { class: 'icon-button latest', hidden: true });
    this.element = h('div', { class: 'history' }, this.scroller, this.latest);
    this.actions = actions;
    const go = (seq) => onTarget(seq);
    go.address = (seq) => `#/${encodeURIComponent(conversation.name)}/${seq}`;
    this.maker = new RowMaker(state.me, {
      api: state.api,
      quote: (seq, show) => this.quote(seq, show), go,
      retry: (entry) => outbox.retry(entry.name), drop: (entry) => actions.restore(entry),
    });
    this.listen();
  }

  listen() {
    const { signal } = this;
    this.scroller.addEventListener('scroll', () => this.fillSoon(), { passive: true, signal });
    const resized = new ResizeObserver(() => {
      // Mostly it was this page itself that added rows.
      if (this.isHidden || this.measure() === this.size) return;
      if (this.place) return this.toPlace();
      this.restore();
      this.mark();
      this.fillSoon();
    });
    resized.observe(this.scroller);
    resized.observe(this.list);
    signal.addEventListener('abort', () => resized.disconnect(), { once: true });
    for (const name of ['focus', 'visibilitychange']) {
      (name === 'focus' ? window : document).addEventListener(name, () => {
        this.checkDay();
        this.readSoon();
      }, { signal });
    }
    this.list.addEventListener('pointerover', (event) => this.point(event.target.closest('.row')), { signal });
    this.list.addEventListener('focusin', (event) => this.point(event.target.closest('.row')), { signal });
    this.scroller.addEventListener('keydown', (event) => this.onKey(event), { signal });
    this.state.on('message', (message) => this.onMessage(message), signal);
    this.state.on('sent', (message) => this.onMessage(message), signal);
    this.state.on('outbox', () => this.showPending(), signal);
    this.state.on('conversation', ({ id }) => id === this.conversation.id && this.prune(), signal);
    this.state.every(60_000, () => this.checkDay(), signal);
    this.state.on('erased', (notice) => this.onErased(notice), signal);
    this.state.on('reload', () => {
      // A server that was restored has less.
      this.told = 0;
      this.refresh();
    }, signal);
    this.state.on('listed', () => {
      // The page of messages may be older than the place from which news are told.
      const { head } = this.conversation;
      if (head <= Math.max(this.end, this.told)) return;
      this.told = head;
      if (this.firstRow()) this.refresh();
      else this.loseStaleEnd();
    }, signal);
    this.state.on('connection', ({ phase }) => {
      // The server was away when this was opened, or when the end was wanted.
      if (phase === 'live' && this.again && (!this.lastRow() || this.below <= stickiness)) this.again();
    }, signal);
  }

  // Opening

  /** Shows the place of a message, or the first unread message, or the end. */
  async open(seq) {
    const { read, unread, head } = this.conversation;
    const isUnread = !seq && unread > 0 && read < head;
    if (this.lineAfter === null) this.lineAfter = unread > 0 ? read : -1;
    const around = seq ?? (isUnread && head - read > pageRows / 2 ? read + 1 : null);
    const journey = this.leave();
    this.goal = seq;
    const page = await this.fetch(around ? { around } : { before: past }, { journey, again: () => this.open(seq) });
    if (!page) return;
    this.clear();
    this.add(page.messages, 'newer');
    const last = page.messages.at(-1)?.seq ?? 0;
    this.isAtEnd = !around || last >= page.head;
    this.showStart(page.messages);
    this.end = page.head;
    this.showPending();
    this.place = () => {
      if (seq) this.show(seq);
      else if (isUnread) this.showLine();
      else this.toEnd();
    };
    if (!this.isHidden) this.toPlace();
  }

  /** Goes where the window was opened. While it is hidden, nothing has a place. */
  toPlace() {
    const { place } = this;
    this.place = null;
    place();
    this.loseStaleEnd();
    this.fillSoon();
  }

  /** The page may have been answered before the last news, which were passed over while it was not there. */
  loseStaleEnd() {
    if (this.isAtEnd && this.told > this.end) this.catchUp();
  }

  /** Fetches what comes after the last row. */
  catchUp() {
    if (!this.lastRow()) {
      this.isAtEnd = false;
      return this.open();
    }
    this.loseEnd();
    return this.fillSoon();
  }

  clear() {
    this.generation += 1;
    this.isStale = false;
    this.fresh = [];
    this.list.replaceChildren();
    this.reset('older');
    this.reset('newer');
    this.anchor = null;
    this.size = null;
    this.active = null;
    this.place = null;
    this.followed = null;
    this.arrived = 0;
  }

  // Going places

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.isFollowing = this.isAtEnd;
    this.mark();
    this.readSoon();
  }

  async toLatest(takesFocus = true) {
    const journey = this.leave();
    if (!this.isAtEnd) {
      const page = await this.fetch({ before: past }, { journey, again: () => this.toLatest(takesFocus) });
      if (!page && this.again && journey === this.journey) {
        // What waits to be sent is below the rows that are there.
        this.reset('newer');
        this.toEnd();
      }
      if (!page) return;
      this.clear();
      this.add(page.messages, 'newer');
      this.isAtEnd = true;
      this.showStart(page.messages);
      this.end = page.head;
      this.showPending();
    }
    this.toEnd();
    this.loseStaleEnd();
    if (takesFocus) this.lastRow()?.focus({ preventScroll: true });
  }

  /** Shows a message that is in the window, or opens its place. */
  async to(seq) {
    this.leave();
    if (this.rowOf(seq)) this.show(seq);
    else await this.open(seq);
  }

  /** The first message at or after a time. */
  async toTime(ms) {
    const journey = this.leave();
    const page = await this.fetch({ since: new Date(ms).toISOString(), after: 0, limit: 1 }, { journey, again: () => this.toTime(ms) });
    const found = page?.messages[0];
    if (found) this.onTarget(found.seq);
    else if (page) await this.toLatest();
  }

  show(seq) {
    let row = document.getElementById(`m${seq}`);
    if (!row) {
      // An edit or a deletion has no row; its neighbour has.
      row = [...this.rows].find((one) => one.message?.seq >= seq) ?? this.lastRow();
      if (row?.message.seq !== seq) this.say(seq > this.conversation.head ? t('There is no message {n} yet', { n: seq }) : t('Message {n} has no line of its own', { n: seq }));
      if (!row) return;
    }
    this.scroller.scrollTop = row.offsetTop - Math.max(40, (this.scroller.clientHeight - row.offsetHeight) / 3);
    this.mark();
    this.activate(row);
    row.focus({ preventScroll: true });
    row.classList.add('shown');
    setTimeout(() => row.classList.remove('shown'), 2500);
    this.readSoon();
  }

  showLine() {
    const row = [...this.rows].find((one) => one.hasLine) ?? [...this.rows].find((one) => one.message?.seq > this.lineAfter);
    if (!row) return this.toEnd();
    this.scroller.scrollTop = row.offsetTop - this.scroller.clientHeight / 4;
    this.mark();
    this.readSoon();
  }

  /** The newest message of one's own, to be edited. It may be outside the window. */
  async findOwn() {
    const { me } = this.state;
    const isOwn = (message) => message?.sender === me.name && !message.deleted && !message.erased && (message.kind ?? 'text') === 'text' && !message.imported;
    const shown = this.isAtEnd && [...this.rows].findLast((row) => isOwn(row.message));
    if (shown) return shown.message;
    const page = await this.state.get(['conversations', this.conversation.name, 'messages'], { from: me.name, limit: pageRows, fold: 1 }).catch(() => null);
    return page?.messages.findLast(isOwn) ?? null;
  }

  // News

  onMessage(message) {
    if (message.conversation_id !== this.conversation.id) return;
    this.told = Math.max(this.told, message.seq);
    this.checkDay();
    const kind = message.kind ?? 'text';
    if (kind === 'edit' || kind === 'delete') this.onChange(message, kind);
    if (!this.isAtEnd || message.seq <= this.end) return;
    if (message.seq > this.end + 1) {
      // Something between has not come yet.
      this.catchUp();
      return;
    }
    this.end = message.seq;
    if (kind === 'file' && message.file) this.onFile(message);
    if (kind !== 'text' && kind !== 'event') return;
    if (!this.state.isForeign(message) && !message.imported && kind === 'text') this.outbox.cover(message);
    // An answer may have thousands, and rows of their own would each move all others.
    if (this.fresh.length === 0) queueMicrotask(() => this.addFresh());
    this.fresh.push(message);
  }

  /** Adds rows for the messages that one answer has told of. */
  addFresh() {
    const { fresh } = this;
    this.fresh = [];
    if (fresh.length === 0 || this.signal.aborted) return;
    const foreign = fresh.filter((message) => this.state.isForeign(message));
    if (foreign.length > 0 && !this.isSeen) this.beginNew(foreign[0].seq - 1);
    if (fresh.length > fetchedRows) {
      // They are fetched as far as they are wanted.
      this.loseEnd();
      this.fillSoon();
    } else {
      this.keeping(() => {
        this.trim('older');
        this.add(fresh, 'newer');
        this.showPending();
      });
    }
    if (foreign.length > 0) {
      if (this.isFollowing && foreign.length === 1) announce(`${line(foreign[0].sender)}: ${excerpt(foreign[0].text, 200)}`);
      else {
        this.arrived += foreign.length;
        announce(n('{n} new message', '{n} new messages', this.isFollowing ? foreign.length : this.arrived));
      }
    }
    this.readSoon();
  }

  /** What comes after a message is new to a reader who is away and had read all before. */
  beginNew(seq) {
    if (this.lineAfter !== -1 && this.conversation.read < seq) return;
    this.lineAfter = seq;
    const row = [...this.rows].find((one) => one.hasLine);
    if (row) this.keeping(() => this.maker.decorate(row, row.previous, false));
  }

  onChange(message, kind) {
    this.addFresh();
    this.change([message.about], kind === 'edit' ? { text: message.text, edited: message.time } : { text: '', deleted: true });
  }

  /** A file comes behind its text. */
  onFile(message) {
    this.addFresh();
    const known = this.rowOf(message.about)?.message;
    const { key, ...file } = message.file;
    if (known && !known.deleted && !known.files?.some((one) => one.id === file.id)) this.change([message.about], { files: [...known.files ?? [], file] });
  }

  onErased(notice) {
    if (notice.conversation_id !== this.conversation.id) return;
    const seqs = notice.seqs ?? [];
    this.addFresh();
    this.change(seqs, { text: '', sender: '', erased: true });
    // It may be an edit, whose original now has an older text, or a text that an edit had replaced.
    const rows = seqs.map((seq) => this.rowOf(seq));
    if (rows.some((row) => !row || row.message.edited)) this.refresh();
  }

  /** Shows changed messages, and where they are quoted. */
  change(seqs, fields) {
    this.forget(seqs);
    this.keeping(() => {
      for (const row of seqs.map((seq) => this.rowOf(seq)).filter(Boolean)) {
        Object.assign(row.message, fields);
        this.update(row);
      }
      for (const row of this.rows) if (seqs.includes(row.message?.about)) this.update(row);
    });
    this.changed(seqs);
  }

  /** Forgets messages that have changed and have no row. */
  forget(seqs) {
    this.changes += 1;
    const changed = new Set(seqs);
    for (const seq of changed) this.quotes.delete(seq);
    for (const side of ['older', 'newer']) if (this.ends[side].waiting.some((message) => changed.has(message.seq))) this.reset(side);
  }

  /** After an absence: fetches the window anew, because changes of it may have been missed. */
  async refresh() {
    this.addFresh();
    this.isStale = true;
    const first = this.firstRow();
    if (!first) return this.open(this.goal);
    const last = this.lastRow().message.seq;
    this.quotes.clear();
    const page = await this.fetch({ after: first.message.seq - 1, limit: this.rows.length }, { again: () => this.refresh() });
    if (!page) return undefined;
    this.isStale = false;
    if (page.head < last) {
      // The server was restored from a backup: its history ends before these rows.
      this.lineAfter = null;
      return this.open();
    }
    const fresh = new Map(page.messages.map((message) => [message.seq, message]));
    const end = page.more ? page.messages.at(-1)?.seq ?? 0 : last;
    this.keeping(() => {
      for (const row of [...this.rows].filter((one) => one.message)) {
        const message = fresh.get(row.message.seq);
        if (message) {
          // What it quotes may have changed too.
          if (!message.about && JSON.stringify(message) === JSON.stringify(row.message)) continue;
          row.message = message;
          this.update(row);
        } else if (row.message.seq <= end) {
          row.remove();
        }
      }
      this.redecorate();
    });
    this.changed();
    if (!this.lastRow()) return this.open();
    this.loseEnd();
    this.reset('older');
    this.reset('newer');
    this.fillSoon();
    return undefined;
  }

  showPending() {
    // A row that stays keeps the focus, and a press on its button.
    const before = new Map([...this.list.querySelectorAll('.pending')].map((row) => [row.key, row]));
    const focused = this.list.querySelector('.pending:focus-within');
    const { isStuck } = this.outbox;
    const rows = this.outbox.of(this.conversation.id).filter((entry) => !entry.isCovered).map((kept) => {
      const entry = { ...kept, isUnsent: kept.isUnsent || isStuck };
      const key = `${entry.name} ${(entry.refusal ?? entry.trouble)?.code} ${entry.isUnsent}`;
      const row = before.get(key) ?? this.maker.pending(entry);
      before.delete(key);
      return Object.assign(row, { key });
    });
    for (const row of before.values()) row.remove();
    const end = [...this.list.children].slice(-rows.length);
    if (rows.some((row, index) => end[index] !== row)) this.list.append(...rows);
    if (this.isFollowing) this.scroller.scrollTop = this.scroller.scrollHeight;
    if (focused && !focused.isConnected) this.scroller.focus({ preventScroll: true });
  }

  quote(seq, show) {
    const row = this.rowOf(seq);
    if (row) return show(row.message);
    if (!this.quotes.has(seq)) {
      const found = this.state.get(['conversations', this.conversation.name, 'messages'], { around: seq, limit: 1, fold: 1 })
        .then((page) => page.messages.find((message) => message.seq === seq) ?? null, () => {
          this.quotes.delete(seq);
          return null;
        });
      this.quotes.set(seq, found);
      if (this.quotes.size > 200) this.quotes.delete(this.quotes.keys().next().value);
    }
    // What is quoted may take a second line.
    return this.quotes.get(seq).then((original) => {
      if (!this.signal.aborted) this.keeping(() => show(original));
    });
  }

  // What was read: what was on the screen while the tab was seen and had the focus

  readSoon = debounce(() => this.read(), 150);

  read() {
    if (this.signal.aborted || !this.isSeen || this.isCovered || this.rows.length === 0) return;
    const { scroller } = this;
    const bottom = scroller.scrollTop + scroller.clientHeight;
    let seq = 0;
    if (this.isAtEnd && this.below <= stickiness) {
      seq = this.end;
      this.arrived = 0;
    } else {
      let row = this.rowAt(bottom - 1);
      while (row && (!row.message || row.offsetTop + row.offsetHeight > bottom + 8)) row = row.previousElementSibling;
      seq = row?.message.seq ?? 0;
    }
    if (seq > this.conversation.read) this.state.markRead(this.conversation, seq);
  }
}
