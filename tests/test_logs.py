"""Where logs go, and what does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.program import PATIENCE, ROOT, environment

PROGRAM = """
import sys
from supportbot import logs
from supportbot.context import conversation_id
logs.to_file(sys.argv[1])
conversation_id.set("abcdefghijklmnop")
logs.log.info("said {what}", what="this")
"""


def run(path: Path) -> subprocess.CompletedProcess[str]:
    """Log in a process of its own, since a process begins to log only once."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_an_event_is_a_line_and_tells_the_conversation_but_not_its_id(
    tmp_path: Path,
) -> None:
    ran = run(tmp_path / "new" / "chat.log")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    text = (tmp_path / "new" / "chat.log").read_text()
    events = [json.loads(line) for line in text.splitlines()]
    said = next(event for event in events if event.get("what") == "this")
    assert said["conversation"] == "abcdef"
    assert "abcdefg" not in text


def test_no_place_to_log_is_told_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run(tmp_path / "file" / "chat.log")
    assert (ran.returncode, ran.stdout) == (0, "")
    assert ran.stderr.startswith("supportbot: no log: ")
    assert ran.stderr.count("\n") == 1
