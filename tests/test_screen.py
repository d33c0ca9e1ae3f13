"""What a line client sees, byte for byte and second for second."""

from __future__ import annotations

import re
from functools import partial

import msgspec
import wcwidth
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from supportbot.channels.screen import Look, Screen

PIPE = Look()
DUMB = Look(prompt="> ")
TERMINAL = Look(prompt="> ", indicator=True, width=lambda: 80)
GROWING = msgspec.structs.replace(TERMINAL, growing=True)
COLORFUL = msgspec.structs.replace(TERMINAL, color=True)
WIPE = "\r\x1b[K"


class ScreenTestCase(SynchronousTestCase):
    """A screen on a clock; in the end it is closed, and no timer may be left."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.written: list[bytes] = []
        self.screens: list[Screen] = []

    def tearDown(self) -> None:
        for screen in self.screens:
            screen.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def screen(self, look: Look) -> Screen:
        screen = Screen(self.clock, look, self.written.append)
        self.screens.append(screen)
        return screen

    def shown(self) -> str:
        """What was written since this was asked last."""
        written, self.written[:] = b"".join(self.written), []
        return written.decode()

    def after(self, *seconds: float) -> list[str]:
        """What is written in each of these spans of time."""
        shown = []
        for span in seconds:
            self.clock.advance(span)
            shown.append(self.shown())
        return shown


class LayoutTests(ScreenTestCase):
    def test_a_dialog_on_a_terminal(self) -> None:
        screen = self.screen(DUMB)
        screen.prompt()
        self.assertEqual(self.shown(), "> ")
        screen.typed("a question", echoed=True)
        screen.begin("Asking…")
        screen.paragraph("<p>One.</p>", "html")
        screen.paragraph("<p>Two.</p>", "html")
        screen.end("")
        screen.prompt()
        self.assertEqual(self.shown(), "\n<p>One.</p>\n<p>Two.</p>\n\n> ")

    def test_the_same_through_a_pipe(self) -> None:
        screen = self.screen(PIPE)
        screen.prompt()
        screen.typed("a question", echoed=False)
        screen.begin("Asking…")
        screen.paragraph("<p>One.</p>", "html")
        screen.end("")
        screen.prompt()
        screen.close()
        self.assertEqual(self.shown(), "\n<p>One.</p>\n\n")

    def test_one_answer_and_nothing_else(self) -> None:
        screen = self.screen(Look(spaced=False))
        screen.begin("Asking…")
        screen.paragraph("<p>One.</p>", "html")
        screen.end("")
        screen.close()
        self.assertEqual(self.shown(), "<p>One.</p>\n")

    def test_a_line_that_nobody_saw_is_shown_behind_the_prompt(self) -> None:
        screen = self.screen(DUMB)
        screen.typed("typed\x1b[2J ahead", echoed=False)
        screen.prompt()
        screen.typed("from a pipe", echoed=False)
        self.assertEqual(self.shown(), "> typed[2J ahead\n> from a pipe\n")

    def test_the_prompt_stands_there_once(self) -> None:
        screen = self.screen(DUMB)
        screen.prompt()
        screen.prompt()
        self.assertEqual(self.shown(), "> ")

    def test_empty_lines(self) -> None:
        screen = self.screen(DUMB)
        screen.prompt()
        screen.typed("", echoed=True)
        screen.prompt()
        screen.typed("", echoed=False)
        self.assertEqual(self.shown(), "> > \n")

    def test_a_line_at_the_prompt_begins_below_it(self) -> None:
        screen = self.screen(DUMB)
        screen.prompt()
        screen.quiet("Good-bye.")
        screen.prompt()
        self.assertEqual(self.shown(), "> \nGood-bye.\n> ")

    def test_the_end_leaves_the_cursor_in_front(self) -> None:
        screen = self.screen(DUMB)
        screen.prompt()
        screen.close()
        screen.close()
        self.assertEqual(self.shown(), "> \n")

    def test_what_went_wrong_stands_below_the_answer(self) -> None:
        screen = self.screen(PIPE)
        screen.begin("Asking…")
        screen.paragraph("<p>One.</p>", "html")
        screen.end("(stopped)")
        self.assertEqual(self.shown(), "\n<p>One.</p>\n(stopped)\n\n")

    def test_messages_of_the_past(self) -> None:
        screen = self.screen(DUMB)
        screen.said("one\n> two\x07")
        self.assertEqual(self.shown(), "> one\n  > two\n")

    def test_surrogates_do_no_harm(self) -> None:
        screen = self.screen(Look(prompt="\ud800> "))
        screen.prompt()
        screen.quiet("\udfff!")
        self.assertEqual(self.shown(), "?> \n!\n")


class PromptTests(ScreenTestCase):
    """Nothing that a service says can pass for a prompt."""

    def shows(self, look: Look, text: str, *, html: bool = True) -> str:
        self.screen(look).paragraph(text, "html" if html else "plain")
        return self.shown()

    def test_lines_below_the_first_are_indented(self) -> None:
        shown = self.shows(DUMB, "<p>a\n> quit\nb</p>")
        self.assertEqual(shown, "<p>a\n  > quit\n  b</p>\n")

    def test_nor_can_the_first(self) -> None:
        self.assertEqual(self.shows(DUMB, "> quit", html=False), "  > quit\n")
        self.assertEqual(self.shows(DUMB, ">", html=False), "  >\n")

    def test_without_a_prompt_paragraphs_are_as_they_were_sent(self) -> None:
        shown = self.shows(PIPE, "<p>a\n> quit</p>")
        self.assertEqual(shown, "<p>a\n> quit</p>\n")
        self.assertEqual(self.shows(PIPE, "> quit", html=False), "> quit\n")

    def test_it_is_the_prompt_of_this_client_that_counts(self) -> None:
        look = Look(prompt="(you?) ", plain=True, width=lambda: 40)
        shown = self.shows(look, "> a<br>(you?) b<br>you")
        self.assertEqual(shown, "> a\n  (you?) b\nyou\n")

    def test_neither_can_markup_make_one(self) -> None:
        for look in (
            Look(prompt="> ", plain=True),
            Look(prompt="> ", plain=True, width=lambda: 80),
        ):
            shown = self.shows(look, "<p>&gt; a<br>&gt; b<li>> c</p>")
            self.assertNotRegex(shown, r"(?m)^>")

    def test_nor_the_place_where_a_line_is_broken(self) -> None:
        for width in range(4, 40):
            look = Look(prompt="> ", plain=True, width=partial(int, width))
            shown = self.shows(look, "some words > quit > " + ">" * 40, html=False)
            self.assertNotRegex(shown, r"(?m)^>")
            self.assertLessEqual(max(map(len, shown.split("\n"))), width)


class PlainTests(ScreenTestCase):
    """Paragraphs for reading."""

    def test_tags_are_gone_and_paragraphs_stand_apart(self) -> None:
        screen = self.screen(Look(plain=True))
        for _ in range(2):
            screen.begin("Asking…")
            screen.paragraph("<p>One &amp; <b>one</b>.</p>", "html")
            screen.paragraph("<p>Two.</p>", "html")
            screen.end("")
        self.assertEqual(self.shown(), "\nOne & one.\n\nTwo.\n\n" * 2)

    def test_lines_are_as_wide_as_the_screen(self) -> None:
        screen = self.screen(Look(plain=True, width=lambda: 20))
        screen.paragraph("<p>Self-levitating socks that float.</p>", "html")
        self.assertEqual(self.shown(), "Self-levitating\nsocks that float.\n")

    def test_the_width_is_that_of_the_moment(self) -> None:
        columns = [0]
        screen = self.screen(Look(plain=True, width=lambda: columns[0]))
        for width in (40, 9, 21):
            columns[0] = width
            screen.paragraph("中文 " * 30, "plain")
            widest = max(map(wcwidth.width, self.shown().split("\n")))
            self.assertTrue(width - 4 <= widest <= width)

    def test_only_they_are_broken(self) -> None:
        screen = self.screen(Look(width=lambda: 20))
        screen.paragraph("<p>Self-levitating socks that float.</p>", "html")
        shown = "<p>Self-levitating socks that float.</p>\n"
        self.assertEqual(self.shown(), shown)

    def test_without_a_width_there_is_one_line(self) -> None:
        screen = self.screen(Look(plain=True))
        screen.paragraph("<p>" + "word " * 100 + "</p>", "html")
        self.assertEqual(self.shown().count("\n"), 1)

    def test_text_is_not_read_as_html(self) -> None:
        screen = self.screen(Look(plain=True))
        screen.paragraph("a <b> &amp; c", "plain")
        screen.paragraph("next", "plain")
        self.assertEqual(self.shown(), "a <b> &amp; c\nnext\n")

    def test_control_characters_stay_out(self) -> None:
        screen = self.screen(Look(plain=True, width=lambda: 80))
        screen.paragraph("<p>&#27;[2J\x1b[1A\x9b&#8238;!</p>", "html")
        self.assertEqual(self.shown(), "[2J[1A!\n")


class IndicatorTests(ScreenTestCase):
    def begun(self, look: Look = TERMINAL) -> Screen:
        """A screen where an answer has begun."""
        screen = self.screen(look)
        self.clock.advance(100.0)
        screen.begin("Asking the product service…")
        self.shown()
        return screen

    def test_it_comes_after_a_silence_and_counts_seconds(self) -> None:
        self.begun()
        self.assertEqual(
            self.after(0.5, 0.3, 0.75, 0.25, 1.0),
            [
                "",
                f"{WIPE}Asking the product service… 0 s",
                "",
                f"{WIPE}Asking the product service… 1 s",
                f"{WIPE}Asking the product service… 2 s",
            ],
        )

    def test_it_is_wiped_before_text_appears(self) -> None:
        screen = self.begun()
        self.clock.advance(1)
        self.shown()
        screen.paragraph("<p>One.</p>", "html")
        self.assertEqual(self.shown(), f"{WIPE}<p>One.</p>\n")
        screen.paragraph("<p>Two.</p>", "html")
        self.assertEqual(self.shown(), "<p>Two.</p>\n")

    def test_it_comes_back_with_the_seconds_since_the_beginning(self) -> None:
        screen = self.begun()
        self.clock.advance(5)
        screen.paragraph("<p>One.</p>", "html")
        self.shown()
        self.assertEqual(
            self.after(0.5, 0.3), ["", f"{WIPE}Asking the product service… 5 s"]
        )
        screen.end("")
        self.assertEqual(self.shown(), f"{WIPE}\n")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_quick_paragraphs_keep_it_away(self) -> None:
        screen = self.begun()
        for _ in range(20):
            self.clock.advance(0.5)
            screen.paragraph("<p>.</p>", "html")
        screen.end("")
        self.assertNotIn("\x1b", self.shown())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_is_left_of_it_at_the_end(self) -> None:
        for end in (lambda screen: screen.end(""), Screen.close):
            screen = self.begun()
            self.clock.advance(1)
            self.shown()
            end(screen)
            self.assertTrue(self.shown().startswith(WIPE))
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.assertEqual(self.after(10), [""])

    def test_it_is_clipped_to_the_width_of_the_moment(self) -> None:
        columns = [12]
        self.begun(msgspec.structs.replace(TERMINAL, width=lambda: columns[0]))
        self.assertEqual(self.after(0.8), [f"{WIPE}Asking the "])
        for width, shown in (
            (60, "Asking the product service… 1 s"),
            (7, "Asking"),
            (1, ""),
        ):
            columns[0] = width
            self.assertEqual(self.after(1), [f"{WIPE}{shown}"])

    def test_a_screen_of_unknown_width(self) -> None:
        self.begun(msgspec.structs.replace(TERMINAL, width=lambda: None))
        self.assertEqual(self.after(1), [f"{WIPE}Asking the product service… 1 s"])

    def test_quiet_lines_go_above_it(self) -> None:
        screen = self.begun()
        self.clock.advance(1)
        self.shown()
        screen.quiet("1 more line waits.")
        self.assertEqual(self.shown(), f"{WIPE}1 more line waits.\n")
        self.assertEqual(self.after(1), [f"{WIPE}Asking the product service… 2 s"])

    def test_what_is_typed_at_it_goes_with_it(self) -> None:
        screen = self.begun()
        screen.typed_ahead()
        self.assertEqual(self.shown(), "")
        self.clock.advance(1)
        self.shown()
        screen.typed_ahead()
        screen.typed_ahead()
        self.assertEqual(self.shown(), f"\x1b[A{WIPE}")

    def test_ctrl_c_goes_with_it_too(self) -> None:
        screen = self.begun()
        screen.interrupted()
        self.assertEqual(self.shown(), WIPE)
        screen.end("(stopped)")
        self.assertEqual(self.shown(), "(stopped)\n\n")

    def test_where_there_is_none_ctrl_c_gets_a_line_of_its_own(self) -> None:
        screen = self.begun(DUMB)
        screen.interrupted()
        screen.end("(stopped)")
        self.assertEqual(self.shown(), "\n(stopped)\n\n")
        screen = self.begun(PIPE)
        screen.interrupted()
        self.assertEqual(self.shown(), "")

    def test_it_is_dimmed_where_there_is_color(self) -> None:
        screen = self.begun(COLORFUL)
        self.assertEqual(
            self.after(1), [f"{WIPE}\x1b[2mAsking the product service… 1 s\x1b[0m"]
        )
        screen.end("(stopped)")
        self.assertEqual(self.shown(), f"{WIPE}\x1b[2m(stopped)\x1b[0m\n\n")

    def test_only_a_terminal_that_can_gets_escape_sequences(self) -> None:
        for look in (PIPE, DUMB, Look(plain=True), Look(spaced=False)):
            self.written.clear()
            screen = self.begun(look)
            screen.notice("The support service got stuck; asking again…")
            self.clock.advance(100)
            screen.typed_ahead()
            screen.interrupted()
            screen.paragraph("<p>\x1b[1mOne.</p>", "html")
            screen.end("(stopped)")
            screen.prompt()
            screen.close()
            self.assertNotIn("\x1b", self.shown())
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_color_but_an_indicator(self) -> None:
        screen = self.begun()
        self.clock.advance(3)
        screen.quiet("quiet")
        self.assertEqual(set(re.findall("\x1b.{2}", self.shown())), {"\x1b[K"})


class NoticeTests(ScreenTestCase):
    def begun(self, look: Look) -> Screen:
        screen = self.screen(look)
        screen.begin("Asking…")
        self.shown()
        return screen

    def notices(self, screen: Screen) -> str:
        screen.notice("It got stuck; asking again…")
        screen.notice("It got stuck again…")
        return self.shown()

    def test_the_indicator_says_them_at_once(self) -> None:
        screen = self.begun(TERMINAL)
        self.clock.advance(0.1)
        self.assertEqual(
            self.notices(screen),
            f"{WIPE}It got stuck; asking again… 0 s{WIPE}It got stuck again… 0 s",
        )
        self.assertEqual(self.after(1), [f"{WIPE}It got stuck again… 1 s"])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_they_are_over_when_the_answer_goes_on(self) -> None:
        screen = self.begun(TERMINAL)
        self.notices(screen)
        screen.paragraph("<p>One.</p>", "html")
        self.shown()
        self.assertEqual(self.after(1), [f"{WIPE}Asking… 1 s"])

    def test_they_can_do_the_terminal_no_harm(self) -> None:
        screen = self.begun(TERMINAL)
        screen.notice("\x1b[2Jstuck\n> quit\u202e")
        self.assertEqual(self.shown(), f"{WIPE}[2Jstuck > quit 0 s")
        screen.close()
        screen = self.begun(DUMB)
        self.shown()
        screen.notice("\x1b[2Jstuck\u202e")
        self.assertEqual(self.shown(), "[2Jstuck\n")

    def test_without_an_indicator_the_first_is_a_quiet_line(self) -> None:
        screen = self.begun(DUMB)
        for _ in range(2):
            self.assertEqual(self.notices(screen), "It got stuck; asking again…\n")
            screen.end("")
            screen.begin("Asking…")
            self.shown()

    def test_where_nobody_types_nobody_is_told(self) -> None:
        for look in (PIPE, Look(plain=True), Look(spaced=False)):
            self.assertEqual(self.notices(self.begun(look)), "")


class GrowingTests(ScreenTestCase):
    """A paragraph that is seen while it is being written."""

    def asking(self, look: Look = GROWING) -> Screen:
        screen = self.screen(look)
        screen.prompt()
        screen.typed("Hello", echoed=True)
        screen.begin("Asking…")
        self.shown()
        return screen

    def test_piece_by_piece(self) -> None:
        screen = self.asking()
        pieces = []
        for piece in ("Good", " morn", "ing, ", "Alice", "!\n"):
            screen.delta(piece)
            pieces.append(self.shown())
        self.assertEqual(pieces, ["Good", " morn", "ing,", " Alice", "!"])
        screen.paragraph("Good morning, Alice!", "markdown")
        self.assertEqual(self.shown(), "\n")

    def test_what_was_not_shown_comes_with_the_paragraph(self) -> None:
        screen = self.asking()
        screen.delta("Good mor")
        self.shown()
        screen.paragraph("Good morning", "markdown")
        self.assertEqual(self.shown(), "ning\n")
        screen.delta("\n\nNext")
        self.assertEqual(self.shown(), "Next")

    def test_another_paragraph_than_that_which_grew(self) -> None:
        screen = self.asking()
        screen.delta("Good mor")
        screen.paragraph("Bad morning", "markdown")
        self.assertEqual(self.shown(), "Good mor\nBad morning\n")

    def test_lines_of_it_look_as_they_do_in_the_end(self) -> None:
        text = "> quoted\n> more\n  - and"
        whole = self.asking()
        whole.paragraph(text, "markdown")
        expected = self.shown()
        for size in (1, 2, 3, 7):
            screen = self.asking()
            for start in range(0, len(text), size):
                screen.delta(text[start : start + size])
            screen.paragraph(text, "markdown")
            self.assertEqual(self.shown(), expected)

    def test_a_list_is_no_list_within_a_list(self) -> None:
        screen = self.asking()
        screen.paragraph("- a\n- b", "markdown")
        self.assertEqual(self.shown(), "- a\n- b\n")
        screen.paragraph("a\nb", "html")
        self.assertEqual(self.shown(), "a\n  b\n")

    def test_control_sequences_do_nothing(self) -> None:
        screen = self.asking()
        for piece in ("a\x1b", "[2Jb", "\u202ec"):
            screen.delta(piece)
        self.assertEqual(self.shown(), "a[2Jbc")

    def test_the_indicator_makes_room_and_stays_away(self) -> None:
        screen = self.asking()
        self.assertIn("Asking…", "".join(self.after(0.8)))
        screen.delta("Good")
        self.assertEqual(self.shown(), WIPE + "Good")
        self.assertEqual(self.after(5.0), [""])

    def test_a_notice_leaves_what_has_grown(self) -> None:
        screen = self.asking()
        screen.delta("Good mor")
        screen.notice("Once more…")
        self.assertTrue(self.shown().startswith("Good mor\n" + WIPE))
        screen.delta("Good")
        self.assertEqual(self.shown(), WIPE + "Good")

    def test_what_turns_out_to_look_like_a_prompt_is_not_shown_before_its_end(
        self,
    ) -> None:
        screen = self.asking(msgspec.structs.replace(GROWING, prompt="you> "))
        pieces = []
        for piece in ("yo", "u>", " and so on"):
            screen.delta(piece)
            pieces.append(self.shown())
        self.assertEqual(pieces, ["yo", "", ""])
        screen.paragraph("you> and so on", "markdown")
        self.assertEqual(self.shown(), "\n  you> and so on\n")

    def test_the_chat_ends_behind_what_has_grown(self) -> None:
        screen = self.asking()
        screen.delta("Good mor")
        screen.close()
        self.assertEqual(self.shown(), "Good mor\n")

    def test_the_end_leaves_what_has_grown(self) -> None:
        screen = self.asking()
        screen.delta("Good mor")
        screen.end("It broke off.")
        self.assertEqual(self.shown(), "Good mor\nIt broke off.\n\n")

    def test_an_end_without_words_leaves_what_has_grown(self) -> None:
        screen = self.asking(msgspec.structs.replace(GROWING, spaced=False))
        screen.delta("Good mor")
        screen.end("")
        self.assertEqual(self.shown(), "Good mor\n")

    def test_ctrl_c_leaves_what_has_grown(self) -> None:
        screen = self.asking()
        screen.delta("Good mor")
        screen.interrupted()
        self.assertEqual(self.shown(), "Good mor\n")
        screen.end("(stopped)")
        self.assertEqual(self.shown(), "(stopped)\n\n")

    def test_where_it_is_not_wanted(self) -> None:
        for look in (PIPE, DUMB, TERMINAL):
            screen = self.asking(look)
            screen.delta("Good mor")
            self.assertEqual(self.shown(), "")
            screen.paragraph("Good morning", "markdown")
            self.assertEqual(self.shown(), "Good morning\n")
