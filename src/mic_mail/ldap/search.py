"""Search and Compare, with paged results, the root DSE and the schema (RFC 4511 §4.5, §4.10; RFC 2696).

In: requests. Out: entries and a result. `dit` evaluates filters; here are bases, scopes, limits, attributes, pages, the
root DSE (RFC 4512 §5.1) and the schema (§4.4). A page continues behind the last entry of the one before, whose position
its cookie has. So it is valid in any process, also when the directory has changed meanwhile.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from mic_mail.connection.actions import Steps
from mic_mail.ldap import requests, responses, schema
from mic_mail.ldap.ber import BadBer, BerReader
from mic_mail.ldap.bind import START_TLS, WHO_AM_I
from mic_mail.ldap.context import CANCEL, WORK_SECONDS, LdapContext
from mic_mail.ldap.dit import SUBSCHEMA, FoundEntry, Position, Tree
from mic_mail.ldap.dn import BadName, normal
from mic_mail.ldap.filters import TooLarge
from mic_mail.ldap.requests import Control, LdapMessage, Search
from mic_mail.ldap.responses import PAGED, Code

Attributes = Mapping[str, tuple[str, ...]]
MANAGE_DSA_IT = "2.16.840.1.113730.3.4.2"
FEATURES = ("1.3.6.1.4.1.4203.1.5.1", "1.3.6.1.4.1.4203.1.5.3")
"""Supported features.

All operational attributes by `+` (RFC 3673), absolute true and false filters (RFC 4526).
"""
_COOKIE = struct.Struct(">8sbqI")
_MOST_SENT = (1 << 32) - 1
_NOWHERE = (-1, -1)
"""Position before the first entry."""
_OWN_NAME = normal(SUBSCHEMA)


class SearchRefused(Exception):
    """Raised to refuse the request as it stands."""

    def __init__(self, code: int, text: str = "", matched: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.matched = matched


@dataclass(frozen=True, slots=True)
class Page:
    """The requested page: its size and the position it begins behind.

    `sent` counts the entries of earlier pages.
    """

    size: int
    place: Position | None
    sent: int


def search(ctx: LdapContext, request: LdapMessage) -> Steps[None]:
    try:
        wanted = requests.search(request.body)
    except TooLarge:
        ctx.result(request, Code.ADMIN_LIMIT, "Bộ lọc tìm kiếm quá lớn.")
        return
    try:
        if not 0 <= wanted.scope <= 2:
            raise SearchRefused(Code.PROTOCOL_ERROR, "No such scope.")
        page = _page(request.controls, wanted)
        tree = yield from ctx.tree()
        if _about_itself(ctx, request, wanted, tree):
            return
        if not ctx.may_search:
            raise SearchRefused(Code.INSUFFICIENT_ACCESS, "Đề nghị đăng nhập trước.")
        yield from _among_cards(ctx, request, wanted, tree, page)
    except BadName:
        ctx.result(request, Code.INVALID_DN_SYNTAX)
    except SearchRefused as answer:
        ctx.result(request, answer.code, answer.text, matched=answer.matched)


# ------------------------------------------------------------------ the root DSE and the schema


def _about_itself(ctx: LdapContext, request: LdapMessage, wanted: Search, tree: Tree) -> bool:
    """Answer for the root DSE and the schema, which every client reads before it signs in.

    False: the search is for something else.
    """
    base = normal(wanted.base)
    if not base and wanted.scope == 0:
        shown = AttributeSelection(wanted).of({"objectClass": ("top",)}, root_dse(ctx, tree))
        ctx.write(responses.entry(request.number, "", shown))
    elif base == _OWN_NAME:
        if wanted.scope != 1:
            ctx.write(responses.entry(request.number, SUBSCHEMA, AttributeSelection(wanted).of(subschema(), {})))
    else:
        return False
    ctx.result(request, Code.SUCCESS)
    return True


def root_dse(ctx: LdapContext, tree: Tree) -> Attributes:
    """Return the attributes of the root DSE (RFC 4512 §5.1)."""
    mechanisms = ctx.host.mechanisms()
    found = {
        "namingContexts": (tree.suffix,),
        "subschemaSubentry": (SUBSCHEMA,),
        "supportedLDAPVersion": ("3",),
        "supportedExtension": (*(() if ctx.tls else (START_TLS,)), WHO_AM_I, CANCEL),
        "supportedControl": (PAGED, MANAGE_DSA_IT),
        "supportedFeatures": FEATURES,
        "vendorName": ("mic-mail",),
    }
    return {**found, "supportedSASLMechanisms": mechanisms} if mechanisms else found


def subschema() -> Attributes:
    """Return the schema (RFC 4512 §4.2)."""
    return {
        "objectClass": ("top", "subentry", "subschema"),
        "cn": ("subschema",),
        "attributeTypes": tuple(attribute.definition for attribute in schema.ATTRIBUTES),
        "objectClasses": schema.CLASSES,
    }


# ------------------------------------------------------------------ entries


def _among_cards(ctx: LdapContext, request: LdapMessage, wanted: Search, tree: Tree, page: Page | None) -> Steps[None]:
    base = _base(wanted, tree)
    ctx.searches += 1
    most = min(wanted.size_limit or ctx.settings.entries, ctx.settings.entries)
    if page is not None and page.place is not None and page.size == 0:  # RFC 2696 §3: the client wants no more pages
        ctx.result(request, Code.SUCCESS, controls=responses.page(b""))
        return
    if page is not None:
        most = min(page.size, ctx.settings.entries)
        if wanted.size_limit:
            most = min(most, wanted.size_limit - page.sent)
    batches = tree.search(base, wanted.scope, wanted.filter, page.place if page is not None else None)
    code, sent, last = yield from _send_entries(ctx, request, wanted, batches, most)
    controls = b""
    if page is not None and code not in {Code.TIME_LIMIT, Code.ADMIN_LIMIT}:
        whole = page.sent + sent
        more = code is Code.SIZE_LIMIT and (not wanted.size_limit or whole < wanted.size_limit)
        code = Code.SUCCESS if more or code is Code.SUCCESS else Code.SIZE_LIMIT
        controls = responses.page(_cookie(wanted, last or page.place or _NOWHERE, whole) if more else b"")
    ctx.result(request, code, controls=controls)


def _send_entries(
    ctx: LdapContext, request: LdapMessage, wanted: Search, batches: Iterator[list[FoundEntry]], most: int
) -> Steps[tuple[Code, int, Position | None]]:
    """Send entries as they are found; return the result, the number sent, and the position of the last."""
    deadline = ctx.now() + min(wanted.time_limit or ctx.settings.search_seconds, ctx.settings.search_seconds)
    selection, sent, last = AttributeSelection(wanted), 0, None
    for batch in batches:
        for found in batch:
            if sent >= most:
                return Code.SIZE_LIMIT, sent, last
            entry = found.entry
            shown = selection.of(entry.attributes, found.operational if selection.operational else {})
            ctx.write(responses.entry(request.number, entry.dn, shown))
            ctx.entries += 1  # counted now: an entry has been disclosed even if the client goes away
            sent, last = sent + 1, found.place
            if ctx.has_full_packet:
                yield from ctx.send(request.number)
        if ctx.now() >= deadline:
            return Code.TIME_LIMIT, sent, last
        if ctx.worked >= WORK_SECONDS:
            return Code.ADMIN_LIMIT, sent, last
        yield from ctx.take_turns()
        ctx.look_up(request.number)
    return Code.SUCCESS, sent, last


def _base(wanted: Search, tree: Tree) -> FoundEntry:
    """Return the base entry of the search.

    Without a name it is the top: a base left empty in a program means everything.
    """
    found = tree.find(wanted.base or tree.suffix)
    if found is None:
        raise SearchRefused(Code.NO_SUCH_OBJECT, matched=tree.nearest(wanted.base))
    return found


class AttributeSelection:
    """The requested attributes (RFC 4511 §4.5.1.8).

    None named or `*` means all that are not operational, `+` all that are.
    """

    __slots__ = ("_all", "_all_operational", "_chosen", "_types_only", "operational")

    def __init__(self, wanted: Search) -> None:
        names = wanted.attributes
        known = [schema.attribute(name) for name in names]
        self._all = not names or "*" in names
        self._all_operational = "+" in names
        self._chosen = {(one.name if one else name).lower() for one, name in zip(known, names, strict=True)}
        if self._chosen & {"name", "2.5.4.41"}:
            self._chosen.update(map(str.lower, schema.NAME_TYPES))
        self._types_only = wanted.types_only
        self.operational = self._all_operational or any(one is not None and one.operational for one in known)
        """True if any requested attribute is operational."""

    def of(self, attributes: Attributes, operational: Attributes) -> Iterator[tuple[str, tuple[str, ...]]]:
        for values, everything in ((attributes, self._all), (operational, self._all_operational)):
            for name, held in values.items():
                if everything or name.lower() in self._chosen:
                    yield name, () if self._types_only else held


# ------------------------------------------------------------------ pages


def _page(controls: tuple[Control, ...], wanted: Search) -> Page | None:
    page: Page | None = None
    for control in controls:
        if control.oid == PAGED:
            page = _read_page(control, wanted)
        elif control.critical and control.oid != MANAGE_DSA_IT:
            raise SearchRefused(Code.UNAVAILABLE_CRITICAL_EXTENSION)
    return page


def _read_page(control: Control, wanted: Search) -> Page:
    try:
        outer = BerReader(control.value or b"")
        inner = outer.into()
        size, cookie = inner.integer(), inner.octets()
    except BadBer as error:
        raise SearchRefused(Code.PROTOCOL_ERROR, "Invalid page control.") from error
    if size < 0:
        raise SearchRefused(Code.PROTOCOL_ERROR, "Invalid page control.")
    if not cookie:
        return Page(size, None, 0)
    if len(cookie) != _COOKIE.size:
        raise SearchRefused(Code.UNWILLING, "Unknown cookie.")
    of, kind, number, sent = _COOKIE.unpack(cookie)
    if number < _NOWHERE[1]:
        raise SearchRefused(Code.UNWILLING, "Unknown cookie.")
    if of != _fingerprint(wanted):
        raise SearchRefused(Code.UNWILLING, "The cookie belongs to another search.")
    return Page(size, (kind, number), sent)


def _cookie(wanted: Search, place: Position, sent: int) -> bytes:
    return _COOKIE.pack(_fingerprint(wanted), *place, min(sent, _MOST_SENT))


def _fingerprint(wanted: Search) -> bytes:
    asked = f"{wanted.scope} {len(wanted.base)} {wanted.base}".encode() + wanted.fingerprint
    return blake2b(asked, digest_size=8).digest()


# ------------------------------------------------------------------ Compare


def compare(ctx: LdapContext, request: LdapMessage) -> Steps[None]:
    asked = requests.compare(request.body)
    ctx.searches += 1
    if not ctx.may_search:
        ctx.result(request, Code.INSUFFICIENT_ACCESS, "Sign in first.")
        return
    tree = yield from ctx.tree()
    try:
        found = tree.find(asked.name)
        matched = tree.nearest(asked.name) if found is None else ""
    except BadName:
        ctx.result(request, Code.INVALID_DN_SYNTAX)
        return
    attribute = schema.attribute(asked.attribute)
    if found is None:
        ctx.result(request, Code.NO_SUCH_OBJECT, matched=matched)
    elif attribute is None:
        ctx.result(request, Code.UNDEFINED_ATTRIBUTE_TYPE)
    else:
        holds = yield from ctx.in_turns(tree.holds(found, attribute, asked.value), request.number)
        codes = {None: Code.NO_SUCH_ATTRIBUTE, True: Code.COMPARE_TRUE, False: Code.COMPARE_FALSE}
        ctx.result(request, codes[holds])
