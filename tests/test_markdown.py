"""Blocks out of Markdown: all of it, nothing cut in two, at once, whatever the cuts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.errors import ParagraphTooLong, SupportBotError
from supportbot.streaming.markdown import MarkdownBlocks


class Reading(NamedTuple):
    """The blocks, and the class of the error that ended them."""

    given: list[str]
    broken: type[SupportBotError] | None = None


def read(pieces: Iterable[str], limit: int = 32_768) -> Reading:
    """Feed all pieces, up to the first error; then end."""
    blocks = MarkdownBlocks(limit)
    given: list[str] = []
    try:
        for piece in pieces:
            for block in blocks.feed(piece):
                given.append(block)
        for block in blocks.end():
            given.append(block)
    except SupportBotError as error:
        return Reading(given, type(error))
    return Reading(given)


def unified(text: str) -> str:
    """The text with LF for every line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


_LINES = st.sampled_from(
    [
        *("", "", "", " ", "      ", "\t", "text", "  text", "   text", "    text"),
        *("```", "~~~", "````", "```py", "  ```", "   ~~~", "    ```", "``` x`y"),
        *(
            "- a",
            "* b",
            "+ c",
            "1. a",
            "2. b",
            "10) x",
            "-",
            "1.",
            "-\tt",
            "-     code",
        ),
        *("  - n", "    - n", "   1. q", "- ```", "1. ~~~", "> q", "> - q", "> ```"),
        *("# h", "---", "***", "- - -", "* * *", "===", "| a |", "|---|", "é 🙂"),
    ]
)
_ENDS = st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n"])


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Markdown; strange one too."""
    lines = draw(
        st.lists(st.tuples(_LINES | st.text("-*` 1.\n\tx"), _ENDS), max_size=14)
    )
    text = "".join(line + end for line, end in lines)
    return text[: draw(st.sampled_from([len(text), len(text) - 1]))]


@st.composite
def cut(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Markdown, and the same in pieces; empty ones among them."""
    text = draw(texts())
    edges = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    ends = [0, *edges, len(text)]
    return text, [text[start:end] for start, end in pairwise(ends)]


# What ends a block, and what does not.

ONE = (
    "Text.",
    "Text,\non two lines.",
    "Text  \nwith a hard break.",
    "# Heading\nand its text",
    "Text:\n- one\n- two",
    "Text:\n```\ncode\n\nmore\n```\nand text behind it",
    "```\na\n\nb\n```",
    "```python\na\n\n\n\nb\n```",
    "~~~\na\n\n```\n\nb\n~~~",
    "```\na\n\n~~~\n\nb\n```",
    "````\na\n\n```\n\nb\n````",
    "```\na\n\nb\n`````",
    "```\na\n\n    ```\n\nb\n```",
    "```\na\n\n``` x\n\nb\n```",
    "   ```\na\n\nb\n  ``` \t",
    "~~~ x`y\na\n\nb\n~~~",
    "```\nnever closed\n\n- a",
    "```\n\n\na\n```",
    "```\n- a\n\ntext\n```",
    "```\n# h\n\n> q\n```",
    "- a\n- b",
    "- a\n\n- b",
    "- a\n\n\n\n- b\n\n- c",
    "* a\n\n* b",
    "+ a\n\n+ b",
    "1. a\n\n2. b\n\n10. c",
    "1) a\n\n2) b",
    "- a\n\n  paragraph\n\n- b",
    "-\ta\n\n\tparagraph",
    " - a\n\n   paragraph",
    "10. a\n\n    paragraph",
    "-     code\n\n  paragraph",
    "- a\n\n  ```\n  code\n\n  more\n  ```\n\n- b",
    "- a\n\n      code\n\n      more",
    "1. a\n   ```\n   code\n\n\n   more\n   ```\n\n   paragraph\n\n2. b",
    "- ```\n  code\n\n  more\n  ```\n- b",
    "- a\n\n  - b\n\n    - c\n\n  - d\n\n- e",
    "1. a\n\n   - b\n\n   * c\n\n2. d",
    "- a\nlazy\n\n  paragraph",
    "- a\nlazy\n  ```\n  code\n\n  more\n  ```\n\n- b",
    "1. a\n2. ```\ncode\n   ```\nmore\n\nand more\n```",
    "- a\n   ```\n   code\n\n   more\n   ```\n\n- b",
    "-\n  a\n\n  b",
    "-    \n  a\n\n  b",
    "- a\nlazy\n2) b\n\n3) c",
    "  10. a\n    lazy\n\n  11. b",
    "   -     code\n    more\n\n    and more",
    "- a\n\n- - -",
    "text\n1. a\n\n2. b",
    "text\n- a\n\n  b",
    "Heading\n===\n2. a\n\n3. b",
    "# Heading\n2. a\n\n3. b",
    "***\n2. a\n\n3. b",
    "> quoted\n- a\n\n- b",
    "text\n    text\n- a\n\n- b",
    "> a\n>\n> b",
    "> ```\n> a\n>\n> b\n> ```",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "    code\n\n    more",
    "    code\n\n\tmore\ntext",
    "# h\n    code\n\n    more",
)
"""Texts that are one block."""

SEVERAL = (
    ("a", "b"),
    ("a", "b", "c\nd"),
    ("# Heading", "text"),
    ("---", "text"),
    ("```\na\n\nb\n```", "text"),
    ("```\na\n```", "```\nb\n```"),
    ("``` x`y", "text"),
    ("``", "text"),
    ("text\n    ```", "text"),
    ("> a", "> b"),
    ("> ```", "text"),
    ("> - a", "- b"),
    ("| a |\n|---|\n| 1 |", "text"),
    ("- a\n- b", "text"),
    ("- a", "* b", "+ c"),
    ("1. a", "1) b"),
    ("1. a", "- b", "2. c"),
    ("- a", "* * *"),
    ("- a", "---"),
    ("- a", "-b"),
    ("- a", "**b**"),
    ("1. a", "1.5 b"),
    ("1. a", "2026 was the year."),
    ("1. a", "1234567890. b"),
    ("- a", "# b"),
    ("- a", "> b"),
    ("- a", "```\nb\n\nc\n```"),
    ("- a", " b"),
    ("1. a", "  b"),
    ("10) a", "   b"),
    ("10. a", "   - b"),
    ("  10. a", "     b"),
    ("   10. a", "    - b"),
    ("- a\n# Heading", "  text"),
    ("- a\n***", "- b"),
    ("- a\n> q", "- b"),
    ("- a\n```\ncode\n\nmore\n```", "- b"),
    ("-", "  text"),
    ("- ", "  ```\n  a\n\nb\n  ```"),
    ("1.", "                                        text"),
    ("text\n2. a", "   text"),
    ("text\n2. a\n   ```\nb\n\nc\n   ```", "3. d"),
    ("text\n*", "  text"),
    ("text\n+\n  ```\nb\n\nc\n  ```", "d"),
    ("-\n a", " b"),
    ("- a\n  ```\n  code", "text"),
    ("10. a\nlazy\n    ```\n    code", "text"),
    ("- a\nlazy\n- b\n  ```\n  code", "text"),
    ("  10. a", "    11. b"),
    ("  10. a", "\tb"),
    ("- a", "12", "b"),
    ("    code\ntext", "    more"),
    ("-a", "-b"),
    ("1.a", "2.b"),
    ("    code", "text"),
    ("text\n    text", "    code"),
    ("text", "    code\n\n    more", "   text"),
    ("    code\n```\na\n```", "    more"),
    ("a\u2028b", "c"),
)
"""Blocks, as they were joined by a blank line."""


@pytest.mark.parametrize("blank", ["\n\n", "\n \n\t\n\n", "\r\n\r\n", "\r\r"])
@pytest.mark.parametrize("blocks", [*((text,) for text in ONE), *SEVERAL])
def test_where_a_text_is_cut(blocks: tuple[str, ...], blank: str) -> None:
    text = blank.join(blocks)
    for whole in (text, f"{blank}{text}{blank}", f" {blank}{text}\n  "):
        assert read([whole]) == Reading([*blocks])
        assert read(whole) == Reading([*blocks])


@pytest.mark.parametrize(
    "text", ["", " ", "\n", "\r\n\r\n", " \n\t\n  \n", "\u00a0", "\n\f\n"]
)
def test_white_space_is_no_block(text: str) -> None:
    assert read([text]) == Reading([])
    assert read(text) == Reading([])


@pytest.mark.parametrize("space", ["\u00a0", " \u3000", "\f"])
def test_other_white_space_is_blank_too(space: str) -> None:
    expected = Reading(["a", "- b", "- c"])
    for end in ("\n", "\n\n"):
        text = f"a\n{space}{end}- b\n\n{space}{end}- c"
        assert read([text]) == expected
        assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("text\n\n", "text"),
        ("text\r\r", "text"),
        ("text\n  \n", "text"),
        ("```\na\n\n```\n\n", "```\na\n\n```"),
        ("- a\n\nT", "- a"),
        ("- a\n\n#", "- a"),
        ("- a\n\n T", "- a"),
        ("- a\n\n-T", "- a"),
        ("- a\n\n* ", "- a"),
        ("- a\n\n\n\n**", "- a"),
        ("1. a\n\n1T", "1. a"),
        ("1. a\n\n2.T", "1. a"),
        ("1. a\n\n2) ", "1. a"),
        ("1. a\n\n  T", "1. a"),
        ("    code\n\n   T", "    code"),
    ],
)
def test_a_block_comes_with_the_character_that_makes_it_sure(
    text: str, block: str
) -> None:
    blocks = MarkdownBlocks()
    for character in text[:-1]:
        assert [*blocks.feed(character)] == []
    assert [*blocks.feed(text[-1])] == [block]


@pytest.mark.parametrize("text", ["- a\n\n- b", "1. a\n\n  ", "1. a\n\n12", "- a\n\n-"])
def test_a_list_waits_for_what_may_belong_to_it(text: str) -> None:
    blocks = MarkdownBlocks()
    assert [*blocks.feed(text)] == []


# Nothing lost, nothing twice.


@given(cut())
def test_the_cuts_of_a_text_never_matter(text: tuple[str, list[str]]) -> None:
    whole, pieces = text
    expected = read([whole])
    assert expected.broken is None
    assert read(pieces) == expected
    assert read(whole) == expected


@given(cut(), st.integers(1, 40))
def test_nor_with_a_limit(text: tuple[str, list[str]], limit: int) -> None:
    whole, pieces = text
    expected = read([whole], limit)
    assert read(pieces, limit) == expected
    assert read(whole, limit) == expected
    assert all(len(block) <= limit for block in expected.given)
    assert expected.given == read([whole]).given[: len(expected.given)]


@given(texts())
def test_only_blank_lines_between_the_blocks_are_lost(text: str) -> None:
    blocks = read([text]).given
    assert all(block == block.strip("\n") and block.strip() for block in blocks)
    blank = r"(?:[ \t]*\n)"
    middle = rf"\n{blank}+".join(map(re.escape, blocks))
    assert re.fullmatch(rf"{blank}*{middle}(?:\n{blank}*)?[ \t]*", unified(text))


@given(texts())
def test_a_block_is_one_block_alone(text: str) -> None:
    for block in read([text]).given:
        assert read([block]) == Reading([block])


@given(texts())
def test_a_text_behind_a_paragraph_is_cut_as_it_is_alone(text: str) -> None:
    alone = read([text]).given
    assert read(["text\n\n", text]).given == ["text", *alone]


@given(st.lists(st.sampled_from(["a", "# h", "***", "> q", "| a |", "-a"]), min_size=1))
def test_a_fence_is_never_cut(lines: list[str]) -> None:
    inner = "\n\n".join(lines)
    for fence in ("```", "~~~~"):
        block = f"{fence}x\n{inner}\n\n{fence}"
        item = "1. a\n\n" + "\n".join(f"   {line}" for line in block.split("\n"))
        text = f"before\n\n{block}\n\n{item}\n\nafter"
        assert read([text]) == Reading(["before", block, item, "after"])


def test_a_second_end_gives_nothing() -> None:
    blocks = MarkdownBlocks()
    assert [*blocks.feed("a\n\n- b\n\n  c")] == ["a"]
    assert [*blocks.end()] == ["- b\n\n  c"]
    assert [*blocks.end()] == []


# Limits.


@pytest.mark.parametrize("piece", [1, 7, 1_000, 100_000])
@pytest.mark.parametrize(
    "long",
    [
        "x" * 5_000,
        "é 🙂\n" * 1_000 + "y" * 1_000,
        "- a\n\n" * 999 + "- abc",
        "```\n" + "\n" * 4_990 + "x\n```",
        "1. a\n\n   " + "x" * 4_991,
    ],
)
def test_a_block_may_be_as_long_as_the_limit(long: str, piece: int) -> None:
    text = f"first\n\n{long}\n\nlast"
    pieces = [text[at : at + piece] for at in range(0, len(text), piece)]
    assert read(pieces, len(long) + 1) == Reading(["first", long, "last"])
    assert read(pieces, len(long) - 1) == Reading(["first"], ParagraphTooLong)


@pytest.mark.parametrize("before", ["- a\n", "1. a\n\n   b\n", "```\n"])
def test_blank_lines_in_a_block_count(before: str) -> None:
    for text in (f"{before}{end * 200}" for end in ("\n", " \n", "\r")):
        assert read([text], 100) == Reading([], ParagraphTooLong)
        assert read(text, 100) == Reading([], ParagraphTooLong)


@pytest.mark.parametrize("line", ["123456789x", "      x", "- - - - -", "* * * *"])
def test_no_more_of_a_line_is_judged_than_the_limit(line: str) -> None:
    text = f"10. a\n\n{line}\n\n"
    for limit in range(5, 12):
        assert read(text, limit) == read([text], limit)


@pytest.mark.parametrize("line", [" " * 200, "x" * 200, "\t" * 200, "- " * 100])
def test_a_long_line_is_noticed_before_it_ends(line: str) -> None:
    for before, first in (("", []), ("a\n\n", ["a"]), ("- a\n\n", []), ("```\n", [])):
        expected = [*first]
        if before.startswith("-") and line.startswith("x"):
            expected.append("- a")
        for pieces in ([before + line], before + line):
            assert read(pieces, 100) == Reading(expected, ParagraphTooLong)
