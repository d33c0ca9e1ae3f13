"""The examples in the documents, with the real program."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import pytest
from websockets.sync.client import connect

from tests.program import PATIENCE, ROOT, Server, chat, environment, served
from tests.test_http_end_to_end import PARAGRAPHS, Controlled, service

__all__ = ["service"]

ASSISTANT = (ROOT / "docs" / "assistant.md").read_text("utf-8")
HTTP = (ROOT / "docs" / "http.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
WEBSOCKET = (ROOT / "docs" / "websocket.md").read_text("utf-8")
EXAMPLES = ROOT / "docs" / "examples"
DEMO = ("--demo", "--demo-delay", "0", "--demo-zeroes", "0", "--database", "memory")
ID = re.compile(r"(?<![\w-])[\w-]{22}(?![\w-])")
UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
ORDER = re.compile(rf"(?<=Order number: ){UUID.pattern}")


def shown(document: str) -> Iterator[tuple[str, str]]:
    """Each request of a document that is written for curl, and the answer."""
    for block in re.findall(r"^```console\n(.*?)^```$", document, re.DOTALL | re.M):
        for example in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, answer = example.partition("\n")
            if command.startswith("curl "):
                yield command, answer


def sent(server: Server, command: str) -> str:
    """Do what curl would do; returns the body of the answer."""
    method, path, headers, body = "", "", dict[str, str](), None
    query = list[tuple[str, str]]()
    words = iter(shlex.split(command)[1:])
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, value = next(words).split(": ", 1)
            headers[name] = value
        elif word == "-d":
            body = next(words).encode()
        elif word == "--data-urlencode":
            name, value = next(words).split("=", 1)
            query.append((name, value))
        elif word not in {"-N", "-G"}:
            host, slash, path = word.partition("/")
            assert (host, slash) == ("localhost:8000", "/"), word
    path = f"/{path}?{urlencode(query)}" if query else f"/{path}"
    if body is not None:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    method = method or ("GET" if body is None else "POST")
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request(method, path, body, headers)
    with closing(connection):
        return connection.getresponse().read().decode()


def settled(answer: str) -> str:
    """An answer without what is another one each time."""
    answer = re.sub(r'^:\n\n|^retry: \d+$|"at":[\d.]+', "", answer, flags=re.M)
    answer = re.sub(r'"message_id":"[0-9a-f]{32}"|\b[0-9a-f]{32}\b', "M", answer)
    answer = UUID.sub("U", answer)
    return ID.sub("S", answer).strip()


@pytest.mark.parametrize(
    ("document", "number"), [(HTTP, 24), (README, 1)], ids=["http", "readme"]
)
def test_requests_are_answered_as_it_is_written(document: str, number: int) -> None:
    examples, ids = list(shown(document)), dict[str, str]()
    assert len(examples) >= number

    def ours(id: re.Match[str]) -> str:
        return ids.get(id[0], id[0])

    with served(*DEMO) as server:
        for command, answer in examples:
            came = sent(server, ID.sub(ours, command))
            assert settled(came) == settled(answer), command
            ids.update(zip(ID.findall(answer), ID.findall(came), strict=True))


@pytest.mark.parametrize("document", [ASSISTANT, README], ids=["assistant", "readme"])
def test_a_chat_goes_as_it_is_written(document: str, tmp_path: Path) -> None:
    blocks = re.findall(r"^```console\n(.*?)^```$", document, re.DOTALL | re.M)
    (block,) = [block for block in blocks if "\n> I want to order" in block]
    said, shown = list[str](), list[str]()
    for line in block.splitlines():
        if line.startswith("> "):
            said.append(line[2:])
        elif line and not line.startswith("$ "):
            shown.append(line)
    assert len(said) > 1
    typed = "".join(f"{line}\n" for line in said)
    ran = chat("--demo", "--demo-delay", "0", "-", typed=typed, log=tmp_path / "log")
    came = [line for line in ran.stdout.decode().splitlines() if line.strip()]
    assert UUID.sub("U", "\n".join(came)) == UUID.sub("U", "\n".join(shown))
    assert ran.returncode == 0


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("ask.py", HTTP),
        ("chat.js", HTTP),
        ("talk.py", WEBSOCKET),
        ("websocket.js", WEBSOCKET),
    ],
)
def test_the_clients_are_shown_as_they_are(name: str, document: str) -> None:
    kind = {".py": "python", ".js": "js"}[Path(name).suffix]
    text = (EXAMPLES / name).read_text("utf-8")
    assert f"\n```{kind}\n{text}```\n" in document


def test_an_answer_survives_a_crash_in_the_middle(
    service: Controlled, tmp_path: Path
) -> None:
    database = ("--database", f"sqlite:///{tmp_path / 'chat.db'}")
    with served(*database, env=service.env) as server:
        url = f"http://127.0.0.1:{server.port}/"
        client = subprocess.Popen(
            [sys.executable, "-W", "error", EXAMPLES / "ask.py", url, "help"],
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert client.stdout is not None
        service.let(0)
        assert client.stdout.readline() == f"{PARAGRAPHS[0]}\n"
        server.kill()
    service.let(1)
    service.let(2)
    with served(*database, env=service.env, port=server.port):
        rest, _ = client.communicate(timeout=PATIENCE)
    assert (rest.splitlines(), client.returncode) == ([*PARAGRAPHS[1:]], 0)


# Over WebSockets


def dialog(document: str) -> Iterator[tuple[str, str]]:
    """What is shown of connections: direction and frame; `(` stands for a loss."""
    for block in re.findall(r"^```text\n(.*?)^```$", document, re.DOTALL | re.M):
        for line in block.splitlines():
            if line[:1] in "><(":
                yield line[0], line[2:]


def settled_frame(frame: str, ids: dict[str, str]) -> str:
    """A frame with the ids of the document, and others the same each time."""
    for theirs, ours in ids.items():
        frame = frame.replace(theirs, ours)
    return ORDER.sub("O", re.sub(r"\b[0-9a-f]{32}\b", "M", frame))


def test_a_dialog_goes_as_it_is_written() -> None:
    frames, ids = list(dialog(WEBSOCKET)), dict[str, str]()
    assert len(frames) > 40
    with served(*DEMO) as server:
        url = f"ws://127.0.0.1:{server.port}/ws"
        with connect(url) as first, connect(url) as second:
            client = first
            for direction, frame in frames:
                if direction == "(":
                    client.socket.shutdown(socket.SHUT_RDWR)
                    client = second
                elif direction == ">":
                    back = {ours: theirs for theirs, ours in ids.items()}
                    client.send(settled_frame(frame, back))
                else:
                    came = str(client.recv(PATIENCE))
                    if "session_start" in came:
                        shown = json.loads(frame)["data"]["session_id"]
                        ids[json.loads(came)["data"]["session_id"]] = shown
                    assert settled_frame(came, ids) == settled_frame(frame, {})


class Cutting:
    """A proxy that cuts connections.

    Args:
        behind: the port where it leads.
        cuts: for each connection, after how many bytes of the server's it is cut.

    Attributes:
        port: where it listens.
    """

    def __init__(self, behind: int, cuts: Iterable[int] = ()) -> None:
        self._behind, self._cuts = behind, itertools.chain(cuts, itertools.repeat(None))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._open = list[socket.socket]()
        self._threads = list[threading.Thread]()
        self._start(self._serve)

    def cut(self) -> None:
        """Cut all connections there are, without a word."""
        for one in self._open:
            _shut(one)

    def close(self) -> None:
        """Take no more connections, and cut those there are."""
        _shut(self._listening)
        self._threads[0].join(PATIENCE)
        self.cut()
        for thread in self._threads:
            thread.join(PATIENCE)
        for one in (self._listening, *self._open):
            one.close()

    def _start(self, do: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=do, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self._open.append(client)
                try:
                    server = socket.create_connection(("127.0.0.1", self._behind))
                except OSError:
                    _shut(client)
                    continue
                self._open.append(server)
                self._start(self._pass, client, server, None)
                self._start(self._pass, server, client, next(self._cuts))

    def _pass(self, one: socket.socket, other: socket.socket, left: int | None) -> None:
        """Hand on what comes, or so many bytes of it."""
        with suppress(OSError):
            while read := one.recv(65_536 if left is None else left):
                other.sendall(read)
                left = None if left is None else left - len(read)
        _shut(one)
        _shut(other)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting(behind: int, cuts: Iterable[int] = ()) -> Iterator[Cutting]:
    proxy = Cutting(behind, cuts)
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def talking(port: int, *messages: str) -> Iterator[subprocess.Popen[str]]:
    """The client as a process."""
    client = subprocess.Popen(
        [
            *(sys.executable, "-W", "error", EXAMPLES / "talk.py"),
            *(f"ws://127.0.0.1:{port}/ws", *messages),
        ],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with client:
        try:
            yield client
        finally:
            client.kill()


def heard(client: subprocess.Popen[str], *lines: str) -> None:
    """The client says these lines, and then ends."""
    rest, _ = client.communicate(timeout=PATIENCE)
    assert (rest.splitlines(), client.returncode) == ([*lines], 0)


def stored(server: Server) -> int:
    """How many messages of customers the server has stored."""
    figures = server.ask("GET", "/metrics").body.decode()
    found = re.search(r"^supportbot_messages_total (\d+)", figures, re.MULTILINE)
    return int(found[1]) if found else 0


def test_a_talk_survives_cut_connections(service: Controlled) -> None:
    with (
        served("--database", "memory", env=service.env) as server,
        cutting(server.port) as proxy,
        talking(proxy.port, "help", "help", "help me") as client,
    ):
        assert client.stdout is not None
        for number in range(2):
            service.let(number)
            assert client.stdout.readline() == f"{PARAGRAPHS[number]}\n"
            proxy.cut()
        service.let(2)
        heard(client, PARAGRAPHS[2], *PARAGRAPHS, *PARAGRAPHS)
        assert stored(server) == 3


def test_a_talk_survives_cuts_anywhere(service: Controlled) -> None:
    for number in range(len(PARAGRAPHS)):
        service.let(number)
    cuts = (250, 700, 1100, 1600)  # in the handshake, and in frames
    with (
        served("--database", "memory", env=service.env) as server,
        cutting(server.port, cuts) as proxy,
        talking(proxy.port, "help", "help", "help me") as client,
    ):
        heard(client, *PARAGRAPHS * 3)
        assert stored(server) == 3


@pytest.mark.parametrize("how", ["killed", "interrupted"])
def test_a_talk_survives_a_restart(
    service: Controlled, tmp_path: Path, how: str
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("drain = 0.1\n")
    database = f"sqlite:///{tmp_path / 'chat.db'}"
    arguments = ("--settings", str(settings), "--database", database)
    with (
        served(*arguments, env=service.env) as server,
        talking(server.port, "help", "help me") as client,
    ):
        assert client.stdout is not None
        service.let(0)
        assert client.stdout.readline() == f"{PARAGRAPHS[0]}\n"
        if how == "killed":
            server.kill()
        else:
            server.stop()
            server.ended()
        service.let(1)
        service.let(2)
        with served(*arguments, env=service.env, port=server.port):
            heard(client, *PARAGRAPHS[1:], *PARAGRAPHS)


def test_a_talk_whose_session_is_gone_begins_again(service: Controlled) -> None:
    with (
        served("--database", "memory", env=service.env) as server,
        talking(server.port, "help") as client,
    ):
        assert client.stdout is not None
        service.let(0)
        assert client.stdout.readline() == f"{PARAGRAPHS[0]}\n"
        server.kill()
        service.let(1)
        service.let(2)
        with served("--database", "memory", env=service.env, port=server.port):
            gone = "(That session is gone; a new one goes on.)"
            heard(client, gone, *PARAGRAPHS[1:])


def test_a_talk_tells_what_is_refused() -> None:
    with served(*DEMO) as server, talking(server.port, " ", "help") as client:
        rest, _ = client.communicate(timeout=PATIENCE)
    refused, answer = rest.splitlines()
    assert refused.endswith("Reason: user_message: The message is empty.")
    assert answer
    assert client.returncode == 1
