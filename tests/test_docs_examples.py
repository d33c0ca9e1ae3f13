"""The examples in the documents, with the real program."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.program import PATIENCE, ROOT, Server, environment, served
from tests.test_http_end_to_end import PARAGRAPHS, Controlled, service

__all__ = ["service"]

HTTP = (ROOT / "docs" / "http.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
EXAMPLES = ROOT / "docs" / "examples"
DEMO = ("--demo", "--demo-delay", "0", "--demo-zeroes", "0", "--database", "memory")
ID = re.compile(r"(?<![\w-])[\w-]{22}(?![\w-])")


def shown(document: str) -> Iterator[tuple[str, str]]:
    """Each request of a document that is written for curl, and the answer."""
    for block in re.findall(r"^```console\n(.*?)^```$", document, re.DOTALL | re.M):
        for example in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, answer = example.partition("\n")
            if command.startswith("curl "):
                yield command, answer


def sent(server: Server, command: str) -> str:
    """Do what curl would do; returns the body of the answer."""
    method, path, headers, body = "", "", dict[str, str](), None
    query = list[tuple[str, str]]()
    words = iter(shlex.split(command)[1:])
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, value = next(words).split(": ", 1)
            headers[name] = value
        elif word == "-d":
            body = next(words).encode()
        elif word == "--data-urlencode":
            name, value = next(words).split("=", 1)
            query.append((name, value))
        elif word not in {"-N", "-G"}:
            host, slash, path = word.partition("/")
            assert (host, slash) == ("localhost:8000", "/"), word
    path = f"/{path}?{urlencode(query)}" if query else f"/{path}"
    if body is not None:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    method = method or ("GET" if body is None else "POST")
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request(method, path, body, headers)
    with closing(connection):
        return connection.getresponse().read().decode()


def settled(answer: str) -> str:
    """An answer without what is another one each time."""
    answer = re.sub(r'^:\n\n|^retry: \d+$|"at":[\d.]+', "", answer, flags=re.M)
    answer = re.sub(r'"message_id":"[0-9a-f]{32}"|\b[0-9a-f]{32}\b', "M", answer)
    return ID.sub("S", answer).strip()


@pytest.mark.parametrize(
    ("document", "number"), [(HTTP, 15), (README, 1)], ids=["http", "readme"]
)
def test_requests_are_answered_as_it_is_written(document: str, number: int) -> None:
    examples = list(shown(document))
    assert len(examples) >= number
    with served(*DEMO) as server:
        for command, answer in examples:
            assert settled(sent(server, command)) == settled(answer), command


@pytest.mark.parametrize("name", ["ask.py", "chat.js"])
def test_the_clients_are_shown_as_they_are(name: str) -> None:
    kind = {".py": "python", ".js": "js"}[Path(name).suffix]
    text = (EXAMPLES / name).read_text("utf-8")
    assert f"\n```{kind}\n{text}```\n" in HTTP


def test_an_answer_survives_a_crash_in_the_middle(
    service: Controlled, tmp_path: Path
) -> None:
    database = ("--database", f"sqlite:///{tmp_path / 'chat.db'}")
    with served(*database, env=service.env) as server:
        url = f"http://127.0.0.1:{server.port}/"
        client = subprocess.Popen(
            [sys.executable, "-W", "error", EXAMPLES / "ask.py", url, "help"],
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert client.stdout is not None
        service.let(0)
        assert client.stdout.readline() == f"{PARAGRAPHS[0]}\n"
        server.kill()
    service.let(1)
    service.let(2)
    with served(*database, env=service.env, port=server.port):
        rest, _ = client.communicate(timeout=PATIENCE)
    assert (rest.splitlines(), client.returncode) == ([*PARAGRAPHS[1:]], 0)
