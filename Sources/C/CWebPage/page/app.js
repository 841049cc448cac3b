// The beginning: who is here, and what they see.
import { fill, h } from './dom.js';
import { t, n, startLanguage } from './i18n.js';
import { API, Refusal, ordinaryTimeout } from './api.js';
import { State } from './state.js';
import { Live, channel } from './live.js';
import { Outbox } from './outbox.js';
import { Layout, unfetched } from './layout.js';
import { announceNote } from './conversation.js';
import { errorText } from './errors.js';
import * as storage from './storage.js';

const root = document.getElementById('app');
const tabUser = 'natter-tab-user';
const everyone = channel('natter');
let state = null;

/** Uses a session until it ends. Returns why it ended. */
async function use(api, me) {
  api.user = me.name;
  state = new State(api, me);
  const current = state;
  // The name alone: after a reload, this tab does not become another account's because that one has a cookie.
  storage.ofTab(tabUser, api.isTabOnly ? me.name : null);
  const ended = new Promise((resolve) => {
    // While somebody logs out, the wait for news may be refused before the logout is answered.
    let isLeaving = false;
    let lapse;
    current.on('leaving', (is) => {
      isLeaving = is;
    });
    current.on('tab-leaving', ({ is }) => {
      isLeaving = is;
      // That tab may have been closed before it knew. No request of it takes longer.
      clearTimeout(lapse);
      if (is) lapse = setTimeout(() => { isLeaving = false; }, ordinaryTimeout);
    });
    api.onExpired = async () => {
      if (isLeaving) return resolve('logout');
      const other = api.isTabOnly ? null : await new API().get('/v1/whoami').catch(() => null);
      return resolve(other ? 'replaced' : 'expired');
    };
    current.on('logout', () => resolve('logout'));
    // Another tab of the account has logged out. Its session may have been another one, so this one ends, too.
    current.on('tab-logout', () => {
      resolve('logout');
      api.json('POST', '/v1/logout', {}).catch(() => null);
    });
    current.on('leave', () => resolve('leave'));
    current.on('switch', () => resolve('switch'));
    everyone.onmessage = ({ data }) => {
      // Another account has taken the browser's cookie.
      if (data.kind === 'cookie' && !api.isTabOnly && data.name !== me.name) resolve('replaced');
    };
  });
  if (!api.isTabOnly) {
    everyone.postMessage({ kind: 'cookie', name: me.name });
    const check = async () => {
      if (document.visibilityState !== 'visible') return;
      const now = await new API().get('/v1/whoami').catch(() => null);
      if (now && now.name !== me.name) current.emit('leave');
    };
    document.addEventListener('visibilitychange', check, { signal: current.signal });
    addEventListener('pageshow', (event) => event.persisted && check(), { signal: current.signal });
  }
  const live = new Live(current);
  const outbox = new Outbox(current);
  const layout = new Layout(root, current, live, outbox, {
    logout: async (all) => {
      const unsent = outbox.count + outbox.refused.length;
      if (unsent > 0) {
        const { confirm } = await import('./dialog.js');
        const isSure = await confirm(n('{n} message is not sent yet', '{n} messages are not sent yet', unsent), t('A logout deletes what is not sent.'), t('Log out'));
        if (!isSure || current.signal.aborted) return;
      }
      const tell = (is) => {
        current.emit('leaving', is);
        live.tell({ kind: 'leaving', is });
      };
      tell(true);
      try {
        await api.json('POST', '/v1/logout', all ? { all: true } : {});
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        if (error.status !== 401) {
          tell(false);
          announceNote(layout, errorText(error));
          return;
        }
      }
      live.tell({ kind: 'logout' });
      current.emit('logout');
    },
  });
  layout.start();
  const load = async () => {
    await live.start();
    for (let failures = 0; !current.signal.aborted;) {
      try {
        await current.loadLists();
        if (failures) current.emit('reload');
        else current.emit('listed');
        outbox.deliver();
        return;
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        failures += 1;
        await new Promise((done) => setTimeout(done, error.pauseAfter(failures)));
      }
    }
  };
  load().catch((error) => error.name !== 'AbortError' && console.error(error));
  const reason = await ended;
  const { place } = current;
  layout.forget(reason === 'logout');
  current.end();
  fill(root);
  state = null;
  document.title = 'natter';
  if (reason === 'logout') {
    storage.forget(place);
    storage.ofTab(tabUser, null);
  }
  return reason;
}

/** The session of this browser's cookie, if there is one and this tab is no other user's. */
async function resume() {
  const api = new API();
  const known = storage.ofTab(tabUser);
  // The browser's cookie is somebody else's, and stays so.
  if (known) return { known, stays: false };
  const me = await whoIs(api);
  return me ? { api, me } : { known: '' };
}

/** Whose session it is; null if it is none. */
async function whoIs(api) {
  for (let failures = 1; ; failures += 1) {
    try {
      return await api.get('/v1/whoami');
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (!error.isPassing) return null;
      fill(root, h('p', { class: 'waiting', role: 'status' }, t('{host} does not answer. Trying again…', { host: location.host })));
      await new Promise((done) => setTimeout(done, error.pauseAfter(failures)));
    }
  }
}

async function main() {
  storage.applyTheme();
  await startLanguage();
  let found = await resume();
  let notice = '';
  let before = null;
  for (;;) {
    if (!found.me) {
      const { showLogin } = await import('./login.js').catch(() => {
        fill(root, h('main', { class: 'entrance' }, h('p', null, notice), unfetched()));
        return new Promise(() => {});
      });
      const { api } = await showLogin(root, { ...found, notice });
      found = { api, me: await whoIs(api) };
      if (!found.me) {
        if (!api.isTabOnly) notice = t('This browser keeps no cookies. Log in without “Keep me logged in”.');
        found = { known: '', stays: api.isTabOnly };
        continue;
      }
    }
    const { name } = found.me;
    // Where another one was is not shown to this one.
    if (before !== null && before !== name) history.replaceState(null, '', location.pathname);
    before = name;
    const reason = await use(found.api, found.me);
    notice = reason === 'expired' ? t('The session has ended. Log in again; what you were writing is kept.') : '';
    if (reason === 'replaced' || reason === 'leave') {
      found = await resume();
    } else {
      const isSwitch = reason === 'switch';
      found = { known: reason === 'expired' ? name : '', stays: !isSwitch && !found.api.isTabOnly, former: isSwitch ? name : '' };
      if (reason === 'logout') history.replaceState(null, '', location.pathname);
    }
  }
}

main();
