"""Calls of tools, put together out of the fragments in which a model writes them."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from supportbot.errors import BodyRunaway

_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")
_NAME = 64  # characters: the API takes back no more, nor any that are foreign to it
_ID = re.compile(r"[\x21-\x7e]{1,128}")


class ToolCall(msgspec.Struct, frozen=True):
    """What the model wants called.

    Attributes:
        id: no other call in the same answer has it; ours if the model gave none.
        name: of letters, digits, `_` and `-` alone, 64 at the most, as the API wants it
            back; there need not be such a tool.
        arguments: JSON as the model wrote it; it may be broken, and it may be empty.
    """

    id: str
    name: str
    arguments: str

    def __repr__(self) -> str:  # the arguments may be the customer's words
        return f"ToolCall({self.name!r}, {len(self.arguments)} characters)"


class Calls:
    """All calls in one answer.

    Servers differ in what they put into a fragment: a name begins a call; what has none
    goes on with one. Some give all calls the same index, or no index, or no ids, or
    every fragment an id of its own, or say name and id again and again.

    Args:
        new_id: makes an id for a call that came without one.
        most: calls.
        characters: of the arguments of all of them.
    """

    def __init__(
        self, new_id: Callable[[], str], most: int = 32, characters: int = 65_536
    ) -> None:
        self._new_id, self._most, self._limit = new_id, most, characters
        self._left = characters
        self._calls: list[_Growing] = []
        self._at: dict[int | None, _Growing] = {}  # the newest one of each index

    def take(self, index: int | None, id: str, name: str, arguments: str) -> None:
        """The next fragment; what it does not say is empty.

        Raises:
            BodyRunaway: these are too many calls, or too long ones.
        """
        call = self._named(id) if index is None else None
        call = call or self._at.get(index)
        if call is None or call.ended_by(id, name):
            call = self._begin()
        self._at[index] = call
        call.id, call.name = call.id or id, call.name or name
        self._left -= len(arguments)
        if self._left < 0:
            raise BodyRunaway(f"arguments are longer than {self._limit} characters")
        if arguments:
            call.arguments.append(arguments)

    def all(self) -> tuple[ToolCall, ...]:
        """The calls, in the order in which the model began them."""
        ids: set[str] = set()
        calls = []
        for call in self._calls:
            id = call.id
            while id in ids or not _ID.fullmatch(id):
                id = self._new_id()
            ids.add(id)
            name = _FOREIGN.sub("_", call.name[:_NAME]) or "unnamed"
            calls.append(ToolCall(id, name, _mended("".join(call.arguments))))
        return tuple(calls)

    def _named(self, id: str) -> _Growing | None:
        """The newest call with this id."""
        known = (call for call in reversed(self._calls) if id and call.id == id)
        return next(known, None)

    def _begin(self) -> _Growing:
        if len(self._calls) == self._most:
            raise BodyRunaway(f"more than {self._most} calls of tools")
        self._calls.append(_Growing())
        return self._calls[-1]


class _Growing:
    """One call, as far as it is known."""

    def __init__(self) -> None:
        self.id = self.name = ""
        self.arguments: list[str] = []

    def ended_by(self, id: str, name: str) -> bool:
        """Whether a fragment with this id and name is another call's."""
        if not name or not self.name:
            return False
        if id and self.id and name == self.name:
            return id != self.id
        return name != self.name or bool(self.arguments)


def _mended(text: str) -> str:
    """With whole characters, where some servers cut them in halves; none is left."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
