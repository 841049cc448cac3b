// The files of a message: pictures in the bubble, everything else to be saved; and those that are about to be sent.
import { h, fill, iconButton } from './dom.js';
import { t, number } from './i18n.js';
import { line } from './text.js';
import { dialog } from './dialog.js';
import { pixels } from './pictures.js';

const types = ['image/png', 'image/jpeg', 'image/gif', 'image/webp'];
/** A larger picture is loaded by a click only. */
const quickBytes = 2_000_000;
/** A picture with more pixels is saved, not shown: it would take the memory of the browser. */
const mostPixels = 40_000_000;

/** A size as `natter log` shows it. */
export function sizeText(bytes) {
  const unit = ['B', 'kB', 'MB', 'GB', 'TB'].findIndex((_, index) => bytes < 1000 ** (index + 1) || index === 4);
  return `${number(unit === 0 ? bytes : Math.floor(bytes / 1000 ** unit * 10) / 10)} ${['B', 'kB', 'MB', 'GB', 'TB'][unit]}`;
}

/** Loads what comes near the window. */
const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    target.load();
  }
}, { rootMargin: '300px' });

async function save(file, api) {
  const url = URL.createObjectURL(await api.file(file.id));
  h('a', { href: url, download: file.name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function saved(file, api) {
  const note = h('span', { class: 'note', role: 'status' });
  const button = h('button', { type: 'button', class: 'link file', click: async () => {
    note.textContent = '';
    try {
      await save(file, api);
    } catch {
      note.textContent = ` ${t('The file cannot be fetched')}`;
    }
  } }, h('bdi', null, line(file.name)), ` (${sizeText(file.size)})`);
  return h('span', { class: 'file-line' }, button, note);
}

/** A picture in a box that has its height before it is loaded, so that the list does not jump. */
function picture(file, alt, api, view) {
  const box = h('button', { type: 'button', class: 'picture', 'aria-label': t('Show {name}', { name: line(file.name) }), click: () => (box.url ? view(box) : box.load()) });
  box.file = file;
  box.load = async () => {
    fill(box, h('span', { class: 'note' }, t('Loading…')));
    try {
      const bytes = await api.file(file.id);
      if (pixels(new Uint8Array(await bytes.slice(0, 1 << 20).arrayBuffer())) > mostPixels) throw new RangeError();
      // The server has told the type by the first bytes.
      box.url = URL.createObjectURL(new Blob([bytes], { type: file.type }));
      fill(box, h('img', { src: box.url, alt, draggable: 'false' }));
    } catch {
      box.replaceWith(saved(file, api));
    }
  };
  if (file.size <= quickBytes) near.observe(box);
  else fill(box, h('bdi', null, line(file.name)), ` (${sizeText(file.size)})`);
  return box;
}

/** What a bubble shows of the files of a message. */
export function fileList(message, api) {
  const alt = message.text.slice(0, 200);
  const boxes = [];
  const view = (first) => {
    let index = boxes.indexOf(first);
    const place = h('div', { class: 'viewed' });
    const show = (step) => {
      const there = boxes.filter((box) => box.url);
      index = (there.indexOf(boxes[index]) + step + there.length) % there.length;
      const box = there[index];
      index = boxes.indexOf(box);
      fill(place, h('img', { src: box.url, alt: alt || box.file.name }), h('p', null, saved(box.file, api)));
    };
    const element = dialog(t('Picture'), place);
    element.classList.add('viewer');
    element.addEventListener('keydown', (event) => {
      if (event.key === 'ArrowRight') show(1);
      if (event.key === 'ArrowLeft') show(-1);
    });
    show(0);
  };
  const shown = message.files.map((file) => {
    if (!types.includes(file.type)) return saved(file, api);
    const box = picture(file, alt || file.name, api, view);
    boxes.push(box);
    return box;
  });
  return h('span', { class: 'files' }, shown);
}

/** The files that were chosen for a message: previews, each of which can be taken back. */
export class Tray {
  #picks = [];

  constructor(changed) {
    this.changed = changed;
    this.keep = h('input', { type: 'checkbox' });
    this.element = h('div', { class: 'tray', hidden: true });
    this.picker = h('input', { type: 'file', multiple: true, hidden: true, change: () => {
      this.add([...this.picker.files]);
      this.picker.value = '';
    } });
  }

  get picks() {
    return this.#picks;
  }

  get keepsMetadata() {
    return this.keep.checked;
  }

  add(files) {
    this.#picks.push(...files.map((file) => ({ file, url: types.includes(file.type) ? URL.createObjectURL(file) : null })));
    this.show();
    this.changed();
  }

  remove(pick) {
    if (pick.url) URL.revokeObjectURL(pick.url);
    this.#picks = this.#picks.filter((one) => one !== pick);
    this.show();
    this.changed();
  }

  clear() {
    for (const { url } of this.#picks) if (url) URL.revokeObjectURL(url);
    this.#picks = [];
    this.keep.checked = false;
    this.show();
  }

  show() {
    this.element.hidden = this.#picks.length === 0;
    fill(this.element, this.#picks.map((pick) => h('span', { class: 'pick' },
      pick.url && h('img', { src: pick.url, alt: '' }), h('bdi', null, line(pick.file.name)), ` (${sizeText(pick.file.size)})`,
      iconButton('close', t('Remove {name}', { name: line(pick.file.name) }), () => this.remove(pick)))),
    this.#picks.some((pick) => pick.url) && h('label', { class: 'note' }, this.keep, ' ', t('Keep place and camera in photographs')));
  }
}
