import { h, iconButton } from "./dom.js";

/**
 * A button that shows a list of buttons. Esc, a choice, and going elsewhere close it.
 *
 * @param {string} label
 * @param {HTMLLIElement[]} items
 */
export function menu(label, items) {
  const button = iconButton(label, "M5 12h.01M12 12h.01M19 12h.01", {
    ariaExpanded: "false",
    onclick: () => show(list.hidden !== false),
  });
  // Safari takes a list without bullets for none, if its role is not said.
  const named = { className: "menu", part: "menu", role: "list", hidden: true };
  const list = h("ul", named, ...items);
  const corner = h("div", { className: "corner" }, button, list);

  const outside = (/** @type {Event} */ event) => {
    if (!event.composedPath().includes(corner)) show(false);
  };
  const show = (/** @type {boolean} */ open) => {
    list.hidden = !open;
    button.ariaExpanded = String(open);
    if (open) document.addEventListener("pointerdown", outside);
    else document.removeEventListener("pointerdown", outside);
  };
  const leave = () => {
    show(false);
    button.focus();
  };

  // First of all, so that what is chosen may take the focus further.
  list.addEventListener("click", leave, true);
  corner.onkeydown = (event) => {
    if (event.key !== "Escape" || list.hidden) return;
    event.stopPropagation();
    leave();
  };
  corner.addEventListener("focusout", ({ relatedTarget: to }) => {
    if (to instanceof Node && !corner.contains(to)) show(false);
  });
  return corner;
}
