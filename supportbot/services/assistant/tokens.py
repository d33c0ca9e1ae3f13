"""How many tokens a text is, without knowing the model's own way to cut it.

No language and no model takes more than about one token for three bytes of UTF-8, but
for numbers, emoji and the like; so three is what is counted with. Where the server says
more, that is believed from then on.
"""

from __future__ import annotations

import msgspec

from supportbot.services.assistant.messages import Message

_BYTES = 3  # of a token
_FRAME = 8  # tokens around each message, or tool
_MOST = 3.0  # times as many as were estimated; more says nothing of the text
_WEIGHT = 0.25  # of what was said last

_encode = msgspec.json.Encoder().encode


def of_text(text: str) -> int:
    """Tokens of a text, rather too many than too few."""
    return of_bytes(len(text.encode("utf-8", "surrogatepass")))


def of_bytes(size: int) -> int:
    """Tokens of a text that has so many bytes."""
    return -(-size // _BYTES)


def of_message(message: Message) -> int:
    """Tokens of a message, or of a tool."""
    content = message.get("content")
    if len(message) == 2 and isinstance(content, str):  # nearly all are such
        return of_text(content) + _FRAME
    return of_bytes(len(_encode(message))) + _FRAME


class Measure:
    """Corrects estimates by what a server says.

    Attributes:
        factor: what an estimate has to be multiplied with; never below 1.
    """

    def __init__(self) -> None:
        self._ratio = 1.0

    @property
    def factor(self) -> float:
        return max(1.0, self._ratio)

    def learn(self, estimated: int, said: int) -> None:
        """A question that was estimated, without correction, took so many tokens."""
        ratio = min(_MOST, said / max(1, estimated))
        self._ratio += _WEIGHT * (ratio - self._ratio)
