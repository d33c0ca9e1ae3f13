"""What the tests need of npm, where `.ci/packages` has put it."""

from __future__ import annotations

import os
from pathlib import Path

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def package(name: str, version: str) -> Path:
    """The folder of a package.

    Args:
        version: as in `.ci/packages`.
    """
    cache = _CACHE / "supportbot" / f"{name.rpartition('/')[2]}-{version}"
    folder = cache / "node_modules" / name
    assert folder.exists(), f"this test needs {name} {version}: run .ci/packages"
    return folder
