"""A third party and a language model that say as much as a message asks for.

A message such as `help: 300 paragraphs, 10 deltas, 4 ms` gets so many paragraphs, each
in so many pieces, with so long a pause after each piece. Nothing is left to chance:
whoever asks twice is answered the same.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

MARK = "§"
"""Stands in front of each paragraph's number, counted from 0."""

_ASKED = re.compile(rb"(\d+) paragraphs, (\d+) deltas, (\d+) ms")
_WORDS = re.findall(r"\w+", """
    account address answer arrives battery before between button cable charge check
    choose connection courier customer default delivery device display email every
    firmware green guide holds hours later light menu minutes model monitor network
    often order outlet parcel password press printer refund replace restart return
    router screen second settings signal socket speed status store support switch
    tracking under update voltage wait warranty wireless within without works
""")  # fmt: skip
_HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: %b\r\n\r\n"


class Asked(NamedTuple):
    """What a message asks for.

    Attributes:
        deltas: pieces of a paragraph.
        pause: milliseconds after each of them.
    """

    paragraphs: int
    deltas: int = 1
    pause: int = 0

    def __str__(self) -> str:
        return "{} paragraphs, {} deltas, {} ms".format(*self)


def _sentence(number: int, words: int) -> str:
    chosen = random.Random(f"{number} {words}").choices(_WORDS, k=words)
    return " ".join(chosen).capitalize()


def html(number: int) -> str:
    """A paragraph as third parties write them."""
    text = f"{MARK}{number} {_sentence(number, 25)}"
    if number % 3 == 1:
        text += f" <strong>{_sentence(number, 3)}</strong> {_sentence(number, 12)}"
    if number % 3 == 2:
        link = f'<a href="https://shop.example/{number}">{_sentence(number, 2)}</a>'
        text += f" {link}, <em>{_sentence(number, 4)}</em>."
    return f"<p>{text}</p>"


def markdown(number: int) -> str:
    """A paragraph as models write them: text, a list, a table or code."""
    first = f"{MARK}{number} {_sentence(number, 4)}"
    match number % 6:
        case 1:
            items = (f"**{_sentence(n, 2)}**: ${n}.95, in stock" for n in range(1, 5))
            return "\n".join([f"- {first}: $9.95", *(f"- {item}" for item in items)])
        case 3:
            rows = (f"| {_sentence(number + n, 3)} | {n} | yes |" for n in range(4))
            return "\n".join([f"| {first} | Amount | Stock |", "|---|---|---|", *rows])
        case 5:
            lines = (f"{word} = {number}" for word in _sentence(number, 6).split())
            return "\n".join(["```python", f"# {first}", *lines, "```"])
    link = f"[{_sentence(number, 2)}](https://shop.example/{number})"
    return (
        f"{first} {_sentence(number, 14)}, **{_sentence(number, 3)}**, `{number}`, or"
        f" {link}. {_sentence(number, 12)}."
    )


def _pieces(asked: Asked, paragraph: Callable[[int], str], end: str) -> Iterator[str]:
    """An answer, as it is said."""
    for number in range(asked.paragraphs):
        text = paragraph(number) + end
        size = -(-len(text) // asked.deltas)
        yield from (text[at : at + size] for at in range(0, len(text), size))


def _party(asked: Asked) -> Iterator[bytes]:
    """The body of a third party's answer."""
    yield b'{"response": "'
    for piece in _pieces(asked, html, "\n"):
        yield json.dumps(piece)[1:-1].encode()
    yield b'"}'


def _model(asked: Asked) -> Iterator[bytes]:
    """The body of a model's answer: server-sent events."""
    for piece in _pieces(asked, markdown, "\n\n"):
        yield _event({"content": piece}, None)
    yield _event({}, "stop") + b"data: [DONE]\n\n"


def _event(delta: object, reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n".encode()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the question of one connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        found: Sequence[tuple[bytes, bytes, bytes]] = _ASKED.findall(body)
        asked = Asked(*map(int, found[-1]))  # behind what was asked before
        if b"/chat/completions" in head.partition(b"\r\n")[0]:
            kind, said = b"text/event-stream", _model(asked)
        else:
            kind, said = b"application/json", _party(asked)
        writer.write(_HEAD % kind)
        for piece in said:
            writer.write(piece)
            await writer.drain()
            if asked.pause:
                await asyncio.sleep(asked.pause / 1_000)
    except (OSError, asyncio.IncompleteReadError):
        pass  # whoever asked has gone
    finally:
        writer.close()
