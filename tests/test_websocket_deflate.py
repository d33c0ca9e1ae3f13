"""Compressed messages: inflated as RFC 7692 has it, and never beyond the limit."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import (
    CloseReason,
    FrameProtocol,
    Opcode,
    ParseFailed,
    RsvBits,
)

from supportbot.channels.websocket.deflate import Deflate
from tests.websocket_client import frame

LIMIT = 64 * 1024
TAIL = b"\x00\x00\xff\xff"
HELLO = bytes.fromhex("f248cdc9c90700")  # the examples of RFC 7692, 7.2.3


def packed(payload: bytes, level: int = 6, end: int = zlib.Z_SYNC_FLUSH) -> bytes:
    """A whole message as it is sent compressed."""
    deflator = zlib.compressobj(level, zlib.DEFLATED, -15)
    done = deflator.compress(payload) + deflator.flush(end)
    return done.removesuffix(TAIL) if end == zlib.Z_SYNC_FLUSH else done


def framed(pieces: Sequence[bytes], rsv: int = 4) -> bytes:
    """A message in so many frames."""
    last = len(pieces) - 1
    return b"".join(
        frame(
            Opcode.CONTINUATION if n else Opcode.TEXT,
            piece,
            fin=n == last,
            rsv=0 if n else rsv,
        )
        for n, piece in enumerate(pieces)
    )


class Reader:
    """A server's end, with the extension; `read` gives the messages."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.extension = Deflate(limit)
        self.protocol = FrameProtocol(False, [self.extension])

    def read(self, data: bytes, step: int | None = None) -> list[str]:
        messages, growing = [], ""
        step = step or len(data)
        for start in range(0, len(data), step):
            self.protocol.receive_bytes(data[start : start + step])
            for one in self.protocol.received_frames():
                if one.opcode is Opcode.TEXT:
                    growing += cast(str, one.payload)
                    if one.message_finished:
                        messages.append(growing)
                        growing = ""
        return messages

    def refused(self, data: bytes, step: int | None = None) -> CloseReason:
        with pytest.raises(ParseFailed) as caught:
            self.read(data, step)
        return caught.value.code


def inflated(*pieces: bytes) -> str:
    """What a message says that comes in these frames, whatever the cuts of TCP."""
    said = {
        tuple(Reader().read(framed(pieces), step)) for step in (None, 1, 2, 3, 5, 7)
    }
    ((message,),) = said
    return message


def test_the_examples_of_the_rfc_are_understood() -> None:
    assert inflated(HELLO) == "Hello"
    assert inflated(HELLO[:3], HELLO[3:]) == "Hello"
    assert inflated(bytes.fromhex("000500faff48656c6c6f00")) == "Hello"  # not deflated
    assert inflated(bytes.fromhex("f348cdc9c9070000")) == "Hello"  # with a final block
    assert inflated(bytes.fromhex("f24805000000ffffcac9c90700")) == "Hello"  # two


def test_nothing_at_all_is_an_empty_message() -> None:
    assert inflated(b"\x00") == ""
    assert inflated(b"") == ""
    assert inflated(b"", b"", b"\x00") == ""


def test_streams_may_follow_each_other_in_a_message() -> None:
    first, second = packed(b"one ", end=zlib.Z_FINISH), packed(b"two")
    assert inflated(first + second) == "one two"
    assert inflated(first, second) == "one two"
    assert inflated(first[:2], first[2:] + second[:1], second[1:]) == "one two"


def test_too_many_streams_are_refused() -> None:
    reader = Reader()
    empty = b"\x03\x00"  # a final block with nothing in it
    assert reader.read(framed([empty * 64 + HELLO])) == ["Hello"]
    why = CloseReason.INVALID_FRAME_PAYLOAD_DATA
    assert reader.refused(framed([empty * 65 + HELLO])) == why


def test_messages_stand_for_themselves_compressed_or_not() -> None:
    reader = Reader()
    data = framed([HELLO]) + framed([b"plain"], rsv=0) + framed([HELLO])
    assert reader.read(data) == ["Hello", "plain", "Hello"]


def test_nothing_of_a_message_is_kept_for_the_next() -> None:
    deflator = zlib.compressobj(6, zlib.DEFLATED, -15)
    said = b"Hello, that was a long message to point back to."
    both = []
    for _ in range(2):
        done = deflator.compress(said) + deflator.flush(zlib.Z_SYNC_FLUSH)
        both.append(framed([done.removesuffix(TAIL)]))
    reader = Reader()
    assert reader.read(both[0]) == [said.decode()]
    assert reader.refused(both[1]) == CloseReason.INVALID_FRAME_PAYLOAD_DATA


def test_control_frames_may_come_between() -> None:
    reader = Reader()
    ping = frame(Opcode.PING, b"not compressed")
    first, second = framed([HELLO[:3], HELLO[3:]]), len(frame(1, HELLO[:3]))
    data = first[:second] + ping + first[second:]
    assert reader.read(data, 1) == ["Hello"]
    assert reader.read(data) == ["Hello"]


@pytest.mark.parametrize("opcode", [Opcode.CONTINUATION, Opcode.PING, Opcode.CLOSE])
def test_the_bit_stands_on_the_first_frame_of_a_message_only(opcode: Opcode) -> None:
    begun = frame(Opcode.TEXT, HELLO[:3], fin=False, rsv=4)
    assert Reader().refused(begun + frame(opcode, HELLO[3:], rsv=4)) == 1002


@pytest.mark.parametrize("rsv", [1, 2, 3, 5, 6, 7])
def test_other_bits_stand_nowhere(rsv: int) -> None:
    assert Reader().refused(frame(Opcode.TEXT, HELLO, rsv=rsv)) == 1002


def test_what_is_no_stream_is_refused() -> None:
    assert Reader().refused(framed([b"\xff\xff\xff"])) == 1007
    assert Reader().refused(framed([b"\x07"])) == 1007  # a block of no known kind


def test_text_is_still_utf_8() -> None:
    assert Reader().refused(framed([packed(b"\xff\xfe")])) == 1007
    assert Reader().refused(framed([packed("ä".encode()[:1])])) == 1007
    halves = packed("ä".encode())
    assert inflated(halves[:1], halves[1:]) == "ä"


def test_a_message_may_be_as_long_as_the_limit() -> None:
    said = "x" * LIMIT
    assert Reader().read(framed([packed(said.encode())])) == [said]
    assert Reader().read(framed([packed(said.encode(), 0)])) == [said]  # blown up
    assert Reader().refused(framed([packed(said.encode() + b"x")])) == 1009


def test_the_limit_holds_for_each_message_anew() -> None:
    reader, data = Reader(), framed([packed(b"x" * LIMIT)])
    assert [len(one) for one in reader.read(data * 3)] == [LIMIT] * 3


@cache
def bomb() -> bytes:
    """64 KiB that inflate to 64 MiB."""
    return packed(b"0" * 64 * 1024 * 1024)


def test_a_bomb_is_not_inflated() -> None:
    data = framed([bomb()])
    for step in (None, 1000):
        reader = Reader()
        tracemalloc.start()
        try:
            assert reader.refused(data, step) == 1009
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < 1024 * 1024


def test_a_bomb_in_many_frames_is_not_inflated() -> None:
    data = bomb()
    pieces = [data[n : n + 10] for n in range(0, len(data), 10)]
    assert Reader().refused(framed(pieces)) == 1009


def test_what_the_last_bytes_inflate_to_counts() -> None:
    reader = Reader(limit=10)
    whole = packed(b"xyxyz" + b"z" * 6, 0)
    assert reader.read(framed([whole[:-1]], rsv=4)[:-1]) == []
    assert Reader(limit=10).refused(framed([whole[:-1], whole[-1:]])) == 1009
    # All that a block says is known with its end, which comes with the tail.
    assert Reader(limit=4).refused(framed([HELLO])) == 1009
    assert Reader(limit=5).read(framed([HELLO])) == ["Hello"]


def test_blocks_with_nothing_in_them_come_to_an_end() -> None:
    empty = b"\x00" + TAIL
    piece = frame(Opcode.CONTINUATION, empty * 200, fin=False)
    begun = frame(Opcode.TEXT, b"", fin=False, rsv=4)
    assert Reader().read(begun + piece * (2 * LIMIT // 1000)) == []
    assert Reader().refused(begun + piece * (2 * LIMIT // 1000 + 1)) == 1009


@given(st.binary(max_size=300), st.integers(1, 40))
def test_garbage_is_refused_or_inflates_to_something(data: bytes, step: int) -> None:
    reader, code = Reader(), 0
    try:
        read = reader.read(framed([data]), step)
    except ParseFailed as why:
        code, read = why.code, []
    assert code in {1007, 1009} or len(read) == 1


@given(st.text(max_size=400), st.lists(st.integers(0, 60), max_size=5), st.data())
def test_cuts_make_no_difference(
    said: str, cuts: list[int], data: st.DataObject
) -> None:
    whole = packed(said.encode(), data.draw(st.sampled_from([0, 1, 6, 9])))
    places = sorted({min(cut, len(whole)) for cut in cuts})
    edges = [0, *places, len(whole)]
    pieces = [whole[a:b] for a, b in pairwise(edges)]
    step = data.draw(st.integers(1, 50))
    assert Reader().read(framed(pieces), step) == [said]


# What is sent


def unpacked(data: bytes, bits: int = 15) -> bytes:
    """As another implementation understands it: wsproto's, as a client."""
    client = PerMessageDeflate()
    client.finalize(
        f"permessage-deflate; server_no_context_takeover; server_max_window_bits={bits}"
    )
    protocol = FrameProtocol(True, [client])
    protocol.receive_bytes(frame(Opcode.TEXT, data, rsv=4, mask=None))
    return "".join(
        cast(str, one.payload) for one in protocol.received_frames()
    ).encode()


def varied(length: int) -> bytes:
    """Text that can be compressed, but repeats itself only far away."""
    source = random.Random(length)
    words = ["".join(source.choices("abcdefgh", k=6)) for _ in range(4000)]
    return " ".join(source.choices(words, k=length // 7 + 1)).encode()[:length]


@pytest.mark.parametrize("bits", range(9, 16))
def test_a_client_can_inflate_what_is_sent_with_its_window(bits: int) -> None:
    extension, said = Deflate(LIMIT, bits), varied(60_000)
    for _ in range(2):
        done = extension.deflate(said)
        assert done is not None
        assert len(done) < len(said)
        assert unpacked(done, bits) == said


def test_a_smaller_window_is_really_smaller() -> None:
    said = varied(800) * 40
    small, large = (len(Deflate(LIMIT, bits).deflate(said) or b"") for bits in (9, 15))
    assert small > 2 * large > 0


def test_what_gains_nothing_is_sent_as_it_is() -> None:
    extension = Deflate(LIMIT)
    assert extension.deflate(b"") is None
    assert extension.deflate(b"x" * 1023) is None
    assert extension.deflate(b"x" * 1024) is not None
    assert extension.deflate(random.Random(1).randbytes(4096)) is None


def test_wsproto_takes_it_for_agreed_on() -> None:
    extension = Deflate(LIMIT)
    assert extension.enabled()
    assert extension.offer() is False
    bare = RsvBits(False, False, False)
    sent = extension.frame_outbound(
        FrameProtocol(False, []), Opcode.TEXT, bare, b"as it is", True
    )
    assert sent == (bare, b"as it is")
