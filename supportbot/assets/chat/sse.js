/**
 * Server-sent events out of text, however it was cut.
 *
 * https://html.spec.whatwg.org/multipage/server-sent-events.html, without ids: our
 * events carry their numbers themselves.
 */
export class EventStream {
  #rest = "";
  // The text so far ends with CR, which may be half of a CRLF.
  #carriage = false;
  #event = "";
  /** @type {string[]} */
  #lines = [];

  /**
   * @param {string} text
   * @returns {{event: string, data: string}[]} what it completes
   */
  feed(text) {
    const events = [];
    if (this.#carriage && text.startsWith("\n")) text = text.slice(1);
    else if (!text) return [];
    this.#carriage = text.endsWith("\r");
    const lines = (this.#rest + text).split(/\r\n?|\n/);
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const [, name, value] = /** @type {string[]} */ (/^([^:]*):? ?(.*)/s.exec(line));
      if (name === "event") this.#event = value;
      if (name === "data") this.#lines.push(value);
      if (line) continue;
      if (this.#lines.length) {
        events.push({ event: this.#event || "message", data: this.#lines.join("\n") });
      }
      this.#event = "";
      this.#lines = [];
    }
    return events;
  }
}
