"""The names that a service knows, in the spelling that it knows.

Third parties look for their terms letter by letter. A customer writes "antigravity
sock", "AntiGravity-Socks" or "Antigravty Socks" and means the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from rapidfuzz.distance import Indel

from supportbot.intents import words

_WORD = re.compile(r"\w+(?:['\u2019]\w+)?")
SAME = 0.86
"""How alike, from 0 to 1, a small typo leaves a name to what was meant."""
CLOSE = 0.62
"""How alike a name has to be to be worth a suggestion."""


class Respelled(msgspec.Struct, frozen=True):
    """A message as the service understands it.

    Attributes:
        text: the message with the known names in the service's spelling, and nothing
            else changed.
        known: the names that stand in it.
        close: names that may have been meant, the likeliest first; empty when a known
            one stands in the text.
    """

    text: str
    known: tuple[str, ...]
    close: tuple[str, ...]


class _Sighting(msgspec.Struct, frozen=True, order=True):
    likeness: float
    topic: str
    start: int
    end: int


def respell(text: str, topics: Sequence[str], intent: str = "") -> Respelled:
    """Put the names that the service knows into its own spelling.

    Args:
        text: the customer's message.
        topics: the names, in the service's spelling.
        intent: words that chose the service; they are no part of a name.
    """
    spans = _word_spans(text, intent) if topics else []
    sightings = [best for topic in topics if (best := _sight(text, spans, topic))]
    taken: list[_Sighting] = []
    for sighting in sorted(sightings, reverse=True):
        apart = all(s.end <= sighting.start or sighting.end <= s.start for s in taken)
        if sighting.likeness >= SAME and apart:
            taken.append(sighting)
    spelled = text
    for sighting in sorted(taken, key=lambda s: s.start, reverse=True):
        rest = spelled[sighting.end :]
        spelled = spelled[: sighting.start] + sighting.topic + rest
    close = sorted((s for s in sightings if s.likeness >= CLOSE), reverse=True)
    return Respelled(
        text=spelled,
        known=tuple(s.topic for s in taken),
        close=() if taken else tuple(s.topic for s in close[:3]),
    )


def _word_spans(text: str, intent: str) -> list[tuple[int, int]]:
    """Where the words stand that may be part of a name."""
    if intent:
        text = words(intent).sub(lambda found: " " * len(found[0]), text)
    return [word.span() for word in _WORD.finditer(text)]


def _sight(text: str, spans: Sequence[tuple[int, int]], topic: str) -> _Sighting | None:
    """The place in the text that is most like the topic.

    Spaces and hyphens don't count, so that the place may have fewer words, or one more.
    If no place is like all of it, one of its longer words will do, as the least alike.
    """
    wanted = _letters(topic)
    size = len(topic.split())
    shortest = len(wanted) * CLOSE / (2 - CLOSE)  # no shorter place is like enough
    best: _Sighting | None = None
    for first in range(len(spans)):
        for count in range(1, size + 2):
            if first + count > len(spans):
                break
            start, end = spans[first][0], spans[first + count - 1][1]
            if end - start < shortest:
                continue
            likeness = Indel.normalized_similarity(
                wanted, _letters(text[start:end]), score_cutoff=CLOSE
            )
            if likeness and (best is None or likeness > best.likeness):
                best = _Sighting(likeness, topic, start, end)
    if best is None:
        telling = {word for word in map(_letters, topic.split()) if len(word) >= 5}
        for start, end in spans:
            if _letters(text[start:end]) in telling:
                return _Sighting(CLOSE, topic, start, end)
    return best


def _letters(text: str) -> str:
    return "".join(_WORD.findall(text)).casefold()
