// Requests to the server. Everything that the page knows comes through here, by the public API.

/** A refusal of the server, or no answer at all (status 0). */
export class Refusal extends Error {
  constructor(status, code, message, retryAfter = 0) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may succeed later. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  /** Milliseconds before the next try, after so many failures: as long as the server says, and longer with each, to 30 s. */
  pauseAfter(failures) {
    const most = Math.min(30_000, 500 * 2 ** Math.min(failures, 6));
    return Math.max(this.retryAfter * 1000, most * (0.5 + Math.random() / 2));
  }
}

export const ordinaryTimeout = 30_000;
const fileTimeout = 600_000;

export class API {
  /** Only in this object's memory, if the session belongs to this tab alone; else the browser has a cookie. */
  #token;

  constructor(token) {
    this.#token = token ?? null;
    this.store = '';
    /** Whose session it must be. Another tab may have given the browser's cookie to somebody else. */
    this.user = null;
    /** Called when the session has ended. */
    this.onExpired = null;
  }

  get isTabOnly() {
    return this.#token !== null;
  }

  /** Sends a request. Resolves to the response if its status is 2xx. */
  async send(method, path, { body, bytes, signal, timeout = ordinaryTimeout, headers = {} } = {}) {
    const all = { Accept: 'application/json', ...headers };
    if (this.#token) all.Authorization = `Bearer ${this.#token}`;
    else if (this.user !== null) all['Natter-User'] = encodeURIComponent(this.user);
    if (method !== 'GET') all['Natter-Request'] = '1';
    if (body !== undefined) all['Content-Type'] = 'application/json';
    if (bytes) all['Content-Type'] = 'application/octet-stream';
    const limit = AbortSignal.timeout(timeout);
    let response;
    try {
      response = await fetch(path, {
        method, headers: all, body: bytes ?? (body === undefined ? undefined : JSON.stringify(body)), cache: 'no-store',
        // With a token of this tab, another account's cookie must not be sent.
        credentials: this.#token ? 'omit' : 'same-origin',
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Refusal(0, 'not_reached', 'the server cannot be reached');
    }
    this.store = response.headers.get('Natter-Store') ?? this.store;
    if (response.ok) return response;
    const answer = await response.json().catch(() => ({}));
    const refusal = new Refusal(
      response.status, answer.error?.code ?? 'unknown', answer.error?.message ?? response.statusText,
      Number(response.headers.get('Retry-After')) || 0);
    refusal.phrase = answer.error?.phrase;
    if (refusal.code === 'unauthorized' || refusal.code === 'token_expired') this.onExpired?.();
    throw refusal;
  }

  async json(method, path, body, options) {
    const response = await this.send(method, path, { body, ...options });
    try {
      return await response.json();
    } catch (error) {
      if (options?.signal?.aborted) throw error;
      throw new Refusal(0, 'not_reached', 'the answer is incomplete');
    }
  }

  get(path, options) {
    return this.json('GET', path, undefined, options);
  }

  /** The bytes of a file. */
  async file(id) {
    const response = await this.send('GET', `/v1/files/${id}`, { timeout: fileTimeout, headers: { Accept: '*/*' } });
    try {
      return await response.blob();
    } catch {
      throw new Refusal(0, 'not_reached', 'the answer is incomplete');
    }
  }

  /** Uploads bytes for a message to a conversation. Resolves to what names them in that message. */
  async upload(conversation, id, name, bytes, signal) {
    const { conversation_id } = meant(conversation, id);
    const answer = await this.json('POST', path(['conversations', conversation, 'files'], { name, conversation_id }), undefined, { bytes, signal, timeout: fileTimeout });
    return answer.upload;
  }

  /** The objects of an NDJSON answer. */
  async lines(path, options) {
    const response = await this.send('GET', path, { ...options, headers: { ...options?.headers, Accept: 'application/x-ndjson' } });
    let text;
    try {
      text = await response.text();
      return text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
    } catch (error) {
      if (options?.signal?.aborted) throw error;
      throw new Refusal(0, 'not_reached', 'the answer is incomplete');
    }
  }
}

/** A path of encoded segments and a query; fields without a value are left out. */
export function path(segments, query = {}) {
  const fields = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const text = fields.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
  return `/v1/${segments.map(encodeURIComponent).join('/')}${text ? `?${text}` : ''}`;
}

/**
 * The fields that say which conversation is meant. A group's id, because it may have another name by now, and another group
 * its name. One with a person has no id before its first message, and its name lasts.
 */
export function meant(conversation, id) {
  return { conversation, conversation_id: conversation.startsWith('@') ? undefined : id };
}

/** A new idempotency key. */
export function freshKey() {
  return `page-${Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}
