import { h, icon } from "./dom.js";
import { ExchangeView, UnsentView } from "./exchange.js";

/** @import {Conversation} from "./conversation.js" */
/** @import {Exchange, Unsent, Welcome} from "./types" */
/** @import {words as Words} from "./words.js" */

/**
 * What a person can ask for in the log.
 *
 * @typedef {object} Acts
 * @property {(one: Exchange | Unsent) => void} retry
 * @property {(one: Unsent) => void} remove
 * @property {(text: string) => void} say
 * @property {(line: string) => void} tell Has somebody read what was done.
 */

/**
 * What the parts of the log have in common.
 *
 * @typedef {object} Surroundings
 * @property {typeof Words} words
 * @property {Conversation} conversation
 * @property {Acts} act
 * @property {(label: string, action: () => void) => HTMLButtonElement} button One that
 *   may be gone as soon as it was pressed.
 */

/** Pixels from the end within which somebody is at the end. */
const NEAR = 48;
/** Milliseconds of a frame for new paragraphs; their layout needs as long again. */
const SLICE = 5;
/** Milliseconds after which a hidden page shows what has come: it has no frames. */
const HIDDEN = 200;
/** Milliseconds in which browsers have told screen readers what is new. */
const TOLD = 100;

/**
 * All that was said, in a box that scrolls.
 *
 * What changes is noted, and shown with the next frame; where it is much, with the next
 * ones. The box follows only whoever is at the end, and is moved when the layout is
 * done, so that none is done twice.
 *
 * Only what stands in the element with `role="log"` is read out as it comes: messages
 * whose reply has begun, and its paragraphs. What still grows or waits is below it.
 */
export class Log {
  #around;
  #conversation;
  /** @type {Map<number, Exchange>} Not shown as they are now. */
  #changed = new Map();
  /** @type {Map<number, ExchangeView>} By the numbers of the exchanges. */
  #exchanges = new Map();
  /** @type {Map<string, UnsentView>} By the messages' ids. */
  #messages = new Map();
  /** @type {Welcome | null} */
  #welcome = null;
  #text = "";
  #following = true;
  #top = 0;
  #drawing = false;

  #greeting = h("div", { className: "greeting", part: "greeting" });
  #said = h("div", { role: "log", ariaLive: "off", ariaBusy: "true" });
  #growing = h("p", { className: "growing", dir: "auto", ariaHidden: "true" });
  #typing = h("p", { className: "typing", ariaHidden: "true" }, h("i"), h("i"), h("i"));
  #proposal = h("div", { className: "proposal", part: "proposal", role: "group" });
  #queue = h("div");
  #unsent = h("div");
  #column = h(
    "div",
    { className: "column" },
    this.#greeting,
    this.#said,
    this.#growing,
    this.#typing,
    this.#proposal,
    this.#queue,
    this.#unsent,
  );
  #box = h(
    "div",
    { className: "scroller", part: "log", role: "region", tabIndex: 0 },
    this.#column,
  );
  #newer;

  /**
   * @param {object} options
   * @param {typeof Words} options.words
   * @param {Conversation} options.conversation
   * @param {Acts} options.act
   */
  constructor({ words, conversation, act }) {
    /** @type {Surroundings["button"]} */
    const button = (label, action) => {
      const onclick = (/** @type {MouseEvent} */ { detail }) => {
        // The second one of a double click is no second wish, nor one for a button that
        // came under the pointer meanwhile.
        if (detail > 1) return;
        // The button may go with what it does, and the focus must not go with it.
        this.#box.focus({ preventScroll: true });
        action();
      };
      return h("button", { className: "quiet", onclick }, label);
    };
    this.#conversation = conversation;
    this.#around = { words, conversation, act, button };
    this.#said.ariaLabel = words.log;
    this.#box.ariaLabel = words.messages;
    this.#box.onscroll = () => this.#look();
    this.#proposal.ariaLabel = words.order;
    const yes = button(words.yes, () => act.say("yes"));
    yes.className = "button";
    this.#proposal.append(yes, button(words.no, () => act.say("no")));
    this.#newer = button(words.newer, () => this.follow());
    this.#newer.classList.add("newer");
    this.#newer.prepend(icon("M12 5v14M6 13l6 6 6-6"));
    this.element = h("div", { className: "log" }, this.#box, this.#newer);
    const sizes = new ResizeObserver(() => this.#settle());
    sizes.observe(this.#box);
    sizes.observe(this.#column);
    this.follow();
    this.status();
  }

  /** @param {Exchange} exchange It is new, or has changed. */
  exchange(exchange) {
    this.#changed.set(exchange.seq, exchange);
    this.#newer.hidden = this.#following;
    this.status();
  }

  /** All exchanges are gone. */
  cleared() {
    this.#changed.clear();
    this.#exchanges.clear();
    this.#said.replaceChildren();
    this.#queue.replaceChildren();
    this.#said.ariaLive = "off";
    this.#said.ariaBusy = "true";
    this.follow();
    this.status();
  }

  /** @param {string} text The paragraph that grows, whole. */
  growing(text) {
    this.#text = text;
    this.status();
  }

  /** Messages that are not stored yet have come, changed or gone. */
  unsent() {
    this.status();
  }

  /** Anything has changed: it is shown with the next frame. */
  status() {
    if (this.#drawing) return;
    this.#drawing = true;
    const draw = () => this.#draw();
    if (document.hidden) setTimeout(draw, HIDDEN);
    else requestAnimationFrame(draw);
  }

  #draw() {
    this.#drawing = false;
    this.#drawGreeting();
    this.#drawExchanges();
    this.#drawUnsent();
    const { answering, proposal, unsent, caughtUp } = this.#conversation;
    const text = this.#text;
    if (this.#growing.textContent !== text) this.#growing.textContent = text;
    this.#growing.hidden = !text;
    this.#typing.hidden = !answering || text !== "";
    // A yes under way is enough.
    const answered = unsent.some(({ state }) => state !== "failed");
    this.#hide(this.#proposal, !proposal || answered);
    this.#queue.className = answering ? "queue" : "";
    if (this.#changed.size) this.status();
    else if (caughtUp && this.#said.ariaBusy === "true") {
      setTimeout(() => this.#readOut(), TOLD);
    }
  }

  #drawGreeting() {
    const { welcome, exchanges, unsent, caughtUp, session } = this.#conversation;
    const { words, act, button } = this.#around;
    const known = caughtUp || !session;
    this.#hide(this.#greeting, !known || exchanges.length + unsent.length > 0);
    if (!welcome || this.#welcome === welcome) return;
    this.#welcome = welcome;
    const suggestions = welcome.suggestions.map((text) =>
      h("li", {}, button(text, () => act.say(text))),
    );
    this.#greeting.replaceChildren(
      h("p", { dir: "auto" }, welcome.greeting),
      h("ul", { role: "list", ariaLabel: words.suggestions }, ...suggestions),
    );
    // The names of the services have come with it.
    for (const exchange of exchanges) this.#changed.set(exchange.seq, exchange);
  }

  #drawExchanges() {
    const until = performance.now() + SLICE;
    for (const [seq, exchange] of this.#changed) {
      const view = this.#exchanges.get(seq) ?? this.#begun(exchange);
      const box = exchange.reply ? this.#said : this.#queue;
      if (view.element.parentNode !== box) box.append(view.element);
      if (view.update(exchange, until)) this.#changed.delete(seq);
      if (performance.now() > until) return;
    }
  }

  /** @param {Exchange} exchange */
  #begun(exchange) {
    const { exchanges } = this.#conversation;
    const before = exchanges[exchanges.indexOf(exchange) - 1];
    const day = before ? new Date(before.at * 1000) : new Date();
    const view = new ExchangeView(this.#around, exchange, day);
    this.#exchanges.set(exchange.seq, view);
    return view;
  }

  #drawUnsent() {
    const gone = new Map(this.#messages);
    for (const one of this.#conversation.unsent) {
      const view = gone.get(one.id) ?? new UnsentView(this.#around, one);
      if (!gone.delete(one.id)) {
        this.#messages.set(one.id, view);
        this.#unsent.append(view.element);
      }
      view.update(one);
    }
    for (const [id, { element }] of gone) {
      this.#messages.delete(id);
      element.remove();
    }
  }

  /**
   * @param {HTMLElement} choice It may go by itself, but not with the focus.
   * @param {boolean} hidden
   */
  #hide(choice, hidden) {
    if (hidden && choice.matches(":focus-within")) {
      this.#box.focus({ preventScroll: true });
    }
    choice.hidden = hidden;
  }

  /** From now on; what is there already was heard before, or can be read. */
  #readOut() {
    if (this.#changed.size || !this.#conversation.caughtUp) return;
    this.#said.ariaLive = "polite";
    this.#said.ariaBusy = "false";
  }

  /** Go to the end, and stay there: somebody wants to, or says something here. */
  follow() {
    this.#following = true;
    this.#newer.hidden = true;
    this.#settle();
  }

  /** Sizes have changed. */
  #settle() {
    const box = this.#box;
    // A greeting is read from its beginning, in the smallest window too.
    if (!this.#following) this.#look();
    else box.scrollTop = this.#greeting.hidden ? box.scrollHeight : 0;
    this.#top = box.scrollTop;
  }

  /** The box was scrolled, by somebody or by us. */
  #look() {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    const near = scrollHeight - clientHeight - scrollTop < NEAR;
    if (near) this.#newer.hidden = this.#following = true;
    else if (scrollTop < this.#top) this.#following = false;
    this.#top = scrollTop;
  }
}
