"""The settings of the web page."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from supportbot.settings.shapes import Shape

_FRAMER = re.compile(
    r"'self'|https?://(?:[a-z0-9-]+\.)*[a-z0-9-]+(?::[0-9]{1,5})?", re.IGNORECASE
)


class PageSettings(Shape, frozen=True):
    """The web page at `/`, and the same chat on pages of other sites.

    Attributes:
        title: of the page and of the chat in it.
        greeting: what customers read before they have said anything; words of our own
            if it is empty.
        suggestions: messages that they can choose then. When not given, the examples of
            the services, and one for the shop where there is an assistant.
        frame_ancestors: sites that may show the page in a frame, such as
            `https://shop.example`; `'self'` for our own.
    """

    title: Annotated[str, msgspec.Meta(pattern=r"\S")] = "Support"
    greeting: str = ""
    suggestions: tuple[str, ...] | None = None
    frame_ancestors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for origin in self.frame_ancestors:
            if _FRAMER.fullmatch(origin) is None:
                raise ValueError(
                    "expected frame_ancestors to be https://HOST[:PORT] or 'self'"
                )
