"""The tables of the oldest revision, brought up to date, are those that the model declares."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_mock_engine, inspect

from mic_mail.directory import engine as database
from mic_mail.directory import migrate, revisions
from mic_mail.directory.register_model import ALL_TABLES
from mic_mail.directory.revisions import DirectoryUnavailable

OLDEST = Path(__file__).with_name("schema_0010.sql").read_text(encoding="utf-8")
"""The tables of a directory of revision 0010; never changed: a change of the model needs a migration."""


def of_oldest_revision(file):
    """A directory of the oldest revision, as a file, brought up to this program's version."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(OLDEST)
    engine = database.connect(f"sqlite:///{file}")
    database.migrate(engine, must_exist=True)
    return engine


def test_migrated_schema_is_the_declared_one(tmp_path):
    """Alembic finds no difference: tables, columns, types, indexes, constraints."""
    engine = of_oldest_revision(tmp_path / "old.sqlite")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), ALL_TABLES) == []
    engine.dispose()


def test_a_directory_is_current_at_the_newest_revision_that_is_shipped(url):
    """What a process compares with at its start, without loading the migrations, is what they lead to."""
    assert migrate.head() == revisions.HEAD
    engine = database.connect(url)
    with pytest.raises(DirectoryUnavailable):
        database.must_be_current(engine)
    database.migrate(engine)
    database.must_be_current(engine)
    engine.dispose()


def test_postgresql_gets_the_same_limit_of_an_index():
    """A mailbox has one primary address and any number of others, in either database."""
    given = []
    engine = create_mock_engine("postgresql+psycopg://", lambda statement, *_, **__: given.append(statement))
    ALL_TABLES.tables["address"].create(engine, checkfirst=False)
    (limited,) = [said for said in (str(each.compile(engine)) for each in given) if "uq_address_primary" in said]
    assert limited.endswith("ON address (mailbox_id) WHERE role = 'primary'")


def test_constraints_keep_their_names(url, tmp_path):
    """Names of constraints, indexes and triggers are the same whether migrations or the model made the tables."""
    migrated, declared = of_oldest_revision(tmp_path / "old.sqlite"), database.connect(url)
    database.migrate(declared)

    def names(engine):
        look = inspect(engine)
        return {
            table: (
                sorted(str(item["name"]) for item in look.get_indexes(table)),
                sorted(str(item["name"]) for item in look.get_unique_constraints(table)),
                sorted(str(item["name"]) for item in look.get_foreign_keys(table)),
                sorted(str(item["name"]) for item in look.get_check_constraints(table)),
                look.get_pk_constraint(table)["name"],
                {(column["name"], column["nullable"]) for column in look.get_columns(table)},
            )
            for table in look.get_table_names()
        }

    def triggers(engine):
        with engine.connect() as connection:
            return set(connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").all())

    assert names(migrated) == names(declared)
    assert triggers(migrated) == triggers(declared) != set()
    migrated.dispose()
    declared.dispose()
