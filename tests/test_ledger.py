"""What a transcript says: which messages are answered, and what both sides said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supportbot.events import (
    ConversationReset,
    CustomerSaid,
    Event,
    Format,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)
from supportbot.ledger import Ledger, Message, Paragraphs, Text, told

FORMATS = st.sampled_from(list[Format](["html", "plain", "markdown"]))
TEXTS = st.text("ab<>", max_size=3)


def said(seq: int, text: str = "Hi?", id: str = "") -> CustomerSaid:
    return CustomerSaid(seq=seq, at=0, text=text, message_id=id or f"m{seq}")


def started(seq: int, to: int) -> ReplyStarted:
    return ReplyStarted(seq=seq, at=0, service="s", intent="", to=to)


def paragraph(seq: int, text: str, format: Format = "html") -> ParagraphSaid:
    return ParagraphSaid(seq=seq, at=0, text=text, format=format)


def ended(seq: int, outcome: Outcome = Outcome.COMPLETE) -> ReplyEnded:
    return ReplyEnded(seq=seq, at=0, outcome=outcome)


def ledger_of(*events: Event) -> Ledger:
    ledger = Ledger()
    for event in events:
        ledger.tell(event)
    return ledger


# What is still to be done


def test_a_message_from_the_beginning_to_the_end() -> None:
    ledger = ledger_of(said(1))
    message = ledger.messages["m1"]
    assert (message.seq, message.began, message.after, message.text) == (1, 0, 1, "Hi?")
    assert ledger.unasked == [message]
    assert ledger.under_way is None
    ledger.tell(said(2))
    ledger.tell(started(3, to=1))
    assert ledger.under_way is message
    assert (message.began, message.after, message.ended) == (3, 2, None)
    assert ledger.unasked == [ledger.messages["m2"]]
    ledger.tell(paragraph(4, "<p>1</p>"))
    assert not message.settled
    ledger.tell(ended(5))
    assert message.settled
    assert message.ended == ended(5)
    assert message.text == ""
    assert message.says("Hi?")
    assert not message.says("")
    assert ledger.under_way is None


def test_only_some_ends_settle_it() -> None:
    settled = set()
    for outcome in Outcome:
        ledger = ledger_of(said(1), started(2, 1), ended(3, outcome))
        if ledger.messages["m1"].settled:
            settled.add(outcome)
        assert ledger.unasked == []
    assert settled == {Outcome.COMPLETE, Outcome.STOPPED}


def test_a_message_that_is_asked_again() -> None:
    ledger = ledger_of(said(1), started(2, 1), ended(3, Outcome.CUT))
    message = ledger.messages["m1"]
    assert message.after == 1
    message.again = 3
    assert message.after == 3
    ledger.tell(said(4))
    ledger.tell(started(5, to=1))
    assert (message.after, message.ended) == (4, None)
    assert not message.settled
    ledger.tell(ended(6))
    assert message.settled


def test_messages_whose_answers_were_not_over() -> None:
    ledger = ledger_of(said(1), said(2), started(3, to=1), said(4))
    first, second, third = ledger.messages.values()
    for after in range(6):
        assert ledger.unanswered(after) == [first, second, third]
    ledger.tell(ended(5, Outcome.CUT))
    assert ledger.unanswered(4) == [first, second, third]
    assert ledger.unanswered(5) == [second, third]
    ledger.tell(started(6, to=2))
    ledger.tell(ended(7))
    assert ledger.unanswered(6) == [second, third]
    assert ledger.unanswered(7) == [third]
    ledger.tell(started(8, to=1))  # once more
    assert ledger.unanswered(7) == [first, third]
    ledger.tell(ConversationReset(seq=9, at=0))
    assert ledger.unanswered(0) == []


def test_a_reset_forgets_everything() -> None:
    ledger = ledger_of(said(1), said(2), started(3, 1), ConversationReset(seq=4, at=0))
    assert (ledger.messages, ledger.unasked, ledger.under_way) == ({}, [], None)
    ledger.tell(said(5, id="m1"))
    assert [one.seq for one in ledger.unasked] == [5]


def test_a_reply_to_what_is_not_there() -> None:
    ledger = ledger_of(started(7, to=3), ended(8))
    assert ledger.under_way is None
    assert ledger.messages == {}


def test_a_new_message() -> None:
    message = Message("m", "Hi?")
    assert (message.seq, message.after, message.settled) == (0, 0, False)


# What was said


def test_both_sides_in_order() -> None:
    events: list[Event] = [
        said(1, "a"),
        started(2, 1),
        paragraph(3, "<p>1</p>"),
        said(4, "b"),
        paragraph(5, "<p>2</p>"),
        ended(6),
        started(7, 4),
        paragraph(8, "<p>gone</p>"),
        ReplyRevised(seq=9, at=0, keep=0),
        paragraph(10, "x", "plain"),
        paragraph(11, "y", "plain"),
        ended(12, Outcome.CUT),
    ]
    assert list(told(events)) == [
        Text(True, "a", 1),
        Text(True, "b", 4),
        Text(False, "<p>1</p><p>2</p>", 6),
        Text(False, "x\n\ny", 12),
    ]


def test_a_reply_without_words_or_without_an_end_is_not_told() -> None:
    events: list[Event] = [
        said(1),
        started(2, 1),
        ended(3),
        started(4, 1),
        paragraph(5, "interrupted"),
        started(6, 1),
        paragraph(7, "whole"),
        ended(8),
        started(9, 1),
        paragraph(10, "on its way"),
    ]
    assert [text.text for text in told(events)] == ["Hi?", "whole"]


@given(st.lists(st.tuples(TEXTS, FORMATS)))
def test_the_pieces_make_the_text(said: list[tuple[str, Format]]) -> None:
    paragraphs = Paragraphs()
    pieces = [paragraphs.add(paragraph(1, *one)) for one in said]
    assert "".join(pieces) == paragraphs.text


@given(
    st.lists(st.tuples(TEXTS, FORMATS)), st.integers(0, 9), st.tuples(TEXTS, FORMATS)
)
def test_what_was_taken_back_is_as_if_it_had_never_been(
    said: list[tuple[str, Format]], keep: int, last: tuple[str, Format]
) -> None:
    revised, plain = Paragraphs(), Paragraphs()
    for one in said:
        revised.add(paragraph(1, *one))
    revised.keep(keep)
    for one in said[:keep]:
        plain.add(paragraph(1, *one))
    assert revised.text == plain.text
    assert revised.add(paragraph(1, *last)) == plain.add(paragraph(1, *last))


def test_an_empty_line_stands_where_not_both_are_html() -> None:
    paragraphs = Paragraphs()
    kinds: list[tuple[str, Format]] = [
        ("<p>1</p>", "html"),
        ("<p>2</p>", "html"),
        ("3", "plain"),
        ("4", "markdown"),
        ("<p>5</p>", "html"),
    ]
    for one in kinds:
        paragraphs.add(paragraph(1, *one))
    assert paragraphs.text == "<p>1</p><p>2</p>\n\n3\n\n4\n\n<p>5</p>"


REPLIES = st.lists(
    st.tuples(
        st.lists(st.one_of(TEXTS, st.integers(0, 4)), max_size=6),  # or taken back
        st.lists(st.text("?", min_size=1, max_size=2), max_size=2),  # said meanwhile
        st.booleans(),  # whether it ends
    ),
    max_size=5,
)


@given(REPLIES)
def test_what_is_told_is_what_stands(
    replies: list[tuple[list[str | int], list[str], bool]],
) -> None:
    events: list[Event] = [said(1)]
    wanted: list[tuple[bool, str]] = [(True, "Hi?")]
    for given_, meanwhile, ends in replies:
        events.append(started(len(events) + 1, to=1))
        stands: list[str] = []
        for one in given_:
            seq = len(events) + 1
            if isinstance(one, str):
                stands.append(one)
                events.append(paragraph(seq, one))
            else:
                del stands[one:]
                events.append(ReplyRevised(seq=seq, at=0, keep=one))
        for text in meanwhile:
            wanted.append((True, text))
            events.append(said(len(events) + 1, text))
        if ends:
            events.append(ended(len(events) + 1))
            if text := "".join(stands):
                wanted.append((False, text))
    texts = list(told(events))
    assert [(text.customer, text.text) for text in texts] == wanted
    assert [text.seq for text in texts] == sorted({text.seq for text in texts})
