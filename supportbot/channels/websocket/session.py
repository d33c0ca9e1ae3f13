"""A session: one conversation, as the connection that it belongs to sees it.

Messages are taken in the order in which they come, at once, and the conversation
answers them one after the other; the answers are told in that order as well. While the
connection is lost, the conversation goes on, and nothing is kept for the client: when
it comes back with the number that it has come to, what it missed is told out of the
transcript.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Protocol

from twisted.internet.defer import Deferred, DeferredLock, fail
from twisted.python.failure import Failure

from supportbot.asked import Aside
from supportbot.channels.limits import Allowance
from supportbot.channels.websocket.shapes import (
    Error,
    Mark,
    Post,
    ProcessingStart,
    Resume,
    Resumed,
    Sent,
    SessionEnd,
    SessionResume,
    mark_of,
    marked,
)
from supportbot.channels.websocket.telling import (
    CLOSED,
    FAILED,
    Manner,
    Telling,
    refusal,
)
from supportbot.context import Logger, conversation_id, request_id
from supportbot.conversation import Conversation
from supportbot.errors import (
    BadRequest,
    ConversationErased,
    StoreError,
    TooManyWaiting,
)
from supportbot.frontdesk import FrontDesk
from supportbot.ledger import Message

_UNTOLD = 100  # answers that wait to be told, for those that are told once more
_log = Logger()


class Owner(Protocol):
    """The connection that a session belongs to.

    Attributes:
        address: of the client.
        request: what logs call the connection.
        full: the client does not take what was sent.
    """

    address: str
    request: str
    full: bool

    def send(self, what: Sent) -> None:
        """Send a message."""

    def rests(self) -> None:
        """A session has nothing to do any more."""

    def restart(self) -> None:
        """Close, so that the client comes back to the next process."""

    def alive(self) -> Deferred[bool]:
        """Whether the client reacts."""

    def forget(self, session: Session) -> None:
        """It belongs to another connection now."""


class _Posted:
    """A message on its way to its answer.

    Attributes:
        id: the message's.
        manner: how the answer is told.
        conversation: that takes it; None if there is none.
        message: as it is stored; None until it is.
        after: its answer is the first to it behind this number, though it may be asked
            again before that is told.
        why: it is not stored; None until that is known.
    """

    def __init__(self, id: str, manner: Manner) -> None:
        self.id, self.manner = id, manner
        self.conversation: Conversation | None = None
        self.message: Message | None = None
        self.after = 0
        self.why: BaseException | None = None

    def stored(self, message: Message) -> None:
        """It is stored, and its answer comes next."""
        self.message, self.after = message, message.after

    @property
    def settled(self) -> bool:
        """Whether it is stored, or will not be."""
        return self.message is not None or self.why is not None


class Session:
    """One session.

    Args:
        id: also the conversation's.
        desk: has the conversation.
        allowance: how often clients may do something.
        trusting: whether system messages of clients are taken.
        model: that the client would like; empty for ours.
        fresh: nothing was ever said in it.

    Attributes:
        id: as given.
        owner: the connection that it belongs to; None while that is lost.
        over: it has ended.
    """

    def __init__(
        self,
        id: str,
        desk: FrontDesk,
        allowance: Allowance,
        *,
        trusting: bool,
        model: str,
        fresh: bool = True,
    ) -> None:
        self.id, self.over = id, False
        self.owner: Owner | None = None
        self._desk, self._allowance, self._trusting = desk, allowance, trusting
        self._model, self._fresh = model, fresh
        self._new = fresh  # and nobody has looked for it
        self._turn = DeferredLock()  # requests are taken one after the other
        self._taking = 0
        self._unsettled: dict[_Posted, None] = {}  # or failed, and nobody was told
        self._untold: deque[_Posted] = deque()
        self._telling: Telling | None = None
        self._busy = False

    @property
    def at_rest(self) -> bool:
        """Whether nothing is being taken or told."""
        return not (self._taking or self._untold or self._telling)

    # What clients ask for

    def post(self, asked: Post) -> Deferred[None]:
        """Say something; fires when that is lined up or refused."""
        return self._in_turn(lambda owner: self._post(asked, owner))

    def stop(self) -> Deferred[None]:
        """Stop the reply that is under way."""
        return self._in_turn(lambda _: self._stop())

    def end(self) -> Deferred[None]:
        """Stop, and tell so; if it has ended already, tell so again."""
        return self._in_turn(lambda _: self._end())

    def go_on(self, asked: Resume) -> Deferred[None]:
        """Tell its new owner what it missed, and then what comes."""
        return self._in_turn(lambda owner: self._go_on(asked, owner))

    # What the connection does

    def pause(self) -> None:
        """The client is full."""
        if self._telling is not None:
            self._telling.pause()

    def resume(self) -> None:
        """It is not any more."""
        if self._telling is not None:
            self._telling.resume()

    def detach(self) -> None:
        """It belongs to nobody."""
        self.owner = None
        self._drop()

    async def close(self) -> None:
        """Stop what is under way; nobody comes back."""
        self.over = True
        try:
            await self._desk.leave(self.id)
        except StoreError as error:
            _log.warn("a session that is over is not erased: {why}", why=str(error))

    # What is told

    def send(self, what: Sent) -> None:
        if self.owner is not None:
            self.owner.send(what)

    def told(self) -> None:
        self._telling = None
        self._tell_on()

    def erased(self) -> None:
        self._telling = None
        self._close_untold()

    def interrupted(self) -> None:
        self._telling = None
        if self.owner is not None:
            self.owner.restart()

    # Taking

    def _in_turn(self, do: Callable[[Owner | None], Awaitable[None]]) -> Deferred[None]:
        """Do what a connection asks for, and tell it so if it is still the owner."""
        owner = self.owner

        async def go() -> None:
            conversation_id.set(self.id)
            request_id.set("" if owner is None else owner.request)
            try:
                await do(owner)
            except Exception as error:
                _tell_operators("doing what a client asks for in a session", Failure())
                if self.owner is owner:
                    self.send(Error(data=_told(error), session_id=self.id))
            finally:
                self._taking -= 1
                self._perhaps_rests()

        self._taking += 1
        return self._turn.run(lambda: Deferred.fromCoroutine(go()))

    async def _post(self, asked: Post, owner: Owner | None) -> None:
        id = asked.message_id or token_hex(16)
        posted = _Posted(id, Manner(bool(asked.stream), mark_of(asked)))
        try:
            posted.conversation = await self._opened()
            address = "" if owner is None else owner.address
            taking = self._take(posted.conversation, id, asked, address)
        except Exception as error:
            taking = fail(error)
        self._unsettled[posted] = None
        taking.addCallbacks(
            self._stored, self._not_stored, (posted,), {}, (posted,), {}
        )
        if self.owner is None or self.owner is not owner:
            return  # who comes back will be told
        if posted.why is not None and refusal(posted.why) is not None:
            self._fail(posted)  # it has nothing to do with those before
        else:
            self._line_up(posted)
            self._tell_on()

    def _line_up(self, posted: _Posted) -> None:
        """Have it told behind those that are answered before it."""
        behind = len(self._untold)
        if posted.message is not None:  # it was stored before, and need not wait
            waits = (at for at, one in enumerate(self._untold) if not one.settled)
            behind = next(waits, behind)
        self._untold.insert(behind, posted)

    def _take(
        self, conversation: Conversation, id: str, asked: Post, address: str
    ) -> Deferred[Message]:
        if not conversation.knows(id):
            self._allowance.spend(address, self.id, says=True)
        elif len(self._untold) >= _UNTOLD:
            raise TooManyWaiting(_UNTOLD)
        if asked.gpt_model is not None:
            self._model = asked.gpt_model
        system_message = (asked.system_message or "") if self._trusting else ""
        aside = Aside(system_message, self._model, self._allowance.who(address))
        return conversation.take(asked.user_message, id, aside)

    async def _opened(self) -> Conversation:
        if self._new:  # nobody else can know of it
            self._new = False
            return self._desk.open(self.id)
        conversation = None if self.over else await self._desk.find(self.id)
        if self.over or (conversation is None and not self._fresh):
            raise ConversationErased
        return conversation or self._desk.open(self.id)

    def _stored(self, message: Message, posted: _Posted) -> None:
        self._fresh = False
        posted.stored(message)
        self._settled(posted)

    def _not_stored(self, why: Failure, posted: _Posted) -> None:
        posted.why = why.value
        _tell_operators("taking a message", why)
        self._settled(posted)

    def _settled(self, posted: _Posted) -> None:
        if posted.why is None:
            del self._unsettled[posted]
        self._tell_on()

    async def _stop(self) -> None:
        conversation = None if self.over else await self._desk.find(self.id)
        if conversation is not None:
            conversation.stop()

    async def _end(self) -> None:
        if not self.over:
            self.over = True
            telling, self._telling = self._telling, None
            if telling is not None:
                telling.close()
            self._close_untold()
            await self.close()
        self.send(SessionEnd())

    async def _go_on(self, asked: Resume, owner: Owner | None) -> None:
        conversation = await self._opened()
        if self.owner is not owner:  # it was lost again
            return
        self._drop()
        missed = {}
        for message in conversation.messages(asked.after):
            posted = missed[message.message_id] = _Posted(message.message_id, Manner())
            posted.conversation = conversation
            posted.stored(message)
        for posted in list(self._unsettled):
            missed.setdefault(posted.id, posted)
            if posted.settled:
                del self._unsettled[posted]
        for posted in missed.values():
            mark = Mark(self.id, posted.id)
            posted.manner = Manner(bool(asked.stream), mark, asked.after)
        self._untold += missed.values()
        resumed = Resumed(self.id, conversation.last_seq)
        self.send(SessionResume(data=resumed))
        self._tell_on()

    # Telling

    def _tell_on(self) -> None:
        """Tell what is stored, one answer after the other."""
        if self._busy:  # the loop below is at it, further up the stack
            return
        self._busy = True
        try:
            while (
                self.owner is not None
                and self._telling is None
                and self._untold
                and self._untold[0].settled
            ):
                self._tell(self._untold.popleft(), self.owner)
        finally:
            self._busy = False
        self._perhaps_rests()

    def _tell(self, posted: _Posted, owner: Owner) -> None:
        if posted.message is None or posted.conversation is None:
            self._fail(posted)
            return
        telling = self._telling = Telling(
            self, posted.conversation, posted.message, posted.after, posted.manner
        )
        if owner.full:
            telling.pause()
        telling.begin()

    def _close_untold(self) -> None:
        """Nothing of what waits is answered."""
        while self._untold:
            posted = self._untold.popleft()
            posted.why = ConversationErased()
            self._fail(posted)
        self._perhaps_rests()

    def _drop(self) -> None:
        """Forget what was to be told; the transcript has it."""
        self._untold.clear()
        telling, self._telling = self._telling, None
        if telling is not None:
            telling.leave()

    def _fail(self, posted: _Posted) -> None:
        """Tell why there is no answer."""
        assert posted.why is not None
        self._unsettled.pop(posted, None)
        mark = posted.manner.mark
        if (refused := refusal(posted.why)) is not None:
            self.send(marked(refused, mark))
            return
        self.send(marked(ProcessingStart(), mark))
        self.send(marked(Error(data=_told(posted.why)), mark))

    def _perhaps_rests(self) -> None:
        if self.at_rest and self.owner is not None:
            self.owner.rests()


def _told(why: BaseException) -> str:
    """What a client reads when that is why something is not done."""
    return CLOSED if isinstance(why, ConversationErased) else FAILED


def _tell_operators(doing: str, why: Failure) -> None:
    """Log what has failed, unless the customer's message is to blame."""
    if why.check(StoreError):
        _log.warn("not stored or not read: {why}", why=str(why.value))
    elif not why.check(BadRequest):
        _log.failure(doing, why)
