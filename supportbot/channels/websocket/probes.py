"""Questions whether a client is there, which it answers by pongs."""

from __future__ import annotations

import secrets

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Probes:
    """Those of one connection that are waited for.

    Args:
        clock: for their deadlines.
    """

    __slots__ = ("_clock", "_waiting")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[bytes, tuple[Deferred[bool], IDelayedCall]] = {}

    def add(self, seconds: float) -> tuple[bytes, Deferred[bool]]:
        """What to send in a ping, and what fires when that is answered.

        It fires with False when it is not, in so many seconds.
        """
        payload = secrets.token_bytes(8)  # a pong that nobody asked for shall not count
        answer: Deferred[bool] = Deferred(lambda _: self._forget(payload))
        call = self._clock.callLater(seconds, self.answer, payload, False)
        self._waiting[payload] = answer, call
        return payload, answer

    def answer(self, payload: bytes, there: bool = True) -> None:
        """A pong has come; or its time is up."""
        answer, _ = self._waiting.get(payload, (None, None))
        self._forget(payload)
        if answer is not None:
            answer.callback(there)

    def end(self) -> None:
        """Nothing comes any more."""
        for payload in list(self._waiting):
            self.answer(payload, there=False)

    def _forget(self, payload: bytes) -> None:
        _, call = self._waiting.pop(payload, (None, None))
        if call is not None and call.active():
            call.cancel()
