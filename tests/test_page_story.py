"""The page in a browser, with the real server: what customers do when all goes well."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from supportbot.demo.answers import SENTENCES
from tests.assistant_servers import Gate, PlayedModel
from tests.browser import MEMORY, People, Serve, Visitor, address
from tests.program import PATIENCE, Played
from tests.test_assistant_end_to_end import model
from tests.test_end_to_end import ASK_LIGHT, ASK_PERSON, ASK_SOCKS, LIGHT, SOCKS
from tests.wire import ANSWER

__all__ = ["model"]

pytest_plugins = ("tests.browser_fixture",)

ALICE, PIN = "alice@example.com", "1234"
LOGGED_IN = "Logged in as Alice Johnson"
WELCOME = "Welcome, Alice Johnson! You are logged in."
PLACED, QUESTION = "Your order is placed:", "Shall I place this order?"
YES, NO = "Yes, place the order", "No"
WRONG_PIN = "This e-mail address and PIN don't belong together."


def texts(paragraphs: str) -> list[str]:
    """What is to be read of lines of `<p>…</p>`."""
    return re.findall("<p>(.*)</p>", paragraphs)


@pytest.fixture
def gate() -> Gate:
    return Gate("One two", " three.\n\nFour five", " six.")


def kept(visitor: Visitor) -> str:
    """All that the browser keeps for the page, and what stands in its fields."""
    script = """() => {
      const shadow = document.querySelector("support-chat").shadowRoot;
      const fields = [...shadow.querySelectorAll("input, textarea")];
      const attributes = [...shadow.querySelectorAll("*")]
        .flatMap((one) => [...one.attributes].map(({value}) => value));
      return JSON.stringify([
        {...localStorage}, {...sessionStorage}, document.cookie, attributes,
        fields.map(({value}) => value), shadow.textContent,
      ]);
    }"""
    found: str = visitor.page.evaluate(script)
    return found


# Asking


def test_the_three_dialogs_with_each_paragraph_once_and_in_order(
    people: People, url: str
) -> None:
    visitor = people.come(url)
    expect(visitor.page.locator("[part~=greeting]")).to_be_visible()
    visitor.is_accessible()
    visitor.say(ASK_SOCKS)
    expect(visitor.paragraphs).to_have_text(texts(SOCKS))
    visitor.say(ASK_LIGHT)
    expect(visitor.paragraphs).to_have_text(texts(SOCKS + LIGHT))
    visitor.say(ASK_PERSON)
    expect(visitor.paragraphs).to_have_count(10)
    assert visitor.paragraphs.all_inner_texts()[:-1] == texts(SOCKS + LIGHT)
    assert visitor.paragraphs.last.inner_text() in SENTENCES
    expect(visitor.said).to_have_text([ASK_SOCKS, ASK_LIGHT, ASK_PERSON])
    expect(visitor.composer).to_be_focused()
    visitor.is_accessible()


def test_a_suggestion_is_asked_with_one_click(people: People, url: str) -> None:
    visitor = people.come(url)
    suggestions = visitor.page.locator("[part~=greeting]").get_by_role("button")
    words = suggestions.first.inner_text()
    suggestions.first.click()
    expect(visitor.said).to_have_text([words])
    expect(visitor.paragraphs).not_to_have_count(0)
    expect(suggestions).to_have_count(0)


def test_a_service_that_gets_stuck_is_asked_again_and_told_once(
    people: People,
    serve: Serve,
) -> None:
    noticed, gone = threading.Event(), threading.Event()

    def play(connection: socket.socket, number: int) -> None:
        if number:
            assert noticed.wait(PATIENCE)
        connection.sendall(ANSWER + b'{"response": "<p>One.</p>')
        if number:
            connection.sendall(b'<p>Two.</p>"}')
            return
        try:
            while True:
                connection.sendall(b"0" * 1024)
        except OSError:
            gone.set()

    service = Played(play)
    server = serve(*MEMORY, env=service.env)
    visitor = people.come(address(server))
    visitor.say("help")
    expect(visitor.paragraphs).to_have_text(["One."])
    expect(visitor.told(re.compile("again"))).to_be_visible()
    visitor.is_accessible()
    noticed.set()
    expect(visitor.paragraphs).to_have_text(["One.", "Two."])
    expect(visitor.told(re.compile("again"))).to_have_count(0)
    service.close()
    assert gone.wait(PATIENCE)


def test_the_growing_paragraph_is_seen_and_can_be_stopped(
    people: People, serve: Serve, model: PlayedModel, gate: Gate
) -> None:
    server = serve(*MEMORY, env=model.env)
    visitor = people.come(address(server))
    visitor.say("Hello")
    growing = visitor.text("One two")
    expect(growing).to_be_visible()
    expect(visitor.paragraphs).to_have_count(0)  # it would be read aloud in pieces
    visitor.is_accessible()
    gate.let()
    expect(visitor.paragraphs).to_have_text(["One two three."])
    expect(visitor.text("Four five")).to_be_visible()
    visitor.button("Stop answer").click()
    expect(visitor.page.get_by_text("You stopped this answer")).to_be_visible()
    expect(visitor.page.get_by_text("Four five")).to_have_count(0)
    expect(visitor.paragraphs).to_have_text(["One two three."])
    expect(visitor.button("Stop answer")).to_have_count(0)
    visitor.is_accessible()
    gate.open()
    visitor.button("Ask again").click()
    whole = ["One two three.", "Four five six."]
    expect(visitor.paragraphs).to_have_text(["One two three.", *whole])
    expect(visitor.said).to_have_text(["Hello", "Hello"])
    assert model.gone.wait(PATIENCE)


def test_what_is_said_meanwhile_waits_for_its_turn(
    people: People, serve: Serve, model: PlayedModel, gate: Gate
) -> None:
    server = serve(*MEMORY, env=model.env)
    visitor = people.come(address(server))
    visitor.say("Hello")
    expect(visitor.text("One two")).to_be_visible()
    visitor.say("And then?")
    expect(visitor.told("1 message is in line.")).to_be_visible()
    gate.open()
    whole = ["One two three.", "Four five six."]
    expect(visitor.paragraphs).to_have_text(whole + whole)
    expect(visitor.said).to_have_text(["Hello", "And then?"])
    expect(visitor.told("in line")).to_have_count(0)


# Logging in


def test_signing_in_and_out_by_the_form(people: People, url: str) -> None:
    visitor = people.come(url)
    visitor.choose("Log in")
    expect(visitor.email).to_be_focused()
    visitor.is_accessible()
    visitor.forgive(r"POST /api/session/@me/login: 401", r"status of 401 .*/login")
    visitor.log_in(ALICE, "9999")
    expect(visitor.form.get_by_role("alert")).to_contain_text(WRONG_PIN)
    expect(visitor.pin).to_have_value("")
    visitor.is_accessible()
    visitor.log_in(ALICE, PIN)
    expect(visitor.badge).to_have_text(LOGGED_IN)
    expect(visitor.form).to_have_count(0)
    visitor.is_accessible()
    visitor.reload()
    expect(visitor.badge).to_have_text(LOGGED_IN)
    assert PIN not in kept(visitor)
    assert not [one.url for one in visitor.asked if PIN in one.url or ALICE in one.url]
    visitor.choose("Log out")
    expect(visitor.badge).to_be_hidden()
    visitor.say("Show me my orders")
    expect(visitor.paragraphs.last).to_contain_text("PIN")


def test_a_form_that_was_left_with_escape_keeps_nothing(
    people: People, url: str
) -> None:
    visitor = people.come(url)
    visitor.choose("Log in")
    visitor.pin.fill(PIN)
    visitor.page.keyboard.press("Escape")
    expect(visitor.form).to_have_count(0)
    expect(visitor.menu).to_be_focused()
    assert PIN not in kept(visitor)


def test_signing_in_by_words_shows_no_pin(people: People, url: str) -> None:
    visitor = people.come(url)
    visitor.say(f"My email is {ALICE} and PIN is {PIN}")
    expect(visitor.paragraphs).to_have_text([WELCOME])
    expect(visitor.badge).to_have_text(LOGGED_IN)
    expect(visitor.said).to_have_text([f"My email is {ALICE} and PIN ****"])
    assert PIN not in kept(visitor)


def customer(people: People, url: str) -> Visitor:
    """Alice, logged in."""
    visitor = people.come(url)
    visitor.choose("Log in")
    visitor.log_in(ALICE, PIN)
    expect(visitor.badge).to_have_text(LOGGED_IN)
    return visitor


# Ordering


def test_one_of_a_product_is_ordered_at_once(people: People, url: str) -> None:
    visitor = customer(people, url)
    visitor.say("I want to order MON-0054")
    expect(visitor.log).to_contain_text(PLACED)
    expect(visitor.log).to_contain_text("1 x 24-inch Monitor - Model D (MON-0054)")
    expect(visitor.log).to_contain_text("Order number:")
    expect(visitor.button(YES)).to_have_count(0)


def test_an_order_is_summed_up_and_needs_a_yes(people: People, url: str) -> None:
    visitor = customer(people, url)
    visitor.say("Tell me about MON-0059")
    expect(visitor.log).to_contain_text("in stock")
    visitor.say("Order two of it")
    expect(visitor.log).to_contain_text(QUESTION)
    expect(visitor.log).to_contain_text("2 x 24-inch Monitor - Model I (MON-0059)")
    visitor.is_accessible()
    visitor.button(NO).click()
    expect(visitor.log).to_contain_text("All right, nothing was ordered.")
    expect(visitor.button(YES)).to_have_count(0)
    assert PLACED not in visitor.log.inner_text()
    visitor.say("Tell me about MON-0059")
    visitor.say("Order two of it")
    visitor.button(YES).click()
    expect(visitor.log).to_contain_text(PLACED)
    expect(visitor.button(YES)).to_have_count(0)
    assert visitor.log.inner_text().count(PLACED) == 1
    expect(visitor.said).to_have_text(
        [
            "Tell me about MON-0059",
            "Order two of it",
            "no",
            "Tell me about MON-0059",
            "Order two of it",
            "yes",
        ]
    )


def test_products_are_rows_with_their_prices(people: People, url: str) -> None:
    visitor = customer(people, url)
    visitor.say("Show me monitors")
    product = visitor.log.get_by_role("listitem").filter(has_text="MON-0054")
    expect(product.get_by_text("$166.85", exact=True)).to_be_visible()
    expect(product).to_contain_text("in stock")
    visitor.is_accessible()


# What one does with a conversation


def test_an_answer_is_copied(people: People, url: str) -> None:
    visitor = people.come(url, permissions=["clipboard-read", "clipboard-write"])
    visitor.say(ASK_SOCKS)
    expect(visitor.paragraphs).to_have_count(3)
    visitor.button("Copy answer").click()
    expect(visitor.told("Copied")).to_have_count(1)
    visitor.composer.press("Control+V")
    expect(visitor.composer).to_have_value("\n\n".join(texts(SOCKS)))


def test_whoever_can_not_copy_is_told(people: People, url: str) -> None:
    visitor = people.come(fresh=True)
    visitor.page.add_init_script(
        "navigator.clipboard.writeText = () => Promise.reject();"
        "document.execCommand = () => false;"
    )
    visitor.visit(url)
    visitor.say(ASK_SOCKS)
    expect(visitor.paragraphs).to_have_count(3)
    visitor.button("Copy answer").click()
    line = visitor.page.locator("[part~=status]")  # which people see, too
    expect(line).to_contain_text("This browser did not let us copy it.")


def test_a_conversation_is_downloaded(people: People, url: str) -> None:
    visitor = people.come(url)
    visitor.say(ASK_SOCKS)
    expect(visitor.paragraphs).to_have_count(3)
    visitor.say(f"My email is {ALICE} and PIN is {PIN}")
    expect(visitor.paragraphs).to_have_count(4)
    with visitor.page.expect_download() as download:
        visitor.choose("Download conversation")
    assert download.value.suggested_filename.endswith(".txt")
    told = Path(download.value.path()).read_text("utf-8")
    parts = [ASK_SOCKS, *texts(SOCKS), f"My email is {ALICE} and PIN ****", WELCOME]
    places = [told.index(part) for part in parts]
    assert places == sorted(places)
    assert [told.count(part) for part in parts] == [1] * len(parts)
    assert PIN not in told


def test_a_new_conversation_begins_empty_and_stays(people: People, url: str) -> None:
    visitor = customer(people, url)
    visitor.say(ASK_SOCKS)
    expect(visitor.paragraphs).to_have_count(3)
    visitor.choose("New conversation")
    expect(visitor.paragraphs).to_have_count(0)
    expect(visitor.badge).to_be_hidden()
    expect(visitor.page.locator("[part~=greeting]")).to_be_visible()
    visitor.say(ASK_LIGHT)
    expect(visitor.paragraphs).to_have_text(texts(LIGHT))
    visitor.reload()
    expect(visitor.paragraphs).to_have_text(texts(LIGHT))
    expect(visitor.said).to_have_text([ASK_LIGHT])


def test_a_message_that_is_too_long_is_not_sent_and_not_lost(
    people: People, url: str
) -> None:
    visitor = people.come(url, permissions=["clipboard-read", "clipboard-write"])
    visitor.composer.fill("x" * 5000)
    visitor.composer.press("Control+A")
    visitor.composer.press("Control+X")
    visitor.composer.press("Control+V")
    expect(visitor.warned("too long")).to_be_visible()
    visitor.is_accessible()
    visitor.composer.press("Enter")
    expect(visitor.composer).to_have_value("x" * 5000)
    expect(visitor.said).to_have_count(0)
    visitor.say("😀" * 3992 + " help 🙂")
    expect(visitor.said).to_have_count(1)
    expect(visitor.warned("too long")).to_have_count(0)


def test_a_draft_outlives_a_reload(people: People, url: str) -> None:
    visitor = people.come(url)
    visitor.composer.fill("Half a ques")
    visitor.reload()
    expect(visitor.composer).to_have_value("Half a ques")


# Scrolling


def scroller(visitor: Visitor) -> Locator:
    """The box in which the log scrolls."""
    return visitor.page.locator("[part~=log]")


def at_end(visitor: Visitor) -> Any:
    """Wait until the box shows its end."""
    box = scroller(visitor).element_handle()
    return visitor.page.wait_for_function(
        "(box) => box.scrollHeight - box.scrollTop - box.clientHeight < 3", arg=box
    )


def test_new_messages_are_followed_only_by_who_is_at_the_end(
    people: People, serve: Serve, model: PlayedModel, gate: Gate
) -> None:
    gate.open()
    server = serve(*MEMORY, env=model.env)
    visitor = people.come(address(server), viewport={"width": 500, "height": 500})
    for number in range(1, 7):
        visitor.say(f"Hello {number}")
        expect(visitor.paragraphs).to_have_count(2 * number)
    at_end(visitor)
    scroller(visitor).hover()
    visitor.page.mouse.wheel(0, -10_000)
    visitor.page.wait_for_function(
        "(box) => box.scrollTop === 0", arg=scroller(visitor).element_handle()
    )
    other = visitor.another_tab(visitor.page.url)
    other.say("From elsewhere")
    expect(visitor.paragraphs).to_have_count(14)
    newer = visitor.button(re.compile("New messages"))
    expect(newer).to_be_visible()
    assert scroller(visitor).evaluate("(box) => box.scrollTop") == 0
    visitor.is_accessible()
    newer.click()
    at_end(visitor)
    expect(newer).to_have_count(0)
    other.say("And again")
    expect(visitor.paragraphs).to_have_count(16)
    at_end(visitor)
    expect(newer).to_have_count(0)
