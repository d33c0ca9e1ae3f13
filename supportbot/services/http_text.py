"""Services that are only visited, and say one thing in plain text."""

from supportbot.services.third_party import Dialect
from supportbot.settings import ServiceSettings
from supportbot.streaming.plain_text import PlainText


def _reader(settings: ServiceSettings) -> PlainText:
    return PlainText(settings.bounds.paragraph)


HTTP_TEXT = Dialect("GET", "text/plain", "plain", _reader)
