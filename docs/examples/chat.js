// A session that shows every paragraph once, whatever happens to the connection.
//
//   const chat = await Chat.open("http://localhost:8000", {
//     paragraph: (reply, at, text, format) => …,  // also instead of one that was there
//     keep: (reply, count) => …,                  // what stands behind these is void
//     ended: (reply, outcome, detail) => …,
//   });
//   await chat.say("I need help with my product.");

const LATER = [409, 429, 500, 502, 503, 504];
const seconds = (n) => new Promise((done) => setTimeout(done, n * 1000));

async function call(method, url, body) {
  const init = { method, headers: {}, body: undefined };
  if (body) {
    init.headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  for (;;) {
    const response = await fetch(url, init).catch(() => null); // null: no connection
    if (response && !LATER.includes(response.status)) return response;
    await seconds(Number(response?.headers.get("Retry-After")) || 1);
  }
}

export class Chat {
  static async open(url, show, id) {
    if (!id) {
      const opened = await call("POST", `${url}/api/session/new`);
      id = (await opened.json()).session_id; // keep it, to come back after a reload
    }
    return new Chat(url, show, id);
  }

  constructor(url, show, id) {
    Object.assign(this, { url, show, id, seq: 0, reply: 0, count: 0 });
    this.follow();
  }

  /** Returns when the message is stored; the answer comes by itself. */
  async say(message, message_id = crypto.randomUUID()) {
    const path = `${this.url}/api/session/${this.id}/messages`;
    const response = await call("POST", path, { message, message_id });
    if (!response.ok) throw new Error((await response.json()).detail);
  }

  stop = () => call("POST", `${this.url}/api/session/${this.id}/stop`);
  close = () => this.source.close();

  follow() {
    const path = `${this.url}/api/session/${this.id}/events`;
    const source = (this.source = new EventSource(`${path}?after=${this.seq}`));
    const on = (type, act) =>
      source.addEventListener(type, ({ data }) => {
        const event = JSON.parse(data);
        if (event.seq) this.seq = event.seq;
        act(event);
      });
    on("customer_said", () => {});
    on("reply_started", ({ to }) => {
      if (to === this.reply) this.show.keep(to, 0); // asked again, from the beginning
      this.reply = to;
      this.count = 0;
    });
    on("paragraph_said", ({ text, format }) =>
      this.show.paragraph(this.reply, this.count++, text, format),
    );
    on("reply_revised", ({ keep }) =>
      this.show.keep(this.reply, (this.count = keep)),
    );
    on("reply_ended", ({ outcome, detail }) =>
      this.show.ended(this.reply, outcome, detail),
    );
    on("conversation_reset", () => (this.reply = this.count = 0));
    on("end", () => source.close()); // the session was deleted
    source.onerror = async () => {
      // The browser comes back by itself, but not after a status such as 502.
      if (source.readyState !== EventSource.CLOSED) return;
      const there = await call("GET", `${this.url}/api/session/${this.id}`);
      if (there.ok) this.follow();
    };
  }
}
