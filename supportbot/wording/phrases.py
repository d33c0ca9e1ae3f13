"""Tables of phrases, with choices."""

from __future__ import annotations

import re
import unicodedata


def phrases(table: str) -> frozenset[str]:
    """All phrases of a table, casefolded and in compatibility form.

    Args:
        table: phrases, between commas or on lines of their own. `[it|them]` is a
            choice, and `[|now]` one that may be left out; none stands in another.
    """
    found: set[str] = set()
    plain = unicodedata.normalize("NFKC", table).casefold()
    for line in re.split(r"[,\n]", plain):
        ways = [""]
        for part in re.findall(r"\[[^]]*\]|[^\[]+", line):
            choices = part[1:-1].split("|") if part[0] == "[" else [part]
            ways = [way + choice for way in ways for choice in choices]
        found |= {" ".join(way.split()) for way in ways}
    return frozenset(found - {""})
