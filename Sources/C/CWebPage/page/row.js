// One message of a conversation as a row.
import { h, fill } from './dom.js';
import { t, n, number, ago, clock, exact, day, dayKey } from './i18n.js';
import { line, nodes, fold, quotedText } from './text.js';
import { errorText } from './errors.js';
import { fileList } from './files.js';

const groupMilliseconds = 5 * 60_000;

/** One of eight colours, always the same for a name. */
function tint(name) {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)) % 1009;
  return `tint-${sum % 8}`;
}

export function avatar(name) {
  const letter = Array.from(name).find((character) => /[\p{L}\p{N}]/u.test(character)) ?? '•';
  return h('span', { class: `avatar ${tint(name)}`, 'aria-hidden': 'true' }, letter.toUpperCase());
}

export function presence(user) {
  if (user.online) return t('online');
  return user.last_seen ? t('last seen {time}', { time: ago(Date.parse(user.last_seen)) }) : t('never here yet');
}

const events = {
  created: 'created the group', renamed: 'renamed the group from “{a}” to “{b}”', opened: 'opened the group to everyone', closed: 'made the group private',
  added: 'added {a}', removed: 'removed {a}', joined: 'joined', left: 'left', promoted: 'made {a} an admin', demoted: 'made {a} a plain member again',
  deleted: 'deleted the group', retained: 'set that messages are kept for {a}', topic: 'set the topic: {a}',
};

/** An event as `natter log` tells it, or null if it is of a newer server. Names have no blanks. */
export function eventText(text) {
  if (text === 'retained forever') return t('set that messages are kept for ever');
  if (text === 'topic') return t('removed the topic');
  const [verb, a = '', b = ''] = text.split(' ');
  if (verb === 'topic') return t(events.topic, { a: line(text.slice(6)) });
  if (!Object.hasOwn(events, verb)) return null;
  const days = verb === 'retained' && /^\d+(?=d$)/.exec(a);
  return t(events[verb], { a: days ? n('{n} day', '{n} days', Number(days[0])) : line(a), b: line(b) });
}

/** Makes rows for a conversation. `quote` finds a message that a reply is about, `go` leads to it. */
export class RowMaker {
  constructor(me, { api, quote, go, retry, drop }) {
    Object.assign(this, { me, api, quote, go, retry, drop });
  }

  row(message, previous, hasLine) {
    const li = h('li', { class: 'row', id: `m${message.seq}`, tabindex: '-1' });
    Object.assign(li, { message, previous, hasLine });
    this.update(li);
    return li;
  }

  /** Shows a row's message anew, as after an edit. */
  update(li) {
    const { message } = li;
    const isOwn = message.sender === this.me.name && !message.imported;
    const kind = message.kind ?? 'text';
    li.classList.toggle('own', isOwn && kind === 'text');
    li.classList.toggle('event', kind !== 'text');
    const time = h('time', { datetime: message.time }, clock(message.ts));
    if (kind === 'event') {
      fill(li, h('p', { class: 'event-text' }, h('bdi', { class: 'sender' }, line(message.sender)), ' ', h('span', { dir: 'auto' }, ...this.#body(li)), ' ', time));
    } else {
      const sender = h('span', { class: `sender ${tint(message.sender)}` }, line(message.sender), message.imported && h('span', { class: 'note' }, ` ${t('imported')}`));
      const bubble = h('div', { class: 'bubble' }, sender,
        message.about && this.#quoted(message),
        h('span', { class: 'text', dir: 'auto' }, ...this.#body(li)),
        !message.deleted && message.files?.length > 0 && this.#files(li),
        h('span', { class: 'meta' },
          message.via && h('span', { class: 'note' }, t('via {name}', { name: line(message.via) })),
          message.edited && !message.deleted && h('span', { class: 'note', title: editedTitle(message.edited) }, t('(edited)')),
          time));
      fill(li, avatar(message.sender || '?'), bubble);
    }
    this.decorate(li, li.previous, li.hasLine);
  }

  /** Pictures that are there already stay, whatever else of the row is shown anew. */
  #files(li) {
    const ids = li.message.files.map((file) => file.id).join(' ');
    if (li.fileIds !== ids) Object.assign(li, { fileIds: ids, fileList: fileList(li.message, this.api) });
    return li.fileList;
  }

  #body(li) {
    const { message } = li;
    if (message.deleted) return [h('em', null, t('(deleted)'))];
    if (message.erased) return [h('em', null, t('(erased)'))];
    const event = message.kind === 'event' && eventText(message.text);
    if (event) return [event];
    const cut = fold(message.text);
    if (cut === null || li.isUnfolded) return nodes(message.text);
    const more = h('button', { type: 'button', class: 'link unfold', click: (event) => {
      li.isUnfolded = true;
      fill(event.currentTarget.parentElement, ...nodes(message.text));
      li.focus();
    } }, t('Show all ({n} characters)', { n: number(message.text.length) }));
    return [...nodes(message.text.slice(0, cut)), '… ', more];
  }

  #quoted(message) {
    const quoted = h('a', { class: 'quote', href: this.go.address(message.about), click: (event) => {
      event.preventDefault();
      this.go(message.about);
    } }, h('span', { class: 'quote-text' }, t('reply to {number}', { number: message.about })));
    const show = (original) => {
      if (!original) return;
      fill(quoted, h('b', { class: tint(original.sender) }, line(original.sender || '?')), ' ',
        h('span', { class: 'quote-text', dir: 'auto' }, quotedText(original)));
    };
    this.quote(message.about, show);
    return quoted;
  }

  /** What depends on the message before: the day, whether the sender is said again, the line of what is unread. */
  decorate(li, previous, hasLine) {
    const { message } = li;
    li.previous = previous;
    li.hasLine = hasLine;
    const isNewDay = !previous || dayKey(previous.ts) !== dayKey(message.ts);
    const continues = !isNewDay && !hasLine && previous.sender === message.sender && previous.kind !== 'event' && message.kind !== 'event'
      && message.ts - previous.ts < groupMilliseconds && Boolean(previous.imported) === Boolean(message.imported);
    li.classList.toggle('continues', continues);
    li.querySelector(':scope > .day')?.remove();
    li.querySelector(':scope > .unread-line')?.remove();
    if (hasLine) li.prepend(h('div', { class: 'unread-line' }, h('span', null, t('New messages'))));
    if (isNewDay) li.prepend(h('div', { class: 'day' }, h('span', null, day(message.ts))));
  }

  /** Tells the exact time. Only a row that is pointed at needs it, and it takes longer to write than the row. */
  point(li) {
    const time = li.querySelector('time');
    if (time) time.title ||= exact(li.message.ts);
  }

  /** A message that waits in the outbox. */
  pending(entry) {
    const reason = errorText(entry.refusal ?? entry.trouble ?? {});
    const state = entry.refusal ? t('not sent: {reason}', { reason }) : !entry.isUnsent ? t('sending…') : reason ? t('not sent yet: {reason}', { reason }) : t('not sent yet');
    const cut = fold(entry.text);
    const li = h('li', { class: `row own pending continues${entry.refusal || entry.isUnsent ? ' unsent' : ''}` },
      h('div', { class: 'bubble' },
        h('span', { class: 'text', dir: 'auto' }, ...nodes(entry.text.slice(0, cut ?? undefined)), cut !== null && ' …'),
        entry.names && h('span', { class: 'files' }, entry.names.map((name) => h('bdi', { class: 'file-line' }, line(name)))),
        h('span', { class: 'meta' }, state,
          (entry.refusal || entry.isUnsent) && [
            h('button', { type: 'button', class: 'link', click: () => this.retry(entry) }, t('Retry')),
            h('button', { type: 'button', class: 'link', click: () => this.drop(entry) }, t('Remove'))])));
    return li;
  }
}

function editedTitle(edited) {
  return typeof edited === 'string' ? exact(Date.parse(edited)) : '';
}
