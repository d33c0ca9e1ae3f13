"""Logging in: an e-mail address and a PIN become a customer, or they don't.

A try is counted before the shop is asked. What comes of it is written before anybody
is told: a right PIN clears the count first, and then makes the customer known. If we
break off in between, one try too many is counted, or the customer logs in once more;
nobody is locked out for that, and nobody is let in.

The PIN is in the hands of `_ask` alone. No exception that has passed there goes on,
since its frames hold the PIN for whoever prints them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
from twisted.internet.defer import CancelledError

from supportbot.context import Logger
from supportbot.errors import ServiceError, StoreError
from supportbot.events import Called, CustomerVerified, ToolCalled
from supportbot.guessing import same_customer
from supportbot.interfaces import Credentials, Guesses, Question, Reply, Verdict
from supportbot.services.assistant import shop
from supportbot.services.assistant.policy import ToolServer
from supportbot.settings import ShopSettings

_WRONG = Verdict(None, "This e-mail address and PIN don't belong together.")
_UNKNOWN = Verdict(
    None,
    "Logging in is not possible at the moment; please try again soon.",
    unknown=True,
)
_NEITHER = "To log in, please give your e-mail address and your PIN."
_NO_PIN = "To log in, please give your PIN too."
_NO_EMAIL = "To log in, please give your e-mail address too."
_READABLE_ALONG = (
    "Nobody can log in in this session: its id was chosen by a client, so others may"
    " know it. Please start a new one, and log in there."
)

_REFUSAL = "customer not found or pin incorrect"
"""What the shop says to a wrong PIN, among other words or alone."""

_LONGEST_EMAIL, _LONGEST_PIN, _LONGEST_NAME = 254, 64, 80  # characters


class Login:
    """Tell who somebody is; see `Doorkeeper`.

    Args:
        settings: name the tool that verifies.
        client: of the shop's server.
        guesses: counts the tries.
        now: the time in seconds of UTC.
    """

    _log = Logger()

    def __init__(
        self,
        settings: ShopSettings,
        client: ToolServer,
        guesses: Guesses,
        now: Callable[[], float],
    ) -> None:
        self._settings, self._client = settings, client
        self._guesses, self._now = guesses, now

    async def answer(self, question: Question, reply: Reply) -> bool:
        """Answer a message that holds credentials; whether they were right.

        Raises:
            StoreError: the try can't be counted, or what came of it can't be stored.
        """
        credentials = question.credentials
        if credentials is None:
            return False
        if question.standing.id_chosen:
            # Not the id of a new one: whoever reads along would know that too.
            reply.paragraph(_READABLE_ALONG, "plain")
            return False
        if lacking := _lacking(credentials):
            reply.paragraph(lacking, "plain")
            return False
        reply.notice("Checking your e-mail address and PIN…")
        verdict = await self.verify(
            credentials, question.conversation_id, question.client
        )
        given = {"email": (credentials.email or "").strip(), "pin": "****"}
        await reply.record(
            ToolCalled,
            name=self._settings.login,
            arguments=msgspec.json.encode(given).decode(),
            outcome=_outcome(verdict),
        )
        if (customer := verdict.customer) is not None:
            await reply.record(
                CustomerVerified,
                customer_id=customer.customer_id,
                name=customer.name,
                email=customer.email,
            )
        reply.paragraph(verdict.told, "plain")
        return customer is not None

    async def verify(
        self, credentials: Credentials, conversation_id: str, client: str
    ) -> Verdict:
        if lacking := _lacking(credentials):
            return Verdict(None, lacking)
        key = (credentials.email or "", conversation_id, client)
        wait = await self._guesses.begin(*key, self._now())
        if wait > 0:
            told = f"There were too many tries; please wait {_spoken(wait)}."
            return Verdict(None, told, wait, tried=False)
        verdict = await self._ask(credentials)
        if verdict.customer is not None:
            await self._guesses.right(*key, self._now())
            return verdict
        try:
            if verdict.unknown:
                await self._guesses.void(*key, self._now())
                return verdict
            wait = await self._guesses.wait(*key, self._now())
        except StoreError:  # the store has told the operator
            return verdict
        if wait <= 0:
            return verdict
        told = f"{verdict.told} The next try is possible in {_spoken(wait)}."
        return msgspec.structs.replace(verdict, told=told, wait=wait)

    async def _ask(self, credentials: Credentials) -> Verdict:
        """Ask the shop, once: each try that it sees was counted."""
        try:
            result = await self._client.call(
                self._settings.login,
                {
                    "email": (credentials.email or "").strip(),
                    "pin": (credentials.pin or "").strip(),
                },
                safe=False,
            )
            return self._read(result.text, result.failed, credentials.email or "")
        except CancelledError:
            pass
        except ServiceError as error:
            # Not in its own words, in which the shop may repeat what it was sent.
            self._log.warn(
                "the shop verifies nobody: {kind}", kind=type(error).__name__
            )
            return _UNKNOWN
        except Exception as error:
            self._log.error(
                "verifying a customer broke: {kind} at {place}",
                kind=type(error).__name__,
                place=_place(error),
            )
            return _UNKNOWN
        raise CancelledError  # a new one, without the frames of the other

    def _read(self, text: str, failed: bool, email: str) -> Verdict:
        """What the shop's answer means; anything odd counts as wrong."""
        customer = None if failed else shop.verified(text)
        if customer is not None and same_customer(customer.email, email):
            name = _name(customer.name)
            return Verdict(
                msgspec.structs.replace(customer, name=name),
                f"Welcome, {name}! You are logged in."
                if name
                else "Welcome! You are logged in.",
            )
        if _REFUSAL not in text.casefold():
            self._log.warn("the shop's answer to a login is none that we know")
        return _WRONG


def _lacking(credentials: Credentials) -> str:
    """What is missing, or can't be what it should; empty if nothing is."""
    email = (credentials.email or "").strip()
    pin = (credentials.pin or "").strip()
    has_email = email.isprintable() and 0 < len(email) <= _LONGEST_EMAIL
    has_pin = pin.isprintable() and 0 < len(pin) <= _LONGEST_PIN
    if has_email:
        return "" if has_pin else _NO_PIN
    return _NO_EMAIL if has_pin else _NEITHER


def _outcome(verdict: Verdict) -> Called:
    if verdict.customer is not None:
        return Called.OK
    if verdict.unknown:
        return Called.LOST
    return Called.FAILED if verdict.tried else Called.REFUSED


def _spoken(seconds: float) -> str:
    """A time to wait, in words, and never too short."""
    for unit, length, most in (("second", 1, 90), ("minute", 60, 5_400)):
        if seconds <= most:
            return _counted(math.ceil(seconds / length), unit)
    return _counted(math.ceil(seconds / 3_600), "hour")


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _name(name: str) -> str:
    """A name as it may be shown."""
    visible = "".join(c if c.isprintable() else " " for c in name)
    return " ".join(visible.split())[:_LONGEST_NAME].rstrip()


def _place(error: BaseException) -> str:
    """Where in the code an exception was raised."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return "an unknown place"
    code = traceback.tb_frame.f_code
    return f"{code.co_qualname}, line {traceback.tb_lineno}"
