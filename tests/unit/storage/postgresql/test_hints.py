"""Hints reach every server of a database, as they are; what else is said on their channel is passed over."""

import select
from collections.abc import Iterator
from contextlib import closing

import pytest

from mic_mail.storage.errors import Unavailable
from mic_mail.storage.hints import HINT_OCTETS, Heard
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.index.postgresql.hints import PostgresqlHints, PostgresqlListener
from postgresql_server import PostgresqlServer
from waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.needs_tool("postgres")


@pytest.fixture
def listener(hints: PostgresqlHints) -> Iterator[PostgresqlListener]:
    with closing(hints.listen()) as listener:
        yield listener


@pytest.fixture
def hints(database: Database) -> PostgresqlHints:
    return PostgresqlHints(database)


def _heard(listener: PostgresqlListener, wanted: int) -> list[Heard]:
    found: list[Heard] = []
    while len(found) < wanted:
        assert select.select([listener], [], [], PATIENCE_SECONDS)[0]
        found += listener.heard()
    return found


def test_all_hear_what_one_says(hints: PostgresqlHints, listener: PostgresqlListener, other: Database) -> None:
    said = [b"a\0\xff\n'", b"", bytes(range(256)) * (HINT_OCTETS // 256) + bytes(HINT_OCTETS % 256)]
    PostgresqlHints(other).send(said)
    hints.send([b"mine"])
    assert _heard(listener, 4) == [*(Heard(hint, is_own=False) for hint in said), Heard(b"mine", is_own=True)]
    assert listener.heard() == []


def test_what_is_no_hint_is_passed_over(server: PostgresqlServer, hints: PostgresqlHints, listener: PostgresqlListener) -> None:
    for said in ("x y z", "é é", "x ====", "x YQ"):
        server.psql(f"SELECT pg_notify('mic_mail_hints', '{said}')")
    hints.send([b"end"])
    assert _heard(listener, 1) == [Heard(b"end", is_own=True)]


def test_a_lost_connection_is_told(server: PostgresqlServer, listener: PostgresqlListener) -> None:
    server.psql("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    with pytest.raises(Unavailable):
        _heard(listener, 1)
