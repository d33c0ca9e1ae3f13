"""What a language model wants a tool called with: read strictly, told discreetly."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from math import isfinite
from typing import Any, NoReturn

from supportbot.services.assistant.schemas import plain
from supportbot.wording.credentials import masked

_LARGEST = 16_384  # bytes of UTF-8
_DEEPEST = 16
_DIGITS = 18  # of a whole number; none that is longer means anything here
_SECRETS = {"pin", "password", "passcode", "secret", "token", "apikey"}


class ArgumentsBroken(Exception):
    """They can't be read; `str()` of it is for the model."""


def parsed(text: str) -> dict[str, Any]:
    """The arguments of a call; none are none.

    Raises:
        ArgumentsBroken: it is not one object of JSON as it should be: a name comes
            twice, a number is none, half of a character, too large or too deep.
    """
    try:
        if len(text.encode()) > _LARGEST:
            raise ArgumentsBroken("The arguments are too long.")
    except UnicodeEncodeError as error:
        raise ArgumentsBroken("The arguments are no Unicode text.") from error
    try:
        value = json.loads(
            text.strip() or "{}",
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_float=_float,
            parse_int=_int,
        )
    except (ValueError, RecursionError) as error:
        raise ArgumentsBroken("The arguments are no valid JSON.") from error
    if not isinstance(value, dict):
        raise ArgumentsBroken("The arguments have to be one JSON object.")
    _check(value, 0)
    return value


def unbound(value: Any, bound: Collection[str]) -> Any:
    """A value without what we fill in ourselves, in whatever spelling and depth.

    Args:
        bound: names, as `plain` makes them.
    """
    if isinstance(value, dict):
        return {
            name: unbound(one, bound)
            for name, one in value.items()
            if plain(name) not in bound
        }
    if isinstance(value, list):
        return [unbound(one, bound) for one in value]
    return value


def shown(arguments: Mapping[str, Any]) -> str:
    """Arguments as JSON for a transcript, without secrets."""
    return json.dumps(_masked(arguments), ensure_ascii=False)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ArgumentsBroken("An argument is there twice.")
    return made


def _no_number(name: str) -> NoReturn:
    raise ArgumentsBroken(f"{name} is no number.")


def _float(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ArgumentsBroken("A number is too large.")
    return number


def _int(text: str) -> int:
    if len(text) > _DIGITS:
        raise ArgumentsBroken("A number is too large.")
    return int(text)


def _check(value: object, depth: int) -> None:
    if depth > _DEEPEST:
        raise ArgumentsBroken("The arguments are too deep.")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:  # `\ud800` is JSON, and no text
            raise ArgumentsBroken("The arguments are no Unicode text.") from error
    elif isinstance(value, dict):
        for name, one in value.items():
            _check(name, depth)
            _check(one, depth + 1)
    elif isinstance(value, list):
        for one in value:
            _check(one, depth + 1)


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            masked(name, expected=False).text: (
                "****" if plain(name) in _SECRETS else _masked(one)
            )
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_masked(one) for one in value]
    if isinstance(value, str):
        return masked(value, expected=False).text
    return value
