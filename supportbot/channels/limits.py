"""How often somebody may do something, whatever way they came."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Network

from twisted.internet.interfaces import IReactorTime

from supportbot.errors import TooOften
from supportbot.settings import HttpSettings

_MINUTE, _HOUR = 60.0, 3600.0
_KEPT = 50_000  # buckets; those that were not used for long are full again anyway


def household(address: str) -> str:
    """Those for whom a limit per address holds together.

    Whoever has one address of IPv6 has 2**64 of them, so these count as one.
    """
    if ":" not in address:
        return address
    return str(IPv6Network((address.partition("%")[0], 64), strict=False))


class Allowance:
    """What clients may do over HTTP and WebSocket together.

    Args:
        clock: for the time.
        settings: how often.
    """

    def __init__(self, clock: IReactorTime, settings: HttpSettings) -> None:
        self._exempt = {"", *settings.proxies}
        self._said_there = Buckets(clock, settings.messages, _MINUTE)
        self._said_from = Buckets(clock, settings.address_messages, _MINUTE)
        self._opened_from = Buckets(clock, settings.address_sessions, _HOUR)

    def who(self, client: str) -> str:
        """Under what name a client's address is counted; empty if it is not."""
        return "" if client in self._exempt else household(client)

    def spend(
        self,
        client: str,
        session_id: str | None = None,
        *,
        opens: bool = False,
        says: bool = False,
    ) -> None:
        """Let a client open a session, say something, or both.

        Args:
            client: its address; limits per address don't hold for proxies.
            session_id: where it says something; None in a session without an id yet.

        Raises:
            TooOften: it may not, and what it may later is not less for that.
        """
        wanted: list[tuple[Buckets, str, str]] = []
        if who := self.who(client):
            if opens:
                wanted.append((self._opened_from, who, "sessions from this address"))
            if says:
                wanted.append((self._said_from, who, "messages from this address"))
        if says and session_id is not None:
            wanted.append((self._said_there, session_id, "messages in this session"))
        for buckets, name, what in wanted:
            if (wait := buckets.wait(name)) > 0:
                raise TooOften(what, wait)
        for buckets, name, _ in wanted:
            buckets.take(name)


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
