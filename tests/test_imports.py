"""Imports point down, there are no cycles, and importing a module does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent

FLOORS: Mapping[str, int] = {
    "supportbot": 0,
    "supportbot.context": 0,
    "supportbot.docstrings": 0,
    "supportbot.errors": 0,
    "supportbot.events": 0,
    "supportbot.interfaces": 0,
    "supportbot.settings": 0,
    "supportbot.guessing": 1,
    "supportbot.identity": 1,
    "supportbot.intents": 1,
    "supportbot.ledger": 1,
    "supportbot.metrics": 1,
    "supportbot.streaming": 1,
    "supportbot.topics": 1,
    "supportbot.wording": 1,
    "supportbot.services": 2,
    "supportbot.transcripts": 2,
    "supportbot.asked": 3,
    "supportbot.conversation": 3,
    "supportbot.dispatcher": 3,
    "supportbot.follower": 3,
    "supportbot.recorder": 3,
    "supportbot.hearing": 3,
    "supportbot.reply": 3,
    "supportbot.waiters": 3,
    "supportbot.frontdesk": 3,
    "supportbot.channels": 4,
    "supportbot.application": 5,
    "supportbot.assistance": 5,
    "supportbot.command_line": 5,
    "supportbot.demo": 5,
    "supportbot.logs": 5,
    "supportbot.resuming": 5,
    "supportbot.__main__": 6,
    "supportbot.administration": 6,
    "supportbot.options": 6,
    "supportbot.serving": 6,
    "main": 6,
    "twisted.plugins.supportbot_plugin": 6,
}
"""The floor of each room; a room is a module or a package with all that is in it."""

PURE = (
    "context",
    "docstrings",
    "errors",
    "events",
    "guessing",
    "intents",
    "ledger",
    "metrics",
    "settings",
    "streaming",
    "topics",
    "wording",
)
"""Rooms of supportbot that know no reactor, but for the thin protocol below."""
BODY = "supportbot.streaming.body"

REACTOR = "twisted.internet.reactor"


class Import(NamedTuple):
    """One import.

    Attributes:
        name: dotted; with `from a import b` it is `a.b`, whatever `b` is.
        line: where it stands.
        at_once: whether importing the module runs it.
    """

    name: str
    line: int
    at_once: bool


Tree = Mapping[str, list[Import]]
"""Dotted names of modules, with what they import."""


def imports_of(source: str, package: str) -> Iterator[Import]:
    """All imports of a module, wherever they stand.

    Args:
        source: its text.
        package: where relative imports start from.
    """
    later: set[ast.AST] = set()
    for node in ast.walk(ast.parse(source)):  # outer ones come first
        inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if inner or node in later:
            later.update(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            start = base if node.level else []
            start = [*start, *(node.module or "").split(".")]
            names = [".".join(filter(None, [*start, a.name])) for a in node.names]
        else:
            continue
        for name in names:
            yield Import(name, node.lineno, node not in later)


def tree_of(sources: Mapping[str, str], packages: Iterable[str] = ()) -> Tree:
    """What each module imports.

    Args:
        sources: dotted names of modules with their text.
        packages: those of them that are packages.
    """
    return {
        module: [
            *imports_of(
                source, module if module in packages else module.rpartition(".")[0]
            )
        ]
        for module, source in sources.items()
    }


def room_of(module: str) -> str | None:
    """The room in which a module lies, or None if it is none of ours."""
    while module not in FLOORS:
        module, dot, _ = module.rpartition(".")
        if not dot:
            return None
    return module


def module_of(name: str, tree: Tree) -> str | None:
    """The module of ours that an imported name is, or is in."""
    if name in tree:
        return name
    outer = name.rpartition(".")[0]
    return outer if outer in tree else None


def faults_of(tree: Tree) -> list[str]:
    """Everything in the tree that breaks a rule of the house."""
    faults = [
        f"{module}: is in no room"
        for module in tree
        if room_of(module) in {None, "supportbot"} and module != "supportbot"
    ]
    for module, imports in tree.items():
        for imported in imports:
            where = f"{module}:{imported.line}"
            faults += [f"{where}: {fault}" for fault in _faults(module, imported, tree)]
    graph = {
        module: {
            target
            for imported in imports
            if (target := module_of(imported.name, tree)) not in {None, module}
        }
        for module, imports in tree.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        faults.append("cycle through " + ", ".join(sorted(set(error.args[1]))))
    return faults


def _faults(module: str, imported: Import, tree: Tree) -> Iterator[str]:
    name = imported.name
    if f"{name}.".startswith(f"{REACTOR}.") and imported.at_once:
        yield "imports the reactor on being imported"
    if f"{name}.".startswith("twisted.internet.") and is_pure(module):
        yield f"is pure, and imports {name}"
    target = module_of(name, tree)
    if target is None:
        if name.partition(".")[0] == "supportbot":
            yield f"imports {name}, which is not there"
        return
    here, there = room_of(module), room_of(target)
    if here is None or there is None:
        return
    if FLOORS[there] > FLOORS[here]:
        yield f"on floor {FLOORS[here]} imports {target} on floor {FLOORS[there]}"
    if there == "supportbot.demo" and here not in {there, "supportbot.application"}:
        yield f"imports {target}"
    if is_pure(module) and there != "supportbot" and not is_pure(target):
        yield f"is pure, and imports {target}"


def is_pure(module: str) -> bool:
    """Whether the module has to do without `twisted.internet`."""
    room = room_of(module) or ""
    return room.removeprefix("supportbot.") in PURE and module != BODY


def our_sources() -> tuple[dict[str, str], set[str]]:
    """The text of every module of ours, and which of them are packages."""
    sources, packages = {}, set()
    files = [*(ROOT / "supportbot").rglob("*.py"), *(ROOT / "twisted").rglob("*.py")]
    for path in [*files, ROOT / "main.py"]:
        if not path.exists():
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if path.name == "__init__.py":
            module = module.removesuffix(".__init__")
            packages.add(module)
        sources[module] = path.read_text("utf-8")
    return sources, packages


def loaded_after(modules: Iterable[str]) -> set[str]:
    """All modules that are there when a new interpreter has imported these."""
    program = f"import {', '.join(modules)}, sys; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return set(ran.stdout.split())


def test_our_imports_keep_the_rules() -> None:
    assert faults_of(tree_of(*our_sources())) == []


def test_importing_all_of_it_installs_no_reactor() -> None:
    modules = [
        module
        for module in our_sources()[0]
        if module.startswith("supportbot") and not module.endswith("__main__")
    ]
    loaded = loaded_after(modules)
    assert loaded >= set(modules)
    assert REACTOR not in loaded


def test_the_pure_rooms_load_no_twisted() -> None:
    modules = [module for module in our_sources()[0] if is_pure(module)]
    assert "supportbot.streaming.paragraphs" in modules
    loaded = loaded_after(modules)
    assert not [module for module in loaded if module.startswith("twisted.internet")]


# The checks themselves can fail.

_GOOD = {
    "supportbot": "__version__ = '1'",
    "supportbot.errors": "import asyncio",
    "supportbot.interfaces": "from twisted.internet.defer import Deferred",
    "supportbot.intents": "import re",
    "supportbot.topics": "from supportbot.intents import words",
    "supportbot.streaming": "",
    "supportbot.streaming.body": "from twisted.internet.defer import Deferred",
    "supportbot.streaming.parser": "from supportbot.errors import Oops\n"
    "from supportbot import streaming, __version__",
    "supportbot.services": "",
    "supportbot.services.http": "from ..streaming.parser import feed\n"
    "from .base import Base",
    "supportbot.services.base": "from supportbot import interfaces",
    "supportbot.demo": "",
    "supportbot.demo.flood": "from supportbot import demo",
    "supportbot.application": "def make():\n"
    "    from supportbot.demo import flood\n"
    "    from twisted.internet import reactor",
}
_PACKAGES = (
    "supportbot",
    "supportbot.demo",
    "supportbot.services",
    "supportbot.streaming",
)


def test_a_good_tree_has_no_faults() -> None:
    assert faults_of(tree_of(_GOOD, _PACKAGES)) == []


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        (
            "services.base",
            "\ndef later():\n    from supportbot import application",
            "services.base:3: on floor 2 imports supportbot.application on floor 5",
        ),
        (
            "services.base",
            "from ..application import make",
            "services.base:1: on floor 2 imports supportbot.application on floor 5",
        ),
        (
            "errors",
            "if TYPE_CHECKING:\n    from .services.http import Http",
            "errors:2: on floor 0 imports supportbot.services.http on floor 2",
        ),
        (
            "services.base",
            "from . import http",
            "cycle through supportbot.services.base, supportbot.services.http",
        ),
        (
            "application",
            "import supportbot.nowhere.at_all",
            "application:1: imports supportbot.nowhere.at_all, which is not there",
        ),
        (
            "services.base",
            "from twisted.internet import reactor",
            "services.base:1: imports the reactor on being imported",
        ),
        (
            "services.base",
            "try:\n    import twisted.internet.reactor as r\nfinally:\n    pass",
            "services.base:2: imports the reactor on being imported",
        ),
        (
            "services.base",
            "class Base:\n    from twisted.internet.reactor import run",
            "services.base:2: imports the reactor on being imported",
        ),
        (
            "options",
            "from supportbot.demo.flood import flood",
            "options:1: imports supportbot.demo.flood",
        ),
        (
            "streaming.parser",
            "def later():\n    from twisted.internet.defer import Deferred",
            "streaming.parser:2: is pure, and imports twisted.internet.defer.Deferred",
        ),
        (
            "intents",
            "import twisted.internet",
            "intents:1: is pure, and imports twisted.internet",
        ),
        (
            "streaming.parser",
            "from supportbot.streaming.body import Body",
            "streaming.parser:1: is pure, and imports supportbot.streaming.body",
        ),
        ("utilities", "", "utilities: is in no room"),
    ],
)
def test_a_fault_is_found(module: str, source: str, fault: str) -> None:
    tree = tree_of({**_GOOD, f"supportbot.{module}": source}, _PACKAGES)
    assert fault in {found.removeprefix("supportbot.") for found in faults_of(tree)}


def test_a_reactor_that_comes_with_an_import_is_found() -> None:
    assert REACTOR in loaded_after([REACTOR])
    assert REACTOR not in loaded_after(["twisted.internet.defer"])
