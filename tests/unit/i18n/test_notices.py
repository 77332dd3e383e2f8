"""The catalogue of notices: every row in both languages, in the words that the ministry uses, and easy to add to."""

import email
import email.policy
import inspect
import re
import typing
import unicodedata
from collections.abc import Sequence
from datetime import UTC, date, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.clock import ManualClock
from mic_mail.config.model import Config, Server
from mic_mail.errors import BadInput, Text, as_written
from mic_mail.i18n.notices import delivery_reports, leavers, mailbox
from mic_mail.i18n.notices.catalogue import CATALOGUE, find
from mic_mail.i18n.notices.notice import Notice, Reader
from mic_mail.policy.clauses import CLAUSES
from mic_mail.services.notifications.notices import Notices
from mic_mail.storage.local_mailstore import LocalMailStore

ROWS = list(CATALOGUE.values())
NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
every = pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.name))


@every
def test_a_row_is_whole(row: Notice[Any]) -> None:
    """Name, reader, an existing clause or article, a sentence on when it is sent, and samples of the parameters' types."""
    assert CATALOGUE[row.name] is row
    assert row.reader.label.vi
    assert any(row.clause == known or known.startswith(f"{row.clause}.") for known in CLAUSES)
    assert row.means.endswith(".")
    wanted = typing.get_type_hints(row.write)
    assert wanted.pop("return")
    assert row.samples.keys() == wanted.keys() == inspect.signature(row.write).parameters.keys()
    for name, sample in row.samples.items():
        kinds = typing.get_args(wanted[name]) or (wanted[name],)
        of = Sequence if typing.get_origin(wanted[name]) is Sequence else kinds
        assert isinstance(sample, of), name


@every
def test_a_letter_is_in_both_languages(row: Notice[Any]) -> None:
    """Vietnamese in NFC with letters of its own, ending as a sentence; English ASCII; the clause in both; no holes."""
    letter = row.sample()
    for text in (letter.subject, letter.body):
        assert text.vi == unicodedata.normalize("NFC", text.vi)
        assert not text.vi.isascii()
        assert text.en.isascii()
        assert not re.search(r"[{}]|None", text.vi + text.en)
        assert text.vi[0].isupper()
    assert letter.body.vi.endswith(".")
    assert letter.body.en.endswith(".")
    assert "Quy chế" in letter.body.vi
    assert "Reg. " in letter.body.en


OTHERS = frozenset("subject reason words addresses recipients sender by why unit_from unit_to title result file about".split())
"""Parameters that hold what others wrote, in any letters."""


@pytest.mark.parametrize("row", [row for row in ROWS if OTHERS & row.samples.keys()], ids=lambda row: str(row.name))
@given(st.text(max_size=40))
def test_what_others_wrote_is_told_in_any_letters(row: Notice[Any], text: str) -> None:
    """No notice is lost for a subject, a reason, an address or the words of another server: its English stays ASCII."""

    def written(value: object) -> object:
        match value:
            case str():
                return f"{value} {text}"
            case delivery_reports.Word():
                return delivery_reports.Word(f"{text}{value.address}", f"{value.said} {text}")
            case list() | tuple():
                return [written(each) for each in value]
        return value

    letter = row.write(**{name: written(value) if name in OTHERS else value for name, value in row.samples.items()})
    assert letter.subject.en.isascii()
    assert letter.body.en.isascii()


@every
def test_one_is_told_as_one(row: Notice[Any]) -> None:
    """English says "1 request is", not "1 requests are"; of two it says "2 requests are"."""
    for number in (1, 2):
        told = {name: number if type(sample) is int else sample for name, sample in row.samples.items()}
        letter = row.write(**told)
        words = letter.subject.en + " " + letter.body.en
        wrong = r"\b1 (?!is\b|was\b)\w*[^s\W]s\b" if number == 1 else r"\b2 (request|message|row|window|recipient)\b"
        assert re.search(wrong, words) is None, words


@pytest.mark.parametrize(
    ("letter", "wording"),
    [
        (
            mailbox.restored("dvbe@mic.gov.vn"),
            (
                "Hộp thư dvbe@mic.gov.vn đã được kích hoạt lại và khởi tạo lại mật khẩu; Ông/Bà phải đổi mật khẩu"
                " trong lần truy nhập đầu tiên (điểm b, điểm c khoản 3 Điều 7 Quy chế)."
            ),
        ),
        (
            mailbox.suspended("dvbe@mic.gov.vn", NOW, "7.2.c"),
            (
                "Hộp thư dvbe@mic.gov.vn bị tạm khóa từ 09 giờ 00 phút ngày 24/11/2026 do bị chiếm dụng, lộ mật khẩu hoặc "
                "phát tán thư rác, mã độc, theo điểm c khoản 2 Điều 7 Quy chế; hộp thư vẫn nhận được thư đến."
            ),
        ),
        (
            mailbox.password_ending(NOW, mailbox.renew_at("https://mail.mic.gov.vn/mk")),
            (
                "Mật khẩu sẽ hết hạn ngày 24/11/2026; đề nghị đổi tại https://mail.mic.gov.vn/mk theo quy định về"
                " định kỳ thay đổi mật khẩu tại khoản 2 Điều 15 Quy chế."
            ),
        ),
        (
            leavers.send_locked("dvbe@mic.gov.vn", leavers.LEFT_AT, "6.4.c", mailbox.MIDNIGHT),
            (
                "Chức năng gửi thư của hộp thư dvbe@mic.gov.vn bị khóa từ ngày 31/08/2026 theo điểm c khoản 4 "
                "Điều 6 Quy chế; Ông/Bà vẫn đọc và nhận được thư đến hết ngày 28/02/2027."
            ),
        ),
        (
            leavers.reclaim_coming("dvbe@mic.gov.vn", mailbox.MIDNIGHT),
            (
                "Hộp thư dvbe@mic.gov.vn sẽ tự động bị thu hồi sau khi kết thúc ngày 28/02/2027 theo điểm c khoản"
                " 4 Điều 6 Quy chế; đề nghị sao lưu dữ liệu cần thiết trước thời điểm này."
            ),
        ),
        (
            mailbox.quota(92, 1 << 30),
            (
                "Hộp thư đã sử dụng 92% dung lượng được cấp (1 GB); đề nghị lưu trữ về máy tính và xóa bớt thư "
                "(điểm c khoản 3 Điều 8 Quy chế)."
            ),
        ),
    ],
)
def test_the_ministrys_wording(letter: Any, wording: str) -> None:
    """Word for word as the model sentences."""
    assert letter.body.vi == wording


def test_without_a_page_one_turns_to_the_centre() -> None:
    """A password that grows old is changed where that can be done."""
    letter = mailbox.password_ending(NOW, mailbox.renew_at("support@mic.gov.vn"))
    assert "liên hệ Trung tâm Thông tin (support@mic.gov.vn) để đổi" in letter.body.vi


def test_the_clock_is_not_asked() -> None:
    """What is not there is told as such."""
    unknown = CATALOGUE["clock_untrusted"](now=NOW, marked=None)
    assert "không có" in unknown.body.vi
    assert isinstance(CATALOGUE["not_freed"](address="a@b", clause_id="6.2", last=date(2027, 1, 1), why=Text("x", "x")), object)


def test_a_name_that_is_none() -> None:
    """It says where the names are."""
    with pytest.raises(BadInput) as refusal:
        find("welcome_home")
    assert "notice list" in (refusal.value.remedy or Text("", "")).en


@every
def test_a_message_says_that_a_machine_wrote_it(row: Notice[Any], tmp_path: Path) -> None:
    """Whole by RFC 5322, one text part, nothing that anything would answer, lines that every program shows."""
    clock = ManualClock(NOW)
    config = Config(server=Server(data_dir=tmp_path))
    store = LocalMailStore(config.mail_root, clock=clock, host="test")
    octets = Notices(store, config, clock).compose("Đỗ Văn Bê", "dvbe@mic.gov.vn", row.sample())
    store.close()
    assert octets.isascii()
    assert b"\n" not in octets.replace(b"\r\n", b"")
    assert max(map(len, octets.split(b"\r\n"))) <= 76
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message.defects == []
    assert (message["Return-Path"], message["Auto-Submitted"]) == ("<>", "auto-generated")
    assert message["X-Auto-Response-Suppress"] == "All"
    assert message["Date"] == "Tue, 24 Nov 2026 09:00:00 +0700"
    assert re.fullmatch(r"<[0-9A-Z]+@mail\.mic\.gov\.vn>", str(message["Message-ID"]))
    assert message["Precedence"] is None
    assert message.get_content_type() == "text/plain"
    content = message.get_content().replace("\r\n", "\n")
    letter = row.sample()
    assert content.index("Kính gửi: Đỗ Văn Bê") < content.index(letter.body.vi) < content.index(as_written(letter.body.en))


def test_readers() -> None:
    """Owners, units, the Centre: somebody is written to of each kind."""
    assert {row.reader for row in ROWS} == set(Reader)
