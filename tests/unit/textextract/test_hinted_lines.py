"""A long text is judged by few of its lines, and as the whole text would be."""

import random
from itertools import pairwise

import pytest

from mic_mail.mime.encoded_words import compose_letters
from mic_mail.policy.naming.confusables import as_seen
from mic_mail.policy.secrecy.degrees import Marking
from mic_mail.policy.secrecy.markings import HEAD_SEEN, in_text
from mic_mail.textextract import hinted_lines as hinted_lines_module
from mic_mail.textextract import readings as module
from mic_mail.textextract.hinted_lines import hinted_lines, whole_lines
from mic_mail.textextract.limits import Bounds, Budget, CannotRead
from mic_mail.textextract.readings import can_be_searched, hinted_readings, readings

LINES = (
    *("MẬT", "TỐI MẬT", "Tuyệt mật", "Độ mật: Mật", "Độ mật:", "Mật", "(Mật)", "MËT", "MAÄT", "M Ậ T", "TOI MAT"),
    *("\ufeffMẬT", "M\u200bẬT", "МẬТ", "𝐌Ậ𝐓", "a\rMẬT\rb", "a\u2028MẬT", "Số: 5/BC (Mật)", "x" * 300 + " MẬT"),
    *("BẢO", "mật khẩu", "KHẨU", "mật ong", "túi mật", "THƯỜNG\t100", "MẬT\t3", "đổi mật khẩu", "format"),
    *("1.\tNguyễn Văn Mật\tHà Nội", "2.\tTrần Thị Lan\tHuế", "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", "Kính gửi: các đơn vị"),
    *("Điều 5", "một dòng", "", "", " ", "\u00a0", "\u00a0 \t", "…", " " * 500 + "x", "ậ" * 500),
)
CHARSETS = (
    "",
    "utf-8",
    "us-ascii",
    "windows-1258",
    "viscii",
    "tcvn",
    "iso-8859-1",
    "x-unknown-to-all",
    "koi8-r",
    "gb2312",
    "utf-16",
)


def budget() -> Budget:
    return Budget(Bounds(), lambda: 0.0, 1 << 20)


def markings(texts: list[str]) -> set[Marking | None]:
    return {in_text(compose_letters(as_seen(text))) for text in texts} - {None}


def cut(octets: bytes, chance: random.Random) -> list[bytes]:
    at = sorted({0, len(octets), *(chance.randrange(len(octets) + 1) for _ in range(chance.randrange(6)))})
    return [octets[start:end] for start, end in pairwise(at)]


def a_text(chance: random.Random) -> str:
    usual = ["một dòng bình thường", "", "Điều khoản", "x"]
    lines = [chance.choice(LINES if chance.random() < 0.15 else usual) for _ in range(chance.choice((5, 40, 120)))]
    return chance.choice(("\n", "\r\n")).join(lines)


@pytest.mark.parametrize("charset", CHARSETS)
def test_the_same_is_found(charset: str) -> None:
    """In every charset, wherever the pieces are cut; also in text that is in another charset than it says."""
    chance = random.Random(charset)
    found = 0
    for _ in range(400):
        written = chance.choice(("utf-8", "utf-8", "cp1258", "utf-16"))
        octets = a_text(chance).encode(written, "replace")
        if chance.random() < 0.3:
            octets = chance.choice((b"\xef\xbb\xbf", b"\xff", b"\xba\xad", b"\xff\xfe")) + octets
        if chance.random() < 0.3:
            octets += chance.choice((b"\xe1\xba", b"\xff\n", b"\x80x"))
        pieces = cut(octets, chance)
        whole = markings(list(readings(octets, charset)))
        assert markings(list(hinted_readings(lambda pieces=pieces: iter(pieces), charset, budget()))) == whole, octets
        found += bool(whole)
    assert found > 20


@pytest.mark.parametrize("charset", [charset for charset in CHARSETS if can_be_searched(charset)])
def test_a_text_file_is_judged_in_both_its_readings(charset: str) -> None:
    """By its declared charset, and without it, as programs read a file: together as one after the other."""
    chance = random.Random(f"file {charset}")
    found = 0
    for _ in range(400):
        octets = a_text(chance).encode(chance.choice(("utf-8", "utf-8", "cp1258", "latin-1")), "replace")
        octets = chance.choice((b"", b"", b"\xef\xbb\xbf", b"\xff", b"\xba\xad")) + octets
        octets += chance.choice((b"", b"", b"\xe1\xba", b"\xff\n", b"\x80x"))
        pieces = cut(octets, chance)
        each = markings([*readings(octets, charset), *readings(octets, "")])
        both = markings(list(hinted_readings(lambda pieces=pieces: iter(pieces), charset, budget(), is_file=True)))
        assert both == each, octets
        found += bool(each)
    assert found > 20


def test_lines_far_from_any_hint_are_left_out() -> None:
    """All that is kept of a text is its head and some lines around each hint."""
    text = b"".join(b"line %d\n" % number for number in range(100_000))
    assert hinted_lines([text], lambda block: [], budget()) == b""
    at = text.index(b"line 50000\n")
    kept = hinted_lines([text], lambda block: [at], budget()).splitlines()
    assert len(kept) == HEAD_SEEN + 11
    assert kept[HEAD_SEEN] == b"line 49995"
    assert kept[-1] == b"line 50005"


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b" \xa0\n"])
def test_blank_lines_are_skipped_together(blank: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Millions of them are no reason to give a message up; a text with more of them costs no more steps."""
    steps: list[bytes] = []
    real = hinted_lines_module._is_not_blank
    monkeypatch.setattr(hinted_lines_module, "_is_not_blank", lambda line: steps.append(line) or real(line))
    text = b"line\n" * 30 + blank * 1_000_000 + b"line\n" + blank * 10
    blocks = [text[at : at + (1 << 18)] for at in range(0, len(text), 1 << 18)]
    hinted_lines(whole_lines(blocks), lambda block: [block.index(b"line")] if b"line" in block else [], budget())
    assert len(steps) < 40 * len(blocks)


def test_text_without_a_hint_is_never_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a line of it, if its charset says how to read it."""
    decoded: list[int] = []
    real = module.decode_as_written
    monkeypatch.setattr(module, "decode_as_written", lambda raw, charset: decoded.append(len(raw)) or real(raw, charset))
    text = "Kính gửi các đơn vị: cập nhật thông tin.\r\n".encode() * 10_000
    assert list(hinted_readings(lambda: [text], "utf-8", budget())) == [""]
    assert decoded == [0]


def test_more_hints_than_allowed() -> None:
    bounded = Budget(Bounds(hints=10), lambda: 0.0)
    with pytest.raises(CannotRead):
        list(hinted_readings(lambda: ["MẬT\n".encode() * 11], "utf-8", bounded))


def test_lines_are_whole() -> None:
    """What ends the text is not cut again: most texts are one piece, whose last line has no end."""
    assert list(whole_lines([b"a", b"b\nc", b"", b"d\n", b"e\nf\ng", b"h"])) == [b"ab\n", b"cd\n", b"e\nf\n", b"gh"]
    assert list(whole_lines([b"e\nf\ng"])) == [b"e\nf\ng"]
    assert list(whole_lines([])) == []


@pytest.mark.parametrize("charset", ["gb2312", "utf-16", "utf-7", "cp037", "iso-2022-jp"])
def test_charsets_in_which_letters_are_no_single_octets(charset: str) -> None:
    """Such a text is decoded whole, as before it could be searched octets would have to be letters."""
    assert not can_be_searched(charset)
