"""The chat as lines: every dialog byte for byte, and every way in which it can end."""

from __future__ import annotations

import os
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    ITransport,
)
from zope.interface.verify import verifyObject

from supportbot.channels.chat import ANSWERED, FAILED, UNAVAILABLE
from supportbot.channels.lines import INTERRUPTED, Lines, Manner
from supportbot.channels.screen import Look
from supportbot.channels.terminal import appearance
from supportbot.errors import (
    BodyCut,
    ConversationClosed,
    ServiceUnreachable,
    StoreError,
)
from supportbot.frontdesk import FrontDesk
from supportbot.settings import ConversationSettings, LinesSettings
from tests.fakes import HeldStore
from tests.line_fakes import TERMINAL, TYPING, LineTestCase, Pipe, Socket

PIPE, BATCH = Look(), Manner()
SOCKS = (
    "<p>Self-levitating socks that float gently in your drawer.</p>",
    "<p>Never lose a sock again - they actively seek their matching pair!</p>",
    "<p>WARNING: Do not wear during thunderstorms or solar flares.</p>",
)
ASK_SOCKS = "I have a product question about Antigravity Socks"
ASK_HELP = "I need help with my product. It has a flashing red light."
ASK_PERSON = "I would like to speak with a real person please."
WAY_OUT = "Ask for a “real person” to talk to somebody, or try again."


class InterfaceTests(LineTestCase):
    def test_twisted_finds_what_it_looks_for(self) -> None:
        _, lines = self.connected()
        for interface in (IProtocol, IHalfCloseableProtocol, IPushProducer):
            verifyObject(interface, lines)

    def test_the_fake_is_a_transport(self) -> None:
        for client in (Pipe(self.clock), Socket(self.clock)):
            for interface in (ITransport, IConsumer, IPushProducer):
                verifyObject(interface, client)

    def test_no_chat_begins_while_we_shut_down(self) -> None:
        self.desk.drain(self.clock, 1.0)
        with self.assertRaises(ConversationClosed):
            Lines(self.clock, self.desk, LinesSettings(), TERMINAL, TYPING)
        self.clock.advance(1.0)


class DialogTests(LineTestCase):
    def test_a_terminal(self) -> None:
        client, _ = self.connected()
        self.assertEqual(client.take(), "> ")
        client.type(f"{ASK_SOCKS}\n")
        self.assertEqual(client.take(), "\n")
        self.assertEqual(self.product.texts, [ASK_SOCKS])
        for paragraph in SOCKS:
            self.product.last.reply.paragraph(paragraph)
            self.assertEqual(client.take(), f"{paragraph}\n")
        self.product.last.end()
        self.assertEqual(client.take(), "\n> ")
        client.type(f"{ASK_PERSON}\n")
        self.person.last.reply.paragraph("Excellence in service.", "plain")
        self.person.last.end()
        self.assertEqual(client.take(), "\nExcellence in service.\n\n> ")

    def test_a_pipe(self) -> None:
        client, lines = self.connected(PIPE, BATCH)
        client.type(f"{ASK_SOCKS}\n{ASK_HELP}\n")
        client.hang_up()
        self.answered(self.product.last, *SOCKS)
        self.assertEqual(client.take(), "\n" + "\n".join(SOCKS) + "\n\n\n")
        self.answered(self.support.last, "<p>Unplug it.</p>")
        self.assertEqual(client.take(), "<p>Unplug it.</p>\n\n")
        self.turn()
        self.assertEqual(self.statuses, {lines: ANSWERED})

    def test_one_shot(self) -> None:
        client, lines = self.connected(Look(spaced=False), BATCH)
        lines.begin(ASK_SOCKS)
        self.answered(self.product.last, *SOCKS)
        self.assertEqual(client.take(), "\n".join(SOCKS) + "\n")
        self.turn()
        self.assertEqual(self.statuses, {lines: ANSWERED})

    def test_a_pipe_into_a_terminal(self) -> None:
        client, _ = self.connected(TERMINAL, BATCH)
        client.type(f"{ASK_SOCKS}\n")
        client.hang_up()
        self.answered(self.product.last, SOCKS[0])
        shown = f"> {ASK_SOCKS}\n\n{SOCKS[0]}\n\n"
        self.assertEqual(client.take(), shown)

    def test_a_message_for_nobody(self) -> None:
        client, _ = self.connected(PIPE, BATCH)
        client.type("hello\n")
        self.assertEqual(client.take(), "\nNo service is set up here.\n\n")

    def test_empty_lines_only_bring_the_prompt_again(self) -> None:
        client, _ = self.connected()
        client.type("\n  \n\t\r\n")
        self.assertEqual(client.take(), "> > > > ")

    def test_an_answer_that_breaks_off(self) -> None:
        client, lines = self.connected(PIPE, BATCH)
        client.type("help\n")
        self.support.last.reply.paragraph("<p>One.</p>")
        self.support.last.fail(BodyCut())
        told = "The support service broke off in the middle of its answer."
        self.assertEqual(client.take(), f"\n<p>One.</p>\n{told} {WAY_OUT}\n\n")
        client.hang_up()
        self.turn()
        self.assertEqual(self.statuses, {lines: UNAVAILABLE})

    def test_an_answer_that_changes(self) -> None:
        client, _ = self.connected(PIPE, BATCH)
        for keep, replaced in ((1, "everything after paragraph 1"), (0, "it all")):
            client.type("help\n")
            reply = self.support.last.reply
            reply.paragraph("<p>One.</p>")
            reply.revise(keep)
            self.answered(self.support.last, "<p>Two.</p>")
            told = f"The answer has changed; what follows replaces {replaced}."
            shown = f"\n<p>One.</p>\n{told}\n<p>Two.</p>\n\n"
            self.assertEqual(client.take(), shown)


class InputTests(LineTestCase):
    def test_lines_may_come_in_any_pieces(self) -> None:
        client, _ = self.connected(PIPE, BATCH)
        for at in range(len(ASK_SOCKS)):
            client.type(ASK_SOCKS[at])
        self.assertEqual(self.product.asked, [])
        client.type("\r\nhelp\nand a pro")
        self.assertEqual(self.product.texts, [ASK_SOCKS])
        self.answered(self.product.last)
        self.answered(self.support.last)
        client.type("duct question\n")
        self.assertEqual(self.product.texts, [ASK_SOCKS, "and a product question"])

    def test_lines_typed_ahead_are_answered_in_order(self) -> None:
        client, _ = self.connected()
        client.take()
        client.type("help 1\n")
        client.type("help 2\n")
        client.type("product question 3\n")
        self.assertEqual(client.take(), "\n")
        self.answered(self.support.last, "<p>1</p>")
        self.assertEqual(client.take(), "<p>1</p>\n\n> help 2\n\n")
        self.assertEqual(self.product.asked, [])
        self.answered(self.support.last, "<p>2</p>")
        self.assertEqual(client.take(), "<p>2</p>\n\n> product question 3\n\n")
        self.answered(self.product.last, "<p>3</p>")
        self.assertEqual(client.take(), "<p>3</p>\n\n> ")
        self.assertEqual(self.support.texts, ["help 1", "help 2"])

    def test_what_is_typed_at_the_indicator_goes_with_it(self) -> None:
        client, _ = self.connected(Look(prompt="> ", indicator=True))
        client.type("help\n")
        self.clock.advance(1.0)
        client.take()
        client.type("help 2\n")
        self.assertEqual(client.take(), "\x1b[A\r\x1b[K")

    def test_what_is_typed_elsewhere_is_not_there(self) -> None:
        look = Look(prompt="> ", indicator=True)
        client, _ = self.connected(look, Manner(interactive=True))
        client.type("help\n")
        self.clock.advance(1.0)
        client.take()
        client.type("help 2\n")
        self.assertEqual(client.take(), "")

    def test_an_answer_may_come_at_once(self) -> None:
        self.support._begin = lambda reply: reply.paragraph("<p>!</p>")
        client, _ = self.connected(PIPE, BATCH)
        client.type("hello\nhelp\nhello\n")
        self.support.last.end()
        signpost = "\nNo service is set up here.\n\n"
        self.assertEqual(client.take(), f"{signpost}\n<p>!</p>\n\n{signpost}")

    def test_many_lines_at_once_need_no_deep_stack(self) -> None:
        client, lines = self.connected(PIPE, BATCH, LinesSettings(high_water=100_000))
        client.type("help\n" + "hello\n" * 5_000)
        self.support.last.end()
        self.assertEqual(client.take().count("No service"), 5_000)
        client.hang_up()
        self.turn()
        self.assertEqual(self.statuses, {lines: ANSWERED})

    def test_the_end_waits_for_the_answer(self) -> None:
        client, lines = self.connected(PIPE, BATCH)
        client.type("help\nhelp 2\n")
        client.hang_up()
        self.turn()
        self.answered(self.support.last, "<p>1</p>")
        self.turn()
        self.assertFalse(client.closed)
        self.answered(self.support.last, "<p>2</p>")
        self.turn()
        self.assertTrue(client.closed)
        self.assertEqual(self.support.texts, ["help", "help 2"])
        self.assertEqual(self.statuses, {lines: ANSWERED})

    def test_the_last_line_needs_no_end(self) -> None:
        client, _ = self.connected(PIPE, BATCH)
        client.type("product question\nhelp")
        client.hang_up()
        self.answered(self.product.last)
        self.assertEqual(self.support.texts, ["help"])
        self.answered(self.support.last, "<p>1</p>")
        self.assertTrue(client.take().endswith("<p>1</p>\n\n"))

    def test_the_end_at_the_prompt(self) -> None:
        client, lines = self.connected()
        client.hang_up()
        self.turn()
        self.assertEqual(client.take(), "> \n")
        self.assertEqual(self.statuses, {lines: ANSWERED})

    def test_a_line_that_is_too_long_costs_only_itself(self) -> None:
        client, lines = self.connected(PIPE, BATCH, LinesSettings(line=1_000))
        client.type(b"help" * 1_000_000 + b"\nproduct question\n")
        told = "That line is longer than 1,000 bytes; please shorten it.\n"
        self.assertEqual(client.take(), f"{told}\n")
        self.assertEqual(self.product.texts, ["product question"])
        self.answered(self.product.last)
        client.hang_up()
        self.turn()
        self.assertEqual(self.support.asked, [])
        self.assertEqual(self.statuses, {lines: FAILED})

    def test_it_is_refused_in_its_turn(self) -> None:
        client, _ = self.connected(PIPE, BATCH, LinesSettings(line=100))
        client.type(b"help\n" + b"x" * 101)
        client.hang_up()
        self.answered(self.support.last, "<p>1</p>")
        told = "That line is longer than 100 bytes; please shorten it.\n"
        self.assertEqual(client.take(), f"\n<p>1</p>\n\n{told}")

    def test_a_message_that_is_too_long(self) -> None:
        client, lines = self.connected(PIPE, BATCH)
        client.type("help" * 1_001 + "\n")
        told = "That message is longer than 4,000 characters; please shorten it.\n"
        self.assertEqual(client.take(), told)
        client.hang_up()
        self.turn()
        self.assertEqual(self.statuses, {lines: FAILED})

    def test_no_utf8(self) -> None:
        client, _ = self.connected(PIPE, BATCH)
        client.type(b"help \xff\xfe\n")
        self.assertEqual(self.support.texts, ["help \ufffd\ufffd"])

    def test_a_message_that_can_not_be_stored(self) -> None:
        client, _ = self.connected()
        client.take()
        self.store.broken = StoreError("the disk is full")
        client.type("help\n")
        told = "Your message could not be stored; please send it again.\n> "
        self.assertEqual(client.take(), told)
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        self.store.broken = None
        client.type("/retry\n")
        self.answered(self.support.last)
        self.assertEqual(client.take(), "\n\n> ")
        self.assertEqual(self.support.texts, ["help"])

    def test_an_answer_whose_end_can_not_be_stored(self) -> None:
        client, _ = self.connected(Look(prompt="> ", indicator=True))
        client.take()
        client.type("help\n")
        self.support.last.reply.paragraph("<p>1</p>")
        self.store.broken = StoreError("the disk is full")
        self.support.last.end()
        self.store.broken = None
        told = "The end of this answer could not be stored."
        self.assertEqual(client.take(), f"\n<p>1</p>\n{told}\n\n> ")
        self.flushLoggedErrors(StoreError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        client.type("/status\n/history\n")
        self.assertEqual(
            client.take(), "Nothing is under way.\n> > help\n\n<p>1</p>\n\n> "
        )
        client.type("product question\n")
        self.answered(self.product.last, "<p>2</p>")
        client.take()
        client.type("/history\n")
        self.assertEqual(
            client.take(),
            "> help\n\n<p>1</p>\n"
            "This answer was interrupted on our side; please ask again.\n\n"
            "> product question\n\n<p>2</p>\n\n> ",
        )


class CommandTests(LineTestCase):
    def idle(self, *lines: str) -> str:
        """What a client at the prompt is shown after these lines."""
        client, _ = self.connected()
        client.take()
        client.type("".join(f"{line}\n" for line in lines))
        return client.take()

    def test_the_words_that_end_it(self) -> None:
        for word in ("exit", "quit", "/exit", "/quit", "EXIT", " /Quit "):
            client, lines = self.connected()
            client.type(f"{word}\nhelp\n")
            client.type("help\n")
            self.turn()
            self.assertEqual(client.take(), "> ")
            self.assertEqual(self.statuses[lines], ANSWERED)
        self.assertEqual(self.support.asked, [])

    def test_the_end_comes_after_what_was_typed_before(self) -> None:
        client, lines = self.connected(PIPE, BATCH)
        client.type("help\nquit\nhelp again\n")
        client.hang_up()
        self.turn()
        self.assertFalse(client.closed)
        self.answered(self.support.last, "<p>1</p>")
        self.turn()
        self.assertEqual(client.take(), "\n<p>1</p>\n\n")
        self.assertEqual(self.support.texts, ["help"])
        self.assertEqual(self.statuses, {lines: ANSWERED})

    def test_help(self) -> None:
        shown = self.idle("/help")
        self.assertTrue(shown.startswith("/help     show this\n/history  show the "))
        self.assertTrue(
            shown.endswith("/quit     end; so do /exit, exit, quit and Ctrl-D\n> ")
        )
        self.assertEqual(shown.count("\n"), 7)

    def test_unknown_commands_go_nowhere(self) -> None:
        shown = self.idle("/help\x1b[2Jme with a product question")
        told = "There is no command /help[2Jme; /help shows those there are.\n> "
        self.assertEqual(shown, told)
        self.assertEqual(self.support.asked + self.product.asked, [])

    def test_nothing_to_stop_or_to_tell(self) -> None:
        self.assertEqual(self.idle("/stop"), "Nothing is under way.\n> ")
        self.assertEqual(self.idle("/status"), "Nothing is under way.\n> ")

    def test_nothing_to_ask_again(self) -> None:
        told = "There is no message to ask again.\n> "
        self.assertEqual(self.idle("/retry"), told)

    def test_retry(self) -> None:
        client, _ = self.connected()
        client.type("help\n")
        self.support.last.fail(ServiceUnreachable())
        client.take()
        client.type("/retry\n")
        self.assertEqual(client.take(), "\n")
        self.answered(self.support.last, "<p>1</p>")
        self.assertEqual(client.take(), "<p>1</p>\n\n> ")
        self.assertEqual(self.support.texts, ["help", "help"])

    def test_stop(self) -> None:
        client, _ = self.connected()
        client.type("help\n")
        client.type("product question\n")
        self.support.last.reply.paragraph("<p>1</p>")
        client.take()
        client.type(" /STOP \n")
        self.assertTrue(self.support.last.cancelled)
        self.assertEqual(client.take(), "(stopped)\n\n> product question\n\n")
        client.type("/stop now\n")
        self.assertTrue(self.product.last.cancelled)
        self.assertEqual(client.take(), "(stopped)\n\n> ")

    def test_status(self) -> None:
        client, _ = self.connected()
        self.clock.advance(100.0)
        client.type("help\n")
        self.clock.advance(12.3)
        client.take()
        client.type("/status\n")
        told = "The support service has been answering for 12 s; {}.\n"
        self.assertEqual(client.take(), told.format("0 more lines wait"))
        client.type("help 2\n/status\n")
        self.assertEqual(client.take(), told.format("1 more line waits"))
        client.type("/nonsense\n/Status please\n")
        self.assertEqual(client.take(), told.format("2 more lines wait"))
        self.answered(self.support.last)
        self.answered(self.support.last)

    def test_notices(self) -> None:
        client, _ = self.connected()
        client.type("help\n")
        client.take()
        self.support.last.reply.notice("The support service got stuck; asking again…")
        shown = "The support service got stuck; asking again…\n"
        self.assertEqual(client.take(), shown)

    def test_other_commands_wait_for_their_turn(self) -> None:
        client, _ = self.connected()
        client.type("help\n")
        client.take()
        client.type("/nonsense\n/retry\n")
        self.assertEqual(client.take(), "")
        self.answered(self.support.last)
        self.assertEqual(
            client.take(),
            "\n> /nonsense\n"
            "There is no command /nonsense; /help shows those there are.\n"
            "> /retry\n\n",
        )
        self.assertEqual(self.support.texts, ["help", "help"])

    def test_history(self) -> None:
        client, _ = self.connected()
        client.take()
        client.type("/history\n")
        self.assertEqual(client.take(), "Nothing was said yet.\n> ")
        client.type("help\n")
        reply = self.support.last.reply
        for paragraph in ("<p>1</p>", "<p>2</p>", "<p>3</p>"):
            reply.paragraph(paragraph)
        reply.revise(1)
        reply.paragraph("<p>4</p>")
        self.support.last.end()
        client.type("product question\n/stop\nreal person\n")
        self.person.last.fail(BodyCut())
        client.take()
        client.type("/history\n")
        self.assertEqual(
            client.take(),
            "> help\n\n<p>1</p>\n<p>4</p>\n\n"
            "> product question\n\n(stopped)\n\n"
            "> real person\n\nThe real agent broke off in the middle of its answer."
            " Please try again later.\n\n"
            "> ",
        )

    def test_a_long_history(self) -> None:
        client, _ = self.connected(PIPE, BATCH)
        client.type("hello\n" * 50)
        client.take()
        client.type("/history\n")
        told = "> hello\n\nNo service is set up here.\n\n"
        self.assertEqual(client.take(), told * 50)

    def test_clear(self) -> None:
        client, _ = self.connected()
        client.type("help\n")
        self.answered(self.support.last)
        client.take()
        client.type("/clear\n/history\n/retry\n")
        self.assertEqual(
            client.take(),
            "The conversation is forgotten; a new one begins.\n"
            "> Nothing was said yet.\n"
            "> There is no message to ask again.\n> ",
        )
        self.assertEqual(self.store.kept, {})
        client.type("help 2\n")
        self.answered(self.support.last, "<p>1</p>")
        self.assertEqual(client.take(), "\n<p>1</p>\n\n> ")

    def test_clear_in_its_turn(self) -> None:
        client, _ = self.connected(PIPE, BATCH)
        client.type("help\n/clear\nproduct question\n")
        self.answered(self.support.last, "<p>1</p>")
        self.answered(self.product.last, "<p>2</p>")
        self.assertEqual(
            client.take(),
            "\n<p>1</p>\n\n"
            "The conversation is forgotten; a new one begins.\n"
            "\n<p>2</p>\n\n",
        )


class InterruptTests(LineTestCase):
    """Ctrl-C."""

    def test_it_stops_the_answer_and_not_the_chat(self) -> None:
        client, lines = self.connected()
        client.type("help\n")
        self.support.last.reply.paragraph("<p>1</p>")
        client.take()
        lines.interrupt()
        self.assertTrue(self.support.last.cancelled)
        self.assertEqual(client.take(), "\n(stopped)\n\n> ")
        client.type("help\n")
        self.answered(self.support.last, "<p>1</p>")
        client.hang_up()
        self.turn()
        self.assertEqual(client.take(), "\n<p>1</p>\n\n> \n")
        self.assertEqual(self.statuses, {lines: ANSWERED})

    def test_the_prompt_is_not_wiped_with_the_indicator(self) -> None:
        client, lines = self.connected(Look(prompt="> ", indicator=True))
        client.type("help\n")
        self.clock.advance(1.0)
        client.take()
        lines.interrupt()
        self.assertEqual(client.take(), "\r\x1b[K(stopped)\n\n> ")

    def test_what_was_typed_ahead_is_answered_all_the_same(self) -> None:
        client, lines = self.connected()
        client.type("help\nproduct question\n")
        client.take()
        lines.interrupt()
        self.assertEqual(client.take(), "\n(stopped)\n\n> product question\n\n")
        self.assertFalse(self.product.last.cancelled)

    def test_at_the_prompt_it_ends_the_chat(self) -> None:
        client, lines = self.connected()
        lines.interrupt()
        self.turn()
        self.assertEqual(client.take(), "> \n")
        self.assertEqual(self.statuses, {lines: INTERRUPTED})

    def test_where_nobody_types_it_ends_the_chat(self) -> None:
        client, lines = self.connected(PIPE, BATCH)
        client.type("help\nproduct question\n")
        lines.interrupt()
        self.assertTrue(self.support.last.cancelled)
        self.turn()
        self.assertEqual(client.take(), "\n(stopped)\n\n")
        self.assertEqual(self.product.asked, [])
        self.assertEqual(self.statuses, {lines: INTERRUPTED})

    def test_one_shot(self) -> None:
        client, lines = self.connected(Look(spaced=False), BATCH)
        lines.begin("help")
        lines.interrupt()
        lines.interrupt()
        self.turn()
        self.assertEqual(client.take(), "(stopped)\n")
        self.assertEqual(self.statuses, {lines: INTERRUPTED})

    def test_a_client_that_does_not_read_can_not_prevent_it(self) -> None:
        for manner in (TYPING, BATCH):
            client, lines = self.connected(PIPE, manner, client=Pipe(self.clock, 9))
            client.stop_reading()
            client.type("hello\nhello\n")
            lines.interrupt()
            self.clock.advance(0.5)
            self.clock.advance(0.5)
            self.assertEqual(self.statuses[lines], INTERRUPTED)

    def test_after_the_end_it_means_nothing(self) -> None:
        client, lines = self.connected()
        client.vanish()
        lines.interrupt()
        lines.terminate(143, 1.0)
        lines.end()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.statuses, {lines: ANSWERED})


class TerminateTests(LineTestCase):
    """SIGTERM and SIGHUP."""

    def test_at_the_prompt(self) -> None:
        client, lines = self.connected()
        lines.terminate(143, 1.5)
        self.turn()
        self.assertEqual(client.take(), "> \n")
        self.assertEqual(self.statuses, {lines: 143})

    def test_the_answer_may_end(self) -> None:
        client, lines = self.connected()
        client.type("help\nhelp 2\n")
        lines.terminate(143, 1.5)
        self.clock.advance(1.4)
        self.answered(self.support.last, "<p>1</p>")
        self.turn()
        self.assertEqual(client.take(), "> \n<p>1</p>\n\n")
        self.assertEqual(self.support.texts, ["help"])
        self.assertEqual(self.statuses, {lines: 143})

    def test_but_not_for_ever(self) -> None:
        client, lines = self.connected(PIPE, BATCH)
        client.type("help\n")
        lines.terminate(143, 1.5)
        self.clock.advance(1.4)
        self.assertFalse(self.support.last.cancelled)
        self.clock.advance(0.1)
        self.assertTrue(self.support.last.cancelled)
        self.turn()
        self.assertEqual(client.take(), "\n(stopped)\n\n")
        self.assertEqual(self.statuses, {lines: 143})

    def test_a_client_that_does_not_read_can_not_prevent_it(self) -> None:
        client, lines = self.connected(PIPE, BATCH, client=Pipe(self.clock, 9))
        client.stop_reading()
        client.type("help\n")
        self.support.last.reply.paragraph("<p>1</p>")
        self.support.last.reply.paragraph("<p>2</p>")
        lines.terminate(143, 1.5)
        self.clock.advance(1.5)
        self.assertTrue(self.support.last.cancelled)
        self.clock.advance(0.5)
        self.assertEqual(self.statuses, {lines: 143})

    def test_nor_one_that_leaves_the_last_words_unread(self) -> None:
        client, lines = self.connected(PIPE, BATCH)
        client.stop_reading()
        client.type("hello\n")
        lines.terminate(143, 1.5)
        self.clock.advance(1.5)
        self.clock.advance(0.5)
        self.assertEqual(self.statuses, {lines: 143})

    def test_no_time_is_left_over(self) -> None:
        client, lines = self.connected()
        client.type("help\n")
        lines.terminate(143, 1.5)
        lines.terminate(129, 1.5)
        lines.interrupt()
        self.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.statuses, {lines: 129})


class StatusTests(LineTestCase):
    """Exit statuses: that of the first message that was not answered wholly."""

    def status(self, manner: Manner, *ends: Exception | None) -> int:
        client, lines = self.connected(PIPE, manner)
        client.type("help\n" * len(ends))
        client.hang_up()
        for end in ends:
            if end is None:
                self.support.last.end()
            else:
                self.support.last.fail(end)
        self.turn()
        return self.statuses[lines]

    def test_all_is_well(self) -> None:
        self.assertEqual(self.status(BATCH), 0)
        self.assertEqual(self.status(BATCH, None, None), 0)

    def test_a_service_fails(self) -> None:
        self.assertEqual(self.status(BATCH, None, BodyCut(), None), 69)

    def test_we_fail(self) -> None:
        self.assertEqual(self.status(BATCH, KeyError(), BodyCut()), 1)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_the_first_failure_counts(self) -> None:
        self.assertEqual(self.status(BATCH, BodyCut(), KeyError()), 69)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_not_one_behind_it(self) -> None:
        client, lines = self.connected(PIPE, BATCH)
        client.type("help\n")
        self.support.last.fail(BodyCut())
        client.type(b"x" * 100_000 + b"\n")
        client.hang_up()
        self.turn()
        self.assertEqual(self.statuses, {lines: UNAVAILABLE})

    def test_where_somebody_types_no_answer_is_a_failure_of_the_chat(self) -> None:
        self.assertEqual(self.status(TYPING, BodyCut(), None), 0)

    def test_stopped(self) -> None:
        client, lines = self.connected(PIPE, BATCH)
        client.type("help\n/stop\n")
        client.hang_up()
        self.turn()
        self.assertEqual(self.statuses, {lines: ANSWERED})


class BackPressureTests(LineTestCase):
    def slow(self, look: Look = PIPE, manner: Manner = BATCH) -> tuple[Socket, Lines]:
        """A client that has stopped reading, with room for a paragraph."""
        client = Socket(self.clock, 9)
        _, lines = self.connected(look, manner, client=client)
        client.take()
        client.stop_reading()
        return client, lines

    def test_the_chat_goes_on_where_it_was(self) -> None:
        client, lines = self.slow(TERMINAL, BATCH)
        client.type("help\nproduct question\n")
        for number in range(1, 10):
            self.support.last.reply.paragraph(f"<p>{number}</p>")
        self.assertEqual(client.unread, "help\n\n<p>1</p>\n")
        self.support.last.end()
        self.assertEqual(self.product.asked, [])
        taken = ""
        for _ in range(20):
            client.sip()
            taken += client.take()
        expected = "".join(f"<p>{number}</p>\n" for number in range(1, 10))
        self.assertEqual(
            taken + client.unread, f"help\n\n{expected}\n> product question\n\n"
        )
        self.answered(self.product.last)
        client.hang_up()
        client.read_on()
        self.turn()
        self.assertEqual(self.statuses, {lines: ANSWERED})

    def test_commands_wait_too(self) -> None:
        client, _ = self.slow(TERMINAL)
        client.type("hello\n")
        client.sip()
        client.sip()
        client.type("/help\n/status\n/stop\n")
        for _ in range(20):
            client.sip()
        shown = client.take() + client.unread
        self.assertEqual(shown.count("Nothing is under way.\n"), 2)
        self.assertNotIn("has been answering", shown)

    def test_a_client_that_does_not_read_its_prompt(self) -> None:
        client = Socket(self.clock, room=1)
        manner = Manner(echoed=True, stall=30.0)
        _, lines = self.connected(manner=manner, client=client)
        client.stop_reading()
        client.type("\n")
        self.assertEqual(client.unread, "> ")
        self.clock.advance(10.0)
        lines.drain("Bye.")
        self.clock.advance(29.9)
        self.assertFalse(client.aborted)
        self.clock.advance(0.1)
        self.turn()
        self.assertIn(lines, self.statuses)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_new_is_asked_meanwhile(self) -> None:
        for number, line in enumerate(("hello", "/help", "/nonsense")):
            client, _ = self.slow()
            client.type(f"{line}\nhelp\n")
            self.turn()
            self.assertEqual(len(self.support.asked), number)
            client.read_on()
            self.assertEqual(len(self.support.asked), number + 1)

    def test_little_is_written_meanwhile(self) -> None:
        client, _ = self.slow()
        client.type("help\n")
        for _ in range(10_000):
            self.support.last.reply.paragraph("<p>" + "x" * 100 + "</p>")
            self.support.last.reply.notice("asking again…")
        self.assertLess(len(client.unread), 250)

    def test_the_end_waits_until_all_is_read(self) -> None:
        client, lines = self.slow()
        client.type("help\n")
        client.hang_up()
        self.answered(self.support.last, *SOCKS)
        self.turn()
        self.assertFalse(client.closed)
        for _ in range(9):
            client.sip()
            self.clock.advance(1_000)
        self.assertEqual(client.take(), "\n" + "\n".join(SOCKS) + "\n\n")
        self.assertEqual(self.statuses, {lines: ANSWERED})
        self.assertFalse(lines.output_lost)

    def test_after_a_while_a_client_that_does_not_read_is_dropped(self) -> None:
        client, lines = self.slow(manner=Manner(interactive=True, stall=30.0))
        client.type("help\n")
        self.support.last.reply.paragraph("<p>1</p>")
        self.support.last.reply.paragraph("<p>2</p>")
        self.clock.advance(29.9)
        self.assertFalse(client.aborted)
        self.clock.advance(0.1)
        self.assertTrue(client.aborted)
        self.turn()
        self.assertTrue(self.support.last.cancelled)
        self.assertEqual(self.statuses, {lines: ANSWERED})

    def test_one_that_reads_in_time_is_not(self) -> None:
        client, _ = self.slow(manner=Manner(stall=30.0))
        client.type("help\n")
        for _ in range(10):
            self.support.last.reply.paragraph("<p>1</p>")
            self.clock.advance(29.0)
            client.sip()
        self.assertFalse(client.aborted)

    def test_the_same_goes_for_the_last_words(self) -> None:
        client = Socket(self.clock)
        _, lines = self.connected(manner=Manner(stall=30.0), client=client)
        client.stop_reading()
        client.type("hello\nquit\n")
        self.clock.advance(29.9)
        self.assertEqual(self.statuses, {})
        self.clock.advance(0.1)
        self.turn()
        self.assertEqual(self.statuses, {lines: ANSWERED})

    def test_a_client_that_is_far_ahead_is_not_read_from(self) -> None:
        client, _ = self.connected(PIPE, BATCH, LinesSettings(high_water=8))
        client.type("help 0\n")
        for number in range(1, 8):
            client.type(f"help {number}\n")
        self.assertTrue(client.heard)
        for number in range(8, 12):
            client.type(f"help {number}\n")
        self.assertFalse(client.heard)
        for waiting in (7, 6, 5):
            self.support.last.end()
            self.assertFalse(client.heard, waiting)
        self.support.last.end()
        self.assertTrue(client.heard)
        self.turn()
        for _ in range(4, 12):
            self.support.last.end()
        self.assertEqual(self.support.texts, [f"help {n}" for n in range(12)])
        client.type("help\n" * 9)
        self.assertFalse(client.heard)
        for _ in range(9):
            self.support.last.end()
        self.assertTrue(client.heard)

    def test_it_can_go_away_all_the_same(self) -> None:
        client, lines = self.connected(PIPE, BATCH, LinesSettings(high_water=2))
        client.type("help\n" * 10)
        self.assertFalse(client.heard)
        client.vanish()
        self.assertTrue(self.support.last.cancelled)
        self.assertEqual(len(self.support.asked), 1)
        self.assertIn(lines, self.statuses)

    def test_its_end_is_heard_at_last(self) -> None:
        client, lines = self.connected(PIPE, BATCH, LinesSettings(high_water=2))
        client.type("help\n" * 5)
        client.type("help")
        client.hang_up()
        for _ in range(6):
            self.support.last.end()
            self.turn()
        self.assertEqual(len(self.support.asked), 6)
        self.assertEqual(self.statuses, {lines: ANSWERED})


class EndTests(LineTestCase):
    """Whatever happens, nothing hangs, and nothing is left."""

    def test_the_client_vanishes_at_the_prompt(self) -> None:
        client, lines = self.connected(manner=Manner(interactive=True, idle=10.0))
        client.vanish()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.statuses, {lines: ANSWERED})

    def test_the_client_vanishes_in_an_answer(self) -> None:
        for look in (PIPE, TERMINAL, Look(prompt="> ", indicator=True)):
            client, lines = self.connected(look)
            client.type("help\nhelp 2\n")
            self.support.last.reply.paragraph("<p>1</p>")
            client.vanish()
            self.assertTrue(self.support.last.cancelled)
            self.assertEqual(self.support.last.question.text, "help")
            self.assertIn(lines, self.statuses)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_client_vanishes_while_it_does_not_read(self) -> None:
        client = Socket(self.clock, 9)
        _, lines = self.connected(PIPE, Manner(stall=30.0), client=client)
        client.stop_reading()
        client.type("help\nhelp 2\n")
        self.answered(self.support.last, "<p>1</p>", "<p>2</p>")
        client.vanish()
        self.assertEqual(self.support.texts, ["help"])
        self.assertIn(lines, self.statuses)

    def test_the_output_is_lost(self) -> None:
        client, lines = self.connected(PIPE, BATCH)
        client.type("help\nhelp 2\n")
        lines.writeConnectionLost()
        self.assertTrue(lines.output_lost)
        self.assertTrue(self.support.last.cancelled)
        self.assertEqual(self.support.texts, ["help"])
        self.assertEqual(self.statuses, {lines: ANSWERED})
        client.take()
        client.type("help 3\n")
        client.hang_up()
        client.vanish()
        self.assertEqual(client.take(), "")
        self.assertEqual(self.support.texts, ["help"])

    def test_what_was_written_last_may_be_lost(self) -> None:
        client, lines = self.connected(PIPE, BATCH)
        client.stop_reading()
        client.type("hello\n")
        client.hang_up()
        client.vanish()
        self.assertTrue(lines.output_lost)
        self.assertEqual(self.statuses, {lines: ANSWERED})

    def test_a_failure_before_the_output_is_lost_counts(self) -> None:
        client, lines = self.connected(PIPE, BATCH)
        client.type("help\n")
        self.support.last.fail(BodyCut())
        lines.writeConnectionLost()
        self.assertEqual(self.statuses, {lines: UNAVAILABLE})

    def test_nothing_is_said_for_long(self) -> None:
        client, lines = self.connected(manner=Manner(interactive=True, idle=10.0))
        client.type("\n")
        self.clock.advance(9.0)
        client.type("help\n")
        self.clock.advance(100.0)
        self.answered(self.support.last)
        client.take()
        self.clock.advance(9.9)
        self.assertEqual(client.take(), "")
        self.clock.advance(0.1)
        self.turn()
        self.assertEqual(client.take(), "\nNothing was said for long; good-bye.\n")
        self.assertEqual(self.statuses, {lines: ANSWERED})

    def test_a_farewell_is_said_once(self) -> None:
        client = Socket(self.clock)
        _, lines = self.connected(manner=Manner(idle=10.0), client=client)
        client.stop_reading()
        lines.drain("We are closing.")
        lines.drain("We are closing.")
        self.clock.advance(10.0)
        self.assertEqual(client.unread, "\nWe are closing.\n")

    def test_draining_answers_what_is_under_way_and_nothing_else(self) -> None:
        client, lines = self.connected()
        client.type("help\nhelp 2\n")
        client.take()
        lines.drain("We are closing.")
        client.type("help 3\n/stop\n")
        self.turn()
        self.answered(self.support.last, "<p>1</p>")
        self.turn()
        self.assertEqual(client.take(), "<p>1</p>\n\nWe are closing.\n")
        self.assertEqual(self.support.texts, ["help"])
        self.assertEqual(self.statuses, {lines: ANSWERED})

    def test_our_own_fault_is_logged_and_told_and_ends_it(self) -> None:
        for manner in (TYPING, BATCH):
            client, lines = self.connected(manner=manner)
            client.type("hello\n")
            self.store.broken = ZeroDivisionError("somewhere inside")
            client.type("/history\nhelp\n")
            self.store.broken = None
            self.turn()
            told = "Something went wrong on our side; this chat has to end.\n"
            self.assertTrue(client.take().endswith(told))
            self.assertEqual(self.statuses[lines], FAILED)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.support.asked, [])

    def test_a_service_with_a_fault_does_not_end_it(self) -> None:
        client, _ = self.connected()
        client.type("help\n")
        client.take()
        self.support.last.fail(ZeroDivisionError())
        told = "Something went wrong on our side; please ask again."
        self.assertEqual(client.take(), f"{told}\n\n> ")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_transcript_that_can_not_be_erased(self) -> None:
        client, lines = self.connected()
        erase = self.store.erase

        def broken(conversation_id: str) -> None:
            raise StoreError("the disk is full")

        self.store.erase = broken  # type: ignore[method-assign,assignment]
        client.vanish()
        self.store.erase = erase  # type: ignore[method-assign]
        self.assertEqual(self.statuses, {lines: FAILED})
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)

    def test_a_history_that_can_not_be_read_does_not_end_it(self) -> None:
        client, _ = self.connected()
        client.take()
        self.store.broken = StoreError("the disk is gone")
        client.type("/history\n")
        self.assertIn("can't be read at the moment", client.take())
        self.store.broken = None
        client.type("/history\n")
        self.assertIn("Nothing was said yet.", client.take())

    def test_a_conversation_that_an_operator_erases_leaves_a_chat_that_goes_on(
        self,
    ) -> None:
        client, _ = self.connected()
        client.type("help\n")
        self.support.last.reply.paragraph("<p>1</p>")
        (id,) = self.store.kept
        Deferred.fromCoroutine(self.desk.erase(id))
        self.turn()
        client.take()
        client.type("/clear\nhelp\n")
        self.turn()
        self.assertIn("a new one begins", client.take())
        self.assertEqual(len(self.support.asked), 2)


class SlowStoreTests(LineTestCase):
    """A store that takes its time."""

    def setUp(self) -> None:
        super().setUp()
        self.held = HeldStore()
        self.desk = FrontDesk(
            self.held,
            self.desk._dispatcher,
            self.clock.seconds,
            ConversationSettings(),
        )

    def tearDown(self) -> None:
        for client in self.clients:
            client.vanish()
        self.held.settle()
        super().tearDown()
        self.assertEqual(self.held.transcripts, {})
        self.assertEqual(self.desk._open, {})

    def test_nothing_is_shown_before_it_is_stored(self) -> None:
        client, _ = self.connected(PIPE, BATCH)
        client.type("help\n")
        self.held.settle()
        self.assertEqual(client.take(), "\n")
        self.support.last.reply.paragraph("<p>1</p>")
        self.support.last.end()
        self.assertEqual(client.take(), "")
        self.held.settle()
        self.assertEqual(client.take(), "<p>1</p>\n\n")

    def test_a_store_that_can_not_be_read_holds_up_nobody(self) -> None:
        client, lines = self.connected(PIPE, BATCH)
        client.type("help\n")
        self.held.settle()
        lines.pauseProducing()
        self.support.last.reply.paragraph("<p>1</p>")
        self.support.last.end()
        self.held.settle()
        lines.resumeProducing()
        self.held.reads.pop().done.errback(StoreError("the disk is gone"))
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        self.assertIn("can't be shown at the moment", client.take())
        client.type("help\n")
        self.held.settle()
        self.assertIn("<p>1</p>", client.take())
        self.support.last.reply.paragraph("<p>2</p>")
        self.support.last.end()
        client.hang_up()
        self.held.settle()
        self.turn()
        self.assertIn("<p>2</p>", client.take())
        self.held.settle()
        self.assertIn(lines, self.statuses)

    def test_the_client_vanishes_in_an_answer(self) -> None:
        look = Look(prompt="> ", indicator=True)
        client, lines = self.connected(look)
        client.type("help\n")
        self.held.settle()
        self.clock.advance(1.0)
        client.vanish()
        self.assertTrue(self.support.last.cancelled)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.statuses, {})
        self.held.settle()
        self.assertIn(lines, self.statuses)

    def test_the_client_vanishes_before_its_message_is_stored(self) -> None:
        client, lines = self.connected(PIPE, BATCH)
        client.type("help\n")
        client.vanish()
        self.assertEqual(self.statuses, {})
        self.held.settle()
        self.assertEqual(self.support.asked, [])
        self.assertIn(lines, self.statuses)

    def test_the_client_vanishes_while_its_conversation_is_forgotten(self) -> None:
        client, lines = self.connected(PIPE, BATCH)
        client.type("/clear\nhelp\n")
        client.vanish()
        self.held.settle()
        self.assertEqual(client.take(), "")
        self.assertIn(lines, self.statuses)


class AppearanceTests(LineTestCase):
    """How the chat looks and behaves on standard input and output."""

    def appearance(
        self, terminals: set[int], term: str = "xterm", **options: bool
    ) -> tuple[Look, Manner]:
        options = {"plain": False, "batch": False, "one_shot": False} | options
        with patch.object(os, "isatty", terminals.__contains__):
            return appearance({"TERM": term}, **options)

    def test_somebody_at_a_terminal(self) -> None:
        look, manner = self.appearance({0, 1})
        self.assertEqual((look.prompt, look.indicator, look.color), ("> ", True, True))
        self.assertEqual((manner.interactive, manner.echoed), (True, True))

    def test_pipes(self) -> None:
        for look, manner in (
            self.appearance(set()),
            self.appearance(set(), batch=True),
            self.appearance(set(), one_shot=True),
        ):
            self.assertEqual(
                (look.prompt, look.indicator, look.color), ("", False, False)
            )
            self.assertEqual((manner.interactive, manner.echoed), (False, False))

    def test_one_message_at_a_terminal_is_no_chat(self) -> None:
        look, manner = self.appearance({0, 1}, one_shot=True)
        self.assertEqual((look.prompt, look.spaced, look.indicator), ("", False, True))
        self.assertFalse(manner.interactive)

    def test_neither_is_a_batch(self) -> None:
        look, manner = self.appearance({0, 1}, batch=True)
        self.assertEqual((look.prompt, look.spaced), ("", True))
        self.assertFalse(manner.interactive)

    def test_an_output_into_a_file(self) -> None:
        look, manner = self.appearance({0})
        self.assertEqual((look.prompt, look.indicator), ("", False))
        self.assertFalse(manner.interactive)

    def test_terminals_that_can_do_little(self) -> None:
        for term in ("dumb", ""):
            look, _ = self.appearance({0, 1}, term)
            self.assertEqual((look.prompt, look.color), ("> ", False))
