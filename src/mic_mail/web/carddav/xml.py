"""XML of WebDAV: bodies of requests in, trees out; names and texts in, octets out.

Bounded: BODY_OCTETS, MAX_DEPTH, MAX_ELEMENTS, MAX_ATTRIBUTES, MAX_SPACE. A document type is refused where it begins, so
that there are no entities and nothing external is ever fetched. Prefixes are resolved here: expat repeats the namespace
in each name, and one of 240,000 characters made a gigabyte of 5,000 elements. Pure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

BODY_OCTETS = 256 << 10
"""Octets of a body; a multiget of a thousand cards has half of it."""
MAX_DEPTH = 16
MAX_ELEMENTS = 5_000
MAX_ATTRIBUTES = 32
"""Attributes of one element, with the namespaces that it declares."""
MAX_SPACE = 200
"""Characters of a namespace; the longest that a client sends has 77."""

DAV = "DAV:"
CARD = "urn:ietf:params:xml:ns:carddav"
SERVER = "http://calendarserver.org/ns/"
PREFIXES = {DAV: "D", CARD: "C", SERVER: "CS"}
Name = tuple[str, str]
"""Namespace and local name."""
_XML, _XMLNS = "http://www.w3.org/XML/1998/namespace", "http://www.w3.org/2000/xmlns/"
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class BadXml(Exception):
    """Raised for a body that is no XML of a WebDAV client."""


class PreconditionFailed(Exception):
    """Raised with the precondition that a request does not meet (RFC 4918 §16)."""

    def __init__(self, space: str, condition: str) -> None:
        super().__init__(condition)
        self.condition: Name = space, condition


@dataclass(slots=True)
class Element:
    """An element with its content; `text` is the text before its first child."""

    name: Name
    attributes: dict[str, str]
    """The attributes without a prefix: no other has a meaning here."""
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    def child(self, name: Name) -> "Element | None":
        return next((child for child in self.children if child.name == name), None)

    def all(self, name: Name) -> Iterator["Element"]:
        return (child for child in self.children if child.name == name)


Spaces = Mapping[str, str]
"""The namespace of each prefix; the empty prefix is that of elements without one."""


class _Reading:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[tuple[Element, Spaces]] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH or len(attributes) > MAX_ATTRIBUTES:
            raise BadXml
        spaces = self._open[-1][1] if self._open else {"": "", "xml": _XML}
        if attributes:
            spaces, attributes = _declared(spaces, attributes)
        element = Element(_name(name, spaces), attributes)
        if self._open:
            self._open[-1][0].children.append(element)
        else:
            self.root = element
        self._open.append((element, spaces))

    def end(self, name: str) -> None:
        self._open.pop()

    def data(self, text: str) -> None:
        if self._open and not self._open[-1][0].children:
            self._open[-1][0].text += text

    def refuse(self, *_: object) -> None:
        raise BadXml


def _declared(spaces: Spaces, attributes: dict[str, str]) -> tuple[Spaces, dict[str, str]]:
    """Return an element's namespaces and its attributes without a prefix (Namespaces in XML 1.0, §3)."""
    declared, plain, prefixed = dict[str, str](), dict[str, str](), list[str]()
    for name, value in attributes.items():
        if name == "xmlns":
            declared[""] = _space("", value)
        elif name.startswith("xmlns:"):
            declared[_part(name[6:])] = _space(name[6:], value)
        elif ":" in name:
            prefixed.append(name)
        else:
            plain[name] = value
    if declared:
        spaces = {**spaces, **declared}
    if len({_name(name, spaces) for name in prefixed}) != len(prefixed):  # two are the same one (§6.3)
        raise BadXml
    return spaces, plain


def _space(prefix: str, space: str) -> str:
    """Return a namespace that may be declared for a prefix.

    Only the default namespace can be undeclared (§2.2). `xml` and `xmlns` have their own, which no other prefix may have
    (§3).
    """
    taken = (prefix == "xml") is not (space == _XML) or prefix == "xmlns" or space == _XMLNS
    if taken or len(space) > MAX_SPACE or (prefix and not space):
        raise BadXml
    return space


def _name(name: str, spaces: Spaces) -> Name:
    """Return a name's namespace and its local part."""
    prefix, colon, local = name.rpartition(":")
    if not colon:
        return spaces[""], name
    space = spaces.get(prefix) if prefix else None
    if space is None:
        raise BadXml
    return space, _part(local)


def _part(name: str) -> str:
    """Return a part of a name beside a colon: it begins as a name does and has no other colon.

    expat has checked the rest.
    """
    if ":" in name or not (name[:1].isalpha() or name[:1] == "_"):
        raise BadXml
    return name


def read(octets: bytes) -> Element:
    """Return the root element."""
    reading, parser = _Reading(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.data
    parser.StartDoctypeDeclHandler = reading.refuse
    parser.EntityDeclHandler = reading.refuse
    try:
        parser.Parse(octets, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # the latter two: an unknown encoding
        raise BadXml from error
    if reading.root is None:
        raise BadXml
    return reading.root


# ------------------------------------------------------------------ writing


def text(value: str) -> str:
    """Return a text as it stands in an element; characters that XML does not allow are left out.

    A bare CR would become LF (RFC 6352 §10.4).
    """
    return escape(_FORBIDDEN.sub("", value)).replace("\r", "&#13;")


def element(name: Name, inner: str = "", **attributes: str) -> str:
    """Return one element; `inner` is XML."""
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
    """Return a whole body."""
    declared = "".join(f' xmlns:{prefix}="{space}"' for space, prefix in PREFIXES.items())
    tag = f"{PREFIXES[root[0]]}:{root[1]}"
    return f'<?xml version="1.0" encoding="utf-8"?>\n<{tag}{declared}>{"".join(parts)}</{tag}>'.encode()
