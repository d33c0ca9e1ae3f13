import { h, icon, iconButton } from "./dom.js";
import { fragment, plain } from "./markup.js";

/** @import {Exchange, Outcome, Paragraph, Unsent} from "./types" */
/** @import {Surroundings} from "./log.js" */

// Made when they are needed first: that takes long, and a new customer has no messages.
/** @type {Intl.DateTimeFormat} */
let time;
/** @type {Intl.DateTimeFormat} */
let day;

const COPY = "M9 9h11v11H9zM5 15H4V4h11v1";
const COPIED = "M5 12l5 5 9-10";
const PATHS = {
  cut: "M13 3L5 14h6l-1 7 8-11h-6z",
  stopped: "M7 7h10v10H7z",
  refused: "M12 3a9 9 0 1 0 .01 0M6 6l12 12",
  failed: "M12 4L2.5 20h19zM12 10v4M12 17v.01",
};

/**
 * A line that says that something went wrong, or not to its end.
 *
 * @param {Exclude<Outcome, "complete">} kind
 * @param {string} words
 * @param {string} detail
 */
function trouble(kind, words, detail) {
  const why = h("span", {}, h("b", {}, words), ` ${detail}`);
  const named = { className: `trouble ${kind}`, part: "trouble" };
  return h("p", named, icon(PATHS[kind]), why);
}

/**
 * @param {string} text
 * @param {HTMLElement} button That asked for it; it has the focus in the end.
 */
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Not a secure page, or not allowed: as people did it before.
    const field = h("textarea", { value: text });
    button.after(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    button.focus();
    return copied;
  }
}

/** A message of the customer, as DOM. */
class MessageView {
  state = h("div", { className: "state" });

  /**
   * @param {Surroundings} around
   * @param {string} text
   * @param {Date} at
   * @param {string} part
   */
  constructor(around, text, at, part) {
    this.around = around;
    time ??= new Intl.DateTimeFormat([], { timeStyle: "short" });
    this.element = h(
      "div",
      { className: part, part },
      h(
        "div",
        { className: "said" },
        h("span", { className: "hidden-words" }, around.words.you),
        h("p", { className: "bubble", part: "bubble", dir: "auto" }, text),
        h("time", { dateTime: at.toISOString() }, time.format(at)),
      ),
      this.state,
    );
  }
}

/** A message that the server has not stored yet. */
export class UnsentView extends MessageView {
  #shown = "";

  /**
   * @param {Surroundings} around
   * @param {Unsent} unsent
   */
  constructor(around, { text, at }) {
    super(around, text, new Date(at), "unsent");
  }

  /** @param {Unsent} unsent As it is now. */
  update(unsent) {
    const { words, act, button } = this.around;
    const { state, detail } = unsent;
    // Whoever has the focus on a button keeps it.
    if (this.#shown === state + detail) return;
    this.#shown = state + detail;
    if (state !== "failed") {
      this.state.replaceChildren(h("p", { className: state }, words[state]));
      return;
    }
    const why = trouble("failed", words.notSent, detail);
    why.role = "alert";
    const retry = button(words.retry, () => act.retry(unsent));
    const remove = button(words.remove, () => act.remove(unsent));
    this.state.replaceChildren(why, h("div", { className: "actions" }, retry, remove));
  }
}

/** A message and its reply. */
export class ExchangeView extends MessageView {
  /** @type {Paragraph[]} What of the reply is shown. */
  #shown = [];
  #who = h("p", { className: "who", part: "service" });
  #paragraphs = h("div");
  #end = h("div");

  /**
   * @param {Surroundings} around
   * @param {Exchange} exchange
   * @param {Date} before When the exchange before was, or whatever else is known.
   */
  constructor(around, { text, at }, before) {
    const date = new Date(at * 1000);
    super(around, text, date, "exchange");
    this.state.textContent = around.words.queued;
    day ??= new Intl.DateTimeFormat([], { dateStyle: "full" });
    const today = day.format(date);
    if (today !== day.format(before)) {
      this.element.prepend(h("p", { className: "day", part: "day" }, today));
    }
  }

  /**
   * Shows what has changed of the reply.
   *
   * @param {Exchange} exchange
   * @param {number} until When to leave the rest for the next frame; one paragraph is
   *   shown in any case.
   * @returns {boolean} Whether all is shown.
   */
  update(exchange, until) {
    const { reply } = exchange;
    if (!reply) return true;
    const { words, conversation } = this.around;
    const { paragraphs, service } = reply;
    this.state.replaceWith(this.#who, this.#paragraphs, this.#end);
    const who = conversation.titleOf(service);
    if (this.#who.textContent !== who) this.#who.textContent = who;

    const shown = this.#shown;
    const changed = shown.findIndex(
      ({ text, format }, i) =>
        paragraphs[i]?.text !== text || paragraphs[i]?.format !== format,
    );
    if (changed >= 0) shown.splice(changed);
    while (this.#paragraphs.children.length > shown.length) {
      this.#paragraphs.lastChild?.remove();
    }
    this.#end.replaceChildren();
    for (const one of paragraphs.slice(shown.length)) {
      shown.push({ ...one });
      this.#paragraphs.append(
        h(
          "div",
          { className: "paragraph", part: "paragraph", dir: "auto" },
          fragment(one, words),
        ),
      );
      if (performance.now() > until) break;
    }
    if (shown.length < paragraphs.length) return false;
    const { outcome, detail } = reply;
    if (outcome) this.#finish(exchange, outcome, detail);
    return true;
  }

  /**
   * @param {Exchange} exchange
   * @param {Outcome} outcome
   * @param {string} detail
   */
  #finish(exchange, outcome, detail) {
    const { words, act, button } = this.around;
    // Buttons are for those who look for them, and not to be read out.
    const actions = h("div", { className: "actions", ariaLive: "off" });
    if (this.#shown.length) actions.append(this.#copying());
    if (outcome !== "complete") {
      this.#end.append(trouble(outcome, words.outcomes[outcome], detail));
      const again = button(words.again, () => act.retry(exchange));
      again.classList.add("again");
      actions.append(again);
    }
    this.#end.append(actions);
  }

  #copying() {
    const { words, act } = this.around;
    const onclick = async () => {
      const copied = await copy(this.#shown.map(plain).join("\n\n"), button);
      act.tell(copied ? words.copied : words.notCopied);
      if (copied) button.replaceChildren(icon(COPIED));
    };
    const button = iconButton(words.copy, COPY, { onclick });
    return button;
  }
}
