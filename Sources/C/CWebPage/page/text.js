// Texts of other people, made safe to look at. Nothing here makes HTML.
import { h } from './dom.js';
import { t } from './i18n.js';

// The same characters that natter log escapes: controls, line and paragraph separators, marks that change the direction
// of writing, invisible format characters, tags. U+200C and U+200D stay in texts, because Persian and emoji need them.
const unseen = '\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufe00-\\ufe0e\\ufeff\\uffa0\\ufff0-\\ufffb\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e0fff}';
const hostile = new RegExp(`[${unseen}]`, 'u');
// A name keeps nothing that nobody can see or tell apart: the server refuses these now, but older names may have them.
const hostileInName = new RegExp(`[${unseen}\\u0009\\u000a\\p{DI}\\p{Co}\\p{Cn}\\u2800]`, 'u');
const pieces = new RegExp(`([${unseen}])|(https?://[^\\s<>"${unseen}]+)`, 'giu');

/** How natter writes a character that must not act. */
function escaped(character) {
  const code = character.codePointAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}

/** A name or a single line as a plain string. */
export function line(text) {
  if (!hostileInName.test(text)) return text;
  return Array.from(text, (c) => (hostileInName.test(c) ? (c === '\n' ? ' ' : escaped(c)) : c)).join('');
}

/** The beginning of a text in one line, for a list. It does not end between the halves of a pair. */
export function excerpt(text, length = 120) {
  const beginning = text.slice(0, length * 2).replace(/\s+/g, ' ').slice(0, length).replace(/[\ud800-\udbff]$/, '');
  return Array.from(beginning, (c) => (hostile.test(c) ? escaped(c) : c)).join('');
}

/** The text of a message, or the names of its files if it has none. */
export function wording(message) {
  return message.text || (message.files ?? []).map((file) => file.name).join(', ');
}

/** What a reply quotes of a message. */
export function quotedText(message) {
  return message.deleted ? t('(deleted)') : message.erased ? t('(erased)') : excerpt(wording(message));
}

/** What a text shows: nodes. `words` are marked. */
export function nodes(text, words) {
  const result = [];
  let from = 0;
  pieces.lastIndex = 0;
  for (const match of text.matchAll(pieces)) {
    if (match.index > from) result.push(...marked(text.slice(from, match.index), words));
    from = match.index + match[0].length;
    if (match[1]) {
      result.push(h('span', { class: 'escape', title: t('invisible character') }, escaped(match[1])));
    } else {
      const address = trimmed(match[2]);
      const link = linkTo(address);
      result.push(link ?? address);
      from = match.index + address.length;
      pieces.lastIndex = from;
    }
  }
  if (from < text.length) result.push(...marked(text.slice(from), words));
  return result;
}

/** An address without the punctuation of the sentence around it. */
function trimmed(address) {
  let end = address.length;
  while (end > 0) {
    const last = address[end - 1];
    if (/[.,;:!?'"»”’\x60*]/.test(last) || (/[)\]]/.test(last) && !address.includes(last === ')' ? '(' : '['))) end -= 1;
    else break;
  }
  return address.slice(0, end);
}

/** A link that shows where it really leads: the host stands out, and again behind it if it is written differently. */
function linkTo(address) {
  let url;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return null;
  const start = address.indexOf('//') + 2;
  const plain = address.slice(start, start + url.host.length).toLowerCase() === url.host
    && /^([/?#]|$)/.test(address.slice(start + url.host.length));
  const link = h('a', { href: url.href, dir: 'ltr', target: '_blank', rel: 'noopener noreferrer', title: url.host });
  if (plain) {
    link.append(address.slice(0, start), h('b', null, address.slice(start, start + url.host.length)), address.slice(start + url.host.length));
    return link;
  }
  link.append(address);
  return h('span', null, link, ' ', h('b', { class: 'host' }, `(${url.host})`));
}

function marked(text, words) {
  if (!words) return [text];
  const result = [];
  let from = 0;
  for (const match of text.matchAll(words)) {
    if (!match[0]) continue;
    if (match.index > from) result.push(text.slice(from, match.index));
    result.push(h('mark', null, match[0]));
    from = match.index + match[0].length;
  }
  if (from < text.length) result.push(text.slice(from));
  return result;
}

const foldedLength = 3000;
const foldedLines = 24;

/** Where a long text is cut, or null if it is short. */
export function fold(text) {
  let at = -1;
  for (let count = 0; count < foldedLines; count += 1) {
    at = text.indexOf('\n', at + 1);
    if (at < 0) break;
  }
  if (at < 0 && text.length <= foldedLength * 1.3) return null;
  let end = at < 0 ? foldedLength : Math.min(at, foldedLength);
  // Not within an address, which would lead elsewhere.
  const address = /https?:\/\/\S*$/i.exec(text.slice(0, end))?.index;
  if (address > 0 && /\S/.test(text[end] ?? ' ')) end = address;
  // Not between the halves of a pair.
  if (/[\ud800-\udbff]/.test(text[end - 1])) end -= 1;
  return end;
}

const encoder = new TextEncoder();
export const byteCount = (text) => encoder.encode(text).length;

/** True if a text names a user: as @name, or the name as a word. */
export function mentions(text, name) {
  const escapedName = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`(^|[^\\p{L}\\p{N}_])@?${escapedName}($|[^\\p{L}\\p{N}_])`, 'iu').test(text);
}
