"""Make `twist supportbot` known. No `__init__.py` may stand beside this file."""

from twisted.application.service import ServiceMaker

supportbot = ServiceMaker(
    "supportbot",
    "supportbot.options",
    "A customer-support chat engine that shows every finished paragraph once.",
    "supportbot",
)
