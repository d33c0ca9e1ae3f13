"""CopilotKit's aimock: a language model's server that others wrote."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.npm import package
from tests.program import PATIENCE

VERSION = "1.43.0"  # as in .ci/packages


@contextmanager
def aimock(
    folder: Path, fixtures: Sequence[Mapping[str, object]], keys: str
) -> Iterator[str]:
    """The server; gives the base URL of its API.

    Args:
        folder: for what it needs.
        fixtures: what it answers to what, as its documentation has them.
        keys: the only ones that it takes, with commas between.
    """
    node = shutil.which("node")
    assert node, "this test needs Node.js 20.15 or newer: apt-get install nodejs npm"
    cli = package("@copilotkit/aimock", VERSION) / "dist" / "cli.js"
    answers = folder / "fixtures.json"
    answers.write_text(json.dumps({"fixtures": fixtures}))
    with (folder / "aimock.log").open("w+") as log:
        process = subprocess.Popen(
            [node, str(cli), "-p", "0", "-f", str(answers)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "AIMOCK_API_KEYS": keys},
            text=True,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if found := re.search(r"listening on (http://\S+)", line):
                    yield f"{found[1]}/v1"
                    break
            else:
                log.seek(0)
                raise AssertionError(f"aimock did not start: {log.read()}")
        finally:
            process.terminate()
            process.wait(PATIENCE)
            process.stdout.close()
