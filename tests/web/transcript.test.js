// @ts-nocheck: fakes stand in for browsers, which have far more
import assert from "node:assert/strict";
import { test } from "node:test";
import { Transcript } from "../../supportbot/assets/chat/transcript.js";

/** A transcript, and a way to tell it the next events. */
function begin() {
  const transcript = new Transcript();
  let seq = 0;
  const tell = (type, fields = {}) => {
    const event = { seq: ++seq, at: seq, ...fields, type };
    seq = event.seq;
    return transcript.apply(event);
  };
  const say = (text, more = {}) =>
    tell("customer_said", { text, message_id: text, ...more });
  return { transcript, tell, say };
}

const ALICE = { customer_id: "c1", name: "Alice", email: "alice@example.com" };
const ORDER = { customer_id: "c1", lines: [], total: "5.00" };

test("a message and its reply are an exchange", () => {
  const { transcript, tell, say } = begin();
  const { exchange } = say("hi");
  assert.deepEqual(exchange, {
    seq: 1,
    messageId: "hi",
    text: "hi",
    at: 1,
    reply: null,
  });
  assert.equal(tell("reply_started", { service: "s", to: 1 }).exchange, exchange);
  assert.equal(transcript.answering, exchange);
  assert.equal(
    tell("paragraph_said", { text: "A", format: "html" }).exchange,
    exchange,
  );
  assert.equal(exchange.reply.outcome, null);
  assert.equal(
    tell("reply_ended", { outcome: "cut", detail: "why" }).exchange,
    exchange,
  );
  assert.deepEqual(exchange.reply, {
    seq: 2,
    service: "s",
    paragraphs: [{ text: "A", format: "html" }],
    outcome: "cut",
    detail: "why",
  });
  assert.equal(transcript.answering, null);
  assert.deepEqual(transcript.exchanges, [exchange]);
});

test("an event that is known already says nothing", () => {
  const { transcript, tell, say } = begin();
  say("hi");
  tell("reply_started", { service: "s", to: 1 });
  const again = { type: "paragraph_said", text: "A", format: "html", seq: 2, at: 2 };
  assert.equal(transcript.apply(again), null);
  assert.equal(transcript.apply({ ...again, seq: undefined }), null);
  assert.deepEqual(transcript.exchanges[0].reply.paragraphs, []);
  assert.equal(transcript.seq, 2);
});

test("a revised reply keeps what stands, and no more than there is", () => {
  const { transcript, tell, say } = begin();
  say("hi");
  tell("reply_started", { service: "s", to: 1 });
  const texts = () => transcript.exchanges[0].reply.paragraphs.map(({ text }) => text);
  for (const text of "abc") tell("paragraph_said", { text, format: "plain" });
  assert.ok(tell("reply_revised", { keep: 7 }).exchange);
  assert.deepEqual(texts(), ["a", "b", "c"]);
  tell("reply_revised", { keep: 1 });
  tell("paragraph_said", { text: "d", format: "plain" });
  assert.deepEqual(texts(), ["a", "d"]);
});

test("a second reply to the same message takes the place of the first", () => {
  const { transcript, tell, say } = begin();
  say("hi");
  tell("reply_started", { service: "s", to: 1 });
  tell("paragraph_said", { text: "A", format: "plain" });
  tell("reply_ended", { outcome: "cut", detail: "" });
  tell("reply_started", { service: "other", to: 1 });
  const { reply } = transcript.exchanges[0];
  assert.deepEqual(
    [reply.service, reply.outcome, reply.paragraphs],
    ["other", null, []],
  );
});

test("replies go to their messages, in whichever order these were said", () => {
  const { transcript, tell, say } = begin();
  say("one");
  say("two");
  tell("reply_started", { service: "s", to: 2 });
  tell("paragraph_said", { text: "A", format: "plain" });
  tell("reply_ended", { outcome: "complete", detail: "" });
  const [one, two] = transcript.exchanges;
  assert.equal(one.reply, null);
  assert.equal(two.reply.outcome, "complete");
});

test("a reply to a message that was forgotten is of no interest", () => {
  const { transcript, tell, say } = begin();
  say("one");
  tell("reply_started", { service: "s", to: 1 });
  assert.equal(tell("conversation_reset").cleared, true);
  assert.equal(transcript.answering, null);
  assert.deepEqual(tell("paragraph_said", { text: "A", format: "plain" }), {});
  assert.deepEqual(tell("reply_started", { service: "s", to: 1 }), {});
  assert.deepEqual(tell("reply_ended", { outcome: "complete", detail: "" }), {});
  assert.deepEqual(transcript.exchanges, []);
});

test("an end of a kind that is not known is a failure", () => {
  for (const outcome of ["complete", "cut", "stopped", "refused", "failed", "new"]) {
    const { transcript, tell, say } = begin();
    say("hi");
    tell("reply_started", { service: "s", to: 1 });
    tell("reply_ended", { outcome, detail: "" });
    const shown = outcome === "new" ? "failed" : outcome;
    assert.equal(transcript.exchanges[0].reply.outcome, shown);
  }
});

test("events of types that are not known are numbers only", () => {
  const { transcript, tell } = begin();
  assert.deepEqual(tell("from_the_future", { to: 1 }), {});
  assert.equal(transcript.seq, 1);
});

test("what grows ends with every event but another message", () => {
  const { transcript, tell, say } = begin();
  const grown = () => {
    transcript.delta("x", false);
    transcript.delta("He", true);
    transcript.delta("y", false);
    return transcript.growing;
  };
  assert.equal(grown(), "Hey");
  say("hi");
  assert.equal(transcript.growing, "Hey");
  for (const type of [
    "reply_started",
    "paragraph_said",
    "tool_called",
    "from_the_future",
  ]) {
    assert.equal(grown(), "Hey");
    tell(type, { to: 1 });
    assert.equal(transcript.growing, "");
  }
});

test("a customer stays for so long after the newest message", () => {
  const { transcript, tell, say } = begin();
  const name = (now) => transcript.loggedIn(now, 900)?.name;
  assert.equal(name(1), undefined);
  tell("customer_verified", { ...ALICE, at: 1000 });
  assert.equal(name(1900), "Alice");
  assert.equal(name(1901), undefined);
  say("one", { at: 1900 });
  assert.equal(name(2800), "Alice");
  assert.equal(name(2801), undefined);
  assert.equal(name(999), undefined, "a clock that was set back");
  say("two", { at: 2801 });
  assert.equal(name(2801), undefined, "it may be somebody else by now");
  say("three", { at: 2802 });
  assert.equal(name(2802), undefined);
  tell("customer_verified", { ...ALICE, at: 2900 });
  assert.equal(name(2901), "Alice");
});

test("messages long before the login don't matter to it", () => {
  const { transcript, tell, say } = begin();
  say("one", { at: 10 });
  say("two", { at: 5000 });
  tell("customer_verified", { ...ALICE, at: 9000 });
  assert.equal(transcript.loggedIn(9001, 900)?.email, "alice@example.com");
});

test("a logout and a reset end the login", () => {
  for (const type of ["customer_logged_out", "conversation_reset"]) {
    const { transcript, tell } = begin();
    tell("customer_verified", ALICE);
    tell(type);
    assert.equal(transcript.loggedIn(2, 900), null);
  }
});

test("a proposal is there while it is the newest thing, and not for long", () => {
  const ends = {
    customer_said: { text: "yes", message_id: "m" },
    reply_started: { service: "s", to: 1 },
    order_sent: { ...ORDER, to: 1 },
    customer_logged_out: {},
    conversation_reset: {},
    customer_verified: { ...ALICE, customer_id: "c2" },
  };
  for (const [type, fields] of Object.entries(ends)) {
    const { transcript, tell } = begin();
    tell("customer_verified", ALICE);
    tell("order_proposed", ORDER);
    tell("customer_verified", ALICE);
    tell("paragraph_said", { text: "Shall I?", format: "plain" });
    tell("reply_ended", { outcome: "complete", detail: "" });
    assert.equal(transcript.proposal(602, 600).total, "5.00");
    assert.equal(transcript.proposal(603, 600), null);
    assert.equal(transcript.proposal(-600, 600), null);
    tell(type, fields);
    assert.equal(transcript.proposal(3, 600), null, type);
  }
});
