import DOMPurify from "../dompurify-3.4.18/purify.js";
import { Marked } from "../marked-18.2.1/marked.js";
import { h } from "./dom.js";

/** @import {Paragraph} from "./types" */

const tags =
  "p br strong b em i u s del code pre ul ol li a blockquote h3 h4 h5 h6 hr " +
  "table thead tbody tr th td";
const allowed = {
  ALLOWED_TAGS: tags.split(" "),
  ALLOWED_ATTR: ["href", "start", "align"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(?:https?|mailto|tel):/i,
  // The numbers and words of these two can't be taken for an address.
  ADD_URI_SAFE_ATTR: ["start", "align"],
  RETURN_DOM_FRAGMENT: /** @type {const} */ (true),
};

const markdown = new Marked({
  // People and models end a line where they want it to end.
  breaks: true,
  walkTokens(token) {
    // Pictures of others are never fetched: whoever wants to see one follows a link.
    if (token.type === "image") token.type = "link";
    // The frame has the first two levels.
    if (token.type === "heading") token.depth = Math.max(token.depth, 3);
  },
  renderer: {
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    // It is meant as text, except for the one way to break a line within a table.
    html: ({ text }) =>
      /^<br ?\/?>$/i.test(text) ? text : text.replaceAll("<", "&lt;"),
  },
});

const AMOUNT = String.raw`\d+(?:[.,]\d+)*`;
const PRICE = `\\p{Sc} ?${AMOUNT}(?: [A-Z]{3})?|${AMOUNT} ?(?:\\p{Sc}|[A-Z]{3}\\b)`;
// "Monitor: $1.50, 3 in stock", "Monitor – $1.50 (3 in stock)", "Status: paid".
const row = new RegExp(
  `^(.*?)(?:: | [–—-] (?=${PRICE}))(${PRICE})?[,.;]? ?(.*)$`,
  "su",
);

/**
 * Shows a list as rows of names and values if all its items are such, and one has a
 * price. No word is lost by that; of the signs between them some are.
 *
 * @param {Element} list
 */
function tabulate(list) {
  const items = [...list.children];
  const rows = items.map(({ lastChild }) => row.exec(lastChild?.nodeValue ?? ""));
  if (!rows.every(Boolean) || !rows.some((parts) => parts?.[2])) return;
  list.className = "rows";
  // Safari takes a list without bullets for none.
  list.role = "list";
  items.forEach((item, i) => {
    const [, name = "", price = "", note = ""] = rows[i] ?? [];
    item.lastChild?.replaceWith(name);
    const value = h("span", { className: "value" }, h("b", {}, price), ` ${note}`);
    item.append(
      h("div", { className: "entry" }, h("span", {}, ...item.childNodes), " ", value),
    );
  });
}

/**
 * A paragraph as it is shown. It may come from anybody: nothing that runs or loads gets
 * through, and what can't be read is shown as the text that it is.
 *
 * @param {Paragraph} paragraph
 * @param {{ table: string, code: string }} words
 * @returns {Node}
 */
export function fragment({ text, format }, words) {
  try {
    if (format !== "plain") return clean(text, format, words);
  } catch {
    // As text, then.
  }
  return h("p", { className: "plain" }, text);
}

/**
 * @param {string} text
 * @param {string} format
 * @param {{ table: string, code: string }} words
 */
function clean(text, format, words) {
  const html = format === "html" ? text : markdown.parse(text, { async: false });
  const shown = DOMPurify.sanitize(html, allowed);
  for (const link of shown.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  shown.querySelectorAll("ul, ol").forEach(tabulate);
  for (const wide of shown.querySelectorAll("pre, table")) {
    const label = wide.tagName === "PRE" ? words.code : words.table;
    // Whoever has no mouse scrolls what has the focus.
    const named = { className: "wide", role: "group", ariaLabel: label, tabIndex: 0 };
    const box = h("div", named);
    wide.replaceWith(box);
    box.append(wide);
  }
  return shown;
}

/**
 * A paragraph as text to be kept: Markdown and plain text as they came.
 *
 * @param {Paragraph} paragraph
 */
export function plain({ text, format }) {
  if (format !== "html") return text;
  const shown = DOMPurify.sanitize(text, allowed);
  for (const end of shown.querySelectorAll("br, p, li, pre")) end.after("\n");
  return (shown.textContent ?? "").trim();
}
