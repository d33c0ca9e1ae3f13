"""All settings, and where they come from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from supportbot.errors import SettingsError
from supportbot.settings.assistant import AssistantSettings
from supportbot.settings.channels import (
    ConversationSettings,
    HttpSettings,
    LinesSettings,
    WebSocketSettings,
)
from supportbot.settings.page import PageSettings
from supportbot.settings.services import DEFAULT_SERVICES, ServiceSettings
from supportbot.settings.shapes import Seconds, Shape
from supportbot.settings.shop import ShopSettings
from supportbot.settings.transcripts import TranscriptsSettings

_PREFIX = "SUPPORTBOT_"
_CUSTOMARY = {
    "DATABASE_URL": "transcripts__database",
    "MCP_SERVER_URL": "shop__url",
    "OPENAI_API_KEY": "assistant__api_key",
    "OPENAI_BASE_URL": "assistant__url",
    "OPENAI_MODEL": "assistant__model",
    "SUPPORTBOT_ADMIN_TOKEN": "http__admin_token",
}
"""Names of variables that everybody knows, and the settings that they mean."""


class Settings(Shape, frozen=True):
    """All settings.

    Attributes:
        services: in the order in which their intents win.
        drain: seconds that answers under way get at shutdown.
    """

    services: tuple[ServiceSettings, ...] = DEFAULT_SERVICES
    assistant: AssistantSettings = AssistantSettings()
    shop: ShopSettings = ShopSettings()
    conversation: ConversationSettings = ConversationSettings()
    lines: LinesSettings = LinesSettings()
    http: HttpSettings = HttpSettings()
    websocket: WebSocketSettings = WebSocketSettings()
    page: PageSettings = PageSettings()
    transcripts: TranscriptsSettings = TranscriptsSettings()
    drain: Seconds = 25.0

    def __post_init__(self) -> None:
        names = [service.name for service in self.services]
        if len(set(names)) < len(names):
            raise ValueError("expected every service to have a name of its own")


_DEFAULTS: dict[str, Any] = msgspec.to_builtins(Settings())


def load(path: str | None, environ: Mapping[str, str]) -> Settings:
    """Read the settings.

    Args:
        path: the TOML file, or None for `SUPPORTBOT_SETTINGS` or no file at all.
        environ: the environment, with what `.env` adds.

    Raises:
        SettingsError: names the source, the key and what was expected.
    """
    path = path or environ.get(f"{_PREFIX}SETTINGS") or None
    tree = _read(path) if path is not None else {}
    settings = _convert(tree, path or "settings", strict=True)
    tree.setdefault("services", msgspec.to_builtins(DEFAULT_SERVICES))
    for variable, text in sorted(environ.items()):
        if variable in _CUSTOMARY and not text:
            continue  # as good as not there, for all other programs too
        path_of = _CUSTOMARY.get(variable) or variable.removeprefix(_PREFIX)
        if path_of not in {variable, "SETTINGS"}:
            if "__" not in path_of:
                expected = f"expected {_PREFIX}SECTION__KEY, with __ for each dot"
                raise SettingsError(variable, "", expected)
            _put(tree, variable, path_of.lower().split("__"), text)
            # Not strict: a variable's "5" stands for a number. The file was strict.
            settings = _convert(tree, variable, strict=False)
    return settings


def _read(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        reason = error.strerror or "can't be read"
        raise SettingsError(path, "", reason.lower()) from error
    except UnicodeDecodeError as error:
        raise SettingsError(path, "", "expected UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(path, "", f"expected TOML: {error}") from error


def _put(tree: dict[str, Any], variable: str, keys: list[str], text: str) -> None:
    """Lay an environment variable over the tree."""
    at: dict[str, Any] = tree
    if keys[0] == "services":
        named = {str(s["name"]).replace("-", "_"): s for s in tree["services"]}
        if len(keys) < 3 or keys[1] not in named:
            expected = "expected SERVICES__NAME__KEY with NAME one of "
            raise SettingsError(variable, "", expected + ", ".join(sorted(named)))
        at, keys = named[keys[1]], keys[2:]
    for key in keys[:-1]:
        at = at.setdefault(key, {})
        if not isinstance(at, dict):
            raise SettingsError(variable, "", f"expected no such setting as {key}")
    at[keys[-1]] = text


def _over(below: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    """A tree over another one, so that what it leaves out stays as it is.

    A table that is named in part keeps its other defaults, which may be other ones
    than those of its kind.
    """
    laid = dict(below)
    for key, value in tree.items():
        under = below.get(key)
        if isinstance(value, dict) and isinstance(under, dict):
            laid[key] = _over(under, value)
        else:
            laid[key] = value
    return laid


def _convert(tree: dict[str, Any], source: str, *, strict: bool) -> Settings:
    try:
        return msgspec.convert(_over(_DEFAULTS, tree), Settings, strict=strict)
    except msgspec.ValidationError as error:
        expected, _, key = str(error).partition(" - at `$")
        expected = re.sub(r"^Object ", "", expected).replace("`", "")
        key = key.rstrip("`").lstrip(".")
        expected = expected[:1].lower() + expected[1:]
        raise SettingsError(source, key, expected) from error
