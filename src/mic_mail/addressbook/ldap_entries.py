"""A card as an LDAP entry: its distinguished name and its attributes.

In: cards. Out: entries, the same for the LDAP service and for LDIF. Pure.

    dc=mic,dc=gov,dc=vn                    the ministry
      ou=people   uid=dvbe                 inetOrgPerson (RFC 2798); without a mailbox uid=person-17:none
      ou=units    ou=CNTT                  organizationalUnit, by the symbol of Reg. 5.1
      ou=groups   uid=nhom.cchc            groupOfNames; its member is the unit that answers for it

Units and groups are extensibleObject too (RFC 4512 §4.3): their own classes have no mail attribute, which programs look for.
Standards: RFC 4514 (names), 4519, 2798, 2247 (dc).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from mic_mail.addressbook.cards import Book, Card, CardKind, Ministry, PersonName

Attributes = Mapping[str, tuple[str, ...]]
PEOPLE, UNITS, GROUPS = "ou=people", "ou=units", "ou=groups"
BRANCHES = {CardKind.PERSON: PEOPLE, CardKind.UNIT: UNITS, CardKind.GROUP: GROUPS}
_SPECIAL = frozenset('"+,;<>\\=')
_CLASSES = {
    CardKind.PERSON: ("top", "person", "organizationalPerson", "inetOrgPerson"),
    CardKind.UNIT: ("top", "organizationalUnit", "extensibleObject"),
    CardKind.GROUP: ("top", "groupOfNames", "extensibleObject"),
}


@dataclass(frozen=True, slots=True)
class LdapEntry:
    """An LDAP entry; `dn` in the form of RFC 4514.

    Attributes are keyed by their short names, each with at least one value.
    """

    dn: str
    attributes: Attributes


@lru_cache
def suffix(ministry: Ministry) -> str:
    """Return the suffix of the tree (RFC 2247 §3)."""
    return ",".join(f"dc={label}" for label in ministry.domain.split("."))


def escaped(value: str) -> str:
    """Return a value escaped for a distinguished name (RFC 4514 §2.4)."""
    if value.isalnum():
        return value
    out = "".join(f"\\{letter}" if letter in _SPECIAL else "\\00" if letter == "\0" else letter for letter in value)
    if out.startswith((" ", "#")):
        out = "\\" + out
    return out[:-1] + "\\ " if out.endswith(" ") and len(value) > 1 else out


def rdn(card: Card, ministry: Ministry) -> tuple[str, str]:
    """Return the relative distinguished name of a card: attribute and value, unique in its branch."""
    if card.kind is CardKind.UNIT:
        return "ou", card.unit.symbol
    # No address has a colon (Reg. 5), so no person's address can equal the name of a card without one.
    return "uid", ministry.login(card.addresses[0]) if card.addresses else f"{card.key}:none"


def dn(card: Card, ministry: Ministry) -> str:
    attribute, value = rdn(card, ministry)
    return f"{attribute}={escaped(value)},{BRANCHES[card.kind]},{suffix(ministry)}"


def entry(card: Card, ministry: Ministry) -> LdapEntry:
    return LdapEntry(dn(card, ministry), {name: values for name, values in _attributes(card, ministry) if values})


def _attributes(card: Card, ministry: Ministry) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "objectClass", _CLASSES[card.kind]
    yield "cn", (card.name,)
    yield "displayName", (card.name,)
    unit = f"ou={escaped(card.unit.symbol)},{UNITS},{suffix(ministry)}"
    match card.kind:
        case CardKind.PERSON:
            person = PersonName.of(card.name)
            yield "sn", (person.family,)
            yield "givenName", (person.given,) if person.given else ()
            yield "uid", (rdn(card, ministry)[1],)
            yield "title", (card.position,) if card.position else ()
            yield "ou", (card.unit.name,)
            yield "departmentNumber", (card.unit.symbol,)
        case CardKind.UNIT:
            yield "ou", tuple(dict.fromkeys((card.unit.symbol, card.unit.name)))
        case CardKind.GROUP:
            yield "uid", (rdn(card, ministry)[1],)
            yield "ou", (card.unit.name,)
            yield "member", (unit,)
            yield "owner", (unit,)
    yield "o", (ministry.name,)
    yield "mail", card.addresses


def frame(ministry: Ministry) -> list[LdapEntry]:
    """Return the entries above the cards: the ministry, and a branch for each kind."""
    top = suffix(ministry)
    label = ministry.domain.partition(".")[0]
    branches = (
        (PEOPLE, "people", "Cá nhân"),
        (UNITS, "units", "Đơn vị"),
        (GROUPS, "groups", "Nhóm"),
    )
    return [
        LdapEntry(top, {"objectClass": ("top", "organization", "dcObject"), "dc": (label,), "o": (ministry.name,)}),
        *(
            LdapEntry(f"{branch},{top}", {"objectClass": ("top", "organizationalUnit"), "ou": (name,), "description": (meant,)})
            for branch, name, meant in branches
        ),
    ]


def all_entries(book: Book) -> Iterator[LdapEntry]:
    """Yield every entry, parents before children."""
    yield from frame(book.ministry)
    for card in book:
        yield entry(card, book.ministry)
