"""The real service over WebSockets: talked to, cut off, stopped, killed, resumed."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import trustme
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.nginx import WEBSOCKET, nginx
from tests.postgres import Cluster
from tests.program import (
    PATIENCE,
    Played,
    Server,
    Wire,
    ask,
    environment,
    free_port,
    served,
)
from tests.test_end_to_end import ASK_LIGHT, ASK_SOCKS, LIGHT, SOCKS
from tests.wire import ANSWER

pytest_plugins = ("tests.postgres_fixture",)

ENDED = {0, -signal.SIGTERM}
"""Statuses of one that ended when asked to; `twist` hands on the signal it got."""
MEMORY = ("--database", "memory")
DEMO = ("--demo", "--demo-delay", "0", "--demo-zeroes", "0")
SHOP = "https://shop.example"
PARAGRAPHS = tuple(f"<p>{word}.</p>" for word in ("One", "Two", "Three"))
WHOLE = "".join(PARAGRAPHS)

PROCESSING_START = {"type": "processing_start", "data": None}
PROCESSING_END = {"type": "processing_end", "data": None}
SESSION_END = {"type": "session_end", "data": None}
NOT_FOUND = "The session is not found. Please start a new session."
CLOSED = "The session is closed. Please start a new session."
FAILED = "Unable to process the request. Please try again later."


class Talker:
    """One end of a WebSocket; it is another library that speaks for it.

    Attributes:
        socket: of that library.
    """

    def __init__(self, connected: ClientConnection) -> None:
        self.socket = connected

    def send(self, action: str, **fields: object) -> None:
        self.socket.send(json.dumps({"action": f"chatbot_{action}", **fields}))

    def next(self) -> Any:
        return json.loads(self.socket.recv(timeout=PATIENCE))

    def asked(self, action: str, **fields: object) -> Any:
        self.send(action, **fields)
        return self.next()

    def several(self, count: int) -> list[Any]:
        return [self.next() for _ in range(count)]

    def until(self, kind: str) -> list[Any]:
        """All up to one of this type."""
        told = [self.next()]
        while told[-1]["type"] != kind:
            told.append(self.next())
        return told

    def session(self, **fields: object) -> str:
        """Start one."""
        started = self.asked("session_start", **fields)
        assert started["type"] == "session_start", started
        id: str = started["data"]["session_id"]
        return id

    def says(self, session_id: str, message: str, **fields: object) -> None:
        self.send("post_message", session_id=session_id, user_message=message, **fields)

    def streams(self, session_id: str, message_id: str, message: str = "help") -> None:
        self.says(session_id, message, message_id=message_id, stream=True)

    def closed(self) -> tuple[int, str]:
        """Code and reason of the close frame that comes next."""
        with pytest.raises(ConnectionClosed) as closing:
            raise AssertionError(self.next())
        assert closing.value.rcvd is not None
        return closing.value.rcvd.code, closing.value.rcvd.reason


@contextmanager
def talking(
    port: int, path: str = "/ws", scheme: str = "ws", **options: Any
) -> Iterator[Talker]:
    url = f"{scheme}://127.0.0.1:{port}{path}"
    options = {"open_timeout": PATIENCE, "ping_interval": None, **options}
    with connect(url, **options) as connected:
        yield Talker(connected)


def refused(port: int, path: str = "/ws", **options: Any) -> int:
    """The status with which a handshake is turned down."""
    with pytest.raises(InvalidStatus) as refusal, talking(port, path, **options):
        pass
    status: int = refusal.value.response.status_code
    return status


def chunks(told: list[Any]) -> list[tuple[int, str]]:
    """Number and text of each paragraph."""
    data = [one["data"] for one in told if one["type"] == "message_chunk"]
    return [(one["seq"], one["text"]) for one in data]


class Slow:
    """A service that says its next paragraph when the test lets it.

    Attributes:
        env: an environment in which it is all three services.
        asked: how often it was.
    """

    def __init__(self) -> None:
        self._may = threading.Semaphore(0)
        self._service = Played(self._play)
        self.env, self.asked = self._service.env, 0

    def let(self, paragraphs: int = 1) -> None:
        """Let so many more come."""
        self._may.release(paragraphs)

    def begin(self) -> None:
        """Let all come that still waits; from now on nothing does by itself."""
        self._may.release(10 * len(PARAGRAPHS))
        self._may, self.asked = threading.Semaphore(0), 0

    def close(self) -> None:
        self.begin()
        self._service.close()

    def _play(self, connection: socket.socket, number: int) -> None:
        may, self.asked = self._may, self.asked + 1
        connection.sendall(ANSWER + b'{"response": "')
        for paragraph in PARAGRAPHS:
            assert may.acquire(timeout=PATIENCE)
            connection.sendall(paragraph.encode())
        connection.sendall(b'"}')


@pytest.fixture(scope="module")
def only_slow() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.close()


@pytest.fixture
def slow(only_slow: Slow) -> Slow:
    only_slow.begin()
    return only_slow


@pytest.fixture(scope="module")
def server(only_slow: Slow) -> Iterator[Server]:
    """One whose answers the test lets come."""
    with served(*MEMORY, env=only_slow.env) as server:
        yield server


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    wire = Wire(server.port)
    yield wire
    wire.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secret_port() -> int:
    """Where the demonstration speaks WebSocket alone, over TLS."""
    return free_port()


@pytest.fixture(scope="module")
def demo(secret_port: int, authority: trustme.CA) -> Iterator[Server]:
    """One that answers with the simulated services, which never get stuck."""
    with tempfile.TemporaryDirectory(prefix="tls-") as folder:
        key, chain = Path(folder, "key.pem"), Path(folder, "chain.pem")
        settings = Path(folder, "settings.toml")
        settings.write_text(f'http.origins = ["{SHOP}"]')
        certificate = authority.issue_cert("127.0.0.1")
        certificate.private_key_pem.write_to_path(str(key))
        chain.write_bytes(b"".join(p.bytes() for p in certificate.cert_chain_pems))
        endpoint = f"ssl:{secret_port}:interface=127.0.0.1"
        endpoint += f":privateKey={key}:certKey={chain}"
        arguments = ("--websocket", endpoint, "--settings", str(settings), *MEMORY)
        with served(*arguments, *DEMO) as server:
            yield server


@pytest.fixture
def database(tmp_path: Path) -> tuple[str, str]:
    return "--database", f"sqlite:///{tmp_path / 'chat.db'}"


# What is promised


def test_a_client_that_knows_three_actions_is_served(demo: Server) -> None:
    with talking(demo.port) as client:
        client.socket.send(
            '{\n  "action": "chatbot_session_start",\n  "gpt_model": "gpt-3.5-turbo"\n}'
        )
        started = client.next()
        session_id = started["data"]["session_id"]
        assert started == {"type": "session_start", "data": {"session_id": session_id}}
        assert str(UUID(session_id)) == session_id
        for asked, answer, seq in ((ASK_SOCKS, SOCKS, 6), (ASK_LIGHT, LIGHT, 15)):
            post = {
                "action": "chatbot_post_message",
                "session_id": session_id,
                "system_message": "You are coll robot!",
                "user_message": asked,
            }
            client.socket.send(json.dumps(post, indent=2))
            assert client.next() == PROCESSING_START
            whole = answer.replace("\n", "")
            assert client.next() == {"type": "message", "data": whole, "seq": seq}
            assert client.next() == PROCESSING_END
        client.says(session_id, "Please write me cool poem.", system_message=None)
        told = client.several(3)
        assert [one["type"] for one in told] == [
            "processing_start",
            "message",
            "processing_end",
        ]
        assert "I can show you" in told[1]["data"]  # what it can help with instead
        assert told[1].keys() == {"type", "data", "seq"}
        end = {"action": "chatbot_session_end", "session_id": session_id}
        client.socket.send(json.dumps(end))
        assert client.next() == SESSION_END
        assert client.asked("session_end", session_id=session_id) == SESSION_END
        client.says(session_id, ASK_SOCKS)
        assert client.several(2) == [PROCESSING_START, error(CLOSED)]


def error(text: str) -> dict[str, str]:
    return {"type": "error", "data": text}


def test_what_can_not_be_is_told_in_a_line(demo: Server) -> None:
    with talking(demo.port) as client, talking(demo.port) as stranger:
        theirs = stranger.session()
        for session_id in ("nobody", theirs, "", "\x00", "é😀", "x" * 50_000):
            client.says(session_id, "help")
            assert client.several(2) == [PROCESSING_START, error(NOT_FOUND)]
            told = error(f"Session with ID {session_id} not found.")
            assert client.asked("session_end", session_id=session_id) == told
        mine = client.session()
        for fields, name in (
            ({"session_id": mine}, "user_message"),
            ({"user_message": "help"}, "session_id"),
            ({"session_id": 7, "user_message": "help"}, "session_id"),
            ({"session_id": mine, "user_message": ["help"]}, "user_message"),
            ({"session_id": mine, "user_message": ""}, "user_message"),
            ({"session_id": mine, "user_message": "x" * 60_000}, "user_message"),
            ({"session_id": mine, "user_message": "x", "gpt_model": 4}, "gpt_model"),
        ):
            told = client.asked("post_message", **fields)
            assert (told.keys(), told["type"]) == ({"type", "data"}, "error")
            assert told["data"].startswith("Unexpected error occurred. Reason: ")
            assert name in told["data"]
        start = '{"action": "chatbot_session_start", '
        for nonsense in (
            *("hello", "", "{", "[]", "7", "null", '"chatbot_session_start"', "{}"),
            *('{"action": "chatbot_dance"}', '{"action": 7}', '{"action": null}'),
            *(f'{start}"gpt_model": "\\ud800"}}', f'{start}"gpt_model": NaN}}'),
            *("[" * 50_000, f'{start}"deep": {"[" * 20_000}{"]" * 20_000}}}'),
        ):
            client.socket.send(nonsense)
        assert client.asked("session_end", session_id=mine) == SESSION_END


def test_a_message_is_taken_whatever_it_is_made_of(demo: Server) -> None:
    said = '😀 e\u0301\u202e\x7f\ufeff \x00 \\ " </p> ' + "€" * 3_900
    with talking(demo.port) as client:
        session_id = client.session()
        post = {
            "action": "chatbot_post_message",
            "session_id": session_id,
            "user_message": said,
            "unknown": {"is": ["ignored", 10**999, "\\"]},
        }
        whole = json.dumps(post, ensure_ascii=False).encode()
        at = whole.index("😀".encode()) + 2  # characters are cut in two, too
        bytewise = [whole[n : n + 1] for n in range(at)]
        client.socket.send([*bytewise, b"", whole[at:]], text=True)
        assert [one["type"] for one in client.several(3)][-1] == "processing_end"
        history = demo.ask("GET", f"/api/session/{session_id}").json["history"]
    assert history[0] == {"role": "user", "content": said}


def test_messages_of_a_session_are_answered_in_turn_and_sessions_side_by_side(
    slow: Slow, server: Server
) -> None:
    with talking(server.port) as client:
        first, second = client.session(), client.session()
        client.streams(first, "m1")
        client.streams(first, "m2")
        client.streams(second, "m3")
        begun = client.several(2)
        assert {one["message_id"] for one in begun} == {"m1", "m3"}
        slow.let(3 * len(PARAGRAPHS))
        told = begun + client.until("processing_end")
        while sum(one["type"] == "processing_end" for one in told) < 3:
            told.append(client.next())
    for session_id, ids in ((first, ["m1", "m2"]), (second, ["m3"])):
        mine = [one for one in told if one["session_id"] == session_id]
        kinds = ["processing_start", *["message_chunk"] * 3, "message"]
        kinds.append("processing_end")
        expected = [(id, kind) for id in ids for kind in kinds]
        assert [(one["message_id"], one["type"]) for one in mine] == expected


def test_paragraphs_come_before_the_service_says_the_next(
    slow: Slow, server: Server
) -> None:
    with talking(server.port) as client:
        session_id = client.session()
        client.streams(session_id, "m1")
        marks = {"session_id": session_id, "message_id": "m1"}
        assert client.next() == {**PROCESSING_START, "seq": 1, **marks}
        for seq, paragraph in enumerate(PARAGRAPHS, 3):
            slow.let()  # only now the service says it
            chunk = {"seq": seq, "text": paragraph, "format": "html"}
            assert client.next() == {"type": "message_chunk", "data": chunk, **marks}
        message = {"type": "message", "data": WHOLE, "seq": 6, **marks}
        assert client.next() == message
        assert client.next() == {**PROCESSING_END, **marks}


def test_a_reply_is_stopped(slow: Slow, server: Server) -> None:
    with talking(server.port) as client:
        session_id = client.session()
        client.streams(session_id, "m1")
        slow.let()
        client.until("message_chunk")
        client.send("stop", session_id=session_id)
        message, end = client.several(2)
        assert (message["data"], message["outcome"]) == (PARAGRAPHS[0], "stopped")
        assert end["type"] == "processing_end"


def test_a_service_that_is_gone_is_told_so() -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    names = ("TECH_SUPPORT", "PRODUCT_INFO", "REAL_AGENT")
    services = {f"SUPPORTBOT_SERVICES__{name}__URL": url for name in names}
    once = {f"SUPPORTBOT_SERVICES__{name}__RETRY__ATTEMPTS": "1" for name in names}
    with (
        served(*MEMORY, env=environment(**services, **once)) as server,
        talking(server.port) as client,
    ):
        session_id = client.session()
        client.says(session_id, "help")
        assert client.several(2) == [PROCESSING_START, error(FAILED)]
        assert client.asked("session_end", session_id=session_id) == SESSION_END


# Connections that are lost


def test_a_connection_that_is_cut_in_the_middle_of_an_answer_is_resumed(
    slow: Slow, server: Server, wire: Wire
) -> None:
    with talking(wire.port) as client:
        session_id = client.session()
        client.streams(session_id, "m1")
        slow.let()
        seen = client.until("message_chunk")
        wire.cut()
        with pytest.raises(ConnectionClosed):
            client.next()
    slow.let()
    follower = server.events(session_id)
    while follower.until("paragraph_said")["text"] != PARAGRAPHS[1]:
        pass
    follower.close()
    with talking(server.port) as client:
        (last, _), *_ = chunks(seen)
        resumed = client.asked(
            "session_resume", session_id=session_id, after=last, stream=True
        )
        data = {"session_id": session_id, "last_seq": last + 1}
        assert resumed == {"type": "session_resume", "data": data}
        marks = {"session_id": session_id, "message_id": "m1"}
        assert client.next() == {**PROCESSING_START, "seq": 1, **marks}
        assert chunks([client.next()]) == [(last + 1, PARAGRAPHS[1])]
        slow.let()
        rest = client.until("processing_end")
        assert chunks(rest) == [(last + 2, PARAGRAPHS[2])]
        assert rest[1] == {"type": "message", "data": WHOLE, "seq": 6, **marks}
        assert slow.asked == 1


def test_a_session_is_taken_over_when_its_client_does_not_react(
    slow: Slow, server: Server, wire: Wire
) -> None:
    with talking(wire.port, close_timeout=0) as gone, talking(server.port) as client:
        session_id = gone.session()
        gone.streams(session_id, "m1")
        gone.next()
        again = {"session_id": session_id, "stream": True}
        told = client.asked("session_resume", **again)
        assert told == {**error(NOT_FOUND), "session_id": session_id}  # it is there
        wire.die()
        assert client.asked("session_resume", **again)["type"] == "session_resume"
        slow.let(len(PARAGRAPHS))
        assert [text for _, text in chunks(client.until("processing_end"))] == [
            *PARAGRAPHS
        ]


def test_a_crash_loses_nothing(slow: Slow, database: tuple[str, str]) -> None:
    with served(*database, env=slow.env) as server, talking(server.port) as client:
        session_id = client.session()
        client.streams(session_id, "m1")
        slow.let()
        seen = client.until("message_chunk")
        server.kill()
        with pytest.raises(ConnectionClosed):
            client.next()
    slow.begin()
    (last, first), *_ = chunks(seen)
    assert first == PARAGRAPHS[0]
    with (
        served(*database, env=slow.env, port=server.port) as server,
        talking(server.port) as client,
    ):
        client.send("session_resume", session_id=session_id, after=last, stream=True)
        resumed, *rest, cut = client.until("error")
        assert resumed["data"]["session_id"] == session_id
        assert chunks(rest) == []
        assert (cut["data"], cut["outcome"], cut["message_id"]) == (FAILED, "cut", "m1")
        slow.let(len(PARAGRAPHS))
        client.streams(session_id, "m1")
        whole = client.until("processing_end")
        assert [text for _, text in chunks(whole)] == [*PARAGRAPHS]
        assert whole[-2]["data"] == WHOLE
        events = server.events(session_id, live="false").numbered("end")
        said = [one for one in events if one["type"] == "customer_said"]
        assert [one["message_id"] for one in said] == ["m1"]
        assert [one["seq"] for one in events] == list(range(1, len(events) + 1))


def test_a_restart_closes_who_is_idle_and_lets_an_answer_end(
    slow: Slow, database: tuple[str, str]
) -> None:
    with (
        served(*database, env=slow.env) as server,
        talking(server.port) as idle,
        talking(server.port) as busy,
    ):
        idle.session()
        session_id = busy.session()
        busy.streams(session_id, "m1")
        slow.let()
        busy.until("message_chunk")
        server.stop()
        assert idle.closed()[0] == 1012
        slow.let(2)
        *rest, message, _ = busy.until("processing_end")
        assert [text for _, text in chunks(rest)] == [*PARAGRAPHS[1:]]
        assert busy.closed()[0] == 1012
        assert server.ended() in ENDED
    with (
        served(*database, env=slow.env, port=server.port) as server,
        talking(server.port) as client,
    ):
        client.send("session_resume", session_id=session_id, after=message["seq"])
        resumed = {"session_id": session_id, "last_seq": message["seq"]}
        assert client.next()["data"] == resumed
        slow.let(len(PARAGRAPHS))
        client.says(session_id, "help again")
        told = client.several(3)
        assert [one["type"] for one in told] == [
            "processing_start",
            "message",
            "processing_end",
        ]
        assert told[1]["data"] == WHOLE


def test_a_session_goes_on_at_another_server_of_the_same_database(
    slow: Slow, postgres_server: Cluster
) -> None:
    database = ("--database", postgres_server.migrated())
    with (
        served(*database, env=slow.env) as one,
        served(*database, env=slow.env) as other,
    ):
        with talking(one.port) as client:
            session_id = client.session()
            slow.let(len(PARAGRAPHS))
            client.streams(session_id, "m1")
            told = client.until("processing_end")
        (last, _), *_ = chunks(told)
        with talking(other.port) as client:
            again = {"session_id": session_id, "after": last, "stream": True}
            client.send("session_resume", **again)
            rest = client.until("processing_end")
            assert chunks(rest) == chunks(told)[1:]
            assert rest[-2] == told[-2]
            slow.let(len(PARAGRAPHS))
            client.streams(session_id, "m2")
            later = client.until("processing_end")
        assert [seq for seq, _ in chunks(later)] == [9, 10, 11]
        history = one.ask("GET", f"/api/session/{session_id}").json["history"]
        assert [turn["content"] for turn in history] == ["help", WHOLE] * 2


# What lies between


def test_paragraphs_come_one_by_one_through_a_proxy(slow: Slow, server: Server) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="nginx-") as folder,
        nginx(Path(folder), server.port, WEBSOCKET) as port,
        talking(port) as client,
    ):
        session_id = client.session()
        client.streams(session_id, "m1")
        client.next()
        for paragraph in PARAGRAPHS:
            slow.let()  # only now the service says it
            assert client.next()["data"]["text"] == paragraph
        assert client.until("processing_end")[0]["data"] == WHOLE
        assert ask(port, "GET", "/healthz").status == 200


def test_an_endpoint_of_its_own_speaks_nothing_else_and_that_over_tls(
    demo: Server, secret_port: int, authority: trustme.CA
) -> None:
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    secret: dict[str, Any] = {"scheme": "wss", "ssl": trusting}
    own = f"https://127.0.0.1:{secret_port}"
    for path in ("/", "/ws"):
        with talking(secret_port, path, **secret, origin=own) as client:
            client.says(client.session(), ASK_SOCKS)
            answered = client.until("processing_end")[-2]["data"]
            assert answered == SOCKS.replace("\n", "")
    with talking(secret_port, "/", **secret):
        pass
    assert refused(secret_port, **secret, origin="https://evil.example") == 403
    for path in ("/api/chat", "/metrics", "/healthz", "/docs", "/api/session/new"):
        assert refused(secret_port, path, **secret) == 404


def test_who_may_connect(demo: Server) -> None:
    own = f"http://127.0.0.1:{demo.port}"
    for origin in (None, own, SHOP):
        with talking(demo.port, origin=origin) as client:
            assert client.session()
    for origin in ("https://evil.example", "null", f"{SHOP}.evil.example", f"{own}1"):
        assert refused(demo.port, origin=origin) == 403
    assert refused(demo.port, "/") == 200  # the front page
    assert refused(demo.port, "/nowhere") == 404
    assert demo.ask("GET", "/ws").status == 426


def test_messages_are_compressed_if_the_client_likes(demo: Server) -> None:
    for compression, names in (("deflate", ["permessage-deflate"]), (None, [])):
        with talking(demo.port, compression=compression) as client:
            assert [e.name for e in client.socket.protocol.extensions] == names
            session_id = client.session()
            client.says(session_id, ASK_LIGHT + " " * 3000)
            answered = client.until("processing_end")[-2]["data"]
            assert answered == LIGHT.replace("\n", "")


# Beside HTTP


def test_http_sees_the_same_sessions(demo: Server) -> None:
    with talking(demo.port) as client:
        session_id = client.session(gpt_model="gpt-4")
        assert demo.ask("GET", f"/api/session/{session_id}").status == 404
        client.says(session_id, ASK_SOCKS, system_message="Say it in verse.")
        client.until("processing_end")
        seen = demo.ask("GET", f"/api/session/{session_id}")
        assert seen.json["history"] == [
            {"role": "user", "content": ASK_SOCKS},
            {"role": "assistant", "content": SOCKS.replace("\n", "")},
        ]
        assert b"verse" not in seen.body
        demo.said(ASK_LIGHT, session_id=session_id)
        assert demo.ask("DELETE", f"/api/reset/{session_id}").status == 200
        client.says(session_id, ASK_SOCKS)
        assert client.several(2) == [PROCESSING_START, error(CLOSED)]
        assert demo.ask("GET", f"/api/session/{session_id}").status == 404


def test_a_session_that_http_deletes_in_the_middle_of_an_answer_is_closed(
    slow: Slow, server: Server
) -> None:
    with talking(server.port) as client:
        session_id = client.session()
        client.says(session_id, "help")
        assert client.next() == PROCESSING_START
        assert server.ask("DELETE", f"/api/reset/{session_id}").status == 200
        assert client.next() == error(CLOSED)


def test_it_is_counted_and_documented(demo: Server) -> None:
    with talking(demo.port) as client:
        client.session()
        figures = demo.ask("GET", "/metrics").body.decode()
        assert "\nsupportbot_websocket_connections 1.0\n" in figures
        assert '\nsupportbot_websocket_sessions{client="here"} 1.0\n' in figures
    described = demo.ask("GET", "/asyncapi.json").json
    assert described["asyncapi"].startswith("3.")
    assert "/ws" in demo.ask("GET", "/openapi.json").json["paths"]
    assert not any("Traceback" in line for line in demo.log)
