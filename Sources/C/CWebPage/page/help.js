// The keys.
import { h } from './dom.js';
import { t } from './i18n.js';
import { dialog } from './dialog.js';
import { bindings, placeKeys } from './keys.js';

export function open() {
  const rows = (list) => h('table', null, h('tbody', null, list.map(([keys, name]) => h('tr', null, h('th', { scope: 'row' }, keys.split(' ').map((key) => [h('kbd', null, key), ' '])), h('td', null, t(name))))));
  dialog(t('Keys'),
    h('h3', null, t('Everywhere')), rows(bindings.map((one) => [one.keys, one.name])),
    h('h3', null, t('In a place')), rows(placeKeys));
}
