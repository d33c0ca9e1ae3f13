"""People with browsers: Debian's Chromium, and all that has to hold on every page.

Nothing here waits for a time: each step waits until what it needs is there.
"""

from __future__ import annotations

import functools
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Dialog,
    Error,
    Locator,
    Page,
    Request,
    Response,
    WebError,
    expect,
    sync_playwright,
)

from tests.npm import package
from tests.program import Server

_AXE = "4.14.1"  # as in .ci/packages
_RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_HOST = "support-chat"
_LEFT = "net::ERR_ABORTED"  # the page itself hung up
_PATIENCE = 20_000  # milliseconds after which what has to be seen will not be

expect.set_options(timeout=_PATIENCE)


_LEAN = (
    "--no-sandbox",
    # A fifth of the time is saved where there is no graphics card, and where
    # no process is started ahead for a page that is never opened.
    "--disable-gpu",
    "--disable-features=SpareRendererForSitePerProcess",
)


@functools.cache
def _axe() -> str:
    return (package("axe-core", _AXE) / "axe.min.js").read_text("utf-8")


MEMORY = ("--database", "memory")
DEMO = ("--demo", "--demo-delay", "0", "--demo-zeroes", "0", *MEMORY)

_WIPE = """if (self === top && !name) {
  localStorage.clear();
  sessionStorage.clear();
  name = "used";
}"""
"""Runs before a page's own scripts; the name is the tab's, and outlives reloads."""

Serve = Callable[..., Server]
"""Starts one, as `served` does."""


def address(server: Server) -> str:
    """Where its page is."""
    return f"http://127.0.0.1:{server.port}/"


class Visitor:
    """Somebody who looks at a page, with a browser of their own.

    Args:
        page: nothing has been opened in it yet, and its browser knows nobody else.

    Attributes:
        context, page: Playwright's. There may be more pages in the context.
        asked: every request of all pages.
        troubles: all that a good page never does, a line each.
    """

    def __init__(self, page: Page) -> None:
        self.page, self.context = page, page.context
        self.asked = list[Request]()
        self.troubles = list[str]()
        self._forgiven = list[re.Pattern[str]]()
        self._noticed = {
            "console": self._console,
            "weberror": self._error,
            "dialog": self._dialog,
            "request": self._request,
            "requestfailed": self._failed,
            "response": self._answered,
        }
        for event, notice in self._noticed.items():
            self.context.on(event, notice)  # type: ignore[call-overload]

    def visit(self, url: str) -> None:
        """Open the page, and wait until something can be typed."""
        self.page.goto(url)
        expect(self.composer).to_be_editable()

    def reload(self) -> None:
        """As with F5."""
        self.page.reload()
        expect(self.composer).to_be_editable()

    def another_tab(self, url: str) -> Visitor:
        """The same browser's next tab; what it does wrong is this visitor's trouble."""
        tab = copy(self)
        tab.page = self.context.new_page()
        tab.visit(url)
        return tab

    def forgive(self, *patterns: str) -> None:
        """Take troubles that match one of these as what was meant to happen."""
        self._forgiven += map(re.compile, patterns)

    def leave(self) -> list[str]:
        """Look no more; returns the troubles that were not meant to happen."""
        for event, notice in self._noticed.items():
            self.context.remove_listener(event, notice)
        return [
            trouble
            for trouble in self.troubles
            if not any(pattern.search(trouble) for pattern in self._forgiven)
        ]

    # What they do

    def say(self, text: str) -> None:
        """Type a message, and send it."""
        self.composer.fill(text)
        self.composer.press("Enter")

    def choose(self, entry: str) -> None:
        """Open the menu, and take one of its entries."""
        self.menu.click()
        self.button(entry).click()

    def log_in(self, email: str, pin: str) -> None:
        """Fill in the form, which is open, and send it."""
        self.email.fill(email)
        self.pin.fill(pin)
        self.form.get_by_role("button", name="Log in").click()

    # What they see

    @property
    def log(self) -> Locator:
        """What was said, as far as it is finished."""
        return self.page.get_by_role("log")

    @property
    def paragraphs(self) -> Locator:
        """The finished paragraphs of all replies."""
        return self.log.locator("[part~=paragraph]")

    @property
    def said(self) -> Locator:
        """What the customer said, and the server has stored."""
        return self.log.locator("[part~=bubble]")

    @property
    def unsent(self) -> Locator:
        """What the customer said, and no service has begun to answer."""
        bubbles = self.page.locator("[part~=bubble]")
        return bubbles.locator("xpath=self::*[not(ancestor::*[@role='log'])]")

    @property
    def composer(self) -> Locator:
        """Where one types."""
        return self.page.get_by_role("textbox", name="Message")

    def text(self, words: str) -> Locator:
        """A text that is just this."""
        return self.page.get_by_text(words, exact=True)

    def told(self, words: str | re.Pattern[str]) -> Locator:
        """A line that says what goes on, or what was done."""
        return self.page.get_by_role("status").filter(has_text=words)

    def warned(self, words: str | re.Pattern[str]) -> Locator:
        """A line that says what went wrong."""
        return self.page.get_by_role("alert").filter(has_text=words)

    @property
    def form(self) -> Locator:
        """Where one signs in."""
        return self.page.get_by_role("form", name="Log in")

    @property
    def email(self) -> Locator:
        """Its first field."""
        return self.form.get_by_label("E-mail address")

    @property
    def pin(self) -> Locator:
        """Its other field."""
        return self.form.get_by_label("PIN")

    @property
    def badge(self) -> Locator:
        """It says who is logged in."""
        return self.page.locator(".badge")

    @property
    def menu(self) -> Locator:
        """The button that opens it."""
        return self.button("Menu")

    def button(self, name: str | re.Pattern[str]) -> Locator:
        """The one that is called so."""
        exact = isinstance(name, str)
        return self.page.get_by_role("button", name=name, exact=exact)

    def is_accessible(self, *, contrast: bool = True) -> None:
        """Fail where axe finds a fault in what is shown now.

        Args:
            contrast: that of the colours too.
        """
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(_axe())
        found = self.page.evaluate(
            """async ({host, rules, contrast}) => {
              const shadow = document.querySelector(host)?.shadowRoot;
              const moving = [document, ...(shadow ? [shadow] : [])]
                .flatMap((root) => root.getAnimations())
                .filter((one) => one.effect.getComputedTiming().endTime < Infinity);
              await Promise.allSettled(moving.map((one) => one.finished));
              const {violations} = await axe.run(document, {
                runOnly: rules,
                rules: {"color-contrast": {enabled: contrast}},
                resultTypes: ["violations"],
              });
              return violations.flatMap(({id, nodes}) => nodes.map((node) =>
                `${id}: ${node.target.join(" ")}: ${node.failureSummary}`));
            }""",
            {"host": _HOST, "rules": _RULES, "contrast": contrast},
        )
        assert found == [], "\n".join(found)

    # What is noticed

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning", "assert"}:
            where = message.location.get("url", "")
            self.troubles.append(f"console: {message.text} ({where})")

    def _error(self, error: WebError) -> None:
        self.troubles.append(f"error: {error.error}")

    def _dialog(self, dialog: Dialog) -> None:
        self.troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        self.asked.append(request)

    def _failed(self, request: Request) -> None:
        if request.failure != _LEFT:
            self.troubles.append(f"failed: {_short(request)}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.troubles.append(
                f"refused: {_short(response.request)}: {response.status}"
            )


def _short(request: Request) -> str:
    return f"{request.method} {urlsplit(request.url).path}"


class Browsers:
    """One for each visitor, who keeps it apart from all others.

    A new one takes as much time as a short test, so that of somebody who did nothing
    out of the ordinary is wiped and given to the next.

    Args:
        chromium: what runs them all.
    """

    def __init__(self, chromium: Browser) -> None:
        self._chromium = chromium
        self._plain = set[Page]()
        self._free = list[Page]()

    def new(self, **options: Any) -> Page:
        """For somebody with needs, such as a `viewport`; they come as in Playwright."""
        # What moves without end takes a processor: nobody looks at it here.
        options = {"reduced_motion": "reduce", **options}
        context = self._chromium.new_context(**options)
        context.set_default_timeout(_PATIENCE)
        return context.new_page()

    def plain(self) -> Page:
        """For somebody who opens the page and uses it."""
        if self._free:
            return self._free.pop()
        page = self.new()
        page.add_init_script(_WIPE)
        self._plain.add(page)
        return page

    def give_back(self, page: Page) -> None:
        """Its visitor has left."""
        context = page.context
        if page not in self._plain or page.is_closed():
            context.close()
            return
        for tab in context.pages:
            if tab is not page:
                tab.close()
        context.unroute_all()
        page.unroute_all()
        context.set_offline(False)
        page.evaluate("location.replace('about:blank')")
        page.wait_for_url("about:blank")
        page.evaluate("window.name = ''")
        self._free.append(page)


class People:
    """All visitors of one test.

    Args:
        browsers: what they come with.
    """

    def __init__(self, browsers: Browsers) -> None:
        self._browsers = browsers
        self._here = list[Visitor]()

    def come(self, url: str = "", *, fresh: bool = False, **options: Any) -> Visitor:
        """One more, who opens the page.

        Args:
            url: where it is; if empty, none is opened.
            fresh: in a browser that nobody has after them, whatever they do to it.
            options: of the browser; see `Browsers.new`.
        """
        plain = not (fresh or options)
        page = self._browsers.plain() if plain else self._browsers.new(**options)
        visitor = Visitor(page)
        self._here.append(visitor)
        if url:
            visitor.visit(url)
        return visitor

    def leave(self) -> None:
        """All go; fails if one had troubles."""
        troubles = list[str]()
        while self._here:
            visitor = self._here.pop(0)
            troubles += visitor.leave()
            self._browsers.give_back(visitor.page)
        assert troubles == [], "\n".join(troubles)

    def pictured(self) -> str:
        """Keep what all pages look like; says where."""
        folder = Path(tempfile.mkdtemp(prefix="supportbot-page-"))
        told = [f"Pictures are in {folder}"]
        for number, visitor in enumerate(self._here):
            told += visitor.troubles
            for at, page in enumerate(visitor.context.pages):
                with suppress(Error):
                    page.screenshot(path=folder / f"{number}-{at}.png", timeout=5000)
                    told += [page.url, page.locator("body").aria_snapshot(timeout=5000)]
        return "\n".join(told)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's; while it runs, nobody else in the process can use asyncio."""
    program = shutil.which("chromium")
    assert program, "this test needs Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=_LEAN)
        try:
            yield running
        finally:
            running.close()
