"""What a customer is told whose message none of the services is for."""

from __future__ import annotations

from collections.abc import Sequence

from supportbot.interfaces import Question, Reply
from supportbot.settings import ServiceSettings


class Signpost:
    """Say what can be asked, and how; no service is called.

    Args:
        services: the settings of those that can be asked.
    """

    name = "signpost"
    title = "front desk"

    def __init__(self, services: Sequence[ServiceSettings]) -> None:
        self._services = services

    async def answer(self, question: Question, reply: Reply) -> None:
        """Answer with one line for each service; see `Service`."""
        if not self._services:
            reply.paragraph("No service is set up here.", "plain")
            return
        reply.paragraph("I can help when your message has one of these in it:", "plain")
        for service in self._services:
            how = f"“{service.intent}” asks the {service.title}"
            example = f", for example: {service.example}" if service.example else "."
            reply.paragraph(how + example, "plain")
