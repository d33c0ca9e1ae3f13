"""The HTTP API: its route table, and what stands behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from twisted.internet.interfaces import IReactorTime

from supportbot import __version__
from supportbot.channels.http import shapes
from supportbot.channels.http.assets import Assets, serve
from supportbot.channels.http.chat_api import ChatApi
from supportbot.channels.http.customer_api import CustomerApi
from supportbot.channels.http.openapi import document
from supportbot.channels.http.operations import JSON, TEXT, Operation
from supportbot.channels.http.operator_api import OperatorApi
from supportbot.channels.http.pages import Pages, chat_page
from supportbot.channels.http.problems import refused
from supportbot.channels.http.routing import Call, Router
from supportbot.channels.http.welcome import welcome
from supportbot.channels.limits import Allowance
from supportbot.frontdesk import FrontDesk
from supportbot.interfaces import Doorkeeper, Tool, TranscriptStore
from supportbot.metrics import Metrics
from supportbot.settings import PageSettings, Settings

_SESSION = "/api/session/{session_id}"
_ABOUT = (
    "Open a session, say something, and read the answer as it comes. Every finished"
    " paragraph is stored once and has a number, so whoever loses the connection reads"
    " on where it was."
)


def api(
    clock: IReactorTime,
    desk: FrontDesk,
    store: TranscriptStore,
    settings: Settings,
    metrics: Metrics,
    resting: Callable[[], Mapping[str, bool]],
    allowance: Allowance,
    tools: Callable[[], Awaitable[Sequence[Tool]]],
    doorkeeper: Doorkeeper | None,
    more: Sequence[Operation] = (),
) -> Router:
    """The router of the whole API; see `ChatApi`, `CustomerApi` and `OperatorApi`.

    Args:
        more: rows of other channels on the same port.
    """
    chat = ChatApi(clock, desk, settings, allowance, tools)
    customers = CustomerApi(desk, doorkeeper, allowance)
    logged_in = settings.conversation.logged_in
    operator = OperatorApi(clock, desk, store, metrics, resting, logged_in)
    told = welcome(settings, can_log_in=doorkeeper is not None)
    operations = [*table(chat, customers, operator), _welcome(told), *more]
    assets = Assets()
    shown = [*_files(assets, settings.page), *_documentation(assets, operations)]
    return Router([*operations, *shown], settings.http)


def table(
    chat: ChatApi, customers: CustomerApi, operator: OperatorApi
) -> Sequence[Operation]:
    """What the API can do."""
    return (
        Operation(
            method="POST",
            path="/api/chat",
            name="chat",
            answer=chat.chat,
            summary="Say something and get the answer",
            about=(
                "With `stream` the answer comes as server-sent events: a `chunk` for"
                " each finished paragraph, `replace` when the service tells a different"
                " story, `error` when the answer is not complete, and `done` at the"
                " end. Without, the response is sent when the answer is over. A client"
                " that goes away does not stop the answer."
            ),
            body=shapes.ChatRequest,
            headers={
                "Idempotency-Key": "As `message_id`. One with 22 characters or more"
                " finds the session again that the message opened."
            },
            returns=shapes.ChatAnswer,
            streams=shapes.ChatStream,
            problems=(404, 409, 429, 503),
        ),
        Operation(
            method="GET",
            path="/api/chat/stream",
            name="chat_stream",
            answer=chat.chat_stream,
            summary="Say something and follow the answer",
            about=(
                "For `EventSource`. A browser that comes back with `Last-Event-ID` says"
                " nothing again: it gets the rest of the answer, and 204 when there is"
                " no more."
            ),
            query=shapes.ChatQuery,
            safe=False,
            headers={"Last-Event-ID": "`id` of the last event that came."},
            streams=shapes.ChatStream,
            problems=(204, 404, 409, 429, 503),
        ),
        Operation(
            method="POST",
            path="/api/session/new",
            name="new_session",
            answer=chat.new_session,
            summary="Open a session",
            tag="sessions",
            returns=shapes.SessionDone,
            problems=(429, 503),
        ),
        Operation(
            method="GET",
            path=_SESSION,
            name="session",
            answer=chat.session,
            summary="What was said in a session",
            tag="sessions",
            returns=shapes.Session,
            problems=(503,),
        ),
        Operation(
            method="POST",
            path=f"{_SESSION}/messages",
            name="say",
            answer=chat.say,
            summary="Say something in a session",
            about=(
                "Answered when the message is stored; what becomes of it stands in the"
                " session's events."
            ),
            tag="sessions",
            body=shapes.MessageRequest,
            headers={"Idempotency-Key": "As `message_id`."},
            returns=shapes.MessageStored,
            problems=(409, 429, 503),
        ),
        Operation(
            method="GET",
            path=f"{_SESSION}/events",
            name="events",
            answer=chat.events,
            summary="Follow a session",
            about=(
                "The numbered events from any point on, then those to come. `id` is the"
                " number, `event` the type; `delta` and `notice` have no number. `end`"
                " says that no more will come; `bye` that this process stops and the"
                " client may come back. Who comes back to a session that is gone gets"
                " 204. With `stream=false` the next events come as JSON, a page at a"
                " time."
            ),
            tag="sessions",
            query=shapes.EventsQuery,
            headers={"Last-Event-ID": "The number of the last event that came."},
            returns=shapes.EventsPage,
            streams=shapes.EventStream,
            problems=(204, 429, 503),
        ),
        Operation(
            method="POST",
            path=f"{_SESSION}/stop",
            name="stop",
            answer=chat.stop,
            summary="Stop the reply that is under way",
            tag="sessions",
            returns=shapes.SessionDone,
            problems=(503,),
        ),
        Operation(
            method="POST",
            path=f"{_SESSION}/login",
            name="log_in",
            answer=customers.log_in,
            summary="Log the customer of a session in",
            about=(
                "The same as writing e-mail address and PIN in the chat. Wrong ones are"
                " counted, and soon have to wait: 401 when they don't belong together,"
                " 429 while no further try is taken. In a session whose id a client"
                " chose nobody can log in: 409, and `detail` names a new session."
            ),
            tag="sessions",
            body=shapes.LoginRequest,
            returns=shapes.LoggedIn,
            problems=(401, 409, 429, 503),
        ),
        Operation(
            method="POST",
            path=f"{_SESSION}/logout",
            name="log_out",
            answer=customers.log_out,
            summary="Log the customer of a session out",
            tag="sessions",
            returns=shapes.SessionDone,
            problems=(503,),
        ),
        Operation(
            method="POST",
            path="/api/reset/{session_id}",
            name="reset",
            answer=chat.reset,
            summary="Forget what was said in a session, and who the customer is",
            about="An unknown session is as good as reset.",
            tag="sessions",
            returns=shapes.SessionDone,
            problems=(409, 503),
        ),
        Operation(
            method="DELETE",
            path="/api/reset/{session_id}",
            name="delete",
            answer=chat.delete,
            summary="Delete a session",
            about="An unknown session is as good as deleted.",
            tag="sessions",
            returns=shapes.SessionDone,
            problems=(503,),
        ),
        Operation(
            method="GET",
            path="/api/tools",
            name="tools",
            answer=chat.tools,
            summary="What the language model may use",
            returns=shapes.Tools,
            problems=(503,),
        ),
        Operation(
            method="GET",
            path="/api/sessions",
            name="sessions",
            answer=operator.sessions,
            summary="All sessions",
            tag="operators",
            query=shapes.SessionsQuery,
            returns=shapes.Sessions,
            operator=True,
            problems=(503,),
        ),
        Operation(
            method="GET",
            path="/health",
            name="health",
            answer=operator.health,
            summary="Whether the process answers",
            tag="operators",
            returns=shapes.Health,
        ),
        Operation(
            method="GET",
            path="/healthz",
            name="healthz",
            answer=operator.health,
            summary="The same, by the name that orchestrators expect",
            tag="operators",
            returns=shapes.Health,
        ),
        Operation(
            method="GET",
            path="/readyz",
            name="readyz",
            answer=operator.ready,
            summary="Whether customers can be served",
            about="503 while the database can't be written, and while shutting down.",
            tag="operators",
            returns=shapes.Readiness,
            problems=(503,),
        ),
        Operation(
            method="GET",
            path="/metrics",
            name="metrics",
            answer=operator.metrics,
            summary="Figures for Prometheus",
            tag="operators",
            media=TEXT,
        ),
    )


def _welcome(told: shapes.Welcome) -> Operation:
    """The row for what pages show first."""

    async def welcome(call: Call) -> shapes.Welcome:
        return told

    return Operation(
        method="GET",
        path="/api/welcome",
        name="welcome",
        answer=welcome,
        summary="What a front end shows first",
        returns=shapes.Welcome,
    )


def _files(assets: Assets, settings: PageSettings) -> Sequence[Operation]:
    """The chat as a page, and what all pages are made of."""
    page = chat_page(assets, settings)

    async def home(call: Call) -> None:
        page.serve(call.exchange)

    async def static(call: Call) -> None:
        if (asset := assets.get(call.argument)) is None:
            raise refused(404, "There is nothing here.")
        serve(call.exchange, asset, call.headers)

    return _hidden({"/": home, "/static/{path}": static})


def _documentation(
    assets: Assets, operations: Sequence[Operation]
) -> Sequence[Operation]:
    """The pages and files that are about the API."""
    pages = Pages(assets)
    described = msgspec.json.encode(
        document(
            operations, title="supportbot", version=__version__, description=_ABOUT
        )
    )

    async def openapi(call: Call) -> None:
        call.exchange.respond(200, described, JSON)

    async def docs(call: Call) -> None:
        pages.docs.serve(call.exchange)

    async def redoc(call: Call) -> None:
        pages.redoc.serve(call.exchange)

    return _hidden({"/docs": docs, "/redoc": redoc, "/openapi.json": openapi})


def _hidden(
    shown: Mapping[str, Callable[[Call], Awaitable[None]]],
) -> Sequence[Operation]:
    """Rows that are no API, by their paths."""
    return [
        Operation(method="GET", path=path, name=path, answer=answer, hidden=True)
        for path, answer in shown.items()
    ]
