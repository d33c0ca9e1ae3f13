"""One event that many wait for, and one thing that is done for all of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

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


class Shared(Generic[_T]):
    """Something that is done once for all who ask for it meanwhile.

    It goes on when one of them, or each, does not want to wait any more.

    Args:
        do: does it.

    Attributes:
        busy: it is being done.
    """

    def __init__(self, do: Callable[[], Coroutine[Any, Any, _T]]) -> None:
        self._do, self._waiters = do, Waiters[_T]()
        self.busy = False

    def ask(self) -> Deferred[_T]:
        """Fires with what comes of it."""
        waiter = self._waiters.another()
        if not self.busy:
            self.busy = True
            Deferred.fromCoroutine(self._do()).addBoth(self._done)
        return waiter

    def _done(self, result: _T | Failure) -> None:
        self.busy = False
        self._waiters.fire(result)
