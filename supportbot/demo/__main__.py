"""`python3 -m supportbot.demo`: the simulated third parties, running alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.python.usage import Options as _Options
from twisted.python.usage import UsageError, portCoerce

from supportbot import __version__
from supportbot.demo.services import (
    AGENT,
    ASSISTANT,
    PRODUCTS,
    SHOP,
    SUPPORT,
    DemoServices,
    DemoSettings,
)

TAKEN, USAGE = 1, 2
"""Exit statuses."""

_TITLES = {
    SUPPORT: "technical support",
    PRODUCTS: "product information",
    AGENT: "real agent",
    ASSISTANT: "language model",
    SHOP: "shop's tools (MCP)",
}


class Options(_Options):
    """The options of `python3 -m supportbot.demo`.

    Attributes:
        settings: how the services are to behave.
        ports: where they are to listen, by name.
    """

    synopsis = "Usage: python3 -m supportbot.demo [options]"
    longdesc = (
        "Serve the simulated third parties on 127.0.0.1 until interrupted. Technical"
        " support gets stuck now and then, on purpose."
    )
    optFlags = [
        ["one-at-a-time", None, "Let clients wait for each other, as the originals do."]
    ]
    optParameters = [
        ["delay", None, "1.0", "Seconds between two slices of an answer."],
        ["zeroes", None, "0.5", "How often support gets stuck, 0 to 1."],
        ["seed", None, None, "A whole number that makes the chances repeatable."],
        ["support-port", None, "8081", "For technical support; 0 for any free one."],
        ["product-port", None, "8082", "For product information; 0 for any free one."],
        ["agent-port", None, "8083", "For the real agent; 0 for any free one."],
        ["assistant-port", None, "8084", "For the model; 0 for any free one."],
        ["shop-port", None, "8085", "For the shop's tools; 0 for any free one."],
    ]

    def opt_version(self) -> None:
        """Show the version and exit."""
        sys.stdout.write(f"supportbot {__version__}\n")
        sys.exit(0)

    def parseArgs(self, *words: str) -> None:
        if words:
            raise UsageError(f"expected options only, not {words[0]!r}")

    def postOptions(self) -> None:
        seed, whole = self["seed"], "a whole number"
        try:
            self.settings = DemoSettings(
                delay=self._number("delay", float, "a number of seconds, 0 or more"),
                zeroes=self._number("zeroes", float, "a number from 0 to 1"),
                one_at_a_time=bool(self["one-at-a-time"]),
                seed=None if seed is None else self._number("seed", int, whole),
            )
        except ValueError as error:
            raise UsageError(str(error)) from error
        expected = "a port, 0 to 65535"
        self.ports = {
            SUPPORT: self._number("support-port", portCoerce, expected),
            PRODUCTS: self._number("product-port", portCoerce, expected),
            AGENT: self._number("agent-port", portCoerce, expected),
            ASSISTANT: self._number("assistant-port", portCoerce, expected),
            SHOP: self._number("shop-port", portCoerce, expected),
        }

    def _number(self, option: str, coerce: Any, expected: str) -> Any:
        try:
            return coerce(self[option])
        except ValueError as error:
            raise UsageError(f"--{option}: expected {expected}") from error


def main(argv: Sequence[str], reactor: Any = None) -> int:
    """Serve until interrupted.

    Args:
        argv: the options, without the program's name.
        reactor: None for the default one.

    Returns:
        The exit status.
    """
    options = Options()
    try:
        options.parseOptions(list(argv))
    except UsageError as error:
        return _fail(f"{error}  Try --help.", USAGE)
    if reactor is None:
        from twisted.internet import reactor
    services = DemoServices(reactor, options.settings, options.ports)
    try:
        services.startService()
    except CannotListenError as error:
        return _fail(str(error), TAKEN)

    def say() -> None:
        urls = services.urls()
        lines = [f"{_TITLES[name]:20} {url}" for name, url in urls.items()]
        asking = f'curl -sN -d "help flashing red light" {urls[SUPPORT]}'
        lines.append(f"Ask with: {asking}   Ctrl-C ends it.")
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()

    # Not before it runs: whoever reads the lines may send a signal, and that has to
    # find the reactor's handlers.
    reactor.callWhenRunning(say)
    reactor.addSystemEventTrigger("before", "shutdown", services.stopService)
    reactor.run()
    return 0


def _fail(why: str, status: int) -> int:
    sys.stderr.write(f"supportbot.demo: {why}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
