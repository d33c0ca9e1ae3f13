"""How often somebody may do something: token buckets, as many as fit a limit."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Network

from twisted.internet.interfaces import IReactorTime

_KEPT = 50_000  # buckets; those that were not used for long are full again anyway


def household(address: str) -> str:
    """Those for whom a limit per address holds together.

    Whoever has one address of IPv6 has 2**64 of them, so these count as one.
    """
    if ":" not in address:
        return address
    return str(IPv6Network((address.partition("%")[0], 64), strict=False))


class Buckets:
    """A bucket of tokens for each name; it fills up again as time goes by.

    Args:
        clock: for the time.
        tokens: in a full bucket.
        seconds: in which an empty one becomes full.
    """

    def __init__(self, clock: IReactorTime, tokens: int, seconds: float) -> None:
        self._clock, self._most = clock, float(tokens)
        self._rate = tokens / seconds
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, name: str) -> float:
        """Seconds until there is a token; 0.0 if there is one. None is taken."""
        return max(0.0, (1.0 - self._tokens(name)) / self._rate)

    def take(self, name: str) -> None:
        """Take a token, or what there is of one."""
        left = max(0.0, self._tokens(name) - 1.0)
        self._left[name] = left, self._clock.seconds()
        self._left.move_to_end(name)
        if len(self._left) > _KEPT:
            self._left.popitem(last=False)

    def _tokens(self, name: str) -> float:
        now = self._clock.seconds()
        left, at = self._left.get(name, (self._most, now))
        if at > now:  # the clock was set back
            self._left[name] = left, at = left, now
        return min(self._most, left + (now - at) * self._rate)
