"""From a request to a WebSocket: what is agreed on, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from supportbot.channels.http.exchange import Exchange
from supportbot.channels.http.problems import Refused
from supportbot.channels.http.server import HttpServer
from supportbot.channels.websocket.deflate import Deflate
from supportbot.channels.websocket.handshake import Agreement, agree
from supportbot.settings import HttpSettings, WebSocketSettings
from tests.http_client import Response
from tests.websocket_client import ACCEPT, DEFLATE, KEY, WebSocketClient

SETTINGS = WebSocketSettings(message=2000)
BARE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


class Nobody:
    """Takes a connection over, and does nothing with it."""

    def begin(self, transport: Any, early: bytes) -> None:
        """It is not read."""

    def received(self, data: bytes) -> None:
        """It is not read."""

    def lost(self, reason: Failure) -> None:
        """It is not missed."""

    def drain(self) -> None:
        """Nothing is under way."""

    def close(self) -> None:
        """Nothing is under way."""


class Shaking(SynchronousTestCase):
    """Clients that want a WebSocket."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.agreement: Agreement | None = None
        self.settings = SETTINGS
        self.server = HttpServer(self.clock, HttpSettings(head=64 * 1024))

    def answer(self, exchange: Exchange) -> None:
        self.agreement = agree(exchange, self.settings)
        exchange.upgrade(Nobody(), self.agreement.headers)

    def shake(self, *headers: tuple[str, str], extensions: str = "") -> Response:
        """The response to a handshake."""
        client = WebSocketClient(self.clock)
        client.connect(self.server.factory(self.answer))
        response = client.open("/", headers, extensions=extensions)
        assert response is not None
        self.assertEqual(client.faults, [])
        client.vanish()
        self.clock.advance(0)
        return response

    def ask(self, method: str, version: str = "1.1", body: bytes | None = None) -> Any:
        """The response to a request that has all the headers of a handshake."""
        client = WebSocketClient(self.clock)
        client.connect(self.server.factory(self.answer))
        headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
        ]
        client.request(method, "/", headers, body, version=version)
        received = client.received
        client.vanish()
        self.clock.advance(0)
        return received


class AgreedTests(Shaking):
    def test_the_example_of_the_rfc_is_agreed_on(self) -> None:
        response = self.shake()
        self.assertEqual(response.status, 101)
        self.assertEqual(
            response.headers,
            {
                "upgrade": "websocket",
                "connection": "Upgrade",
                "sec-websocket-accept": ACCEPT,
            },
        )
        assert self.agreement is not None
        self.assertEqual(self.agreement.extensions, ())

    def test_words_may_stand_among_others_in_any_case(self) -> None:
        for headers in (
            [("Connection", "keep-alive, Upgrade")],
            [("Connection", "keep-alive"), ("Connection", "UPGRADE")],
            [("Upgrade", "WebSocket")],
            [("Upgrade", "h2c,\twebSocket ")],
        ):
            self.assertEqual(self.shake(*headers).status, 101, headers)

    def test_subprotocols_are_left_unanswered(self) -> None:
        response = self.shake(("Sec-WebSocket-Protocol", "chat, superchat"))
        self.assertEqual(response.status, 101)
        self.assertNotIn("sec-websocket-protocol", response.headers)


class RefusedTests(Shaking):
    def refused(self, status: int, *headers: tuple[str, str]) -> Response:
        response = self.shake(*headers)
        self.assertEqual(response.status, status, headers)
        self.assertEqual(response.headers["content-type"], "application/problem+json")
        self.assertEqual(response.json["status"], status)
        self.assertTrue(response.json["detail"])
        self.assertIsNone(self.agreement)
        return response

    def test_what_wants_no_websocket_is_told_to(self) -> None:
        for header in (
            ("Upgrade", ""),
            ("Upgrade", "h2c"),
            ("Upgrade", "websocket/13"),
            ("Connection", ""),
            ("Connection", "close"),
            ("Connection", "upgraded"),
        ):
            response = self.refused(426, header)
            self.assertEqual(response.headers["upgrade"], "websocket")
            self.assertIn("Upgrade", response.headers["connection"].split(", "))

    def test_other_versions_are_told_of_the_one(self) -> None:
        for versions in (["8"], ["13, 8"], ["013"], [""], ["13", "13"], ["x"]):
            headers = [("Sec-WebSocket-Version", version) for version in versions]
            response = self.refused(426, *headers)
            self.assertEqual(response.headers["sec-websocket-version"], "13")
            self.assertEqual(response.headers["upgrade"], "websocket")

    def test_a_key_is_16_bytes_in_base64(self) -> None:
        for keys in (
            [""],
            ["x"],
            [KEY, KEY],
            [KEY + KEY],
            [KEY[:-1]],
            ["dGhlIHNhbXBsZSBub25jZQ"],
            ["dGhlIHNhbXBsZSBub25jZTEy"],
            ["dGhlIHNhbXBsZSBub25jZQ=="[::-1]],
            ["dGhlIHNhbXBsZSBub25j!Q=="],
            ["dGhlIHNhbXBsZSBub25jé=="],
        ):
            self.refused(400, *[("Sec-WebSocket-Key", key) for key in keys])

    def test_a_handshake_is_a_get_of_http_1_1_without_a_body(self) -> None:
        for method in ("HEAD", "POST", "get"):
            self.assertIn(b" 426 ", self.ask(method).partition(b"\r\n")[0])
        self.assertIn(b" 426 ", self.ask("GET", "1.0").partition(b"\r\n")[0])
        self.assertIn(b" 400 ", self.ask("GET", body=b"x").partition(b"\r\n")[0])
        self.assertIsNone(self.agreement)
        self.assertIn(b" 101 ", self.ask("GET", body=b"").partition(b"\r\n")[0])


class ExtensionTests(Shaking):
    def agreed(self, *offers: str) -> str:
        """What is answered to these offers, each in a header of its own."""
        self.agreement = None
        headers = [("Sec-WebSocket-Extensions", offer) for offer in offers]
        response = self.shake(*headers)
        self.assertEqual(response.status, 101)
        assert self.agreement is not None
        answer = response.headers.get("sec-websocket-extensions", "")
        self.assertEqual(len(self.agreement.extensions), int(bool(answer)))
        return answer

    def test_compression_is_agreed_on_as_we_want_it(self) -> None:
        for offer in (
            "permessage-deflate",
            DEFLATE,
            "permessage-deflate; client_max_window_bits=10",
            'permessage-deflate;client_max_window_bits="8"',
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate ;client_no_context_takeover ; client_max_window_bits",
        ):
            self.assertEqual(self.agreed(offer), BARE, offer)

    def test_the_window_that_the_client_wants_is_kept_to(self) -> None:
        for bits in range(9, 16):
            offer = f"permessage-deflate; server_max_window_bits={bits}"
            self.assertEqual(
                self.agreed(offer), f"{BARE}; server_max_window_bits={bits}"
            )
            assert self.agreement is not None
            (extension,) = self.agreement.extensions
            assert isinstance(extension, Deflate)
            self.assertEqual(extension._bits, bits)
            self.assertEqual(extension._limit, 2000)

    def test_an_offer_that_is_invalid_is_declined(self) -> None:
        for parameters in (
            "server_max_window_bits",
            "server_max_window_bits=",
            "server_max_window_bits=abc",
            "server_max_window_bits=8",  # zlib can't
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=09",
            "server_max_window_bits=+9",
            "server_max_window_bits=1_0",
            "server_max_window_bits=9; server_max_window_bits=9",
            "client_max_window_bits=",
            "client_max_window_bits=7",
            "client_max_window_bits=x",
            "client_max_window_bits; client_max_window_bits",
            "server_no_context_takeover=1",
            "client_no_context_takeover=",
            "server_no_context_takeover; server_no_context_takeover",
            "mystery",
            "mystery=1",
            "",
            ";",
            "=",
            "=1",
            '"',
            'client_max_window_bits="',
            'client_max_window_bits="9',
            "client_max_window_bits=\xb2",
            "client_max_window_bits=\xd9\xa9",
        ):
            self.assertEqual(self.agreed(f"permessage-deflate; {parameters}"), "")

    def test_the_first_offer_that_fits_is_taken(self) -> None:
        good = "permessage-deflate; server_max_window_bits=12"
        answer = f"{BARE}; server_max_window_bits=12"
        bad = "permessage-deflate; server_max_window_bits=x"
        other = "x-webkit-deflate-frame"
        self.assertEqual(self.agreed(f"{bad}, {other}, {good}, {DEFLATE}"), answer)
        self.assertEqual(self.agreed(other, bad, good, DEFLATE), answer)
        self.assertEqual(self.agreed(f"{DEFLATE},{good}"), BARE)
        self.assertEqual(self.agreed(f"{other}; x=1, ,,{good}"), answer)
        self.assertEqual(self.agreed(", ".join([bad] * 1000 + [good])), answer)
        self.assertEqual(self.agreed(other), "")

    def test_compression_can_be_turned_off(self) -> None:
        self.settings = msgspec.structs.replace(SETTINGS, compression=False)
        self.assertEqual(self.agreed(DEFLATE), "")


_pieces = st.lists(
    st.sampled_from(
        [
            *("permessage-deflate", "server_max_window_bits", "client_max_window_bits"),
            *("server_no_context_takeover", "client_no_context_takeover"),
            *(
                ";",
                ";",
                ";",
                ",",
                "=",
                "=",
                '"',
                " ",
                "\t",
                "8",
                "9",
                "15",
                "x",
                "\xe9",
            ),
        ]
    ),
    max_size=12,
).map("".join)


class _Request:
    """As much of an exchange as a handshake looks at."""

    method, clientproto, body = b"GET", b"HTTP/1.1", b""

    def __init__(self, **headers: bytes) -> None:
        self.requestHeaders = self
        self._headers = {
            b"upgrade": b"websocket",
            b"connection": b"upgrade",
            b"sec-websocket-version": b"13",
            b"sec-websocket-key": KEY.encode(),
        } | {name.replace("_", "-").encode(): given for name, given in headers.items()}

    def getRawHeaders(self, name: bytes) -> list[bytes] | None:
        given = self._headers.get(name)
        return None if given is None else [given]


@given(_pieces | st.text(st.characters(max_codepoint=255), max_size=60))
@example("permessage-deflate; server_max_window_bits=99999999999999999999")
def test_no_offer_does_any_harm(offer: str) -> None:
    request: Any = _Request(sec_websocket_extensions=offer.encode("latin-1"))
    agreement = agree(request, SETTINGS)
    assert agreement.headers[0] == (b"sec-websocket-accept", ACCEPT.encode())
    for _, answer in agreement.headers[1:]:
        assert answer.startswith(BARE.encode())


@given(st.binary(max_size=30), st.binary(max_size=30), st.binary(max_size=10))
def test_no_header_does_any_harm(key: bytes, upgrade: bytes, version: bytes) -> None:
    statuses = []
    for headers in (
        {"sec_websocket_key": key},
        {"upgrade": upgrade},
        {"connection": upgrade},
        {"sec_websocket_version": version},
    ):
        request: Any = _Request(**headers)
        try:
            agree(request, SETTINGS)
        except Refused as why:
            statuses.append(why.problem.status)
    assert set(statuses) <= {400, 426}  # a good one may be drawn by chance
