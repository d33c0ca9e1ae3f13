"""The version of a database's schema, and the way to the newest."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from supportbot.errors import StoreUnusable

MIGRATIONS = Path(__file__).with_name("migrations")


def prepare(
    connection: Connection, name: str, migrations: Path, *, upgrade: bool
) -> tuple[str, str]:
    """See that the schema is ours, and the newest.

    Args:
        connection: in a transaction, which holds what is done here.
        name: of the database, for messages.
        migrations: the folder with the steps.
        upgrade: bring it up to date.

    Returns:
        The version before and after; an empty database has ``.

    Raises:
        StoreUnusable: it is not ours, newer, or older and not to be changed.
    """
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    newest = scripts.get_current_head() or ""
    here = MigrationContext.configure(connection).get_current_heads()
    if not here and inspect(connection).get_table_names():
        raise StoreUnusable(f"{name}: belongs to another program; name a new database")
    version = here[0] if here else ""
    if version == newest:
        return version, newest
    if version and version not in {one.revision for one in scripts.walk_revisions()}:
        raise StoreUnusable(
            f"{name}: its schema {version} is newer than ours ({newest});"
            " install the supportbot that made it"
        )
    if not upgrade:
        state = f"its schema is {version}, not {newest}" if version else "it is empty"
        raise StoreUnusable(f"{name}: {state}; run `supportbot database upgrade`")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return version, newest
