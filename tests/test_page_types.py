"""The page's modules agree with each other, as far as TypeScript can tell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.npm import package
from tests.program import PATIENCE, ROOT

_VERSION = "7.0.2"  # as in .ci/packages


def faults(project: Path) -> list[str]:
    """What TypeScript finds in a project."""
    node = shutil.which("node")
    assert node, "this test needs Node.js: apt-get install nodejs npm"
    compiler = package("typescript", _VERSION) / "bin" / "tsc"
    ran = subprocess.run(
        [node, str(compiler), "--pretty", "false", "-p", str(project)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    found = ran.stdout.splitlines()
    assert bool(found) == bool(ran.returncode), ran.stderr
    return found


def test_the_modules_have_the_types_that_they_say() -> None:
    assert faults(ROOT) == []


def test_a_wrong_type_is_found(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tsconfig.json", tmp_path)
    for folder in ("supportbot/assets", "tests/web"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    wrong = tmp_path / "supportbot" / "assets" / "chat" / "wrong.js"
    wrong.write_text(
        'import { EventStream } from "./sse.js";\nnew EventStream().feed(5);\n'
    )
    (found,) = faults(tmp_path)
    assert "wrong.js(2,24): error" in found
