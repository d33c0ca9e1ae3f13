"""What a front end shows before anything was said, and has to know for later."""

from __future__ import annotations

from supportbot.channels.http.shapes import Welcome
from supportbot.services.signpost import Signpost
from supportbot.settings import Settings

_GREETING = "Hello, how can we help you?"
_LOGIN = " Log in to see your orders or to place one."
_SHOP = "Show me monitors"
_ASSISTANT = "assistant"  # its name as a service


def welcome(settings: Settings, *, can_log_in: bool) -> Welcome:
    """What the settings say of it.

    Args:
        can_log_in: whether there is a shop that knows its customers.
    """
    page, sells = settings.page, can_log_in and settings.assistant.available
    suggestions = page.suggestions
    if suggestions is None:
        suggestions = (
            *_examples(settings, person=False),
            *[_SHOP] * sells,
            *_examples(settings, person=True),
        )
    titles = {Signpost.name: Signpost.title, _ASSISTANT: settings.assistant.title}
    return Welcome(
        title=page.title,
        greeting=page.greeting or _GREETING + _LOGIN * sells,
        suggestions=suggestions,
        services=titles | {one.name: one.title for one in settings.services},
        can_log_in=can_log_in,
        login_seconds=settings.conversation.logged_in,
        proposal_seconds=settings.shop.confirm_within,
        message_limit=settings.conversation.message,
    )


def _examples(settings: Settings, *, person: bool) -> list[str]:
    """Messages that people can answer, or that the others can."""
    return [
        one.example for one in settings.services if one.example and one.person is person
    ]
