"""The command line: `python3 main.py`, `supportbot`, and `twist supportbot`."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import textFileLogObserver
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from supportbot import logs
from supportbot.application import Application, DemoSettings
from supportbot.channels import terminal
from supportbot.channels.chat import Opening
from supportbot.command_line import (
    BAD_SETTINGS,
    FAILED,
    GROUPS,
    MEMORY,
    USAGE,
    Program,
    default_url,
    environment,
    fail,
    text,
)
from supportbot.errors import SettingsError, StoreError, StoreUnusable
from supportbot.resuming import Resumable
from supportbot.settings import Settings, load

_PLAIN = """\
You are a helpful assistant in a chat. Answer in the language of the user, friendly \
and to the point, in Markdown. If you don't know something, say so.

{rules}"""
_GREETING = (
    "You are talking to a language model. /clear makes it forget what was said; /help"
    " tells the other commands, /quit ends."
)


class _Shared(Program):
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
        ["demo-delay", None, "1", "Seconds between two pieces of a demo answer."],
        ["demo-zeroes", None, "0.5", "How often, 0 to 1, demo support gets stuck."],
        ["demo-seed", None, None, "A whole number that makes the demo repeatable."],
    ]

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


_LOG_FORMATS = {"json": logs.json_lines, "text": textFileLogObserver}


class Options(_Shared):
    """The options of `twist supportbot`."""

    _log_format: str | None = None

    synopsis = "[options]"  # behind twist's own
    longdesc = "Serve the chat. Answers that are under way end before it stops."
    optParameters = [
        ["http", None, None, "An endpoint for HTTP clients, such as tcp:8000."],
        ["websocket", None, None, "One for WebSockets only; --http has them at /ws."],
        ["lines", "l", None, "An endpoint for line clients, such as tcp:8023."],
    ]

    def opt_log_format(self, format: str) -> None:
        """How to log: `json`, an object per line, or `text`, as on a terminal."""
        if format not in _LOG_FORMATS:
            raise UsageError("--log-format: expected json or text")
        self._log_format = format

    def postOptions(self) -> None:
        super().postOptions()
        if self.parent is not None:  # the options of twist, which logs
            format = self._log_format or self.parent["logFormat"]
            self.parent["fileLogObserverFactory"] = _LOG_FORMATS[format]
            self.parent["logFormat"] = format
        port = environment().get("PORT")
        nowhere = all(self[name] is None for name in ("lines", "http", "websocket"))
        if nowhere and port:
            self["http"] = f"tcp:{port}"
        elif nowhere:
            raise UsageError("Nothing to serve; try --http tcp:8000.")


class ChatOptions(_Shared):
    """The options of `python3 main.py`.

    Attributes:
        batch: every line of the input is a message, also on a terminal.
        message: the only one; None to read the input.
        command: the words of an operator's command, which is no chat; else empty.
    """

    synopsis = "Usage: supportbot [options] [message | - | command]"
    longdesc = (
        "Chat on this terminal. With a message, answer it and exit; with - or from a"
        " pipe, answer every line of standard input. The chat is forgotten when it"
        " ends, unless a database is named or --resume is given. Operators have"
        " commands instead: `supportbot database --help`, `supportbot transcripts"
        " --help` and `supportbot logins --help` tell more. A message that begins with"
        " these words has to be quoted."
    )
    optFlags = [
        ["assistant", None, "Everything goes to the language model."],
        ["resume", None, "Go on with the last chat that was kept, or begin to keep."],
    ]
    optParameters = [
        ["log-file", None, None, "Where to log; otherwise in the user's state folder."],
    ]

    def parseArgs(self, *words: str) -> None:
        self.command = words if words and words[0] in GROUPS else ()
        self.batch = words == ("-",)
        message = words and not (self.batch or self.command)
        self.message = text(" ".join(words)) if message else None
        if self.message is not None and not self.message.strip():
            raise UsageError("The message is empty.")

    def postOptions(self) -> None:
        super().postOptions()
        if self["resume"] and self["database"] == MEMORY:
            raise UsageError("--resume: what is kept in memory can't be gone on with.")


def main(argv: Sequence[str] | None = None) -> int:
    """Chat, or do what an operator asks; returns the exit status."""
    terminal.fill_descriptors()
    options = ChatOptions()
    try:
        options.parseOptions(sys.argv[1:] if argv is None else list(argv))
    except UsageError as error:
        return fail(f"{error}  Try --help.", USAGE)
    environ = environment()
    if options.command:
        from supportbot.administration import administer  # and what it stands on

        return administer(options.command, options, environ)
    from twisted.internet import reactor

    try:
        settings = load(options["settings"], environ)
        if options["assistant"]:
            settings = _assistant_only(settings, options.demo)
        resumable = Resumable.named(
            options["database"],
            settings.transcripts.database,
            resume=bool(options["resume"]),
        )
        database = None if resumable is None else resumable.database
        application = Application(
            reactor, settings, database=database, demo=options.demo
        )
    except (SettingsError, StoreUnusable) as error:
        return fail(str(error), BAD_SETTINGS)
    logs.to_file(options["log-file"])
    return _run(reactor, application, options, environ, resumable)


def _assistant_only(settings: Settings, demo: DemoSettings | None) -> Settings:
    """Settings with which everything goes to the language model.

    Raises:
        SettingsError: there is none.
    """
    if demo is None and not settings.assistant.available:
        expected = "expected the key of a language model, in the environment or in .env"
        raise SettingsError("OPENAI_API_KEY", "", f"{expected}; or try --demo")
    assistant = msgspec.structs.replace(settings.assistant, explain=True)
    if settings.shop.url is None and demo is None and not assistant.prompt:
        assistant = msgspec.structs.replace(assistant, prompt=_PLAIN)
    return msgspec.structs.replace(settings, services=(), assistant=assistant)


def makeService(options: Options, reactor: Any = None) -> Application:
    """What `twist supportbot` runs; nothing is started yet."""
    if reactor is None:
        from twisted.internet import reactor
    try:
        settings = load(options["settings"], environment())
        database = options["database"] or settings.transcripts.database
        return _Served(
            reactor,
            settings,
            database=None if database == MEMORY else database or default_url(),
            demo=options.demo,
            lines=options["lines"],
            http=options["http"],
            websocket=options["websocket"],
            plain=bool(options["plain"]),
        )
    except (SettingsError, StoreUnusable) as error:
        sys.exit(fail(str(error), BAD_SETTINGS))
    except ValueError as error:
        sys.exit(
            fail(
                f"--http, --lines, --websocket: expected an endpoint: {error}",
                os.EX_USAGE,
            )
        )


_COLLECT = 100_000, 10, 20  # when garbage is: a stream makes many objects that last


class _Served(Application):
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
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: os._exit(128 + number))
        return super().stopService()


def _run(
    reactor: Any,
    application: Application,
    options: ChatOptions,
    environ: Mapping[str, str],
    resumable: Resumable | None,
) -> int:
    look, manner = terminal.appearance(
        environ,
        plain=bool(options["plain"]),
        batch=options.batch,
        one_shot=options.message is not None,
    )
    statuses: list[int] = []

    async def chat() -> None:
        try:
            application.privilegedStartService()
            application.startService()
        except StoreUnusable as error:
            statuses.append(fail(str(error), BAD_SETTINGS))
            return
        try:
            opening = None
            shown = bool(look.prompt)
            if resumable is not None:
                opening = await resumable.opening(application.find, shown=shown)
            elif shown and options["assistant"]:
                opening = Opening(greeting=_GREETING)
            lines = application.lines(look, manner, opening)
            statuses.append(await terminal.run(reactor, lines, options.message))
        except StoreError as error:
            statuses.append(fail(str(error), FAILED))
        await application.stopService()

    def broke(why: Failure) -> None:
        logs.log.failure("the chat", failure=why)
        statuses[:] = [fail("something went wrong on our side; see the log", FAILED)]

    def begin() -> None:
        ended = Deferred.fromCoroutine(chat()).addErrback(broke)
        ended.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    return statuses[0] if statuses else FAILED
