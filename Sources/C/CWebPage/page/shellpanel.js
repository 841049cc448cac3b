// Shows the command for what was just done.
import { h } from './dom.js';
import { t } from './i18n.js';
import { dialog } from './dialog.js';
import * as shell from './shell.js';

export function open() {
  if (!shell.lastCommand()) {
    dialog(t('In a shell'), h('p', null, t('natter has no command for what you just did.')));
    return;
  }
  const copied = h('span', { class: 'hint', role: 'status' });
  const command = h('pre', { class: 'command', tabindex: '0', 'aria-label': t('Command') }, shell.lastCommand());
  dialog(t('In a shell'),
    h('p', null, t('The same as what you just did, as a command of natter:')), command,
    h('div', { class: 'buttons' }, copied, h('button', { type: 'button', class: 'primary', click: async () => {
      try {
        await navigator.clipboard.writeText(shell.lastCommand());
        copied.textContent = t('Copied');
      } catch {
        getSelection().selectAllChildren(command);
        copied.textContent = t('Selected; copy it with the keyboard');
      }
    } }, t('Copy'))),
    h('p', { class: 'hint' }, t('Log in there once with:'), ' ', h('code', null, shell.command('login', 'NAME', '--server', location.origin))));
}
