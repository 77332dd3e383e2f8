"""A card as a vCard: 4.0 (RFC 6350), or 3.0 (RFC 2426) for older programs.

Outlook and iOS know only 3.0. In: cards. Out: UTF-8 octets, lines with CRLF, folded at 75 octets and never within a letter.
Equal cards give equal octets on every machine: no time or randomness. Lists sort Vietnamese people by the given name: SORT-AS,
SORT-STRING.
"""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum

from mic_mail.addressbook.cards import Card, CardKind, Ministry, PersonName

LINE_OCTETS = 75
"""RFC 6350 §3.2, without the line break."""
_ESCAPES = str.maketrans({"\\": "\\\\", ",": "\\,", ";": "\\;", "\n": "\\n", "\r": None})
_NAME_ENDS = re.compile("[;:]")
_KINDS = {CardKind.PERSON: "individual", CardKind.UNIT: "org", CardKind.GROUP: "group"}


class Version(StrEnum):
    """The supported versions of vCard."""

    V3 = "3.0"
    V4 = "4.0"


def write(cards: Iterable[Card], ministry: Ministry, version: Version = Version.V4) -> bytes:
    return b"".join(vcard(card, ministry, version) for card in cards)


def vcard(card: Card, ministry: Ministry, version: Version = Version.V4, properties: frozenset[str] | None = None) -> bytes:
    """Write one card; with `properties` (upper case) only these of it."""
    inner = _lines(card, ministry, version)
    if properties is not None:
        inner = (line for line in inner if _NAME_ENDS.split(line, 1)[0] in properties)
    lines = ["BEGIN:VCARD", f"VERSION:{version}", *inner, "END:VCARD"]
    return b"".join(folded(line) for line in lines)


def _lines(card: Card, ministry: Ministry, version: Version) -> Iterator[str]:
    new = version is Version.V4
    uuid = ministry.uuid(card)
    yield f"UID:urn:uuid:{uuid}" if new else f"UID:{uuid}"
    yield "PRODID:-//mic-mail//directory//VI"
    yield f"FN:{_text(card.name)}"
    if card.kind is CardKind.PERSON:
        yield from _name(PersonName.of(card.name), new=new)
    elif not new:
        yield f"N:{_text(card.name)};;;;"  # RFC 2426 §3.1.2 requires one
    yield "ORG:" + ";".join(_text(part) for part in (ministry.name, card.unit.name))
    if card.position:
        yield f"TITLE:{_text(card.position)}"
    for place, address in enumerate(card.addresses, start=1):
        if new:
            yield f"EMAIL;TYPE=work{';PREF=1' if place == 1 else ''}:{_text(address)}"
        else:
            yield f"EMAIL;TYPE=INTERNET,WORK{',PREF' if place == 1 else ''}:{_text(address)}"
    if new:
        yield f"KIND:{_KINDS[card.kind]}"
        yield "LANG:vi"
    elif card.kind is not CardKind.PERSON:
        yield "X-ABSHOWAS:COMPANY"  # Apple: the card is not a person's


def _name(person: PersonName, *, new: bool) -> Iterator[str]:
    value = ";".join(_text(part) for part in (person.family, person.given, person.middle, "", ""))
    first, then = person.sorted_by
    if new:
        yield f'N;SORT-AS="{_quoted(first)},{_quoted(then)}":{value}'
    else:
        yield f"N:{value}"
        yield f"SORT-STRING:{_text(f'{first} {then}'.strip())}"


def _text(value: str) -> str:
    """Escape a text value (RFC 6350 §3.4)."""
    return value.translate(_ESCAPES)


def _quoted(value: str) -> str:
    """Remove the characters that a quoted parameter cannot hold.

    A quotation mark is forbidden there (RFC 6350 §3.3), and a comma separates the values.
    """
    return "".join(letter for letter in value if letter not in '",\r\n')


def folded(line: str) -> bytes:
    """Fold a line (RFC 6350 §3.2): it continues in the next line after a space."""
    octets = line.encode()
    pieces: list[bytes] = []
    room = LINE_OCTETS
    while len(octets) > room:
        cut = room
        while octets[cut] & 0xC0 == 0x80:  # within a letter
            cut -= 1
        pieces.append(octets[:cut])
        octets, room = octets[cut:], LINE_OCTETS - 1
    pieces.append(octets)
    return b"\r\n ".join(pieces) + b"\r\n"
