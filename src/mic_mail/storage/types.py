"""Values that the store takes and returns: plain data, no I/O, no clock.

Flags are one integer of 63 bits: the five system flags of RFC 9051 §2.3.2 at the low end, then one bit for each keyword of the
folder's table (`FolderInfo.keywords[i]` is bit `KEYWORD_SHIFT + i`). A keyword's position never changes while the folder
exists. Folder names are `str` in NFC with "/" between levels; `INBOX` is always spelled so (RFC 9051 §5.1). Instants end in
`_us`.
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, Self

ANSWERED = 1
FLAGGED = 2
DELETED = 4
SEEN = 8
DRAFT = 16
SYSTEM_FLAGS = ANSWERED | FLAGGED | DELETED | SEEN | DRAFT
KEYWORD_SHIFT = 5
MAX_KEYWORDS = 58
"""Bits 5 to 62: SQLite's integers are signed."""
ALL_FLAGS = (1 << KEYWORD_SHIFT + MAX_KEYWORDS) - 1
KEYWORD_FLAGS = ALL_FLAGS & ~SYSTEM_FLAGS

INBOX = "INBOX"
DELIMITER = "/"


def is_inbox(name: str) -> bool:
    """Return whether this is INBOX in any case of its ASCII letters, and no others (RFC 9051 §5.1)."""
    return name.isascii() and name.upper() == INBOX


def ancestors(name: str) -> list[str]:
    """Return the names above `name`, outermost first."""
    levels = name.split(DELIMITER)
    return [DELIMITER.join(levels[:depth]) for depth in range(1, len(levels))]


def at_and_above(name: str) -> Iterator[str]:
    """Yield a folder's name and those above it, nearest first."""
    end = len(name)
    while end > 0:
        yield name[:end]
        end = name.rfind(DELIMITER, 0, end)


SPECIAL_USES = ("\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash")
"""Special uses of RFC 6154 §2 and RFC 8457; \\All needs a virtual folder and is not offered."""

DEFAULT_FOLDERS: Mapping[str, str] = {
    "Drafts": "\\Drafts",
    "Sent": "\\Sent",
    "Junk": "\\Junk",
    "Trash": "\\Trash",
    "Archive": "\\Archive",
}
"""Folders made and subscribed with every account.

Outlook makes folders of its own where these are missing.
"""

MAX_ANNOTATION_OCTETS = 32 << 10
"""Limit of one METADATA value (RFC 5464 §4.1 wants 1,024).

It fits into a command of 64 KiB together with its name.
"""

FlagOperation = Literal["+", "-", "="]

Column = Literal[
    "uid", "flags", "modseq", "size", "internaldate_us", "savedate_us", "email_id", "thread_id",
    "envelope", "envelope_utf8", "body", "bodystructure", "header", "parts", "sent_at", "preview",
    "message_id", "attachment_octets", "name",
]  # fmt: skip
"""Columns of `Account.rows`.

An empty `header` means that the header is longer than the index holds: read the file.
"""


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Limits and times of the store; every default suits one machine."""

    synchronous: Literal["normal", "full"] = "normal"
    """`full` keeps the last flag changes through a power loss too, at one more fsync for each change."""
    expunge_keep_seconds: int = 7 * 86_400
    """Time for which an expunged message or deleted folder can be restored (outside the quota)."""
    history_keep_seconds: int = 90 * 86_400
    """Time for which the index remembers vanished UIDs (QRESYNC) and delivery origins (`Delivery.origin`)."""
    lock_seconds: float = 10.0
    """Longest wait for an account that another writer holds; then `Unavailable`."""
    open_accounts: int = 1_024
    """Accounts with open index handles in one process (about six descriptors each)."""
    view_cache_octets: int = 256 << 20
    """Memory for the compact flag arrays that the sessions of one process share."""
    search_file: bool = True
    """Use and fill `search.sqlite`; without it every text search reads the messages."""
    search_cache_octets: int = 64 << 20
    """Memory for data read from `search.sqlite` files: the text of some 20,000 messages."""
    max_folders: int = 10_000
    max_folder_depth: int = 20
    max_folder_name_octets: int = 700
    """Limit of the whole name in UTF-8, parents and delimiters included."""
    max_subscriptions: int = 10_000
    max_subscriptions_octets: int = 2 << 20
    """Limit of all names together; each change of one rewrites them all (`.mic-account`)."""
    max_annotations: int = 100
    """Entries of one holder on one folder, or on the account.

    RFC 5464 §4.1 wants 10; Kolab's clients use about ten.
    """
    max_annotation_octets: int = MAX_ANNOTATION_OCTETS
    max_annotations_octets: int = 128 << 10
    """Limit of names and values of one folder's annotations, of all holders.

    A delivery reads and writes the row that holds them: at this limit it takes 17 % longer (225 us, 264 us).
    """
    max_annotations_octets_in_account: int = 1 << 20
    """The same limit for all folders together: LIST reads every row."""
    default_folders: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_FOLDERS))
    boot_id: str | None = None
    """Replaces the kernel's boot id; a test sets it to simulate a power loss."""


@dataclass(frozen=True, slots=True)
class AccountRef:
    """An account's store: its number in the directory, its folder below the mail root (`mic.gov.vn/dvbe`)."""

    account_id: int
    home: str

    @classmethod
    def of(cls, owner: StoreOwner) -> AccountRef:
        """Return the reference to a mailbox's store."""
        return cls(owner.mailbox_id, owner.home)


class StoreOwner(Protocol):
    """A mailbox of the directory: a record, or an entry of the snapshot."""

    @property
    def mailbox_id(self) -> int: ...
    @property
    def home(self) -> str: ...


Row = tuple[int, int, int, int]
"""A message in a folder's list: UID, flags, MODSEQ, size."""


class FolderInfo(NamedTuple):
    """A folder as LIST, STATUS and SELECT report it.

    `folder_id` is 0 where only children exist (RFC 9051 \\NonExistent). Not a frozen dataclass: making one with so many fields
    takes 5 us, and LIST makes one for each folder.
    """

    folder_id: int
    name: str
    uidvalidity: int
    uidnext: int
    highest_modseq: int
    expunge_floor: int
    mailbox_id: str
    special_use: str | None
    keywords: tuple[str, ...]
    messages: int
    unseen: int
    deleted: int
    size: int
    deleted_size: int
    recent_from: int
    """Messages from this UID on were announced to no session as \\Recent (RFC 3501 §2.3.2).

    See `Account.take_recent`.
    """
    selectable: bool
    own_seen: bool = False
    """`unseen`, `highest_modseq` and \\Seen belong to the person who asked, and to nobody else (seen.py)."""


@dataclass(frozen=True, slots=True)
class FolderView:
    """All messages of a folder, ascending by UID, as of `info.highest_modseq`. Shared: never write to it."""

    info: FolderInfo
    uids: array[int]
    flags: array[int]
    modseqs: array[int]
    sizes: array[int]


@dataclass(frozen=True, slots=True)
class FolderState:
    """The values of a folder, by its `mailbox_id`, that show whether something happened in it."""

    mailbox_id: str
    name: str
    special_use: str | None
    uidvalidity: int
    uidnext: int
    messages: int
    unseen: int
    highest_modseq: int

    @property
    def selectable(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class FolderChanges:
    """Changes of an account's folders after a MODSEQ; sets hold `FolderState.mailbox_id`."""

    modseq: int
    """The account's MODSEQ, from which to ask next time."""
    folders: list[FolderState]
    """Folders that are new or renamed, or whose messages changed."""
    gone: list[str]
    live: int
    """Number of folders now. A caller with another count has missed something and asks from 0."""
    subscriptions: frozenset[str]
    """Subscribed names; empty unless they were asked for."""
    own_messages: frozenset[str] = frozenset()
    """Folders in which nothing happened but messages added by the caller's own changes."""
    own_names: frozenset[str] = frozenset()
    """Folders, gone ones included, whose last naming, creation or deletion was such a change."""
    from_inbox: frozenset[str] = frozenset()
    """New folders that came from renaming INBOX and took its messages (RFC 9051 §6.3.6)."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes in a folder after a MODSEQ. A message occurs in at most one of the lists."""

    highest_modseq: int
    keywords: tuple[str, ...]
    changed: list[tuple[int, int, int, int]]
    """(uid, flags, modseq, size) ascending by UID, new messages included."""
    vanished: list[int]
    """UIDs, ascending, those that came and went since included."""
    complete: bool
    """False where the MODSEQ lies below `expunge_floor`, so that `vanished` is incomplete.

    Then every UID that the client knows and `FolderView.uids` lacks is gone (RFC 7162 §3.2.5.2).
    """


class FolderDelta(NamedTuple):
    """The change of a folder since a state that the caller knew."""

    account_modseq: int
    """The account's MODSEQ at that time."""
    fresh: FolderView | None
    """The folder; None where nothing in the account has changed since."""
    changes: Changes | None
    """Changes of its messages; None where there are none, though the folder may have another name."""
    mark: int
    """The account's change mark from before the query; 0: not known.

    While the mark stands there is nothing new to see.
    """


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """The effect of a change on its folder, so that the session that made it need not query the index.

    It holds what `Account.folder_delta` would return to a caller who knew the folder as of `since_modseq`, its state just
    before the change.
    """

    account_modseq: int
    since_modseq: int
    fresh: FolderView
    changes: Changes
    mark: int
    """The account's change mark after this change, until something else changes."""


class AnswerRow(NamedTuple):
    """The answers about one message, as the index holds them."""

    internaldate_us: int
    envelope: bytes
    envelope_utf8: bytes | None
    body: bytes
    bodystructure: bytes
    header: bytes
    """Empty where it is longer than the index holds."""
    parts: bytes
    path: str
    """The path of its file when the row was read: a hint, since names follow flags."""


@dataclass(frozen=True, slots=True)
class Published:
    """The location of a delivered message; `duplicate`: its origin had been seen before."""

    folder_id: int
    uidvalidity: int
    uid: int
    modseq: int
    email_id: str
    duplicate: bool = False
    recent: bool = False
    """Announced as \\Recent to the caller alone, which claimed it."""
    made: ChangeResult | None = None
    """The folder's change, for a caller that has the folder open; None: query the folder.

    Set on the last of the messages that were published together.
    """
    special_use: str | None = None
    """The folder's special use; unknown for a duplicate."""


@dataclass(frozen=True, slots=True)
class StoreResult:
    """Result of STORE; `failed` are the UIDs that `unchanged_since` held back (RFC 7162 §3.1.3)."""

    modseq: int
    changed: list[tuple[int, int, int]]
    """(uid, flags, modseq) of all messages that now have the requested flags.

    Messages that had them before keep their MODSEQ.
    """
    failed: list[int]
    keywords: tuple[str, ...]
    made: ChangeResult | None = None
    """The folder's change; None: query the folder."""


@dataclass(frozen=True, slots=True)
class ExpungeResult:
    uids: list[int]
    modseq: int
    made: ChangeResult | None = None
    """The folder's change; None: query the folder."""


@dataclass(frozen=True, slots=True)
class CopyResult:
    """Result of COPY and MOVE, for COPYUID (RFC 4315 §3); both folders' change has the one `modseq`."""

    uidvalidity: int
    pairs: list[tuple[int, int]]
    """(uid in the source, uid in the target), ascending in both."""
    modseq: int
    made: ChangeResult | None = None
    """The change of the source, where MOVE took its messages away; None: query the folder."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One METADATA entry (RFC 5464). `holder` is its owner, "" for a shared entry."""

    holder: str
    name: str
    value: bytes | None
    """The value; None where the entry was removed."""
    modseq: int
    """MODSEQ of its last change."""


@dataclass(frozen=True, slots=True)
class Quota:
    octets: int
    messages: int


@dataclass(frozen=True, slots=True)
class Tombstone:
    """An expunged message that can still be restored."""

    folder: str
    uid: int
    size: int
    flags: int
    expunged_at_us: int
    email_id: str
    envelope: bytes


@dataclass(frozen=True, slots=True)
class TextTest:
    """One search key over text (RFC 9051 §6.4.4), compared without case; `field` is for HEADER."""

    kind: Literal["BODY", "TEXT", "HEADER"]
    value: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class LookedUp:
    """The messages that `search.sqlite` holds, and those of them that pass the test.

    Both are masks: one octet for each UID of the list, 0 or 1.
    """

    known: bytes
    found: bytes

    @classmethod
    def nothing(cls, count: int) -> Self:
        """Return that nothing is known about so many messages."""
        return cls(bytes(count), bytes(count))


@dataclass(frozen=True, slots=True)
class RepairFinding:
    """One thing that `repair` found, and put right unless it was only to check."""

    kind: str
    folder: str
    detail: str


TellFinding = Callable[[RepairFinding], None]
Progress = Callable[[int, int], None]
"""Callback with the number of messages done, and of how many."""
Ready = Callable[[str], None]
"""Callback under the lock, just before a restored account replaces the present one.

It gets the name under which that will be set aside: a path below the mail root, where mail lies in files.
"""
"""Callback that takes findings one by one: a moved mailbox has one for each of 300,000 messages."""

LEFT_TO_PEOPLE = frozenset({"file-unreadable", "not-a-message"})
"""Kinds of findings that stay until an administrator acts."""


@dataclass(frozen=True, slots=True)
class RepairReport:
    findings: Sequence[RepairFinding]
    """The findings; empty where a callback took them one by one."""
    folders: int
    messages: int
    octets: int

    @property
    def clean(self) -> bool:
        return not self.findings


@dataclass(frozen=True, slots=True)
class SweptState:
    """An account as a sweep has left it: until one of both changes, another sweep would find nothing to do."""

    mark: int
    """Its change mark, 0 if that is unknown."""
    due_us: float
    """The instant at which something passes its retention; in the past where something is kept beyond it."""
