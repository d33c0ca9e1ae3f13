"""The settings: their shape, their defaults, and where they come from.

A TOML file, then environment variables, then flags; the later wins. A variable is
named by the setting's path, as in `SUPPORTBOT_CONVERSATION__QUEUE=5`; a service is
named by its name, as in `SUPPORTBOT_SERVICES__PRODUCT_INFO__URL=http://…`.
"""

from supportbot.settings.assistant import AssistantLimits, AssistantSettings
from supportbot.settings.channels import (
    ConversationSettings,
    HttpSettings,
    LinesSettings,
    WebSocketSettings,
)
from supportbot.settings.loading import Settings, load
from supportbot.settings.page import PageSettings
from supportbot.settings.services import (
    DEFAULT_SERVICES,
    Bounds,
    Breaking,
    Deadlines,
    Retry,
    ServiceSettings,
)
from supportbot.settings.shop import GuessSettings, ShopSettings
from supportbot.settings.transcripts import TranscriptsSettings

__all__ = [
    "DEFAULT_SERVICES",
    "AssistantLimits",
    "AssistantSettings",
    "Bounds",
    "Breaking",
    "ConversationSettings",
    "Deadlines",
    "GuessSettings",
    "HttpSettings",
    "LinesSettings",
    "PageSettings",
    "Retry",
    "ServiceSettings",
    "Settings",
    "ShopSettings",
    "TranscriptsSettings",
    "WebSocketSettings",
    "load",
]
