// The two languages. An English phrase is its own key.
import { read, write } from './storage.js';

const loaded = { en: {}, ru: null };
export let language = 'en';
let phrases = {};
let plural = new Intl.PluralRules('en');

/** The language that was chosen, else the browser's. */
export async function startLanguage() {
  const chosen = read('language') ?? (navigator.languages.find((code) => /^(ru|en)/.test(code)) ?? 'en').slice(0, 2);
  await useLanguage(chosen === 'ru' ? 'ru' : 'en', false);
}

export async function useLanguage(code, keep = true) {
  try {
    loaded[code] ??= (await import('./ru.js')).phrases;
  } catch {
    // English is there.
    return;
  }
  language = code;
  phrases = loaded[code];
  plural = new Intl.PluralRules(code);
  document.documentElement.lang = code;
  formats.clear();
  if (keep) write('language', code);
}

const filled = (phrase, values) => phrase.replace(/\{(\w+)\}/g, (whole, name) => (values && name in values ? String(values[name]) : whole));

/** A phrase in the user's language, with its values. */
export function t(phrase, values) {
  return filled(phrases[phrase] ?? phrase, values);
}

/** A phrase that depends on a number: English singular and plural; the catalogue has all forms under the plural. */
export function n(one, many, count, values) {
  const forms = phrases[many];
  const form = plural.select(count);
  const phrase = forms ? forms[{ one: 0, few: 1 }[form] ?? 2] : form === 'one' ? one : many;
  return filled(phrase, { n: number(count), ...values });
}

const formats = new Map();
function format(name, options) {
  if (!formats.has(name)) formats.set(name, new Intl.DateTimeFormat(language === 'ru' ? 'ru' : navigator.language.startsWith('en') ? navigator.language : 'en-GB', options));
  return formats.get(name);
}

export const number = (value) => value.toLocaleString(language);
export const clock = (ms) => format('clock', { hour: '2-digit', minute: '2-digit' }).format(ms);
export const exact = (ms) => format('exact', { dateStyle: 'full', timeStyle: 'long' }).format(ms);
export const dateAndTime = (ms) => format('both', { dateStyle: 'medium', timeStyle: 'short' }).format(ms);

export function dayKey(ms) {
  const date = new Date(ms);
  return `${date.getFullYear()}-${date.getMonth()}-${date.getDate()}`;
}

export function day(ms) {
  const today = new Date();
  if (dayKey(ms) === dayKey(today)) return t('Today');
  if (dayKey(ms) === dayKey(new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1))) return t('Yesterday');
  const sameYear = new Date(ms).getFullYear() === today.getFullYear();
  return sameYear
    ? format('day', { weekday: 'long', day: 'numeric', month: 'long' }).format(ms)
    : format('day+', { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' }).format(ms);
}

/** A time for a list: the clock today, else the date. */
export function brief(ms) {
  const date = new Date(ms);
  const today = new Date();
  if (dayKey(ms) === dayKey(today)) return clock(ms);
  if (date.getFullYear() === today.getFullYear()) return format('brief', { day: 'numeric', month: 'short' }).format(ms);
  return format('brief+', { day: '2-digit', month: '2-digit', year: '2-digit' }).format(ms);
}

/** How long ago something was. */
export function ago(ms) {
  const seconds = Math.max(0, Math.round((Date.now() - ms) / 1000));
  const relative = new Intl.RelativeTimeFormat(language, { numeric: 'auto' });
  if (seconds < 90) return t('just now');
  if (seconds < 5400) return relative.format(-Math.round(seconds / 60), 'minute');
  if (seconds < 129600) return relative.format(-Math.round(seconds / 3600), 'hour');
  if (seconds < 30 * 86400) return relative.format(-Math.round(seconds / 86400), 'day');
  return format('date', { dateStyle: 'medium' }).format(ms);
}
