/** @import {Customer, Event, Exchange, Proposal} from "./types" */

/** How replies end; what newer servers add to that is taken for the last. */
const OUTCOMES = ["complete", "cut", "stopped", "refused", "failed"];

/** What a session's events say. */
export class Transcript {
  /** Number of the newest event. */
  seq = 0;
  /** @type {Exchange[]} */
  exchanges = [];
  /** The paragraph that grows, as far as it has come. */
  growing = "";
  /** @type {Exchange | null} whose reply is under way */
  answering = null;
  /** When the customer last said something, or logged in; seconds. */
  heard = 0;
  /** @type {Map<number, Exchange>} */
  #bySeq = new Map();
  /** @type {(Customer & {id: string}) | null} */
  #customer = null;
  // The longest time between two such moments, since they logged in.
  #silence = 0;
  /** @type {(Proposal & {customer: string}) | null} */
  #proposal = null;

  /**
   * The next event.
   *
   * @param {Event} event
   * @returns {{exchange?: Exchange, cleared?: boolean} | null} what it has changed of
   *   what was said; null if it was known already
   */
  apply(event) {
    if (!(event.seq > this.seq)) return null;
    this.seq = event.seq;
    if (event.type !== "customer_said") this.growing = "";
    const under = this.answering;
    const reply = under?.reply;
    switch (event.type) {
      case "customer_said": {
        const { seq, message_id, text, at } = event;
        const exchange = { seq, messageId: message_id, text, at, reply: null };
        this.exchanges.push(exchange);
        this.#bySeq.set(seq, exchange);
        this.#silence = Math.max(this.#silence, Math.abs(at - this.heard));
        this.heard = at;
        this.#proposal = null;
        return { exchange };
      }
      case "reply_started":
        this.#proposal = null;
        return this.#started(event.to, event.seq, event.service);
      case "paragraph_said":
        reply?.paragraphs.push({ text: event.text, format: event.format });
        return under ? { exchange: under } : {};
      case "reply_revised":
        reply?.paragraphs.splice(event.keep);
        return under ? { exchange: under } : {};
      case "reply_ended": {
        const { detail } = event;
        const outcome = OUTCOMES.includes(event.outcome) ? event.outcome : "failed";
        this.answering = null;
        if (reply) Object.assign(reply, { outcome, detail });
        return under ? { exchange: under } : {};
      }
      case "customer_verified": {
        const { customer_id: id, name, email, at } = event;
        if (this.#proposal?.customer !== id) this.#proposal = null;
        this.#customer = { id, name, email };
        this.heard = at;
        this.#silence = 0;
        return {};
      }
      case "order_proposed": {
        const { lines, total, at, customer_id } = event;
        this.#proposal = { lines, total, at, customer: customer_id };
        return {};
      }
      case "order_sent":
        this.#proposal = null;
        return {};
      case "conversation_reset":
        this.exchanges = [];
        this.#bySeq.clear();
        this.answering = this.#customer = this.#proposal = null;
        return { cleared: true };
      case "customer_logged_out":
        this.#customer = this.#proposal = null;
    }
    return {};
  }

  /**
   * The growing paragraph goes on.
   *
   * @param {string} text
   * @param {boolean} whole it is all of it so far
   */
  delta(text, whole) {
    this.growing = whole ? text : this.growing + text;
  }

  /**
   * Who the customer has proven to be, and until when that holds.
   *
   * @param {number} now seconds of UTC
   * @param {number} seconds for which a customer stays logged in
   */
  loggedIn(now, seconds) {
    const fresh = Math.max(this.#silence, Math.abs(now - this.heard)) <= seconds;
    return fresh ? this.#customer : null;
  }

  /**
   * The order that waits for a yes, unless it is too old.
   *
   * @param {number} now
   * @param {number} seconds
   */
  proposal(now, seconds) {
    const one = this.#proposal;
    return one && Math.abs(now - one.at) <= seconds ? one : null;
  }

  /**
   * @param {number} to
   * @param {number} seq
   * @param {string} service
   */
  #started(to, seq, service) {
    const exchange = (this.answering = this.#bySeq.get(to) ?? null);
    if (!exchange) return {};
    exchange.reply = { seq, service, paragraphs: [], outcome: null, detail: "" };
    return { exchange };
  }
}
