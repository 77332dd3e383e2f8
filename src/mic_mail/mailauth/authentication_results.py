"""The field Authentication-Results (RFC 8601): write our own, and remove forged ones. Pure.

In: an `Origin`, this server's authserv-id; or a header. Out: one folded field in ASCII; or the header without forged
fields, all else unchanged. Data from the message appears only as DNS names, selectors, Base64, or a quoted string of
printable ASCII, so none of it can end the field, a value or a comment.
"""

import re
from collections.abc import Collection

from mic_mail.domain_name import NotAName, to_ascii
from mic_mail.mailauth.arc import Arc
from mic_mail.mailauth.dkim_header import Dkim
from mic_mail.mailauth.dmarc import Dmarc
from mic_mail.mailauth.iprev import IprevResult
from mic_mail.mailauth.result import Origin
from mic_mail.mailauth.spf import Identity
from mic_mail.mime.headers import strip_comments, unquote

NAME = "Authentication-Results"
_SMALL_NAME = NAME.lower().encode()
LONGEST_VALUE = 320
"""Octets of one property: an address of RFC 5321 has no more."""
_TOKEN = re.compile(r"[A-Za-z0-9!#$&*+.^_`{|}~@\-]{1,320}")
"""A value that needs no quotes: no character of RFC 2045's tspecials but the @ of an address."""
_NOT_PRINTABLE = re.compile(r"[^ -~]")
_NO_LETTER = bytes(range(0x21)) + bytes(range(0x7F, 0x100))
"""Octets that no field name has, and some readers ignore (RFC 5322 §2.2)."""
_LINE = re.compile(rb"[^\n]*+(?:\n[ \t][^\n]*+)*+\n?")
_PLAIN = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`{|}~\-]*+")
"""A token of RFC 2045 §5.1. An id that is neither a token nor a quoted string is read in part by some."""
_UNKNOWN_VERSION = re.compile(rb"(?!0*+1\Z)[0-9]++")
"""§2.2: the version behind an id is 1, or omitted, which means 1."""
_QUOTED = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def value(text: str) -> str:
    """Return a property's value, quoted where needed; `?` for what is not printable ASCII."""
    text = text[:LONGEST_VALUE]
    if _TOKEN.fullmatch(text):
        return text
    escaped = _NOT_PRINTABLE.sub("?", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def field(origin: Origin, authserv_id: str, iprev: tuple[IprevResult, str] | None = None) -> bytes:
    """Return the field with its CRLF; `iprev`: the result for the client's address, and the address."""
    lines = [*_spf(origin), *_dkim(origin), *_dmarc(origin), *_arc(origin)]
    if iprev is not None:  # §2.7.3
        lines.append(_line("iprev", iprev[0].result, "", [("policy.iprev", iprev[1])]))
    lines = lines or ["none"]
    return (f"{NAME}: {value(authserv_id)};\r\n" + ";\r\n".join(f"\t{line}" for line in lines) + "\r\n").encode("ascii")


def _spf(origin: Origin) -> list[str]:
    """Return the lines of SPF (RFC 8601 §2.7.2)."""
    return [
        _line(
            "spf", each.result, each.reason, [("smtp.helo" if each.identity is Identity.HELO else "smtp.mailfrom", each.domain)]
        )
        for each in (origin.mail_from, origin.helo)
        if each is not None
    ]


def _dkim(origin: Origin) -> list[str]:
    if not origin.dkim:
        return ["dkim=none"]
    lines = []
    for each in origin.dkim:
        reason = each.reason or ("the key is for testing" if each.is_testing else "")
        reason = reason or (f"{each.unsigned_octets} octets of the body are not signed" if each.unsigned_octets else "")
        result = Dkim.NEUTRAL if each.result is Dkim.PASS and each.is_testing else each.result
        properties = [
            ("header.d", each.domain),
            ("header.s", each.selector),
            ("header.a", each.algorithm),
            ("header.b", each.begins),
        ]
        lines.append(_line("dkim", result, reason, properties))
    return lines


def _dmarc(origin: Origin) -> list[str]:
    each = origin.dmarc
    properties = [("header.from", each.domain)]
    if each.result not in (Dmarc.NONE, Dmarc.PERMERROR):
        properties.append(("policy.dmarc", each.disposition))
    return [_line("dmarc", each.result, each.reason, properties)]


def _arc(origin: Origin) -> list[str]:
    """Return the line of ARC (RFC 8617 §6.1)."""
    each = origin.arc
    properties = [("header.oldest-pass", str(each.oldest_pass))] if each.result is Arc.PASS else []
    return [] if each.result is Arc.NONE else [_line("arc", each.result, each.reason, properties)]


def _line(method: str, result: str, reason: str, properties: list[tuple[str, str]]) -> str:
    """Return a resinfo of §2.2."""
    parts = [f"{method}={result}"]
    if reason:
        parts.append(f"reason={value(reason)}")
    parts += [f"{name}={value(text)}" for name, text in properties if text]
    return "\r\n\t ".join([" ".join(parts[:2]), *parts[2:]]) if reason else "\r\n\t ".join([" ".join(parts[:3]), *parts[3:]])


def may_stand_in(header: bytes) -> bool:
    """Return whether the header may hold a field for `without_forged`; cheap."""
    return _SMALL_NAME in header.translate(None, _NO_LETTER).lower()


def without_forged(header: bytes, ours: Collection[str]) -> bytes:
    """Return `header` without Authentication-Results in the name of `ours` (§5).

    `ours` are the ids of this server, in any spelling. Fields of others in an unknown version are removed too. A field
    whose id cannot be parsed is removed where one of `ours` stands in it, since a filter may read it there.
    """
    ids = {_same(one) for one in ours}
    return b"".join(line for line in _LINE.findall(header) if not _goes(line, ids))


def _goes(line: bytes, ids: Collection[str]) -> bool:
    name, colon, rest = line.partition(b":")
    if not colon or name.translate(None, _NO_LETTER).lower() != _SMALL_NAME:
        return False
    plain = strip_comments(rest)
    quoted = _QUOTED.match(plain)
    until = quoted.end() if quoted else 0
    head = plain[:until] + plain[until:].partition(b";")[0]
    words = [quoted[0], *head[until:].split()] if quoted else head.split()
    first = unquote(quoted[0]) if quoted else b"".join(words[:1])
    if _same(first.decode("utf-8", "replace")) in ids or _UNKNOWN_VERSION.fullmatch(b"".join(words[1:2])):
        return True
    seen = head.translate(None, b'"\\').lower()
    return not _PLAIN.fullmatch(head.strip()) and any(one.encode() in seen for one in ids)


def _same(authserv_id: str) -> str:
    """Return an id in the normal form for comparison."""
    text = authserv_id.strip().strip(".").lower()
    try:
        return to_ascii(text)
    except NotAName:
        return text
