"""Problem details, as clients read them."""

from __future__ import annotations

import msgspec
import pytest

from supportbot.channels.http.problems import Fault, Problem, phrase, refused


def test_a_problem_says_its_status_twice_and_its_standard_phrase() -> None:
    assert msgspec.json.decode(Problem(404).encode()) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
    }


def test_a_problem_may_have_a_name_a_detail_and_what_is_wrong_in_particular() -> None:
    problem = Problem(
        422,
        "Two fields can't be used.",
        "urn:supportbot:invalid-body",
        (Fault("#/message", "expected text"), Fault("#/tags/0", "expected a word")),
    )
    assert msgspec.json.decode(problem.encode()) == {
        "type": "urn:supportbot:invalid-body",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "Two fields can't be used.",
        "errors": [
            {"pointer": "#/message", "detail": "expected text"},
            {"pointer": "#/tags/0", "detail": "expected a word"},
        ],
    }


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "Bad Request"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (421, "Misdirected Request"),
        (431, "Request Header Fields Too Large"),
        (599, "Unknown"),
    ],
)
def test_phrases_are_those_of_the_standard(status: int, name: str) -> None:
    assert phrase(status) == name


def test_a_refusal_carries_its_problem_and_headers() -> None:
    why = refused(503, "Later.", (b"Retry-After", b"5"))
    assert why.problem == Problem(503, "Later.")
    assert why.headers == ((b"Retry-After", b"5"),)
