// @ts-nocheck: fakes stand in for browsers, which have far more
import assert from "node:assert/strict";
import { test } from "node:test";
import { Api } from "../../supportbot/assets/chat/api.js";
import { Link } from "../../supportbot/assets/chat/link.js";
import { Browser, Clock, Server, html } from "./fakes.js";

/** A link to a session, and all that it tells. */
function begin({ fresh = true, chance = 1, buffers = false } = {}) {
  const clock = new Clock();
  const server = new Server(clock);
  server.buffers = buffers;
  const window = new Browser(clock, () => chance, server.fetch).window();
  const api = new Api("https://support.example/", window);
  const id = (api.session = server.open());
  const told = {
    events: [],
    deltas: [],
    notices: [],
    states: [],
    caughtUp: 0,
    gone: 0,
    calls: 0,
  };
  const world = { busy: false };
  const ends = {
    api,
    host: window,
    after: () => told.events.at(-1)?.seq ?? 0,
    busy: () => world.busy,
    events: (events) => told.events.push(...events),
    delta: (text, whole) => told.deltas.push([text, whole]),
    notice: (text) => told.notices.push(text),
    connection: (how) => {
      told.calls += 1;
      if (told.states.at(-1) !== how) told.states.push(how);
    },
    caughtUp: () => (told.caughtUp += 1),
    gone: () => (told.gone += 1),
  };
  const link = new Link(ends, fresh);
  const say = (text) => server.append(id, "customer_said", { text, message_id: text });
  const seqs = () => told.events.map(({ seq }) => seq);
  const asked = () =>
    server.requests.map(({ query }) => {
      const stream = query.get("stream") !== "false";
      return stream ? "stream" : `poll ${query.get("wait")}`;
    });
  return { clock, server, window, id, told, world, ends, link, say, seqs, asked };
}

test("what is there is polled, then it streams", async () => {
  const { clock, link, told, say, seqs, asked } = begin({ fresh: false });
  for (const text of "abcde") say(text);
  link.run();
  await clock.advance(0);
  assert.deepEqual(seqs(), [1, 2, 3, 4, 5]);
  assert.deepEqual(asked(), ["poll 0", "poll 0", "stream"]);
  assert.deepEqual([told.caughtUp, told.states], [1, ["live"]]);
  say("f");
  await clock.advance(0);
  assert.equal(seqs().at(-1), 6);
  await clock.advance(600);
  assert.deepEqual(asked(), ["poll 0", "poll 0", "stream"]);
  link.close();
});

test("a fresh session streams at once", async () => {
  const { clock, link, asked } = begin();
  link.run();
  await clock.advance(0);
  assert.deepEqual(asked(), ["stream"]);
  link.close();
});

test("deltas say whether they are whole, notices are passed on", async () => {
  const { clock, server, link, id, told } = begin();
  server.delta(id, "He");
  link.run();
  await clock.advance(0);
  server.delta(id, "y");
  server.notice(id, "Asking again…");
  await clock.advance(0);
  server.cut();
  await clock.advance(1);
  assert.deepEqual(told.deltas, [
    ["He", true],
    ["y", false],
    ["Hey", true],
  ]);
  assert.deepEqual(told.notices, ["Asking again…"]);
  link.close();
});

test("a broken stream begins again behind the last event", async () => {
  const { clock, server, link, told, say, seqs } = begin();
  link.run();
  say("a");
  await clock.advance(2);
  server.cut();
  say("b");
  await clock.advance(0.4);
  assert.equal(server.streams, 0);
  await clock.advance(0.2);
  assert.deepEqual(seqs(), [1, 2]);
  assert.equal(server.requests.at(-1).query.get("after"), "1");
  assert.deepEqual(told.states, ["live"], "a short gap is not worth a word");
  link.close();
});

test("polls take the place of streams that are buffered, for a while", async () => {
  const { clock, server, link, told, say, seqs, asked } = begin({ buffers: true });
  say("a");
  link.run();
  await clock.advance(4.9);
  assert.deepEqual(asked(), ["stream"]);
  await clock.advance(0.2);
  assert.deepEqual(seqs(), [1]);
  assert.deepEqual(asked(), ["stream", "poll 0", "poll 25"]);
  assert.deepEqual(told.states, ["polling"]);
  assert.equal(server.streams, 0);
  say("b");
  server.notice("session-1", "Wait…");
  await clock.advance(0);
  assert.deepEqual(seqs(), [1, 2]);
  await clock.advance(280);
  assert.equal(asked().filter((what) => what === "stream").length, 1);
  server.buffers = false;
  await clock.advance(60);
  assert.equal(asked().at(-1), "stream");
  assert.deepEqual(told.states, ["polling", "live"]);
  link.close();
});

test("a notice comes by polls too", async () => {
  const { clock, server, link, told, id } = begin({ buffers: true });
  link.run();
  await clock.advance(6);
  server.notice(id, "Wait…");
  await clock.advance(0);
  assert.deepEqual(told.notices, ["Wait…"]);
  link.close();
});

test("a stream whose first bytes alone come is buffered", async () => {
  const { clock, server, link, asked } = begin();
  server.fault = () => ({ response: () => silent("retry: 1\n:\n\n") });
  link.run();
  await clock.advance(5.1);
  server.fault = () => null;
  await clock.advance(0);
  assert.deepEqual(asked().slice(0, 2), ["stream", "poll 0"]);
  link.close();
});

/** A stream of which no more comes. */
function silent(text) {
  const start = (it) => text && it.enqueue(new TextEncoder().encode(text));
  return new Response(new ReadableStream({ start }), {
    headers: { "content-type": "text/event-stream" },
  });
}

test("where polls don't work either, it was the network", async () => {
  const { clock, server, link, told, asked } = begin({ buffers: true });
  link.run();
  await clock.advance(4);
  server.up = false;
  server.buffers = false;
  await clock.advance(2);
  server.up = true;
  await clock.advance(10);
  assert.equal(asked().at(-1), "stream");
  assert.equal(told.states.at(-1), "live");
  link.close();
});

test("a stream that falls silent is dead", async () => {
  const { clock, server, link, asked, say, seqs } = begin();
  link.run();
  await clock.advance(7); // comments at 1, 3 and 7 s
  assert.equal(server.hush(), 1);
  say("a");
  await clock.advance(24.5);
  assert.deepEqual(seqs(), []);
  await clock.advance(1.5);
  assert.deepEqual(seqs(), [1]);
  assert.deepEqual(asked(), ["stream", "stream"]);
  link.close();
});

test("failures make it wait longer and longer, and it says so", async () => {
  const { clock, server, link, told } = begin();
  server.up = false;
  link.run();
  await clock.advance(0);
  assert.deepEqual(told.states, []);
  await clock.advance(119.9);
  // 0.5, 1, 2, 4, 8, 16, 30, 30 s
  const at = server.requests.map((request) => request.at - server.requests[0].at);
  assert.deepEqual(at, [0, 500, 1500, 3500, 7500, 15500, 31500, 61500, 91500]);
  assert.deepEqual(told.states, ["waiting"]);
  server.up = true;
  link.wake();
  await clock.advance(2);
  assert.deepEqual(told.states, ["waiting", "live"]);
  server.cut();
  server.up = false;
  await clock.advance(0.6);
  const [before, last] = server.requests.slice(-2);
  assert.equal(last.at - before.at, 2500, "0.5 s after the cut: it counts anew");
  link.close();
});

test("a stream that ends each time it begins is not asked for on and on", async () => {
  const { clock, server, link } = begin();
  server.fault = () => ({
    response: () =>
      new Response(":\n\n", { headers: { "content-type": "text/event-stream" } }),
  });
  link.run();
  await clock.advance(60);
  assert.ok(server.requests.length < 10, `${server.requests.length} requests`);
  link.close();
});

test("polls that are answered too early are not asked for on and on", async () => {
  const { clock, server, link } = begin({ buffers: true });
  server.fault = ({ path }) => {
    const last = server.requests.at(-1).query;
    if (!path.endsWith("events") || last.get("stream") !== "false") return null;
    if (last.get("wait") === "0") return null;
    return { response: () => Response.json({ events: [], more: false, notice: "" }) };
  };
  link.run();
  await clock.advance(66);
  assert.ok(server.requests.length < 12, `${server.requests.length} requests`);
  link.close();
});

test("the server is left alone for as long as it wants", async () => {
  const { clock, server, link, told } = begin();
  const response = () => server.problem(503, "Later.", { "retry-after": "20" });
  server.fault = () => ({ response });
  link.run();
  await clock.advance(0);
  assert.deepEqual(told.states, ["waiting"]);
  link.wake();
  await clock.advance(19.9);
  assert.equal(server.requests.length, 1);
  await clock.advance(0.2);
  assert.equal(server.requests.length, 2);
  link.close();
});

test("JSON that is broken breaks the connection, silently", async () => {
  const { clock, server, link, say, seqs, window } = begin();
  const start = (it) => it.enqueue(new TextEncoder().encode('data: {"seq":1,\n\n'));
  const headers = { "content-type": "text/event-stream" };
  const response = () => new Response(new ReadableStream({ start }), { headers });
  server.fault = () => ({ response });
  say("a");
  link.run();
  await clock.advance(0.1);
  server.fault = () => null;
  await clock.advance(1);
  assert.deepEqual(seqs(), [1]);
  assert.deepEqual(window.faults, []);
  link.close();
});

test("a fault of ours is reported, and it goes on", async () => {
  const { clock, server, link, window, seqs } = begin();
  const { Date } = window;
  let broken = true;
  window.Date = {
    now: () => {
      if (broken && server.streams) throw new Error("ours");
      return Date.now();
    },
  };
  link.run();
  await clock.advance(0);
  assert.equal(window.faults[0].message, "ours");
  broken = false;
  server.append("session-1", "tool_called");
  await clock.advance(40);
  assert.deepEqual(seqs(), [1]);
  link.close();
});

test("a session that is deleted, or was, is gone", async () => {
  const { clock, server, link, told, id } = begin();
  link.run();
  await clock.advance(0);
  server.delete(id);
  await clock.advance(0);
  assert.equal(told.gone, 1);
  assert.equal(clock.timers, 0);
  await clock.advance(100);
  assert.equal(server.requests.length, 1);
  const late = begin({ fresh: false });
  late.server.delete(late.id);
  late.link.run();
  await late.clock.advance(10);
  assert.deepEqual([late.told.gone, late.server.requests.length], [1, 1]);
});

test("a page of a proxy is no sign that the session is gone", async () => {
  const { clock, server, link, told } = begin({ fresh: false });
  server.fault = () => ({ response: () => html(404) });
  link.run();
  await clock.advance(10);
  assert.equal(told.gone, 0);
  server.fault = () => null;
  await clock.advance(30);
  assert.equal(told.states.at(-1), "live");
  link.close();
});

test("a tab that nobody sees gives its connection back for a while", async () => {
  const { clock, server, link, window, told, say, seqs } = begin();
  window.document.visibilityState = "hidden";
  link.run();
  await clock.advance(20);
  say("a");
  await clock.advance(29);
  assert.equal(server.streams, 1, "the time counts from the newest event");
  await clock.advance(12);
  assert.equal(server.streams, 0);
  assert.equal(told.states.at(-1), "idle");
  say("b");
  link.wake();
  await clock.advance(60);
  assert.deepEqual(seqs(), [1], "still nobody sees it");
  window.document.visibilityState = "visible";
  link.look();
  link.wake();
  await clock.advance(0);
  assert.deepEqual(seqs(), [1, 2]);
  assert.deepEqual(told.states.slice(-2), ["connecting", "live"]);
  await clock.advance(100);
  assert.equal(server.streams, 1);
  link.close();
});

test("nor does it while somebody waits for an answer", async () => {
  const { clock, server, link, window, world } = begin();
  world.busy = true;
  window.document.visibilityState = "hidden";
  link.run();
  await clock.advance(300);
  assert.equal(server.streams, 1);
  world.busy = false;
  await clock.advance(11);
  assert.equal(server.streams, 0);
  world.busy = true;
  link.wake();
  await clock.advance(1);
  assert.equal(server.streams, 1);
  link.close();
});

test("a hidden tab catches up first", async () => {
  const { clock, link, window, told, server } = begin({ fresh: false });
  window.document.visibilityState = "hidden";
  server.up = false;
  link.run();
  await clock.advance(100);
  server.up = true;
  await clock.advance(31);
  assert.equal(told.caughtUp, 1);
  link.close();
});

test("a page that is left has nothing under way, until it is back", async () => {
  const { clock, server, link, told } = begin();
  link.run();
  await clock.advance(1);
  link.park(true);
  await clock.advance(0);
  assert.equal(server.streams, 0);
  assert.deepEqual(told.states, ["live", "idle"]);
  await clock.advance(100);
  link.look();
  link.wake();
  await clock.advance(1);
  assert.equal(server.streams, 0, "it was not left because nobody sees it");
  link.park(false);
  link.wake();
  await clock.advance(0);
  assert.equal(server.streams, 1);
  link.close();
});

test("somebody who looks does not wait for a connection that may be dead", async () => {
  const { clock, server, link, asked, say, seqs } = begin({ chance: 0 });
  link.run();
  await clock.advance(7);
  server.hush();
  say("a");
  await clock.advance(11.5);
  link.wake();
  await clock.advance(0);
  assert.deepEqual(asked(), ["stream"]);
  await clock.advance(1);
  link.wake();
  await clock.advance(0);
  assert.deepEqual(seqs(), [1]);
  link.close();
});

test("where polls failed, it soon says that they work again", async () => {
  const { clock, server, link, told } = begin({ buffers: true });
  link.run();
  await clock.advance(6);
  server.cut();
  server.up = false;
  await clock.advance(2);
  assert.equal(told.states.at(-1), "waiting");
  server.up = true;
  link.wake();
  await clock.advance(1.1);
  assert.equal(told.states.at(-1), "polling");
  link.close();
});

test("an end in the middle of what came is the end", async () => {
  const { clock, server, link, told } = begin();
  const frames = [
    'data: {"seq": 1}',
    'event: delta\ndata: {"text": "a"}',
    'data: {"seq": 2}',
    "",
  ].join("\n\n");
  const headers = { "content-type": "text/event-stream" };
  server.fault = () => ({ response: () => new Response(frames, { headers }) });
  const { push } = told.events;
  told.events.push = (...events) => {
    push.apply(told.events, events);
    link.close();
  };
  link.run();
  await clock.advance(1);
  assert.equal(told.events.length, 1);
});

test("events that come together are told together, before what is behind them", async () => {
  const { clock, server, ends, link } = begin();
  const lines = ["a", "b"].map((text) => `event: delta\ndata: {"text": "${text}"}`);
  const event = (seq) => `data: {"seq": ${seq}}`;
  const frames = [event(1), event(2), ...lines, event(3), ""].join("\n\n");
  const headers = { "content-type": "text/event-stream" };
  server.fault = () => ({ response: () => new Response(frames, { headers }) });
  const order = [];
  ends.events = (events) => order.push(events.map(({ seq }) => seq));
  ends.delta = (text, whole) => order.push([text, whole]);
  link.run();
  await clock.advance(0);
  link.close();
  assert.deepEqual(order.slice(0, 4), [[1, 2], ["a", true], ["b", false], [3]]);
});

test("what comes at the end is not told", async () => {
  for (const buffers of [false, true]) {
    const { clock, link, told, say } = begin({ buffers });
    link.run();
    await clock.advance(6);
    const before = structuredClone(told);
    say("a");
    link.close();
    await clock.advance(0);
    assert.deepEqual(told, before);
  }
});

test("nor is a page that comes at the end", async () => {
  const { clock, window, link, told } = begin({ fresh: false });
  const page = Response.json({ events: [{ seq: 1 }], more: false, notice: "Wait…" });
  const { text } = page;
  page.text = () => {
    link.close();
    return text.call(page);
  };
  window.fetch = async () => page;
  link.run();
  await clock.advance(1);
  assert.deepEqual([told.events, told.notices, told.caughtUp], [[], [], 0]);
});

test("while it rests it can be ended", async () => {
  const { clock, link, told } = begin();
  link.run();
  await clock.advance(1);
  link.park(true);
  await clock.advance(1);
  link.close();
  await clock.advance(1);
  assert.equal(told.states.at(-1), "idle");
});

test("after the end it does and says nothing", async () => {
  for (const seconds of [0, 3, 6, 40]) {
    for (const up of [true, false]) {
      const { clock, server, link, told, say } = begin({ buffers: seconds > 5 });
      server.up = up;
      link.run();
      await clock.advance(seconds);
      link.close();
      const before = structuredClone(told);
      say("a");
      await clock.advance(0);
      assert.equal(server.streams + server.polls, 0);
      assert.equal(clock.timers, 0);
      const requests = server.requests.length;
      await clock.advance(100);
      assert.equal(server.requests.length, requests);
      assert.deepEqual(told, before);
    }
  }
});
