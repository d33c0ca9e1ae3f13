"""The settings of transcripts."""

from __future__ import annotations

from typing import Annotated

import msgspec

from supportbot.settings.shapes import Seconds, Shape


class TranscriptsSettings(Shape, frozen=True):
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
