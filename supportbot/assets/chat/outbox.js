/** @import {Api} from "./api.js" */
/** @import {Keeping, Kept} from "./keeping.js" */
/** @import {words as Words} from "./words.js" */
import { Backoff, asApiError, why } from "./api.js";

// Milliseconds that another tab gets for its own messages.
const ELSEWHERE = 20000;

/**
 * What an outbox needs, and whom it tells.
 *
 * @typedef {object} Ends
 * @property {Api} api
 * @property {Keeping} keeping
 * @property {Window & typeof globalThis} host
 * @property {typeof Words} words
 * @property {() => Promise<void>} open sees to it that there is a session
 * @property {() => void} changed the list has
 * @property {() => void} stored a message was
 * @property {(session: string) => void} gone there is no such session any more
 */

/** Messages on their way to the server, one after the other, until they are stored. */
export class Outbox {
  /** @type {Kept[]} in the order in which they were said */
  list;
  #ends;
  #pause;
  #working = false;
  #closed = false;
  #timer = 0;

  /** @param {Ends} ends */
  constructor(ends) {
    this.#ends = ends;
    this.#pause = new Backoff(ends.host);
    this.list = ends.keeping.unsent;
  }

  /** @param {string} text */
  add(text) {
    const bytes = this.#ends.host.crypto.getRandomValues(new Uint8Array(16));
    const id = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    // Their order holds also where the clock is set back.
    const at = Math.max(this.#ends.host.Date.now(), (this.list.at(-1)?.at ?? 0) + 1);
    /** @type {Kept} */
    const message = { id, text: text.toWellFormed(), at, state: "sending", detail: "" };
    this.list.push(message);
    this.#put(message);
    this.work();
  }

  /**
   * The person wants this one sent, now.
   *
   * @param {Kept} message
   */
  retry(message) {
    message.state = "sending";
    message.detail = "";
    this.#put(message);
    this.#pause.end();
    this.work();
  }

  /** @param {string} id of one that is not wanted any more */
  remove(id) {
    this.#ends.keeping.drop(id);
    this.#forget(id);
  }

  /**
   * A message has reached the server.
   *
   * @param {string} id
   * @param {number} seq
   */
  stored(id, seq) {
    const message = this.#find(id);
    if (!message) return;
    message.stored = seq;
    this.#ends.keeping.put(message); // so that other tabs learn why it is dropped
    this.#ends.keeping.drop(id);
  }

  /**
   * What was told of the session.
   *
   * @param {number} seq all up to this number
   */
  told(seq) {
    for (const { id, stored } of this.list)
      if (stored && stored <= seq) this.#forget(id);
  }

  /**
   * The messages go to another session from now on. What may have reached the one
   * before is not said twice, unless the person wants it.
   *
   * @param {string | null} session
   */
  moved(session) {
    this.told(Infinity);
    for (const message of this.list) {
      if (message.state !== "failed" && (message.session ?? session) !== session) {
        this.#fail(message, this.#ends.words.unsure);
      }
    }
  }

  /**
   * A session is no more, nor is anything that was said there.
   *
   * @param {string} session
   */
  lost(session) {
    for (const message of this.list) {
      if (message.session === session) {
        message.session = null;
        this.#put(message);
      }
    }
  }

  /**
   * Another tab has put a message, or dropped it. It sends its own, while it is open.
   *
   * @param {string} id
   * @param {Kept | null} message
   */
  heard(id, message) {
    const known = this.#find(id);
    if (!message) {
      // Of one that is stored, the session's events will tell.
      const stored = known?.stored && known.session === this.#ends.api.session;
      if (!stored) this.#forget(id);
      return;
    }
    if (known) Object.assign(known, message);
    else this.list.push(message);
    this.list.sort((one, other) => one.at - other.at);
    this.#ends.changed();
    this.#ends.host.clearTimeout(this.#timer);
    this.#timer = this.#ends.host.setTimeout(() => this.work(), ELSEWHERE);
  }

  /** Something has changed for the better: try now. */
  wake() {
    this.#pause.wake();
    this.work();
  }

  close() {
    this.#closed = true;
    this.#ends.host.clearTimeout(this.#timer);
    this.#pause.end();
  }

  /** Send what there is, if that is not being done. */
  async work() {
    if (this.#working) return;
    this.#working = true;
    for (let next; !this.#closed && (next = this.#next);) {
      this.#mark("sending");
      await this.#send(next);
    }
    this.#working = false;
  }

  /** @param {string} id */
  #find(id) {
    return this.list.find((one) => one.id === id);
  }

  get #next() {
    return this.list.find(({ state, stored }) => state !== "failed" && !stored);
  }

  /** @param {Kept} message */
  async #send(message) {
    let session = null;
    try {
      await this.#ends.open();
      session = this.#ends.api.session;
      if (this.#closed || this.#next !== message) return;
      if (message.session !== session) {
        message.session = session;
        this.#ends.keeping.put(message);
      }
      const seq = await this.#ends.api.say(message.text, message.id);
      this.#pause.failures = 0;
      this.stored(message.id, seq);
      if (session !== this.#ends.api.session) this.#forget(message.id);
      this.#ends.stored();
    } catch (caught) {
      const { host, words } = this.#ends;
      const error = asApiError(caught, host);
      if (this.#closed) return;
      if (error.gone && session) this.#ends.gone(session);
      else if (session !== this.#ends.api.session || !this.list.includes(message))
        return;
      else if (!error.passing) return this.#fail(message, why(error, words));
      this.#mark("waiting");
      await this.#pause.wait(error);
    }
  }

  /** @param {"sending" | "waiting"} state */
  #mark(state) {
    for (const message of this.list) {
      if (message.state !== "failed" && !message.stored) message.state = state;
    }
    this.#ends.changed();
  }

  /**
   * @param {Kept} message
   * @param {string} detail
   */
  #fail(message, detail) {
    message.state = "failed";
    message.detail = detail;
    this.#put(message);
  }

  /** @param {Kept} message */
  #put(message) {
    this.#ends.keeping.put(message);
    this.#ends.changed();
  }

  /** @param {string} id */
  #forget(id) {
    this.list = this.list.filter((one) => one.id !== id);
    this.#ends.changed();
  }
}
