"""A line client's conversation: its messages, its commands, and what it is shown."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from supportbot.channels.commands import HELP, Command, UnknownCommand, command
from supportbot.channels.screen import Screen
from supportbot.conversation import Conversation
from supportbot.errors import BadRequest, StoreError
from supportbot.events import (
    CustomerSaid,
    Event,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)
from supportbot.follower import Follower
from supportbot.frontdesk import FrontDesk

ANSWERED, FAILED, UNAVAILABLE = 0, 1, 69
"""Exit statuses; 69 is EX_UNAVAILABLE of sysexits."""

_log = Logger()


class Chat:
    """Take lines one at a time; show what comes of them.

    A viewer of its conversation: everything of an answer comes from the transcript.

    Args:
        clock: tells how long an answer takes.
        desk: opens the conversation.
        screen: shows it.

    Attributes:
        status: how it went, as an exit status: that of the first message that was not
            answered wholly.

    Raises:
        ConversationClosed: no conversation can be opened any more.
    """

    def __init__(self, clock: IReactorTime, desk: FrontDesk, screen: Screen) -> None:
        self._clock, self._desk, self._screen = clock, desk, screen
        self.status = ANSWERED
        self._asked = ""  # the last message
        self._answering = ""  # the title of the service that does
        self._since = 0.0  # it does
        self._closed = self._paused = False
        self._shown: Deferred[None] | None = None  # fires when an answer's end was
        self._conversation, self._follower = self._open()

    async def take(self, line: str, *, echoed: bool) -> bool:
        """Do what a line says; returns, when that is done, whether to go on.

        Args:
            echoed: the client sees the line where it was typed.
        """
        if not line.strip():
            self._screen.typed("", echoed=echoed)
            return True
        self._screen.typed(line, echoed=echoed)
        try:
            word = command(line)
        except UnknownCommand as error:
            self._screen.quiet(str(error))
            return True
        if word is None:
            await self._ask(line)
        elif word is Command.HELP:
            for name, what in HELP:
                self._screen.quiet(f"{name:10}{what}")
        elif word is Command.HISTORY:
            await self._history()
        elif word is Command.CLEAR:
            await self._clear()
        elif word is Command.RETRY and self._asked:
            await self._ask(self._asked)
        elif word is Command.RETRY:
            self._screen.quiet("There is no message to ask again.")
        elif word is not Command.QUIT:
            self._screen.quiet("Nothing is under way.")
        return word is not Command.QUIT

    def urgent(self, line: str, waiting: int) -> bool:
        """Do at once what can't wait for the answer that is under way.

        Args:
            waiting: how many lines wait.

        Returns:
            Whether that was all of the line.
        """
        try:
            word = command(line)
        except UnknownCommand:
            return False
        if word is Command.STOP:
            return self.stop()
        if word is Command.STATUS and self._answering:
            seconds = int(self._clock.seconds() - self._since)
            lines = f"{waiting} more {'line waits' if waiting == 1 else 'lines wait'}"
            self._screen.quiet(
                f"The {self._answering} has been answering for {seconds} s; {lines}."
            )
            return True
        return False

    def too_long(self, limit: int) -> None:
        """Refuse a line that has more bytes than that."""
        self._refuse(f"That line is longer than {limit:,} bytes; please shorten it.")

    @property
    def waits(self) -> bool:
        """Whether a message waits for its answer, or for the rest of it."""
        return self._conversation.unanswered > 0

    def stop(self) -> bool:
        """Stop the answer that is under way; returns whether there was one."""
        return self._conversation.stop()

    def pause(self) -> None:
        """The client does not keep up."""
        self._paused = True
        self._follower.pauseProducing()

    def resume(self) -> None:
        """The client can take more."""
        self._paused = False
        self._follower.resumeProducing()

    async def close(self) -> None:
        """The client is gone, or all is said."""
        self._closed = True
        await self._desk.close(self._conversation)
        self._end_is_shown()

    # The viewer.

    def event(self, event: Event) -> None:
        if isinstance(event, ReplyStarted):
            self._answering = self._desk.title(event.service)
            self._since = self._clock.seconds()
            self._screen.begin(f"Asking the {self._answering}…")
        elif isinstance(event, ParagraphSaid):
            self._screen.paragraph(event.text, event.format)
        elif isinstance(event, ReplyRevised):
            kept = (
                f"everything after paragraph {event.keep}" if event.keep else "it all"
            )
            self._screen.quiet(f"The answer has changed; what follows replaces {kept}.")
        elif isinstance(event, ReplyEnded):
            self._end(_last_line(event))
            self._end_is_shown()

    def delta(self, text: str) -> None:
        """Lines show finished paragraphs only."""

    def notice(self, text: str) -> None:
        self._screen.notice(text)

    def lost(self) -> None:
        if self._closed:
            return
        self._follower = self._conversation.follow(self, self._follower.after)
        if self._paused:
            self._follower.pauseProducing()
        self._end(
            "What was said can't be shown at the moment; /history may help later."
        )
        self._end_is_shown()

    # What lines say.

    def _open(self) -> tuple[Conversation, Follower]:
        conversation = self._desk.open()
        follower = conversation.follow(self)
        follower.catch_up()
        return conversation, follower

    async def _ask(self, text: str) -> None:
        self._asked = text
        try:
            ended = await self._conversation.say(text)
        except BadRequest as error:
            self._refuse(str(error))
        except StoreError:
            _log.failure("storing a message")
            if self._answering:
                self._end("The end of this answer could not be stored.")
                self.status = self.status or FAILED
            else:
                self._refuse("Your message could not be stored; please send it again.")
        else:
            if self._closed:  # which stopped it
                return
            self.status = self.status or _status(ended)
            if self._follower.after < ended.seq:
                self._shown = Deferred()
                self._follower.catch_up()
                await self._shown

    async def _clear(self) -> None:
        await self._desk.close(self._conversation)
        if self._closed:  # meanwhile
            return
        self._conversation, self._follower = self._open()
        self._asked = ""
        self._screen.quiet("The conversation is forgotten; a new one begins.")

    async def _history(self) -> None:
        after, standing = 0, list[ParagraphSaid]()
        while events := await self._conversation.read(after):
            after = events[-1].seq
            for event in events:
                standing = self._retell(event, standing)
        if standing:
            self._retell_reply(standing, "")
        if not after:
            self._screen.quiet("Nothing was said yet.")

    def _retell(self, event: Event, said: list[ParagraphSaid]) -> list[ParagraphSaid]:
        """Show an event of the past, but paragraphs only when none is taken back."""
        if isinstance(event, ParagraphSaid):
            return [*said, event]
        if isinstance(event, ReplyRevised):
            return said[: event.keep]
        if isinstance(event, ReplyEnded):
            self._retell_reply(said, _last_line(event))
        elif said:  # a reply whose end could not be stored
            self._retell_reply(said, "")
        if isinstance(event, CustomerSaid):
            self._screen.said(event.text)
        return []

    def _retell_reply(self, said: list[ParagraphSaid], last_line: str) -> None:
        self._screen.begin("")
        for paragraph in said:
            self._screen.paragraph(paragraph.text, paragraph.format)
        self._screen.end(last_line)

    def _end_is_shown(self) -> None:
        if self._shown is not None:
            shown, self._shown = self._shown, None
            shown.callback(None)

    def _end(self, last_line: str) -> None:
        self._answering = ""
        self._screen.end(last_line)

    def _refuse(self, why: str) -> None:
        self._screen.quiet(why)
        self.status = self.status or FAILED


def _last_line(ended: ReplyEnded) -> str:
    return "(stopped)" if ended.outcome is Outcome.STOPPED else ended.detail


def _status(ended: ReplyEnded) -> int:
    if ended.outcome in {Outcome.COMPLETE, Outcome.STOPPED}:  # which was asked for
        return ANSWERED
    return UNAVAILABLE if ended.unavailable else FAILED
