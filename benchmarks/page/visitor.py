"""Somebody who looks at the page, and sees how long things take."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec
from playwright.async_api import Browser, Page, Response

from benchmarks.page.upstream import MARK

PATIENCE = 60_000  # milliseconds until what does not come is missing
_SETTLING = 500  # milliseconds after the last paragraph in which frames still count
_POLLING = 100  # milliseconds

_WATCH = """
const seen = { frames: [], tasks: [], usable: 0 };
window.seen = seen;
const note = (list) => {
  for (const { duration } of list.getEntries()) seen.tasks.push(duration);
};
new PerformanceObserver(note).observe({ type: "long-animation-frame", buffered: true });
let last = 0;
const frame = (now) => {
  if (last) seen.frames.push(now - last);
  last = now;
  if (!seen.usable) {
    const root = document.querySelector("support-chat")?.shadowRoot;
    const composer = root?.querySelector("textarea");
    if (composer && !composer.disabled) seen.usable = performance.now();
  }
  requestAnimationFrame(frame);
};
requestAnimationFrame(frame);
"""
_PAINTED = """() => {
  const paint = (name) => performance.getEntriesByName(name)[0]?.startTime;
  if (!paint("first-contentful-paint")) return null;
  if (document.querySelector("support-chat") && !seen.usable) return null;
  return {
    paint: paint("first-paint"),
    content: paint("first-contentful-paint"),
    usable: seen.usable,
  };
}"""
_SHOWN = """(least) => {
  const root = document.querySelector("support-chat").shadowRoot;
  const shown = [...root.querySelectorAll("[part~=paragraph]")];
  return shown.length >= least && shown.map((one) => one.textContent);
}"""
_FORGET = "() => { seen.frames.length = seen.tasks.length = 0; }"


class Painted(msgspec.Struct, frozen=True):
    """Milliseconds from the start of the navigation.

    Attributes:
        paint: until anything was painted.
        content: until the first words or pictures were.
        usable: until somebody could write a message; 0 where nobody can.
    """

    paint: float
    content: float
    usable: float


class Smooth(msgspec.Struct, frozen=True):
    """How smooth the page was.

    Attributes:
        longest: milliseconds between two frames, at most.
        late: frames that came 50 ms after the one before, or later.
        longest_work: milliseconds of work and painting for one frame, at most, if it
            was 50 or more; else 0.
        heap: MiB of scripts' objects afterwards, without garbage.
        nodes: of the DOM.
        wrong: what was not shown as it was said; empty if all was.
    """

    longest: float
    late: int
    longest_work: float
    heap: float
    nodes: int
    wrong: str


class Visitor:
    """A browser of somebody's own, in which nothing is kept yet.

    Args:
        page: opened by `visitor`.

    Attributes:
        fetched: bytes of each response's body as it came, by path.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._responses = list[Response]()
        page.on("response", lambda response: self._responses.append(response))

    async def close(self) -> None:
        """Forget all of it."""
        await self._page.context.close()

    async def load(self, url: str, *, cached: bool = True) -> Painted:
        """Go to a page, from nowhere.

        Args:
            cached: what was there before need not be fetched again.
        """
        await self._page.goto("about:blank")
        self._responses.clear()
        if not cached:
            tools = await self._page.context.new_cdp_session(self._page)
            await tools.send("Network.clearBrowserCache")
            await tools.detach()
        await self._page.goto(url)
        painted = await self._page.wait_for_function(
            _PAINTED, polling=_POLLING, timeout=PATIENCE
        )
        return msgspec.convert(await painted.json_value(), Painted)

    async def fetched(self) -> dict[str, int]:
        """Bytes of the bodies that came for the page, compressed, by path."""
        sizes = dict[str, int]()
        for response in self._responses:
            path = urlsplit(response.url).path
            if not path.startswith("/api/"):
                sizes[path] = (await response.request.sizes())["responseBodySize"]
        return sizes

    async def ask(self, message: str, paragraphs: int) -> Smooth:
        """Say something, and wait for the whole answer, in how many paragraphs."""
        composer = self._page.locator("support-chat textarea")
        await composer.fill(message)
        await self._page.evaluate(_FORGET)
        await composer.press("Enter")
        return await self._looked(paragraphs)

    async def come_back(self, paragraphs: int) -> Smooth:
        """Load the page again, and wait for the whole history."""
        await self._page.reload()
        return await self._looked(paragraphs)

    async def _looked(self, paragraphs: int) -> Smooth:
        shown = await self._page.wait_for_function(
            _SHOWN, arg=paragraphs, polling=_POLLING, timeout=PATIENCE
        )
        texts: list[str] = await shown.json_value()
        await self._page.wait_for_timeout(_SETTLING)
        seen: Any = await self._page.evaluate("() => seen")
        tools = await self._page.context.new_cdp_session(self._page)
        await tools.send("HeapProfiler.collectGarbage")
        heap = await tools.send("Runtime.getHeapUsage")
        counters = await tools.send("Memory.getDOMCounters")
        await tools.detach()
        return Smooth(
            longest=max(seen["frames"]),
            late=sum(gap >= 50 for gap in seen["frames"]),
            longest_work=max(seen["tasks"], default=0.0),
            heap=heap["usedSize"] / 2**20,
            nodes=counters["nodes"],
            wrong=_wrong(texts, paragraphs),
        )


async def visitor(browser: Browser) -> Visitor:
    """A new one, who looks closely."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    await context.add_init_script(_WATCH)
    return Visitor(await context.new_page())


def _wrong(texts: list[str], paragraphs: int) -> str:
    if len(texts) != paragraphs:
        return f"{len(texts)} paragraphs in the place of {paragraphs}"
    for number, text in enumerate(texts):
        if f"{MARK}{number} " not in text:
            return f"paragraph {number} is {text[:100]!r}"
    return ""
