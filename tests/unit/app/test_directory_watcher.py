"""A process that could not read the directory goes on with what it knew, and knows the rest as soon as it can."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import MailServer
from waiting import stays, wait_for


def tear(server: MailServer) -> None:
    """The directory changes, and the change cannot be read."""
    with sqlite3.connect(server.config.directory_dir / "directory.sqlite") as connection:
        connection.execute("UPDATE revision SET version = version + 1")
        connection.execute("ALTER TABLE mailbox RENAME TO torn")


def mend(server: MailServer) -> None:
    with sqlite3.connect(server.config.directory_dir / "directory.sqlite") as connection:
        connection.execute("ALTER TABLE torn RENAME TO mailbox")


def named(server: MailServer, name: str) -> list[dict[str, Any]]:
    return [event for event in server.events() if event["event"] == name]


def test_a_change_that_could_not_be_read_is_read_later(serve: Callable[..., MailServer]) -> None:
    """The last snapshot holds until the directory can be read again; nobody has to change it once more for that."""
    server = serve({"process": {"poll_seconds": 0.1}})
    server.issue("dvbe")
    server.housekeep()  # what it puts on record once is there
    server.refresh()
    before = server.running.context.access.snapshot
    tear(server)
    wait_for(lambda: named(server, "directory_unreadable"))
    stays(
        lambda: server.running.context.access.snapshot is before
    )  # several polls: they neither hasten the next try nor say it again
    mend(server)
    wait_for(lambda: server.running.context.access.snapshot.version == before.version + 1)
    wait_for(lambda: named(server, "directory_readable"))
    assert len(named(server, "directory_unreadable")) == 1
    assert len(named(server, "directory_readable")) == 1
    assert named(server, "errand_failed") == []


def test_every_commit_leaves_a_trace(serve: Callable[..., MailServer]) -> None:
    """So the feed asks for the version only when the files have changed; also where SQLite begins its log again."""
    server = serve()
    context = server.running.context
    file = server.config.directory_dir / "directory.sqlite"
    traces = [context._directory_trace()]
    with sqlite3.connect(file) as connection:
        for number in range(12):
            time.sleep(0.02)  # the times of files have the resolution of the kernel's tick
            connection.execute("UPDATE revision SET version = version + 1")
            connection.commit()
            traces.append(context._directory_trace())
            if number % 4 == 3:
                connection.execute("PRAGMA wal_checkpoint(RESTART)")
    connection.close()
    assert len(set(traces)) == len(traces)
    time.sleep(0.02)  # likewise
    before = context._directory_trace()
    context.directory.version()
    context.directory.load_snapshot()
    assert context._directory_trace() == before


def test_a_directory_behind_a_link_leaves_traces(serve: Callable[..., MailServer], tmp_path: Path) -> None:
    """SQLite keeps its log beside the file itself."""
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "directory.sqlite")
    context = serve({"directory": {"url": f"sqlite:///{tmp_path}/link.sqlite"}}).running.context
    before = context._directory_trace()
    with sqlite3.connect(tmp_path / "directory.sqlite") as connection:
        connection.execute("UPDATE revision SET version = version + 1")
    connection.close()
    assert context._directory_trace() != before
