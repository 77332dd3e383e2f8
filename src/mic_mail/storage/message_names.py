"""The name of a message: what stands in it, and what is made from it. Pure.

A message of ours is `<sec>.M<usec>P<pid>Q<n>.<host>,S=<size>,U=<uid>:2,<letters>`. The part before the first comma is the base
name: it never changes, COPY and MOVE keep it, and EMAILID is made from it. Any other Maildir name can be parsed too. The index
has the name of each message, whether or not a file of that name is there.
"""

import re
from dataclasses import dataclass, replace
from hashlib import blake2b

from mic_mail.storage.types import ANSWERED, DELETED, DRAFT, FLAGGED, KEYWORD_SHIFT, SEEN

MAX_NAME_OCTETS = 255
"""Longest file name of file systems."""

_LETTERS = (("D", DRAFT), ("F", FLAGGED), ("R", ANSWERED), ("S", SEEN), ("T", DELETED))
NAMED_KEYWORDS = 26
"""Keywords that a file name can hold, as a to z; the rest are in the index only."""
NAMED_FLAGS = sum(bit for _, bit in _LETTERS) | (((1 << NAMED_KEYWORDS) - 1) << KEYWORD_SHIFT)
_BIT_OF_LETTER = dict(_LETTERS) | {chr(ord("a") + i): 1 << (KEYWORD_SHIFT + i) for i in range(NAMED_KEYWORDS)}

UNKNOWN_UID = (1 << 32) - 1
"""UID in the name of a message of ours whose own name was lost (replay.py).

No folder ever reaches this UID.
"""


@dataclass(frozen=True, slots=True)
class MessageName:
    """The parts of a file name. `size` and `uid` are 0 where the name lacks them."""

    base: str
    size: int
    uid: int
    flags: int

    def format(self) -> str:
        return format_name(self.base, self.size, self.uid, self.flags)


def format_name(base: str, size: int, uid: int, flags: int) -> str:
    return f"{base},S={size},U={uid}:2,{letters(flags)}"


def parse_name(name: str) -> MessageName:
    """Parse any name; never fails: a foreign name has at least a base."""
    front, _, info = name.partition(":2,")
    base, *extras = front.split(",")
    numbers = {extra[:2]: int(extra[2:]) for extra in extras if _NUMBER.fullmatch(extra)}
    flags = 0
    for letter in info.partition(",")[0]:
        flags |= _BIT_OF_LETTER.get(letter, 0)
    uid = numbers.get("U=", 0)
    return MessageName(base, numbers.get("S=", 0), uid if uid < 1 << 32 else 0, flags)


_NUMBER = re.compile(r"[SU]=[0-9]{1,18}")


def letters(flags: int) -> str:
    """Return Maildir's letters in ASCII order, as its specification asks."""
    return _LETTERS_OF_FLAGS.get(flags) or "".join(letter for letter, bit in _BIT_OF_LETTER.items() if flags & bit)


_LETTERS_OF_FLAGS = {
    flags: text for flags in range(1, 32) if (text := "".join(letter for letter, bit in _BIT_OF_LETTER.items() if flags & bit))
}


def name_with_flags(name: str, flags: int) -> str:
    """Return the name that the file should have; bits that a name cannot hold change nothing."""
    if parse_name(name).flags == flags & NAMED_FLAGS:
        return name
    front, _, _ = name.partition(":2,")
    new_name = f"{front}:2,{letters(flags)}"
    if len(new_name.encode()) > MAX_NAME_OCTETS:  # another tool has lengthened it
        return replace(parse_name(name), flags=flags).format()
    return new_name


def email_id(base: str) -> str:
    """Return the EMAILID, made from the base name (RFC 8474 §5.1): 1 to 255 letters, digits, "_" and "-"."""
    return "E" + blake2b(base.encode(errors="surrogateescape"), digest_size=15).hexdigest()


def thread_id(base: str, beginning: bytes) -> str:
    """Return the THREADID (RFC 8474 §5.2), of what began the thread or of the base name: it never changes."""
    return "T" + (beginning or blake2b(base.encode(errors="surrogateescape"), digest_size=8).digest()).hex()


def beginning_of(thread: str) -> bytes:
    """Return the thread beginning of a THREADID, for copies in another account."""
    return bytes.fromhex(thread[1:])


def expunged_name(mailbox_id: str, name: str) -> str:
    """Return a file's name in `.expunged/`, where the id identifies its folder after the index is lost."""
    return f"{mailbox_id}.{name}"
