"""Texts as they are compared: what looks the same becomes the same.

Compatibility forms, case, accents and digits of any script are made equal, and so are
letters of other alphabets that are taken for a Latin one. What can't be seen is left
out. A folded text is for looking something up in; it is never shown or stored.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

_LOOKS_LIKE = {
    **dict(zip("авеіјкмнорстухѕһԁԝпи", "abeijkmhopctyxshdwnn", strict=True)),
    **dict(zip("αβεικμνορτυχη", "abeikmnoptuxn", strict=True)),
    **dict(zip("ıɪɩɴᴘᴏᴅᴇ", "iiinpode", strict=True)),
}

_UNSEEN = frozenset({"Cf", "Cc", "Mn", "Me"})


def folded(text: str) -> tuple[str, Sequence[int]]:
    """The text as it is compared.

    Returns:
        The folded text, and for each of its characters the index in `text` of the one
        that it came from.
    """
    if text.isascii() and text.isprintable():
        return text.lower(), range(len(text))
    parts, origin = [], []
    for index, character in enumerate(text):
        folds = fold(character)
        parts.append(folds)
        origin += [index] * len(folds)
    return "".join(parts), origin


@lru_cache(maxsize=8192)
def fold(character: str) -> str:
    """What one character is compared as; nothing if it can't be seen.

    Characters are folded one by one, and not the text as a whole, since normalising a
    long row of accents takes quadratic time.
    """
    if character in "\n\r\v\f\x85\u2028\u2029":
        return "\n"
    parts = []
    for part in unicodedata.normalize("NFKD", character).casefold():
        digit = unicodedata.digit(part, None)
        if digit is not None:
            parts.append(str(digit))
        elif part.isspace():
            parts.append(" ")
        elif unicodedata.category(part) not in _UNSEEN:
            parts.append(_LOOKS_LIKE.get(part, part))
    return "".join(parts)


def seen(text: str) -> str:
    """The text in compatibility forms, without what can't be seen."""
    return "".join(unicodedata.normalize("NFKC", c) for c in text if fold(c))
