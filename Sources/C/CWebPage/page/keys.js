// Keys. They go by the place of a key, so that they work on a Cyrillic layout too, and none is a bare letter.
import { addressOf } from './layout.js';

export const bindings = [
  { keys: 'Ctrl K', code: 'KeyK', ctrl: true, name: 'Go to a conversation or a person', run: (layout) => layout.open('switcher') },
  { keys: 'Ctrl Shift F', code: 'KeyF', ctrl: true, shift: true, name: 'Search messages', run: () => { location.hash = '#/,search'; } },
  { keys: 'Ctrl /', code: 'Slash', ctrl: true, name: 'Show the keys', run: (layout) => layout.open('help') },
  { keys: 'Alt ↑', code: 'ArrowUp', alt: true, name: 'The conversation above', run: (layout) => step(layout, -1) },
  { keys: 'Alt ↓', code: 'ArrowDown', alt: true, name: 'The conversation below', run: (layout) => step(layout, 1) },
  { keys: 'Alt Shift ↓', code: 'ArrowDown', alt: true, shift: true, name: 'The next unread conversation', run: (layout) => nextUnread(layout) },
  { keys: 'Ctrl End', code: 'End', ctrl: true, isOutside: true, name: 'The latest message', run: (layout) => layout.view?.history?.toLatest() },
  { keys: 'Ctrl G', code: 'KeyG', ctrl: true, name: 'Go to a number or a day', run: (layout) => layout.view?.history && layout.open('place', layout.view.history) },
  { keys: 'Alt P', code: 'KeyP', alt: true, name: 'People and details', run: (layout) => layout.toggleDetails() },
  { keys: 'Alt S', code: 'KeyS', alt: true, name: 'In a shell', run: (layout) => layout.open('shell') },
];

/** Keys that belong to a place. */
export const placeKeys = [
  ['Enter', 'Send'], ['Shift Enter', 'A new line'], ['↑', 'Edit your last message, in an empty field'], ['Escape', 'Cancel a reply or an edit; close'],
  ['↑ ↓', 'From message to message, in the messages'], ['Tab', 'To what can be done with a message'], ['End', 'The latest message, in the messages'],
];

/** With Option, a Mac writes letters and moves in a text. */
const isWriting = ({ target, code }) => /^(Mac|iP)/.test(navigator.platform) && target.matches('textarea, input') && (target.value !== '' || code.startsWith('Key'));

export function startKeys(layout, signal) {
  document.addEventListener('keydown', (event) => {
    if (event.isComposing || event.defaultPrevented) return;
    if (event.key === 'Escape' && layout.areDetailsOpen && !document.querySelector('dialog[open]') && layout.details.contains(document.activeElement)) {
      layout.toggleDetails();
      document.getElementById('details-button')?.focus();
      return;
    }
    const isControl = event.ctrlKey || event.metaKey;
    const binding = bindings.find((one) => one.code === event.code && Boolean(one.ctrl) === isControl && Boolean(one.alt) === event.altKey && Boolean(one.shift) === event.shiftKey);
    if (!binding || document.querySelector('dialog[open]')) return;
    if (binding.alt && isWriting(event)) return;
    if (binding.isOutside && event.target.matches('textarea, input') && event.target.value !== '') return;
    event.preventDefault();
    binding.run(layout);
  }, { signal });
}

function step(layout, by) {
  const all = layout.state.sorted;
  const at = all.indexOf(layout.view?.conversation);
  const next = all[Math.min(all.length - 1, Math.max(0, at + by))];
  if (next) location.hash = addressOf(next.name);
}

function nextUnread(layout) {
  const next = layout.state.sorted.find((one) => one.unread > 0 && one !== layout.view?.conversation);
  if (next) location.hash = addressOf(next.name);
}
