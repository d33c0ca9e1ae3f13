/**
 * An element with its properties, attributes and children.
 *
 * What the element knows as a property is set as one (`onclick`, `hidden`, `className`,
 * `textContent`), everything else as an attribute (`aria-label`, `for`). Text is text:
 * nothing here reads HTML.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [properties]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) Reflect.set(element, name, value);
    else element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * A line drawing of 24 by 24 in the colour of the text around it. It says nothing: a
 * word or a label has to stand beside it.
 *
 * @param {string} path What to draw, in the language of SVG's `d`.
 */
export function icon(path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/**
 * A round button that shows a drawing, and has its words for those who ask for them.
 *
 * @param {string} label
 * @param {string} path
 * @param {Record<string, unknown>} properties
 */
export function iconButton(label, path, properties) {
  const named = { type: "button", className: "icon-button", title: label };
  return h("button", { ...named, ariaLabel: label, ...properties }, icon(path));
}
