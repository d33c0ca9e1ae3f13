"""The settings of the assistant: the language model, and what it may cost."""

from __future__ import annotations

from typing import Annotated

import msgspec

from supportbot.settings.services import Bounds, Breaking, Deadlines, Retry
from supportbot.settings.shapes import Count, Seconds, Shape, Size, is_http

Dollars = Annotated[float, msgspec.Meta(ge=0)]

OPENAI = "https://api.openai.com/v1"


class AssistantLimits(Shape, frozen=True):
    """What one answer, one conversation and one day may take.

    Attributes:
        rounds: questions to the model for one answer; it asks for tools in all but the
            last.
        calls: of tools, for one answer.
        mistakes: calls of tools that can't be made, for one answer: no such tool, or
            arguments that don't fit.
        seconds: for one answer.
        reply_tokens: read and written for one answer.
        reply_cost: dollars for one answer.
        conversation_tokens: read and written in one conversation.
        conversation_cost: dollars for one conversation.
        day_cost: dollars that this process may spend within 24 hours; no limit when
            not given.
    """

    rounds: Count = 6
    calls: Count = 16
    mistakes: Count = 3
    seconds: Seconds = 180.0
    reply_tokens: Size = 60_000
    reply_cost: Dollars = 0.10
    conversation_tokens: Size = 500_000
    conversation_cost: Dollars = 1.00
    day_cost: Dollars | None = None


class AssistantSettings(Shape, frozen=True):
    """The language model that answers what no intent is found in.

    It is asked where there is a key for it, or another `url` than the default.

    Attributes:
        title: in words to customers.
        url: of an API that is compatible with OpenAI's; `OPENAI_BASE_URL`.
        api_key: for it; `OPENAI_API_KEY`.
        model: which answers; `OPENAI_MODEL`.
        models: others that clients of the WebSocket API may ask for.
        shop: whom it works for, as it tells customers.
        rules: what it is told besides how to behave, such as hours and policies.
        prompt: all that it is told, in place of our own words; `{shop}` and `{rules}`
            are filled in.
        explain: whether customers are told what is wrong with these settings, such as
            a key that is not taken; `--assistant` does, since it is the operator's
            own chat.
        temperature: of its answers, 0 to 2; the model's own when not given.
        window: tokens that it can read, the answer included.
        answer: tokens that it may write at a time.
        tool_result: characters of a tool's result that it reads.
        input_price, output_price: dollars for a million tokens read, and written.
        at_once: how many questions it is asked at a time.
        turn: seconds that a question may wait for its turn.
        ca_file: PEM file with the authorities trusted for https; the system's when
            not given.
        repeated: how often it may write the same phrase in a row.
    """

    title: str = "assistant"
    url: str = OPENAI
    api_key: str | None = None
    model: Annotated[str, msgspec.Meta(min_length=1)] = "gpt-4o-mini"
    models: tuple[str, ...] = ()
    shop: str = "our shop"
    rules: str = ""
    prompt: str = ""
    explain: bool = False
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    window: Annotated[int, msgspec.Meta(ge=2_000)] = 16_000
    answer: Annotated[int, msgspec.Meta(ge=100)] = 1_000
    tool_result: Annotated[int, msgspec.Meta(ge=200)] = 6_000
    input_price: Dollars = 0.15
    output_price: Dollars = 0.60
    at_once: Count = 64
    turn: Seconds = 30.0
    ca_file: str | None = None
    repeated: Annotated[int, msgspec.Meta(ge=3)] = 20
    limits: AssistantLimits = AssistantLimits()
    deadlines: Deadlines = Deadlines(headers=20.0, idle=20.0, progress=20.0, total=90.0)
    bounds: Bounds = Bounds(body=8 * 1024 * 1024)
    retry: Retry = Retry(attempts=3, budget=90.0, first=0.5, most=8.0)
    breaker: Breaking = Breaking()

    def __post_init__(self) -> None:
        if not is_http(self.url):
            raise ValueError(
                "expected url to be http://HOST[:PORT]/PATH or https://…, in ASCII"
            )
        if self.api_key is not None and not (
            self.api_key.isascii() and self.api_key.isprintable()
        ):
            raise ValueError("expected api_key to be visible ASCII characters")
        if self.window < 2 * self.answer:
            raise ValueError("expected window to be at least twice as large as answer")

    @property
    def available(self) -> bool:
        """Whether there is a model to ask."""
        return bool(self.api_key) or self.url != OPENAI
