"""Reg. 12.3.d: a unit's mailbox goes to another keeper as it stands: who may, what is counted, what can be shown later."""

import hashlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock, SystemClock
from mic_mail.documents.document import DescriptionList
from mic_mail.errors import BadInput, Trouble
from mic_mail.log.maillog import MailLog
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.calendar import local_day
from mic_mail.policy.facts import Departure, Draft, FactKind, Level, MailboxKind
from mic_mail.policy.unit_mail.delegation import Part
from mic_mail.policy.unit_mail.handover import (
    WITHHELD,
    BeingHandedOver,
    HandoverStanding,
    handovers,
    nothing_may_go,
    running,
    withheld,
)
from mic_mail.process.executors import Executors
from mic_mail.services.authentication.delegation import Delegations, Term
from mic_mail.services.handover.inventory import InventoryDamaged, digest_of, read_folders
from mic_mail.services.handover.minutes import Minutes
from mic_mail.services.handover.transfer import Nomination
from mic_mail.services.handover.verify import MessageFinding
from mic_mail.services.mailboxes.legal_holds import Holds
from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle, NotAllowed
from mic_mail.services.operations.jobs import Visits
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef
from population import transfer
from regulation.conftest import History
from regulation.handover_setup import BE, HEAD, LAN, NAMING, Office, afresh, still_office
from runtimes import runtime

pytestmark = pytest.mark.clause("12.3.d")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    yield from still_office(tmp_path / "server")


# ------------------------------------------------------------ the facts


def test_clause_12_3_d_a_handover_follows_from_its_facts() -> None:
    """It runs until it is finished or cancelled; what comes later for one that has ended says nothing."""
    history = History(MailboxKind.UNIT)
    assert running(history.facts) is None
    assert withheld(history.facts) == ""
    first = history.add(FactKind.HANDOVER_BEGUN, "2026-01-02", person=2, holder=LAN, named_by="An", until="2027-01-01")
    assert withheld(history.facts) == WITHHELD
    assert nothing_may_go(history.facts)
    history.add(FactKind.HANDOVER_COUNTED, "2026-01-02", handover=first.seq, digest="ab")
    history.add(FactKind.HANDOVER_CANCELLED, "2026-01-03", handover=first.seq)
    history.add(FactKind.HANDOVER_FINISHED, "2026-01-03", handover=first.seq)
    history.add(FactKind.HANDOVER_FINISHED, "2026-01-03", handover=99)
    second = history.add(FactKind.HANDOVER_BEGUN, "2026-01-04", person=2)
    found = handovers(history.facts)
    assert [(each.seq, each.standing) for each in found] == [
        (first.seq, HandoverStanding.CANCELLED),
        (second.seq, HandoverStanding.BEGUN),
    ]
    assert (found[0].until, found[0].successor_id, found[0].successor) == (date(2027, 1, 1), 2, LAN)
    history.add(FactKind.HANDOVER_FINISHED, "2026-01-05", handover=second.seq)
    assert running(history.facts) is None
    assert not nothing_may_go(history.facts)


# ------------------------------------------------------------ who may


REFUSED: list[Callable[[Office], object]] = [
    lambda o: o.handovers.begin(o.be, NAMING, HEAD),  # a personal mailbox
    lambda o: o.handovers.begin(o.server.issue("doan", kind=MailboxKind.GROUP), NAMING, HEAD),
    lambda o: o.handovers.begin(o.unit, NAMING, ActContext("mai", "nói miệng")),
    lambda o: o.handovers.begin(o.unit, Nomination(LAN, " "), HEAD),
    lambda o: o.handovers.begin(o.unit, Nomination(LAN, "An", date(2999, 1, 1)), HEAD),
    lambda o: o.handovers.begin(o.unit, Nomination(LAN, "An", None, date(2020, 1, 1)), HEAD),
    lambda o: o.handovers.begin(o.unit, Nomination(BE, "An"), HEAD),  # the keeper
    lambda o: o.handovers.finish(o.unit, "x" * 20, HEAD),
    lambda o: o.cancel(),
    lambda o: (o.begin(), o.server.issue("hoa"), o.handovers.begin(o.unit, Nomination("hoa", "An"), HEAD)),
    lambda o: o.begin(Nomination(LAN, NAMING.named_by, None, date(2999, 1, 1))),  # from here on one runs
    lambda o: authorise(o, o.be),
    lambda o: o.handovers.cancel(o.unit, ActContext("mai")),
    lambda o: Holds(o.directory, o.store, o.server.clock).must_not_be_held(o.directory.entry(o.unit.mailbox_id)),
    lambda o: (o.cancel(), o.cancel()),
    lambda o: (o.handovers.begin(o.unit, NAMING, HEAD), o.finish()),  # nothing is counted yet
    lambda o: (o.begin(), leave(o, o.lan), o.finish()),
    lambda o: (o.cancel(), o.begin()),  # nobody is named who has left
]
"""One after the other, each in the state that those before it left."""


def leave(office: Office, whose: object) -> None:
    accounts = MailboxLifecycle(office.directory, office.server.config, office.server.clock)
    accounts.leave(whose, SystemClock().now().date(), Level.DEPARTMENT, Departure.RETIRED, HEAD)


def authorise(office: Office, whom: object, part: Part = Part.KEEPER, until: date | None = None) -> None:
    delegations = Delegations(office.directory, office.server.config, office.server.clock)
    delegations.grant(office.unit, whom.address, part, Term(None, until), HEAD)


def test_clause_12_3_d_refused(office: Office) -> None:
    """With the clause, and the store is frozen while a handover runs, and only then."""
    for number, act in enumerate(REFUSED):
        with pytest.raises((NotAllowed, BadInput, BeingHandedOver)) as error:
            act(office)
        assert error.value.clause in {"12.3.d", "12.3"}, number
        assert office.account.is_frozen() == (running(office.directory.facts(office.unit.mailbox_id)) is not None), number


@pytest.mark.clause("7.1")
def test_clause_12_3_d_a_successor_who_is_suspended_gets_no_password(office: Office) -> None:
    """Neither at the beginning nor, suspended meanwhile, at the end; nothing has moved then; a restoration lets it go on."""

    def tell(kind: FactKind) -> None:
        office.server.record(office.lan, Draft(kind, office.server.clock.now(), "mai", data={"cause": "c"}))

    def must_be_refused(act: Callable[[], object]) -> None:
        with pytest.raises(NotAllowed) as error:
            act()
        assert error.value.clause == "7.1"

    tell(FactKind.SUSPENDED)
    must_be_refused(office.begin)
    assert not office.account.is_frozen()
    tell(FactKind.RESTORED)
    office.begin()
    before = office.directory.entry(office.unit.mailbox_id)
    tell(FactKind.SUSPENDED)
    must_be_refused(office.finish)
    after = office.directory.entry(office.unit.mailbox_id)
    assert (after.facts, after.credential) == (before.facts, before.credential)
    assert office.account.is_frozen()
    tell(FactKind.RESTORED)
    office.finish()


def test_clause_12_3_d_minutes_say_how_it_ended(office: Office) -> None:
    """A draft until it is finished; of one that was cancelled nothing says that anything was handed over."""

    def told() -> dict[str, object]:
        handover = office.handovers.of(office.unit)
        inventory = office.handovers.inventory(office.unit, handover)
        assert inventory is not None
        paper = Minutes(office.directory, office.server.config).paper(office.unit, handover, inventory)
        return {
            "": str(paper),
            **dict(pair for block in paper.blocks if isinstance(block, DescriptionList) for pair in block.pairs),
        }

    office.begin()
    draft = told()
    assert draft["Hoàn thành"] == "chưa hoàn thành (bản dự thảo)"
    office.cancel()
    ended = office.handovers.of(office.unit).ended
    assert ended is not None
    cancelled = told()
    assert (cancelled["Hoàn thành"], cancelled["Đã hủy"]) == ("không hoàn thành", ended.effective_at)
    assert cancelled["Mật khẩu"] == cancelled["Quyền của bên giao và người thay thế"] == "không thay đổi"
    assert "khởi tạo lại" in str(draft[""])
    assert "khởi tạo lại" not in str(cancelled[""])
    office.begin()
    office.finish()
    finished = told()
    assert finished["Hoàn thành"] == office.handovers.of(office.unit).ended.effective_at
    assert "Đã hủy" not in finished


def test_clause_12_3_d_who_came_back_may_take_over_again(office: Office) -> None:
    """A leave has ended the keeper's authority for good (12.3): after the return it is handed over as to anybody."""
    be = Nomination(BE, NAMING.named_by)
    with pytest.raises(NotAllowed, match="already its keeper"):
        office.begin(be)
    for kind in (FactKind.LEFT, FactKind.RETURNED):
        office.server.record(office.be, Draft(kind, office.server.clock.now(), "mai", data={"level": "department"}))
    office.begin(be)
    office.finish()


def test_clause_12_3_d_the_rights_move(office: Office) -> None:
    """One keeper with the new term; the old one and every substitute hold nothing; the password has to be changed."""
    authorise(office, office.server.issue("hoa"), Part.SUBSTITUTE, date(2999, 1, 1))
    office.begin(Nomination(LAN, "Nguyễn Văn An", date(2026, 1, 2), date(2999, 12, 31)))
    before = office.directory.entry(office.unit.mailbox_id).credential
    office.finish()
    entry = office.directory.entry(office.unit.mailbox_id)
    holders = Delegations(office.directory, office.server.config, office.server.clock).holders(entry, SystemClock().now())
    assert [(h.person.address, h.grant.part, str(h.grant.until)[:10]) for h in holders if h.holding] == [
        (LAN, Part.KEEPER, "2999-12-31")
    ]
    assert entry.credential.version == before.version + 1
    assert entry.credential.scram != before.scram
    assert MailboxLifecycle(office.directory, office.server.config, office.server.clock).decide(entry).password_change_due
    assert [fact.kind for fact in entry.facts[-4:]] == [
        FactKind.AUTHORITY_REVOKED, FactKind.AUTHORISED, FactKind.PASSWORD_RESET, FactKind.HANDOVER_FINISHED,
    ]  # fmt: skip
    assert entry.facts[-3].document == "45/QĐ-CNTT"


def test_clause_12_3_d_a_mailbox_that_nobody_kept(office: Office) -> None:
    """The record has no predecessor; the minutes leave room for a name."""
    office.server.deny(office.unit, office.be)
    authorise(office, office.be, until=local_day(SystemClock().now()))
    assert office.begin().predecessor == BE
    lonely = office.server.issue("vp", kind=MailboxKind.UNIT)
    assert lonely.unit_id is not None
    there = next(unit for unit in office.directory.units() if unit.unit_id == lonely.unit_id)
    assert office.lan.person_id is not None
    transfer(office.directory, office.directory.person(office.lan.person_id), there)
    assert office.handovers.begin(lonely, NAMING, HEAD).predecessor is None


# ------------------------------------------------------------ what is counted


def test_clause_12_3_d_the_inventory_can_be_made_again_from_the_files(office: Office) -> None:
    """Count, octets and digest of each folder; the digest as `sha256sum | sort | sha256sum` makes it, UIDs and flags aside."""
    handover = office.begin()
    inventory = office.handovers.inventory(office.unit, handover)
    assert inventory is not None
    by_name = {folder.name: folder for folder in inventory.folders}
    assert {name: folder.messages for name, folder in by_name.items() if folder.messages} == {
        "INBOX": 4, "Sent": 1, "Công văn/2026": 1,
    }  # fmt: skip
    maildir = office.server.config.mail_root / office.unit.home / "Maildir"
    lines = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in (maildir / "cur").iterdir())
    made = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    assert by_name["INBOX"].digest == made == digest_of(lines)
    assert by_name["INBOX"].octets == sum(path.stat().st_size for path in (maildir / "cur").iterdir())
    path = office.handovers.path_of(office.unit.home, handover)
    shell = "sha256sum cur/* | cut -c1-64 | LC_ALL=C sort | sha256sum | cut -c1-64"  # as the manual has it
    assert subprocess.check_output(["sh", "-c", shell], cwd=maildir, text=True).strip() == made
    assert handover.counted.text("digest") == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [len(messages) for _, messages in read_folders(path, handover.counted.text("digest"))] == [
        folder.messages for folder in inventory.folders
    ]


def test_clause_12_3_d_counted_again_the_newest_counts(office: Office) -> None:
    """Begun once more for the same successor, it is counted anew; a damaged inventory says so and does not finish."""
    first = office.begin()
    office.fill("sáu")
    second = office.begin()
    assert (first.seq, first.counted.data["messages"], second.counted.data["messages"]) == (second.seq, 6, 7)
    path = office.handovers.path_of(office.unit.home, second)
    path.chmod(0o640)
    path.write_bytes(path.read_bytes().replace(b'"messages":5', b'"messages":4'))
    for act in (office.verify, office.finish):
        with pytest.raises(InventoryDamaged):
            act()
    path.unlink()
    with pytest.raises(InventoryDamaged):
        office.finish()
    office.begin()
    office.finish()
    assert office.fates() == {MessageFinding.SAME: 7}


def test_clause_12_3_d_an_inventory_that_cannot_be_written(office: Office) -> None:
    """A disk that is full or wrong: told with its remedy; the mailbox is kept as it is, and the next count goes through."""
    place = office.server.config.server.data_dir / "handovers"
    place.write_text("")
    with pytest.raises(Trouble, match="inventory cannot be written"):
        office.begin()
    assert office.account.is_frozen()
    place.unlink()
    assert office.begin().standing is HandoverStanding.COUNTED


def test_clause_12_3_d_counted_by_two_at_once(office: Office) -> None:
    """Each has a file of its own, and the one on record is there whole."""
    office.handovers.begin(office.unit, NAMING, HEAD)
    threads = [
        threading.Thread(target=lambda: afresh(office, lambda handovers: handovers.count(office.unit, HEAD))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    office.finish()
    assert office.fates() == {MessageFinding.SAME: 6}


def test_clause_12_3_d_what_cannot_be_read_is_counted_as_that(office: Office) -> None:
    """A file that is no file costs neither the handover nor the others."""
    [path] = office.account.paths(office.account.folder("Sent").folder_id, [1]).values()
    os.unlink(path)
    os.symlink("/nonexistent/loop", path)
    handover = office.begin()
    assert handover.counted.data["messages"] in {5, 6}
    assert handover.counted.data["messages"] - handover.counted.data["unreadable"] == 5
    office.finish()
    assert office.fates()[MessageFinding.SAME] >= 5


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: os.symlink(path, path)], ids=["fifo", "folder", "loop"])
def test_clause_12_3_d_what_cannot_be_read_keeps_nobody_waiting(office: Office, put: Callable[[str], None]) -> None:
    """A pipe in the place of a message is no message, and one that can be read again later is not said to be changed."""
    [path] = office.account.paths(office.account.folder("Sent").folder_id, [1]).values()
    os.rename(path, aside := str(Path(path).parents[2] / "aside"))
    put(path)
    done = threading.Thread(target=office.begin, daemon=True)
    done.start()
    done.join(30)
    assert not done.is_alive()
    assert office.handovers.of(office.unit).counted.data["unreadable"] == 1
    os.rmdir(path) if put is os.mkdir else os.unlink(path)
    os.rename(aside, path)
    office.finish()
    assert office.fates() == {MessageFinding.SAME: 6}


# ------------------------------------------------------------ what would destroy


async def test_clause_12_3_d_nothing_is_swept(office: Office) -> None:
    """What was expunged before stays as long as it runs, by the mark and by the facts; it goes with the next sweep after it."""
    office.account.remove(office.account.folder("INBOX").folder_id, [1])
    office.begin()
    late = ManualClock(SystemClock().now() + timedelta(days=30))
    store = LocalMailStore(office.server.config.mail_root, clock=late, host="test")
    account = store.account(AccountRef(office.unit.mailbox_id, office.unit.home))
    executors, log = Executors(), MailLog(None, "test", clock=late, threaded=False)
    parts = runtime(office.server.config, late, executors=executors, log=log, snapshot=office.directory.load_snapshot)
    visits = Visits(parts, store)
    account.sweep()  # as one whose facts are a moment old
    await visits.sweep(trusted=True)
    assert len(account.tombstones()) == 1
    office.finish()
    await visits.sweep(trusted=True)
    assert account.tombstones() == []
    store.close()
    executors.close()
