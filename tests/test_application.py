"""The parts joined, on a reactor that has no sockets."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from supportbot.application import Application
from supportbot.settings import ServiceSettings, Settings


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

    def test_stopping_says_farewell_and_takes_nobody_else(self) -> None:
        self.start(Settings())
        client = self.connect()
        stopped = self.application.stopService()
        self.successResultOf(stopped)
        self.assertTrue(client.value().endswith(b"please come back later.\n"))
        self.assertTrue(client.disconnecting)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
