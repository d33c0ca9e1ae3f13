import { h } from "./dom.js";
import { plain } from "./markup.js";

/** @import {Conversation} from "./conversation.js" */
/** @import {words as Words} from "./words.js" */

/**
 * What was said, as text.
 *
 * @param {Pick<Conversation, "exchanges" | "titleOf" | "welcome">} conversation
 * @param {typeof Words} words
 */
export function transcript(conversation, words) {
  const blocks = [conversation.welcome?.title ?? words.title];
  for (const { text, at, reply } of conversation.exchanges) {
    const { service = "", paragraphs = [], outcome, detail } = reply ?? {};
    blocks.push(`${words.you} (${new Date(at * 1000).toLocaleString()}):`, text);
    if (reply) blocks.push(`${conversation.titleOf(service)}:`);
    blocks.push(...paragraphs.map(plain));
    if (outcome && outcome !== "complete") {
      blocks.push(`[${words.outcomes[outcome]} ${detail}`.trim() + "]");
    }
  }
  return blocks.join("\n\n") + "\n";
}

/**
 * Gives what was said to the person, as a file.
 *
 * @param {Conversation} conversation
 * @param {typeof Words} words
 */
export function download(conversation, words) {
  const text = transcript(conversation, words);
  const href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  h("a", { href, download: `${words.file}.txt` }).click();
  // Some browsers fetch it a moment later.
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}
