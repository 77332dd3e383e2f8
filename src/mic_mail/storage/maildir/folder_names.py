"""Folder names for people, and the directory names for them on disk (Maildir++).

A name is `str` in NFC with "/" between its levels. Its directory is "" for INBOX, else a dot and the levels joined by dots,
each level in modified UTF-7 (RFC 3501 §5.1.3), so that other Maildir++ tools show the same tree. What that form cannot hold is
escaped in it: a dot inside a level, a reserved name (`.expunged`, `.mic-…`). A name too long for a directory becomes a hash,
and its text lies in the folder's `.mic-folder`. Two different names never share a directory. Pure; refuses with
`NameNotAllowed`, never raises anything else.
"""

import unicodedata
from functools import lru_cache
from hashlib import blake2b

from mic_mail import modified_utf7
from mic_mail.errors import Text
from mic_mail.storage.errors import NameNotAllowed
from mic_mail.storage.types import DELIMITER, INBOX, is_inbox

MAX_DIRECTORY_OCTETS = 240
"""Longest directory name. File systems allow 255; the rest is for tools that add to it."""

EXPUNGED = ".expunged"
OWN_PREFIX = ".mic-"
_HASHED = ".&~"
"""Prefix of hashed names. It is not modified UTF-7, so no name can be spelled like it."""


@lru_cache(maxsize=4096)
def canonical(name: str, *, max_octets: int, max_depth: int) -> str:
    """Return the one spelling (NFC) of `name`, or raise `NameNotAllowed`."""
    if not name:
        raise _refusal("Tên thư mục trống.", "The folder name is empty.")
    try:
        octets = len(name.encode())
    except UnicodeEncodeError:
        raise _refusal("Tên thư mục không phải Unicode hợp lệ.", "The folder name is not valid Unicode.") from None
    if octets > 4 * max_octets:
        raise _refusal("Tên thư mục quá dài.", "The folder name is too long.")
    name = unicodedata.normalize("NFC", name)
    if len(name.encode()) > max_octets:
        raise _refusal("Tên thư mục quá dài.", "The folder name is too long.")
    levels = name.split(DELIMITER)
    if len(levels) > max_depth:
        raise _refusal("Cây thư mục quá sâu.", "The folder tree is too deep.")
    if not all(levels):
        raise _refusal("Tên thư mục có bậc trống.", "A level of the folder name is empty.")
    if not is_displayable(name):
        raise _refusal("Tên thư mục có ký tự điều khiển.", "The folder name holds control characters.")
    if is_inbox(levels[0]):
        levels[0] = INBOX
    return DELIMITER.join(levels)


_UNSHOWN = frozenset({"Cc", "Cs", "Zl", "Zp"})


def is_displayable(name: str) -> bool:
    """Return whether every character of a name can be shown: U+0000, for example, cannot."""
    return not any(unicodedata.category(character) in _UNSHOWN for character in name)


def _refusal(vi: str, en: str) -> NameNotAllowed:
    return NameNotAllowed(Text(vi, en))


def encode_directory(name: str) -> str:
    """Return the directory of a canonical name, below `Maildir/`."""
    if name == INBOX:
        return ""
    levels = [modified_utf7.encode(level).decode("ascii") for level in name.split(DELIMITER)]
    directory = "." + ".".join(level.replace(".", "&AC4-") for level in levels)
    if directory == EXPUNGED or directory.startswith(OWN_PREFIX):
        directory = f".{modified_utf7.shift(directory[1])}{directory[2:]}"
    if len(directory) > MAX_DIRECTORY_OCTETS:
        return _HASHED + blake2b(name.encode(), digest_size=20).hexdigest()
    return directory


def decode_directory(directory: str) -> str | None:
    """Return the name of a directory; None for a hash and for what no name is encoded to."""
    if not directory:
        return INBOX
    if not directory.startswith(".") or directory.startswith((_HASHED, OWN_PREFIX)) or directory in (EXPUNGED, ".", ".."):
        return None
    levels = [decode_level(level) for level in directory[1:].split(".")]
    if not all(level and DELIMITER not in level for level in levels):
        return None
    return DELIMITER.join(level for level in levels if level)


def is_text(name: str) -> bool:
    """Return whether the name of a file or a directory is UTF-8 on disk; the index can hold no other."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def decode_level(encoded: str) -> str | None:
    """Return a level's text from modified UTF-7; None where it is none, or holds characters that a name cannot have.

    Shifted printable ASCII is accepted.
    """
    try:
        text = modified_utf7.decode(encoded.encode("ascii"), strict=False)
    except (UnicodeEncodeError, modified_utf7.NotModifiedUtf7):
        return None
    return text if is_displayable(text) else None
