"""The parts joined, on a reactor that has no sockets."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from supportbot.application import Application
from supportbot.settings import (
    AssistantSettings,
    ServiceSettings,
    Settings,
    ShopSettings,
)


class Transport(StringTransport):
    """Tells its protocol when it is closed."""

    protocol: Any = None

    def loseConnection(self) -> None:
        if not self.disconnecting:
            super().loseConnection()
            self.protocol.connectionLost()


class ApplicationTests(SynchronousTestCase):
    """From settings to a line client."""

    def start(self, settings: Settings) -> None:
        self.reactor = MemoryReactorClock()
        self.application = Application(
            self.reactor, settings, lines="tcp:8023:interface=127.0.0.1"
        )
        self.application.privilegedStartService()
        self.application.startService()

    def connect(self) -> Transport:
        port, factory, _, interface = self.reactor.tcpServers[0]
        self.assertEqual((port, interface), (8023, "127.0.0.1"))
        transport = Transport()
        transport.protocol = factory.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        return transport

    def test_a_line_client_is_told_what_can_be_asked(self) -> None:
        self.start(Settings())
        client = self.connect()
        client.protocol.dataReceived(b"hello\n")
        shown = client.value().decode()
        for service in Settings().services:
            self.assertIn(f"“{service.intent}”", shown)
            self.assertIn(service.example, shown)
        self.assertEqual(self.reactor.tcpClients, [])
        client.loseConnection()

    def test_services_are_data(self) -> None:
        own = ServiceSettings(name="oracle", intent="oracle", url="http://127.0.0.1:1/")
        self.start(Settings(services=(own,)))
        client = self.connect()
        client.protocol.dataReceived(b"what says the Oracle?\n")
        self.assertEqual(len(self.reactor.tcpClients), 1)
        client.protocol.dataReceived(b"/stop\n")
        self.assertIn(b"(stopped)", client.value())
        client.loseConnection()
        self.reactor.advance(60)

    def asked_to_log_in(self, **settings: Any) -> int:
        """The port that is connected to for a login that also asks for help."""
        self.start(Settings(**settings))
        client = self.connect()
        client.protocol.dataReceived(b"help! I am alice@example.com, PIN 1234\n")
        ((_, port, *_),) = self.reactor.tcpClients
        client.loseConnection()
        return int(port)

    def test_a_login_is_for_the_shop_whatever_else_it_says(self) -> None:
        shop = ShopSettings(url="http://127.0.0.1:7001/mcp")
        model = AssistantSettings(url="http://127.0.0.1:7002/v1")
        self.assertEqual(self.asked_to_log_in(shop=shop, assistant=model), 7001)

    def test_where_nobody_can_log_in_the_words_say_who_is_asked(self) -> None:
        own = ServiceSettings(name="own", intent="help", url="http://127.0.0.1:7000/")
        shop = ShopSettings(url="http://127.0.0.1:7001/mcp")
        model = AssistantSettings(url="http://127.0.0.1:7002/v1")
        for others in ({}, {"shop": shop}, {"assistant": model}):
            port = self.asked_to_log_in(services=(own,), **others)
            self.assertEqual(port, 7000)

    def test_stopping_says_farewell_and_takes_nobody_else(self) -> None:
        self.start(Settings())
        client = self.connect()
        stopped = self.application.stopService()
        self.successResultOf(stopped)
        self.assertTrue(client.value().endswith(b"please come back later.\n"))
        self.assertTrue(client.disconnecting)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
