"""The table of replies: codes, enhanced codes and words agree, and no line is too long."""

import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mic_mail.errors import Text
from mic_mail.i18n.spoken import unaccented
from mic_mail.services.authentication.refusals import RefusalKind
from mic_mail.services.transport.envelope import TEMPORARY, Cause, Refusal
from mic_mail.smtp import replies
from mic_mail.smtp.replies import Reply, Voice
from mic_mail.smtp.reply_table import SIGN_IN, TABLE

WORDS = {
    "domain",
    "zone",
    "hostname",
    "octets",
    "hint",
    "line",
    "support",
    "detail",
    "address",
    "clause",
    "trace_id",
    "size",
    "limit",
    "field",
    "malware",
    "room",
}


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
        names = [name for name in TABLE if name.startswith("sending-rate-")] if cause is Cause.SENDING_RATE else [cause]
        assert names
        assert all((TABLE[name].code < 500) == (cause in TEMPORARY) for name in names), cause


@pytest.mark.parametrize("span", ["hour", "day"])
@pytest.mark.parametrize(
    ("what", "amount", "said"), [("messages", 10, "10"), ("recipients", 20, "20"), ("octets", 5 << 20, "5")]
)
def test_each_limit_of_sending_has_its_words(what: str, amount: int, said: str, span: str) -> None:
    """Which limit, how much, and from which minute on there is room: the next whole one, on the ministry's clock."""
    words = {"what": what, "span": span, "amount": amount, "room_at": 1_764_000_001.0}
    answer = replies.of_refusal(Refusal(Cause.SENDING_RATE, "ID", words))
    assert (answer.code, answer.enhanced, answer.trace_id) == (450, "4.7.1", "ID")
    for text in (answer.text.en, answer.text.vi):
        assert f" {said} " in text
        assert "24/11/2025 23:01" in text


def test_every_refused_sign_in_has_a_code() -> None:
    """RFC 4954 §6; a suspended mailbox says so only where the password was right."""
    assert set(SIGN_IN) == set(RefusalKind)
    assert SIGN_IN["suspended"] == (525, "5.7.13")
    assert (
        replies.of_sign_in("wrong-credentials", Text("sai", "wrong")).encode(Voice(""))
        == b"535-5.7.8 sai\r\n535 5.7.8 wrong\r\n"
    )


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


LINE = re.compile(rb"[2-5][0-9]{2}[ -][^\x00-\x1f\x7f]*\r\n")
ANY_TEXT = st.text() | st.text("\r\n 250-OK\x85\u2028\u2029\0\t<>@")


def is_one_reply(said: bytes, code: int) -> bool:
    """Whether octets are the lines of one reply, each with its code (RFC 5321 §4.2.1), and the last one alone ends it."""
    lines = said.splitlines(keepends=True)
    text = said.decode()
    return (
        all(LINE.fullmatch(line) and line.startswith(b"%d" % code) for line in lines)
        and [line[3:4] for line in lines] == [b"-"] * (len(lines) - 1) + [b" "]
        and text.splitlines() == text.removesuffix("\r\n").split("\r\n")  # nor a line for who breaks it at U+0085 or U+2028
    )


@given(st.sampled_from([name for name, row in TABLE.items() if "{" in row.en]), ANY_TEXT, st.booleans())
@example(Cause.SENDER_NOT_YOURS, "x\r\n250 2.6.0 OK", False)
@example(Cause.SENDER_NOT_YOURS, "x\u2028250 2.6.0 OK", True)
def test_words_of_the_peer_make_no_line(name: str, word: str, utf8: bool) -> None:
    """Whatever stands in an address or a parameter, the reply stays one reply: nobody writes lines in the server's name."""
    answer = replies.reply(name, "ID", **dict.fromkeys(WORDS - {"clause"}, word))
    said = answer.encode(Voice("support@x", utf8))
    assert is_one_reply(said, answer.code)
    assert all(len(line) <= 510 for line in said.split(b"\r\n"))


@given(st.lists(ANY_TEXT, min_size=1))
@example(["x\r\n250 2.6.0 OK"])
def test_no_text_makes_a_line(texts: list[str]) -> None:
    """What puts lines together lets no text end one, whoever calls it."""
    assert is_one_reply(replies.lines(550, texts), 550)


@given(ANY_TEXT, st.text(st.characters(max_codepoint=127)))
@example("x\r\n250 2.6.0 OK", "x\r\n250 2.6.0 OK")
def test_words_of_a_use_case_make_no_line(vi: str, en: str) -> None:
    """Nor does a sentence that another room has put together."""
    for utf8 in (True, False):
        assert is_one_reply(replies.of_sign_in("wrong-credentials", Text(vi, en)).encode(Voice("", utf8)), 535)


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row.vi and row.code >= 400])
def test_refusals_in_both_languages(name: str) -> None:
    """To a client without SMTPUTF8: Vietnamese without its marks, then English, a line each, with the same codes."""
    answer = replies.reply(name, "1K1FFADF62KD1EJF", **dict.fromkeys(WORDS - {"clause"}, "dvbe@mic.gov.vn"))
    said = answer.encode(Voice("support@mic.gov.vn"))
    assert said.isascii()
    vietnamese, english = said.decode().splitlines(keepends=True)
    codes = f"{answer.code}-{answer.enhanced} ", f"{answer.code} {answer.enhanced} "
    assert (vietnamese[: len(codes[0])], english[: len(codes[1])]) == codes
    assert max(len(vietnamese), len(english)) <= 512  # RFC 5321 §4.5.3.1.5
    assert vietnamese[len(codes[0]) :].startswith(unaccented(answer.text.vi))
    assert english[len(codes[1]) :].startswith(answer.text.en)
    if answer.trace_id:
        assert vietnamese.endswith("Lien he support@mic.gov.vn, ma 1K1FFADF62KD1EJF\r\n")
        assert english.endswith("Contact support@mic.gov.vn, reference 1K1FFADF62KD1EJF\r\n")


def test_a_sentence_in_english_alone_is_said_once() -> None:
    """Where to turn is no sentence of its own: without Vietnamese in front of it, it is in English too."""
    answer = replies.Reply(554, "5.0.0", Text("", "No."), "1K1FFADF62KD1EJF")
    for utf8 in (False, True):
        said = answer.encode(Voice("support@mic.gov.vn", utf8))
        assert said == b"554 5.0.0 No. Contact support@mic.gov.vn, reference 1K1FFADF62KD1EJF\r\n"


def test_the_wording_of_too_large_attachments() -> None:
    """Attachments over the limit, in the voice of the client, with one octet too many not shown as the limit itself."""
    words = {"size_octets": (20 << 20) + 1, "limit_octets": 20 << 20}
    said = replies.of_refusal(Refusal(Cause.ATTACHMENTS_TOO_LARGE, "ID", words)).encode(Voice("s@x", True)).decode()
    assert said.startswith(
        "552 5.3.4 Thư không được gửi: tổng kích cỡ tệp gửi kèm là 20,1 MB, vượt mức tối đa 20 MB/thư điện tử "
        "theo điểm b khoản 3 Điều 8 Quy chế."
    )
