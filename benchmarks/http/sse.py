"""Cut the data of server-sent events out of a response, however it is framed."""

from __future__ import annotations

from collections.abc import Iterator


class Response:
    """One HTTP response that streams events; it knows no connection.

    Attributes:
        ended: whether it is complete; a body without length ends with the connection.
        lasting: whether the connection may be used again.
    """

    def __init__(self) -> None:
        self.ended = self.lasting = False
        self._held, self._line = b"", b""
        self._begun = self._chunked = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take what arrived; give the data of each event.

        Raises:
            ValueError: no answer that streams events.
        """
        self._held += piece
        if not self._begun:
            head, blank, rest = self._held.partition(b"\r\n\r\n")
            if not blank:
                return
            self._begin(head)
            self._held = rest
        if self._chunked:
            text = b"".join(self._chunks())
        else:
            text, self._held = self._held, b""
        *lines, self._line = (self._line + text).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:]

    def close(self) -> bool:
        """The connection has ended; returns whether the response is complete."""
        self.ended = self.ended or (self._begun and not self._chunked)
        return self.ended

    def _begin(self, head: bytes) -> None:
        first, _, fields = head.lower().partition(b"\r\n")
        if first.split(b" ", 2)[1] != b"200" or b"text/event-stream" not in fields:
            raise ValueError(head.decode("latin-1"))
        self._begun = True
        self._chunked = b"transfer-encoding: chunked" in fields
        self.lasting = self._chunked and b"connection: close" not in fields

    def _chunks(self) -> Iterator[bytes]:
        held, at = self._held, 0
        while (line_end := held.find(b"\r\n", at)) >= 0:
            start = line_end + 2
            end = start + int(held[at:line_end], 16)
            if len(held) < end + 2:
                break
            at = end + 2
            if end == start:
                self.ended = True
                break
            yield held[start:end]
        self._held = held[at:]
