"""The command lines of operators: `supportbot database …`, `… transcripts`, `… logins`.

They need no running service, and may be used beside one.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from getopt import GetoptError, gnu_getopt
from typing import Any

import msgspec
from twisted.python.usage import UsageError

from supportbot.channels.rendering import clean, reading_text
from supportbot.channels.retelling import Answer, Passage, Retelling
from supportbot.command_line import (
    BAD_SETTINGS,
    FAILED,
    GROUPS,
    INTERRUPTED,
    MEMORY,
    USAGE,
    Program,
    default_url,
    fail,
    text,
)
from supportbot.errors import SettingsError, StoreError, StoreUnusable
from supportbot.events import CustomerSaid, Event
from supportbot.interfaces import Listed
from supportbot.ledger import told
from supportbot.settings import Settings, load
from supportbot.transcripts.archive import Archive
from supportbot.transcripts.database import Database, upgrade

_DAY = 86_400.0  # seconds
_AT_ONCE = 100  # conversations that are erased at a time
_ID = re.compile(r"-[A-Za-z0-9_-]{21}")  # one of ours that looks like an option


class _Command(Program):
    """A command, whose options may stand before and behind its arguments."""

    synopsis: str

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        given = list(options or [])
        ids = [one for one in given if _ID.fullmatch(one)]
        try:
            others = [one for one in given if one not in ids]
            known, rest = gnu_getopt(others, self.shortOpt, self.longOpt)
        except GetoptError as error:
            raise UsageError(str(error)) from error
        before = [part for pair in known for part in pair if part]
        super().parseOptions([*before, "--", *rest, *ids])

    def getSynopsis(self) -> str:
        """How to write it; Twisted would put that of the group in front."""
        return self.synopsis

    def act(self, settings: Settings, url: str) -> int:
        """Do it; returns the exit status."""
        raise NotImplementedError


class Upgrade(_Command):
    """The options of `supportbot database upgrade`."""

    synopsis = "Usage: supportbot database upgrade [options]"
    longdesc = (
        "Bring the database's schema up to date. A file of SQLite is made if there is"
        " none, and the service does this by itself; for PostgreSQL it never does."
    )

    def act(self, settings: Settings, url: str) -> int:
        before, after = upgrade(url)
        name = Database(url, settings.transcripts.patience).name
        if before == after:
            _say(f"{name}: already up to date ({after})")
        elif before:
            _say(f"{name}: upgraded from {before} to {after}")
        else:
            _say(f"{name}: was empty, upgraded to {after}")
        return 0


class _Reading(_Command):
    """A command that works with what is in the database."""

    def act(self, settings: Settings, url: str) -> int:
        archive = Archive(url, settings.transcripts.patience)
        try:
            return self.work(archive)
        finally:
            archive.close()

    def work(self, archive: Archive) -> int:
        """Do it; returns the exit status."""
        raise NotImplementedError


class List(_Reading):
    """The options of `supportbot transcripts list`."""

    synopsis = "Usage: supportbot transcripts list [options]"
    longdesc = (
        "Print a line of JSON for each conversation, that with the newest message"
        " first."
    )
    optParameters = (("limit", "n", None, "So many conversations at the most."),)

    def postOptions(self) -> None:
        self.limit = None
        if self["limit"] is not None:
            if not re.fullmatch("[0-9]{1,9}", self["limit"]):
                raise UsageError("--limit: expected a whole number")
            self.limit = int(self["limit"])

    def work(self, archive: Archive) -> int:
        for listed in archive.listed(self.limit):
            messages = sum(1 for _ in told(archive.events(listed.conversation_id)))
            line = {
                "conversation_id": listed.conversation_id,
                "opened_at": _iso(listed.opened_at),
                "heard_at": _iso(listed.heard_at),
                "messages": messages,
                "last_seq": listed.last_seq,
            }
            _write(msgspec.json.encode(line) + b"\n")
        return 0


class Show(_Reading):
    """The options of `supportbot transcripts show`."""

    synopsis = "Usage: supportbot transcripts show [options] ID"
    longdesc = "Print a conversation for reading."

    def parseArgs(self, *ids: str) -> None:
        if len(ids) != 1:
            raise UsageError("Expected one ID.")
        self.id = text(ids[0])

    def work(self, archive: Archive) -> int:
        listed = archive.find(self.id)
        if listed is None:
            return _unknown(self.id)
        for piece in _shown(listed, archive.events(self.id)):
            _say(piece)
        return 0


class Export(_Reading):
    """The options of `supportbot transcripts export`."""

    synopsis = "Usage: supportbot transcripts export [options] [ID ...]"
    longdesc = (
        "Print a line of JSON for each event of these conversations, or of all. Within"
        " a conversation they stand in their order."
    )

    def parseArgs(self, *ids: str) -> None:
        self.ids = [text(id) for id in ids]

    def work(self, archive: Archive) -> int:
        status = 0
        encode = msgspec.json.Encoder().encode
        for id in self.ids or archive.ids():
            if self.ids and archive.find(id) is None:
                status = _unknown(id)
            head = b'{"conversation_id":' + encode(id) + b","
            for event in archive.events(id):
                _write(head + encode(event)[1:] + b"\n")
        return status


class Erase(_Reading):
    """The options of `supportbot transcripts erase`."""

    synopsis = "Usage: supportbot transcripts erase [options] [ID ...]"
    longdesc = "Erase these conversations, or those that are old: nothing is left."
    optParameters = (
        (
            "older-than",
            None,
            None,
            "Erase conversations in which nothing was said for so many days.",
        ),
    )

    def parseArgs(self, *ids: str) -> None:
        self.ids = [text(id) for id in ids]

    def postOptions(self) -> None:
        self.days: float | None = None
        if self["older-than"] is not None:
            if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", self["older-than"]):
                raise UsageError("--older-than: expected days")
            self.days = float(self["older-than"])
        if (self.days is None) == (not self.ids):
            raise UsageError("Expected either IDs or --older-than.")

    def work(self, archive: Archive) -> int:
        erased, status = 0, 0
        if self.days is not None:
            erased = archive.expire(time.time() - self.days * _DAY)
        for start in range(0, len(self.ids), _AT_ONCE):
            some = self.ids[start : start + _AT_ONCE]
            there = archive.erase(some)
            erased += len(there)
            for id in some:
                if id not in there:
                    status = _unknown(id)
        _say(f"{erased} {'conversation' if erased == 1 else 'conversations'} erased")
        return status


class Unlock(_Reading):
    """The options of `supportbot logins unlock`."""

    synopsis = "Usage: supportbot logins unlock [options] EMAIL"
    longdesc = (
        "Forget the wrong PINs of a customer, who may then log in at once. What is"
        " counted for sessions and network addresses stays."
    )

    def parseArgs(self, *emails: str) -> None:
        if len(emails) != 1:
            raise UsageError("Expected one EMAIL.")
        self.email = text(emails[0])

    def work(self, archive: Archive) -> int:
        if archive.unlock(self.email):
            _say(f"{clean(self.email)} may log in again")
        else:
            _say(f"no wrong PIN is counted for {clean(self.email)}")
        return 0


class _Group(Program):
    """Commands about one thing."""

    subCommands: Sequence[tuple[str, None, type[_Command], str]]

    def postOptions(self) -> None:
        if self.subCommand is None:
            names = [name for name, *_ in self.subCommands]
            raise UsageError(f"Expected a command: {', '.join(names)}.")


class DatabaseCommands(_Group):
    """The options of `supportbot database`."""

    synopsis = "Usage: supportbot database [options] upgrade"
    longdesc = "Take care of the database of the transcripts."
    subCommands = (("upgrade", None, Upgrade, "Bring its schema up to date."),)


class TranscriptsCommands(_Group):
    """The options of `supportbot transcripts`."""

    synopsis = "Usage: supportbot transcripts [options] list | show | export | erase"
    longdesc = (
        "Read and erase what was said. Without --database, DATABASE_URL or a setting,"
        " these are the transcripts in the user's state folder."
    )
    subCommands = (
        ("list", None, List, "List the conversations, as JSON lines."),
        ("show", None, Show, "Show a conversation for reading."),
        ("export", None, Export, "Print all events, as JSON lines."),
        ("erase", None, Erase, "Erase conversations."),
    )


class LoginsCommands(_Group):
    """The options of `supportbot logins`."""

    synopsis = "Usage: supportbot logins [options] unlock"
    longdesc = "Help customers who can't log in."
    subCommands = (("unlock", None, Unlock, "Forget a customer's wrong PINs."),)


_GROUPS: Mapping[str, type[Program]] = dict(
    zip(GROUPS, (DatabaseCommands, LoginsCommands, TranscriptsCommands), strict=True)
)


def administer(
    words: Sequence[str], options: Mapping[str, Any], environ: Mapping[str, str]
) -> int:
    """Run a command; returns the exit status.

    Args:
        words: the command line from the word on that chooses the group.
        options: `settings` and `database` as they stood in front of that.
        environ: the environment, with what `.env` adds.
    """
    return _quietly(partial(_administer, words, options, environ))


def _administer(
    words: Sequence[str], options: Mapping[str, Any], environ: Mapping[str, str]
) -> int:
    group = _GROUPS[words[0]]()
    try:
        group.parseOptions(list(words[1:]))
    except UsageError as error:
        return fail(f"{error}  Try --help.", USAGE)
    command: Any = group.subOptions

    def given(name: str) -> Any:
        return command[name] or group[name] or options[name]

    try:
        settings = load(given("settings"), environ)
        url = given("database") or settings.transcripts.database or default_url()
        if url == MEMORY:
            line = "transcripts in memory end with their process; name a --database"
            raise StoreUnusable(line)
        status: int = command.act(settings, url)
        return status
    except (SettingsError, StoreUnusable) as error:
        return fail(str(error), BAD_SETTINGS)
    except StoreError as error:
        return fail(str(error), FAILED)


def _quietly(act: Callable[[], int]) -> int:
    """Do something whose output somebody may stop reading, or interrupt."""
    try:
        status = act()
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return 0
    except KeyboardInterrupt:
        _drop_output()
        return INTERRUPTED
    except OSError as error:
        _drop_output()
        return fail(f"the output can't be written: {error.strerror}", FAILED)
    return status


def _drop_output() -> None:
    """Nothing more can be written, not even what is written at exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def _shown(listed: Listed, events: Iterable[Event]) -> Iterator[str]:
    """A conversation for reading, piece by piece."""
    yield f"Conversation {clean(listed.conversation_id)}"
    yield f"opened {_clock(listed.opened_at)}"
    retelling = Retelling()
    for event in events:
        for passage in retelling.tell(event):
            yield from _passage(passage)
    for passage in retelling.end():
        yield from _passage(passage)


def _passage(passage: Passage) -> Iterator[str]:
    if isinstance(passage, CustomerSaid):
        yield f"\n{_clock(passage.at)}  customer"
        yield _indented(passage.text)
        return
    yield f"\n{_answered(passage)}"
    for paragraph in passage.paragraphs:
        yield _indented(reading_text(paragraph.text, paragraph.format))
    if passage.ended is None:
        yield "  [has not ended]"
    else:
        detail = f": {clean(passage.ended.detail)}" if passage.ended.detail else ""
        yield f"  [{passage.ended.outcome}{detail}]"


def _answered(answer: Answer) -> str:
    """Who answered, and when that began."""
    if answer.started is None:
        return "an answer"
    chosen = f", for “{answer.started.intent}”" if answer.started.intent else ""
    return f"{_clock(answer.started.at)}  {clean(answer.started.service + chosen)}"


def _indented(text: str) -> str:
    return "  " + clean(text).replace("\n", "\n  ")


def _iso(at: float) -> str:
    when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return when.replace("+00:00", "Z")


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _unknown(id: str) -> int:
    return fail(f"there is no conversation {clean(id)}", FAILED)


def _say(line: str) -> None:
    _write(f"{line}\n".encode("utf-8", "replace"))


def _write(line: bytes) -> None:
    sys.stdout.buffer.write(line)
