"""Notice a body that goes on without getting anywhere.

What is let through depends on the bytes alone, not on how they were cut: everything in
front of the byte that is one too many.
"""

from __future__ import annotations

from supportbot.errors import BodyRunaway, BodyTooLong, ByteRepeated


class Guard:
    """Let bytes through until they run away.

    Args:
        repeated: how often one byte may come in a row.
        body: how many bytes may come in all.

    Attributes:
        runaway: what is wrong with the byte behind the last one that was let through;
            None as long as all is well.
    """

    def __init__(self, repeated: int = 512, body: int = 262_144) -> None:
        self.runaway: BodyRunaway | None = None
        self._limit, self._body = repeated, body
        self._left = body
        self._byte = b""  # the last one
        self._run = 0  # how often it came in a row up to now

    def admit(self, data: bytes) -> bytes:
        """Take the next bytes; return those that may be read."""
        if self.runaway is not None:
            return b""
        if len(data) > self._left:
            data = data[: self._left]
            self.runaway = BodyTooLong(self._body)
        self._left -= len(data)
        if not data:
            return data
        # Nearly always: the chunk ends in a short run, and is too short for another.
        tail = len(data) - len(data.rstrip(data[-1:]))
        if tail < len(data):
            head = self._goes_on(data)
            if self._run + head > self._limit:
                return self._stop(data, self._limit - self._run)
            long = len(data) - tail > self._limit
            if long and (start := self._long_run(data, tail)) >= 0:
                return self._stop(data, start + self._limit)
            self._run = 0
        elif data[:1] != self._byte:
            self._run = 0
        if self._run + tail > self._limit:
            return self._stop(data, len(data) - tail + self._limit - self._run)
        self._byte = data[-1:]
        self._run += tail
        return data

    def _goes_on(self, data: bytes) -> int:
        """For how many bytes `data` goes on with the byte that came last."""
        return len(data) - len(data.lstrip(self._byte)) if self._byte else 0

    def _long_run(self, data: bytes, tail: int) -> int:
        """Where, in front of the tail, a run begins that is too long; -1 if none does.

        A run that is too long covers two neighbours of a grid that is half as wide as
        the limit, so that only few bytes have to be looked at.
        """
        limit = self._limit
        step = (limit + 1) // 2
        end = len(data) - tail
        for at in range(0, end - step, step):
            byte = data[at]
            if data[at + step] != byte or data.count(byte, at, at + step) < step:
                continue
            before = data[max(0, at - limit) : at]
            start = at - len(before) + len(before.rstrip(data[at : at + 1]))
            if (
                start + limit < end
                and data.count(byte, start, start + limit + 1) > limit
            ):
                return start
        return -1

    def _stop(self, data: bytes, admitted: int) -> bytes:
        self.runaway = ByteRepeated(data[admitted], self._limit)
        return data[:admitted]
