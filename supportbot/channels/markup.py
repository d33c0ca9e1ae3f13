"""HTML of services, made harmless before it leaves for a browser or a client's page.

Transcripts keep what came. Whatever shows a paragraph to somebody who may render it
takes it from here, so paragraphs of years ago are as clean as those of today.
"""

from __future__ import annotations

from html import escape
from typing import TypeVar

import msgspec
import nh3

from supportbot.channels.rendering import reading_text
from supportbot.events import Event, Format, ParagraphSaid

TAGS = frozenset(
    {
        *("p", "br", "strong", "b", "em", "i", "u", "s", "code", "pre"),
        *("ul", "ol", "li", "a", "blockquote"),
    }
)
SCHEMES = frozenset({"http", "https", "mailto", "tel"})
REL = "noopener noreferrer nofollow"

# A parser opens what was left open anew in each paragraph, so that 32 KiB of input may
# become 40 MiB and take seconds. It grows with the square of this number.
_MOST_TAGS = 250
_PASSES = 4
_clean = nh3.Cleaner(
    tags=TAGS,
    attributes={"a": {"href"}, "*": set()},  # not even `title`
    url_schemes=SCHEMES,
    url_relative="deny",  # it would lead into our own API
    link_rel=REL,
    clean_content_tags={"script", "style"},
).clean
_Event = TypeVar("_Event", bound=Event)


def presentable(event: _Event) -> _Event:
    """The event as clients get it."""
    if isinstance(event, ParagraphSaid):
        text = cleaned(event.text, event.format)
        if text is not event.text:
            return msgspec.structs.replace(event, text=text)
    return event


def cleaned(text: str, format: Format) -> str:
    """A paragraph with no tags and attributes but those that harm nobody.

    Those are `TAGS`, and `href` with one of `SCHEMES`; the text inside others is kept,
    but for that of scripts and styles. Links say `REL`. What is not HTML is left as it
    is: whoever renders Markdown has to clean what comes of it.
    """
    if format != "html" or "<" not in text:
        return text
    ordinary = text.startswith("<p>") and text.endswith("</p>")
    if ordinary and text.find("<", 3) == len(text) - 4:
        return text  # nearly always, and in a quarter of a microsecond
    if text.count("<") <= _MOST_TAGS:
        # What is taken away may have kept the rest in its place. A browser must find
        # in the result what was found here, so it is read once more.
        for _ in range(_PASSES):
            before, text = text, _pass(text)
            if text == before:
                return text
    return f"<p>{escape(reading_text(text, format), quote=False)}</p>"


def _pass(text: str) -> str:
    # A browser drops a line feed that is the first thing in `pre`.
    return _clean(text).replace("<pre>\n", "<pre>\n\n")
