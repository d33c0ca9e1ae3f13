"""What a database's error means for the one who asked."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from supportbot.context import Logger

Broken = (SQLAlchemyError, sqlite3.Error, OSError)
"""All that the database may raise."""


class Fault(NamedTuple):
    """What is wrong.

    Attributes:
        reason: in a few words, without anything that was stored.
        cure: what the operator can do.
        passes: whether waiting a little may help.
        single: whether it lies in what was sent, and not in the database.
    """

    reason: str
    cure: str
    passes: bool = False
    single: bool = False


_SEE_LOG = "see the database's own log"
_SQLITE = {
    "SQLITE_BUSY": Fault(
        "another program holds the database locked",
        "find it (fuser FILE), and let it finish its transaction",
        passes=True,
    ),
    "SQLITE_FULL": Fault("the disk is full", "free some space"),
    "SQLITE_IOERR": Fault(
        "the disk fails", "look at the system's log, and at the disk"
    ),
    "SQLITE_READONLY": Fault(
        "the database can't be written", "make file and directory writable"
    ),
    "SQLITE_CANTOPEN": Fault(
        "the database can't be opened", "put the file back, readable and writable"
    ),
    "SQLITE_CORRUPT": Fault("the file is damaged", "restore it from a backup"),
    "SQLITE_NOTADB": Fault(
        "the file is no SQLite database", "restore it from a backup"
    ),
    "SQLITE_PERM": Fault("access is denied", "make the file readable and writable"),
}
_SQLITE["SQLITE_LOCKED"] = _SQLITE["SQLITE_PROTOCOL"] = _SQLITE["SQLITE_BUSY"]
_SQLITE["SQLITE_AUTH"] = _SQLITE["SQLITE_PERM"]

_GONE = Fault(
    "no connection to the database", "see that it runs and can be reached", passes=True
)
_POSTGRESQL = {
    "08": _GONE,
    "57": _GONE,  # being shut down, or starting
    "25": Fault("the database can't be written", "connect to the primary server"),
    "28": Fault("the database refuses the user", "mend user and password in the URL"),
    "3D": Fault("there is no such database", "create it, or mend the URL"),
    "40": Fault("other transactions came in between", _SEE_LOG, passes=True),
    "42501": Fault("the user may not do that", "grant it what it needs"),
    "53": Fault("the database is at its limits", _SEE_LOG, passes=True),
    "53100": Fault("the database's disk is full", "free some space there"),
    "55": Fault("another transaction holds a lock", _SEE_LOG, passes=True),
    "58": Fault("the database's disk fails", _SEE_LOG),
    "XX": Fault("the database is damaged", _SEE_LOG),
}


def fault_of(error: BaseException) -> Fault:
    """What an error of the database means."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    kind = type(cause).__name__
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorname", "")  # none if Python itself found it
        for name, fault in _SQLITE.items():
            if code == name or code.startswith(f"{name}_"):
                return fault
        single = not isinstance(cause, sqlite3.OperationalError)
        return Fault(f"{kind} {code}".strip(), _SEE_LOG, single=single)
    if isinstance(error, DBAPIError):
        state = getattr(cause, "sqlstate", None) or ""
        for length in (5, 2):
            if state[:length] in _POSTGRESQL:
                return _POSTGRESQL[state[:length]]
        if error.connection_invalidated or (not state and kind == "OperationalError"):
            return _GONE
        return Fault(f"{kind} {state}".strip(), _SEE_LOG, single=True)
    if isinstance(error, OSError):
        return Fault(error.strerror or kind, "put the file back, readable and writable")
    return Fault(kind, _SEE_LOG)


class Outage:
    """Tells the operator once when the database fails, and once when it is well again.

    Args:
        trouble: what the log says of the one, in front of the database's name.
        relief: and of the other.
        database: its name.
    """

    _log = Logger()

    def __init__(self, trouble: str, relief: str, database: str) -> None:
        self._trouble, self._relief, self._database = trouble, relief, database
        self._lasts = False

    def tell(self, fault: Fault | None) -> None:
        """What came of the latest try: None if all was well."""
        if fault is not None and not self._lasts:
            self._log.error(
                "{trouble} {database}: {reason}; {cure}",
                trouble=self._trouble,
                database=self._database,
                reason=fault.reason,
                cure=fault.cure,
            )
        elif fault is None and self._lasts:
            self._log.info("{relief}", relief=self._relief)
        self._lasts = fault is not None
