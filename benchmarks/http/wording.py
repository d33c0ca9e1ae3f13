"""What customers ask and what the upstream has to answer, word by word.

A message carries its number and the pace of the answer; every paragraph repeats the
message and carries the time at which it was written, on the machine's monotonic clock.
"""

from __future__ import annotations

import re

WORD = "help"
"""Stands in every message; supportbot finds its service by it."""
NOW, HOLD = "at once", "held back"
HELD_AFTER = 3  # paragraphs of an answer that is held back

_PACE = re.compile(r"\Ahelp with order \d{8}, (?:\d+ ms|at once|held back)\Z")
_STAMP = "%017.6f"
_WIDTH = 17
_SENTENCES = (
    "a light that flashes often asks for attention; don\u2019t ignore it.",
    "unplug the device, wait for 30 seconds, and plug it in again.",
    "see whether the light goes on flashing or returns to normal.",
    'if it does not, read the chapter \u201cLights\u201d, or "Faults".',
    "above 40 \u00b0C the device rests; let it cool down in some shade.",
    "ask again at any time; somebody will have a look at the device.",
)
COUNT = len(_SENTENCES)
_OPENINGS = tuple(f"<p>{n} of {COUNT}, written at " for n in range(1, COUNT + 1))


def message_of(number: int, pace: str) -> str:
    """A message.

    Args:
        number: at most eight digits.
        pace: milliseconds before each paragraph as in `250 ms`, `NOW` or `HOLD`.
    """
    return f"{WORD} with order {number:08d}, {pace}"


def pace_of(message: str) -> str:
    """The pace that a message asks for.

    Raises:
        ValueError: no message of ours.
    """
    if _PACE.match(message) is None:
        raise ValueError(f"no message of the benchmark: {message[:80]!r}")
    return message.partition(", ")[2]


def written(message: str, place: int, now: float) -> str:
    """One paragraph of the answer.

    Args:
        place: from 0 to `COUNT` - 1.
        now: seconds on the monotonic clock.
    """
    about = f", about \u201c{message}\u201d: {_SENTENCES[place]}</p>"
    return f"{_OPENINGS[place]}{_STAMP % now}{about}"


def stamp_of(paragraph: str, message: str, place: int) -> float | None:
    """When a paragraph was written, or None if it is not what was written.

    Args:
        message, place: what the paragraph has to be.
    """
    opening = _OPENINGS[place]
    stamp = paragraph[len(opening) : len(opening) + _WIDTH]
    try:
        when = float(stamp)
    except ValueError:
        return None
    return when if paragraph == written(message, place, when) else None
