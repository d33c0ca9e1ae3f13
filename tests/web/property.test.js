// @ts-nocheck: fakes stand in for browsers, which have far more
// Whatever happens on the way, nothing is said twice, lost, or shown twice.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Conversation } from "../../supportbot/assets/chat/conversation.js";
import { Browser, Clock, Server, Shown, html, seeded } from "./fakes.js";

const SEEDS = Number(process.env.SEEDS ?? 30);
const STEPS = 60;
const OUTCOMES = ["complete", "complete", "cut", "stopped", "refused", "failed"];

/** What the events of a session say; the plain way. */
function truth(events) {
  let exchanges = [];
  let reply = null;
  for (const event of events) {
    if (event.type === "conversation_reset") [exchanges, reply] = [[], null];
    if (event.type === "customer_said") {
      const { seq, message_id: messageId, text, at } = event;
      exchanges.push({ seq, messageId, text, at, reply: null });
    }
    if (event.type === "reply_started") {
      const { seq, service } = event;
      reply = { seq, service, paragraphs: [], outcome: null, detail: "" };
      exchanges.find((one) => one.seq === event.to).reply = reply;
    }
    if (event.type === "paragraph_said") {
      reply.paragraphs.push({ text: event.text, format: event.format });
    }
    if (event.type === "reply_revised") reply.paragraphs.length = event.keep;
    if (event.type === "reply_ended") {
      Object.assign(reply, { outcome: event.outcome, detail: event.detail });
    }
  }
  return exchanges;
}

/** Answers as services do, with everything that they may do. */
class Bot {
  #queues = new Map();

  constructor(server, random) {
    Object.assign(this, { server, random, generation: 0 });
    server.answer = (id, seq) => this.ask(id, seq);
    server.again = (id, seq) => {
      const exchange = truth(server.sessions.get(id).events).find(
        (one) => one.seq === seq,
      );
      const outcome = exchange?.reply?.outcome;
      if (outcome && !["complete", "stopped"].includes(outcome)) this.ask(id, seq);
    };
  }

  ask(id, seq) {
    const queue = this.#queues.get(id) ?? [];
    this.#queues.set(id, queue);
    if (queue.includes(seq)) return;
    queue.push(seq);
    if (queue.length === 1) this.#work(id, queue, this.generation);
  }

  reset(id) {
    this.#queues.delete(id);
  }

  /** The process ends, and another one takes up what was left. */
  restart() {
    this.generation += 1;
    const queues = this.#queues;
    this.#queues = new Map();
    for (const [id, [under, ...queue]] of queues) {
      const session = this.server.sessions.get(id);
      if (!session || under === undefined) continue;
      const one = truth(session.events).find(({ seq }) => seq === under);
      if (one?.reply && !one.reply.outcome) this.#end(id, "cut");
      else queue.unshift(under);
      for (const seq of queue) this.ask(id, seq);
    }
  }

  async #work(id, queue, generation) {
    const { server, random } = this;
    const pause = () =>
      new Promise((done) => server.clock.setTimeout(done, random() * 2000));
    const off = () =>
      generation !== this.generation ||
      this.#queues.get(id) !== queue ||
      !server.sessions.has(id);
    while (queue.length) {
      const fields = { service: "s", intent: "", to: queue[0] };
      for (const step of [["reply_started", fields], ...this.#story()]) {
        await pause();
        if (off()) return;
        if (step[0] === "delta") server.delta(id, step[1]);
        else if (step[0] === "notice") server.notice(id, step[1]);
        else server.append(id, ...step);
      }
      await pause();
      if (off()) return;
      this.#end(id, OUTCOMES[Math.floor(random() * OUTCOMES.length)]);
      queue.shift();
    }
  }

  #story() {
    const { random } = this;
    const story = [];
    let count = 0;
    for (let step = 0; step < random() * 6; step++) {
      const chance = random();
      if (chance < 0.2) story.push(["delta", "gröw"]);
      else if (chance < 0.3) story.push(["notice", "Asking again…"]);
      else if (chance < 0.4) story.push(["tool_called", { name: "t" }]);
      else if (chance < 0.5) story.push(["from_the_future", { to: 1 }]);
      else if (chance < 0.6 && count) {
        count = Math.floor(random() * count);
        story.push(["reply_revised", { keep: count }]);
      } else {
        count += 1;
        const text = `Ünë ${random()}`;
        story.push(["paragraph_said", { text, format: "plain" }]);
      }
    }
    return story;
  }

  #end(id, outcome) {
    const detail = outcome === "complete" ? "" : "Broke off.";
    this.server.append(id, "reply_ended", { outcome, detail, unavailable: false });
  }
}

/** What may happen to a request, each with the same chance. */
function weather(random) {
  const below = (most) => Math.floor(random() * most);
  const kinds = [
    () => ({ refuse: true }),
    () => ({ lost: true }),
    () => ({ before: below(20) }),
    () => ({ after: below(20) }),
    () => ({ cut: below(400) }),
    () => ({ response: () => html(502) }),
    () => ({ response: () => html(404) }),
    () => ({ response: () => html(200) }),
    () => ({ after: below(5), lost: true }),
    (server) => ({
      response: () => server.problem(503, "Later.", { "retry-after": `${below(10)}` }),
    }),
    (server) => ({ response: () => server.problem(429) }),
  ];
  return (server) => kinds[below(kinds.length)](server);
}

async function play(seed) {
  const random = seeded(seed);
  const rough = seed % 3 === 0; // somebody resets, deletes, or begins anew
  const clock = new Clock();
  const server = new Server(clock);
  const bot = new Bot(server, random);
  const befalls = weather(random);
  const browser = new Browser(clock, random, server.fetch, { locks: seed % 2 === 0 });
  browser.broken = seed % 7 === 0;
  const tabs = [];
  const all = []; // those that were closed too
  const said = [];
  const stored = []; // texts, in order, in all sessions
  const append = server.append.bind(server);
  server.append = (id, type, fields) => {
    if (type === "customer_said") stored.push(fields.text);
    return append(id, type, fields);
  };
  const open = () => {
    const window = browser.window();
    const shown = new Shown();
    const talk = new Conversation({
      base: "https://support.example/",
      view: shown.view,
      host: window,
    });
    talk.start();
    const tab = { talk, shown, window, said: [] };
    tabs.push(tab);
    all.push(tab);
  };
  const close = (tab) => {
    tab.talk.close();
    tab.shown.closed = true;
    browser.windows.delete(tab.window);
    tabs.splice(tabs.indexOf(tab), 1);
  };
  const check = () => {
    for (const { talk, shown, window, said } of tabs) {
      assert.deepEqual(window.faults, []);
      assert.deepEqual([...shown.exchanges.values()], talk.exchanges);
      const there = [...talk.exchanges, ...talk.unsent].map(({ text }) => text);
      if (!rough)
        for (const text of said) assert(there.includes(text), `${text} is lost`);
      const session = server.sessions.get(talk.session);
      if (session && random() < 0.2) {
        const now = JSON.stringify(talk.exchanges);
        const states = session.events.map((_, last) =>
          truth(session.events.slice(0, last + 1)),
        );
        const known = states.some((state) => JSON.stringify(state) === now);
        assert(rough || known || now === "[]", "what is shown was never so");
      }
    }
  };
  const acts = {
    say: (tab) => {
      const text = `message ${said.length}`;
      said.push(text);
      tab.said.push(text);
      tab.talk.say(text);
    },
    more: (tab) => acts.say(tab),
    reload: (tab) => {
      if (browser.broken && tab.talk.unsent.length) return; // nothing could be kept
      close(tab);
      open();
    },
    open: () => tabs.length < 3 && open(),
    close: (tab) => tabs.length > 1 && !browser.broken && close(tab),
    crash: () => {
      server.up = false;
      server.cut();
      bot.restart();
    },
    up: () => (server.up = true),
    network: (tab) => tab.window.network(random() < 0.6),
    show: (tab) => tab.window.show(random() < 0.6),
    cut: () => server.cut(),
    leave: (tab) => tab.window.dispatch("pagehide"),
    comeBack: (tab) => tab.window.dispatch("pageshow", { persisted: true }),
    storm: () => {
      const chance = random();
      server.fault = () => (random() < chance ? befalls(server) : null);
    },
    calm: () => (server.fault = () => null),
    buffer: () => (server.buffers = random() < 0.5),
    clock: () => (clock.wall = (random() - 0.5) * 7200_000),
    retry: (tab) => {
      const one = tab.talk.exchanges.at(-1);
      if (one?.reply?.outcome && !["complete", "stopped"].includes(one.reply.outcome)) {
        tab.talk.retry(one);
      }
    },
    stop: (tab) => tab.talk.stop(),
  };
  const rarely = {
    reset: (tab) => {
      if (!server.sessions.has(tab.talk.session)) return;
      bot.reset(tab.talk.session);
      server.reset(tab.talk.session);
    },
    delete: (tab) => server.delete(tab.talk.session),
    renew: (tab) => tab.talk.renew(),
  };
  const usual = Object.values(acts);
  const special = Object.values(rarely);
  open();
  for (let step = 0; step < STEPS; step++) {
    const from = rough && random() < 0.1 ? special : usual;
    from[Math.floor(random() * from.length)](tabs[Math.floor(random() * tabs.length)]);
    check();
    await clock.advance(random() < 0.1 ? random() * 60 : random() * 3);
    check();
  }
  // All is well again, and people press what can be pressed.
  server.up = true;
  server.buffers = false;
  server.fault = () => null;
  clock.wall = 0;
  for (const { window } of tabs) {
    window.dispatch("pageshow", { persisted: true });
    window.network(true);
    window.show(true);
  }
  for (let round = 0; round < 6; round++) {
    for (const { talk } of tabs) {
      for (const one of talk.unsent) if (one.state === "failed") talk.retry(one);
    }
    await clock.advance(60);
    check();
  }
  const sessions = new Set(tabs.map(({ talk }) => talk.session));
  if (!browser.broken) assert.equal(sessions.size, 1, "tabs show different sessions");
  for (const { talk, shown } of tabs) {
    assert.deepEqual(talk.unsent, []);
    assert.equal(shown.growing, "");
    assert.equal(talk.answering, null);
    const events = server.sessions.get(talk.session)?.events ?? [];
    assert.deepEqual(talk.exchanges, truth(events));
    if (talk.session) assert.match(talk.connection, /^(live|polling)$/);
  }
  for (const text of said) {
    const times = stored.filter((one) => one === text).length;
    if (rough) assert(times >= 1, `${text} was lost`);
    else assert.equal(times, 1, `${text} was said ${times} times`);
  }
  if (!rough) {
    for (const { said } of all) {
      assert.deepEqual(
        stored.filter((text) => said.includes(text)),
        said,
      );
    }
  }
  for (const tab of [...tabs]) close(tab);
  await clock.advance(120);
  assert.equal(server.streams + server.polls, 0);
}

for (let seed = 1; seed <= SEEDS; seed++) {
  test(`script ${seed}`, () => play(seed));
}
