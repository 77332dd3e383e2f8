"""A copy of the directory in memory, on which any change can be tried.

In: the directory, wherever it lies. Out: another directory with the same content, an SQLite database in memory, which is gone
at the end and never reaches the disk.
"""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from mic_mail.directory.connection import IN_MEMORY
from mic_mail.directory.repository import Directory

_FILE = "sqlite:///"
_COPY = "file:rehearsal-"
"""The start of the URI of a copy, which can itself be copied."""


@contextmanager
def rehearsal(directory: Directory) -> Iterator[Directory]:
    """Yield the copy, as the directory is now."""
    place = f"{_COPY}{secrets.token_hex(8)}?{IN_MEMORY}&cache=shared"  # exists while a connection is open
    with closing(sqlite3.connect(place, uri=True)) as kept:
        copy = Directory(f"{_FILE}{place}&uri=true", clock=directory.clock)
        try:
            if directory.url.startswith(_FILE):
                _copy_file(directory.url.removeprefix(_FILE), kept)
            else:
                directory.copy_into(copy)
            yield copy
        finally:
            copy.close()


def _copy_file(source: str, kept: sqlite3.Connection) -> None:
    live_uri = source if source.startswith(_COPY) else f"file:{quote(str(Path(source).absolute()))}?mode=ro"
    with closing(sqlite3.connect(live_uri, uri=True)) as live:
        live.backup(kept)
