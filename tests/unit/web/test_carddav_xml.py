"""The XML of requests: namespaces as clients declare them, and documents that are short and want much."""

import contextlib
import tracemalloc
from collections.abc import Callable
from functools import partial

import pytest

from cost_growth import assert_linear
from mic_mail.web.autosetup.autodiscover import BODY_OCTETS as AUTODISCOVER_OCTETS
from mic_mail.web.autosetup.autodiscover import NotAsked, address_asked
from mic_mail.web.carddav.requests import Multiget, RequestedProperties, propfind, report
from mic_mail.web.carddav.xml import BODY_OCTETS, CARD, DAV, MAX_ATTRIBUTES, MAX_SPACE, BadXml, Element, read

XML = "http://www.w3.org/XML/1998/namespace"


def names(element: Element) -> list[tuple[str, str]]:
    """Of an element and all in it, in their order."""
    return [element.name, *(name for child in element.children for name in names(child))]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("<a/>", [("", "a")]),
        ('<a xmlns="DAV:"><b/></a>', [(DAV, "a"), (DAV, "b")]),
        ('<d:a xmlns:d="DAV:"><d:b/><c/></d:a>', [(DAV, "a"), (DAV, "b"), ("", "c")]),
        ('<a xmlns="u"><a xmlns="v"><a/></a><a/></a>', [("u", "a"), ("v", "a"), ("v", "a"), ("u", "a")]),
        ('<a xmlns="u"><a xmlns=""><a/></a><a/></a>', [("u", "a"), ("", "a"), ("", "a"), ("u", "a")]),
        ('<p:a xmlns:p="u"><p:a xmlns:p="v"/><p:a/></p:a>', [("u", "a"), ("v", "a"), ("u", "a")]),
        ('<p:a xmlns:q="v" xmlns="w" xmlns:p="u"><q:a/><a/></p:a>', [("u", "a"), ("v", "a"), ("w", "a")]),
        ('<a><p:b xmlns:p="u"/><b xmlns:p="v"><p:c/></b></a>', [("", "a"), ("u", "b"), ("", "b"), ("v", "c")]),
        ('<xml:a xml:lang="vi"/>', [(XML, "a")]),
        (f'<xml:a xmlns:xml="{XML}"/>', [(XML, "a")]),
        ('<a xmlns:p="u" xmlns:q="v" p:x="" q:x="" x=""/>', [("", "a")]),
        ('<đ:ê xmlns:đ="u"><đ:_/></đ:ê>', [("u", "ê"), ("u", "_")]),
        (f'<a xmlns="{"u" * MAX_SPACE}"/>', [("u" * MAX_SPACE, "a")]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_namespaces(document: str, expected: list[tuple[str, str]], encoding: str) -> None:
    """Namespaces in XML 1.0: by default or by prefix, within the element that declares them, the innermost first."""
    assert names(read(document.encode(encoding))) == expected


@pytest.mark.parametrize(
    "document",
    [
        "<p:a/>",
        '<a><p:b xmlns:p="u"/><p:b/></a>',
        '<a p:x=""/>',
        '<p:a xmlns:p=""/>',
        '<a xmlns:p="u"><b xmlns:p=""/></a>',
        '<a xmlns:xml="u"/>',
        f'<a xmlns:p="{XML}"/>',
        f'<a xmlns="{XML}"/>',
        '<a xmlns:xmlns="u"/>',
        '<a xmlns:p="http://www.w3.org/2000/xmlns/"/>',
        '<xmlns:a xmlns="u"/>',
        '<a xmlns:p="u" xmlns:q="u" p:x="" q:x=""/>',
        '<p:a:b xmlns:p="u"/>',
        '<p:1 xmlns:p="u"/>',
        '<p:-a xmlns:p="u"/>',
        '<:a xmlns="u"/>',
        '<a: xmlns:a="u"/>',
        '<a xmlns:="u"/>',
        '<a xmlns:1="u"/>',
        '<a xmlns:p:q="u"/>',
        '<a xmlns:p="u" p:x="" p:x=""/>',
        f'<a xmlns="{"u" * (MAX_SPACE + 1)}"/>',
        f"<a {' '.join(f'a{number}=_' for number in range(MAX_ATTRIBUTES + 1))}/>".replace("_", "''"),
    ],
)
def test_names_that_are_none(document: str) -> None:
    """Prefixes that nobody has declared, those that XML has for itself, names that are no names; a namespace without end."""
    with pytest.raises(BadXml):
        read(document.encode())


def test_what_clients_send_is_read_whatever_their_prefixes() -> None:
    """Thunderbird's and DAVx5's default namespace, iOS's letters of the alphabet; attributes have no namespace."""
    by_default = (
        f'<propfind xmlns="DAV:" xmlns:CARD="{CARD}"><prop><getetag/><CARD:address-data content-type="text/vcard"'
        ' version="4.0"><CARD:prop name="FN"/></CARD:address-data></prop></propfind>'
    )
    by_letters = (
        f'<A:propfind xmlns:A="DAV:"><A:prop><A:getetag/><B:address-data xmlns:B="{CARD}" content-type="text/vcard"'
        ' version="4.0"><B:prop name="FN"/></B:address-data></A:prop></A:propfind>'
    )
    wanted = propfind(by_default.encode())
    assert wanted == propfind(by_letters.encode())
    assert (wanted.names, wanted.fields) == (((DAV, "getetag"), (CARD, "address-data")), frozenset({"FN"}))
    asked = report(f'<addressbook-multiget xmlns="{CARD}"><x:href xmlns:x="DAV:"> /a </x:href></addressbook-multiget>'.encode())
    assert asked == Multiget(RequestedProperties(), ("/a",))


def filled(most: int, head: str, each: Callable[[int], str], tail: str) -> bytes:
    """A document of that length, as nearly as may be."""
    parts, room, number = [head], most - len(head) - len(tail), 0
    while len(part := each(number)) <= room:
        parts.append(part)
        room, number = room - len(part), number + 1
    return "".join([*parts, tail]).encode()


def levels(declared: int) -> str:
    """Elements within elements, each with so many namespaces."""
    names = ("".join(f' xmlns:p{depth}-{number}="u"' for number in range(declared)) for depth in range(14))
    return "".join(f"<a{each}>" for each in names)


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "one namespace for many elements": lambda most: filled(
        most, f'<a xmlns="{"u" * (most * 9 // 10)}">', lambda _: "<b/>", "</a>"
    ),
    "one namespace for many attributes": lambda most: filled(
        most, f'<a xmlns:x="{"u" * (most // 3)}" ', lambda number: f'x:a{number}="" ', "/>"
    ),
    "a long namespace for each element": lambda most: filled(most, "<a>", lambda number: f'<b xmlns="{number:0200}"/>', "</a>"),
    "attributes": lambda most: filled(most, "<a ", lambda number: f'a{number}="" ', "/>"),
    "namespaces": lambda most: filled(most, "<a ", lambda number: f'xmlns:a{number}="u" ', "/>"),
    "namespaces at each level": lambda most: filled(most, levels(most // 10_000), lambda _: '<b xmlns:q="u"/>', "</a>" * 14),
    "levels": lambda most: filled(most, "<a>", lambda _: "<a>", ""),
    "levels in a long namespace": lambda most: filled(most, f'<a xmlns="{"u" * (most // 2)}">', lambda _: "<a>", ""),
    "elements": lambda most: filled(most, "<a>", lambda _: "<b/>", "</a>"),
    "lines": lambda most: filled(most, "<a>", lambda _: "\n", "</a>"),
    "entities": lambda most: filled(most, "<!DOCTYPE a [", lambda number: f'<!ENTITY e{number} "x">', "]><a/>"),
    "entities in entities": lambda most: filled(
        most, f'<!DOCTYPE a [<!ENTITY e "{"<b/>" * 500}"><!ENTITY f "{"&e;" * 500}">]><a>', lambda _: "&f;", "</a>"
    ),
    "attributes by declaration": lambda most: filled(
        most,
        f"<!DOCTYPE a [<!ATTLIST b {' '.join(f'a{number} CDATA _' for number in range(most // 30))}>]><a>".replace("_", "''"),
        lambda _: "<b/>",
        "</a>",
    ),
}


def lightly(reading: Callable[[bytes], object], document: bytes) -> None:
    """Reads, or refuses, with little memory."""
    tracemalloc.start()
    try:
        read_or_refused(reading, document)
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 16 << 20


def read_or_refused(reading: Callable[[bytes], object], document: bytes) -> None:
    with contextlib.suppress(BadXml, NotAsked):
        reading(document)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_short_document_takes_little(kind: str) -> None:
    """However it is made, it takes little memory, and time that is linear: one of 256 KiB could take 3 GB and five seconds."""
    for reading, most in ((read, BODY_OCTETS), (address_asked, AUTODISCOVER_OCTETS)):
        lightly(reading, HOSTILE[kind](most))
        assert_linear(HOSTILE[kind], partial(read_or_refused, reading), (most // 16, most))
