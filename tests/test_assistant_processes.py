"""Two processes on one database: one customer, one count of PINs, one order."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from tests.assistant_servers import Demo, HeldShop, alone, demo
from tests.postgres import Cluster
from tests.program import PATIENCE, Answer, Server, served

pytest_plugins = ("tests.postgres_fixture",)

ALICE = {"email": "alice@example.com", "pin": "1234"}
BOB = {"email": "bob@example.com", "pin": "0042"}
LOGIN = "My email is alice@example.com and PIN is 1234"
ASKED, SUMMARY = "Do you have the MON-0054?", "Shall I place this order?"
TRIES = 50


class Gatekept(HeldShop):
    """The shop, which holds orders back only when it is told to."""

    def hold(self) -> None:
        """From now on."""
        self.held.clear()
        self._let = threading.Event()

    def tries(self) -> int:
        """How many PINs it was asked about."""
        return self.called.count("verify_customer_pin")


class Scene(NamedTuple):
    """Two processes, and the shop that they have in common."""

    one: Server
    other: Server
    shop: Gatekept
    behind: Demo
    database: tuple[str, str]
    env: dict[str, str]

    def session(self, **who: str) -> str:
        """The id of a new session, with a customer in it if one is named."""
        id: str = self.one.ask("POST", "/api/session/new").json["session_id"]
        if who:
            assert log_in(self.one, id, **who).status == 200
        return id

    def orders(self) -> set[str]:
        """Ids of all orders of Alice's."""
        who = log_in(self.one, self.session(), **ALICE).json["customer_info"]
        return {*self.behind.orders(who["customer_id"])}

    def proposed(self) -> str:
        """The id of a session in which a summary was just shown to Alice."""
        id = self.session(**ALICE)
        self.one.said(ASKED, session_id=id)
        summary = self.other.said("Order two of it", session_id=id)["response"]
        assert SUMMARY in summary
        return id


@pytest.fixture(scope="module")
def scene(postgres_server: Cluster) -> Iterator[Scene]:
    database = ("--database", postgres_server.migrated())
    with demo() as behind:
        shop = Gatekept(behind.shop_port, "create_order", performed=True)
        shop.let()
        env = alone(
            behind.urls,
            MCP_SERVER_URL=shop.url,
            OPENAI_API_KEY="any",
            SUPPORTBOT_SHOP__GUESSES__DELAY="0.001",  # it is the lock that is tried
        )
        try:
            with served(*database, env=env) as one, served(*database, env=env) as other:
                yield Scene(one, other, shop, behind, database, env)
        finally:
            shop.close()


def log_in(server: Server, id: str, **who: str) -> Answer:
    return server.ask("POST", f"/api/session/{id}/login", who)


def customer(server: Server, id: str) -> str | None:
    """The e-mail address of who is logged in."""
    about = server.ask("GET", f"/api/session/{id}").json["customer_info"]
    return about and str(about["email"])


def at_once(*calls: Callable[[], Answer]) -> Sequence[Answer]:
    """What comes of calls that are made side by side."""
    start = threading.Barrier(len(calls))

    def made(call: Callable[[], Answer]) -> Answer:
        start.wait(PATIENCE)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(made, calls))


def test_who_logs_in_at_one_is_known_at_the_other(scene: Scene) -> None:
    one, other = scene.one, scene.other
    id = scene.session()
    assert (customer(one, id), customer(other, id)) == (None, None)
    assert log_in(one, id, **ALICE).status == 200
    assert customer(other, id) == ALICE["email"]
    assert other.ask("POST", f"/api/session/{id}/logout").status == 200
    assert customer(one, id) is None
    assert "You are logged in" in other.said(LOGIN, session_id=id)["response"]
    assert customer(one, id) == ALICE["email"]
    assert one.ask("POST", f"/api/reset/{id}").status == 200
    assert customer(other, id) is None


def test_address_at_one_and_pin_at_the_other(scene: Scene) -> None:
    id = scene.session()
    scene.one.said("I am alice@example.com", session_id=id)
    told = scene.other.said("it's 1234", session_id=id)["response"]
    assert "You are logged in" in told
    assert customer(scene.one, id) == ALICE["email"]


def test_a_pin_is_forgotten_when_the_other_resets(scene: Scene) -> None:
    id, tries = scene.session(), scene.shop.tries()
    scene.one.said("My PIN is 1234", session_id=id)
    assert scene.other.ask("POST", f"/api/reset/{id}").status == 200
    told = scene.one.said("alice@example.com", session_id=id)["response"]
    assert "your PIN too" in told
    assert scene.shop.tries() == tries


def test_nothing_is_cut_while_the_other_answers(scene: Scene) -> None:
    one, other, shop = scene.one, scene.other, scene.shop
    before, id = scene.orders(), scene.session(**ALICE)
    tries = shop.tries()
    shop.hold()
    answer = one.streamed("I want to order ACC-0133", session_id=id)
    assert shop.held.wait(PATIENCE)
    refused = (
        log_in(other, id, **BOB),
        other.ask("POST", f"/api/session/{id}/logout"),
        other.ask("POST", f"/api/reset/{id}"),
        other.ask("POST", "/api/chat", {"message": "yes", "session_id": id}),
    )
    assert [one.status for one in refused] == [409] * 4
    assert (customer(other, id), shop.tries()) == (ALICE["email"], tries)
    shop.let()
    assert answer.rest()[-1]["outcome"] == "complete"
    assert log_in(other, id, **BOB).status == 200
    assert customer(one, id) == BOB["email"]
    assert len(scene.orders() - before) == 1


def test_a_yes_at_the_other_orders_once(scene: Scene) -> None:
    before, id = scene.orders(), scene.proposed()
    message = {"session_id": id, "message_id": "the-yes"}
    receipt = scene.one.said("yes", **message)["response"]
    found = re.search(r"Order number: (\S+?)\W*$", receipt, re.MULTILINE)
    assert found is not None, receipt
    assert scene.other.said("yes", **message)["response"] == receipt
    scene.other.said("yes", session_id=id)
    assert scene.orders() - before == {found[1]}


@pytest.mark.parametrize("same", [True, False], ids=["same message", "two messages"])
def test_two_yes_at_once_order_once(scene: Scene, same: bool) -> None:
    before = scene.orders()
    id = scene.proposed()

    def yes(server: Server) -> Callable[[], Answer]:
        key = "the-yes" if same else f"yes-{server.port}"
        body = {"message": "yes", "session_id": id, "message_id": key}
        return lambda: server.ask("POST", "/api/chat", body)

    answers = at_once(yes(scene.one), yes(scene.other))
    assert {answer.status for answer in answers} <= {200, 409}
    assert any(answer.status == 200 for answer in answers)
    assert len(scene.orders() - before) == 1
    for server in (scene.one, scene.other):
        assert server.ask("GET", f"/api/session/{id}").status == 200
    assert len(scene.orders() - before) == 1


def test_an_order_whose_process_is_killed_is_found_by_the_other(scene: Scene) -> None:
    before, id = scene.orders(), scene.session(**ALICE)
    calls = scene.shop.called.count("create_order")
    message = {"session_id": id, "message_id": "m1"}
    with served(*scene.database, env=scene.env) as third:
        scene.shop.hold()
        third.streamed("I want to order NET-0171", **message).close()
        assert scene.shop.held.wait(PATIENCE)
        third.kill()
    scene.shop.let()
    (made,) = scene.orders() - before
    again = scene.other.said("I want to order NET-0171", **message)
    assert (again["outcome"], made in again["response"]) == ("complete", True)
    scene.one.said("Thanks!", session_id=id)
    assert scene.orders() - before == {made}
    assert scene.shop.called.count("create_order") == calls + 1


def test_wrong_pins_are_counted_together(scene: Scene) -> None:
    servers = (scene.one, scene.other)
    tries = scene.shop.tries()
    ids = [scene.session() for _ in range(TRIES)]

    def guess(number: int) -> int:
        server, who = servers[number % 2], {**BOB, "pin": f"{9_000 + number}"}
        return log_in(server, ids[number], **who).status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(guess, range(TRIES)))
    assert scene.shop.tries() == tries + 3
    assert sorted(statuses) == [401] * 3 + [429] * (TRIES - 3)
    for server in servers:
        assert log_in(server, ids[0], **BOB).status == 429
    assert scene.shop.tries() == tries + 3
