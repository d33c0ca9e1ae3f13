"""The documents say what the program does."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from docs import make
from supportbot import errors
from supportbot.channels.websocket.api import _REACTS
from supportbot.channels.websocket.deflate import _WORTH
from supportbot.channels.websocket.frames import Close
from supportbot.channels.websocket.shapes import Action, Sent
from supportbot.docstrings import Undocumented, documentation
from supportbot.events import (
    CustomerLoggedOut,
    CustomerVerified,
    Event,
    ModelAsked,
    OrderProposed,
    OrderSent,
    OrderSettled,
    ToolCalled,
)
from supportbot.identity import FRESH
from supportbot.metrics import Metrics
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
    Retry,
    ServiceSettings,
    Settings,
    ShopSettings,
    TranscriptsSettings,
    WebSocketSettings,
    load,
)
from supportbot.transcripts.faults import _POSTGRESQL, _SQLITE
from supportbot.transcripts.servers import LEASE, REFRESH
from tests import nginx

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
ASSISTANT = (DOCS / "assistant.md").read_text("utf-8")
ARCHITECTURE = (DOCS / "architecture.md").read_text("utf-8")
FAULTS = (DOCS / "faults.md").read_text("utf-8")
HTTP = (DOCS / "http.md").read_text("utf-8")
OPERATING = (DOCS / "operating.md").read_text("utf-8")
WEBSOCKET = (DOCS / "websocket.md").read_text("utf-8")
CHAT = ROOT / "supportbot" / "assets" / "chat"
MODULE = re.compile(r"`([a-z-]+\.js)`")
IMPORTED = re.compile(r'^(?:import|\}) .*"\./(.*)";$', re.MULTILINE)
KINDS: list[type[errors.ServiceError]] = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.ServiceError)
]


PROGRAM = re.sub(  # its texts in one piece
    r'"\n\s+f?"',
    "",
    "".join(p.read_text("utf-8") for p in (ROOT / "supportbot").rglob("*.py")),
)


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
    about, meant = documentation(Outer)
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


def test_defaults_are_those_of_the_place() -> None:
    class Place(msgspec.Struct):
        """Holds another.

        Attributes:
            inner: that.
        """

        inner: Inner = Inner(deep=True)

    _, inner = make.sections(Place, "", "Outside")
    assert "| `inner.deep` | `true` or `false` | `true` | as deep" in inner
    document = make.made()["settings.md"]
    idle = AssistantSettings().deadlines.idle
    assert idle != Deadlines().idle
    assert f"| `assistant.deadlines.idle` | number > 0 | `{idle}` | " in document
    assert "`SUPPORTBOT_ASSISTANT__DEADLINES__IDLE=" in document


@pytest.mark.parametrize("shape", [Silent, Stale, Malformed])
def test_a_setting_that_is_not_documented_is_an_error(
    shape: type[msgspec.Struct],
) -> None:
    with pytest.raises(Undocumented, match=shape.__name__):
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
        (HttpSettings, "http."),
        (WebSocketSettings, "websocket."),
        (TranscriptsSettings, "transcripts."),
        (AssistantSettings, "assistant."),
        (AssistantLimits, "assistant.limits."),
        (ShopSettings, "shop."),
        (GuessSettings, "shop.guesses."),
        (ServiceSettings, "services[]."),
        (Deadlines, "services[].deadlines."),
        (Bounds, "services[].bounds."),
        (Retry, "services[].retry."),
        (Breaking, "services[].breaker."),
        (Deadlines, "assistant.deadlines."),
        (Retry, "shop.retry."),
    ):
        for key in keys(shape, path):
            assert f"\n| `{key}` | " in document


def test_the_examples_load(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    documents = [make.made()["settings.md"], readme, OPERATING, ASSISTANT]
    examples = [example for document in documents for example in blocks(document)]
    assert len(examples) == 5
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
    assert len({name for name, _ in variables}) == len(variables) == 23
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
        errors.ModelRefused(401, "invalid_api_key"),
        errors.ModelRefused(429, "rate_limit_exceeded"),
        errors.TextRepeated(AssistantSettings().repeated),
        errors.CallRefused(-32603),
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
        errors.ConversationErased(),
        errors.ConversationBusy(),
        errors.AnsweredElsewhere(),
        errors.MessageIdTaken(),
    ],
    ids=repr,
)
def test_what_is_said_to_messages_that_are_not_taken(error: errors.BadRequest) -> None:
    assert f"| {error} | " in FAULTS


def test_what_is_quoted_stands_in_the_program() -> None:
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
        # the database
        "The end of this answer could not be stored.",
        "What was said can't be shown at the moment; /history may help later.",
        "The conversation could not be erased; please try /clear again.",
        "This answer was interrupted on our side; please ask again.",
        "transcripts can't be written to",
        "transcripts are written again",
        "transcripts are read again",
        "answering a message",
        "not stored or not read:",
        "The rest of this answer can't be shown at the moment. Nothing that was said is"
        " lost; please ask again in a few seconds.",
        "This can't be stored or read at the moment. Nothing that was said is lost;"
        " please send it again in a few seconds.",
        # clients of HTTP
        "This can't be taken just now; please send it again in a few seconds.",
        "This session was deleted; please open a new one.",
        "Too many follow this session already.",
        "Something went wrong on our side.",
        "answering a request",
        "too many connections: ",
        # clients of WebSockets
        "Unable to process the request. Please try again later.",
        "The session is closed. Please start a new session.",
        "Unexpected error occurred. Reason: ",
        "too many frames",
        "too much that leads nowhere",
        "the message is too big",
        "no pong",
        "idle",
        "something went wrong on our side",
        "an answer is not stored:",
        "taking a message of a WebSocket",
        "doing what a client asks for in a session",
        # the assistant
        "This e-mail address and PIN don't belong together.",
        "There were too many tries; please wait ",
        "Logging in is not possible at the moment; please try again soon.",
        "To log in, please give your PIN too.",
        "To log in, please give your e-mail address too.",
        "Nobody can log in in this session: its id was chosen by a client, so others"
        " may know it. Please start a new one, and log in there.",
        "The shop can't take orders at the moment. Nothing was ordered.",
        "To order something, please log in first: send me your e-mail address and your"
        " PIN, then ask for the order again.",
        "The summary was no longer fresh, so nothing is ordered yet.",
        "The price has changed, so nothing is ordered yet.",
        "Your order was not placed: nothing was ordered. If you still want it, please"
        " ask for it again.",
        "I sent this order to the shop, and can't tell yet whether it was placed:",
        "the shop verifies nobody:",
        "the shop's answer to a login is none that we know",
        "the model gets no tools:",
        "the shop has no such tools, or none that can be used:",
        "an order can't be prepared",
        "an order can't be sent",
        "an order was not placed",
        "what came of an order is not known",
        "nobody can tell whether an order was placed",
        "the language model does not answer:",
    ):
        assert line in PROGRAM
        assert line in " ".join(FAULTS.split())


def test_what_the_assistant_says_stands_in_the_program() -> None:
    flowing = " ".join(ASSISTANT.split())
    for line in (
        "Your order is placed:",
        "This would be your order:",
        "Shall I place this order? Please answer yes or no.",
        "You have just ordered the same.",
        "All right, nothing was ordered.",
        "Your order was not placed: nothing was ordered. If you still want it, please"
        " ask for it again.",
        "I sent this order to the shop, and can't tell yet whether it was placed:",
        "Logging in is not possible at the moment; please try again soon.",
        "The shop can't take orders at the moment. Nothing was ordered.",
        "This e-mail address and PIN don't belong together.",
        "There were too many tries; please wait ",
        "The price has changed, so nothing is ordered yet.",
        "✓ Customer verified: ",
    ):
        assert line in PROGRAM
        assert line in flowing


def test_what_the_assistant_ends_with_is_in_its_table() -> None:
    for kind in (
        errors.ModelRefused,
        errors.TextRepeated,
        errors.AnswerWithheld,
        errors.AnswerLimited,
        errors.AnswerUnfinished,
        errors.ToolsMisused,
    ):
        told = kind.told.format(service=AssistantSettings().title)
        outcome = "refused" if kind.refused else "cut"
        assert re.search(rf"\| {re.escape(told)} \| `{outcome}`", ASSISTANT)


def test_what_stands_in_a_transcript_is_shown() -> None:
    (block,) = re.findall(r"^```json\n(.*?)^```$", ASSISTANT, re.DOTALL | re.MULTILINE)
    shown = [msgspec.json.decode(line, type=Event) for line in block.splitlines()]
    assert [msgspec.json.encode(event).decode() for event in shown] == (
        block.splitlines()
    )
    assert {type(event) for event in shown} == {
        ToolCalled,
        ModelAsked,
        CustomerVerified,
        CustomerLoggedOut,
        OrderProposed,
        OrderSent,
        OrderSettled,
    }


def test_each_event_is_explained() -> None:
    for kind in get_args(Event):
        assert f"`{kind.__struct_config__.tag}`" in HTTP


def test_what_clients_of_websockets_are_told_stands_in_the_program() -> None:
    flowing = " ".join(WEBSOCKET.split())
    for line in (
        "The session is not found. Please start a new session.",
        "The session is closed. Please start a new session.",
        "Session with ID {id} not found.",
        "Unexpected error occurred. Reason: {reason}",
        "Unable to process the request. Please try again later.",
        "This answer was interrupted on our side; please ask again.",
        "too many frames",
        "too much that leads nowhere",
        "no pong",
    ):
        assert f'"{line}"' in PROGRAM
        shown = line.replace("{id}", "1234").replace("{reason}", "…")
        assert f"`{shown}`" in flowing


def test_each_message_of_a_websocket_is_explained() -> None:
    for shape in (*get_args(Action), *get_args(Sent)):
        assert f"`{shape.__struct_config__.tag}`" in WEBSOCKET
        for field in msgspec.structs.fields(shape):
            assert re.search(rf'[`"]{field.encode_name}[`"]', WEBSOCKET)


def test_each_close_code_is_explained() -> None:
    rows = re.findall(r"^\| (1[\d, ]+)", WEBSOCKET, re.MULTILINE)
    codes = {int(code) for row in rows for code in re.findall(r"\d{4}", row)}
    assert codes == set(Close) - {Close.NO_CODE}


@pytest.mark.parametrize("document", [FAULTS, OPERATING], ids=["faults", "operating"])
def test_what_ails_a_database_is_told_as_the_log_tells_it(document: str) -> None:
    faults = [*_SQLITE.values(), *_POSTGRESQL.values()]
    known = {f"{fault.reason}; {fault.cure}" for fault in faults}
    told = re.findall(r"`(?:…: )?((?:the|another|no) [^`:]*; [^`…]*)`", document)
    assert len(told) >= 3
    assert [one for one in told if one not in known] == []


# For those who run it


def test_nginx_is_told_what_websockets_need() -> None:
    (place,) = re.findall(r"location = /ws {\n(.*?)\n    }", OPERATING, re.DOTALL)
    lines = {line.strip() for line in place.splitlines()}
    assert {line.strip() for line in nginx.WEBSOCKET.strip().splitlines()} <= lines


def test_each_figure_is_explained() -> None:
    metrics = Metrics()
    metrics.attempt("s", errors.ByteRepeated(0x30, 512))
    application = (ROOT / "supportbot" / "application.py").read_text("utf-8")
    gauges = re.findall(r'gauge\(\s*"(\w+)"', application)
    families = re.findall(rb"# TYPE (supportbot_\w+) ", metrics.exposed())
    named = {f"supportbot_{gauge}" for gauge in gauges}
    named |= {one.decode() for one in families if not one.endswith(b"_created")}
    assert len(named) > 10
    assert set(re.findall(r"^\| `(supportbot_\w+)` ", OPERATING, re.MULTILINE)) == named


def test_each_route_is_explained() -> None:
    api = (ROOT / "supportbot" / "channels" / "http" / "api.py").read_text("utf-8")
    paths = re.findall(r'path="([^"]+)"', api)
    paths += [f"/api/session/{{session_id}}/{what}" for what in ("events", "stop")]
    for path in paths:
        assert path.replace("{session_id}", "{id}") in HTTP


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


def test_the_pages_modules_import_downwards() -> None:
    _, _, section = ARCHITECTURE.partition("\n## The page\n")
    rows = section.partition("\n## ")[0].splitlines()
    floors = {name: -at for at, row in enumerate(rows) for name in MODULE.findall(row)}
    modules = {path.name: path for path in CHAT.glob("*.js")}
    assert floors.keys() == modules.keys()
    for name, path in modules.items():
        for other in IMPORTED.findall(path.read_text("utf-8")):
            assert floors[other] <= floors[name], f"{name} imports {other}"


def test_the_rules_are_kept_where_it_is_said() -> None:
    places = re.findall(r"`(supportbot/[\w/.]+)`", ASSISTANT)
    assert len(places) > 8
    assert [place for place in places if not (ROOT / place).is_file()] == []


def test_the_house_fits_on_some_pages() -> None:
    assert len(ARCHITECTURE.splitlines()) <= 260


def test_the_numbers_are_the_defaults() -> None:
    deadlines, bounds, retry, breaking = Deadlines(), Bounds(), Retry(), Breaking()
    lines, conversation = LinesSettings(), ConversationSettings()
    http, service = HttpSettings(), DEFAULT_SERVICES[0]
    model, shop = AssistantSettings(), ShopSettings()
    limits, guesses = model.limits, shop.guesses
    websocket = WebSocketSettings()
    for document, phrases in (
        (
            ARCHITECTURE,
            (
                f"more than {bounds.repeated} times in a row",
                f"body passes {bounds.body // 1024} KiB",
                f"passes {bounds.paragraph:,} characters",
                f"phrase comes more than {model.repeated} times",
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
                f"asked up to {model.retry.attempts} times within"
                f" {model.retry.budget:g} s, and has longer deadlines:"
                f" {model.deadlines.idle:g} s where it says {deadlines.idle:g} s above,"
                f" and {model.deadlines.total:g} s in all",
                f"phrase more than {model.repeated} times in a row",
                f"fit, more than {limits.mistakes} times",
                f"`{guesses.all_tries} wrong PINs within a minute",
                f"idle deadline of {shop.deadlines.idle:g} s passed",
                f"after {shop.confirm_within / 60:g} min, or prices",
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
                f"answers under way have {Settings().drain:g} s to end",
                f"tried again for {Settings().transcripts.patience:g} s",
                f"dropped after {http.stall:g} s in which",
                f"the head is not in within {http.head_time:g} s or the body within"
                f" {http.body_time:g} s",
                f"closed after {http.idle:g} s",
                f"above {http.head // 1024} KiB or {http.headers} headers, a body above"
                f" {http.body // 1024} KiB",
                f"more than {http.messages} messages a minute in a session, or"
                f" {http.address_messages} from an address; more than"
                f" {http.address_sessions} new",
                f"more than {conversation.followers} followers",
                f"more than {http.connections:,} connections or what descriptors allow,"
                f" or {http.per_address} from",
                f"stored; for {websocket.grace:g} s the",
                f"noticed within {websocket.ping + websocket.pong:g} s",
                f"more than {websocket.frames} frames a second, or more than"
                f" {websocket.nonsense} messages",
                f"more than {websocket.message // 1024} KiB, also",
                f"no pong comes within {websocket.pong:g} s",
                f"says anything for {websocket.idle / 60:g} min",
                f"more than {http.messages} messages a minute in a session, or another",
                f"not finished after {Settings().drain:g} s ends",
            ),
        ),
        (
            ASSISTANT,
            (
                f"`{model.model}` when not given",
                f"a window of {model.window:,} tokens",
                f"anew every {shop.refresh / 60:g} min",
                f"shortened to {model.tool_result:,} characters",
                f"in two within {FRESH / 60:g} min",
                f"wait for {guesses.delay:g} s, then {2 * guesses.delay:g} s",
                f"locks the customer's login for {guesses.lock / 60:g} min",
                f"More than {guesses.session_tries} an hour in a session,"
                f" {guesses.address_tries} from an address, or {guesses.all_tries} a"
                " minute in all",
                f"logged in for {conversation.logged_in / 60:g} min after",
                f"whole numbers from 1 to {shop.most}.",
                f"for {shop.confirm_within / 60:g} min, for the customer",
                f"again within {shop.again / 60:g} min",
                f"questions to the model | {limits.rounds} |",
                f"can't be made | {limits.calls}; {limits.mistakes} |",
                f"seconds | {limits.seconds:g} |",
                f"| {limits.reply_tokens:,} | {limits.conversation_tokens:,} |",
                f"| {limits.reply_cost:.2f} | {limits.conversation_cost:.2f} |",
                f"fit, more than {limits.mistakes} times",
            ),
        ),
        (
            WEBSOCKET,
            (
                f"waits for {websocket.grace:g} s",
                f"after inflating | {websocket.message:,} |",
                f"frames a second | {websocket.frames} |",
                f"that there is not | {websocket.nonsense} |",
                f"on a connection | {websocket.sessions} |",
                f"for a pong | {websocket.ping:g}; {websocket.pong:g} |",
                f"says anything | {websocket.idle:,.0f} |",
                f"may take nothing | {http.stall:g} |",
                f"to the service | {conversation.message:,} |",
                f"wait in a session | {conversation.queue} |",
                f"from {_WORTH // 1024} KiB on",
                f"within {_REACTS:g} s, on another",
            ),
        ),
        (
            HTTP,
            (
                f"or {conversation.logged_in / 60:g} min after the last message",
                f"of a message | {conversation.message:,} |",
                f"wait in a session | {conversation.queue} |",
                f"a minute in a session | {http.messages} |",
                f"a minute from an address | {http.address_messages} |",
                f"an hour from an address | {http.address_sessions} |",
                f"followers of a session | {conversation.followers} |",
                f"and in all | {http.per_address}, {http.connections:,} |",
                f"headers | {http.body:,}, {http.head:,}; {http.headers} |",
                f"requests | {http.head_time:g}, {http.body_time:g}; {http.idle:g} |",
                f"may take nothing | {http.stall:g} |",
                f"then every {http.heartbeat:g} s",
                f"may have {conversation.followers} followers",
            ),
        ),
        (
            OPERATING,
            (
                f"up to {shop.at_once} things at a time",
                f"alone for {shop.breaker.rest:g} s after {shop.breaker.failures}",
                f"`transcripts.patience`, {Settings().transcripts.patience:g} s,",
                f"says every {REFRESH:g} s that it lives; one that was not heard of for"
                f" {LEASE:g} s",
                f"answers under way have `drain`, {Settings().drain:g} s",
                f"above `drain`, {Settings().drain:g} s",
                f"a comment at least every {http.heartbeat:g} s",
                f"are pinged every {websocket.ping:g} s",
            ),
        ),
    ):
        flowing = " ".join(document.split())
        assert [phrase for phrase in phrases if phrase not in flowing] == []


PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        there = page.parent / file if file else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def anchors(page: Path) -> set[str]:
    """What can be linked to in a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
