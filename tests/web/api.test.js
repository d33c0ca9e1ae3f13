// @ts-nocheck: fakes stand in for browsers, which have far more
import assert from "node:assert/strict";
import { test } from "node:test";
import { Api, ApiError, Backoff, why } from "../../supportbot/assets/chat/api.js";
import { words } from "../../supportbot/assets/chat/words.js";
import { Browser, Clock, Server, html, seeded, settle } from "./fakes.js";

function begin() {
  const clock = new Clock();
  const server = new Server(clock);
  const window = new Browser(clock, seeded(1), server.fetch).window();
  const api = new Api("https://support.example/some/where/", window);
  /** The error that a call ends with, when so many seconds have passed. */
  const error = async (call, seconds = 0) => {
    const caught = call.then(
      () => assert.fail("it worked"),
      (why) => why,
    );
    await clock.advance(seconds);
    const why = await caught;
    assert.ok(why instanceof ApiError, String(why));
    return why;
  };
  const answers = (response) => (server.fault = () => ({ response }));
  return { clock, server, api, error, answers, window };
}

test("a session's id stands in a header, and in no address", async () => {
  const { server, api } = begin();
  api.session = await api.open();
  assert.equal(await api.say("hi", "m1"), 1);
  assert.equal(await api.say("hi", "m1"), 1);
  const { signal } = new AbortController();
  assert.equal((await api.poll(0, 0, signal)).events.length, 1);
  assert.equal((await api.login("alice@example.com", "1234")).name, "Alice");
  await api.logout();
  await api.stop();
  assert.equal((await api.welcome()).title, "Support");
  for (const { path, query, init } of server.requests) {
    assert.ok(!`${path}?${query}`.includes(api.session));
    const id = path.includes("@me") ? api.session : null;
    assert.equal(init.headers.get("session-id"), id);
    assert.equal(init.credentials, "omit");
    assert.equal(init.cache, "no-store");
    const posts = !/events|welcome/.test(path);
    assert.equal(init.method, posts ? "POST" : undefined);
    assert.equal(init.headers.get("content-type"), posts ? "application/json" : null);
  }
});

test("the server may be below a path", async () => {
  const { window, api, server } = begin();
  const urls = [];
  window.fetch = (url, init) => (urls.push(url), server.fetch(url, init, window));
  await api.open();
  assert.deepEqual(urls, ["https://support.example/some/where/api/session/new"]);
});

test("a problem tells its detail, and when to come back", async () => {
  const { server, api, error, answers } = begin();
  answers(() => server.problem(429, "Too much.", { "retry-after": "7" }));
  const why = await error(api.open());
  assert.deepEqual(
    [why.status, why.detail, why.retryAfter, why.gone, why.passing],
    [429, "Too much.", 7, false, true],
  );
  answers(() => server.problem(503, "Later.", { "retry-after": "86400" }));
  assert.equal((await error(api.open())).retryAfter, 300);
  answers(() => server.problem(503, "Later.", { "retry-after": "Wed, 21 Oct" }));
  assert.equal((await error(api.open())).retryAfter, null);
});

test("what may work later is told apart from what never will", async () => {
  const { server, api, error, answers } = begin();
  for (const [status, passing] of Object.entries({
    400: false,
    401: false,
    403: false,
    408: true,
    409: true,
    413: false,
    422: false,
    425: true,
    429: true,
    500: true,
    503: true,
  })) {
    answers(() => server.problem(Number(status)));
    assert.equal((await error(api.open())).passing, passing, status);
  }
});

test("a session is gone if the server says so, not if a proxy does", async () => {
  const { api, error, answers } = begin();
  api.session = "nobody";
  const gone = await error(api.say("hi", "m1"));
  assert.deepEqual([gone.gone, gone.status], [true, 404]);
  answers(() => html(404));
  const other = await error(api.say("hi", "m1"));
  assert.deepEqual([other.gone, other.passing, other.status], [false, true, 404]);
  assert.match(why(other, words), /404/);
});

test("an answer of somebody on the way is none", async () => {
  const { api, error, answers, server, clock } = begin();
  api.session = server.open();
  const { signal } = new AbortController();
  for (const response of [
    () => html(200),
    () => new Response("null"),
    () => new Response("{}"),
    () => new Response('{"seq":'),
  ]) {
    answers(response);
    for (const call of [
      () => api.say("hi", "m1"),
      () => api.open(),
      () => api.welcome(),
      () => api.login("a@example.com", "1234"),
      () => api.poll(0, 0, signal),
      () => api.stream(0, signal),
    ]) {
      const none = await error(call());
      assert.deepEqual([none.status, none.passing], [0, true]);
      assert.equal(why(none, words), words.unreachable);
    }
  }
  await clock.advance(0);
  assert.equal(clock.timers, 0);
});

test("every call has a deadline", async () => {
  const { server, api, error, clock } = begin();
  api.session = server.open();
  server.fault = () => ({ before: 100 });
  const { signal } = new AbortController();
  const late = async (call, seconds) => {
    let over = false;
    const why = error(call, 0).finally(() => (over = true));
    await clock.advance(seconds - 0.1);
    assert.equal(over, false);
    await clock.advance(0.2);
    assert.equal(over, true);
    assert.equal((await why).status, 0);
  };
  await late(api.say("hi", "m1"), 15);
  await late(api.welcome(), 15);
  await late(api.poll(0, 25, signal), 35);
});

test("the deadline counts for the body too", async () => {
  const { api, window, error } = begin();
  api.session = "one";
  window.fetch = async (url, { signal }) => {
    const start = (it) =>
      signal.addEventListener("abort", () => it.error(signal.reason));
    return new Response(new ReadableStream({ start }));
  };
  assert.equal((await error(api.say("hi", "m1"), 15.1)).status, 0);
});

test("a call that is not wanted any more ends at once", async () => {
  const { server, api, error } = begin();
  api.session = server.open();
  const attempt = new AbortController();
  const call = error(api.poll(0, 25, attempt.signal));
  await settle();
  assert.equal(server.polls, 1);
  attempt.abort();
  assert.equal((await call).status, 0);
  assert.equal(server.polls, 0);
});

test("the server's clock counts", async () => {
  const { clock, api } = begin();
  clock.wall = 3600_000;
  assert.equal(api.now, clock.now / 1000 + 3600);
  await api.open();
  assert.ok(Math.abs(api.now - clock.now / 1000) <= 1);
});

test("waits double up to a limit, and are shortened at random", async () => {
  const clock = new Clock();
  const window = new Browser(clock, () => 0.5, null).window();
  const pause = new Backoff(window);
  const waits = [];
  for (let round = 0; round < 9; round++) {
    const began = clock.now;
    let over = false;
    pause.wait(new ApiError(0)).then(() => (over = true));
    while (!over) await clock.advance(0.125);
    waits.push((clock.now - began) / 1000);
  }
  assert.deepEqual(waits, [0.25, 0.5, 1, 2, 4, 8, 15, 15, 15]);
});

test("a wait ends early, unless the server asked for it", async () => {
  const clock = new Clock();
  const pause = new Backoff(new Browser(clock, () => 1, null).window());
  let over = false;
  pause.wait(new ApiError(0)).then(() => (over = true));
  pause.wake();
  await settle();
  assert.equal(over, true);
  assert.equal(clock.timers, 0);
  over = false;
  pause.wait(new ApiError(503, "", 9)).then(() => (over = true));
  pause.wake();
  await clock.advance(8.9);
  assert.equal(over, false);
  await clock.advance(0.2);
  assert.equal(over, true);
});
