/** @import {Connection, Customer, Event, Exchange, Proposal} from "./types" */
/** @import {Unsent, View, Welcome} from "./types" */
import { Api, Backoff, asApiError, why } from "./api.js";
import { Keeping } from "./keeping.js";
import { Link } from "./link.js";
import { Outbox } from "./outbox.js";
import { Transcript } from "./transcript.js";
import { words as english } from "./words.js";

/** One customer's conversation with the server: what the page shows, and can do. */
export class Conversation {
  /** @type {Welcome | null} */
  welcome = null;
  /** Whether all that was said before is shown. */
  caughtUp = true;
  /** What can be said about the answer under way. */
  notice = "";
  #host;
  #words;
  #api;
  #keeping;
  #outbox;
  #greeting;
  /** @type {View | null} none when it is closed */
  #view;
  #transcript = new Transcript();
  /** @type {Link | null} */
  #link = null;
  /** @type {Connection} */
  #connection = "idle";
  #listening = new AbortController();
  #expiry = 0;

  /**
   * @param {object} of
   * @param {string} of.base the server's URL, which ends with a slash
   * @param {string | null} [of.session] to begin with
   * @param {View} of.view
   * @param {typeof english} [of.words]
   * @param {Window & typeof globalThis} [of.host]
   */
  constructor({ base, session = null, view, words = english, host = window }) {
    this.#host = host;
    this.#words = words;
    this.#view = view;
    this.#api = new Api(base, host);
    this.#keeping = new Keeping(base, session, host);
    this.#greeting = new Backoff(host);
    this.#outbox = new Outbox({
      api: this.#api,
      keeping: this.#keeping,
      host,
      words,
      open: () => this.#open(),
      changed: () => this.#view?.unsent(),
      stored: () => {
        this.#outbox.told(this.#transcript.seq);
        this.#link?.wake();
      },
      gone: (gone) => this.#gone(gone),
    });
  }

  /** @returns {Exchange[]} */
  get exchanges() {
    return this.#transcript.exchanges;
  }

  /** @returns {Unsent[]} */
  get unsent() {
    return this.#outbox.list;
  }

  /** @returns {Connection} */
  get connection() {
    const works = this.#connection === "live" || this.#connection === "polling";
    return works || this.#host.navigator.onLine ? this.#connection : "offline";
  }

  /** @returns {Exchange | null} whose reply is under way */
  get answering() {
    return this.#transcript.answering;
  }

  /** How many messages are stored, and no service has begun to answer. */
  get waiting() {
    return this.exchanges.filter(({ reply }) => !reply).length;
  }

  /** @returns {Customer | null} who is logged in */
  get customer() {
    return this.#transcript.loggedIn(this.#api.now, this.#loginSeconds);
  }

  /** @returns {Proposal | null} the order that waits for a yes */
  get proposal() {
    const seconds = this.welcome?.proposal_seconds ?? 0;
    return this.customer && this.#transcript.proposal(this.#api.now, seconds);
  }

  get session() {
    return this.#api.session;
  }

  /**
   * What people know a service by; its name, where the server tells no other.
   *
   * @param {string} service
   */
  titleOf(service) {
    return this.welcome?.services[service] ?? service;
  }

  /** Show what there is, and what comes. */
  start() {
    const host = this.#host;
    const { document } = host;
    const { signal } = this.#listening;
    const wake = () => this.#wake();
    host.addEventListener("online", wake, { signal });
    host.addEventListener("offline", () => this.#drop(), { signal });
    host.addEventListener("pagehide", () => this.#link?.park(true), { signal });
    host.addEventListener("pageshow", (event) => this.#back(event), { signal });
    host.addEventListener("storage", (event) => this.#heard(event), { signal });
    document.addEventListener("visibilitychange", () => this.#looked(), { signal });
    this.#move(this.#keeping.session);
    this.#outbox.work();
    this.#greet();
  }

  /** Do no more; the view is not told anything from here on. */
  close() {
    this.#view = null;
    this.#listening.abort();
    this.#link?.close();
    this.#outbox.close();
    this.#greeting.end();
    this.#host.clearTimeout(this.#expiry);
  }

  /** @param {string} text */
  say(text) {
    this.#outbox.add(text);
  }

  /**
   * Ask once more, or send it once more.
   *
   * @param {Exchange | Unsent} one
   */
  retry(one) {
    if ("state" in one) this.#outbox.retry(one);
    else if (one.reply?.outcome === "stopped") this.say(one.text);
    else this.#ask(() => this.#api.say(one.text, one.messageId));
  }

  /** @param {Unsent} unsent is not to be sent any more */
  remove(unsent) {
    this.#outbox.remove(unsent.id);
  }

  /** Stop the answer under way. */
  stop() {
    this.#ask(() => this.#api.stop());
  }

  /**
   * Resolves when the customer is logged in.
   *
   * @param {string} email
   * @param {string} pin
   * @returns {Promise<void>} rejects with ApiError
   */
  async login(email, pin) {
    let session = null;
    try {
      await this.#open();
      session = this.session;
      await this.#api.login(email, pin);
    } catch (caught) {
      const error = asApiError(caught, this.#host);
      if (error.gone) this.#gone(session);
      throw error;
    }
  }

  logout() {
    this.#ask(() => this.#api.logout());
  }

  /** Begin a new conversation, in all tabs. */
  renew() {
    this.#keeping.session = null;
    this.#move(null);
    this.#outbox.wake();
  }

  get #loginSeconds() {
    return this.welcome?.login_seconds ?? 900;
  }

  async #greet() {
    while (this.#view && !this.welcome) {
      try {
        this.welcome = await this.#api.welcome();
        this.#changed();
      } catch (caught) {
        const error = asApiError(caught, this.#host);
        if (this.#view) await this.#greeting.wait(error);
      }
    }
  }

  /** @param {() => Promise<unknown>} call what the person wishes of this session */
  async #ask(call) {
    const { session } = this;
    try {
      if (session) await call();
    } catch (caught) {
      const error = asApiError(caught, this.#host);
      if (error.gone) this.#gone(session);
      else this.#view?.failed(why(error, this.#words));
    }
  }

  // The session

  /** See to it that there is one; several tabs open one together. */
  async #open() {
    if (this.session) return;
    const { locks } = this.#host.navigator;
    let fresh = false;
    const open = async () => {
      const kept = this.#keeping.session;
      if (kept) return kept;
      const id = await this.#api.open();
      // Without locks, as in pages that came without TLS, another tab may be faster.
      const other = this.#keeping.session;
      if (other) return other;
      fresh = true;
      return (this.#keeping.session = id);
    };
    const locked = locks?.request(this.#keeping.lock, open).catch((error) => {
      // Where a page may keep nothing, as in some frames, it may have no locks either.
      if (error.name !== "SecurityError") throw error;
      return open();
    });
    const session = await (locked ?? open());
    if (this.#view && !this.session) this.#move(session, fresh);
  }

  /**
   * Show another session.
   *
   * @param {string | null} session
   * @param {boolean} fresh nothing was said there
   */
  #move(session, fresh = false) {
    const { exchanges, growing } = this.#transcript;
    this.#link?.close();
    this.#link = null;
    this.#api.session = session;
    this.#transcript = new Transcript();
    this.#outbox.moved(session);
    this.notice = "";
    this.caughtUp = fresh || !session;
    this.#connection = session ? "connecting" : "idle";
    if (exchanges.length) this.#view?.cleared();
    if (growing) this.#view?.growing("");
    if (session) this.#follow(fresh);
    this.#changed();
  }

  /** @param {boolean} fresh */
  #follow(fresh) {
    const ends = {
      api: this.#api,
      host: this.#host,
      after: () => this.#transcript.seq,
      busy: () => Boolean(this.answering || this.waiting || this.unsent.length),
      events: (/** @type {Event[]} */ events) => this.#events(events),
      delta: (/** @type {string} */ text, /** @type {boolean} */ whole) => {
        this.#transcript.delta(text, whole);
        this.#view?.growing(this.#transcript.growing);
      },
      notice: (/** @type {string} */ text) => {
        this.notice = text;
        this.#view?.status();
      },
      connection: (/** @type {Connection} */ how) => this.#connected(how),
      caughtUp: () => {
        this.caughtUp = true;
        this.#view?.status();
      },
      gone: () => this.#gone(this.session),
    };
    this.#link = new Link(ends, fresh);
    this.#link.run();
  }

  /** @param {string | null} gone a session that does not exist any more */
  #gone(gone) {
    if (!gone) return;
    this.#outbox.lost(gone);
    if (this.#keeping.session === gone) this.#keeping.session = null;
    if (this.session !== gone) return;
    this.#move(null);
    this.#view?.failed(this.#words.gone);
  }

  // What the link tells

  /** @param {Event[]} events */
  #events(events) {
    const transcript = this.#transcript;
    const { growing } = transcript;
    for (const event of events) {
      const change = transcript.apply(event);
      if (!change) continue;
      if (change.cleared) this.#view?.cleared();
      if (change.exchange) this.#view?.exchange(change.exchange);
      if (event.type !== "customer_said") this.notice = "";
      else this.#outbox.stored(event.message_id, event.seq);
    }
    this.#outbox.told(transcript.seq);
    if (growing && !transcript.growing) this.#view?.growing("");
    this.#changed();
  }

  /** @param {Connection} how */
  #connected(how) {
    if (how === this.#connection) return;
    this.#connection = how;
    if (how === "live" || how === "polling") this.#wake();
    else this.#view?.status();
  }

  /** Anything but what was said has changed, or will with time. */
  #changed() {
    this.#view?.status();
    this.#host.clearTimeout(this.#expiry);
    const ends = [];
    if (this.customer) ends.push(this.#transcript.heard + this.#loginSeconds);
    const proposed = this.proposal;
    if (proposed) ends.push(proposed.at + (this.welcome?.proposal_seconds ?? 0));
    if (!ends.length || !this.#view) return;
    const left = (Math.min(...ends) - this.#api.now) * 1000 + 1;
    // No timer can take longer than 2 ** 31 ms.
    this.#expiry = this.#host.setTimeout(() => this.#changed(), Math.min(left, 2e9));
  }

  // What the browser tells

  #wake() {
    this.#link?.wake();
    this.#outbox.wake();
    this.#greeting.wake();
    this.#view?.status();
  }

  #drop() {
    this.#link?.drop();
    this.#view?.status();
  }

  #looked() {
    this.#link?.look();
    if (this.#host.document.visibilityState === "visible") this.#wake();
  }

  /** @param {PageTransitionEvent} event */
  #back({ persisted }) {
    // What other tabs did meanwhile was not told.
    const { session } = this.#keeping;
    if (persisted && session && session !== this.session) this.#move(session);
    this.#link?.park(false);
    this.#wake();
  }

  /** @param {StorageEvent} event */
  #heard(event) {
    this.#keeping.heard(
      event,
      (session) => session !== this.session && this.#move(session),
      (id, message) => this.#outbox.heard(id, message),
    );
    this.#outbox.told(this.#transcript.seq);
  }
}
