"""Reg. 9.2: what an authority demands is kept, only with its document, until another document ends it."""

import contextlib
import threading
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.clock import ManualClock, SystemClock
from mic_mail.config.model import Config
from mic_mail.errors import BadInput
from mic_mail.log.maillog import MailLog
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import FactKind
from mic_mail.policy.legal_holds import UnderLegalHold, holds, must_keep, the_hold
from mic_mail.process.executors import Executors
from mic_mail.services.mailboxes.legal_holds import Holds
from mic_mail.services.operations.jobs import Visits
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef
from regulation.conftest import History
from regulation.officers import officers_console
from runtimes import runtime
from store_harness import deliver

BE, LAN = "dvbe@mic.gov.vn", "ttlan@mic.gov.vn"
DEMAND = ("--document", "15/CSĐT", "--reason", "yêu cầu của cơ quan điều tra")


# ------------------------------------------------------------ the facts


def test_clause_9_2_several_demands_beside_one_another():
    """Each is lifted for itself; one that is not named can be lifted only if it is the only one."""
    history = History()
    assert holds(history.facts) == ()
    assert not must_keep(history.facts)
    first = history.add(FactKind.HELD, "2026-01-02", document="15/CSĐT")
    second = history.add(FactKind.HELD, "2026-02-02", document="9/TA")
    on = holds(history.facts)
    assert [hold.document for hold in on] == ["15/CSĐT", "9/TA"]
    with pytest.raises(BadInput):
        the_hold(on, None)
    with pytest.raises(BadInput):
        the_hold(on, 99)
    assert the_hold(on, second.seq).document == "9/TA"
    history.add(FactKind.HOLD_RELEASED, "2026-03-02", document="16/CSĐT", hold=first.seq)
    assert the_hold(holds(history.facts), None).document == "9/TA"
    history.add(FactKind.HOLD_RELEASED, "2026-03-03", document="10/TA", hold=second.seq)
    assert not must_keep(history.facts)
    with pytest.raises(BadInput):
        the_hold(holds(history.facts), None)


@given(st.lists(st.integers(0, 9), max_size=12))
def test_clause_9_2_holds_are_a_set(steps):
    """Any course of demands and releases leaves on what was demanded and not released."""
    history, on = History(), set()
    for step in steps:
        if step < 5:
            on.add(history.add(FactKind.HELD, "2026-01-02", document="1").seq)
        elif on:
            gone = sorted(on)[step % len(on)]
            history.add(FactKind.HOLD_RELEASED, "2026-01-02", document="2", hold=gone)
            on.discard(gone)
    assert {hold.seq for hold in holds(history.facts)} == on
    assert must_keep(history.facts) == bool(on)


def test_clause_9_2_a_hold_changes_no_state():
    """Its person sends and receives as before."""
    history = History()
    before = history.at("2026-06-01")
    history.add(FactKind.HELD, "2026-01-02", document="1")
    after = history.at("2026-06-01")
    assert (before.states, before.reasons, before.valid_until) == (after.states, after.reasons, after.valid_until)


# ------------------------------------------------------------ by command, in the store


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    return officers_console(tmp_path_factory.mktemp("holds"))


class Mailbox:
    """One mailbox of the server with a clock to move and a message that was expunged."""

    def __init__(self, console, address):
        self.clock = ManualClock(SystemClock().now())
        self.directory = console.directory(self.clock)
        self.record = self.directory.mailbox(address)
        self.store = LocalMailStore(console.folder / "data" / "mail", clock=self.clock, host="mail.mic.gov.vn")
        self.account = self.store.account(AccountRef(self.record.mailbox_id, self.record.home))
        self.home = console.folder / "data" / "mail" / self.record.home

    def expunge_one(self):
        inbox = self.account.folder("INBOX").folder_id
        self.account.remove(inbox, deliver(self.account, inbox, ["x"]))

    def delete_a_folder(self):
        deliver(self.account, self.account.create("Cũ").folder_id, ["y"])
        self.account.delete("Cũ")

    def later(self):
        self.clock.move_to(self.clock.now() + timedelta(days=30))

    @property
    def kept(self):
        return len(self.account.tombstones()), sorted(path.name for path in (self.home / "Maildir" / ".expunged").iterdir())

    async def sweep(self):
        """The housekeeper's way."""
        executors, log = Executors(), MailLog(None, "test", clock=self.clock, threaded=False)
        parts = runtime(Config(), self.clock, executors=executors, log=log, snapshot=self.directory.load_snapshot)
        await Visits(parts, self.store).sweep(trusted=True)
        executors.close()

    def close(self):
        self.store.close()
        self.directory.close()


@pytest.fixture
def mailbox(console):
    made = Mailbox(console, BE)
    yield made
    made.close()


async def test_clause_9_2_nothing_is_destroyed_while_it_is_held(console, mailbox):
    """Expunged messages and deleted folders outlive their keeping until the hold ends; then they go."""
    mailbox.expunge_one()
    mailbox.delete_a_folder()
    console.done_by("mai", "mailbox", "hold", BE, *DEMAND)
    assert "nothing of it is destroyed" in console.err
    mailbox.later()
    before = mailbox.kept
    assert before[0] == 1
    assert len(before[1]) == 2
    await mailbox.sweep()
    mailbox.account.sweep()  # as somebody would whose facts are a moment old: the store's own mark holds
    (mailbox.home / "hold").unlink()
    await mailbox.sweep()  # as on a machine where only the directory was brought back: the facts hold
    assert mailbox.kept == before
    shown = console.json_by("mai", "mailbox", "show", BE)
    assert shown["held_by"] == ["15/CSĐT"]
    assert shown["facts"][-1]["what"] == {"vi": "lưu giữ theo yêu cầu", "en": "held"}
    console.done_by("mai", "mailbox", "release-hold", BE, "--document", "16/CSĐT", "--reason", "kết thúc")
    await mailbox.sweep()
    assert mailbox.kept == (0, [])


async def test_clause_9_2_a_clock_that_is_set_within_the_round_destroys_nothing(mailbox):
    """It was trusted when the round began; what is past keeping by a step that is not believed stays."""
    mailbox.expunge_one()
    mailbox.delete_a_folder()
    before = mailbox.kept
    mailbox.clock.set_to(mailbox.clock.now() + timedelta(days=400))
    await mailbox.sweep()
    assert mailbox.kept == before
    mailbox.clock.set_to(mailbox.clock.now() - timedelta(days=400))
    mailbox.later()
    await mailbox.sweep()
    assert mailbox.kept == (0, [])


def test_clause_9_2_only_with_a_document(console):
    """Neither begun nor ended without it, nor without a reason, nor by anybody but the Centre."""
    for command in ("hold", "release-hold"):
        console.refused_by("mai", "mailbox", command, LAN, "--reason", "x", code=2)
        for words in (("--document", " ", "--reason", "x"), ("--document", "1", "--reason", " ")):
            console.refused_by("mai", "mailbox", command, LAN, *words)
        for login in ("hoa", "kiem"):
            console.refused_by(login, "mailbox", command, LAN, *DEMAND)
    console.refused_by("mai", "mailbox", "release-hold", LAN, *DEMAND, says="not under a hold", code=2)
    assert console.json_by("mai", "mailbox", "show", LAN)["held_by"] is None


def test_clause_9_2_two_holds_are_released_one_by_one(console):
    """While another demand is on, the store keeps on keeping."""
    seqs = []
    for document in ("1/A", "2/B"):
        console.done_by("mai", "mailbox", "hold", LAN, "--document", document, "--reason", "x")
        seqs.append(str(console.json_by("mai", "mailbox", "show", LAN)["facts"][-1]["seq"]))
    mark = Mailbox(console, LAN).home / "hold"
    console.refused_by("mai", "mailbox", "release-hold", LAN, *DEMAND, code=2)
    console.done_by("mai", "mailbox", "release-hold", LAN, *DEMAND, "--hold", seqs[0])
    assert f"Still on: {seqs[1]}." in console.err
    assert mark.exists()
    console.refused_by("mai", "mailbox", "release-hold", LAN, *DEMAND, "--hold", seqs[0], code=2)
    console.done_by("mai", "mailbox", "release-hold", LAN, *DEMAND)
    assert not mark.exists()


def test_clause_9_2_what_a_kill_leaves(console, mailbox):
    """A mark without its fact only keeps; the comparison tells of it, and a release removes it."""
    mailbox.account.folders()
    (mailbox.home / "hold").touch()
    console.done_by("mai", "directory", "check", "--json")
    assert '"hold_left"' in console.out
    console.done_by("mai", "mailbox", "release-hold", BE, *DEMAND)
    assert not (mailbox.home / "hold").exists()
    console.done_by("mai", "directory", "check")
    assert "hold_left" not in console.out


def test_clause_9_2_a_restore_does_not_replace_what_is_held(console, mailbox, tmp_path):
    """What would be kept aside is easily deleted; into an empty mailbox a backup comes, and the mark stays."""
    mailbox.expunge_one()
    console.done_by("mai", "backup", tmp_path / "b", BE)
    console.done_by("mai", "mailbox", "hold", BE, *DEMAND)
    console.refused_by("mai", "restore", BE, tmp_path / "b", "--replace", says="legal hold")
    mailbox.account.restore(tmp_path / "b" / mailbox.record.home, replace=True)
    assert (mailbox.home / "hold").exists()
    holding = Holds(mailbox.directory, mailbox.store, mailbox.clock)
    with pytest.raises(UnderLegalHold):
        holding.must_not_be_held(mailbox.directory.entry(mailbox.record.mailbox_id))
    console.done_by("mai", "mailbox", "release-hold", BE, *DEMAND)
    holding.must_not_be_held(mailbox.directory.entry(mailbox.record.mailbox_id))


def test_clause_9_2_hold_and_release_at_once(console, mailbox):
    """However they meet, the mark is there exactly while a hold is on record."""
    origin = ActContext("mai", "x", "1/X")

    def work(barrier, act):
        mine = Mailbox(console, BE)
        with contextlib.closing(mine), contextlib.suppress(BadInput):
            holding = Holds(mine.directory, mine.store, mine.clock)
            barrier.wait()
            getattr(holding, act)(mine.record, origin)

    for _ in range(6):
        barrier = threading.Barrier(3)
        threads = [threading.Thread(target=work, args=(barrier, act)) for act in ("hold", "release", "hold")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        on = holds(mailbox.directory.facts(mailbox.record.mailbox_id))
        assert (mailbox.home / "hold").exists() == bool(on)
        for hold in on:
            assert (mailbox.home / "hold").exists()
            Holds(mailbox.directory, mailbox.store, mailbox.clock).release(mailbox.record, origin, hold.seq)
        assert not (mailbox.home / "hold").exists()
