// A conversation: its head, its messages, and the field to write in.
import { h, fill, iconButton, announce } from './dom.js';
import { t, n } from './i18n.js';
import { line } from './text.js';
import { Refusal, freshKey, meant } from './api.js';
import { errorText } from './errors.js';
import { History } from './history.js';
import { Composer } from './composer.js';
import { titleOf, addressOf, viewHead } from './layout.js';
import { presence } from './row.js';
import * as shell from './shell.js';

export class ConversationView {
  /** Whether the server was asked for the person of this conversation alone. */
  #isAsked = false;

  constructor(layout, conversation, signal) {
    const { state, outbox } = layout;
    this.layout = layout;
    this.conversation = conversation;
    this.actions = new RowActions(layout, conversation, this);
    this.history = new History(state, conversation, outbox, signal, {
      actions: this.actions, onTarget: (seq) => this.layout.go(conversation.name, seq), changed: (seqs) => this.composer.changed(seqs), say: (text) => announceNote(layout, text),
    });
    this.composer = new Composer(state, conversation, outbox, signal, {
      findOwn: () => this.history.findOwn(), quote: (seq, show) => this.history.quote(seq, show), show: (seq) => this.history.to(seq), sent: () => this.history.toLatest(false),
    });
    this.subtitle = h('small', null);
    this.people = iconButton('people', t('People and details'), () => layout.toggleDetails(), { id: 'details-button', 'aria-expanded': String(layout.areDetailsOpen) });
    this.element = h('section', { class: 'view', 'aria-label': this.title },
      viewHead(line(this.title), this.subtitle,
        iconButton('search', t('Search here'), () => {
          location.hash = `#/,search?c=${encodeURIComponent(conversation.name)}`;
        }),
        iconButton('calendar', t('Go to a number or a day'), () => layout.open('place', this.history)),
        this.people),
      this.history.element, this.composer.element);
    state.on('users', () => this.#showSubtitle(), signal);
    state.on('conversations', () => this.#showSubtitle(), signal);
    state.on('message', ({ conversation_id: id, kind }) => id === conversation.id && kind === 'event' && this.actions.forgetRight(), signal);
    this.#showSubtitle();
  }

  get title() {
    return titleOf(this.conversation, this.layout.state.me);
  }

  async open(seq) {
    if (!matchMedia('(pointer: coarse)').matches && !seq) this.composer.field.focus({ preventScroll: true });
    await this.history.open(seq);
  }

  detailsChanged(isOpen) {
    this.people.setAttribute('aria-expanded', String(isOpen));
    this.history.readSoon();
  }

  /** Asks once for a person who is not among the first of very many users. */
  #find() {
    const { state } = this.layout;
    if (this.#isAsked || state.users.size === 0) return;
    this.#isAsked = true;
    state.loadUsers(this.conversation.name.slice(1)).catch(() => {
      this.#isAsked = false;
    });
  }

  #showSubtitle() {
    const { conversation } = this;
    const { state } = this.layout;
    let text;
    if (conversation.kind === 'personal') {
      const user = state.users.get(conversation.name.slice(1));
      if (!user) this.#find();
      if (conversation.name === `@${state.me.name}`) text = t('Only you read this');
      else if (!user) text = '';
      else text = presence(user);
    } else {
      const count = n('{n} message', '{n} messages', conversation.head);
      text = conversation.kind === 'general' ? t('Everyone · {count}', { count }) : t('Group · {count}', { count });
    }
    if (this.subtitle.textContent !== text) this.subtitle.textContent = text;
  }
}

/** What can be done with a message: one row of buttons, in the row that is pointed at or has the focus. */
class RowActions {
  /** Whether the reader is an admin of the group, or null if that was not asked yet. */
  #isAdmin = null;
  #bar = h('div', { class: 'actions', role: 'group', 'aria-label': t('This message') });

  constructor(layout, conversation, view) {
    Object.assign(this, { layout, conversation, view, row: null });
  }

  /** What an admin of the group can do is known a moment later. */
  async #findRight() {
    const { state } = this.layout;
    this.#isAdmin = false;
    try {
      for await (const groups of state.groupPages()) {
        const group = groups.find((one) => one.id === this.conversation.id);
        if (group) {
          this.#isAdmin = group.admin;
          break;
        }
      }
    } catch {
      // Asked again with the next row.
      this.#isAdmin = null;
    }
    if (this.#isAdmin && this.row?.isConnected) this.show(this.row);
  }

  /** Somebody may have made the reader an admin, or not one any more. */
  forgetRight() {
    this.#isAdmin = null;
  }

  show(row) {
    const focused = row === this.row && this.#bar.contains(document.activeElement) ? document.activeElement.getAttribute('aria-label') : null;
    this.row = row;
    const { message } = row;
    const { me } = this.layout.state;
    const isText = (message.kind ?? 'text') === 'text';
    const isThere = !message.deleted && !message.erased;
    const isOwn = message.sender === me.name && !message.imported;
    if (this.#isAdmin === null && this.conversation.kind === 'group' && !(isOwn && isText) && !me.admin) this.#findRight();
    fill(this.#bar,
      isText && isThere && iconButton('reply', t('Reply'), () => this.#begin(() => this.view.composer.reply(message))),
      isText && isThere && isOwn && iconButton('edit', t('Edit'), () => this.#begin(() => this.view.composer.edit(message))),
      isThere && ((isText && isOwn) || me.admin || this.#isAdmin) && iconButton('trash', t('Delete'), () => this.#remove(message)),
      isText && !message.erased && me.admin && iconButton('eraser', t('Erase'), () => this.#erase(message)),
      iconButton('link', t('Copy the link to message {n}', { n: message.seq }), () => this.#copy(message)));
    row.append(this.#bar);
    [...this.#bar.children].find((one) => one.getAttribute('aria-label') === focused)?.focus({ preventScroll: true });
  }

  /** The first messages do not wait for dialogs. */
  async #confirm(...words) {
    return (await this.layout.load(() => import('./dialog.js')))?.confirm(...words);
  }

  /** Uses the field for something else. An edit that was changed there is only given up on purpose. */
  async #begin(work) {
    if (!this.view.composer.isEditChanged || await this.#confirm(t('Discard the edit?'), t('What you changed is not sent yet.'), t('Discard'))) work();
  }

  async #remove(message) {
    const isSure = await this.#confirm(t('Delete this message?'), t('Others see that a message was here. Its text is given to nobody any more.'), t('Delete'));
    if (!isSure) return;
    try {
      const { name, id } = this.conversation;
      await this.layout.state.change('POST', ['messages'], { ...meant(name, id), kind: 'delete', about: message.seq, id: freshKey() });
      shell.did(shell.remove(this.conversation, message.seq));
    } catch (error) {
      if (error instanceof Refusal) announceNote(this.layout, t('Not deleted: {reason}', { reason: errorText(error) }));
    }
  }

  async #erase(message) {
    const isSure = await this.#confirm(t('Erase this message?'), t('Its text, its sender and its edits go for good, from the server and from what everyone has synced.'), t('Erase'));
    if (!isSure) return;
    try {
      const { name, id } = this.conversation;
      await this.layout.state.change('POST', ['admin', 'erase'], { ...meant(name, id), seqs: [message.seq] });
      shell.did(shell.erase(this.conversation, message.seq));
    } catch (error) {
      if (error instanceof Refusal) announceNote(this.layout, t('Not erased: {reason}', { reason: errorText(error) }));
    }
  }

  async #copy(message) {
    const address = `${location.origin}/${addressOf(this.conversation.name, message.seq)}`;
    try {
      await navigator.clipboard.writeText(address);
      announceNote(this.layout, t('The link is copied'));
    } catch {
      location.hash = addressOf(this.conversation.name, message.seq);
    }
  }

  /** Puts what was not sent back into the field. */
  restore(entry) {
    this.#begin(() => {
      this.layout.outbox.drop(entry.name);
      this.view.composer.restore(entry.text, entry.about);
    });
  }
}

/** A short note over the view, which is read aloud too. */
export function announceNote(layout, text) {
  document.querySelector('.toast')?.remove();
  const toast = h('p', { class: 'toast' }, text);
  layout.center.append(toast);
  announce(text);
  setTimeout(() => toast.remove(), 5000);
}
