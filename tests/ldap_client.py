"""What an LDAP client says and hears, written by hand from RFC 4511, apart from the server's own code; and a small ministry.

`ask(...)` makes messages, `messages_in(octets)` reads answers into plain tuples. A filter is written as in RFC 4515:
`(cn=*bê*)`.
"""

import re
from collections.abc import Iterator

from mic_mail.addressbook.cards import Book, Card, CardKind, Ministry, UnitName

MINISTRY = Ministry("Bộ Thông tin và Truyền thông", "mic.gov.vn")
BASE = "dc=mic,dc=gov,dc=vn"
CNTT = UnitName("CNTT", "Trung tâm Thông tin")
KHTC = UnitName("KHTC", "Vụ Kế hoạch - Tài chính")


def small_book() -> Book:
    """Two units, four people of whom one has no mailbox, a group."""
    return Book.of(
        MINISTRY,
        [
            Card(CardKind.UNIT, 1, CNTT.name, CNTT, "", ("cntt@mic.gov.vn",)),
            Card(CardKind.UNIT, 2, KHTC.name, KHTC),
            Card(CardKind.PERSON, 1, "Đỗ Văn Bê", CNTT, "Giám đốc", ("dvbe@mic.gov.vn",)),
            Card(CardKind.PERSON, 2, "Trần Thị Lan", KHTC, "Chuyên viên", ("ttlan@mic.gov.vn",)),
            Card(CardKind.PERSON, 3, "Lê Bê", KHTC),
            Card(CardKind.PERSON, 4, "Đỗ Thị Phở", CNTT, "", ("dtpho@khac.gov.vn",)),
            Card(CardKind.GROUP, 9, "Nhóm cải cách hành chính", CNTT, "", ("nhom.cchc@mic.gov.vn",)),
        ],
    )


def large_book() -> Book:
    """So many people that an answer is sent in pieces."""
    return Book.of(MINISTRY, [Card(CardKind.PERSON, number_, "Đỗ Văn Bê", CNTT) for number_ in range(3000)])


# ------------------------------------------------------------------ saying


def tlv(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    return bytes([tag]) + (bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")) + content


def number(value: int, tag: int = 2) -> bytes:
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def text(value: str | bytes, tag: int = 4) -> bytes:
    return tlv(tag, value.encode() if isinstance(value, str) else value)


def ask(message_id: int, *operation: bytes) -> bytes:
    return tlv(0x30, number(message_id), *operation)


def bind(message_id: int = 1, name: str = "dvbe", password: str = "right") -> bytes:
    return ask(message_id, tlv(0x60, number(3), text(name), text(password, 0x80)))


def search(
    message_id: int = 2,
    wanted: str | bytes = "(objectClass=*)",
    *attributes: str,
    base: str = BASE,
    scope: int = 2,
    most: int = 0,
    types_only: bool = False,
    controls: bytes = b"",
) -> bytes:
    limits = number(most), number(0), tlv(1, b"\xff" if types_only else b"\0")
    octets = wanted if isinstance(wanted, bytes) else written(wanted)
    asked = tlv(0x63, text(base), number(scope, 10), number(0, 10), *limits, octets, tlv(0x30, *map(text, attributes)))
    return ask(message_id, asked, controls)


def paged(size: int, cookie: bytes = b"") -> bytes:
    return tlv(0xA0, tlv(0x30, text("1.2.840.113556.1.4.319"), text(tlv(0x30, number(size), text(cookie)))))


def written(wanted: str) -> bytes:
    """A filter as RFC 4515 writes it."""
    octets, rest = _filter(wanted)
    assert not rest, rest
    return octets


def _filter(wanted: str) -> tuple[bytes, str]:
    assert wanted[0] == "(", wanted
    sign, rest = wanted[1], wanted[2:]
    if sign in "&|!":
        parts = []
        while rest[0] == "(":
            part, rest = _filter(rest)
            parts.append(part)
        return tlv({"&": 0xA0, "|": 0xA1, "!": 0xA2}[sign], *parts), rest[1:]
    end = wanted.index(")")
    return _item(wanted[1:end]), wanted[end + 1 :]


def _item(item: str) -> bytes:
    found = re.fullmatch(r"([^=~<>:]*)(:dn)?(?::([^=:]+))?(:=|~=|>=|<=|=)(.*)", item, re.DOTALL)
    assert found, item
    attribute, names, rule, sign, value = found.groups()
    if sign == ":=":
        parts = [text(rule, 0x81)] if rule else []
        parts += [text(attribute, 0x82)] if attribute else []
        return tlv(0xA9, *parts, text(value, 0x83), *([tlv(0x84, b"\xff")] if names else []))
    if sign == "=" and value == "*":
        return text(attribute, 0x87)
    if sign == "=" and "*" in value:
        first, *inner, last = value.split("*")
        pieces = [text(first, 0x80)] if first else []
        pieces += [text(piece, 0x81) for piece in inner if piece]
        pieces += [text(last, 0x82)] if last else []
        return tlv(0xA4, text(attribute), tlv(0x30, *pieces))
    return tlv({"=": 0xA3, ">=": 0xA5, "<=": 0xA6, "~=": 0xA8}[sign], text(attribute), text(value))


# ------------------------------------------------------------------ hearing


def elements(octets: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(octets):
        tag, size, at = octets[at], octets[at + 1], at + 2
        if size & 0x80:
            size, at = int.from_bytes(octets[at : at + (size & 0x7F)], "big"), at + (size & 0x7F)
        assert at + size <= len(octets)
        yield tag, octets[at : at + size]
        at += size


def messages_in(octets: bytes) -> list[tuple[int, int, list[tuple[int, bytes]]]]:
    """Messages as (message id, tag of the operation, its elements)."""
    found = []
    for tag, content in elements(octets):
        assert tag == 0x30
        (_, message_id), (operation, inner), *_ = elements(content)
        found.append((int.from_bytes(message_id, "big"), operation, list(elements(inner))))
    return found


def codes(octets: bytes) -> list[int]:
    """The result codes, in order."""
    return [parts[0][1][0] for _, tag, parts in messages_in(octets) if tag not in (0x64, 0x73)]


def entries(octets: bytes) -> dict[str, dict[str, list[str]]]:
    """What was found: names and attributes."""
    found = {}
    for _, tag, parts in messages_in(octets):
        if tag == 0x64:
            attributes = {}
            for _, attribute in elements(parts[1][1]):
                (_, name), (_, values) = elements(attribute)
                attributes[name.decode()] = [value.decode() for _, value in elements(values)]
            found[parts[0][1].decode()] = attributes
    return found


def cookie_of(octets: bytes) -> bytes:
    """Of the last answer, which has the control of a page."""
    *_, (_, content) = elements(octets)
    *_, (tag, controls) = elements(content)
    assert tag == 0xA0
    ((_, control),) = elements(controls)
    _, (_, value) = elements(control)
    ((_, page),) = elements(value)
    _, (_, cookie) = elements(page)
    return cookie
