import assert from "node:assert/strict";
import { test } from "node:test";

import { Conversation } from "../../supportbot/assets/chat/conversation.js";
import { transcript } from "../../supportbot/assets/chat/download.js";
import { words } from "../../supportbot/assets/chat/words.js";

/** @import { Exchange, Reply, Welcome } from "../../supportbot/assets/chat/types" */

/** @type {Welcome} */
const welcome = {
  title: "Outfitters",
  greeting: "",
  suggestions: [],
  services: { "product-info": "product service" },
  can_log_in: false,
  login_seconds: 0,
  proposal_seconds: 0,
  message_limit: 10,
};

/**
 * @param {string} text
 * @param {Partial<Reply> | null} reply
 * @returns {Exchange}
 */
function exchange(text, reply) {
  /** @type {Reply} */
  const plain = {
    seq: 2,
    service: "product-info",
    paragraphs: [],
    outcome: "complete",
    detail: "",
  };
  const at = Date.UTC(2026, 0, 2, 12) / 1000;
  return { seq: 1, messageId: "m", text, at, reply: reply && { ...plain, ...reply } };
}

/**
 * @param {Exchange[]} exchanges
 * @param {Welcome | null} [known]
 */
function lines(exchanges, known = welcome) {
  const { titleOf } = Conversation.prototype;
  return transcript({ exchanges, welcome: known, titleOf }, words).split("\n");
}

test("a transcript tells who said what, and when", () => {
  const paragraphs = [
    { text: "One <b>& two.", format: /** @type {const} */ ("plain") },
    { text: "**Three**", format: /** @type {const} */ ("markdown") },
  ];
  const told = lines([exchange("What\nis it?", { paragraphs })]);
  assert.match(told[2] ?? "", /^You \(.*2026.*\):$/);
  told.splice(2, 1);
  assert.deepEqual(told, [
    "Outfitters",
    "",
    "",
    "What",
    "is it?",
    "",
    "product service:",
    "",
    "One <b>& two.",
    "",
    "**Three**",
    "",
  ]);
});

test("a transcript tells how a reply ended, if it is not whole", () => {
  const ended = (/** @type {Partial<Reply>} */ reply) => lines([exchange("?", reply)]);
  assert.equal(
    ended({ outcome: "cut", detail: "Call us." }).at(-2),
    "[This answer broke off. Call us.]",
  );
  assert.equal(ended({ outcome: "stopped" }).at(-2), "[You stopped this answer.]");
  assert.equal(ended({ outcome: "complete" }).at(-2), "product service:");
  assert.equal(ended({ outcome: null }).at(-2), "product service:");
});

test("a transcript has what was not answered, and services without names", () => {
  assert.equal(lines([exchange("Anybody?", null)]).at(-2), "Anybody?");
  const told = lines([exchange("a", {}), exchange("b", { service: "other" })], null);
  assert.equal(told[0], words.title);
  assert.equal(told.filter((line) => line === "product-info:").length, 1);
  assert.equal(told.at(-2), "other:");
});
