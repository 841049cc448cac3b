// For admins of the server: what it does, who uses it, who may come, what it logs.
import { h, fill, refill } from './dom.js';
import { t, n, number, dateAndTime, clock } from './i18n.js';
import { line } from './text.js';
import { path, Refusal } from './api.js';
import { errorText } from './errors.js';
import { field, isDays } from './login.js';
import { confirm, dialog } from './dialog.js';
import { table, when } from './settings.js';
import { viewHead } from './layout.js';
import * as shell from './shell.js';

const parts = { status: ['Status', status], users: ['Users', users], invites: ['Invitations', invites], log: ['Service log', log] };

export function show(layout, signal, rest) {
  const current = Object.hasOwn(parts, rest[0] ?? '') ? rest[0] : 'status';
  const title = t('Administration');
  const body = h('div', { class: 'page-body' });
  const failure = h('p', { class: 'error', role: 'alert' });
  /** Shows why something failed; without an error, that nothing does any more. */
  const fail = (error) => {
    if (!error) failure.textContent = '';
    else if (error instanceof Refusal) {
      failure.textContent = errorText(error);
      if (error.status === 403) layout.askAdmin().then((is) => is || fill(body, failure), () => {});
    } else if (!signal.aborted) throw error;
  };
  const element = h('div', { class: 'page' },
    viewHead(title, h('small', null, location.host)), body);
  fill(body, h('nav', { class: 'tabs', 'aria-label': title }, Object.entries(parts).map(([name, [label]]) => h('a', { href: `#/,admin/${name}`, 'aria-current': name === current ? 'page' : null }, t(label)))), failure);
  parts[current][1](layout.state, body, signal, fail);
  return { title, element };
}

// Status

const labels = {
  version: 'Version', registration: 'Who may register', certificate_expires: 'The certificate ends', accounts: 'Accounts', online: 'Online', sessions: 'Sessions and tokens',
  conversations: 'Conversations', messages: 'Messages', unsealed_messages: 'Messages not in a log file yet', journal_bytes: 'Bytes of the journal',
  files: 'Files', file_bytes: 'Bytes of all files', waiting_files: 'Files that no message names yet',
  commits: 'Durable batches', runs: 'Starts', connections: 'Connections', waiting: 'Requests that wait',
};
const limits = {
  tokens: 'Tokens of an account, at most', sessions: 'Sessions of an account, at most', groups: 'Groups made by an account, at most',
  groups_by_others: 'Groups that others add an account to, at most', groups_by_one: 'Groups that one account adds another to, at most',
  members_per_day: 'Members added in a day, at most', messages_per_minute: 'Messages in a minute, at most',
  bytes_per_day: 'Bytes of text in a day, at most', requests_per_second: 'Requests in a second, at most',
};
const modes = { open: 'everyone', closed: 'nobody', invite: 'who has an invitation' };

function status(state, body, signal, fail) {
  const list = h('dl', null);
  body.append(h('section', { class: 'panel' }, h('h2', null, t('Status')), list));
  const load = async () => {
    if (document.visibilityState !== 'visible') return;
    const [counts, health] = await Promise.all([
      state.get(['admin', 'stats']), state.api.get('/healthz', { signal }).then(() => t('takes messages'), (error) => errorText(error)),
    ]);
    const row = (name, value) => [h('dt', null, name), h('dd', null, value)];
    const shown = (name, value) => {
      if (name === 'registration') return t(modes[value] ?? value);
      if (/expires/.test(name) && value) return dateAndTime(Date.parse(value));
      return typeof value === 'number' ? number(value) : String(value ?? '–');
    };
    const limitShown = ({ limit, refused }) => [limit === null ? t('no limit') : number(limit), refused > 0 && t('refused {n} times', { n: number(refused) })].filter(Boolean).join(' · ');
    fill(list, row(t('Health'), health), row(t('Host and port'), location.host),
      Object.entries(labels).filter(([name]) => name in counts).map(([name, label]) => row(t(label), shown(name, counts[name]))),
      (counts.limits ?? []).map((one) => row(t(limits[one.name] ?? one.name), limitShown(one))));
    fail(null);
    shell.did(shell.command('admin', 'stats'));
  };
  load().catch(fail);
  state.every(10_000, () => load().catch(fail), signal);
}

// Users

function users(state, body, signal, fail) {
  const place = h('div', { class: 'stack' });
  const act = async (name, change, command) => {
    try {
      await state.change('PATCH', ['admin', 'users', name], change);
      shell.did(command);
      await load();
    } catch (error) {
      fail(error);
    }
  };
  const load = async () => {
    const { users: list } = await state.get(['admin', 'users']);
    if (signal.aborted) return;
    fail(null);
    // As 'natterd clients': the newest visit first.
    list.sort((a, b) => (b.last_seen ?? '').localeCompare(a.last_seen ?? '') || a.name.localeCompare(b.name));
    refill(place, table(t('Users'), [t('Name'), t('Last visit'), t('Last address'), t('Is'), ''], list.map((user) => {
      const name = line(user.name);
      return [h('a', { href: `#/@${encodeURIComponent(user.name)}` }, name), user.online ? t('online') : when(user.last_seen), user.address ?? '–',
        [user.admin && t('admin'), user.disabled && t('disabled')].filter(Boolean).join(', '),
        h('div', { class: 'buttons' },
          h('button', { type: 'button', 'aria-label': t('New password for {name}', { name }), click: () => reset(state, user.name) }, t('Password…')),
          user.name !== state.me.name && h('button', { type: 'button', 'aria-label': user.admin ? t('{name}: admin no more', { name }) : t('Make {name} an admin', { name }), click: () => act(user.name, { admin: !user.admin }, shell.command('admin', 'user', user.admin ? 'demote' : 'promote', user.name)) }, user.admin ? t('Demote') : t('Promote')),
          user.name !== state.me.name && h('button', { type: 'button', 'aria-label': user.disabled ? t('Enable {name}', { name }) : t('Disable {name}', { name }), click: async () => {
            if (user.disabled || await confirm(t('Disable {name}?', { name }), t('All their sessions end, and they cannot log in.'), t('Disable'))) {
              act(user.name, { disabled: !user.disabled }, shell.command('admin', 'user', user.disabled ? 'enable' : 'disable', user.name));
            }
          } }, user.disabled ? t('Enable') : t('Disable')))];
    })), h('p', { class: 'hint' }, n('{n} user', '{n} users', list.length)));
  };
  const name = field(t('Name'), { required: true, maxlength: 64, autocomplete: 'off' });
  const password = field(t('Password'), { type: 'password', required: true, autocomplete: 'new-password' }, t('At least 8 characters'));
  const isAdmin = h('input', { type: 'checkbox', id: 'new-admin' });
  body.append(h('section', { class: 'panel' }, h('h2', null, t('Users')), place),
    h('form', { class: 'panel', novalidate: true, submit: async () => {
      name.say('');
      password.say('');
      try {
        const wanted = name.input.value.trim();
        await state.change('POST', ['admin', 'users'], { name: wanted, password: password.input.value, admin: isAdmin.checked });
        shell.did(shell.command('admin', 'user', 'add', wanted, ...(isAdmin.checked ? ['--admin'] : [])));
        name.input.value = '';
        password.input.value = '';
        isAdmin.checked = false;
        await load();
        name.input.focus();
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        const wrong = error.code === 'weak_password' ? password : name;
        wrong.say(errorText(error));
        wrong.input.focus();
      }
    } }, h('h2', null, t('Add a user')), h('div', { class: 'line' }, name.element, password.element,
      h('div', { class: 'check' }, isAdmin, h('label', { for: 'new-admin' }, t('admin'))), h('button', { type: 'submit', class: 'primary' }, t('Add')))));
  load().catch(fail);
}

function reset(state, name) {
  const password = field(t('New password'), { type: 'password', required: true, autocomplete: 'new-password' }, t('At least 8 characters'));
  const element = dialog(t('New password for {name}', { name: line(name) }), h('form', { novalidate: true, submit: async () => {
    try {
      await state.change('PATCH', ['admin', 'users', name], { password: password.input.value });
      shell.did(shell.command('admin', 'user', 'passwd', name));
      element.close();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      password.say(errorText(error));
      password.input.focus();
    }
  } }, password.element, h('div', { class: 'buttons' }, h('button', { type: 'submit', class: 'primary' }, t('Set the password')))));
  password.input.focus();
}

// Invitations

function invites(state, body, signal, fail) {
  const place = h('div', { class: 'stack' });
  const made = h('p', { role: 'status' });
  const load = async () => {
    const { invites: list } = await state.get(['admin', 'invites']);
    if (signal.aborted) return;
    fail(null);
    refill(place, list.length === 0 ? h('p', { class: 'hint' }, t('No invitation is open')) : table(t('Invitations'), [t('Made by'), t('Made'), t('Ends'), ''], list.map((one) => [
      line(one.maker), when(one.created), dateAndTime(Date.parse(one.expires)),
      h('button', { type: 'button', click: async () => {
        try {
          await state.change('DELETE', ['admin', 'invites', one.id]);
          shell.did('');
          await load();
        } catch (error) {
          fail(error);
        }
      } }, t('Revoke')),
    ])));
  };
  const days = field(t('Days'), { inputmode: 'numeric', value: '7', autocomplete: 'off' });
  body.append(h('section', { class: 'panel' }, h('h2', null, t('Invitations')), place),
    h('form', { class: 'panel', novalidate: true, submit: async () => {
      days.say('');
      const count = Number(days.input.value);
      if (!isDays(count)) {
        days.say(t('Enter a number of days'));
        days.input.focus();
        return;
      }
      try {
        const answer = await state.change('POST', ['admin', 'invites'], { expires: new Date(Date.now() + count * 86_400_000).toISOString() });
        fill(made, t('The code is shown only now:'), ' ', h('code', { class: 'command' }, answer.invite));
        shell.did(shell.command('admin', 'invite', '--expires', `${count}d`));
        await load();
      } catch (error) {
        fail(error);
      }
    } }, h('h2', null, t('Invite someone')), made, h('div', { class: 'line' }, days.element, h('button', { type: 'submit', class: 'primary' }, t('Make an invitation')))));
  load().catch(fail);
}

// The log, live

const maximumLines = 500;

function log(state, body, signal, fail) {
  const list = h('ol', { class: 'log', tabindex: '0', 'aria-label': t('Service log') });
  const level = h('select', { id: 'log-level', change: () => follow() }, ['info', 'warning', 'error', 'debug'].map((name) => h('option', { value: name }, name)));
  let ender = null;
  const put = (entries) => {
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 30;
    list.append(...entries.map((entry) => h('li', { class: entry.level },
      `${clock(Date.parse(entry.time))} ${entry.level} ${entry.event} ${Object.entries(entry.fields).map(([name, value]) => `${name}=${line(value)}`).join(' ')}`)));
    while (list.children.length > maximumLines) list.firstElementChild.remove();
    if (isAtEnd) list.scrollTop = list.scrollHeight;
  };
  async function follow() {
    ender?.abort();
    ender = new AbortController();
    const all = AbortSignal.any([signal, ender.signal]);
    fill(list);
    shell.did(shell.command('admin', 'log', '-f'));
    let after;
    while (!all.aborted) {
      try {
        // While the tab is hidden, nothing is asked for.
        if (document.visibilityState !== 'visible') await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true, signal: all }));
        const entries = await state.api.lines(path(['admin', 'log'], { after, limit: 200, level: level.value, wait: after === undefined ? undefined : 50 }), { signal: all, timeout: 75_000 });
        fail(null);
        put(entries);
        after = entries.at(-1)?.number ?? after ?? 0;
      } catch (error) {
        if (all.aborted) return;
        fail(error);
        if (!error.isPassing) return;
        await new Promise((resolve) => setTimeout(resolve, 3000));
      }
    }
  }
  body.append(h('section', { class: 'panel' }, h('h2', null, t('Service log')),
    h('div', { class: 'line' }, h('div', { class: 'field' }, h('label', { for: 'log-level' }, t('From level')), level)), list));
  follow();
}
