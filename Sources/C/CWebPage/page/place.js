// To a message by its number, or to a day.
import { h } from './dom.js';
import { t, number } from './i18n.js';
import { dialog } from './dialog.js';
import { field } from './login.js';

export function open(layout, history) {
  const { first, head } = history.conversation;
  const seq = field(t('Number of a message'), { inputmode: 'numeric', pattern: '[0-9]*', autocomplete: 'off' }, t('{first} to {last}', { first: number(first || 1), last: number(head) }));
  const date = field(t('Day'), { type: 'date', autocomplete: 'off' });
  const element = dialog(t('Go to a number or a day'),
    h('form', { novalidate: true, submit: () => {
      const wanted = Number(seq.input.value.replace(/[^0-9]/g, ''));
      if (!wanted || wanted > head) {
        seq.say(t('Enter a number from {first} to {last}', { first: number(first || 1), last: number(head) }));
        seq.input.focus();
        return;
      }
      element.close();
      layout.go(history.conversation.name, wanted);
    } }, seq.element, h('div', { class: 'buttons' }, h('button', { type: 'submit', class: 'primary' }, t('Go to the message')))),
    h('form', { novalidate: true, submit: () => {
      const [year, month, dayOfMonth] = date.input.value.split('-').map(Number);
      if (!year) {
        date.say(t('Enter a day'));
        date.input.focus();
        return;
      }
      element.close();
      // Midnight where the reader is.
      history.toTime(new Date(year, month - 1, dayOfMonth).getTime());
    } }, date.element, h('div', { class: 'buttons' }, h('button', { type: 'submit', class: 'primary' }, t('Go to the day')))));
  seq.input.focus();
}
