"""What each third party says to a request, piece by piece and when."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import ClassVar, Protocol

import msgspec

from supportbot.demo.answers import look_up

_SLICES = 10
_SWITCH = (3, 7)  # the flood comes after one of these slices, both included
_ZEROES = b"0" * 1024
_LEAST = 0.001  # seconds between zeroes; without any, the reactor would do nothing else


class Piece(msgspec.Struct, frozen=True):
    """Bytes of a body that are written together.

    Attributes:
        wait: seconds of silence before them.
        octets: the bytes.
    """

    wait: float
    octets: bytes


class Script(Protocol):
    """How one service answers.

    Attributes:
        method: the only one that it implements.
        media: the type of its answer.
    """

    @property
    def method(self) -> str: ...
    @property
    def media(self) -> str: ...

    def pieces(self, text: str) -> Iterator[Piece]:
        """The body that answers the text; it may have no end."""


class Lookup:
    """Answer in JSON, in ten slices, and get stuck now and then.

    Args:
        field: the answer's in the JSON object.
        known: answers by term.
        unknown: the answer when no term is there.
        delay: seconds between two slices.
        zeroes: how often, from 0 to 1, an answer turns into an endless flood.
        random: decides about that, and after which slice.
        now: seconds since 1970.
    """

    method: ClassVar[str] = "POST"
    media: ClassVar[str] = "application/json"

    def __init__(
        self,
        field: str,
        known: Mapping[str, str],
        unknown: str,
        *,
        delay: float,
        zeroes: float,
        random: Random,
        now: Callable[[], float],
    ) -> None:
        self._field, self._known, self._unknown = field, known, unknown
        self._delay, self._zeroes = delay, zeroes
        self._random, self._now = random, now

    def pieces(self, text: str) -> Iterator[Piece]:
        """The first slice at once, the others a delay apart; no wait before the end."""
        answer = look_up(text, self._known, self._unknown)
        document = json.dumps({"timestamp": int(self._now()), self._field: answer})
        slices = _sliced(document.encode())
        stuck = self._random.random() < self._zeroes
        told = self._random.randint(*_SWITCH) if stuck else _SLICES
        for number, octets in enumerate(slices[:told]):
            yield Piece(self._delay if number else 0.0, octets)
        if stuck:
            yield Piece(self._delay, _ZEROES)
        while stuck:
            yield Piece(max(self._delay / 10, _LEAST), _ZEROES)


def _sliced(document: bytes) -> list[bytes]:
    """Ten slices of equal length, the last with the rest; characters may be cut."""
    size = len(document) // _SLICES
    last = size * (_SLICES - 1)
    return [document[at : at + size] for at in range(0, last, size)] + [document[last:]]


class Saying:
    """Answer any visit with one of some sentences.

    Args:
        sentences: without line ends.
        random: picks one.
    """

    method: ClassVar[str] = "GET"
    media: ClassVar[str] = "text/plain"

    def __init__(self, sentences: Sequence[str], random: Random) -> None:
        self._sentences, self._random = sentences, random

    def pieces(self, text: str) -> Iterator[Piece]:
        """One sentence, at once."""
        yield Piece(0.0, self._random.choice(self._sentences).encode())
