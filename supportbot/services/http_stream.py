"""Services that get the message by POST and stream paragraphs in a JSON field."""

from supportbot.services.third_party import Dialect
from supportbot.settings import ServiceSettings
from supportbot.streaming.paragraphs import JsonParagraphs


def _reader(settings: ServiceSettings) -> JsonParagraphs:
    bounds = settings.bounds
    return JsonParagraphs(settings.field, bounds.paragraph, bounds.envelope)


HTTP_STREAM = Dialect("POST", "application/json", "html", _reader)
