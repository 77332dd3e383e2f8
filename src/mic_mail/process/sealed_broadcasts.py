"""Sealed broadcasts between the servers of the same mailboxes: nobody else can read one, nor make one.

Hints travel through the database, where every role that may connect hears them and can send some. What broadcasts say, such as
who has mistyped a password where, is no business of theirs; and a forged one could lock somebody out.

In: broadcasts, and a key that all servers have. Out: hints of limited length, and from such a hint its broadcasts. Several
go into one. Sealed by ChaCha20-Poly1305 (RFC 8439) with a random nonce each.
"""

import os
import struct
from collections.abc import Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

_NONCE_OCTETS = 12
_TAG_OCTETS = 16
_LENGTH = struct.Struct("<H")


class SealedBroadcasts:
    """The seal of one server, for hints of one length."""

    def __init__(self, key: bytes, *, kind: bytes, most: int) -> None:
        """`key` has 32 octets; a hint begins with `kind` and has at most `most` octets."""
        self._cipher = ChaCha20Poly1305(key)
        self._kind = kind
        self._room = most - len(kind) - _NONCE_OCTETS - _TAG_OCTETS
        """Octets for broadcasts and their lengths."""

    def fits(self, broadcast: bytes) -> bool:
        """Return whether a broadcast is short enough for a hint."""
        return _LENGTH.size + len(broadcast) <= self._room

    def seal(self, broadcasts: Iterable[bytes]) -> Iterator[bytes]:
        """Yield hints that hold these broadcasts, in order; each of them `fits`."""
        content = b""
        for broadcast in broadcasts:
            part = _LENGTH.pack(len(broadcast)) + broadcast
            if len(content) + len(part) > self._room:
                yield self._sealed(content)
                content = b""
            content += part
        if content:
            yield self._sealed(content)

    def _sealed(self, content: bytes) -> bytes:
        nonce = os.urandom(_NONCE_OCTETS)
        return self._kind + nonce + self._cipher.encrypt(nonce, content, self._kind)

    def open(self, hint: bytes) -> list[bytes] | None:
        """Return the broadcasts of a hint of this kind; None if it was sealed with another key, or is damaged."""
        sealed = hint[len(self._kind) :]
        nonce = sealed[:_NONCE_OCTETS]
        if len(nonce) < _NONCE_OCTETS:
            return None
        try:
            content = self._cipher.decrypt(nonce, sealed[_NONCE_OCTETS:], self._kind)
        except InvalidTag:
            return None
        found = []
        while content:
            (length,) = _LENGTH.unpack_from(content)
            found.append(content[_LENGTH.size : _LENGTH.size + length])
            content = content[_LENGTH.size + length :]
        return found
