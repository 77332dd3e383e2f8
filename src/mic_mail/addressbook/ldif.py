"""The book as LDIF (RFC 2849) for `ldapadd`; `slapadd` rejects the version line.

In: a book. Out: octets; values that are not safe ASCII are in base64, lines are folded at 76 octets.
"""

from base64 import b64encode
from collections.abc import Iterator

from mic_mail.addressbook.cards import Book
from mic_mail.addressbook.ldap_entries import LdapEntry, all_entries

LINE_OCTETS = 76


def write(book: Book) -> bytes:
    """Write the whole book, parents before children."""
    return b"version: 1\n" + b"\n".join(record(entry) for entry in all_entries(book))


def record(entry: LdapEntry) -> bytes:
    return b"".join(_folded(line) for line in _lines(entry))


def _lines(entry: LdapEntry) -> Iterator[bytes]:
    yield _line("dn", entry.dn)
    for name, values in entry.attributes.items():
        for value in values:
            yield _line(name, value)


def _line(name: str, value: str) -> bytes:
    octets = value.encode()
    return name.encode() + (b": " + octets if is_safe(octets) else b":: " + b64encode(octets))


def is_safe(octets: bytes) -> bool:
    """Return whether a value is a SAFE-STRING (RFC 2849) with no blank at the end (its note 8)."""
    if not octets:
        return True
    return (
        octets.isascii() and not any(sign in octets for sign in b"\0\r\n") and octets[0] not in b" :<" and octets[-1:] != b" "
    )


def _folded(line: bytes) -> bytes:
    pieces = [line[:LINE_OCTETS]]
    pieces += [line[at : at + LINE_OCTETS - 1] for at in range(LINE_OCTETS, len(line), LINE_OCTETS - 1)]
    return b"\n ".join(pieces) + b"\n"
