"""Flags of other systems: of IMAP by name, of Maildir by letter, of mbox in headers.

\\Recent is dropped, and so is a name that is no valid keyword (RFC 9051 §9, atom).
"""

import re
from collections.abc import Iterable, Mapping

from mic_mail.mime.headers import fields
from mic_mail.storage.types import ANSWERED, DELETED, DRAFT, FLAGGED, MAX_KEYWORDS, SEEN

_BITS: Mapping[str, int] = {
    "\\answered": ANSWERED,
    "\\flagged": FLAGGED,
    "\\deleted": DELETED,
    "\\seen": SEEN,
    "\\draft": DRAFT,
}
_KEYWORD = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z^_`a-z|}~]{1,100}")
_LETTERS: Mapping[str, str] = {
    "D": "\\Draft",
    "F": "\\Flagged",
    "R": "\\Answered",
    "S": "\\Seen",
    "T": "\\Deleted",
    "P": "$Forwarded",
}
_STATUS: Mapping[str, str] = {"R": "\\Seen", "A": "\\Answered", "F": "\\Flagged", "T": "\\Draft"}
_MOZILLA: Mapping[int, str] = {0x1: "\\Seen", 0x2: "\\Answered", 0x4: "\\Flagged", 0x1000: "$Forwarded"}
_MOZILLA_EXPUNGED = 0x8
_FLAG_FIELDS = (b"status", b"x-status", b"x-keywords", b"x-mozilla-status", b"x-mozilla-keys")


def read_flags(names: Iterable[str]) -> tuple[int, tuple[str, ...]]:
    bits, keywords = 0, []
    for name in sorted(names):
        bit = _BITS.get(name.lower())
        if bit is not None:
            bits |= bit
        elif _KEYWORD.fullmatch(name):
            keywords.append(name)
    return bits, tuple(keywords[:MAX_KEYWORDS])


def of_letters(letters: str, keywords: tuple[str, ...]) -> frozenset[str]:
    """Return the flags of a Maildir file name; small letters are the folder's keywords (Dovecot)."""
    found = {_LETTERS[letter] for letter in letters if letter in _LETTERS}
    for letter in letters:
        index = ord(letter) - ord("a")
        if 0 <= index < min(26, len(keywords)) and not keywords[index].startswith("unused-"):
            found.add(keywords[index])
    return frozenset(found)


def of_header(header: bytes) -> tuple[frozenset[str] | None, bool]:
    """Return the flags in an mbox message's header, None without any, and whether it is deleted."""
    known = {name: value.strip() for name, value in fields(header) if name in _FLAG_FIELDS}
    if not known.keys() & {b"status", b"x-status", b"x-mozilla-status"}:
        return None, False
    found = {
        _STATUS[letter]
        for letter in (known.get(b"status", b"") + known.get(b"x-status", b"")).decode("latin-1")
        if letter in _STATUS
    }
    found |= set((known.get(b"x-keywords", b"") + b" " + known.get(b"x-mozilla-keys", b"")).decode("latin-1").split())
    try:
        mozilla = int(known.get(b"x-mozilla-status", b"0") or b"0", 16)
    except ValueError:
        mozilla = 0
    found |= {flag for bit, flag in _MOZILLA.items() if mozilla & bit}
    return frozenset(found), bool(mozilla & _MOZILLA_EXPUNGED) or "D" in known.get(b"x-status", b"").decode("latin-1")
