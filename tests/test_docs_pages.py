"""The pages that show the API."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from supportbot.channels.http.assets import Assets
from supportbot.channels.http.pages import Page, Pages
from tests.test_assets import Asked

ASSETS = Path(__file__).parent.parent / "supportbot" / "assets"
assets = Assets(ASSETS)
pages = Pages(assets)
both = pytest.mark.parametrize("page", [pages.docs, pages.redoc], ids=["docs", "redoc"])


class Reader(HTMLParser):
    """Picks the elements out of a page."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.feed(page.asset.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements:
            tag = self.elements[-1][0]
            self.texts[tag] = self.texts.get(tag, "") + data.strip()

    def all(self, tag: str, attribute: str) -> list[str]:
        """An attribute of all elements of a kind that have it."""
        found = (each.get(attribute) for kind, each in self.elements if kind == tag)
        return [value for value in found if value is not None]


def directives(page: Page) -> dict[str, list[str]]:
    named = (directive.split() for directive in page.policy.split(";"))
    return {name: sources for name, *sources in named}


@both
def test_a_page_is_made_of_our_own_files(page: Page) -> None:
    read = Reader(page)
    assert read.texts["title"] == "supportbot API"
    urls = [*read.all("script", "src"), *read.all("link", "href")]
    urls.remove("data:,")  # no icon, so that browsers don't ask for one
    assert len(urls) >= 3
    for url in urls:
        assert url.startswith("static/")
        assert assets.get(url.removeprefix("static/")) is not None


@both
def test_nothing_in_a_page_needs_more_than_its_policy_allows(page: Page) -> None:
    read = Reader(page)
    assert "style" not in read.texts
    assert read.texts.get("script", "") == ""
    for _, attributes in read.elements:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]


@both
def test_the_policy_lets_no_stranger_in(page: Page) -> None:
    policy = directives(page)
    assert policy["default-src"] == policy["frame-ancestors"] == ["'none'"]
    assert policy["base-uri"] == policy["form-action"] == ["'none'"]
    assert policy["script-src"] == policy["connect-src"] == ["'self'"]
    assert policy["img-src"] == ["'self'", "data:"]
    for sources in policy.values():
        assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "https:"} & {*sources}


def test_styles_that_redoc_brings_are_allowed_by_their_hash_alone() -> None:
    assert directives(pages.docs)["style-src"] == ["'self'"]
    ours, *hashes = directives(pages.redoc)["style-src"]
    assert ours == "'self'"
    assert all(re.fullmatch(r"'sha256-[\w+/]{43}='", one) for one in hashes)
    # One hash is of this version's styles: a browser's console names that of another.
    assert [path.name for path in ASSETS.glob("redoc-*")] == ["redoc-2.5.4"]


def test_only_redoc_has_a_worker() -> None:
    assert "worker-src" not in directives(pages.docs)
    assert directives(pages.redoc)["worker-src"] == ["blob:"]


@both
def test_a_page_is_served_under_its_policy(page: Page) -> None:
    exchange = Asked(accept_encoding="gzip")
    page.serve(exchange)
    assert exchange.status == 200
    assert exchange.media == "text/html; charset=utf-8"
    assert exchange.headers[b"Content-Security-Policy"] == page.policy.encode()
    assert exchange.headers[b"Cache-Control"] == b"no-cache"
    again = Asked(
        accept_encoding="gzip", if_none_match=exchange.headers[b"ETag"].decode()
    )
    page.serve(again)
    assert again.status == 304


@both
def test_each_page_leads_to_both_and_to_the_document(page: Page) -> None:
    read = Reader(page)
    assert read.all("a", "href") == ["docs", "redoc"]
    assert read.all("a", "aria-current") == ["page"]
    assert read.all("body", "data-document") == ["openapi.json"]


def test_our_scripts_speak_of_no_other_host() -> None:
    for path in (ASSETS / "docs").iterdir():
        text = path.read_text("utf-8")
        assert "//" not in re.sub(r"\s// .*", "", text), path.name
        assert "validatorUrl: null" in text or path.name != "swagger.js"


def test_no_page_without_its_scripts(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=r"swagger-ui\.css fits 0 assets"):
        Pages(Assets(tmp_path))
    for version in ("5.35.0", "5.36.0"):
        (tmp_path / f"swagger-ui-{version}").mkdir()
        (tmp_path / f"swagger-ui-{version}" / "swagger-ui.css").write_text("a {}")
    with pytest.raises(LookupError, match=r"swagger-ui\.css fits 2 assets"):
        Pages(Assets(tmp_path))


def test_what_we_did_not_write_has_its_licence_beside_it() -> None:
    names = {path.name for path in (ASSETS / "licenses").iterdir()}
    assert "redoc.LICENSE.txt" in names
    assert "swagger-ui.LICENSE.txt" in names
    assert "swagger-ui.NOTICE.txt" in names
    for script in (*ASSETS.glob("swagger-ui-*/*.js"), *ASSETS.glob("redoc-*/*.js")):
        head = script.read_bytes()[:200].decode()
        assert (found := re.search(r"see (\S+\.LICENSE\.txt)", head)), script.name
        assert found[1] in names
