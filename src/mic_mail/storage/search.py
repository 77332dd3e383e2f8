"""SEARCH over text: exact substrings in whole messages, without case (RFC 9051 §6.4.4).

HEADER looks into the decoded bodies of one field, BODY into the decoded text of all text parts and the headers of all parts
(so that a message is found by the name of its attachment), TEXT also into the message's own header. Both sides are NFC and
case-folded; "không" and "khong" differ here. This is the scan that is always right and reads every octet; an index beside it
(`search.sqlite`) may only narrow down which messages it has to read.
"""

from collections.abc import Iterable, Iterator, Sequence

from mic_mail.mime.addresses import parse_addresses
from mic_mail.mime.encodings import decode
from mic_mail.mime.headers import field, fields, parse_parameters
from mic_mail.mime.parts import LEAF, Section, Sections
from mic_mail.mime.words import compose_letters, decode_octets, decode_text
from mic_mail.storage.errors import NoSuchMessage
from mic_mail.storage.reader import open_message, rows
from mic_mail.storage.store import Store
from mic_mail.storage.types import TextTest

_TEXT = b"text/"
_ADDRESS_FIELDS = {b"from", b"to", b"cc", b"bcc"}
_MAX_TEXT_OCTETS = 8 << 20
"""Of one part: what lies behind is a log file or an attack, and no one's eight megabytes of prose."""


def find_text(
    store: Store, folder_id: int, uids: Iterable[int], tests: Sequence[TextTest]
) -> list[tuple[int, tuple[bool, ...]]]:
    """For each UID that can be read, which of the tests it passes."""
    wanted = [_Test(test) for test in tests]
    headers_suffice = all(test.kind == "HEADER" for test in wanted)
    found: list[tuple[int, tuple[bool, ...]]] = []
    for uid, header, parts in rows(store, folder_id, uids, ["uid", "header", "parts"]):
        if headers_suffice and header:
            found.append((uid, tuple(test.in_header(header) for test in wanted)))
            continue
        try:
            with open_message(store, folder_id, uid) as file:
                octets = file.pread(0, file.size)
        except NoSuchMessage:
            continue
        text = _Text(octets, Sections(parts).root)
        found.append((uid, tuple(test.in_message(text) for test in wanted)))
    return found


class _Test:
    """A search key, its value folded once."""

    def __init__(self, test: TextTest) -> None:
        self.kind = test.kind
        self._value = folded(test.value)
        self._field = test.field.lower().encode(errors="replace")

    def in_header(self, header: bytes) -> bool:
        """An empty value asks whether the field is there at all (RFC 9051 §6.4.4)."""
        return any(name == self._field and self._in_field(value) for name, value in fields(header))

    def _in_field(self, value: bytes) -> bool:
        """As it is written; FROM, TO, CC and BCC ask about the envelope, which no comment within an address may hide."""
        if self._value in folded(decode_text(value)):
            return True
        commented = self._field in _ADDRESS_FIELDS and b"(" in value
        return commented and any(self._value in address for address in _addresses(value))

    def in_message(self, text: "_Text") -> bool:
        if self.kind == "HEADER":
            return self.in_header(text.header)
        if self.kind == "TEXT" and self._value in text.own_header:
            return True
        return any(self._value in piece for piece in text.pieces)


class _Text:
    """One message's folded text, made only as far as some test asks, and once for all of them."""

    def __init__(self, octets: bytes, root: Section) -> None:
        self._octets = octets
        self._root = root
        self._own_header: str | None = None
        self._made: list[str] = []
        self._rest = self._read(root)

    @property
    def header(self) -> bytes:
        offset, length = self._root.header
        return self._octets[offset : offset + length]

    @property
    def own_header(self) -> str:
        if self._own_header is None:
            self._own_header = _header_text(self.header)
        return self._own_header

    @property
    def pieces(self) -> Iterator[str]:
        yield from self._made
        for piece in self._rest:
            self._made.append(piece)
            yield piece

    def _read(self, part: Section) -> Iterator[str]:
        if part.kind == LEAF:
            offset, length = part.header
            kind, parameters = parse_parameters(field(self._octets[offset : offset + length], b"content-type") or b"text/plain")
            if kind.lower().startswith(_TEXT) or b"/" not in kind:
                charset = dict(parameters).get(b"charset", b"").decode("ascii", "replace")
                start, octets = part.body
                raw = self._octets[start : start + min(octets, _MAX_TEXT_OCTETS)]
                yield folded(decode_octets(decode(raw, part.encoding), charset))
        for child in part.children:
            offset, length = child.header
            yield _header_text(self._octets[offset : offset + length])
            yield from self._read(child)


def _header_text(header: bytes) -> str:
    return folded("\n".join(f"{decode_octets(name)}: {decode_text(value)}" for name, value in fields(header)))


def _addresses(value: bytes) -> Iterator[str]:
    """`name <mailbox@host>` of each address in a field."""
    for name, _, mailbox, host in parse_addresses(value):
        if mailbox is not None and host is not None:
            yield folded(f"{decode_text(name or b'')} <{decode_text(mailbox)}@{decode_text(host)}>")


def folded(text: str) -> str:
    """Without case, in NFC: "Đ" meets "đ", composed meets decomposed."""
    return text.lower() if text.isascii() else compose_letters(text.casefold())
