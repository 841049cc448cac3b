// What the bytes of a picture say: how large it is, and where it was taken, which leaves this page only if that is wanted.

const isLike = (bytes, text, at = 0) => [...text].every((character, index) => bytes[at + index] === character.charCodeAt(0));
const big = (bytes, at, count) => bytes.slice(at, at + count).reduce((sum, byte) => sum * 256 + byte, 0);
const little = (bytes, at, count) => bytes.slice(at, at + count).reduceRight((sum, byte) => sum * 256 + byte, 0);
const png = '\x89PNG\r\n\x1a\n';
const jpeg = '\xff\xd8\xff';

/** The segments of a JPEG up to the coded data: marker, start, end. It ends early where the file is none. */
function* segments(bytes, from = 2) {
  for (let at = from; bytes[at] === 0xff && at + 4 <= bytes.length;) {
    const marker = bytes[at + 1];
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    if (marker === 0xd9 || marker === 0xd8 || marker === 0) return;
    const end = at + 2 + (marker === 1 || (marker >= 0xd0 && marker <= 0xd7) ? 0 : big(bytes, at + 2, 2));
    if (end > bytes.length || (end < at + 4 && marker > 1 && !(marker >= 0xd0 && marker <= 0xd7))) return;
    yield [marker, at, end];
    if (marker === 0xda) return;
    at = end;
  }
}

/** Width times height of a picture, from its first bytes; Infinity for what is none that a page may show. */
export function pixels(bytes) {
  if (isLike(bytes, png)) return big(bytes, 16, 4) * big(bytes, 20, 4);
  if (isLike(bytes, 'GIF8')) return little(bytes, 6, 2) * little(bytes, 8, 2);
  if (isLike(bytes, 'RIFF') && isLike(bytes, 'WEBP', 8)) {
    if (isLike(bytes, 'VP8X', 12)) return (little(bytes, 24, 3) + 1) * (little(bytes, 27, 3) + 1);
    if (isLike(bytes, 'VP8L', 12)) return ((little(bytes, 21, 4) & 0x3fff) + 1) * (((little(bytes, 21, 4) >>> 14) & 0x3fff) + 1);
    if (isLike(bytes, 'VP8 ', 12)) return (little(bytes, 26, 2) & 0x3fff) * (little(bytes, 28, 2) & 0x3fff);
  }
  if (isLike(bytes, jpeg)) {
    for (const [marker, at] of segments(bytes)) {
      if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) return big(bytes, at + 5, 2) * big(bytes, at + 7, 2);
    }
  }
  return Infinity;
}

/** How a viewer must turn a JPEG: 2 to 8, or 0. */
function orientation(bytes, at) {
  if (!isLike(bytes, 'Exif\0\0', at + 4)) return 0;
  const start = at + 10;
  const read = isLike(bytes, 'II', start) ? little : big;
  const table = start + read(bytes, start + 4, 4);
  for (let entry = table + 2; entry < table + 2 + 12 * read(bytes, table, 2) && entry + 12 <= bytes.length; entry += 12) {
    const value = read(bytes, entry + 8, 2);
    if (read(bytes, entry, 2) === 0x0112) return value >= 2 && value <= 8 ? value : 0;
  }
  return 0;
}

/** An Exif segment that has an orientation alone. */
const turned = (value) => [0xff, 0xe1, 0, 34, ...[...'Exif\0\0MM\0*'].map((one) => one.charCodeAt(0)), 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, value, 0, 0, 0, 0, 0, 0];

function plainJPEG(bytes) {
  const parts = [bytes.slice(0, 2)];
  for (const [marker, at, next] of segments(bytes)) {
    // JFIF, a colour profile and Adobe's colours say how it looks. Every other application may say where it was taken.
    const isLook = marker === 0xe0 || marker === 0xee || (marker === 0xe2 && isLike(bytes, 'ICC_PROFILE\0', at + 4));
    if (marker === 0xfe || (marker >= 0xe0 && marker <= 0xef && !isLook)) {
      const value = marker === 0xe1 ? orientation(bytes, at) : 0;
      if (value) parts.push(Uint8Array.from(turned(value)));
    } else parts.push(bytes.slice(at, next));
    if (marker !== 0xda) continue;
    // Behind the last scan a camera may put more pictures, with all that they tell.
    for (let place = next; place + 1 < bytes.length; place += 1) {
      if (bytes[place] === 0xff && bytes[place + 1] === 0xd9) return [...parts, bytes.slice(next, place + 2)];
    }
    return null;
  }
  return null;
}

function plainPNG(bytes) {
  const parts = [bytes.slice(0, 8)];
  for (let at = 8; at + 12 <= bytes.length;) {
    const end = at + 12 + big(bytes, at, 4);
    if (end > bytes.length) return null;
    if (!['tEXt', 'zTXt', 'iTXt', 'eXIf', 'tIME'].some((type) => isLike(bytes, type, at + 4))) parts.push(bytes.slice(at, end));
    if (isLike(bytes, 'IEND', at + 4)) return parts;
    at = end;
  }
  return null;
}

function plainWebP(bytes) {
  const size = little(bytes, 4, 4) + 8;
  const parts = [];
  let at = 12;
  while (at + 8 <= size && size <= bytes.length) {
    const end = at + 8 + little(bytes, at + 4, 4) + (little(bytes, at + 4, 4) % 2);
    if (end > size) return null;
    const chunk = bytes.slice(at, end);
    if (isLike(chunk, 'VP8X')) chunk[8] &= ~0x0c;
    if (!isLike(chunk, 'EXIF') && !isLike(chunk, 'XMP ')) parts.push(chunk);
    at = end;
  }
  if (at !== size) return null;
  const header = bytes.slice(0, 12);
  const length = parts.reduce((sum, part) => sum + part.length, 4);
  for (let index = 0; index < 4; index += 1) header[4 + index] = (length >>> (8 * index)) & 0xff;
  return [header, ...parts];
}

/**
 * A picture without what tells of place, camera and texts. Resolves to the same file for what is no JPEG, PNG or WebP as it
 * should be, and to the same bytes if there is nothing to leave out.
 */
export async function withoutMetadata(file) {
  const bytes = new Uint8Array(await file.slice(0, 12).arrayBuffer());
  const plain = isLike(bytes, jpeg) ? plainJPEG : isLike(bytes, png) ? plainPNG : isLike(bytes, 'RIFF') && isLike(bytes, 'WEBP', 8) ? plainWebP : null;
  const parts = plain && plain(new Uint8Array(await file.arrayBuffer()));
  return parts ? new Blob(parts) : file;
}
