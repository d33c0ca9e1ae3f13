"""Run the real programs, with real services, in tests that have to."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import pty
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ROOT = Path(__file__).parent.parent
PATIENCE = 60.0  # seconds after which a program that does not react has failed
_SERVICES = {
    "TECH_SUPPORT": "technical support",
    "PRODUCT_INFO": "product information",
    "REAL_AGENT": "real agent",
}


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, without what would change the program."""
    ours = ("SUPPORTBOT_", "OPENAI_", "MCP_")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    clean.pop("NO_COLOR", None)
    return {**clean, "TERM": "xterm", "PYTHONPATH": str(ROOT), **changes}


def command(*arguments: str, log: Path) -> list[str]:
    """The chat's command line."""
    return [
        sys.executable, "-W", "error", str(ROOT / "main.py"),
        "--log-file", str(log), *arguments,
    ]  # fmt: skip


def chat(
    *arguments: str,
    typed: str | bytes = b"",
    log: Path,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run the chat through pipes until it ends."""
    return subprocess.run(
        command(*arguments, log=log),
        input=typed.encode() if isinstance(typed, str) else typed,
        capture_output=True,
        env=env or environment(),
        timeout=PATIENCE,
        check=False,
    )


class Terminal:
    """The program on a terminal of its own.

    Attributes:
        shown: all that came to the screen, control sequences included.
    """

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        self.shown = ""
        self._controller, program_side = pty.openpty()
        self.process = subprocess.Popen(
            arguments,
            stdin=program_side,
            stdout=program_side,
            stderr=program_side,
            env=env,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(program_side)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._controller, keys.encode())

    def until(self, text: str, times: int = 1) -> str:
        """Wait until the text was shown so often; returns all that was."""
        end = time.monotonic() + PATIENCE
        while self.shown.count(text) < times:
            if not self._read(end - time.monotonic()):
                raise AssertionError(f"{text!r} never came:\n{self.shown}")
        return self.shown

    def ended(self) -> int:
        """Wait for the end; returns the exit status."""
        end = time.monotonic() + PATIENCE
        while self._read(end - time.monotonic()):
            pass
        return self.process.wait(timeout=PATIENCE)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._controller)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._controller], [], [], max(seconds, 0))
        try:
            read = os.read(self._controller, 65_536) if ready else b""
        except OSError:  # the program has closed its side
            return False
        self.shown += read.decode("utf-8", "replace")
        return bool(read)


def _take_terminal() -> None:
    """Make the terminal the program's own, so that Ctrl-C reaches it."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def terminal(
    *arguments: str, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """The chat on a terminal."""
    opened = Terminal(command(*arguments, log=log), env or environment())
    try:
        yield opened
    finally:
        opened.close()


def seen(shown: str) -> str:
    """What a person sees of it: wiped lines are gone, and so are colours."""
    shown = re.sub(r"\x1b\[2m|\x1b\[0m|\r(?=\n)", "", shown)
    return re.sub(r"[^\n]*\r\x1b\[K", "", shown)


@contextmanager
def services(*arguments: str) -> Iterator[dict[str, str]]:
    """The simulated services as a process; gives an environment that names them."""
    named = ("support", "product", "agent", "assistant", "shop")
    ports = [word for name in named for word in (f"--{name}-port", "0")]
    process = subprocess.Popen(
        [sys.executable, "-m", "supportbot.demo", *ports, *arguments],
        stdout=subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
        text=True,
    )
    assert process.stdout is not None
    try:
        urls = dict[str, str]()
        while len(urls) < len(_SERVICES):
            line = process.stdout.readline()
            assert line, "the services did not start"
            for variable, name in _SERVICES.items():
                if name in line and (url := re.search(r"http://\S+/", line)):
                    urls[f"SUPPORTBOT_SERVICES__{variable}__URL"] = url[0]
        yield environment(**urls)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE)
        process.stdout.close()


class Played:
    """A service on a real socket that the test plays, connection by connection.

    Args:
        play: gets each connection after its request was read, and its number from 0.

    Attributes:
        env: an environment in which it is all three services.
    """

    def __init__(self, play: Callable[[socket.socket, int], None]) -> None:
        self._play = play
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.env = environment(
            **{
                f"SUPPORTBOT_SERVICES__{name}__URL": f"http://127.0.0.1:{port}/"
                for name in _SERVICES
            }
        )
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listening.close()

    def _serve(self) -> None:
        for number in itertools.count():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(
                target=self._one, args=(connection, number), daemon=True
            ).start()

    def _one(self, connection: socket.socket, number: int) -> None:
        connection.settimeout(PATIENCE)
        with connection, suppress(OSError):
            read_request(connection)
            self._play(connection, number)


class Wire:
    """A network between clients and a server, which the test can break.

    Args:
        port: where the server listens.

    Attributes:
        port: where clients connect instead.
    """

    def __init__(self, port: int) -> None:
        self._behind, self._dead = port, False
        self._ends: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def die(self) -> None:
        """Carry nothing any more, and let neither end know."""
        self._dead = True

    def cut(self) -> None:
        """Reset what is connected, towards both ends."""
        at_once = struct.pack("ii", 1, 0)
        for end in self._ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                end.shutdown(socket.SHUT_RD)  # wakes who reads; no end is told so

    def close(self) -> None:
        """Cut, and take no more connections."""
        self._listening.close()
        self.cut()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._behind))
            except OSError:  # it has stopped already
                client.close()
                continue
            self._ends += client, server
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while read := source.recv(65_536):
                if not self._dead:
                    target.sendall(read)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RD)
        source.close()


def read_request(connection: socket.socket) -> bytes:
    """Read a request, with its body; returns all of it."""
    read = b""
    while b"\r\n\r\n" not in read:
        read += connection.recv(65_536) or b"\r\n\r\n"
    length = re.search(rb"(?i)content-length: *(\d+)", read)
    body = int(length[1]) if length else 0
    while len(read.partition(b"\r\n\r\n")[2]) < body:
        read += connection.recv(65_536) or b" " * body
    return read


def free_port() -> int:
    """A port that nobody listens on.

    It is none of those that the kernel gives to whoever asks for any, as other tests
    and the program itself do.
    """
    while True:
        port = random.randrange(10_000, 32_000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue


class Server:
    """`twist supportbot` as a process.

    Args:
        arguments: behind `supportbot`, but for `--http`.
        env: its environment.
        port: where it shall listen; a free one if None.
        listening: a socket that listens already, handed over as systemd does it.

    Attributes:
        port: where it listens.
        log: the lines that it has said so far.
        process: it.
    """

    def __init__(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        listening: socket.socket | None = None,
    ) -> None:
        # Twisted's own way with TLS is not what is tried.
        strict = ("-W", "error", "-W", "ignore:Passing pyOpenSSL")
        command = [sys.executable, *strict, "-m", "twisted", "supportbot"]
        if listening is None:
            self.port, handed = port or free_port(), ()
            command += ["--http", f"tcp:{self.port}:interface=127.0.0.1", *arguments]
        else:
            self.port, handed = listening.getsockname()[1], (listening.fileno(),)
            command += ["--http", "systemd:domain=INET:index=0", *arguments]
            names = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http"
            script = f'export {names}; exec "$@" 3<&{listening.fileno()}'
            command = ["bash", "-c", script, "bash", *command]
        self.log = list[str]()
        self._said = threading.Condition()
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env or environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=handed,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def until(self, words: str) -> None:
        """Wait until the log says so."""

        def said() -> bool:
            return any(words in line for line in self.log) or self._ended

        with self._said:
            assert self._said.wait_for(said, PATIENCE), f"{words!r} never came"
        assert any(words in line for line in self.log), "\n".join(self.log)

    def stop(self) -> None:
        """Have it end, and wait until its port is closed."""
        self.process.send_signal(signal.SIGTERM)
        self.until(f"Port {self.port} Closed")

    def kill(self) -> None:
        """End it where it stands."""
        self.process.kill()
        self.ended()

    def ended(self) -> int:
        """Wait for its end; returns the exit status."""
        status = self.process.wait(timeout=PATIENCE)
        self._listener.join(PATIENCE)
        return status

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request, and read the whole response."""
        return ask(self.port, method, path, body, headers)

    def said(self, message: str, **fields: object) -> Any:
        """Say something; returns the whole answer's JSON."""
        answer = self.ask("POST", "/api/chat", {"message": message, **fields})
        assert answer.status == 200, answer
        return answer.json

    def events(
        self, session_id: str, after: int | None = None, **query: object
    ) -> EventStream:
        """Follow a session."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        path = f"/api/session/{session_id}/events?{urlencode(query)}"
        return EventStream(self.port, "GET", path, None, headers)

    def streamed(self, message: str, **fields: object) -> EventStream:
        """Say something and follow the answer."""
        body = {"message": message, "stream": True, **fields}
        return EventStream(self.port, "POST", "/api/chat", body)

    _ended = False

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._said:
                self.log.append(line)
                self._said.notify_all()
        self.process.stdout.close()
        with self._said:
            self._ended = True
            self._said.notify_all()


@contextmanager
def served(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    port: int | None = None,
    listening: socket.socket | None = None,
) -> Iterator[Server]:
    """A server that listens; it is gone afterwards."""
    server = Server(*arguments, env=env, port=port, listening=listening)
    try:
        server.until("Starting reactor")
        yield server
    finally:
        server.kill()


class Answer:
    """A whole response.

    Attributes:
        headers: by names in lower case.
    """

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.body = response.status, response.read()
        self.headers = {k.lower(): v for k, v in response.getheaders()}

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"{self.status} {self.body!r}"


def ask(
    port: int,
    method: str,
    path: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a request, and read the whole response."""
    connection, response = _ask(port, method, path, body, headers)
    try:
        return Answer(response)
    finally:
        connection.close()


_LAST = {"end", "bye"}  # types of events behind which nothing comes


class EventStream:
    """Server-sent events, each when it is there.

    Attributes:
        last_id: of the last event that had one.
    """

    def __init__(
        self,
        port: int,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._connection, self._response = _ask(port, method, path, body, headers)
        self.status, self.last_id = self._response.status, ""
        assert self.status == 200, Answer(self._response)

    def next(self) -> tuple[str, Any] | None:
        """Type and data of the next event; None when the response has ended."""
        kind, data = "message", None
        while line := self._response.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "id":
                self.last_id = value
            elif name == "event":
                kind = value
            elif name == "data":
                data = json.loads(value)
            elif not line.strip() and data is not None:
                if kind in _LAST:
                    assert self._response.read() == b""
                    self.close()
                return kind, data
        self.close()
        return None

    def until(self, kind: str) -> Any:
        """Read up to an event of this type; returns its data."""
        while (event := self.next()) is not None:
            if event[0] == kind:
                return event[1]
        raise AssertionError(f"{kind} never came")

    def numbered(self, last: str) -> list[Any]:
        """All events that have numbers, up to one of this type."""
        events = []
        while (event := self.next()) is not None:
            if "seq" in event[1]:
                events.append(event[1])
            if event[0] == last:
                return events
        raise AssertionError(f"{last} never came; {events}")

    def rest(self) -> list[Any]:
        """The data of all that still comes."""
        return [event[1] for event in iter(self.next, None)]

    def close(self) -> None:
        """Hang up."""
        self._response.close()
        self._connection.close()


def _ask(
    port: int,
    method: str,
    path: str,
    body: object,
    headers: Mapping[str, str] | None,
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    fields = dict(headers or {})
    sent = None
    if body is not None:
        sent = json.dumps(body).encode()
        fields["Content-Type"] = "application/json"
    connection.request(method, path, sent, fields)
    return connection, connection.getresponse()
