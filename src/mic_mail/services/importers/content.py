"""The content of one imported message: its octets as stored, their digest, and the index's answers.

Only line ends change: a message with a bare LF (an mbox, a Maildir, a file from Unix) gets CRLF at every LF, as in the
adoption of a Maildir. A message from IMAP is stored octet for octet.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from mic_mail.mime.imap_structure import Answers, answers, answers_of
from mic_mail.mime.scanner import Scanner
from mic_mail.services.importers.source import Chunks
from mic_mail.storage.delivery import StagedContent
from mic_mail.storage.mailstore import Account


@dataclass(frozen=True, slots=True)
class StagedMessage:
    """A message in the account's `tmp/`, invisible to sessions."""

    staged: StagedContent
    answers: Answers
    digest: bytes
    mark: bytes
    """The digest without the fields that programs write into a file of messages (`_NOTES`)."""
    octets: bytes | None
    """Small messages are held, so that many can be made durable together; None: it is durable."""


def take(account: Account, content: bytes | Chunks) -> StagedMessage | None:
    """Stage a message; None: it is empty."""
    if isinstance(content, bytes):
        if not content:
            return None
        staged = account.stage()
        try:
            staged.write(content)
            staged.finish_later()
            return StagedMessage(staged, answers_of(content), sha256(content).digest(), mark_of(content), content)
        except BaseException:
            staged.discard()
            raise
    staged, scanner, digest, mark = account.stage(), Scanner(), sha256(), sha256()
    try:
        for part in content():
            mark.update(part if staged.size else _without_notes(part))
            staged.write(part)
            scanner.feed(part)
            digest.update(part)
        if not staged.size:
            staged.discard()
            return None
        staged.finish()
        return StagedMessage(staged, answers(scanner.finish()), digest.digest(), mark.digest(), None)
    except BaseException:
        staged.discard()
        raise


def digest_of(content: bytes | Chunks) -> bytes:
    """Return the SHA-256 of the content as it would be stored."""
    found = sha256()
    for part in (content,) if isinstance(content, bytes) else content():
        found.update(part)
    return found.digest()


def mark_of(content: bytes | Chunks) -> bytes:
    """Return the SHA-256 of the part of a message that stays when its reader changes flags in the file."""
    found, is_first = sha256(), True
    for part in (content,) if isinstance(content, bytes) else content():
        found.update(_without_notes(part) if is_first else part)
        is_first = False
    return found.digest()


_NOTES = re.compile(
    rb"^(?:x-mozilla-(?:status2?|keys)|x-status|x-keywords|x-uid|x-imap(?:base)?|status|content-length|lines)[ \t]*:"
    rb"[^\n]*\n(?:[ \t][^\n]*\n)*",
    re.IGNORECASE | re.MULTILINE,
)
"""Fields that Thunderbird, mutt, pine and Dovecot write into an mbox long after the message came."""


def _without_notes(beginning: bytes) -> bytes:
    ends = beginning.find(b"\r\n\r\n") + 2
    return _NOTES.sub(b"", beginning[:ends]) + beginning[ends:] if ends >= 2 else beginning


def crlf_parts(raw: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
    """Yield a message in parts, as `with_crlf` would return it; `raw` yields its octets anew at each call."""
    return raw() if has_only_crlf(raw()) else parts_with_crlf(raw())


def has_only_crlf(parts: Iterator[bytes]) -> bool:
    """Return whether a message that comes in parts has no bare LF."""
    last = b""
    for part in parts:
        if part.count(b"\n") != (last + part).count(b"\r\n"):
            return False
        last = part[-1:]
    return True


def with_crlf(octets: bytes) -> bytes:
    """Return the octets with every LF as CRLF, if any is bare."""
    if octets.count(b"\n") == octets.count(b"\r\n"):
        return octets
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def parts_with_crlf(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a message that comes in parts and is known to have a bare LF, with every LF as CRLF."""
    held = b""
    for part in parts:
        octets = held + part
        # A CR at the end may belong to the next part's LF.
        held = b"\r" if octets.endswith(b"\r") else b""
        yield octets[: len(octets) - len(held)].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if held:
        yield held
