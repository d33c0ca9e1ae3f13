"""Ends what a frozen server would let us wait for without end.

The kernel sees when a machine is gone, but not when PostgreSQL is stopped: then its
side of the connection is well and says nothing. Shutting down ours wakes who waits.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection


class Lifelines:
    """The connections that are in use, each with the time since when.

    Args:
        patience: seconds after which a use has taken too long.
        monotonic: the time in seconds.
    """

    def __init__(self, patience: float, monotonic: Callable[[], float]) -> None:
        self._patience, self._monotonic = patience, monotonic
        self._lines: dict[socket.socket, float] = {}

    @contextmanager
    def hold(self, connection: Connection) -> Iterator[None]:
        """While a connection is in use; called in the thread that uses it."""
        driver: Any = connection.connection.dbapi_connection
        if connection.dialect.name != "postgresql":
            yield
            return
        # A descriptor of its own: the driver's may be closed, and be another file's.
        with socket.socket(fileno=os.dup(driver.fileno())) as line:
            self._lines[line] = self._monotonic()
            try:
                yield
            finally:
                del self._lines[line]

    def cut(self) -> None:
        """End the uses that take too long; called in any thread."""
        latest = self._monotonic() - self._patience
        for line, since in list(self._lines.items()):
            if since < latest:
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)
