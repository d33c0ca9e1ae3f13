"""The real service over HTTP: behind a proxy, stopped, killed, and started again."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.nginx import nginx
from tests.postgres import Cluster
from tests.program import (
    PATIENCE,
    ROOT,
    EventStream,
    Played,
    Server,
    ask,
    environment,
    free_port,
    served,
)
from tests.test_end_to_end import (
    ASK_LIGHT,
    ASK_PERSON,
    ASK_SOCKS,
    LIGHT,
    SOCKS,
)
from tests.wire import ANSWER

pytest_plugins = ("tests.postgres_fixture",)

LARGE = "/static/redoc-2.5.4/redoc.standalone.js"
ENDED = {0, -signal.SIGTERM}
"""Statuses of one that ended when asked to; `twist` hands on the signal it got."""
MEMORY = ("--database", "memory")
PARAGRAPHS = tuple(f"<p>{word}.</p>" for word in ("One", "Two", "Three"))


class Controlled:
    """A service of which the test says when each paragraph comes.

    Attributes:
        env: an environment in which it is all three services.
    """

    def __init__(self) -> None:
        self._may = [threading.Event() for _ in PARAGRAPHS]
        self._service = Played(self._play)
        self.env = self._service.env

    def let(self, number: int) -> None:
        """Let the paragraph with this number come, counted from 0."""
        self._may[number].set()

    def close(self) -> None:
        """Let all come that still waits, and take no more connections."""
        for may in self._may:
            may.set()
        self._service.close()

    def _play(self, connection: socket.socket, number: int) -> None:
        connection.sendall(ANSWER + b'{"response": "')
        for may, paragraph in zip(self._may, PARAGRAPHS, strict=True):
            assert may.wait(PATIENCE)
            connection.sendall(paragraph.encode())
        connection.sendall(b'"}')


@pytest.fixture
def service() -> Iterator[Controlled]:
    controlled = Controlled()
    yield controlled
    controlled.close()


@pytest.fixture
def database(tmp_path: Path) -> tuple[str, str]:
    return "--database", f"sqlite:///{tmp_path / 'chat.db'}"


@pytest.fixture(scope="module")
def demo() -> Iterator[Server]:
    """One that answers with the simulated services, which never get stuck."""
    demo = ("--demo", "--demo-delay", "0", "--demo-zeroes", "0", *MEMORY)
    with served(*demo, env=environment(SUPPORTBOT_HTTP__STALL="0.5")) as server:
        yield server


# The dialogs of the challenge


def whole(server: Server, message: str) -> str:
    said = server.said(message)
    assert (said["outcome"], said["tool_calls"]) == ("complete", None)
    history = server.ask("GET", f"/api/session/{said['session_id']}").json["history"]
    assert history == [
        {"role": "user", "content": message},
        {"role": "assistant", "content": said["response"]},
    ]
    text: str = said["response"]
    return text


def posted(server: Server, message: str) -> str:
    return joined(server.streamed(message))


def in_the_url(server: Server, message: str) -> str:
    path = f"/api/chat/stream?{urlencode({'message': message})}"
    return joined(EventStream(server.port, "GET", path))


def joined(stream: EventStream) -> str:
    *chunks, done = stream.rest()
    assert (done["done"], done["outcome"]) == (True, "complete")
    assert all(chunk.keys() == {"chunk"} for chunk in chunks)
    return "".join(chunk["chunk"] for chunk in chunks)


@pytest.mark.parametrize("answer", [whole, posted, in_the_url])
def test_the_dialogs(demo: Server, answer: Callable[[Server, str], str]) -> None:
    assert answer(demo, ASK_SOCKS) == SOCKS.replace("\n", "")
    assert answer(demo, ASK_LIGHT) == LIGHT.replace("\n", "")
    sentence = answer(demo, ASK_PERSON)
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_a_session_is_followed_while_it_is_made(demo: Server) -> None:
    opened = demo.ask("POST", "/api/session/new").json["session_id"]
    follower = demo.events(opened)
    demo.said(ASK_SOCKS, session_id=opened, message_id="m1")
    events = follower.numbered("reply_ended")
    assert [event["type"] for event in events] == [
        "customer_said",
        "reply_started",
        *["paragraph_said"] * 3,
        "reply_ended",
    ]
    assert demo.events(opened, live="false").numbered("end") == events
    follower.close()


# Proxies


def test_paragraphs_come_one_by_one_through_a_proxy_with_default_settings(
    service: Controlled,
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="nginx-") as folder,
        served(*MEMORY, env=service.env) as server,
        nginx(Path(folder), server.port) as port,
    ):
        body = {"message": "help", "stream": True, "session_id": "proxied"}
        answer = EventStream(port, "POST", "/api/chat", body)
        follower = EventStream(port, "GET", "/api/session/proxied/events")
        for number, paragraph in enumerate(PARAGRAPHS):
            service.let(number)  # only now the service says it
            assert answer.next() == ("message", {"chunk": paragraph})
            assert follower.until("paragraph_said")["text"] == paragraph
        assert answer.rest()[-1]["outcome"] == "complete"
        assert answer.next() is None
        follower.close()


# The end, and another beginning


def test_a_restart_in_the_middle_of_an_answer_loses_nothing(
    service: Controlled, database: tuple[str, str]
) -> None:
    with served(*database, env=service.env) as server:
        answer = server.streamed("help", session_id="s", message_id="m1")
        follower = server.events("s")
        service.let(0)
        assert answer.next() == ("message", {"chunk": PARAGRAPHS[0]})
        server.stop()
        service.let(1)
        service.let(2)
        assert [one.get("chunk") for one in answer.rest()] == [*PARAGRAPHS[1:], None]
        events = follower.numbered("bye")
        assert [event["seq"] for event in events] == list(range(1, 7))
        assert follower.next() is None
        assert server.ended() in ENDED
    with served(*database, env=service.env, port=server.port) as server:
        follower = server.events("s", after=6)
        again = server.said("help", session_id="s", message_id="m1")
        assert again["response"] == "".join(PARAGRAPHS)
        server.said("help again", session_id="s", message_id="m2")
        later = follower.numbered("reply_ended")
        assert [event["seq"] for event in later] == list(range(7, 13))
        assert later[0]["text"] == "help again"  # and m1 was not asked again
        assert server.events("s", live="false").numbered("end") == events + later
        follower.close()


def test_who_asks_twice_for_the_end_gets_it_at_once(service: Controlled) -> None:
    with served(*MEMORY, env=service.env) as server:
        answer = server.streamed("help")
        server.stop()
        server.process.send_signal(signal.SIGTERM)
        assert server.ended() == 128 + signal.SIGTERM
        answer.close()


def test_an_answer_that_a_crash_cut_is_marked_and_can_be_asked_for_again(
    service: Controlled, database: tuple[str, str]
) -> None:
    with served(*database, env=service.env) as server:
        server.streamed("help", session_id="s", message_id="m1").close()
        follower = server.events("s")
        service.let(0)
        seen = follower.numbered("paragraph_said")
        server.kill()
        follower.close()
    service.let(1)
    service.let(2)
    with served(*database, env=service.env, port=server.port) as server:
        retold = server.events("s", live="false").numbered("end")
        assert retold[: len(seen)] == seen
        assert (retold[-1]["type"], retold[-1]["outcome"]) == ("reply_ended", "cut")
        again = server.said("help", session_id="s", message_id="m1")
        assert again["response"] == "".join(PARAGRAPHS)
        assert again["outcome"] == "complete"
        events = server.events("s", live="false").numbered("end")
    said = [event for event in events if event["type"] == "customer_said"]
    assert [event["message_id"] for event in said] == ["m1"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


def test_a_socket_that_is_handed_over_refuses_nobody(
    tmp_path: Path, database: tuple[str, str]
) -> None:
    demo = ("--demo", "--demo-delay", "0", "--demo-zeroes", "0", *database)
    env = environment(SUPPORTBOT_HTTP__MESSAGES="1000000")  # quick machines ask a lot
    statuses, over = list[object](), threading.Event()
    asked_twice = threading.Semaphore(0)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def keep_asking(number: int) -> None:
            while not over.is_set():
                body = {"message": ASK_SOCKS, "session_id": f"s{number}"}
                try:
                    statuses.append(ask(port, "POST", "/api/chat", body).status)
                except OSError as error:
                    statuses.append(error)
                asked_twice.release()

        asking = [threading.Thread(target=keep_asking, args=(n,)) for n in range(2)]

        def some_are_answered() -> None:
            for _ in range(4):
                assert asked_twice.acquire(timeout=PATIENCE)

        with served(*demo, listening=listening, env=env) as before:
            for one in asking:
                one.start()
            try:
                some_are_answered()
                with served(*demo, listening=listening, env=env):
                    some_are_answered()
                    before.stop()
                    assert before.ended() in ENDED
                    some_are_answered()
                    some_are_answered()
                    over.set()
                    for one in asking:
                        one.join(PATIENCE)
            finally:
                over.set()
    assert set(statuses) == {200}


# Those who don't read


def test_who_never_reads_is_dropped(demo: Server) -> None:
    client, watched = socket.socket(), select.poll()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", demo.port))
    with client:
        asked = f"GET {LARGE} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        client.sendall(asked.encode() * 20)
        watched.register(client, 0)
        # The system itself would give up later, after 20 s.
        ((_, happened),) = watched.poll(15_000)
    assert happened & select.POLLHUP


def test_a_large_file_comes_whole(demo: Server) -> None:
    answer = demo.ask("GET", LARGE)
    assert len(answer.body) == int(answer.headers["content-length"]) > 500_000


# Erased by somebody else


def said_and_erased(server: Server, database: tuple[str, str]) -> None:
    """A session `s` that the service has in memory and the database has not."""
    assert server.said("help", session_id="s", message_id="m1")["outcome"] == "complete"
    erase("s", database)


def erase(session: str, database: tuple[str, str]) -> None:
    command = ("main.py", "transcripts", "erase", *database, session)
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, timeout=PATIENCE)


def test_a_session_that_the_command_line_has_erased_is_gone(
    service: Controlled, database: tuple[str, str]
) -> None:
    for number in range(len(PARAGRAPHS)):
        service.let(number)
    env = {**service.env, "SUPPORTBOT_HTTP__HEARTBEAT": "1"}
    with served(*database, env=env) as server:
        said_and_erased(server, database)
        assert server.ask("GET", "/api/session/s").status == 404
        said_and_erased(server, database)
        assert server.ask("GET", "/api/session/s/events?live=false").status == 404
        said_and_erased(server, database)
        again = server.said("help", session_id="s", message_id="m1")
        assert again["response"] == "".join(PARAGRAPHS)
        follower = server.events("s", after=99)
        erase("s", database)
        assert follower.until("end") == {"reason": "deleted"}
        assert follower.next() is None


def test_a_session_that_is_erased_in_the_middle_of_an_answer_stays_so(
    service: Controlled, database: tuple[str, str]
) -> None:
    with served(*database, env=service.env) as server:
        answer = server.streamed("help", session_id="s", message_id="m1")
        service.let(0)
        assert answer.next() == ("message", {"chunk": PARAGRAPHS[0]})
        erase("s", database)
        service.let(1)
        error, done = answer.rest()
        assert "deleted" in error["error"]
        assert (done["done"], done["outcome"]) == (True, "failed")
        assert server.ask("GET", "/api/session/s").status == 404


# Two servers


def test_two_servers_on_one_database_see_the_same_transcripts(
    service: Controlled, postgres_server: Cluster
) -> None:
    database = ("--database", postgres_server.migrated())
    env = {**service.env, "SUPPORTBOT_HTTP__HEARTBEAT": "1"}
    with served(*database, env=env) as one, served(*database, env=env) as other:
        opened = one.ask("POST", "/api/session/new").json["session_id"]
        follower = other.events(opened)
        answer = one.streamed("help", session_id=opened, message_id="m1")
        for number, paragraph in enumerate(PARAGRAPHS):
            service.let(number)
            assert answer.next() == ("message", {"chunk": paragraph})
            assert follower.until("paragraph_said")["text"] == paragraph
        assert answer.rest()[-1]["outcome"] == "complete"
        follower.until("reply_ended")
        follower.close()
        history = one.ask("GET", f"/api/session/{opened}").json
        assert other.ask("GET", f"/api/session/{opened}").json == history
        assert history["message_count"] == 2
        again = other.said("help", session_id=opened, message_id="m1")
        assert again["response"] == "".join(PARAGRAPHS)
        events = one.events(opened, live="false").numbered("end")
        assert other.events(opened, live="false").numbered("end") == events
        assert len(events) == 6
        other.said("help again", session_id=opened)
        later = one.events(opened, after=6, live="false").numbered("end")
        assert [event["seq"] for event in later] == list(range(7, 13))


# What can't be


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("--database", "sqlite:////nowhere/chat.db"), 78, "directory /nowhere"),
        (("--database", "mysql://localhost/chat"), 78, "mysql"),
        (("--database", "postgresql+psycopg://nobody@127.0.0.1:1/x"), 78, "127.0.0.1"),
        (("--settings", "/nowhere.toml", *MEMORY), 78, "/nowhere.toml"),
        (("--http", "tcp:none", *MEMORY), os.EX_USAGE, "endpoint"),
        (("--http", "tcp:{taken}:interface=127.0.0.1", *MEMORY), 1, "{taken}"),
    ],
)
def test_what_can_not_work_is_said_in_one_line(
    arguments: tuple[str, ...], status: int, told: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken = str(listening.getsockname()[1])
        given = [argument.replace("{taken}", taken) for argument in arguments]
        if "--http" not in given:
            given += ["--http", f"tcp:{free_port()}:interface=127.0.0.1"]
        ran = subprocess.run(
            [sys.executable, "-m", "twisted", "supportbot", *given],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert ran.returncode == status, ran.stderr
    (line,) = ran.stderr.splitlines()
    assert line.startswith("supportbot: ")
    assert told.replace("{taken}", taken) in line


def test_a_full_disk_is_told_and_forgotten_when_there_is_room(
    database: tuple[str, str], tmp_path: Path
) -> None:
    demo = ("--demo", "--demo-delay", "0", "--demo-zeroes", "0", *database)
    env = environment(SUPPORTBOT_TRANSCRIPTS__PATIENCE="0.5")
    with served(*demo, env=env) as server:
        said = server.said(ASK_SOCKS, session_id="s")
        unlimited = resource.RLIM_INFINITY
        pid = server.process.pid
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, unlimited))
        full = {"message": "help", "session_id": "s", "message_id": "m2"}
        refused = server.ask("POST", "/api/chat", full)
        assert refused.status == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert "\n" not in refused.json["detail"]
        assert int(refused.headers["retry-after"]) > 0
        assert server.ask("GET", "/readyz").status == 503
        history = server.ask("GET", "/api/session/s").json["history"]
        assert history[-1]["content"] == said["response"]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
        assert server.said("help", session_id="s", message_id="m2")["response"]
        assert server.ask("GET", "/readyz").status == 200
        server.stop()
        assert server.ended() in ENDED
    assert not any("Traceback" in line for line in server.log)


def test_a_session_that_one_server_deletes_while_another_answers_stays_so(
    service: Controlled, postgres_server: Cluster
) -> None:
    database = ("--database", postgres_server.migrated())
    with (
        served(*database, env=service.env) as one,
        served(*database, env=service.env) as other,
    ):
        answer = one.streamed("help", session_id="s", message_id="m1")
        follower = one.events("s", after=99)
        service.let(0)
        assert answer.next() == ("message", {"chunk": PARAGRAPHS[0]})
        assert other.ask("DELETE", "/api/reset/s").status == 200
        service.let(1)
        error, done = answer.rest()
        assert "deleted" in error["error"]
        assert (done["done"], done["outcome"]) == (True, "failed")
        assert follower.until("end") == {"reason": "deleted"}
        service.let(2)
        for server in (one, other):
            assert server.ask("GET", "/api/session/s").status == 404
        again = other.said("help", session_id="s", message_id="m1")
        assert again["response"] == "".join(PARAGRAPHS)
        assert one.ask("GET", "/api/session/s").json["message_count"] == 2


@pytest.mark.parametrize("lasting", [False, True])
def test_who_waits_for_an_answer_is_told_that_its_session_is_deleted(
    service: Controlled, database: tuple[str, str], lasting: bool
) -> None:
    with served(*(database if lasting else MEMORY), env=service.env) as server:
        answer = server.streamed("help", session_id="s")
        service.let(0)
        assert answer.next() == ("message", {"chunk": PARAGRAPHS[0]})
        assert server.ask("DELETE", "/api/reset/s").status == 200
        error, done = answer.rest()
        assert "deleted" in error["error"]
        assert (done["done"], done["outcome"]) == (True, "failed")
        assert server.ask("GET", "/api/session/s").status == 404
