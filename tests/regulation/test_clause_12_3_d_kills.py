"""Reg. 12.3.d, killed at any step: what was begun is finished once, and nothing goes in between."""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from clients.shared_mailboxes import events_named
from harness import MailServer
from mic_mail.directory.repository import Directory
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from mic_mail.policy.unit_mail.delegation import Part, grants
from mic_mail.services.handover.transfer import Handovers
from mic_mail.services.handover.verify import MessageFinding
from regulation.handover_setup import BE, HEAD, LAN, NAMING, Office, afresh, open_office, still_office
from store_harness import killed_at

pytestmark = [pytest.mark.clause("12.3.d"), pytest.mark.slow]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    yield from still_office(tmp_path / "server")


# ------------------------------------------------------------ killed


def record_of(office: Office) -> tuple[object, ...]:
    """What a finished handover leaves: kinds of facts, who holds, the mark, one version of the password more."""
    directory = Directory(office.server.config.directory_url, clock=office.server.clock)
    entry = directory.entry(office.unit.mailbox_id)
    directory.close()
    frozen = (office.server.config.mail_root / office.unit.home / "frozen").exists()
    kinds = tuple(fact.kind for fact in entry.facts if fact.kind is not FactKind.HANDOVER_COUNTED)
    soon = office.server.clock.now() + timedelta(seconds=1)
    keepers = [each.holder for each in grants(entry.kind, entry.facts) if each.part is Part.KEEPER and each.holds(soon)]
    return kinds, keepers, frozen, entry.credential and entry.credential.version


SRC = f"{os.sep}mic_mail{os.sep}"
WHERE = {
    name: f"{SRC}{name}"
    for name in ("services/handover", "storage/changes/legal_hold", "storage/local_store", "directory/repository")
}


def killed_again_and_again(office: Office, act: Callable[[Handovers], object], check: Callable[[], None], step: int) -> int:
    """Killed before each `step`-th line of what it comes to, until it comes to its end; how often."""
    kills = 0
    for within in WHERE.values():
        line = 0
        while not killed_at(line, lambda: afresh(office, act), within):
            check()
            kills += 1
            line += step
        check()
    return kills


@pytest.mark.parametrize(
    "step",
    [61, pytest.param(7, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.campaign)],
)
def test_clause_12_3_d_killed_at_any_step_it_is_done_once(office: Office, step: int) -> None:
    """`begin`, `count`, `finish`: killed anywhere and run again they come to the same, once; between them nothing goes."""
    password = "một mật khẩu tạm thời"
    before = record_of(office)

    def begun() -> None:
        """Frozen as soon as it is on record; a mark alone is taken off by the housekeeper."""
        kinds, _, frozen, _ = record_of(office)
        assert frozen or FactKind.HANDOVER_BEGUN not in kinds

    def begin(handovers: Handovers) -> None:
        handovers.begin(office.unit, NAMING, HEAD)

    kills = killed_again_and_again(office, begin, begun, step)
    kills += killed_again_and_again(office, lambda handovers: handovers.count(office.unit, HEAD), begun, step)
    counted = record_of(office)
    assert counted[0] == (*before[0], FactKind.HANDOVER_BEGUN)
    assert office.fates() == {MessageFinding.SAME: 6}
    after = (*counted[0], FactKind.AUTHORISED, FactKind.PASSWORD_RESET, FactKind.HANDOVER_FINISHED)

    def finished() -> None:
        """All of it, or none; what can be left is the mark."""
        kinds, keepers, frozen, version = record_of(office)
        assert (kinds, keepers, version) in ((counted[0], [BE], counted[3]), (after, [LAN], counted[3] + 1))
        assert frozen or kinds == after

    kills += killed_again_and_again(office, lambda h: h.finish(office.unit, password, HEAD), finished, step)
    assert record_of(office) == (after, [LAN], False, counted[3] + 1)
    assert office.fates() == {MessageFinding.SAME: 6}
    assert kills > 5


def test_clause_12_3_d_a_mark_that_is_left_goes(serve: Callable[..., MailServer]) -> None:
    """Killed between the mark and its fact, or the other way round: the housekeeper puts it right, and says so."""
    office = open_office(serve)
    entry = office.directory.entry(office.unit.mailbox_id)
    office.account.freeze(lambda: None)
    office.server.housekeep()
    assert not office.account.is_frozen()
    office.server.record(office.unit, Draft(FactKind.HANDOVER_BEGUN, office.server.clock.now(), "test"))
    office.server.housekeep()
    assert office.account.is_frozen()
    assert events_named(office.server, "handover_settled", 2)
    assert not office.handovers.settle(office.directory.entry(entry.mailbox_id))
    office.close()


def test_clause_12_3_d_one_mailbox_that_cannot_be_looked_at_keeps_no_other_from_it(serve: Callable[..., MailServer]) -> None:
    """A disk that fails under one unit's mailbox leaves that mark as it is, is told, and concerns nobody else."""
    office = open_office(serve)
    broken = office.server.issue("aaa", kind=MailboxKind.UNIT, name="Vụ A")
    home = office.server.config.mail_root / broken.home
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    home.write_text("")
    office.account.freeze(lambda: None)
    office.server.housekeep()
    assert not office.account.is_frozen()
    office.close()
