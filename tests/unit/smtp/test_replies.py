"""The table of replies: codes, enhanced codes and words agree, and no line is too long."""

import string

import pytest

from mic_mail.errors import Text
from mic_mail.services.access import RefusalKind
from mic_mail.services.envelope import TEMPORARY, Cause, Refusal
from mic_mail.smtp import replies
from mic_mail.smtp.replies import SIGN_IN, TABLE, Reply, Voice

WORDS = {"hostname", "octets", "hint", "support", "detail", "address", "clause", "trace_id", "size", "limit"}


@pytest.mark.parametrize("name", TABLE)
def test_rows(name: str) -> None:
    """RFC 2034 §4: the enhanced code's class is the code's first digit; English is ASCII; the same words in both languages."""
    row = TABLE[name]
    assert row.en.isascii()
    if row.enhanced:
        assert row.enhanced[0] == str(row.code)[0]
    used = {field for _, field, _, _ in string.Formatter().parse(row.en) if field}
    assert used <= WORDS
    if row.vi:
        assert {field for _, field, _, _ in string.Formatter().parse(row.vi) if field} == used


def test_every_cause_has_a_row_and_temporary_ones_are_4xx() -> None:
    """Disk full, lock or database unavailable are never 5xx; a final no is never 4xx."""
    for cause in Cause:
        assert (TABLE[cause].code < 500) == (cause in TEMPORARY), cause


def test_every_refused_sign_in_has_a_code() -> None:
    """RFC 4954 §6; a suspended mailbox says so only where the password was right."""
    assert set(SIGN_IN) == set(RefusalKind)
    assert SIGN_IN["suspended"] == (525, "5.7.13")
    assert replies.of_sign_in("wrong-credentials", Text("sai", "wrong")).encode(Voice("")) == b"535 5.7.8 wrong\r\n"


def test_long_texts_are_several_lines() -> None:
    """RFC 5321 §4.5.3.1.5: 512 octets a line; RFC 2034 §4: the enhanced code on each."""
    long = Reply(550, "5.7.1", Text("thư " * 400, "mail " * 400))
    for utf8 in (True, False):
        lines = long.encode(Voice("", utf8)).split(b"\r\n")[:-1]
        assert len(lines) > 1
        assert all(len(line) + 2 <= 512 and line.startswith(b"550-5.7.1 ") for line in lines[:-1])
        assert lines[-1].startswith(b"550 5.7.1 ")


def test_an_address_as_long_as_the_grammar_allows_fits() -> None:
    """The peer's words are cut, so no reply line grows beyond its limit."""
    address = "ế" * 85 + "@" + "b" * 250
    said = replies.of_refusal(Refusal(Cause.NO_SUCH_MAILBOX, "ID", {"address": address})).encode(Voice("support@x", True))
    assert all(len(line) <= 510 for line in said.split(b"\r\n"))


def test_the_wording_of_too_large_attachments() -> None:
    """Wording 8, in the voice of the client, with one octet too many not shown as the limit itself."""
    words = {"size_octets": (20 << 20) + 1, "limit_octets": 20 << 20}
    said = replies.of_refusal(Refusal(Cause.ATTACHMENTS_TOO_LARGE, "ID", words)).encode(Voice("s@x", True)).decode()
    assert said.startswith(
        "552 5.3.4 Thư không được gửi: tổng kích cỡ tệp gửi kèm là 20.1 MB, vượt mức tối đa 20 MB/thư điện tử "
        "theo điểm b khoản 3 Điều 8 Quy chế."
    )
