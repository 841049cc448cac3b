// Settings: language, looks, notifications; password, sessions, tokens; the way out.
import { h, fill, refill, announce, offer } from './dom.js';
import { t, dateAndTime, ago } from './i18n.js';
import { line } from './text.js';
import { Refusal } from './api.js';
import { errorText } from './errors.js';
import { field, isDays, languageSwitch } from './login.js';
import { confirm } from './dialog.js';
import { theme, applyTheme } from './storage.js';
import { areWanted, want, explanation } from './notify.js';
import { viewHead } from './layout.js';
import * as shell from './shell.js';

export function show(layout, signal) {
  const { state } = layout;
  const title = t('Settings');
  return {
    title,
    element: h('div', { class: 'page' },
      viewHead(title, h('small', null, `${state.me.name} @ ${location.host}`), h('button', { type: 'button', click: () => layout.logout(false) }, t('Log out'))),
      h('div', { class: 'page-body' }, unsent(layout, signal), looks(layout), password(state), sessions(layout, signal), tokens(state, signal))),
  };
}

/** What was refused, also of conversations that one does not see any more. */
function unsent({ outbox, state }, signal) {
  const list = h('ul', { class: 'stack', role: 'list' });
  const section = h('section', { class: 'panel' }, h('h2', { tabindex: '-1' }, t('Messages not sent')), list);
  const put = () => {
    const { refused } = outbox;
    section.hidden = refused.length === 0;
    refill(list, refused.map((entry) => h('li', { class: 'stack' },
      h('b', null, line(state.conversations.get(entry.conversationId)?.name ?? entry.conversation)), h('pre', { class: 'command', tabindex: '0' }, entry.text),
      h('p', { class: 'error' }, t('not sent: {reason}', { reason: errorText(entry.refusal) })),
      h('div', { class: 'buttons' }, h('button', { type: 'button', click: () => outbox.drop(entry.name) }, t('Remove'))))));
  };
  state.on('outbox', put, signal);
  put();
  return section;
}

function looks(layout) {
  const choices = [['system', t('As the system')], ['light', t('Light')], ['dark', t('Dark')]];
  const select = h('select', { id: 'theme', change: (event) => applyTheme(event.target.value) },
    choices.map(([value, name]) => h('option', { value, selected: value === theme() }, name)));
  const note = h('p', { class: 'hint', role: 'status' }, explanation());
  const notifications = h('button', { type: 'button', 'aria-pressed': String(areWanted()), click: async () => {
    const isWanted = !areWanted();
    const is = await want(isWanted);
    notifications.setAttribute('aria-pressed', String(is));
    notifications.textContent = is ? t('Switch notifications off') : t('Switch notifications on');
    if (isWanted && !is) note.textContent = t('This browser does not allow notifications for this page.');
  } }, areWanted() ? t('Switch notifications off') : t('Switch notifications on'));
  return h('section', { class: 'panel' }, h('h2', null, t('This page')),
    h('div', { class: 'line' }, h('div', { class: 'field' }, h('label', { for: 'theme' }, t('Colours')), select), languageSwitch(async () => {
      await layout.rebuild();
      document.querySelector('.languages [aria-pressed=true]')?.focus();
    })),
    h('div', { class: 'line' }, notifications, note),
    // A session that only this tab has is left by logging out.
    !layout.state.api.isTabOnly && h('div', { class: 'line' },
      h('button', { type: 'button', click: () => layout.state.emit('switch') }, t('Another account in this tab')),
      h('p', { class: 'hint' }, t('Two people can use this browser at once, each in a tab. The other tabs stay as they are.'))),
    h('p', null, h('button', { type: 'button', class: 'link', click: () => layout.open('help') }, t('Keys'))));
}

function password(state) {
  const old = field(t('Password until now'), { type: 'password', autocomplete: 'current-password', required: true });
  const fresh = field(t('New password'), { type: 'password', autocomplete: 'new-password', required: true }, t('At least 8 characters'));
  const status = h('p', { role: 'status' });
  return h('form', { class: 'panel', novalidate: true, submit: async () => {
    status.textContent = '';
    old.say('');
    fresh.say('');
    if (!old.input.value || !fresh.input.value) {
      const missing = old.input.value ? fresh : old;
      missing.say(t('Enter a password'));
      missing.input.focus();
      return;
    }
    try {
      await state.change('POST', ['password'], { old: old.input.value, new: fresh.input.value });
      old.input.value = '';
      fresh.input.value = '';
      status.textContent = t('The password is changed. All other sessions have ended.');
      shell.did(shell.command('passwd'));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const wrong = error.code === 'weak_password' ? fresh : old;
      wrong.say(errorText(error));
      wrong.input.focus();
    }
  } }, h('h2', null, t('Password')),
  h('input', { type: 'text', autocomplete: 'username', value: state.me.name, hidden: true, 'aria-label': t('Name') }),
  h('div', { class: 'line' }, old.element, fresh.element, h('button', { type: 'submit', class: 'primary' }, t('Change password'))), status);
}

export const when = (time) => (time ? h('time', { datetime: time, title: dateAndTime(Date.parse(time)) }, ago(Date.parse(time))) : '–');

export function table(caption, heads, rows) {
  return h('div', { class: 'table', role: 'region', 'aria-label': caption, tabindex: '0' }, h('table', null,
    h('thead', null, h('tr', null, heads.map((head) => h('th', { scope: 'col' }, head || h('span', { class: 'unseen' }, t('Actions')))))),
    h('tbody', null, rows.map((cells) => h('tr', null, cells.map((cell) => h('td', null, cell)))))));
}

/** Does something, or says why it was refused. */
async function attempt(failure, work) {
  failure.textContent = '';
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    failure.textContent = errorText(error);
  }
}

function sessions(layout, signal) {
  const { state } = layout;
  const place = h('div', { class: 'stack' });
  const failure = h('p', { class: 'error', role: 'alert' });
  const load = async () => {
    const { sessions: list } = await state.get(['sessions']);
    if (signal.aborted) return;
    refill(place, table(t('Sessions'), [t('Begun'), t('Last used'), t('Address'), t('Program'), ''], list.map((one) => [
      when(one.created), when(one.last_used), one.address ?? '', line([one.host, one.program].filter(Boolean).join(' · ') || one.label || ''),
      one.current ? t('this one') : h('button', { type: 'button', click: async () => {
        await attempt(failure, async () => {
          await state.change('DELETE', ['sessions', one.id]);
          announce(t('The session has ended'));
          shell.did(shell.command('session', 'end', one.id));
          await load();
        });
      } }, t('End')),
    ])));
  };
  load().catch((error) => error instanceof Refusal && fill(place, h('p', { class: 'error' }, errorText(error))));
  return h('section', { class: 'panel' }, h('h2', null, t('Sessions')), place, failure,
    h('div', { class: 'buttons' }, h('button', { type: 'button', class: 'danger', click: async () => {
      if (await confirm(t('Log out everywhere?'), t('All sessions of this account end, this one too.'), t('Log out everywhere'))) layout.logout(true);
    } }, t('Log out everywhere'))));
}

function tokens(state, signal) {
  const place = h('div', { class: 'stack' });
  const failure = h('p', { class: 'error', role: 'alert' });
  const made = h('p', { role: 'status' });
  const label = field(t('What for'), { required: true, maxlength: 100, autocomplete: 'off' });
  const scope = h('select', { id: 'token-scope' });
  const choice = (what, one, text) => Object.assign(h('option', { value: `${what}:${one.name}` }, text), { of: what + one.id });
  const put = () => offer(scope, [h('option', { value: 'all' }, t('everything')),
    ...state.sorted.flatMap((one) => [choice('send', one, t('send to {name}', { name: line(one.name) })), choice('read', one, t('read {name}', { name: line(one.name) }))])]);
  state.on('conversations', put, signal);
  put();
  const days = field(t('Days'), { inputmode: 'numeric', value: '90', autocomplete: 'off' }, t('Empty: until revoked'));
  const load = async () => {
    const { tokens: list } = await state.get(['tokens']);
    if (signal.aborted) return;
    refill(place, list.length === 0 ? h('p', { class: 'hint' }, t('No tokens')) : table(t('Tokens for programs'), [t('What for'), t('May'), t('Ends'), t('Last used'), ''], list.map((one) => [
      line(one.label ?? ''), line(one.scope), one.expires ? dateAndTime(Date.parse(one.expires)) : '–', when(one.last_used),
      h('button', { type: 'button', click: async () => {
        await attempt(failure, async () => {
          await state.change('DELETE', ['tokens', one.id]);
          shell.did(shell.command('token', 'revoke', one.id));
          await load();
        });
      } }, t('Revoke')),
    ])));
  };
  load().catch((error) => error instanceof Refusal && fill(place, h('p', { class: 'error' }, errorText(error))));
  return h('form', { class: 'panel', novalidate: true, submit: async () => {
    label.say('');
    days.say('');
    if (!label.input.value) {
      label.say(t('Say what the token is for'));
      label.input.focus();
      return;
    }
    const count = Number(days.input.value);
    if (days.input.value && !isDays(count)) {
      days.say(t('Enter a number of days'));
      days.input.focus();
      return;
    }
    try {
      const body = { label: label.input.value, scope: scope.value };
      if (count > 0) body.expires = new Date(Date.now() + count * 86_400_000).toISOString();
      const answer = await state.change('POST', ['tokens'], body);
      fill(made, t('The token is shown only now:'), ' ', h('code', { class: 'command' }, answer.token));
      shell.did(shell.command('token', 'create', '--label', body.label, '--scope', body.scope, ...(count > 0 ? ['--expires', `${count}d`] : [])));
      label.input.value = '';
      await load();
    } catch (error) {
      if (error instanceof Refusal) label.say(errorText(error));
    }
  } }, h('h2', null, t('Tokens for programs')), place, failure, made,
  h('div', { class: 'line' }, label.element, h('div', { class: 'field' }, h('label', { for: 'token-scope' }, t('May')), scope), days.element, h('button', { type: 'submit', class: 'primary' }, t('Make a token'))));
}
