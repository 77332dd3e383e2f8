"""Schema migration by Alembic: creates the directory's tables and migrates those of older versions.

Loaded only where a migration is needed.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, String, Text

from mic_mail.directory.register_model import ALL_TABLES


def create(connection: Connection) -> None:
    """Create all tables, at the newest revision, in the open transaction."""
    tables = _of_postgresql() if connection.dialect.name == "postgresql" else ALL_TABLES
    tables.create_all(connection)
    command.stamp(_config(connection), "head")


def upgrade(connection: Connection) -> None:
    """Migrate the tables to the newest revision, in the open transaction."""
    command.upgrade(_config(connection), "head")


def head() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _of_postgresql() -> MetaData:
    """Return the tables with texts as SQLite has them: of any length, compared and ordered by their octets."""
    copies = MetaData(naming_convention=ALL_TABLES.naming_convention)
    for table in ALL_TABLES.sorted_tables:
        for column in table.to_metadata(copies).columns:
            if isinstance(column.type, String):
                column.type = Text(collation="C")
    return copies


def _config(connection: Connection | None = None) -> Config:
    config = Config(attributes={"connection": connection})
    # A path, not a package name: a package would import modules after a change of user, which is too late.
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    return config
