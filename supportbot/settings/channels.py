"""The settings of conversations, and of the channels that lead to them."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from supportbot.settings.shapes import Count, Seconds, Shape, Size

_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[a-z0-9._\[\]:-]+")
"""As browsers write it; what looks like one and is none would allow nobody."""


class ConversationSettings(Shape, frozen=True):
    """What one conversation may hold.

    Attributes:
        message: characters of one message.
        queue: messages that wait for an answer.
        batch: events that a follower reads at a time.
        followers: who may follow it at a time, over HTTP.
        logged_in: seconds after the last message for which a customer stays logged in.
        kept: conversations that stay in memory although nobody follows them and
            nothing is under way; the others are read from the transcripts again.
    """

    message: Size = 4_000
    queue: Count = 100
    batch: Count = 64
    followers: Count = 20
    logged_in: Seconds = 900.0
    kept: Count = 1_000


class LinesSettings(Shape, frozen=True):
    """Line clients, on the terminal and over TCP.

    Attributes:
        line: bytes of one line.
        high_water: lines read ahead; then the client is not read from for a while.
        prompt: what a TCP client sees when it may type.
        idle: seconds after which a silent TCP client is told good-bye.
        stall: seconds after which a TCP client that does not read is dropped.
        connections: TCP clients at a time.
        per_address: of them from one address.
    """

    line: Size = 16 * 1024
    high_water: Annotated[int, msgspec.Meta(ge=2)] = 64
    prompt: str = "> "
    idle: Seconds = 1_800.0
    stall: Seconds = 30.0
    connections: Count = 1_000
    per_address: Count = 50


class HttpSettings(Shape, frozen=True):
    """The HTTP API.

    Attributes:
        hosts: names in the `Host` header that are served, besides `localhost` and
            addresses in digits.
        origins: web pages of other origins, such as `https://shop.example`, that may
            call the API (CORS); `*` for all.
        proxies: addresses of reverse proxies. Their `X-Forwarded-For` names the client,
            and limits per address don't hold for themselves.
        admin_token: what operators send as `Authorization: Bearer TOKEN`, in
            `SUPPORTBOT_ADMIN_TOKEN`; without one, what is theirs is closed.
        chosen_ids: whether clients may choose the ids of their sessions.
        head: bytes of a request's first line and headers.
        headers: how many of them.
        body: bytes of a request's body.
        head_time: seconds until a request's headers are in.
        body_time: seconds until its body is in.
        idle: seconds that a connection may wait for another request.
        stall: seconds after which a client that does not read is dropped.
        heartbeat: the most seconds of silence in a stream; in the beginning, less.
        connections: at a time; never more than descriptors allow.
        per_address: of them from one address.
        messages: a minute, in one session.
        address_messages: a minute, from one address.
        address_sessions: that one address may open an hour.
    """

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    admin_token: str | None = None
    chosen_ids: bool = True
    head: Annotated[int, msgspec.Meta(ge=1024, le=64 * 1024)] = 16 * 1024
    headers: Count = 64
    body: Size = 64 * 1024
    head_time: Seconds = 10.0
    body_time: Seconds = 30.0
    idle: Seconds = 60.0
    stall: Seconds = 30.0
    heartbeat: Annotated[float, msgspec.Meta(ge=1)] = 10.0
    connections: Count = 10_000
    per_address: Count = 50
    messages: Count = 120
    address_messages: Count = 600
    address_sessions: Count = 200

    def __post_init__(self) -> None:
        for origin in self.origins:
            if _ORIGIN.fullmatch(origin) is None:
                raise ValueError(
                    "expected origins to be https://HOST[:PORT] in small letters,"
                    " without a path, or *"
                )


class WebSocketSettings(Shape, frozen=True):
    """The WebSocket API. Its connections count as those of `http`, with their limits.

    Attributes:
        message: bytes of one message, after inflating.
        frames: a second, from one client.
        nonsense: messages a minute that may lead nowhere: they are none of ours, or ask
            for a session to go on that there is not.
        sessions: on one connection at a time.
        grace: seconds for which the sessions of a lost connection can be resumed; with
            0 they are closed with it.
        ping: seconds from one sign of life that is asked for to the next.
        pong: seconds that the client gets for it.
        idle: seconds after which a connection is closed on which nothing is said.
        compression: whether messages may be compressed, where the client offers it.
        system_messages: whether clients may give the language model instructions, for
            their own sessions; if not, these are ignored.
    """

    message: Annotated[int, msgspec.Meta(ge=1024)] = 64 * 1024
    frames: Count = 200
    nonsense: Count = 100
    sessions: Count = 20
    grace: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    ping: Seconds = 20.0
    pong: Seconds = 20.0
    idle: Seconds = 1_800.0
    compression: bool = True
    system_messages: bool = True
