"""The WebDAV properties of each resource, and the answers made of them. Pure.

Standards: RFC 4918 §13, RFC 3744 §5, RFC 6352 §6.2 and §7.1, RFC 6578 §4.
"""

from collections.abc import Callable, Iterable, Mapping

from mic_mail.addressbook import vcard
from mic_mail.addressbook.cards import Card, Ministry
from mic_mail.web.carddav.collection import Collection
from mic_mail.web.carddav.requests import ADDRESS_DATA, RequestedProperties
from mic_mail.web.carddav.xml import CARD, DAV, SERVER, Name, document, element, href, text

Properties = Mapping[Name, Callable[[], str]]
"""The value of each property, made when it is asked for."""
ROOT = "/dav/"
PRINCIPALS = "/dav/principals/"
HOME = "/dav/addressbooks/"
REPORTS: tuple[Name, ...] = ((CARD, "addressbook-query"), (CARD, "addressbook-multiget"), (DAV, "sync-collection"))
VCARD = "text/vcard; charset=utf-8"
_LATER = frozenset({ADDRESS_DATA, (DAV, "supported-report-set"), (DAV, "current-user-privilege-set"), (DAV, "sync-token")})
"""Properties left out of `allprop`: long, or computed on demand (RFC 6578 §4, RFC 6352 §10.4)."""


def principal_path(address: str) -> str:
    return f"{PRINCIPALS}{address}/"


def _privileges() -> str:
    """Return the privileges: everybody reads, nothing else (RFC 3744 §5.4)."""
    allowed = ("read", "read-current-user-privilege-set")
    return "".join(element((DAV, "privilege"), element((DAV, name))) for name in allowed)


def _everywhere(address: str, kinds: Iterable[Name], name: str) -> dict[Name, Callable[[], str]]:
    return {
        (DAV, "resourcetype"): lambda: "".join(element(kind) for kind in kinds),
        (DAV, "displayname"): lambda: text(name),
        (DAV, "current-user-principal"): lambda: href(principal_path(address)),
        (DAV, "principal-collection-set"): lambda: href(PRINCIPALS),
        (DAV, "current-user-privilege-set"): _privileges,
    }


def of_root(address: str) -> Properties:
    return _everywhere(address, [(DAV, "collection")], "mic-mail")


def of_principal(address: str) -> Properties:
    """Return the properties of the signed-in principal."""
    return {
        **_everywhere(address, [(DAV, "collection"), (DAV, "principal")], address),
        (DAV, "principal-URL"): lambda: href(principal_path(address)),
        (CARD, "addressbook-home-set"): lambda: href(HOME),
        (SERVER, "email-address-set"): lambda: element((SERVER, "email-address"), text(address)),
    }


def of_home(address: str) -> Properties:
    return {**_everywhere(address, [(DAV, "collection")], "Danh bạ"), (DAV, "owner"): lambda: href(principal_path(address))}


def of_book(address: str, name: str, collection: Collection) -> Properties:
    """Return the properties of an address book."""
    data = "".join(
        element((CARD, "address-data-type"), content_type="text/vcard", version=version) for version in vcard.Version
    )
    reports = "".join(element((DAV, "supported-report"), element((DAV, "report"), element(report))) for report in REPORTS)
    collations = "".join(element((CARD, "supported-collation"), text(one)) for one in ("i;ascii-casemap", "i;unicode-casemap"))
    return {
        **_everywhere(address, [(DAV, "collection"), (CARD, "addressbook")], name),
        (CARD, "addressbook-description"): lambda: text(f"Danh bạ điện tử: {name}"),
        (CARD, "supported-address-data"): lambda: data,
        (CARD, "supported-collation-set"): lambda: collations,
        (CARD, "max-resource-size"): lambda: "65536",
        (DAV, "supported-report-set"): lambda: reports,
        (DAV, "getetag"): lambda: text(collection.tag),
        (DAV, "sync-token"): lambda: text(collection.token),
        (SERVER, "getctag"): lambda: text(collection.tag),
    }


def of_card(address: str, card: Card, tag: str, ministry: Ministry, wanted: RequestedProperties) -> Properties:
    """Return the properties of a card."""

    def data() -> str:
        return text(vcard.vcard(card, ministry, wanted.version, wanted.fields).decode())

    return {
        (DAV, "resourcetype"): str,
        (DAV, "getetag"): lambda: text(tag),
        (DAV, "getcontenttype"): lambda: VCARD,
        (DAV, "getcontentlength"): lambda: str(len(vcard.vcard(card, ministry, vcard.Version.V3))),  # as GET gives it (§15.4)
        (DAV, "current-user-principal"): lambda: href(principal_path(address)),
        (DAV, "current-user-privilege-set"): _privileges,
        ADDRESS_DATA: data,
    }


# ------------------------------------------------------------------ answers


def found(path: str, properties: Properties, wanted: RequestedProperties) -> str:
    """Return one resource of a multistatus."""
    if wanted.names_only:
        return response(path, _propstat((element(name) for name in properties), "200 OK"))
    names = wanted.names if wanted.names is not None else tuple(name for name in properties if name not in _LATER)
    there = [element(name, properties[name]()) for name in names if name in properties]
    missing = [element(name) for name in names if name not in properties]
    stats = (_propstat(there, "200 OK") if there or not missing else "") + (
        _propstat(missing, "404 Not Found") if missing else ""
    )
    return response(path, stats)


def _propstat(properties: Iterable[str], status: str) -> str:
    return element((DAV, "propstat"), element((DAV, "prop"), "".join(properties)) + _status(status))


def _status(status: str) -> str:
    return element((DAV, "status"), f"HTTP/1.1 {status}")


def response(path: str, inner: str) -> str:
    return element((DAV, "response"), href(path) + inner)


def missing(path: str) -> str:
    """Return the answer for a resource that does not exist, or no longer."""
    return response(path, _status("404 Not Found"))


def cut_off(path: str) -> str:
    """Return the answer that says that more cards match (RFC 6352 §8.6.2)."""
    return response(
        path, _status("507 Insufficient Storage") + element((DAV, "error"), element((DAV, "number-of-matches-within-limits")))
    )


def multistatus(responses: Iterable[str], token: str | None = None) -> bytes:
    last = [element((DAV, "sync-token"), text(token))] if token is not None else []
    return document((DAV, "multistatus"), [*responses, *last])


def failed(condition: Name) -> bytes:
    """Return the body that names the condition that a request did not meet (RFC 4918 §16)."""
    return document((DAV, "error"), [element(condition)])
