"""Store the keys that SORT and THREAD need as one value in the index.

In: a message's header. Out: octets, and back: `Ordering`. Keys are compared as octets (`collation.sort_key`); Message-IDs are
digests of their normal form. Never raises. Standards: RFC 5256 §2.1 and §3, RFC 5957 §3, RFC 8474 §5.2.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mic_mail.mime import headers
from mic_mail.mime.addresses import Address, first_address
from mic_mail.mime.base_subject import base_subject
from mic_mail.mime.collation import digest, sort_key
from mic_mail.mime.encoded_words import decode_text
from mic_mail.mime.headers import unfold, unquote

ID_OCTETS = 8
MAX_REFERENCES = 128
"""References kept of one message, the first and the last; mail programs keep some dozens."""

_REPLY, _HAS_ID = 1, 2
_ADDRESSES = frozenset({b"from", b"to", b"cc"})
_MESSAGE_ID = re.compile(
    rb"<[ \t\r\n]*+(?:(\"(?:[^\"\\]++|\\.)*+\")|([^\x00-\x20\"<>@()]++))[ \t\r\n]*+@[ \t\r\n]*+"
    rb"([^\x00-\x20\"<>@()\[\]]++|\[[^\[\]<>\s]*+\])[ \t\r\n]*+>",
    re.DOTALL,
)


class Ordering(NamedTuple):
    """The keys of one message.

    `subject` is that of its base subject, the others are of the first address in a field (b"" for none).
    """

    subject: bytes
    sender: bytes
    """SORT FROM: the mailbox, without the host."""
    to: bytes
    cc: bytes
    display_from: bytes
    display_to: bytes
    is_reply: bool
    """True if its subject marks a reply or a forward."""
    message_id: bytes
    """Eight octets, or none where there is no valid Message-ID."""
    references: bytes
    """Eight octets for each referenced message, the oldest first; the last is its parent."""


NOTHING = b"\0" * 7
"""The value of an expunged message."""


def ordering(header: bytes) -> bytes:
    """Return the value to store, in 15 us; of a repeated field the one in ENVELOPE counts."""
    fields = _fields(header)
    base = base_subject(decode_text(fields.get(b"subject", b"")))
    sender, to = first_address(fields.get(b"from", b"")), first_address(fields.get(b"to", b""))
    keys = (sort_key(base.text), _mailbox(sender), _mailbox(to), _mailbox(first_address(fields.get(b"cc", b""))))
    own = message_ids(fields.get(b"message-id", b""), 1)
    return b"%b\0%b\0%b\0%b\0%b\0%b\0%c%b%b" % (
        *keys,
        _displayed(sender),
        _displayed(to),
        (_REPLY if base.is_reply else 0) | (_HAS_ID if own else 0),
        b"".join(own),
        b"".join(_references(fields)),
    )


def _fields(header: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in headers.fields(header):
        if name not in _ADDRESSES:
            found[name] = value
        elif value.strip():
            found.setdefault(name, value)
    return found


def decode(value: bytes) -> Ordering:
    """Decode a value of `ordering`."""
    subject, sender, to, cc, display_from, display_to, rest = value.split(b"\0", 6)
    marks = rest[0]
    own = ID_OCTETS if marks & _HAS_ID else 0
    return Ordering(subject, sender, to, cc, display_from, display_to, bool(marks & _REPLY), rest[1 : 1 + own], rest[1 + own :])


ThreadKeys = tuple[bytes, bytes, bytes, bool]
"""The part of an `Ordering` that THREAD needs: `message_id`, `references`, `subject` and `is_reply`."""


def thread_keys(value: bytes) -> ThreadKeys:
    """Decode of a value of `ordering` what THREAD needs, in a third of the time."""
    parts = value.split(b"\0", 6)
    rest = parts[6]
    marks = rest[0]
    begin = 1 + ID_OCTETS if marks & _HAS_ID else 1
    return rest[1:begin], rest[begin:], parts[0], marks & _REPLY != 0


def keys(values: Iterable[bytes], place: int) -> list[bytes]:
    """Return one of the first six members of each value."""
    return [value.split(b"\0", place + 1)[place] for value in values]


def thread_of(fields: Mapping[bytes, bytes]) -> bytes:
    """Return the digest of the first message of the thread (RFC 8474 §5.2); empty if unknown.

    It is the first of the References, else of In-Reply-To, else the message itself. So it is the same for all messages that
    refer back to that one, in every folder, at any time and in a rebuilt index. 1.3 us.
    """
    for name in (b"references", b"in-reply-to", b"message-id"):
        value = fields.get(name)
        if value is not None and (found := message_ids(value, 1)):
            return found[0]
    return b""


def message_ids(value: bytes, at_most: int | None = None) -> list[bytes]:
    """Return the digests of the valid Message-IDs in a field; quotes make no difference (RFC 5256 §3)."""
    found: list[bytes] = []
    for match in _MESSAGE_ID.finditer(value):
        quoted, plain, right = match.groups()
        found.append(digest(b"%b@%b" % (unquote(unfold(quoted)) if quoted else plain, right)))
        if len(found) == at_most:
            break
    return found


def _references(fields: Mapping[bytes, bytes]) -> list[bytes]:
    """Return those of References; where none is valid, the first of In-Reply-To (RFC 5256 §3)."""
    value = fields.get(b"references")
    found = message_ids(value) if value is not None else []
    if not found:
        return message_ids(fields.get(b"in-reply-to", b""), 1)
    return found if len(found) <= MAX_REFERENCES else [found[0], *found[1 - MAX_REFERENCES :]]


def _mailbox(address: Address | None) -> bytes:
    return b"" if address is None or address.mailbox is None else _key(decode_text(address.mailbox))


def _displayed(address: Address | None) -> bytes:
    """Return the name, else the address, else the mailbox (for a group: its name) (RFC 5957 §3)."""
    if address is None or (address.name is None and address.mailbox is None):
        return b""
    name = decode_text(address.name) if address.name is not None else ""
    if name:
        return _key(name)
    mailbox = decode_text(address.mailbox or b"")
    return _key(mailbox if address.host is None else f"{mailbox}@{decode_text(address.host)}")


def _key(text: str) -> bytes:
    return sort_key(text.replace("\0", ""))
