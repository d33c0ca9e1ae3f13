"""Threads for blocking work, apart from the reactor's own."""

from __future__ import annotations

from threading import Thread
from typing import Any

from twisted.python.threadpool import ThreadPool


class _Background(Thread):
    """A thread that does not keep a program alive that ends without closing it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, daemon=True, **kwargs)


class Threads(ThreadPool):
    """A pool of threads, of which no program has to wait for the end."""

    threadFactory = _Background
