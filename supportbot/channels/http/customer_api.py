"""The handlers of the HTTP API that tell who the customer is."""

from __future__ import annotations

import math

from supportbot.channels.http.finding import known
from supportbot.channels.http.problems import refused
from supportbot.channels.http.routing import Call
from supportbot.channels.http.shapes import LoggedIn, LoginRequest, SessionDone
from supportbot.channels.limits import Allowance
from supportbot.conversation import Conversation
from supportbot.errors import AnsweredElsewhere
from supportbot.frontdesk import FrontDesk
from supportbot.interfaces import Credentials, Doorkeeper

_BACK_SOON = 5  # seconds


class CustomerApi:
    """What front ends do for a customer who logs in or out.

    Args:
        desk: finds the conversations.
        doorkeeper: tells who somebody is; None where nobody can log in.
        allowance: names the client's address.
    """

    def __init__(
        self, desk: FrontDesk, doorkeeper: Doorkeeper | None, allowance: Allowance
    ) -> None:
        self._desk, self._doorkeeper = desk, doorkeeper
        self._allowance = allowance

    async def log_in(self, call: Call) -> LoggedIn:
        """Prove who the customer of a session is."""
        conversation = await self._own(call)
        if self._doorkeeper is None:
            raise refused(409, "Nobody can log in here: no shop is set up.")
        if conversation.elsewhere:  # it could not be written down now
            raise AnsweredElsewhere
        request: LoginRequest = call.body
        credentials = Credentials(request.email, request.pin)
        client = self._allowance.who(call.exchange.client)
        verdict = await self._doorkeeper.verify(credentials, conversation.id, client)
        if verdict.customer is None:
            status = 503 if verdict.unknown else 401 if verdict.tried else 429
            wait = _BACK_SOON if verdict.unknown else math.ceil(verdict.wait)
            raise refused(status, verdict.told, (b"retry-after", b"%d" % wait))
        conversation = await self._own(call)  # it may have left the memory meanwhile
        await conversation.verified(verdict.customer)
        return LoggedIn(verdict.told, conversation.id, verdict.customer)

    async def log_out(self, call: Call) -> SessionDone:
        """The customer of a session is nobody in particular any more."""
        conversation = await known(self._desk, call.argument)
        if conversation.customer is not None:
            await conversation.log_out()
        return SessionDone("Logged out", conversation.id)

    async def _own(self, call: Call) -> Conversation:
        """The conversation of a session whose id is ours."""
        conversation = await known(self._desk, call.argument)
        if not conversation.id_chosen:
            return conversation
        self._allowance.spend(call.exchange.client, opens=True)
        opened = await self._desk.open_durably()
        raise refused(
            409,
            "Nobody can log in in a session whose id was chosen by a client, since"
            f" others may know it. Here is a new one: {opened.id}",
        )
