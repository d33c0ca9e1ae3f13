"""What of a conversation fits into the model's window.

Whole turns, the newest; of these the results of tools are shortened before a turn is
left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from supportbot.services.assistant.messages import Message, shortened, system
from supportbot.services.assistant.tokens import of_message

_SHORT = 300  # characters of a result that is shortened to make room
_LEFT_OUT = "(left out, to save room)"

Size = Callable[[Message], int]
"""How many tokens a message is."""


class Turn(NamedTuple):
    """What one message brought.

    Attributes:
        messages: as the API has them.
        system_message: of the client, that is kept also when the turn is not.
    """

    messages: Sequence[Message]
    system_message: str = ""


def fitted(
    prompt: Message,
    turns: Sequence[Turn],
    current: Sequence[Message],
    room: int,
    size: Size = of_message,
) -> list[Message]:
    """The messages to send.

    Args:
        prompt: comes first, and whole.
        turns: before the current one, the oldest first.
        current: the customer's message, and what came of it up to now. It is there in
            any case; of all else that is too long, results of tools first.
        room: tokens.
        size: of a message.
    """
    left = room - size(prompt)
    current = _squeezed(current, left, size)
    left -= sum(map(size, current))
    kept: list[Sequence[Message]] = []
    for turn in reversed(turns):
        short: Sequence[Message] = [
            _shortened(message, _SHORT) for message in turn.messages
        ]
        if (taken := sum(map(size, short))) > left:
            break
        left -= taken
        kept.append(short)
    for at, short in enumerate(kept):  # the newest first: whole after all, if it fits
        whole = turns[len(turns) - 1 - at].messages
        more = sum(map(size, whole)) - sum(map(size, short))
        if more <= left:
            left -= more
            kept[at] = whole
    lost = turns[: len(turns) - len(kept)]
    lasting = _system_messages(lost, left, size)
    return [
        prompt,
        *lasting,
        *(message for turn in reversed(kept) for message in turn),
        *current,
    ]


def _shortened(message: Message, most: int) -> Message:
    if message["role"] != "tool" or len(message["content"]) <= most:
        return message
    return {**message, "content": shortened(message["content"], most)}


def _squeezed(messages: Sequence[Message], room: int, size: Size) -> Sequence[Message]:
    """Results of tools, the oldest first, shortened until all of it fits.

    Then they are left out, if need be; the messages themselves never are.
    """
    squeezed = [*messages]
    over = sum(map(size, squeezed)) - room
    for shorten in (_brief, _none):
        for at, message in enumerate(squeezed):
            if over <= 0:
                return squeezed
            squeezed[at] = shorten(message)
            over -= size(message) - size(squeezed[at])
    return squeezed


def _brief(message: Message) -> Message:
    return _shortened(message, _SHORT)


def _none(message: Message) -> Message:
    if message["role"] != "tool" or len(message["content"]) <= len(_LEFT_OUT):
        return message
    return {**message, "content": _LEFT_OUT}


def _system_messages(turns: Sequence[Turn], room: int, size: Size) -> list[Message]:
    """What clients said with messages that are forgotten: it is still to be kept.

    The newest, as far as there is room.
    """
    kept: list[Message] = []
    said = (turn.system_message for turn in reversed(turns) if turn.system_message)
    for text in dict.fromkeys(said):
        room -= size(message := system(text))
        if room < 0:
            break
        kept.append(message)
    return kept[::-1]
