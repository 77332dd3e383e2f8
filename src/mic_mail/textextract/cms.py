"""CMS signed data with its content inside (`smime.p7m`, RFC 8551 §3.5.2), which mail programs show.

In: the octets of one (RFC 5652), DER or BER. Out: its content as a document of its own. Nothing is verified. Enveloped data is
encrypted. No maintained library yields the content; all that is needed of the format is where an OCTET STRING begins.
"""

from collections.abc import Iterator

from mic_mail.textextract.extraction import Look
from mic_mail.textextract.limits import CannotRead
from mic_mail.textextract.result import Unread

_PKCS7 = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07"
_DATA, _SIGNED, _ENVELOPED = (_PKCS7 + bytes((number,)) for number in (1, 2, 3))
_AUTH_ENVELOPED = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17"
_WITHIN = 32
"""Octets within which the content type is found."""
_CONTENT, _OCTETS, _OCTETS_IN_PIECES = 0xA0, 0x04, 0x24


def is_cms(head: bytes) -> bool:
    """Return whether this is the beginning of CMS data with content."""
    return head[:1] == b"\x30" and any(kind in head[:_WITHIN] for kind in (_SIGNED, _ENVELOPED, _AUTH_ENVELOPED))


def read(look: Look, content: bytes) -> None:
    """Read one file; a detached signature has no content."""
    if _SIGNED not in content[:_WITHIN]:
        raise CannotRead(Unread.ENCRYPTED)
    begins = content.find(_DATA)
    within = b"".join(_octet_string(look, content, begins + len(_DATA))) if begins >= 0 else b""
    if within:
        look.budget.take_octets(len(within))
        look.document(within, kind="message/rfc822")


def _octet_string(look: Look, content: bytes, at: int) -> Iterator[bytes]:
    """Yield an OCTET STRING, whole or in pieces (ITU-T X.690 §8.7), at any depth."""
    while at + 2 <= len(content):
        look.budget.check_time()
        tag, length, at = content[at], content[at + 1], at + 2
        if length > 0x80:
            size, at = length & 0x7F, at + (length & 0x7F)
            length = int.from_bytes(content[at - size : at])
        if tag == _OCTETS:
            yield content[at : at + length]
            at += length
        elif tag not in (_CONTENT, _OCTETS_IN_PIECES):
            return
