"""The scan behind SEARCH BODY, TEXT and HEADER: what counts as the text of a message (RFC 9051 §6.4.4)."""

from pathlib import Path

import pytest

from mic_mail.mime.render import answers_of
from mic_mail.storage.mailstore import Account
from mic_mail.storage.search import _Test
from mic_mail.storage.types import Delivery, TextTest
from storage_model import Root

MESSAGE = """\
From: Đỗ Văn Bê <dvbe@mic.gov.vn>
Subject: =?UTF-8?Q?Th=C3=B4ng_b=C3=A1o?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

S+G6vyBob+G6oWNoIHF1w70gSQ==
--b
Content-Type: application/pdf; name="=?UTF-8?B?aMOzYSDEkcahbi5wZGY=?="
Content-Transfer-Encoding: base64

bWF0IGtoYXU=
--b
Content-Type: message/rfc822

Subject: =?UTF-8?Q?C=C3=B4ng_v=C4=83n?=

noi dung
--b--
""".replace("\n", "\r\n").encode()


@pytest.mark.parametrize(
    ("kind", "value", "hit"),
    [
        ("BODY", "kế hoạch", True),
        ("BODY", "KẾ HOẠCH", True),
        ("BODY", "ke hoach", False),
        ("BODY", "hóa đơn", True),
        ("BODY", "công văn", True),
        ("BODY", "noi dung", True),
        ("BODY", "thông báo", False),
        ("TEXT", "thông báo", True),
        ("TEXT", "mat khau", False),
        ("TEXT", "bWF0IGtoYXU=", False),
    ],
    ids=str,
)
def test_what_the_text_of_a_message_is(tmp_path: Path, kind: str, value: str, hit: bool) -> None:
    """Text parts decoded, names of attachments, headers of enclosed messages; the own header for TEXT only; never the
    content of an attachment that is no text, nor its encoding."""

    def find(account: Account) -> bool:
        inbox = account.folder("INBOX").folder_id
        staged = account.stage()
        staged.write(MESSAGE)
        staged.finish()
        account.publish(inbox, [Delivery(staged, answers_of(MESSAGE))])
        ((_, (found,)),) = account.find_text(inbox, [1], [TextTest(kind, value)])  # type: ignore[arg-type]  # of the table above
        return found

    assert Root(tmp_path).use(find) is hit


@pytest.mark.parametrize(
    ("field", "value", "hit"),
    [
        ("from", "dvbe@mic.gov.vn", True),
        ("from", "van be <dvbe@mic", True),
        ("from", "(phòng)", True),
        ("to", "b@c.vn", True),
        ("to", "nhóm", True),
        ("to", "dvbe", False),
        ("subject", "a@b", False),
    ],
)
def test_comments_do_not_hide_an_address(field: str, value: str, hit: bool) -> None:
    """FROM and its kin find what the envelope shows (RFC 9051 §6.4.4) as well as what is written; other fields are text."""
    header = (
        "From: Van Be <dvbe (phòng)@ (bộ) mic.gov.vn>\r\nTo: nhóm: <b (x) @c.vn>, d@e.vn;\r\nSubject: a (x)@b\r\n\r\n"
    ).encode()
    assert _Test(TextTest("HEADER", value, field)).in_header(header) is hit
