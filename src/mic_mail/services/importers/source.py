"""What mail is imported from: folders, and in each folder messages with what their old system knew about them.

A source is read, never written; several passes over it give the same keys for the same messages. What a source says is a
stranger's word: names are checked by `names`, contents are taken as they are. Kinds: `imap`, `maildir`, `mbox`, `eml`, `pst`.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from mic_mail.errors import BadInput, Text, Trouble, in_ascii

CHUNK_OCTETS = 1 << 20


class Skip(StrEnum):
    """Why something of the source does not come along."""

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
    """As the source calls them, outermost first; empty: what is its INBOX."""
    place: object = None
    """For the source itself: how it finds the folder again."""
    use: str | None = None
    """RFC 6154's special use, where the source tells one."""
    subscribed: bool = True
    skip: Skip | None = None
    count: int | None = None
    """How many messages it seems to have, where that is known ahead."""

    @property
    def name(self) -> str:
        """For people and for the ledger; two folders of a source never have the same."""
        return "/".join(level.replace("/", "\\/") for level in self.levels) or "INBOX"


Chunks = Callable[[], Iterator[bytes]]
"""A message in parts; may be called again, while the next item has not been asked for."""


@dataclass(frozen=True, slots=True)
class Item:
    """One message of a folder, or why it is none."""

    key: str | None = None
    """What identifies it: no other message of the source has it, and every pass gives the same; None: only its content does."""
    content: bytes | Chunks | None = None
    """None: the key is known, so the content was not read."""
    flags: frozenset[str] = frozenset()
    """As IMAP spells them."""
    received_at_us: int | None = None
    """None: when its header says that it came."""
    skip: Skip | None = None
    name: str = ""
    """Of what is skipped, for the report."""
    generation: int = 0
    """Keys of another generation of the same folder are void (UIDVALIDITY)."""


class Source(Protocol):
    """Mail of one person elsewhere."""

    @property
    def identity(self) -> str:
        """Which mailbox of which system; two runs with the same one continue each other."""
        ...

    def folders(self) -> Sequence[SourceFolder]:
        """In an order that stays."""
        ...

    def messages(self, folder: SourceFolder, known: Container[str]) -> Iterator[Item]:
        """Every message of a folder; those whose key is `known` without content."""
        ...

    def close(self) -> None: ...


class SourceFailed(Trouble):
    """The source does not answer, or not as it should: what came is kept, a later run goes on."""


class FolderClosed(SourceFailed):
    """One folder cannot be opened; the others can."""


class SourceWrong(BadInput):
    """There is no such source, or it is none of this kind."""


def unreadable(what: object, why: Text) -> SourceWrong:
    """A file or folder that cannot be read."""
    return SourceWrong(
        Text(f"Không đọc được “{what}”: {why.vi}.", f"{in_ascii(what)} cannot be read: {why.en}."),
        remedy=Text(
            "Tài khoản của máy chủ phải đọc được nguồn.",
            "The server's account must be able to read the source.",
        ),
    )


@dataclass(slots=True)
class Tally:
    """What became of one folder."""

    source: str
    target: str = ""
    found: int = 0
    imported: int = 0
    already: int = 0
    reflagged: int = 0
    octets: int = 0
    """Of what was imported."""
    skipped: dict[Skip, int] = field(default_factory=dict)
    sum: int = 0
    """Of the digests of all that is there now, whatever their order."""

    def skip(self, why: Skip, count: int = 1) -> None:
        """So many more are left out."""
        self.skipped[why] = self.skipped.get(why, 0) + count

    def there(self, digest: bytes) -> None:
        """One more message is in the mailbox."""
        self.sum = (self.sum + int.from_bytes(digest)) % (1 << 256)

    @property
    def digest(self) -> str:
        """Equal for equal messages."""
        return f"{self.sum:064x}"
