"""Reg. 6.1: what commands write as files, and where they may not."""

import os
import threading
from itertools import count
from pathlib import Path

import pytest

from regulation.officers import officers_console


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    return officers_console(tmp_path_factory.mktemp("console"))


# ------------------------------------------------------------ files that commands write


@pytest.mark.parametrize(
    ("login", "words"),
    [
        ("hoa", ("directory", "export", "--out")),
        ("hoa", ("request", "form")),
        ("hoa", ("report", "usage", "--unit", "CNTT", "--out")),
        ("kiem", ("report", "openings", "--out")),
        ("kiem", ("log", "export", "--from", "01/01/2026", "--until", "02/01/2026", "--reason", "x")),
        ("mai", ("directory", "export", "--out")),
    ],
)
@pytest.mark.parametrize("target", ["directory/directory.sqlite", "x.pdf", "../mic-mail.toml", "mail/x.pdf"])
def test_clause_6_1_a_command_writes_nothing_among_the_servers_files(console, login, words, target):
    """It runs with the powers of the server's account: whoever may read must not destroy by a file's name."""
    settings, place = (console.folder / "mic-mail.toml").read_bytes(), console.folder / "data" / target
    was_there = place.exists()
    console.refused_by(login, *words, place, code=2)
    assert place.exists() == was_there
    assert (console.folder / "mic-mail.toml").read_bytes() == settings
    assert console.by("mai", "unit", "show", "CNTT") == 0, "the directory is there still"


def test_clause_6_1_only_the_centre_replaces_a_file(console, tmp_path):
    """A link to a file counts as the file."""
    there, link = tmp_path / "of-another.csv", tmp_path / "link.csv"
    there.write_text("x")
    link.symlink_to(console.folder / "data" / "directory" / "directory.sqlite")
    for login in ("hoa", "kiem"):
        console.refused_by(login, "directory", "export", "--format", "csv", "--out", there, code=2)
    assert there.read_text() == "x"
    for login in ("hoa", "mai"):
        console.refused_by(login, "directory", "export", "--out", link, code=2)
    console.done_by("hoa", "directory", "export", "--format", "csv", "--out", tmp_path / "new.csv")
    console.done_by("mai", "directory", "export", "--format", "csv", "--out", there)
    assert there.read_text() != "x"


def test_clause_6_1_a_file_is_written_through_no_link(console, tmp_path):
    """A link that waits under the name of the file that is being made: the server's own file behind it stays as it is."""
    settings = console.folder / "mic-mail.toml"
    before = settings.read_bytes()
    for name in (f".new.csv.{os.getpid()}", ".new.csv"):
        (tmp_path / name).symlink_to(settings)
    console.done_by("hoa", "directory", "export", "--format", "csv", "--out", tmp_path / "new.csv")
    assert settings.read_bytes() == before
    assert (tmp_path / "new.csv").is_file()
    assert not (tmp_path / "new.csv").is_symlink()
    assert (tmp_path / "new.csv").stat().st_mode & 0o777 == 0o640


def test_clause_6_1_a_folder_that_becomes_another_one_is_written_to_as_it_was_looked_at(console, tmp_path):
    """Whoever changes a link back and forth between a folder of theirs and the server's gets no file into the latter."""
    theirs, servers, place, fresh = tmp_path / "theirs", console.folder / "data", tmp_path / "place", tmp_path / "fresh"
    theirs.mkdir()
    place.symlink_to(theirs)
    over = threading.Event()

    def change():
        for number in count():
            fresh.symlink_to((servers, theirs)[number % 2])
            fresh.replace(place)
            if over.is_set():
                return

    changing = threading.Thread(target=change)
    changing.start()
    try:
        codes = [console.by("hoa", "request", "form", place / f"{number}.xlsx") for number in range(60)]
    finally:
        over.set()
        changing.join()
    assert set(codes) <= {0, 2}
    assert not list(servers.glob("*.xlsx"))
    assert len(list(theirs.glob("*.xlsx"))) == codes.count(0)


def test_what_is_no_file_is_not_replaced_by_one(console, tmp_path):
    """A folder, a pipe, and what is behind a link to one, as /dev/stdout is; root would be allowed to."""
    pipe, link = tmp_path / "pipe.csv", tmp_path / "link.csv"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for place in (pipe, link, tmp_path, Path("/"), Path(".")):
        assert console.by("mai", "directory", "export", "--format", "csv", "--out", place) == 2, place
    assert pipe.is_fifo()
    assert link.is_symlink()
