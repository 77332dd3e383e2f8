"""What is imported comes once and whole: whatever is killed, run again, moved, deleted or full in between."""

import errno
import os
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pytest

from mic_mail.services.importers.dry_run import dry_run
from mic_mail.services.importers.eml import EmlSource
from mic_mail.services.importers.importer import FolderChoice, QuotaReached
from mic_mail.services.importers.ledger import ImportRuns, Ledger
from mic_mail.services.importers.mbox import MboxSource
from mic_mail.services.importers.source import Skip
from mic_mail.services.importers.verify import compare
from mic_mail.storage.types import ANSWERED, FLAGGED, SEEN
from unit.services.importers.conftest import Here, Listed, message


def test_twice_brings_nothing_twice(here: Here) -> None:
    """And the second run reads nothing again; two equal messages stay two."""
    source = Listed(
        INBOX=[(1, message(1), "\\Seen"), (2, message(2), ""), (5, message(2), "\\Flagged $label1")], Sent=[(1, message(3), "")]
    )
    done = here.run(source)
    assert (done["INBOX"].found, done["INBOX"].imported, done["Sent"].imported) == (3, 3, 1)
    assert here.contents() == {"INBOX": Counter({message(1): 1, message(2): 2}), "Sent": Counter({message(3): 1})}
    source.read.clear()
    again = here.run(source)
    assert (again["INBOX"].imported, again["INBOX"].already, source.read) == (0, 3, [])
    assert again["INBOX"].digest == done["INBOX"].digest != here.run(Listed())
    info = here.account.folder("INBOX")
    assert info.keywords == ("$label1",)
    assert here.flags() == [SEEN, 0, FLAGGED | 32]
    (stored,) = here.account.rows(info.folder_id, [1], ("internaldate_us",))
    assert stored == (1_569_898_800_000_000,), "by its Date, where nothing else tells"


def test_a_later_pass_brings_what_is_new(here: Here) -> None:
    """New messages and changed flags; what its reader did here meanwhile stays done."""
    source = Listed(INBOX=[(n, message(n), "") for n in range(1, 6)])
    here.run(source)
    inbox = here.account.folder_id("INBOX")
    here.account.remove(inbox, [1])
    here.account.create("Của tôi")
    here.account.move(inbox, [2], here.account.folder_id("Của tôi"))
    here.account.store_flags(inbox, [4], "+", ANSWERED)
    for uid, flags in ((1, "\\Seen"), (2, "\\Seen"), (3, "\\Seen \\Flagged"), (4, "\\Seen")):
        source.content["INBOX"][uid] = (message(uid), flags)
    source.content["INBOX"][9] = (message(9), "")
    del source.content["INBOX"][5]
    done = here.run(source)["INBOX"]
    assert (done.found, done.imported, done.already) == (5, 1, 4)
    assert here.contents() == {
        "INBOX": Counter(message(n) for n in (3, 4, 5, 9)),
        "Của tôi": Counter([message(2)]),
    }
    assert here.flags() == [SEEN | FLAGGED, SEEN | ANSWERED, 0, 0]
    source.content["INBOX"][3] = (message(3), "")
    assert here.run(source)["INBOX"].reflagged == 1
    assert here.flags()[0] == 0


def test_another_uidvalidity_brings_nothing_twice(here: Here) -> None:
    """The messages are the same by their octets; a real second one is still a second one."""
    source = Listed(INBOX=[(1, message(1), ""), (2, message(1), ""), (3, message(3), "")])
    here.run(source)
    here.account.remove(here.account.folder_id("INBOX"), [3])
    source.validity = 8
    source.content["INBOX"] = {11: (message(1), "\\Seen"), 12: (message(3), ""), 13: (message(1), ""), 14: (message(1), "")}
    done = here.run(source)["INBOX"]
    assert (done.found, done.imported, done.already) == (4, 1, 3)
    assert here.contents() == {"INBOX": Counter({message(1): 3})}, "what was deleted here stays deleted"
    source.read.clear()
    assert here.run(source)["INBOX"].already == 4
    assert source.read == []


def test_what_came_by_other_ways_is_kept_once(here: Here) -> None:
    """Somebody had copied some by hand, or the ledger was lost: the octets tell. One message here stands for one there."""
    source = Listed(INBOX=[(1, message(1), ""), (2, message(2), ""), (3, message(2), "")])
    here.run(source)
    next(iter((here.folder / "imports").glob("*"))).unlink()
    done = here.run(source)["INBOX"]
    assert (done.imported, done.already) == (0, 3)
    here.account.remove(here.account.folder_id("INBOX"), [3])
    next(iter((here.folder / "imports").glob("*"))).unlink()
    source.identity = "another"  # type: ignore[misc]
    assert here.run(source)["INBOX"].imported == 1


def test_a_ledger_that_cannot_be_written_leaves_no_file(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message was copied here before, and the disk is full as it is claimed: the run ends, and its copy is removed."""
    source = Listed(INBOX=[(1, message(1), "")])
    here.run(source)
    next(iter((here.folder / "imports").glob("*"))).unlink()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Ledger, "add", full)
    with pytest.raises(OSError, match="No space left"):
        here.run(source)
    assert not list(here.folder.glob("mail/*/*/Maildir/tmp/*"))


def test_a_full_mailbox(here: Here) -> None:
    """As many come as there is room for, it is told, and with more room the rest comes."""
    source = Listed(INBOX=[(n, message(n, 900), "") for n in range(1, 20)])
    with pytest.raises(QuotaReached) as refusal:
        here.run(source, limit=10_000)
    assert refusal.value.clause == "8.3.a"
    came = sum(here.contents()["INBOX"].values())
    assert came == 10_000 // len(message(1, 900))
    assert not list(here.folder.glob("mail/*/*/Maildir/tmp/*"))
    assert here.run(source)["INBOX"].imported == 19 - came


def test_odd_messages(here: Here) -> None:
    """Whatever octets: they are stored as they are; nothing at all is skipped."""
    octets = [b"\0\r\n\0", b"x", b"\r\n", b"\xff" * 3000, b": :\r\n\r\n", b"From: \xe1\r\n" * 500 + b"\r\n", b"a" * (1 << 20)]
    done = here.run(Listed(INBOX=[*((n, each, "\\Bad \\Recent ( x") for n, each in enumerate(octets, 1)), (99, b"", "")]))[
        "INBOX"
    ]
    assert (done.found, done.imported, done.skipped) == (8, 7, {Skip.EMPTY: 1})
    assert here.contents()["INBOX"] == Counter(octets)


def test_keywords_beyond_what_a_folder_holds(here: Here) -> None:
    """58 are kept; messages come all the same."""
    source = Listed(INBOX=[(n, message(n), f"k{n}") for n in range(1, 80)])
    assert here.run(source)["INBOX"].imported == 79
    assert len(here.account.folder("INBOX").keywords) <= 58


def test_a_later_keyword_has_no_room(here: Here) -> None:
    """The flags come all the same, and so do the folders behind it."""
    source = Listed(INBOX=[(n, message(n), f"k{n}") for n in range(1, 59)], Sau=[(1, message(99), "")])
    assert here.run(source)["INBOX"].imported == 58
    assert len(here.account.folder("INBOX").keywords) == 58
    source.content["INBOX"][1] = (message(1), "k1 k99 \\Seen")
    source.content["Sau"][2] = (message(98), "")
    done = here.run(source)
    assert (done["INBOX"].reflagged, done["Sau"].imported) == (1, 1)
    assert here.flags()[0] & SEEN
    assert here.run(source)["INBOX"].reflagged == 0


def test_a_folder_that_is_deleted_meanwhile(here: Here) -> None:
    """By its person: it is made again."""
    source = Listed(Lớn=[(n, message(n), "") for n in range(1, 130)])

    def delete_once(name: str, uid: int) -> None:
        if uid == 60:
            here.account.delete(name)

    source.before = delete_once
    assert here.run(source)["Lớn"].imported == 129
    assert sum(here.contents()["Lớn"].values()) == 79


def test_choices(here: Here) -> None:
    """Of folders; where they go; what a rehearsal says is what happens, and it does nothing."""
    source = Listed(INBOX=[(1, message(1), "")], Cũ=[(1, message(2), "")], Bỏ=[(1, message(3), "")])
    choice = FolderChoice(folders=("INBOX", "Cũ"), renamed=(("Cũ", "Lưu/2019"),))
    with here.ledger(source) as ledger:
        planned = dry_run(here.account, source, ledger, choice)
    assert [(each.target, each.imported, dict(each.skipped)) for each in planned] == [
        ("INBOX", 1, {}), ("Lưu/2019", 1, {}), ("", 0, {Skip.NOT_CHOSEN: 1}),
    ]  # fmt: skip
    assert here.contents() == {}
    here.run(source, choice=choice)
    assert set(here.contents()) == {"INBOX", "Lưu/2019"}
    assert "Lưu/2019" in here.account.subscriptions()


def test_comparing_tells_where_each_message_is(here: Here) -> None:
    """There, filed elsewhere, deleted here, never come, or altered on the disk."""
    source = Listed(INBOX=[(n, message(n), "") for n in range(1, 6)])
    here.run(source)
    inbox = here.account.folder_id("INBOX")
    here.account.create("Khác")
    here.account.move(inbox, [1], here.account.folder_id("Khác"))
    here.account.remove(inbox, [2])
    source.content["INBOX"][9] = (message(9), "")
    with here.ledger(source) as ledger:
        (found,) = compare(here.account, source, ledger, FolderChoice())
        assert (found.there, found.elsewhere, found.removed, found.missing) == (3, 1, 1, 1)
        assert found.named == [sha256(message(9)).hexdigest()]
        path = next(iter(here.account.paths(inbox, [3]).values()))
        os.chmod(path, 0o600)
        Path(path).write_bytes(message(3).replace(b"x", b"y"))
        (altered,) = compare(here.account, source, ledger, FolderChoice())
        assert (altered.there, altered.removed, altered.missing) == (2, 2, 1)


def test_one_run_of_a_source_at_a_time(here: Here) -> None:
    """The same source into the same mailbox: the second is refused, whoever runs it."""
    source = Listed(INBOX=[(1, message(1), "")])
    with here.ledger(source), pytest.raises(ImportRuns):
        here.run(source)
    assert here.run(source)["INBOX"].imported == 1


# ------------------------------------------------------------ mbox


NOTED = (
    b"Status: RO\nX-Status: A\n",
    b"X-Mozilla-Status: 0001\nX-Mozilla-Status2: 00000000\nX-Mozilla-Keys: $label1      \n",
    b"X-UID: 7\nX-Keywords: a b\n\tc\nContent-Length: 31\nLines: 1\n",
)


@pytest.mark.parametrize("size", [30, 2 << 20])
@pytest.mark.parametrize("noted", NOTED)
def test_what_its_reader_notes_in_an_mbox_makes_no_other_message(here: Here, tmp_path: Path, noted: bytes, size: int) -> None:
    """Weeks lie between two passes, and Thunderbird, mutt and pine write into the file what was read since. Two equal ones
    stay two, flags come along, and the comparison finds all of them."""
    path = tmp_path / "box"
    begin = b"From a@b Tue Oct  1 10:00:00 2019\n"
    letters = [message(n, size).replace(b"\r\n", b"\n") + b"\n" for n in (1, 2, 2)]
    path.write_bytes(b"".join(begin + b"X-Mozilla-Status: 0000\n" + each for each in letters))
    assert here.run(MboxSource(str(path)))["box"].imported == 3
    path.write_bytes(b"".join(begin + noted + each for each in [*letters, letters[0].replace(b"Subject", b"Subjekt")]))
    source = MboxSource(str(path))
    with here.ledger(source) as ledger:
        (planned,) = dry_run(here.account, source, ledger, FolderChoice())
    done = here.run(source)["box"]
    assert (done.found, done.imported, done.already) == (planned.found, planned.imported, planned.already) == (4, 1, 3)
    assert sum(here.contents()["box"].values()) == 4
    assert done.reflagged == (0 if b"X-UID" in noted else 3)
    with here.ledger(source) as ledger:
        (found,) = compare(here.account, source, ledger, FolderChoice())
    assert (found.there, found.missing) == (4, 0)


def test_what_a_body_says_of_a_status_counts(here: Here, tmp_path: Path) -> None:
    """Only the header is where programs note something."""
    for number in (1, 2):
        (tmp_path / f"{number}.eml").write_bytes(b"Subject: x\r\n\r\nStatus: %d\r\n" % number)
    assert here.run(EmlSource(str(tmp_path)))["INBOX"].imported == 2
