"""What a conversation makes of a customer's words before anybody else sees them."""

from __future__ import annotations

from collections.abc import Callable

from supportbot.identity import FRESH, Identity
from supportbot.interfaces import Credentials
from supportbot.wording.credentials import (
    MASK,
    Masked,
    address,
    masked,
    only_credentials,
)


class Hearing:
    """Find PINs, and join them to e-mail addresses.

    A PIN that came without an address is kept here for a while, and nowhere else.

    Args:
        identity: what the transcript says about the customer.
        now: the time in seconds of UTC.
    """

    __slots__ = ("_identity", "_now", "_pin")

    def __init__(self, identity: Identity, now: Callable[[], float]) -> None:
        self._identity, self._now = identity, now
        self._pin: tuple[str, float] | None = None  # and when it was said

    def masked(self, text: str, *, expected: bool = False) -> Masked:
        """A message as it may be stored.

        Args:
            expected: a PIN may come, whatever the transcript says.
        """
        expected = expected or self._identity.expects_pin(self._now())
        return masked(text, expected=expected)

    def again(self, text: str, says: Callable[[str], bool]) -> Masked | None:
        """A message that is said again, as it was heard that time.

        A bare number is taken for a PIN or not by what was said before, and more was
        said since.

        Args:
            says: whether this was the text that time.

        Returns:
            None if it is not the same message.
        """
        for expected in (True, False):
            if says((said := masked(text, expected=expected)).text):
                return said
        return None

    def credentials(self, text: str, pin: str | None) -> Credentials | None:
        """What was given to log in, with this message or one shortly before.

        An e-mail address without a PIN counts if the message says nothing else.

        Args:
            text: of the message, masked.
            pin: that was in it.
        """
        now = self._now()
        if pin is None and "@" not in text and MASK not in text:
            return None
        email = address(text)
        if pin is None and email is not None and self._pin is not None:
            pin = self._pin[0] if abs(now - self._pin[1]) <= FRESH else None
        if pin is None and not only_credentials(text):
            return None
        if self._identity.customer(now) is not None and None in (pin, email):
            return None
        email = email or self._identity.email(now)
        self._pin = None if pin is None or email is not None else (pin, now)
        return Credentials(email, pin)

    def forget(self) -> None:
        """Keep no PIN."""
        self._pin = None
