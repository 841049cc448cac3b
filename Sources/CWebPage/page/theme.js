// Light or dark: as the system says, unless one is chosen.
import { read, write } from './storage.js';

export const theme = () => read('theme') ?? 'system';

export function applyTheme(chosen) {
  if (chosen) write('theme', chosen === 'system' ? null : chosen);
  const now = theme();
  if (now === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = now;
}
