// Search over all messages. A hit leads to its place.
import { h, fill, announce, offer } from './dom.js';
import { t, n, dateAndTime } from './i18n.js';
import { line, nodes, fold } from './text.js';
import { path, Refusal } from './api.js';
import { errorText } from './errors.js';
import { addressOf, titleOf, viewHead } from './layout.js';
import { field } from './login.js';
import * as shell from './shell.js';

const pageSize = 30;

/** What the words of a query mark in a text. */
function marker(query) {
  const words = [];
  for (const match of query.matchAll(/(-?)"([^"]*)"|-?(?:from|in|before|after|has):(?:"[^"]*"?|\S+)|(\S+)/gi)) {
    const word = match[2] ?? match[3];
    // Conditions mark nothing.
    if (match[1] || word === undefined || word === 'OR' || word.startsWith('-')) continue;
    const plain = word.replace(/\*$/, '').replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/\s+/g, '\\s+');
    if (plain) words.push(word.endsWith('*') ? `${plain}[\\p{L}\\p{N}]*` : plain);
  }
  return words.length > 0 ? new RegExp(words.join('|'), 'giu') : null;
}

export function show(layout, signal, rest, query) {
  const { state } = layout;
  const words = field(t('Search for'), { type: 'search', value: query.get('q') ?? '', autocomplete: 'off', required: true }, t('Words, "a phrase", beginnings*, -without, OR, from:, in:, after:, has:link'));
  const from = field(t('From'), { value: query.get('from') ?? '', autocomplete: 'off', list: 'people-names' });
  const since = field(t('Since'), { type: 'date', value: query.get('since') ?? '' });
  const until = field(t('Until'), { type: 'date', value: query.get('until') ?? '' });
  const where = h('select', { id: 'search-where' });
  const put = () => offer(where, [h('option', { value: '' }, t('All conversations')),
    ...state.sorted.map((one) => Object.assign(h('option', { value: one.name }, line(titleOf(one, state.me))), { of: one.id }))]);
  put();
  where.value = query.get('c') ?? '';
  // After a reload, the lists come later than the search begins.
  if (where.selectedIndex < 0) where.append(h('option', { value: query.get('c'), selected: true }, line(query.get('c'))));
  state.on('conversations', put, signal);
  const status = h('p', { role: 'status' });
  const results = h('ol', { class: 'results' });
  const more = h('button', { type: 'button', hidden: true, click: () => find(true) }, t('More'));
  let next = null;
  let turn = 0;
  /** The search whose hits are shown, whatever is in the form now. */
  let asked = null;

  const midnight = (text, days = 0) => {
    if (!text) return '';
    const [year, month, day] = text.split('-').map(Number);
    return new Date(year, month - 1, day + days).toISOString();
  };
  /** The beginning of a text, or what is around the first word that was found. */
  const part = (text, marks) => {
    let from = 0;
    let end = fold(text);
    const at = marks && end !== null ? text.search(marks) : -1;
    if (at >= end) {
      // The line that it is in, or a piece of it that does not begin between the halves of a pair.
      from = Math.max(text.lastIndexOf('\n', at) + 1, at - 200);
      if (/[\udc00-\udfff]/.test(text[from])) from -= 1;
      end = fold(text.slice(from));
    }
    return `${from > 0 ? '… ' : ''}${text.slice(from, end === null ? undefined : from + end)}${end === null ? '' : ' …'}`;
  };
  const draw = ({ message, marks, firstChild: link }) => {
    link.href = addressOf(message.conversation, message.seq);
    fill(link, h('p', { class: 'where-to' }, h('b', null, line(message.conversation)), h('span', null, line(message.sender)), h('time', { datetime: message.time }, dateAndTime(message.ts))),
      h('span', { class: 'text', dir: 'auto' }, ...nodes(part(message.text, marks), marks).map(plain)));
  };
  const tell = () => {
    const count = results.children.length;
    status.textContent = !more.hidden ? t('The newest {n}', { n: count }) : count === 0 ? t('Nothing found') : n('{n} message found', '{n} messages found', count);
  };
  const find = async (isMore = false) => {
    const mine = isMore ? turn : ++turn;
    if (!isMore) {
      next = null;
      fill(results);
      more.hidden = true;
      where.of = where.selectedOptions[0]?.of;
      asked = { query: words.input.value.trim(), conversation: where.value, from: from.input.value.trim().replace(/^@/, ''), since: since.input.value, until: until.input.value };
      // So that a reload, and the way back from a hit, find it again.
      const { query: q, conversation: c, ...rest } = asked;
      const kept = new URLSearchParams(Object.entries({ q, c, ...rest }).filter(([, value]) => value));
      history.replaceState(null, '', `#/,search?${kept}`);
    }
    // The group may have another name by now.
    asked.conversation = state.conversations.get(where.of)?.name ?? asked.conversation;
    const { query: text, conversation } = asked;
    words.say('');
    if (!text) {
      words.say(t('Enter what to search for'));
      words.input.focus();
      return;
    }
    more.disabled = true;
    status.textContent = t('Searching…');
    try {
      let page;
      // A page that took the server too long may be empty, and says where to go on.
      do {
        page = await state.api.get(path(['search'], {
          q: text, conversation, from: asked.from, since: midnight(asked.since), until: midnight(asked.until, 1), limit: pageSize, before: next, fold: 1,
        }), { signal });
        // Another search has begun.
        if (mine !== turn) return;
        next = page.next;
      } while (page.messages.length === 0 && page.more);
      const marks = marker(text);
      results.append(...page.messages.map((message) => {
        const hit = Object.assign(h('li', null, h('a')), { message, marks });
        draw(hit);
        return hit;
      }));
      more.hidden = !page.more;
      tell();
      announce(status.textContent);
      shell.did(shell.search(asked));
    } catch (error) {
      if (!(error instanceof Refusal)) return;
      status.textContent = '';
      words.say(errorText(error));
    } finally {
      more.disabled = false;
    }
  };
  /** The hits of a conversation, or those of some of its messages. */
  const hits = (id, seqs) => [...results.children].filter(({ message }) => message.conversation_id === id && (!seqs || seqs.includes(message.seq)));
  /** What is not there any more is not shown any longer. */
  const drop = (gone) => {
    for (const hit of gone) hit.remove();
    if (gone.length > 0) tell();
  };
  const change = (changed, fields) => {
    for (const hit of changed) {
      Object.assign(hit.message, fields);
      draw(hit);
    }
  };
  /** Of a message that was edited, only a text that the edit had replaced may be gone. */
  const erase = async (hit) => {
    const { conversation, seq, edited } = hit.message;
    const page = edited && await state.get(['conversations', conversation, 'messages'], { around: seq, limit: 1, fold: 1 }).catch(() => null);
    const left = page && page.messages.find((message) => message.seq === seq && !message.erased && !message.deleted);
    if (left) change([hit], { text: left.text });
    else drop([hit]);
  };
  state.on('gone', ({ conversation_id: id }) => drop(hits(id)), signal);
  state.on('erased', ({ conversation_id: id, seqs }) => hits(id, seqs ?? []).forEach(erase), signal);
  state.on('message', ({ conversation_id: id, kind, about, text, time }) => {
    if (kind === 'delete') drop(hits(id, [about]));
    if (kind === 'edit') change(hits(id, [about]), { text, edited: time });
  }, signal);
  state.on('conversation', ({ id, name }) => change(hits(id), { conversation: name }), signal);
  const form = h('form', { class: 'panel', role: 'search', novalidate: true, submit: () => {
    find();
  } }, words.element,
  h('div', { class: 'line' }, h('div', { class: 'field' }, h('label', { for: 'search-where' }, t('In')), where), from.element, since.element, until.element,
    h('button', { type: 'submit', class: 'primary' }, t('Search'))),
  h('datalist', { id: 'people-names' }, [...state.users.keys()].slice(0, 200).map((name) => h('option', { value: name }))));
  const title = t('Search');
  return {
    title,
    element: h('div', { class: 'page' },
      viewHead(title),
      h('div', { class: 'page-body' }, form, status, results, more)),
    started: () => {
      words.input.focus();
      if (words.input.value) find();
    },
  };
}

/** A link inside a link is not possible; the hit is one. */
function plain(node) {
  if (!(node instanceof Element) || (node.tagName !== 'A' && !node.querySelector('a'))) return node;
  return node.textContent;
}
