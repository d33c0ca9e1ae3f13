"""What a front end is told to show first."""

from __future__ import annotations

import msgspec
import pytest
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from supportbot.application import Application, DemoSettings
from supportbot.assistance import ASSISTANT
from supportbot.channels.http.welcome import welcome
from supportbot.services.assistant.assistant import Assistant
from supportbot.services.signpost import Signpost
from supportbot.settings import (
    AssistantSettings,
    ConversationSettings,
    PageSettings,
    ServiceSettings,
    Settings,
    ShopSettings,
)
from tests.http_client import HttpClient

MODEL = AssistantSettings(api_key="key", title="helper")
EXAMPLES = (
    "I have a product question about Antigravity Socks",
    "I need help with my product. It has a flashing red light.",
)
PERSON = "I would like to speak with a real person please."


def test_without_a_shop() -> None:
    told = welcome(Settings(), can_log_in=False)
    assert msgspec.to_builtins(told) == {
        "title": "Support",
        "greeting": "Hello, how can we help you?",
        "suggestions": (*EXAMPLES, PERSON),
        "services": {
            "signpost": "front desk",
            "assistant": "assistant",
            "real-agent": "real agent",
            "product-info": "product service",
            "tech-support": "support service",
        },
        "can_log_in": False,
        "login_seconds": 900.0,
        "proposal_seconds": 600.0,
        "message_limit": 4000,
    }


def test_with_an_assistant_that_has_a_shop() -> None:
    told = welcome(Settings(assistant=MODEL), can_log_in=True)
    assert told.can_log_in
    assert told.greeting == (
        "Hello, how can we help you? Log in to see your orders or to place one."
    )
    assert told.suggestions == (*EXAMPLES, "Show me monitors", PERSON)
    assert told.services["assistant"] == "helper"


@pytest.mark.parametrize(
    ("assistant", "can_log_in"), [(MODEL, False), (AssistantSettings(), True)]
)
def test_nobody_is_offered_what_only_both_together_can_do(
    assistant: AssistantSettings, can_log_in: bool
) -> None:
    told = welcome(Settings(assistant=assistant), can_log_in=can_log_in)
    assert told.can_log_in is can_log_in
    assert told.greeting == "Hello, how can we help you?"
    assert told.suggestions == (*EXAMPLES, PERSON)


def test_what_the_settings_say_wins() -> None:
    shop = ServiceSettings(
        name="assistant", intent="shop", title="Jo", url="http://shop.example/"
    )
    settings = Settings(
        services=(shop,),
        assistant=MODEL,
        shop=ShopSettings(confirm_within=60.0),
        conversation=ConversationSettings(message=100, logged_in=30.0),
        page=PageSettings(title="Shop", greeting="Hi.", suggestions=("Where is it?",)),
    )
    told = welcome(settings, can_log_in=True)
    assert (told.title, told.greeting) == ("Shop", "Hi.")
    assert told.suggestions == ("Where is it?",)
    assert told.services == {"signpost": "front desk", "assistant": "Jo"}
    assert (told.login_seconds, told.proposal_seconds) == (30.0, 60.0)
    assert told.message_limit == 100


def test_there_may_be_no_suggestions() -> None:
    settings = Settings(assistant=MODEL, page=PageSettings(suggestions=()))
    assert welcome(settings, can_log_in=True).suggestions == ()
    service = ServiceSettings(name="a", intent="a", url="http://shop.example/")
    assert welcome(Settings(services=(service,)), can_log_in=False).suggestions == ()


def test_services_have_the_names_that_stand_in_transcripts() -> None:
    services = welcome(Settings(services=()), can_log_in=False).services
    assert {*services} == {Signpost.name, Assistant.name, ASSISTANT}


class DemoTests(SynchronousTestCase):
    """The whole program on a reactor that has no sockets."""

    def test_the_demo_has_a_shop_whatever_the_settings_say(self) -> None:
        reactor = MemoryReactorClock()
        application = Application(
            reactor, Settings(), http="tcp:8000", demo=DemoSettings()
        )
        application.privilegedStartService()
        application.startService()
        factories = {port: factory for port, factory, *_ in reactor.tcpServers}
        client = HttpClient(reactor)
        client.connect(factories[8000])
        client.request("GET", "/api/welcome")
        told = client.take_one().json
        self.assertIs(told["can_log_in"], True)
        self.assertIn("Show me monitors", told["suggestions"])
        client.vanish()
        self.successResultOf(application.stopService())
        self.assertEqual(reactor.getDelayedCalls(), [])
