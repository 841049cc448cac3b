// A new conversation: with a person, in a new group, in an open group.
import { h, fill, announce } from './dom.js';
import { t, n } from './i18n.js';
import { line } from './text.js';
import { Refusal } from './api.js';
import { errorText } from './errors.js';
import { avatar } from './row.js';
import { dialog } from './dialog.js';
import { field } from './login.js';
import * as shell from './shell.js';

/** What who has followed a link to an open group sees instead of it; null if there is none of this name. */
export async function wayInto(layout, name) {
  for await (const page of layout.state.groupPages()) {
    const group = page.find((one) => one.open && one.name.toLowerCase() === name.toLowerCase());
    if (!group) continue;
    const failure = h('p', { class: 'error', role: 'alert' });
    return { title: line(group.name), way: [
      h('p', null, t('You are not in this group. Everyone can join it.')), failure,
      h('p', null, h('button', { type: 'button', class: 'primary', click: () => join(layout, group.name, failure) }, t('Join'))),
    ] };
  }
  return null;
}

/** Joins an open group and shows it. What keeps one from it is told in an element. */
async function join(layout, name, failure) {
  const { state } = layout;
  try {
    await state.change('PUT', ['groups', name, 'members', state.me.name], {});
    state.adopt({ ...await state.get(['conversations', name]), isListed: true });
    state.emit('conversations');
    layout.go(name, null, () => shell.command('group', 'join', name));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    failure.textContent = errorText(error);
  }
}

export function open(layout) {
  const { state } = layout;
  const name = field(t('Name of the group'), { maxlength: 64, required: true, autocomplete: 'off' });
  const isOpen = h('input', { type: 'checkbox', id: 'open-group' });
  const failure = h('p', { class: 'error', role: 'alert' });
  const create = async () => {
    name.say('');
    try {
      const made = await state.change('POST', ['groups'], { name: name.input.value.trim(), open: isOpen.checked });
      state.adopt({ ...made, isListed: true });
      state.emit('conversations');
      element.close();
      layout.go(made.name, null, () => shell.command('group', 'create', made.name, ...(isOpen.checked ? ['--open'] : [])));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      name.say(errorText(error));
      name.input.focus();
    }
  };
  const groups = h('ul', { class: 'choices' });
  const load = async () => {
    try {
      const list = [];
      for await (const page of state.groupPages()) list.push(...page.filter((group) => group.open && !group.member));
      fill(groups, list.length > 0 ? list.map((group) => h('li', null, h('button', { type: 'button', click: () => join(layout, group.name, failure) },
        avatar(group.name), h('span', null, line(group.name)), h('small', null, n('{n} member', '{n} members', group.members ?? 0), ' · ', t('Join'))))) : h('li', { class: 'hint' }, t('There is no open group that you are not in.')));
    } catch (error) {
      if (error instanceof Refusal) fill(groups, h('li', { class: 'error' }, errorText(error)));
    }
  };
  const element = dialog(t('New conversation'),
    h('div', { class: 'stack' },
      h('button', { type: 'button', click: () => {
        element.close();
        layout.open('switcher');
      } }, t('Write to a person…')),
      h('form', { submit: create, class: 'stack', novalidate: true }, h('h3', null, t('A new group')), name.element,
        h('div', { class: 'check' }, isOpen, h('label', { for: 'open-group' }, t('Open: everyone can find and join it'))),
        h('button', { type: 'submit', class: 'primary' }, t('Create the group'))),
      h('div', null, h('h3', null, t('Open groups')), failure, groups)));
  load();
  announce(t('New conversation'));
}
