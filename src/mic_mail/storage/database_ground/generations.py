"""Generations: the rows of a mailbox under one `account_id`, of which one generation is current.

A restore makes another generation beside the current one, in many transactions, and puts it in its place in a short one. So
what happens to all of a mailbox happens at once for everyone, however large it is.

    restoring    being made; a kill leaves it, and the housekeeper removes it after a day
    current      the mailbox
    replaced     was the mailbox until a restore, until an administrator removes it
    freed        being removed, in pieces

A change locks the row of its account (index.postgresql.database). When a generation is no longer current, that row gets the
number with a minus: whoever waited for it finds no account, and changes nothing. A process asks again which generation is
current when its answer is older than `KNOWN_SECONDS`. So whoever has replaced or freed one waits as long before it says so, and
before it removes anything: from then on nothing begins with it as the mailbox.

The first generation has the number of its mailbox in the directory, each further one a number of its own.
"""

from enum import StrEnum

from sqlalchemy import bindparam, delete, select, update

from mic_mail.storage.errors import AccountGone, Unavailable
from mic_mail.storage.index import schema
from mic_mail.storage.index.postgresql.connection import PostgresqlConnection
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.index.postgresql.removal import remove_rows
from mic_mail.storage.index.statements import Connection, SqlStatement, insert, keyed_by

KNOWN_SECONDS = 0.25
"""For so long a process goes by what it has asked for last."""


class State(StrEnum):
    """States of a generation, as in its row."""

    RESTORING = "restoring"
    CURRENT = "current"
    REPLACED = "replaced"
    FREED = "freed"


_G = schema.generation.c
_A = schema.account.c
_OF_MAILBOX = SqlStatement(
    select(_G.account_id, _G.since_us)
    .where(_G.mailbox_id == bindparam("mailbox"), _G.state == bindparam("state"))
    .order_by(_G.since_us)
)
_IN_STATE = SqlStatement(
    select(_G.account_id, _G.mailbox_id, _G.since_us).where(_G.state == bindparam("state")).order_by(_G.account_id)
)
_ADD = SqlStatement(insert(schema.generation).on_conflict_do_nothing(index_elements=["account_id"]))
_SET_STATE = SqlStatement(
    update(schema.generation)
    .where(keyed_by(_G), _G.state == bindparam("old_state"))
    .values(state=bindparam("new_state"), since_us=bindparam("now_us"))
)
_FORGET = SqlStatement(delete(schema.generation).where(keyed_by(_G)))
_RENUMBER = SqlStatement(update(schema.account).where(keyed_by(_A)).values(account_id=bindparam("new_number")))
_FORGET_ACCOUNT = SqlStatement(delete(schema.account).where(keyed_by(_A)))
_NEXT_NUMBER = "SELECT CAST(nextval('generation_number') AS integer)"
_WAIT = "SELECT set_config('idle_in_transaction_session_timeout', '30000', true)"
_STAYS = "SELECT account_id FROM generation WHERE account_id = $1 AND state = $2 FOR SHARE"
_LOCK_ACCOUNT = "SELECT account_id FROM account WHERE account_id = $1 FOR UPDATE"


def name_of_replaced(home: str, since_us: int) -> str:
    """Return the name of a generation that a restore has replaced, as a machine with files names its folder."""
    return f"{home}.replaced-{since_us}"


def current(connection: Connection, mailbox_id: int) -> tuple[int, int] | None:
    """Return the number of a mailbox's current generation, and since when it is that."""
    found = in_state(connection, mailbox_id, State.CURRENT)
    return found[0] if found else None


def in_state(connection: Connection, mailbox_id: int, state: State) -> list[tuple[int, int]]:
    """Return (number, since when in microseconds) of a mailbox's generations in this state, oldest first."""
    return _OF_MAILBOX.on(connection, mailbox=mailbox_id, state=state).fetchall()


def all_in_state(connection: Connection, state: State) -> list[tuple[int, int, int]]:
    """Return (number, mailbox, since when) of all generations in this state."""
    return _IN_STATE.on(connection, state=state).fetchall()


def add(connection: PostgresqlConnection, mailbox_id: int, state: State, now_us: int) -> int:
    """Add a generation in an open transaction; return its number."""
    number = mailbox_id
    values = {"mailbox_id": mailbox_id, "state": state, "since_us": now_us}
    if not _ADD.on(connection, account_id=number, **values).rowcount:
        (number,) = connection.run(_NEXT_NUMBER).fetchone()
        _ADD.on(connection, account_id=number, **values)
    return number


def move(connection: Connection, number: int, old: State, new: State, now_us: int) -> bool:
    """Give a generation another state if it is in `old`; return whether it was."""
    values = {"account": number, "old_state": old, "new_state": new, "now_us": now_us}
    return _SET_STATE.on(connection, **values).rowcount == 1


def retire(connection: Connection, number: int, new: State, now_us: int) -> None:
    """Let a generation be current no more; its account is locked by this transaction."""
    if not move(connection, number, State.CURRENT, new, now_us):
        raise AccountGone(f"account {number} is not current any more")
    _RENUMBER.on(connection, account=number, new_number=-number)


def lock(connection: PostgresqlConnection, number: int) -> None:
    """Lock the account of a generation until the end of the transaction, against every change of it."""
    if connection.run(_LOCK_ACCOUNT, number).fetchone() is None:
        raise AccountGone(f"account {number} is not current any more")


def wait_for_record(connection: PostgresqlConnection) -> None:
    """Have the server wait longer than usual for what an open transaction does next, which writes to another database."""
    connection.run(_WAIT)


def must_stay(connection: PostgresqlConnection, number: int, state: State) -> None:
    """Keep a generation in this state until the end of the transaction; `Unavailable` where it is in another."""
    if connection.run(_STAYS, number, state).fetchone() is None:
        raise Unavailable(f"account {number} is no longer {state}")


def remove(database: Database, number: int) -> None:
    """Remove the rows of a freed generation, its own row last: after a kill the next one goes on."""
    remove_rows(database, number, but="generation")
    with database.transaction() as connection:
        _FORGET_ACCOUNT.on(connection, account=-number)
        _FORGET.on(connection, account=number)
