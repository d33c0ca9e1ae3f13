import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { h, icon } from "./dom.js";
import { download } from "./download.js";
import { Log } from "./log.js";
import { menu } from "./menu.js";
import { Login } from "./login.js";
import { StatusLine } from "./status-line.js";

/** @import {Exchange, View} from "./types" */
/** @import {words as Words} from "./words.js" */

/**
 * A conversation, and all that shows it: with whom one talks and as whom, the log, what
 * goes on, and where a message is written.
 *
 * @implements {View}
 */
export class Frame {
  #words;
  #heading;
  #finished;
  #conversation;
  // The frame of a page is its first heading, that of a part of a page is not.
  #title = h(document.querySelector("h1") ? "h2" : "h1", { id: "title" });
  #badge = h("p", { className: "badge" });
  #atStake;
  #in;
  #out;
  #save;
  #logIn;
  #log;
  #line;
  #composer;
  /** As whom the customer was logged in when that was last shown. */
  #name = "";
  /** Number of the newest reply that has ended. */
  #ended = 0;

  /**
   * @param {object} options
   * @param {string} options.base The server's address; ends in "/".
   * @param {string | null} options.session In place of the one that this browser keeps.
   * @param {string | null} options.heading In place of the server's title.
   * @param {typeof Words} options.words
   * @param {() => void} options.finished A reply has ended, just now.
   */
  constructor({ base, session, heading, words, finished }) {
    this.#words = words;
    this.#heading = heading;
    this.#finished = finished;
    const conversation = new Conversation({ base, session, view: this, words });
    const say = (/** @type {string} */ text) => {
      this.#line.failed("");
      this.#log.follow();
      conversation.say(text);
    };
    const stop = () => conversation.stop();
    this.#conversation = conversation;
    this.#line = new StatusLine(words, conversation, () => this.focus());
    this.#composer = new Composer(words, `supportbot:${base}:draft`, { say, stop });
    this.#log = new Log({
      words,
      conversation,
      act: {
        say,
        retry: (one) => conversation.retry(one),
        remove: (one) => conversation.remove(one),
        tell: (line) => this.#line.tell(line),
      },
    });
    this.#logIn = new Login(words, (email, pin) => conversation.login(email, pin));

    this.#in = this.#item(words.logIn, () => this.#logIn.open());
    this.#out = this.#item(words.logOut, () => conversation.logout());
    this.#save = this.#item(words.download, () => download(conversation, words));
    this.#atStake = h("p", { id: "at-stake" });
    const renew = this.#item(words.renew, () => {
      conversation.renew();
      this.#line.failed("");
      this.#line.tell(words.renewed);
      this.focus();
    });
    renew.append(this.#atStake);
    renew.firstElementChild?.setAttribute("aria-describedby", "at-stake");

    const skip = { className: "skip button", onclick: () => this.focus() };
    const mark = h("div", { className: "mark" }, icon("M4 5h16v11h-8l-5 4v-4H4z"));
    this.element = h(
      "section",
      { className: "frame", part: "frame", "aria-labelledby": "title" },
      h("button", skip, words.skip),
      h(
        "header",
        { className: "header", part: "header" },
        mark,
        h("div", { className: "titles" }, this.#title, this.#badge),
        menu(words.menu, [this.#in, this.#out, this.#save, renew]),
      ),
      this.#logIn.element,
      h("div", { className: "middle" }, this.#log.element),
      this.#line.element,
      this.#composer.element,
    );
    this.status();
    conversation.start();
  }

  /** The person is about to write. */
  focus() {
    this.#composer.focus();
  }

  /** Nothing is asked of the server any more, nor shown. */
  close() {
    this.#conversation.close();
    this.#line.close();
    this.#logIn.close();
  }

  /** @param {Exchange} exchange */
  exchange(exchange) {
    this.#log.exchange(exchange);
    const { reply } = exchange;
    if (!reply?.outcome || reply.seq <= this.#ended) return;
    this.#ended = reply.seq;
    if (this.#conversation.caughtUp) this.#finished();
  }

  cleared() {
    this.#ended = 0;
    this.#log.cleared();
    if (!this.#conversation.caughtUp) return;
    // Nobody is logged in there; that it is a new one says enough.
    this.#name = "";
    this.#line.tell(this.#words.renewed);
  }

  /** @param {string} text */
  growing(text) {
    this.#log.growing(text);
  }

  unsent() {
    this.#log.unsent();
    this.status();
  }

  status() {
    const { answering, caughtUp, customer, exchanges, unsent, welcome } =
      this.#conversation;
    const words = this.#words;
    const title = this.#heading || welcome?.title || words.title;
    if (this.#title.textContent !== title) this.#title.textContent = title;
    const name = customer?.name ?? "";
    this.#badge.textContent = words.loggedInAs(name);
    this.#badge.hidden = !name;
    this.#in.hidden = Boolean(name) || !welcome?.can_log_in;
    this.#out.hidden = !name;
    this.#save.hidden = exchanges.length === 0;
    // Not only hidden: what describes a button is read aloud all the same.
    this.#atStake.textContent = answering || unsent.length ? words.renewing : "";
    this.#composer.status(welcome?.message_limit ?? Infinity, Boolean(answering));
    if (name !== this.#name) {
      this.#name = name;
      if (name) this.#logIn.close();
      // What is only read again is no news.
      const line = name ? words.loggedInAs(name) : words.loggedOut;
      if (caughtUp) this.#line.tell(line);
    }
    this.#line.status();
    this.#log.status();
  }

  /** @param {string} why */
  failed(why) {
    this.#line.failed(why);
    this.#composer.notStopped();
  }

  /**
   * @param {string} label
   * @param {() => void} onclick
   */
  #item(label, onclick) {
    return h("li", {}, h("button", { onclick }, label));
  }
}
