/**
 * The chat on a page of any site, by one line:
 *
 *   <script type="module" src="https://support.example/static/chat/widget.js"></script>
 *
 * It puts a button into a corner, and loads the chat when somebody opens it. What the
 * page may say are attributes of that line: `data-heading`, `data-theme`,
 * `data-position` ("start": the other corner) and `data-words`, the address of a module
 * that exports `words` in another language.
 */
import { h, icon } from "./dom.js";
import { words as english } from "./words.js";

/** @import {SupportChat} from "./support-chat.js" */

// Rules of the page reach the host alone, where `!important` in a shadow root wins over
// theirs. So it has no box, and all that shows is inside.
const STYLE = `
:host { all: initial !important; display: contents !important; }
#corner {
  position: fixed;
  inset-block-end: 16px;
  inset-inline-end: 16px;
  z-index: 2147483647;
  display: flex;
  flex-direction: column-reverse;
  align-items: end;
  gap: 12px;
  font: 16px var(--support-chat-font, system-ui);
  pointer-events: none;
}
#corner.start { inset-inline: 16px auto; align-items: start; }
#corner > * { pointer-events: auto; }
button {
  position: relative;
  flex: 0 0 56px;
  inline-size: 56px;
  padding: 12px;
  border: 2px solid transparent;
  border-radius: 99px;
  color: var(--support-chat-on-accent, light-dark(#fff, #0b1020));
  background: var(--support-chat-accent, light-dark(#2f5bd8, #9db4ff));
}
button:focus-visible { outline: 3px solid #fff; box-shadow: 0 0 0 6px #000; }
svg { display: block; fill: none; stroke: currentColor; stroke-width: 2; }
b { position: absolute; inset: -4px -4px auto auto; padding: 0 6px; }
b, p, #panel {
  border-radius: 16px;
  color: CanvasText;
  background: var(--support-chat-surface, Canvas);
  outline: 1px solid transparent;
  box-shadow: 0 0 0 1px #8888, 0 4px 32px #0004;
}
b:empty { display: none; }
p { max-inline-size: 300px; margin: 0; padding: 12px; }
p:empty { position: absolute; padding: 0; box-shadow: none; }
#panel {
  inline-size: min(400px, 100vw - 32px);
  block-size: min(640px, 100dvh - 100px);
  overflow: hidden;
}
#corner:not(.open) > #panel { display: none; }
@media (max-width: 480px), (max-height: 480px) {
  #corner.open { inset: 0; }
  .open > #panel { flex: 1; inline-size: 100%; border-radius: 0; }
  .open > button {
    position: absolute;
    inset-block-start: max(10px, env(safe-area-inset-top));
    inset-inline-end: 8px;
    z-index: 1;
    inline-size: 44px;
    padding: 8px;
    color: var(--support-chat-text, CanvasText);
    background: none;
  }
  support-chat::part(header) { padding-inline-end: 60px; }
}
@media print { #corner { display: none; } }
`;
const BUBBLE = "M4 4h16v12h-9l-5 4v-4H4z";
const CROSS = "M6 6l12 12M18 6L6 18";
const NAME = "support-chat-widget";

const line = [...document.scripts].find(({ src }) => src === import.meta.url);
const { heading, theme, position = "end", words: address } = line?.dataset ?? {};
const translation = address && new URL(address, document.baseURI).href;
/** @type {Partial<typeof english>} Without that module the chat speaks English. */
const own =
  (translation && (await import(translation).catch(console.error))?.words) || {};
const words = { ...english, ...own };
/** Where the server is, which may have a path in front. */
const base = new URL("../../", import.meta.url).href;

let open = false;
let unread = 0;
/** @type {Promise<SupportChat> | undefined} */
let loading;

const badge = h("b");
const launcher = h("button", { onclick: () => turn(!open, true) });
const status = h("p", { role: "status" });
const panel = h("div", { id: "panel" });
const corner = h("div", { id: "corner" }, launcher, status, panel);
corner.style.colorScheme = theme ?? "light dark";
corner.onkeydown = (event) => {
  // What has a use for the key within the chat keeps it to itself.
  if (event.key !== "Escape" || event.isComposing || !open) return;
  launcher.focus();
  turn(false);
};

/**
 * @param {boolean} wanted
 * @param {boolean} [asked] Whether a person did it, who gets the focus then.
 */
async function turn(wanted, asked) {
  open = wanted;
  status.textContent = open ? words.opening : "";
  try {
    const chat = await (loading ??= load());
    status.textContent = "";
    show();
    if (open && asked) chat.focus();
  } catch (error) {
    console.error(error);
    status.textContent = open ? words.unavailable : "";
    open = false;
    loading = undefined; // the next click tries again
  }
  visit(open ? "open" : "closed");
}

/** Fetch the chat, and put it behind the button. */
async function load() {
  await import("./support-chat.js");
  const chat = /** @type {SupportChat} */ (document.createElement("support-chat"));
  for (const [name, value] of Object.entries({ heading, theme })) {
    if (value) chat.setAttribute(name, value);
  }
  chat.words = own;
  chat.addEventListener("support-chat-unread", (event) => {
    unread = /** @type {CustomEvent<number>} */ (event).detail;
    show();
  });
  panel.append(chat);
  return chat;
}

function show() {
  corner.className = `${position} ${open ? "open" : ""}`;
  launcher.ariaExpanded = `${open}`;
  launcher.ariaLabel = words.launcher + (unread ? `, ${words.unread(unread)}` : "");
  badge.textContent = `${unread || ""}`;
  launcher.replaceChildren(icon(open ? CROSS : BUBBLE), badge);
}

/**
 * How it was left on the page before in this visit.
 *
 * @param {string} [state] How it is now.
 */
function visit(state) {
  const key = `supportbot:${base}:widget`;
  try {
    if (state) sessionStorage.setItem(key, state);
    return sessionStorage.getItem(key);
  } catch {
    return null; // the browser keeps nothing for this page
  }
}

// Some pages have the line twice.
if (!document.getElementById(NAME)) {
  const host = h("div", { id: NAME });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLE);
  const root = host.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [sheet];
  root.append(corner);
  show();
  // Behind the body, whose content some sites exchange as a whole.
  document.documentElement.append(host);
  // Where it was opened before and closed again, it counts what was answered since.
  const before = visit();
  if (before) turn(before === "open");
}
