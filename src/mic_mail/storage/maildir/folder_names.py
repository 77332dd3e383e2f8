"""Directory names on disk for the names of folders (Maildir++).

The directory of a name (canonical_name.py) is "" for INBOX, else a dot and the levels joined by dots,
each level in modified UTF-7 (RFC 3501 §5.1.3), so that other Maildir++ tools show the same tree. What that form cannot hold is
escaped in it: a dot inside a level, a reserved name (`.expunged`, `.mic-…`). A name too long for a directory becomes a hash,
and its text lies in the folder's `.mic-folder`. Two different names never share a directory. Pure.
"""

from hashlib import blake2b

from mic_mail import modified_utf7
from mic_mail.storage.canonical_name import is_displayable
from mic_mail.storage.types import DELIMITER, INBOX

MAX_DIRECTORY_OCTETS = 240
"""Longest directory name. File systems allow 255; the rest is for tools that add to it."""

EXPUNGED = ".expunged"
OWN_PREFIX = ".mic-"
_HASHED = ".&~"
"""Prefix of hashed names. It is not modified UTF-7, so no name can be spelled like it."""


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
