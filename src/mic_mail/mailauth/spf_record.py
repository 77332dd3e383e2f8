"""Parse SPF records: their terms, and the expansion of macros (RFC 7208 §4.6, §5, §6, §7). Pure.

In: a record. Out: `Record`, or `BadRecord` where a single term breaks the grammar: then the whole record is void (§4.6).
Linear in the length of the input.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
VERSION = re.compile(r"v=spf1(?: |\Z)", re.IGNORECASE)
"""The beginning of a record (§4.5)."""
LONGEST_NAME = 253
LONGEST_RECORD = 4_096
"""Octets of a record. §3.4 asks for no more than 450; the macros of 64 KB would block a loop."""


class BadRecord(ValueError):
    """Raised for an invalid record, with the reason in the terms of RFC 7208."""


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A mechanism (§5).

    `target` is '' where the term names no domain. Both prefix lengths are those of whole addresses where the term gives
    none.
    """

    qualifier: str
    kind: str
    target: str = ""
    prefix4: int = 32
    prefix6: int = 128
    network: Network | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """The terms in order; modifiers are '' where they are missing (§6)."""

    mechanisms: tuple[Mechanism, ...]
    redirect: str = ""
    explanation: str = ""


_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9\-_.]*+)=(.*+)", re.DOTALL)
_MECHANISM = re.compile(r"([+?~\-]?)([A-Za-z][A-Za-z0-9\-_.]*+)(.*+)", re.DOTALL)
_PREFIXES = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?\Z")
_EXPAND = r"%(?:\{[slodiphvSLODIPHV][0-9]*+[rR]?[.\-+,/_=]*+\}|[%_\-])"
_EXPLAIN = r"%(?:\{[slodiphcrtvSLODIPHCRTV][0-9]*+[rR]?[.\-+,/_=]*+\}|[%_\-])"
_MACRO_STRING = re.compile(rf"(?:{_EXPAND}|[!-$&-~])*+")
_EXPLAIN_STRING = re.compile(rf"(?:{_EXPLAIN}|[ -$&-~])*+")
_ANY_MACRO_STRING = re.compile(rf"(?:{_EXPLAIN}|[!-$&-~])*+")
"""Value of an unknown modifier, which may allow other characters."""
_TOP_LABEL = re.compile(r"(?![0-9]+\Z)[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?")
_PART = re.compile(r"%(?:\{([A-Za-z])([0-9]*)([rR]?)([.\-+,/_=]*)\}|([%_\-]))")
_IP4 = re.compile(r":[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/(?:0|[1-9][0-9]?))?\Z")
_IP6 = re.compile(r":[0-9A-Fa-f:.]+(?:/(?:0|[1-9][0-9]{0,2}))?\Z")
LOOKS_UP = frozenset({"include", "a", "mx", "ptr", "exists"})


def parse_record(text: str) -> Record:
    """Parse a record; `text` begins as `VERSION` requires."""
    if not text.isascii():
        raise BadRecord("not US-ASCII")
    if len(text) > LONGEST_RECORD:
        raise BadRecord("too long")
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, str] = {}
    for term in text[len("v=spf1") :].split(" "):
        if not term:
            continue
        if modifier := _MODIFIER.fullmatch(term):
            name = modifier[1].lower()
            if name in ("redirect", "exp"):
                if name in modifiers:
                    raise BadRecord(f"duplicate modifier: {name}")
                modifiers[name] = _domain_spec(modifier[2])
            elif not _ANY_MACRO_STRING.fullmatch(modifier[2]):
                raise BadRecord("invalid modifier")
        else:
            mechanisms.append(_mechanism(term))
    return Record(tuple(mechanisms), modifiers.get("redirect", ""), modifiers.get("exp", ""))


def _mechanism(term: str) -> Mechanism:
    match = _MECHANISM.fullmatch(term)
    if match is None:
        raise BadRecord("invalid term")
    qualifier, kind, rest = match[1] or "+", match[2].lower(), match[3]
    if kind == "all" and not rest:
        return Mechanism(qualifier, kind)
    if kind in ("include", "exists") and rest.startswith(":"):
        return Mechanism(qualifier, kind, _domain_spec(rest[1:]))
    if kind == "ptr" and (not rest or rest.startswith(":")):
        return Mechanism(qualifier, kind, _domain_spec(rest[1:]) if rest else "")
    if kind in ("a", "mx"):
        return _with_cidr_lengths(qualifier, kind, rest)
    if kind in ("ip4", "ip6"):
        return Mechanism(qualifier, kind, network=_network(kind, rest))
    raise BadRecord(f"invalid mechanism: {kind[:20]}")


def _with_cidr_lengths(qualifier: str, kind: str, rest: str) -> Mechanism:
    slash = rest.rfind("//")
    start = slash if slash >= 0 else len(rest)
    single = rest.rfind("/", 0, start)
    prefixes = next((match for at in (single, slash, len(rest)) if at >= 0 and (match := _PREFIXES.match(rest, at))), None)
    if prefixes is None:
        raise BadRecord("invalid dual-cidr-length")
    target = rest[: prefixes.start()]
    prefix4, prefix6 = int(prefixes[1] or 32), int(prefixes[2] or 128)
    if target and not target.startswith(":"):
        raise BadRecord(f"invalid mechanism: {kind}")
    if prefix4 > 32 or prefix6 > 128:
        raise BadRecord("invalid dual-cidr-length")
    return Mechanism(qualifier, kind, _domain_spec(target[1:]) if target else "", prefix4, prefix6)


def _network(kind: str, rest: str) -> Network:
    form, network = (_IP4, ipaddress.IPv4Network) if kind == "ip4" else (_IP6, ipaddress.IPv6Network)
    if form.match(rest) is None:
        raise BadRecord(f"invalid mechanism: {kind}")
    try:
        return network(rest[1:], strict=False)
    except ValueError:
        raise BadRecord(f"invalid mechanism: {kind}") from None


def _domain_spec(text: str) -> str:
    """Return a valid domain-spec (§7.1)."""
    if not _MACRO_STRING.fullmatch(text) or not _ends_as_name(text) or _has_zero(text):
        raise BadRecord("invalid domain-spec")
    return text


def _ends_as_name(text: str) -> bool:
    """Return whether a text ends with a macro, or with a dot and a label that can be the last one."""
    last = None
    for part in _PART.finditer(text):
        last = part
    if last is not None and last.end() == len(text):
        return True
    _, dot, label = text.removesuffix(".").rpartition(".")
    return bool(dot) and _TOP_LABEL.fullmatch(label) is not None


def check_explanation(text: str) -> str:
    """Return the text of an explanation's TXT record if it is valid (§6.2)."""
    if len(text) > LONGEST_RECORD or not _EXPLAIN_STRING.fullmatch(text) or _has_zero(text):
        raise BadRecord("invalid explain-string")
    return text


def _has_zero(text: str) -> bool:
    """Return whether a macro asks for zero labels, which §7.1 forbids."""
    return any(part[2] and not part[2].strip("0") for part in _PART.finditer(text))


def expand(text: str, values: Mapping[str, str]) -> str:
    """Return `text` with its macros expanded (§7.3); `values` are keyed by lower-case letters."""
    known: dict[str, str] = {}

    def put(part: re.Match[str]) -> str:
        if part[0] not in known:  # a macro that occurs 500 times is expanded once
            known[part[0]] = _expanded(part, values)
        return known[part[0]]

    return _PART.sub(put, text)


def _expanded(part: re.Match[str], values: Mapping[str, str]) -> str:
    """Return the expansion of one macro."""
    if part[5]:
        return {"%": "%", "_": " ", "-": "%20"}[part[5]]
    value = values.get(part[1].lower(), "")
    if part[2] or part[3] or part[4]:
        delimiter, *others = dict.fromkeys(part[4] or ".")
        for other in others:
            value = value.replace(other, delimiter)
        labels = value.split(delimiter)
        if part[3]:
            labels.reverse()
        digits = part[2].lstrip("0")
        value = ".".join(labels[-min(int(digits[:4]), len(labels)) :] if digits else labels)
    return quote(value, safe="-._~") if part[1].isupper() else value


def letters_of(text: str) -> frozenset[str]:
    """Return the letters of the macros in a text, in lower case."""
    return frozenset(part[1].lower() for part in _PART.finditer(text) if part[1])


def shortened(name: str) -> str:
    """Return a name of at most 253 octets, whole labels removed from the left (§7.3)."""
    name = name.removesuffix(".")
    if len(name) <= LONGEST_NAME:
        return name
    return name[-LONGEST_NAME - 1 :].partition(".")[2]  # the part before the first dot is a partial label, or empty


def is_name(name: str) -> bool:
    """Return whether the DNS can be asked for a name (§4.3)."""
    labels = name.removesuffix(".").split(".")
    return name.isascii() and len(name) <= LONGEST_NAME + 1 and all(0 < len(label) <= 63 for label in labels)
