"""Where tries at PINs are counted that end with the process."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import Deferred, succeed

from supportbot.context import Logger
from supportbot.guessing import Times, Try, customer_key, is_flood
from supportbot.settings.shop import GuessSettings

_SWEPT = 1_000  # keys in memory, below which nothing old is looked for
_MINUTE = 60.0  # seconds between two warnings


class Alarm:
    """Tell the operator of an attack, once in a minute."""

    _log = Logger()

    def __init__(self, settings: GuessSettings) -> None:
        self._settings, self._told_at = settings, float("-inf")

    def ring(self, now: float) -> None:
        """There are too many tries in all."""
        if abs(now - self._told_at) >= _MINUTE:
            self._told_at = now
            self._log.warn(
                "{most} wrong PINs within a minute, somebody may be guessing:"
                " nobody can log in until there are fewer",
                most=self._settings.all_tries,
            )


class MemoryGuesses:
    """Count tries for as long as the process lives; see `Guesses`."""

    def __init__(self, settings: GuessSettings) -> None:
        self._settings, self._alarm = settings, Alarm(settings)
        self._counted: dict[str, Times] = {}
        self._forget_at: dict[str, float] = {}
        self._sweep_at = _SWEPT

    def begin(
        self, email: str, conversation_id: str, client: str, now: float
    ) -> Deferred[float]:
        one = Try(self._settings, email, conversation_id, client)
        wait, changed = one.begin(self._counted, now)
        self._keep(one, changed)
        if is_flood(self._settings, self._counted):
            self._alarm.ring(now)
        if len(self._counted) >= self._sweep_at:
            self._sweep(now)
        return succeed(wait)

    def wait(
        self, email: str, conversation_id: str, client: str, now: float
    ) -> Deferred[float]:
        one = Try(self._settings, email, conversation_id, client)
        return succeed(one.wait(self._counted, now))

    def right(
        self, email: str, conversation_id: str, client: str, now: float
    ) -> Deferred[None]:
        one = Try(self._settings, email, conversation_id, client)
        self._keep(one, one.right(self._counted, now))
        return succeed(None)

    def void(
        self, email: str, conversation_id: str, client: str, now: float
    ) -> Deferred[None]:
        one = Try(self._settings, email, conversation_id, client)
        self._keep(one, one.void(self._counted, now))
        return succeed(None)

    def unlock(self, email: str) -> Deferred[bool]:
        key = customer_key(email)
        self._forget_at.pop(key, None)
        return succeed(bool(self._counted.pop(key, ())))

    def _keep(self, one: Try, changed: Mapping[str, Times]) -> None:
        self._counted.update(changed)
        for key, times in changed.items():
            self._forget_at[key] = one.forget_at(key, times)

    def _sweep(self, now: float) -> None:
        """Forget what counts no more; seldom, so that a try costs next to nothing."""
        for key in [key for key, at in self._forget_at.items() if at < now]:
            del self._counted[key], self._forget_at[key]
        self._sweep_at = max(_SWEPT, 2 * len(self._counted))
