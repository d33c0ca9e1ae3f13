/**
 * How the chat looks. Lengths are in `em`, so that a host's `html { font-size }` does
 * not shrink it; what is told apart by colour has a border or a word as well.
 *
 * `--line` is decoration, `--edge` (3:1) the borders of controls; `--gutter` is the
 * inline padding that centres a column. `.button`, `.quiet` and `.icon-button` are the
 * kinds of buttons, `.hidden-words` are only read aloud.
 *
 * First the frame, then, from `.log` on, what was said.
 */
export const style = `
:host {
  position: relative;
  display: block;
  block-size: 100%;
  min-block-size: min(24rem, 100dvh);
  color-scheme: light dark;
}
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
:host([hidden]), [hidden] { display: none !important; }

.frame {
  all: initial;
  color-scheme: inherit;
  visibility: inherit;
  --accent: var(--support-chat-accent, light-dark(#2f5bd8, #9db4ff));
  --on-accent: var(--support-chat-on-accent, light-dark(#fff, #0b1020));
  --surface: var(--support-chat-surface, light-dark(#fff, #14171c));
  --text: var(--support-chat-text, light-dark(#1b1f26, #e9ebee));
  --muted: var(--support-chat-muted, light-dark(#5a6270, #a4acb8));
  --line: var(--support-chat-line, light-dark(#e4e7ec, #2b3038));
  --bubble: var(--support-chat-bubble, light-dark(
    color-mix(in oklab, var(--accent) 10%, var(--surface)),
    color-mix(in oklab, var(--accent) 22%, var(--surface))));
  --radius: var(--support-chat-radius, 1.125em);
  --edge: light-dark(#868e9c, #6d7683);
  --danger: light-dark(#b3261e, #ffb4ab);
  --gutter: max(1em, env(safe-area-inset-left), env(safe-area-inset-right),
    50cqi - 23em);
  position: absolute;
  inset: var(--covered-start, 0) 0 var(--covered-end, 0);
  container-type: size;
  display: flex;
  flex-direction: column;
  overflow: clip;
  background: var(--surface);
  color: var(--text);
  font: max(16px, 1rem)/1.5 var(--support-chat-font, system-ui, sans-serif);
  text-align: start;
  overflow-wrap: anywhere;
  -webkit-text-size-adjust: 100%;
}
.middle { flex: 1; display: grid; min-block-size: 0; }
h1, h2, p, ul { margin: 0; padding: 0; list-style: none; }
.frame :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.hidden-words, .skip:not(:focus) { position: absolute; clip-path: inset(50%); }
.hidden-words { inline-size: 1px; block-size: 1px; overflow: hidden; }

button {
  display: inline-flex;
  align-items: center;
  justify-content: center;
  gap: .5em;
  min-block-size: 2.25em;
  padding: .25em .875em;
  border: 1px solid transparent;
  border-radius: 2em;
  background: none;
  color: inherit;
  font: inherit;
  font-size: .9375em;
  line-height: 1.25;
  cursor: pointer;
}
@media (hover: hover) {
  button:hover { background-image: linear-gradient(#8883 0 0); }
}
button[aria-disabled="true"] { opacity: .6; }
.button { background: var(--accent); color: var(--on-accent); font-weight: 600; }
.quiet { border-color: var(--edge); }
.icon-button { flex: none; inline-size: 44px; block-size: 44px; padding: 0; }
svg {
  inline-size: 1.375em;
  block-size: 1.375em;
  fill: none;
  stroke: currentColor;
  stroke-width: 2;
  stroke-linecap: round;
  stroke-linejoin: round;
}
input, textarea {
  box-sizing: border-box;
  min-inline-size: 0;
  padding: .5625em .875em;
  border: 1px solid var(--edge);
  border-radius: var(--radius);
  background: var(--surface);
  color: inherit;
  font: inherit;
  font-size: max(16px, 1rem);
  font-weight: 400;
}
input:focus-visible, textarea:focus-visible { outline-offset: -1px !important; }
[aria-invalid="true"] { border-color: var(--danger); }
.error, .alert svg { color: var(--danger); }

.skip { position: absolute; inset: .75em auto auto 1em; z-index: 1; }
.header, .alert, .row, .notes, .login div { display: flex; gap: .5em; }
.header {
  align-items: center;
  gap: .75em;
  padding: max(.625em, env(safe-area-inset-top)) var(--gutter) .625em;
  border-block-end: 1px solid var(--line);
}
.mark {
  flex: none;
  display: grid;
  place-items: center;
  inline-size: 2.5em;
  block-size: 2.5em;
  border-radius: .875em;
  background: var(--accent);
  color: var(--on-accent);
}
.titles { flex: 1; }
h1, h2 { font-size: 1.0625em; font-weight: 650; line-height: 1.3; }
.badge, .notes, .menu p { color: var(--muted); font-size: .8125em; }
.corner { position: relative; margin-inline-end: -.625em; }
.corner svg { stroke-width: 3; }
.menu {
  position: absolute;
  inset-block-start: 100%;
  inset-inline-end: .25em;
  z-index: 1;
  inline-size: max-content;
  max-inline-size: min(18em, 100cqi - 2em);
  padding: .375em;
  border: 1px solid var(--line);
  border-radius: var(--radius);
  background: var(--surface);
  box-shadow: 0 .5em 2em light-dark(#1b1f2629, #0009);
}
.menu button { inline-size: 100%; justify-content: start; text-align: start; }
.menu p:not(:empty) { padding: 0 1em .5em; }

.login {
  overflow: auto;
  display: grid;
  gap: .75em;
  padding: 1em var(--gutter);
  border-block-end: 1px solid var(--line);
}
label {
  display: grid;
  gap: .25em;
  max-inline-size: 28em;
  font-size: .875em;
  font-weight: 600;
}

.alert {
  align-items: center;
  margin: .5em var(--gutter) 0;
  padding-inline-start: .875em;
  border: 1px solid var(--danger);
  border-radius: var(--radius);
}
.alert p { flex: 1; padding-block: .5em; }
.status { padding: .25em var(--gutter); color: var(--muted); min-block-size: 1.3125em; }
.status * { font-size: .875em; }

.composer { padding: 0 var(--gutter) max(.625em, env(safe-area-inset-bottom)); }
.row { align-items: end; }
.grow { flex: 1; display: grid; min-inline-size: 0; }
.grow::after, textarea {
  grid-area: 1 / 1;
  max-block-size: min(10.25em, 35cqb);
  overflow: hidden auto;
  resize: none;
}
.grow::after {
  content: attr(data-text) " ";
  visibility: hidden;
  box-sizing: border-box;
  padding: .5625em .875em;
  border: 1px solid;
  white-space: pre-wrap;
}
::placeholder { color: var(--muted); opacity: 1; }
.notes { min-block-size: .375em; padding: .25em .875em 0; }
.count { margin-inline-start: auto; white-space: nowrap; }

@container (max-width: 30em) or (max-height: 20em) {
  #hint { position: absolute; clip-path: inset(50%); }
}
@container (max-height: 27em) {
  .login:not([hidden]) ~ .composer { display: none; }
}
@container (max-height: 17em) {
  .header { padding-block: 0; }
  .mark { display: none; }
}
@media (pointer: coarse) {
  button, input { min-block-size: 44px; min-inline-size: 44px; }
}
@media (prefers-reduced-motion: no-preference) {
  .menu, .login, .alert { animation: appear .16s; }
  @keyframes appear { from { translate: 0 -.5em; } }
}
@media print {
  :host, :host([theme]) { color-scheme: light; }
  .frame { --gutter: 0; position: static; container-type: normal; }
  .frame, .middle, .log { display: block; overflow: visible; }
  button, .login, .middle ~ * { display: none; }
}
@media (forced-colors: active) {
  .button, .icon-button, .mark { border: 1px solid ButtonText; }
}

.log { position: relative; display: grid; min-block-size: 0; }
.scroller { position: relative; overflow: hidden auto; overscroll-behavior: contain; }
.scroller:focus-visible { outline-offset: -3px; }
.column { display: flow-root; padding: 0 var(--gutter) .5em; overflow-wrap: anywhere; }
.column > :not([role]) { overflow-anchor: none; }
.newer {
  position: absolute;
  inset-block-end: .5em;
  justify-self: center;
  background: var(--surface);
}
.greeting { display: grid; gap: 1.25em; padding-block: 2em 1em; }
.greeting p { font-size: 1.25em; line-height: 1.4; }
.greeting ul, .proposal, .actions { display: flex; flex-wrap: wrap; gap: .5em; }
.proposal { margin-block-start: .5em; }
.greeting button { text-align: start; }

.exchange, .unsent { padding-block-start: 1em; }
.day { margin-block: .5em 1.5em; text-align: center; }
.day, time, .state, .who, .value { color: var(--muted); }
.day, time, .state, .who { font-size: .8125em; }
.said { display: flex; justify-content: end; align-items: end; gap: .75em; }
.bubble {
  order: 1;
  max-inline-size: 34em;
  padding: .5em .875em;
  border: 1px solid transparent;
  border-radius: var(--radius);
  border-end-end-radius: .25em;
  background: var(--bubble);
}
.bubble, .plain, .growing { white-space: pre-wrap; }
time { flex: none; padding-block-end: .5em; opacity: 0; }
.exchange:is(:hover, :focus-within) time { opacity: 1; }
.state { margin-block-start: .25em; text-align: end; }
.state .actions { justify-content: end; font-size: 1.125em; }
.exchange .state { display: none; }
.queue .state { display: block; }
.unsent .bubble { border: 1px dashed var(--edge); background: none; }
.sending { animation: late .6s; }
@keyframes late { from, 99% { opacity: 0; } }

.who { margin-block-start: 1em; font-weight: 600; }
.who::first-letter { text-transform: uppercase; }
.paragraph, .growing { margin-block-start: .5em; }
.paragraph * { margin: 0; }
.paragraph > * + * { margin-block-start: .5em; }
.paragraph :is(ul, ol) { padding-inline-start: 1.75em; }
.paragraph ul { list-style: disc; }
.paragraph :is(h3, h4, h5, h6) { font-size: 1em; }
.paragraph blockquote {
  padding-inline-start: 1em;
  border-inline-start: 3px solid var(--line);
}
.paragraph a { color: var(--accent); }
.paragraph code {
  padding: .125em .375em;
  border-radius: .375em;
  background: var(--bubble);
  font: .9375em ui-monospace, monospace;
}
.paragraph pre code { padding: 0; background: none; }
.paragraph :is(.wide, .rows) { border: 1px solid var(--line); border-radius: .75em; }
.wide { overflow: auto hidden; overflow-wrap: normal; }
.wide pre { inline-size: max-content; padding: .75em 1em; }
.wide table { min-inline-size: 100%; border-collapse: collapse; }
.wide :is(th, td) { padding: .375em .875em; }
.wide :is(th, td):not([align]) { text-align: start; }
:is(tbody tr, .rows li + li) { border-block-start: 1px solid var(--line); }
.paragraph .rows { padding-inline: .875em; }
.paragraph ol.rows { padding-inline-start: 2.25em; }
.paragraph ul.rows { list-style: none; }
.rows li { padding-block: .375em; }
.entry { display: flex; flex-wrap: wrap; column-gap: 1em; }
.value { flex: 1 0 auto; max-inline-size: 100%; text-align: end; }
.value b { color: var(--text); }

.trouble { display: flex; gap: .5em; margin-block-start: .75em; font-size: .875em; }
.trouble svg { flex: none; color: var(--danger); }
.trouble.stopped svg { color: inherit; }
.state .trouble { justify-content: end; margin: 0; color: var(--text); font-size: 1em; }
.actions { align-items: center; margin-block: .25em -.5em; }
.exchange:not(:last-child) .again { visibility: hidden; }
.actions .icon-button {
  inline-size: 2.25em;
  block-size: 2.25em;
  margin-inline-start: -.5em;
  color: var(--muted);
}
.typing { display: flex; gap: .375em; padding-block: 1em .5em; }
.typing i, .growing::after {
  inline-size: .5em;
  block-size: .5em;
  border: .25em solid var(--accent);
  border-radius: 50%;
  box-sizing: border-box;
}
.growing::after { content: ""; display: inline-block; margin-inline-start: .25em; }
@media (hover: none) {
  time { opacity: 1; }
}
@media (hover: hover) {
  .exchange:not(:hover, :focus-within, :last-child) .icon-button { opacity: 0; }
}
@media (prefers-reduced-motion: no-preference) {
  .typing i, .growing::after { animation: breathe 1.2s infinite; }
  .typing i + i { animation-delay: .15s; }
  .typing i + i + i { animation-delay: .3s; }
  @keyframes breathe { 50% { opacity: .25; } }
}
@media print {
  .scroller { overflow: visible; }
  .bubble { border-color: var(--edge); }
  .typing, .growing { display: none; }
}
@media (forced-colors: active) {
  .bubble { border-color: CanvasText; }
}
`;
