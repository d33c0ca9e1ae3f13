"""Opens conversations, finds them, and closes them."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from supportbot.conversation import Conversation
from supportbot.dispatcher import Dispatcher
from supportbot.errors import ConversationClosed
from supportbot.interfaces import TranscriptStore
from supportbot.settings import ConversationSettings


def new_id() -> str:
    """An id that nobody can guess: 128 random bits."""
    return secrets.token_urlsafe(16)


class FrontDesk:
    """All conversations of this process.

    Args:
        store: where transcripts live.
        dispatcher: picks the service for each message.
        now: the time in seconds of UTC.
        settings: the limits of each conversation.
        new_id: makes the ids.
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
        self._open: dict[str, Conversation] = {}
        self._draining = False

    def open(self) -> Conversation:
        """A new conversation.

        Raises:
            ConversationClosed: we are shutting down.
        """
        if self._draining:
            raise ConversationClosed
        conversation = Conversation(
            self._new_id(), self._store, self._dispatcher, self._now, self._settings
        )
        self._open[conversation.id] = conversation
        return conversation

    def title(self, service: str) -> str:
        """What customers call the service with this name."""
        return self._dispatcher.title(service)

    def find(self, id: str) -> Conversation | None:
        """The open conversation with this id."""
        return self._open.get(id)

    async def close(self, conversation: Conversation) -> None:
        """Stop what is under way, and leave nothing of the conversation."""
        await conversation.close()
        if self._open.pop(conversation.id, None) is not None:
            await self._store.erase(conversation.id)

    def drain(self, clock: IReactorTime, seconds: float) -> Deferred[None]:
        """Open no more; fires when all is answered, or after so many seconds.

        What is not answered by then is stopped.
        """
        self._draining = True

        def late(_: object, seconds: float) -> Deferred[list[None]]:
            return gatherResults([one.close() for one in list(self._open.values())])

        waiting = [one.idle() for one in self._open.values()]
        idle = gatherResults(waiting, consumeErrors=True)  # of those given up below
        idle.addTimeout(seconds, clock, late)
        return idle.addCallback(lambda _: None)
