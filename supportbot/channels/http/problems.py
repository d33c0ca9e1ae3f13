"""What an HTTP client reads when something is wrong with its request, or with us.

Problem details for HTTP APIs, RFC 9457.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec

CONTENT_TYPE = "application/problem+json"

# RFC 9110 renamed these; not all versions of Python know.
_RENAMED = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


def phrase(status: int) -> str:
    """The standard phrase of a status; `Unknown` if it has none."""
    try:
        return _RENAMED.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with a body.

    Attributes:
        pointer: where it is, as a JSON pointer (RFC 6901) behind a `#`.
        detail: what was expected.
    """

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True):
    """Why a request was not answered as it wished.

    Attributes:
        status: of the response.
        detail: what a person can do about it. It never holds text from outside.
        type: a URI that names the kind of problem, where the status doesn't say it all.
        errors: what is wrong in particular.
    """

    status: int
    detail: str = ""
    type: str = "about:blank"
    errors: tuple[Fault, ...] = ()

    def encode(self) -> bytes:
        """The body that says so."""
        members: dict[str, object] = {
            "type": self.type,
            "title": phrase(self.status),
            "status": self.status,
        }
        if self.detail:
            members["detail"] = self.detail
        if self.errors:
            members["errors"] = self.errors
        return msgspec.json.encode(members)


class Refused(Exception):
    """A request that is answered with a problem; whoever handles it may raise this.

    Attributes:
        problem: the answer.
        headers: that go with it.
    """

    def __init__(
        self, problem: Problem, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(problem.status, problem.detail)
        self.problem, self.headers = problem, headers


def refused(status: int, detail: str = "", *headers: tuple[bytes, bytes]) -> Refused:
    """The exception for a problem without a name of its own."""
    return Refused(Problem(status, detail), headers)
