"""ARC sets as they stand in a header (RFC 8617 §4, §5.2 steps 1 to 3). Pure.

In: fields. Out: `Chain`, whose `fault` gives the reason where the sets form no chain.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mic_mail.mailauth.dkim_header import (  # fmt: skip
    Dkim,
    HeaderField,
    Signature,
    Unusable,
    algorithm_of,
    decoded,
    names_of_key,
    parse_message_signature,
    tags,
)

MOST_SETS = 50
_INSTANCE = re.compile(rb"[ \t\r\n]*+i[ \t\r\n]*+=[ \t\r\n]*+([0-9]{1,2})[ \t\r\n]*+;")
_AAR, _AMS, _SEAL = b"arc-authentication-results", b"arc-message-signature", b"arc-seal"


@dataclass(frozen=True, slots=True)
class Seal:
    """An ARC-Seal (RFC 8617 §4.1.3)."""

    field: HeaderField
    algorithm: str
    domain: str
    selector: str
    signature: bytes
    status: str
    """Value of `cv=`."""

    @property
    def key_name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"


@dataclass(frozen=True, slots=True)
class ArcSet:
    """The three fields that one server has added."""

    results: HeaderField
    message: Signature | Unusable
    message_field: HeaderField
    seal: Seal


@dataclass(frozen=True, slots=True)
class Chain:
    """The sets from the first to the last; empty where `fault` gives a reason."""

    sets: tuple[ArcSet, ...] = ()
    fault: str = ""

    @property
    def message_signatures(self) -> tuple[Signature | Unusable, ...]:
        """The message signatures, last set first.

        Where there are too many body lengths, the one that counts is digested in this order.
        """
        return tuple(each.message for each in reversed(self.sets))


def parse_chain(fields: Sequence[HeaderField]) -> Chain | None:
    """Return the chain; None where no field belongs to ARC."""
    by_kind: dict[bytes, list[HeaderField]] = {_AAR: [], _AMS: [], _SEAL: []}
    for field in fields:
        if (mine := by_kind.get(field.name.lower())) is not None:
            mine.append(field)
    if not any(by_kind.values()):
        return None
    try:
        return Chain(_sets(by_kind))
    except Unusable as error:
        return Chain(fault=error.reason)


def _sets(by_kind: dict[bytes, list[HeaderField]]) -> tuple[ArcSet, ...]:
    count = max(map(len, by_kind.values()))
    if count > MOST_SETS:
        raise _broken("more than 50 sets")
    numbered = {kind: _numbered(kind, fields, count) for kind, fields in by_kind.items()}
    sets = []
    for number in range(1, count + 1):
        seal = _seal(numbered[_SEAL][number])
        if seal.status != ("none" if number == 1 else "pass"):
            raise _broken(f"set {number} says cv={seal.status}" if seal.status == "fail" else f"cv= of set {number} is wrong")
        field = numbered[_AMS][number]
        sets.append(ArcSet(numbered[_AAR][number], _message_signature(field), field, seal))
    return tuple(sets)


def _numbered(kind: bytes, fields: list[HeaderField], count: int) -> dict[int, HeaderField]:
    """Return the fields by their instances, which are 1 to `count`."""
    found: dict[int, HeaderField] = {}
    for field in fields:
        if kind == _AAR:
            match = _INSTANCE.match(field.value)
            text = match[1].decode() if match else ""
        else:
            text = tags(field.value).get("i", "")
        if not re.fullmatch("[0-9]{1,2}", text, re.ASCII) or int(text) in found:
            raise _broken("a set without a number, or with that of another")
        found[int(text)] = field
    if sorted(found) != list(range(1, count + 1)):
        raise _broken("an incomplete set")
    return found


def _message_signature(field: HeaderField) -> Signature | Unusable:
    try:
        signature = parse_message_signature(field, tags(field.value))
    except Unusable as error:
        return error
    if _SEAL in signature.names:
        return Unusable(Dkim.PERMERROR, "a seal is signed with the message")
    return signature


def _seal(field: HeaderField) -> Seal:
    found = tags(field.value)
    if "h" in found:
        raise _broken("a seal with h=")
    if not all(found.get(tag) for tag in ("a", "b", "d", "s", "cv")):
        raise _broken("a seal without one of its tags")
    domain, selector = names_of_key(found)
    status = found["cv"].lower()
    if status not in ("none", "pass", "fail"):
        raise _broken("a seal with an unknown cv=")
    return Seal(field, algorithm_of(found), domain, selector, decoded(found["b"]), status)


def _broken(reason: str) -> Unusable:
    return Unusable(Dkim.PERMERROR, reason)
