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
        growing: whether a paragraph is shown while it grows.
        spaced: whether an empty line stands before and after each answer.
        width: gives the columns of the screen, None for no end.
    """

    prompt: str = ""
    indicator: bool = False
    color: bool = False
    plain: bool = False
    growing: bool = False
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
        self._grown = ""  # of a paragraph that is not finished
        self._shown = ""  # of that, on the screen; the cursor stands behind it
        self._line_from = 0  # where, in what has grown, the last line begins
        self._line_shown = ""  # of that line

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

    def delta(self, text: str) -> None:
        """More of the paragraph that is growing."""
        if not self._look.growing:
            return
        # White space waits for what comes behind it: it may be the paragraph's end.
        self._grown = (
            self._grown + text if self._shown else (self._grown + text).lstrip()
        )
        visible = self._grown.rstrip()
        line = self._inside(clean(visible[self._line_from :]), "markdown")
        more = line.removeprefix(self._line_shown)
        if len(more) == len(line) - len(self._line_shown) > 0:
            self._cancel()
            if not self._shown:
                self._clear_line()
            self._put(more)
            self._shown += more
            self._line_from = visible.rfind("\n") + 1
            self._line_shown = line[line.rfind("\n") + 1 :]

    def paragraph(self, text: str, format: Format) -> None:
        """A paragraph of the answer."""
        if self._look.plain:
            text = reading_text(text, format)
            if self._between and format == "html":
                self._line("")
        text = clean(text)
        if self._look.plain and (width := self._look.width()):
            text = wrap(text, width - len(_INDENT) if self._look.prompt else width)
            text = self._unlike_prompt(text)
        else:
            text = self._inside(text, format)
        if self._shown and text.startswith(self._shown):  # the rest of it
            self._put(f"{text[len(self._shown) :]}\n")
            self._forget_growing()
        else:
            self._line(text)
        self._between, self._doing = True, self._asking
        self._wait()

    def notice(self, text: str) -> None:
        """How the answer is coming along: on the indicator, or once in a line."""
        if self._look.indicator:
            self._doing = text
            self._break_off()
            self._show()
        elif self._look.prompt and not self._noticed:
            self._noticed = True
            self.quiet(text)

    def end(self, detail: str) -> None:
        """The answer has ended.

        Args:
            detail: a line for the customer, if all is not well.
        """
        self._break_off()
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
        if self._shown:
            self._break_off()
        elif self._look.indicator:
            self._put(_WIPE)
            self._indicated = False
        elif self._look.prompt:
            self._put("\n")

    def close(self) -> None:
        """Nothing more comes: leave the cursor at the beginning of a line."""
        self._break_off()
        self._rest()
        if self._prompted:
            self._prompted = False
            self._put("\n")

    def _inside(self, text: str, format: Format) -> str:
        """A text as it stands inside an answer, where nothing looks like a prompt."""
        if self._look.prompt and format != "markdown":  # whose lines mean something
            text = text.replace("\n", f"\n{_INDENT}")
        return self._unlike_prompt(text)

    def _unlike_prompt(self, text: str) -> str:
        """Indent the lines that could pass for a prompt."""
        if not self._look.prompt:
            return text
        mark = re.escape(self._look.prompt.strip())
        return re.sub(f"^(?={mark})", _INDENT, text, flags=re.MULTILINE)

    def _line(self, text: str) -> None:
        self._break_off()
        self._clear_line()
        self._put(f"{text}\n")

    def _clear_line(self) -> None:
        """Go to the beginning of a line of its own."""
        self._wipe()
        if self._prompted:
            self._prompted = False
            self._put("\n")

    def _break_off(self) -> None:
        """Leave a paragraph that was not finished as it stands."""
        if self._shown:
            self._put("\n")
        self._forget_growing()

    def _forget_growing(self) -> None:
        self._grown = self._shown = self._line_shown = ""
        self._line_from = 0

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
