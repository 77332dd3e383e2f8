"""Read a message once: its header, its signatures, and the digests of its body that they need.

In: a file, positioned where the message begins. Out: `DigestedMessage`. Bounded: the header, the signatures that are tried, the
digested forms of a body; one piece of the body is in memory. A header that is too long or malformed leaves nothing to
verify. Blocking, for a thread.
"""

import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

from mic_mail.mailauth.arc_headers import Chain, parse_chain
from mic_mail.mailauth.dkim_header import BodyForm, HeaderField, Signature, Unusable, parse_signature
from mic_mail.mime.dkim import BodyDigest, Digest, NotAHeader, split_written

PIECE_OCTETS = 64 << 10
MOST_HEADER_OCTETS = 256 << 10
MOST_FIELDS = 2_000
"""Fields of a header; no mail program or list writes a tenth of it.

57,000 fields of four octets take 6 MB while the DNS is asked, and there are hundreds of messages at the same time.
"""
MOST_SIGNATURES = 10
"""Signatures that are tried: the topmost, which were added last (RFC 6376 §6.1)."""
MOST_FORMS = 8
"""Digested forms of a body; only `l=` makes more than two."""
_END = b"\r\n\r\n"


@dataclass(frozen=True)
class DigestedMessage:
    """Everything of a message that the checks need."""

    fields: tuple[HeaderField, ...]
    """Fields in order; empty where the header is malformed."""
    fault: str = ""
    """Reason why the header cannot be evaluated, in our words."""
    signatures: tuple[Signature | Unusable, ...] = ()
    untried: int = 0
    """Signatures beyond the bound."""
    chain: Chain | None = None
    """The chain of ARC sets; None where there are none."""
    digests: tuple[tuple[BodyForm, Digest], ...] = ()

    def digest(self, form: BodyForm) -> Digest | None:
        """Return the digest of a form; None where it exceeded the bound."""
        return next((digest for each, digest in self.digests if each == form), None)

    def octets_beyond(self, form: BodyForm) -> int:
        """Return the octets of the canonical body beyond the limit of a form (`l=`)."""
        digest = self.digest(form)
        return max(0, digest.octets - form.limit) if digest is not None and form.limit is not None else 0

    @cached_property
    def by_name(self) -> Mapping[bytes, Sequence[HeaderField]]:
        """The fields by their names in lower case, those of each name in order."""
        found: dict[bytes, list[HeaderField]] = {}
        for field in self.fields:
            found.setdefault(field.name.lower(), []).append(field)
        return found

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of the fields called `name` (lower case), in order."""
        return [field.value for field in self.fields if field.name.lower() == name]


def read(message: BinaryIO | bytes) -> DigestedMessage:
    """Read a message; raises OSError where the file cannot be read."""
    file = io.BytesIO(message) if isinstance(message, bytes) else message
    header, rest = _read_header(file)
    if header is None:
        return DigestedMessage((), "the header is too long")
    if header.count(b"\n") != header.count(b"\r\n") or header.count(b"\r") != header.count(b"\r\n"):
        return DigestedMessage((), "a bare CR or LF in the header")  # some parsers see another field behind it
    if header.count(b"\n") - header.count(b"\n ") - header.count(b"\n\t") >= MOST_FIELDS:
        return DigestedMessage((), "the header has too many fields")
    try:
        fields = tuple(HeaderField(*each) for each in split_written(header))
    except NotAHeader:
        return DigestedMessage((), "a header line is not a field")
    signed = [field for field in fields if field.name.lower() == b"dkim-signature"]
    signatures = tuple(map(_signature, signed[:MOST_SIGNATURES]))
    chain = parse_chain(fields)
    forms: dict[BodyForm, BodyDigest] = {}
    for signature in (*signatures, *(chain.message_signatures if chain else ())):
        if isinstance(signature, Signature) and signature.body not in forms and len(forms) < MOST_FORMS:
            form = signature.body
            forms[form] = BodyDigest(is_relaxed=form.is_relaxed, limit=form.limit)
    if forms:
        for piece in itertools.chain((rest,), iter(lambda: file.read(PIECE_OCTETS), b"")):
            for body in forms.values():
                body.update(piece)
    digests = tuple((form, body.finish()) for form, body in forms.items())
    return DigestedMessage(fields, "", signatures, len(signed) - len(signatures), chain, digests)


def _signature(field: HeaderField) -> Signature | Unusable:
    try:
        return parse_signature(field)
    except Unusable as error:
        return error


def _read_header(file: BinaryIO) -> tuple[bytes | None, bytes]:
    """Return everything before the empty line, and what was read of the body."""
    read_so_far = bytearray()
    while octets := file.read(PIECE_OCTETS):
        looked = max(0, len(read_so_far) - len(_END) + 1)
        read_so_far += octets
        if read_so_far.startswith(b"\r\n"):
            return b"", bytes(read_so_far[2:])
        at = read_so_far.find(_END, looked)
        if (at if at >= 0 else len(read_so_far)) > MOST_HEADER_OCTETS:
            return None, b""
        if at >= 0:
            return bytes(read_so_far[:at]), bytes(read_so_far[at + len(_END) :])
    return bytes(read_so_far), b""
