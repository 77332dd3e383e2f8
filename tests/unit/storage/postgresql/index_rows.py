"""Rows of an index, and what is asked about sessions."""

from mic_mail.storage.changes import publish
from mic_mail.storage.index import rows, schema
from mic_mail.storage.index.postgresql.connection import PostgresqlConnection
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.index.statements import Connection
from postgresql_server import PostgresqlServer

SHORT = 0.05
"""Seconds that are waited in vain."""


def account_row(account_id: int = 1) -> rows.AccountRow:
    return rows.AccountRow(account_id, 0, 7, 9, 1, 2, 1, 0, 0, "first boot")


def folder_row(folder_id: int = 1, name: str = "INBOX") -> rows.FolderRow:
    return rows.FolderRow(
        1, folder_id, name, f".{name}", f"F{folder_id}", 1, 1, 9, 7, 7, 1, 0, 0, 0, 0, 1 << 40, 0, 1, None, "[]", 0, None
    )  # fmt: skip


def make_account(connection: Connection) -> None:
    rows.write_account(connection, account_row(), new=True)
    rows.write_folder(connection, folder_row(), new=True)


def deliver(connection: Connection, uid: int) -> None:
    """What a delivery writes."""
    email = {column.name: 0 for column in schema.email.c} | {
        "account_id": 1, "email_pk": uid, "size": 1 << 40, "sent_at": None, "base": f"đ{uid}", "email_id": f"M{uid}",
        "thread_id": None, "envelope": b"(\0\xff)", "envelope_utf8": None, "bodystructure": b"", "body": b"(b)",
        "message_id": b"<m>", "preview": "Kính gửi", "parts": bytes(range(256)), "header": None,
    }  # fmt: skip
    message = {column.name: 0 for column in schema.message.c}
    message |= {"account_id": 1, "folder_id": 1, "uid": uid, "flags": 1 << 62, "email_pk": uid, "modseq": 8, "name": f"n{uid}"}
    publish.INSERT_EMAIL.on(connection, **email)
    publish.INSERT_MESSAGE.on(connection, **message)


def modseq(database: Database) -> int:
    with database.reading() as connection:
        account = rows.read_account(connection, 1)
    assert account is not None
    return account.modseq


def add(connection: Connection, more: int = 1) -> None:
    """Change the account's MODSEQ."""
    account = rows.read_account(connection, 1)
    assert account is not None
    account.modseq += more
    rows.write_account(connection, account)


def backend(connection: PostgresqlConnection) -> int:
    return int(connection.run("SELECT pg_backend_pid()").fetchone()[0])


def waits(server: PostgresqlServer, event: str) -> int:
    """The pid of the session that waits for this."""
    return int(server.psql(f"SELECT pid FROM pg_stat_activity WHERE wait_event = '{event}'") or 0)
