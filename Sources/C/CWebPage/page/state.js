// What the page knows of one account, and what it tells its views. A new login makes a new state.
import { meant, path, Refusal } from './api.js';
import { mentions } from './text.js';

export class State {
  #listeners = new Map();
  #ender = new AbortController();
  /** How far conversations were read that the server does not know of yet. */
  #untold = new Map();
  #isTelling = false;
  /** The conversations that news have told of since the lists began to be loaded, and whether they are gone. */
  #told = new Map();
  #tellTimer = 0;
  #lists = Promise.resolve();

  constructor(api, me) {
    this.api = api;
    this.me = me;
    /** Ends everything that this state has begun: listeners, waits, timers. */
    this.signal = this.#ender.signal;
    /** By id, because a group can get another name. */
    this.conversations = new Map();
    this.users = new Map();
    this.connection = { phase: 'connecting', since: Date.now() };
    /** Whether lists were asked for: what came before that is in them, and later news are told. */
    this.areListsAsked = false;
  }

  /** What this account keeps in the browser is found under this. */
  get place() {
    // A name can contain a colon: without this, the place of "bob" would contain that of "bob:x".
    return `${this.api.store}:${this.me.name.replaceAll('%', '%25').replaceAll(':', '%3A')}:`;
  }

  end() {
    this.#ender.abort();
    clearTimeout(this.#tellTimer);
    this.#listeners.clear();
  }

  on(name, work, signal) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(work);
    signal?.addEventListener('abort', () => this.#listeners.get(name)?.delete(work), { once: true });
  }

  emit(name, value) {
    for (const work of [...(this.#listeners.get(name) ?? [])]) work(value);
  }

  every(milliseconds, work, signal = this.signal) {
    const timer = setInterval(work, milliseconds);
    signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }

  get(segments, query) {
    return this.api.get(path(segments, query), { signal: this.signal });
  }

  change(method, segments, body, query) {
    return this.api.json(method, path(segments, query), body, { signal: this.signal });
  }

  // Conversations

  named(name) {
    for (const known of this.conversations.values()) if (known.name === name) return known;
    return null;
  }

  /** The conversation of a name, also one that has no message yet. */
  async find(name) {
    const known = this.named(name);
    if (known) return known;
    const found = await this.get(['conversations', name]);
    return this.conversations.get(found.id) ?? this.adopt({ ...found, isListed: false });
  }

  adopt(object) {
    const known = this.conversations.get(object.id) ?? { isListed: true, mention: 0 };
    const { type, ...fields } = object;
    Object.assign(known, fields);
    const read = this.#untold.get(known.id);
    if (read > known.read) {
      // The server has not heard yet what was read here. Its own count comes after that.
      known.read = read;
      known.unread = Math.max(0, Math.min(known.unread, known.head - read));
    }
    if (known.head > 0) known.isListed = true;
    this.conversations.set(known.id, known);
    return known;
  }

  /** One after the other, because each has its own news. */
  loadLists() {
    this.areListsAsked = true;
    this.#lists = this.#lists.catch(() => {}).then(() => this.#loadLists());
    return this.#lists;
  }

  async #loadLists() {
    this.#told.clear();
    const before = [...this.conversations.values()].filter((one) => one.isListed);
    const ids = new Set();
    const renamed = [];
    let after;
    do {
      const page = await this.get(['conversations'], { limit: 1000, after });
      for (const object of page.conversations) {
        if (this.#told.get(object.id) === 'gone') continue;
        ids.add(object.id);
        const known = this.conversations.get(object.id);
        if (known && known.name !== object.name) renamed.push(object);
        // What the news told may be newer than this page.
        if (known && this.#told.has(object.id) && (object.head < known.head || object.read < known.read)) this.recount(known);
        else this.adopt({ ...object, isListed: true });
      }
      after = page.more ? page.next : null;
    } while (after);
    // One that the news have told of since then is there, or they have said that it is gone.
    const gone = before.filter((one) => !ids.has(one.id) && !this.#told.has(one.id));
    for (const { id } of gone) this.conversations.delete(id);
    // After a long absence, no news tell of these.
    for (const object of renamed) this.emit('conversation', object);
    for (const { id, name } of gone) this.emit('gone', { type: 'gone', conversation_id: id, conversation: name });
    this.emit('conversations');
    if ([...this.conversations.values()].some((one) => one.kind !== 'personal' && one.unread > 0)) this.#findMentions().catch(() => {});
  }

  /** What named the account before this page was opened did not come as news. */
  async #findMentions() {
    const page = await this.get(['search'], { q: `"${this.me.name.replaceAll('"', ' ')}"`, limit: 20, fold: 1 });
    for (const message of page.messages) this.#noteMention(message);
    this.emit('conversations');
  }

  #noteMention(message) {
    const known = this.conversations.get(message.conversation_id);
    if (known && known.kind !== 'personal' && this.isForeign(message) && message.seq > known.mention && mentions(message.text, this.me.name)) known.mention = message.seq;
  }

  /** Newest first; general before others without a message. */
  get sorted() {
    return [...this.conversations.values()].filter((one) => one.isListed)
      .sort((a, b) => (b.last?.ts ?? 0) - (a.last?.ts ?? 0) || (a.kind === 'general' ? -1 : b.kind === 'general' ? 1 : a.name.localeCompare(b.name)));
  }

  get unread() {
    let sum = 0;
    for (const one of this.conversations.values()) sum += one.unread;
    return sum;
  }

  /** Takes a line of sync. What was seen before changes nothing. */
  take(line) {
    this.#told.set(line.conversation_id ?? line.id, line.type);
    switch (line.type) {
      case 'conversation':
        // Its count is of the moment of the answer, and the messages that follow are in it.
        this.adopt({ ...line, isListed: true });
        this.emit('conversation', line);
        this.emit('conversations');
        break;
      case 'message':
        this.#takeMessage(line);
        break;
      case 'read': {
        const known = this.conversations.get(line.conversation_id);
        if (known) this.setRead(known, line.read);
        break;
      }
      case 'erased': {
        const known = this.conversations.get(line.conversation_id);
        if (known) {
          if (line.seqs?.includes(known.mention)) known.mention = 0;
          this.recount(known);
        }
        this.emit('erased', line);
        break;
      }
      case 'gone':
        this.conversations.delete(line.conversation_id);
        this.emit('gone', line);
        this.emit('conversations');
        break;
      case 'contacts':
        this.emit('contacts');
        break;
      default: // A later server may say more.
    }
  }

  /** Whether a message counts as unread: of others, or of a program of one's own. */
  isForeign(message) {
    return (message.kind ?? 'text') === 'text' && !message.imported && (message.sender !== this.me.name || Boolean(message.via));
  }

  #takeMessage(message) {
    const known = this.conversations.get(message.conversation_id);
    if (known && message.seq > known.head) {
      known.head = message.seq;
      known.isListed = true;
      const isText = (message.kind ?? 'text') === 'text';
      if (isText) known.last = message;
      if (!isText) this.recount(known);
      else if (this.isForeign(message) && message.seq > known.read) known.unread += 1;
      this.emit('conversations');
    }
    if (known && message.kind === 'delete' && message.about === known.mention) known.mention = 0;
    this.#noteMention(message);
    this.emit('message', message);
  }

  /** Asks the server for the count of what is unread. */
  async recount(known) {
    try {
      const { head } = known;
      const fresh = await this.get(['conversations', known.name]);
      if (fresh.id !== known.id) return;
      // Older than news that came meanwhile. After a restore it may be older than all news that there were.
      if (known.head > head && fresh.head < known.head) {
        await this.recount(known);
        return;
      }
      if (fresh.read >= known.read) {
        known.unread = fresh.unread;
        known.last = fresh.last;
        this.emit('conversations');
      }
    } catch (error) {
      if (!(error instanceof Refusal)) return;
      // The next news corrects it.
    }
  }

  setRead(known, seq) {
    if (seq <= known.read) return;
    known.read = seq;
    if (seq >= known.head) known.unread = 0;
    else if (known.unread > 0) this.recount(known);
    this.emit('conversations');
    this.emit('read', { id: known.id });
  }

  /** Tells the server what was read. It only rises. */
  async markRead(known, seq) {
    if (seq <= known.read) return;
    this.setRead(known, seq);
    this.#untold.set(known.id, seq);
    await this.#tellRead();
  }

  /** Says what was read. What the server does not hear is said again after a pause, and when it can be reached again. */
  async #tellRead() {
    if (this.#isTelling) return;
    this.#isTelling = true;
    clearTimeout(this.#tellTimer);
    try {
      while (this.#untold.size > 0) {
        const [id, seq] = this.#untold.entries().next().value;
        const known = this.conversations.get(id);
        if (known) {
          await this.change('PUT', ['conversations', known.name, 'read'], { seq, conversation_id: meant(known.name, id).conversation_id }).catch((error) => {
            if (!(error instanceof Refusal) || error.isPassing) throw error;
          });
        }
        if (this.#untold.get(id) === seq) this.#untold.delete(id);
        if (known?.unread > 0) this.recount(known);
      }
    } catch (error) {
      if (error instanceof Refusal && !this.signal.aborted) this.#tellTimer = setTimeout(() => this.#tellRead(), Math.max(5000, error.retryAfter * 1000));
    } finally {
      this.#isTelling = false;
    }
  }

  // People

  async loadUsers(pattern) {
    // With very many users, a page may end before a name that fits.
    let page = {};
    do page = await this.get(['users'], { limit: 500, q: pattern, after: page.next });
    while (page.more && page.users.length === 0);
    // These are all, so that who is not among them has been erased.
    if (!pattern && !page.more) this.users.clear();
    for (const user of page.users) this.users.set(user.name, user);
    this.emit('users');
    if (!pattern && page.more) {
      await this.#loadOnline();
      this.emit('users');
    }
  }

  /** Who is online, of more users than a page has. */
  async #loadOnline() {
    const online = [];
    let page = {};
    do {
      page = await this.get(['users'], { limit: 1000, online: 1, after: page.next });
      online.push(...page.users);
    } while (page.more);
    for (const user of this.users.values()) user.online = false;
    for (const user of online) this.users.set(user.name, user);
  }

  /** The groups that the account is in, and open ones, a page at a time. */
  async* groupPages() {
    let after;
    do {
      const page = await this.get(['groups'], { limit: 1000, after });
      yield page.groups;
      after = page.more ? page.next : null;
    } while (after);
  }

  // Connection

  setConnection(phase, fields = {}) {
    const isSame = phase === this.connection.phase;
    this.connection = { phase, since: isSame ? this.connection.since : Date.now(), ...fields };
    if (isSame) return;
    this.emit('connection', this.connection);
    if (phase === 'live') this.#tellRead();
  }
}
