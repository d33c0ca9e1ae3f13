import { h, icon, iconButton } from "./dom.js";

/** @import {Conversation} from "./conversation.js" */
/** @import {words as Words} from "./words.js" */

/** Milliseconds after which a lost connection is spoken of: most are back before. */
const PATIENCE = 2000;
/** Milliseconds for which something that has happened is told. */
const TOLD = 5000;

/** One line of what goes on, and above it what went wrong last. */
export class StatusLine {
  #words;
  #conversation;
  #text = h("p", { role: "status", dir: "auto" });
  #error = h("p", { role: "alert", dir: "auto" });
  #alert;
  #dismissed;
  #told = "";
  #forgetting = 0;
  #losing = 0;
  #lost = false;
  #failing = false;

  /**
   * @param {typeof Words} words
   * @param {Conversation} conversation
   * @param {() => void} dismissed The error goes, and had the focus.
   */
  constructor(words, conversation, dismissed) {
    this.#words = words;
    this.#conversation = conversation;
    const onclick = () => this.failed("");
    this.#dismissed = dismissed;
    this.#alert = h(
      "div",
      { className: "alert", part: "alert", hidden: true },
      icon("M12 8v5M12 16.5v.01M12 3a9 9 0 1 0 .01 0z"),
      this.#error,
      iconButton(words.dismiss, "M6 6l12 12M18 6L6 18", { onclick }),
    );
    const line = h("div", { className: "status", part: "status" }, this.#text);
    this.element = h("div", {}, this.#alert, line);
  }

  /** Tells what goes on now. */
  status() {
    const { connection } = this.#conversation;
    if (connection === "connecting" || connection === "waiting") {
      this.#failing ||= connection === "waiting";
      this.#losing ||= setTimeout(() => {
        this.#lost = true;
        this.status();
      }, PATIENCE);
    } else {
      // What could not be done then can be now.
      if (this.#losing && this.#error.textContent === this.#words.unreachable) {
        this.failed("");
      }
      clearTimeout(this.#losing);
      this.#losing = 0;
      this.#lost = this.#failing = false;
    }
    const line = this.#line();
    // The same line set anew would be read again.
    if (this.#text.textContent !== line) this.#text.textContent = line;
  }

  /** @param {string} line Has happened; told for some seconds. */
  tell(line) {
    this.#told = line;
    clearTimeout(this.#forgetting);
    this.#forgetting = setTimeout(() => {
      this.#told = "";
      this.status();
    }, TOLD);
    this.status();
  }

  /** @param {string} why What went wrong, to stay until it is dismissed; or empty. */
  failed(why) {
    if (!why && this.#alert.matches(":focus-within")) this.#dismissed();
    this.#error.textContent = why;
    this.#alert.hidden = !why;
  }

  /** Ends the timers. */
  close() {
    clearTimeout(this.#forgetting);
    clearTimeout(this.#losing);
  }

  #line() {
    const words = this.#words;
    const { answering, connection, notice, waiting } = this.#conversation;
    if (connection === "offline") return words.offline;
    if (this.#lost) return this.#failing ? words.reconnecting : words.connecting;
    if (this.#told) return this.#told;
    if (!answering) return "";
    const inLine = waiting ? words.inLine(waiting) : "";
    const service = answering.reply?.service ?? "";
    const title = this.#conversation.titleOf(service);
    return `${notice || words.answering(title)} ${inLine}`.trim();
  }
}
