"""Paragraphs out of the upstream's JSON while it arrives, in the fewest lines."""

from __future__ import annotations

import json
from collections.abc import Iterator

_FIELD = '"response": "'


class Paragraphs:
    """Finished paragraphs of the JSON object's text."""

    def __init__(self) -> None:
        self._text = ""
        self._begun = False

    def feed(self, text: str) -> Iterator[str]:
        """Take what arrived; give what is complete."""
        self._text += text
        if not self._begun:
            _, found, rest = self._text.partition(_FIELD)
            if not found:
                return
            self._begun, self._text = True, rest
        while (end := self._text.find("</p>")) >= 0:
            raw, self._text = self._text[: end + 4], self._text[end + 4 :]
            yield json.loads(f'"{raw}"')
