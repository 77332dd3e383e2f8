"""What people read: every sentence in both languages, dates in the ministry's form, clauses named as letters name them."""

import inspect
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from mic_mail.errors import Text
from mic_mail.i18n import dates, messages
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.language import Language, in_language, language_of

AT = datetime(2026, 11, 23, 17, 5, tzinfo=UTC)  # five past midnight on the 24th in Ha Noi
SAMPLES = {
    "support": "support@mic.gov.vn",
    "reference": "1K111DXJ5KK9ABSD",
    "seconds": 90.0,
    "address": "dvbe@mic.gov.vn",
    "since": AT,
    "clause_id": "6.4.c",
    "url": "https://mail.mic.gov.vn/",
    "page": "https://mail.mic.gov.vn/",
    "until": AT,
    "change": Text("đổi mật khẩu", "change the password"),
    "percent": 92,
    "count": 3,
    "quota_octets": 1 << 30,
    "sender": "lan@example.vn",
    "recipients": 2,
    "degree": "secret",
    "malware": "Test.Eicar",
}
SENTENCES = [
    function
    for name, function in inspect.getmembers(messages, inspect.isfunction)
    if function.__module__ == messages.__name__ and name not in {"joined", "_welcome"}
]


@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda f: str(f.__name__))
def test_every_sentence_exists_in_both_languages(sentence: Callable[..., Text]) -> None:
    """Vietnamese is NFC with its letters, English is ASCII, neither has a hole, both name the same parameters."""
    parameters = {name: SAMPLES[name] for name in inspect.signature(sentence).parameters}
    text = sentence(**parameters)
    assert text.vi == unicodedata.normalize("NFC", text.vi)
    assert not text.vi.isascii() or text.vi == text.en == "", "Vietnamese has letters of its own"
    assert text.en
    for side in (text.vi, text.en):
        assert "{" not in side
        assert "None" not in side
        for name in {"address", "url", "reference", "support"} & parameters.keys():
            assert str(parameters[name]) in side


@pytest.mark.parametrize(
    ("clause_id", "vi", "en"),
    [
        ("6.4.c", "điểm c khoản 4 Điều 6 Quy chế", "Reg. 6.4.c"),
        ("15.2", "khoản 2 Điều 15 Quy chế", "Reg. 15.2"),
        ("5", "Điều 5 Quy chế", "Reg. 5"),
    ],
)
def test_clauses_are_named_from_the_smallest_part_up(clause_id: str, vi: str, en: str) -> None:
    """điểm, khoản, Điều: the order of official letters."""
    assert clause(clause_id) == Text(vi, en)


def test_instants_are_those_of_ha_noi() -> None:
    """17:05 in UTC is five past midnight of the next day, hour first."""
    assert dates.instant(AT) == Text("00 giờ 05 phút ngày 24/11/2026", "24 November 2026, 00:05")
    assert dates.day(AT) == Text("24/11/2026", "24 November 2026")
    assert dates.day(date(2026, 2, 3)) == Text("03/02/2026", "3 February 2026")
    assert dates.short(AT) == "24/11/2026 00:05"


def test_a_term_that_ends_at_midnight_ends_with_the_day_before() -> None:
    """Reclaimed at 00:00 on 01/03/2027: reading works until the end of 28/02/2027 (Reg. 6.4.c)."""
    assert dates.last_day_before(datetime(2027, 2, 28, 17, 0, tzinfo=UTC)).vi == "28/02/2027"


@pytest.mark.parametrize(
    ("octets", "vi", "en"),
    [
        (0, "0 byte", "0 bytes"),
        (1, "1 byte", "1 byte"),
        (1536, "1,5 KB", "1.5 KB"),
        (20 << 20, "20 MB", "20 MB"),
        (1 << 30, "1 GB", "1 GB"),
    ],
)
def test_sizes(octets: int, vi: str, en: str) -> None:
    """Decimal comma in Vietnamese, units of 2^10 as Reg. 8.3.b is read."""
    assert dates.size(octets) == Text(vi, en)


@pytest.mark.parametrize(
    ("environ", "option", "expected"),
    [
        ({}, None, Language.EN),
        ({"LANG": "vi_VN.UTF-8"}, None, Language.VI),
        ({"LANG": "en_US.UTF-8"}, None, Language.EN),
        ({"LANG": "C"}, None, Language.EN),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "vi_VN"}, None, Language.VI),
        ({"LANG": "vi_VN", "LC_ALL": "", "LC_MESSAGES": "C.UTF-8"}, None, Language.EN),
        ({"LANG": "en_US.UTF-8"}, "vi", Language.VI),
        ({"LANG": "vi_VN"}, "en", Language.EN),
    ],
)
def test_the_language_of_a_run(environ: dict[str, str], option: str | None, expected: Language) -> None:
    """`--lang` first, then the environment in POSIX's order, then English."""
    assert language_of(environ, option) is expected
    assert in_language(Text("tiếng Việt", "English"), expected) == ("tiếng Việt" if expected is Language.VI else "English")
