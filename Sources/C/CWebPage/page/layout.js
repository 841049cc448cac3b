// The frame: conversations at the left, the view in the middle, people at the right.
import { h, fill, icon, iconButton, announce, silence, betweenClicks } from './dom.js';
import { t, n, number, brief, exact } from './i18n.js';
import { excerpt, line, wording } from './text.js';
import { avatar, eventText } from './row.js';
import { ConversationView, announceNote } from './conversation.js';
import { startKeys } from './keys.js';
import * as shell from './shell.js';

/** The addresses of views begin with a comma, which no name contains. */
const viewMark = ',';

/** After a change of the server's release, a part that was not needed before is not there any more. */
export const unfetched = () => [h('p', { role: 'alert' }, t('This part of the page cannot be fetched. The server may have a new release.')),
  h('button', { type: 'button', class: 'primary', click: () => location.reload() }, t('Load the page again'))];

export const addressOf = (name, seq) => `#/${encodeURIComponent(name).replaceAll('%40', '@')}${seq ? `/${seq}` : ''}`;

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export class Layout {
  #root;
  #state;
  #view = null;
  #viewEnder = null;
  #peopleEnder = null;
  /** Gives the command for what was just done, while it opens a conversation. */
  cause = null;
  /** The id of the group that this page leaves or deletes by itself. */
  leaving = null;

  constructor(root, state, live, outbox, { logout }) {
    Object.assign(this, { live, outbox, logout });
    this.#root = root;
    this.#state = state;
  }

  get state() {
    return this.#state;
  }

  start() {
    const { signal } = this.#state;
    this.#build();
    const state = this.#state;
    state.on('conversations', () => this.#showSoon(), signal);
    state.on('connection', () => this.#showConnection(), signal);
    state.on('outbox', () => this.#showConnection(), signal);
    state.on('users', () => this.#showSoon(), signal);
    state.on('gone', (gone) => this.#onGone(gone), signal);
    state.on('conversation', (object) => this.#onRenamed(object), signal);
    state.every(15_000, () => this.#showConnection());
    addEventListener('hashchange', () => this.#route(), { signal });
    startKeys(this, signal);
    // The first messages do not wait for its bytes.
    Promise.resolve(this.#route()).then(() => this.#startNotifications(signal));
    this.#watchPeople();
  }

  async #startNotifications(signal) {
    try {
      const { startNotifications } = await import('./notify.js');
      if (!signal.aborted) startNotifications(this, signal);
    } catch {
      // The connection was lost just now.
      if (!signal.aborted) setTimeout(() => this.#startNotifications(signal), 10_000);
    }
  }

  /** Builds everything anew in another language. */
  rebuild() {
    this.#build();
    return this.#route();
  }

  /** Empties the page. After a logout nothing is kept. */
  forget(isLogout) {
    if (isLogout && this.#view?.composer) this.#view.composer.isForgotten = true;
    this.#viewEnder?.abort();
    for (const element of document.querySelectorAll('dialog')) element.remove();
    shell.forget();
    silence();
  }

  /** Asks whether the account is an admin now: it can become one, or be one no more, while the page is open. */
  async askAdmin() {
    const { me } = this.#state;
    me.admin = (await this.#state.get(['whoami'])).admin;
    this.adminLink.hidden = !me.admin;
    return me.admin;
  }

  #build() {
    const state = this.#state;
    this.status = h('button', { type: 'button', class: 'status', click: () => this.#onStatus() });
    this.list = h('ul', { class: 'conversations', role: 'list' });
    this.#showList = betweenClicks(this.list, () => this.#drawList(), state.signal);
    this.center = h('main', { class: 'center', id: 'center', tabindex: '-1' });
    this.details = h('aside', { class: 'details', hidden: true, 'aria-label': t('People and details') });
    const link = (name, label, view) => h('a', { class: 'icon-button', href: `#/${viewMark}${view}`, 'aria-label': label, title: label }, icon(name));
    this.adminLink = link('shield', t('Administration'), 'admin');
    this.adminLink.hidden = !state.me.admin;
    this.side = h('nav', { class: 'side', 'aria-label': t('Conversations') },
      h('header', { class: 'side-head' },
        h('span', { class: 'brand' }, 'natter'),
        iconButton('shell', t('In a shell'), () => this.open('shell')),
        iconButton('plus', t('New conversation'), () => this.open('start'), { id: 'start' })),
      h('button', { type: 'button', class: 'find', click: () => this.open('switcher') }, icon('search'), h('span', null, t('Go to…')), h('kbd', null, 'Ctrl K')),
      this.list,
      h('footer', { class: 'side-foot' },
        avatar(state.me.name),
        h('span', { class: 'me' }, h('b', null, line(state.me.name)), h('small', null, location.host)),
        link('search', t('Search messages'), 'search'),
        this.adminLink,
        link('gear', t('Settings'), 'settings')),
      this.status);
    fill(this.#root, h('a', { class: 'skip', href: '#center', click: (event) => {
      event.preventDefault();
      (this.#view?.composer?.field ?? this.center).focus();
    } }, t('To the message field')),
    h('div', { class: 'app' }, this.side, this.center, this.details));
    this.#showList();
    this.#showConnection();
    if (this.areDetailsOpen) this.#showDetails();
  }

  // The list of conversations

  #showList;
  #isShowing = false;
  /** The conversation that is scrolled into sight. */
  #listed;
  #showSoon() {
    if (this.#isShowing) return;
    this.#isShowing = true;
    const show = () => {
      this.#isShowing = false;
      if (!this.#state.signal.aborted) this.#showList();
    };
    // A tab in the background has no frames, but its title is seen.
    if (document.visibilityState === 'hidden') setTimeout(show);
    else requestAnimationFrame(show);
  }

  #drawList() {
    const state = this.#state;
    const current = this.#view?.conversation;
    const focused = this.list.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
    const shown = state.sorted;
    if (current && !shown.includes(current)) shown.unshift(current);
    fill(this.list, shown.map((one) => this.#item(one, one === current)));
    if (current !== this.#listed) this.list.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest' });
    this.#listed = current;
    if (focused) [...this.list.querySelectorAll('a')].find((link) => link.getAttribute('href') === focused)?.focus({ preventScroll: true });
    const unread = state.unread;
    document.title = `${unread > 0 ? `(${number(unread)}) ` : ''}${this.#view?.title ?? 'natter'} · natter`;
  }

  #item(one, isCurrent) {
    const { last } = one;
    const person = one.kind === 'personal' ? one.name.slice(1) : null;
    const isOnline = person !== null && this.#state.users.get(person)?.online;
    const text = last ? (last.deleted || last.kind === 'delete' ? t('(deleted)') : last.erased ? t('(erased)') : (last.kind === 'event' && eventText(last.text)) || excerpt(wording(last), 80)) : t('No messages yet');
    // A name that is written from the right does not turn the text.
    const who = last?.sender && !person && [h('bdi', null, last.sender === this.#state.me.name && !last.imported ? t('You') : line(last.sender)), ': '];
    const isMentioned = one.mention > one.read;
    const badge = one.unread > 0 && h('span', { class: `badge${isMentioned ? ' mentioned' : ''}` },
      isMentioned && h('span', { 'aria-hidden': 'true' }, '@'), number(one.unread), h('span', { class: 'unseen' }, ` ${n('unread message', 'unread messages', one.unread)}${isMentioned ? `, ${t('you are mentioned')}` : ''}`));
    return h('li', null, h('a', { href: addressOf(one.name), 'aria-current': isCurrent ? 'page' : null, class: 'conversation' },
      h('span', { class: 'avatar-place' }, avatar(person ?? one.name), isOnline && h('span', { class: 'dot', title: t('online') }, h('span', { class: 'unseen' }, t('online')))),
      h('span', { class: 'conversation-name' }, line(titleOf(one, this.#state.me))),
      last && h('time', { datetime: last.time, title: exact(last.ts) }, brief(last.ts)),
      h('span', { class: 'conversation-last', dir: 'auto' }, who, text), badge));
  }

  #onGone(gone) {
    if (this.#view?.conversation?.id !== gone.conversation_id) return;
    if (this.leaving === gone.conversation_id) {
      this.leaving = null;
      this.go('general', null, shell.lastCommand);
      return;
    }
    const title = t('{name} is no longer there', { name: line(this.#view.conversation.name) });
    const draft = this.#view.composer.field.value;
    const hadFocus = this.center.contains(document.activeElement);
    this.#begin('');
    // Its address leads nowhere now, and with another one a link to it would work if it came back.
    history.replaceState(null, '', '#/');
    // No field gets the focus: the next letters that are typed were meant for the one who is gone.
    this.#view = { title };
    fill(this.center, h('div', { class: 'empty' }, h('h1', null, title),
      draft && [h('p', null, t('What you were writing there:')), h('pre', { class: 'command', tabindex: '0' }, draft)],
      h('p', null, h('a', { href: '#/general' }, t('To general')))));
    if (hadFocus) this.center.focus();
    announce(title);
    this.#showList();
    if (this.areDetailsOpen) this.#showDetails();
  }

  #onRenamed(object) {
    const view = this.#view;
    if (view?.conversation?.id !== object.id || this.routed.name === object.name || this.routed.name === '@me') return;
    this.routed.name = object.name;
    history.replaceState(null, '', addressOf(object.name, this.routed.seq));
    // The view stays: somebody may read and write in it just now.
    const name = line(object.name);
    view.element.setAttribute('aria-label', view.title);
    view.element.querySelector('h1').textContent = line(view.title);
    view.composer.field.setAttribute('aria-label', t('Message to {name}', { name }));
    view.history.scroller.setAttribute('aria-label', t('Messages of {name}', { name }));
    this.#showList();
  }

  // The state line

  #onStatus() {
    this.live.retry();
    // Their conversation may be gone, and the settings show them all.
    if (this.outbox.refused.length > 0) location.hash = `#/${viewMark}settings`;
  }

  #showConnection() {
    const { phase, since } = this.#state.connection;
    const waiting = this.outbox.count;
    const refused = this.outbox.refused.length;
    const host = `${this.#state.me.name} @ ${location.host}`;
    const words = {
      connecting: t('Connecting…'), live: t('Connected'), catching: t('Catching up…'),
      offline: t('Offline since {time}', { time: brief(since) }),
    }[phase] ?? phase;
    this.status.className = `status ${phase}`;
    this.side.classList.toggle('is-away', phase === 'offline' || phase === 'catching');
    const text = [words, waiting > 0 && n('{n} message waits', '{n} messages wait', waiting), refused > 0 && n('{n} message not sent', '{n} messages not sent', refused)].filter(Boolean).join(' · ');
    fill(this.status, h('span', { class: 'light', 'aria-hidden': 'true' }), h('span', null, text), phase === 'offline' && h('b', null, t('Retry now')), h('span', { class: 'unseen' }, host));
    this.status.title = host;
    if (this.announced !== phase && this.announced) announce(words);
    this.announced = phase;
  }

  // Views

  #route() {
    const parts = location.hash.replace(/^#\/?/, '').split('/');
    const [first, query] = parts[0].split('?');
    const name = decoded(first) || 'general';
    const seq = /^\d+$/.test(parts[1] ?? '') ? Math.min(Number(parts[1]), Number.MAX_SAFE_INTEGER) : null;
    if (name.startsWith(viewMark)) return this.#showView(name.slice(1), parts.slice(1), new URLSearchParams(query ?? ''));
    this.side.parentElement.classList.toggle('is-open', Boolean(first));
    if (this.#view?.conversation && this.routed?.name === name) {
      this.routed = { name, seq };
      if (seq) {
        this.#view.history.to(seq);
        shell.did(shell.log(this.#view.conversation, seq));
      }
      this.#keepFocus();
      return undefined;
    }
    return this.#showConversation(name, seq);
  }

  #begin(name) {
    this.#viewEnder?.abort();
    this.#viewEnder = new AbortController();
    this.#state.signal.addEventListener('abort', () => this.#viewEnder.abort(), { once: true, signal: this.#viewEnder.signal });
    this.#view = null;
    // A dialog belongs to the view that it was opened over.
    for (const element of document.querySelectorAll('dialog[open]')) element.close();
    this.routed = { name };
    return this.#viewEnder.signal;
  }

  async #showConversation(name, seq) {
    const signal = this.#begin(name);
    this.routed.seq = seq;
    const state = this.#state;
    let conversation;
    try {
      // The own notebook has two names.
      conversation = await state.find(name === '@me' ? `@${state.me.name}` : name);
    } catch (error) {
      if (signal.aborted) return;
      // A name that no conversation can have is 400.
      if ([400, 403, 404].includes(error.status)) {
        const isUser = name.startsWith('@');
        const open = isUser ? null : await import('./start.js').then(({ wayInto }) => wayInto(this, name)).catch(() => null);
        if (signal.aborted) return;
        const title = open ? open.title : isUser ? t('There is no user {name}', { name: line(name.slice(1)) }) : t('There is no conversation {name}', { name: line(name) });
        this.#view = { title };
        fill(this.center, h('div', { class: 'empty' }, h('h1', null, title), open ? open.way : !isUser && h('p', null, t('It does not exist, or you are not a member.')),
          h('p', null, h('a', { href: '#/general' }, t('To general')))));
        this.#showList();
        if (this.areDetailsOpen) this.#showDetails();
      } else if (error.status !== 401) {
        fill(this.center, h('div', { class: 'empty' }, h('p', { role: 'alert' }, t('The server cannot be reached.')), h('button', { type: 'button', click: () => this.#showConversation(name, seq) }, t('Retry'))));
        state.on('connection', ({ phase }) => phase === 'live' && this.#showConversation(name, seq), signal);
      }
      return;
    }
    if (signal.aborted) return;
    this.#view = new ConversationView(this, conversation, signal);
    fill(this.center, this.#view.element);
    this.#showList();
    shell.did(this.cause ? this.cause() : shell.log(conversation, seq));
    this.cause = null;
    this.#uncover();
    await this.#view.open(seq);
    if (signal.aborted) return;
    if (this.areDetailsOpen) this.#showDetails();
    this.#keepFocus();
  }

  /** In a narrow window, people lie over what was chosen there. */
  #uncover() {
    if (this.areDetailsOpen && matchMedia('(max-width: 62rem)').matches) this.toggleDetails();
  }

  async #showView(name, rest, query) {
    const views = { search: () => import('./search.js'), settings: () => import('./settings.js'), admin: () => import('./admin.js') };
    const load = Object.hasOwn(views, name) ? views[name] : null;
    if (!load) {
      location.hash = addressOf('general');
      return;
    }
    const signal = this.#begin(`,${name}`);
    this.side.parentElement.classList.add('is-open');
    const module = await load().catch(() => null);
    if (signal.aborted) return;
    if (!module) {
      fill(this.center, h('div', { class: 'empty' }, unfetched()));
      this.#state.on('connection', ({ phase }) => phase === 'live' && this.#route(), signal);
      return;
    }
    const view = module.show(this, signal, rest, query);
    this.#view = view;
    fill(this.center, view.element);
    this.#showList();
    this.#uncover();
    if (this.areDetailsOpen) this.#showDetails();
    view.started?.();
    this.#keepFocus();
  }

  /** Fetches a part of the page for what is shown, which stays if that fails. */
  async load(importing) {
    try {
      return await importing();
    } catch {
      announceNote(this, unfetched()[0].textContent);
      return null;
    }
  }

  /** Where what had the focus is not seen any more, a reader would be at the page's beginning. */
  #keepFocus() {
    const isSeen = (element) => element.getClientRects().length > 0;
    if (document.activeElement !== document.body && isSeen(document.activeElement)) return;
    (isSeen(this.center) ? this.center : this.list.querySelector('[aria-current]') ?? this.list.querySelector('a'))?.focus({ preventScroll: true });
  }

  get view() {
    return this.#view;
  }

  /** Opens a conversation. `command` gives what was done, if opening it only follows from that. */
  go(name, seq, command) {
    this.cause = command;
    const address = addressOf(name, seq);
    if (location.hash === address) this.#route();
    else location.hash = address;
  }

  /** Opens a dialog of a part that is fetched when it is needed. */
  async open(name, ...values) {
    const load = {
      switcher: () => import('./switcher.js'), start: () => import('./start.js'), shell: () => import('./shellpanel.js'),
      help: () => import('./help.js'), place: () => import('./place.js'),
    }[name];
    const module = await this.load(load);
    module?.open(this, ...values);
  }

  // People

  /** Asks for people while the tab is seen: their marks change without news. */
  #watchPeople() {
    const look = () => {
      if (document.visibilityState !== 'visible') return;
      this.#state.loadUsers().catch(() => {});
      this.askAdmin().catch(() => {});
    };
    setTimeout(look, 300);
    this.#state.every(30_000, look);
    document.addEventListener('visibilitychange', look, { signal: this.#state.signal });
  }

  get areDetailsOpen() {
    return !this.details.hidden;
  }

  async toggleDetails() {
    const hadFocus = this.details.contains(document.activeElement);
    this.details.hidden = !this.details.hidden;
    if (this.areDetailsOpen) {
      await this.#showDetails();
      (this.details.querySelector('input') ?? this.details.querySelector('button'))?.focus();
    } else {
      this.#peopleEnder?.abort();
      if (hadFocus) (document.getElementById('details-button') ?? this.center).focus();
    }
    this.#view?.detailsChanged?.(this.areDetailsOpen);
  }

  async #showDetails() {
    const module = await this.load(() => import('./people.js'));
    if (!module || !this.areDetailsOpen) return;
    this.#peopleEnder?.abort();
    this.#peopleEnder = new AbortController();
    module.show(this, this.details, AbortSignal.any([this.#state.signal, this.#peopleEnder.signal]));
  }
}

/** The head of a view, with the way back to the list. */
export const viewHead = (title, subtitle, ...buttons) => h('header', { class: 'view-head' },
  h('a', { class: 'icon-button back', href: '#/', 'aria-label': t('All conversations') }, icon('back')),
  h('div', { class: 'view-title' }, h('h1', null, title), subtitle), ...buttons);

/** What a conversation is called on the screen. */
export function titleOf(conversation, me) {
  if (conversation.kind !== 'personal') return conversation.name;
  return conversation.name === `@${me.name}` ? t('Notebook') : conversation.name.slice(1);
}
