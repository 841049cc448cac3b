// Ctrl+K: to any conversation or person by a few letters.
import { h, fill, freshId } from './dom.js';
import { t } from './i18n.js';
import { line } from './text.js';
import { avatar } from './row.js';
import { dialog } from './dialog.js';
import { titleOf, addressOf } from './layout.js';

const maximum = 12;

export function open(layout) {
  const { state } = layout;
  const listId = freshId();
  const list = h('ul', { class: 'choices', role: 'listbox', id: listId, 'aria-label': t('Conversations and people') });
  let found = [];
  let chosen = 0;
  const go = (name) => {
    element.close();
    layout.go(name);
  };
  const show = () => {
    chosen = Math.max(0, Math.min(chosen, found.length - 1));
    fill(list, found.map((one, index) => h('li', { role: 'presentation' }, h('a', {
      role: 'option', id: `${listId}-${index}`, 'aria-selected': String(index === chosen), tabindex: '-1', href: addressOf(one.name), click: (event) => {
        event.preventDefault();
        go(one.name);
      },
    }, avatar(one.title), h('span', null, line(one.title)), h('small', null, one.note)))));
    if (found.length > 0) input.setAttribute('aria-activedescendant', `${listId}-${chosen}`);
    else input.removeAttribute('aria-activedescendant');
    empty.hidden = found.length > 0;
  };
  let asked = 0;
  const search = async () => {
    const query = input.value.trim().replace(/^@/, '').toLowerCase();
    const matches = (name) => name.toLowerCase().includes(query);
    const conversations = state.sorted.map((one) => ({
      name: one.name, title: titleOf(one, state.me), note: one.unread ? t('{n} unread', { n: one.unread }) : '',
    })).filter((one) => matches(one.title));
    const has = new Set(conversations.map((one) => one.name));
    const people = () => [...state.users.values()].filter((user) => matches(user.name) && !has.has(`@${user.name}`))
      .map((user) => ({ name: `@${user.name}`, title: user.name === state.me.name ? t('Notebook') : user.name, note: user.online ? t('online') : t('person') }));
    const rank = (one) => (one.title.toLowerCase().startsWith(query) ? 0 : 1);
    const put = () => {
      found = [...conversations, ...people()].sort((a, b) => rank(a) - rank(b)).slice(0, maximum);
      show();
    };
    put();
    asked += 1;
    const mine = asked;
    // There may be more users than the page knows.
    if (query && found.length < maximum) {
      await state.loadUsers(query).catch(() => {});
      if (mine === asked && element.open) put();
    }
  };
  const input = h('input', {
    type: 'search', role: 'combobox', 'aria-expanded': 'true', 'aria-controls': listId, 'aria-label': t('Go to a conversation or a person'), placeholder: t('Go to…'), autocomplete: 'off',
    input: () => {
      chosen = 0;
      search();
    },
    keydown: (event) => {
      if (event.isComposing) return;
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (by) {
        event.preventDefault();
        chosen = (chosen + by + found.length) % Math.max(1, found.length);
        show();
        list.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
      } else if (event.key === 'Enter' && found[chosen]) {
        event.preventDefault();
        go(found[chosen].name);
      }
    },
  });
  const empty = h('p', { class: 'hint', role: 'status', hidden: true }, t('Nothing found'));
  const element = dialog(t('Go to…'), input, list, empty);
  input.focus();
  search();
}
