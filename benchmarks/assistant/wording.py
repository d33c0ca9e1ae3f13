"""What customers ask, and what the model writes: words that carry their own time.

Each word names its message, its place and the time at which it was written, on the
machine's monotonic clock, so that every word of every answer can be checked, and how
late it comes.
"""

from __future__ import annotations

import re

NOW, HOLD = "at once", "held back"
COUNT = 120
"""Words of an answer; each is a token to the model."""
HELD_AFTER = COUNT // 2
_PARAGRAPH = 30  # words of one

_MESSAGE = re.compile(r"\Aquestion (\d{8}), (\d+ ms|at once|held back)\Z")
_WORD = re.compile(r"w(\d{8})\.(\d{3})\.(\d{6,}\.\d{6})\s")


def message_of(number: int, pace: str) -> str:
    """A message.

    Args:
        number: at most eight digits.
        pace: milliseconds before each word as in `50 ms`, `NOW` or `HOLD`.
    """
    return f"question {number:08d}, {pace}"


def asked_of(message: str) -> tuple[int, str]:
    """The number and the pace in a message.

    Raises:
        ValueError: no message of ours.
    """
    found = _MESSAGE.match(message)
    if found is None:
        raise ValueError(f"no message of the benchmark: {message[:80]!r}")
    return int(found[1]), found[2]


def word_of(number: int, place: int, now: float) -> str:
    """One word of the answer, with what follows it.

    Args:
        number: of the message.
        place: from 0 to `COUNT` - 1.
        now: seconds on the monotonic clock.
    """
    last = place % _PARAGRAPH == _PARAGRAPH - 1
    return f"w{number:08d}.{place:03d}.{now:013.6f}{_end(place) if last else ' '}"


def _end(place: int) -> str:
    return "\n" if place == COUNT - 1 else "\n\n"


class Reader:
    """Takes an answer apart, piece by piece.

    Args:
        number: of the message.

    Attributes:
        number: as given.
        place: how many words have come.
    """

    def __init__(self, number: int) -> None:
        self.number, self._rest = number, ""
        self.place = 0

    def feed(self, text: str) -> list[float]:
        """Take a piece; the times of the words that are whole now.

        Raises:
            ValueError: it is not what was written.
        """
        text, times, end = self._rest + text, list[float](), 0
        for found in _WORD.finditer(text):
            if text[end : found.start()].strip():
                break
            if (int(found[1]), int(found[2])) != (self.number, self.place):
                raise ValueError(f"not word {self.place} of {self.number}: {found[0]}")
            times.append(float(found[3]))
            self.place, end = self.place + 1, found.end()
        self._rest = text[end:]
        if len(self._rest) > 80:
            raise ValueError(f"not word {self.place}: {self._rest[:80]!r}")
        return times
