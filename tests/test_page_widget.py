"""The chat on pages of other sites, by one line, in a real browser."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, expect

from supportbot.settings import load
from tests.browser import People, Visitor
from tests.nginx import nginx
from tests.program import ROOT, Server, free_port, served
from tests.test_end_to_end import ASK_LIGHT, ASK_SOCKS, SOCKS
from tests.test_http_end_to_end import Controlled, service

__all__ = ["service"]

pytest_plugins = ("tests.browser_fixture",)

EXAMPLE = (ROOT / "docs" / "examples" / "embed.html").read_text("utf-8")
DOCUMENT = (ROOT / "docs" / "web-page.md").read_text("utf-8")
LINE = re.compile(
    r'<script type="module" src="https://support\.example/(\S+)"></script>'
)
DEMO = ("--demo", "--demo-delay", "0", "--demo-zeroes", "0", "--database", "memory")
PARAGRAPHS = re.findall("<p>(.*)</p>", SOCKS)
DAY, NIGHT = "rgb(138, 59, 29)", "rgb(240, 165, 133)"  # the example's own colour
BLOCKED = "blocked by CORS policy", "net::ERR_FAILED"


class Site:
    """Somebody else's web server, whose pages have the line.

    Args:
        folder: for settings of a chat's server.

    Attributes:
        origin: of its pages; no cookie of the chat's server would be sent there.
        support: where the line finds the chat.
        attributes: what the line says besides.
        page: its pages, of which the line is replaced.
        policy: their Content-Security-Policy; none if it is empty.
        words: what is served as `/words.js`.
        servers: that run until the site is closed, after all visitors have left.
    """

    def __init__(self, folder: Path) -> None:
        site, self._folder = self, folder

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                """Be quiet."""

        self.servers = ExitStack()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.origin = f"http://localhost:{self._server.server_port}"
        self.support, self.attributes, self.policy, self.words = "", "", "", ""
        self.page = EXAMPLE
        threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        ).start()

    def chat(
        self,
        *arguments: str,
        setting: str = "",
        env: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> Server:
        """A server for the chat, which the pages name from now on.

        Args:
            setting: a line of its settings; if empty, the pages may have the chat.
        """
        named = settings(self._folder, setting or f'http.origins = ["{self.origin}"]')
        program = served(*(arguments or DEMO), *named, env=env, port=port)
        server = self.servers.enter_context(program)
        self.support = url(server)
        return server

    def close(self) -> None:
        """Serve no more."""
        self.servers.close()
        self._server.shutdown()
        self._server.server_close()

    def line(self, query: str = "") -> str:
        """The line as it stands in a page."""
        found = LINE.search(EXAMPLE)
        assert found, "the example has no line"
        source = f"{self.support}/{found[1]}{query}"
        return f'<script type="module" src="{source}" {self.attributes}></script>'

    def _answer(self, asked: BaseHTTPRequestHandler) -> None:
        media, body = "text/html", LINE.sub(lambda _: self.line(), self.page)
        if asked.path == "/words.js":
            media, body = "text/javascript", self.words
        asked.send_response(200)
        asked.send_header("Content-Type", f"{media}; charset=utf-8")
        if self.policy:
            asked.send_header("Content-Security-Policy", self.policy)
        asked.end_headers()
        asked.wfile.write(body.encode())


def settings(folder: Path, line: str) -> tuple[str, str]:
    """The arguments that set something."""
    file = folder / "settings.toml"
    file.write_text(line)
    return "--settings", str(file)


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that lets any site have its chat."""
    named = settings(tmp_path_factory.mktemp("open"), 'http.origins = ["*"]')
    with served(*DEMO, *named) as server:
        yield server


@pytest.fixture
def shop(site: Site, open_server: Server) -> Site:
    """A site that may have the chat."""
    site.support = url(open_server)
    return site


def launcher(visitor: Visitor) -> Locator:
    """The button in the corner."""
    return visitor.page.locator("#support-chat-widget button").first


def is_open(visitor: Visitor, state: bool = True) -> None:
    expect(launcher(visitor)).to_have_attribute("aria-expanded", str(state).lower())
    expect(visitor.composer).to_be_visible(visible=state)


def opened(people: People, url: str, **options: Any) -> Visitor:
    """Somebody who has opened the chat on a page."""
    visitor = people.come(**options)
    visitor.page.goto(url)
    launcher(visitor).click()
    is_open(visitor)
    return visitor


def hidden(visitor: Visitor, what: str) -> Locator:
    """What is in the chat, also while that is closed."""
    return visitor.page.locator(f"support-chat {what}")


def has_socks(visitor: Visitor) -> None:
    """The whole answer stands there, once."""
    expect(visitor.paragraphs).to_have_text(PARAGRAPHS)


# One line is all


def test_a_page_of_another_origin_has_the_chat_by_one_line(
    site: Site, people: People
) -> None:
    server = site.chat()
    visitor = people.come()
    visitor.page.goto(f"{site.origin}/")
    expect(visitor.button("Chat with us")).to_be_visible()
    expect(launcher(visitor)).to_have_attribute("aria-expanded", "false")
    launcher(visitor).press("Escape")  # there is nothing to close
    before = [request.url for request in visitor.asked]
    assert f"{site.support}/static/chat/widget.js" in before
    assert not [one for one in before if "support-chat.js" in one or "/api/" in one]
    visitor.is_accessible()

    launcher(visitor).click()
    is_open(visitor)
    expect(visitor.composer).to_be_focused()
    visitor.say(ASK_SOCKS)
    has_socks(visitor)
    visitor.is_accessible()

    hosts = {urlsplit(request.url).netloc for request in visitor.asked}
    assert hosts == {urlsplit(site.origin).netloc, f"127.0.0.1:{server.port}"}
    assert visitor.context.cookies() == []
    assert "Cookie" not in str([request.headers for request in visitor.asked])
    told = [request.response() for request in visitor.asked]
    assert not [one for one in told if one and "set-cookie" in one.headers]


def test_the_next_page_of_the_site_goes_on_with_the_conversation(
    shop: Site, people: People
) -> None:
    visitor = opened(people, f"{shop.origin}/")
    visitor.say(ASK_SOCKS)
    has_socks(visitor)
    visitor.page.get_by_role("link", name="Delivery").click()
    visitor.page.wait_for_url("**page=delivery")
    is_open(visitor)
    has_socks(visitor)
    # Nobody asked for it on this page, so nobody's focus is taken.
    assert visitor.page.evaluate("document.activeElement.tagName") == "BODY"

    visitor.composer.press("Escape")
    is_open(visitor, False)
    expect(launcher(visitor)).to_be_focused()
    visitor.page.get_by_role("link", name="Shop").click()
    visitor.page.wait_for_url("**page=shop")
    expect(launcher(visitor)).to_be_visible()
    is_open(visitor, False)
    launcher(visitor).press("Enter")
    is_open(visitor)
    expect(visitor.composer).to_be_focused()
    has_socks(visitor)


def test_answers_that_end_while_it_is_closed_are_counted(
    site: Site, people: People, service: Controlled
) -> None:
    site.chat("--database", "memory", env=service.env)
    visitor = opened(people, f"{site.origin}/")
    visitor.say(ASK_LIGHT)
    expect(visitor.said).to_have_count(1)
    launcher(visitor).click()
    is_open(visitor, False)
    visitor.page.get_by_role("link", name="Delivery").click()
    visitor.page.wait_for_url("**page=delivery")
    service.let(0)
    expect(hidden(visitor, "[part~=paragraph]")).to_have_count(1)
    service.let(1)
    service.let(2)
    expect(visitor.button("Chat with us, 1 new answer")).to_be_visible()
    visitor.is_accessible()
    launcher(visitor).click()
    expect(visitor.paragraphs).to_have_count(3)
    expect(visitor.button("Chat with us")).to_be_visible()
    launcher(visitor).click()
    is_open(visitor, False)
    expect(visitor.button("Chat with us")).to_be_visible()


def test_escape_belongs_to_what_is_open_inside(shop: Site, people: People) -> None:
    visitor = opened(people, f"{shop.origin}/")
    visitor.choose("Log in")
    expect(visitor.form).to_be_visible()
    visitor.page.get_by_label("PIN").press("Escape")
    expect(visitor.form).to_be_hidden()
    is_open(visitor)
    visitor.menu.click()
    visitor.page.keyboard.press("Escape")
    is_open(visitor)
    visitor.composer.dispatch_event(  # of an input method, which drops its proposal
        "keydown",
        {"key": "Escape", "isComposing": True, "bubbles": True, "composed": True},
    )
    is_open(visitor)
    visitor.page.keyboard.press("Escape")
    is_open(visitor, False)


# Sites as they are


def test_a_strict_policy_of_the_site_is_enough(shop: Site, people: People) -> None:
    shop.page = re.sub(r"(?s)<style>.*</style>|<link [^>]*>", "", EXAMPLE)
    assert LINE.search(shop.page)
    found = re.search("```\n(Content-Security-Policy: .*\n)```", DOCUMENT)
    assert found
    policy = found[1].partition(": ")[2].strip()
    shop.policy = policy.replace("https://support.example", shop.support)
    assert shop.support in shop.policy
    assert "unsafe" not in shop.policy
    visitor = people.come()
    visitor.page.goto(f"{shop.origin}/")
    visitor.page.evaluate(
        """document.addEventListener("securitypolicyviolation",
             (event) => console.error(event.violatedDirective, event.blockedURI))"""
    )
    launcher(visitor).click()
    visitor.say(ASK_SOCKS)
    has_socks(visitor)
    corner = launcher(visitor).bounding_box()
    size = visitor.page.viewport_size
    assert corner
    assert size
    assert corner["y"] + corner["height"] == size["height"] - 16  # it has its style
    visitor.page.evaluate(  # the policy holds, or this test would show nothing
        "document.body.append(document.createElement('img')),"
        "document.images[0].src = 'https://elsewhere.example/'"
    )
    visitor.forgive("img-src", "elsewhere", "failed: GET /: csp")
    expect.soft(visitor.page.locator("img")).to_have_count(1)


def test_rules_of_the_site_do_not_reach_it(shop: Site, people: People) -> None:
    plain = opened(people, f"{shop.origin}/").composer.bounding_box()
    hostile = """<style>
      * { all: unset !important; }
      body, body *, div { display: none !important; visibility: hidden !important; }
      html { letter-spacing: 9px; line-height: 7; text-transform: uppercase; }
      button, textarea, p { position: static !important; font: 90px serif !important; }
      #corner, #panel, .frame { inline-size: 1px !important; }
    </style></head>"""
    shop.page = EXAMPLE.replace("</head>", hostile)
    visitor = opened(people, f"{shop.origin}/")
    assert visitor.composer.bounding_box() == plain
    visitor.say(ASK_SOCKS)
    has_socks(visitor)
    for trait, value in {"letter-spacing": "normal", "text-transform": "none"}.items():
        expect(visitor.paragraphs.first).to_have_css(trait, value)


def test_it_lies_above_all_that_the_site_has(shop: Site, people: People) -> None:
    cover = (
        """<div style="position: fixed; inset: 0; z-index: 2147483647"></div></body>"""
    )
    shop.page = EXAMPLE.replace("</body>", cover)
    visitor = opened(people, f"{shop.origin}/")  # the click has to reach it
    visitor.say(ASK_SOCKS)
    has_socks(visitor)


def test_the_site_beside_it_can_be_clicked(shop: Site, people: People) -> None:
    visitor = opened(people, f"{shop.origin}/")
    panel, button = hidden(visitor, "").bounding_box(), launcher(visitor).bounding_box()
    assert panel
    assert button
    assert panel["y"] + panel["height"] < button["y"]
    found = visitor.page.evaluate(
        "(at) => document.elementFromPoint(...at).id",
        [panel["x"] + 20, button["y"] + button["height"] / 2],
    )
    assert found != "support-chat-widget"


@pytest.mark.parametrize("query", ["", "?again"], ids=["same", "other-address"])
def test_two_lines_make_one_button(shop: Site, people: People, query: str) -> None:
    shop.page = EXAMPLE.replace("</head>", f"{shop.line(query)}</head>")
    visitor = opened(people, f"{shop.origin}/")
    expect(visitor.page.locator("#support-chat-widget")).to_have_count(1)
    expect(visitor.page.locator("support-chat")).to_have_count(1)


def test_it_outlives_a_body_that_is_exchanged(shop: Site, people: People) -> None:
    visitor = opened(people, f"{shop.origin}/")
    visitor.say(ASK_SOCKS)
    has_socks(visitor)
    visitor.page.evaluate("document.body.replaceWith(document.createElement('body'))")
    is_open(visitor)
    has_socks(visitor)


def test_it_leaves_nothing_global(shop: Site, people: People) -> None:
    names = "Object.getOwnPropertyNames(window).filter((name) => isNaN(name)).sort()"
    visitor = people.come()
    visitor.page.goto(f"{shop.origin}/words.js")  # a page without the line
    without = visitor.page.evaluate(names)
    visitor.page.goto(f"{shop.origin}/")
    launcher(visitor).click()
    is_open(visitor)
    assert visitor.page.evaluate(names) == without


def test_a_browser_that_keeps_nothing_has_the_chat_too(
    shop: Site, people: People
) -> None:
    visitor = people.come(fresh=True)
    visitor.page.add_init_script(
        """for (const name of ["localStorage", "sessionStorage"]) {
             Object.defineProperty(window, name, {
               get() { throw new DOMException("Denied", "SecurityError"); } });
           }"""
    )
    visitor.page.goto(f"{shop.origin}/")
    launcher(visitor).click()
    visitor.say(ASK_SOCKS)
    has_socks(visitor)


# What the line may say


def test_what_the_line_says(shop: Site, people: People) -> None:
    shop.attributes = (
        'data-heading="Ask us" data-theme="dark" data-position="start"'
        ' data-words="words.js"'
    )
    shop.words = 'export const words = { launcher: "Frag uns", send: "Senden" };'
    visitor = people.come()
    visitor.page.goto(f"{shop.origin}/")
    visitor.button("Frag uns").click()
    expect(visitor.button("Senden")).to_be_visible()
    expect(visitor.page.get_by_role("heading", name="Ask us")).to_be_visible()
    box = launcher(visitor).bounding_box()
    assert box
    assert box["x"] == 16
    visitor.say(ASK_SOCKS)
    has_socks(visitor)
    visitor.is_accessible()
    expect(launcher(visitor)).to_have_css("background-color", NIGHT)
    light = "getComputedStyle(document.querySelector('h1')).color"
    assert visitor.page.evaluate(light) == "rgb(44, 37, 32)"  # the site's own stays
    shown = visitor.page.locator("support-chat .frame")
    red = shown.evaluate("(e) => +getComputedStyle(e).backgroundColor.match(/\\d+/)[0]")
    assert red < 64


def test_words_that_are_not_there_are_english(shop: Site, people: People) -> None:
    shop.attributes, shop.words = 'data-words="words.js"', "no module {"
    visitor = opened(people, f"{shop.origin}/")
    visitor.forgive("SyntaxError")
    expect(visitor.button("Chat with us")).to_be_visible()


def test_the_sites_colour_is_that_of_the_chat(shop: Site, people: People) -> None:
    visitor = opened(people, f"{shop.origin}/")
    night = opened(people, f"{shop.origin}/", color_scheme="dark")
    for who, colour in ((visitor, DAY), (night, NIGHT)):
        for one in (launcher(who), who.button("Send")):
            expect(one).to_have_css("background-color", colour)


def test_from_right_to_left_the_corner_is_the_other_one(
    shop: Site, people: People
) -> None:
    shop.page = EXAMPLE.replace('<html lang="en">', '<html lang="en" dir="rtl">')
    visitor = opened(people, f"{shop.origin}/")
    box = launcher(visitor).bounding_box()
    assert box
    assert box["x"] == 16
    visitor.is_accessible()


# Phones


@pytest.mark.parametrize(
    "size", [(360, 640), (640, 360), (320, 480)], ids=["upright", "across", "small"]
)
def test_on_a_phone_it_takes_the_whole_screen(
    shop: Site, people: People, size: tuple[int, int]
) -> None:
    width, height = size
    visitor = opened(
        people,
        f"{shop.origin}/",
        viewport={"width": width, "height": height},
        has_touch=True,
        is_mobile=True,
    )
    frame = visitor.page.locator("support-chat").bounding_box()
    assert frame
    assert (frame["x"], frame["width"]) == (0, width)
    assert frame["y"] + frame["height"] == height
    visitor.say(ASK_SOCKS)
    has_socks(visitor)
    expect(visitor.composer).to_be_in_viewport(ratio=1)
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width
    visitor.is_accessible()
    visitor.menu.tap()  # the button that closes covers nothing
    expect(visitor.button("Log in")).to_be_in_viewport(ratio=1)
    visitor.menu.tap()
    launcher(visitor).tap()
    is_open(visitor, False)


# When something is in the way


def test_an_origin_that_is_not_named_has_nothing_and_breaks_nothing(
    site: Site, people: People
) -> None:
    site.chat(setting="http.origins = []")
    visitor = people.come()
    visitor.forgive(*BLOCKED)
    with visitor.page.expect_event("requestfailed"):
        visitor.page.goto(f"{site.origin}/")
    expect(visitor.page.get_by_role("heading", name="Outfitters")).to_be_visible()
    expect(visitor.page.locator("#support-chat-widget")).to_have_count(0)
    told = visitor.page.evaluate(
        """(url) => fetch(url, {method: "POST"}).then(() => "", String)""",
        f"{site.support}/api/session/new",
    )
    assert "Failed to fetch" in told
    visitor.forgive("/api/session/new: 403", "status of 403")
    assert any("blocked by CORS" in one for one in visitor.troubles)


def test_a_server_that_is_gone_is_said_and_tried_again(
    site: Site, people: People
) -> None:
    port = free_port()
    visitor = people.come()
    visitor.forgive("ERR_CONNECTION_REFUSED", "dynamically imported module")
    server = site.chat(port=port)
    visitor.page.goto(f"{site.origin}/")
    expect(launcher(visitor)).to_be_visible()
    server.kill()
    launcher(visitor).click()
    told = visitor.page.locator("#support-chat-widget").get_by_role("status").first
    expect(told).to_have_text(
        "The chat can't be opened at the moment. Please try again later."
    )
    is_open(visitor, False)
    visitor.is_accessible()
    site.chat(port=port)
    launcher(visitor).click()
    is_open(visitor)
    expect(told).to_be_empty()
    visitor.say(ASK_SOCKS)
    has_socks(visitor)


def test_the_server_may_live_behind_a_path(
    site: Site, people: People, tmp_path: Path
) -> None:
    strip = "rewrite ^/help/(.*)$ /$1 break; proxy_set_header Host $host;"
    server = site.chat()
    port = site.servers.enter_context(nginx(tmp_path, server.port, strip))
    site.support = f"http://127.0.0.1:{port}/help"
    visitor = opened(people, f"{site.origin}/")
    visitor.say(ASK_SOCKS)
    has_socks(visitor)
    paths = [
        parts.path
        for request in visitor.asked
        if (parts := urlsplit(request.url)).port == port
    ]
    assert [path for path in paths if not path.startswith("/help/")] == []


# The page itself in a frame of another site


def framed(site: Site, people: People) -> Visitor:
    site.page = (
        f'<!doctype html><title>x</title><iframe src="{site.support}/"></iframe>'
    )
    visitor = people.come()
    visitor.page.goto(f"{site.origin}/")
    return visitor


def test_no_site_may_frame_the_page(shop: Site, people: People) -> None:
    visitor = framed(shop, people)
    visitor.forgive("frame-ancestors", "net::ERR_BLOCKED_BY_RESPONSE")
    frame = visitor.page.frames[-1]
    expect(frame.locator("support-chat")).to_have_count(0)
    assert any("frame-ancestors" in one for one in visitor.troubles)


def test_a_site_that_is_named_may_frame_the_page(
    site: Site, people: People, tmp_path: Path
) -> None:
    site.chat(setting=f'page.frame_ancestors = ["{site.origin}"]')
    visitor = framed(site, people)
    frame = visitor.page.frame_locator("iframe")
    composer = frame.get_by_role("textbox", name="Message")
    composer.fill(ASK_SOCKS)
    composer.press("Enter")
    expect(frame.get_by_role("log").locator("[part~=paragraph]")).to_have_text(
        PARAGRAPHS
    )


# The document


def scripts() -> str:
    """All that the chat is made of."""
    chat = ROOT / "supportbot" / "assets" / "chat"
    return "\n".join(path.read_text("utf-8") for path in sorted(chat.glob("*.js")))


def test_the_table_of_variables_is_that_of_the_style() -> None:
    rows = re.findall(r"^\| `(--support-chat-[a-z-]+)` \|.*\| (.*) \|$", DOCUMENT, re.M)
    told = {name: set(re.findall("`(.*?)`", values)) for name, values in rows}
    style = (ROOT / "supportbot/assets/chat/style.js").read_text("utf-8")
    used = dict(re.findall(r"var\((--support-chat-[a-z-]+),\s*(.*)", style))
    assert told.keys() == used.keys() == names_of_variables()
    for name, values in told.items():
        both = re.match(r"light-dark\((#\w+), (#\w+)\)\)", used[name])
        if both is None:
            assert all(value in used[name] for value in values), name
        else:
            assert values == set(both.groups()), name


def names_of_variables() -> set[str]:
    return set(re.findall(r"var\((--support-chat-[a-z-]+)", scripts()))


def test_the_parts_that_are_named_are_there() -> None:
    cells = re.findall(r"^\| ((?:`[a-z-]+`(?:, )?)+) \|", DOCUMENT, re.MULTILINE)
    told = {name for cell in cells for name in re.findall(r"`([a-z][a-z-]*)`", cell)}
    assert len(told) > 10
    parts = set(re.findall(r'part: "([a-z-]+)"', scripts()))
    attributes = {"base", "heading", "theme", "session"}
    assert told - attributes <= parts


def test_the_settings_that_are_shown_load(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^```toml\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)
    loaded = load(settings(tmp_path, shown)[1], {})
    assert loaded.http.origins == ("https://shop.example",)


def test_the_words_that_are_quoted_are_those_of_the_page() -> None:
    ours, said = scripts(), re.findall(r"\*([A-Z][^*]+[.…])\*", DOCUMENT)
    faults = (ROOT / "docs" / "faults.md").read_text("utf-8")
    said = [line.replace("The support service", "The {service}") for line in said]
    assert len(said) > 8
    assert [line for line in said if line not in ours and line not in faults] == []


def test_what_is_kept_is_told(shop: Site, people: People) -> None:
    visitor = opened(people, f"{shop.origin}/")
    visitor.say(ASK_SOCKS)
    has_socks(visitor)
    visitor.composer.fill("And")
    told = re.findall(r"^\| `(\w+)` \| `(.*?)…?` \|", DOCUMENT, re.MULTILINE)
    kept = visitor.page.evaluate(
        """["localStorage", "sessionStorage"].flatMap((where) =>
             Object.keys(window[where]).map((key) => [where, key]))"""
    )
    assert len(kept) == 3  # what was unsent is sent
    for where, key in kept:
        named = [
            name.replace("ADDRESS", f"{shop.support}/")
            for at, name in told
            if at == where
        ]
        assert [name for name in named if key.startswith(name)], key
    stored = visitor.page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}])"
    )
    assert "Antigravity" not in stored
