"""The e-mail address and the PIN that a customer writes into a chat.

A message is looked at before anybody stores it or sends it on, so what counts here is
that no PIN gets through, in whatever words and digits it comes. A PIN is 4 to 8 digits:

- of any script, also circled or in boxes, with spaces, dots, hyphens or invisible
  characters between them, or spelled ("one two three four");
- *bound* to a label such as PIN, password, Geheimzahl: nothing but small words stands
  between them ("PIN is 1234", "1234 is my pin", "p.i.n.=1234"). What is bound is masked
  even if it is no PIN (3 digits, 9 to 16), since it was meant to be one;
- or *bare*, where it can be expected: next to an e-mail address, in a message that has
  a label or that was already masked, in a short message of somebody who was asked for
  it, or as the whole message. "Code" and "secret" are labels only next to an address
  and where a PIN is expected.

No bare number is a part of something (MON-0054, 2024-11-02, $1,234.50, +49 170 1234567,
a UUID), nor is one that the words around it explain ("error code 5012", "5000 sheets",
"in 2024"). Between leaving a PIN and masking a harmless number, the second is better.
What has the same digits as a PIN of the message is masked with it.

Each walk from a label or a number has a bounded number of steps, so that the time is
linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import msgspec

from supportbot.wording.digits import Run, runs
from supportbot.wording.folding import fold, folded, seen
from supportbot.wording.login_words import (
    BEFORE_YEARS,
    DIGIT_WORDS,
    KINDS,
    LARGE_WORDS,
    LINKS,
    LOGIN_WORDS,
    SHORTENED,
    SMALL,
    UNITS,
    Token,
    addresses,
    tokens,
)

MASK = "PIN ****"
"""What stands in a text in the place of a PIN."""

FEWEST, MOST = 4, 8
"""How many digits a PIN has."""

SHORT = 6
"""How many words a message may have, small ones not counted, to be a bare answer."""

_MEANT = range(3, 17)
"""So many digits after a label were meant to be the PIN, or are it with a typo."""
_REACH = 20
"""How many words and marks may stand between a label and its number."""

_PARTS = re.compile("[0-9]|[a-z]+")
_NUMERALS = frozenset({*"0123456789", *DIGIT_WORDS, *LARGE_WORDS})
"""What a text in ASCII has nothing of if there is no number in it."""

_JOINTS = frozenset("-_/\\@\u2010\u2011\u2012\u2013\u2014\u2212")
_PHONE = frozenset(" -()/.")
_ENDS = frozenset(".!?")
_NOTHING = Token("gap", "\n", 0, 0)


class Masked(msgspec.Struct, frozen=True):
    """A text without PINs.

    Attributes:
        text: what may be stored; each PIN reads `PIN ****`.
        pin: ASCII digits; None if there is none, if there are different ones, or if
            what was given can't be read as one.
    """

    text: str
    pin: str | None

    def __repr__(self) -> str:
        return (
            f"Masked({len(self.text)} characters, pin={'****' if self.pin else None})"
        )


def masked(text: str, *, expected: bool) -> Masked:
    """Take the PINs out of a text.

    Masking what was masked changes nothing.

    Args:
        text: a message as it was typed.
        expected: whether the customer was just asked for the PIN, or gave an e-mail
            address before.
    """
    if _is_numberless(text):
        return Masked(text, None)
    spans, found = _Message(text, expected).pins()
    parts, at = [], 0
    for start, end in spans:
        before, after = text[max(start - 1, 0) : start], text[end : end + 1]
        parts += [text[at:start], " " if before.isalnum() or before == "-" else ""]
        parts += [MASK, " " if after.isalnum() or after == "*" else ""]
        at = end
    pin = found.pop() if len(found) == 1 else None
    return Masked("".join([*parts, text[at:]]), pin)


def address(text: str) -> str | None:
    """The one e-mail address in a text, as typed, but without invisible characters.

    Returns:
        None if there is none, or if there are different ones.
    """
    plain, origin = folded(text)
    found: dict[str, str] = {}
    for start, end, whole in addresses(plain):
        if whole:
            typed = text[origin[start] : origin[end - 1] + 1]
            found.setdefault(plain[start:end], typed)
    return seen(found.popitem()[1]) if len(found) == 1 else None


def only_credentials(text: str) -> bool:
    """Whether a masked text says nothing besides an e-mail address, a PIN, or both.

    Greetings and the wish to be logged in don't count as something else.
    """
    given = False
    for token in tokens(folded(text)[0]):
        if token.kind in {"email", "mask"}:
            given = True
        elif token.kind == "number" or (
            token.kind in {"word", "sign"} and token.text not in LOGIN_WORDS
        ):
            return False
    return given


def _is_numberless(text: str) -> bool:
    """Whether a glance is enough to see that there is no number in a text."""
    if not (text.isascii() and text.isprintable()):  # it may look like another
        return False
    return _NUMERALS.isdisjoint(_PARTS.findall(text.lower()))


class _Message:
    """A text in tokens, with its numbers."""

    def __init__(self, text: str, expected: bool) -> None:
        plain, self._origin = folded(text)
        self._text, self._expected = text, expected
        self._tokens = [*tokens(plain)]
        self._runs = [*runs(self._tokens)]
        self._plus = "+" in plain
        self._starts = {run.first: run for run in self._runs}
        self._ends = {run.last: run for run in self._runs}

    def pins(self) -> tuple[list[tuple[int, int]], set[str | None]]:
        """The places of PINs in the text, in order, and what the PINs are.

        None is among these if something was meant to be a PIN that is none.
        """
        if not any(len(run.digits) >= _MEANT[0] for run in self._runs):
            return [], set()
        masks = self._bound()
        for run in self._bare():
            masks.setdefault(run.first, run.first)
        known = {self._starts[first].digits for first in masks}
        found: set[str | None] = set()
        spans = []
        for run in self._runs:
            if run.first in masks:
                found.add(run.digits if self._readable(run) else None)
            elif run.digits not in known or self._named(run):
                continue
            first = self._tokens[masks.get(run.first, run.first)].start
            spans.append(self._span(first, self._tokens[run.last].end))
        return spans, found

    def _span(self, start: int, end: int) -> tuple[int, int]:
        """The place in the text, with what can't be seen behind it."""
        after = self._origin[end - 1] + 1
        while after < len(self._text) and not fold(self._text[after]):
            after += 1
        return self._origin[start], after

    def _readable(self, run: Run) -> bool:
        fits = FEWEST <= len(run.digits) <= MOST
        return run.read and fits and not self._glued(run.last, run.last + 1)

    # What belongs to a label.

    def _labels(self) -> Iterator[int]:
        weak = self._expected or any(token.kind == "email" for token in self._tokens)
        for index, token in enumerate(self._tokens):
            if token.kind == "label":
                if not self._sized(index):
                    yield index
            elif token.kind == "weak" and weak and not self._explained(index):
                yield index

    def _sized(self, label: int) -> bool:
        """Whether it is a plug with so many pins: 24-pin."""
        run = self._ends.get(label - 2)
        joint = self._at(label - 1).text in {"-", " "}
        return joint and run is not None and len(run.digits) < 3

    def _bound(self) -> dict[int, int]:
        """The first tokens of bound numbers, and of what is masked with each."""
        bound: dict[int, int] = {}
        for label in self._labels():
            run, whole = self._ahead(label)
            if run is not None:
                bound.setdefault(run.first, label if whole else run.first)
            elif whole and (run := self._behind(label)) is not None:
                bound.setdefault(run.first, run.first)
        return bound

    def _ahead(self, label: int) -> tuple[Run | None, bool]:
        """The number behind a label, and whether nothing but small words is between.

        Without a number, whether there may be one before the label instead.
        """
        whole = True
        for index in range(label + 1, min(label + 1 + _REACH, len(self._tokens))):
            run, token = self._starts.get(index), self._tokens[index]
            if run is not None and len(run.digits) >= _MEANT[0]:
                fits = len(run.digits) in _MEANT and not self._dated(index)
                if len(run.digits) < FEWEST and self._counted(run):
                    fits = False
                return (run, whole) if fits else (None, False)
            if token.kind in {"label", "mask", "number"}:
                return None, False
            if token.kind in {"word", "sign"} and token.text not in SMALL:
                break
            if token.kind == "email" or token.text in _ENDS or "\n" in token.text:
                whole = False
        return None, True

    def _behind(self, label: int) -> Run | None:
        """The number before a label in the same sentence."""
        for index in range(label - 1, max(label - 1 - _REACH, -1), -1):
            run, token = self._ends.get(index), self._tokens[index]
            if run is not None and len(run.digits) >= FEWEST:
                fits = self._alone(run) and not self._explained(run.first)
                return run if fits else None
            if token.text in _ENDS or "\n" in token.text:
                break
            if token.kind not in {"gap", "mark"} and token.text not in SMALL:
                break
        return None

    # What is a PIN by where it stands.

    def _bare(self) -> Iterator[Run]:
        kinds = {token.kind for token in self._tokens}
        words = sum(
            token.kind == "word"
            and token.text not in SMALL
            and token.text not in DIGIT_WORDS
            for token in self._tokens
        )
        here = "email" in kinds or (self._expected and words <= SHORT)
        here = here or (len(self._runs) == 1 and words == 0 and self._is_whole())
        labelled = "mask" in kinds or next(self._labels(), None) is not None
        if not here and not labelled:
            return
        for run in self._runs:
            if not self._alone(run) or self._explained(run.first):
                continue
            if self._counted(run) and not self._after_address(run):
                continue
            word = self._word_after(run)
            if here or word is None or word.text in SMALL:
                yield run

    def _is_whole(self) -> bool:
        """Whether there is nothing but one number."""
        run = self._runs[0]
        around = [*self._tokens[: run.first], *self._tokens[run.last + 1 :]]
        return all(token.kind in {"gap", "mark"} for token in around)

    def _alone(self, run: Run) -> bool:
        """Whether a number has a PIN's length and is no part of anything."""
        evenly = len({*run.sizes}) == 1 and not run.between.strip(" ")
        fits = FEWEST <= len(run.digits) <= MOST and (evenly or max(run.sizes) == 1)
        return fits and run.read and not self._part(run)

    def _part(self, run: Run) -> bool:
        """Whether a number is part of a name, a price, a share, a date or a time."""
        if self._glued(run.first, run.first - 1):
            return True
        if self._glued(run.last, run.last + 1):
            return True
        if self._named(run) or (self._plus and self._dialled(run)):
            return True
        colon, number = self._at(run.last + 1), self._at(run.last + 2)
        return colon.text == ":" and number.kind in {"number", "mask"}

    def _named(self, run: Run) -> bool:
        """Whether a number is part of a name with hyphens, or a sum of money."""
        before, further = self._at(run.first - 1), self._at(run.first - 2)
        after, beyond = self._at(run.last + 1), self._at(run.last + 2)
        for joint, other in ((before, further), (after, beyond)):
            if joint.text in _JOINTS and other.kind in {"word", "number"}:
                return True
        marks = {before.text, after.text}
        marks |= {further.text} if before.kind == "gap" else set()
        marks |= {beyond.text} if after.kind == "gap" else set()
        return any(_is_money(mark) for mark in marks)

    def _dialled(self, run: Run) -> bool:
        """Whether it is in a telephone number, which begins with a plus."""
        for index in range(run.first - 1, max(run.first - 1 - _REACH, -1), -1):
            token = self._tokens[index]
            if token.text == "+":
                return self._at(index + 1).kind == "number"
            if token.kind not in {"number", "mask"} and token.text not in _PHONE:
                break
        return False

    def _counted(self, run: Run) -> bool:
        """Whether the word behind a number is what there are so many of."""
        word = self._word_after(run)
        if word is None or word.text in SMALL:
            return False
        if word.text in UNITS or (len(word.text) > 3 and word.text.endswith("s")):
            return True
        index = run.last + (1 if self._at(run.last + 1) is word else 2)
        joint, number = self._at(index + 1), self._at(index + 2)
        return joint.text in _JOINTS and number.kind == "number"  # 5000 MON-0054

    def _after_address(self, run: Run) -> bool:
        for index in range(run.first - 1, max(run.first - 1 - _REACH, -1), -1):
            token = self._tokens[index]
            if token.kind == "email":
                return True
            if token.kind not in {"gap", "mark"} and token.text not in SMALL:
                break
        return False

    def _word_after(self, run: Run) -> Token | None:
        index = run.last + 1
        after = self._at(index)
        if after.kind == "gap" and "\n" not in after.text:
            index, after = index + 1, self._at(index + 1)
        return after if after.kind == "word" and index not in self._starts else None

    def _explained(self, index: int) -> bool:
        """Whether words before this token say what kind of number it is."""
        for before in range(index - 1, max(index - 1 - _REACH, -1), -1):
            token = self._tokens[before]
            if token.text in KINDS:
                return True
            dot = token.text == "." and self._at(before - 1).text in SHORTENED
            link = token.kind == "weak" or token.text in LINKS or dot
            if not link and (token.kind != "gap" or "\n" in token.text):
                break
        return self._dated(index)

    def _dated(self, index: int) -> bool:
        """Whether a number is a year: in 2024."""
        number, before = self._tokens[index].text, self._at(index - 2).text
        year = len(number) == 4 and number[:2] in {"19", "20"}
        return year and before in BEFORE_YEARS

    def _glued(self, index: int, neighbour: int) -> bool:
        """Whether the token next to this one is a word, with nothing in between."""
        numeral = neighbour in self._starts or neighbour in self._ends
        if numeral or self._at(neighbour).kind != "word":
            return False
        left, right = sorted((index, neighbour))
        seam = self._origin[self._tokens[right].start]
        return seam - self._origin[self._tokens[left].end - 1] <= 1  # nothing unseen

    def _at(self, index: int) -> Token:
        return self._tokens[index] if 0 <= index < len(self._tokens) else _NOTHING


def _is_money(mark: str) -> bool:
    return mark == "%" or (len(mark) == 1 and unicodedata.category(mark) == "Sc")
