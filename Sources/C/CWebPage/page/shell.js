// "In a shell": the natter command for what was just done, quoted so that a shell reads exactly that. Never a secret.

const plain = /^[A-Za-z0-9_@%+=:,./-]+$/;

/** A word for a POSIX shell. */
export function quote(text) {
  if (plain.test(text) && !text.startsWith('~')) return text;
  return `'${text.replaceAll("'", "'\\''")}'`;
}

const words = (...list) => list.filter((word) => word !== null && word !== undefined).map((word) => quote(String(word))).join(' ');

// Control characters cannot be pasted safely.
// eslint-disable-next-line no-control-regex
const unsafe = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

/** The bytes of a text for printf(1): no character that a terminal would act on. */
function printf(text) {
  let octal = '';
  for (const byte of new TextEncoder().encode(text)) {
    const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x27 && byte !== 0x5c && byte !== 0x25;
    octal += isPlain ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, '0')}`;
  }
  return `printf '${octal}'`;
}

/** A command that ends with a text. */
function withText(command, text) {
  if (text === '') return command;
  // Standard input drops one newline at the end, an argument none.
  if (unsafe.test(text)) return `${printf(`${text}\n`)} | ${command} -`;
  return `${command} -- ${quote(text)}`;
}

export const send = (conversation, text, about, files = []) => withText(
  words('natter', 'send', '-c', conversation.name, ...(about ? ['--re', about] : []), ...files.flatMap((name) => ['--file', name])), text);
export const edit = (conversation, seq, text) => withText(words('natter', 'edit', '-c', conversation.name, seq), text);
export const remove = (conversation, seq) => words('natter', 'delete', '-c', conversation.name, seq);
export const erase = (conversation, seq) => words('natter', 'admin', 'erase', conversation.name, seq);
export const log = (conversation, seq) => words('natter', 'log', conversation.name, ...(seq ? ['--around', seq] : ['-n', 50]));
/** The page's last day is in the search, and natter's `--until` ends before its day. */
const dayAfter = (day) => new Date(Date.parse(`${day}T00:00:00Z`) + 86_400_000).toISOString().slice(0, 10);

export const search = ({ query, conversation, from, since, until }) => words(
  'natter', 'search', ...(conversation ? ['-c', conversation] : []), ...(from ? ['--from', from] : []),
  ...(since ? ['--since', since] : []), ...(until ? ['--until', dayAfter(until)] : []), ...(query.startsWith('-') ? ['--'] : []), query);
export const command = (...list) => words('natter', ...list);

const first = 'natter log -f';
let last = first;

/** Remembers the command of what was just done; an empty one where natter has none. */
export const did = (text) => {
  last = text;
};

/** For the next one who uses this tab. */
export const forget = () => did(first);

export const lastCommand = () => last;
