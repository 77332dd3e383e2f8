"""A look at the database before anybody builds on it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mic_mail.clock import Clock
from mic_mail.directory.preflight import trouble_with
from mic_mail.directory.repository import Directory
from mic_mail.directory.revisions import DirectoryUnavailable
from mic_mail.errors import BadInput, Trouble


def test_a_directory_in_order_is_no_trouble(tmp_path: Path, clock: Clock) -> None:
    """Also beside a process that has it open."""
    url = f"sqlite:///{tmp_path / 'thư mục.sqlite'}"
    directory = Directory(url, clock=clock)
    directory.migrate()
    assert trouble_with(url) is None
    assert trouble_with(url, thorough=True) is None
    directory.close()
    assert trouble_with(url, thorough=True) is None


def test_a_missing_file_is_named_and_not_made(tmp_path: Path) -> None:
    """With the command that makes it."""
    path = tmp_path / "none.sqlite"
    trouble = trouble_with(f"sqlite:///{path}")
    assert isinstance(trouble, Trouble)
    assert str(path) in trouble.text.en
    assert not path.exists()


@pytest.mark.parametrize("thorough", [False, True])
def test_what_is_no_database_is_told(thorough: bool, tmp_path: Path) -> None:
    """A damaged file, or a folder in its place."""
    (tmp_path / "damaged").write_bytes(b"not a database at all " * 500)
    (tmp_path / "folder").mkdir()
    for name in ("damaged", "folder"):
        trouble = trouble_with(f"sqlite:///{tmp_path / name}", thorough=thorough)
        assert isinstance(trouble, Trouble)
        assert "cannot be read" in trouble.text.en


@pytest.mark.parametrize("thorough", [False, True])
def test_an_emptied_file_is_no_directory_without_mailboxes(thorough: bool, tmp_path: Path, clock: Clock) -> None:
    """Whoever began with it would refuse everybody's mail for good: nothing is built on it, by a look or by an opening."""
    path = tmp_path / "directory.sqlite"
    path.touch()
    trouble = trouble_with(f"sqlite:///{path}", thorough=thorough)
    assert isinstance(trouble, Trouble)
    assert "backup" in str(trouble.remedy and trouble.remedy.en)
    directory = Directory(f"sqlite:///{path}", clock=clock)
    with pytest.raises(DirectoryUnavailable):
        directory.migrate(must_exist=True)
    directory.migrate()
    directory.migrate(must_exist=True)
    directory.close()


@pytest.mark.parametrize("thorough", [False, True])
def test_a_schema_that_is_no_text_is_told(thorough: bool, tmp_path: Path, clock: Clock) -> None:
    """SQLite's message quotes octets that are no UTF-8; whoever opens the directory hears of a trouble too."""
    path = tmp_path / "x.sqlite"
    directory = Directory(f"sqlite:///{path}", clock=clock)
    directory.migrate()
    directory.close()
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CRE\xc9TE\xffTABL\xc9"[:12]))
    assert isinstance(trouble_with(f"sqlite:///{path}", thorough=thorough), Trouble)
    directory = Directory(f"sqlite:///{path}", clock=clock)
    for ask in (directory.version, directory.load_snapshot, directory.must_be_current, directory.migrate, directory.units):
        with pytest.raises(DirectoryUnavailable):
            ask()
    directory.close()


def test_a_thorough_look_finds_damage_in_the_midst(tmp_path: Path, clock: Clock) -> None:
    """Pages that are no pages any more."""
    path = tmp_path / "x.sqlite"
    directory = Directory(f"sqlite:///{path}", clock=clock)
    directory.migrate()
    directory.close()
    end = path.stat().st_size
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [(b"x" * 3000,)] * 20)
        connection.commit()
    octets = bytearray(path.read_bytes())
    octets[end + 4096 : end + 4096 * 7] = b"\xff" * 4096 * 6
    path.write_bytes(octets)
    assert trouble_with(f"sqlite:///{path}") is None
    assert trouble_with(f"sqlite:///{path}", thorough=True) is not None


@pytest.mark.parametrize("url", ["garbage", "nosuch://x/y", "oracle://user:secret@host/db", ""])
def test_a_url_that_cannot_be_used_is_wrong_input(url: str, clock: Clock) -> None:
    """Said with a remedy, by a look as by an attempt; a password in it is not repeated."""
    trouble = trouble_with(url)
    assert isinstance(trouble, BadInput)
    assert trouble.remedy is not None
    assert "secret" not in trouble.text.en + trouble.remedy.en
    with pytest.raises(BadInput):
        Directory(url, clock=clock)


@pytest.mark.parametrize("revision", ["9999", "x", "0011x"])
def test_a_directory_of_a_newer_program_is_left_alone(revision: str, tmp_path: Path, clock: Clock) -> None:
    """After a step back to an older program: told, with what to do."""
    path = tmp_path / "directory.sqlite"
    directory = Directory(f"sqlite:///{path}", clock=clock)
    directory.migrate()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    with pytest.raises(DirectoryUnavailable, match=f"newer version .{revision}"):
        directory.migrate()
    with pytest.raises(DirectoryUnavailable, match=f"newer version .{revision}"):
        directory.must_be_current()
    directory.close()


def test_a_directory_that_is_too_old_is_left_alone(tmp_path: Path, clock: Clock) -> None:
    """Its revision is no longer shipped: refused, with the way to bring it up to date."""
    path = tmp_path / "directory.sqlite"
    directory = Directory(f"sqlite:///{path}", clock=clock)
    directory.migrate()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0009'")
    with pytest.raises(DirectoryUnavailable, match="too old a version") as refused:
        directory.migrate()
    assert "to upgrade it to 0010" in str(refused.value.remedy and refused.value.remedy.en)
    directory.close()


def test_a_directory_of_an_older_program_is_upgraded_by_the_next_start(tmp_path: Path, clock: Clock) -> None:
    """A command that runs between the upgrade of the program and the start of the server says so, not to restore a backup."""
    path = tmp_path / "directory.sqlite"
    directory = Directory(f"sqlite:///{path}", clock=clock)
    directory.migrate()
    directory.must_be_current()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0011'")
    with pytest.raises(DirectoryUnavailable, match=r"not upgraded yet .0011") as told:
        directory.must_be_current()
    assert told.value.remedy is not None
    assert "Restart the server" in told.value.remedy.en
    directory.close()
