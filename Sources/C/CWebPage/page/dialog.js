// Dialogs: the browser's own, so that the keyboard and screen readers know them.
import { h, iconButton, freshId } from './dom.js';
import { t } from './i18n.js';

/** Opens a dialog. Returns it; it is removed when it closes, and the focus goes back. */
export function dialog(title, ...children) {
  const id = freshId();
  const before = document.activeElement;
  const element = h('dialog', { 'aria-labelledby': id, class: 'dialog' },
    h('header', null, h('h2', { id }, title), iconButton('close', t('Close'), () => element.close())), ...children);
  // A click beside the dialog closes it. Its own padding is no other target than what is beside it.
  element.addEventListener('mousedown', ({ target, button, clientX, clientY }) => {
    const { left, right, top, bottom } = element.getBoundingClientRect();
    if (target === element && button === 0 && (clientX < left || clientX > right || clientY < top || clientY > bottom)) element.close();
  });
  element.addEventListener('close', () => {
    element.remove();
    if (before?.isConnected) before.focus();
  });
  document.body.append(element);
  element.showModal();
  return element;
}

/** Asks before something that cannot be undone. */
export function confirm(title, text, action) {
  return new Promise((resolve) => {
    let isSure = false;
    const element = dialog(title, h('p', null, text), h('div', { class: 'buttons' },
      h('button', { type: 'button', click: () => element.close() }, t('Cancel')),
      h('button', { type: 'button', class: 'danger', click: () => {
        isSure = true;
        element.close();
      } }, action)));
    element.addEventListener('close', () => resolve(isSure));
    element.querySelector('.buttons button').focus();
  });
}
