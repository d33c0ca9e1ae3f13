import { Frame } from "./frame.js";
import { aboveKeyboard } from "./keyboard.js";
import { style } from "./style.js";
import { words } from "./words.js";

/** @typedef {Partial<typeof words>} Words */

const sheet = new CSSStyleSheet();
sheet.replaceSync(style);

/**
 * `<support-chat>`: a chat with a supportbot, as large as the place that it is put in.
 *
 * Attributes: `base`, the server's address, else the one that this module came from;
 * `session`, to show that conversation in place of the one that this browser keeps;
 * `heading`, in place of the server's title; `theme`, "light" or "dark", else as the
 * person likes it. Each change of the first three begins the element anew; what is said
 * stays.
 *
 * Fires `support-chat-unread`, whose `detail` is the number of replies that have ended
 * since the element was last seen.
 */
export class SupportChat extends HTMLElement {
  static observedAttributes = ["base", "session", "heading"];

  /**
   * Words in place of the English ones, by their names; they count from when the
   * element is put into a page. They may have been set before this class was there.
   *
   * @type {Words}
   */
  words = Reflect.get(this, "words");
  /** @type {Frame | null} While the element is in a page. */
  #frame = null;
  #root = this.attachShadow({ mode: "open" });
  #gone = new AbortController();
  #shown = false;
  #unread = 0;

  connectedCallback() {
    this.#root.adoptedStyleSheets = [sheet];
    this.#gone = new AbortController();
    const { signal } = this.#gone;
    const observer = new IntersectionObserver((entries) => {
      this.#shown = entries.at(-1)?.isIntersecting ?? false;
      this.#count(this.#unread);
    });
    observer.observe(this);
    signal.onabort = () => observer.disconnect();
    const looked = () => this.#count(this.#unread);
    document.addEventListener("visibilitychange", looked, { signal });
    aboveKeyboard(this, signal);
    this.#begin();
  }

  disconnectedCallback() {
    this.#gone.abort();
    this.#frame?.close();
    this.#frame = null;
  }

  attributeChangedCallback() {
    if (this.#frame) this.#begin();
  }

  /**
   * Goes to where a message is written.
   *
   * @override
   */
  focus() {
    this.#frame?.focus();
  }

  #begin() {
    this.#frame?.close();
    const base = this.getAttribute("base") ?? new URL("../../", import.meta.url);
    this.#frame = new Frame({
      base: new URL(base, document.baseURI).href.replace(/\/?$/, "/"),
      session: this.getAttribute("session"),
      heading: this.getAttribute("heading"),
      words: { ...words, ...this.words },
      finished: () => this.#count(this.#unread + 1),
    });
    this.#root.replaceChildren(this.#frame.element);
  }

  /** @param {number} unread */
  #count(unread) {
    const detail = this.#shown && !document.hidden ? 0 : unread;
    if (detail === this.#unread) return;
    this.#unread = detail;
    this.dispatchEvent(
      new CustomEvent("support-chat-unread", { detail, bubbles: true, composed: true }),
    );
  }
}

if (!customElements.get("support-chat")) {
  customElements.define("support-chat", SupportChat);
}
