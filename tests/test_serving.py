"""`supportbot serve`: where it listens, what it says, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from supportbot import serving
from supportbot.serving import Door, Served, reason, url_of
from tests.program import PATIENCE, ROOT, Played, ask, environment, free_port

_IPV6 = socket.has_dualstack_ipv6()
HINT = "Answers under way may end; Ctrl-C again ends them at once."


class Program:
    """`supportbot serve` as a process, on any free port.

    Attributes:
        line: the first that it has printed.
        port: that this line tells.
        process: it.
    """

    def __init__(self, *arguments: str, env: Mapping[str, str]) -> None:
        strict = ("-W", "error", "-W", "ignore:Passing pyOpenSSL")
        before = ("--database", "memory")
        command = [sys.executable, *strict, str(ROOT / "main.py"), *before, "serve"]
        self.process = subprocess.Popen(
            [*command, *arguments],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._watch = threading.Timer(PATIENCE, self.process.kill)
        self._watch.start()
        self.line = self.printed()
        found = re.search(r"http://\S+:([0-9]+)/ ", self.line)
        self.port = int(found[1]) if found else 0

    def printed(self) -> str:
        """The next line on the standard output; empty if none comes any more."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def logged(self, words: str) -> None:
        """Read the log until it says so."""
        assert self.process.stderr is not None
        assert any(words in line for line in self.process.stderr), "never said"

    def ended(self) -> tuple[int, str, str]:
        """Wait for the end; returns the exit status, and what was not read yet."""
        printed, logged = self.process.communicate(timeout=PATIENCE)
        self._watch.cancel()
        return self.process.returncode, printed, logged


@contextmanager
def program(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Program]:
    """A program that serves; it is gone afterwards."""
    ran = Program(*arguments, env=env or environment(PORT="0"))
    try:
        yield ran
    finally:
        ran.process.kill()
        ran.ended()


# The real program


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_the_page_is_when_it_listens(number: signal.Signals) -> None:
    with program("--demo") as served:
        url = f"http://localhost:{served.port}/"
        simulated = "with simulated services (--demo)"
        assert served.line == f"Serving {url} {simulated} until Ctrl-C ends it.\n"
        assert ask(served.port, "GET", "/healthz").status == 200
        assert ask(served.port, "GET", "/").status in {200, 307}
        served.process.send_signal(number)
        assert served.ended() == (128 + number, "", "")


def test_a_log_for_programs_is_all_of_it_and_alone_on_stderr() -> None:
    public = "Other machines can get there too, by this one's addresses.\n"
    arguments = ("--port", "0", "--host", "0.0.0.0", "--log-format", "json")
    with program(*arguments) as served:
        assert served.line.endswith(f":{served.port}/ until Ctrl-C ends it.\n")
        assert served.printed() == public
        served.process.terminate()
        status, printed, logged = served.ended()
    assert (status, printed) == (143, "")
    messages = [json.loads(line)["message"] for line in logged.splitlines()]
    assert f"(TCP Port {served.port} Closed)" in messages


class Held:
    """A service whose answers end when the test lets them."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self._service = Played(self._play)
        self.env = {**self._service.env, "PORT": "0"}

    def _play(self, connection: socket.socket, number: int) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
        connection.sendall(head + b'{"response": "<p>First.</p>')
        assert self.may_end.wait(PATIENCE)
        connection.sendall(b'<p>Last.</p>"}')

    def close(self) -> None:
        """Let all answers end, and take no more questions."""
        self.may_end.set()
        self._service.close()


@pytest.fixture
def held() -> Iterator[Held]:
    service = Held()
    yield service
    service.close()


@contextmanager
def answering(held: Held) -> Iterator[tuple[Program, Callable[[], list[str]]]]:
    """A program that was told to end in mid-answer; reads the rest of the answer."""
    with program("--verbose", env=held.env) as served:
        client = socket.create_connection(("127.0.0.1", served.port), PATIENCE)
        with client, client.makefile("rb") as response:
            body = json.dumps({"message": "help", "stream": True})
            head = (
                "POST /api/chat HTTP/1.1\r\nHost: localhost\r\n"
                "Content-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            client.sendall(f"{head}{body}".encode())
            while b"First" not in response.readline():
                pass
            served.process.send_signal(signal.SIGINT)
            served.logged(f"Port {served.port} Closed")
            yield served, lambda: [line.decode() for line in response]


def test_an_answer_under_way_ends_first(held: Held) -> None:
    with answering(held) as (served, rest):
        held.may_end.set()
        lines = rest()
        assert any("Last." in line for line in lines)
        assert any('"outcome":"complete"' in line for line in lines)
        status, _, logged = served.ended()
    assert (status, "Traceback" in logged) == (130, False)


def test_asked_twice_it_ends_at_once(held: Held) -> None:
    with answering(held) as (served, _):
        served.process.send_signal(signal.SIGTERM)
        assert served.ended()[0] == 143
        assert not held.may_end.is_set()


def refused(*arguments: str, **changes: str) -> tuple[int, str]:
    """Exit status and error of a program that can't start; it prints nothing."""
    env = environment(**changes)
    command = [sys.executable, str(ROOT / "main.py"), *arguments]
    ran = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (ran.stdout, ran.stderr.count("\n")) == ("", 1)
    assert ran.stderr.startswith("supportbot: ")
    return ran.returncode, ran.stderr.removeprefix("supportbot: ").strip()


def test_a_port_that_is_taken_ends_it_with_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, why = refused("serve", "--port", str(port), "--database", "memory")
    assert (status, why) == (
        1,
        reason("127.0.0.1", port, OSError(errno.EADDRINUSE, "")),
    )


@pytest.mark.parametrize(
    ("arguments", "changes", "status", "words"),
    [
        (["serve", "dinner"], {}, 2, "A message that begins with `serve` has to be"),
        (["--resume", "serve"], {}, 2, "option --resume not recognized"),
        (["serve", "--port", "65536"], {}, 2, "--port: expected a number from 0 to"),
        (["serve"], {"PORT": "http"}, 2, "PORT: expected a number from 0 to 65535"),
        (["-s", "/nowhere", "serve", "-p", "0"], {}, 78, "/nowhere: no such file"),
        (["serve", "-p", "0", "--database", "sqlite://"], {}, 78, "names no file"),
        (["serve", "--database", "sqlite:////nowhere/x", "-p0"], {}, 78, "/nowhere"),
        (
            ["serve", "--host", "192.0.2.1"],
            {},
            1,
            "expected an address of this machine",
        ),
    ],
)
def test_what_can_not_be_served_is_told_in_a_line(
    arguments: list[str], changes: dict[str, str], status: int, words: str
) -> None:
    ended, why = refused(*arguments, **changes)
    assert (ended, words in why) == (status, True), why


def test_it_serves_also_when_nobody_can_read_where() -> None:
    port = free_port()
    arguments = ("serve", "--port", str(port), "--database", "memory", "--verbose")
    with open("/dev/full", "wb") as full:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "main.py"), *arguments],
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    watch = threading.Timer(PATIENCE, process.kill)
    watch.start()
    assert process.stderr is not None
    assert any("HttpFactory starting" in line for line in process.stderr)
    assert ask(port, "GET", "/healthz").status == 200
    process.terminate()
    assert "Traceback" not in process.communicate(timeout=PATIENCE)[1]
    watch.cancel()
    assert process.returncode == 143


# Doors


@pytest.mark.parametrize(
    ("host", "reached", "shown", "public"),
    [
        ("127.0.0.1", "127.0.0.1", "localhost", False),
        ("127.0.0.2", "127.0.0.2", "127.0.0.2", False),
        ("0.0.0.0", "127.0.0.1", "localhost", True),
        *([("::1", "::1", "localhost", False)] if _IPV6 else []),
        *([("::", "127.0.0.1", "localhost", True)] if _IPV6 else []),
    ],
)
def test_a_door_knows_its_address(
    host: str, reached: str, shown: str, public: bool
) -> None:
    door, reactor = Door(host, 0), MemoryReactorClock()
    found = re.fullmatch(r"http://(\S+):([0-9]+)/", door.url)
    assert found is not None
    assert (found[1], door.public) == (shown, public)
    with socket.create_connection((reached, int(found[2])), PATIENCE):
        door.endpoint(reactor).listen(cast(Any, object()))
    ((_, family, _),) = reactor.adoptedPorts
    assert family == (socket.AF_INET6 if ":" in host else socket.AF_INET)


def test_addresses_are_shown_so_that_they_lead_there() -> None:
    assert url_of("::1", 80) == "http://localhost:80/"
    assert url_of("192.0.2.1", 80) == "http://192.0.2.1:80/"
    assert url_of("2001:db8::1", 80) == "http://[2001:db8::1]:80/"


def test_a_door_that_does_not_open_says_why() -> None:
    assert "--port" in reason("127.0.0.1", 80, PermissionError(errno.EACCES, "no"))
    unknown = "x" * 64  # no name can be so long
    with pytest.raises(socket.gaierror) as caught:
        Door(unknown, 0)
    expected = f"--host {unknown}: expected an address of this machine"
    assert reason(unknown, 0, caught.value).startswith(expected)
    assert reason("127.0.0.1", 1, OSError(errno.EMFILE, "")) == (
        "--host 127.0.0.1 --port 1: Too many open files"
    )


# From start to end, on a reactor that has no sockets


class Reactor(MemoryReactorClock):
    """Runs until the test has done what `turn` says."""

    def __init__(self, turn: Callable[[], None]) -> None:
        super().__init__()
        self._turn = turn
        self.called: list[Callable[[], None]] = []

    def callFromThread(self, call: Callable[[], None]) -> None:
        """Called by handlers of signals."""
        self.called.append(call)

    def run(self) -> None:
        """Serve, get a signal, and run what stands before the shutdown."""
        # As the real one, it takes this signal, whoever had it.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for call, arguments, keywords in self.whenRunningHooks:
            call(*arguments, **keywords)
        self._turn()


class Service:
    """Notes what is done with it, and ends when the test says so."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.stopped: Deferred[None] = Deferred()

    def startService(self) -> None:
        """Called at the start."""
        self.done.append("start")

    def stopService(self) -> Deferred[None]:
        """Called at the end."""
        self.done.append("stop")
        return self.stopped


class RunTests(SynchronousTestCase):
    """From the start to the exit status."""

    def setUp(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.service = Service()
        self.patch(serving, "say", self.service.done.append)

    def run_with(self, turn: Callable[[Reactor], None]) -> int:
        """The exit status after a turn of the reactor."""
        reactor = Reactor(lambda: turn(reactor))
        return serving.run(reactor, cast(Served, self.service), "Hello")

    def test_the_greeting_comes_when_it_listens(self) -> None:
        self.run_with(lambda reactor: None)
        self.assertEqual(self.service.done, ["start", "Hello"])

    def test_a_signal_stops_the_reactor_and_is_the_status(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):

            def turn(reactor: Reactor, number: int = number) -> None:
                os.kill(os.getpid(), number)
                self.assertEqual(reactor.called, [reactor.stop])

            self.assertEqual(self.run_with(turn), 128 + number)

    def test_the_second_one_ends_it_even_before_the_reactor_knows(self) -> None:
        ended: list[int] = []
        self.patch(os, "_exit", ended.append)

        def turn(reactor: Reactor) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            self.assertEqual((len(reactor.called), ended), (1, [130]))

        self.assertEqual(self.run_with(turn), 143)

    def test_the_reactor_may_have_taken_one(self) -> None:
        self.assertEqual(self.run_with(lambda reactor: None), 143)

    def test_one_that_came_early_counts_too(self) -> None:
        start = self.service.startService

        def interrupted() -> None:
            start()
            os.kill(os.getpid(), signal.SIGINT)

        def turn(reactor: Reactor) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            self.assertEqual(ended, [130])

        ended: list[int] = []
        self.patch(os, "_exit", ended.append)
        self.patch(self.service, "startService", interrupted)
        self.assertEqual(self.run_with(turn), 130)

    def test_an_end_that_takes_time_is_explained(self) -> None:
        def turn(reactor: Reactor) -> None:
            ((stop, _, _),) = reactor.triggers["before"]["shutdown"]
            stopped = stop()
            reactor.advance(1.4)
            self.assertNotIn(HINT, self.service.done)
            reactor.advance(0.2)
            self.assertEqual(self.service.done[2:], ["stop", HINT])
            self.assertNoResult(stopped)
            self.service.stopped.callback(None)
            self.successResultOf(stopped)

        self.run_with(turn)

    def test_one_that_takes_none_is_not(self) -> None:
        def turn(reactor: Reactor) -> None:
            ((stop, _, _),) = reactor.triggers["before"]["shutdown"]
            stopped = stop()
            self.service.stopped.callback(None)
            self.successResultOf(stopped)
            self.assertEqual(reactor.getDelayedCalls(), [])
            self.assertNotIn(HINT, self.service.done)

        self.run_with(turn)


def test_what_nobody_can_read_is_not_missed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    serving.say("hello")
    assert capfd.readouterr().out == "hello\n"
    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.setattr(serving, "_STDOUT", writing)
    serving.say("hello")
    os.close(writing)
