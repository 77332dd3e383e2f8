"""Canonicalise and hash messages for DKIM; read and write its fields and DNS records.

Pure, without keys. In: a header, a body in pieces; a record. Out: the digest of the body and the octets that a key signs (RFC
6376 §3.7, relaxed in both, §3.4.2 and §3.4.4), the signature field, tags of a record. Only CRLF ends a line: a bare CR or LF,
which a BINARYMIME message may hold, is an ordinary octet. Linear in time; at most one piece of a body is held in memory.
"""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OVERSIGNED = (
    b"From", b"To", b"Cc", b"Subject", b"Date", b"Message-ID", b"Reply-To", b"In-Reply-To", b"References", b"MIME-Version",
    b"Content-Type", b"Content-Transfer-Encoding",
)  # fmt: skip
"""Fields signed once more often than they occur, so that none can be added (RFC 6376 §5.4, §8.15)."""
SIGNED = (
    b"Sender", b"Content-ID", b"Content-Description", b"Content-Disposition", b"Auto-Submitted", b"List-ID",
    b"List-Unsubscribe", b"List-Unsubscribe-Post", b"Resent-Date", b"Resent-From", b"Resent-Sender", b"Resent-To", b"Resent-Cc",
    b"Resent-Message-ID",
)  # fmt: skip
"""Fields signed only where present (RFC 6376 §5.4.1); lists and resenders may add their own."""
STRING_OCTETS = 255
"""Octets of one string of a TXT record (RFC 1035 §3.3)."""
_LINE = 76
_EMPTY_LINES = b"\r\n" * 4_096
_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:((?:[^\r\n]|\r(?!\n)|(?<!\r)\n|\r\n(?=[ \t]))*+)(?:\r\n|\Z)")
"""A field: a name, optional spaces before the colon (RFC 5322 §4.5.8), and a folded value."""


class NotAHeader(ValueError):
    """A header line that belongs to no field, so that other parsers may see a different header."""


def split_header(header: bytes) -> list[tuple[bytes, bytes]]:
    """Return the raw name and value of each field. `header` ends before or after the empty line."""
    return [(name, value) for name, value, _ in split_written(header)]


def split_written(header: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Return name, value and the whole field as written, without its last CRLF."""
    fields, at, end = [], 0, len(header.removesuffix(b"\r\n\r\n"))
    while at < end and header[at : at + 2] != b"\r\n":
        match = _FIELD.match(header, at)
        if match is None:
            raise NotAHeader(f"a header line is not a field, at octet {at}")
        fields.append((match[1], match[2], header[match.start() : match.end(2)]))
        at = match.end()
    return fields


def relaxed_field(name: bytes, value: bytes) -> bytes:
    """Canonicalise a field (RFC 6376 §3.4.2), without the CRLF."""
    return name.lower() + b":" + _squeezed(value.replace(b"\r\n", b"")).strip(b" ")


def _squeezed(octets: bytes) -> bytes:
    """Collapse each run of white space to a space; each pass halves it, so time is linear."""
    octets = octets.replace(b"\t", b" ")
    while b"  " in octets:
        octets = octets.replace(b"  ", b" ")
    return octets


class Digest:
    """SHA-256 of the first `limit` octets, and the count of all octets (RFC 6376 §3.5, `l=`)."""

    def __init__(self, limit: int | None = None) -> None:
        self._hash = hashlib.sha256()
        self.limit = limit
        self.octets = 0

    def update(self, octets: bytes) -> None:
        if self.limit is None:
            self._hash.update(octets)
        elif self.octets < self.limit:
            self._hash.update(octets[: self.limit - self.octets])
        self.octets += len(octets)

    def digest(self) -> bytes:
        return self._hash.digest()


class BodyDigest:
    """Digest of a body in pieces, canonicalised as simple or relaxed (RFC 6376 §3.4.3, §3.4.4)."""

    def __init__(self, *, is_relaxed: bool, limit: int | None = None) -> None:
        self._is_relaxed = is_relaxed
        self._digest = Digest(limit)
        self._line_ends = 0
        """CRLFs not hashed yet, as the body may end with them."""
        self._is_spaced = False
        """True if a space follows them, which may be trailing white space (relaxed only)."""
        self._cr = b""
        """The last octet, if it was a CR."""
        self._is_empty = True

    def update(self, octets: bytes) -> None:
        """Take the next piece."""
        text = (b" " if self._is_spaced else b"") + self._cr + octets
        self._cr = b"\r" if text.endswith(b"\r") else b""
        self._take(text.removesuffix(b"\r"))

    def _take(self, text: bytes) -> None:
        if self._is_relaxed:
            text = _squeezed(text).replace(b" \r\n", b"\r\n")
            self._is_spaced = text.endswith(b" ")
            text = text.removesuffix(b" ")
        ends = _line_ends_of(text)
        if ends * 2 < len(text):
            self._write_line_ends()
            self._digest.update(text[: len(text) - 2 * ends])
            self._is_empty = False
        self._line_ends += ends

    def _write_line_ends(self) -> None:
        while self._line_ends:
            some = min(self._line_ends, len(_EMPTY_LINES) // 2)
            self._digest.update(_EMPTY_LINES[: 2 * some])
            self._line_ends -= some

    def finish(self) -> Digest:
        """Return the digest of the whole body, which ends with one CRLF; an empty body is one if simple."""
        if self._cr:  # an ordinary octet, as no LF follows
            self._take((b" " if self._is_spaced else b"") + self._cr)
        if not (self._is_relaxed and self._is_empty):
            self._digest.update(b"\r\n")
        return self._digest


def _line_ends_of(text: bytes) -> int:
    """Return the number of CRLFs at the end."""
    tail = text[len(text.rstrip(b"\r\n")) :]
    if tail == b"\r\n" * (len(tail) // 2):
        return len(tail) // 2
    ends = 0
    while tail.endswith(b"\r\n", 0, len(tail) - 2 * ends):
        ends += 1
    return ends


@dataclass(frozen=True, slots=True)
class Signing:
    """The parameters of one signature."""

    algorithm: str
    """`rsa-sha256` or `ed25519-sha256`."""
    domain: str
    selector: str
    at: int
    """Seconds since 1970."""


def names_to_sign(fields: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the names in `h=`, in order."""
    there = Counter(name.lower() for name, _ in fields)
    return [name for name in OVERSIGNED for _ in range(there[name.lower()] + 1)] + [
        name for name in SIGNED for _ in range(there[name.lower()])
    ]


def unsigned_field(signing: Signing, names: Iterable[bytes], body: bytes) -> bytes:
    """Return the value of the field with an empty `b=`, which is its last tag."""
    lines, line = [], b"\th="
    for name in _with_colons(names):
        if len(line) + len(name) > _LINE:
            lines.append(line)
            line = b"\t "
        line += name
    value = [
        f" v=1; a={signing.algorithm}; c=relaxed/relaxed; s={signing.selector};",
        f"\td={signing.domain}; t={signing.at};",
    ]
    return b"\r\n".join(
        [*(each.encode() for each in value), *lines, line + b";", b"\tbh=" + base64.b64encode(body) + b";", b"\tb="]
    )


def _with_colons(names: Iterable[bytes]) -> Iterable[bytes]:
    colon = b""
    for name in names:
        yield colon + name
        colon = b":"


def to_be_signed(fields: Sequence[tuple[bytes, bytes]], names: Iterable[bytes], unsigned: bytes) -> bytes:
    """Return the octets to sign (RFC 6376 §3.7).

    These are the fields in `names`, the last of each name first, then the signature field itself.
    """
    left: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        left.setdefault(name.lower(), []).append(relaxed_field(name, value) + b"\r\n")
    chosen = [mine.pop() for name in names if (mine := left.get(name.lower()))]
    return b"".join(chosen) + relaxed_field(b"DKIM-Signature", unsigned)


def whole_field(unsigned: bytes, signature: bytes) -> bytes:
    """Return the complete signature field."""
    text = base64.b64encode(signature)
    parts = [text[at : at + _LINE - 4] for at in range(0, len(text), _LINE - 4)]
    return b"DKIM-Signature:" + unsigned + b"\r\n\t ".join(parts) + b"\r\n"


# ------------------------------------------------------------ DNS records


def record(kind: str, public: bytes) -> str:
    """Return the DNS record of a key (RFC 6376 §3.6.1, RFC 8463 §4.2).

    `kind` is `rsa` with SubjectPublicKeyInfo, or `ed25519` with its 32 octets.
    """
    return f"v=DKIM1; k={kind}; p={base64.b64encode(public).decode()}"


def strings_of(text: str) -> str:
    """Return a record in zone-file form: strings of at most 255 octets."""
    return " ".join(f'"{text[at : at + STRING_OCTETS]}"' for at in range(0, len(text), STRING_OCTETS))


def tags_of(text: str) -> dict[str, str] | None:
    """Parse a tag list (RFC 6376 §3.2): name -> value without spaces; None where it is malformed."""
    tags: dict[str, str] = {}
    for part in text.removesuffix(";").split(";") if text.strip() else []:
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or not name or name in tags:
            return None
        tags[name] = re.sub(r"[ \t\r\n]+", "", value)
    return tags
