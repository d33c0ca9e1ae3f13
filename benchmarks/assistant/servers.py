"""The servers that are measured."""

from __future__ import annotations

from pathlib import Path

from benchmarks.http import servers
from benchmarks.http.figures import OURS
from benchmarks.http.servers import LIMITS, uvicorn

_SETTINGS = """
services = []

[assistant]
url = "http://127.0.0.1:{upstream}/v1"
api_key = "key"
at_once = 2000
"""


class Kind(servers.Kind, frozen=True):
    """A server that can be measured.

    Attributes:
        name: `supportbot`, `fastapi` or `raw`: the model itself, which answers at once.
        history: where it keeps messages, `memory` or `sqlite`; peers only in memory.
    """

    def command(self, port: int, upstream: int, folder: Path) -> list[str]:
        """How it is started; what it needs is written to the folder."""
        if self.name == "raw":
            return ["-m", "benchmarks.assistant.model", str(port)]
        if self.name == OURS:
            return super().command(port, upstream, folder)
        return uvicorn("benchmarks.assistant.peer:create_app", port)

    def settings(self, upstream: int) -> str:
        """The settings of supportbot."""
        return _SETTINGS.format(upstream=upstream) + LIMITS
