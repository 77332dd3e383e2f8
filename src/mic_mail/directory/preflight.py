"""Check, before anything is built on it, that the directory's database exists and can be read.

In: its URL. Out: the trouble that opening it would cause, or None. Changes nothing. The usual SQLite file is checked without
SQLAlchemy, so that a supervisor can afford it.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from mic_mail.config.model import directory_file
from mic_mail.directory.records import BRING_BACK
from mic_mail.errors import MicMailError, Text, Trouble, in_ascii


class NoDirectory(Trouble):
    """There is no database, or none that can be read."""


def trouble_with(url: str, *, thorough: bool = False) -> MicMailError | None:
    """Return what is wrong with the database at `url`.

    `thorough` reads all of the file, not only its head.

    Of a database that is no file, only the URL and its driver are checked; no connection is made.
    """
    path = directory_file(url)
    if path is None:
        return _of_url(url)
    shown = in_ascii(path)
    if not os.path.exists(path):  # also where the name is impossible for a file
        return NoDirectory(
            Text(f"Danh bạ chưa được tạo: không có {path}.", f"The directory does not exist yet: {shown} is missing."),
            remedy=BRING_BACK,
        )
    why = _damage(path, thorough)
    if why is None:
        return None
    return NoDirectory(
        Text(f"Không đọc được danh bạ {path}: {why}.", f"The directory {shown} cannot be read: {in_ascii(why)}."),
        remedy=Text(
            "Sửa quyền của tệp, hoặc lấy lại directory.sqlite từ bản sao lưu.",
            "Change its mode, or restore directory.sqlite from a backup.",
        ),
    )


def _damage(path: Path, thorough: bool) -> str | None:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT version_num FROM alembic_version").fetchone()  # an emptied file has no such table
            answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if thorough else "ok"
    except (sqlite3.Error, UnicodeDecodeError) as error:  # UnicodeDecodeError: SQLite's message quotes a damaged schema
        return str(error)
    return None if answer == "ok" else str(answer)


def _of_url(url: str) -> MicMailError | None:
    from mic_mail.directory.engine import connect

    try:
        connect(url).dispose()
    except MicMailError as error:
        return error
    return None
