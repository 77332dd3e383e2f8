"""The Centre's own letters: once each, in both languages, past a full mailbox."""

import email
import email.policy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.clock import ManualClock
from mic_mail.config.listeners import Listen
from mic_mail.config.model import Config, Server
from mic_mail.config.regulation import Regulation
from mic_mail.directory.records import MailboxRecord
from mic_mail.policy.facts import MailboxKind
from mic_mail.services.notifications.notices import HYSTERESIS, Notices, level_of
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import INBOX, AccountRef

GIB = 1 << 30
MAILBOX = MailboxRecord(7, MailboxKind.PERSONAL, "dvbe@mic.gov.vn", "mic.gov.vn/dvbe", "Đỗ Văn Bê", GIB)
LEVELS = (80, 90, 95)


@dataclass
class World:
    """A store, and notices into it."""

    config: Config
    store: LocalMailStore
    clock: ManualClock

    def notices(self) -> Notices:
        """Those of a process that has just started."""
        return Notices(self.store, self.config, self.clock)

    def letters(self) -> list[EmailMessage]:
        """What lies in INBOX, oldest first."""
        account = self.store.account(AccountRef(MAILBOX.mailbox_id, MAILBOX.home))
        view = account.view(account.folder(INBOX).folder_id)
        found = []
        for uid in view.uids:
            message = account.open_message(view.info.folder_id, uid)
            parsed = email.message_from_bytes(message.pread(0, message.size), policy=email.policy.default)
            message.close()
            assert isinstance(parsed, EmailMessage)
            found.append(parsed)
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = ManualClock(datetime(2026, 11, 24, 2, 0, tzinfo=UTC))
    config = Config(server=Server(data_dir=tmp_path))
    store = LocalMailStore(config.mail_root, clock=clock, host="test")
    yield World(config, store, clock)
    store.close()


def percent(share: float) -> int:
    return math.ceil(GIB * share / 100)


def test_the_welcome_comes_once(world: World) -> None:
    """The welcome notice lies in INBOX, Vietnamese above English, and a second welcome changes nothing."""
    first, second = world.notices().welcome(MAILBOX), world.notices().welcome(MAILBOX)
    assert (first.duplicate, second.duplicate) == (False, True)
    (letter,) = world.letters()
    body = letter.get_content()
    assert "điểm a khoản 4 Điều 6 Quy chế" in body
    assert body.index("Trung tâm Thông tin đã cấp hộp thư") < body.index("has issued the mailbox dvbe@mic.gov.vn")
    assert letter["Auto-Submitted"] == "auto-generated"
    assert "support@mic.gov.vn" in letter["From"]
    assert "Đỗ Văn Bê" in letter["To"]


@pytest.mark.parametrize(
    ("kind", "to", "english"),
    [
        (MailboxKind.PERSONAL, "cho Ông/Bà theo điểm a khoản 4 Điều 6 Quy chế; ", "to you (Reg. 6.4.a); "),
        (MailboxKind.UNIT, "cho đơn vị theo khoản 1 Điều 5 Quy chế; ", "to the unit (Reg. 5.1); "),
        (MailboxKind.GROUP, "cho nhóm theo khoản 2 Điều 5 Quy chế; ", "to the group (Reg. 5.2); "),
    ],
)
def test_each_kind_is_welcomed_by_its_own_clause(world: World, kind: MailboxKind, to: str, english: str) -> None:
    """A unit is no "Ông/Bà", and its mailbox rests on another clause than a person's."""
    world.notices().welcome(replace(MAILBOX, kind=kind))
    body = " ".join(world.letters()[0].get_content().split())
    assert to in body
    assert english in body
    assert ("Ông/Bà" in body) == (kind is MailboxKind.PERSONAL)


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (None, "đề nghị liên hệ Trung tâm Thông tin (support@mic.gov.vn) để đổi mật khẩu trước khi sử dụng."),
        ("https://mail.mic.gov.vn/mk", "đề nghị đổi mật khẩu tại https://mail.mic.gov.vn/mk trong lần truy nhập đầu tiên."),
    ],
)
def test_the_welcome_names_a_page_only_where_there_is_one(world: World, page: str | None, told: str) -> None:
    """Without a page, named or of this server, it says whom to turn to: a link that nobody answers helps nobody."""
    world.config = world.config.model_copy(
        update={"regulation": Regulation(password_page=page), "listen": Listen(doors=("imaps",))}
    )
    world.notices().welcome(MAILBOX)
    (letter,) = world.letters()
    body = " ".join(letter.get_content().split())
    assert told in body
    assert ("https://" in body) == (page is not None)


@pytest.mark.clause("8.3.c")
def test_each_crossing_is_told_once(world: World) -> None:
    """Reg. 8.3.c: at 80, 90 and 95 %, once per crossing, also when two processes see it, also beyond the quota."""
    one, other = world.notices(), world.notices()
    for share in (10, 79.9, 80, 85, 89, 90.5, 92, 96, 99, 120):
        for notices in (one, other):
            notices.usage(MAILBOX, percent(share))
    subjects = [letter["Subject"].split(" / ")[0] for letter in world.letters()]
    assert [subject.split()[-3] for subject in subjects] == ["80%", "90%", "96%"]
    assert "điểm c khoản 3 Điều 8 Quy chế" in world.letters()[0].get_content()


def test_a_jump_over_levels_is_told_once(world: World) -> None:
    """From nothing to 97 % is one notice, not three."""
    assert world.notices().usage(MAILBOX, percent(97)) is not None
    assert len(world.letters()) == 1


def test_a_restart_forgets_nothing(world: World) -> None:
    """A new process does not warn again of what was told."""
    world.notices().usage(MAILBOX, percent(91))
    assert world.notices().usage(MAILBOX, percent(91)) is None
    assert len(world.letters()) == 1


def test_falling_well_below_arms_the_warning_again(world: World) -> None:
    """One mail in and one out at the threshold is no new crossing; a clean-up and a refill is."""
    notices = world.notices()
    for share in (80.5, 79.5, 80.5, 79, 80.5):
        notices.usage(MAILBOX, percent(share))
    assert len(world.letters()) == 1
    for share in (60, 81):
        notices.usage(MAILBOX, percent(share))
    assert len(world.letters()) == 2


@given(st.lists(st.floats(0, 130), max_size=30))
def test_levels_rise_at_once_and_fall_with_room(history: list[float]) -> None:
    """The level is never below what usage has reached, and never more than the hysteresis above it."""
    level = 0
    for usage in history:
        level = level_of(usage, LEVELS, level)
        reached = max((bound for bound in LEVELS if usage >= bound), default=0)
        assert level >= reached
        assert level == reached or usage >= level - HYSTERESIS
        assert level_of(usage, LEVELS, level) == level, "asking twice changes nothing"
