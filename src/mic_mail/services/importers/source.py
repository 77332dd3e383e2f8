"""The interface of import sources: folders, and messages with what their old system recorded of them.

A source is read, never written; several passes over it give the same keys for the same messages. It is untrusted: names
are checked by `folder_mapping`, contents are taken as they are.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from mic_mail.errors import BadInput, Text, Trouble, in_ascii

CHUNK_OCTETS = 1 << 20


class Skip(StrEnum):
    """The reason why a folder or message is not imported."""

    EMPTY = "empty"
    UNREADABLE = "unreadable"
    NOT_A_FILE = "not_a_file"
    DELETED = "deleted"
    GONE = "gone"
    ALTERED = "altered"
    VIRTUAL = "virtual"
    SHARED = "shared"
    NOT_CHOSEN = "not_chosen"


@dataclass(frozen=True, slots=True)
class SourceFolder:
    """A folder of the source."""

    levels: tuple[str, ...]
    """The source's names, outermost first; empty: its INBOX."""
    place: object = None
    """The source's own reference to the folder."""
    use: str | None = None
    """The special use (RFC 6154), where the source gives one."""
    subscribed: bool = True
    skip: Skip | None = None
    count: int | None = None
    """The number of its messages, where that is known beforehand."""

    @property
    def name(self) -> str:
        """The name for people and for the ledger; unique within a source."""
        return "/".join(level.replace("/", "\\/") for level in self.levels) or "INBOX"


Chunks = Callable[[], Iterator[bytes]]
"""A message in parts; may be called again until the next item is requested."""


@dataclass(frozen=True, slots=True)
class SourceMessage:
    """One message of a folder, or why it is skipped."""

    key: str | None = None
    """The identifier, unique and the same at every pass; None: only its content identifies the message."""
    content: bytes | Chunks | None = None
    """None: the key is known, so the content was not read."""
    flags: frozenset[str] = frozenset()
    """Flags as IMAP spells them."""
    received_at_us: int | None = None
    """None: use the arrival time in its header."""
    skip: Skip | None = None
    name: str = ""
    """The name of a skipped message, for the report."""
    generation: int = 0
    """Keys of another generation of the same folder are void (UIDVALIDITY)."""


class Source(Protocol):
    """The mail of one person in another system."""

    identity: str
    """The mailbox and system; two runs with the same identity continue each other."""

    def folders(self) -> Sequence[SourceFolder]:
        """Return the folders in a stable order."""
        ...

    def messages(self, folder: SourceFolder, known: Container[str]) -> Iterator[SourceMessage]:
        """Yield every message of a folder; those whose key is `known` without content."""
        ...

    def close(self) -> None:
        """Close connections and remove temporary files. A source that has none need not define it."""
        return


class SourceFailed(Trouble):
    """The source does not answer, or wrongly; imported messages stay, and a later run goes on."""


class FolderClosed(SourceFailed):
    """One folder cannot be opened; the others can."""


class SourceWrong(BadInput):
    """The source does not exist, or is not of this kind."""


def unreadable(what: object, why: Text) -> SourceWrong:
    return SourceWrong(
        Text(f"Không đọc được “{what}”: {why.vi}.", f"{in_ascii(what)} cannot be read: {why.en}."),
        remedy=Text(
            "Tài khoản của máy chủ phải đọc được nguồn.",
            "The server's account must be able to read the source.",
        ),
    )


@dataclass(slots=True)
class FolderCounts:
    """The counts of one folder."""

    source: str
    target: str = ""
    found: int = 0
    imported: int = 0
    already: int = 0
    reflagged: int = 0
    octets: int = 0
    """The octets of the imported messages."""
    skipped: dict[Skip, int] = field(default_factory=dict)
    sum: int = 0
    """The sum of the digests of all messages that are there now, independent of their order."""

    def skip(self, why: Skip, count: int = 1) -> None:
        self.skipped[why] = self.skipped.get(why, 0) + count

    def there(self, digest: bytes) -> None:
        """Count one more message in the mailbox."""
        self.sum = (self.sum + int.from_bytes(digest)) % (1 << 256)

    @property
    def digest(self) -> str:
        """The digest of the folder's messages, equal for equal messages."""
        return f"{self.sum:064x}"
