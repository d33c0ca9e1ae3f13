"""The command line: `python3 main.py`, `supportbot`, and `twist supportbot`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dotenv import dotenv_values
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure
from twisted.python.usage import Options as _Options
from twisted.python.usage import UsageError

from supportbot import __version__, logs
from supportbot.application import Application, DemoSettings
from supportbot.channels import terminal
from supportbot.errors import SettingsError
from supportbot.settings import load

TAKEN, USAGE, BAD_SETTINGS = 1, 2, 78
"""Exit statuses: a taken port, and so on; 78 is EX_CONFIG of sysexits."""


class _Shared(_Options):
    """What all ways to start have in common.

    Attributes:
        demo: how the simulated services behave, or None for the real ones.
    """

    optFlags = [
        ["demo", None, "Answer with simulated services, which run inside the program."],
        ["demo-one-at-a-time", None, "Let these serve one client after the other."],
        ["plain", None, "Show paragraphs for reading: no tags, wrapped."],
    ]
    optParameters = [
        ["settings", "s", None, "A TOML file; otherwise SUPPORTBOT_SETTINGS names it."],
        ["demo-delay", None, "1", "Seconds between two pieces of a demo answer."],
        ["demo-zeroes", None, "0.5", "How often, 0 to 1, demo support gets stuck."],
        ["demo-seed", None, None, "A whole number that makes the demo repeatable."],
    ]

    def opt_version(self) -> None:
        """Show the version and exit."""
        sys.stdout.write(f"supportbot {__version__}\n")
        sys.exit(0)

    def postOptions(self) -> None:
        try:
            simulated = DemoSettings(
                delay=self._number("demo-delay", float, "seconds"),
                zeroes=self._number("demo-zeroes", float, "a number from 0 to 1"),
                seed=self._number("demo-seed", int, "a whole number"),
                one_at_a_time=bool(self["demo-one-at-a-time"]),
            )
        except ValueError as error:
            raise UsageError(f"--demo-…: {error}") from error
        self.demo = simulated if self["demo"] else None

    def _number(self, flag: str, kind: type, expected: str) -> Any:
        try:
            return None if self[flag] is None else kind(self[flag])
        except ValueError as error:
            raise UsageError(f"--{flag}: expected {expected}") from error


class Options(_Shared):
    """The options of `twist supportbot`."""

    synopsis = "[options]"  # behind twist's own
    longdesc = "Serve the chat. Answers that are under way end before it stops."
    optParameters = [
        ["lines", "l", None, "An endpoint for line clients, such as tcp:8023."],
    ]

    def postOptions(self) -> None:
        super().postOptions()
        if self["lines"] is None:
            raise UsageError("Nothing to serve; try --lines tcp:8023.")


class ChatOptions(_Shared):
    """The options of `python3 main.py`."""

    synopsis = "Usage: supportbot [options] [message | -]"
    longdesc = (
        "Chat on this terminal. With a message, answer it and exit; with - or from a"
        " pipe, answer every line of standard input."
    )
    optParameters = [
        ["log-file", None, None, "Where to log; otherwise in the user's state folder."],
    ]

    def parseArgs(self, *words: str) -> None:
        self.batch = words == ("-",)
        self.message = _text(" ".join(words)) if words and not self.batch else None
        if self.message is not None and not self.message.strip():
            raise UsageError("The message is empty.")


def _text(argument: str) -> str:
    """An argument with marks in the place of bytes that are no UTF-8."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def environment() -> Mapping[str, str]:
    """The environment over what `.env` in the working directory adds to it."""
    added = {name: value or "" for name, value in dotenv_values(".env").items()}
    return added | dict(os.environ)


def main(argv: Sequence[str] | None = None) -> int:
    """Chat; returns the exit status."""
    terminal.fill_descriptors()
    options = ChatOptions()
    try:
        options.parseOptions(sys.argv[1:] if argv is None else list(argv))
    except UsageError as error:
        return _fail(f"{error}  Try --help.", USAGE)
    environ = environment()
    from twisted.internet import reactor

    try:
        application = Application(
            reactor, load(options["settings"], environ), demo=options.demo
        )
    except SettingsError as error:
        return _fail(str(error), BAD_SETTINGS)
    logs.to_file(options["log-file"])
    return _run(reactor, application, options, environ)


def makeService(options: Options, reactor: Any = None) -> Application:
    """What `twist supportbot` runs; nothing is started yet."""
    if reactor is None:
        from twisted.internet import reactor
    try:
        settings = load(options["settings"], environment())
        return _Served(
            reactor,
            settings,
            demo=options.demo,
            lines=options["lines"],
            plain=bool(options["plain"]),
        )
    except SettingsError as error:
        sys.exit(_fail(str(error), BAD_SETTINGS))
    except ValueError as error:
        sys.exit(_fail(f"--lines: expected an endpoint: {error}", os.EX_USAGE))


class _Served(Application):
    """The service; whoever asks twice for its end gets it at once."""

    def privilegedStartService(self) -> None:
        self._or_exit(super().privilegedStartService)

    def startService(self) -> None:
        self._or_exit(super().startService)

    def _or_exit(self, start: Callable[[], None]) -> None:
        try:
            start()
        except CannotListenError as error:
            sys.exit(_fail(str(error), TAKEN))

    def stopService(self) -> Deferred[None]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: os._exit(128 + number))
        return super().stopService()


def _run(
    reactor: Any,
    application: Application,
    options: ChatOptions,
    environ: Mapping[str, str],
) -> int:
    look, manner = terminal.appearance(
        environ,
        plain=bool(options["plain"]),
        batch=options.batch,
        one_shot=options.message is not None,
    )
    statuses: list[int] = []

    async def chat() -> None:
        application.privilegedStartService()
        application.startService()
        lines = application.lines(look, manner)
        statuses.append(await terminal.run(reactor, lines, options.message))
        await application.stopService()

    def broke(why: Failure) -> None:
        logs.log.failure("the chat", failure=why)
        statuses[:] = [_fail("something went wrong on our side; see the log", 1)]

    def begin() -> None:
        ended = Deferred.fromCoroutine(chat()).addErrback(broke)
        ended.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    return statuses[0] if statuses else 1


def _fail(why: str, status: int) -> int:
    sys.stderr.write(f"supportbot: {why}\n")
    return status
