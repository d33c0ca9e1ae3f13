"""What a line client sees: paragraphs, quiet lines, the prompt and the indicator."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from supportbot.channels.rendering import clean, clip, reading_text, wrap
from supportbot.events import Format

_WIPE = "\r\x1b[K"
_QUIET_FROM = 0.8  # seconds of silence before the indicator comes
_INDENT = "  "  # before what could pass for something else


class Look(msgspec.Struct, frozen=True):
    """How the chat looks to this client.

    Attributes:
        prompt: stands where the client may type; empty for none.
        indicator: whether a line that is wiped again may show that something happens.
        color: whether quiet lines may be dimmed.
        plain: whether paragraphs are shown for reading, without their markup.
        spaced: whether an empty line stands before and after each answer.
        width: gives the columns of the screen, None for no end.
    """

    prompt: str = ""
    indicator: bool = False
    color: bool = False
    plain: bool = False
    spaced: bool = True
    width: Callable[[], int | None] = lambda: None


class Screen:
    """Write to a line client.

    Args:
        clock: moves the indicator.
        look: how it looks.
        write: takes bytes for the client.
    """

    def __init__(
        self, clock: IReactorTime, look: Look, write: Callable[[bytes], None]
    ) -> None:
        self._clock, self._look, self._write = clock, look, write
        self._prompted = False  # the cursor stands behind the prompt
        self._indicated = False  # the cursor stands behind the indicator
        self._call: IDelayedCall | None = None
        self._asking = self._doing = ""
        self._since = 0.0
        self._between = False  # a paragraph of this answer was shown
        self._noticed = False  # a notice was

    def prompt(self) -> None:
        """The client may type."""
        if self._look.prompt and not self._prompted:
            self._put(self._look.prompt)
            self._prompted = True

    def typed(self, line: str, *, echoed: bool) -> None:
        """A line is taken.

        Args:
            echoed: the client typed it behind the prompt, and sees it there.
        """
        if self._look.prompt and not (echoed and self._prompted):
            self.prompt()
            self._put(f"{clean(line)}\n")
        self._prompted = False

    def said(self, text: str) -> None:
        """A message of the past."""
        self._line("> " + clean(text).replace("\n", "\n  "))

    def typed_ahead(self) -> None:
        """The client pressed Enter behind the indicator, and left it one line above."""
        if self._indicated:
            self._put("\x1b[A")
            self._wipe()

    def begin(self, doing: str) -> None:
        """An answer begins.

        Args:
            doing: what the indicator says.
        """
        self._between = self._noticed = False
        if self._look.spaced:
            self._line("")
        self._asking = self._doing = doing
        self._since = self._clock.seconds()
        self._wait()

    def paragraph(self, text: str, format: Format) -> None:
        """A paragraph of the answer."""
        if self._look.plain:
            text = reading_text(text, format)
            if self._between and format == "html":
                self._line("")
        text = clean(text)
        if self._look.plain and (width := self._look.width()):
            text = wrap(text, width - len(_INDENT) if self._look.prompt else width)
        elif self._look.prompt:
            text = text.replace("\n", f"\n{_INDENT}")
        self._line(self._unlike_prompt(text))
        self._between, self._doing = True, self._asking
        self._wait()

    def notice(self, text: str) -> None:
        """How the answer is coming along: on the indicator, or once in a line."""
        if self._look.indicator:
            self._doing = text
            self._show()
        elif self._look.prompt and not self._noticed:
            self._noticed = True
            self.quiet(text)

    def end(self, detail: str) -> None:
        """The answer has ended.

        Args:
            detail: a line for the customer, if all is not well.
        """
        self._rest()
        if detail:
            self.quiet(detail)
        if self._look.spaced:
            self._line("")

    def quiet(self, text: str) -> None:
        """A line that is not part of an answer."""
        text = clean(text)
        self._line(f"\x1b[2m{text}\x1b[0m" if self._look.color else text)

    def interrupted(self) -> None:
        """The client pressed Ctrl-C, and a terminal shows that as `^C`."""
        if self._look.indicator:
            self._put(_WIPE)
            self._indicated = False
        elif self._look.prompt:
            self._put("\n")

    def close(self) -> None:
        """Nothing more comes: leave the cursor at the beginning of a line."""
        self._rest()
        if self._prompted:
            self._prompted = False
            self._put("\n")

    def _unlike_prompt(self, text: str) -> str:
        """Indent the lines that could pass for a prompt."""
        if not self._look.prompt:
            return text
        mark = re.escape(self._look.prompt.strip())
        return re.sub(f"^(?={mark})", _INDENT, text, flags=re.MULTILINE)

    def _line(self, text: str) -> None:
        self._wipe()
        if self._prompted:
            self._prompted = False
            self._put("\n")
        self._put(f"{text}\n")

    def _wait(self) -> None:
        """Let the indicator come if nothing else does."""
        self._cancel()
        if self._look.indicator:
            self._call = self._clock.callLater(_QUIET_FROM, self._show)

    def _show(self) -> None:
        self._cancel()
        seconds = int(self._clock.seconds() - self._since)
        doing = " ".join(clean(self._doing).split())
        text = clip(f"{doing} {seconds} s", (self._look.width() or 80) - 1)
        self._put(_WIPE + (f"\x1b[2m{text}\x1b[0m" if self._look.color else text))
        self._indicated = True
        self._call = self._clock.callLater(1.0, self._show)

    def _rest(self) -> None:
        self._cancel()
        self._wipe()

    def _cancel(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _wipe(self) -> None:
        if self._indicated:
            self._indicated = False
            self._put(_WIPE)

    def _put(self, text: str) -> None:
        self._write(text.encode("utf-8", "replace"))
