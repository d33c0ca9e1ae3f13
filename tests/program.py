"""Run the real program, with real services, in tests that have to."""

from __future__ import annotations

import itertools
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent
PATIENCE = 60.0  # seconds after which a program that does not react has failed
_SERVICES = {
    "TECH_SUPPORT": "technical support",
    "PRODUCT_INFO": "product information",
    "REAL_AGENT": "real agent",
}


def environment(**changes: str) -> dict[str, str]:
    """This process's environment, without what would change the program."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SUPPORTBOT_")}
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
    ports = ["--support-port", "0", "--product-port", "0", "--agent-port", "0"]
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
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port
