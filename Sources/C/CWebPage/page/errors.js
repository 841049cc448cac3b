// What the server's refusals mean to people.
import { t } from './i18n.js';

const phrases = {
  not_reached: 'the server cannot be reached',
  bad_credentials: 'the name or the password is wrong',
  unauthorized: 'the session has ended; log in again',
  token_expired: 'the session has ended; log in again',
  forbidden: 'you may not do this',
  not_a_member: 'you are not a member',
  blocked: 'this user does not take messages from you',
  no_such_user: 'there is no such user',
  no_such_conversation: 'there is no such conversation',
  no_such_message: 'there is no such message',
  name_taken: 'this name is taken',
  last_admin: 'the group needs an admin; promote another member first',
  bad_name: 'this name is not possible: 1 to 64 bytes, no space, no slash, no comma',
  bad_about: 'the message that this is about is not there any more',
  weak_password: 'the password must have 8 to 1,024 bytes',
  slow_down: 'too many requests; wait a little',
  busy: 'the server is busy; try again',
  disk_full: "the server's disk is full",
  too_large: 'this is too long',
  damaged: 'messages there are damaged; tell an admin',
};

/** What the server says besides, without what only a shell has. By its key, because the values are in the message. */
const sentences = {
  "cannot search for '%s': there is no letter or digit in it; --substring finds any text": "cannot search for '{a}': there is no letter or digit in it",
  'the query has more than %s words': 'the query has more than {a} words',
  'the query only says what to leave out; add a word to search for': 'the query only says what to leave out; add a word to search for',
  "'OR' stands between words, 'from:' or 'in:' without a '-'": "'OR' stands between words, 'from:' or 'in:' without a '-'",
  "cannot read the time '%s'; write 2026-11-20 or 2026-11-20T07:24:05Z": "cannot read the time '{a}'; write 2026-11-20",
  "'%s*' needs %s or more letters before the '*'": "'{a}*' needs {b} or more letters before the '*'",
  'this server keeps messages for %s days at most': 'this server keeps messages for {a} days at most',
  "the file is larger than %s bytes, the server's limit ('file-size')": 'the file has more than {a} bytes, which is the limit (file-size)',
  "your files have %s of %s bytes ('files-per-user'), so this one has no room; delete some messages with files, or ask an admin": 'your files have {a} of {b} bytes (files-per-user); delete some messages with files, or ask an admin',
  "the files on this server have %s of %s bytes ('files-total'), so this one has no room; ask an admin": 'the files of this server have {a} of {b} bytes (files-total); ask an admin',
  "'retain' takes days, such as '90d', or 'forever', not '%s'": 'enter from 1 to 36500 days, or nothing',
};

function said(phrase) {
  if (phrase?.key === '%s') return said(phrase.values?.[0]);
  if (!Object.hasOwn(sentences, phrase?.key ?? '')) return null;
  const [a, b] = phrase.values ?? [];
  return t(sentences[phrase.key], { a, b });
}

/** The reason in the user's language; the server's own words where there is no better one. */
export function errorText(error) {
  if (error.code === 'registration_closed') {
    if (error.message.includes('ask an admin for a code')) return t('an invitation code is needed; ask an admin of this server for one');
    return t(error.message.includes('invit') ? 'an invitation code is needed, and this one is not good' : 'this server takes no new accounts');
  }
  return said(error.phrase) ?? (phrases[error.code] ? t(phrases[error.code]) : error.message);
}
