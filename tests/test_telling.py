"""The text of one round, told over several attempts."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.errors import ParagraphTooLong, TextRepeated
from supportbot.services.assistant.telling import Counted, Telling
from tests.assistant_fakes import complaint
from tests.fakes import RecordingReply


def begun(before: int = 0) -> tuple[Telling, RecordingReply]:
    """A telling, and where it goes; so many paragraphs stand there already."""
    reply = RecordingReply()
    for number in range(before):
        reply.paragraph(f"before {number}", "plain")
    reply.told.clear()
    return Telling(reply, before, longest=4_000, repeated=20), reply


def attempt(telling: Telling, *pieces: str, whole: bool = False) -> None:
    """The model writes these pieces, and breaks off, or not."""
    telling.begin()
    for piece in pieces:
        telling.hear(piece)
    if whole:
        telling.end()


def test_shows_what_grows_and_gives_what_is_whole() -> None:
    telling, reply = begun()
    attempt(telling, "On", "e.\n", "\nTw", "o.", whole=True)
    assert reply.told == ["…On", "…e.\n", "One.", "…Tw", "…o.", "Two."]
    assert reply.paragraphs == [("One.", "markdown"), ("Two.", "markdown")]
    assert telling.text == "One.\n\nTwo."
    telling.drop()
    assert reply.told[-1] == "Two."  # there is nothing to drop


def test_a_piece_may_end_one_block_and_begin_another() -> None:
    telling, reply = begun()
    attempt(telling, "One.\n\nTwo.\n\n\nThr", "ee.", whole=True)
    assert reply.told == ["One.", "Two.", "…Thr", "…ee.", "Three."]


def test_a_list_is_one_block_and_what_follows_is_shown() -> None:
    telling, reply = begun()
    attempt(telling, "- a\n\n", "- b\n", "\nEnd", " here")
    assert reply.told == ["…- a\n\n", "…- b\n", "- a\n\n- b", "…End", "… here"]


def test_line_ends_of_any_kind() -> None:
    telling, reply = begun()
    attempt(telling, "One.\r", "", "\n\r\nTw", "o.\r\rThree", whole=True)
    assert [text for text, _ in reply.paragraphs] == ["One.", "Two.", "Three"]
    assert "".join(one[1:] for one in reply.told if one[0] == "…") == "One.\nTwThree"


def test_a_line_end_that_is_cut_in_two_is_one() -> None:
    telling, reply = begun()
    attempt(telling, "One\r", "\nmore.\r", "\n\r\nTw", whole=True)
    assert reply.told[-3:] == ["One\nmore.", "…Tw", "Tw"]


def test_blank_pieces_are_not_shown() -> None:
    telling, reply = begun()
    attempt(telling, "\n\n", " ", "\n", whole=True)
    assert reply.told == []
    assert telling.text == ""


def test_what_broke_off_is_taken_from_the_screen() -> None:
    telling, reply = begun(before=2)
    attempt(telling, "One.\n\nTw")
    telling.begin()
    assert reply.told == ["One.", "…Tw", "revise 3"]
    assert [text for text, _ in reply.paragraphs][2:] == ["One."]


def test_nothing_is_taken_from_the_screen_where_nothing_was_shown() -> None:
    telling, reply = begun()
    attempt(telling, "One.\n\n")
    telling.begin()
    telling.drop()
    assert reply.told == ["One."]


def test_an_attempt_goes_on_behind_whole_blocks() -> None:
    telling, reply = begun()
    assert telling.go_on() == []
    attempt(telling, "One.\n\nTwo.\n\nThr")
    telling.begin()
    assistant, system = telling.go_on()
    assert assistant == {"role": "assistant", "content": "One.\n\nTwo."}
    assert complaint([assistant, system]) is None
    reply.told.clear()
    attempt(telling, "Th", "ree.", whole=True)
    assert reply.told == ["…Th", "…ree.", "Three."]
    assert telling.text == "One.\n\nTwo.\n\nThree."


def test_an_attempt_behind_nothing_starts_anew() -> None:
    telling, reply = begun()
    attempt(telling, "Half")
    telling.begin()
    assert telling.go_on() == []
    attempt(telling, "Whole.", whole=True)
    assert reply.told == ["…Half", "revise 0", "…Whole.", "Whole."]


def test_who_tells_it_all_again_is_heard_from_where_it_is_new() -> None:
    telling, reply = begun()
    attempt(telling, "One.\n\nTwo.\n\nThr")
    telling.begin()
    reply.told.clear()
    attempt(telling, "On", "e.\n", "\nTwo.\n\nThr", "ee.", whole=True)
    assert reply.told == ["…Thr", "…ee.", "Three."]
    assert telling.text == "One.\n\nTwo.\n\nThree."


def test_who_tells_the_last_block_again_goes_on_there() -> None:
    telling, reply = begun()
    attempt(telling, "One.\n\nTwo.\n\nThr")
    telling.begin()
    reply.told.clear()
    attempt(telling, "Two.\n\nThree.", whole=True)
    assert reply.told == ["…Three.", "Three."]


def test_who_tells_it_differently_is_believed() -> None:
    telling, reply = begun(before=1)
    attempt(telling, "One.\n\nTwo.\n\nThree.\n\nFo")
    telling.begin()
    reply.told.clear()
    attempt(telling, "One.\n\nZw", "ei.\n\nDrei.", whole=True)
    assert reply.told == ["revise 2", "Zwei.", "…Drei.", "Drei."]
    assert telling.text == "One.\n\nZwei.\n\nDrei."


def test_who_tells_less_is_believed_too() -> None:
    telling, reply = begun(before=1)
    attempt(telling, "One.\n\nTwo.\n\nThree.\n\nFo")
    telling.begin()
    reply.told.clear()
    attempt(telling, "One.\n\nTwo.", whole=True)
    assert reply.told == ["revise 3"]
    assert telling.text == "One.\n\nTwo."


def test_who_repeats_what_stands_has_told_something() -> None:
    telling, reply = begun()
    attempt(telling, "One.\n\nTwo.\n\n")
    telling.begin()
    reply.told.clear()
    telling.hear("Two.")
    assert telling.end()
    assert reply.told == []
    assert telling.text == "One.\n\nTwo."


def test_who_has_nothing_to_say_takes_nothing_back() -> None:
    telling, reply = begun()
    attempt(telling, "One.\n\nTwo.\n\n")
    telling.begin(anew=True)
    assert telling.go_on() == []
    assert not telling.end()
    assert telling.text == "One.\n\nTwo."
    assert "revise 0" not in reply.told


def test_who_starts_anew_is_believed() -> None:
    telling, reply = begun()
    attempt(telling, "One.\n\nTwo.\n\n")
    telling.begin(anew=True)
    telling.hear("Zero.")
    assert telling.end()
    assert telling.text == "Zero."
    assert reply.told[-2:] == ["revise 0", "Zero."]


def test_equal_blocks_are_two_blocks() -> None:
    telling, _ = begun()
    attempt(telling, "Yes.\n\nYes.\n\nNo.", whole=True)
    assert telling.text == "Yes.\n\nYes.\n\nNo."


def test_a_block_that_begins_like_one_that_was_given_is_shown_late() -> None:
    telling, reply = begun()
    attempt(telling, "One is enough.\n\nAnd")
    telling.begin()
    reply.told.clear()
    attempt(telling, "One ", "is ", "not", " it.", whole=True)
    assert reply.told == ["…One is not", "… it.", "One is not it."]


def test_a_list_told_again_is_recognised_while_it_may_go_on() -> None:
    telling, reply = begun()
    attempt(telling, "- a\n- b\n\nEnd")
    telling.begin()
    reply.told.clear()
    attempt(telling, "- a\n- b\n\n1", " is it.", whole=True)
    assert telling.text == "- a\n- b\n\n1 is it."
    assert [text for text, _ in reply.paragraphs] == ["- a\n- b", "1 is it."]


def test_a_phrase_that_comes_again_and_again_ends_it() -> None:
    telling, reply = begun()
    with pytest.raises(TextRepeated):
        attempt(telling, "Well.\n\n", *["I am sorry. "] * 2_000)
    assert [text for text, _ in reply.paragraphs] == ["Well."]
    assert telling.heard < 2_000
    telling.drop()
    assert reply.told[-1] == "revise 1"


def test_a_model_that_writes_the_same_paragraph_again_and_again() -> None:
    told, reply = begun()
    paragraph = " ".join(f"word {number}" for number in range(100))  # no short phrase
    for _ in range(8):
        told.hear(paragraph + "\n\n")
    with pytest.raises(TextRepeated):
        told.hear(paragraph + "\n\n")
    assert {text for text, _ in reply.paragraphs} == {paragraph}
    assert len(reply.paragraphs) == 8


def test_a_block_that_does_not_end_ends_it() -> None:
    telling, _ = begun()
    with pytest.raises(ParagraphTooLong):
        attempt(telling, *[f"{number} " for number in range(4_000)])


def test_heard_are_bytes_of_this_attempt() -> None:
    telling, _ = begun()
    attempt(telling, "é", "x")
    assert telling.heard == 3
    telling.begin()
    assert telling.heard == 0


def test_counts_what_stands() -> None:
    reply = RecordingReply()
    counted = Counted(reply)
    for text in "abc":
        counted.paragraph(text)
    counted.revise(2)
    counted.paragraph("d", "plain")
    counted.revise(7)
    counted.delta("e")
    counted.notice("f")
    assert counted.stand == 3
    assert reply.told == ["a", "b", "c", "revise 2", "d", "revise 7", "…e", "(f)"]


WORDS = st.sampled_from(
    ["One", "two.", " ", "\n", "\n\n", "\r", "\r\n", "é", "- a", "x", "```\n", "1. "]
)
TEXT = st.lists(WORDS, max_size=14).map("".join)


@given(TEXT, st.lists(st.integers(0, 60), max_size=8))
def test_the_same_however_it_is_cut(text: str, cuts: list[int]) -> None:
    whole, whole_reply = begun()
    attempt(whole, text, whole=True)
    telling, reply = begun()
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in pairwise(places)]
    attempt(telling, *pieces, whole=True)
    assert reply.paragraphs == whole_reply.paragraphs


@given(st.lists(TEXT, min_size=1, max_size=4), TEXT)
def test_a_viewer_sees_what_stands(broken: list[str], last: str) -> None:
    """What grows is what is given then; what stands in the end is what was said."""
    telling, reply = begun(before=1)
    for text in broken:
        attempt(telling, *re.findall(r"\s+|\S+", text))
    attempt(telling, *last, whole=True)
    telling.drop()
    stands, growing = ["before 0"], ""
    for one in reply.told:
        if one.startswith("revise "):
            assert int(one[7:]) <= len(stands)
            assert int(one[7:]) >= 1
            del stands[int(one[7:]) :]
            growing = ""
        elif one.startswith("…"):
            growing += one[1:]
        else:
            shown = growing.strip()  # of the next block too, until that is certain
            assert one.strip().startswith(shown) or shown.startswith(one.strip())
            stands.append(one)
            growing = ""
    assert growing == ""
    assert "\n\n".join(stands[1:]) == telling.text


@given(TEXT, TEXT)
def test_who_tells_the_same_again_is_told_once(first: str, rest: str) -> None:
    whole, _ = begun()
    attempt(whole, first + rest, whole=True)
    telling, reply = begun()
    attempt(telling, first)
    attempt(telling, first + rest, whole=True)
    assert telling.text == whole.text
    revised = [one for one in reply.told if one.startswith("revise")]
    assert len(revised) <= 1  # of what was not finished
