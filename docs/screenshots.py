"""Take the pictures of the web page: `python -m docs.screenshots`.

The real program runs with the simulated services, and Debian's Chromium plays
a customer. Each `page-*.png` here is written anew. They differ a little from machine to
machine, as fonts do.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import NamedTemporaryFile

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

HERE = Path(__file__).parent
_EXAMPLE = HERE / "examples" / "embed.html"
_COLOURS = 48  # in a picture, which makes it a third as large
_MOST = 80_000  # bytes of a picture
_WIDE = {"width": 900, "height": 640}
_TALL = {"width": 900, "height": 740}
_PHONE = {"width": 390, "height": 640}


def main() -> None:
    """Take them all."""
    with _shop() as shop, _served(shop) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        _greeting(browser, url)
        _products(browser, url)
        _order(browser, url)
        _dark(browser, url)
        _phone(browser, url)
        _widget(browser, url, shop)
        browser.close()


# What is played


def _greeting(browser: Browser, url: str) -> None:
    page = _visit(browser, url)
    _keep(page, "greeting")


def _products(browser: Browser, url: str) -> None:
    page = _visit(browser, url, _TALL)
    _say(page, "Show me monitors")
    _keep(page, "products")


def _order(browser: Browser, url: str) -> None:
    page = _visit(browser, url)
    _sign_in(page)
    _say(page, "I would like some monitors, two MON-0052 maybe?")
    expect(page.get_by_role("button", name="Yes, place the order")).to_be_visible()
    _keep(page, "order")


def _dark(browser: Browser, url: str) -> None:
    page = _visit(browser, url, dark=True)
    _say(page, "I need help with my product. It has a flashing red light.")
    _keep(page, "dark")


def _phone(browser: Browser, url: str) -> None:
    page = _visit(browser, url, _PHONE)
    _say(page, "I have a product question about Antigravity Socks")
    _keep(page, "phone")


def _widget(browser: Browser, url: str, shop: str) -> None:
    page = _visit(browser, f"{shop}/?{url}")
    page.get_by_role("button", name="Chat with us").click()
    _say(page, "I have a product question about Antigravity Socks")
    _keep(page, "widget")


def _visit(
    browser: Browser, url: str, size: dict[str, int] = _WIDE, dark: bool = False
) -> Page:
    context = browser.new_context(
        viewport={"width": size["width"], "height": size["height"]},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
        device_scale_factor=2,
        locale="en-US",
    )
    page = context.new_page()
    page.goto(url)
    return page


def _say(page: Page, message: str) -> None:
    """Say it, and wait until it is answered."""
    composer = _composer(page)
    composer.fill(message)
    composer.press("Enter")
    expect(page.get_by_role("button", name="Copy answer").last).to_be_attached()
    expect(page.get_by_role("button", name="Stop answer")).to_be_hidden()


def _sign_in(page: Page) -> None:
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("E-mail").fill("alice@example.com")
    page.get_by_label("PIN").fill("1234")
    page.get_by_label("PIN").press("Enter")
    expect(page.locator("support-chat")).to_contain_text("Alice Johnson")


def _composer(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message")


def _keep(page: Page, name: str) -> None:
    """Write the picture, with few colours."""
    expect(_composer(page)).to_be_editable()
    page.mouse.move(0, 0)
    picture = Image.open(
        io.BytesIO(page.screenshot(animations="disabled", caret="hide"))
    )
    few = picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    path = HERE / f"page-{name}.png"
    few.save(path, optimize=True)
    size = path.stat().st_size
    if size > _MOST:
        sys.exit(f"{path} has {size} bytes; at most {_MOST} are wanted")
    sys.stdout.write(f"{path.relative_to(HERE.parent)}: {size:,} bytes\n")
    page.context.close()


# What it needs


@contextmanager
def _served(shop: str) -> Iterator[str]:
    """The program with the demo; gives the address that it prints."""
    program = [sys.executable, "main.py", "serve", "--port", "0"]
    demo = ["--demo", "--demo-seed", "7", "--demo-delay", "0", "--demo-zeroes", "0"]
    with NamedTemporaryFile("w", suffix=".toml") as settings:
        settings.write(f'[http]\norigins = ["{shop}"]\n')
        settings.flush()
        process = subprocess.Popen(
            [*program, *demo, "--database", "memory", "--settings", settings.name],
            cwd=HERE.parent,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        said = process.stdout.readline()
    try:
        found = re.search(r"http://\S+/", said)
        if found is None:
            sys.exit(f"the program did not start: {said}")
        yield found[0]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@contextmanager
def _shop() -> Iterator[str]:
    """A site with the example, in which the query names the chat's server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            support = self.path.partition("?")[2]
            example = _EXAMPLE.read_text("utf-8")
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            page = example.replace("https://support.example/", support)
            self.wfile.write(page.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main()
