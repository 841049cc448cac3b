// Into natter and out of it.
import { h, fill, freshId, announce, debounce } from './dom.js';
import { t, language, useLanguage } from './i18n.js';
import { API, path, Refusal } from './api.js';
import { line } from './text.js';
import { errorText } from './errors.js';

/** A labelled field with a place for a hint or an error. */
export function field(label, attributes, hint) {
  const id = freshId();
  const noteId = freshId();
  const input = h(attributes.rows ? 'textarea' : 'input', { id, 'aria-describedby': noteId, autocapitalize: 'none', spellcheck: 'false', ...attributes });
  const note = h('span', { id: noteId, class: 'hint' }, hint ?? '');
  const element = h('div', { class: 'field' }, h('label', { for: id }, label), input, note);
  /** Shows an error, or the hint again. */
  const say = (text, isError = true) => {
    note.textContent = text || hint || '';
    note.classList.toggle('error', Boolean(text) && isError);
    if (text && isError) input.setAttribute('aria-invalid', 'true');
    else input.removeAttribute('aria-invalid');
  };
  return { element, input, say };
}

/** Whether a date can be so many days ahead: JavaScript's end in the year 275760, and the server's are of four digits. */
export const isDays = (count) => Number.isInteger(count) && count >= 1 && count <= 1_000_000;

export function languageSwitch(changed) {
  return h('div', { class: 'languages', role: 'group', 'aria-label': t('Language') }, ...[['en', 'English'], ['ru', 'Русский']].map(([code, name]) => h('button', {
    type: 'button', class: 'link', lang: code, 'aria-pressed': String(language === code), click: async () => {
      await useLanguage(code);
      changed();
    },
  }, name)));
}

/**
 * Shows the way in. Resolves to an API with a session when it is found.
 *
 * `known` is the name of the account that was here before; `notice` says why one has to log in; `stays` is whether
 * *Keep me logged in* is ticked at first; `former` is whose session the browser still has.
 */
export function showLogin(root, { known = '', notice = '', stays = true, former = '' } = {}) {
  return new Promise((resolve) => {
    let isRegistering = false;
    let isRendered = false;
    const kept = { name: known, password: '', stay: stays, invite: '' };
    const render = () => {
      document.title = 'natter';
      fill(root, h('main', { class: 'entrance' }, form()));
      // With a notice, the next letters that are typed were meant for what was there before.
      const told = root.querySelector('.notice');
      (told && !isRendered ? told : kept.name && !isRegistering ? root.querySelector('[type=password]') : root.querySelector('input')).focus();
      isRendered = true;
    };
    const form = () => {
      const name = field(t('Name'), { name: 'username', autocomplete: 'username', required: true, maxlength: 64, value: kept.name }, isRegistering ? t('How others see you. It cannot be changed.') : '');
      const password = field(t('Password'), { name: 'password', type: 'password', required: true, value: kept.password, autocomplete: isRegistering ? 'new-password' : 'current-password' }, isRegistering ? t('At least 8 characters') : '');
      const invite = isRegistering ? field(t('Invitation code'), { name: 'invite', autocomplete: 'off', value: kept.invite }, t('If you were given one')) : null;
      const stayId = freshId();
      const stay = h('input', { type: 'checkbox', id: stayId, name: 'stay', checked: kept.stay, 'aria-describedby': `${stayId}-hint` });
      const failure = h('p', { class: 'error', role: 'alert' });
      const button = h('button', { type: 'submit', class: 'primary' }, isRegistering ? t('Create account') : t('Log in'));
      // Keyboards of phones add a space to a word, and no name has one.
      const keep = () => Object.assign(kept, { name: name.input.value.trim(), password: password.input.value, stay: stay.checked, invite: invite?.input.value ?? kept.invite });
      let asked = 0;
      const askIfFree = debounce(async () => {
        const wanted = name.input.value.trim();
        asked += 1;
        const mine = asked;
        if (!isRegistering || !wanted) return name.say('');
        try {
          const answer = await new API().get(path(['register'], { name: wanted }));
          if (mine !== asked) return undefined;
          if (answer.free) name.say(t('{name} is free', { name: answer.name }), false);
          else name.say(t('{name} is taken', { name: answer.name }));
          announce(answer.free ? t('{name} is free', { name: answer.name }) : t('{name} is taken', { name: answer.name }));
        } catch (error) {
          if (mine === asked && error instanceof Refusal && error.status === 422) name.say(errorText(error));
        }
        return undefined;
      }, 300);
      name.input.addEventListener('input', askIfFree);
      const submit = async () => {
        keep();
        failure.textContent = '';
        name.say('');
        password.say('');
        if (!kept.name) {
          name.say(t('Enter a name'));
          return name.input.focus();
        }
        if (!kept.password) {
          password.say(t('Enter a password'));
          return password.input.focus();
        }
        button.disabled = true;
        try {
          const body = { name: kept.name, password: kept.password };
          if (kept.stay) body.cookie = true;
          if (isRegistering && kept.invite) body.invite = kept.invite.trim();
          const answer = await new API().json('POST', isRegistering ? '/v1/register' : '/v1/login', body);
          kept.password = '';
          fill(root);
          resolve({ api: new API(answer.token) });
        } catch (error) {
          if (!(error instanceof Refusal)) throw error;
          const reason = errorText(error);
          if (error.code === 'name_taken' || error.code === 'bad_name') {
            name.say(reason);
            name.input.focus();
          } else if (error.code === 'weak_password') {
            password.say(reason);
            password.input.focus();
          } else {
            failure.textContent = `${isRegistering ? t('The account was not created:') : t('Not logged in:')} ${reason}`;
            if (error.code === 'registration_closed') invite?.input.focus();
            else password.input.focus();
          }
        } finally {
          button.disabled = false;
        }
        return undefined;
      };
      const other = h('button', { type: 'button', class: 'link', click: () => {
        keep();
        isRegistering = !isRegistering;
        render();
      } }, isRegistering ? t('I have an account: log in') : t('Create an account'));
      const back = former && h('button', { type: 'button', class: 'link', click: () => location.reload() }, t('Back to {name}', { name: line(former) }));
      return h('form', { class: 'card', submit, novalidate: true },
        h('h1', { class: 'brand' }, 'natter'), h('p', { class: 'where' }, location.host),
        notice && h('p', { class: 'notice', role: 'status', tabindex: '-1' }, notice),
        h('h2', null, isRegistering ? t('Create an account') : t('Log in')),
        name.element, password.element, invite?.element,
        h('div', { class: 'check' }, stay, h('label', { for: stayId }, t('Keep me logged in'), h('span', { class: 'hint', id: `${stayId}-hint` }, t('Otherwise only this tab, until it is closed or loaded again')))),
        failure, button, other, back,
        languageSwitch(() => {
          keep();
          render();
        }));
    };
    render();
  });
}
