"""The bodies of PROPFIND and REPORT: XML in, values out. Pure.

Standards: RFC 4918 §9.1, RFC 3253 §3.6, RFC 6352 §8.6 and §8.7, RFC 6578 §3.2.
"""

from dataclasses import dataclass

from mic_mail.addressbook.vcard import Version
from mic_mail.web.carddav.xml import CARD, DAV, BadXml, Element, Name, PreconditionFailed, read

ADDRESS_DATA = (CARD, "address-data")
PROPFIND_OCTETS = 16 << 10
"""Octets of a PROPFIND body; every valid one fits, and it is parsed in the loop.

For a report: `xml.BODY_OCTETS`.
"""
MAX_PROPERTIES = 64
MAX_NAMES = 4096
"""Characters of all names asked for: each is repeated for every card, even where it has no value."""


@dataclass(frozen=True, slots=True)
class RequestedProperties:
    """The properties asked for, and the form of a card's own content."""

    names: tuple[Name, ...] | None = None
    """Names of the properties; None: all."""
    names_only: bool = False
    """True for names without values."""
    version: Version = Version.V3
    fields: frozenset[str] | None = None
    """Properties of the vCard; None: all."""


@dataclass(frozen=True, slots=True)
class Multiget:
    wanted: RequestedProperties
    hrefs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AddressQuery:
    wanted: RequestedProperties
    filter: Element | None
    most: int | None


@dataclass(frozen=True, slots=True)
class Sync:
    wanted: RequestedProperties
    token: str
    most: int | None


Report = Multiget | AddressQuery | Sync


def propfind(body: bytes) -> RequestedProperties:
    """Return the properties that a PROPFIND asks for; an empty body asks for everything."""
    if not body.strip():
        return RequestedProperties()
    root = read(body)
    if root.name != (DAV, "propfind"):
        raise BadXml
    return RequestedProperties(names_only=True) if root.child((DAV, "propname")) is not None else _wanted(root)


def report(body: bytes) -> Report:
    root = read(body)
    match root.name:
        case ("urn:ietf:params:xml:ns:carddav", "addressbook-multiget"):
            return Multiget(_wanted(root), tuple(one.text.strip() for one in root.all((DAV, "href"))))
        case ("urn:ietf:params:xml:ns:carddav", "addressbook-query"):
            return AddressQuery(_wanted(root), root.child((CARD, "filter")), _limit(root, CARD))
        case ("DAV:", "sync-collection"):
            token = root.child((DAV, "sync-token"))
            return Sync(_wanted(root), token.text.strip() if token is not None else "", _limit(root, DAV))
        case _:
            raise PreconditionFailed(DAV, "supported-report")  # RFC 3253 §3.6


def _wanted(root: Element) -> RequestedProperties:
    prop = root.child((DAV, "prop"))
    if prop is None:
        return RequestedProperties()
    names = tuple(dict.fromkeys(child.name for child in prop.children))
    if len(names) > MAX_PROPERTIES or sum(len(space) + len(local) for space, local in names) > MAX_NAMES:
        raise BadXml
    data = prop.child(ADDRESS_DATA)
    if data is None:
        return RequestedProperties(names)
    kind = data.attributes.get("content-type", "text/vcard")
    version = data.attributes.get("version", Version.V3.value)
    if kind.lower() != "text/vcard" or version not in set(Version):
        raise PreconditionFailed(CARD, "supported-address-data")  # RFC 6352 §8.6
    fields = frozenset(one.attributes.get("name", "").upper() for one in data.all((CARD, "prop")))
    return RequestedProperties(names, False, Version(version), fields or None)


def _limit(root: Element, space: str) -> int | None:
    limit = root.child((space, "limit"))
    number = limit.child((space, "nresults")) if limit is not None else None
    if number is None:
        return None
    if not (number.text.strip().isdecimal() and len(number.text.strip()) < 10):
        raise BadXml
    return int(number.text)
