"""No error says what a message or a password is: neither its text nor what it is chained to."""

from collections.abc import Callable

import psycopg
import pytest

from mic_mail.storage.errors import OutcomeUnknown, Unavailable
from mic_mail.storage.index import rows
from mic_mail.storage.index.postgresql.connection import PostgresqlConnection
from mic_mail.storage.index.postgresql.creation import create
from mic_mail.storage.index.postgresql.database import Database
from unit.storage.postgresql.index_rows import folder_row

pytestmark = pytest.mark.needs_tool("postgres")
SECRET = "geheim"
PASSING = f"DO $$ BEGIN RAISE EXCEPTION 'as it happens' USING ERRCODE = '57014', DETAIL = '{SECRET}'; END $$"


def told(error: BaseException | None) -> str:
    """All that an error and its chain hold."""
    if error is None:
        return ""
    return f"{error} {error!r} {error.args} {vars(error)} {told(error.__cause__)} {told(error.__context__)}"


def twice(connection: PostgresqlConnection) -> None:
    rows.write_folder(connection, folder_row(2, SECRET), new=True)
    rows.write_folder(connection, folder_row(2, SECRET), new=True)


def nameless(connection: PostgresqlConnection) -> None:
    row = folder_row(2, SECRET)
    row.directory = None  # type: ignore[assignment]
    rows.write_folder(connection, row, new=True)


def no_number(connection: PostgresqlConnection) -> None:
    connection.run("SELECT $1::bigint", SECRET)


def surrogate(connection: PostgresqlConnection) -> None:
    rows.write_folder(connection, folder_row(2, f"{SECRET}\ud800"), new=True)


def passing(connection: PostgresqlConnection) -> None:
    connection.run(PASSING)


@pytest.mark.parametrize("at_commit", [False, True])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (twice, psycopg.errors.UniqueViolation),
        (nameless, psycopg.errors.NotNullViolation),
        (no_number, psycopg.errors.InvalidTextRepresentation),
        (surrogate, psycopg.DataError),
        (passing, Unavailable),
    ],
)
def test_values_of_a_change_that_fails(
    change: Callable[[PostgresqlConnection], None], expected: type[Exception], at_commit: bool, database: Database
) -> None:
    def run() -> None:
        with database.changing(1) as connection:
            change(connection)
            if not at_commit:
                connection.settle()

    with pytest.raises(expected) as raised:
        run()
    assert SECRET not in told(raised.value)


def test_values_of_rows_that_cannot_be_taken(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def give(connection: PostgresqlConnection, cursor: object, result: object) -> None:
        raise UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, "")

    with pytest.raises(OutcomeUnknown) as raised, database.changing(1):
        monkeypatch.setattr(PostgresqlConnection, "_give", give)
    assert SECRET not in told(raised.value)


def test_an_error_in_creation(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mic_mail.storage.index.postgresql.creation._exists", lambda driver: driver.execute(PASSING))
    with pytest.raises(Unavailable) as raised:
        create(database)
    assert SECRET not in told(raised.value)


@pytest.mark.parametrize(
    "connection_string",
    [
        f"host=a password=x {SECRET} dbname=b",
        f"host=a password='x'{SECRET}=1 dbname=b",
        f"host=a dbname=b password='{SECRET}",
        f"host=a dbname=b {SECRET}=c",
        f"host=a dbname=b password={SECRET}\ud800",
        f"postgresql://user:x%{SECRET}@a/b",
        f"postgresql://user:x@{SECRET}@a/b",
        f"postgresql://user:x@1:2{SECRET}@a/b",
        f"postgresql://user:{SECRET}/x@a/b",
        f"postgresql://user:1/{SECRET}@a/b",
        f"postgresql://user:1/?{SECRET}@a/b",
    ],
)
def test_a_connection_string_that_is_wrong(connection_string: str) -> None:
    """A password that was not quoted is taken for something else."""
    with pytest.raises(ValueError, match="no connection string") as raised:
        Database(connection_string)
    assert SECRET not in told(raised.value)


@pytest.mark.parametrize(
    "connection_string",
    [
        "host=@abstract,b port=1,2 dbname=c",
        f"postgresql://user:x%40{SECRET}@a:1,b/c",
        "postgresql:///c?host=/run/postgresql",
        "",
    ],
)
def test_a_connection_string_that_is_right(connection_string: str) -> None:
    assert SECRET not in Database(connection_string).where


def test_a_server_that_is_not_there() -> None:
    with (
        pytest.raises(Unavailable, match="at 127") as raised,
        Database(f"postgresql://user:{SECRET}@127.0.0.1:1/b").reading(),
    ):
        pass
    assert SECRET not in told(raised.value)
