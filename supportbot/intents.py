"""What a message asks for, by its words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


def spotted(text: str, intents: Iterable[str]) -> str | None:
    """The first of the intents whose words stand in the text.

    Args:
        text: the customer's message.
        intents: words such as `real person`, the most explicit first. They count as
            whole words, in any case, next to each other, wherever they stand.

    Returns:
        The intent as it was given, or None.
    """
    return next((intent for intent in intents if words(intent).search(text)), None)


@lru_cache(maxsize=256)
def words(phrase: str) -> re.Pattern[str]:
    """A pattern for the phrase's words, whole, in any case and spacing."""
    inner = r"\s+".join(re.escape(word) for word in phrase.split())
    return re.compile(rf"(?<!\w){inner}(?!\w)", re.IGNORECASE)
