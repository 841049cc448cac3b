// Elements without HTML in strings: a text can only become a text node.

const svgSpace = 'http://www.w3.org/2000/svg';

/**
 * Makes an element. A function is a listener, `true` an attribute without value, null and false nothing.
 * Children are nodes, strings, or lists of these.
 */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name, name === 'submit' ? once(value) : value);
    else if (name === 'value' || name === 'checked') element[name] = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  put(element, children);
  return element;
}

/** A form that is sent again while its answer is awaited, as by a double click, is sent once. The browser sends none by itself. */
function once(send) {
  let isBusy = false;
  return async (event) => {
    event.preventDefault();
    if (isBusy) return;
    isBusy = true;
    try {
      await send();
    } finally {
      isBusy = false;
    }
  };
}

function put(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) put(element, child);
    else if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

/** Replaces what an element contains. */
export function fill(element, ...children) {
  element.replaceChildren();
  put(element, children);
  return element;
}

/** The same. If a control in there has the focus, then the one with its label gets it, else the one in its place. */
export function refill(element, ...children) {
  const controls = () => [...element.querySelectorAll('a[href], button, input, select, textarea')];
  const labelOf = (control) => control.getAttribute('aria-label') ?? control.textContent;
  const before = controls();
  const index = before.indexOf(document.activeElement);
  const label = index >= 0 ? labelOf(before[index]) : null;
  fill(element, ...children);
  if (index < 0 || element.contains(document.activeElement)) return element;
  const now = controls();
  const same = now.filter((control) => labelOf(control) === label);
  const heading = element.closest('section, form, .page')?.querySelector('h1, h2');
  if (now.length === 0) heading?.setAttribute('tabindex', '-1');
  (same.length === 1 ? same[0] : now[Math.min(index, now.length - 1)] ?? heading)?.focus({ preventScroll: true });
  return element;
}

/**
 * Gives a list of choices other options, if it has not got these. What is chosen stays so if it has another value now, or
 * is not there any more. The property `of` of an option says what it stands for.
 */
export function offer(select, options) {
  const values = options.map((one) => one.value).sort().join(' ');
  if (values === select.values) return;
  const [chosen] = select.selectedOptions;
  fill(select, options);
  select.values = values;
  if (!chosen) return;
  const same = options.find((one) => (chosen.of ? one.of === chosen.of : one.value === chosen.value));
  if (!same) select.append(chosen);
  (same ?? chosen).selected = true;
}

/** Makes `draw` wait while a button of the pointer is down on `list`: a link that is made anew would not get the click. */
export function betweenClicks(list, draw, signal) {
  let isPressed = false;
  let isDue = false;
  list.addEventListener('pointerdown', (event) => {
    isPressed = event.button === 0;
  });
  const release = () => isPressed && setTimeout(() => {
    // The click came first.
    isPressed = false;
    if (isDue && !signal.aborted) draw();
    isDue = false;
  });
  for (const name of ['pointerup', 'pointercancel', 'contextmenu', 'blur']) addEventListener(name, release, { signal });
  return () => {
    if (isPressed) isDue = true;
    else draw();
  };
}

// Drawn on a grid of 20, as lines.
const icons = {
  search: 'M13.5 13.500 17 17M9 15A6 6 0 1 0 9 3a6 6 0 0 0 0 12z',
  people: 'M7.500 9.500a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2 16.500c.3-3 2.500-5 5.500-5s5.200 2 5.500 5M13 3.800a3 3 0 0 1 0 5.500M15 12c1.700.7 2.800 2.300 3 4.500',
  send: 'M3.500 16.500 17 10 3.500 3.500 5.500 10zM5.500 10H17',
  reply: 'M8 5 3.500 9.500 8 14M4 9.500h7.500c3 0 5 2 5 5.500',
  edit: 'M4 16l.8-3.500L13 4.300a1.500 1.500 0 0 1 2.200 0l.5.5a1.500 1.500 0 0 1 0 2.200L7.500 15.200zM11.500 6l2.500 2.500',
  eraser: 'M8 16.500 3 11.500l8-8 6 6-7 7zM7 7.500l6 6M8 16.500h9',
  trash: 'M4 5.500h12M8 5.500V3.500h4v2M5.500 5.500l.8 11h7.400l.8-11M8.500 8.500v5M11.500 8.500v5',
  link: 'M8.500 11.500a3 3 0 0 0 4.200 0l2.600-2.600a3 3 0 0 0-4.200-4.200L10 5.800M11.500 8.500a3 3 0 0 0-4.200 0l-2.600 2.600a3 3 0 0 0 4.200 4.200L10 14.200',
  gear: 'M10 12.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5zM10 2.500v2M10 15.500v2M2.500 10h2M15.500 10h2M4.700 4.700l1.400 1.400M13.900 13.900l1.400 1.400M4.700 15.300l1.400-1.400M13.900 6.100l1.400-1.400',
  close: 'M5 5l10 10M15 5 5 15',
  down: 'M10 4v12M5 11l5 5 5-5',
  back: 'M12.500 4 6.500 10l6 6',
  plus: 'M10 4v12M4 10h12',
  shell: 'M3 4.500l5 5.500-5 5.500M10 15.500h7',
  calendar: 'M3.500 5h13v11.500h-13zM3.500 8.500h13M7 3v3M13 3v3',
  shield: 'M10 2.500 4 5v4.500c0 4 2.500 6.500 6 8 3.500-1.500 6-4 6-8V5z',
};

/** A decorative picture. What it stands for must be said by the button around it. */
export function icon(name) {
  const svg = document.createElementNS(svgSpace, 'svg');
  svg.setAttribute('viewBox', '0 0 20 20');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(svgSpace, 'path');
  path.setAttribute('d', icons[name]);
  svg.append(path);
  return svg;
}

/** A button with an icon alone. */
export function iconButton(name, label, click, attributes) {
  return h('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label, click, ...attributes }, icon(name));
}

let ids = 0;

/** A name for an element that another one refers to. */
export function freshId() {
  ids += 1;
  return `e${ids}`;
}

/** Calls `work` once after a pause in the calls of what is returned. */
export function debounce(work, milliseconds) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), milliseconds);
  };
}

// What the announcer is to say.
const sentences = [];
let reading = 0;
/** Nothing that was said stays for the next one who uses this tab. */
export function silence() {
  clearTimeout(reading);
  sentences.length = 0;
  document.getElementById('announcer').replaceChildren();
}

/** A sentence for the one announcer. Sentences that come together are read together. */
export function announce(sentence) {
  sentences.push(sentence);
  clearTimeout(reading);
  reading = setTimeout(() => {
    // A fresh element, so that the same sentence is read again.
    document.getElementById('announcer').replaceChildren(h('p', null, sentences.splice(0).slice(-4).join(' ')));
  }, 700);
}
