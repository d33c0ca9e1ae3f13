/** @import {Customer, Page, Welcome} from "./types" */
/** @import {words as Words} from "./words.js" */

// Seconds for an answer.
const DEADLINE = 15;
// Seconds that a server may ask us to wait.
const LONGEST = 300;

/** Why a call did not bring what it should. */
export class ApiError extends Error {
  /**
   * @param {number} status of HTTP; 0: there was no answer, or none of our server
   * @param {string} detail for the person, in a sentence of the server's; see `why`
   * @param {number | null} retryAfter seconds that the server wants to be left alone
   * @param {boolean} gone there is no such session
   */
  constructor(status, detail = "", retryAfter = null, gone = false) {
    super(detail);
    this.status = status;
    this.detail = detail;
    this.retryAfter = retryAfter;
    this.gone = gone;
  }

  /** Whether the same may work later; 404 may be of a proxy whose server is away. */
  get passing() {
    const { status } = this;
    return !status || status >= 500 || [404, 408, 409, 425, 429].includes(status);
  }
}

/**
 * The error itself, if it is one of these; all others are faults of ours.
 *
 * @param {unknown} error
 * @param {Window & typeof globalThis} host
 */
export function asApiError(error, host) {
  if (error instanceof ApiError) return error;
  host.reportError(error);
  return new ApiError(0);
}

/**
 * What the person reads about it.
 *
 * @param {ApiError} error
 * @param {typeof Words} words
 */
export function why({ status, detail }, words) {
  return detail || (status ? words.refused(status) : words.unreachable);
}

/**
 * The object that a text is; else it was cut, or is of somebody on the way.
 *
 * @param {string} text
 * @returns {any}
 */
export function parsed(text) {
  try {
    const value = JSON.parse(text);
    if (Object(value) === value) return value;
  } catch {
    // as below
  }
  throw new ApiError(0);
}

/** The server's HTTP API, for one session. */
export class Api {
  /** @type {string | null} */
  session = null;
  #base;
  #host;
  // Milliseconds by which the server's clock is ahead.
  #ahead = 0;

  /**
   * @param {string} base the server's URL, which ends with a slash
   * @param {Window & typeof globalThis} host
   */
  constructor(base, host) {
    this.#base = base;
    this.#host = host;
  }

  /** The server's time, in seconds. */
  get now() {
    return (this.#host.Date.now() + this.#ahead) / 1000;
  }

  /** @returns {Promise<Welcome>} */
  welcome() {
    return this.#call("welcome", "services");
  }

  /** @returns {Promise<string>} the id of a new session */
  async open() {
    return (await this.#call("session/new", "session_id", {})).session_id;
  }

  /**
   * Resolves when the message is stored.
   *
   * @param {string} message
   * @param {string} message_id
   * @returns {Promise<number>} its number
   */
  async say(message, message_id) {
    const body = { message, message_id };
    return (await this.#call("session/@me/messages", "seq", body)).seq;
  }

  stop() {
    return this.#call("session/@me/stop", "status", {});
  }

  /**
   * @param {string} email
   * @param {string} pin
   * @returns {Promise<Customer>}
   */
  async login(email, pin) {
    const body = { email, pin };
    return (await this.#call("session/@me/login", "customer_info", body)).customer_info;
  }

  logout() {
    return this.#call("session/@me/logout", "status", {});
  }

  /**
   * The events behind a number, for as long as the connection lives.
   *
   * @param {number} after
   * @param {AbortSignal} signal
   */
  async stream(after, signal) {
    const response = await this.#fetch(`session/@me/events?after=${after}`, { signal });
    if (!/^text\/event-stream/.test(response.headers.get("content-type") ?? "")) {
      throw new ApiError(0);
    }
    return response;
  }

  /**
   * The next events behind a number.
   *
   * @param {number} after
   * @param {number} wait seconds, if there are none
   * @param {AbortSignal} signal
   * @returns {Promise<Page>}
   */
  poll(after, wait, signal) {
    const path = `session/@me/events?after=${after}&stream=false&wait=${wait}`;
    return this.#call(path, "events", undefined, wait + 10, signal);
  }

  /**
   * @param {string} path
   * @param {string} member that the answer has, if it is one of our server
   * @param {object} [body] is posted
   * @param {number} [seconds] until it is given up
   * @param {AbortSignal} [signal]
   * @returns {Promise<any>}
   */
  async #call(path, member, body, seconds = DEADLINE, signal) {
    const late = new AbortController();
    const abort = () => late.abort();
    const timer = this.#host.setTimeout(abort, seconds * 1000);
    signal?.addEventListener("abort", abort);
    try {
      const init = body && { method: "POST", body: JSON.stringify(body) };
      const response = await this.#fetch(path, { ...init, signal: late.signal });
      const answer = parsed(await response.text().catch(() => ""));
      if (answer[member] === undefined) throw new ApiError(0);
      return answer;
    } finally {
      this.#host.clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * @param {string} path
   * @param {RequestInit} init
   */
  async #fetch(path, init) {
    const headers = new Headers();
    if (init.body) headers.set("Content-Type", "application/json");
    if (this.session && path.includes("@me")) headers.set("Session-Id", this.session);
    const response = await this.#host
      .fetch(`${this.#base}api/${path}`, {
        ...init,
        headers,
        cache: "no-store",
        credentials: "omit",
      })
      .catch(() => {
        throw new ApiError(0);
      });
    const date = Date.parse(response.headers.get("date") ?? "");
    if (date) this.#ahead = date - this.#host.Date.now();
    if (response.ok) return response;
    const { status } = response;
    const text = await response.text().catch(() => "");
    const detail = /json/.test(response.headers.get("content-type") ?? "")
      ? String(parsed(text).detail ?? "")
      : "";
    const wait = Number.parseFloat(response.headers.get("retry-after") ?? "");
    throw new ApiError(
      status,
      detail,
      wait >= 0 ? Math.min(wait, LONGEST) : null,
      status === 404 && detail !== "",
    );
  }
}

/** When to try again: after twice as long each time, shortened at random. */
export class Backoff {
  failures = 0;
  #host;
  #timer = 0;
  #asked = false;
  #done = () => {};

  /** @param {Window & typeof globalThis} host */
  constructor(host) {
    this.#host = host;
  }

  /**
   * Resolves when another try is due.
   *
   * @param {ApiError} error of the try that failed
   * @returns {Promise<void>}
   */
  wait({ retryAfter }) {
    const most = Math.min(30, 0.5 * 2 ** this.failures++);
    const seconds = Math.max(retryAfter ?? 0, this.#host.Math.random() * most);
    this.#asked = Boolean(retryAfter);
    return new Promise((resolve) => {
      this.#done = resolve;
      this.#timer = this.#host.setTimeout(resolve, seconds * 1000);
    });
  }

  /** Try at once, unless the server asked to be left alone. */
  wake() {
    if (!this.#asked) this.end();
  }

  /** Wait no more. */
  end() {
    this.#host.clearTimeout(this.#timer);
    this.#done();
  }
}
