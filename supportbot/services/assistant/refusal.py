"""Why a language model's server does not answer, as far as it says so."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from supportbot.errors import AnswerWithheld, ModelRefused, ServiceError

TOO_LONG = "context_length_exceeded"
NO_QUOTA = "insufficient_quota"

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_TOO_LONG = re.compile(r"context (length|size|window)|exceed_context_size", re.I)
_STATUSES = {  # of failures that are told in a stream, which has a good status itself
    "rate_limit_exceeded": 429,
    NO_QUOTA: 429,
    TOO_LONG: 400,
    "invalid_api_key": 401,
    "model_not_found": 404,
}


class Refusal(msgspec.Struct, frozen=True):
    """What a server says is wrong.

    Attributes:
        error: to be raised.
        renamed: it takes `max_completion_tokens` in place of `max_tokens`.
    """

    error: ServiceError
    renamed: bool = False


def refusal(status: int, body: bytes, retry_after: float | None = None) -> Refusal:
    """Read the answer to a request that was not taken.

    Args:
        status: of HTTP.
        body: JSON as the API promises, or anything else.
        retry_after: seconds that the server asks us to wait.
    """
    fields = _fields(body)
    code = _code(status, fields)
    error: ServiceError = ModelRefused(status, code, retry_after)
    if code == "content_filter":
        error = AnswerWithheld()
    elif status == 409:  # two things at once that could have been one after the other
        error.transient = True
    unknown = fields.get("param") if code == "unsupported_parameter" else None
    return Refusal(error, renamed=unknown == "max_tokens")


def failure(told: str | bytes) -> ServiceError:
    """What is wrong, if that is told where an answer had begun well.

    Args:
        told: JSON that names the error, or anything else.
    """
    fields = _fields(told)
    code = _code(0, fields)
    number = fields.get("code")
    if isinstance(number, str) and number.isascii() and number.isdigit():
        number = int(number[:4])
    if not (isinstance(number, int) and 400 <= number < 600):
        number = _STATUSES.get(code, 500)
    if code == "content_filter":
        return AnswerWithheld()
    return ModelRefused(number, code)


def advice(error: ModelRefused) -> str:
    """What an operator can do about it; empty if that is nothing but waiting."""
    if error.code == NO_QUOTA or error.status == 402:
        return "the account has no quota left: see to its plan"
    if error.transient:
        return ""
    if error.code == TOO_LONG:
        return "it can't read that much: lower assistant.window"
    if error.status in {401, 403}:
        return "the key is not taken: mend assistant.api_key (OPENAI_API_KEY)"
    if error.status == 404:
        return (
            "it is not known there: mend assistant.model (OPENAI_MODEL)"
            " or assistant.url (OPENAI_BASE_URL)"
        )
    return "our questions are not taken: mend the settings of the assistant"


def _fields(raw: str | bytes) -> dict[str, Any]:
    """What describes the error, wherever that stands."""
    try:
        document: object = msgspec.json.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        return {}
    error = document.get("error")
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else document


def _code(status: int, fields: dict[str, Any]) -> str:
    """The reason in one word; empty if there is none.

    Servers that are compatible in all else don't tell by the same code that too much
    was sent, and it is the one reason that we can do something about.
    """
    words = [fields.get(name) for name in ("code", "type")]
    named = [word for word in words if isinstance(word, str)]
    told = " ".join([*named, str(fields.get("message"))])
    if status in {0, 400, 413, 422} and _TOO_LONG.search(told):
        return TOO_LONG
    if NO_QUOTA in named:
        return NO_QUOTA
    codes = [word for word in named if _CODE.fullmatch(word) and not word.isdigit()]
    return codes[0] if codes else ""
