"""An event comes back from the wire as it went, and its `type` names its class."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supportbot.events import (
    CustomerSaid,
    Event,
    Fact,
    Format,
    Outcome,
    ParagraphSaid,
    ReplyEnded,
    ReplyRevised,
    ReplyStarted,
)

_COMMON = {
    "seq": st.integers(1, 2**53),
    "at": st.floats(0, 4e9),
}
EVENTS = st.one_of(
    st.builds(
        CustomerSaid,
        **_COMMON,
        text=st.text(),
        message_id=st.text(),
        system_message=st.text(),
        model=st.text(),
    ),
    st.builds(
        ReplyStarted,
        **_COMMON,
        service=st.text(),
        intent=st.text(),
        to=st.integers(1, 2**53),
    ),
    st.builds(
        ParagraphSaid,
        **_COMMON,
        text=st.text(),
        format=st.sampled_from(get_args(Format)),
    ),
    st.builds(ReplyRevised, **_COMMON, keep=st.integers(0, 2**53)),
    st.builds(
        ReplyEnded,
        **_COMMON,
        outcome=st.sampled_from(Outcome),
        detail=st.text(),
        unavailable=st.booleans(),
    ),
)


@given(EVENTS)
def test_there_and_back(event: Event) -> None:
    wire = msgspec.json.encode(event)
    back = msgspec.json.decode(wire, type=Event)
    assert back == event
    assert type(back) is type(event)


@given(st.lists(EVENTS))
def test_a_whole_transcript(transcript: list[Event]) -> None:
    wire = msgspec.json.encode(transcript)
    assert msgspec.json.decode(wire, type=list[Event]) == transcript


@pytest.mark.parametrize("kind", get_args(Event))
def test_the_type_stands_on_the_wire(kind: type[Fact]) -> None:
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__)
    assert kind.__struct_config__.tag_field == "type"
    assert kind.__struct_config__.tag == snake.strip("_")
    assert kind.__struct_config__.frozen


def test_every_fact_is_an_event() -> None:
    assert set(get_args(Event)) == set(Fact.__subclasses__())


def test_the_wire_format_stays_as_it_is() -> None:
    """What was stored yesterday has to be read tomorrow."""
    wire = (
        b'[{"type":"customer_said","seq":1,"at":1.5,"text":"help","message_id":"m1"},'
        b'{"type":"reply_started","seq":2,"at":2.0,"service":"s","intent":"help","to":1},'
        b'{"type":"paragraph_said","seq":3,"at":2.5,"text":"<p>a</p>","format":"html"},'
        b'{"type":"reply_revised","seq":4,"at":3.0,"keep":0},'
        b'{"type":"reply_ended","seq":5,"at":3.5,"outcome":"cut","detail":"d",'
        b'"unavailable":true}]'
    )
    events: list[Event] = [
        CustomerSaid(seq=1, at=1.5, text="help", message_id="m1"),
        ReplyStarted(seq=2, at=2.0, service="s", intent="help", to=1),
        ParagraphSaid(seq=3, at=2.5, text="<p>a</p>", format="html"),
        ReplyRevised(seq=4, at=3.0, keep=0),
        ReplyEnded(seq=5, at=3.5, outcome=Outcome.CUT, detail="d", unavailable=True),
    ]
    assert msgspec.to_builtins(events) == msgspec.json.decode(wire)
    assert msgspec.json.decode(wire, type=list[Event]) == events


def test_an_old_ending_is_read_with_the_defaults() -> None:
    wire = b'{"type":"reply_ended","seq":5,"at":3.5,"outcome":"complete"}'
    assert msgspec.json.decode(wire, type=Event) == ReplyEnded(
        seq=5, at=3.5, outcome=Outcome.COMPLETE, detail="", unavailable=False
    )


def test_what_a_later_version_adds_is_passed_over() -> None:
    wire = b'{"type":"reply_revised","seq":4,"at":3.0,"keep":0,"why":"news"}'
    assert msgspec.json.decode(wire, type=Event) == ReplyRevised(seq=4, at=3.0, keep=0)


@pytest.mark.parametrize(
    "wire",
    [
        b"{}",
        b'{"seq":1,"at":1.0,"keep":0}',
        b'{"type":"reply_lost","seq":1,"at":1.0}',
        b'{"type":"reply_revised","at":1.0,"keep":0}',
        b'{"type":"reply_revised","seq":"1","at":1.0,"keep":0}',
        b'{"type":"paragraph_said","seq":1,"at":1.0,"text":"a","format":"rtf"}',
        b'{"type":"reply_ended","seq":1,"at":1.0,"outcome":"lost"}',
    ],
)
def test_what_is_no_event(wire: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(wire, type=Event)


def test_a_fact_does_not_change() -> None:
    event = ReplyRevised(seq=1, at=0.0, keep=0)
    with pytest.raises(AttributeError):
        event.keep = 1  # type: ignore[misc]
