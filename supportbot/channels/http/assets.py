"""The files that browsers get, all of them in memory.

They are read once, from the package. A request's path is looked up in a table and never
comes near the file system.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import Protocol

import msgspec

_MEDIA = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""What is served at all; a file with another ending is none of ours."""
_PACKED = {"image/png", "font/woff2"}  # in themselves

_LASTING = re.compile(r"-\d+\.\d+\.\d+/|[.-][0-9a-f]{12,}\.")
"""A version or a hash in a name: what it names never changes."""
_TAG = re.compile(r'"([^"]*)"')
_OURS = re.compile(r"chat/[^/]+\.(?:css|js)")
"""What has comments for those who work on it, which browsers need not load."""
_COMMENTS = re.compile(r"^[ \t]*(?://.*|/\*(?>(?s:.*?)\*/)[ \t]*)$", re.MULTILINE)

_CHAT = "chat/"
_ANY_CHAT = re.compile(r"^chat-[0-9a-f]{12}/")
"""The chat of some version; see `_versioned`."""


class Asking(Protocol):
    """What this needs of an exchange."""

    def header(self, name: bytes) -> str | None:
        """The value of a request's header."""

    def respond(
        self,
        status: int,
        body: bytes,
        content_type: str,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        """Answer; HEAD is seen to."""


class Asset(msgspec.Struct, frozen=True, dict=True):
    """One file.

    Attributes:
        body: as it is.
        media: its type, with the charset.
        etag: strong, with its quotes; for the packed body see `etag_of`.
        lasting: whether its path holds its version, so that it never changes.
    """

    body: bytes
    media: str
    etag: str
    lasting: bool = False

    @cached_property
    def gzipped(self) -> bytes | None:
        """The body packed; None where that is no gain.

        Made when it is first asked for: all of them took a fifth of each start, and
        most were never asked for.
        """
        if self.media in _PACKED:
            return None
        packed = gzip.compress(self.body, mtime=0)
        return packed if len(packed) < len(self.body) else None

    def etag_of(self, packed: bool) -> str:
        """The tag of the body as it is sent: the two differ in their bytes."""
        return f'{self.etag[:-1]}-gzip"' if packed else self.etag


def asset(name: str, body: bytes) -> Asset:
    """The asset of this name; its ending says what it is.

    Raises:
        KeyError: nothing with that ending is served.
    """
    return Asset(
        body=body,
        media=_MEDIA[PurePosixPath(name).suffix],
        etag=f'"{sha256(body).hexdigest()[:32]}"',
        lasting=_LASTING.search(name) is not None,
    )


class Assets:
    """The table of all files in a folder of the package.

    The chat is there twice: in `chat/`, for pages of others, whose lines never change,
    and in a folder of this version of it, for our own page.

    Args:
        folder: another one, for tests.
    """

    def __init__(self, folder: Traversable | None = None) -> None:
        folder = folder or resources.files("supportbot") / "assets"
        table = {name: asset(name, _read(name, file)) for name, file in _files(folder)}
        self._table: Mapping[str, Asset] = {**table, **_versioned(table)}

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def get(self, path: str) -> Asset | None:
        """The asset behind `/static/`; None if there is none, however it looks.

        In the folder of another version of the chat it is that of this version, which
        is not to be kept there: so asks a page that a browser kept without its modules,
        or that another process served while all are being upgraded.
        """
        return self._table.get(path) or self._table.get(_ANY_CHAT.sub(_CHAT, path))


def uncommented(script: str) -> str:
    """A script or a style without the comments that have lines of their own.

    Its lines keep their numbers. In a template string there must be no line that looks
    like such a comment.
    """
    return _COMMENTS.sub(lambda found: "\n" * found[0].count("\n"), script)


def serve(
    exchange: Asking, asset: Asset, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with an asset: packed if the client takes that, or 304 if it has it.

    Args:
        headers: more of them.
    """
    accepted = exchange.header(b"accept-encoding")
    packed = takes_gzip(accepted or "") and asset.gzipped is not None
    etag = asset.etag_of(packed)
    lasting = "public, max-age=31536000, immutable"
    sent = [
        (b"Cache-Control", (lasting if asset.lasting else "no-cache").encode()),
        (b"ETag", etag.encode()),
        (b"Vary", b"Accept-Encoding"),
        # Scripts of modules are asked for with CORS, which this does not touch. Whoever
        # would put a file of ours elsewhere into a page without asking gets none.
        (b"Cross-Origin-Resource-Policy", b"same-origin"),
        *headers,
    ]
    if _has(exchange.header(b"if-none-match") or "", etag):
        exchange.respond(304, b"", asset.media, sent)
    elif packed and asset.gzipped is not None:
        sent.append((b"Content-Encoding", b"gzip"))
        exchange.respond(200, asset.gzipped, asset.media, sent)
    else:
        exchange.respond(200, asset.body, asset.media, sent)


def takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding header (RFC 9110, 12.5.3) allows gzip."""
    weights: dict[str, float] = {}
    for choice in accepted.lower().split(","):
        coding, _, weight = choice.partition(";")
        name, _, number = weight.strip().partition("=")
        try:
            weights[coding.strip()] = float(number) if name == "q" else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _has(known: str, etag: str) -> bool:
    """Whether an If-None-Match header names the tag (RFC 9110, 13.1.2)."""
    return known.strip() == "*" or etag.strip('"') in _TAG.findall(known)


def _versioned(table: Mapping[str, Asset]) -> Mapping[str, Asset]:
    """The chat in a folder whose name is made of all that is in it.

    So nothing there ever changes, and browsers ask for it once. It is as deep as the
    other, since modules import each other, and those of others, by relative paths.
    """
    chat = {name: found for name, found in table.items() if name.startswith(_CHAT)}
    listed = "".join(f"{name} {found.etag}\n" for name, found in chat.items())
    folder = f"chat-{sha256(listed.encode()).hexdigest()[:12]}/"
    return {
        folder + name.removeprefix(_CHAT): msgspec.structs.replace(found, lasting=True)
        for name, found in chat.items()
    }


def _read(name: str, file: Traversable) -> bytes:
    """The file as browsers get it."""
    if _OURS.fullmatch(name) is None:
        return file.read_bytes()
    return uncommented(file.read_text("utf-8")).encode()


def _files(folder: Traversable, path: str = "") -> Iterator[tuple[str, Traversable]]:
    """All files of ours in a folder and those inside it, in order."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = f"{path}{entry.name}"
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _files(entry, f"{name}/")
        elif PurePosixPath(name).suffix in _MEDIA:
            yield name, entry
