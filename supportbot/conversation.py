"""One customer's thread: what was said, and who answers next.

What is shown has been stored before. Messages are answered one at a time, in the order
in which they came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from secrets import token_hex

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from supportbot.asked import NOTHING, Aside, Asked
from supportbot.context import Logger, conversation_id, request_id
from supportbot.dispatcher import Dispatcher
from supportbot.errors import (
    AnsweredElsewhere,
    BadRequest,
    ConversationBusy,
    ConversationClosed,
    ConversationErased,
    MessageEmpty,
    MessageIdTaken,
    MessageTooLong,
    StoreError,
    TooManyWaiting,
    TranscriptGone,
)
from supportbot.events import (
    ConversationReset,
    CustomerLoggedOut,
    CustomerSaid,
    CustomerVerified,
    Event,
    Outcome,
    ReplyEnded,
    ReplyStarted,
)
from supportbot.follower import Follower
from supportbot.hearing import Hearing
from supportbot.identity import Identity
from supportbot.interfaces import (
    Customer,
    Question,
    TranscriptStore,
    Viewer,
)
from supportbot.ledger import Ledger, Message
from supportbot.recorder import Recorder
from supportbot.reply import End, StoredReply
from supportbot.settings import ConversationSettings
from supportbot.waiters import Shared, Waiters
from supportbot.wording.consent import consent
from supportbot.wording.credentials import Masked

_INTERRUPTED = "This answer was interrupted on our side; please ask again."
_log = Logger()


class Conversation:
    """A transcript plus a queue of messages that were not answered yet.

    A new one has nothing in the store; `refresh` takes up one that has.

    Args:
        id: names it in the store and in logs.
        store: where its events live.
        dispatcher: picks the service for each message.
        now: the time in seconds of UTC.
        settings: its limits.
        id_chosen: its id was chosen by a client.

    Attributes:
        elsewhere: another process is answering in it, as far as is known; `refresh`
            tells.
        erased: its transcript was erased by somebody else, as has turned out; it is of
            no use any more.
    """

    def __init__(
        self,
        id: str,
        store: TranscriptStore,
        dispatcher: Dispatcher,
        now: Callable[[], float],
        settings: ConversationSettings,
        *,
        id_chosen: bool = False,
    ) -> None:
        self.id = id
        self._store, self._dispatcher = store, dispatcher
        self._now, self._settings = now, settings
        self._ledger = Ledger()
        self._identity = Identity(settings.logged_in, id_chosen=id_chosen)
        self._hearing = Hearing(self._identity, now)
        self._recorder = Recorder(store, id, now, self._announce, self._vanish)
        self._unanswered: dict[str, Asked] = {}  # also those not yet in the queue
        self._queue: deque[Asked] = deque()
        self._answering: Asked | None = None
        self._closed = self._resetting = self._suspended = False
        self.elsewhere = self.erased = False
        self._known = False  # the store knew it once
        self._reply: StoredReply | None = None
        self._latest = 0  # number of the message that we have had answered last
        self._mending = Shared(self._end_interrupted)
        self._refreshing = Shared(self._refresh)
        self._followers: list[Follower] = []
        self._idle = Waiters[None]()

    @property
    def unanswered(self) -> int:
        """How many messages wait for their answers, or for the rest of them."""
        return len(self._unanswered)

    @property
    def followers(self) -> int:
        """How many follow it."""
        return len(self._followers)

    @property
    def at_rest(self) -> bool:
        """Whether nobody follows it and nothing is under way."""
        return self.erased or not (
            self._unanswered
            or self._followers
            or self._closed
            or self._resetting
            or self._refreshing.busy
        )

    @property
    def last_seq(self) -> int:
        """The number of the newest event."""
        return self._recorder.last_seq

    @property
    def stale(self) -> bool:
        """Whether others may have written to it, or erased it; `refresh` tells."""
        idle = not (self._unanswered or self._closed)
        return self.elsewhere or (self.lasting and idle)

    @property
    def lasting(self) -> bool:
        """Whether its transcript lasts, and others may change or erase it."""
        return self._store.lasting

    @property
    def customer(self) -> Customer | None:
        """Who the customer has proven to be."""
        return self._identity.customer(self._now())

    @property
    def id_chosen(self) -> bool:
        """Whether its id was chosen by a client, so that others may know it."""
        return self._identity.id_chosen

    def message(self, message_id: str) -> Message | None:
        """A message that is stored, by its id."""
        return self._ledger.messages.get(message_id)

    def messages(self, after: int) -> list[Message]:
        """The stored messages whose answers were not over at a number.

        They stand in the order in which their answers came, or will come.
        """
        lined_up = [one for one in (self._answering, *self._queue) if one is not None]
        coming = [one.message for one in lined_up if self._waits(one)]
        others = [one for one in self._ledger.unanswered(after) if one not in coming]
        return sorted(others, key=lambda one: one.began or inf) + coming

    def _waits(self, asked: Asked) -> bool:
        return self._unanswered.get(asked.message.message_id) is asked

    def knows(self, message_id: str) -> bool:
        """Whether a message with this id was said."""
        return message_id in self._unanswered or message_id in self._ledger.messages

    def say(
        self, text: str, message_id: str | None = None, aside: Aside = NOTHING
    ) -> Deferred[ReplyEnded]:
        """Take a customer's message.

        Args:
            text: as typed; white space around it does not count.
            message_id: the same id again is the same message, not a second one. One
                whose answer was not complete is asked again.
            aside: what else the client said.

        Returns:
            Fires when the message is answered, with how that ended. Cancelling it
            leaves the message where it is. Fails with BadRequest if the message is
            not taken, and with StoreError if it, or that its answer began or ended,
            could not be stored; the same message may be said again then.
        """
        try:
            asked = self._ask(text, message_id or token_hex(16), aside)
        except BadRequest as error:
            return fail(error)
        if asked.message.ended is not None and asked.message.settled:
            return succeed(asked.message.ended)
        answered = asked.answered.another()
        self._begin(asked)
        return answered

    def take(
        self,
        text: str,
        message_id: str | None = None,
        aside: Aside = NOTHING,
    ) -> Deferred[Message]:
        """The same, but fires when the message is stored.

        Its latest reply is behind the number in `after`, or will be.
        """
        try:
            asked = self._ask(text, message_id or token_hex(16), aside)
        except BadRequest as error:
            return fail(error)
        if asked.message.seq:
            self._begin(asked)
            return succeed(asked.message)
        stored = asked.stored.another()
        self._begin(asked)
        return stored

    def answered(self, message: Message) -> Deferred[ReplyEnded]:
        """Fires when a message that was taken is answered, with how that ended.

        Fails with StoreError if its answer's beginning or end could not be stored, and
        with BadRequest if it will not be answered by this process.
        """
        asked = self._unanswered.get(message.message_id)
        if asked is not None:
            return asked.answered.another()
        if message.ended is not None:
            return succeed(message.ended)
        if self.erased:
            return fail(ConversationErased())
        if self._suspended:
            return fail(ConversationClosed())
        return fail(StoreError("the answer could not be stored"))

    def stop(self) -> bool:
        """End the reply that is under way; returns whether there was one.

        The connection to the service is closed at once, and the reply's outcome is
        `stopped`, unless the service had ended by itself.
        """
        if self._reply is None:
            return False
        self._reply.stop()
        return True

    def close(self) -> Deferred[None]:
        """Take no more messages, and stop; fires when nothing is under way."""
        self._closed = True
        self._dismiss()
        self.stop()
        return self.idle()

    def suspend(self) -> Deferred[None]:
        """This process ends: interrupt the reply, and leave what waits to the next.

        Fires when nothing is under way.
        """
        self._suspended = self._closed = True
        self._leave_queued(ConversationClosed())
        self.stop()
        return self.idle()

    async def verified(self, customer: Customer) -> None:
        """The customer has proven who they are, outside of the chat.

        Raises:
            StoreError: that is not stored, and does not hold.
            BadRequest: it is closed, being reset, or answered elsewhere.
        """
        await self._note(
            CustomerVerified,
            customer_id=customer.customer_id,
            name=customer.name,
            email=customer.email,
        )

    async def log_out(self) -> None:
        """The customer is nobody in particular from here on.

        Raises:
            StoreError, BadRequest: as for `verified`.
        """
        await self._note(CustomerLoggedOut)

    async def _note(self, kind: type[Event], **fields: object) -> None:
        """Store what was not said."""
        if self._closed:
            raise ConversationClosed
        if self._resetting:  # which forgets it, or not
            raise ConversationBusy
        if self.elsewhere:  # which has to have the last word
            raise AnsweredElsewhere
        await self._recorder.record(kind, self._answered_elsewhere, **fields)

    async def reset(self) -> None:
        """Stop, and forget all that was said. The numbers of events go on.

        Raises:
            StoreError: not all is forgotten; it may be tried again.
            BadRequest: it is closed, being reset already, or answered elsewhere.
        """
        if self._closed:
            raise ConversationClosed
        if self._resetting:
            raise ConversationBusy
        if self.elsewhere:
            raise AnsweredElsewhere
        self._resetting = True
        try:
            self._leave_queued(ConversationBusy())
            self.stop()
            await self.idle()
            event = await self._recorder.record(
                ConversationReset, self._answered_elsewhere, id_chosen=self.id_chosen
            )
            await self._store.forget(self.id, event.seq)
        finally:
            self._resetting = False

    async def refresh(self) -> bool:
        """Look at what others stored, and take up what nobody works on any more.

        A reply whose process is gone is ended as `cut`; messages that were never asked
        are asked.

        Returns:
            Whether the store knows the conversation.

        Raises:
            StoreError: at the moment that can't be told.
        """
        return await self._refreshing.ask()

    async def _refresh(self) -> bool:
        if self.erased:
            return False
        last = self.last_seq
        known = await self._store.find(self.id)
        if self.erased:  # meanwhile
            return False
        if known is None or known.last_seq < last:
            if self._known or last:
                self._vanish()
            return False
        self._known = True
        if known.last_seq > self.last_seq:
            await self._recorder.catch_up()
        unfinished = self._ledger.under_way is not None or self._ledger.unasked
        if known.elsewhere and unfinished:
            self.elsewhere = True
            return True
        if not (self._unanswered or self._closed or self._resetting):
            await self._mending.ask()
            for message in self._ledger.unasked:
                if self._closed or self._resetting:
                    break
                if message.message_id not in self._unanswered:
                    self._begin(Asked(message, Masked(message.text, None)))
        self.elsewhere = False
        return not self.erased

    async def _end_interrupted(self) -> None:
        """A reply that nobody works on has no end yet: it gets one."""
        if (under_way := self._ledger.under_way) is None:
            return
        objection = partial(self._moved_on, under_way.began)
        # Another process was faster, or has erased it.
        with suppress(AnsweredElsewhere, TranscriptGone):
            await self._recorder.record(
                ReplyEnded, objection, outcome=Outcome.CUT, detail=_INTERRUPTED
            )

    def idle(self) -> Deferred[None]:
        """Fires when no message is unanswered."""
        if not self._unanswered:
            return succeed(None)
        return self._idle.another()

    def read(self, after: int) -> Deferred[Sequence[Event]]:
        """The events behind a number, a batch of them; empty when there are none."""
        last = self.last_seq

        def seen(events: Sequence[Event]) -> Sequence[Event]:
            if after < last and not events:  # there is always the newest
                self._vanish()
            return events

        reading = self._store.read(self.id, after, self._settings.batch)
        return reading.addCallback(seen)

    async def events(self) -> list[Event]:
        """All of the transcript.

        Raises:
            StoreError: it can't be read.
        """
        events: list[Event] = []
        while batch := await self.read(events[-1].seq if events else 0):
            events += batch
        return events

    def follow(self, viewer: Viewer, after: int = 0) -> Follower:
        """Show a viewer all events behind a number, and those to come.

        The viewer is called from the moment on when `catch_up` of the follower that
        is returned is, so that there is time to register that as a producer.
        """
        follower = Follower(
            viewer,
            after,
            self.read,
            self._followers.remove,
            newest=self.last_seq,
            growing="" if self._reply is None else self._reply.grown,
        )
        self._followers.append(follower)
        return follower

    # Messages

    def _ask(self, text: str, message_id: str, aside: Aside = NOTHING) -> Asked:
        """The message with this id, whether it is new or not; or BadRequest."""
        if self.erased:
            raise ConversationErased
        text = text.strip()
        if len(text) > self._settings.message:  # to look for PINs in it takes its time
            known = self.knows(message_id)
            raise MessageIdTaken if known else MessageTooLong(self._settings.message)
        if len(aside.system_message) > self._settings.message:
            raise MessageTooLong(self._settings.message)
        if (asked := self._unanswered.get(message_id)) is not None:
            if self._hearing.again(text, asked.text.__eq__) is None:
                raise MessageIdTaken
            return asked
        if (message := self._ledger.messages.get(message_id)) is not None:
            if (again := self._hearing.again(text, message.says)) is None:
                raise MessageIdTaken
            if not message.settled:
                self._admit(text)
            return Asked(message, again, aside)
        self._admit(text)
        said = self._hearing.masked(text, expected=self._address_comes())
        return Asked(Message(message_id, said.text), said, aside)

    def _address_comes(self) -> bool:
        """Whether an e-mail address may be in a message that is not stored yet."""
        waiting = self._unanswered.values()
        return any("@" in one.text for one in waiting if not one.message.seq)

    def _admit(self, text: str) -> None:
        if self._closed:
            raise ConversationClosed
        if not text:
            raise MessageEmpty
        if len(self._unanswered) >= self._settings.queue:
            raise TooManyWaiting(self._settings.queue)
        if self._resetting:
            raise ConversationBusy
        if self.elsewhere:
            raise AnsweredElsewhere

    def _begin(self, asked: Asked) -> None:
        """Store the message if it is new, and line it up."""
        if asked.begun or asked.message.settled:
            return
        asked.begun = True
        id = asked.message.message_id
        self._unanswered[id] = asked
        if asked.message.seq:
            if asked.message.began:
                asked.message.again = self.last_seq
            self._line_up(asked)
            return

        def objection() -> Exception | None:
            if id in self._ledger.messages:  # by another process, or after all
                self.elsewhere = self._store.shared
                return AnsweredElsewhere()
            return self._answered_elsewhere()

        said = self._recorder.record(
            CustomerSaid,
            objection,
            text=asked.text,
            message_id=id,
            system_message=self._hearing.masked(asked.aside.system_message).text,
            model=asked.aside.model,
            id_chosen=self.id_chosen,
        )
        said.addBoth(self._said, asked)

    def _said(self, said: CustomerSaid | Failure, asked: Asked) -> None:
        """The message is stored, or not, or was stored before as it turned out."""
        message = self._ledger.messages.get(asked.message.message_id)
        if isinstance(said, Failure) and (message is None or self.elsewhere):
            self._end(said, asked)
        elif message is None:  # another process has reset the conversation meanwhile
            self._end(Failure(ConversationBusy()), asked)
        elif not message.says(asked.text):
            self._end(Failure(MessageIdTaken()), asked)
        else:
            asked.message = message
            asked.stored.fire(message)
            self._line_up(asked)

    def _line_up(self, asked: Asked) -> None:
        if asked.message.ended is not None and asked.message.settled:
            self._end(asked.message.ended, asked)
            return
        if self._resetting or self._suspended:
            why = ConversationClosed() if self._suspended else ConversationBusy()
            self._end(Failure(why), asked)
            return
        self._queue.append(asked)
        if self._answering is None:
            self._answering = asked  # before the start, which may be the end as well
            Deferred.fromCoroutine(self._work())

    async def _work(self) -> None:
        conversation_id.set(self.id)
        while self._queue:
            asked = self._answering = self._queue.popleft()
            request_id.set(asked.request)
            result: ReplyEnded | Failure
            try:
                result = await self._answer(asked)
            except (BadRequest, TranscriptGone):  # another process answers, or erases
                result = Failure()
            except StoreError as error:  # its beginning or its end
                _log.warn("an answer is not stored: {why}", why=str(error))
                result = Failure()
            except Exception:  # whatever it is, nobody may be left waiting
                _log.failure("answering a message")
                result = Failure()
            self._reply = None
            self._end(result, asked)
        self._answering = None

    def _leave_queued(self, why: BadRequest) -> None:
        """What waits is not answered now."""
        while self._queue:
            self._end(Failure(why), self._queue.popleft())

    def _end(self, result: ReplyEnded | Failure, asked: Asked) -> None:
        """Tell all who wait for a message."""
        if isinstance(result, Failure) and result.check(TranscriptGone):
            result = Failure(ConversationErased())
        self._unanswered.pop(asked.message.message_id, None)
        if isinstance(result, Failure):
            asked.stored.fire(result)
        asked.answered.fire(result)
        if not self._unanswered:
            self._idle.fire(None)

    # The reply

    async def _answer(self, asked: Asked) -> ReplyEnded:
        began = self._now()
        started: ReplyStarted | None = None

        def objection() -> Exception | None:
            message = asked.message
            if self._ledger.messages.get(message.message_id) is not message:
                return ConversationBusy()  # another process has reset it
            return self._moved_on(0 if started is None else started.seq)

        record = partial(self._recorder.record, objection=objection)
        reply = self._reply = StoredReply(record, lambda: list(self._followers))
        if self._closed:
            reply.stop()
        await self._recorder.make_sure()
        if not self._mending.busy and (why := self._answered_elsewhere()) is not None:
            raise why
        if self._ledger.under_way is not None:
            await self._mending.ask()
        seq = self._latest = asked.message.seq
        question = self._question(asked)
        standing = question.standing
        decides = standing.proposal is not None and consent(asked.text) is not None
        claimed = question.credentials is not None or decides
        route = self._dispatcher.pick(asked.text, claimed=claimed)
        service = route.service
        started = await record(
            ReplyStarted, service=service.name, intent=route.intent, to=seq
        )
        how = await reply.outcome(service, question, self._dispatcher.way_out(service))
        if reply.stopped and self._suspended:
            how = End(Outcome.CUT, _INTERRUPTED)
        ended = await record(ReplyEnded, **msgspec.structs.asdict(how))
        _log.info(
            "{service} answered: {outcome} after {took:.1f} s",
            service=service.name,
            intent=route.intent,
            outcome=how.outcome,
            took=self._now() - began,
        )
        return ended

    def _question(self, asked: Asked) -> Question:
        seq, last = asked.message.seq, self.last_seq

        async def transcript() -> Sequence[Event]:
            return [
                event
                for event in await self._store.read(self.id, 0, last)
                if event.seq <= last
                and not (isinstance(event, CustomerSaid) and event.seq > seq)
            ]

        return Question(
            asked.text,
            transcript,
            conversation_id=self.id,
            seq=seq,
            client=asked.aside.client,
            customer=lambda: self.customer,
            credentials=self._hearing.credentials(asked.text, asked.pin),
            standing=self._identity.standing(seq),
        )

    def _answered_elsewhere(self) -> AnsweredElsewhere | None:
        """An objection: as far as is known, another process is answering."""
        under_way = self._ledger.under_way
        if under_way is None or under_way.seq == self._latest:
            return None
        self.elsewhere = True  # until `refresh` knows better
        return AnsweredElsewhere()

    def _moved_on(self, began: int) -> AnsweredElsewhere | None:
        """An objection: not the reply that began with this event is under way.

        Args:
            began: number of the event; 0 if none should be under way.
        """
        under_way = self._ledger.under_way
        if (0 if under_way is None else under_way.began) == began:
            return None
        self.elsewhere = True
        return AnsweredElsewhere()

    # The end

    def _vanish(self) -> None:
        """Somebody else has erased it: there is nothing to store, show or answer."""
        if not self.erased:
            self.erased = self._closed = True
            _log.info("the conversation was erased by somebody else")
        self._dismiss()
        self._leave_queued(ConversationErased())
        self._recorder.end()
        self.stop()

    def _dismiss(self) -> None:
        """Nothing comes any more for those who follow."""
        for follower in list(self._followers):
            follower.end()

    # Those who read along

    def _announce(self, event: Event) -> None:
        self._ledger.tell(event)
        self._identity.tell(event)
        if isinstance(event, CustomerLoggedOut | ConversationReset):  # by whomever
            self._hearing.forget()
        for follower in list(self._followers):
            follower.announced(event)
