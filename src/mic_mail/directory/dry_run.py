"""A copy of the directory in memory, on which any change can be tried.

In: the directory. Out: another directory with the same content, which is gone at the end and never reaches the disk. SQLite
only.
"""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from mic_mail.directory.connection import IN_MEMORY
from mic_mail.directory.repository import Directory
from mic_mail.errors import BadInput, Text

_FILE = "sqlite:///"
_COPY = "file:rehearsal-"
"""The start of the URI of a copy, which can itself be copied."""


@contextmanager
def rehearsal(directory: Directory) -> Iterator[Directory]:
    """Yield the copy, as the directory is now; raise `BadInput` where its database is not an SQLite file."""
    if not directory.url.startswith(_FILE):
        raise BadInput(
            Text("--dry-run chỉ dùng được khi danh bạ là tệp SQLite.", "--dry-run needs a directory that is an SQLite file.")
        )
    source = directory.url.removeprefix(_FILE)
    live_uri = source if source.startswith(_COPY) else f"file:{quote(str(Path(source).absolute()))}?mode=ro"
    place = f"{_COPY}{secrets.token_hex(8)}?{IN_MEMORY}&cache=shared"  # exists while a connection is open
    with closing(sqlite3.connect(place, uri=True)) as kept:
        with closing(sqlite3.connect(live_uri, uri=True)) as live:
            live.backup(kept)
        copy = Directory(f"{_FILE}{place}&uri=true", clock=directory.clock)
        try:
            yield copy
        finally:
            copy.close()
