"""A deadline that is cheap to move."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Deadline:
    """Call something unless told otherwise in time.

    It is moved with every request of every connection, so moving it is but noting the
    time: the timer under it rings when it was first set to, and then sees what is left.
    """

    __slots__ = ("_call", "_clock", "_due", "_passed")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._call: IDelayedCall | None = None
        self._due: float | None = None
        self._passed: Callable[[], object] | None = None

    def set(self, seconds: float, passed: Callable[[], object]) -> None:
        """Replace what was set: call this after so many seconds."""
        self._due = due = self._clock.seconds() + seconds
        self._passed = passed
        call = self._call
        if call is not None and call.getTime() > due:
            call.cancel()
            call = None
        if call is None:
            self._call = self._clock.callLater(seconds, self._ring)

    def clear(self) -> None:
        """There is no hurry."""
        self._due = self._passed = None

    def stop(self) -> None:
        """There is no hurry any more, and no timer is left."""
        self.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _ring(self) -> None:
        self._call = None
        if self._due is None or self._passed is None:
            return
        left = self._due - self._clock.seconds()
        if left > 0:
            self._call = self._clock.callLater(left, self._ring)
        else:
            passed = self._passed
            self.clear()
            passed()
