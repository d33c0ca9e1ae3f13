"""The page in a browser, with the real server: for all, however they look at it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.assistant_servers import Gate, PlayedModel
from tests.browser import MEMORY, People, Serve, Visitor, address
from tests.test_end_to_end import ASK_LIGHT, ASK_SOCKS, LIGHT, SOCKS
from tests.test_page_story import ALICE, LOGGED_IN, PIN, PLACED, QUESTION, YES, texts

pytest_plugins = ("tests.browser_fixture",)

PHONE = {"width": 360, "height": 640}
ZOOMED = {"width": 320, "height": 256}  # 1280 x 1024 at 400 %
HALVED = {"width": 640, "height": 512}  # and at 200 %


def cut_off(visitor: Visitor) -> list[str]:
    """What can't be seen in the width of the page, or is wider than its box."""
    script = """() => {
      const wide = document.documentElement;
      const found = wide.scrollWidth > innerWidth ? [`page: ${wide.scrollWidth}`] : [];
      const shadow = document.querySelector("support-chat").shadowRoot;
      const scrolls = (one) =>
        one && (/auto|scroll/.test(getComputedStyle(one).overflowX) &&
          one.matches("pre, .wide") || scrolls(one.parentElement));
      for (const one of shadow.querySelectorAll("*")) {
        if (!one.checkVisibility({visibilityProperty: true, opacityProperty: true}))
          continue;
        const {left, right, width, height} = one.getBoundingClientRect();
        const hidden = getComputedStyle(one).clipPath !== "none" || width * height < 2;
        if (hidden || one.closest("svg") || scrolls(one)) continue;
        if (left < -0.5 || right > innerWidth + 0.5)
          found.push(`${one.outerHTML.slice(0, 80)}: ${left} to ${right}`);
        const {overflowX, textOverflow} = getComputedStyle(one);
        if (one.scrollWidth > one.clientWidth + 1 && overflowX === "hidden")
          found.push(`${one.outerHTML.slice(0, 80)}: is cut`);
      }
      return found;
    }"""
    found: list[str] = visitor.page.evaluate(script)
    return found


COLOURS: tuple[dict[str, Any], ...] = (
    {"color_scheme": "light"},
    {"color_scheme": "dark"},
    {"contrast": "more"},
    {"forced_colors": "active"},
    {"forced_colors": "active", "color_scheme": "dark"},
)
AS_IT_IS: dict[str, Any] = {
    "color_scheme": "light",
    "contrast": "no-preference",
    "forced_colors": "none",
}


def whole_story(
    visitor: Visitor, colours: Sequence[dict[str, Any]] = (AS_IT_IS,)
) -> None:
    """See all states, each of which has to be accessible and in the page.

    Args:
        colours: what Playwright emulates, one after the other in each state.
    """

    def looks_right() -> None:
        for these in colours:
            visitor.page.emulate_media(**AS_IT_IS | these)
            # Of the system's own colours axe knows nothing.
            visitor.is_accessible(contrast=these.get("forced_colors") != "active")
        assert cut_off(visitor) == []

    looks_right()
    visitor.menu.click()
    looks_right()
    visitor.button("Log in").click()
    looks_right()
    visitor.log_in(ALICE, PIN)
    expect(visitor.badge).to_have_text(LOGGED_IN)
    visitor.say(ASK_SOCKS)
    expect(visitor.paragraphs).to_have_text(texts(SOCKS))
    visitor.say("Show me monitors")
    expect(visitor.log).to_contain_text("MON-0054")
    visitor.say("Tell me about MON-0052")
    visitor.say("Order two of it")
    expect(visitor.button(YES)).to_be_visible()
    expect(visitor.button(YES)).to_be_in_viewport()
    expect(visitor.composer).to_be_in_viewport()
    looks_right()


def test_it_is_accessible_in_all_colours(people: People, url: str) -> None:
    whole_story(people.come(url, fresh=True), COLOURS)


SIZES: dict[str, dict[str, Any]] = {
    "on a phone": {"viewport": PHONE, "has_touch": True, "is_mobile": True},
    "at 200 %": {"viewport": HALVED, "device_scale_factor": 2},
    "at 400 %": {"viewport": ZOOMED, "device_scale_factor": 4},
}


@pytest.mark.parametrize("size", SIZES)
def test_it_is_accessible(size: str, people: People, url: str) -> None:
    whole_story(people.come(url, **SIZES[size]))


def test_it_is_accessible_from_right_to_left(people: People, url: str) -> None:
    visitor = people.come(url, fresh=True)
    visitor.page.evaluate("document.documentElement.dir = 'rtl'")
    whole_story(visitor)
    mine, column = visitor.said.last.bounding_box(), visitor.log.bounding_box()
    assert mine is not None
    assert column is not None
    assert mine["x"] == pytest.approx(column["x"], abs=1)
    assert mine["width"] < column["width"]
    expect(visitor.said.last).to_have_css("direction", "ltr")  # it is English
    visitor.say("مرحبا، أحتاج إلى help من فضلك")
    expect(visitor.said.last).to_have_css("direction", "rtl")
    visitor.is_accessible()


def test_dark_and_light_are_chosen_by_the_device(people: People, url: str) -> None:
    def brightness(**options: Any) -> int:
        colour = people.come(url, **options).page.evaluate(
            """() => {
              const host = document.querySelector("support-chat");
              const draw = new OffscreenCanvas(1, 1)
                .getContext("2d", {willReadFrequently: true});
              for (const one of [host, ...host.shadowRoot.querySelectorAll("*")]) {
                draw.fillStyle = getComputedStyle(one).backgroundColor;
                draw.fillRect(0, 0, 1, 1);
                const [red, green, blue, alpha] = draw.getImageData(0, 0, 1, 1).data;
                if (alpha === 255) return red + green + blue;
              }
            }"""
        )
        return int(colour)

    assert brightness(color_scheme="light") > 600
    assert brightness(color_scheme="dark") < 200


WATCH = """
  globalThis.moved = [];
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function (options) {
    const root = attach.call(this, options);
    for (const event of ["animationstart", "transitionstart"])
      root.addEventListener(event, ({animationName, propertyName}) =>
        moved.push(animationName ?? propertyName));
    return root;
  };
"""


TWO_FRAMES = """() => new Promise((done) =>
  requestAnimationFrame(() => requestAnimationFrame(done)))"""


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_moves_where_that_is_not_wanted(
    motion: str, people: People, serve: Serve
) -> None:
    gate = Gate("One two", " three.")
    model = PlayedModel(gate)
    server = serve(*MEMORY, env=model.env)
    visitor = people.come(reduced_motion=motion)
    visitor.page.add_init_script(WATCH)
    visitor.visit(address(server))
    visitor.menu.click()
    visitor.page.keyboard.press("Escape")
    visitor.say("Hello")
    expect(visitor.text("One two")).to_be_visible()
    visitor.page.evaluate(TWO_FRAMES)  # whatever begins with it has begun
    moved = set(visitor.page.evaluate("moved")) - {"late"}  # that only shows it later
    assert bool(moved) == (motion != "reduce"), moved
    gate.open()
    expect(visitor.paragraphs).to_have_text(["One two three."])
    model.close()


def focused(visitor: Visitor) -> str:
    """The name of what has the focus, which has to be seen."""
    name: str = visitor.page.evaluate(
        """() => {
          let one = document.activeElement;
          while (one.shadowRoot?.activeElement) one = one.shadowRoot.activeElement;
          const ring = [one, one.parentElement, one.parentElement?.parentElement]
            .filter(Boolean).map((each) => getComputedStyle(each))
            .some((style) => style.outlineStyle !== "none" &&
              parseFloat(style.outlineWidth) >= 2);
          if (one !== document.body && !ring) return `no ring: ${one.outerHTML}`;
          return one.ariaLabel || one.labels?.[0]?.textContent || one.textContent;
        }"""
    )
    return name.strip()


def tab_to(visitor: Visitor, name: str, key: str = "Tab") -> None:
    """Press the key until the focus is there."""
    passed = list[str]()
    while (now := focused(visitor)) != name:
        assert not now.startswith("no ring"), now
        assert len(passed) < 30, passed
        passed.append(now)
        visitor.page.keyboard.press(key)


def test_it_is_used_with_the_keyboard_alone(people: People, url: str) -> None:
    visitor = people.come(url)
    keys = visitor.page.keyboard
    tab_to(visitor, "Message")
    keys.type(ASK_SOCKS)
    keys.press("Enter")
    expect(visitor.paragraphs).to_have_text(texts(SOCKS))
    assert focused(visitor) == "Message"  # it was not taken away
    tab_to(visitor, "Menu", "Shift+Tab")
    keys.press("Enter")
    expect(visitor.menu).to_have_attribute("aria-expanded", "true")
    keys.press("Escape")
    expect(visitor.menu).to_have_attribute("aria-expanded", "false")
    assert focused(visitor) == "Menu"
    keys.press("Space")
    tab_to(visitor, "Log in")
    keys.press("Enter")
    tab_to(visitor, "E-mail address")
    keys.type(ALICE)
    tab_to(visitor, "PIN")
    keys.type(PIN)
    keys.press("Enter")
    expect(visitor.badge).to_have_text(LOGGED_IN)
    tab_to(visitor, "Message")
    keys.type("Tell me about MON-0057")
    keys.press("Enter")
    keys.type("Order two")
    keys.press("Shift+Enter")
    keys.type("of it")
    expect(visitor.composer).to_have_value("Order two\nof it")
    keys.press("Enter")
    expect(visitor.log).to_contain_text(QUESTION)
    assert focused(visitor) == "Message"
    tab_to(visitor, YES, "Shift+Tab")
    keys.press("Enter")
    expect(visitor.log).to_contain_text(PLACED)
    assert focused(visitor) == "Messages"  # it has not fallen out of the chat
    visitor.is_accessible()


def test_the_log_can_be_scrolled_with_keys(people: People, url: str) -> None:
    visitor = people.come(url, viewport={"width": 500, "height": 400})
    visitor.say(ASK_SOCKS)
    expect(visitor.paragraphs).to_have_text(texts(SOCKS))
    box = visitor.page.locator("[part~=log]")
    tab_to(visitor, "Messages", "Shift+Tab")
    visitor.page.keyboard.press("Home")
    visitor.page.wait_for_function(
        "(box) => box.scrollTop === 0", arg=box.element_handle()
    )
    expect(visitor.button(re.compile("New messages"))).to_have_count(0)


def test_a_phone_shows_all_of_it_and_does_not_zoom(people: People, url: str) -> None:
    visitor = people.come(url, viewport=PHONE, has_touch=True, is_mobile=True)
    size = "(one) => parseFloat(getComputedStyle(one).fontSize)"
    assert visitor.composer.evaluate(size) >= 16  # below that iPhones zoom on focus
    for button in visitor.page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44, button
        assert box["width"] >= 44, button
    visitor.composer.tap()
    visitor.page.set_viewport_size({"width": 360, "height": 320})  # the keyboard is up
    expect(visitor.composer).to_be_in_viewport(ratio=1)
    visitor.composer.fill(ASK_SOCKS)
    visitor.button("Send").tap()
    expect(visitor.paragraphs).to_have_text(texts(SOCKS))
    expect(visitor.paragraphs.last).to_be_in_viewport()
    expect(visitor.composer).to_be_in_viewport(ratio=1)
    assert visitor.page.evaluate("visualViewport.scale") == 1
    assert visitor.page.evaluate("document.documentElement.scrollHeight") <= 320


LISTEN = """
  globalThis.heard = [];
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function (options) {
    const root = attach.call(this, options);
    const listen = new MutationObserver((changes) => {
      const added = new Set(changes.flatMap(({addedNodes}) => [...addedNodes]));
      const within = (one) => one && (added.has(one) || within(one.parentNode));
      for (const one of added) {
        const log = one.parentElement?.closest("[role=log]");
        const told = log?.ariaLive !== "off" && log?.ariaBusy !== "true";
        if (log && told && !within(one.parentNode)) heard.push(one.textContent);
      }
    });
    listen.observe(root, {childList: true, subtree: true});
    return root;
  };
"""


def test_a_reader_hears_each_finished_paragraph_once_and_no_history(
    people: People, url: str
) -> None:
    visitor = people.come(fresh=True)
    visitor.page.add_init_script(LISTEN)
    visitor.visit(url)

    def heard() -> str:
        return "\n".join(visitor.page.evaluate("heard"))

    visitor.say(ASK_SOCKS)
    expect(visitor.paragraphs).to_have_text(texts(SOCKS))
    assert [heard().count(text) for text in texts(SOCKS)] == [1, 1, 1]
    visitor.reload()
    expect(visitor.paragraphs).to_have_text(texts(SOCKS))
    expect(visitor.log).not_to_have_attribute("aria-busy", "true")
    assert [heard().count(text) for text in texts(SOCKS)] == [0, 0, 0]
    visitor.say(ASK_LIGHT)
    expect(visitor.paragraphs).to_have_text(texts(SOCKS + LIGHT))
    assert [heard().count(text) for text in texts(SOCKS + LIGHT)] == [0] * 3 + [1] * 6
