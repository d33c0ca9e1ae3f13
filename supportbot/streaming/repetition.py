"""Notice text that says the same over and over, as a language model may.

A phrase is any characters, from a single one to a paragraph, so that one rule is
enough for floods of a character, lines and sentences that come again and again. A
phrase of `p` characters is repeated as long as each character equals the one `p`
places in front of it.

Not every character is looked at: at every few hundredth the last ones, as many as the
longest phrase has, are searched for in the text just in front of them. A phrase that
goes on being repeated is noticed there long before it is too much, and then the
character that would be too much is looked at as well. What is let through depends
on the text alone, not on how it was cut: everything in front of that character.
"""

from __future__ import annotations

from supportbot.errors import TextRepeated


class Repetition:
    """Let text through until it does nothing but repeat itself.

    Honest text may be repetitive too: rules of dashes, tables of equal rows, columns
    of zeroes. It passes, for it is short, or something in it changes.

    Args:
        times: how often a phrase may come in a row.
        least: how many characters may be repetitions however short the phrase is; more
            than twice `longest`.
        longest: the most characters of a phrase. Longer ones are not noticed.

    Attributes:
        runaway: what is wrong with the character behind the last one that was let
            through; None as long as all is well.
    """

    def __init__(self, times: int = 24, least: int = 1_000, longest: int = 400) -> None:
        if least <= 2 * longest:
            raise ValueError("`least` has to be more than twice `longest`")
        self.runaway: TextRepeated | None = None
        self._times, self._least, self._longest = times, least, longest
        # Between two looks no phrase may become too much, nor may one go out of sight.
        self._stride = min(longest, least - 2 * longest)
        self._tail = ""  # the last characters
        self._size = 0  # characters up to now
        self._next = self._stride  # the size at which to look
        self._phrase = 0  # how long that is which is being repeated
        self._start = 0  # where it came first

    def admit(self, text: str) -> str:
        """Take the next text; return what of it may be read."""
        if self.runaway is not None:
            return ""
        at = 0
        while len(text) - at >= self._next - self._size:
            piece = text[at : at + self._next - self._size]
            at += len(piece)
            self._take(piece)
            self._look()
            if self.runaway is not None:
                return text[: at - 1]
        self._take(text[at:])
        return text

    def _take(self, text: str) -> None:
        self._tail += text
        self._size += len(text)

    def _look(self) -> None:
        size, stride = self._size, self._stride
        self._tail = self._tail[-(2 * self._longest + stride) :]
        self._next = size + stride
        phrase = self._repeated()
        if not phrase:
            self._phrase = 0
            return
        if phrase != self._phrase:
            self._phrase, self._start = phrase, size - self._run(phrase)
        limit = max(self._least, self._times * phrase)
        if size - self._start > limit:
            self.runaway = TextRepeated(limit // phrase)
        self._next = min(self._next, self._start + limit + 1)

    def _repeated(self) -> int:
        """How long the phrase is that is being repeated; 0 if there is none.

        As many characters are compared as the longest phrase has. So the nearest place
        where they stand is one phrase away, and not one part of a phrase.
        """
        tail, longest = self._tail, self._longest
        start = len(tail) - longest
        if start <= 0:
            return 0
        found = tail.rfind(tail[start:], max(0, start - longest), len(tail) - 1)
        return start - found if found >= 0 else 0

    def _run(self, phrase: int) -> int:
        """How many of the last characters are that phrase, again and again."""
        tail = self._tail
        at = len(tail)
        while at > phrase and tail[at - 1] == tail[at - 1 - phrase]:
            at -= 1
        return len(tail) - at + phrase
