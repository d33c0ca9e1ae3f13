/** @import {Api} from "./api.js" */
/** @import {Connection, Event} from "./types" */
import { ApiError, Backoff, asApiError, parsed } from "./api.js";
import { EventStream } from "./sse.js";

// Milliseconds in which a stream shows that it comes through.
const FIRST = 5000;
// Of a stream that is dead; the server says something every 10 s.
const SILENCE = 25000;
// Of silence that is suspicious to somebody who looks.
const STALE = 12000;
// For which the connection of a tab that nobody sees stays.
const HIDDEN = 30000;
// Until streams are tried again.
const BUFFERED = 300000;
// Seconds that a poll waits.
const LONG = 25;

/**
 * What a link needs, and whom it tells.
 *
 * @typedef {object} Ends
 * @property {Api} api has the session
 * @property {Window & typeof globalThis} host
 * @property {() => number} after the number of the newest event that was told
 * @property {() => boolean} busy whether somebody waits for an answer
 * @property {(events: Event[]) => void} events the next ones
 * @property {(text: string, whole: boolean) => void} delta of the growing paragraph;
 *   whole: from its beginning
 * @property {(text: string) => void} notice
 * @property {(how: Connection) => void} connection
 * @property {() => void} caughtUp what was there at the beginning has been told
 * @property {() => void} gone there is no such session any more
 */

/** Follows one session, whatever happens to the connection. */
export class Link {
  #ends;
  #caughtUp;
  #pause;
  #closed = false;
  // The page is left, and may come back.
  #parked = false;
  // Nobody has seen the page for a while.
  #quiet = false;
  // Streams don't come through.
  #buffered = false;
  // Whether they do has to be seen.
  #suspect = false;
  #attempt = new AbortController();
  // When the server last said something.
  #heard = 0;
  #hush = 0;
  #again = 0;
  #rise = () => {};

  /**
   * @param {Ends} ends
   * @param {boolean} fresh nothing was said in the session yet
   */
  constructor(ends, fresh) {
    this.#ends = ends;
    this.#caughtUp = fresh;
    this.#pause = new Backoff(ends.host);
  }

  /** Follow, until it is closed or the session is gone. */
  async run() {
    const { host } = this.#ends;
    this.look();
    while (!this.#closed) {
      if (this.#resting) {
        await this.#rest();
        continue;
      }
      this.#attempt = new AbortController();
      this.#heard = host.Date.now();
      const probing = this.#suspect;
      const polls = this.#buffered || probing || !this.#caughtUp;
      try {
        await (polls ? this.#poll() : this.#stream());
      } catch (error) {
        const known = this.#closed || this.#resting || (this.#suspect && !probing);
        if (!known) await this.#failed(asApiError(error, host));
      }
    }
  }

  close() {
    this.#closed = true;
    this.#ends.host.clearTimeout(this.#hush);
    this.#ends.host.clearTimeout(this.#again);
    this.#attempt.abort();
    this.#pause.end();
    this.#rise();
  }

  /** Something has changed for the better: try now. */
  wake() {
    const silence = Math.abs(this.#ends.host.Date.now() - this.#heard);
    if (silence > STALE) this.drop();
    this.#pause.wake();
    this.#rise();
  }

  /** The connection is of no use. */
  drop() {
    this.#attempt.abort();
  }

  /** @param {boolean} parked the page is left: nothing may be under way; or is back */
  park(parked) {
    this.#parked = parked;
    if (parked) this.drop();
  }

  /** Look whether the page can be seen. */
  look() {
    const { host } = this.#ends;
    this.#quiet = false;
    host.clearTimeout(this.#hush);
    if (host.document.visibilityState === "hidden") {
      this.#hush = host.setTimeout(() => (this.#quiet = true), HIDDEN);
    }
  }

  /** Whether nobody needs the connection, of which browsers allow but a few. */
  get #resting() {
    return this.#parked || (this.#quiet && this.#caughtUp && !this.#ends.busy());
  }

  async #rest() {
    this.#ends.connection("idle");
    await new Promise((resolve) => (this.#rise = () => resolve(null)));
    if (!this.#closed) this.#ends.connection("connecting");
  }

  async #poll() {
    const { api, host, after, notice } = this.#ends;
    const { signal } = this.#attempt;
    const most = this.#pause.failures ? 1 : LONG;
    const wait = this.#caughtUp && !this.#suspect ? most : 0;
    const page = await api.poll(after(), wait, signal);
    if (signal.aborted) return;
    const took = host.Date.now() - this.#heard;
    if (!page.events.length && !page.notice && took < wait * 900) {
      // It did not wait. Asking on and on would keep both busy.
      throw new ApiError(0);
    }
    this.#pause.failures = 0;
    if (this.#suspect) {
      this.#suspect = false;
      this.#buffered = true;
      this.#again = host.setTimeout(() => (this.#buffered = false), BUFFERED);
    }
    if (this.#buffered) this.#ends.connection("polling");
    this.#told(page.events);
    if (page.notice) notice(page.notice);
    if (!this.#caughtUp && !page.more) {
      this.#caughtUp = true;
      this.#ends.caughtUp();
    }
  }

  async #stream() {
    const { api, host, after } = this.#ends;
    const { signal } = this.#attempt;
    const stream = new EventStream();
    const decoder = new TextDecoder();
    let reads = 0;
    const silent = () => {
      this.#suspect = reads < 2;
      this.drop();
    };
    let timer = host.setTimeout(silent, FIRST);
    try {
      const response = await api.stream(after(), signal);
      const reader = /** @type {ReadableStream} */ (response.body).getReader();
      // So is the first delta of a stream.
      let whole = true;
      while (!this.#resting) {
        const { value } = await reader.read().catch(() => {
          throw new ApiError(0);
        });
        if (!value || signal.aborted) throw new ApiError(0);
        this.#heard = host.Date.now();
        host.clearTimeout(timer);
        timer = host.setTimeout(silent, reads++ ? SILENCE : FIRST);
        if (reads > 1) this.#pause.failures = 0;
        this.#ends.connection("live");
        /** @type {Event[]} Those that came together are told together. */
        const events = [];
        for (const { event, data } of stream.feed(
          decoder.decode(value, { stream: true }),
        )) {
          const told = parsed(data);
          if (!["end", "notice", "delta"].includes(event)) {
            events.push(told);
            continue;
          }
          this.#told(events.splice(0));
          if (this.#closed) return;
          if (event === "end") throw new ApiError(404, "", null, true);
          if (event === "notice") this.#ends.notice(told.text);
          else if (event === "delta") {
            this.#ends.delta(told.text, whole);
            whole = false;
          }
        }
        this.#told(events);
      }
    } finally {
      host.clearTimeout(timer);
      this.drop();
    }
  }

  /** @param {Event[]} events */
  #told(events) {
    if (!events.length || this.#closed) return;
    this.look();
    this.#ends.events(events);
  }

  /** @param {ApiError} error */
  async #failed(error) {
    this.#suspect = false;
    if (error.gone) {
      this.close();
      this.#ends.gone();
      return;
    }
    const waiting = this.#pause.wait(error);
    const lasting = this.#pause.failures > 1 || error.retryAfter;
    if (lasting || !this.#ends.host.navigator.onLine) this.#ends.connection("waiting");
    await waiting;
  }
}
