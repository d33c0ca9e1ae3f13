"""The real program, as a newcomer runs it: on a terminal, and through pipes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.program import (
    PATIENCE,
    ROOT,
    Played,
    chat,
    command,
    environment,
    free_port,
    seen,
    services,
    terminal,
)
from tests.wire import ANSWER

SOCKS = """\
<p>Self-levitating socks that float gently in your drawer.</p>
<p>Never lose a sock again - they actively seek their matching pair!</p>
<p>WARNING: Do not wear during thunderstorms or solar flares.</p>
"""
LIGHT = """\
<p>If you notice a flashing red light on your device, it is important to take immediate action to address the issue.</p>
<p>This flashing light often indicates that there is a problem that needs to be resolved, and ignoring it could lead to further complications.</p>
<p>To begin troubleshooting, unplug the device from the power source, wait for at least 30 seconds, and then plug it back in to see if the issue persists.</p>
<p>After reconnecting the device, observe whether the red light continues to flash or if it returns to a normal state.</p>
<p>If the light remains flashing, it may be necessary to consult the user manual or contact customer support for further assistance.</p>
<p>In some cases, a flashing red light can signify a hardware failure, so it is crucial to address the situation promptly.</p>
"""  # noqa: E501
ASK_SOCKS = "I have a product question about Antigravity Socks"
ASK_LIGHT = (
    "I need help with my product. It has a flashing red light. What should I do?"
)
ASK_PERSON = "I would like to speak with a real person please."
FIRST, SECOND = b"<p>One.</p>", b"<p>Two.</p>"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "chat.log"


@pytest.fixture(scope="module")
def quick() -> Iterator[dict[str, str]]:
    """Services that answer at once and never get stuck."""
    with services("--delay", "0", "--zeroes", "0") as env:
        yield env


@pytest.fixture(scope="module")
def nobody() -> dict[str, str]:
    """No services at all."""
    url = f"http://127.0.0.1:{free_port()}/"
    names = ("TECH_SUPPORT", "PRODUCT_INFO", "REAL_AGENT")
    return environment(**{f"SUPPORTBOT_SERVICES__{name}__URL": url for name in names})


# The dialogs of the challenge


def test_the_dialogs_on_a_terminal(log: Path) -> None:
    with (
        services("--delay", "0.2", "--seed", "2") as env,
        terminal(log=log, env=env) as screen,
    ):
        for number, message in enumerate((ASK_SOCKS, ASK_LIGHT, ASK_PERSON), 1):
            screen.until("> ", number)
            screen.type(f"{message}\n")
        screen.until("> ", 4)
        screen.type("\x04")
        assert screen.ended() == 0
    said, _, rest = seen(screen.shown).partition(f"> {ASK_PERSON}\n\n")
    assert said == f"> {ASK_SOCKS}\n\n{SOCKS}\n> {ASK_LIGHT}\n\n{LIGHT}\n"
    sentence, *empty = rest.split("\n")
    assert sentence.endswith(".")
    assert empty == ["", "> ", ""]


def test_the_dialogs_through_a_pipe_with_zeroes(log: Path) -> None:
    with services("--delay", "0.02", "--zeroes", "0.7", "--seed", "1") as env:
        typed = f"{ASK_SOCKS}\n{ASK_LIGHT}\n{ASK_PERSON}"
        ran = chat(typed=typed, log=log, env=env)
    assert ran.returncode == 0
    out = ran.stdout.decode()
    assert out.startswith(f"\n{SOCKS}\n\n{LIGHT}\n\n")
    assert out.endswith(".\n\n")
    assert "ByteRepeated" in log.read_text()
    assert ran.stderr == b""


def test_a_paragraph_is_shown_before_the_next_byte_comes(log: Path) -> None:
    shown = threading.Event()

    def play(connection: socket.socket, number: int) -> None:
        connection.sendall(ANSWER + b'{"response": "' + FIRST)
        assert shown.wait(PATIENCE)
        connection.sendall(SECOND + b'"}')

    service = Played(play)
    with terminal(log=log, env=service.env) as screen:
        screen.until("> ")
        screen.type("help\n")
        screen.until("<p>One.</p>\r\n")
        shown.set()
        screen.until("<p>Two.</p>\r\n")
    service.close()


def test_an_answer_that_gets_stuck_is_told_once_and_shown_once(log: Path) -> None:
    gone = threading.Event()

    def play(connection: socket.socket, number: int) -> None:
        connection.sendall(ANSWER + b'{"response": "' + FIRST)
        if number == 0:
            try:
                while True:
                    connection.sendall(b"0" * 1024)
            except OSError:
                gone.set()
        connection.sendall(SECOND + b'"}')

    service = Played(play)
    with terminal(log=log, env=service.env) as screen:
        screen.until("> ")
        screen.type("help\n")
        screen.until("> ", 2)
    service.close()
    assert gone.wait(PATIENCE)
    assert "The support service got stuck; asking again…" in screen.shown
    assert seen(screen.shown) == "> help\n\n<p>One.</p>\n<p>Two.</p>\n\n> "


# The terminal


def test_what_is_typed_ahead_is_answered_in_order(
    log: Path, quick: dict[str, str]
) -> None:
    with terminal(log=log, env=quick) as screen:
        screen.until("> ")
        screen.type(f"{ASK_SOCKS}\n{ASK_PERSON}\nexit\n")
        assert screen.ended() == 0
    shown = seen(screen.shown)
    assert shown.index(SOCKS) < shown.rindex(f"> {ASK_PERSON}\n\n")


def test_lines_that_are_pasted_stand_behind_their_prompts(
    log: Path, nobody: dict[str, str]
) -> None:
    with terminal(log=log, env=nobody) as screen:
        screen.until("> ")
        screen.type("/nothing\n\n/such\nexit\n")
        assert screen.ended() == 0
    assert seen(screen.shown).endswith(
        "There is no command /nothing; /help shows those there are.\n"
        "> \n"
        "> /such\n"
        "There is no command /such; /help shows those there are.\n"
        "> exit\n"
    )


def test_ctrl_c_stops_the_answer_and_then_the_program(log: Path) -> None:
    closed = threading.Event()

    def play(connection: socket.socket, number: int) -> None:
        connection.sendall(ANSWER + b'{"response": "' + FIRST)
        with suppress(ConnectionResetError):
            connection.recv(1)
        closed.set()

    service = Played(play)
    with terminal(log=log, env=service.env) as screen:
        screen.until("> ")
        screen.type("help\n")
        screen.until("<p>One.</p>")
        screen.type("\x03")
        screen.until("> ", 2)
        assert closed.wait(PATIENCE)
        screen.type("\x03")
        assert screen.ended() == 130
    service.close()
    assert "(stopped)" in screen.shown


def test_sigterm_ends_it_and_leaves_the_cursor_in_front(
    log: Path, quick: dict[str, str]
) -> None:
    with terminal(log=log, env=quick) as screen:
        screen.until("> ")
        screen.process.send_signal(signal.SIGTERM)
        assert screen.ended() == 128 + signal.SIGTERM
    assert screen.shown.endswith("\n")


def test_a_service_has_no_power_over_the_terminal(log: Path) -> None:
    attack = "<p>\\u001b]52;c;ZXZpbA==\\u0007 \\u001b[2J\\u202e\\u009b31m\\n> quit</p>"

    def play(connection: socket.socket, number: int) -> None:
        connection.sendall(ANSWER + f'{{"response": "{attack}"}}'.encode())

    service = Played(play)
    env = {**service.env, "NO_COLOR": "1", "TERM": "dumb"}
    with terminal(log=log, env=env) as screen:
        screen.until("> ")
        screen.type("help\n")
        screen.until("</p>")
        screen.until("\n> ", 1)
    service.close()
    assert "\x1b" not in screen.shown
    assert "]52;c;ZXZpbA== [2J31m\r\n  > quit" in screen.shown


def test_a_dumb_terminal_gets_no_control_sequence(
    log: Path, nobody: dict[str, str]
) -> None:
    with terminal(log=log, env={**nobody, "TERM": "dumb"}) as screen:
        screen.until("> ")
        screen.type("help\n")
        screen.until("> ", 2)
    assert "\x1b" not in screen.shown
    assert screen.shown.count("can't be reached; trying again…") == 1


# Pipes, files, and no input or output at all


def test_one_message_and_nothing_else(log: Path, quick: dict[str, str]) -> None:
    ran = chat(ASK_SOCKS, log=log, env=quick)
    assert (ran.returncode, ran.stdout.decode(), ran.stderr) == (0, SOCKS, b"")


def test_a_message_that_is_no_text_is_taken_as_it_can_be(
    log: Path, quick: dict[str, str]
) -> None:
    ran = subprocess.run(
        [*map(os.fsencode, command(log=log)), b"product question \xff"],
        env=quick,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout == b"<p>Product not found in catalog.</p>\n"


def test_a_full_disk_is_told(log: Path, quick: dict[str, str]) -> None:
    for message in ("hello", ASK_SOCKS):
        with open("/dev/full", "wb") as full:
            ran = subprocess.run(
                command(message, log=log),
                env=quick,
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=PATIENCE,
                check=False,
            )
        assert ran.returncode == 1
        assert ran.stderr == b"supportbot: the output can't be written\n"


def test_a_dash_reads_the_input(log: Path, quick: dict[str, str]) -> None:
    ran = chat("-", typed=f"{ASK_SOCKS}\n", log=log, env=quick)
    assert (ran.returncode, ran.stdout.decode()) == (0, f"\n{SOCKS}\n")


def test_answers_for_reading(log: Path, quick: dict[str, str]) -> None:
    ran = chat("--plain", ASK_SOCKS, log=log, env=quick)
    assert b"<" not in ran.stdout
    assert b"Self-levitating socks that float gently in your drawer.\n" in ran.stdout


def test_garbage_is_only_a_message(log: Path, quick: dict[str, str]) -> None:
    ran = chat(
        typed=bytes(range(256)) * 20 + b"\n" + b"x" * 100_000, log=log, env=quick
    )
    assert b"Traceback" not in ran.stdout + ran.stderr
    assert b"longer than 16,384 bytes" in ran.stdout


@pytest.mark.parametrize(
    ("redirection", "status"),
    [
        ("< /dev/null", 0),
        ("<&-", 0),
        ("< questions", 0),
        ("< questions > answers", 0),
        ("< questions > /dev/full", 1),
        ("< questions | head -n 1", 0),
        ("< questions | true", 0),
        ("< questions >&-", 0),
    ],
)
def test_any_input_and_output(
    redirection: str, status: int, log: Path, quick: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "questions").write_text(f"{ASK_SOCKS}\n" * 30)
    line = " ".join(command(log=log)) + f" {redirection}"
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=tmp_path,
        env=quick,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ran.returncode, b"Traceback" in ran.stderr) == (status, False)
    if "answers" in redirection:
        assert (tmp_path / "answers").read_text() == f"\n{SOCKS}\n" * 30


# Exit statuses


def test_wrong_usage_is_2(log: Path) -> None:
    for arguments in (["--nonsense"], [""], ["--demo", "--demo-zeroes", "2"]):
        ran = chat(*arguments, log=log)
        assert (ran.returncode, ran.stdout) == (2, b"")
        assert ran.stderr.startswith(b"supportbot: ")
        assert ran.stderr.count(b"\n") == 1


def test_no_service_is_69(log: Path, nobody: dict[str, str]) -> None:
    ran = chat("help", log=log, env=nobody)
    assert ran.returncode == 69
    assert ran.stdout.decode() == (
        "The support service can't be reached at the moment."
        " Ask for a “real person” to talk to somebody, or try again.\n"
    )


def test_wrong_settings_are_78(log: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[lines]\nline = 'long'\n")
    ran = chat("--settings", str(wrong), log=log)
    assert (ran.returncode, ran.stdout) == (78, b"")
    expected = f"supportbot: {wrong}: lines.line: expected int, got str\n"
    assert ran.stderr.decode() == expected


def test_ctrl_c_of_a_single_question_is_130(log: Path) -> None:
    asked = threading.Event()

    def play(connection: socket.socket, number: int) -> None:
        asked.set()
        connection.recv(1)

    service = Played(play)
    with subprocess.Popen(command("help", log=log), env=service.env) as process:
        assert asked.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    service.close()


def test_nobodys_words_are_logged(log: Path, quick: dict[str, str]) -> None:
    chat("help, my PIN is 4711", log=log, env=quick)
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(event.get("outcome") == "complete" for event in logged)
    assert "4711" not in log.read_text()


# twist supportbot


class Served:
    """`twist supportbot` on a port of its own."""

    def __init__(self, env: dict[str, str], *arguments: str) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "twisted", "supportbot",
                "--lines", f"tcp:{self.port}:interface=127.0.0.1", *arguments,
            ],
            env=env,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if b"starting on" in line:
                break

    def connect(self) -> socket.socket:
        """A line client that was greeted with a prompt."""
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        assert read_until(client, b"> ") == b"> "
        return client

    def until_closed(self) -> None:
        """Wait until it takes no more clients."""
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
            except ConnectionRefusedError:
                return
            except ConnectionResetError:  # it closed the port with us at the door
                continue

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def read_until(client: socket.socket, end: bytes) -> bytes:
    """Read up to these bytes, or to the end."""
    read = b""
    while not read.endswith(end) and (piece := client.recv(65_536)):
        read += piece
    return read


@pytest.fixture
def served(quick: dict[str, str]) -> Iterator[Served]:
    running = Served(quick)
    yield running
    running.close()


def test_line_clients_have_conversations_of_their_own(served: Served) -> None:
    one, two = served.connect(), served.connect()
    one.sendall(f"{ASK_SOCKS}\n".encode())
    assert read_until(one, b"\n\n> ").decode() == f"\n{SOCKS}\n> "
    two.sendall(b"/history\n")
    assert read_until(two, b"> ") == b"Nothing was said yet.\n> "
    two.sendall(b"real person")
    two.shutdown(socket.SHUT_WR)
    assert read_until(two, b"never").startswith(b"\n")
    one.close()
    two.close()


def test_sigterm_lets_answers_end_and_tells_clients() -> None:
    started, go_on = threading.Event(), threading.Event()

    def play(connection: socket.socket, number: int) -> None:
        connection.sendall(ANSWER + b'{"response": "' + FIRST)
        started.set()
        assert go_on.wait(PATIENCE)
        connection.sendall(SECOND + b'"}')

    service = Played(play)
    served = Served(service.env)
    busy, idle = served.connect(), served.connect()
    busy.sendall(b"help\n")
    assert started.wait(PATIENCE)
    served.process.send_signal(signal.SIGTERM)
    farewell = b"We are closing for a while; please come back later.\n"
    assert read_until(idle, b"never").endswith(farewell)
    served.until_closed()
    go_on.set()
    assert read_until(busy, b"never").endswith(
        b"<p>One.</p>\n<p>Two.</p>\n\n" + farewell
    )
    assert served.process.wait(PATIENCE) in {0, -signal.SIGTERM, 143}
    for client in (busy, idle):
        client.close()
    served.close()
    service.close()


def test_a_second_sigterm_ends_it_at_once() -> None:
    def play(connection: socket.socket, number: int) -> None:
        connection.recv(1)

    service = Played(play)
    served = Served(service.env)
    client = served.connect()
    client.sendall(b"help\n")
    assert read_until(client, b"\n") == b"\n"
    served.process.send_signal(signal.SIGTERM)
    served.until_closed()
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(PATIENCE) == 128 + signal.SIGTERM
    client.close()
    served.close()
    service.close()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--lines", "nonsense:1"], 64, b"--lines, --websocket: expected"),
        ([], 64, b"Nothing to serve"),
        (["--lines", "tcp:0", "--settings", "/nowhere.toml"], 78, b"no such file"),
    ],
)
def test_a_service_that_can_not_start_says_why(
    arguments: list[str], status: int, words: bytes
) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "twisted", "supportbot", *arguments],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert words in ran.stderr
    assert ran.returncode == status
    assert b"Traceback" not in ran.stderr + ran.stdout


def test_a_taken_port_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = subprocess.run(
            [
                sys.executable, "-m", "twisted", "supportbot",
                "--lines", f"tcp:{port}:interface=127.0.0.1",
            ],
            env=environment(),
            cwd=ROOT,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )  # fmt: skip
    said = [line for line in ran.stderr.splitlines() if b"supportbot: " in line]
    assert len(said) == 1
    assert f"127.0.0.1:{port}".encode() in said[0]
    assert (ran.returncode, b"Traceback" in ran.stderr) == (1, False)


def test_the_services_inside_the_program(log: Path) -> None:
    ran = chat("--demo", "--demo-delay", "0", "real person", log=log)
    assert ran.returncode == 0
    assert ran.stdout.endswith(b".\n")
    assert os.linesep.encode() * 2 not in ran.stdout
