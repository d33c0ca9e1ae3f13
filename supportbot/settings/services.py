"""The settings of services, and how patient we are with them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from supportbot.settings.shapes import Count, Seconds, Shape, Size, is_http


class Deadlines(Shape, frozen=True):
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


class Bounds(Shape, frozen=True):
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


class Retry(Shape, frozen=True):
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


class Breaking(Shape, frozen=True):
    """When a service is left alone.

    Attributes:
        failures: so many in a row open the breaker.
        rest: seconds until one question may try again.
    """

    failures: Count = 5
    rest: Seconds = 20.0


class ServiceSettings(Shape, frozen=True):
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
        if not is_http(self.url):
            raise ValueError(
                "expected url to be http://HOST[:PORT]/PATH or https://…, in ASCII"
            )


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
