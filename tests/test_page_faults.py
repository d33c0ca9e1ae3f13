"""The page in a browser, with the real server: what customers see when things break."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Route, expect

from tests.assistant_servers import Gate, PlayedModel, alone
from tests.browser import DEMO, MEMORY, People, Serve, Visitor, address
from tests.nginx import nginx
from tests.program import Wire, free_port
from tests.test_end_to_end import ASK_LIGHT, ASK_SOCKS, LIGHT, SOCKS
from tests.test_http_end_to_end import Controlled, database, service
from tests.test_page_story import texts

__all__ = ["database", "service"]

pytest_plugins = ("tests.browser_fixture",)

LOST = (r"^failed: ", r"^console: Failed to load resource: net::ERR_")
"""What a browser says itself of a server that is not there."""
BAD_GATEWAY = (r"^refused: .*: 502$", r"^console: Failed to load resource: .* 502 ")
GONE = (r"^refused: .*: 404$", r"^console: Failed to load resource: .* 404 ")
POLL = re.compile(r"/events\?.*wait=[1-9]")
ONE, TWO, THREE = WHOLE = ["One.", "Two.", "Three."]


@pytest.fixture
def folder() -> Iterator[Path]:
    """For a program that does not run as this user."""
    with tempfile.TemporaryDirectory(prefix="nginx-") as name:
        yield Path(name)


def said_so_far(visitor: Visitor, *expected: str) -> None:
    """Wait until exactly these paragraphs are there."""
    expect(visitor.paragraphs).to_have_text(list(expected))


def polls(visitor: Visitor) -> list[str]:
    """The requests that wait for events instead of being streamed them."""
    return [one.url for one in visitor.asked if POLL.search(one.url)]


def sent(visitor: Visitor) -> list[str]:
    """The messages that were posted, by their ids."""
    posts = [one for one in visitor.asked if one.url.endswith("/messages")]
    return [json.loads(post.post_data or "")["message_id"] for post in posts]


# The server


def test_a_server_that_dies_in_mid_answer_and_comes_back(
    people: People, serve: Serve, service: Controlled, database: tuple[str, str]
) -> None:
    port = free_port()
    server = serve(*database, env=service.env, port=port)
    visitor = people.come(address(server))
    visitor.forgive(*LOST)
    visitor.say("help")
    service.let(0)
    said_so_far(visitor, ONE)
    server.kill()
    expect(visitor.told("No connection")).to_be_visible()
    said_so_far(visitor, ONE)
    visitor.is_accessible()
    serve(*database, env=service.env, port=port)
    again = visitor.button("Ask again")
    expect(again).to_be_visible()
    expect(visitor.told("No connection")).to_have_count(0)
    said_so_far(visitor, ONE)
    visitor.is_accessible()
    service.let(1)
    service.let(2)
    again.click()
    said_so_far(visitor, *WHOLE)
    expect(again).to_have_count(0)
    expect(visitor.said).to_have_text(["help"])
    visitor.reload()
    said_so_far(visitor, *WHOLE)
    expect(visitor.said).to_have_text(["help"])


def test_a_server_that_comes_back_with_its_memory_lost(
    people: People, serve: Serve
) -> None:
    port = free_port()
    server = serve(*DEMO, env=alone(), port=port)
    visitor = people.come(address(server))
    visitor.forgive(*LOST, *GONE)
    visitor.say(ASK_SOCKS)
    said_so_far(visitor, *texts(SOCKS))
    server.kill()
    visitor.say(ASK_LIGHT)
    serve(*DEMO, env=alone(), port=port)
    gone = "This conversation is no longer there; a new one was begun."
    expect(visitor.warned(gone)).to_be_visible()
    said_so_far(visitor, *texts(LIGHT))
    expect(visitor.said).to_have_text([ASK_LIGHT])
    visitor.is_accessible()
    visitor.button("Dismiss").click()
    expect(visitor.warned(gone)).to_have_count(0)


def test_a_server_that_is_replaced_in_mid_answer(
    people: People, serve: Serve, service: Controlled, database: tuple[str, str]
) -> None:
    port = free_port()
    server = serve(*database, env=service.env, port=port)
    visitor = people.come(address(server))
    visitor.forgive(*LOST)
    visitor.say("help")
    service.let(0)
    said_so_far(visitor, ONE)
    server.process.terminate()  # it finishes what it has begun
    service.let(1)
    service.let(2)
    server.ended()
    serve(*database, env=service.env, port=port)
    said_so_far(visitor, *WHOLE)
    expect(visitor.said).to_have_text(["help"])
    expect(visitor.button("Ask again")).to_have_count(0)


# The network


def test_what_is_typed_offline_is_sent_once_when_the_network_is_back(
    people: People, url: str
) -> None:
    visitor = people.come(url)
    visitor.forgive(*LOST)
    visitor.say(ASK_SOCKS)
    said_so_far(visitor, *texts(SOCKS))
    visitor.context.set_offline(True)
    expect(visitor.told("You are offline.")).to_be_visible()
    visitor.say(ASK_LIGHT)
    expect(visitor.unsent).to_have_text([ASK_LIGHT])
    expect(visitor.said).to_have_text([ASK_SOCKS])
    visitor.is_accessible()
    visitor.context.set_offline(False)
    said_so_far(visitor, *texts(SOCKS + LIGHT))
    expect(visitor.said).to_have_text([ASK_SOCKS, ASK_LIGHT])
    expect(visitor.unsent).to_have_count(0)
    expect(visitor.told("You are offline.")).to_have_count(0)
    assert len(set(sent(visitor))) == 2


def test_an_answer_goes_on_over_a_connection_that_is_cut(
    people: People, serve: Serve, service: Controlled
) -> None:
    server = serve(*MEMORY, env=service.env)
    wire = Wire(server.port)
    visitor = people.come(f"http://127.0.0.1:{wire.port}/")
    visitor.forgive(*LOST)
    visitor.say("help")
    for number in range(3):
        service.let(number)
        said_so_far(visitor, *WHOLE[: number + 1])
        wire.cut()
    expect(visitor.button("Copy answer")).to_be_visible()
    said_so_far(visitor, *WHOLE)
    expect(visitor.said).to_have_text(["help"])
    wire.close()


def test_a_network_that_swallows_all_is_noticed(
    people: People, serve: Serve, service: Controlled
) -> None:
    server = serve(*MEMORY, env=service.env)
    wire = Wire(server.port)
    visitor = people.come(fresh=True)
    visitor.page.clock.install()
    visitor.visit(f"http://127.0.0.1:{wire.port}/")
    visitor.forgive(*LOST)
    visitor.say("help")
    service.let(0)
    said_so_far(visitor, ONE)
    wire.die()
    for _ in range(4):  # silence is noticed, then that no new connection answers either
        visitor.page.clock.fast_forward("00:30")
    expect(visitor.told("No connection")).to_be_visible()
    wire.close()


def test_a_message_whose_receipt_was_lost_is_stored_once(
    people: People, url: str
) -> None:
    visitor = people.come(url)
    visitor.forgive(*LOST)
    lost = list[str]()

    def lose(route: Route) -> None:
        if not lost:
            lost.append(route.fetch().text())
            route.abort("connectionreset")
        else:
            route.continue_()

    visitor.context.route("**/messages", lose)
    visitor.say(ASK_SOCKS)
    said_so_far(visitor, *texts(SOCKS))
    visitor.say(ASK_LIGHT)
    said_so_far(visitor, *texts(SOCKS + LIGHT))
    expect(visitor.said).to_have_text([ASK_SOCKS, ASK_LIGHT])
    assert len(lost) == 1


def test_a_refused_message_is_kept_until_one_decides(people: People, url: str) -> None:
    visitor = people.come(url)
    visitor.forgive(r"^refused: .*: 422$", r"status of 422")
    problem = '{"title": "No", "status": 422, "detail": "Not like that, please."}'

    def refuse(route: Route) -> None:
        route.fulfill(status=422, body=problem, content_type="application/problem+json")

    visitor.context.route("**/messages", refuse)
    visitor.say("help")
    expect(visitor.page.get_by_text("Not like that, please.")).to_be_visible()
    visitor.is_accessible()
    visitor.reload()
    expect(visitor.page.get_by_text("Not like that, please.")).to_be_visible()
    visitor.button("Remove").click()
    expect(visitor.text("help")).to_have_count(0)
    visitor.say(ASK_SOCKS)
    expect(visitor.page.get_by_text("Not like that, please.")).to_be_visible()
    visitor.context.unroute("**/messages")
    visitor.button("Retry").click()
    said_so_far(visitor, *texts(SOCKS))
    expect(visitor.said).to_have_text([ASK_SOCKS])


# The page itself


def test_a_reload_in_mid_answer_shows_the_whole_of_it(
    people: People, serve: Serve, service: Controlled
) -> None:
    server = serve(*MEMORY, env=service.env)
    visitor = people.come(address(server))
    visitor.say("help")
    service.let(0)
    said_so_far(visitor, ONE)
    visitor.reload()
    said_so_far(visitor, ONE)
    expect(visitor.button("Stop answer")).to_be_visible()
    service.let(1)
    said_so_far(visitor, ONE, TWO)
    service.let(2)
    said_so_far(visitor, *WHOLE)
    expect(visitor.said).to_have_text(["help"])


def test_a_reload_in_mid_paragraph_shows_it_growing_on(
    people: People, serve: Serve
) -> None:
    gate = Gate("One two", " three")
    model = PlayedModel(gate)
    server = serve(*MEMORY, env=model.env)
    visitor = people.come(address(server))
    visitor.say("Hello")
    expect(visitor.text("One two")).to_be_visible()
    visitor.reload()
    expect(visitor.text("One two")).to_be_visible()
    expect(visitor.paragraphs).to_have_count(0)
    gate.open()
    said_so_far(visitor, "One two three")
    model.close()


def test_unsent_messages_outlive_a_reload_and_are_sent_once(
    people: People, url: str
) -> None:
    visitor = people.come(url)
    visitor.forgive(*LOST)
    visitor.context.route("**/messages", lambda route: route.abort("connectionreset"))
    visitor.say(ASK_SOCKS)
    visitor.say(ASK_LIGHT)
    expect(visitor.unsent).to_have_text([ASK_SOCKS, ASK_LIGHT])
    visitor.reload()
    expect(visitor.unsent).to_have_text([ASK_SOCKS, ASK_LIGHT])
    visitor.is_accessible()
    visitor.context.unroute("**/messages")
    said_so_far(visitor, *texts(SOCKS + LIGHT))
    expect(visitor.said).to_have_text([ASK_SOCKS, ASK_LIGHT])
    expect(visitor.unsent).to_have_count(0)
    visitor.reload()
    said_so_far(visitor, *texts(SOCKS + LIGHT))
    assert len(set(sent(visitor))) == 2


def test_two_tabs_show_the_same(people: People, url: str) -> None:
    visitor = people.come(url)
    other = visitor.another_tab(url)
    visitor.say(ASK_SOCKS)
    for tab in (visitor, other):
        said_so_far(tab, *texts(SOCKS))
    other.say(ASK_LIGHT)
    for tab in (visitor, other):
        said_so_far(tab, *texts(SOCKS + LIGHT))
        expect(tab.said).to_have_text([ASK_SOCKS, ASK_LIGHT])
    other.choose("New conversation")
    for tab in (visitor, other):
        expect(tab.said).to_have_count(0)
    visitor.say(ASK_LIGHT)
    for tab in (visitor, other):
        said_so_far(tab, *texts(LIGHT))
    opened = [one for one in visitor.asked if one.url.endswith("/session/new")]
    assert len(opened) == 2


def test_two_devices_show_the_same(people: People, url: str) -> None:
    desktop = people.come(url)
    desktop.say(ASK_SOCKS)
    said_so_far(desktop, *texts(SOCKS))
    phone = people.come(url, storage_state=desktop.context.storage_state())
    said_so_far(phone, *texts(SOCKS))
    phone.say(ASK_LIGHT)
    for device in (desktop, phone):
        said_so_far(device, *texts(SOCKS + LIGHT))
        expect(device.said).to_have_text([ASK_SOCKS, ASK_LIGHT])


# What stands in between


def test_nginx_with_nothing_set_streams(
    people: People, serve: Serve, service: Controlled, folder: Path
) -> None:
    server = serve(*MEMORY, env=service.env)
    with nginx(folder, server.port) as port:
        visitor = people.come(f"http://127.0.0.1:{port}/")
        visitor.say("help")
        for number in range(3):
            service.let(number)
            said_so_far(visitor, *WHOLE[: number + 1])
        expect(visitor.button("Copy answer")).to_be_visible()
        assert polls(visitor) == []
        people.leave()


def test_a_proxy_that_holds_streams_back_is_polled_through(
    people: People, serve: Serve, service: Controlled, folder: Path
) -> None:
    server = serve(*MEMORY, env=service.env)
    ignoring = "proxy_ignore_headers X-Accel-Buffering;"
    with nginx(folder, server.port, ignoring) as port:
        visitor = people.come(fresh=True)
        visitor.page.clock.install()
        visitor.visit(f"http://127.0.0.1:{port}/")
        with visitor.page.expect_request(re.compile(r"/events\?(?!.*stream=false)")):
            visitor.say("help")
        with visitor.page.expect_request(POLL):
            visitor.page.clock.fast_forward("00:06")
        for number in range(3):
            service.let(number)
            said_so_far(visitor, *WHOLE[: number + 1])
        visitor.say("help")
        said_so_far(visitor, *WHOLE, *WHOLE)
        expect(visitor.said).to_have_text(["help", "help"])
        people.leave()


def test_a_proxy_may_put_the_page_under_a_path(
    people: People, url: str, folder: Path
) -> None:
    path = "rewrite ^/help/desk/(.*)$ /$1 break;"
    behind = urlsplit(url).port
    assert behind is not None
    with nginx(folder, behind, path) as port:
        visitor = people.come(f"http://127.0.0.1:{port}/help/desk/")
        visitor.say(ASK_SOCKS)
        said_so_far(visitor, *texts(SOCKS))
        visitor.reload()
        said_so_far(visitor, *texts(SOCKS))
        paths = [urlsplit(one.url).path for one in visitor.asked]
        assert [path for path in paths if not path.startswith("/help/desk/")] == []
        people.leave()


def test_a_proxy_whose_server_is_away_is_asked_again(
    people: People, serve: Serve, folder: Path, database: tuple[str, str]
) -> None:
    port, demo = free_port(), (*DEMO[:-2], *database)
    server = serve(*demo, env=alone(), port=port)
    with nginx(folder, port) as front:
        visitor = people.come(f"http://127.0.0.1:{front}/")
        visitor.forgive(*BAD_GATEWAY, *LOST)
        visitor.say(ASK_SOCKS)
        said_so_far(visitor, *texts(SOCKS))
        server.kill()
        visitor.say(ASK_LIGHT)
        expect(visitor.told("No connection")).to_be_visible()
        serve(*demo, env=alone(), port=port)
        said_so_far(visitor, *texts(SOCKS + LIGHT))
        expect(visitor.said).to_have_text([ASK_SOCKS, ASK_LIGHT])
        people.leave()
