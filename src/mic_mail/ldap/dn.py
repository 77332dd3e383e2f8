"""Parse distinguished names as clients write them (RFC 4514) into a normal form. Pure; linear.

Blanks around `,` `+` `=` are accepted, as in RFC 2253 and by every client.
"""

import re
from typing import Final

from mic_mail.ldap import schema
from mic_mail.mime.text_folding import words

MAX_OCTETS: Final = 4096
MAX_PARTS: Final = 64
_HEX = re.compile(r"[0-9A-Fa-f]{2}")
_TYPE = re.compile(r"\s*(?:OID\.)?([A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*)\s*=", re.IGNORECASE)


class BadName(Exception):
    """Raised for a text that is no distinguished name."""


def same(value: str) -> str:
    """Return a value in its normal form: NFC, no case, single blanks."""
    return " ".join(words(value))


def normal(name: str) -> tuple[str, ...]:
    """Return the parts of a name from the entry up to the top, each as `type=value`."""
    if len(name) > MAX_OCTETS:
        raise BadName
    parts: list[str] = []
    at = 0
    if not name.strip():
        return ()
    while True:
        pairs: list[str] = []
        while True:
            kind, value, at = _pair(name, at)
            pairs.append(f"{kind}={same(value)}")
            if at < len(name) and name[at] == "+":
                at += 1
                continue
            break
        parts.append("+".join(sorted(pairs)))
        if len(parts) > MAX_PARTS:
            raise BadName
        if at == len(name):
            return tuple(parts)
        at += 1  # the comma, or the semicolon of RFC 2253


def _pair(name: str, at: int) -> tuple[str, str, int]:
    """Return one attribute type and value, and where it ends."""
    found = _TYPE.match(name, at)
    if found is None:
        raise BadName
    known = schema.attribute(found[1])
    kind = known.name.lower() if known is not None else found[1].lower()
    value, at = _value(name, found.end())
    return kind, value, at


def _value(name: str, at: int) -> tuple[str, int]:
    octets = bytearray()
    while at < len(name) and name[at] == " ":
        at += 1
    kept = 0  # a blank at the end counts only when it is escaped
    while at < len(name) and name[at] not in ",+;":
        letter = name[at]
        if letter == "\\":
            code = _HEX.match(name, at + 1)
            if code is not None:
                octets.append(int(code[0], 16))
                at += 3
            elif at + 1 < len(name):
                octets += name[at + 1].encode()
                at += 2
            else:
                raise BadName
            kept = len(octets)
            continue
        if letter in '"<>\0':
            raise BadName
        octets += letter.encode("utf-8", "surrogatepass")
        at += 1
        if letter != " ":
            kept = len(octets)
    try:
        return octets[:kept].decode(), at
    except UnicodeDecodeError as error:
        raise BadName from error
