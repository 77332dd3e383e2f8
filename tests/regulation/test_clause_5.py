"""Reg. 5.1-5.4: addresses of units, groups and people, exact on the Centre's own examples."""

from pathlib import Path
from unicodedata import normalize

import pytest

from mic_mail.policy.naming.addresses import (
    AddressRefused,
    AddressSettings,
    candidates,
    check_choice,
    check_form,
    group_suggestions,
    personal_local_part,
    suggestions,
    unit_local_part,
)
from mic_mail.policy.naming.transliteration import UnusableName, tidy

_LINES = Path(__file__).with_name("names.txt").read_text("utf-8").splitlines()
NAMES = [(name, local) for name, _, local in (line.partition("|") for line in _LINES) if local]
"""Names of all kinds, with the local parts that people would write down for them."""
SYMBOLS = [
    ("PTTH&TTĐT", "ptth_ttdt"),
    ("CNTT", "cntt"),
    ("KH-TC", "kh-tc"),
    ("T.Tra", "t_tra"),
    ("KH&CN", "kh_cn"),
    ("XB,I&PH", "xb_i_ph"),
    ("VP/BTTTT", "vp_btttt"),
    ("P. HC–TH", "p_hc_th"),
    ("&CNTT&", "cntt"),
]
DAMAGED = ["§ç V¨n Bª", "TrÇn Hång", "NguyÔn ThÞ Hµ", "Ñoã Vaên Beâ", "Nguyeãn Thò Höôøng", "Phaïm Quoác Khaùnh", "Lê Th¸i"]


def test_clause_5_3():
    """A personal local part is the initials of family and middle names and the given name, in any Unicode form."""
    assert len(NAMES) > 250
    for form in ("NFC", "NFD"):
        given = {name: personal_local_part(normalize(form, name)) for name, _ in NAMES}
        assert given == dict(NAMES)


def test_clause_5_3_longer_given_name():
    """The directory can say that the given name has two words."""
    assert personal_local_part("Nguyễn Thị Minh Khai", given_words=2) == "ntminhkhai"


@pytest.mark.parametrize("name", DAMAGED)
def test_clause_5_3_old_encodings(name):
    """A name damaged by TCVN3 or VNI is refused, never guessed."""
    with pytest.raises(UnusableName):
        personal_local_part(name)


@pytest.mark.parametrize("name", ["ĐỖ VĂN BÊ;DROP", "Đỗ Văn Bê@", "Lê–Anne Mai", "Đỗ, Văn Bê", "Hing℡"])
def test_clause_5_3_signs_are_no_old_encoding(name):
    """A sign beside letters with marks is told as what it is; to type the name anew in Unicode would not help."""
    with pytest.raises(UnusableName) as refused:
        personal_local_part(name)
    assert refused.value.clause == "5.3"


@pytest.mark.parametrize("name", ["", "   ", "Nguyễn Văn 2", "李 明", "Đỗ <b> Bê", "TS. Bê"])
def test_clause_5_3_no_name(name):
    """What is no name of letters gives no address."""
    with pytest.raises(UnusableName):
        personal_local_part(name)


@pytest.mark.parametrize(("symbol", "local"), SYMBOLS)
def test_clause_5_1(symbol, local):
    """A unit's local part is its symbol with `_` for what an address cannot hold."""
    assert unit_local_part(symbol) == local


def test_clause_5_1_every_other_character():
    """Whatever cannot stand in an address becomes `_`: signs, blanks, letters of other scripts, controls."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
    for number in (*range(0x20), *range(0x20, 0x7F), 0xA0, 0x2013, 0x2014, 0x2026, 0x4E2D, 0x1F600):
        sign = chr(number)
        plain = sign.lower()
        assert unit_local_part(f"VP{sign}BT") == (f"vp{plain}bt" if plain in letters else "vp_bt")
    assert unit_local_part("Vụ ĐƯỜNG SẮT") == "vu_duong_sat"


@pytest.mark.parametrize("symbol", ["A" * 65, "A" * 500, "&" * 100 + "A", "KH-", "-"])
def test_clause_5_1_symbols_that_make_no_address(symbol):
    """Neither a symbol that is too long for an address (RFC 5321 §4.5.3.1.1) nor one whose address would be malformed."""
    with pytest.raises(AddressRefused):
        unit_local_part(symbol)
    assert unit_local_part("A" * 64) == "a" * 64


@pytest.mark.parametrize("local", ["a..b", "a" * 65, "a.", ".a", "a b", "ă", ""])
def test_malformed_local_parts(local):
    """What no mail program could write an address with is refused for units, groups and aliases alike."""
    with pytest.raises(AddressRefused):
        check_form(local)


def test_names_as_they_are_kept():
    """Single blanks, NFC; an empty name and an endless one are refused."""
    assert tidy("  Đỗ \u00a0Văn  Be\u0302\u0301 ") == "Đỗ Văn Bế"
    assert tidy("Đỗ\u200bVăn\u200b Bê\u200f") == "Đỗ Văn Bê"  # a page's zero-width blank parts words
    for name in ("", "   ", "x" * 201):
        with pytest.raises(UnusableName):
            tidy(name)


def test_clause_5_1_readings():
    """One `_` for each character, and other characters kept, are settings."""
    assert unit_local_part("P. HC–TH", AddressSettings(unit_collapse=False)) == "p__hc_th"
    assert unit_local_part("KH-TC", AddressSettings(unit_keep="")) == "kh_tc"
    with pytest.raises(AddressRefused):
        unit_local_part("&&")


def test_clause_5_2():
    """A group's address is suggested from its name: whole and as initials."""
    assert group_suggestions("Đoàn thanh niên") == ["doanthanhnien", "dtn"]


def test_clause_5_4_a():
    """The first of the name gets the plain form, and nothing else is suggested."""
    assert suggestions("Đỗ Văn Bê", "cntt", lambda local: False) == ["dvbe"]


def test_clause_5_4_b():
    """Whoever comes later is offered other orders of the name's parts, then the form with the unit; never a number."""
    offered = suggestions("Đinh Vũ Bê", "cntt", {"dvbe"}.__contains__)
    assert offered[:2] == ["bedv", "vdbe"]
    assert offered[-1] == "dvbe.cntt"
    assert not any(c.isdigit() for local in offered for c in local)


def test_clause_5_4_b_everything_taken():
    """With all orders taken the form with the unit is left, and with that one taken another order before the dot."""
    assert suggestions("Hồ Ái", "cntt", {"hai", "aih"}.__contains__) == ["hai.cntt"]
    assert suggestions("Hồ Ái", "cntt", {"hai", "aih", "hai.cntt"}.__contains__) == ["aih.cntt"]


def test_clause_5_4_b_letters():
    """With address.namesake.permute = letters also single letters change places."""
    taken = {"dvbe", "bedv", "vdbe", "dbev", "vbed", "bevd"}.__contains__
    assert suggestions("Đỗ Văn Bê", "cntt", taken) == ["dvbe.cntt"]
    offered = suggestions("Đỗ Văn Bê", "cntt", taken, settings=AddressSettings(permute_letters=True))
    assert sorted(offered[0]) == sorted("dvbe")
    assert offered[0] not in {"dvbe", "bedv"}


def test_reserved_names_go_to_nobody():
    """An Đức Min does not become admin@."""
    assert suggestions("An Đức Min", "cntt", lambda local: False)[0] == "minad"
    with pytest.raises(AddressRefused):
        check_choice("admin", "An Đức Min", "cntt")


@pytest.mark.parametrize("choice", ["dvbe", "bedv", "evbd", "dvbe.cntt", "bedv.cntt"])
def test_choices_from_the_own_name(choice):
    """A person may choose any order of the own letters, with or without the own unit."""
    check_choice(choice, "Đinh Vũ Bê", "cntt")


@pytest.mark.parametrize("choice", ["dvba", "dvbe1", "dvbe.kh", "boss", "dv be", "DVBE", ".dvbe", "dvbe.", "x" * 65])
def test_choices_from_elsewhere(choice):
    """Anything else is refused."""
    with pytest.raises(AddressRefused):
        check_choice(choice, "Đinh Vũ Bê", "cntt")


@pytest.mark.parametrize(
    ("address", "separator", "found"),
    [
        ("dvbe+x@mic.gov.vn", "+", ("dvbe+x@mic.gov.vn", "dvbe@mic.gov.vn")),
        ("DVBE+X+y@MIC.gov.vn", "+", ("dvbe+x+y@mic.gov.vn", "dvbe@mic.gov.vn")),
        ("+x@mic.gov.vn", "+", ("+x@mic.gov.vn",)),
        ("dvbe@mic.gov.vn", "+", ("dvbe@mic.gov.vn",)),
        ("dvbe+x@mic.gov.vn", "", ("dvbe+x@mic.gov.vn",)),
    ],
)
def test_subaddresses(address, separator, found):
    """The address as written comes first, then the one without its detail."""
    assert candidates(address, separator) == found
