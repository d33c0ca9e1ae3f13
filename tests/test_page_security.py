"""The page in a browser, with the real server: what nobody can make it do."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Route, expect

from tests.assistant_servers import PlayedModel, alone
from tests.browser import DEMO, MEMORY, People, Serve, Visitor, address
from tests.program import Played, ask
from tests.test_end_to_end import ASK_SOCKS, SOCKS
from tests.test_page_story import ALICE, LOGGED_IN, PIN, texts
from tests.wire import ANSWER

pytest_plugins = ("tests.browser_fixture",)

CALL = "globalThis.struck=1;alert(1)"
PAYLOADS = (
    f"<script>{CALL}</script>",
    f"<ScRiPt src=//evil.invalid/a.js>{CALL}</sCrIpT>",
    f"<img src=x onerror={CALL}>",
    f"<img src=//evil.invalid/b.png onload={CALL}>",
    f"<svg onload={CALL}>",
    f"<svg><script>{CALL}</script></svg>",
    f"<svg><animate onbegin={CALL} attributeName=x dur=1s>",
    f"<svg><a xlink:href=javascript:{CALL}><text y=20>press</text></a></svg>",
    f"<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1"
    f" onerror={CALL}&gt;'>",
    f"<math href=javascript:{CALL}>press</math>",
    f"<iframe src=javascript:{CALL}></iframe>",
    f'<iframe srcdoc="<script>parent.{CALL}</script>"></iframe>',
    f"<object data=javascript:{CALL}></object>",
    "<embed src=//evil.invalid/c.swf>",
    f"<body onload={CALL}>",
    f"<details open ontoggle={CALL}>",
    f"<input autofocus onfocus={CALL}>",
    f"<select autofocus onfocus={CALL}></select>",
    f"<video><source onerror={CALL}></video>",
    f"<audio src=x onerror={CALL}>",
    f"<marquee onstart={CALL}>moving</marquee>",
    f"<a href=javascript:{CALL}>press</a>",
    f"<a href='java&#10;script:{CALL}'>press</a>",
    f"<a href='&#x6A;avascript:{CALL}'>press</a>",
    f"<a href='data:text/html,<script>{CALL}</script>'>press</a>",
    "<a href='https://evil.invalid/' target=_self onclick=alert(1)>press</a>",
    f"<form action=javascript:{CALL}><button>press</button></form>",
    f"<button formaction=javascript:{CALL}>press</button>",
    "<link rel=stylesheet href=//evil.invalid/d.css>",
    "<style>@import '//evil.invalid/e.css'; * {display: none}</style>",
    "<p style='background:url(//evil.invalid/f.png);position:fixed;inset:0'>over</p>",
    "<meta http-equiv=refresh content='0;url=//evil.invalid/'>",
    "<base href=//evil.invalid/>",
    f"<template><img src=x onerror={CALL}></template>",
    f"<noscript><p title='</noscript><img src=x onerror={CALL}>'></noscript>",
    f"<support-chat base=//evil.invalid/ onclick={CALL}></support-chat>",
    f"<p id=menu name=form class=alert part=composer slot=x dir=rtl>{{{{{CALL}}}}}</p>",
    f"]]><img src=x onerror={CALL}>",
    f"<xmp><img title='</xmp><img src=x onerror={CALL}>'></xmp>",
    f"<scr\x0cipt>{CALL}</scr\x0cipt><img/src=x\x0conerror={CALL}>",
    f"[press](javascript:{CALL})",
    f"[press]( java\tscript:{CALL})",
    f"[press](data:text/html,<script>{CALL}</script>)",
    f"[press](vbscript:{CALL})",
    f'![over](x"onerror="{CALL})',
    "![over](//evil.invalid/g.png)",
    f"<javascript:{CALL}>",
    f'```"><img src=x onerror={CALL}>\nwhat\n```',
    f"[press]: javascript:{CALL}\n\n[press]",
    f"| a |\n|---|\n| <img src=x onerror={CALL}> |",
)
ALLOWED = (
    *("p", "br", "strong", "b", "em", "i", "u", "s", "del", "code", "pre", "hr"),
    *("ul", "ol", "li", "a", "blockquote", "h3", "h4", "h5", "h6", "div", "span"),
    *("table", "thead", "tbody", "tr", "th", "td"),
)
ATTRIBUTES = ("href", "target", "rel", "start", "align", "class", "role", "tabindex")
SCHEMES = ("http:", "https:", "mailto:", "tel:")


def is_unharmed(visitor: Visitor) -> None:
    """Fail if any of it had an effect, or could have one."""
    foreign = visitor.page.evaluate(
        """({allowed, attributes, schemes}) => {
          const found = globalThis.struck ? ["it ran"] : [];
          const shadow = document.querySelector("support-chat").shadowRoot;
          for (const one of shadow.querySelectorAll("[part~=paragraph] *")) {
            if (!allowed.includes(one.localName)) found.push(one.outerHTML);
            for (const {name} of one.attributes)
              if (!attributes.includes(name) && !name.startsWith("aria-"))
                found.push(one.outerHTML);
          }
          const strange = "script, style, iframe, object, embed, img, base, meta, link,"
            + " video, audio, template, math, support-chat, body *[onclick]";
          for (const one of shadow.querySelectorAll(strange)) found.push(one.outerHTML);
          for (const one of shadow.querySelectorAll("*"))
            for (const {name} of one.attributes)
              if (name.startsWith("on") || name === "style") found.push(one.outerHTML);
          for (const one of shadow.querySelectorAll("a")) {
            if (one.hasAttribute("href") && !schemes.includes(one.protocol))
              found.push(one.outerHTML);
            if (!/noopener/.test(one.rel) || one.target !== "_blank")
              found.push(one.outerHTML);
          }
          for (const one of document.querySelectorAll("body *"))
            if (!["main", "support-chat", "noscript", "p"].includes(one.localName))
              found.push(one.outerHTML);
          return found;
        }""",
        {"allowed": ALLOWED, "attributes": ATTRIBUTES, "schemes": SCHEMES},
    )
    assert foreign == []
    host = urlsplit(visitor.page.url).netloc
    assert [one.url for one in visitor.asked if urlsplit(one.url).netloc != host] == []


# What comes from others


def test_a_hostile_service_changes_nothing(people: People, serve: Serve) -> None:
    told = json.dumps("".join(f"<p>{one}</p>" for one in PAYLOADS) + "<p>The end.</p>")

    def play(connection: socket.socket, number: int) -> None:
        connection.sendall(ANSWER + b'{"response": ' + told.encode() + b"}")

    service = Played(play)
    server = serve(*MEMORY, env=service.env)
    visitor = people.come(address(server))
    visitor.say("help")
    expect(visitor.paragraphs.last).to_have_text("The end.")
    is_unharmed(visitor)
    visitor.reload()
    expect(visitor.paragraphs.last).to_have_text("The end.")
    is_unharmed(visitor)
    service.close()


def test_a_hostile_model_changes_nothing(people: People, serve: Serve) -> None:
    def words(asked: Mapping[str, Any]) -> Sequence[str]:
        return [*(f"{one}\n\n" for one in PAYLOADS), "The end."]

    model = PlayedModel(words)
    server = serve(*MEMORY, env=model.env)
    visitor = people.come(address(server))
    visitor.say("Hello")
    expect(visitor.paragraphs.last).to_have_text("The end.")
    is_unharmed(visitor)
    model.close()


def test_what_a_customer_types_stays_text(people: People, url: str) -> None:
    visitor = people.come(url)
    said = [f"help {payload}" for payload in PAYLOADS[::5]]
    for number, text in enumerate(said, 1):
        visitor.say(text)
        expect(visitor.said).to_have_count(number)
        assert visitor.said.last.evaluate("(one) => one.textContent") == text
    is_unharmed(visitor)


def test_a_page_does_not_trust_its_server(people: People, url: str) -> None:
    """Whatever is cleaned on the way, the page cleans what it is told itself."""
    visitor = people.come()
    # What is read in order to be cleaned is complained about, and does not run.
    visitor.forgive("violates the following Content Security Policy .*/purify.js")

    def welcome(route: Route) -> None:
        told = route.fetch().json()
        told["title"] = told["greeting"] = PAYLOADS[0]
        told["suggestions"] = list(PAYLOADS[:8])
        told["services"] = {"evil": PAYLOADS[2], "__proto__": PAYLOADS[3]}
        route.fulfill(json=told)

    lines = [
        {
            "sku": payload,
            "name": payload,
            "quantity": 2,
            "unit_price": payload,
            "currency": payload,
        }
        for payload in PAYLOADS[:3]
    ]
    events: list[dict[str, Any]] = [
        {"type": "customer_said", "text": PAYLOADS[0], "message_id": "1"},
        {"type": "reply_started", "service": "evil", "intent": "", "to": 1},
        *(
            {"type": "paragraph_said", "text": payload, "format": format}
            for payload in PAYLOADS
            for format in ("html", "markdown", "plain", "constructor")
        ),
        {"type": "paragraph_said", "text": "The end.", "format": "plain"},
        {
            "type": "order_proposed",
            "customer_id": "1",
            "lines": lines,
            "total": PAYLOADS[2],
        },
        {
            "type": "customer_verified",
            "customer_id": "1",
            "name": PAYLOADS[2],
            "email": PAYLOADS[2],
        },
        {
            "type": "reply_ended",
            "outcome": "constructor",
            "detail": PAYLOADS[2],
            "unavailable": False,
        },
        {"type": PAYLOADS[2]},
    ]
    for seq, event in enumerate(events, 1):
        event |= {"seq": seq, "at": 1795265769.0}

    def told(route: Route) -> None:
        found = re.search(r"after=(\d+)", route.request.url)
        assert found is not None
        notice = {"text": PAYLOADS[2]}
        parts = [f"event: notice\ndata: {json.dumps(notice)}\n\n"] + [
            f"id: {event['seq']}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n"
            for event in events[int(found[1]) :]
        ]
        route.fulfill(body="".join(parts), content_type="text/event-stream")

    visitor.context.route("**/api/welcome", welcome)
    visitor.visit(url)
    expect(visitor.page.locator("[part~=greeting]")).to_contain_text(PAYLOADS[0])
    is_unharmed(visitor)
    visitor.context.route("**/events?*", told)
    visitor.say("Hello")
    expect(visitor.paragraphs.last).to_have_text("The end.")
    is_unharmed(visitor)


# What goes over the wire


def test_nothing_of_a_session_stands_in_an_address(people: People, url: str) -> None:
    visitor = people.come(url)
    visitor.choose("Log in")
    visitor.log_in(ALICE, PIN)
    expect(visitor.badge).to_have_text(LOGGED_IN)
    visitor.say(ASK_SOCKS)
    expect(visitor.paragraphs).to_have_text(texts(SOCKS))
    visitor.reload()
    expect(visitor.paragraphs).to_have_text(texts(SOCKS))
    visitor.choose("Log out")
    visitor.choose("New conversation")
    expect(visitor.paragraphs).to_have_count(0)
    named = [one.headers.get("session-id") for one in visitor.asked]
    ids = {id for id in named if id}
    assert len(ids) == 1
    assert visitor.context.cookies() == []
    for one in visitor.asked:
        assert not [secret for secret in (*ids, ALICE, PIN) if secret in one.url]
        assert "cookie" not in one.headers
        assert urlsplit(one.url).netloc == urlsplit(url).netloc


def test_the_servers_log_knows_no_session(people: People, serve: Serve) -> None:
    server = serve(*DEMO, env=alone())
    visitor = people.come(address(server))
    visitor.say(f"My email is {ALICE} and PIN is {PIN}")
    expect(visitor.badge).to_have_text(LOGGED_IN)
    (id,) = {id for one in visitor.asked if (id := one.headers.get("session-id"))}
    server.stop()
    assert not [line for line in server.log if id in line or PIN in line]


def policy(port: int) -> dict[str, str]:
    """The page's Content-Security-Policy, by directive."""
    header = ask(port, "GET", "/").headers["content-security-policy"]
    parts = [part.strip().partition(" ") for part in header.split(";")]
    return {name: value for name, _, value in parts if name}


def test_the_pages_headers(url: str) -> None:
    port = urlsplit(url).port
    assert port is not None
    answer = ask(port, "GET", "/")
    found = policy(port)
    # Its own style, by what it says; no other and nothing "unsafe".
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", found.pop("style-src"))
    assert found == {
        "default-src": "'none'",
        "script-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "dompurify",
    }
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] in {"no-referrer", "same-origin"}
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert "set-cookie" not in answer.headers


def test_who_may_frame_the_page_is_set(serve: Serve, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[page]\nframe_ancestors = ["https://shop.example"]\n')
    server = serve(*DEMO, "--settings", str(settings), env=alone())
    assert policy(server.port)["frame-ancestors"] == "https://shop.example"
