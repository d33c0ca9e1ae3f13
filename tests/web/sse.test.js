// @ts-nocheck: fakes stand in for browsers, which have far more
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventStream } from "../../supportbot/assets/chat/sse.js";
import { seeded } from "./fakes.js";

/** What a text says, cut at these places. */
function read(text, cuts = []) {
  const stream = new EventStream();
  const events = [];
  let from = 0;
  for (const to of [...cuts, text.length]) {
    events.push(...stream.feed(text.slice(from, to)));
    from = to;
  }
  return events;
}

test("an event has a type and lines of data", () => {
  assert.deepEqual(read("event: delta\nid: 3\ndata: a\ndata:b\ndata\n\n"), [
    { event: "delta", data: "a\nb\n" },
  ]);
});

test("without a type it is a message, also behind one that has a type", () => {
  assert.deepEqual(
    read("event: x\ndata: 1\n\ndata: 2\n\n").map(({ event }) => event),
    ["x", "message"],
  );
});

test("comments, other fields and events without data say nothing", () => {
  assert.deepEqual(read("retry: 5\n:\n\n: data: x\n\nevent: lost\n\ndata: 1\n\n"), [
    { event: "message", data: "1" },
  ]);
});

test("one space behind the colon does not count, others and colons do", () => {
  assert.deepEqual(read("data:  a: b\n\n"), [{ event: "message", data: " a: b" }]);
});

test("separators of lines in JSON are text", () => {
  assert.deepEqual(read("data: a\u2028b\n\n"), [
    { event: "message", data: "a\u2028b" },
  ]);
});

test("what is not finished is not told", () => {
  assert.deepEqual(read("data: 1\n"), []);
  assert.deepEqual(read("data: 1\n\ndata: 2"), [{ event: "message", data: "1" }]);
});

test("a blank line behind a CR is told at once", () => {
  const stream = new EventStream();
  assert.equal(stream.feed("data: 1\r\r").length, 1);
  assert.equal(stream.feed("").length, 0);
  assert.deepEqual(stream.feed("\ndata: 2\n\n"), [{ event: "message", data: "2" }]);
});

test("the cuts and the ends of lines make no difference", () => {
  const random = seeded(5);
  const lines = ["data: x", "event: y", ":", "", "", "id: 3", "data", "data: ü:", ""];
  for (let round = 0; round < 500; round++) {
    const chosen = Array.from({ length: 12 }, () => lines[Math.floor(random() * 9)]);
    const plain = chosen.map((line) => `${line}\n`).join("");
    const ends = ["\n", "\r\n", "\r"];
    const text = chosen.map((line) => line + ends[Math.floor(random() * 3)]).join("");
    // An empty line that ends with LF would complete a CR before it.
    const mixed = /\r\n/.test(text) ? plain.replaceAll("\n", "\r\n") : text;
    const cuts = Array.from({ length: 6 }, () => Math.floor(random() * mixed.length));
    assert.deepEqual(
      read(
        mixed,
        cuts.sort((a, b) => a - b),
      ),
      read(plain),
    );
  }
});
