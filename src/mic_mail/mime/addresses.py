"""Parse address lists of header fields as tolerantly as mail needs.

In: the value of a From, To, Cc ... field, folded or not. Out: a list of `Address` in the shape of ENVELOPE (RFC 9051 §7.5.2: a
group is an entry with its name and no host, its members, and an entry of NILs). RFC 5322 §3.4 and §4.4; never raises, linear
in time, at most `MAX_ADDRESSES`. Octets are kept unchanged; quotes, comments and folds are resolved.
"""

import re
from typing import NamedTuple

from mic_mail.mime.headers import end_of_comment, unfold, unquote

MAX_ADDRESSES = 4096
"""Addresses read per field; anything beyond remains available in the header itself."""

NO_MAILBOX = b"MISSING_MAILBOX"
NO_HOST = b"MISSING_DOMAIN"
"""Placeholders for a missing half of an address, as NIL would make it a group; Dovecot's names."""


class Address(NamedTuple):
    """A mailbox of a list, or the start (`host` None) or end (`mailbox` None, too) of a group."""

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


_GROUP_END = Address(None, None, None, None)

_ADDR_SPEC = rb"([^\x00-\x20()<>@,;:\\\"\[\]]++)@([^\x00-\x20()<>@,;:\\\"\[\]]++)"
_USUAL = re.compile(
    rb"[ \t\r\n]*+(?:"
    rb"(?:\"([^\"\\\r\n]*+)\"|([^\x00-\x1f()<>@,;:\\\".\[\]]*+))[ \t\r\n]*+<" + _ADDR_SPEC + rb">"
    rb"|" + _ADDR_SPEC + rb")[ \t\r\n]*+(?:,|\Z)"
)
"""One address in the usual form: `"Name" <a@b>`, `Name <a@b>`, `a@b`."""

_TOKEN = re.compile(
    rb"[ \t\r\n]++"
    rb"|\"(?:[^\"\\]++|\\.)*+\"?"
    rb"|=\?[^?\s]*+\?[bBqQ]\?[^?\s]*+\?="  # an encoded word, whatever specials its writer left in it
    rb"|\[[^\]\r\n]*+\]?"
    rb"|[<>@,;:(]"
    rb"|.[^ \t\r\n\"<>@,;:(\[=]*+",
    re.DOTALL,
)


def parse_addresses(value: bytes) -> list[Address]:
    """Parse the addresses of one field, or of several fields of the same name joined by commas."""
    found: list[Address] = []
    pos = 0
    size = len(value)
    while pos < size and len(found) < MAX_ADDRESSES:
        usual = _USUAL.match(value, pos)
        if usual is None:
            _read_odd_list(value, pos, found)
            break
        found.append(_usual_address(usual))
        pos = usual.end()
    return found


def _usual_address(usual: re.Match[bytes]) -> Address:
    quoted, phrase, mailbox, host, bare, bare_host = usual.groups()
    if bare is not None:
        return Address(None, None, bare, bare_host)
    return Address(quoted or (b" ".join(phrase.split()) if phrase else None), None, mailbox, host)


_FIRST_OCTETS = 4096


def first_address(value: bytes) -> Address | None:
    """Return the first address alone; one in an unusual form is read within 4 KiB of the field."""
    usual = _USUAL.match(value)
    if usual is not None:
        return _usual_address(usual)
    return next(iter(parse_addresses(value[:_FIRST_OCTETS])), None)


def _read_odd_list(value: bytes, pos: int, found: list[Address]) -> None:
    """Parse token by token (slow path), from the first address that is not in the usual form."""
    item: list[bytes] = []
    comment: bytes | None = None
    in_angle = in_route = in_group = has_at = False  # `has_at`: `item` holds an @, so that no colon has to search it
    while len(found) < MAX_ADDRESSES and (match := _TOKEN.match(value, pos)):
        token = match[0]
        pos = match.end()
        if token == b"(":
            end = end_of_comment(value, pos)
            comment = value[pos : end - 1] if value[end - 1 : end] == b")" else value[pos:end]
            pos = end
            item.append(b" ")
        elif in_route and token in (b",", b":"):  # RFC 5322 §4.4: <@one,@two:user@host>
            in_route = token == b","
            item.append(token)
        elif token in (b",", b";"):
            _add(item, comment, found)
            item, comment, in_angle, in_route, has_at = [], None, False, False, False
            if token == b";" and in_group:
                found.append(_GROUP_END)
                in_group = False
        elif token == b":" and not in_angle and not in_group and not has_at:
            found.append(Address(None, None, _phrase(item) or b"", None))
            item, comment, in_group = [], None, True
        else:
            in_angle = token == b"<" or (in_angle and token != b">")
            in_route = in_angle and (in_route or (token == b"@" and item[-1:] == [b"<"]))
            has_at = has_at or token == b"@"
            item.append(token)
    _add(item, comment, found)
    if in_group:
        found.append(_GROUP_END)


def _add(item: list[bytes], comment: bytes | None, found: list[Address]) -> None:
    """Append the address that the tokens of one item make up, if any."""
    while item and item[-1].isspace():
        item.pop()
    first = next((at for at, token in enumerate(item) if not token.isspace()), 0)
    item = item[first:]  # the slice comes first: each comment before an address left a space, and there may be 100,000
    if b"<" not in item and b">" in item:  # `a@b>`: the opening bracket is missing
        item = [token for token in item if token != b">"]
    if not item:
        return
    name: bytes | None = None
    if b"<" in item:
        start = item.index(b"<")
        name = _phrase(item[:start])
        end = item.index(b">", start) if b">" in item[start:] else len(item)
        item = item[start + 1 : end]
    elif b"@" in item:
        # `Joe User joe@host`: the brackets are missing.
        at = item.index(b"@")
        cut = max((i for i in range(1, at - 1) if item[i].isspace() and _parts_words(item, i)), default=-1)
        name = _phrase(item[:cut]) if cut > 0 else None
        item = item[cut + 1 :]
    found.append(Address(name or (unfold(comment) if comment else None) or None, *_spec(item)))


def _parts_words(item: list[bytes], space: int) -> bool:
    """Return whether this white space ends a word: not next to a dot (RFC 5322 §4.4, obs-local-part)."""
    return not item[space - 1].endswith(b".") and not item[space + 1].startswith(b".")


def _phrase(tokens: list[bytes]) -> bytes | None:
    """Return a display name with quoted strings unquoted and runs of white space collapsed to one space."""
    text = b"".join([b" " if token.isspace() else unquote(token) if token.startswith(b'"') else token for token in tokens])
    return unfold(text) or None


def _spec(tokens: list[bytes]) -> tuple[bytes | None, bytes, bytes]:
    """Return route, mailbox and host of the tokens between angle brackets."""
    route: bytes | None = None
    if tokens[:1] == [b"@"] and b":" in tokens:
        colon = tokens.index(b":")
        route = b"".join(tokens[:colon])
        tokens = tokens[colon + 1 :]
    at = tokens.index(b"@") if b"@" in tokens else len(tokens)
    mailbox = _closed_up(tokens[:at])
    if b" " in mailbox and not any(token.startswith(b'"') for token in tokens[:at]):
        mailbox = mailbox.rpartition(b" ")[2]
    host = _closed_up(tokens[at + 1 :]).partition(b" ")[0].partition(b"@")[0]
    return route, mailbox or NO_MAILBOX, host or NO_HOST


def _closed_up(tokens: list[bytes]) -> bytes:
    """Join words, quoted ones unquoted, without white space around the dots between them."""
    words: list[bytes] = []
    for token in tokens:
        if not token.isspace():
            if words and words[-1] == b" " and token.startswith(b"."):
                words.pop()
            words.append(token)
        elif words and words[-1] != b" " and not words[-1].endswith(b"."):
            words.append(b" ")
    if words and words[-1] == b" ":
        words.pop()
    return b"".join([unquote(word) if word.startswith(b'"') else word for word in words])
