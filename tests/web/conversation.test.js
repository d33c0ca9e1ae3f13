// @ts-nocheck: fakes stand in for browsers, which have far more
import assert from "node:assert/strict";
import { test } from "node:test";
import { Conversation } from "../../supportbot/assets/chat/conversation.js";
import { words } from "../../supportbot/assets/chat/words.js";
import { Browser, Clock, Server, Shown, seeded } from "./fakes.js";

const BASE = "https://support.example/chat/";

function world({ seed = 1, locks = true } = {}) {
  const clock = new Clock();
  const server = new Server(clock);
  const browser = new Browser(clock, seeded(seed), server.fetch, { locks });
  const open = (more = {}, window = browser.window()) => {
    const shown = new Shown();
    const { view } = shown;
    const talk = new Conversation({ base: BASE, view, host: window, ...more });
    talk.start();
    const close = () => {
      talk.close();
      shown.closed = true;
      browser.windows.delete(window);
    };
    return { talk, shown, window, close };
  };
  return { clock, server, browser, open };
}

const texts = (talk) => talk.exchanges.map(({ text }) => text);

test("what is said opens a session, is stored and is answered", async () => {
  const { clock, server, open } = world();
  const { talk, shown, close } = open();
  await clock.advance(1);
  assert.equal(talk.session, null);
  assert.equal(talk.connection, "idle");
  talk.say("Hello");
  assert.deepEqual(
    talk.unsent.map(({ text, state }) => [text, state]),
    [["Hello", "sending"]],
  );
  await clock.advance(1);
  assert.equal(talk.connection, "live");
  assert.deepEqual(texts(talk), ["Hello"]);
  assert.equal(talk.unsent.length, 0);
  assert.equal(talk.waiting, 1);
  server.append(talk.session, "reply_started", { service: "s", intent: "", to: 1 });
  server.delta(talk.session, "He");
  server.delta(talk.session, "y");
  await clock.advance(0);
  assert.equal(shown.growing, "Hey");
  server.append(talk.session, "paragraph_said", { text: "Hey.", format: "plain" });
  server.append(talk.session, "reply_ended", { outcome: "complete", detail: "" });
  await clock.advance(0);
  assert.equal(shown.growing, "");
  assert.equal(shown.exchanges.get(1).reply.outcome, "complete");
  assert.deepEqual(shown.exchanges.get(1).reply.paragraphs, [
    { text: "Hey.", format: "plain" },
  ]);
  close();
  await clock.advance(60);
  assert.equal(clock.timers, 0);
  assert.equal(server.streams, 0);
});

const states = (talk) => talk.unsent.map(({ text, state }) => `${text}: ${state}`);

test("messages are sent in order, one after the other", async () => {
  const { clock, server, open } = world();
  const { talk, close } = open();
  for (const text of "abc") talk.say(text);
  assert.deepEqual(states(talk), ["a: sending", "b: sending", "c: sending"]);
  server.fault = ({ path }) => (path.endsWith("messages") ? { after: 1 } : null);
  await clock.advance(2.5);
  const sent = server.requests.filter(({ path }) => path.endsWith("messages"));
  assert.equal(sent.length, 3);
  assert.ok(sent.every(({ at }, index) => at === sent[0].at + 1000 * index));
  await clock.advance(1);
  assert.deepEqual(texts(talk), ["a", "b", "c"]);
  close();
});

test("half a character is no reason to refuse the rest", async () => {
  const { clock, open } = world();
  const { talk, close } = open();
  talk.say("cut \ud83d off");
  await clock.advance(1);
  assert.deepEqual(texts(talk), ["cut \ufffd off"]);
  close();
});

test("what can't be sent now waits, and is sent by itself", async () => {
  const { clock, server, open } = world();
  const { talk, window, close } = open();
  window.network(false);
  assert.equal(talk.connection, "offline");
  talk.say("a");
  talk.say("b");
  await clock.advance(300);
  assert.deepEqual(states(talk), ["a: waiting", "b: waiting"]);
  window.network(true);
  await clock.advance(0);
  assert.deepEqual(texts(talk), ["a", "b"]);
  assert.equal(talk.connection, "live");
  window.network(false);
  await clock.advance(0);
  assert.equal(talk.connection, "offline");
  assert.equal(server.streams, 0);
  close();
});

test("what the server does not take fails, and those behind it go on", async () => {
  const { clock, server, open } = world();
  const first = open();
  const { talk } = first;
  talk.say("x".repeat(4001));
  talk.say("b");
  await clock.advance(1);
  const [failed] = talk.unsent;
  assert.deepEqual([talk.unsent.length, failed.state], [1, "failed"]);
  assert.equal(failed.detail, "This is too long.");
  assert.deepEqual(texts(talk), ["b"]);
  await clock.advance(100);
  const count = server.requests.filter(({ path }) => path.endsWith("messages")).length;
  assert.equal(count, 2);
  first.close();
  const again = open();
  await clock.advance(100);
  assert.equal(again.talk.unsent[0].state, "failed");
  const tried = server.requests.filter(({ path }) => path.endsWith("messages")).length;
  assert.equal(tried, 2, "only when the person asks for it");
  again.talk.unsent[0].text = "short";
  again.talk.retry(again.talk.unsent[0]);
  assert.deepEqual(again.talk.unsent[0].detail, "");
  await clock.advance(1);
  assert.deepEqual(texts(again.talk), ["b", "short"]);
  again.close();
});

test("a message that is removed is not sent any more", async () => {
  const { clock, server, open } = world();
  const { talk, close } = open();
  server.up = false;
  for (const text of "abc") talk.say(text);
  await clock.advance(3);
  talk.remove(talk.unsent[1]);
  talk.remove(talk.unsent[0]);
  server.up = true;
  await clock.advance(60);
  assert.deepEqual(texts(talk), ["c"]);
  close();
  const again = open();
  assert.deepEqual(again.talk.unsent, []);
  again.close();
});

test("unsent messages are there after a reload, with their ids and order", async () => {
  const { clock, server, open } = world();
  const first = open();
  await clock.advance(1);
  first.talk.say("a");
  clock.wall = -3600_000;
  first.talk.say("b");
  server.fault = () => ({ lost: true }); // it takes effect all the same
  await clock.advance(4);
  const ids = first.talk.unsent.map(({ id }) => id);
  assert.ok(ids.every((id) => /^[0-9a-f]{32}$/.test(id)));
  first.close();
  server.fault = () => null;
  const again = open();
  assert.deepEqual(
    again.talk.unsent.map(({ id }) => id),
    ids,
  );
  await clock.advance(60);
  assert.deepEqual(texts(again.talk), ["a", "b"]);
  again.close();
});

test("a message is seen from when it is said until it is told", async () => {
  const { clock, server, open } = world();
  const { talk, close } = open();
  await clock.advance(1);
  server.buffers = true; // it is stored long before that can be told
  talk.say("a");
  for (let tick = 0; tick < 80; tick++) {
    await clock.advance(0.1);
    assert.equal(talk.unsent.length + talk.exchanges.length, 1);
  }
  assert.equal(talk.exchanges.length, 1);
  assert.equal(
    server.requests.filter(({ path }) => path.endsWith("messages")).length,
    1,
  );
  close();
});

test("two tabs open one session, and show the same", async () => {
  for (const locks of [true, false]) {
    const { clock, server, open } = world({ locks });
    const [one, two] = [open(), open()];
    server.fault = ({ path }) => (path === "session/new" ? { after: 1 } : null);
    one.talk.say("a");
    if (!locks) await clock.advance(0.5);
    two.talk.say("b");
    await clock.advance(5);
    assert.equal(one.talk.session, two.talk.session);
    assert.deepEqual(texts(one.talk).sort(), ["a", "b"]);
    assert.deepEqual(texts(one.talk), texts(two.talk));
    if (locks) assert.equal(server.sessions.size, 1);
    const sent = server.requests.filter(({ path }) => path.endsWith("messages"));
    assert.ok(
      sent.every(({ init }) => init.headers.get("session-id") === one.talk.session),
    );
    one.close();
    two.close();
  }
});

test("a tab sends what another one can't any more", async () => {
  const { clock, server, open } = world();
  const [one, two] = [open(), open()];
  await clock.advance(1);
  one.talk.say("a");
  await clock.advance(5);
  const sent = () => server.requests.filter(({ path }) => path.endsWith("messages"));
  assert.deepEqual([sent().length, sent()[0].window], [1, one.window]);
  one.window.network(false);
  one.talk.say("b");
  await clock.advance(5);
  assert.deepEqual(states(two.talk), ["b: sending"]);
  one.close();
  await clock.advance(20);
  assert.deepEqual(texts(two.talk), ["a", "b"]);
  assert.deepEqual(two.talk.unsent, []);
  two.close();
});

test("a new conversation moves other tabs, and takes what waits along", async () => {
  const { clock, server, open } = world();
  const [one, two] = [open(), open()];
  one.talk.say("a");
  await clock.advance(25);
  const before = one.talk.session;
  assert.deepEqual(texts(two.talk), ["a"]);
  one.talk.renew();
  assert.equal(one.talk.session, null);
  assert.deepEqual([...one.shown.exchanges], []);
  assert.equal(one.talk.connection, "idle");
  await clock.advance(1);
  assert.equal(two.talk.session, null);
  assert.deepEqual([...two.shown.exchanges], []);
  two.talk.say("b");
  await clock.advance(1);
  assert.deepEqual(texts(one.talk), ["b"]);
  assert.equal(one.talk.session, two.talk.session);
  assert.notEqual(one.talk.session, before);
  assert.equal(server.streams, 2);
  one.close();
  two.close();
});

test("what may have reached the conversation before is not said twice", async () => {
  const { clock, server, open } = world();
  const { talk, close } = open();
  talk.say("a");
  await clock.advance(1);
  server.fault = ({ path }) => (path.endsWith("messages") ? { refuse: true } : null);
  talk.say("b");
  talk.say("c"); // was not tried
  await clock.advance(1);
  talk.renew();
  assert.deepEqual(states(talk), ["b: failed", "c: waiting"]);
  assert.match(talk.unsent[0].detail, /before/);
  server.fault = () => null;
  await clock.advance(60);
  assert.deepEqual(texts(talk), ["c"]);
  talk.retry(talk.unsent[0]);
  await clock.advance(1);
  assert.deepEqual(texts(talk), ["c", "b"]);
  close();
});

test("a message that was under way reaches the conversation before, once", async () => {
  const { clock, server, open } = world();
  const [one, two] = [open(), open()];
  one.talk.say("a");
  await clock.advance(1);
  server.fault = ({ path }) => (path.endsWith("messages") ? { before: 3 } : null);
  const before = one.talk.session;
  one.talk.say("b");
  await clock.advance(1);
  two.talk.renew();
  await clock.advance(60);
  for (const { talk } of [one, two]) {
    assert.deepEqual(talk.unsent, []);
    assert.deepEqual(texts(talk), []);
  }
  const { events } = server.sessions.get(before);
  assert.deepEqual(
    events.map(({ text }) => text),
    ["a", "b"],
  );
  one.close();
  two.close();
});

test("where a session is gone a new one is begun, with what waits", async () => {
  const { clock, server, open } = world();
  const { talk, shown, close } = open();
  talk.say("a");
  await clock.advance(1);
  server.delete(talk.session);
  await clock.advance(1);
  assert.deepEqual([talk.session, talk.exchanges], [null, []]);
  assert.equal(shown.exchanges.size, 0);
  assert.deepEqual(shown.failures, [
    "This conversation is no longer there; a new one was begun.",
  ]);
  talk.say("b");
  await clock.advance(1);
  assert.deepEqual(texts(talk), ["b"]);
  server.fault = ({ path }) => (path.endsWith("messages") ? { refuse: true } : null);
  talk.say("c");
  await clock.advance(1);
  server.delete(talk.session);
  server.fault = () => null;
  await clock.advance(60);
  assert.deepEqual([texts(talk), talk.unsent], [["c"], []]);
  assert.equal(shown.failures.length, 2);
  close();
});

test("also if the message is who finds out, in all tabs", async () => {
  const { clock, server, open } = world();
  const [one, two] = [open(), open()];
  one.talk.say("a");
  await clock.advance(1);
  server.fault = ({ path }) => (path.endsWith("events") ? { refuse: true } : null);
  server.cut();
  server.sessions.clear();
  one.talk.say("b");
  await clock.advance(2);
  server.fault = () => null;
  await clock.advance(60);
  for (const { talk } of [one, two]) {
    assert.deepEqual(texts(talk), ["b"]);
    assert.deepEqual(talk.unsent, []);
  }
  assert.equal(one.shown.failures.length, 1);
  one.close();
  two.close();
});

test("sessions that vanish each time are not opened on and on", async () => {
  const { clock, server, open } = world();
  const { talk, close } = open();
  server.open = () => "nobody";
  talk.say("a");
  await clock.advance(60);
  const opened = server.requests.filter(({ path }) => path === "session/new").length;
  assert.ok(opened < 20, `${opened} sessions`);
  assert.equal(talk.unsent.length, 1);
  close();
});

test("a session that is given is apart from the one that is kept", async () => {
  const { clock, server, open } = world();
  const first = open();
  first.talk.say("a");
  await clock.advance(1);
  first.close();
  server.open("given");
  server.append("given", "customer_said", { text: "b", message_id: "m" });
  const given = open({ session: "given" });
  assert.equal(given.talk.caughtUp, false);
  await clock.advance(1);
  assert.deepEqual([texts(given.talk), given.talk.caughtUp], [["b"], true]);
  given.close();
  const again = open();
  await clock.advance(1);
  assert.deepEqual(texts(again.talk), ["a"]);
  again.close();
});

test("asking once more: the same message, or the same words again", async () => {
  const { clock, server, open } = world();
  const { talk, shown, close } = open();
  const again = [];
  server.again = (id, seq) => again.push(seq);
  const end = (outcome) => {
    const seq = talk.exchanges.at(-1).seq;
    server.append(talk.session, "reply_started", { service: "s", intent: "", to: seq });
    server.append(talk.session, "reply_ended", { outcome, detail: "why" });
  };
  for (const outcome of ["cut", "refused", "failed"]) {
    talk.say(outcome);
    await clock.advance(1);
    end(outcome);
    await clock.advance(1);
    talk.retry(talk.exchanges.at(-1));
    await clock.advance(1);
  }
  assert.deepEqual(
    again,
    talk.exchanges.map(({ seq }) => seq),
  );
  talk.say("stopped");
  await clock.advance(1);
  end("stopped");
  await clock.advance(1);
  talk.retry(talk.exchanges.at(-1));
  await clock.advance(1);
  assert.deepEqual(texts(talk).slice(-2), ["stopped", "stopped"]);
  assert.equal(again.length, 3);
  assert.deepEqual(shown.failures, []);
  end("cut");
  server.up = false;
  await clock.advance(0);
  talk.retry(talk.exchanges.at(-1));
  await clock.advance(1);
  assert.deepEqual(shown.failures, ["The server can't be reached."]);
  close();
});

test("stopping asks the server, and says when it does not work", async () => {
  const { clock, server, open } = world();
  const { talk, shown, close } = open();
  talk.stop();
  await clock.advance(1);
  assert.ok(!server.requests.some(({ path }) => path.endsWith("stop")));
  talk.say("a");
  await clock.advance(1);
  talk.stop();
  await clock.advance(1);
  assert.equal(server.requests.at(-1).path, "session/@me/stop");
  server.fault = () => ({ response: () => server.problem(503, "Busy.") });
  talk.stop();
  await clock.advance(1);
  assert.deepEqual(shown.failures, ["Busy."]);
  server.fault = ({ path }) => (path.endsWith("events") ? { refuse: true } : null);
  server.sessions.clear();
  talk.stop();
  await clock.advance(0);
  assert.match(shown.failures[1], /no longer there/);
  assert.equal(talk.session, null);
  close();
});

test("a login opens a session, and holds until it is too long ago", async () => {
  const { clock, server, open } = world();
  const { talk, shown, close } = open();
  await clock.advance(1);
  clock.wall = 7200_000; // the browser's clock is wrong
  await talk.login("alice@example.com", "1234");
  await clock.advance(1);
  assert.equal(talk.customer.name, "Alice");
  const fields = { customer_id: "c1", lines: [], total: "5.00" };
  server.append(talk.session, "order_proposed", fields);
  await clock.advance(0);
  assert.equal(talk.proposal.total, "5.00");
  let told = shown.told;
  await clock.advance(598);
  assert.equal(talk.proposal.total, "5.00");
  assert.equal(shown.told, told);
  await clock.advance(4);
  assert.equal(talk.proposal, null);
  assert.ok(shown.told > told);
  told = shown.told;
  await clock.advance(295);
  assert.equal(talk.customer.name, "Alice");
  assert.equal(shown.told, told);
  await clock.advance(6);
  assert.equal(talk.customer, null);
  assert.ok(shown.told > told);
  await talk.login("alice@example.com", "1234");
  await clock.advance(0);
  assert.equal(talk.customer.name, "Alice");
  talk.logout();
  await clock.advance(0);
  assert.equal(talk.customer, null);
  close();
});

test("a login for longer than a timer can take is no busy loop", async () => {
  const { clock, server, open } = world();
  server.login_seconds = 1e10;
  const { talk, window, close } = open();
  await clock.advance(1);
  const delays = [];
  const { setTimeout } = window;
  window.setTimeout = (act, delay) => (delays.push(delay), setTimeout(act, delay));
  await talk.login("alice@example.com", "1234");
  await clock.advance(1);
  assert.equal(talk.customer.name, "Alice");
  assert.ok(delays.every((delay) => delay < 2 ** 31));
  close();
});

test("a proposal without a customer is none", async () => {
  const { clock, server, open } = world();
  const { talk, close } = open();
  talk.say("a");
  await clock.advance(1);
  const fields = { customer_id: "c1", lines: [], total: "5.00" };
  server.append(talk.session, "order_proposed", fields);
  await clock.advance(0);
  assert.equal(talk.proposal, null);
  close();
});

test("a login that is refused says why; its PIN is kept nowhere", async () => {
  const { clock, server, open, browser } = world();
  const { talk, close } = open();
  await clock.advance(1);
  await assert.rejects(talk.login("alice@example.com", "98765"), {
    status: 401,
    detail: "They don't belong together.",
  });
  for (const [name, value] of browser.items)
    assert.ok(!`${name}${value}`.includes("98765"));
  server.fault = () => ({ refuse: true });
  await assert.rejects(talk.login("alice@example.com", "1234"), { status: 0 });
  server.fault = ({ path }) => (path.endsWith("events") ? { refuse: true } : null);
  server.sessions.clear();
  await assert.rejects(talk.login("alice@example.com", "1234"), { status: 404 });
  assert.equal(talk.session, null);
  close();
});

test("a notice stands until the reply goes on", async () => {
  const { clock, server, open } = world();
  const { talk, close } = open();
  talk.say("a");
  await clock.advance(1);
  server.notice(talk.session, "Asking again…");
  await clock.advance(0);
  assert.equal(talk.notice, "Asking again…");
  talk.say("b");
  await clock.advance(1);
  assert.equal(talk.notice, "Asking again…");
  server.append(talk.session, "reply_started", { service: "s", intent: "", to: 1 });
  await clock.advance(0);
  assert.equal(talk.notice, "");
  assert.equal(talk.waiting, 1);
  assert.equal(talk.answering, talk.exchanges[0]);
  server.notice(talk.session, "Asking again…");
  await clock.advance(0);
  talk.renew();
  assert.equal(talk.notice, "");
  close();
});

test("what grew is gone with its conversation", async () => {
  const { clock, server, open } = world();
  const { talk, shown, close } = open();
  talk.say("a");
  await clock.advance(1);
  server.delta(talk.session, "He");
  await clock.advance(0);
  assert.equal(shown.growing, "He");
  talk.renew();
  assert.equal(shown.growing, "");
  close();
});

test("a reset by somebody else clears all tabs", async () => {
  const { clock, server, open } = world();
  const { talk, shown, close } = open();
  talk.say("a");
  await clock.advance(1);
  server.reset(talk.session);
  await clock.advance(0);
  assert.deepEqual([talk.exchanges, shown.exchanges.size], [[], 0]);
  talk.say("b");
  await clock.advance(1);
  assert.deepEqual(texts(talk), ["b"]);
  close();
});

test("a message that was stored and forgotten is not shown for ever", async () => {
  const { clock, server, open } = world();
  const { talk, close } = open();
  talk.say("a");
  await clock.advance(1);
  const slow = ({ path }) => (path.endsWith("messages") ? { after: 10 } : null);
  server.fault = (request) => slow(request) ?? { refuse: true };
  server.cut();
  talk.say("b");
  await clock.advance(1);
  server.reset(talk.session);
  server.fault = slow;
  await clock.advance(8);
  assert.deepEqual([texts(talk), states(talk)], [[], ["b: sending"]]);
  await clock.advance(1.1);
  assert.deepEqual([texts(talk), talk.unsent], [[], []]);
  close();
});

test("the welcome is asked for until it comes", async () => {
  const { clock, server, open } = world();
  server.up = false;
  const { talk, shown, close } = open();
  await clock.advance(20);
  assert.equal(talk.welcome, null);
  server.up = true;
  const told = shown.told;
  await clock.advance(40);
  assert.equal(talk.welcome.title, "Support");
  assert.ok(shown.told > told);
  close();
});

test("a tab that comes back goes where the others are", async () => {
  const { clock, open } = world();
  const [one, two] = [open(), open()];
  one.talk.say("a");
  await clock.advance(1);
  two.window.dispatch("pagehide");
  const dispatch = two.window.dispatch;
  two.window.dispatch = () => {}; // such a page hears nothing
  one.talk.renew();
  one.talk.say("b");
  await clock.advance(1);
  two.window.dispatch = dispatch;
  assert.deepEqual(texts(two.talk), ["a"]);
  two.window.dispatch("pageshow", { persisted: true });
  await clock.advance(1);
  assert.deepEqual(texts(two.talk), ["b"]);
  one.close();
  two.close();
});

test("a hidden tab takes the connection up for what it has to send", async () => {
  const { clock, server, open } = world();
  const { talk, window, close } = open();
  talk.say("a");
  await clock.advance(1);
  server.append(talk.session, "reply_started", { service: "s", intent: "", to: 1 });
  server.append(talk.session, "reply_ended", { outcome: "complete", detail: "" });
  window.show(false);
  await clock.advance(60);
  assert.equal(talk.connection, "idle");
  talk.say("b");
  await clock.advance(1);
  assert.deepEqual(texts(talk), ["a", "b"]);
  window.show(true);
  await clock.advance(1);
  assert.equal(talk.connection, "live");
  close();
});

test("after the end nothing is told, and nothing is left", async () => {
  const { clock, server, open } = world();
  for (const seconds of [0, 0.5, 3]) {
    for (const fault of [null, { after: 2 }, { before: 1 }, { refuse: true }]) {
      const { talk, window, close } = open();
      server.fault = () => fault;
      talk.say("a");
      const login = talk.login("alice@example.com", "1234").catch(() => {});
      talk.stop();
      await clock.advance(seconds);
      close(); // the view throws from here on
      assert.equal(window.listeners, 0);
      for (let tick = 0; tick < 60; tick++) {
        await clock.advance(0.1);
        if (!server.busy) assert.equal(clock.timers, 0);
      }
      await clock.advance(60);
      await login;
      assert.deepEqual(window.faults, []);
      assert.equal(clock.timers, 0);
      assert.equal(server.streams + server.polls, 0);
    }
  }
});

test("a page that may have no locks opens a session without", async () => {
  const { clock, open, server } = world();
  const { talk, window, close } = open();
  const forbidden = new DOMException("not here", "SecurityError");
  window.navigator.locks.request = async () => {
    throw forbidden;
  };
  talk.say("a");
  await clock.advance(1);
  assert.deepEqual(texts(talk), ["a"]);
  close();
  const other = open();
  other.talk.renew();
  server.fault = () => ({ refuse: true });
  other.talk.say("b");
  await clock.advance(60);
  assert.deepEqual(states(other.talk), ["b: waiting"]);
  other.close();
});

test("what is removed, or left, while a session opens is not sent", async () => {
  const { clock, server, open } = world();
  const { talk, close } = open();
  server.fault = ({ path }) => (path === "session/new" ? { before: 2 } : null);
  talk.say("a");
  talk.say("b");
  await clock.advance(1);
  talk.remove(talk.unsent[0]);
  await clock.advance(2);
  assert.deepEqual(texts(talk), ["b"]);
  talk.renew();
  talk.say("c");
  await clock.advance(1);
  close();
  await clock.advance(5);
  const sent = server.requests.filter(({ path }) => path.endsWith("messages"));
  assert.equal(sent.length, 1);
});

test("after a success it waits as short as at the beginning", async () => {
  const { clock, server, open } = world();
  const { talk, close } = open();
  talk.say("a");
  await clock.advance(1);
  const refuses = ({ path }) => (path.endsWith("messages") ? { refuse: true } : null);
  server.fault = refuses;
  talk.say("b");
  await clock.advance(60);
  server.fault = () => null;
  await clock.advance(30);
  for (const text of "cdefghij") {
    server.fault = refuses;
    talk.say(text);
    await clock.advance(0);
    server.fault = () => null;
    await clock.advance(0.5);
    assert.equal(texts(talk).at(-1), text);
  }
  close();
});

test("what fails in the conversation before holds up nothing", async () => {
  const { clock, server, open } = world();
  const { talk, close } = open();
  talk.say("a");
  await clock.advance(1);
  server.fault = ({ path }) =>
    path.endsWith("messages")
      ? { before: 3, response: () => server.problem(422) }
      : null;
  talk.say("b");
  talk.say("c");
  await clock.advance(1);
  talk.renew();
  const { detail } = talk.unsent[0];
  server.fault = () => null;
  await clock.advance(2);
  assert.deepEqual(texts(talk), ["c"]);
  assert.deepEqual(states(talk), ["b: failed"]);
  assert.equal(talk.unsent[0].detail, detail);
  close();
});

test("a message that is removed on its way stays away", async () => {
  const { clock, server, open } = world();
  const first = open();
  const response = () => server.problem(422);
  server.fault = ({ path }) =>
    path.endsWith("messages") ? { before: 2, response } : null;
  first.talk.say("a");
  await clock.advance(1);
  first.talk.remove(first.talk.unsent[0]);
  await clock.advance(5);
  first.close();
  const again = open();
  assert.deepEqual(again.talk.unsent, []);
  again.close();
});

test("a person does not have to wait for the next try", async () => {
  const { clock, server, open } = world();
  const { talk, close } = open();
  talk.say("a");
  await clock.advance(1);
  const response = () => server.problem(429, "Slowly.", { "retry-after": "60" });
  server.fault = ({ path }) => (path.endsWith("messages") ? { response } : null);
  talk.say("b");
  await clock.advance(1);
  server.fault = () => null;
  await clock.advance(20);
  assert.deepEqual(states(talk), ["b: waiting"]);
  talk.retry(talk.unsent[0]);
  await clock.advance(0);
  assert.deepEqual(texts(talk), ["a", "b"]);
  close();
});

test("a browser is not offline where the server answers", async () => {
  const { clock, open } = world();
  const { talk, window, close } = open();
  window.navigator.onLine = false;
  assert.equal(talk.connection, "offline");
  window.navigator.onLine = true;
  talk.say("a");
  await clock.advance(1);
  window.navigator.onLine = false;
  assert.equal(talk.connection, "live");
  close();
});

test("a message and a login open one session, kept or not", async () => {
  const { clock, server, browser, open } = world({ locks: false });
  browser.broken = true;
  const { talk, close } = open();
  await clock.advance(1);
  let wait = 1;
  server.fault = ({ path }) => (path === "session/new" ? { before: wait++ } : null);
  talk.say("a");
  const login = talk.login("alice@example.com", "1234");
  await clock.advance(5);
  await login;
  assert.equal(talk.customer.name, "Alice");
  assert.deepEqual(texts(talk), ["a"]);
  assert.equal(server.streams, 1);
  close();
});

test("that a session was gone is of no interest in the next one", async () => {
  const { clock, server, open } = world();
  const { talk, shown, close } = open();
  talk.say("a");
  await clock.advance(1);
  server.fault = ({ path }) => (path.endsWith("stop") ? { before: 2 } : null);
  talk.stop();
  const { session } = talk;
  talk.renew();
  server.delete(session);
  talk.say("b");
  await clock.advance(3);
  assert.deepEqual(shown.failures, []);
  assert.deepEqual(texts(talk), ["b"]);
  close();
});

test("messages are sent as soon as the connection is back", async () => {
  for (let seed = 1; seed < 6; seed++) {
    const { clock, server, open } = world({ seed });
    const { talk, close } = open();
    talk.say("a");
    await clock.advance(1);
    server.up = false;
    server.cut();
    talk.say("b");
    await clock.advance(200);
    server.up = true;
    while (talk.connection !== "live" && talk.unsent.length) await clock.advance(0.1);
    await clock.advance(0);
    assert.deepEqual(talk.unsent, []);
    close();
  }
});

test("what another tab says of the same session changes nothing", async () => {
  const { clock, server, open } = world();
  const { talk, window, close } = open();
  talk.say("a");
  await clock.advance(1);
  const { length } = server.requests;
  const key = `supportbot:${BASE}:session:`;
  window.dispatch("storage", { key, newValue: talk.session });
  await clock.advance(1);
  assert.deepEqual(texts(talk), ["a"]);
  assert.equal(server.requests.length, length);
  close();
});

test("after the end nothing waits for another try", async () => {
  const { clock, server, browser, open } = world();
  browser.random = () => 1;
  server.up = false;
  const first = open();
  await clock.advance(20);
  first.close();
  assert.equal(clock.timers, 0);
  server.up = true;
  server.fault = () => ({ before: 2, refuse: true });
  const other = open();
  other.talk.say("a");
  await clock.advance(1.9);
  other.close();
  await clock.advance(0.2);
  assert.equal(server.busy, 0);
  assert.equal(clock.timers, 0);
});

test("a page in another language reads its own words", async () => {
  const { clock, server, open } = world();
  const { talk, shown, close } = open({ words: { ...words, gone: "Weg." } });
  talk.say("Hello");
  await clock.advance(1);
  server.delete(talk.session);
  await clock.advance(1);
  assert.deepEqual(shown.failures, ["Weg."]);
  close();
});
