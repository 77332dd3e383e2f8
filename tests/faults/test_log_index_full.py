"""No room in the midst of a transaction: SQLite rolls back by itself, and what is told is the full disk, not the rollback.

Who is told "cannot rollback" takes it for damage, and damaged indexes are thrown away.
"""

import sqlite3
from pathlib import Path

import pytest

from mic_mail.log.index import Block, IndexedBlocks, Month, path_of

MONTH, FILE = "2026-11", "2026-11-20.worker0.1.1.jsonl"


def stretch(start: int, keys: int) -> IndexedBlocks:
    return IndexedBlocks(FILE, start, [(Block(FILE, start, 90, 1, 2), {start * 1_000_000 + key for key in range(keys)})], 1)


def test_loading_the_index_of_the_log(tmp_path: Path) -> None:
    """The month's index keeps what it has, and takes the rest when there is room."""
    with Month.loading(tmp_path, MONTH) as month:
        assert month.add(stretch(0, 10))
    connection = sqlite3.connect(path_of(tmp_path, MONTH), isolation_level=None)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    month = Month(MONTH, connection)
    with pytest.raises(sqlite3.OperationalError) as caught:
        month.add(stretch(90, 20_000))
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_FULL
    assert month.loaded() == {FILE: 90}
    connection.execute("PRAGMA max_page_count = 1000000")
    assert month.add(stretch(90, 20_000)), "nothing is left open"
    connection.close()
