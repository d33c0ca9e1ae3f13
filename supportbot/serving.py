"""The chat as a service: its start and its end, under `twist` and by itself."""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from types import FrameType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure

from supportbot.application import Application
from supportbot.command_line import BAD_SETTINGS, FAILED, fail
from supportbot.errors import StoreUnusable

_COLLECT = 100_000, 10, 20  # when garbage is: a stream makes many objects that last
_ENDING = signal.SIGINT, signal.SIGTERM
_QUIET = 1.5  # seconds that an end may take before it is told what it waits for
_STDOUT = 1
_LOCALHOST = {"127.0.0.1", "::1", "0.0.0.0", "::"}  # where this name leads to


class Served(Application):
    """The service; whoever asks twice for its end gets it at once."""

    def privilegedStartService(self) -> None:
        self._or_exit(super().privilegedStartService)

    def startService(self) -> None:
        self._or_exit(super().startService)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT)

    def _or_exit(self, start: Callable[[], None]) -> None:
        try:
            start()
        except CannotListenError as error:
            sys.exit(fail(str(error), FAILED))
        except StoreUnusable as error:
            sys.exit(fail(str(error), BAD_SETTINGS))

    def stopService(self) -> Deferred[None]:
        _end_at_once()
        return super().stopService()


class Door:
    """A port that clients can connect to; they wait until somebody takes them.

    Args:
        host: an address of this machine, or a name for one.
        port: 0 for any free one.

    Raises:
        OSError: `reason` puts it into words.
    """

    def __init__(self, host: str, port: int) -> None:
        # As bytes: Python finds more wrong with names than that they are unknown.
        found = socket.getaddrinfo(os.fsencode(host), port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
        self._socket = socket.create_server(address, family=family, dualstack_ipv6=both)
        self._host, self._port = self._socket.getsockname()[:2]

    @property
    def url(self) -> str:
        """The address of the page, for a browser on this machine."""
        return url_of(self._host, self._port)

    @property
    def public(self) -> bool:
        """Whether other machines may get here."""
        return not ip_address(self._host).is_loopback

    def endpoint(self, reactor: Any) -> AdoptedStreamServerEndpoint:
        """What takes the clients; it owns the port from now on."""
        return AdoptedStreamServerEndpoint(
            reactor, self._socket.detach(), self._socket.family
        )


def url_of(host: str, port: int) -> str:
    """What a browser on this machine finds there, given an address in digits."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{'localhost' if host in _LOCALHOST else name}:{port}/"


def reason(host: str, port: int, error: OSError) -> str:
    """Why there is no door, and what to do, in a line."""
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} is taken by another program; end that one, or choose"
            " another port with --port"
        )
    if error.errno == errno.EACCES:
        return f"port {port} is not for everybody; choose one from 1024 on with --port"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"--host {host}: expected an address of this machine, such as 127.0.0.1"
    return f"--host {host} --port {port}: {os.strerror(error.errno or 0)}"


def run(reactor: Any, service: Served, greeting: str) -> int:
    """Serve until a signal ends it.

    Args:
        reactor: does not run yet.
        service: is not started yet. If it can't be, the program exits.
        greeting: is printed once it is.

    Returns:
        The exit status.
    """
    numbers: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        _end_at_once()
        numbers.append(number)
        reactor.callFromThread(reactor.stop)

    def listen_to_signals() -> None:
        if not numbers:
            for number in _ENDING:
                signal.signal(number, end)

    def stop() -> Deferred[None]:
        hint = reactor.callLater(
            _QUIET, say, "Answers under way may end; Ctrl-C again ends them at once."
        )

        def stopped(result: Failure | None) -> Failure | None:
            if hint.active():
                hint.cancel()
            return result

        return service.stopService().addBoth(stopped)

    listen_to_signals()
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", stop)
    reactor.callWhenRunning(listen_to_signals)
    say(greeting)
    reactor.run()
    # The reactor takes SIGTERM as it begins to run; one that comes then ends it too.
    return 128 + (numbers[0] if numbers else signal.SIGTERM)


def say(line: str) -> None:
    """Print a line; if nobody can read it, the service goes on all the same."""
    with suppress(OSError):
        os.write(_STDOUT, f"{line}\n".encode())


def _end_at_once() -> None:
    """From now on a signal ends the process where it stands."""
    for number in _ENDING:
        signal.signal(number, lambda number, frame: os._exit(128 + number))
