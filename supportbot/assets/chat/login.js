import { why } from "./api.js";
import { h } from "./dom.js";

/** @import {ApiError} from "./api.js" */
/** @import {words as Words} from "./words.js" */

/**
 * The form that asks for e-mail address and PIN. The PIN is out of the page before it
 * is on its way.
 */
export class Login {
  #login;
  #words;
  #email;
  #pin;
  #error = h("p", { id: "not-logged-in", className: "error", role: "alert" });
  #button = h("button", { className: "button" });
  /** @type {HTMLElement | null} Who had the focus before. */
  #opener = null;
  #busy = false;

  /**
   * @param {typeof Words} words
   * @param {(email: string, pin: string) => Promise<void>} login Fails with an
   *   `ApiError`.
   */
  constructor(words, login) {
    this.#login = login;
    this.#words = words;
    const common = { required: true, "aria-describedby": "not-logged-in" };
    this.#email = h("input", {
      ...common,
      type: "email",
      autocomplete: "username",
      maxLength: 254,
    });
    this.#pin = h("input", {
      ...common,
      type: "password",
      autocomplete: "current-password",
      inputMode: "numeric",
      pattern: "[0-9]{4,8}",
      title: words.pinShape,
    });
    const cancel = { type: "button", className: "quiet", onclick: () => this.close() };
    this.element = h(
      "form",
      { className: "login", part: "login", hidden: true, ariaLabel: words.logIn },
      h("p", {}, words.logInWhy),
      h("label", {}, words.email, this.#email),
      h("label", {}, words.pin, this.#pin),
      this.#error,
      h("div", {}, this.#button, h("button", cancel, words.cancel)),
    );
    this.element.onsubmit = (event) => {
      event.preventDefault();
      this.#submit();
    };
    this.element.onkeydown = (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
    };
    this.#wait(false);
  }

  /** Shows the form to a person who has asked for it. */
  open() {
    const root = /** @type {ShadowRoot} */ (this.element.getRootNode());
    this.#opener = /** @type {HTMLElement | null} */ (root.activeElement);
    this.#fail("");
    this.element.hidden = false;
    this.#email.focus();
  }

  close() {
    const inside = this.element.matches(":focus-within");
    this.#pin.value = "";
    this.#fail("");
    this.element.hidden = true;
    if (inside) this.#opener?.focus();
  }

  async #submit() {
    if (this.#busy) return;
    const pin = this.#pin.value;
    this.#pin.value = "";
    this.#fail("");
    this.#wait(true);
    try {
      await this.#login(this.#email.value, pin);
      this.close();
    } catch (error) {
      this.#fail(why(/** @type {ApiError} */ (error), this.#words));
      this.#pin.focus();
    }
    this.#wait(false);
  }

  /** @param {string} why Empty when nothing is wrong. */
  #fail(why) {
    this.#error.textContent = why;
    this.#email.ariaInvalid = this.#pin.ariaInvalid = String(why !== "");
  }

  /** @param {boolean} busy */
  #wait(busy) {
    this.#busy = busy;
    this.#button.ariaDisabled = String(busy);
    this.#button.textContent = busy ? this.#words.loggingIn : this.#words.logIn;
  }
}
