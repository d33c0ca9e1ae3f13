"""From a session's id in a request to its conversation."""

from __future__ import annotations

import re

from supportbot.channels.http.problems import Refused, refused
from supportbot.context import conversation_id
from supportbot.conversation import Conversation
from supportbot.frontdesk import FrontDesk

SESSION_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")
ME = "@me"
"""Stands in a path for the session that the header `Session-Id` names.

So the id is in no address, and in nobody's log of addresses.
"""


async def found(desk: FrontDesk, session_id: str) -> Conversation | None:
    """The conversation of a session, if there is one.

    Raises:
        StoreError: that can't be told.
    """
    if SESSION_ID.fullmatch(session_id) is None:
        return None
    conversation_id.set(session_id)
    return await desk.find(session_id)


async def known(desk: FrontDesk, session_id: str) -> Conversation:
    """The same, where there has to be one.

    Raises:
        Refused: there is none.
        StoreError: that can't be told.
    """
    conversation = await found(desk, session_id)
    if conversation is None:
        raise unknown(session_id)
    return conversation


def named(header: str | None) -> str:
    """The id that stands in the header `Session-Id`.

    Raises:
        Refused: there is none.
    """
    if header is None:
        raise refused(400, f"{ME} in a path wants the header Session-Id.")
    if SESSION_ID.fullmatch(header) is None:
        raise refused(400, "Session-Id is not 1 to 128 letters, digits and ._~-")
    return header


def see_whether_possible(session_id: str) -> None:
    """Raises Refused for what no session is called."""
    if SESSION_ID.fullmatch(session_id) is None:
        raise unknown(session_id)


def unknown(session_id: str) -> Refused:
    """There is no such session."""
    named = f"{session_id} " if SESSION_ID.fullmatch(session_id) else ""
    return refused(404, f"Session {named}not found")
