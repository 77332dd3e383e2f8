"""Reg. 12.3.d: what was handed over can be shown at any later time: same, moved, expunged by somebody, changed, or missing."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from clients.shared_mailboxes import events_named
from harness import MailServer
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.policy.reclamation import Freed
from mic_mail.services.handover.verify import MessageFinding
from mic_mail.storage.errors import Frozen
from regulation.handover_setup import LAN, Office, open_office, still_office

pytestmark = pytest.mark.clause("12.3.d")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    yield from still_office(tmp_path / "server")


# ------------------------------------------------------------ verified later


def file_of(office: Office, folder: str, uid: int) -> Path:
    return Path(office.account.paths(office.account.folder(folder).folder_id, [uid])[uid])


def overwrite(path: Path, octets: bytes) -> None:
    path.chmod(0o640)
    path.write_bytes(octets)


def test_clause_12_3_d_damage_and_loss_are_named(office: Office) -> None:
    """By folder, UID and Message-ID: another content of the same size, another size, a file that is gone; the rest is same."""
    office.begin()
    office.finish()
    first = file_of(office, "INBOX", 1)
    overwrite(first, first.read_bytes().replace(b"chao", b"chAo"))
    overwrite(file_of(office, "Sent", 1), b"X: y\r\n\r\nngan\r\n")
    file_of(office, "INBOX", 3).unlink()
    result = office.verify()
    assert not result.is_whole
    told = {(found.folder, found.message.uid): found for found in result.found}
    assert {at: found.fate for at, found in told.items()} == {
        ("INBOX", 1): MessageFinding.CHANGED, ("Sent", 1): MessageFinding.CHANGED, ("INBOX", 3): MessageFinding.MISSING,
    }  # fmt: skip
    assert told["INBOX", 3].message.message_id == "<ba@mic.gov.vn>"
    office.account.repair()  # gives the file of another size a new UID, and knows that the other one is gone
    again = {(found.folder, found.message.uid): found.fate for found in office.verify().found}
    assert again == {at: found.fate for at, found in told.items()}
    assert office.fates() == {MessageFinding.SAME: 3, MessageFinding.CHANGED: 2, MessageFinding.MISSING: 1}


def test_clause_12_3_d_of_two_that_are_alike_one_is_missed(office: Office) -> None:
    """Two messages with the same octets are two."""
    office.begin()
    office.finish()
    file_of(office, "INBOX", 2).unlink()
    assert office.fates() == {MessageFinding.SAME: 5, MessageFinding.MISSING: 1}


def test_clause_12_3_d_later_moves_and_expunges_are_told_apart_from_loss(office: Office) -> None:
    """What is filed elsewhere is there; what was expunged by somebody, alone or with its folder, is no loss while kept."""
    office.begin()
    office.finish()
    inbox, filed = office.account.folder("INBOX").folder_id, office.account.folder("Công văn/2026").folder_id
    office.account.move(inbox, [1], filed)
    office.account.remove(inbox, [3])
    office.account.rename("Công văn/2026", "Lưu 2026")
    office.account.create("Mới")
    office.fill("bảy", folder="Mới")
    assert office.fates() == {MessageFinding.SAME: 4, MessageFinding.MOVED: 1, MessageFinding.EXPUNGED: 1}
    result = office.verify()
    assert result.is_whole
    assert result.new_folders == [("Mới", 1)]
    office.account.delete("Lưu 2026")
    assert office.fates() == {MessageFinding.SAME: 3, MessageFinding.EXPUNGED: 3}


def test_clause_12_3_d_what_is_past_keeping_the_log_has(serve: Callable[..., MailServer]) -> None:
    """Expunged by somebody after the handover and swept away: the log says who. Gone without a word there: missing."""
    clock = ManualClock(SystemClock().now())
    office = open_office(serve, clock)
    office.fill("một", "hai", "ba")
    office.begin()
    office.finish()
    client = office.imap(LAN)
    client.select("Shared/cntt")
    client.store("1", "+FLAGS", r"(\Deleted)")
    client.expunge()
    events_named(office.server, "messages_expunged", 1)
    office.account.remove(office.account.folder("INBOX").folder_id, [2])  # by nobody who is on record
    office.server.move_clock_to(clock.now() + timedelta(days=8))
    office.server.confirm_clock()
    office.server.housekeep()
    assert office.account.tombstones() == []
    fates = {found.message.uid: (found.fate, found.note.en.rpartition(" ")[2]) for found in office.verify().found}
    assert fates == {1: (MessageFinding.EXPUNGED, f"({LAN})"), 2: (MessageFinding.MISSING, "it")}
    office.close()


def test_clause_12_3_d_a_mailbox_that_was_freed_is_not_looked_for(office: Office) -> None:
    """Its content is in the archive: nothing is missing, and no empty store is made in its place."""
    office.begin()
    office.finish()
    now = office.server.clock.now()
    for kind in (FactKind.RECLAIMED, FactKind.ARCHIVED, FactKind.FREED):
        office.directory.append_fact(office.unit.mailbox_id, Draft(kind, now, "test", data={"archive": "x"}))
    with pytest.raises(Freed, match="content is in the archive"):
        office.verify()


def test_clause_12_3_d_a_move_is_no_excuse_for_a_loss(serve: Callable[..., MailServer]) -> None:
    """Filed by the successor, then gone from the disk: missing, with what was heard of it last. A renamed folder is known."""
    office = open_office(serve)
    office.account.create("Cu")
    office.fill("một", "hai", folder="Cu")
    office.begin()
    office.finish()
    client = office.imap(LAN)
    client.rename("Shared/cntt/Cu", "Shared/cntt/Moi")
    client.select("Shared/cntt/Moi")
    client._simple_command("MOVE", "1", "Shared/cntt/Archive")
    client.store("1", "+FLAGS", r"(\Deleted)")
    client.expunge()
    events_named(office.server, "messages_moved", 1)
    events_named(office.server, "messages_expunged", 1)
    home = office.server.config.mail_root / office.unit.home
    assert office.fates() == {MessageFinding.MOVED: 1, MessageFinding.EXPUNGED: 1}
    file_of(office, "Archive", 1).unlink()
    office.account.rescan()
    for path in (home / "Maildir" / ".expunged").iterdir():
        path.unlink()
    office.account.repair()
    found = {each.message.uid: (each.fate, each.note.en) for each in office.verify().found}
    assert found[1][0] is MessageFinding.MISSING
    assert found[1][1].startswith("moved to Shared/cntt/Archive ") or found[1][1].startswith("no record of who")
    assert found[2][0] is MessageFinding.EXPUNGED
    assert found[2][1].endswith(f"({LAN})")
    office.close()


def test_clause_12_3_d_a_message_that_went_too_early_is_missing(office: Office) -> None:
    """What was expunged while the handover ran (by a hand at the disk) does not pass as expunged since."""
    office.begin()
    (office.server.config.mail_root / office.unit.home / "frozen").unlink()
    office.account.remove(office.account.folder("INBOX").folder_id, [1])
    assert office.fates() == {MessageFinding.SAME: 5, MessageFinding.MISSING: 1}
    assert office.handovers.settle(office.directory.entry(office.unit.mailbox_id))  # as the housekeeper does
    office.finish()
    assert office.fates() == {MessageFinding.SAME: 5, MessageFinding.MISSING: 1}


def test_clause_12_3_d_the_same_after_repair_lost_index_and_restore(office: Office, tmp_path: Path) -> None:
    """Whatever becomes of index, UIDs and names, the content is found by its digest; a restore has to wait for the end."""
    office.begin()
    office.account.backup(tmp_path / "b")
    with pytest.raises(Frozen):
        office.account.restore(tmp_path / "b", replace=True)
    office.finish()
    office.account.repair()
    assert office.fates() == {MessageFinding.SAME: 6}
    home = office.server.config.mail_root / office.unit.home
    for path in home.glob("index.sqlite*"):
        path.unlink()
    assert office.fates() == {MessageFinding.SAME: 6}
    office.account.remove(office.account.folder("INBOX").folder_id, [1, 2])
    office.account.restore(tmp_path / "b", replace=True)
    assert office.fates() == {MessageFinding.SAME: 6}
    for path in [*home.glob("index.sqlite*"), *home.rglob(".mic-folder")]:
        path.unlink()
    office.account.repair()  # other ids, other UIDVALIDITY
    assert office.fates() == {MessageFinding.SAME: 6}
