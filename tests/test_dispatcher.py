"""Which service a message is for, with the services of the default settings."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from supportbot.dispatcher import Dispatcher, Route
from supportbot.interfaces import Question, Service
from supportbot.services.signpost import Signpost
from supportbot.settings import DEFAULT_SERVICES, ServiceSettings
from tests.fakes import RecordingReply, ScriptedService

PERSON, PRODUCT, HELP = "real-agent", "product-info", "tech-support"


def default_dispatcher() -> Dispatcher:
    routes = [
        Route(one.intent, ScriptedService(one.name, one.title), one.person)
        for one in DEFAULT_SERVICES
    ]
    return Dispatcher(routes, Signpost(DEFAULT_SERVICES))


class PickTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.dispatcher = default_dispatcher()

    def picked(self, text: str) -> str:
        return self.dispatcher.pick(text).service.name

    def test_the_services_own_examples(self) -> None:
        for one in DEFAULT_SERVICES:
            route = self.dispatcher.pick(one.example)
            self.assertEqual(route.service.name, one.name)
            self.assertEqual(route.intent, one.intent)

    def test_a_person_wins_over_a_product_and_a_product_over_help(self) -> None:
        for text, name in [
            ("help with a product question for a real person", PERSON),
            ("real person, product question, help", PERSON),
            ("help! is there a real person?", PERSON),
            ("a product question, please help", PRODUCT),
            ("help", HELP),
        ]:
            self.assertEqual(self.picked(text), name, text)

    def test_any_case_and_any_place(self) -> None:
        for text, name in [
            ("HELP me", HELP),
            ("Please hElP", HELP),
            ("(help)", HELP),
            ("help!", HELP),
            ("no-help-here", HELP),
            ("I have a PRODUCT Question", PRODUCT),
            ("product\n  question", PRODUCT),
            ("¿Real person?", PERSON),
        ]:
            self.assertEqual(self.picked(text), name, text)

    def test_whole_words_only(self) -> None:
        for text in [
            "helpful",
            "I was helped",
            "whelp",
            "help_me",
            "product questions",
            "product. question",
            "a product, one question",
            "surreal person",
            "real persons",
            "person real",
            "really, person",
            "hélp",
            "Hello",
            "",
        ]:
            self.assertEqual(self.picked(text), "signpost", text)

    def test_no_intent_is_an_empty_one(self) -> None:
        route = self.dispatcher.pick("Hello")
        self.assertEqual((route.intent, route.person), ("", False))

    @settings(deadline=None)
    @given(before=st.text(), after=st.text())
    def test_whatever_stands_around_the_words(self, before: str, after: str) -> None:
        text = f"{before} real person {after}"
        self.assertEqual(self.picked(text), PERSON)

    def test_of_two_services_for_one_intent_the_first_wins(self) -> None:
        first, second = ScriptedService("first"), ScriptedService("second")
        dispatcher = Dispatcher(
            [Route("help", first), Route("help", second)], Signpost([])
        )
        self.assertIs(dispatcher.pick("help").service, first)

    def test_titles(self) -> None:
        self.assertEqual(self.dispatcher.title(PRODUCT), "product service")
        self.assertEqual(self.dispatcher.title(PERSON), "real agent")
        self.assertEqual(self.dispatcher.title("signpost"), "front desk")
        self.assertEqual(self.dispatcher.title("long gone"), "front desk")


class WayOutTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.dispatcher = default_dispatcher()

    def service(self, text: str) -> Service:
        return self.dispatcher.pick(text).service

    def test_to_a_person(self) -> None:
        for text in ("help", "product question", "Hello"):
            self.assertEqual(
                self.dispatcher.way_out(self.service(text)),
                "Ask for a “real person” to talk to somebody, or try again.",
            )

    def test_when_the_person_is_the_one_who_failed(self) -> None:
        way_out = self.dispatcher.way_out(self.service("real person"))
        self.assertEqual(way_out, "Please try again later.")

    def test_when_there_is_no_person(self) -> None:
        service = ScriptedService()
        dispatcher = Dispatcher([Route("help", service)], Signpost([]))
        self.assertEqual(dispatcher.way_out(service), "Please try again later.")

    def test_to_another_person(self) -> None:
        first, second = ScriptedService("first"), ScriptedService("second")
        routes = [Route("real person", first, True), Route("manager", second, True)]
        way_out = Dispatcher(routes, Signpost([])).way_out(first)
        self.assertEqual(
            way_out, "Ask for a “manager” to talk to somebody, or try again."
        )


class SignpostTests(SynchronousTestCase):
    def said(self, services: tuple[ServiceSettings, ...]) -> list[str]:
        reply = RecordingReply()
        question = Question("Hello", lambda: self.fail("nobody wants to know"))
        self.successResultOf(
            Deferred.fromCoroutine(Signpost(services).answer(question, reply))
        )
        self.assertEqual({format for _, format in reply.paragraphs}, {"plain"})
        return [text for text, _ in reply.paragraphs]

    def test_every_service_has_a_line_with_one_example(self) -> None:
        self.assertEqual(
            self.said(DEFAULT_SERVICES),
            [
                "I can help when your message has one of these in it:",
                "“real person” asks the real agent, for example:"
                " I would like to speak with a real person please.",
                "“product question” asks the product service, for example:"
                " I have a product question about Antigravity Socks",
                "“help” asks the support service, for example:"
                " I need help with my product. It has a flashing red light.",
            ],
        )

    def test_a_service_without_an_example(self) -> None:
        settings = ServiceSettings(
            name="hats", intent="hat", url="http://hats.invalid/"
        )
        self.assertEqual(self.said((settings,))[1:], ["“hat” asks the hats service."])

    def test_no_service_at_all(self) -> None:
        self.assertEqual(self.said(()), ["No service is set up here."])
