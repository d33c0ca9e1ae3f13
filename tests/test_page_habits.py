"""The page in a browser, with the real server: what people do without a thought."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.assistant_servers import Gate, PlayedModel
from tests.browser import MEMORY, People, Serve, Visitor, address
from tests.test_end_to_end import ASK_LIGHT, LIGHT
from tests.test_page_story import PLACED, YES, customer, texts

pytest_plugins = ("tests.browser_fixture",)

GONE = "This conversation is no longer there"
NEW = "This is a new conversation."
OFFLINE = (r"^failed: ", r"^console: .*net::ERR_INTERNET_DISCONNECTED")
UNREACHABLE = "The server can't be reached."
SUGGESTED = "I need help with my product. It has a flashing red light."
SMALL = {"width": 320, "height": 256}
LOW = {"width": 800, "height": 400}


@pytest.fixture
def model() -> Iterator[PlayedModel]:
    """It never gets beyond its first words."""
    gate = Gate("One two", " three.")
    played = PlayedModel(gate)
    yield played
    gate.open()
    played.close()


def has_focus_on_messages(visitor: Visitor) -> None:
    """Wait until the keys scroll through what was said."""
    expect(visitor.page.get_by_role("region", name="Messages")).to_be_focused()


# Impatience


def test_a_double_click_is_one_wish(people: People, url: str) -> None:
    visitor = customer(people, url)
    visitor.button(SUGGESTED).dblclick()
    expect(visitor.paragraphs).to_have_text(texts(LIGHT))
    visitor.say("Tell me about MON-0059")
    visitor.say("Order two of it")
    visitor.button(YES).dblclick()
    expect(visitor.log).to_contain_text(PLACED)
    has_focus_on_messages(visitor)
    visitor.say("Hello")
    asked = [SUGGESTED, "Tell me about MON-0059", "Order two of it", "yes", "Hello"]
    expect(visitor.said).to_have_text(asked)


def test_a_stopped_answer_is_asked_for_once_by_a_double_click(
    people: People, serve: Serve, model: PlayedModel
) -> None:
    server = serve(*MEMORY, env=model.env)
    visitor = people.come(address(server))
    visitor.say("Hello")
    expect(visitor.text("One two")).to_be_visible()
    visitor.button("Stop answer").click()
    visitor.button("Ask again").dblclick()
    expect(visitor.text("One two")).to_be_visible()
    visitor.say("Next")
    expect(visitor.unsent).to_have_text(["Next"])
    expect(visitor.said).to_have_text(["Hello", "Hello"])


# What comes and goes by itself


def test_a_new_conversation_is_told_in_all_tabs(people: People, url: str) -> None:
    visitor = customer(people, url)
    visitor.say("Hello")
    expect(visitor.said).to_have_text(["Hello"])
    tab = visitor.another_tab(url)
    expect(tab.said).to_have_text(["Hello"])
    tab.choose("New conversation")
    for each in visitor, tab:
        expect(each.told(NEW)).to_be_visible()
        expect(each.said).to_have_count(0)
        expect(each.badge).to_be_hidden()


def test_that_the_server_was_away_is_no_news_when_it_is_back(
    people: People, serve: Serve, model: PlayedModel
) -> None:
    server = serve(*MEMORY, env=model.env)
    visitor = people.come(address(server))
    visitor.forgive(*OFFLINE)
    visitor.say("Hello")
    expect(visitor.text("One two")).to_be_visible()
    visitor.context.set_offline(True)
    visitor.button("Stop answer").click()
    expect(visitor.warned(UNREACHABLE)).to_be_visible()
    visitor.button("Dismiss").focus()
    visitor.context.set_offline(False)
    expect(visitor.warned(UNREACHABLE)).to_have_count(0)
    expect(visitor.composer).to_be_focused()
    visitor.button("Stop answer").click()
    expect(visitor.button("Ask again")).to_be_visible()


def test_a_choice_that_goes_by_itself_takes_no_focus_along(
    people: People, url: str
) -> None:
    visitor = customer(people, url)
    tab = visitor.another_tab(url)
    visitor.button(SUGGESTED).focus()
    tab.say("Tell me about MON-0059")
    expect(visitor.said).to_have_count(1)
    has_focus_on_messages(visitor)
    tab.say("Order two of it")
    visitor.button(YES).focus()
    tab.say("no")
    expect(visitor.button(YES)).to_have_count(0)
    has_focus_on_messages(visitor)


# Things left by somebody


def test_what_is_no_session_and_no_message_is_not_minded(
    people: People, url: str
) -> None:
    visitor = people.come(fresh=True)
    left = {
        f"supportbot:{url}:session:": "<é\u20ac>",
        f"supportbot:{url}:unsent::a": json.dumps({"text": 5}),
        f"supportbot:{url}:unsent::b": json.dumps({"id": "b", "text": "No time"}),
        f"supportbot:{url}:unsent::c": json.dumps(
            {"id": "c", "text": "Far", "at": 1e30}
        ),
    }
    visitor.page.add_init_script(f"Object.assign(localStorage, {json.dumps(left)})")
    visitor.visit(url)
    expect(visitor.page.locator("[part~=greeting]")).to_be_visible()
    expect(visitor.unsent).to_have_count(0)
    visitor.say(ASK_LIGHT)
    expect(visitor.paragraphs).to_have_text(texts(LIGHT))
    expect(visitor.page.get_by_text(GONE)).to_have_count(0)


def test_what_a_site_sets_for_its_words_is_not_inherited(
    people: People, url: str
) -> None:
    visitor = people.come(url)
    inherited = """() => {
      const shadow = document.querySelector("support-chat").shadowRoot;
      const {color, ...all} = getComputedStyle(shadow.querySelector("#title"));
      const names = "font letterSpacing lineHeight textTransform textIndent textAlign "
        + "textShadow whiteSpace wordSpacing listStyle cursor";
      return names.split(" ").map((name) => `${name}: ${all[name]}`);
    }"""
    before = visitor.page.evaluate(inherited)
    visitor.page.evaluate(
        """() => {
          const sheet = new CSSStyleSheet();
          sheet.replaceSync(`main {
            font: italic small-caps 700 30px/3 fantasy; letter-spacing: .3em;
            text-transform: uppercase; text-indent: 3em; text-align: center;
            text-shadow: 1px 1px red; white-space: nowrap; word-spacing: 1em;
            list-style: square; cursor: wait;
          }`);
          document.adoptedStyleSheets = [sheet];
        }"""
    )
    assert visitor.page.evaluate(inherited) == before


# Small windows, and paper


def test_a_greeting_is_read_from_its_beginning(people: People, url: str) -> None:
    visitor = people.come(url, viewport=SMALL)
    greeting = visitor.page.locator("[part~=greeting] p")
    expect(greeting).to_be_in_viewport(ratio=1)
    visitor.say(ASK_LIGHT)
    expect(visitor.paragraphs.last).to_be_in_viewport()


def test_a_field_that_is_wrong_moves_nothing_else(people: People, url: str) -> None:
    visitor = people.come(url, viewport=LOW)
    for number in range(1, 4):
        visitor.say(ASK_LIGHT)
        expect(visitor.paragraphs).to_have_count(len(texts(LIGHT)) * number)
    visitor.choose("Log in")
    visitor.log_in("no address", "1234")
    expect(visitor.email).to_be_focused()
    frame = visitor.page.locator("[part~=frame]")
    frame.evaluate("(frame) => frame.scrollBy(0, 1000)")
    expect(visitor.menu).to_be_in_viewport(ratio=1)
    room = "({scrollHeight, clientHeight}) => scrollHeight - clientHeight"
    assert frame.evaluate(room) <= 0


def test_all_of_a_conversation_is_printed(people: People, url: str) -> None:
    visitor = people.come(url, viewport=LOW, color_scheme="dark")
    for number in range(1, 4):
        visitor.say(ASK_LIGHT)
        expect(visitor.paragraphs).to_have_count(len(texts(LIGHT)) * number)
    visitor.page.emulate_media(media="print")
    for control in visitor.menu, visitor.composer, visitor.button("Copy answer"):
        expect(control.filter(visible=True)).to_have_count(0)
    main = visitor.page.locator("main").bounding_box()
    last = visitor.paragraphs.last.bounding_box()
    assert main is not None
    assert last is not None
    assert last["y"] + last["height"] <= main["y"] + main["height"]
    # A page's end goes through the middle of lines in boxes that scroll or contain.
    around = """(one) => {
      const found = [];
      while ((one = one.parentElement)) {
        const {overflowY, containerType} = getComputedStyle(one);
        found.push(`${overflowY} ${containerType}`);
      }
      return found;
    }"""
    assert {*visitor.paragraphs.last.evaluate(around)} == {"visible normal"}
    assert visitor.page.pdf(width="8cm", height="12cm").count(b"/Type /Page\n") > 1
