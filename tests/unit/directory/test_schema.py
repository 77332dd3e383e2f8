"""What the migrations make is what the model declares."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from mic_mail.directory import engine as database
from mic_mail.directory import migrate
from mic_mail.directory.model import Base


def test_migrated_schema_is_the_declared_one(url):
    """Alembic finds no difference: tables, columns, types, indexes, constraints."""
    engine = database.connect(url)
    database.migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata) == []
    engine.dispose()


def test_a_directory_is_current_at_the_newest_revision_that_is_shipped(url):
    """What a process compares with at its start, without loading the migrations, is what they lead to."""
    assert migrate.head() == database.HEAD
    engine = database.connect(url)
    assert not database.is_current(engine)
    database.migrate(engine)
    assert database.is_current(engine)
    engine.dispose()


def test_constraints_keep_their_names(url, tmp_path):
    """Names of constraints and indexes are the same whether migrations or the model made the tables."""
    migrated, declared = database.connect(url), create_engine(f"sqlite:///{tmp_path / 'declared.sqlite'}")
    database.migrate(migrated)
    Base.metadata.create_all(declared)

    def names(engine):
        look = inspect(engine)
        return {
            table: (
                sorted(str(item["name"]) for item in look.get_indexes(table)),
                sorted(str(item["name"]) for item in look.get_unique_constraints(table)),
                sorted(str(item["name"]) for item in look.get_foreign_keys(table)),
                sorted(str(item["name"]) for item in look.get_check_constraints(table)),
                look.get_pk_constraint(table)["name"],
                [(column["name"], column["nullable"]) for column in look.get_columns(table)],
            )
            for table in look.get_table_names()
            if table != "alembic_version"
        }

    assert names(migrated) == names(declared)
    migrated.dispose()
    declared.dispose()
