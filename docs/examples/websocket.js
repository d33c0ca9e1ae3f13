// A session over WebSockets that shows every paragraph once, whatever happens to the
// connection.
//
//   const talk = new Talk("ws://localhost:8000/ws", {
//     paragraph: (message, at, text, format) => …,  // also instead of one that was there
//     keep: (message, count) => …,                  // what stands behind these is void
//     ended: (message, error) => …,                 // undefined if the answer is whole
//     gone: () => …,                                // a new session begins
//   });
//   const message = talk.say("I need help with my product.");

const GONE = [
  "The session is not found. Please start a new session.",
  "The session is closed. Please start a new session.",
];
const NOT_NOW = "Unable to process the request. Please try again later.";
const INTERRUPTED = "This answer was interrupted on our side; please ask again.";
const OUR_MISTAKE = [1002, 1003, 1007, 1009]; // to come back with the same helps nobody

export class Talk {
  constructor(url, show) {
    Object.assign(this, { url, show, id: "", last: 0, past: 0, failed: 0 });
    this.waiting = new Map(); // messages without an answer, by their ids
    this.count = 0; // paragraphs that stand of the answer that is coming
    this.open();
  }

  /** Returns the message's id; the answer comes by itself. */
  say(user_message, message_id = crypto.randomUUID()) {
    this.waiting.set(message_id, user_message);
    if (this.ready) this.post(message_id);
    return message_id;
  }

  stop = () => this.ready && this.act("chatbot_stop");

  close() {
    this.closed = true;
    if (this.ready) this.act("chatbot_session_end");
    this.socket.close();
  }

  open() {
    const socket = (this.socket = new WebSocket(this.url));
    this.ready = false; // there is a session on this connection
    socket.onopen = () => this.begin();
    socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    socket.onclose = ({ code }) => {
      this.ready = false;
      if (this.closed || OUR_MISTAKE.includes(code)) return;
      setTimeout(() => this.open(), this.pause());
    };
  }

  pause() {
    const most = Math.min(10_000, 500 * 2 ** this.failed++);
    return most * (0.5 + Math.random() / 2);
  }

  begin() {
    const again = { after: this.last, stream: true };
    if (this.id) this.act("chatbot_session_resume", again);
    else this.socket.send(JSON.stringify({ action: "chatbot_session_start" }));
  }

  act(action, fields) {
    this.socket.send(JSON.stringify({ action, session_id: this.id, ...fields }));
  }

  post(message_id) {
    const user_message = this.waiting.get(message_id);
    this.act("chatbot_post_message", { user_message, message_id, stream: true });
  }

  take({ type, data, message_id, seq, detail }) {
    if (!this.ready) return this.begun(type, data);
    if (!this.waiting.has(message_id)) return; // its answer came already
    if (type === "message_chunk")
      this.show.paragraph(message_id, this.count++, data.text, data.format);
    if (type === "message_revised") this.keep(message_id, data.keep);
    if (type === "message") this.over(message_id);
    if (type === "error") this.refused(message_id, data, seq, detail);
    const number = seq ?? data?.seq;
    if (number) this.failed = 0;
    this.last = Math.max(this.last, number ?? 0);
  }

  /** The session goes on here, or a new one has begun. */
  begun(type, data) {
    if (type === "session_start") {
      this.id = data.session_id;
      this.last = this.past = 0;
    } else if (type === "session_resume") {
      this.past = data.last_seq;
    } else if (GONE.includes(data)) {
      this.lose();
      return this.begin();
    } else {
      return this.socket.close(); // and try again
    }
    this.ready = true;
    for (const id of this.waiting.keys()) this.post(id); // known ones are not doubled
  }

  lose() {
    this.show.gone();
    const [first] = this.waiting.keys();
    if (first) this.keep(first, 0);
    this.id = "";
  }

  refused(id, why, seq, detail) {
    if (GONE.includes(why)) {
      this.lose();
      this.socket.close(); // the next connection begins a new one
    } else if (seq && seq <= this.past) {
      this.keep(id, 0); // so an earlier try ended; we have asked again since
    } else if (detail === INTERRUPTED || (why === NOT_NOW && !seq)) {
      this.keep(id, 0);
      setTimeout(() => this.ready && this.post(id), this.pause());
    } else {
      this.over(id, detail ?? why);
    }
  }

  keep(id, count) {
    this.show.keep(id, (this.count = count));
  }

  over(id, error) {
    this.waiting.delete(id);
    this.count = 0;
    this.show.ended(id, error);
  }
}
