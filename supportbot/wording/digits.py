"""Numbers as people write them: 1234, 1 2 3 4, 1-2-3-4, one two three four."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from supportbot.wording.login_words import DIGIT_WORDS, LARGE_WORDS, TIMES, Token

_WIDEST = 3
"""How many characters may stand between digits of one number."""


class Run(NamedTuple):
    """A number as it was written.

    Attributes:
        first, last: its tokens.
        digits: ASCII.
        sizes: how many digits each group has.
        between: all that stands between the groups.
        read: whether the digits are those that were meant.
    """

    first: int
    last: int
    digits: str
    sizes: tuple[int, ...]
    between: str
    read: bool


def runs(parts: Sequence[Token]) -> Iterator[Run]:
    """The numbers of a text, with groups of digits put together that belong together.

    Args:
        parts: the tokens of the whole text.
    """
    digits = [_digits_of(part) for part in parts]
    index = 0
    while index < len(parts):
        if digits[index] is None:
            index += 1
            continue
        groups, between = [index], []
        while (step := _joined(parts, digits, groups[-1])) is not None:
            between += [part.text for part in parts[groups[-1] + 1 : step]]
            groups.append(step)
        yield _run(parts, digits, groups, "".join(between))
        index = groups[-1] + 1


def _run(
    parts: Sequence[Token],
    digits: Sequence[str | None],
    groups: Sequence[int],
    between: str,
) -> Run:
    found: list[str] = []
    times, read = 1, True
    for group in groups:
        text = parts[group].text
        if text in TIMES:
            times = TIMES[text]
            continue
        found += [digits[group] or ""] * times
        times, read = 1, read and text not in LARGE_WORDS
    sizes = tuple(map(len, found)) or (0,)
    return Run(groups[0], groups[-1], "".join(found), sizes, between, read)


def _joined(
    parts: Sequence[Token], digits: Sequence[str | None], last: int
) -> int | None:
    """The next group of digits, if it belongs to the same number as this one."""
    after, between = last + 1, ""
    while after < len(parts) and parts[after].kind in {"gap", "mark"}:
        between += parts[after].text
        if len(between) > _WIDEST or "\n" in between:
            return None
        after += 1
    here = digits[last]
    there = digits[after] if after < len(parts) else None
    if here is None or there is None:
        return None
    kinds = {parts[last].kind, parts[after].kind}
    if "word" in kinds and not between:
        return None
    if "number" not in kinds:
        return after
    if len(here) == len(there) == 1:
        return after
    if "word" in kinds or "sign" in kinds:
        return None
    if between in {*"-.,/_'"}:
        return after
    return after if len(here) == len(there) <= _WIDEST and between == " " else None


def _digits_of(part: Token) -> str | None:
    """The digits that a token stands for; nothing for `double`, None for a word."""
    if part.kind == "number":
        return part.text
    if part.kind not in {"word", "sign"}:
        return None
    if part.text in TIMES:
        return ""
    return DIGIT_WORDS.get(part.text, LARGE_WORDS.get(part.text))
