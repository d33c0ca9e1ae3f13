"""The page's modules that need no browser, under Node.js."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_TESTS = sorted((Path(__file__).parent / "web").glob("*.test.js"))
_PATIENCE = 120.0  # seconds


@pytest.mark.parametrize("tests", _TESTS, ids=lambda path: path.name)
def test_the_page(tests: Path) -> None:
    node = shutil.which("node")
    assert node, "this test needs Node.js 20.19 or newer: apt-get install nodejs npm"
    ran = subprocess.run(
        [node, "--test", "--test-reporter=tap", str(tests)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "# pass 0\n" not in ran.stdout, "there are no tests"


def test_there_are_tests() -> None:
    assert _TESTS
