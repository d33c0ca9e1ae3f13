"""A message on its way to its answer."""

from __future__ import annotations

import msgspec

from supportbot.context import request_id
from supportbot.events import ReplyEnded
from supportbot.ledger import Message
from supportbot.waiters import Waiters
from supportbot.wording.credentials import Masked


class Aside(msgspec.Struct, frozen=True):
    """What a client says besides the message.

    Attributes:
        system_message, model: as in `CustomerSaid`.
        client: where it is, for limits per address; empty if that says nothing.
    """

    system_message: str = ""
    model: str = ""
    client: str = ""


NOTHING = Aside()


class Asked:
    """A message that is not answered yet, and those who wait with it.

    The PIN in it is nowhere else, and is gone with it.
    """

    def __init__(self, message: Message, said: Masked, aside: Aside = NOTHING) -> None:
        self.message, self.text, self.pin = message, said.text, said.pin
        self.aside = aside
        self.request = request_id.get()  # which a store's thread does not keep
        self.begun = False
        self.stored = Waiters[Message]()
        self.answered = Waiters[ReplyEnded]()
