// The side: of a group its members and what its admins can do, and all users.
import { h, fill, refill, iconButton, debounce, betweenClicks } from './dom.js';
import { t, n, exact } from './i18n.js';
import { line } from './text.js';
import { Refusal } from './api.js';
import { errorText } from './errors.js';
import { avatar, presence } from './row.js';
import { addressOf } from './layout.js';
import { confirm, dialog } from './dialog.js';
import { field } from './login.js';
import * as shell from './shell.js';

const shownUsers = 100;

export function show(layout, place, signal) {
  const { state } = layout;
  const conversation = layout.view?.conversation;
  const parts = [];
  if (conversation?.kind === 'group') parts.push(groupPart(layout, conversation, signal));
  if (conversation?.kind === 'personal' && conversation.name !== `@${state.me.name}`) parts.push(personPart(layout, conversation.name.slice(1), signal));
  parts.push(usersPart(layout, signal));
  fill(place, iconButton('close', t('Close'), () => {
    layout.toggleDetails();
    document.getElementById('details-button')?.focus();
  }), ...parts);
}

function person(user, ...buttons) {
  return h('li', { class: 'person' },
    h('span', { class: 'avatar-place' }, avatar(user.name), user.online && h('span', { class: 'dot' })),
    h('a', { href: addressOf(`@${user.name}`), title: user.last_seen ? exact(Date.parse(user.last_seen)) : null }, h('b', null, line(user.name)), h('small', null, user.admin ? `${t('admin')} · ` : '', presence(user))),
    ...buttons);
}

/** A field to find people by what is typed. */
function finder(found) {
  return h('input', { type: 'search', 'aria-label': t('Find people'), placeholder: t('Find people'), autocomplete: 'off', input: (event) => found(event.target.value.trim()) });
}

/** Shows the first of some users, and says how many more there are. */
function fewOf(users, list, note, row) {
  refill(list, users.slice(0, shownUsers).map(row));
  note.textContent = users.length === 0 ? t('Nothing found') : users.length > shownUsers ? t('{n} more: type a name', { n: users.length - shownUsers }) : '';
}

// All users

function usersPart(layout, signal) {
  const { state } = layout;
  const list = h('ul', { 'aria-label': t('People') });
  const note = h('p', { class: 'hint', role: 'status' });
  let contacts = new Set();
  let pattern = '';
  const put = betweenClicks(list, () => {
    const matching = [...state.users.values()].filter((user) => user.name.toLowerCase().includes(pattern.toLowerCase()))
      .sort((a, b) => Number(b.online) - Number(a.online) || Number(contacts.has(b.name)) - Number(contacts.has(a.name)) || a.name.localeCompare(b.name));
    const focused = list.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
    fewOf(matching, list, note, (user) => person(user));
    if (focused) list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }, signal);
  const ask = debounce(() => state.loadUsers(pattern || undefined).catch(() => {}), 200);
  const input = finder((typed) => {
    pattern = typed;
    put();
    ask();
  });
  state.on('users', put, signal);
  const load = () => state.get(['contacts']).then(({ users }) => {
    contacts = new Set(users.map((user) => user.name));
    put();
  }, () => {});
  whenContactsChange(state, load, signal);
  load();
  put();
  return h('section', { class: 'stack' }, h('h2', null, t('People')), input, note, list);
}

/** They were changed here or on another device, somebody has written for the first time, or this was away. */
function whenContactsChange(state, work, signal) {
  state.on('contacts', work, signal);
  state.on('reload', work, signal);
  state.on('conversation', (object) => object.kind === 'personal' && work(), signal);
}

// One person

function personPart(layout, name, signal) {
  const { state } = layout;
  const section = h('section', { class: 'stack' });
  const failure = h('p', { class: 'error', role: 'alert' });
  let loads = 0;
  let [isContact, isBlocked] = [false, false];
  const act = (method, what, command) => async () => {
    try {
      await state.change(method, [what, name]);
      shell.did(command);
      await load();
    } catch (error) {
      if (error instanceof Refusal) failure.textContent = errorText(error);
    }
  };
  const load = async () => {
    const mine = loads += 1;
    const [contacts, blocked] = await Promise.all([state.get(['contacts']), state.get(['blocks'])]);
    // Answers may overtake each other.
    if (signal.aborted || mine !== loads) return;
    isContact = contacts.users.some((user) => user.name === name);
    isBlocked = blocked.users.some((user) => user.name === name);
    draw();
  };
  const draw = betweenClicks(section, () => {
    const focused = [...section.querySelectorAll('button')].indexOf(document.activeElement);
    fill(section, h('h2', null, line(name)), failure,
      isContact ? h('button', { type: 'button', click: act('DELETE', 'contacts', shell.command('contact', 'remove', name)) }, t('Remove from contacts'))
        : h('button', { type: 'button', click: act('PUT', 'contacts', shell.command('contact', 'add', name)) }, t('Add to contacts')),
      isBlocked ? h('button', { type: 'button', click: act('DELETE', 'blocks', shell.command('unblock', name)) }, t('Take messages again'))
        : h('button', { type: 'button', class: 'danger', click: act('PUT', 'blocks', shell.command('block', name)) }, t('Block: take no messages')));
    section.querySelectorAll('button')[focused]?.focus();
  }, signal);
  const safely = () => load().catch((error) => error instanceof Refusal && fill(section, h('p', { class: 'error' }, errorText(error))));
  safely();
  whenContactsChange(state, safely, signal);
  return section;
}

// A group

function groupPart(layout, conversation, signal) {
  const { state } = layout;
  const section = h('section', { class: 'stack' });
  const failure = h('p', { class: 'error', role: 'alert' });
  const members = h('ul', { 'aria-label': t('Members') });
  const note = h('p', { class: 'hint', role: 'status' });
  let pattern = '';
  let put = () => {};
  let show = () => {};
  const draw = betweenClicks(section, () => show(), signal);
  const search = finder((typed) => {
    pattern = typed.toLowerCase();
    put();
  });
  // Made once: what is typed stays when the members change meanwhile.
  const newMember = field(t('Add a member'), { autocomplete: 'off', list: 'member-names', required: true });
  let loads = 0;
  const load = async () => {
    const turn = loads += 1;
    const [{ users }, known] = await Promise.all([state.get(['groups', conversation.name, 'members']), groupOf(state, conversation)]);
    // Answers may overtake each other.
    if (signal.aborted || turn !== loads) return;
    const mine = users.find((user) => user.name === state.me.name);
    const isAdmin = mine?.admin === true;
    const act = async (work, command) => {
      failure.textContent = '';
      try {
        await work();
        if (command) shell.did(command);
        await load();
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        failure.textContent = errorText(error);
      }
    };
    const { name } = conversation;
    // By its id, because it may be renamed while somebody is asked, and another group given its name.
    const group = { conversation_id: conversation.id };
    const leave = async (segments) => {
      layout.leaving = conversation.id;
      try {
        await state.change('DELETE', segments, undefined, group);
      } catch (error) {
        layout.leaving = null;
        throw error;
      }
    };
    const member = (user) => person(user, isAdmin && user.name !== state.me.name && [
      iconButton('shield', user.admin ? t('{name}: admin no more', { name: line(user.name) }) : t('Make {name} an admin', { name: line(user.name) }), () => act(
        () => state.change('PUT', ['groups', name, 'members', user.name], { admin: !user.admin }, group), shell.command('group', user.admin ? 'demote' : 'promote', name, user.name)), { 'aria-pressed': String(user.admin) }),
      iconButton('close', t('Remove {name} from the group', { name: line(user.name) }), async () => {
        if (await confirm(t('Remove {name} from the group?', { name: line(user.name) }), t('They cannot read the group any more.'), t('Remove'))) {
          act(() => state.change('DELETE', ['groups', name, 'members', user.name], undefined, group), shell.command('group', 'remove', name, user.name));
        }
      })]);
    show = () => {
      const typing = section.contains(document.activeElement) && document.activeElement.matches('input') ? document.activeElement : null;
      put = () => fewOf(users.filter((user) => user.name.toLowerCase().includes(pattern)), members, note, member);
      // One fill, so that the focus stays in both.
      refill(section, h('h2', null, line(name)), failure,
        isAdmin && h('form', { class: 'stack', submit: () => {
          const wanted = newMember.input.value.trim().replace(/^@/, '');
          if (!wanted) return;
          act(async () => {
            await state.change('PUT', ['groups', name, 'members', wanted], {}, group);
            newMember.input.value = '';
          }, shell.command('group', 'add', name, wanted));
        } }, newMember.element, h('datalist', { id: 'member-names' }, [...state.users.keys()].slice(0, 200).map((user) => h('option', { value: user }))), h('button', { type: 'submit' }, t('Add'))),
        known.retain && h('p', { class: 'hint' }, t('Messages are kept for {time}', { time: n('{n} day', '{n} days', daysOf(known)) })),
        h('h3', null, t('Members')), users.length > shownUsers && search, note, (put(), members),
        h('div', { class: 'buttons' },
          isAdmin && h('button', { type: 'button', click: () => change(layout, conversation, load) }, t('Change the group…')),
          mine && h('button', { type: 'button', click: async () => {
            if (await confirm(t('Leave {name}?', { name: line(name) }), t('You get no messages of the group any more.'), t('Leave'))) {
              act(() => leave(['groups', name, 'members', state.me.name]), shell.command('group', 'leave', name));
            }
          } }, t('Leave')),
          isAdmin && h('button', { type: 'button', class: 'danger', click: async () => {
            if (await confirm(t('Delete {name}?', { name: line(name) }), t('The group and all its messages are deleted for everyone.'), t('Delete'))) {
              act(() => leave(['groups', name]), shell.command('group', 'delete', name));
            }
          } }, t('Delete'))));
      typing?.focus();
    };
    draw();
  };
  const safely = () => {
    const turn = loads + 1;
    // A question by the name of before a rename fails, and the next one is on its way.
    return load().catch((error) => {
      if (!(error instanceof Refusal) || turn !== loads) return;
      show = () => fill(section, h('p', { class: 'error' }, errorText(error)));
      draw();
    });
  };
  safely();
  let named = conversation.name;
  state.on('conversation', ({ id, name }) => {
    if (id !== conversation.id || name === named) return;
    named = name;
    safely();
  }, signal);
  state.on('message', (message) => message.kind === 'event' && message.conversation_id === conversation.id && safely(), signal);
  return section;
}

/** What the list of groups says about one. */
async function groupOf(state, conversation) {
  for await (const groups of state.groupPages()) {
    const found = groups.find((group) => group.id === conversation.id);
    if (found) return found;
  }
  return {};
}

/** For how many days its messages are kept, 0 for ever. */
const daysOf = (group) => Number.parseInt(group.retain ?? '0', 10);

/** Name, openness and retention of a group. */
async function change(layout, conversation, done) {
  const { state } = layout;
  const known = await groupOf(state, conversation).catch(() => ({}));
  // It may be renamed meanwhile.
  const offered = conversation.name;
  const name = field(t('Name of the group'), { value: offered, maxlength: 64, required: true, autocomplete: 'off' });
  const days = field(t('Days that messages are kept'), { type: 'number', min: 1, max: 36500, value: daysOf(known) || '', autocomplete: 'off' }, t('Empty: for ever. Older messages go for good'));
  const isOpen = h('input', { type: 'checkbox', id: 'group-open', checked: known.open === true });
  const failure = h('p', { class: 'error', role: 'alert' });
  const element = dialog(t('Change the group'), h('form', { submit: async () => {
    const before = conversation.name;
    const body = {};
    const wanted = name.input.value.trim();
    if (wanted !== offered) body.name = wanted;
    if (isOpen.checked !== (known.open === true)) body.open = isOpen.checked;
    if (Number(days.input.value) !== daysOf(known)) body.retain = days.input.value ? `${days.input.value}d` : 'forever';
    try {
      const changed = await state.change('PATCH', ['groups', before], body, { conversation_id: conversation.id });
      shell.did('');
      if (body.name) shell.did(shell.command('group', 'rename', before, body.name));
      if (body.retain) shell.did(shell.command('group', 'retain', changed.name, body.retain));
      element.close();
      state.adopt(changed);
      state.emit('conversation', changed);
      state.emit('conversations');
      done();
    } catch (error) {
      if (error instanceof Refusal) failure.textContent = errorText(error);
    }
  } }, name.element, days.element, h('div', { class: 'check' }, isOpen, h('label', { for: 'group-open' }, t('Open: everyone can find and join it'))), failure,
  h('div', { class: 'buttons' }, h('button', { type: 'submit', class: 'primary' }, t('Save')))));
  name.input.focus();
}
