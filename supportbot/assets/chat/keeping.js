/** @import {Unsent} from "./types" */

/**
 * A message as it is kept, with the session that it may have reached, and its number
 * there once it is known.
 *
 * @typedef {Unsent & {session?: string | null, stored?: number}} Kept
 */

/** What a session's id looks like. */
const ID = /^[\w.~-]{1,128}$/;

/** What outlives a reload, and is shared between tabs, where that is allowed. */
export class Keeping {
  #host;
  #given;
  #session;
  #unsent;

  /**
   * @param {string} base of the server
   * @param {string | null} given the session to begin with; what is kept for one is
   *   apart from what is kept for others
   * @param {Window & typeof globalThis} host
   */
  constructor(base, given, host) {
    this.#host = host;
    this.#given = given;
    this.#session = `supportbot:${base}:session:${given ?? ""}`;
    this.#unsent = `supportbot:${base}:unsent:${given ?? ""}:`;
  }

  /** Names the lock under which a session is opened. */
  get lock() {
    return this.#session;
  }

  /** @returns {string | null} */
  get session() {
    const id = this.#try((kept) => kept.getItem(this.#session)) ?? this.#given ?? "";
    // What is none would be refused again and again.
    return ID.test(id) ? id : null;
  }

  set session(id) {
    this.#given = null;
    this.#try((kept) => kept.setItem(this.#session, id ?? ""));
  }

  /** Messages that are not stored yet, as they were said. */
  get unsent() {
    const names = this.#try(Object.keys) ?? [];
    return names
      .filter((name) => name.startsWith(this.#unsent))
      .flatMap((name) => read(this.#try((kept) => kept.getItem(name))) ?? [])
      .sort((one, other) => one.at - other.at);
  }

  /** @param {Kept} message */
  put(message) {
    const name = this.#unsent + message.id;
    this.#try((kept) => kept.setItem(name, JSON.stringify(message)));
  }

  /** @param {string} id */
  drop(id) {
    this.#try((kept) => kept.removeItem(this.#unsent + id));
  }

  /**
   * What another tab did.
   *
   * @param {StorageEvent} event
   * @param {(session: string | null) => void} session it went to another
   * @param {(id: string, message: Kept | null) => void} unsent it put or dropped one
   */
  heard({ key, newValue }, session, unsent) {
    // All is null where the site's data were cleared, which is no wish for another one.
    if (key === this.#session && newValue !== null) session(newValue || null);
    if (key?.startsWith(this.#unsent)) {
      unsent(key.slice(this.#unsent.length), read(newValue));
    }
  }

  /**
   * @template T
   * @param {(kept: Storage) => T} act
   */
  #try(act) {
    try {
      return act(this.#host.localStorage);
    } catch {
      return null;
    }
  }
}

/**
 * @param {string | null} text
 * @returns {Kept | null}
 */
function read(text) {
  try {
    const message = JSON.parse(text ?? "");
    const { id, text: words, at } = message;
    // Anything can be there, of other versions too.
    return id && words?.trim && Math.abs(at) < 8e15 ? message : null;
  } catch {
    return null;
  }
}
