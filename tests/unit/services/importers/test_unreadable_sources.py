"""Files and folders of strangers: links, pipes and what cannot be read are told, and lead nowhere."""

import errno
import io
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Container, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mic_mail.cli.import_report import report_of_comparison
from mic_mail.errors import Text
from mic_mail.services.importers import files
from mic_mail.services.importers.eml import EmlSource
from mic_mail.services.importers.importer import FolderChoice
from mic_mail.services.importers.maildir import MaildirSource
from mic_mail.services.importers.mbox import MboxSource
from mic_mail.services.importers.source import FolderClosed, Skip, Source, SourceFolder, SourceMessage, SourceWrong
from mic_mail.services.importers.verify import compare
from mic_mail.storage.types import ANSWERED, SEEN
from unit.services.importers.conftest import NOW_US, Here, Listed, message

# ------------------------------------------------------------ files of strangers


@pytest.mark.timeout(30)
def test_a_pipe_where_a_file_should_tell_something_is_not_waited_for(here: Here, tmp_path: Path) -> None:
    """Dovecot's keywords and subscriptions, a manifest: a pipe, a link out of the source, a folder tell nothing."""
    root = tmp_path / "Maildir"
    for inner in ("cur", "new"):
        (root / inner).mkdir(parents=True)
    (root / "cur" / "1.a:2,Sa").write_bytes(message(1))
    os.mkfifo(root / "subscriptions")
    os.mkfifo(root / "dovecot-keywords")
    assert here.run(MaildirSource(str(root)))["INBOX"].imported == 1
    (tmp_path / "words").write_text("0 secret\n")
    (root / "dovecot-keywords").unlink()
    (root / "dovecot-keywords").symlink_to(tmp_path / "words")
    assert here.run(MaildirSource(str(root)))["INBOX"].reflagged == 0
    files = tmp_path / "files"
    files.mkdir()
    (files / "a.eml").write_bytes(message(2))
    os.mkfifo(files / "manifest.json")
    with pytest.raises(SourceWrong):
        EmlSource(str(files))
    (files / "manifest.json").unlink()
    (files / "manifest.json").symlink_to(tmp_path / "words")
    with pytest.raises(SourceWrong):
        EmlSource(str(files))


@pytest.mark.parametrize("arrived", [5, 1e300, True, [], "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "x"])
def test_a_manifest_that_tells_nonsense_of_days(here: Here, tmp_path: Path, arrived: object) -> None:
    """Costs nothing but that day."""
    octets = message(1)
    (tmp_path / "a.eml").write_bytes(octets)
    told = {"file": "a.eml", "folder": "INBOX", "sha256": sha256(octets).hexdigest(), "arrived_at": arrived}
    (tmp_path / "manifest.json").write_text(json.dumps({"messages": [told]}))
    assert here.run(EmlSource(str(tmp_path)))["INBOX"].imported == 1


# ------------------------------------------------------------ Maildir


def test_a_maildir_of_strangers(here: Here, tmp_path: Path) -> None:
    """Flags, keywords, folders in UTF-7 and UTF-8, days by the file; links, pipes and folders are no messages."""
    root = tmp_path / "Maildir"
    for place in ("", ".Sent", ".D&AOE- &AOE-n", ".Dự án.2019", "plain"):
        for inner in ("cur", "new", "tmp"):
            (root / place / inner).mkdir(parents=True)
    (root / "dovecot-keywords").write_text("0 $Forwarded\n1 công\n2 work\n")
    (root / "cur" / "1.a:2,FSac").write_bytes(b"Subject: unix\n\nline\n")
    os.utime(root / "cur" / "1.a:2,FSac", (1_500_000_000, 1_500_000_000))
    (root / "new" / "2.b").write_bytes(b"Subject: mixed\r\n\nline\r\n")
    (root / ".Sent" / "cur" / "3.c:2,RS").write_bytes(message(3))
    (root / ".Dự án.2019" / "cur" / "4.d").write_bytes(message(4))
    (root / "plain" / "new" / "5").write_bytes(message(5))
    (root / "cur" / "evil").symlink_to("/etc/passwd")
    os.mkfifo(root / "cur" / "pipe")
    (root / "cur" / "folder").mkdir()
    (root / ".out").symlink_to("/")
    done = here.run(MaildirSource(str(root)))
    assert {name: tally.imported for name, tally in done.items()} == {
        "INBOX": 2, "Dá án": 0, "Dự án/2019": 1, "Sent": 1, "plain": 1,
    }  # fmt: skip
    assert done["INBOX"].skipped == {Skip.NOT_A_FILE: 3}
    contents = here.contents()
    assert contents["INBOX"] == Counter([b"Subject: unix\r\n\r\nline\r\n", b"Subject: mixed\r\n\r\nline\r\n"])
    assert here.flags("Sent") == [SEEN | ANSWERED]
    info = here.account.folder("INBOX")
    assert set(info.keywords) == {"$Forwarded", "work"}
    (received,) = here.account.rows(info.folder_id, [1], ("internaldate_us",))
    assert received == (1_500_000_000_000_000,)
    os.rename(root / "new" / "2.b", root / "cur" / "2.b:2,S")
    again = here.run(MaildirSource(str(root)))["INBOX"]
    assert (again.already, again.imported, again.reflagged) == (2, 0, 1)


def test_a_folder_that_becomes_a_link_leads_nowhere(here: Here, tmp_path: Path) -> None:
    """Whoever owns the source may change it while it is read: nobody else's mail is taken for theirs."""
    other, root = tmp_path / "boss" / "cur", tmp_path / "Maildir"
    for place in (other, root / "cur", root / "new", root / ".Sent" / "cur", root / ".Sent" / "new"):
        place.mkdir(parents=True)
    (other / "1.a").write_bytes(message(1))
    (root / "cur" / "1.a").write_bytes(message(2))
    (root / ".Sent" / "cur" / "1.a").write_bytes(message(3))
    source = MaildirSource(str(root))
    folders = source.folders()
    for place in (root / "cur", root / ".Sent" / "cur"):
        os.rename(place, f"{place}-away")
        place.symlink_to(other)
    for folder in folders:
        assert [item.skip for item in source.messages(folder, frozenset())] == [Skip.NOT_A_FILE]


def test_no_day_of_arrival_is_in_the_future(here: Here) -> None:
    """Nor before there was mail; a clock that went wrong at the source is not believed."""
    octets = message(1).replace(b"2019", b"2099")
    here.run(Listed(INBOX=[(1, octets, ""), (2, message(2).replace(b"2019", b"1901"), "")]))
    rows = here.account.rows(here.account.folder_id("INBOX"), [1, 2], ("internaldate_us",))
    assert rows == [(NOW_US + 86_400_000_000,), (NOW_US,)]


# ------------------------------------------------------------ what cannot be read


class Nobody:
    """A folder of somebody whose mail the server's account may read in part only; within it we are that account."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp())
        self.path.chmod(0o755)

    def __enter__(self) -> Path:
        if os.getuid() == 0:
            os.seteuid(65534)
        return self.path

    def __exit__(self, *_: object) -> None:
        os.seteuid(os.getuid())

    def close(self) -> None:
        for folder, closed, _ in os.walk(self.path):
            for name in closed:  # before they are walked through
                os.chmod(os.path.join(folder, name), 0o755)
        shutil.rmtree(self.path)


@pytest.fixture
def nobody() -> Iterator[Nobody]:
    made = Nobody()
    yield made
    made.close()


def came_of(source: Source) -> dict[str, int | str]:
    """Of each folder how many messages there are, or why there are none."""
    found: dict[str, int | str] = {}
    for folder in source.folders():
        try:
            found[folder.name] = sum(item.skip is None for item in source.messages(folder, frozenset()))
        except FolderClosed as closed:
            found[folder.name] = closed.text.en
    return found


def test_folders_that_may_not_be_read_are_told(nobody: Nobody) -> None:
    """They are not left out without a word, which would pass for a mailbox that came whole; what can be read comes."""
    root = nobody.path
    for name in ("", ".Open", ".Closed", ".HalfClosed"):
        for inner in ("cur", "new"):
            (root / "Maildir" / name / inner).mkdir(parents=True)
        (root / "Maildir" / name / "cur" / "1.a").write_bytes(message(1))
    (root / "Maildir" / ".Copied" / "cur").mkdir(parents=True)  # by a tool that leaves out empty folders
    (root / "Maildir" / ".Copied" / "cur" / "1.a").write_bytes(message(1))
    (root / "Maildir" / ".Closed").chmod(0)
    (root / "Maildir" / ".HalfClosed" / "cur").chmod(0)
    for kind in ("eml", "mbox"):
        for name in ("Open", "Closed"):
            (root / kind / name).mkdir(parents=True)
            (root / kind / name / "a.eml").write_bytes(message(2))
            (root / kind / name / "Box").write_bytes(b"From a@b Tue Oct  1 10:00:00 2019\n" + message(2))
        (root / kind / "Closed").chmod(0)
    (root / "mbox" / "File").write_bytes(b"From a@b Tue Oct  1 10:00:00 2019\n" + message(2))
    (root / "mbox" / "File").chmod(0)
    with nobody:
        maildir = came_of(MaildirSource(str(root / "Maildir")))
        eml = came_of(EmlSource(str(root / "eml")))
        mbox = came_of(MboxSource(str(root / "mbox")))
    denied = "/{} cannot be read: Permission denied."
    assert {name: came if isinstance(came, int) else came[len(f"{root}/Maildir") :] for name, came in maildir.items()} == {
        "INBOX": 1, "Closed": denied.format(".Closed/cur"), "Copied": 1, "HalfClosed": denied.format(".HalfClosed/cur"),
        "Open": 1,
    }  # fmt: skip
    assert eml == {"Closed": f"{root}/eml" + denied.format("Closed"), "Open": 1}
    assert mbox == {
        "Closed": f"{root}/mbox" + denied.format("Closed"), "File": f"{root}/mbox" + denied.format("File"), "Open/Box": 1,
    }  # fmt: skip


class Damaged(io.FileIO):
    """A file with a bad sector."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("octets", [30, 3 << 20])
def test_a_file_on_a_bad_sector_ends_no_import(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, octets: int
) -> None:
    """It is skipped and counted, whatever its size; the others come."""
    root = tmp_path / "files"
    root.mkdir()
    for number, name in enumerate(("a.eml", "bad.eml", "c.eml")):
        (root / name).write_bytes(message(number, octets))

    def opened(fd: int, *words: Any, **named: Any) -> Any:
        is_bad = os.readlink(f"/proc/self/fd/{fd}").endswith("/bad.eml")
        return Damaged(fd, closefd=False) if is_bad else open(fd, *words, **named)

    monkeypatch.setattr(files, "open", opened, raising=False)
    done = here.run(EmlSource(str(root)))["INBOX"]
    assert (done.imported, done.skipped) == (2, {Skip.UNREADABLE: 1})


def test_a_comparison_does_not_pass_over_what_cannot_be_read(here: Here) -> None:
    """Nor does an import: the others come, and it ends with a word about that folder."""

    class Closed(Listed):
        def messages(self, folder: SourceFolder, known: Container[str]) -> Iterator[SourceMessage]:
            if folder.place == "A":
                raise FolderClosed(Text("đóng", "closed"))
            yield from super().messages(folder, known)

    source = Closed(A=[(1, message(1), "")], B=[(1, message(2), "")])
    with pytest.raises(FolderClosed):
        here.run(source)
    assert set(here.contents()) == {"B"}
    with here.ledger(source) as ledger:
        assert report_of_comparison(compare(here.account, source, ledger, FolderChoice()), as_json=True) == 1
