"""A line client's conversation: its messages, its commands, and what it is shown."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncIterator, Callable

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from supportbot.asked import Aside
from supportbot.channels.commands import HELP, Command, UnknownCommand, command
from supportbot.channels.retelling import Passage, Retelling
from supportbot.channels.screen import Screen
from supportbot.context import Logger
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

_RECALLED = 20  # messages and answers that are shown when a chat goes on
_log = Logger()


class Opening(msgspec.Struct, frozen=True):
    """How a chat begins that can be gone on with later.

    Attributes:
        conversation: the one to go on with; None for a new one.
        recalled: whether the end of what was said in it is shown.
        greeting: a quiet line in front of everything; empty for none.
        used: is told a conversation's id before something is said in it, and when a
            new one has taken its place.
    """

    conversation: Conversation | None = None
    recalled: bool = False
    greeting: str = ""
    used: Callable[[str], None] = lambda id: None


class Chat:
    """Take lines one at a time; show what comes of them.

    A viewer of its conversation: everything of an answer comes from the transcript.

    Args:
        clock: tells how long an answer takes.
        desk: opens the conversation.
        screen: shows it.
        opening: how it begins; `begin` has to be called before the first line.
        address: of the client, for limits; empty if it has none.

    Attributes:
        status: how it went, as an exit status: that of the first message that was not
            answered wholly.

    Raises:
        ConversationClosed: no conversation can be opened any more.
    """

    def __init__(
        self,
        clock: IReactorTime,
        desk: FrontDesk,
        screen: Screen,
        opening: Opening | None = None,
        address: str = "",
    ) -> None:
        self._aside = Aside(client=address)
        self._clock, self._desk, self._screen = clock, desk, screen
        self._opening = opening or Opening()
        self.status = ANSWERED
        self._asked = ""  # the last message
        self._answering = ""  # the title of the service that does
        self._since = 0.0  # it does
        self._closed = self._paused = self._recalling = self._over = False
        self._shown: Deferred[None] | None = None  # fires when this event was:
        self._awaited = 0
        self._room: Deferred[None] | None = None  # fires when the client takes more
        self._conversation, self._follower = self._open(self._opening.conversation)

    async def begin(self) -> None:
        """Show what stands before the first prompt."""
        if self._opening.greeting:
            self._screen.quiet(self._opening.greeting)
        if self._opening.conversation is None:
            return
        self._recalling = True
        self._follower.pauseProducing()
        try:
            await self._recall()
        except StoreError:
            _log.failure("reading what was said before")
            self._screen.quiet(
                "What was said before can't be shown at the moment;"
                " /history may help later."
            )
        self._recalling = False
        if not self._paused:
            self._follower.resumeProducing()
        await self._conversation.idle()  # what was said before the program ended
        await self._until_shown(self._conversation.last_seq)

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
        if not self._recalling:
            self._follower.resumeProducing()
        self._make_room()

    async def close(self) -> None:
        """The client is gone, or all is said."""
        self._closed = True
        self._make_room()
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
        if event.seq >= self._awaited:
            self._end_is_shown()

    def delta(self, text: str) -> None:
        self._screen.delta(text)

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

    def over(self) -> None:
        """Nothing comes any more; who closed it says so."""
        self._over = True
        self._answering = ""
        self._end_is_shown()

    # What lines say.

    def _open(
        self, conversation: Conversation | None = None
    ) -> tuple[Conversation, Follower]:
        if conversation is None:
            conversation = self._desk.open()
        self._over = False
        follower = conversation.follow(self, conversation.last_seq)
        follower.catch_up()
        return conversation, follower

    async def _ask(self, text: str) -> None:
        self._asked = text
        self._opening.used(self._conversation.id)
        try:
            if self._conversation.elsewhere:
                await self._conversation.refresh()
            ended = await self._conversation.say(text, aside=self._aside)
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
            await self._until_shown(ended.seq)

    async def _until_shown(self, seq: int) -> None:
        """Wait until the event with this number was shown."""
        if self._follower.after < seq and not (self._closed or self._over):
            self._shown, self._awaited = Deferred(), seq
            self._follower.catch_up()
            await self._shown

    async def _clear(self) -> None:
        try:
            await self._desk.erase(self._conversation.id)
        except StoreError:
            _log.failure("erasing a conversation")
            self._refuse(
                "The conversation could not be erased; please try /clear again."
            )
            return
        if self._closed:  # meanwhile
            return
        self._conversation, self._follower = self._open()
        self._opening.used(self._conversation.id)
        self._asked = ""
        self._screen.quiet("The conversation is forgotten; a new one begins.")

    async def _history(self) -> None:
        empty = True
        try:
            async for passage in self._passages(sys.maxsize):
                empty = False
                await self._retell(passage)
        except StoreError as error:
            _log.warn("a transcript can't be read: {why}", why=str(error))
            self._screen.quiet("The rest can't be read at the moment; try again soon.")
            return
        if empty:
            self._screen.quiet("Nothing was said yet.")

    async def _recall(self) -> None:
        """Show the end of what was said, and know what was asked last."""
        latest, earlier = deque[Passage](maxlen=_RECALLED), 0
        async for passage in self._passages(self._follower.after):
            earlier += len(latest) == _RECALLED
            latest.append(passage)
            if isinstance(passage, CustomerSaid):
                self._asked = passage.text
        if not self._opening.recalled:
            return
        if earlier:
            texts = f"{earlier} earlier {'text is' if earlier == 1 else 'texts are'}"
            self._screen.quiet(f"{texts} not shown; /history shows all.")
        for passage in latest:
            await self._retell(passage)

    async def _passages(self, last: int) -> AsyncIterator[Passage]:
        """What was said up to this number."""
        retelling, after = Retelling(), 0
        while after < last and (events := await self._conversation.read(after)):
            after = events[-1].seq
            for event in events:
                if event.seq <= last:
                    for passage in retelling.tell(event):
                        yield passage
        for passage in retelling.end():
            yield passage

    async def _retell(self, passage: Passage) -> None:
        """Show a passage of the past as soon as the client can take it."""
        if self._paused and not self._closed:
            self._room = Deferred()
            await self._room
        if self._closed:
            return
        if isinstance(passage, CustomerSaid):
            self._screen.said(passage.text)
            return
        self._screen.begin("")
        for paragraph in passage.paragraphs:
            self._screen.paragraph(paragraph.text, paragraph.format)
        self._screen.end("" if passage.ended is None else _last_line(passage.ended))

    def _make_room(self) -> None:
        if self._room is not None:
            room, self._room = self._room, None
            room.callback(None)

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
