"""A body as it is, once it is whole."""

from __future__ import annotations

from collections.abc import Iterable


class Octets:
    """Give the whole body at its end.

    How much it may hold is for the guard in front of it to say.

    Attributes:
        complete: never; only the end of the body tells.
    """

    complete = False

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterable[bytes]:
        self._held += data
        return ()

    def end(self) -> Iterable[bytes]:
        return (bytes(self._held),)
