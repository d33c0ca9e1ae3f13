"""Opens conversations, finds them, and closes them."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import NamedTuple

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from supportbot.conversation import Conversation
from supportbot.dispatcher import Dispatcher
from supportbot.errors import ConversationClosed, StoreError
from supportbot.interfaces import TranscriptStore
from supportbot.settings import ConversationSettings
from supportbot.waiters import Shared

_LOOKED_AT = 16  # conversations at a time, for one that need not stay in memory


def new_id() -> str:
    """An id that nobody can guess: 128 random bits."""
    return secrets.token_urlsafe(16)


class _Loading(NamedTuple):
    """A conversation that is taken up from the store, if there is one."""

    conversation: Conversation
    loaded: Shared[Conversation | None]


class FrontDesk:
    """All conversations of this process.

    Those that nobody follows and that have nothing to do may leave the memory; they are
    taken up again from the store.

    Args:
        store: where transcripts live.
        dispatcher: picks the service for each message.
        now: the time in seconds of UTC.
        settings: the limits of each conversation.
        new_id: makes the ids.

    Attributes:
        draining: we are shutting down, and open no more.
    """

    def __init__(
        self,
        store: TranscriptStore,
        dispatcher: Dispatcher,
        now: Callable[[], float],
        settings: ConversationSettings,
        new_id: Callable[[], str] = new_id,
    ) -> None:
        self._store, self._dispatcher = store, dispatcher
        self._now, self._settings, self._new_id = now, settings, new_id
        self._open: OrderedDict[str, Conversation] = OrderedDict()  # oldest use first
        self._loading: dict[str, _Loading] = {}
        self.draining = False

    def open(self, id: str | None = None, *, chosen: bool = False) -> Conversation:
        """A new conversation; the store knows of it when something is said.

        Args:
            id: of one that is not there, as `find` has just told; a new id if None.
            chosen: the id was chosen by a client, so that others may know it.

        Raises:
            ConversationClosed: we are shutting down.
        """
        if self.draining:
            raise ConversationClosed
        return self._keep(self._made(id or self._new_id(), chosen=chosen))

    async def open_durably(self) -> Conversation:
        """A new conversation that is found again although nothing was said.

        Raises:
            ConversationClosed: we are shutting down.
            StoreError: it can't be stored.
        """
        if self.draining:
            raise ConversationClosed
        id = self._new_id()
        await self._store.open(id, self._now())
        return self.open(id)

    async def find(self, id: str) -> Conversation | None:
        """The conversation with this id; use it in the same turn of the reactor.

        Raises:
            StoreError: whether there is one can't be told.
        """
        while (conversation := self._open.get(id)) is not None:
            self._open.move_to_end(id)
            if conversation.stale:
                await conversation.refresh()
            if not conversation.erased:
                return conversation
            self._let_go(conversation)
        return await self._load(id) or self._open.get(id)

    def title(self, service: str) -> str:
        """What customers call the service with this name."""
        return self._dispatcher.title(service)

    async def close(self, conversation: Conversation) -> None:
        """Stop what is under way in a conversation that nobody can come back to.

        Its transcript stays where transcripts last.
        """
        await conversation.close()
        if self._let_go(conversation) and not self._store.lasting:
            await self._store.erase(conversation.id)

    async def leave(self, id: str) -> None:
        """The same, whether it is in memory or not."""
        if (conversation := self._open.get(id)) is not None:
            await self.close(conversation)
        elif not self._store.lasting:
            await self._store.erase(id)

    async def erase(self, id: str) -> None:
        """Stop what is under way in a conversation, and leave nothing of it.

        Raises:
            StoreError: something may be left; it may be tried again.
        """
        if id in self._loading:
            with suppress(StoreError):
                await self._load(id)
        conversation = self._open.get(id)
        if conversation is None:  # who asks for it meanwhile finds one that is closed
            conversation = self._keep(self._made(id))
        try:
            await conversation.close()
            await self._store.erase(id)
        finally:
            conversation.close()  # for those who came meanwhile
            self._let_go(conversation)

    @property
    def unanswered(self) -> int:
        """How many messages wait for their answers, or for the rest of them."""
        return sum(one.unanswered for one in self._open.values())

    @property
    def followers(self) -> int:
        """How many follow a conversation."""
        return sum(one.followers for one in self._open.values())

    def drain(self, clock: IReactorTime, seconds: float) -> Deferred[None]:
        """Open no more; fires when all is answered, or after so many seconds.

        What is not answered by then is interrupted; where transcripts last, what waits
        is left to the next process.
        """
        self.draining = True
        for loading in self._loading.values():
            loading.conversation.suspend()

        def late(_: object, seconds: float) -> Deferred[list[None]]:
            return gatherResults([one.suspend() for one in list(self._open.values())])

        waiting = [one.idle() for one in self._open.values()]
        idle = gatherResults(waiting, consumeErrors=True)  # of those given up below
        idle.addTimeout(seconds, clock, late)
        return idle.addCallback(lambda _: None)

    def _load(self, id: str) -> Deferred[Conversation | None]:
        if id not in self._loading:
            conversation = self._made(id)
            if self.draining:  # nothing of it is taken up any more
                conversation.suspend()
            loaded = Shared(partial(self._loaded, conversation))
            self._loading[id] = _Loading(conversation, loaded)
        return self._loading[id].loaded.ask()

    async def _loaded(self, conversation: Conversation) -> Conversation | None:
        try:
            known = await conversation.refresh()
        finally:
            del self._loading[conversation.id]
        return self._keep(conversation) if known else None

    def _made(self, id: str, *, chosen: bool = False) -> Conversation:
        return Conversation(
            id,
            self._store,
            self._dispatcher,
            self._now,
            self._settings,
            id_chosen=chosen,
        )

    def _keep(self, conversation: Conversation) -> Conversation:
        self._open[conversation.id] = conversation
        for id, one in list(islice(self._open.items(), _LOOKED_AT)):
            if len(self._open) <= self._settings.kept:
                break
            if one.at_rest and one is not conversation:
                one.close()  # whoever has it still, shall ask for it again
                del self._open[id]
            else:
                self._open.move_to_end(id)
        return conversation

    def _let_go(self, conversation: Conversation) -> bool:
        """Forget it; returns whether it was there, and not another one of that id."""
        there = self._open.get(conversation.id) is conversation
        if there:
            del self._open[conversation.id]
        return there
