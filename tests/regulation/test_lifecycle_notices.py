"""Who is told of what: the owner, the unit while the owner cannot sign in, the Centre where a unit cannot be told."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from harness import MailServer
from mic_mail.clock import ManualClock
from mic_mail.config.model import Config
from mic_mail.directory.records import UnitRecord
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from population import transfer
from regulation.notified_server import NOW, NotifiedServer

CENTRE = ActContext("quản trị", "theo đề nghị", "12/CV-CNTT")


@pytest.fixture
def told(serve: Callable[..., MailServer]) -> NotifiedServer:
    return NotifiedServer(serve(clock=ManualClock(NOW)))


def test_clause_7_2_who_cannot_sign_in_is_told_through_the_unit(told: NotifiedServer) -> None:
    """Suspended and restored: into the mailbox itself and into its unit's; once each, however often it is looked at."""
    unit = told.server.issue("cntt", kind=MailboxKind.UNIT)
    owner = told.server.issue("dvbe", name="Đỗ Văn Bê")
    told.act(owner, FactKind.SUSPENDED, cause="c")
    told.server.housekeep()
    assert told.subjects(owner) == told.subjects(unit) == ["Hộp thư bị tạm khóa"]
    told.act(owner, FactKind.RESTORED)
    assert told.subjects(owner)[1:] == told.subjects(unit)[1:] == ["Hộp thư đã được khôi phục"]
    told.server.move_clock_to(NOW + timedelta(hours=1))
    told.act(owner, FactKind.PASSWORD_SET)
    told.act(owner, FactKind.ABSENCE, until="2027-01-31")
    assert told.subjects(owner)[2:] == ["Đã ghi nhận thông báo vắng mặt"]
    assert len(told.subjects(unit)) == 2


def test_clause_6_4_b_a_transfer_is_told(told: NotifiedServer) -> None:
    """On the notice of the receiving unit; the directory has changed by then."""
    owner = told.server.issue("dvbe")
    told.directory.add_unit(UnitRecord(0, "KHTC", "Vụ Kế hoạch"))
    assert owner.person_id is not None
    transfer(told.directory, told.directory.person(owner.person_id), told.directory.unit("KHTC"))
    told.server.refresh()
    told.server.housekeep()
    assert told.subjects(owner) == ["Đã cập nhật đơn vị công tác"]


def test_clause_7_2_without_a_units_mailbox_the_centre_is_told(told: NotifiedServer) -> None:
    """And where there is not even that, the log says so, and it is tried again until somebody can be told."""
    owner = told.server.issue("dvbe")
    told.act(owner, FactKind.SUSPENDED, cause="b", document="5/KL")
    assert told.subjects(owner) == ["Hộp thư bị tạm khóa"]
    told.server.move_clock_to(NOW + timedelta(minutes=30))
    support = told.server.issue("support", kind=MailboxKind.GROUP)
    told.server.housekeep()
    assert told.subjects(support) == []
    told.server.move_clock_to(NOW + timedelta(minutes=61))
    told.server.housekeep()
    assert told.subjects(support) == ["Hộp thư bị tạm khóa"]
    assert told.subjects(owner) == ["Hộp thư bị tạm khóa"]
    told.server.stop()
    failed = [event for event in told.server.events() if event.get("event") == "notice_failed"]
    assert [(event["notice"], event["mailbox"]) for event in failed] == [("suspended", "dvbe@mic.gov.vn")]


def test_clause_15_2_old_passwords_are_warned_of(serve: Callable[..., MailServer]) -> None:
    """`auth.password_age`: fourteen days before, with the page where it is changed."""
    page = "https://mail.mic.gov.vn/mk"
    settings = {"auth": {"password_age": "90 d"}, "regulation": {"password_page": page}}
    told = NotifiedServer(serve(settings, clock=ManualClock(NOW)))
    owner = told.server.issue("dvbe", issued_days_ago=80)  # chosen on 05/09/2026: 90 days end with 04/12/2026
    told.server.housekeep()
    assert told.subjects(owner) == ["Mật khẩu sẽ hết hạn ngày 04/12/2026"]


@pytest.mark.parametrize(("days", "said"), [(165, []), (167, ["Mật khẩu sẽ hết hạn ngày 07/12/2026"])])
def test_clause_15_2_a_password_lasts_180_days_by_default(serve: Callable[..., MailServer], days: int, said: list[str]) -> None:
    """The owner is warned from 14 days ahead, whatever the configuration leaves out."""
    default = Config().auth.password_age
    told = NotifiedServer(serve({"auth": {"password_age": default}}, clock=ManualClock(NOW)))
    owner = told.server.issue("dvbe", issued_days_ago=days)
    told.server.housekeep()
    assert [subject for subject in told.subjects(owner) if "Mật khẩu" in subject] == said


def test_what_happened_long_ago_is_no_news(told: NotifiedServer) -> None:
    """A server that begins to keep notices does not write to everybody who was ever suspended."""
    then = told.server.clock.now() - timedelta(days=8)
    owner = told.server.issue("dvbe", facts=[Draft(FactKind.SUSPENDED, then, "test", data={"cause": "c"})])
    told.server.housekeep()
    assert told.subjects(owner) == []


@pytest.mark.clause("6.4.c", "7.2.c")
def test_an_outage_of_ten_days_loses_no_notice(told: NotifiedServer) -> None:
    """What came meanwhile is told at the first look, once, and says that it is late and since when it holds."""
    leaver, suspended = told.server.issue("dvbe"), told.server.issue("ttlan")
    told.server.housekeep()
    leaves_on = NOW + timedelta(days=1)
    draft = Draft(FactKind.LEFT, leaves_on, "test", "", "1/QĐ", {"level": "division", "cause": "retired"})
    told.server.record(leaver, draft)
    told.server.record(suspended, Draft(FactKind.SUSPENDED, NOW, "test", "", None, {"cause": "c"}))
    told.server.move_clock_to(NOW + timedelta(days=10))
    for _ in range(2):
        told.server.housekeep()
        assert told.subjects(leaver) == ["Chức năng gửi thư bị khóa"]
        assert told.subjects(suspended) == ["Hộp thư bị tạm khóa"]
    text = told.text(leaver)
    assert "Thông báo này được gửi chậm" in text
    assert "25/11/2026" in text.partition("gửi chậm")[2]


@pytest.mark.clause("6.4.c")
def test_a_notice_in_time_says_nothing_of_lateness(told: NotifiedServer) -> None:
    """The last paragraph is for those that are late alone."""
    owner = told.server.issue("dvbe")
    told.act(owner, FactKind.SUSPENDED, cause="c")
    assert "gửi chậm" not in told.text(owner)


def test_a_beginning_in_the_future_is_corrected(told: NotifiedServer) -> None:
    """A clock that ran ahead when the server first looked keeps no notice back."""
    told.directory.sent.begin(NOW + timedelta(days=400))
    owner = told.server.issue("dvbe")
    told.server.housekeep()
    told.server.record(owner, Draft(FactKind.SUSPENDED, NOW, "test", "", None, {"cause": "c"}))
    told.server.move_clock_to(NOW + timedelta(days=10))
    told.server.housekeep()
    assert told.directory.sent.begun() == NOW
    assert told.subjects(owner) == ["Hộp thư bị tạm khóa"]
