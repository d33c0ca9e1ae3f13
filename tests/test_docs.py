"""The documents say what the program does."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from docs import make
from supportbot import errors
from supportbot.settings import (
    DEFAULT_SERVICES,
    Bounds,
    Breaking,
    ConversationSettings,
    Deadlines,
    LinesSettings,
    Retry,
    ServiceSettings,
    Settings,
    load,
)

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
ARCHITECTURE = (DOCS / "architecture.md").read_text("utf-8")
FAULTS = (DOCS / "faults.md").read_text("utf-8")
KINDS: list[type[errors.ServiceError]] = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.ServiceError)
]


def blocks(document: str) -> list[str]:
    """The TOML in a document."""
    return re.findall(r"^```toml\n(.*?)^```$", document, re.DOTALL | re.MULTILINE)


# Making them


def test_what_is_made_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert (make.main(["--check"]), capsys.readouterr().err) == (0, "")


def test_check_names_what_is_stale_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make.main([], tmp_path) == 0
    assert make.main(["--check"], tmp_path) == 0
    (tmp_path / "settings.md").write_text("old")
    assert make.main(["--check"], tmp_path) == 1
    assert re.findall(r"^docs/(\S+)", capsys.readouterr().err, re.MULTILINE) == [
        "settings.md"
    ]
    assert (tmp_path / "settings.md").read_text() == "old"
    (tmp_path / "command-line.md").unlink()
    assert make.main(["--check"], tmp_path) == 1
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert make.main([], tmp_path) == 0
    assert make.main(["--check"], tmp_path) == 0


def test_the_terminal_and_the_programs_name_make_no_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = make.made()
    monkeypatch.setenv("COLUMNS", "43")
    monkeypatch.setattr(sys, "argv", ["another"])
    assert make.made() == before


# Settings


class Inner(msgspec.Struct, frozen=True):
    """What stands inside. And more of it.

    Attributes:
        deep: as deep as it gets.
    """

    deep: bool = False


class Outer(msgspec.Struct):
    """What stands outside.

    Over two paragraphs.

    Attributes:
        some: a | b,
            and more: of it.
        first, last: of many.

    Raises:
        ValueError: not of interest.
    """

    some: str
    first: int = 1_000
    last: float = 2.0
    inner: Inner = Inner()
    several: tuple[Inner, ...] = ()


class Silent(msgspec.Struct):
    """Says nothing of its attribute.

    Attributes:
        said: this one only.
    """

    said: int = 1
    unsaid: int = 2


class Stale(msgspec.Struct):
    """Still has what is gone.

    Attributes:
        gone, here: both.
    """

    here: int = 1


class Malformed(msgspec.Struct):
    """Says what nobody can read.

    Attributes:
        here - an integer.
    """

    here: int = 1


def test_meanings_come_from_the_docstring() -> None:
    about, meant = make.documentation(Outer)
    assert about == "What stands outside.\n\nOver two paragraphs."
    assert meant == {
        "some": "a | b, and more: of it.",
        "first": "of many.",
        "last": "of many.",
    }


def test_each_class_has_a_table() -> None:
    outer, inner, several = make.sections(Outer, "", "Outside")
    assert outer.splitlines()[:2] == ["## Outside", ""]
    assert [line for line in outer.splitlines() if line.startswith("| `")] == [
        "| `some` | text | required | a \\| b, and more: of it. |",
        "| `first` | whole number | `1_000` | of many. |",
        "| `last` | number | `2.0` | of many. |",
        "| `inner` | table | [below](#inner) | What stands inside. And more of it. |",
        "| `several[]` | list of tables | [these](#the-default-services)"
        " | What stands inside. And more of it. |",
    ]
    assert inner.startswith("## `[inner]`\n\nWhat stands inside. And more of it.\n\n|")
    assert several.startswith("## `[[several]]`\n")
    assert "| `several[].deep` | `true` or `false` | `false` | as " in several


@pytest.mark.parametrize("shape", [Silent, Stale, Malformed])
def test_a_setting_that_is_not_documented_is_an_error(
    shape: type[msgspec.Struct],
) -> None:
    with pytest.raises(make.Undocumented, match=shape.__name__):
        list(make.sections(shape, "", "Wrong"))


def test_that_error_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(make, "Settings", Silent)
    assert make.main([], tmp_path) == 1
    expected = "docs.make: Silent.unsaid is not documented\n"
    assert capsys.readouterr().err == expected
    assert list(tmp_path.iterdir()) == []


def test_all_settings_have_a_row() -> None:
    def keys(shape: type[msgspec.Struct], path: str) -> Iterator[str]:
        for field in msgspec.structs.fields(shape):
            yield f"{path}{field.name}"

    document = make.made()["settings.md"]
    for shape, path in (
        (ConversationSettings, "conversation."),
        (LinesSettings, "lines."),
        (ServiceSettings, "services[]."),
        (Deadlines, "services[].deadlines."),
        (Bounds, "services[].bounds."),
        (Retry, "services[].retry."),
        (Breaking, "services[].breaker."),
    ):
        for key in keys(shape, path):
            assert f"\n| `{key}` | " in document


def test_the_examples_load(tmp_path: Path) -> None:
    documents = [make.made()["settings.md"], (ROOT / "README.md").read_text("utf-8")]
    examples = [example for document in documents for example in blocks(document)]
    assert len(examples) == 3
    for example in examples:
        file = tmp_path / "supportbot.toml"
        file.write_text(example, "utf-8")
        load(str(file), {})


def test_the_default_services_are_those_that_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "supportbot.toml"
    file.write_text(blocks(make.made()["settings.md"])[-1], "utf-8")
    assert load(str(file), {}).services == DEFAULT_SERVICES


def test_the_variables_that_are_shown_change_something() -> None:
    document = make.made()["settings.md"]
    variables = re.findall(r"`(SUPPORTBOT_\w+__\w+)=(\S+)`", document)
    assert len(variables) == 7
    for name, value in variables:
        assert load(None, {name: value}) != Settings()


# What goes wrong


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_customers_read_is_in_the_table(kind: type[errors.ServiceError]) -> None:
    assert f"| {kind.told} | " in FAULTS
    assert f"| {kind.again} | " in FAULTS


@pytest.mark.parametrize(
    "error",
    [
        errors.ServiceRefused(503),
        errors.ServiceRefused(429),
        errors.ServiceRefused(404),
        errors.ServiceTimedOut("idle", Deadlines().idle),
        errors.AnswerEmpty(),
        errors.ByteRepeated(0x30, Bounds().repeated),
        errors.ParagraphTooLong(Bounds().paragraph),
        errors.BodyTooLong(Bounds().body),
        errors.NoProgress(Deadlines().progress),
    ],
    ids=repr,
)
def test_each_row_is_as_the_error_says(error: errors.ServiceError) -> None:
    (row,) = [line for line in FAULTS.splitlines() if f": {error}` |" in line]
    _, told, again, breaker, log = row.strip("| ").split(" | ")
    assert told == error.told
    assert again == (error.again if error.transient else "no")
    assert breaker == ("counts" if error.trips else "no")
    assert f"`{type(error).__name__}: {error}`" in log


def test_the_classes_in_the_log_exist() -> None:
    logged = set(re.findall(r"\| `([A-Z]\w+): ", FAULTS))
    assert logged <= {kind.__name__ for kind in KINDS}
    assert len(logged) > 8


@pytest.mark.parametrize(
    "error",
    [
        errors.MessageTooLong(ConversationSettings().message),
        errors.TooManyWaiting(ConversationSettings().queue),
        errors.ConversationClosed(),
    ],
    ids=repr,
)
def test_what_is_said_to_messages_that_are_not_taken(error: errors.BadRequest) -> None:
    assert f"| {error} | " in FAULTS


def test_what_is_quoted_stands_in_the_program() -> None:
    program = "".join(
        path.read_text("utf-8") for path in (ROOT / "supportbot").rglob("*.py")
    )
    for line in (
        "Something went wrong on our side; please ask again.",
        "Something went wrong on our side; this chat has to end.",
        "Your message could not be stored; please send it again.",
        "Too many people are asking at the moment; please try again later.",
        "We are closing for a while; please come back later.",
        "Nothing was said for long; good-bye.",
        "supportbot: the output can't be written",
        "something went wrong on our side; see the log",
        "answering with ",
        "storing a message",
        "the chat of a line client",
        "line client refused: ",
        "(stopped)",
    ):
        assert line in program
        assert line in FAULTS


# The house


def test_each_module_has_its_room() -> None:
    rooms = set(
        re.findall(r"`((?:supportbot|twisted)/[\w/.]+|main\.py)`", ARCHITECTURE)
    )
    assert [room for room in rooms if not (ROOT / room).exists()] == []
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "supportbot").rglob("*.py")
        if path.name != "__init__.py"
    }
    packages = tuple(room for room in rooms if room.endswith("/"))
    assert [m for m in modules - rooms if not m.startswith(packages)] == []


def test_the_house_fits_on_some_pages() -> None:
    assert len(ARCHITECTURE.splitlines()) <= 150


def test_the_numbers_are_the_defaults() -> None:
    deadlines, bounds, retry, breaking = Deadlines(), Bounds(), Retry(), Breaking()
    lines, conversation = LinesSettings(), ConversationSettings()
    service = DEFAULT_SERVICES[0]
    for document, phrases in (
        (
            ARCHITECTURE,
            (
                f"more than {bounds.repeated} times in a row",
                f"body passes {bounds.body // 1024} KiB",
                f"passes {bounds.paragraph:,} characters",
                f"no byte came for {deadlines.idle:g} s",
                f"finished for {deadlines.progress:g} s",
                f"or {deadlines.total:g} s have passed",
                f"Up to {retry.attempts} within {retry.budget:g} s",
                f"pauses of {retry.first:g} s, doubling up to {retry.most:g} s",
                f"up to {retry.retry_after:g} s with",
                f"After {breaking.failures} failures in a row",
                f"left alone for {breaking.rest:g} s",
                f"which is {service.at_once} for",
                f"wait up to {service.turn:g} s",
            ),
        ),
        (
            FAULTS,
            (
                f"no connection within {deadlines.connect:g} s, no headers within"
                f" {deadlines.headers:g} s, no byte of the body for {deadlines.idle:g}"
                f" s, no end within {deadlines.total:g} s",
                f"taken {retry.budget:g} s",
                f"more than {bounds.repeated} times in a row inside",
                f"more than {bounds.paragraph:,} characters",
                f"more than {bounds.body // 1024} KiB",
                f"no paragraph ends for {deadlines.progress:g} s",
                f"more than {bounds.head // 1024} KiB of headers",
                f"more than {bounds.envelope // 1024} KiB around",
                f"no turn within {service.turn:g} s",
                f"alone, for {breaking.rest:g} s after {breaking.failures} failures in",
                f"asked up to {retry.attempts} times within {retry.budget:g} s",
                f"pauses of {retry.first:g} s that double up to {retry.most:g} s",
                f"longer, up to {retry.retry_after:g} s",
                f"heard of it for {retry.slow:g} s",
                f"limit of {conversation.queue}:",
                f"when {lines.high_water} do, nothing is read",
                f"longer than {lines.line:,} bytes",
                f"takes nothing for {lines.stall:g} s",
                f"silent for {lines.idle / 60:g} min",
                f"more than {lines.connections:,} TCP clients, or {lines.per_address}",
                f"answers under way have {lines.drain:g} s to end",
            ),
        ),
    ):
        flowing = " ".join(document.split())
        assert [phrase for phrase in phrases if phrase not in flowing] == []


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        assert (page.parent / file).exists(), target
        assert file or anchor in anchors, target
