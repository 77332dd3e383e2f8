"""The forms of the address book: vCard, LDIF, CSV. What is written is read again, by hand-made readers of the RFCs' rules."""

import base64
import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addresses import spellings
from mic_mail.addressbook import csv_listing, ldif, vcard
from mic_mail.addressbook.cards import Book, Card, CardKind, Ministry, PersonName, UnitName
from mic_mail.addressbook.ldap_entries import all_entries, dn, escaped
from mic_mail.addressbook.vcard import Version
from mic_mail.documents import csv_writer
from mic_mail.i18n.language import Language

MINISTRY = Ministry("Bộ Thông tin và Truyền thông", "mic.gov.vn")
CNTT = UnitName("CNTT", "Trung tâm Thông tin")
BE = Card(CardKind.PERSON, 17, "Đỗ Văn Bê", CNTT, "Phó Giám đốc, phụ trách", ("dvbe@mic.gov.vn",))
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1, max_size=30)
names = st.lists(words, min_size=1, max_size=5).map(" ".join)
cards = st.builds(
    Card,
    st.sampled_from(CardKind),
    st.integers(1, 10**9),
    names,
    st.builds(UnitName, words, names),
    st.one_of(st.just(""), names),
    st.lists(
        st.one_of(
            st.sampled_from(["a@mic.gov.vn", "b.c@mic.gov.vn", "x@khac.gov.vn"]), spellings().map(lambda one: str(one.address))
        ),
        max_size=2,
        unique=True,
    ).map(tuple),
)


@pytest.mark.parametrize(
    ("name", "family", "middle", "given"),
    [
        ("Đỗ Văn Bê", "Đỗ", "Văn", "Bê"),
        ("Nguyễn Thị Minh Khai", "Nguyễn", "Thị Minh", "Khai"),
        ("Lê Hoa", "Lê", "", "Hoa"),
        ("Y'Thu", "Y'Thu", "", ""),
        ("Lê Lê", "Lê", "", "Lê"),
    ],
)
def test_names_are_parted_in_vietnamese_order(name: str, family: str, middle: str, given: str) -> None:
    """The family name comes first, the name that people are called by last; who has one has it as the family's."""
    assert PersonName.of(name) == PersonName(family, middle, given)


def test_a_card_as_vcard_4() -> None:
    """What a telephone shows of a person: exactly this."""
    assert vcard.vcard(BE, MINISTRY).decode().split("\r\n") == [
        "BEGIN:VCARD",
        "VERSION:4.0",
        f"UID:urn:uuid:{MINISTRY.uuid(BE)}",
        "PRODID:-//mic-mail//directory//VI",
        "FN:Đỗ Văn Bê",
        'N;SORT-AS="Bê,Đỗ Văn":Đỗ;Bê;Văn;;',
        "ORG:Bộ Thông tin và Truyền thông;Trung tâm Thông tin",
        "TITLE:Phó Giám đốc\\, phụ trách",
        "EMAIL;TYPE=work;PREF=1:dvbe@mic.gov.vn",
        "KIND:individual",
        "LANG:vi",
        "END:VCARD",
        "",
    ]


def test_a_card_as_vcard_3() -> None:
    """RFC 2426 knows no KIND, no SORT-AS and no PREF, and wants N of units too."""
    text = vcard.vcard(BE, MINISTRY, Version.V3).decode()
    assert "VERSION:3.0\r\n" in text
    assert "N:Đỗ;Bê;Văn;;\r\nSORT-STRING:Bê Đỗ Văn\r\n" in text
    assert "EMAIL;TYPE=INTERNET,WORK,PREF:dvbe@mic.gov.vn\r\n" in text
    assert "KIND" not in text
    unit = Card(CardKind.UNIT, 1, CNTT.name, CNTT)
    assert f"N:{CNTT.name};;;;\r\n" in vcard.vcard(unit, MINISTRY, Version.V3).decode()


def unfolded(octets: bytes, end: bytes, continued: bytes) -> list[bytes]:
    assert octets.endswith(end)
    return octets.replace(end + continued, b"").split(end)[:-1]


def unescaped(value: str) -> list[str]:
    """The components of a structured value (RFC 6350 §3.4)."""
    parts, letters = [""], iter(value)
    for letter in letters:
        if letter == "\\":
            parts[-1] += next(letters).replace("n", "\n")
        elif letter == ";":
            parts.append("")
        else:
            parts[-1] += letter
    return parts


@given(cards, st.sampled_from(Version))
def test_what_a_vcard_says_is_what_the_card_says(card: Card, version: Version) -> None:
    """Any letter comes through; lines have at most 75 octets and are cut between letters."""
    octets = vcard.vcard(card, MINISTRY, version)
    for line in octets.split(b"\r\n"):
        assert len(line) <= 75
        line.decode()
    lines = [line.decode() for line in unfolded(octets, b"\r\n", b" ")]
    fields = {line.partition(":")[0].partition(";")[0]: line.partition(":")[2] for line in lines if not line.startswith("N;")}
    assert unescaped(fields["FN"]) == [card.name]
    assert unescaped(fields["ORG"]) == [MINISTRY.name, card.unit.name]
    assert unescaped(fields.get("TITLE", "")) == [card.position]
    assert sum(line.startswith("EMAIL") for line in lines) == len(card.addresses)
    if card.kind is CardKind.PERSON:
        line = next(line for line in lines if line.startswith(("N:", "N;")))
        family, given_, middle, _, _ = unescaped(line.rpartition('":')[2] if version is Version.V4 else line[2:])
        assert " ".join(filter(None, (family, middle, given_))) == card.name


def read_ldif(octets: bytes) -> list[list[tuple[str, str]]]:
    """RFC 2849, as far as attribute values go."""
    records: list[list[tuple[str, str]]] = [[]]
    assert octets.isascii()
    version, *lines = unfolded(octets, b"\n", b" ")
    assert version == b"version: 1"
    for line in lines:
        if not line:
            records.append([])
            continue
        name, _, rest = line.decode().partition(":")
        value = base64.b64decode(rest[2:]).decode() if rest.startswith(": ") else rest[1:]
        records[-1].append((name, value))
    return records


@given(st.lists(cards, max_size=4, unique_by=lambda card: card.key))
def test_what_an_ldif_says_is_what_the_entries_say(several: list[Card]) -> None:
    """Any letter comes through, in ASCII lines of at most 76 octets; nothing stands before what it belongs below."""
    book = Book.of(MINISTRY, several)
    octets = ldif.write(book)
    assert all(len(line) <= 76 for line in octets.split(b"\n"))
    expected = [
        [("dn", entry.dn), *((name, value) for name, values in entry.attributes.items() for value in values)]
        for entry in all_entries(book)
    ]
    assert read_ldif(octets) == expected
    seen: set[str] = set()
    for entry in expected[1:]:
        seen.add(entry[0][1])
    assert {f"ou={branch},dc=mic,dc=gov,dc=vn" for branch in ("people", "units", "groups")} <= seen


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("CNTT", "CNTT"),
        ("A,B+C", "A\\,B\\+C"),
        ("#1", "\\#1"),
        (" a ", "\\ a\\ "),
        ('"x"', '\\"x\\"'),
        ("Đỗ", "Đỗ"),
        (" ", "\\ "),
    ],
)
def test_values_in_names(value: str, written: str) -> None:
    """RFC 4514 §2.4."""
    assert escaped(value) == written


def test_a_person_without_a_mailbox_takes_nobodys_name() -> None:
    """The name of who has no address has a colon, which no address has."""
    bare = Card(CardKind.PERSON, 17, "Lê Hoa", CNTT)
    assert dn(BE, MINISTRY) == "uid=dvbe,ou=people,dc=mic,dc=gov,dc=vn"
    assert dn(bare, MINISTRY) == "uid=person-17:none,ou=people,dc=mic,dc=gov,dc=vn"


@given(st.lists(cards, max_size=5, unique_by=lambda card: card.key))
def test_no_field_of_a_csv_runs(several: list[Card]) -> None:
    """Each card is a row; a spreadsheet that reads the file finds no formula, and Excel sees that it is UTF-8."""
    octets = csv_writer.write(csv_listing.table(Book.of(MINISTRY, several), Language.VI))
    assert octets.startswith("\ufeffHọ và tên,".encode())
    rows = list(csv.reader(io.StringIO(octets.decode("utf-8-sig"), newline="")))
    assert len(rows) == 1 + len(several)
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)


def test_a_printed_directory_goes_by_unit_and_given_name() -> None:
    """Units by symbol; in each its people by the name that they are called by."""
    names_ = ("Trần Thị Lan", "Đỗ Văn Bê", "Lê Thị Ánh", "Vũ An")
    people = [Card(CardKind.PERSON, number, name, CNTT) for number, name in enumerate(names_, 1)]
    unit = Card(CardKind.UNIT, 1, CNTT.name, CNTT)
    other = Card(CardKind.UNIT, 2, "Ban A", UnitName("BA", "Ban A"))
    listed = [card.name for card in Book.of(MINISTRY, [*people, unit, other]).for_people()]
    assert listed == ["Ban A", "Trung tâm Thông tin", "Vũ An", "Lê Thị Ánh", "Đỗ Văn Bê", "Trần Thị Lan"]
    assert all(unicodedata.is_normalized("NFC", name) for name in listed)
