"""One text field of a JSON object that is still arriving.

What stands outside the field's string, the envelope, is small and is kept: when the
object closes, the envelope, with the string left empty, goes through a real JSON
parser, which is the judge of everything but the string. The string itself is decoded
as it comes and not kept.

The work is linear in the bytes however they are cut: nothing is looked at twice but
the few bytes of an escape or a character that a cut went through.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator

import msgspec

from supportbot.errors import AnswerUnusable, BodyBroken, BodyCut

# The inside of a JSON string as far as it is whole (RFC 8259, section 7). Halves of
# surrogate pairs are no characters: a pair passes, a lone half stops the match.
_WHOLE = re.compile(
    r"""(?: [^"\\\x00-\x1f]++
          | \\["\\/bfnrt]
          | \\u(?![dD][89a-fA-F]) [0-9a-fA-F]{4}
          | \\u[dD][89abAB][0-9a-fA-F]{2} \\u[dD][c-fC-F][0-9a-fA-F]{2}
        )*+""",
    re.VERBOSE,
)
# What may yet become whole.
_UNFINISHED = re.compile(
    r"""(?: \\ (?: u (?: [0-9a-fA-F]{0,3}
                       | [dD][89abAB][0-9a-fA-F]{2} (?: \\ (?: u [0-9a-fA-F]{0,3} )? )?
                     ) )? )? \Z""",
    re.VERBOSE,
)
_NOT_BLANK = re.compile(rb"[^ \t\n\r]")
_STRUCTURE = re.compile(rb'["{}\[\]:,]')
_STRING_STOP = re.compile(rb'["\\]')
_SPECIAL = bytes(range(0x20)) + b'"\\'
_BULK = 4_096  # bytes of the string that are decoded at a time
_CRUMB = 64  # so few bytes may be held back
_NOTHING_ENDS = frozenset(b'>"\\').isdisjoint  # for crumbs, much faster than `in`


class JsonText:
    """Take the bytes of an object; give the text of one of its fields.

    Cheap also when the bytes come in crumbs: text is held back until something comes
    that may end a tag or the string, which is `>`, `"` or an escape.

    Args:
        field: the name of a text field of the object.
        envelope: the most bytes that may stand outside the field's string.

    Attributes:
        ended: the field's string is closed; the piece given last is its end.
        complete: the object is closed, and is JSON. What follows is ignored.
    """

    def __init__(self, field: str, envelope: int = 65_536) -> None:
        self.ended = self.complete = False
        self._field = field
        self._envelope = _Envelope(field, envelope)
        self._inside = False  # the field's string
        self._held = bytearray()  # of the string, undecoded
        self._eager = False  # an escape is among what is held

    def feed(self, data: bytes) -> Iterable[str]:
        """Take more bytes. The iterable has to be run to its end.

        Returns:
            Pieces of the field's text.

        Raises:
            BodyBroken: while iterating, after the text in front of the broken place.
            AnswerUnusable: the object is closed and has no such text.
        """
        if not self._inside or len(data) > _CRUMB:
            return self._read(data)
        held = self._held
        held += data
        if _NOTHING_ENDS(data) and not self._eager and len(held) < _BULK:
            return ()
        return self._decode()

    def end(self) -> Iterable[str]:
        """The body has ended.

        Returns:
            The text that was held back.

        Raises:
            BodyCut: while iterating, the object is not closed.
        """
        if self._inside:
            yield from self._decode()
        if not self.complete:
            raise BodyCut("the body ended before its JSON object was closed")

    def _read(self, data: bytes) -> Iterator[str]:
        for start in range(0, len(data), _BULK):
            piece = data[start : start + _BULK]
            if not self._inside:
                piece = self._scan(piece)
            if self._inside:
                self._held += piece
                yield from self._decode()

    def _scan(self, data: bytes) -> bytes:
        if self.complete:
            return b""
        rest = self._envelope.scan(data)
        self.complete = self._envelope.closed
        self._inside = self._envelope.in_field
        return rest

    def _decode(self) -> Iterator[str]:
        held = self._held
        broken: BodyBroken | None = None
        try:
            text, used = codecs.utf_8_decode(held, "strict", False)
        except UnicodeDecodeError as error:
            broken = BodyBroken(f"invalid UTF-8: {error.reason}")
            text, used = held[: error.start].decode(), error.start
        piece, rest = text, ""
        if len(held.translate(None, _SPECIAL)) < len(held):
            whole = _WHOLE.match(text).end()  # type: ignore[union-attr] # matches ""
            piece, rest = text[:whole], text[whole:]
        self.ended = rest.startswith('"')
        if piece or self.ended:
            yield json.loads(f'"{piece}"') if "\\" in piece else piece
        if self.ended:
            self._inside, self._held = False, bytearray()
            yield from self._read(bytes(held[len(piece.encode()) :]))
            return
        if not _UNFINISHED.match(rest):
            raise BodyBroken("the answer is not a JSON string")
        if broken is not None:
            raise broken
        self._eager = bool(rest)
        self._held = bytearray(rest.encode() + held[used:])


class _Envelope:
    """The object without the contents of the field's string.

    Attributes:
        in_field: the bytes that come next are inside the field's string.
        closed: the object is closed.
    """

    def __init__(self, field: str, limit: int) -> None:
        self.in_field = self.closed = False
        self._field, self._limit = field, limit
        self._kept = bytearray()
        self._at = 0  # looked at up to here; one more than there is behind a backslash
        self._depth = 0
        self._in_string = False
        self._expects_key = False
        self._key_start = 0
        self._key: object = None  # the last one of the outermost object
        self._found = False

    def scan(self, data: bytes) -> bytes:
        """Take bytes up to the field's string or the object's end; return the rest.

        After the field's string the first byte has to be its closing quote.
        """
        kept, self.in_field = self._kept, False
        kept += data
        while not (self.in_field or self.closed):
            if not self._depth:
                pattern = _NOT_BLANK
            else:
                pattern = _STRING_STOP if self._in_string else _STRUCTURE
            if (mark := pattern.search(kept, self._at)) is None:
                self._at = max(self._at, len(kept))
                break
            self._at = mark.end()
            self._take(mark[0], mark.start())
        rest = bytes(kept[self._at :])
        del kept[self._at :]
        if len(kept) > self._limit:
            raise BodyBroken(f"more than {self._limit} bytes outside the answer")
        if self.closed:
            self._judge()
        return rest

    def _take(self, mark: bytes, at: int) -> None:
        if self._depth == 0 and mark != b"{":
            raise BodyBroken("the body is not a JSON object")
        if mark == b"\\":
            self._at += 1
        elif mark == b'"':
            self._quote(at)
        elif mark in b"{[":
            self._depth += 1
            self._expects_key = self._depth == 1
        elif mark in b"}]":
            self._depth -= 1
            self.closed = self._depth == 0
        elif self._depth == 1:
            self._expects_key = mark == b","

    def _quote(self, at: int) -> None:
        self._in_string = not self._in_string
        if self._depth > 1:
            return
        if self._expects_key:
            if self._in_string:
                self._key_start = at
            else:
                self._key = _parse(self._kept[self._key_start : at + 1])
        elif self._in_string and self._key == self._field:
            if self._found:
                raise BodyBroken(f"the field {self._field} came twice")
            self._found = self.in_field = True

    def _judge(self) -> None:
        document = _parse(self._kept)
        # Of two fields of that name the later one counts, and it may hold no text.
        if not isinstance(document, dict) or document.get(self._field) != "":
            raise AnswerUnusable(f"the answer has no text in a field {self._field}")


def _parse(raw: bytearray) -> object:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BodyBroken("the body is not JSON") from error
