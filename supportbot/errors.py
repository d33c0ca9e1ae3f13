"""Everything that goes wrong and has a name.

    SupportBotError
    ├── SettingsError             the operator wrote something we can't run with
    ├── BadRequest                the customer's message can't be taken
    │   ├── MessageEmpty, MessageTooLong
    │   ├── MessageIdTaken
    │   ├── TooManyWaiting, TooOften
    │   ├── AnsweredElsewhere, ConversationBusy
    │   └── ConversationClosed
    │       └── ConversationErased
    ├── StoreError                a transcript could not be written or read
    │   ├── TranscriptMoved       somebody else has written to it
    │   └── TranscriptGone        somebody has erased it
    ├── StoreUnusable             the operator named a database that we can't work with
    └── ServiceError              a service did not answer as it should
        ├── ServiceUnreachable    refused, unknown host, broken TLS
        ├── ServiceTimedOut       silent while connecting, before or inside the body
        ├── ServiceRefused        a status that is not 200
        │   └── ModelRefused          a language model's, with a code
        ├── AnswerLimited         a limit of ours; the outcome is `refused`
        │   └── AnswerWithheld        a rule of the model's maker
        ├── AnswerUnfinished      the model stopped in mid-answer, as long as it may be
        ├── ToolsMisused          the model calls what it can't, again and again
        ├── CallRefused           a JSON-RPC error in the place of a result
        ├── CallLost              nobody knows whether the service did what it was to do
        ├── ServiceBusy           our own queue in front of it took too long
        ├── ServiceResting        its breaker is open
        ├── BodyBroken            the body is not what the format promises
        │   ├── BodyCut           it ended too early
        │   └── AnswerUnusable    it will be the same next time: wrong type, no field
    │       └── AnswerEmpty   it is whole, and says nothing
        └── BodyRunaway           it goes on and on
            ├── ByteRepeated, TextRepeated, BodyTooLong, ParagraphTooLong
            └── NoProgress

`str(error)` is for the operator. What a customer reads is `told` (the end of the
matter) and `again` (another attempt follows); `{service}` in them is filled in with
the service's title. Neither ever holds text that came from outside.
"""

from __future__ import annotations

from typing import ClassVar


class SupportBotError(Exception):
    """The root of all our errors."""


class SettingsError(SupportBotError):
    """A setting that can't be used.

    Attributes:
        source: the file, environment variable or flag that holds it.
        key: the setting's path, such as `services[0].url`; empty for the whole source.
        expected: what would have been right.
    """

    def __init__(self, source: str, key: str, expected: str) -> None:
        where = f"{source}: {key}" if key else source
        super().__init__(f"{where}: {expected}")
        self.source, self.key, self.expected = source, key, expected


class BadRequest(SupportBotError):
    """A message that is not taken; `str()` of it is what the customer reads.

    Attributes:
        field: which part of the request is meant.
    """

    field: ClassVar[str] = "message"


class MessageEmpty(BadRequest):
    """Nothing but white space."""

    def __init__(self) -> None:
        super().__init__("The message is empty.")


class MessageTooLong(BadRequest):
    """More characters than the limit allows."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"That message is longer than {limit:,} characters; please shorten it."
        )
        self.limit = limit


class TooManyWaiting(BadRequest):
    """The conversation's queue is full."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} messages are still waiting for their answers;"
            " please send this one again later."
        )
        self.limit = limit


class TooOften(BadRequest):
    """More within a time than a limit allows.

    Attributes:
        seconds: until it may be tried again.
    """

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"There were too many {what}; please wait a moment.")
        self.seconds = seconds


class MessageIdTaken(BadRequest):
    """The same id came with another text."""

    field = "message_id"

    def __init__(self) -> None:
        super().__init__("This id was used for another message; choose a new one.")


class AnsweredElsewhere(BadRequest):
    """Another process of ours is answering in this conversation."""

    def __init__(self) -> None:
        super().__init__(
            "An earlier message is just being answered; please send this one again."
        )


class ConversationBusy(BadRequest):
    """The conversation is being reset."""

    def __init__(self) -> None:
        super().__init__(
            "This conversation is just being reset; please send this again."
        )


class ConversationClosed(BadRequest):
    """Nothing can be said any more."""

    def __init__(
        self, told: str = "This conversation has ended; please start a new one."
    ) -> None:
        super().__init__(told)


class ConversationErased(ConversationClosed):
    """Nothing is left of it."""

    def __init__(self) -> None:
        super().__init__("This conversation was deleted; please start a new one.")


class StoreError(SupportBotError):
    """A transcript could not be written or read; the same may succeed later."""


class TranscriptMoved(StoreError):
    """The transcript has events that we did not know of when we wrote to it."""


class TranscriptGone(StoreError):
    """The conversation was erased: nothing is added to it any more."""

    def __init__(self) -> None:
        super().__init__("the conversation was erased")


class StoreUnusable(SupportBotError):
    """A database that can't be worked with before the operator has done something."""


class ServiceError(SupportBotError):
    """A service did not answer as it should.

    Attributes:
        transient: whether another attempt may fare better.
        trips: whether it counts towards opening the service's breaker. A flood in
            mid-answer is a known illness of some services and never does.
        refused: whether it was a limit or a rule, and not the service, that ended it.
        told: the customer's line when this is the end of the matter.
        again: the customer's line when another attempt follows.
    """

    transient: bool = True
    trips: bool = False
    refused: ClassVar[bool] = False
    told: str = "The {service} could not finish its answer."
    again: ClassVar[str] = "The {service} broke off; asking again…"


class ServiceUnreachable(ServiceError):
    """No connection: refused, no such host, TLS not trusted."""

    trips = True
    told = "The {service} can't be reached at the moment."
    again = "The {service} can't be reached; trying again…"


class ServiceTimedOut(ServiceError):
    """A deadline passed.

    Attributes:
        phase: `connect`, `headers`, `idle`, `total`, or `budget`, which is that of all
            attempts together and no fault of the last.
        seconds: the deadline.
    """

    trips = True
    told = "The {service} takes too long to answer."
    again = "The {service} does not react; asking again…"

    def __init__(self, phase: str, seconds: float) -> None:
        super().__init__(f"{phase} deadline of {seconds:g} s passed")
        self.phase, self.seconds = phase, seconds
        self.trips = phase != "budget"


class ServiceRefused(ServiceError):
    """The status is not 200.

    Attributes:
        status: as the service sent it.
        retry_after: seconds it asked us to wait, or None.
    """

    told = "The {service} does not accept questions at the moment."
    again = "The {service} is having trouble; asking again…"

    def __init__(self, status: int, retry_after: float | None = None) -> None:
        super().__init__(f"status {status}")
        self.status, self.retry_after = status, retry_after
        self.transient = status in {408, 425, 429} or status >= 500
        self.trips = status >= 500


class ModelRefused(ServiceRefused):
    """A language model's server does not take the question.

    Attributes:
        code: as it named the reason, such as `invalid_api_key`; empty if it did not.
    """

    def __init__(
        self, status: int, code: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(status, retry_after)
        self.args = (f"status {status} {code}".rstrip(),)
        self.code = code
        if code == "insufficient_quota":
            self.transient = False


class AnswerLimited(ServiceError):
    """The answer would take more than one may.

    Attributes:
        limit: which of the settings.
    """

    transient = False
    refused = True
    told = "This is as far as the {service} can go."

    def __init__(self, limit: str) -> None:
        super().__init__(f"limit {limit} reached")
        self.limit = limit


class AnswerWithheld(AnswerLimited):
    """The model's maker does not let it say this."""

    told = "The {service} can't answer this."

    def __init__(self) -> None:
        super().__init__("content_filter")


class AnswerUnfinished(ServiceError):
    """The model has written as much as it may at a time, and was not done."""

    transient = False
    told = "The {service} could not finish its answer: it became too long."

    def __init__(self) -> None:
        super().__init__("the answer became too long")


class ToolsMisused(ServiceError):
    """The model calls tools that there are not, or with arguments that don't fit."""

    transient = False
    told = "The {service} could not find a way to do this."

    def __init__(self, mistakes: int) -> None:
        super().__init__(f"{mistakes} calls of tools that can't be made")


# Of JSON-RPC: found to be wrong before anything was done. -32603 and the servers' own
# codes may come from the middle of it.
_INTERNAL, _NOT_DONE = (
    -32603,
    frozenset({-32700, *range(-32602, -32599), *range(-32022, -32019)}),
)


class CallRefused(ServiceError):
    """A JSON-RPC error. What it says in words may repeat arguments, so it is not kept.

    Attributes:
        code: of JSON-RPC.
        status: of HTTP.
        done: whether something can have been done all the same.
    """

    told = "The {service} did not accept this."
    again = "The {service} is having trouble; asking again…"

    def __init__(self, code: int, status: int = 200) -> None:
        super().__init__(f"JSON-RPC error {code}")
        self.code, self.status = code, status
        self.transient = code == _INTERNAL
        self.done = not (code in _NOT_DONE or 400 <= status < 500)


class CallLost(ServiceError):
    """The request may have arrived, and its answer did not: never ask again blindly."""

    transient = False
    trips = True
    told = "Nobody could tell whether the {service} has done this."


class ServiceBusy(ServiceError):
    """No turn came within the time a question may wait for one."""

    transient = False
    told = "The {service} has too many questions waiting."

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no turn within {seconds:g} s")


class ServiceResting(ServiceError):
    """The breaker is open: the service failed again and again.

    Attributes:
        seconds: until it is tried again.
    """

    transient = False
    told = "The {service} is out of order at the moment."

    def __init__(self, seconds: float) -> None:
        super().__init__(f"left alone for another {seconds:.1f} s")
        self.seconds = seconds


class BodyBroken(ServiceError):
    """The body is not what its format promises."""

    told = "The {service} sent an answer that can't be read."
    again = "The {service} sent something unreadable; asking again…"


class BodyCut(BodyBroken):
    """The body ended before its format says that it is whole."""

    told = "The {service} broke off in the middle of its answer."
    again = "The {service} broke off; asking again…"


class AnswerUnusable(BodyBroken):
    """The same question would bring the same useless body: no use in asking again."""

    transient = False


class AnswerEmpty(AnswerUnusable):
    """The answer is whole, and there is nothing in it."""

    told = "The {service} gave an empty answer."

    def __init__(self) -> None:
        super().__init__("the answer has no text")


class BodyRunaway(ServiceError):
    """The body goes on without getting anywhere."""

    told = "The {service} got stuck in the middle of its answer."
    again = "The {service} got stuck; asking again…"


class ByteRepeated(BodyRunaway):
    """One byte came more often in a row than honest text has it.

    Attributes:
        byte: its value.
        limit: the most that are allowed in a row.
    """

    def __init__(self, byte: int, limit: int) -> None:
        super().__init__(f"byte 0x{byte:02x} came more than {limit} times in a row")
        self.byte, self.limit = byte, limit


class TextRepeated(BodyRunaway):
    """A phrase came more often in a row than honest text has it.

    Attributes:
        limit: the most that are allowed in a row.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f"a phrase came more than {limit} times in a row")
        self.limit = limit


class BodyTooLong(BodyRunaway):
    """The body outgrew its limit in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is longer than {limit} bytes")
        self.limit = limit


class ParagraphTooLong(BodyRunaway):
    """A paragraph outgrew its limit in characters."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"a paragraph is longer than {limit} characters")
        self.limit = limit


class NoProgress(BodyRunaway):
    """Bytes came, but no paragraph was finished in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no paragraph was finished within {seconds:g} s")
        self.seconds = seconds
