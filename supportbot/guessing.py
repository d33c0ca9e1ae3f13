"""How often PINs may be guessed: what is counted, and how long that makes one wait.

What counts is a list of moments for each key: tries that were wrong, or that nobody
knows the end of yet. There is a key for the customer, for the session, for the network
address, and one for all. A try is counted before it is made, and taken back if it was
right or if nobody could tell; so those made side by side can't escape the count, and a
crash leaves one try too many in it, never one too few.

Nothing counts for ever. Where the clock was set back, what was counted later than now
counts as of now: nobody waits longer than the rule says, and nobody shorter.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Protocol
from unicodedata import normalize

from supportbot.settings.shop import GuessSettings

Times = tuple[float, ...]
"""Moments of tries, the oldest first, in seconds of UTC."""

ALL = "all"
"""The key under which every try counts."""

_MINUTE, _HOUR = 60.0, 3600.0
_DOUBLED = 64  # times; far more than it takes to reach the longest pause


class Rule(Protocol):
    """What the tries under one key mean."""

    def kept(self, times: Times, now: float) -> Times:
        """Those that still count."""

    def wait(self, times: Times, now: float) -> float:
        """Seconds until another may be made; 0.0 or less if it may be now.

        Args:
            times: those that still count.
        """

    def forget_at(self, times: Times) -> float:
        """When none of them will count any more."""


class Streak:
    """Wrong PINs in a row for one customer: each makes the pause longer."""

    def __init__(self, settings: GuessSettings) -> None:
        self._settings = settings

    def kept(self, times: Times, now: float) -> Times:
        times = _past(times, now)[-(self._settings.tries + _DOUBLED) :]
        return times if now < self.forget_at(times) else ()

    def wait(self, times: Times, now: float) -> float:
        return times[-1] + self.pause(len(times)) - now if times else 0.0

    def forget_at(self, times: Times) -> float:
        if not times:
            return 0.0
        return times[-1] + self.pause(len(times)) + self._settings.most

    def pause(self, wrong: int) -> float:
        """Seconds between a try and the next.

        Args:
            wrong: tries so far, from 1.
        """
        settings, further = self._settings, wrong - self._settings.tries
        if further < 0:
            pause = min(settings.delay * 2.0 ** min(wrong - 1, _DOUBLED), settings.lock)
        else:
            pause = settings.lock * 2.0 ** min(further, _DOUBLED)
        return min(pause, settings.most)


class Window:
    """So many tries within a time, whoever they are for.

    Args:
        most: tries.
        seconds: the time.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds

    def kept(self, times: Times, now: float) -> Times:
        return tuple(at for at in _past(times, now) if now < at + self._seconds)

    def wait(self, times: Times, now: float) -> float:
        if len(times) < self._most:
            return 0.0
        return times[-self._most] + self._seconds - now

    def forget_at(self, times: Times) -> float:
        return times[-1] + self._seconds if times else 0.0


class Try:
    """A try at a PIN: how it changes what is counted.

    `begin`, `right` and `void` return what is counted afterwards under the keys where
    that is something else. Each may be repeated where nobody knows whether the first
    was kept; the second then changes nothing.

    Args:
        email: in any spelling.
        conversation_id: the session.
        client: the network address, for IPv6 its /64, which the caller sees to; empty
            where it says nothing.

    Attributes:
        keys: under which the try counts, `ALL` first.
    """

    def __init__(
        self,
        settings: GuessSettings,
        email: str,
        conversation_id: str,
        client: str,
    ) -> None:
        self._customer = customer_key(email)
        self._rules: dict[str, Rule] = {
            ALL: Window(settings.all_tries, _MINUTE),
            self._customer: Streak(settings),
            _key("session", conversation_id): Window(settings.session_tries, _HOUR),
        }
        if client:
            address = Window(settings.address_tries, _HOUR)
            self._rules[_key("address", client)] = address
        self.keys = tuple(self._rules)
        self._begun: float | None = None
        self._taken: dict[str, float | None] = {}

    def wait(self, counted: Mapping[str, Times], now: float) -> float:
        """Seconds until it may be made; 0.0 if it may be now."""
        kept = self._kept(counted, now)
        waits = (rule.wait(kept[key], now) for key, rule in self._rules.items())
        return max(0.0, *waits)

    def begin(
        self, counted: Mapping[str, Times], now: float
    ) -> tuple[float, Mapping[str, Times]]:
        """Count the try, unless it has to wait; also returns the seconds of that."""
        kept = self._kept(counted, now)
        if self._begun in kept[self._customer]:
            return 0.0, {}
        wait = self.wait(kept, now)
        if wait > 0:  # what the clock has changed stays changed
            return wait, self._changed(counted, kept)
        self._begun = now
        return 0.0, {key: (*times, now) for key, times in kept.items()}

    def right(self, counted: Mapping[str, Times], now: float) -> Mapping[str, Times]:
        """It counts nowhere, and nothing does for the customer."""
        left = {**self._without(self._kept(counted, now)), self._customer: ()}
        return self._changed(counted, left)

    def void(self, counted: Mapping[str, Times], now: float) -> Mapping[str, Times]:
        """It counts nowhere: all is as it was before."""
        return self._changed(counted, self._without(self._kept(counted, now)))

    def forget_at(self, key: str, times: Times) -> float:
        """When what is counted under a key may be forgotten."""
        return self._rules[key].forget_at(times)

    def _kept(self, counted: Mapping[str, Times], now: float) -> dict[str, Times]:
        return {
            key: rule.kept(counted.get(key, ()), now)
            for key, rule in self._rules.items()
        }

    def _without(self, kept: Mapping[str, Times]) -> dict[str, Times]:
        """Take one try back under each key: the newest, ours or one of about then."""
        left = {}
        for key, times in kept.items():
            taken = self._taken.setdefault(key, times[-1] if times else None)
            place = next((i for i, at in enumerate(times) if at == taken), len(times))
            left[key] = times[:place] + times[place + 1 :]
        return left

    def _changed(
        self, counted: Mapping[str, Times], left: Mapping[str, Times]
    ) -> Mapping[str, Times]:
        return {
            key: times for key, times in left.items() if times != counted.get(key, ())
        }


def is_flood(settings: GuessSettings, counted: Mapping[str, Times]) -> bool:
    """Whether there are as many wrong PINs in all as may be."""
    return len(counted.get(ALL, ())) >= settings.all_tries


def same_customer(one: str, other: str) -> bool:
    """Whether two e-mail addresses count as one."""
    return _normal(one) == _normal(other)


def customer_key(email: str) -> str:
    """The key under which a customer's tries count."""
    return _key("email", _normal(email))


def _normal(email: str) -> str:
    return normalize("NFKC", normalize("NFKC", email).casefold()).strip()


def _key(kind: str, name: str) -> str:
    """A key that doesn't tell the name to who reads along in the database.

    Whoever knows a name can still ask whether it is there. No more is needed: what is
    counted is no secret, and is gone soon.
    """
    text = f"supportbot {kind} {name}"
    return f"{kind}:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _past(times: Times, now: float) -> Times:
    return tuple(min(at, now) for at in times)
