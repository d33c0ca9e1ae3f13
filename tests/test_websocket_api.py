"""What clients ask for over WebSocket, and what they are told, message by message."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from supportbot.channels.websocket import session as session_module
from supportbot.channels.websocket.shapes import Mark, Post, mark_of
from supportbot.errors import BodyCut, StoreError
from supportbot.events import CustomerSaid, Outcome, ReplyEnded
from supportbot.settings import ConversationSettings, WebSocketSettings
from tests.http_fakes import Held
from tests.websocket_client import WebSocketClient
from tests.websocket_fakes import (
    BEGUN,
    CLOSED,
    END,
    FAILED,
    GRACE,
    NOT_FOUND,
    OVER,
    HeldLasting,
    Lasting,
    Passing,
    WebSocketScene,
    error,
    kinds,
    unfit,
)

UNKNOWN = "00000000-0000-4000-8000-ffffffffffff"
INTERRUPTED = "This answer was interrupted on our side; please ask again."
ENDED = "chatbot_session_end"
POSTED = "chatbot_post_message"


def whole(text: str, seq: int, **more: object) -> list[dict[str, object]]:
    """A whole answer, as it comes to who has asked for nothing more."""
    return [{"type": "message", "data": text, "seq": seq, **more}, END]


def chunk(seq: int, text: str, **more: object) -> dict[str, object]:
    """A paragraph."""
    said = {"seq": seq, "text": text, "format": "html"}
    return {"type": "message_chunk", "data": said, **more}


class TestTheBasics(WebSocketScene):
    def test_start_post_and_end(self) -> None:
        client = self.meet()
        client.post({"action": "chatbot_session_start"})
        started = client.take_one()
        session = started["data"]["session_id"]
        self.assertEqual(
            started, {"type": "session_start", "data": {"session_id": session}}
        )
        self.say(client, session)
        self.assertEqual(client.take(), [BEGUN])
        self.service.last.reply.paragraph("<p>One.</p>")
        self.assertEqual(client.take(), [])
        self.service.last.reply.paragraph("<p>Two.</p>")
        self.service.last.end()
        self.assertEqual(client.take(), whole("<p>One.</p><p>Two.</p>", 5))
        self.end(client, session)
        self.assertEqual(client.take(), [OVER])
        self.end(client, session)
        self.assertEqual(client.take(), [OVER])
        self.say(client, session)
        self.assertEqual(client.take(), [BEGUN, error(CLOSED)])
        self.assertEqual(self.service.texts, ["help"])
        self.assertIsNone(client.closed_with)

    def test_what_means_nothing_here_is_not_answered(self) -> None:
        client, _session = self.begun()
        client.take()
        deep = "[" * 3_000 + "]" * 3_000
        for nonsense in (
            *("", " ", "{", "null", "true", "7", '"chatbot_session_start"', "[]"),
            *("{}", '{"action": null}', '{"action": 7}', '{"action": ["a"]}'),
            *('{"action": ""}', '{"action": "bogus"}', '{"Action": "x"}'),
            '{"action": "chatbot_session_start "}',
            '{"type": "chatbot_session_start"}',
            '{"action": "chatbot_session_start"} {}',
            '{"action": "chatbot_session_start", "x": NaN}',
            deep,
            f'{{"action": "chatbot_session_start", "x": {deep}}}',
            f'{{"x": {deep}, "action": "chatbot_session_start"}}',
            '{"action": "chatbot_session_start", "gpt_model": "\\ud800"}',
            '{"action": "chatbot_post_message", "user_message": "\\ud800"}',
        ):
            client.say(nonsense)
            self.assertEqual(client.take(), [], nonsense)
        self.answer("<p>1</p>")
        self.assertEqual(client.take(), whole("<p>1</p>", 4))

    def test_too_much_of_it_closes_the_connection(self) -> None:
        self.serve(websocket=WebSocketSettings(nonsense=3, grace=GRACE))
        client = self.meet()
        for _ in range(3):
            client.say("{}")
        self.clock.advance(61)
        for _ in range(3):
            client.say("{}")
        self.assertIsNone(client.closed_with)
        self.start(client)
        client.say("nothing")
        assert client.closed_with is not None
        self.assertEqual(client.closed_with[0], 1008)
        self.assertEqual(client.take(), [])

    def test_too_many_sessions_that_are_not_there_close_it_too(self) -> None:
        self.serve(websocket=WebSocketSettings(nonsense=3, grace=GRACE))
        client = self.meet()
        for _ in range(3):
            told = self.resume(client, UNKNOWN)
            self.assertEqual(told, [error(NOT_FOUND, session_id=UNKNOWN)])
        self.assertIsNone(client.closed_with)
        self.resume(client, UNKNOWN)
        assert client.closed_with is not None
        self.assertEqual(client.closed_with[0], 1008)

    def test_fields_that_are_missing_or_do_not_fit(self) -> None:
        client = self.meet()
        session = self.start(client)
        post = {"action": POSTED, "session_id": session, "user_message": "help"}
        resume = {"action": "chatbot_session_resume", "session_id": session}
        for asked, field in (
            ({"action": POSTED, "user_message": "help"}, "session_id"),
            ({"action": POSTED, "session_id": session}, "user_message"),
            ({"action": ENDED}, "session_id"),
            ({"action": "chatbot_stop"}, "session_id"),
            ({"action": "chatbot_session_resume"}, "session_id"),
            ({"action": ENDED, "session_id": None}, "session_id"),
            ({"action": "chatbot_session_start", "gpt_model": 7}, "gpt_model"),
            ({"action": "chatbot_session_start", "gpt_model": "m" * 129}, "gpt_model"),
            ({**post, "session_id": 7}, "session_id"),
            ({**post, "user_message": None}, "user_message"),
            ({**post, "user_message": 7}, "user_message"),
            ({**post, "user_message": ["help"]}, "user_message"),
            ({**post, "user_message": ""}, "user_message"),
            ({**post, "user_message": " \n\t "}, "user_message"),
            ({**post, "user_message": "x" * 4_001}, "user_message"),
            ({**post, "system_message": 7}, "system_message"),
            ({**post, "gpt_model": True}, "gpt_model"),
            ({**post, "gpt_model": 1.5}, "gpt_model"),
            ({**post, "stream": "yes"}, "stream"),
            ({**post, "stream": 1}, "stream"),
            ({**post, "message_id": ""}, "message_id"),
            ({**post, "message_id": "a b"}, "message_id"),
            ({**post, "message_id": "m" * 129}, "message_id"),
            ({**post, "message_id": "m\n"}, "message_id"),
            ({**post, "message_id": 7}, "message_id"),
            ({**resume, "after": -1}, "after"),
            ({**resume, "after": "1"}, "after"),
            ({**resume, "after": 2**31}, "after"),
            ({**resume, "after": 1.5}, "after"),
        ):
            client.post(asked)
            told = client.take_one()
            self.assertEqual(told["type"], "error", asked)
            start, _, reason = told["data"].partition(" Reason: ")
            self.assertEqual(start, "Unexpected error occurred.", asked)
            self.assertIn(field, reason, asked)
            self.assertNotIn("\n", reason)
        self.assertEqual(self.service.texts, [])
        self.say(client, session)
        self.answer("<p>1</p>")
        self.assertEqual(client.take(), [BEGUN, *whole("<p>1</p>", 4)])

    def test_errors_say_what_they_belong_to_where_that_is_known(self) -> None:
        client = self.meet()
        session = self.start(client)
        self.say(client, session, " ", message_id="m1")
        told = client.take_one()
        self.assertEqual((told["session_id"], told["message_id"]), (session, "m1"))
        self.say(client, session, " ", stream=True)
        told = client.take_one()
        self.assertEqual(told["session_id"], session)
        self.assertNotIn("message_id", told)

    def test_fields_that_nobody_knows_are_ignored(self) -> None:
        client = self.meet()
        session = self.start(client, temperature=1, user_message="x")
        self.say(client, session, temperature=2, chunks=[1, {"a": None}], null=None)
        self.answer("<p>1</p>")
        self.assertEqual(client.take(), [BEGUN, *whole("<p>1</p>", 4)])

    def test_optional_fields_may_be_null(self) -> None:
        client = self.meet()
        session = self.start(client, gpt_model=None)
        self.say(
            client,
            session,
            system_message=None,
            gpt_model=None,
            stream=None,
            message_id=None,
        )
        self.answer("<p>1</p>")
        self.assertEqual(client.take(), [BEGUN, *whole("<p>1</p>", 4)])

    def test_who_asks_for_nothing_gets_little_more_than_type_and_data(self) -> None:
        client = self.meet()
        session = self.start(client)
        for fail in (False, True):
            self.say(client, session)
            self.service.last.reply.paragraph("<p>1</p>")
            self.service.last.reply.delta("grow")
            self.service.last.reply.revise(0)
            if fail:
                self.service.last.fail(BodyCut("cut"))
            else:
                self.service.last.end()
        self.say(client, UNKNOWN)
        self.end(client, UNKNOWN)
        self.end(client, session)
        self.say(client, session)
        came = client.take()
        self.assertIn("message", kinds(came))
        for told in came:
            more = {"seq"} if told["type"] == "message" else set()
            self.assertEqual(set(told), {"type", "data"} | more)

    def test_a_message_is_not_said_when_its_session_is_not_known(self) -> None:
        client = self.meet()
        for unknown in (UNKNOWN, "", "x" * 5_000, "41eb27a0", "\u0000", "{id}"):
            self.say(client, unknown)
            self.assertEqual(client.take(), [BEGUN, error(NOT_FOUND)])
            self.end(client, unknown)
            told = error(f"Session with ID {unknown} not found.")
            self.assertEqual(client.take(), [told])
            self.stop(client, unknown)
            self.assertEqual(client.take(), [told])
        self.say(client, UNKNOWN, stream=True)
        mark = {"session_id": UNKNOWN}
        self.assertEqual(client.take(), [{**BEGUN, **mark}, error(NOT_FOUND, **mark)])
        self.say(client, UNKNOWN, message_id="m1")
        mark = {"session_id": UNKNOWN, "message_id": "m1"}
        self.assertEqual(client.take(), [{**BEGUN, **mark}, error(NOT_FOUND, **mark)])

    def test_the_answer_fails(self) -> None:
        client, session = self.begun()
        self.service.last.reply.paragraph("<p>1</p>")
        self.service.last.fail(BodyCut("cut"))
        self.assertEqual(client.take(), [BEGUN, error(FAILED)])
        self.say(client, session, message_id="m1")
        self.service.last.fail(BodyCut("cut"))
        begun, told = client.take()
        mark = {"session_id": session, "message_id": "m1"}
        self.assertEqual(begun, {**BEGUN, **mark, "seq": 5})
        detail = told.pop("detail")
        self.assertIn("support service", detail)
        self.assertEqual(told, error(FAILED, **mark, seq=7, outcome="cut"))
        self.say(client, session)
        self.answer("<p>2</p>")
        self.assertEqual(client.take(), [BEGUN, *whole("<p>2</p>", 11)])

    def test_our_own_fault_in_answering(self) -> None:
        client, _session = self.begun(stream=True)
        self.service.last.fail(RuntimeError("oops"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        _, told = client.take()
        self.assertEqual((told["data"], told["outcome"]), (FAILED, "failed"))

    def test_an_answer_comes_in_pieces_to_who_wants_that(self) -> None:
        client, session = self.begun(stream=True, message_id="m1")
        mark = {"session_id": session, "message_id": "m1"}
        self.assertEqual(client.take(), [{**BEGUN, **mark, "seq": 1}])
        reply = self.service.last.reply
        reply.delta("<p>O")
        reply.delta("ne")
        reply.paragraph("<p>One.</p>")
        reply.paragraph("<p>Two.</p>")
        reply.revise(1)
        reply.paragraph("<p>2.</p>")
        self.service.last.end()
        self.assertEqual(
            client.take(),
            [
                {"type": "message_delta", "data": {"text": "<p>O"}, **mark},
                {"type": "message_delta", "data": {"text": "ne"}, **mark},
                chunk(3, "<p>One.</p>", **mark),
                chunk(4, "<p>Two.</p>", **mark),
                {"type": "message_revised", "data": {"seq": 5, "keep": 1}, **mark},
                chunk(6, "<p>2.</p>", **mark),
                {"type": "message", "data": "<p>One.</p><p>2.</p>", "seq": 7, **mark},
                {**END, **mark},
            ],
        )
        self.assertEqual([one.seq for one in self.events(session)], [*range(1, 8)])

    def test_a_name_alone_brings_no_pieces_but_says_what_belongs_to_what(self) -> None:
        client, session = self.begun(message_id="m1")
        self.service.last.reply.delta("<p>O")
        self.answer("<p>One.</p>")
        mark = {"session_id": session, "message_id": "m1"}
        message, end = whole("<p>One.</p>", 4)
        self.assertEqual(
            client.take(),
            [{**BEGUN, **mark, "seq": 1}, {**message, **mark}, {**end, **mark}],
        )

    def test_pieces_without_a_name_name_the_session_only(self) -> None:
        client, session = self.begun(stream=True)
        self.answer("<p>One.</p>")
        told = client.take()
        self.assertEqual(
            kinds(told),
            ["processing_start", "message_chunk", "message", "processing_end"],
        )
        for one in told:
            self.assertEqual(one["session_id"], session)
            self.assertNotIn("message_id", one)

    def test_markdown_and_plain_text_stand_apart(self) -> None:
        client, _session = self.begun(stream=True)
        self.service.last.reply.paragraph("*One.*", "markdown")
        self.service.last.reply.paragraph("Two.", "plain")
        self.service.last.end()
        _, one, two, message, _ = client.take()
        formats = [one["data"]["format"], two["data"]["format"]]
        self.assertEqual(formats, ["markdown", "plain"])
        self.assertEqual(message["data"], "*One.*\n\nTwo.")

    def test_each_connection_hears_of_its_own_sessions_only(self) -> None:
        one, _first = self.begun()
        two, _second = self.begun()
        self.service.asked[0].reply.paragraph("<p>first</p>")
        self.service.asked[1].reply.paragraph("<p>second</p>")
        self.service.asked[1].end()
        self.service.asked[0].end()
        self.assertEqual(one.take(), [BEGUN, *whole("<p>first</p>", 4)])
        self.assertEqual(two.take(), [BEGUN, *whole("<p>second</p>", 4)])

    @given(st.builds(Post, st.text(), st.text(), st.none(), st.none(), st.booleans()))
    def test_a_mark_is_there_if_it_was_asked_for(self, post: Post) -> None:
        mark = Mark(post.session_id) if post.stream else None
        self.assertEqual(mark_of(post), mark)


class TestOrder(WebSocketScene):
    def test_messages_of_a_session_are_answered_one_after_the_other(self) -> None:
        client = self.meet()
        session = self.start(client)
        for number in range(3):
            self.say(client, session, f"help {number}")
        self.assertEqual(client.take(), [BEGUN])
        for number in range(3):
            self.assertEqual(len(self.service.asked), number + 1)
            self.answer(f"<p>{number}</p>")
            more = [BEGUN] if number < 2 else []
            answer = whole(f"<p>{number}</p>", 6 + 3 * number)
            self.assertEqual(client.take(), [*answer, *more])

    def test_all_in_one_packet(self) -> None:
        client = self.meet()
        session = self.start(client)
        client.stop_reading()
        for _number in range(3):
            self.say(client, session, "help")
        client.read_on()
        self.assertEqual(self.service.texts, ["help"])
        for _ in range(3):
            self.answer("<p>1</p>")
        told = client.take()
        answers = [[BEGUN, *whole("<p>1</p>", seq)] for seq in (6, 9, 12)]
        self.assertEqual(told, [one for answer in answers for one in answer])

    def test_sessions_are_answered_at_the_same_time(self) -> None:
        client = self.meet()
        first, second = self.start(client), self.start(client)
        self.say(client, first, "help 1", message_id="1")
        self.say(client, second, "help 2", message_id="2")
        self.assertEqual(self.service.texts, ["help 1", "help 2"])
        self.service.asked[1].end()
        self.service.asked[0].end()
        told = [(one["type"], one["session_id"]) for one in client.take()]
        self.assertEqual(
            told,
            [
                ("processing_start", first),
                ("processing_start", second),
                ("message", second),
                ("processing_end", second),
                ("message", first),
                ("processing_end", first),
            ],
        )

    def test_one_that_is_refused_disturbs_no_other(self) -> None:
        client = self.meet()
        session = self.start(client)
        self.say(client, session, "help 1")
        self.say(client, session, "")
        self.say(client, session, "help 2")
        empty = unfit("user_message: The message is empty.")
        self.assertEqual(client.take(), [BEGUN, empty])
        self.answer("<p>1</p>")
        self.answer("<p>2</p>")
        self.assertEqual(
            client.take(), [*whole("<p>1</p>", 5), BEGUN, *whole("<p>2</p>", 8)]
        )

    def test_no_more_wait_than_may(self) -> None:
        self.serve(conversation=ConversationSettings(queue=2))
        client = self.meet()
        session = self.start(client)
        for _ in range(3):
            self.say(client, session)
        begun, refused = client.take()
        self.assertEqual(begun, BEGUN)
        self.assertIn("2 messages are still waiting", refused["data"])
        self.answer("<p>1</p>")
        self.answer("<p>2</p>")
        self.assertEqual(
            client.take(), [*whole("<p>1</p>", 5), BEGUN, *whole("<p>2</p>", 8)]
        )
        self.say(client, session)
        self.answer("<p>3</p>")
        self.assertEqual(client.take(), [BEGUN, *whole("<p>3</p>", 12)])


class TestLimits(WebSocketScene):
    def test_so_many_messages_in_a_session(self) -> None:
        self.serve(messages=2)
        client = self.meet()
        session, other = self.start(client), self.start(client)
        for _ in range(2):
            self.say(client, session, "hi")
            self.assertEqual(kinds(client.take())[1:], ["message", "processing_end"])
        self.say(client, session, "hi")
        self.assertIn("too many messages in this session", client.take_one()["data"])
        self.say(client, other, "hi")
        self.assertEqual(kinds(client.take())[1:], ["message", "processing_end"])
        self.clock.advance(30)
        self.say(client, session, "hi")
        self.assertEqual(kinds(client.take())[1:], ["message", "processing_end"])

    def test_so_many_from_an_address_over_both_ways(self) -> None:
        self.serve(address_messages=2, address_sessions=4)
        client = self.meet("192.0.2.7")
        session = self.start(client)
        self.say(client, session, "hi")
        client.take()
        host = "192.0.2.7"
        response = self.call("POST", "/api/chat", {"message": "hi"}, host=host)
        self.assertEqual(response.status, 200)
        self.say(client, session, "hi")
        self.assertIn("too many messages from this address", client.take_one()["data"])
        self.refused(self.call("POST", "/api/chat", {"message": "hi"}, host=host), 429)
        other = self.meet("192.0.2.8")
        self.say(other, self.start(other), "hi")
        self.assertEqual(kinds(other.take())[1:], ["message", "processing_end"])

    def test_so_many_sessions_from_an_address_over_both_ways(self) -> None:
        self.serve(address_sessions=2)
        client, host = self.meet("192.0.2.7"), "192.0.2.7"
        self.start(client)
        self.assertEqual(self.call("POST", "/api/session/new", host=host).status, 200)
        client.post({"action": "chatbot_session_start"})
        self.assertIn("too many sessions from this address", client.take_one()["data"])
        self.refused(self.call("POST", "/api/session/new", host=host), 429)
        self.clock.advance(1_800)
        again = self.meet("192.0.2.7")
        self.start(again)

    def test_so_many_sessions_on_a_connection(self) -> None:
        self.serve(websocket=WebSocketSettings(sessions=2, grace=GRACE))
        client = self.meet()
        first = self.start(client)
        self.start(client)
        for _ in range(2):
            client.post({"action": "chatbot_session_start"})
            told = "There are 2 sessions on this connection already; end one first."
            self.assertEqual(client.take_one(), unfit(told))
        self.end(client, first)
        self.assertEqual(client.take(), [OVER])
        self.start(client)
        other = self.meet()
        self.start(other)

    def test_starting_and_ending_again_and_again_leaves_little(self) -> None:
        self.serve(websocket=WebSocketSettings(sessions=2, grace=GRACE))
        client = self.meet()
        ended = []
        for _ in range(50):
            session = self.start(client)
            self.say(client, session)
            self.end(client, session)
            self.assertEqual(client.take(), [BEGUN, error(CLOSED), OVER])
            ended.append(session)
        user: Any = client.protocol._upgraded._user
        self.assertLessEqual(len(user._sessions), 4)
        self.assertEqual(self.api.sessions.counts(), {"here": 0, "lost": 0})
        self.end(client, ended[-1])
        self.assertEqual(client.take(), [OVER])
        self.end(client, ended[0])
        told = f"Session with ID {ended[0]} not found."
        self.assertEqual(client.take(), [error(told)])

    def test_what_was_said_before_can_be_said_again_but_not_for_ever(self) -> None:
        client, session = self.begun(message_id="m1")
        for _ in range(session_module._UNTOLD + 1):
            self.say(client, session, message_id="m1")
        begun, refused = client.take()
        self.assertEqual(begun["type"], "processing_start")
        self.assertIn("messages are still waiting", refused["data"])
        self.assertEqual(refused["message_id"], "m1")
        self.answer("<p>1</p>")
        told = kinds(client.take())
        self.assertEqual(told.count("message"), session_module._UNTOLD + 1)
        self.assertEqual(told.count("processing_end"), session_module._UNTOLD + 1)


class TestMessageIds(WebSocketScene):
    def test_the_same_twice_at_once_is_said_once_and_answered_twice(self) -> None:
        client, session = self.begun(message_id="m1")
        self.say(client, session, message_id="m1")
        self.answer("<p>1</p>")
        told = client.take()
        once = ["processing_start", "message", "processing_end"]
        self.assertEqual(kinds(told), once * 2)
        self.assertEqual({one["message_id"] for one in told}, {"m1"})
        self.assertEqual(self.service.texts, ["help"])

    def test_again_while_it_is_answered_and_after(self) -> None:
        client, session = self.begun(message_id="m1")
        self.service.last.reply.paragraph("<p>1</p>")
        self.say(client, session, message_id="m1", stream=True)
        self.answer("<p>2</p>")
        self.assertEqual(
            kinds(client.take()),
            [
                *("processing_start", "message", "processing_end", "processing_start"),
                *("message_chunk", "message_chunk", "message", "processing_end"),
            ],
        )
        self.say(client, session, message_id="m1")
        _, message, _ = client.take()
        self.assertEqual((message["data"], message["seq"]), ("<p>1</p><p>2</p>", 5))
        self.assertEqual(self.service.texts, ["help"])

    def test_again_after_it_was_cut_asks_once_more(self) -> None:
        client, session = self.begun(message_id="m1", stream=True)
        self.service.last.reply.paragraph("<p>1</p>")
        self.service.last.fail(BodyCut("cut"))
        self.assertEqual(client.take()[-1]["data"], FAILED)
        self.say(client, session, message_id="m1", stream=True)
        self.answer("<p>2</p>")
        mark = {"session_id": session, "message_id": "m1"}
        self.assertEqual(
            client.take(),
            [
                {**BEGUN, **mark, "seq": 1},
                chunk(6, "<p>2</p>", **mark),
                {"type": "message", "data": "<p>2</p>", "seq": 7, **mark},
                {**END, **mark},
            ],
        )
        said = [one for one in self.events(session) if isinstance(one, CustomerSaid)]
        self.assertEqual(len(said), 1)

    def test_again_while_another_is_being_stored(self) -> None:
        """It is answered first, and is told first."""
        store = HeldLasting()
        self.serve(store)
        client, session = self.begun(message_id="m1", stream=True)
        store.settle()
        self.service.last.fail(BodyCut("cut"))
        store.settle()
        client.take()
        self.say(client, session, "help 2", message_id="m2", stream=True)
        store.searches.pop().fire()
        self.say(client, session, message_id="m1", stream=True)
        for _ in range(3):
            store.settle()
            if not self.service.last.over:
                self.answer("<p>1</p>")
        told = client.take()
        seqs = [one["seq"] for one in told if one["type"] == "message"]
        self.assertEqual(len(seqs), 2)
        self.assertEqual(seqs, sorted(seqs))

    def test_another_text_under_the_same_id_is_refused(self) -> None:
        client, session = self.begun(message_id="m1")
        client.take()
        for _ in range(2):
            self.say(client, session, "another", message_id="m1")
            told = client.take_one()
            self.assertEqual(told["type"], "error")
            self.assertIn("Reason: message_id: ", told["data"])
            self.assertEqual(told["message_id"], "m1")
            if not self.service.last.over:
                self.answer("<p>1</p>")
                self.assertEqual(kinds(client.take()), ["message", "processing_end"])
        self.assertEqual(self.service.texts, ["help"])

    def test_the_same_id_in_another_session_is_another_message(self) -> None:
        client, _session = self.begun(message_id="m1")
        other = self.start_another(client)
        self.say(client, other, "help me", message_id="m1")
        self.assertEqual(self.service.texts, ["help", "help me"])

    def start_another(self, client: WebSocketClient) -> str:
        client.take()
        return self.start(client)

    def test_what_was_said_before_costs_nothing(self) -> None:
        self.serve(messages=1)
        client, session = self.begun(message_id="m1")
        self.answer("<p>1</p>")
        client.take()
        for _ in range(3):
            self.say(client, session, message_id="m1")
            self.assertEqual(kinds(client.take())[1:], ["message", "processing_end"])

    def test_asking_again_fails_before_it_has_begun(self) -> None:
        store = Passing()
        self.serve(store)
        client, session = self.begun(message_id="m1")
        self.service.last.fail(BodyCut("cut"))
        client.take()
        store.broken.add("append")
        self.say(client, session, message_id="m1")
        self.assertEqual([one["data"] for one in client.take()], [None, FAILED])
        store.broken.clear()
        self.lose(client)
        client = self.meet()
        told = self.resume(client, session)
        self.assertEqual(kinds(told), ["session_resume", "processing_start", "error"])
        self.say(client, session, message_id="m2")
        self.answer("<p>2</p>")
        self.assertEqual(kinds(client.take())[1:], ["message", "processing_end"])


class TestModels(WebSocketScene):
    def said(self, session: str) -> list[tuple[str, str, str]]:
        return [
            (one.text, one.system_message, one.model)
            for one in self.events(session)
            if isinstance(one, CustomerSaid)
        ]

    def test_the_model_of_the_start_is_kept(self) -> None:
        client = self.meet()
        session = self.start(client, gpt_model="gpt-4o")
        self.say(client, session, "1")
        self.say(client, session, "2", gpt_model=None)
        self.assertEqual(self.said(session), [("1", "", "gpt-4o"), ("2", "", "gpt-4o")])

    def test_that_of_a_message_replaces_it(self) -> None:
        client = self.meet()
        session, other = self.start(client, gpt_model="a"), self.start(client)
        self.say(client, session, "1", gpt_model="b")
        self.say(client, session, "2")
        self.say(client, session, "3", gpt_model="")
        self.say(client, other, "4")
        self.assertEqual(
            self.said(session), [("1", "", "b"), ("2", "", "b"), ("3", "", "")]
        )
        self.assertEqual(self.said(other), [("4", "", "")])

    def test_it_is_known_again_after_a_restart(self) -> None:
        transcripts: dict[str, Any] = {}
        self.serve(Lasting(transcripts))
        client = self.meet()
        session = self.start(client, gpt_model="a")
        self.say(client, session, "1")
        self.say(client, session, "2", gpt_model="b")
        self.restart(Lasting(transcripts))
        client = self.meet()
        self.resume(client, session)
        self.say(client, session, "3")
        self.assertEqual([one[2] for one in self.said(session)], ["a", "b", "b"])

    def test_instructions_are_stored_with_their_message_only(self) -> None:
        client = self.meet()
        session, other = self.start(client), self.start(client)
        self.say(client, session, "1", system_message="Be brief.")
        self.say(client, session, "2")
        self.say(client, other, "3")
        self.assertEqual(self.said(session), [("1", "Be brief.", ""), ("2", "", "")])
        self.assertEqual(self.said(other), [("3", "", "")])

    def test_they_can_be_turned_off(self) -> None:
        self.serve(websocket=WebSocketSettings(system_messages=False, grace=GRACE))
        client = self.meet()
        session = self.start(client)
        self.say(client, session, "1", system_message="Be brief.", gpt_model="a")
        self.assertEqual(self.said(session), [("1", "", "a")])
        self.say(client, session, "1", system_message=7)
        self.assertIn("system_message", client.take()[-1]["data"])

    def test_nobody_reads_them_over_http(self) -> None:
        client = self.meet()
        session = self.start(client)
        self.say(client, session, "1", system_message="Be brief.")
        response = self.call("GET", f"/api/session/{session}")
        self.assertEqual(response.status, 200)
        self.assertNotIn(b"Be brief.", response.body)


class TestTheEnd(WebSocketScene):
    def test_what_is_under_way_and_what_waits_is_closed(self) -> None:
        client, session = self.begun()
        self.say(client, session, "help 2", message_id="m2")
        asked = self.service.last
        asked.reply.paragraph("<p>1</p>")
        self.end(client, session)
        mark = {"session_id": session, "message_id": "m2"}
        self.assertEqual(
            client.take(),
            [BEGUN, error(CLOSED), {**BEGUN, **mark}, error(CLOSED, **mark), OVER],
        )
        self.assertTrue(asked.cancelled)
        self.assertEqual(self.service.texts, ["help"])
        self.assertEqual(self.events(session), [])
        self.assertEqual(self.desk.unanswered, 0)

    def test_its_transcript_stays_where_transcripts_last(self) -> None:
        self.serve(Lasting())
        client, session = self.begun()
        self.service.last.reply.paragraph("<p>1</p>")
        self.end(client, session)
        self.assertEqual(client.take(), [BEGUN, error(CLOSED), OVER])
        end = self.events(session)[-1]
        assert isinstance(end, ReplyEnded)
        self.assertEqual(end.outcome, Outcome.STOPPED)

    def test_what_comes_behind_it_is_told_that_it_is_closed(self) -> None:
        store = Held()
        self.serve(store)
        client = self.meet()
        session = self.start(client)
        self.say(client, session, "help 1")
        self.end(client, session)
        self.say(client, session, "help 2")
        self.end(client, session)
        self.assertEqual(client.take(), [BEGUN, error(CLOSED)])
        store.settle()
        self.assertEqual(client.take(), [OVER, BEGUN, error(CLOSED), OVER])
        store.settle()
        self.assertEqual(store.transcripts, {})
        self.assertEqual(self.service.asked, [])

    def test_it_is_over_when_all_is_stored_that_has_to_be(self) -> None:
        store = HeldLasting()
        self.serve(store)
        client, session = self.begun()
        store.settle()
        self.end(client, session)
        self.assertEqual(client.take(), [BEGUN, error(CLOSED)])
        self.assertTrue(self.service.last.cancelled)
        store.settle()
        self.assertEqual(client.take(), [OVER])
        self.assertIsInstance(store.transcripts[session][-1], ReplyEnded)

    def test_other_sessions_go_on(self) -> None:
        client, session = self.begun()
        client.take()
        other = self.start(client)
        self.say(client, other)
        self.end(client, session)
        self.assertEqual(client.take(), [BEGUN, error(CLOSED), OVER])
        self.answer("<p>1</p>")
        self.assertEqual(client.take(), whole("<p>1</p>", 4))

    def test_it_is_over_also_when_it_can_not_be_erased(self) -> None:
        store = Passing()
        self.serve(store)
        client, session = self.begun()
        client.take()
        store.broken.add("append")
        self.end(client, session)
        self.assertEqual(client.take(), [error(CLOSED), OVER])

    def test_it_was_deleted_meanwhile(self) -> None:
        for store in (None, Lasting()):
            self.serve(store)
            client, session = self.begun()
            self.say(client, session)
            response = self.call("DELETE", f"/api/reset/{session}")
            self.assertEqual(response.status, 200)
            self.assertEqual(client.take(), [BEGUN, error(CLOSED)] * 2)
            self.say(client, session)
            self.assertEqual(client.take(), [BEGUN, error(CLOSED)])
            self.stop(client, session)
            self.assertEqual(client.take(), [])
            told = self.resume(client, session)
            self.assertEqual(told, [error(CLOSED, session_id=session)])
            self.end(client, session)
            self.assertEqual(client.take(), [OVER])
            self.assertEqual(self.events(session), [])
            self.lose(client)
            self.clock.advance(GRACE)

    def test_one_in_which_nothing_was_said(self) -> None:
        client = self.meet()
        session = self.start(client)
        self.end(client, session)
        self.assertEqual(client.take(), [OVER])
        self.assertEqual(len(self.desk._open), 0)

    def test_it_was_reset_meanwhile(self) -> None:
        client, session = self.begun()
        self.say(client, session)
        response = self.call("POST", f"/api/reset/{session}")
        self.assertEqual(response.status, 200)
        told = [one["data"] for one in client.take()]
        self.assertEqual(told, [None, "", None, None, FAILED])
        self.say(client, session)
        self.answer("<p>1</p>")
        self.assertEqual(client.take(), [BEGUN, *whole("<p>1</p>", 9)])

    def test_it_was_reset_before_the_client_has_read_what_was_answered(self) -> None:
        client = self.meet(room=1_000)
        session = self.start(client)
        for id in ("m1", "m2"):
            self.say(client, session, stream=True, message_id=id)
        client.stop_reading()
        for _ in range(10):
            self.service.last.reply.paragraph("x" * 500)
        self.service.last.end()
        self.answer("<p>2</p>")
        response = self.call("POST", f"/api/reset/{session}")
        self.assertEqual(response.status, 200)
        client.read_on()
        told = [one for one in client.take() if one["type"] != "message_chunk"]
        self.assertEqual(kinds(told), ["processing_start", "error"] * 2)
        self.assertEqual([one["data"] for one in told], [None, FAILED] * 2)
        self.say(client, session)
        self.answer("<p>3</p>")
        self.assertEqual(client.take(), [BEGUN, *whole("<p>3</p>", 22)])


class TestStop(WebSocketScene):
    def test_what_there_is_of_the_answer_is_the_answer(self) -> None:
        client, session = self.begun(message_id="m1")
        self.say(client, session, "help 2")
        client.take()
        self.service.last.reply.paragraph("<p>1</p>")
        asked = self.service.last
        self.stop(client, session)
        self.assertTrue(asked.cancelled)
        mark = {"session_id": session, "message_id": "m1"}
        message, end = whole("<p>1</p>", 5, outcome="stopped")
        self.assertEqual(client.take(), [{**message, **mark}, {**end, **mark}, BEGUN])
        self.answer("<p>2</p>")
        self.assertEqual(client.take(), whole("<p>2</p>", 8))

    def test_before_the_first_word(self) -> None:
        client, session = self.begun()
        self.stop(client, session)
        self.assertEqual(client.take(), [BEGUN, *whole("", 3, outcome="stopped")])

    def test_where_nothing_is_under_way(self) -> None:
        client = self.meet()
        session = self.start(client)
        self.stop(client, session)
        self.assertEqual(client.take(), [])
        self.say(client, session)
        self.answer("<p>1</p>")
        self.stop(client, session)
        self.assertEqual(client.take(), [BEGUN, *whole("<p>1</p>", 4)])
        self.end(client, session)
        self.stop(client, session)
        self.assertEqual(client.take(), [OVER])


class TestStrangers(WebSocketScene):
    def test_a_foreign_session_is_as_one_that_is_not_there(self) -> None:
        owner, session = self.begun()
        owner.take()
        stranger = self.meet()

        def told(id: str) -> list[Any]:
            self.say(stranger, id)
            self.say(stranger, id, stream=True, message_id="m1")
            self.end(stranger, id)
            self.stop(stranger, id)
            stranger.post({"action": "chatbot_session_resume", "session_id": id})
            self.clock.advance(0)
            self.clock.advance(0)
            return stranger.take()

        foreign, unknown = told(session), told(UNKNOWN)
        self.assertEqual(
            json.dumps(foreign).replace(session, "ID"),
            json.dumps(unknown).replace(UNKNOWN, "ID"),
        )
        self.assertEqual(len(foreign), 7)
        self.assertEqual(self.service.texts, ["help"])
        self.answer("<p>1</p>")
        self.assertEqual(owner.take(), whole("<p>1</p>", 4))
        self.assertEqual(stranger.take(), [])
        self.lose(owner)
        self.clock.advance(GRACE)
        gone = told(session)
        self.assertEqual(
            json.dumps(gone).replace(session, "ID"),
            json.dumps(unknown).replace(UNKNOWN, "ID"),
        )

    def test_who_has_lost_the_connection_has_to_resume(self) -> None:
        owner, session = self.begun()
        self.lose(owner)
        again = self.meet()
        self.say(again, session)
        self.assertEqual(again.take(), [BEGUN, error(NOT_FOUND)])
        self.end(again, session)
        self.assertEqual(again.take(), [error(f"Session with ID {session} not found.")])
        self.assertFalse(self.service.last.over)


class TestBackPressure(WebSocketScene):
    def test_a_client_that_does_not_read_is_waited_for(self) -> None:
        store = Lasting()
        self.serve(store)
        client = self.meet(room=1_000)
        session = self.start(client)
        self.say(client, session, stream=True, message_id="m1")
        client.stop_reading()
        page = "<p>" + "x" * 500 + "</p>"
        for _ in range(500):
            self.service.last.reply.paragraph(page)
        self.assertLess(len(client._unread), 5_000)
        self.assertEqual(self.desk.followers, 1)
        self.service.last.end()
        self.assertLess(len(client._unread), 5_000)
        client.read_on()
        told = client.take()
        self.assertEqual(
            kinds(told),
            [
                "processing_start",
                *["message_chunk"] * 500,
                "message",
                "processing_end",
            ],
        )
        seqs = [one["data"]["seq"] for one in told[1:501]]
        self.assertEqual(seqs, [*range(3, 503)])
        self.assertEqual(told[501]["data"], page * 500)

    def test_each_of_its_sessions_waits_also_one_that_begins_then(self) -> None:
        client = self.meet(room=1_000)
        sessions = [self.start(client) for _ in range(3)]
        for session in sessions[:2]:
            self.say(client, session, stream=True, message_id="m1")
        self.say(client, sessions[2], "help 3", stream=True, message_id="m1")
        self.say(client, sessions[2], "help 4", stream=True, message_id="m2")
        client.take()
        client.stop_reading()
        page = "<p>" + "x" * 500 + "</p>"
        for _ in range(100):
            self.service.asked[0].reply.paragraph(page)
        before = len(client._unread)
        for asked in self.service.asked[1:3]:
            for _ in range(100):
                asked.reply.paragraph(page)
            asked.end()
        self.service.last.reply.paragraph(page)
        self.service.last.end()
        self.service.asked[0].end()
        self.assertLess(len(client._unread), before + 1_500)
        for _ in range(2_000):
            client.sip()
            self.assertLess(len(client._unread), 150_000)
        client.read_on()
        chunks = {session: [0, 0] for session in sessions}
        for one in client.take():
            if one["type"] == "message_chunk":
                chunks[one["session_id"]][0] += 1
            if one["type"] == "message":
                chunks[one["session_id"]][1] += 1
        self.assertEqual(
            chunks,
            {sessions[0]: [100, 1], sessions[1]: [100, 1], sessions[2]: [101, 2]},
        )

    def test_an_answer_that_begins_then_waits_as_well(self) -> None:
        store = Held()
        self.serve(store)
        client = self.meet(room=1_000)
        busy, other = self.start(client), self.start(client)
        self.say(client, busy, stream=True)
        store.settle()
        self.say(client, other, "help 2", stream=True)
        ((append,), store.appends) = store.appends, []  # it takes its time
        client.stop_reading()
        for _ in range(100):
            self.service.asked[0].reply.paragraph("x" * 500)
        store.settle()
        append.fire()
        store.settle()
        for _ in range(100):
            self.service.asked[1].reply.paragraph("y" * 500)
        store.settle()
        self.assertLess(len(client._unread), 3_000)
        client.read_on()
        store.settle()
        chunks = [
            one["data"]["text"][0]
            for one in client.take()
            if one["type"] == "message_chunk"
        ]
        self.assertEqual((chunks.count("x"), chunks.count("y")), (100, 100))
        for asked in self.service.asked:
            asked.end()
        store.settle()
        self.lose(client)
        self.clock.advance(GRACE)
        store.settle()


class TestDraining(WebSocketScene):
    def drain(self, seconds: float = 10.0) -> Deferred[Any]:
        """Stop as the program does."""
        desk = self.desk.drain(self.clock, seconds)
        server = self.server.drain(seconds + 1)
        return desk.addCallback(lambda _: server)

    def test_idle_connections_are_closed_at_once(self) -> None:
        idle, new = self.meet(), self.meet()
        session = self.start(idle)
        self.say(idle, session)
        self.answer("<p>1</p>")
        self.say(idle, session, "")
        self.start(new)
        idle.take()
        drained = self.drain()
        for client in (idle, new):
            assert client.closed_with is not None
            self.assertEqual(client.closed_with[0], 1012)
        self.clock.advance(0)
        self.clock.advance(0)
        self.successResultOf(drained)

    def test_busy_ones_after_their_answers(self) -> None:
        client = self.meet()
        self.start(client)  # with nothing to do
        session = self.start(client)
        self.say(client, session)
        self.say(client, session)
        drained = self.drain()
        self.assertIsNone(client.closed_with)
        self.answer("<p>1</p>")
        self.assertIsNone(client.closed_with)
        self.answer("<p>2</p>")
        self.assertEqual(
            client.take(), [BEGUN, *whole("<p>1</p>", 5), BEGUN, *whole("<p>2</p>", 8)]
        )
        assert client.closed_with is not None
        self.assertEqual(client.closed_with[0], 1012)
        self.clock.advance(0)
        self.clock.advance(0)
        self.successResultOf(drained)

    def test_what_was_taken_but_is_not_stored_is_waited_for(self) -> None:
        store = Held()
        self.serve(store)
        client, _ = self.begun()
        drained = self.drain()
        self.assertIsNone(client.closed_with)
        store.settle()
        self.answer("<p>1</p>")
        store.settle()
        self.assertEqual(client.take(), [BEGUN, *whole("<p>1</p>", 4)])
        assert client.closed_with is not None
        self.assertEqual(client.closed_with[0], 1012)
        self.clock.advance(0)
        self.clock.advance(0)
        store.settle()
        self.successResultOf(drained)

    def test_what_was_not_taken_yet_is_refused(self) -> None:
        store = HeldLasting()
        self.serve(store)
        client = self.meet()
        session = self.start(client)
        self.desk.draining = True
        self.say(client, session)
        self.assertEqual(client.take(), [BEGUN, error(FAILED)])
        self.drain()
        assert client.closed_with is not None
        self.assertEqual(client.closed_with[0], 1012)
        self.assertEqual(store.transcripts, {})

    def test_no_new_ones_are_opened(self) -> None:
        client, _session = self.begun()
        self.desk.draining = True
        late = WebSocketClient(self.clock, "127.0.0.1")
        late.connect(self.factory)
        self.clients.append(late)
        response = late.open()
        assert response is not None
        self.assertEqual(response.status, 503)
        self.assertEqual(response.headers["retry-after"], "1")
        client.take()
        new = self.start(client)
        self.say(client, new)
        self.assertEqual(client.take(), [BEGUN, error(FAILED)])

    def test_what_is_interrupted_is_answered_by_the_next_process(self) -> None:
        transcripts: dict[str, Any] = {}
        self.serve(Lasting(transcripts))
        client, session = self.begun(stream=True, message_id="m1")
        self.say(client, session, "help 2", stream=True, message_id="m2")
        self.say(client, session, "help 3", stream=True, message_id="m3")
        self.service.last.reply.paragraph("<p>1</p>")
        client.take()
        drained = self.drain(5)
        self.clock.advance(5)
        told = client.take()
        cut = [one for one in told if one["type"] == "error"]
        self.assertEqual([one["message_id"] for one in cut], ["m1"])
        self.assertEqual(cut[0]["detail"], INTERRUPTED)
        self.assertNotIn("message", kinds(told))
        assert client.closed_with is not None
        self.assertEqual(client.closed_with[0], 1012)
        self.clock.advance(0)
        self.clock.advance(0)
        self.successResultOf(drained)
        self.restart(Lasting(transcripts))
        client = self.meet()
        told = self.resume(client, session, cut[0]["seq"], stream=True)
        self.answer("<p>2</p>")
        self.answer("<p>3</p>")
        told += client.take()
        self.assertEqual(
            [one["data"] for one in told if one["type"] == "message"],
            ["<p>2</p>", "<p>3</p>"],
        )
        self.assertNotIn("m1", {one.get("message_id") for one in told})


class TestBrokenStores(WebSocketScene):
    def settled(self, client: WebSocketClient) -> list[Any]:
        """What came of one message: its answer, or one error."""
        told = client.take()
        ends = [one for one in kinds(told) if one in {"processing_end", "error"}]
        self.assertEqual(len(ends), 1, told)
        self.assertEqual(kinds(told).count("message"), ends.count("processing_end"))
        self.assertEqual(told[0], BEGUN)
        return told

    def test_each_step_fails_once(self) -> None:
        """Whatever fails, each message is answered or not, and the next one is."""
        for lasting in (Lasting, Passing):
            for name in ("find", "append", "read"):
                for step in range(6):
                    with self.subTest(lasting=lasting, name=name, step=step):
                        self.fail_at(lasting(), name, step)
            self.flushLoggedErrors(StoreError)

    def fail_at(self, store: Lasting, name: str, step: int) -> None:
        self.serve(store, conversation=ConversationSettings(kept=1))
        client = self.meet()
        session = self.start(client)
        self.say(client, session)
        self.answer("<p>0</p>")
        self.settled(client)

        def at(number: int) -> None:
            store.broken = {name} if number == step else set()

        asked = len(self.service.asked)
        at(0)
        self.say(client, session, "help")
        if len(self.service.asked) > asked:
            at(1)
            self.service.last.reply.paragraph("<p>1</p>")
            at(2)
            if not self.service.last.over:
                self.service.last.reply.paragraph("<p>2</p>")
            at(3)
            if not self.service.last.over:
                self.service.last.end()
        at(4)
        self.settled(client)
        at(5)
        self.stop(client, session)
        at(-1)
        client.take()
        asked = len(self.service.asked)
        self.say(client, session, "help again")
        if len(self.service.asked) > asked:
            self.answer("<p>3</p>")
        while not self.service.last.over:
            self.answer("<p>3</p>")
        end = self.events(session)[-1]
        self.assertIsInstance(end, ReplyEnded)
        self.assertEqual(self.settled(client)[1:], whole("<p>3</p>", end.seq))
        self.end(client, session)
        self.assertEqual(client.take(), [OVER])
        self.lose(client)
        self.assertEqual(self.api.sessions.counts(), {"here": 0, "lost": 0})

    def test_the_first_message_is_not_stored(self) -> None:
        for lasting in (Lasting, Passing):
            store = lasting()
            self.serve(store)
            client = self.meet()
            session = self.start(client)
            for name in ("append", "find"):
                store.broken = {name}
                self.say(client, session, message_id="m1")
                told = [one["data"] for one in client.take()]
                self.assertIn(told, ([None, FAILED], [None]))
                if told == [None]:  # a new one need not be looked for
                    self.answer("<p>0</p>")
                    client.take()
            store.broken = set()
            self.say(client, session)
            self.answer("<p>1</p>")
            end = self.events(session)[-1]
            self.assertIsInstance(end, ReplyEnded)
            self.assertEqual(client.take()[1:], whole("<p>1</p>", end.seq))
            self.lose(client)
            self.clock.advance(GRACE)

    def test_it_fails_in_order_behind_an_answer(self) -> None:
        store = Held()
        self.serve(store)
        client = self.meet()
        session = self.start(client)
        store.settle()
        self.say(client, session, "help 1")
        store.settle()
        self.say(client, session, "help 2")
        store.lose()
        self.assertEqual(client.take(), [BEGUN])
        self.answer("<p>1</p>")
        store.settle()
        self.assertEqual(client.take(), [*whole("<p>1</p>", 4), BEGUN, error(FAILED)])

    def test_an_answer_that_can_not_be_read_is_not_waited_for(self) -> None:
        store = Lasting()
        self.serve(store)
        client = self.meet(room=1_000)
        session = self.start(client)
        self.say(client, session, stream=True)
        client.stop_reading()
        for _ in range(10):
            self.service.last.reply.paragraph("x" * 500)
        store.broken = {"read"}
        client.read_on()
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        told = client.take()
        self.assertEqual(told[-1], error(FAILED, session_id=session))
        store.broken = set()
        self.service.last.end()
        self.assertEqual(client.take(), [])
        self.say(client, session)
        self.answer("<p>2</p>")
        self.assertEqual(client.take(), [BEGUN, *whole("<p>2</p>", 17)])


class TestOurOwnFaults(WebSocketScene):
    def test_a_message_can_not_be_taken_for_a_reason_of_ours(self) -> None:
        client, session = self.begun()
        self.answer("<p>1</p>")
        client.take()
        find = self.desk.find

        async def broken(id: str) -> Any:
            raise RuntimeError("oops")

        self.desk.find = broken  # type: ignore[method-assign]
        self.say(client, session, message_id="m1")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        mark = {"session_id": session, "message_id": "m1"}
        self.assertEqual(client.take(), [{**BEGUN, **mark}, error(FAILED, **mark)])
        self.stop(client, session)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(client.take(), [error(FAILED, session_id=session)])
        told = self.resume(client, session)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(told, [error(FAILED, session_id=session)])
        self.assertEqual(
            self.resume(client, UNKNOWN), [error(FAILED, session_id=UNKNOWN)]
        )
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.desk.find = find  # type: ignore[method-assign]
        self.say(client, session)
        self.answer("<p>1</p>")
        self.assertEqual(client.take(), [BEGUN, *whole("<p>1</p>", 8)])

    def test_customers_words_are_not_logged(self) -> None:
        store = Lasting()
        self.serve(store)
        client = self.meet()
        session = self.start(client)
        store.broken = {"append"}
        self.say(client, session, "help secret")
        client.take()
        store.broken = {"find"}
        self.stop(client, session)
        self.resume(client, session)
        self.assertEqual(self.flushLoggedErrors(), [])


class TestFigures(WebSocketScene):
    def test_what_is_counted(self) -> None:
        client, _session = self.begun()
        other = self.meet()
        self.assertEqual(self.api.connections, 2)
        self.assertEqual(self.api.sessions.counts(), {"here": 1, "lost": 0})
        client.say("{}")
        self.lose(client)
        self.assertEqual(self.api.connections, 1)
        self.assertEqual(self.api.sessions.counts(), {"here": 0, "lost": 1})
        other.close()
        self.clock.advance(0)
        self.assertEqual(self.api.connections, 0)
        figures = {
            (sample.name, *sample.labels.values()): sample.value
            for counter in (self.metrics.nonsense, self.metrics.closed)
            for family in counter.collect()
            for sample in family.samples
        }
        self.assertEqual(
            [value for (name, *labels), value in figures.items() if not labels], [1]
        )
        codes = {labels[0]: value for (_, *labels), value in figures.items() if labels}
        self.assertEqual(codes, {"1006": 1, "1000": 1})


class TestHeld(WebSocketScene):
    """The store takes its time."""

    def test_nothing_is_told_before_it_is_stored(self) -> None:
        store = HeldLasting()
        self.serve(store)
        client = self.meet()
        session = self.start(client)
        self.say(client, session, stream=True)
        self.assertEqual(client.take(), [])
        store.store()
        self.assertEqual(kinds(client.take()), ["processing_start"])
        store.settle()
        self.service.last.reply.paragraph("<p>1</p>")
        self.assertEqual(client.take(), [])
        store.settle()
        self.assertEqual(kinds(client.take()), ["message_chunk"])
        self.service.last.end()
        self.assertEqual(client.take(), [])
        store.settle()
        self.assertEqual(kinds(client.take()), ["message", "processing_end"])

    def test_many_messages_at_once_are_read_no_further_than_is_good(self) -> None:
        store = HeldLasting()
        self.serve(store, conversation=ConversationSettings(queue=100))
        client, session = self.begun()
        store.settle()
        self.answer("<p>0</p>")
        store.settle()
        client.take()
        for number in range(100):
            self.say(client, session, f"help {number}", message_id=f"{number}")
        self.assertFalse(client.heard)
        for _ in range(200):
            store.settle()
            self.clock.advance(0)
            if self.service.asked and not self.service.last.over:
                self.answer("<p>1</p>")
        told = client.take()
        ids = [one["message_id"] for one in told if one["type"] == "message"]
        self.assertEqual(ids, [str(number) for number in range(100)])
