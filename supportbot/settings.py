"""The settings: their shape, their defaults, and where they come from.

A TOML file, then environment variables, then flags; the later wins. A variable is
named by the setting's path, as in `SUPPORTBOT_CONVERSATION__QUEUE=5`; a service is
named by its name, as in `SUPPORTBOT_SERVICES__PRODUCT_INFO__URL=http://…`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from supportbot.errors import SettingsError

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Size = Annotated[int, msgspec.Meta(ge=1)]

_PREFIX = "SUPPORTBOT_"
_CUSTOMARY = {
    "DATABASE_URL": "transcripts__database",
    "SUPPORTBOT_ADMIN_TOKEN": "http__admin_token",
}
"""Names of variables that everybody knows, and the settings that they mean."""


class _Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all settings share: immutable, by name, no unknown keys."""


class Deadlines(_Shape, frozen=True):
    """How long one attempt may take. The default services need about 10 s.

    Attributes:
        connect: until the connection stands.
        headers: until the response's headers are in, connecting included.
        idle: between two pieces of the body.
        progress: between two finished paragraphs. A service that answers in one
            long paragraph gives it only at its end.
        total: for the whole attempt.
    """

    connect: Seconds = 3.0
    headers: Seconds = 5.0
    idle: Seconds = 5.0
    progress: Seconds = 15.0
    total: Seconds = 30.0


class Bounds(_Shape, frozen=True):
    """How much one attempt may bring.

    Attributes:
        head: bytes of status line and headers.
        body: bytes of the body.
        paragraph: characters of one paragraph.
        envelope: bytes of the body outside the answer's field.
        repeated: how often one byte may come in a row. Longer than any rule of
            dashes, shorter than the first kilobyte of a flood.
    """

    head: Size = 64 * 1024
    body: Size = 256 * 1024
    paragraph: Size = 32 * 1024
    envelope: Size = 64 * 1024
    repeated: Annotated[int, msgspec.Meta(ge=2)] = 512


class Retry(_Shape, frozen=True):
    """How often a question is asked again.

    Attributes:
        attempts: in all. A service that fails half of the time answers 99.9999 % of
            all questions within 20.
        budget: seconds for all attempts together.
        first, most: seconds of back-off after the first failure, doubling up to most.
        retry_after: the longest wait, in seconds, that a service may ask for.
        slow: seconds without a word after which the customer is told so.
    """

    attempts: Count = 20
    budget: Seconds = 120.0
    first: Seconds = 0.25
    most: Seconds = 4.0
    retry_after: Seconds = 30.0
    slow: Seconds = 12.0


class Breaking(_Shape, frozen=True):
    """When a service is left alone.

    Attributes:
        failures: so many in a row open the breaker.
        rest: seconds until one question may try again.
    """

    failures: Count = 5
    rest: Seconds = 20.0


class ServiceSettings(_Shape, frozen=True):
    """One service.

    Attributes:
        name: in transcripts and logs.
        title: in words to customers; `NAME service` where it is not given.
        intent: whole words, any case, that ask for it.
        url: where it listens, over http or https.
        kind: `http-stream` posts the message and reads `field` as paragraphs;
            `http-text` gets one line of plain text.
        field: of the JSON object that `http-stream` answers with.
        person: whether it is the way to a person, for customers of one that fails.
        example: a message that it can answer.
        topics: names that it knows, in its own spelling.
        suggest: whether a message that names none of them gets the closest ones.
        at_once: how many questions it is asked at a time; 1 for services that can't
            answer two clients side by side, as the default ones.
        turn: seconds that a question may wait for its turn.
        ca_file: PEM file with the authorities trusted for https; the system's when
            not given.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*\Z")]
    intent: Annotated[str, msgspec.Meta(pattern=r"\w")]
    url: str
    kind: Literal["http-stream", "http-text"] = "http-stream"
    title: str = ""
    field: str = "response"
    person: bool = False
    example: str = ""
    topics: tuple[str, ...] = ()
    suggest: bool = False
    at_once: Count = 64
    turn: Seconds = 120.0
    ca_file: str | None = None
    deadlines: Deadlines = Deadlines()
    bounds: Bounds = Bounds()
    retry: Retry = Retry()
    breaker: Breaking = Breaking()

    def __post_init__(self) -> None:
        if not self.title:
            msgspec.structs.force_setattr(self, "title", f"{self.name} service")
        if not _is_http(self.url):
            raise ValueError(
                "expected url to be http://HOST[:PORT]/PATH or https://…, in ASCII"
            )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and parts.port != 0  # raises ValueError if it is no port at all
            and parts.username is None
            and url.isascii()
            and url.isprintable()
            and " " not in url
        )
    except ValueError:
        return False


class ConversationSettings(_Shape, frozen=True):
    """What one conversation may hold.

    Attributes:
        message: characters of one message.
        queue: messages that wait for an answer.
        batch: events that a follower reads at a time.
        followers: who may follow it at a time, over HTTP.
        kept: conversations that stay in memory although nobody follows them and
            nothing is under way; the others are read from the transcripts again.
    """

    message: Size = 4_000
    queue: Count = 100
    batch: Count = 64
    followers: Count = 20
    kept: Count = 1_000


class LinesSettings(_Shape, frozen=True):
    """Line clients, on the terminal and over TCP.

    Attributes:
        line: bytes of one line.
        high_water: lines read ahead; then the client is not read from for a while.
        prompt: what a TCP client sees when it may type.
        idle: seconds after which a silent TCP client is told good-bye.
        stall: seconds after which a TCP client that does not read is dropped.
        connections: TCP clients at a time.
        per_address: of them from one address.
    """

    line: Size = 16 * 1024
    high_water: Annotated[int, msgspec.Meta(ge=2)] = 64
    prompt: str = "> "
    idle: Seconds = 1_800.0
    stall: Seconds = 30.0
    connections: Count = 1_000
    per_address: Count = 50


class TranscriptsSettings(_Shape, frozen=True):
    """Where transcripts live, and for how long.

    Attributes:
        database: `sqlite:///PATH`, `postgresql+psycopg://USER@HOST/NAME`, or `memory`.
            When not given, the service keeps them in `transcripts.db` in the user's
            state folder, and the terminal chat in memory. `DATABASE_URL` and
            `--database` name it too.
        retention: days after which a conversation is erased in which nothing was said
            since; for ever when not given.
        patience: seconds for which a database that is locked or gone is tried again
            before the customer is told.
    """

    database: str | None = None
    retention: Annotated[float, msgspec.Meta(gt=0)] | None = None
    patience: Seconds = 5.0


class HttpSettings(_Shape, frozen=True):
    """The HTTP API.

    Attributes:
        hosts: names in the `Host` header that are served, besides `localhost` and
            addresses in digits.
        origins: web pages of other origins, such as `https://shop.example`, that may
            call the API (CORS); `*` for all.
        proxies: addresses of reverse proxies. Their `X-Forwarded-For` names the client,
            and limits per address don't hold for themselves.
        admin_token: what operators send as `Authorization: Bearer TOKEN`, in
            `SUPPORTBOT_ADMIN_TOKEN`; without one, what is theirs is closed.
        chosen_ids: whether clients may choose the ids of their sessions.
        head: bytes of a request's first line and headers.
        headers: how many of them.
        body: bytes of a request's body.
        head_time: seconds until a request's headers are in.
        body_time: seconds until its body is in.
        idle: seconds that a connection may wait for another request.
        stall: seconds after which a client that does not read is dropped.
        heartbeat: the most seconds of silence in a stream; in the beginning, less.
        connections: at a time; never more than descriptors allow.
        per_address: of them from one address.
        messages: a minute, in one session.
        address_messages: a minute, from one address.
        address_sessions: that one address may open an hour.
    """

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    admin_token: str | None = None
    chosen_ids: bool = True
    head: Annotated[int, msgspec.Meta(ge=1024, le=64 * 1024)] = 16 * 1024
    headers: Count = 64
    body: Size = 64 * 1024
    head_time: Seconds = 10.0
    body_time: Seconds = 30.0
    idle: Seconds = 60.0
    stall: Seconds = 30.0
    heartbeat: Annotated[float, msgspec.Meta(ge=1)] = 10.0
    connections: Count = 10_000
    per_address: Count = 50
    messages: Count = 120
    address_messages: Count = 600
    address_sessions: Count = 200


class WebSocketSettings(_Shape, frozen=True):
    """The WebSocket API. Its connections count as those of `http`, with their limits.

    Attributes:
        message: bytes of one message, after inflating.
        frames: a second, from one client.
        nonsense: messages a minute that may lead nowhere: they are none of ours, or ask
            for a session to go on that there is not.
        sessions: on one connection at a time.
        grace: seconds for which the sessions of a lost connection can be resumed; with
            0 they are closed with it.
        ping: seconds from one sign of life that is asked for to the next.
        pong: seconds that the client gets for it.
        idle: seconds after which a connection is closed on which nothing is said.
        compression: whether messages may be compressed, where the client offers it.
        system_messages: whether clients may give the language model instructions, for
            their own sessions; if not, these are ignored.
    """

    message: Annotated[int, msgspec.Meta(ge=1024)] = 64 * 1024
    frames: Count = 200
    nonsense: Count = 100
    sessions: Count = 20
    grace: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    ping: Seconds = 20.0
    pong: Seconds = 20.0
    idle: Seconds = 1_800.0
    compression: bool = True
    system_messages: bool = True


DEFAULT_SERVICES = (
    ServiceSettings(
        name="real-agent",
        title="real agent",
        intent="real person",
        at_once=1,
        kind="http-text",
        person=True,
        url="http://localhost:8083/",
        example="I would like to speak with a real person please.",
    ),
    ServiceSettings(
        name="product-info",
        title="product service",
        intent="product question",
        suggest=True,
        at_once=1,
        url="http://localhost:8082/",
        field="product_info",
        example="I have a product question about Antigravity Socks",
        topics=(
            "Space Basketball",
            "Quantum Coffee Maker",
            "Telepathic Toaster",
            "Antigravity Socks",
            "Time Travel Alarm Clock",
        ),
    ),
    ServiceSettings(
        name="tech-support",
        title="support service",
        intent="help",
        at_once=1,
        url="http://localhost:8081/",
        field="response",
        example="I need help with my product. It has a flashing red light.",
        topics=("flashing red light", "device not responding"),
    ),
)
"""The services of the challenge; the most explicit intent stands first."""


class Settings(_Shape, frozen=True):
    """All settings.

    Attributes:
        services: in the order in which their intents win.
        drain: seconds that answers under way get at shutdown.
    """

    services: tuple[ServiceSettings, ...] = DEFAULT_SERVICES
    conversation: ConversationSettings = ConversationSettings()
    lines: LinesSettings = LinesSettings()
    http: HttpSettings = HttpSettings()
    websocket: WebSocketSettings = WebSocketSettings()
    transcripts: TranscriptsSettings = TranscriptsSettings()
    drain: Seconds = 25.0

    def __post_init__(self) -> None:
        names = [service.name for service in self.services]
        if len(set(names)) < len(names):
            raise ValueError("expected every service to have a name of its own")


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


def _convert(tree: dict[str, Any], source: str, *, strict: bool) -> Settings:
    try:
        return msgspec.convert(tree, Settings, strict=strict)
    except msgspec.ValidationError as error:
        expected, _, key = str(error).partition(" - at `$")
        expected = re.sub(r"^Object ", "", expected).replace("`", "")
        key = key.rstrip("`").lstrip(".")
        expected = expected[:1].lower() + expected[1:]
        raise SettingsError(source, key, expected) from error
