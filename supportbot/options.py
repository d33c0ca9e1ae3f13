"""The command line: `python3 main.py`, `supportbot`, and `twist supportbot`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, textFileLogObserver
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

from supportbot import logs, serving
from supportbot.application import Application, DemoSettings
from supportbot.channels import terminal
from supportbot.channels.chat import Opening
from supportbot.command_line import (
    BAD_SETTINGS,
    FAILED,
    GROUPS,
    MEMORY,
    SERVE,
    USAGE,
    Program,
    default_url,
    environment,
    fail,
    text,
)
from supportbot.errors import SettingsError, StoreError, StoreUnusable
from supportbot.resuming import Resumable
from supportbot.serving import Door, Served
from supportbot.settings import Settings, load

_PLAIN = """\
You are a helpful assistant in a chat. Answer in the language of the user, friendly \
and to the point, in Markdown. If you don't know something, say so.

{rules}"""
_GREETING = (
    "You are talking to a language model. /clear makes it forget what was said; /help"
    " tells the other commands, /quit ends."
)


_UNMARKED = ["plain", None, "Show paragraphs for reading: no tags, wrapped."]


class _Shared(Program):
    """What all ways to start have in common.

    Attributes:
        demo: how the simulated services behave, or None for the real ones.
    """

    optFlags = [
        ["demo", None, "Answer with simulated services, which run inside the program."],
        ["demo-one-at-a-time", None, "Let these serve one client after the other."],
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


_PORT, _MOST_PORTS = "8000", 65_535
_LOG_FORMATS: Mapping[str, Callable[[IO[Any]], ILogObserver]] = {
    "json": logs.json_lines,
    "text": textFileLogObserver,
}


class _Serving(_Shared):
    """What serves, and tells its operators what goes on.

    Attributes:
        log_format: a key of `_LOG_FORMATS`; None if nobody has chosen.
    """

    log_format: str | None = None

    def opt_log_format(self, format: str) -> None:
        """How to log: `json`, an object per line, or `text`, as on a terminal."""
        if format not in _LOG_FORMATS:
            raise UsageError("--log-format: expected json or text")
        self.log_format = format


class Options(_Serving):
    """The options of `twist supportbot`."""

    synopsis = "[options]"  # behind twist's own
    longdesc = "Serve the chat. Answers that are under way end before it stops."
    optFlags = [_UNMARKED]
    optParameters = [
        ["http", None, None, "An endpoint for HTTP clients, such as tcp:8000."],
        ["websocket", None, None, "One for WebSockets only; --http has them at /ws."],
        ["lines", "l", None, "An endpoint for line clients, such as tcp:8023."],
    ]

    def postOptions(self) -> None:
        super().postOptions()
        if self.parent is not None:  # the options of twist, which logs
            format = self.log_format or self.parent["logFormat"]
            self.parent["fileLogObserverFactory"] = _LOG_FORMATS[format]
            self.parent["logFormat"] = format
        port = environment().get("PORT")
        nowhere = all(self[name] is None for name in ("lines", "http", "websocket"))
        if nowhere and port:
            self["http"] = f"tcp:{port}"
        elif nowhere:
            raise UsageError("Nothing to serve; try --http tcp:8000.")


class ServeOptions(_Serving):
    """The options of `supportbot serve`.

    Attributes:
        port: where to listen; 0 for any free port.
    """

    synopsis = "Usage: supportbot serve [options]"
    longdesc = (
        "Serve the web page, the HTTP API and WebSockets, and print the page's address."
        " Ctrl-C ends it, once the answers that are under way have ended. `twist"
        " supportbot --help` tells more ways to listen."
    )
    optFlags = [
        ["verbose", "v", "Log what goes on, not only what goes wrong; JSON has it all."]
    ]
    optParameters = [
        ["port", "p", None, "0 for any free one; otherwise PORT names it, or 8000."],
        ["host", None, "127.0.0.1", "Where to listen; 0.0.0.0 lets other machines in."],
    ]

    def parseArgs(self, *words: str) -> None:
        if words:
            raise UsageError("A message that begins with `serve` has to be quoted.")

    def postOptions(self) -> None:
        super().postOptions()
        name, port = "--port", self["port"]
        if port is None:
            name, port = "PORT", environment().get("PORT") or _PORT
        if not re.fullmatch("[0-9]{1,5}", port) or int(port) > _MOST_PORTS:
            raise UsageError(f"{name}: expected a number from 0 to {_MOST_PORTS}")
        self.port = int(port)


class ChatOptions(_Shared):
    """The options of `python3 main.py`.

    Attributes:
        batch: every line of the input is a message, also on a terminal.
        message: the only one; None to read the input.
        command: the words of what is no chat, an operator's command or `serve`; else
            empty.
    """

    synopsis = "Usage: supportbot [options] [message | - | command]"
    longdesc = (
        "Chat on this terminal. With a message, answer it and exit; with - or from a"
        " pipe, answer every line of standard input. The chat is forgotten when it"
        " ends, unless a database is named or --resume is given. `supportbot serve`"
        " serves the chat to browsers, and operators have commands: `supportbot serve"
        " --help`, `supportbot database --help`, `supportbot transcripts --help` and"
        " `supportbot logins --help` tell more. A message that begins with these words"
        " has to be quoted."
    )
    optFlags = [
        _UNMARKED,
        ["assistant", None, "Everything goes to the language model."],
        ["resume", None, "Go on with the last chat that was kept, or begin to keep."],
    ]
    optParameters = [
        ["log-file", None, None, "Where to log; otherwise in the user's state folder."],
    ]

    def parseArgs(self, *words: str) -> None:
        self.command = words if words and words[0] in (*GROUPS, SERVE) else ()
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
    """Chat, serve, or do what an operator asks; returns the exit status."""
    terminal.fill_descriptors()
    given = sys.argv[1:] if argv is None else list(argv)
    options = ChatOptions()
    try:
        options.parseOptions(given)
    except UsageError as error:
        return fail(f"{error}  Try --help.", USAGE)
    if options.command[:1] == (SERVE,):
        before = given[: len(given) - len(options.command)]
        return _serve([*before, *options.command[1:]])
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
        return _served(
            options,
            reactor,
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


def _served(options: _Serving, reactor: Any, **where: Any) -> Served:
    """The service, with what both ways to serve have in common.

    Args:
        where: as `Application` takes it.

    Raises:
        SettingsError, StoreUnusable, ValueError: as of `load` and `Application`.
    """
    settings = load(options["settings"], environment())
    database = options["database"] or settings.transcripts.database
    return Served(
        reactor,
        settings,
        database=None if database == MEMORY else database or default_url(),
        demo=options.demo,
        **where,
    )


def _serve(arguments: Sequence[str]) -> int:
    """Do what `supportbot serve` does; returns the exit status."""
    options = ServeOptions()
    try:
        options.parseOptions(arguments)
    except UsageError as error:
        return fail(f"{error}  Try serve --help.", USAGE)
    from twisted.internet import reactor

    host, port = options["host"], options.port
    try:
        door = Door(host, port)
    except OSError as error:
        return fail(serving.reason(host, port, error), FAILED)
    try:
        service = _served(options, reactor, http=door.endpoint(reactor))
    except (SettingsError, StoreUnusable) as error:
        return fail(str(error), BAD_SETTINGS)
    format = options.log_format or "text"
    verbose = bool(options["verbose"]) or format == "json"
    logs.to_stderr(_LOG_FORMATS[format], everything=verbose)
    services = " with simulated services (--demo)" if options.demo else ""
    greeting = f"Serving {door.url}{services} until Ctrl-C ends it."
    if door.public:
        greeting += "\nOther machines can get there too, by this one's addresses."
    return serving.run(reactor, service, greeting)


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
