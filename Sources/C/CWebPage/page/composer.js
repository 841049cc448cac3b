// Where messages are written: a draft for each conversation, replies, edits.
import { h, fill, icon, iconButton, debounce, announce, freshId } from './dom.js';
import { t, number } from './i18n.js';
import { byteCount, line, quotedText } from './text.js';
import { freshKey, meant, Refusal } from './api.js';
import { Tray } from './files.js';
import { withoutMetadata } from './pictures.js';
import { errorText } from './errors.js';
import * as storage from './storage.js';
import * as shell from './shell.js';

const maximumBytes = 65_536;
const shownFrom = 50_000;
/** Drafts that the browser does not keep. */
const unkept = new Map();
const isTouch = () => matchMedia('(pointer: coarse) and (hover: none)').matches;

export class Composer {
  #state;
  #signal;
  #conversation;
  #outbox;
  #reply = null;
  #edit = null;
  #key = null;
  /** The edit whose answer has not come yet. */
  #sending = null;
  /** Ends the upload of files. */
  #upload = null;
  /** What was being written when the edit began. */
  #draft = null;
  /** Whether something was changed here that is not kept yet, and whether the draft is of this tab. Otherwise it follows the other tabs. */
  #isChanged = false;
  #isOurs = false;

  constructor(state, conversation, outbox, signal, { findOwn, quote, show, sent }) {
    this.#state = state;
    this.#signal = signal;
    this.#conversation = conversation;
    this.#outbox = outbox;
    this.sent = sent;
    this.findOwn = findOwn;
    this.quote = quote;
    this.show = show;
    const hintId = freshId();
    this.field = h('textarea', {
      rows: '1', 'aria-label': t('Message to {name}', { name: line(conversation.name) }), 'aria-describedby': hintId, dir: 'auto',
      placeholder: t('Write a message'), enterkeyhint: isTouch() ? 'enter' : 'send', autocomplete: 'off',
      keydown: (event) => this.#onKey(event),
      input: () => {
        this.#fit();
        this.#isChanged = true;
        this.#keep();
      },
      paste: (event) => this.#take(event, event.clipboardData),
    });
    this.tray = new Tray(() => this.field.focus());
    this.attach = iconButton('plus', t('Attach files'), () => this.tray.picker.click());
    this.banner = h('div', { class: 'banner', hidden: true });
    this.status = h('p', { class: 'composer-status', id: hintId });
    this.button = iconButton('send', t('Send'), () => this.send(), { class: 'icon-button send' });
    this.element = h('form', { class: 'composer', submit: () => {
      // An edit waits for its answer, but a message that is written meanwhile does not.
      this.send();
    }, dragover: (event) => event.dataTransfer.types.includes('Files') && event.preventDefault(), drop: (event) => this.#take(event, event.dataTransfer) },
    this.banner, this.tray.element, h('div', { class: 'composer-line' }, this.attach, this.tray.picker, this.field, this.button), this.status);
    this.#restore();
    storage.onChange(this.#draftName, (name) => {
      if (name === this.#draftName && !this.#isOurs && !this.#isChanged) this.#restore();
    }, signal);
    addEventListener('pagehide', () => this.#keepNow(), { signal });
    signal.addEventListener('abort', () => this.#keepNow(), { once: true });
  }

  get #draftName() {
    return `${this.#state.place}draft:${this.#conversation.id}`;
  }

  #restore() {
    const { text = '', reply, edit } = unkept.get(this.#draftName) ?? storage.read(this.#draftName) ?? {};
    this.#reply = reply ? { seq: reply.seq } : null;
    this.#edit = edit ? { seq: edit.about.seq } : null;
    this.#draft = edit ? { text, reply: this.#reply } : null;
    this.#key = edit?.key ?? null;
    this.field.value = edit?.text ?? text;
    this.#showBanner();
    requestAnimationFrame(() => this.#fit());
  }

  #keep = debounce(() => this.#keepNow(), 200);

  /** Keeps what was changed here. Another tab may have changed the draft since. */
  #keepNow() {
    if (this.isForgotten || !this.#isChanged) return;
    const { value } = this.field;
    const draft = this.#edit ? { ...this.#draft, edit: { about: { seq: this.#edit.seq }, key: this.#key, text: value } } : { text: value, reply: this.#reply };
    this.#isChanged = false;
    this.#isOurs = Boolean(draft.text || draft.reply || draft.edit);
    const isKept = storage.write(this.#draftName, this.#isOurs ? draft : null);
    if (isKept || !this.#isOurs) unkept.delete(this.#draftName);
    else unkept.set(this.#draftName, draft);
  }

  #changed() {
    this.#isChanged = true;
    this.#keepNow();
  }

  /** The field grows with its text, up to a part of the window. */
  #fit() {
    this.field.style.height = 'auto';
    this.field.style.height = `${Math.min(this.field.scrollHeight, innerHeight * 0.4)}px`;
    const bytes = this.field.value.length > shownFrom / 4 ? byteCount(this.field.value) : 0;
    const isTooLong = bytes > maximumBytes;
    this.field.setAttribute('aria-invalid', String(isTooLong));
    this.#say(bytes > shownFrom ? t('{n} of {max} bytes', { n: number(bytes), max: number(maximumBytes) }) : '', isTooLong);
  }

  #say(text, isError = false) {
    this.status.textContent = text;
    this.status.classList.toggle('error', isError);
    if (isError) announce(text);
  }

  #onKey(event) {
    // An input method uses Enter and Escape for itself.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === 'Enter' && !event.shiftKey && !event.altKey && (!isTouch() || event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.send();
    } else if (event.key === 'ArrowUp' && !event.altKey && this.field.value === '' && !this.#edit) {
      event.preventDefault();
      this.#editLast();
    } else if (event.key === 'Escape' && (this.#edit || this.#reply)) {
      event.preventDefault();
      event.stopPropagation();
      this.cancel();
    }
  }

  reply(message) {
    if (this.#edit) this.cancel();
    this.#reply = { seq: message.seq };
    this.#changed();
    this.#showBanner();
    this.field.focus();
  }

  async #editLast() {
    const message = await this.findOwn();
    // Meanwhile something may have been written.
    if (message && this.field.value === '' && !this.#edit) this.edit(message);
  }

  edit(message) {
    if (!this.#edit) this.#draft = { text: this.field.value, reply: this.#reply };
    this.#edit = { seq: message.seq, was: message.text };
    this.#key = freshKey();
    this.field.value = message.text;
    this.#changed();
    this.#showBanner();
    this.#fit();
    this.field.focus();
    this.field.setSelectionRange(message.text.length, message.text.length);
  }

  /** Whether something was written into an edit that is not sent yet. */
  get isEditChanged() {
    return this.#edit !== null && this.field.value !== this.#edit.was;
  }

  /** Puts a text that was not sent back into the field. */
  restore(text, about) {
    if (this.#edit) this.cancel();
    if (about) this.#reply ??= { seq: about };
    this.#showBanner();
    this.field.value = this.field.value ? `${this.field.value}\n${text}` : text;
    this.#fit();
    this.#changed();
    this.field.focus();
  }

  cancel(takesFocus = true) {
    this.#reply = this.#edit ? this.#draft.reply : null;
    if (this.#edit) this.field.value = this.#draft.text;
    this.#edit = null;
    this.#changed();
    this.#showBanner();
    this.#fit();
    if (takesFocus) this.field.focus();
  }

  #showBanner() {
    this.#showSending();
    const about = this.#edit ?? this.#reply;
    this.banner.hidden = !about;
    if (!about) return;
    const title = h('b', null, this.#edit ? t('Edit message {number}', { number: about.seq }) : t('reply to {number}', { number: about.seq }));
    const text = h('span', { dir: 'auto' });
    fill(this.banner, icon(this.#edit ? 'edit' : 'reply'),
      h('button', { type: 'button', class: 'link banner-text', click: () => this.show(about.seq) }, title, ' ', text),
      iconButton('close', t('Cancel'), () => this.cancel()));
    // The draft has only the number: what it quotes may be edited or erased meanwhile.
    this.quote(about.seq, (original) => {
      if (!original) return;
      if (!this.#edit) title.textContent = t('Reply to {name}', { name: line(original.sender || '?') });
      text.textContent = quotedText(original);
    });
  }

  /** The history has noticed that some messages, or perhaps all, are not as they were. */
  changed(seqs) {
    if (!seqs || seqs.includes((this.#edit ?? this.#reply)?.seq)) this.#showBanner();
  }

  /** Takes files that were pasted or dropped. */
  #take(event, data) {
    const files = [...data?.files ?? []];
    if (files.length === 0) return;
    event.preventDefault();
    this.tray.add(files);
  }

  /** Uploads the chosen files. Resolves to null if that failed or was ended; what has arrived is not sent again. */
  async #uploadFiles() {
    const end = new AbortController();
    this.#upload = end;
    this.button.disabled = true;
    const { name, id } = this.#conversation;
    try {
      for (const pick of this.tray.picks) {
        if (pick.upload) continue;
        fill(this.status, t('Sending {name}…', { name: line(pick.file.name) }), ' ',
          h('button', { type: 'button', class: 'link', click: () => end.abort() }, t('Cancel')));
        const bytes = this.tray.keepsMetadata ? pick.file : await withoutMetadata(pick.file);
        pick.upload = await this.#state.api.upload(name, id, pick.file.name || 'picture', bytes, AbortSignal.any([end.signal, this.#signal]));
      }
      this.#say('');
      return this.tray.picks.map((pick) => ({ upload: pick.upload, name: pick.file.name || 'picture' }));
    } catch (error) {
      if (error instanceof Refusal) this.#say(t('Not sent: {reason}', { reason: errorText(error) }), true);
      else if (end.signal.aborted) this.#say('');
      else if (!this.#signal.aborted) this.#say(t('The file cannot be read'), true);
      return null;
    } finally {
      this.#upload = null;
      this.#showSending();
    }
  }

  async send() {
    if (this.#upload) return undefined;
    let text = this.field.value;
    const hasFiles = this.tray.picks.length > 0 && !this.#edit;
    if (text.trim() === '' && !hasFiles) return;
    if (text.includes('\0')) return this.#say(t('A message cannot contain the character U+0000'), true);
    if (byteCount(text) > maximumBytes) return this.#say(t('The message has {n} bytes; at most {max} are possible', { n: number(byteCount(text)), max: number(maximumBytes) }), true);
    if (this.#edit) return this.#sendEdit(text);
    const uploads = hasFiles ? await this.#uploadFiles() : [];
    if (!uploads || this.#signal.aborted) return undefined;
    // More may have been written meanwhile.
    text = this.field.value;
    const isKept = this.#outbox.add(this.#conversation, text, this.#reply?.seq, uploads);
    shell.did(shell.send(this.#conversation, text, this.#reply?.seq, uploads.map((one) => one.name)));
    this.tray.clear();
    this.sent();
    this.#reply = null;
    this.field.value = '';
    this.#changed();
    this.#showBanner();
    this.#fit();
    if (!isKept) this.#say(t('This browser keeps nothing: stay here until the message is sent'));
    this.field.focus();
    return undefined;
  }

  /** An edit is sent at once and stays in the field until it is taken. */
  async #sendEdit(text) {
    const edit = this.#edit;
    const key = this.#key;
    if (edit === this.#sending) return;
    if (text === edit.was) return this.cancel();
    // From now on the message may have another text.
    edit.was = null;
    this.#sending = edit;
    this.#showSending();
    const { name, id } = this.#conversation;
    try {
      await this.#state.change('POST', ['messages'], { ...meant(name, id), kind: 'edit', about: edit.seq, text, id: key });
      shell.did(shell.edit(this.#conversation, edit.seq, text));
      // Meanwhile the conversation may have been left, another edit have begun, or more been written.
      if (this.#signal.aborted) this.#forgetEdit(key);
      else if (this.#edit === edit && this.field.value === text) this.cancel(this.element.contains(document.activeElement) || document.activeElement === document.body);
      else if (this.#edit === edit) this.#key = freshKey();
    } catch (error) {
      if (!(error instanceof Refusal)) return;
      this.#say(t('Not changed: {reason}', { reason: errorText(error) }), true);
      // With another text, the same key would be refused.
      if (!error.isPassing && this.#edit === edit) this.#key = freshKey();
    } finally {
      if (this.#sending === edit) this.#sending = null;
      this.#showSending();
    }
  }

  /** Takes an edit that was sent out of the kept draft, unless that has become another one since. */
  #forgetEdit(key) {
    if (this.isForgotten) return;
    const { edit, text = '', reply } = storage.read(this.#draftName) ?? {};
    if (edit?.key === key) storage.write(this.#draftName, text || reply ? { text, reply } : null);
  }

  #showSending() {
    this.button.disabled = this.#upload !== null || (this.#edit !== null && this.#edit === this.#sending);
  }
}
