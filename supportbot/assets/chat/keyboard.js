/** Pixels. A browser's bars are lower than this, and keyboards are higher. */
const BARS = 120;

/**
 * Keeps the frame out from under the on-screen keyboard of browsers that lay it over
 * the page, as Safari does: while the host has the focus, the frame takes only as much
 * of it as is seen. The other browsers make the page smaller by themselves.
 *
 * @param {HTMLElement} host
 * @param {AbortSignal} signal Ends it.
 */
export function aboveKeyboard(host, signal) {
  const seen = window.visualViewport;
  if (!seen) return;
  const fit = () => {
    const { top, bottom } = host.getBoundingClientRect();
    const { offsetTop, height, scale } = seen;
    const gone = document.documentElement.clientHeight - height * scale;
    const open = gone > BARS && host.matches(":focus-within");
    const cover = (/** @type {string} */ edge, /** @type {number} */ pixels) => {
      const covered = open && pixels > 0 ? `${pixels}px` : "";
      host.style.setProperty(`--covered-${edge}`, covered);
    };
    cover("start", offsetTop - top);
    cover("end", bottom - offsetTop - height);
  };
  seen.addEventListener("resize", fit, { signal });
  seen.addEventListener("scroll", fit, { signal });
}
