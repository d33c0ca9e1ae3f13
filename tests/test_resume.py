"""A chat on the terminal that outlives its program."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock, deferLater

from supportbot.channels.chat import Opening
from supportbot.channels.lines import Lines, Manner
from supportbot.channels.retelling import Answer, Passage, Retelling
from supportbot.channels.screen import Look
from supportbot.conversation import Conversation
from supportbot.errors import StoreError, StoreUnusable
from supportbot.events import (
    ConversationReset,
    CustomerSaid,
    Event,
    ModelAsked,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)
from supportbot.frontdesk import FrontDesk
from supportbot.interfaces import Known
from supportbot.resuming import LastChat, Resumable, last_chat, remember
from supportbot.settings import ConversationSettings, LinesSettings
from tests.line_fakes import TERMINAL, TYPING, BrokenStore, LineTestCase, Pipe
from tests.program import PATIENCE, Played, chat, environment, terminal
from tests.wire import ANSWER

INTERRUPTED = "This answer was interrupted on our side; please ask again."
SAID = CustomerSaid(seq=1, at=1.0, text="help", message_id="m1")
STARTED = ReplyStarted(seq=2, at=2.0, service="tech-support", intent="help", to=1)
ONE = ParagraphSaid(seq=3, at=3.0, text="<p>1</p>", format="html")
ENDED = ReplyEnded(seq=4, at=4.0, outcome=Outcome.COMPLETE)
ALSO = CustomerSaid(seq=5, at=5.0, text="real person", message_id="m2")


def retold(*events: Event) -> Sequence[Passage]:
    retelling = Retelling()
    passages = [passage for event in events for passage in retelling.tell(event)]
    return [*passages, *retelling.end()]


# Retelling


def test_each_answer_stands_behind_its_message() -> None:
    answer = Answer(STARTED, [ONE], ENDED)
    assert retold(SAID, STARTED, ONE, ENDED, ALSO) == [SAID, answer, ALSO]
    assert retold(SAID, STARTED, ALSO, ONE, ENDED) == [SAID, answer, ALSO]


def test_what_was_taken_back_is_not_retold() -> None:
    back = ReplyRevised(seq=4, at=4.0, keep=0)
    assert retold(SAID, STARTED, ONE, back, ENDED) == [SAID, Answer(STARTED, [], ENDED)]


def test_an_answer_without_an_end_is_retold() -> None:
    answer = Answer(STARTED, [ONE], None)
    assert retold(SAID, STARTED, ONE) == [SAID, answer]
    assert retold(SAID, STARTED, ALSO) == [SAID, ALSO]
    assert retold(SAID, STARTED, ONE, ALSO, STARTED, ENDED) == [
        SAID, answer, ALSO, Answer(STARTED, [], ENDED)
    ]  # fmt: skip
    reset = ConversationReset(seq=9, at=9.0)
    assert retold(STARTED, ONE, reset, ALSO) == [answer, ALSO]


def test_what_was_done_for_an_answer_does_not_end_it() -> None:
    asked = ModelAsked(seq=9, at=0.0, model="m", read=1, written=1, cost=0.0)
    answer = Answer(STARTED, [ONE, ONE], ENDED)
    assert retold(SAID, STARTED, asked, ONE, asked, ONE, ENDED) == [SAID, answer]


@given(st.lists(st.sampled_from([SAID, STARTED, ONE, ENDED, ALSO])))
def test_nothing_that_was_said_is_lost_or_told_twice(events: list[Event]) -> None:
    passages = retold(*events)
    said = [event for event in events if isinstance(event, CustomerSaid)]
    assert [one for one in passages if isinstance(one, CustomerSaid)] == said
    answers = [one for one in passages if isinstance(one, Answer)]
    paragraphs = [said for answer in answers for said in answer.paragraphs]
    assert len(paragraphs) == events.count(ONE)


# The chat


def many(answer: str, messages: int) -> Sequence[Event]:
    """A conversation of so many messages, and the same answer to each."""
    events: list[Event] = []
    for number in range(messages):
        seq = 4 * number + 1
        text, id = f"m{number}", f"{number}"
        events += [
            CustomerSaid(seq=seq, at=0.0, text=text, message_id=id),
            msgspec.structs.replace(STARTED, seq=seq + 1, to=seq),
            ParagraphSaid(seq=seq + 2, at=0.0, text=answer, format="html"),
            msgspec.structs.replace(ENDED, seq=seq + 3),
        ]
    return events


class LastingStore(BrokenStore):
    """A store whose transcripts stay.

    Attributes:
        elsewhere: another process writes to it.
        clock: whose next turn an append takes; None for none.
        reading: of which a read takes a second; None for none.
    """

    lasting = True
    elsewhere = False
    clock: Clock | None = None
    reading: Clock | None = None

    def append(self, conversation_id: str, events: Any) -> Any:
        if self.clock is None:
            return super().append(conversation_id, events)
        return deferLater(self.clock, 0, super().append, conversation_id, events)

    def find(self, conversation_id: str) -> Any:
        found = self.successful(super().find(conversation_id))
        if found is None:
            return succeed(None)
        return succeed(Known(found.last_seq, self.elsewhere))

    def read(self, conversation_id: str, after: int, limit: int) -> Any:
        if self.reading is None:
            return super().read(conversation_id, after, limit)
        return deferLater(self.reading, 1, super().read, conversation_id, after, limit)

    @staticmethod
    def successful(found: Any) -> Known | None:
        results: list[Known | None] = []
        found.addCallback(results.append)
        return results[0]


class ResumedTests(LineTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = self.kept = LastingStore()
        self.desk = FrontDesk(
            self.store,
            self.desk._dispatcher,
            self.clock.seconds,
            ConversationSettings(batch=3),
        )
        self.used: list[str] = []

    def tearDown(self) -> None:
        for client in self.clients:
            client.vanish()
        self.turn()
        self.store.kept.clear()
        super().tearDown()

    def resumed(
        self,
        *events: Event,
        shown: bool = True,
        greeting: str = "",
        client: Pipe | None = None,
        manner: Manner = TYPING,
        look: Look = TERMINAL,
        turns: bool = False,
        reading: bool = False,
    ) -> Pipe:
        """A client that goes on with a conversation in which this was said.

        Args:
            turns: whether what is stored from now on takes a turn of the reactor.
            reading: whether what is read takes a second.
        """
        conversation: Conversation | None = None
        if events:
            self.successResultOf(self.store.append("old", events))
            self.kept.clock = self.clock if turns else None
            conversation = self.found()
            self.kept.reading = self.clock if reading else None
        client = client or Pipe(self.clock)
        opening = Opening(conversation, shown, greeting, self.used.append)
        lines = Lines(self.clock, self.desk, LinesSettings(), look, manner, opening)
        self.watch(client, lines)
        client.connect(lines)
        return client

    def found(self) -> Conversation:
        finding = Deferred.fromCoroutine(self.desk.find("old"))
        found = self.successResultOf(finding)
        assert found is not None
        return found

    def test_what_was_said_stands_above_the_prompt(self) -> None:
        client = self.resumed(SAID, STARTED, ONE, ENDED)
        self.assertEqual(client.take(), "> help\n\n<p>1</p>\n\n> ")
        client.type("product question\n")
        self.answered(self.product.last, "<p>2</p>")
        self.assertEqual(client.take(), "\n<p>2</p>\n\n> ")
        self.assertEqual(self.used, ["old"])

    def test_of_a_long_chat_only_the_end_is_shown(self) -> None:
        client = self.resumed(*many("<p>1</p>", 30))
        shown = client.take()
        first, _, rest = shown.partition("\n")
        self.assertEqual(first, "40 earlier texts are not shown; /history shows all.")
        told = [f"> m{number}\n\n<p>1</p>\n\n" for number in range(30)]
        self.assertEqual(rest, "".join(told[-10:]) + "> ")
        client.type("/history\n")
        self.assertEqual(client.take(), "".join(told) + "> ")

    def test_an_interrupted_answer_is_asked_again(self) -> None:
        client = self.resumed(SAID, STARTED, ONE)
        self.assertEqual(client.take(), f"> help\n\n<p>1</p>\n{INTERRUPTED}\n\n> ")
        client.type("/retry\n")
        self.answered(self.support.last, "<p>2</p>")
        self.assertEqual(client.take(), "\n<p>2</p>\n\n> ")
        self.assertEqual(self.support.texts, ["help"])

    def test_a_message_that_nobody_was_asked_is_answered_first(self) -> None:
        client = self.resumed(SAID, turns=True)
        client.type("product question\n")
        self.turn()
        self.assertEqual(client.take(), "> help\n\n")
        self.kept.clock = None
        self.answered(self.support.last, "<p>1</p>")
        self.answered(self.product.last, "<p>2</p>")
        self.assertEqual(
            client.take(),
            "<p>1</p>\n\n> product question\n\n<p>2</p>\n\n> ",
        )

    def test_an_answer_is_shown_once_that_comes_while_the_past_is_read(self) -> None:
        client = self.resumed(SAID, turns=True, reading=True)
        self.clock.advance(0)
        self.kept.clock = None
        self.answered(self.support.last, "<p>1</p>")
        self.assertEqual(client.take(), "")
        for _ in range(10):
            self.clock.advance(1)
        self.assertEqual(client.take(), "> help\n\n<p>1</p>\n\n> ")
        self.kept.reading = None

    def test_through_a_pipe_nothing_old_is_shown(self) -> None:
        client = self.resumed(
            SAID, STARTED, ONE, shown=False, manner=Manner(), look=Look()
        )
        self.assertEqual(client.take(), "")
        client.type("/retry\n")
        self.answered(self.support.last, "<p>2</p>")
        self.assertEqual(client.take(), "\n<p>2</p>\n\n")

    def test_a_new_one_may_be_announced(self) -> None:
        client = self.resumed(greeting="A new one begins.")
        self.assertEqual(client.take(), "A new one begins.\n> ")
        self.assertEqual(self.used, [])
        client.type("help\n")
        self.assertEqual(len(self.used), 1)
        self.assertEqual(list(self.store.kept), self.used)

    def test_after_clear_the_new_one_is_in_use(self) -> None:
        client = self.resumed(SAID, STARTED, ONE, ENDED)
        client.take()
        client.type("/clear\n")
        told = "The conversation is forgotten; a new one begins.\n> "
        self.assertEqual(client.take(), told)
        self.assertEqual(self.store.kept, {})
        self.assertEqual(len(self.used), 1)
        self.assertNotIn("old", self.used)

    def test_one_that_can_not_be_erased_stays(self) -> None:
        client = self.resumed(SAID, STARTED, ONE, ENDED)
        client.take()
        erase = self.store.erase

        def broken(conversation_id: str) -> None:
            raise StoreError("the disk is full")

        self.store.erase = broken  # type: ignore[method-assign,assignment]
        client.type("/clear\n")
        self.store.erase = erase  # type: ignore[method-assign]
        told = "The conversation could not be erased; please try /clear again.\n> "
        self.assertEqual(client.take(), told)
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        self.assertEqual(self.used, [])
        client.type("/clear\n")
        self.assertEqual(self.store.kept, {})

    def test_what_was_said_can_not_be_read(self) -> None:
        self.successResultOf(self.store.append("old", [SAID, STARTED, ONE, ENDED]))
        conversation = self.found()
        client, opening = Pipe(self.clock), Opening(conversation, True)
        lines = Lines(self.clock, self.desk, LinesSettings(), TERMINAL, TYPING, opening)
        self.watch(client, lines)
        self.store.broken = StoreError("the disk fails")
        client.connect(lines)
        self.store.broken = None
        self.assertEqual(
            client.take(),
            "What was said before can't be shown at the moment; /history may help"
            " later.\n> ",
        )
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        client.type("help\n")
        self.answered(self.support.last, "<p>2</p>")
        self.assertEqual(client.take(), "\n<p>2</p>\n\n> ")

    def test_another_program_that_answers_is_left_alone(self) -> None:
        self.kept.elsewhere = True
        client = self.resumed(SAID, STARTED, ONE)
        self.assertEqual(client.take(), "> help\n\n<p>1</p>\n\n> ")
        client.type("product question\n")
        told = "An earlier message is just being answered; please send this one again."
        self.assertEqual(client.take(), f"{told}\n> ")
        self.successResultOf(self.store.append("old", [ENDED]))
        client.type("product question\n")
        self.answered(self.product.last, "<p>2</p>")
        self.assertTrue(client.take().endswith("\n<p>2</p>\n\n> "))

    # Clients that do not read

    def slow(self) -> tuple[Pipe, Sequence[Event]]:
        """A client that takes little, and a conversation of twenty long answers."""
        client = Pipe(self.clock, room=1_000)
        client.stop_reading()
        return client, many(f"<p>{'x' * 900}</p>", 20)

    def test_a_client_is_shown_no_more_than_it_takes(self) -> None:
        client, events = self.slow()
        self.resumed(*events, client=client)
        self.assertLess(len(client.unread), 3_000)
        client.type("/history\nhelp\n")
        for _ in range(60):
            client.sip()
            self.turn()
            self.assertLess(len(client.unread), 3_000)
        self.assertEqual(client.shown.count(b"> m19\n"), 2)
        self.assertEqual(self.support.texts, ["help"])
        client.read_on()

    def test_it_may_vanish_meanwhile(self) -> None:
        client, events = self.slow()
        self.resumed(*events, client=client)
        client.vanish()
        self.assertEqual(len(self.statuses), 1)

    def test_it_may_vanish_during_the_history(self) -> None:
        client, events = self.slow()
        self.resumed(*events, client=client, shown=False)
        client.type("/history\nhelp\n")
        client.vanish()
        self.assertEqual(len(self.statuses), 1)
        self.assertEqual(self.support.texts, [])

    def test_an_answer_that_comes_meanwhile_waits(self) -> None:
        client, events = self.slow()
        unasked = CustomerSaid(seq=81, at=0.0, text="help", message_id="new")
        self.resumed(*events, unasked, client=client, turns=True)
        self.turn()
        self.kept.clock = None
        self.answered(self.support.last, "<p>new</p>")
        for _ in range(30):
            client.sip()
            self.turn()
        client.read_on()
        self.assertTrue(client.take().endswith("> help\n\n<p>new</p>\n\n> "))


# What is remembered


@dataclass
class Finder:
    """Stands for the front desk; nothing is there.

    Attributes:
        asked: ids that were looked for.
    """

    asked: list[str] = field(default_factory=list)

    async def find(self, id: str) -> None:
        self.asked.append(id)


def opening(resumable: Resumable, finder: Finder, *, shown: bool = True) -> Opening:
    results: list[Opening] = []
    coroutine = resumable.opening(finder.find, shown=shown)
    Deferred.fromCoroutine(coroutine).addCallback(results.append)
    return results[0]


def test_only_the_user_can_read_what_is_remembered(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    last = LastChat("one", "postgresql+psycopg://me:secret@host/name")
    remember(last, folder)
    assert last_chat(folder) == last
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    os.chmod(file, 0o644)
    remember(last, folder)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_of_no_use_is_not_remembered(tmp_path: Path) -> None:
    assert last_chat(tmp_path) is None
    remember(LastChat("one", f"sqlite:///{tmp_path}/gone.db"), tmp_path)
    assert last_chat(tmp_path) is None
    (tmp_path / "gone.db").touch()
    assert last_chat(tmp_path) is not None
    (tmp_path / "last-chat.json").write_bytes(b"\xff")
    assert last_chat(tmp_path) is None


def test_a_chat_is_remembered_when_something_is_said(tmp_path: Path) -> None:
    url = "postgresql+psycopg://me@host/name"
    resumable = Resumable(url, resume=False, last=None, folder=tmp_path)
    finder = Finder()
    begun = opening(resumable, finder)
    assert (begun.conversation, begun.greeting, finder.asked) == (None, "", [])
    assert last_chat(tmp_path) is None
    begun.used("one")
    assert last_chat(tmp_path) == LastChat("one", url)


def test_it_is_looked_for_where_it_was(tmp_path: Path) -> None:
    url = "postgresql+psycopg://me@host/name"
    for database, asked in ((url, ["one"]), (f"{url}2", [])):
        finder = Finder()
        last = LastChat("one", url)
        resumable = Resumable(database, resume=True, last=last, folder=tmp_path)
        begun = opening(resumable, finder)
        assert finder.asked == asked
        assert begun.greeting == "There is no chat to go on with; a new one begins."


def test_a_pipe_gets_nothing_but_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "postgresql+psycopg://me@host/name"
    resumable = Resumable(url, resume=True, last=None, folder=tmp_path)
    assert opening(resumable, Finder(), shown=False).greeting == ""
    told = "supportbot: There is no chat to go on with; a new one begins.\n"
    assert capsys.readouterr().err == told


def test_a_chat_that_can_not_be_remembered_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    url = "postgresql+psycopg://me@host/name"
    resumable = Resumable(url, resume=False, last=None, folder=tmp_path / "file")
    opening(resumable, Finder()).used("one")


def test_which_database_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "supportbot"
    default = f"sqlite:///{folder}/transcripts.db"

    def database(flag: str | None, setting: str | None, *, resume: bool) -> str | None:
        named = Resumable.named(flag, setting, resume=resume)
        return None if named is None else named.database

    assert database(None, None, resume=False) is None
    assert database(None, "memory", resume=False) is None
    assert database("memory", "sqlite:///a.db", resume=False) is None
    assert (
        database(None, "sqlite:///a.db", resume=False) == f"sqlite:///{tmp_path}/a.db"
    )
    assert database(None, None, resume=True) == default
    assert database(None, "memory", resume=True) == default
    assert database(None, "sqlite:////x/a.db", resume=True) == "sqlite:////x/a.db"
    (tmp_path / "last.db").touch()
    last = f"sqlite:///{tmp_path}/last.db"
    remember(LastChat("one", last))
    assert database(None, "sqlite:////x/a.db", resume=True) == last
    assert database("sqlite:////x/b.db", None, resume=True) == "sqlite:////x/b.db"
    assert database(None, None, resume=False) is None
    with pytest.raises(StoreUnusable):
        database("mysql://x", None, resume=False)


# The program


def test_a_chat_goes_on_after_a_crash(tmp_path: Path) -> None:
    begun, never = threading.Event(), threading.Event()

    def play(connection: socket.socket, number: int) -> None:
        connection.sendall(ANSWER + b'{"response": "<p>One.</p>')
        if number == 0:
            begun.set()
            never.wait(PATIENCE)
        connection.sendall(b'<p>Two.</p>"}')

    service, log = Played(play), tmp_path / "log"
    env = {**service.env, "XDG_STATE_HOME": str(tmp_path)}
    env.pop("DATABASE_URL", None)
    with terminal("--resume", log=log, env=env) as screen:
        screen.until("There is no chat to go on with; a new one begins.")
        screen.until("> ")
        screen.type("help\n")
        screen.until("One.")
        screen.process.kill()
        screen.ended()
    never.set()
    with terminal("--resume", log=log, env=env) as screen:
        shown = screen.until(INTERRUPTED)
        assert "> help\r\n\r\n<p>One.</p>\r\n" in shown
        screen.type("/retry\n")
        screen.until("<p>Two.</p>")
        screen.type("/clear\n")
        screen.until("a new one begins")
        screen.type("help me again\n")
        screen.until("<p>Two.</p>", 2)
        screen.type("/quit\n")
        assert screen.ended() == 0
    with terminal("--resume", log=log, env=env) as screen:
        screen.type("/quit\n")
        assert screen.ended() == 0
        assert "> help me again\r\n\r\n<p>One.</p>" in screen.shown
        assert INTERRUPTED not in screen.shown
    ran = chat("--resume", "help", log=log, env=env)
    assert ran.stdout == b"<p>One.</p>\n<p>Two.</p>\n"
    ran = chat("--resume", typed="/history\n", log=log, env=env)
    assert ran.stdout.count(b"> help") == 2
    service.close()


def test_a_database_that_can_not_be_used_is_one_line(tmp_path: Path) -> None:
    env = environment(XDG_STATE_HOME=str(tmp_path))
    for database in ("sqlite:////nowhere/at/all.db", "mysql://host/name"):
        ran = chat("--database", database, "help", log=tmp_path / "log", env=env)
        assert (ran.returncode, ran.stdout) == (78, b"")
        assert ran.stderr.count(b"\n") == 1
    ran = chat("--database", "memory", "--resume", log=tmp_path / "log", env=env)
    assert ran.returncode == 2
