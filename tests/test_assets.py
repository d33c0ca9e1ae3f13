"""The files that browsers get."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.channels.http.assets import Asset, Assets, asset, serve, takes_gzip

SCRIPT = b"let words = 'the same again and again';\n" * 50


class Asked:
    """An exchange that keeps how it was answered."""

    def __init__(self, **headers: str) -> None:
        self._headers = {k.replace("_", "-"): v for k, v in headers.items()}
        self.status, self.body, self.media = 0, b"", ""
        self.headers: dict[bytes, bytes] = {}

    def header(self, name: bytes) -> str | None:
        return self._headers.get(name.decode())

    def respond(
        self,
        status: int,
        body: bytes,
        content_type: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        assert not self.status, "answered twice"
        self.status, self.body, self.media = status, body, content_type
        self.headers = dict(headers)


def asked_for(asset: Asset, **headers: str) -> Asked:
    exchange = Asked(**headers)
    serve(exchange, asset)
    return exchange


@pytest.fixture(scope="module")
def assets() -> Assets:
    return Assets()


def test_every_asset_comes_whole_whatever_the_client_unpacks(assets: Assets) -> None:
    folder = Path(__file__).parent.parent / "supportbot" / "assets"
    names = [*assets]
    assert {f"{name}" for name in names} == {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    }
    for name in names:
        found = assets.get(name)
        assert found is not None
        plain = asked_for(found)
        packed = asked_for(found, accept_encoding="gzip, br")
        assert plain.status == packed.status == 200
        assert plain.body == (folder / name).read_bytes()
        assert b"Content-Encoding" not in plain.headers
        if found.gzipped is not None:
            assert packed.headers[b"Content-Encoding"] == b"gzip"
            assert gzip.decompress(packed.body) == plain.body
            assert packed.headers[b"ETag"] != plain.headers[b"ETag"]
        assert plain.headers[b"Vary"] == packed.headers[b"Vary"] == b"Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "..",
        "/",
        "docs",
        "docs/",
        "/docs/docs.css",
        "docs//docs.css",
        "docs/./docs.css",
        "docs/../docs/docs.css",
        "../py.typed",
        "../../../../../etc/passwd",
        "/etc/passwd",
        "docs/docs.css\0",
        "docs/docs.css\0.png",
        "docs\\docs.css",
        "docs%2fdocs.css",
        "%2e%2e/py.typed",
        "DOCS/docs.css",
        "docs/docs.css ",
        ".git/config",
        "docs/.hidden.css",
        "__init__.py",
        "con.txt",
    ],
)
def test_no_other_path_names_anything(assets: Assets, path: str) -> None:
    assert assets.get(path) is None


@given(st.text())
def test_whatever_is_asked_for_is_in_the_table_or_is_not(path: str) -> None:
    table = Assets(Path(__file__).parent.parent / "supportbot" / "assets" / "docs")
    assert (table.get(path) is not None) == (path in [*table])


def test_after_the_start_the_files_may_go(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "page.js").write_bytes(SCRIPT)
    table = Assets(tmp_path)
    (tmp_path / "page" / "page.js").unlink()
    (tmp_path / "late.js").write_bytes(SCRIPT)
    assert [*table] == ["page/page.js"]
    assert (found := table.get("page/page.js")) is not None
    assert found.body == SCRIPT


def test_what_is_no_asset_is_left_out(tmp_path: Path) -> None:
    for name in (".hidden.js", "page.js~", "page.py", "page.js.map", "README"):
        (tmp_path / name).write_bytes(SCRIPT)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config.txt").write_bytes(SCRIPT)
    assert [*Assets(tmp_path)] == []


@pytest.mark.parametrize(
    ("name", "lasting"),
    [
        ("swagger-ui-5.35.0/swagger-ui.css", True),
        ("chat/chat.0123456789ab.js", True),
        ("chat/chat-0123456789abcdef.css", True),
        ("docs/docs.css", False),
        ("chat/chat.js", False),
        ("chat/chat.deadbeef.js", False),
        ("v-5.35/page.js", False),
    ],
)
def test_only_a_name_with_its_version_is_kept_without_asking(
    name: str, lasting: bool
) -> None:
    control = asked_for(asset(name, SCRIPT)).headers[b"Cache-Control"]
    assert control == (
        b"public, max-age=31536000, immutable" if lasting else b"no-cache"
    )


def test_whoever_has_it_already_gets_no_body() -> None:
    script = asset("page.js", SCRIPT)
    for headers in ({}, {"accept_encoding": "gzip"}):
        first = asked_for(script, **headers)
        etag = first.headers[b"ETag"].decode()
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*", " * "):
            again = asked_for(script, if_none_match=known, **headers)
            assert (again.status, again.body) == (304, b"")
            assert again.headers[b"ETag"] == first.headers[b"ETag"]
            assert again.headers[b"Cache-Control"] == first.headers[b"Cache-Control"]
            assert again.headers[b"Vary"] == b"Accept-Encoding"
            assert b"Content-Encoding" not in again.headers


@pytest.mark.parametrize("known", ["", '"other"', "other", '""', 'W/"x"', '"'])
def test_whoever_has_something_else_gets_it(known: str) -> None:
    script = asset("page.js", SCRIPT)
    assert asked_for(script, if_none_match=known).body == SCRIPT


def test_the_packed_body_is_not_taken_for_the_other() -> None:
    script = asset("page.js", SCRIPT)
    etag = asked_for(script).headers[b"ETag"].decode()
    again = asked_for(script, if_none_match=etag, accept_encoding="gzip")
    assert again.status == 200


def test_other_bytes_have_another_tag() -> None:
    assert asset("page.js", SCRIPT).etag != asset("page.js", SCRIPT + b" ").etag
    packed = asset("page.js", SCRIPT).gzipped
    assert packed is not None
    assert packed[4:8] == bytes(4)  # no time stands there: the tag is the same for ever


def test_what_packing_does_not_shorten_is_sent_as_it_is() -> None:
    assert asset("page.js", b"1").gzipped is None
    assert asset("picture.png", SCRIPT).gzipped is None
    assert asked_for(asset("page.js", b"1"), accept_encoding="gzip").body == b"1"


@pytest.mark.parametrize(
    ("accepted", "gzipped"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("", False),
        ("gzip;q=much", False),
        ("xgzip", False),
        ("gzip ; q=1", True),
    ],
)
def test_gzip_is_for_those_who_ask(accepted: str, gzipped: bool) -> None:
    assert takes_gzip(accepted) == gzipped


@given(st.text())
def test_no_header_breaks_it(header: str) -> None:
    script = asset("page.js", SCRIPT)
    answered = asked_for(script, accept_encoding=header, if_none_match=header)
    assert answered.status in {200, 304}
