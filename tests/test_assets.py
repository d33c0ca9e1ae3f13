"""The files that browsers get."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.channels.http.assets import (
    Asset,
    Assets,
    asset,
    serve,
    takes_gzip,
    uncommented,
)

FOLDER = Path(__file__).parent.parent / "supportbot" / "assets"
OURS = sorted(FOLDER.glob("chat/*.js"))
STYLE = FOLDER / "chat" / "page.css"
SCRIPT = b"let words = 'the same again and again';\n" * 50
VERSIONED = re.compile(r"chat-[0-9a-f]{12}/")
LASTING = b"public, max-age=31536000, immutable"


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
    names = [name for name in assets if not VERSIONED.match(name)]
    assert {*names} == {
        path.relative_to(FOLDER).as_posix()
        for path in FOLDER.rglob("*")
        if path.is_file() and path.suffix != ".ts"
    }
    for name in names:
        found = assets.get(name)
        assert found is not None
        plain = asked_for(found)
        packed = asked_for(found, accept_encoding="gzip, br")
        assert plain.status == packed.status == 200
        if FOLDER / name not in {*OURS, STYLE}:
            assert plain.body == (FOLDER / name).read_bytes()
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
    table = Assets(FOLDER / "docs")
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
    assert control == (LASTING if lasting else b"no-cache")


# The chat has a folder of its own for each version of it.

CHAT = {
    "chat/page.css": b"main { color: red; }",
    "chat/support-chat.js": b'// Why.\nimport "./words.js";',
    "chat/words.js": b"export const words = {};",
    "docs/docs.css": b"",
}


def written(folder: Path, files: Mapping[str, bytes]) -> Assets:
    """The table of these files."""
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    return Assets(folder)


def version(assets: Assets) -> str:
    """The name of the chat's folder."""
    (folder,) = {match[0] for name in assets if (match := VERSIONED.match(name))}
    return folder


def test_the_chat_is_there_twice_and_one_of_them_is_kept(assets: Assets) -> None:
    ours = [name for name in assets if name.startswith("chat/")]
    folder = version(assets)
    versioned = [name for name in assets if name.startswith(folder)]
    assert versioned == [name.replace("chat/", folder) for name in ours]
    assert len(ours) > 20
    for name, kept in zip(ours, versioned, strict=True):
        one, other = assets.get(name), assets.get(kept)
        assert one is not None
        assert other is not None
        for headers in ({}, {"accept_encoding": "gzip"}):
            asked, told = asked_for(one, **headers), asked_for(other, **headers)
            assert (asked.body, asked.media) == (told.body, told.media)
            assert asked.headers.pop(b"Cache-Control") == b"no-cache"
            assert told.headers.pop(b"Cache-Control") == LASTING
            assert asked.headers == told.headers


def test_the_folder_has_another_name_when_anything_in_it_is_another(
    tmp_path: Path,
) -> None:
    changes: tuple[dict[str, bytes], ...] = (
        {},
        {"chat/page.css": b"main { color: tan; }"},
        {"chat/words.js": b"export const words = [];"},
        {"chat/more.js": b""},
    )
    seen = [
        version(written(tmp_path / f"{number}", CHAT | change))
        for number, change in enumerate(changes)
    ]
    renamed = {name.replace("words", "texts"): body for name, body in CHAT.items()}
    seen.append(version(written(tmp_path / "renamed", renamed)))
    assert len({*seen}) == len(seen)


def test_the_folder_keeps_its_name_when_browsers_get_the_same(tmp_path: Path) -> None:
    first = version(written(tmp_path / "first", CHAT))
    other = {
        "chat/support-chat.js": b'// Why it is so.\nimport "./words.js";',
        "chat/types.d.ts": b"export type A = 1;",
        "docs/docs.css": b"p { color: red; }",
    }
    assert version(written(tmp_path / "other", CHAT | other)) == first


def test_where_no_chat_is_there_is_no_folder_for_it(tmp_path: Path) -> None:
    assert [*written(tmp_path, {"docs/docs.css": b""})] == ["docs/docs.css"]


def test_an_address_of_another_version_brings_this_one_and_is_not_kept(
    assets: Assets,
) -> None:
    assert version(assets) != "chat-0123456789ab/"
    found = assets.get("chat-0123456789ab/words.js")
    assert found is not None
    assert found == assets.get("chat/words.js")
    assert asked_for(found).headers[b"Cache-Control"] == b"no-cache"
    for path in (
        "chat-0123456789ab/none.js",
        "chat-0123456789ab/../docs/docs.css",
        "chat-0123456789ab/docs/docs.css",
        "chat-0123456789ab/",
        "chat-0123456789/words.js",
        "chat-0123456789abc/words.js",
        "chat-0123456789AB/words.js",
        "chat-xxxxxxxxxxxx/words.js",
        "docs/chat-0123456789ab/words.js",
        "/chat-0123456789ab/words.js",
        "chat-0123456789ab/chat-0123456789ab/words.js",
        "docs-0123456789ab/words.js",
    ):
        assert assets.get(path) is None, path


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


def test_nobody_loads_a_file_without_asking_as_scripts_of_modules_do() -> None:
    for headers in ({}, {"if_none_match": "*"}):
        sent = asked_for(asset("page.js", SCRIPT), **headers).headers
        assert sent[b"Cross-Origin-Resource-Policy"] == b"same-origin"


def test_more_headers_go_with_it_whole_or_not() -> None:
    for known, status in (("", 200), ("*", 304)):
        exchange = Asked(if_none_match=known)
        serve(exchange, asset("page.js", SCRIPT), [(b"X-More", b"1")])
        assert (exchange.status, exchange.headers[b"X-More"]) == (status, b"1")


def test_other_bytes_have_another_tag() -> None:
    assert asset("page.js", SCRIPT).etag != asset("page.js", SCRIPT + b" ").etag
    packed = asset("page.js", SCRIPT).gzipped
    assert packed is not None
    assert packed[4:8] == bytes(4)  # no time stands there: the tag is the same for ever


def test_a_file_is_packed_when_it_is_first_asked_for_and_once() -> None:
    every = Assets()
    assert not [name for name in every if vars(every.get(name))]  # a start is quick
    found = asset("page.js", SCRIPT)
    assert found.gzipped is found.gzipped


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


# Our own scripts go without the comments that have lines of their own.

TOKENS = """
const { parse } = require("internal/deps/acorn/acorn/dist/acorn");
const tokens = ([name, source]) => {
  const found = [];
  const options = { ecmaVersion: "latest", sourceType: "module", locations: true };
  try {
    parse(source, { ...options, onToken: found });
  } catch (error) {
    throw new Error(`${name}: ${error}`);
  }
  return [name, found.map(({ type, value, loc }) =>
    [type.label, value?.pattern ?? value ?? null, loc.start.line, loc.start.column])];
};
const sources = Object.entries(JSON.parse(require("fs").readFileSync(0, "utf8")));
process.stdout.write(JSON.stringify(Object.fromEntries(sources.map(tokens))));
"""


def tokens(scripts: Mapping[str, str]) -> Any:
    """What each script is made of, and where it stands, as Node's own parser says."""
    node = shutil.which("node")
    assert node, "this test needs Node.js: apt-get install nodejs"
    read = subprocess.run(
        [node, "--expose-internals", "-e", TOKENS],
        input=json.dumps(scripts),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert read.returncode == 0, read.stderr
    return json.loads(read.stdout)


def test_without_comments_our_scripts_are_the_same(assets: Assets) -> None:
    sources = {path.name: path.read_text("utf-8") for path in OURS}
    served = {}
    for name, source in sources.items():
        found = assets.get(f"chat/{name}")
        assert found is not None
        served[name] = script = found.body.decode()
        assert source.count("\n") == script.count("\n")
        for line in script.splitlines():
            assert not line.lstrip().startswith(("//", "* ", "*/")), (name, line)
    expected = tokens(sources)
    assert len(expected) == len(OURS) > 5
    assert tokens(served) == expected


def test_without_comments_our_style_is_the_same(assets: Assets) -> None:
    source = STYLE.read_text("utf-8")
    found = assets.get("chat/page.css")
    assert found is not None
    assert "/*" in source
    left = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL).split()
    assert found.body.decode().split() == left


def test_scripts_of_others_keep_what_they_say(tmp_path: Path) -> None:
    mine = "chat/page.js"
    others = {"chat/a.json", "chat/b/a.js", "docs/a.js", "c-1.0.0/a.js"}
    for name in {mine, *others}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("// Mine.\na;\n")
    table = Assets(tmp_path)
    bodies = {
        name: found.body
        for name in table
        if not VERSIONED.match(name) and (found := table.get(name))
    }
    assert bodies.pop(mine) == b"\na;\n"
    assert bodies == dict.fromkeys(others, b"// Mine.\na;\n")


@pytest.mark.parametrize(
    ("script", "left"),
    [
        ("// a\nb;\n", "\nb;\n"),
        ("  // a\nb;", "\nb;"),
        ("\t/** a */\t\nb;", "\nb;"),
        ("/**\n * a\n */\nb;", "\n\n\nb;"),
        ("/* a\n\n // b */\n\nc;", "\n\n\n\nc;"),
        ("a; // b", "a; // b"),
        ("a; /* b\n*/", "a; /* b\n*/"),
        ("/* a */ b;\nc;\n/* d */", "/* a */ b;\nc;\n"),
        (" /** @type {A} */ (b)\nc;\n/** d */\n", " /** @type {A} */ (b)\nc;\n\n"),
        ("/**/\na; /**/", "\na; /**/"),
        ("a = 1 /\n2 / 3;", "a = 1 /\n2 / 3;"),
        ('a = "// b";', 'a = "// b";'),
        ("a;\r\n// b\r\nc;", "a;\r\n\nc;"),
        ("", ""),
    ],
)  # fmt: skip
def test_comments_with_lines_of_their_own_leave_empty_lines(
    script: str, left: str
) -> None:
    assert uncommented(script) == left


PIECES = ["// a", "/* b */", "/**\n * c\n */", "d = 1;", "e /\n 2;", "/* f */ g;", "  "]


@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_however_comments_and_code_follow_each_other(pieces: list[str]) -> None:
    script = "\n".join(pieces)
    left = uncommented(script)
    assert left.count("\n") == script.count("\n")
    code = [piece for piece in pieces if piece.strip() and piece not in PIECES[:3]]
    assert [line for line in left.splitlines() if line.strip()] == [
        line for piece in code for line in piece.splitlines()
    ]
