"""One event that many wait for."""

from __future__ import annotations

from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_T = TypeVar("_T")


class Waiters(Generic[_T]):
    """Those who wait for the same thing; each may be cancelled."""

    def __init__(self) -> None:
        self._waiting: list[Deferred[_T]] = []

    def another(self) -> Deferred[_T]:
        """Fires when the others do."""
        waiter: Deferred[_T] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        return waiter

    def fire(self, result: _T | Failure) -> None:
        """Tell all who wait now."""
        for waiter in list(self._waiting):
            if waiter in self._waiting:  # one before it may have cancelled it
                self._waiting.remove(waiter)
                waiter.callback(result)
