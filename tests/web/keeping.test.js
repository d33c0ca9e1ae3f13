// @ts-nocheck: fakes stand in for browsers, which have far more
import assert from "node:assert/strict";
import { test } from "node:test";
import { Keeping } from "../../supportbot/assets/chat/keeping.js";
import { Browser, Clock, seeded, settle } from "./fakes.js";

const BASE = "https://support.example/";

function begin(given = null) {
  const browser = new Browser(new Clock(), seeded(1), null);
  const open = (session = given, base = BASE) => {
    const window = browser.window();
    const keeping = new Keeping(base, session, window);
    const heard = [];
    const { signal } = new AbortController();
    const hear = (event) =>
      keeping.heard(
        event,
        (id) => heard.push(["session", id]),
        (id, message) => heard.push([id, message?.text ?? null]),
      );
    window.addEventListener("storage", hear, { signal });
    return { keeping, heard, hear };
  };
  return { browser, open };
}

const message = (id, at) => ({
  id,
  text: `text ${id}`,
  at,
  state: "sending",
  detail: "",
});

test("a session and messages are there after a reload, in their order", () => {
  const { open } = begin();
  const { keeping } = open();
  assert.equal(keeping.session, null);
  assert.deepEqual(keeping.unsent, []);
  keeping.session = "one";
  for (const one of [message("b", 2), message("c", 3), message("a", 1)])
    keeping.put(one);
  keeping.drop("c");
  const again = open().keeping;
  assert.equal(again.session, "one");
  assert.deepEqual(again.unsent, [message("a", 1), message("b", 2)]);
  again.session = null;
  assert.equal(keeping.session, null);
});

test("other tabs hear of it", async () => {
  const { open } = begin();
  const [here, there] = [open(), open()];
  here.keeping.session = "one";
  here.keeping.put(message("a", 1));
  here.keeping.drop("a");
  here.keeping.session = null;
  await settle();
  assert.deepEqual(here.heard, []);
  assert.deepEqual(there.heard, [
    ["session", "one"],
    ["a", "text a"],
    ["a", null],
    ["session", null],
  ]);
});

test("other servers' and other sessions' things stay apart", async () => {
  const { open, browser } = begin();
  const all = [
    open(),
    open("given"),
    open("other"),
    open(null, "https://two.example/"),
  ];
  browser.items.set("cart", "[]");
  for (const [index, { keeping }] of all.entries()) {
    keeping.session = `session-${index}`;
    keeping.put(message(`m${index}`, 1));
  }
  await settle();
  for (const [index, { keeping, heard }] of all.entries()) {
    assert.equal(keeping.session, `session-${index}`);
    assert.deepEqual(
      keeping.unsent.map(({ id }) => id),
      [`m${index}`],
    );
    assert.deepEqual(heard, []);
  }
  for (const name of browser.items.keys())
    assert.match(name, /^supportbot:https:|^cart$/);
});

test("what is no session's id is not taken for one", () => {
  for (const junk of ["<é>", "one two", "", "a".repeat(129)]) {
    assert.equal(begin(junk).open().keeping.session, null);
  }
  assert.equal(begin("A-z_0.9~").open().keeping.session, "A-z_0.9~");
});

test("what is no message is not taken for one", () => {
  const { browser, open } = begin();
  const { keeping } = open();
  keeping.put(message("good", 1));
  const [name] = browser.items.keys();
  const { id, text, at } = message("other", 2);
  const junk = [{ id, at }, { id, text }, { text, at }, { id, text, at: 1e30 }];
  for (const one of [...junk, { id, text: 5, at }, [], 5, null]) {
    browser.items.set(name.replace("good", "other"), JSON.stringify(one));
    assert.deepEqual(
      keeping.unsent.map((kept) => kept.id),
      ["good"],
    );
  }
});

test("a session that was given holds until another is kept, or none", () => {
  const { open } = begin("given");
  const { keeping } = open();
  assert.equal(keeping.session, "given");
  keeping.session = null;
  assert.equal(keeping.session, null);
  assert.equal(open().keeping.session, null);
  keeping.session = "new";
  assert.equal(open().keeping.session, "new");
});

test("where nothing can be kept, nothing breaks", () => {
  const { open, browser } = begin("given");
  browser.broken = true;
  const { keeping } = open();
  assert.equal(keeping.session, "given");
  keeping.put(message("a", 1));
  keeping.drop("a");
  assert.deepEqual(keeping.unsent, []);
  keeping.session = null;
  assert.equal(keeping.session, null, "not the same again, which may be gone");
});

test("what others wrote there is passed over", () => {
  const { open, browser } = begin();
  const { keeping } = open();
  keeping.put(message("a", 1));
  const name = [...browser.items.keys()][0];
  for (const text of ["", "{", "null", "5", '{"id":"b"}']) {
    browser.items.set(name.replace(/a$/, "b"), text);
    assert.deepEqual(keeping.unsent, [message("a", 1)]);
  }
});

test("data that are cleared are no wish for another session", () => {
  const { open } = begin();
  const { hear, heard, keeping } = open();
  hear({ key: null, newValue: null });
  hear({ key: keeping.lock, newValue: null });
  hear({ key: "cart", newValue: "[]" });
  assert.deepEqual(heard, []);
});
