import { h, iconButton } from "./dom.js";

/** @import {words as Words} from "./words.js" */

/** What may hold a PIN, or be one; with an address it needs no word for it. */
const SECRET = /\bpin\b|^[^@]*@[^]*\d{4}|^\W*\d{4,8}\W*$/i;

/**
 * Where a message is written. What is written outlives a reload, until it is sent, if it
 * is no secret.
 */
export class Composer {
  #words;
  #key;
  #say;
  #text;
  #grow;
  #stop;
  #hint;
  #error = h("p", { id: "too-long", className: "error", role: "alert" });
  #count = h("p", { className: "count", ariaHidden: "true" });
  #limit = Infinity;

  /**
   * @param {typeof Words} words
   * @param {string} key Of the draft, in the tab's storage.
   * @param {{say(text: string): void, stop(): void}} act
   */
  constructor(words, key, { say, stop }) {
    this.#words = words;
    this.#key = key;
    this.#say = say;
    this.#text = h("textarea", {
      rows: 1,
      dir: "auto",
      placeholder: words.placeholder,
      enterKeyHint: "send",
      ariaLabel: words.message,
      "aria-describedby": "hint too-long",
      value: this.#draft(),
    });
    this.#text.oninput = () => this.#changed();
    this.#text.onkeydown = (event) => {
      // While an input method composes, Enter takes its proposal; Safari says 229 then.
      const composing = event.isComposing || event.keyCode === 229;
      if (event.key !== "Enter" || event.shiftKey || composing) return;
      event.preventDefault();
      this.#send();
    };
    // What grows is a copy of the text behind it: no key stroke asks for a layout.
    this.#grow = h("div", { className: "grow" }, this.#text);
    this.#stop = iconButton(words.stop, "M6 6h12v12H6z", { hidden: true });
    this.#stop.classList.add("quiet");
    this.#stop.onclick = () => {
      if (this.#stop.ariaDisabled) return;
      this.#stop.ariaDisabled = "true";
      stop();
    };
    const send = iconButton(words.send, "M12 19V5M6 11l6-6 6 6", { type: "submit" });
    send.classList.add("button");
    this.#hint = h("p", { id: "hint" }, words.hint);
    this.element = h(
      "form",
      { className: "composer", part: "composer" },
      h("div", { className: "row" }, this.#grow, this.#stop, send),
      h("div", { className: "notes" }, this.#hint, this.#error, this.#count),
    );
    this.element.onsubmit = (event) => {
      event.preventDefault();
      this.#send();
    };
    this.#changed();
  }

  focus() {
    this.#text.focus();
  }

  /**
   * @param {number} limit Characters of a message.
   * @param {boolean} answering There is something to stop.
   */
  status(limit, answering) {
    if (limit !== this.#limit) {
      this.#limit = limit;
      this.#changed();
    }
    if (answering !== this.#stop.hidden) return;
    // With a button that goes, the focus would fall out of the chat.
    if (this.#stop.matches(":focus")) this.focus();
    this.#stop.hidden = !answering;
    this.notStopped();
  }

  /** What was to be stopped was not, or is another: it may be tried again. */
  notStopped() {
    this.#stop.ariaDisabled = null;
  }

  #send() {
    const text = this.#text.value.trim();
    this.focus();
    if (!text || this.#left(text) < 0) return;
    this.#text.value = "";
    this.#changed();
    this.#say(text);
  }

  /** @param {string} text */
  #left(text) {
    // The server counts characters; JavaScript's `length` counts some of them twice.
    return this.#limit - [...text].length;
  }

  #changed() {
    const words = this.#words;
    const text = this.#text.value;
    this.#grow.dataset.text = text.slice(0, 2000);
    this.#draft(text);
    const left = this.#left(text.trim());
    const over = left < 0;
    const near = left < this.#limit / 10;
    this.#count.textContent = over ? words.over(-left) : near ? words.left(left) : "";
    // Said once, not again with every key.
    if (over === this.#hint.hidden) return;
    this.#hint.hidden = over;
    this.#error.textContent = over ? words.tooLong : "";
    this.#text.ariaInvalid = String(over);
  }

  /** @param {string} [text] To be kept; without it, what was kept is returned. */
  #draft(text) {
    try {
      if (text === undefined) return sessionStorage.getItem(this.#key) ?? "";
      sessionStorage.setItem(this.#key, SECRET.test(text) ? "" : text);
    } catch {
      // The storage is closed to us, or full: the draft lives in the page alone.
    }
    return "";
  }
}
