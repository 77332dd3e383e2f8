"""XML of WebDAV: bodies of requests in, trees out; names and texts in, octets out.

Bounded: BODY_OCTETS, MAX_DEPTH, MAX_ELEMENTS. A document type is refused at its first letter, so that there are no entities,
and nothing that one refers to is ever fetched. Pure.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

BODY_OCTETS = 256 << 10
"""A multiget of a thousand cards has half of it."""
MAX_DEPTH = 16
MAX_ELEMENTS = 5_000

DAV = "DAV:"
CARD = "urn:ietf:params:xml:ns:carddav"
SERVER = "http://calendarserver.org/ns/"
PREFIXES = {DAV: "D", CARD: "C", SERVER: "CS"}
Name = tuple[str, str]
"""Namespace and local name."""
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class BadXml(Exception):
    """The body is no XML that a WebDAV client sends."""


@dataclass(slots=True)
class Element:
    """An element with what is in it; `text` is what stands before its first child."""

    name: Name
    attributes: dict[str, str]
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    def child(self, name: Name) -> "Element | None":
        return next((child for child in self.children if child.name == name), None)

    def all(self, name: Name) -> Iterator["Element"]:
        return (child for child in self.children if child.name == name)


class _Reading:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise BadXml
        element = Element(_name(name), attributes)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, name: str) -> None:
        self._open.pop()

    def data(self, text: str) -> None:
        if self._open and not self._open[-1].children:
            self._open[-1].text += text

    def refuse(self, *_: object) -> None:
        raise BadXml


def _name(name: str) -> Name:
    space, _, local = name.rpartition(" ")
    return space, local


def read(octets: bytes) -> Element:
    """The root element."""
    reading, parser = _Reading(), expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.data
    parser.StartDoctypeDeclHandler = reading.refuse
    parser.EntityDeclHandler = reading.refuse
    try:
        parser.Parse(octets, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # the latter two: an encoding that nobody knows
        raise BadXml from error
    if reading.root is None:
        raise BadXml
    return reading.root


# ------------------------------------------------------------------ writing


def text(value: str) -> str:
    """As it stands in an element; what XML has no letter for is left out. A bare CR would become LF (RFC 6352 §10.4)."""
    return escape(_FORBIDDEN.sub("", value)).replace("\r", "&#13;")


def element(name: Name, inner: str = "", **attributes: str) -> str:
    """One element; `inner` is XML."""
    space, local = name
    prefix = PREFIXES.get(space)
    shown = "".join(f" {key.replace('_', '-')}={quoteattr(value)}" for key, value in attributes.items())
    if prefix is None:
        tag, shown = (f"X:{local}", f" xmlns:X={quoteattr(space)}{shown}") if space else (local, shown)
    else:
        tag = f"{prefix}:{local}"
    return f"<{tag}{shown}>{inner}</{tag}>" if inner else f"<{tag}{shown}/>"


def href(path: str) -> str:
    return element((DAV, "href"), text(path))


def document(root: Name, parts: Iterable[str]) -> bytes:
    """A whole body."""
    declared = "".join(f' xmlns:{prefix}="{space}"' for space, prefix in PREFIXES.items())
    tag = f"{PREFIXES[root[0]]}:{root[1]}"
    return f'<?xml version="1.0" encoding="utf-8"?>\n<{tag}{declared}>{"".join(parts)}</{tag}>'.encode()
