"""From an HTTP request to a WebSocket connection, or to a refusal. RFC 6455, 4.2."""

from __future__ import annotations

import re

import msgspec
from wsproto.extensions import Extension
from wsproto.utilities import generate_accept_token

from supportbot.channels.http.exchange import Exchange
from supportbot.channels.http.problems import refused
from supportbot.channels.http.responses import Header
from supportbot.channels.websocket.deflate import Deflate
from supportbot.settings import WebSocketSettings

_VERSION = b"13"
_KEY = re.compile(rb"[+/0-9A-Za-z]{22}==")  # 16 bytes in base64
_BITS = re.compile(r"[89]|1[0-5]")  # of a window
_LEAST_BITS = 9  # zlib can't compress with less
_UPGRADE: tuple[Header, ...] = (
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
)


class Agreement(msgspec.Struct, frozen=True):
    """What was agreed on.

    Attributes:
        headers: that go with the 101.
        extensions: of the connection.
    """

    headers: tuple[Header, ...]
    extensions: tuple[Extension, ...] = ()


def agree(exchange: Exchange, settings: WebSocketSettings) -> Agreement:
    """Agree on a WebSocket connection.

    Where the request came from is not looked at, nor which subprotocols it offers.

    Raises:
        Refused: the request is no handshake, or no valid one.
    """
    if (
        exchange.method != b"GET"
        or exchange.clientproto != b"HTTP/1.1"
        or b"websocket" not in _tokens(exchange, b"upgrade")
        or b"upgrade" not in _tokens(exchange, b"connection")
    ):
        raise refused(
            426, "This is a WebSocket; connect with a client for it.", *_UPGRADE
        )
    if _values(exchange, b"sec-websocket-version") != [_VERSION]:
        version = (b"sec-websocket-version", _VERSION)
        raise refused(426, "The only version known here is 13.", *_UPGRADE, version)
    keys = _values(exchange, b"sec-websocket-key")
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise refused(400, "Sec-WebSocket-Key has to be 16 bytes in base64.")
    if exchange.body:
        raise refused(400, "A handshake has no body.")
    accept: Header = (b"sec-websocket-accept", generate_accept_token(keys[0]))
    if settings.compression:
        offers = b",".join(_values(exchange, b"sec-websocket-extensions"))
        for offer in offers.decode("latin-1").split(","):
            if (bits := _accepted(offer)) is not None:
                extension = Deflate(settings.message, bits)
                answer = (b"sec-websocket-extensions", _answer(offer, bits))
                return Agreement((accept, answer), (extension,))
    return Agreement((accept,))


def _values(exchange: Exchange, name: bytes) -> list[bytes]:
    return list(exchange.requestHeaders.getRawHeaders(name) or ())


def _tokens(exchange: Exchange, name: bytes) -> list[bytes]:
    values = b",".join(_values(exchange, name))
    return [token.strip(b" \t").lower() for token in values.split(b",")]


def _parameters(offer: str) -> dict[str, str | None] | None:
    """What is offered for permessage-deflate; None if it is another, or invalid.

    A quoted value is a token as well, so that no comma or semicolon can be in it.
    """
    name, *rest = (part.strip(" \t") for part in offer.split(";"))
    if name != Deflate.name:
        return None
    parameters: dict[str, str | None] = {}
    for part in rest:
        key, given, value = (piece.strip(" \t") for piece in part.partition("="))
        if key in parameters:
            return None
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        parameters[key] = value if given else None
    return parameters


def _accepted(offer: str) -> int | None:
    """The bits of our window, or None for an offer to decline. RFC 7692, 7.1."""
    parameters = _parameters(offer)
    if parameters is None:
        return None
    bits = 15
    for key, value in parameters.items():
        if key in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
        elif key == "client_max_window_bits":  # may be named without a value
            if value is not None and not _BITS.fullmatch(value):
                return None
        elif key == "server_max_window_bits":
            if value is None or not _BITS.fullmatch(value):
                return None
            bits = int(value)
        else:
            return None
    return bits if bits >= _LEAST_BITS else None


def _answer(offer: str, bits: int) -> bytes:
    """The client's own window may be as large as it likes, so that is not named."""
    answer = f"{Deflate.name}; server_no_context_takeover; client_no_context_takeover"
    if "server_max_window_bits" in offer:
        answer += f"; server_max_window_bits={bits}"
    return answer.encode()
