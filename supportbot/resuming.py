"""Which conversation this user's terminal had last, so that it can be gone on with."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from platformdirs import user_state_path

from supportbot.channels.chat import Opening
from supportbot.command_line import MEMORY, default_url
from supportbot.context import Logger
from supportbot.conversation import Conversation

_NAME = "last-chat.json"
_NOTHING = "There is no chat to go on with; a new one begins."
_log = Logger()


class LastChat(msgspec.Struct, frozen=True):
    """A conversation, and where it is.

    Attributes:
        conversation_id: its id.
        database: the database's URL, which may hold a password.
    """

    conversation_id: str
    database: str


class Resumable:
    """A chat whose transcript outlives the program.

    Args:
        database: the URL of the transcript's database.
        resume: whether to go on with the last chat that was there.
        last: the last chat, wherever it was; None if nobody knows.
        folder: where the last chat is remembered; the user's state folder if None.

    Attributes:
        database: the same.
    """

    def __init__(
        self,
        database: str,
        *,
        resume: bool,
        last: LastChat | None,
        folder: Path | None = None,
    ) -> None:
        self.database, self._resume, self._folder = database, resume, folder
        self._last = last

    @classmethod
    def named(
        cls, flag: str | None, setting: str | None, *, resume: bool
    ) -> Resumable | None:
        """The chat that the command line and the settings ask for.

        Args:
            flag: the database that the command line names, if it does.
            setting: that of the settings.

        Returns:
            None for a chat in memory.

        Raises:
            StoreUnusable: the database's URL is none.
        """
        last = last_chat()
        named = flag or (last.database if resume and last else setting)
        if named == MEMORY:
            named = None
        if named is None and not resume:
            return None
        return cls(_absolute(named or default_url()), resume=resume, last=last)

    async def opening(
        self,
        find: Callable[[str], Awaitable[Conversation | None]],
        *,
        shown: bool,
    ) -> Opening:
        """How the chat begins; use it in the same turn of the reactor.

        Args:
            find: finds a conversation in the database.
            shown: somebody reads along, and sees what was said before. Otherwise a
                word for the operator goes to the standard error output.

        Raises:
            StoreError: the conversation can't be looked for.
        """
        conversation, greeting = None, ""
        if self._resume:
            last = self._last
            if last is not None and last.database == self.database:
                conversation = await find(last.conversation_id)
            if conversation is None and shown:
                greeting = _NOTHING
            elif conversation is None:
                sys.stderr.write(f"supportbot: {_NOTHING}\n")
        return Opening(conversation, shown, greeting, self._used)

    def _used(self, id: str) -> None:
        """Remember a conversation unless it is remembered already."""
        last = LastChat(id, self.database)
        if last == self._last:
            return
        try:
            remember(last, self._folder)
        except OSError as error:
            _log.warn("this chat can't be gone on with: {why}", why=error.strerror)
        self._last = last


def last_chat(folder: Path | None = None) -> LastChat | None:
    """What was remembered, if it is of any use still.

    Args:
        folder: where; the user's state folder if None.
    """
    path = (folder or user_state_path("supportbot")) / _NAME
    try:
        last = msgspec.json.decode(path.read_bytes(), type=LastChat)
    except (OSError, msgspec.MsgspecError):
        return None
    file = Path(last.database.removeprefix("sqlite:///"))
    gone = last.database.startswith("sqlite:") and not file.exists()
    return None if gone else last


def remember(last: LastChat, folder: Path | None = None) -> None:
    """Keep this instead of what was remembered; only the user can read it.

    Raises:
        OSError: it can't be written.
    """
    folder = folder or user_state_path("supportbot")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=_NAME, dir=folder)  # of mode 0600
    try:
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(last))
        os.replace(name, folder / _NAME)
    except BaseException:
        os.unlink(name)
        raise


def _absolute(url: str) -> str:
    """A database's URL that means the same in every working directory."""
    from supportbot.transcripts.database import Database  # as `application` does

    path = Database(url, patience=1.0).path
    return url if path is None else f"sqlite:///{path.absolute()}"
