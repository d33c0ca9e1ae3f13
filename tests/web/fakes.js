// @ts-nocheck: fakes stand in for browsers, which have far more
// A clock, browsers' windows and a server, all without waiting.

/** Numbers that look random, the same for a seed. */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    // Mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Let all promises, and streams of Node, do what they can. */
export async function settle() {
  for (let turn = 0; turn < 6; turn++) await new Promise((done) => setImmediate(done));
}

export class Clock {
  now = 1_800_000_000_000; // milliseconds
  wall = 0; // what a wrong clock adds
  #timers = new Map();
  #last = 0;

  setTimeout = (act, delay = 0) => {
    this.#timers.set(++this.#last, { at: this.now + Math.max(0, delay), act });
    return this.#last;
  };

  clearTimeout = (timer) => void this.#timers.delete(timer);

  get timers() {
    return this.#timers.size;
  }

  /** Seconds pass, and what was due happens in order. */
  async advance(seconds) {
    const end = this.now + seconds * 1000;
    await settle();
    for (;;) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end);
      if (!due.length) break;
      const [timer, { at, act }] = due.reduce((a, b) => (b[1].at < a[1].at ? b : a));
      this.#timers.delete(timer);
      this.now = Math.max(this.now, at);
      act();
      await settle();
    }
    this.now = end;
  }
}

/** What the tabs of one browser share. */
export class Browser {
  windows = new Set();
  items = new Map();
  broken = false;
  #locks = new Map();

  constructor(clock, random, fetch, { locks = true } = {}) {
    Object.assign(this, { clock, random, fetch, locks });
  }

  window() {
    const window = new FakeWindow(this);
    this.windows.add(window);
    return window;
  }

  storage(window) {
    const check = () => {
      if (this.broken) throw new DOMException("no storage", "SecurityError");
    };
    const changed = (key, newValue) => {
      for (const other of this.windows) {
        if (other === window) continue;
        setImmediate(() => other.dispatch("storage", { key, newValue }));
      }
    };
    const methods = {
      getItem: (key) => (check(), this.items.get(key) ?? null),
      setItem: (key, value) => {
        check();
        if (this.items.get(key) === value) return;
        this.items.set(key, value);
        changed(key, value);
      },
      removeItem: (key) => {
        check();
        if (this.items.delete(key)) changed(key, null);
      },
    };
    return new Proxy(methods, {
      ownKeys: () => (check(), [...this.items.keys()]),
      getOwnPropertyDescriptor: (_, key) => ({
        configurable: true,
        enumerable: true,
        value: this.items.get(key),
      }),
    });
  }

  /** As `navigator.locks`. */
  async request(name, act) {
    const before = this.#locks.get(name) ?? Promise.resolve();
    const held = before.then(act, act);
    this.#locks.set(
      name,
      held.catch(() => {}),
    );
    return held;
  }
}

class FakeWindow {
  faults = []; // what was reported
  #listeners = [];

  constructor(browser) {
    const { clock, random } = browser;
    this.setTimeout = clock.setTimeout;
    this.clearTimeout = clock.clearTimeout;
    this.Date = { now: () => clock.now + clock.wall };
    this.Math = { random };
    this.fetch = (url, init) => browser.fetch(String(url), init ?? {}, this);
    this.storage = browser.storage(this);
    this.browser = browser;
    this.crypto = {
      getRandomValues: (bytes) => bytes.map(() => Math.floor(random() * 256)),
    };
    this.navigator = {
      onLine: true,
      locks: browser.locks
        ? { request: (name, act) => browser.request(name, act) }
        : undefined,
    };
    this.document = {
      visibilityState: "visible",
      addEventListener: this.addEventListener.bind(this),
    };
    this.reportError = (error) => this.faults.push(error);
  }

  get localStorage() {
    return this.storage;
  }

  addEventListener(type, act, { signal }) {
    if (signal.aborted) return;
    const one = { type, act };
    this.#listeners.push(one);
    signal.addEventListener("abort", () => {
      this.#listeners = this.#listeners.filter((other) => other !== one);
    });
  }

  get listeners() {
    return this.#listeners.length;
  }

  dispatch(type, event = {}) {
    for (const one of [...this.#listeners]) if (one.type === type) one.act(event);
  }

  show(visible) {
    this.document.visibilityState = visible ? "visible" : "hidden";
    this.dispatch("visibilitychange");
  }

  network(onLine) {
    this.navigator.onLine = onLine;
    this.dispatch(onLine ? "online" : "offline");
  }
}

/** A view that builds what it shows out of nothing but what it is told. */
export class Shown {
  exchanges = new Map(); // by number, as they were when they were told last
  growing = "";
  failures = [];
  told = 0;
  closed = false;
  view = {
    exchange: (exchange) => {
      this.#open();
      this.exchanges.set(exchange.seq, structuredClone(exchange));
    },
    cleared: () => {
      this.#open();
      this.exchanges.clear();
    },
    growing: (text) => {
      this.#open();
      this.growing = text;
    },
    unsent: () => this.#open(),
    status: () => this.#open(),
    failed: (why) => {
      this.#open();
      this.failures.push(why);
    },
  };

  #open() {
    if (this.closed) throw new Error("a view was told something after the end");
    this.told += 1;
  }
}

const DETAIL = "Try again later.";

/** Sessions of numbered events, and all that can happen to an answer on its way. */
export class Server {
  sessions = new Map();
  requests = [];
  up = true;
  buffers = false; // streams, for ever
  /** What happens to a request; see `#befall`. */
  fault = () => null;
  login_seconds = 900;
  busy = 0; // requests under way
  #streams = new Set();
  #waiting = new Set();
  #opened = 0;

  constructor(clock) {
    this.clock = clock;
  }

  // The facts

  open(id = `session-${++this.#opened}`) {
    this.sessions.set(id, { id, events: [], last: 0, ids: new Map(), growing: "" });
    return id;
  }

  append(id, type, fields = {}) {
    const session = this.sessions.get(id);
    const event = { type, ...fields, seq: ++session.last, at: this.clock.now / 1000 };
    session.events.push(event);
    if (type !== "customer_said") session.growing = "";
    for (const stream of this.#streams) if (stream.id === id) stream.event(event);
    for (const poll of [...this.#waiting]) if (poll.id === id) poll.answer();
    return event;
  }

  delta(id, text) {
    this.sessions.get(id).growing += text;
    for (const stream of this.#streams) {
      if (stream.id === id)
        stream.send(`event: delta\ndata: ${JSON.stringify({ text })}\n\n`);
    }
  }

  notice(id, text) {
    for (const stream of this.#streams) {
      if (stream.id === id)
        stream.send(`event: notice\ndata: ${JSON.stringify({ text })}\n\n`);
    }
    for (const poll of [...this.#waiting]) if (poll.id === id) poll.answer(text);
  }

  reset(id) {
    const session = this.sessions.get(id);
    session.ids.clear();
    session.events = [];
    this.append(id, "conversation_reset");
  }

  delete(id) {
    this.sessions.delete(id);
    for (const stream of [...this.#streams]) {
      if (stream.id === id) {
        stream.send('event: end\ndata: {"reason":"deleted"}\n\n');
        stream.end();
      }
    }
    for (const poll of [...this.#waiting]) if (poll.id === id) poll.answer();
  }

  /** All connections break. */
  cut() {
    for (const stream of [...this.#streams]) stream.end(new TypeError("broken"));
    for (const poll of [...this.#waiting]) poll.fail();
  }

  /** From all streams that there are nothing comes any more; how many these were. */
  hush() {
    for (const stream of this.#streams) stream.send = () => {};
    return this.#streams.size;
  }

  get streams() {
    return this.#streams.size;
  }

  get polls() {
    return this.#waiting.size;
  }

  // The wire

  fetch = async (url, init, window) => {
    const { pathname, searchParams } = new URL(url);
    const path = pathname.replace(/^.*\/api\//, "");
    const request = { path, method: init.method ?? "GET", init, window };
    this.requests.push({ ...request, query: searchParams, at: this.clock.now });
    const gone = new TypeError("fetch failed");
    if (init.signal?.aborted) throw new DOMException("aborted", "AbortError");
    const aborted = new Promise((_, reject) => {
      init.signal?.addEventListener("abort", () =>
        reject(new DOMException("aborted", "AbortError")),
      );
    });
    aborted.catch(() => {});
    const fault = this.fault(request);
    const pause = (seconds) =>
      new Promise((done) => this.clock.setTimeout(done, (seconds ?? 0) * 1000));
    const takes = async () => {
      if (fault?.before) await pause(fault.before); // also when nobody waits any more
      if (!this.up || fault?.refuse || !window.navigator.onLine) throw gone;
      if (fault?.response) return abortable(fault.response(), init.signal);
      const response = await this.#answer(request, searchParams);
      if (fault?.after) await pause(fault.after);
      return response;
    };
    const taken = takes();
    this.busy += 1;
    taken.catch(() => {}).finally(() => (this.busy -= 1));
    let response = await Promise.race([aborted, taken]);
    if (fault?.lost) throw gone;
    if (fault?.cut !== undefined) response = cut(response, fault.cut);
    return response;
  };

  async #answer({ path, init }, query) {
    const headers = new Headers(init.headers);
    const body = init.body ? JSON.parse(init.body) : null;
    if (path === "welcome") {
      return this.#json({
        title: "Support",
        greeting: "Hello",
        suggestions: [],
        services: {},
        can_log_in: true,
        login_seconds: this.login_seconds,
        proposal_seconds: 600,
        message_limit: 4000,
      });
    }
    if (path === "session/new") return this.#json({ session_id: this.open() });
    const id = headers.get("session-id");
    const session = this.sessions.get(id);
    if (!session) return this.problem(404, `Session ${id} not found`);
    const what = path.replace("session/@me/", "");
    if (what === "messages") return this.#said(session, body);
    if (what === "login") return this.#login(session, body);
    if (what === "logout") {
      this.append(id, "customer_logged_out");
      return this.#json({ status: "success" });
    }
    if (what === "stop") return this.#json({ status: "success" });
    if (what !== "events") return this.problem(404, "No such path");
    const after = Number(query.get("after"));
    if (query.get("stream") !== "false") return this.#stream(id, after, init.signal);
    return this.#poll(id, after, Number(query.get("wait")), init.signal);
  }

  #said(session, { message, message_id }) {
    if (message.length > 4000) return this.problem(422, "This is too long.");
    const seq = session.ids.get(message_id);
    if (seq) {
      this.again?.(session.id, seq);
      return this.#json({ status: "success", seq });
    }
    const said = this.append(session.id, "customer_said", {
      text: message,
      message_id,
    });
    session.ids.set(message_id, said.seq);
    this.answer?.(session.id, said.seq);
    return this.#json({ status: "success", seq: said.seq });
  }

  #login(session, { email, pin }) {
    if (pin !== "1234") return this.problem(401, "They don't belong together.");
    const customer_info = { customer_id: "c1", name: "Alice", email };
    this.append(session.id, "customer_verified", customer_info);
    return this.#json({ status: "success", customer_info });
  }

  #poll(id, after, wait, signal) {
    const page = (notice = "") => {
      const session = this.sessions.get(id);
      if (!session) return this.problem(404, "Session not found");
      const behind = session.events.filter(({ seq }) => seq > after);
      return this.#json({
        events: behind.slice(0, 3),
        more: behind.length > 3,
        notice,
      });
    };
    const { events } = this.sessions.get(id);
    if (!wait || events.some(({ seq }) => seq > after)) return page();
    return new Promise((resolve, reject) => {
      const poll = {
        id,
        answer: (notice) => {
          this.#waiting.delete(poll);
          this.clock.clearTimeout(timer);
          resolve(page(notice));
        },
        fail: () => {
          this.#waiting.delete(poll);
          this.clock.clearTimeout(timer);
          reject(new TypeError("broken"));
        },
      };
      const timer = this.clock.setTimeout(() => poll.answer(), wait * 1000);
      if (signal.aborted) return poll.fail();
      signal.addEventListener("abort", () => poll.fail());
      this.#waiting.add(poll);
    });
  }

  #stream(id, after, signal) {
    const encoder = new TextEncoder();
    let controller;
    let beat = 0;
    let silence = 1;
    const buffered = this.buffers;
    const stream = {
      id,
      send: (text) => {
        if (buffered) return;
        const bytes = encoder.encode(text);
        const middle = Math.floor(bytes.length / 2); // cut within characters
        controller.enqueue(bytes.slice(0, middle));
        controller.enqueue(bytes.slice(middle));
      },
      event: (event) =>
        stream.send(
          `id: ${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`,
        ),
      end: (error) => {
        if (!this.#streams.delete(stream)) return;
        this.clock.clearTimeout(beat);
        if (error) controller.error(error);
        else controller.close();
      },
    };
    const body = new ReadableStream({
      start: (given) => void (controller = given),
      cancel: () => {
        this.#streams.delete(stream);
        this.clock.clearTimeout(beat);
      },
    });
    if (signal.aborted) throw signal.reason;
    this.#streams.add(stream);
    signal.addEventListener("abort", () => {
      stream.end(new DOMException("aborted", "AbortError"));
    });
    stream.send("retry: 2000\n:\n\n");
    const { events, growing } = this.sessions.get(id);
    for (const event of events) if (event.seq > after) stream.event(event);
    if (growing) {
      stream.send(`event: delta\ndata: ${JSON.stringify({ text: growing })}\n\n`);
    }
    const comment = () => {
      stream.send(":\n\n");
      silence = Math.min(10, silence * 2);
      beat = this.clock.setTimeout(comment, silence * 1000);
    };
    beat = this.clock.setTimeout(comment, 1000);
    return new Response(body, {
      headers: { "content-type": "text/event-stream; charset=utf-8" },
    });
  }

  #json(value) {
    return new Response(JSON.stringify(value), {
      headers: {
        "content-type": "application/json",
        date: new Date(this.clock.now).toUTCString(),
      },
    });
  }

  problem(status, detail = DETAIL, headers = {}) {
    return new Response(JSON.stringify({ status, detail }), {
      status,
      headers: { "content-type": "application/problem+json", ...headers },
    });
  }
}

/** The same response, of which only so many bytes come before the connection breaks. */
function cut(response, bytes) {
  let left = bytes;
  const body = response.body.pipeThrough(
    new TransformStream({
      transform: (chunk, controller) => {
        controller.enqueue(chunk.slice(0, left));
        left -= chunk.length;
        if (left <= 0) controller.error(new TypeError("broken"));
      },
    }),
  );
  return new Response(body, response);
}

/** The same response, which breaks when it is not wanted any more. */
function abortable(response, signal) {
  const passing = new TransformStream();
  response.body?.pipeTo(passing.writable, { signal }).catch(() => {});
  return new Response(passing.readable, response);
}

/** A page of somebody on the way. */
export function html(status, headers = {}) {
  return new Response("<html>Bad gateway</html>", {
    status,
    headers: { "content-type": "text/html", ...headers },
  });
}
