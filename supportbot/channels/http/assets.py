"""The files that browsers get, all of them in memory.

They are read once, from the package. A request's path is looked up in a table and never
comes near the file system.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator, Mapping
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
_PACKED = {".png", ".woff2"}

_LASTING = re.compile(r"-\d+\.\d+\.\d+/|[.-][0-9a-f]{12,}\.")
"""A version or a hash in a name: what it names never changes."""
_TAG = re.compile(r'"([^"]*)"')


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


class Asset(msgspec.Struct, frozen=True):
    """One file.

    Attributes:
        body: as it is.
        gzipped: the same, packed; None where that is no gain.
        media: its type, with the charset.
        etag: strong, with its quotes; for the packed body see `etag_of`.
        lasting: whether its name holds its version, so that it never changes.
    """

    body: bytes
    gzipped: bytes | None
    media: str
    etag: str
    lasting: bool = False

    def etag_of(self, packed: bool) -> str:
        """The tag of the body as it is sent: the two differ in their bytes."""
        return f'{self.etag[:-1]}-gzip"' if packed else self.etag


def asset(name: str, body: bytes) -> Asset:
    """The asset of this name; its ending says what it is.

    Raises:
        KeyError: nothing with that ending is served.
    """
    ending = PurePosixPath(name).suffix
    packed = None if ending in _PACKED else gzip.compress(body, mtime=0)
    return Asset(
        body=body,
        gzipped=packed if packed and len(packed) < len(body) else None,
        media=_MEDIA[ending],
        etag=f'"{sha256(body).hexdigest()[:32]}"',
        lasting=_LASTING.search(name) is not None,
    )


class Assets:
    """The table of all files in a folder of the package.

    Args:
        folder: another one, for tests.
    """

    def __init__(self, folder: Traversable | None = None) -> None:
        folder = folder or resources.files("supportbot") / "assets"
        self._table: Mapping[str, Asset] = {
            name: asset(name, file.read_bytes()) for name, file in _files(folder)
        }

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def get(self, path: str) -> Asset | None:
        """The asset behind `/static/`; None if there is none, however it looks."""
        return self._table.get(path)


def serve(
    exchange: Asking, asset: Asset, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with an asset: packed if the client takes that, or 304 if it has it.

    Args:
        headers: more of them.
    """
    accepted = exchange.header(b"accept-encoding")
    packed = asset.gzipped is not None and takes_gzip(accepted or "")
    etag = asset.etag_of(packed)
    lasting = "public, max-age=31536000, immutable"
    sent = [
        (b"Cache-Control", (lasting if asset.lasting else "no-cache").encode()),
        (b"ETag", etag.encode()),
        (b"Vary", b"Accept-Encoding"),
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
