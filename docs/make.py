"""Write the documents that are made from the program: `python -m docs.make`.

`command-line.md` is what `--help` says; `settings.md` is what the settings' classes
say of themselves. With `--check` nothing is written: a document that is not as it
would be written is named, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as shapes
from twisted.python.usage import Options

from supportbot import administration, options
from supportbot.demo import __main__ as demo
from supportbot.docstrings import Undocumented, documentation
from supportbot.settings import (
    DEFAULT_SERVICES,
    AssistantLimits,
    AssistantSettings,
    Bounds,
    Breaking,
    ConversationSettings,
    Deadlines,
    GuessSettings,
    HttpSettings,
    LinesSettings,
    PageSettings,
    Retry,
    ServiceSettings,
    Settings,
    ShopSettings,
    TranscriptsSettings,
    WebSocketSettings,
)

HERE = Path(__file__).parent

_PROGRAMS: Sequence[tuple[str, str, type[Options]]] = (
    (
        "The chat",
        "`python3 main.py`; after an installation also `supportbot`.",
        options.ChatOptions,
    ),
    (
        "The chat as a web page",
        "`python3 main.py serve`; after an installation also `supportbot serve`. The\n"
        "options that the chat has too may also stand in front of `serve`.",
        options.ServeOptions,
    ),
    (
        "The chat as a service",
        "`twist supportbot`; in a checkout `python3 -m twisted supportbot`. What\n"
        "`twist` itself takes, such as `--log-file`, stands in front of `supportbot`.",
        options.Options,
    ),
    (
        "The schema of the database",
        "`python3 main.py database`; after an installation also `supportbot database`.",
        administration.DatabaseCommands,
    ),
    ("Bringing it up to date", "", administration.Upgrade),
    (
        "The transcripts",
        "`python3 main.py transcripts`; after an installation also\n"
        "`supportbot transcripts`. It may run beside a service on the same database.",
        administration.TranscriptsCommands,
    ),
    ("Listing conversations", "", administration.List),
    ("Showing a conversation", "", administration.Show),
    (
        "Exporting conversations",
        "A line has what an event has on the wire, and its `conversation_id`.",
        administration.Export,
    ),
    ("Erasing conversations", "", administration.Erase),
    (
        "The logins",
        "`python3 main.py logins`; after an installation also `supportbot logins`.",
        administration.LoginsCommands,
    ),
    ("Letting a customer try again", "", administration.Unlock),
    ("The simulated services", "`python3 -m supportbot.demo`.", demo.Options),
)
_HELP_WIDTH = 80

_SETTINGS = """\
# Settings

Whatever nobody sets has a default. A TOML file, which `--settings` or else the
variable `SUPPORTBOT_SETTINGS` names, holds what differs:

```toml
[conversation]
message = 2_000

[[services]]
name = "orders"
title = "order service"
intent = "my order"
url = "https://support.example/orders"

[services.deadlines]               # of the service above
progress = 60.0
```

A file with `[[services]]` in it names all services: the three
[defaults](#the-default-services) are gone then.

Environment variables go over the file; `.env` in the working directory adds those that
the environment does not have. A variable is named by the path of its setting, in
capitals and with `__` for each dot. A service goes by its name there, with `_` for `-`.
Lists can't be set by variables.

A setting that can't be used ends the program with status 78 and one line that names the
file or variable, the key, and what was expected.
"""
_DEFAULTS = """\
## The default services

The first whose intent stands in a message gets it.
"""
_SERVICE = "TECH_SUPPORT"
_VARIABLES: dict[type[msgspec.Struct], tuple[str, str]] = {
    ServiceSettings: ("url", "https://support.example/"),
    Deadlines: ("idle", "8"),
    Bounds: ("body", "2097152"),
    Retry: ("attempts", "5"),
    Breaking: ("rest", "60"),
    AssistantSettings: ("window", "32000"),
    AssistantLimits: ("rounds", "4"),
    ShopSettings: ("confirm", "always"),
    GuessSettings: ("tries", "5"),
    ConversationSettings: ("queue", "20"),
    LinesSettings: ("per_address", "5"),
    HttpSettings: ("chosen_ids", "false"),
    WebSocketSettings: ("system_messages", "false"),
    PageSettings: ("title", "Helpdesk"),
    TranscriptsSettings: ("retention", "90"),
}
"""A setting of each class that has any, and what it could be, to show a variable."""


def main(argv: Sequence[str], folder: Path = HERE) -> int:
    """Write the documents into the folder, or compare; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m docs.make",
        description="Write the documents that are made from the program.",
    )
    parser.add_argument("--check", action="store_true", help="only compare them")
    check: bool = parser.parse_args(argv).check
    try:
        documents = made()
    except Undocumented as error:
        sys.stderr.write(f"docs.make: {error}\n")
        return 1
    stale = [name for name, text in documents.items() if _read(folder / name) != text]
    for name in stale:
        if check:
            sys.stderr.write(f"docs/{name} is stale; python -m docs.make writes it\n")
        else:
            (folder / name).write_text(documents[name], "utf-8")
    return 1 if check and stale else 0


def made() -> dict[str, str]:
    """The documents as they should be, by file name.

    Raises:
        Undocumented: a setting's meaning stands nowhere.
    """
    return {"command-line.md": _command_line(), "settings.md": _settings()}


def sections(
    shape: type[msgspec.Struct],
    path: str,
    heading: str,
    given: msgspec.Struct | None = None,
) -> Iterator[str]:
    """A table for a class of settings, then those of the classes inside it.

    Args:
        shape: the class.
        path: what its keys begin with, such as `services[].`.
        heading: stands above the table.
        given: where its defaults are other ones than those of the class.

    Raises:
        Undocumented: a setting has no meaning, or a meaning no setting.
    """
    about, meant = documentation(shape)
    rows = [("key", "type", "default", "meaning"), ("---",) * 4]
    inside: list[Iterator[str]] = []
    for field in msgspec.structs.fields(shape):
        kind, key = shapes.type_info(field.type), path + field.encode_name
        meaning = meant.pop(field.name, "")
        if (table := _table(kind)) is None:
            default = _default(field, given)
        else:
            name = key.replace("[]", "")
            default, title = f"[below](#{name.replace('.', '')})", f"[{name}]"
            there: msgspec.Struct | None = _value(field, given)
            if isinstance(kind, shapes.VarTupleType):
                default = "[these](#the-default-services)"
                title, key, there = f"[{title}]", f"{key}[]", None
            meaning = meaning or documentation(table)[0].partition("\n")[0]
            inside.append(sections(table, f"{key}.", f"`{title}`", there))
        if not meaning:
            raise Undocumented(f"{shape.__name__}.{field.name} is not documented")
        rows.append((f"`{key}`", _type(kind), default, meaning))
    if meant:
        raise Undocumented(f"{shape.__name__} has no {', '.join(meant)}")
    parts = [f"## {heading}", about, "\n".join(map(_row, rows))]
    if shape in _VARIABLES:
        name, value = _VARIABLES[shape]
        parts.append(f"As a variable: `{_variable(path + name)}={value}`")
    yield "\n\n".join(parts) + "\n"
    for tables in inside:
        yield from tables


def _row(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


def _command_line() -> str:
    parts = ["# Command line\n"]
    for title, call, kind in _PROGRAMS:
        about = f"{call}\n\n" if call else ""
        parts.append(f"## {title}\n\n{about}```\n{_help(kind())}\n```\n")
    return "\n".join(parts)


def _help(parser: Options) -> str:
    """What `--help` says, whatever the terminal and the program's name are."""
    text = f"{parser.getSynopsis()}\n{parser.getUsage(_HELP_WIDTH)}"
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _settings() -> str:
    services = "\n\n".join(_toml(service) for service in DEFAULT_SERVICES)
    parts = [_SETTINGS, *sections(Settings, "", "Top level"), _DEFAULTS]
    return "\n".join([*parts, f"```toml\n{services}\n```\n"])


def _toml(service: ServiceSettings) -> str:
    """A service as it stands in a file, without what is as it is by default."""
    lines = ["[[services]]"]
    for field in msgspec.structs.fields(service):
        value = getattr(service, field.name)
        if value != field.default:
            lines.append(f"{field.encode_name} = {_literal(value)}")
    return "\n".join(lines)


def _literal(value: object) -> str:
    """A value as TOML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float):
        return f"{value:_}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    raise TypeError(f"no way to write {value!r}")


def _variable(key: str) -> str:
    """The variable for a setting, of one of the services where it is theirs."""
    path = key.replace("[]", f".{_SERVICE}").replace(".", "__")
    return f"SUPPORTBOT_{path}".upper()


def _value(field: msgspec.structs.FieldInfo, given: msgspec.Struct | None) -> Any:
    return field.default if given is None else getattr(given, field.name)


def _default(
    field: msgspec.structs.FieldInfo, given: msgspec.Struct | None = None
) -> str:
    if field.required:
        return "required"
    value = _value(field, given)
    return "none" if value is None else f"`{_literal(value)}`"


def _table(kind: shapes.Type) -> type[msgspec.Struct] | None:
    """The class of settings that a setting consists of, if it does."""
    if isinstance(kind, shapes.VarTupleType):
        kind = kind.item_type
    return kind.cls if isinstance(kind, shapes.StructType) else None


def _type(kind: shapes.Type) -> str:
    """A type in words."""
    match kind:
        case shapes.StructType():
            return "table"
        case shapes.VarTupleType():
            return f"list of {_type(kind.item_type)}s"
        case shapes.UnionType():
            some = [one for one in kind.types if not isinstance(one, shapes.NoneType)]
            return " or ".join(map(_type, some))
        case shapes.LiteralType():
            return " or ".join(f"`{_literal(value)}`" for value in kind.values)
        case shapes.StrType():
            return f"text matching `{kind.pattern}`" if kind.pattern else "text"
        case shapes.BoolType():
            return "`true` or `false`"
        case shapes.FloatType() | shapes.IntType():
            name = "number" if isinstance(kind, shapes.FloatType) else "whole number"
            limits = {">": kind.gt, "≥": kind.ge, "<": kind.lt, "≤": kind.le}
            named = [f"{s} {n}" for s, n in limits.items() if n is not None]
            return f"{name} {' and '.join(named)}".strip()
    raise TypeError(f"no words for {kind}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
