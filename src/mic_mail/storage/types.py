"""What the store is asked in and answers with: plain values, no I/O, no time of their own.

Flags are one integer of 63 bits: the five system flags of RFC 9051 §2.3.2 below, then one bit for each keyword of the
folder's table (`FolderInfo.keywords[i]` is bit `KEYWORD_SHIFT + i`). A keyword's place never changes while the folder lives.
Folder names are `str` in NFC with "/" between levels; `INBOX` is always spelled so (RFC 9051 §5.1). Instants end in `_us`.
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from mic_mail.mime.imap_structure import Answers

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
    """INBOX, in any case of its letters (RFC 9051 §5.1): those of ASCII, since other letters have capitals there too."""
    return name.isascii() and name.upper() == INBOX


SPECIAL_USES = ("\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash")
"""RFC 6154 §2 and RFC 8457; \\All needs a virtual folder and is not offered."""

DEFAULT_FOLDERS: Mapping[str, str] = {
    "Drafts": "\\Drafts",
    "Sent": "\\Sent",
    "Junk": "\\Junk",
    "Trash": "\\Trash",
    "Archive": "\\Archive",
}
"""Made and subscribed with every account: Outlook makes folders of its own where these are missing."""

MAX_ANNOTATION_OCTETS = 32 << 10
"""Of one value of METADATA (RFC 5464 §4.1 wants 1,024): fits a command of 64 KiB together with its name."""

FlagOperation = Literal["+", "-", "="]

Column = Literal[
    "uid", "flags", "modseq", "size", "internaldate_us", "savedate_us", "email_id", "thread_id",
    "envelope", "envelope_utf8", "body", "bodystructure", "header", "parts", "sent_at", "preview",
    "message_id", "attachment_octets", "name",
]  # fmt: skip
"""What `Account.rows` can be asked for. An empty `header` is longer than the index keeps: read the file."""


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Limits and times of the store; every one has a default that suits one machine."""

    synchronous: Literal["normal", "full"] = "normal"
    """`full` keeps also the last flag changes through a power loss, at one more fsync for each change."""
    expunge_keep_seconds: int = 7 * 86_400
    """How long an expunged message or deleted folder can be brought back (outside the quota)."""
    history_keep_seconds: int = 90 * 86_400
    """How long the index knows which UIDs vanished when (QRESYNC), and which deliveries it has seen (`Delivery.origin`)."""
    lock_seconds: float = 10.0
    """Longest wait for an account that another one writes; then `Unavailable`."""
    open_accounts: int = 1_024
    """Accounts with open index handles in one process (about six descriptors each)."""
    view_cache_octets: int = 256 << 20
    """Memory for the compact flag arrays that the sessions of one process share."""
    search_file: bool = True
    """Whether `search.sqlite` is used and filled; without it every search of text reads the messages."""
    search_cache_octets: int = 64 << 20
    """Memory for what was read from `search.sqlite` files: the text of some 20,000 messages."""
    max_folders: int = 10_000
    max_folder_depth: int = 20
    max_folder_name_octets: int = 700
    """Of the whole name in UTF-8, parents and delimiters included."""
    max_subscriptions: int = 10_000
    max_subscriptions_octets: int = 2 << 20
    """Of all names; each change of one writes them all (`.mic-account`)."""
    max_annotations: int = 100
    """Entries of one holder on one folder, or on the account (RFC 5464 §4.1 wants 10); Kolab's clients use about ten."""
    max_annotation_octets: int = MAX_ANNOTATION_OCTETS
    max_annotations_octets: int = 128 << 10
    """Names and values of one folder's annotations, of all holders. A delivery reads and writes the row in which they lie: with
    so many it takes 17 % longer (225 us, 264 us)."""
    max_annotations_octets_in_account: int = 1 << 20
    """The same of all folders together: a LIST reads every row."""
    default_folders: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_FOLDERS))
    boot_id: str | None = None
    """Instead of the kernel's boot id; a test sets it to play a power loss."""


@dataclass(frozen=True, slots=True)
class AccountRef:
    """One account's store: its number in the directory and its folder below the mail root, like `mic.gov.vn/dvbe`."""

    account_id: int
    home: str


Row = tuple[int, int, int, int]
"""A message as its folder's list has it: UID, flags, MODSEQ, size."""


class FolderInfo(NamedTuple):
    """A folder as LIST, STATUS and SELECT tell it. `folder_id` is 0 where only children exist (RFC 9051 \\NonExistent).

    No frozen dataclass: to make one of so many fields takes 5 us, and LIST makes one of each folder.
    """

    folder_id: int
    name: str
    uidvalidity: int
    uidnext: int
    highest_modseq: int
    expunge_floor: int
    mailbox_id: str
    special_use: str | None
    subscribed: bool
    keywords: tuple[str, ...]
    messages: int
    unseen: int
    deleted: int
    size: int
    deleted_size: int
    recent_from: int
    """Messages from this UID on have been announced to no session as recent (`Account.take_recent`; RFC 3501 §2.3.2)."""
    selectable: bool
    has_children: bool
    own_seen: bool = False
    """`unseen`, `highest_modseq` and \\Seen are those of who asked, and nobody else's (seen.py)."""


@dataclass(frozen=True, slots=True)
class FolderView:
    """All messages of a folder, ascending by UID, as of `info.highest_modseq`. Shared between sessions: never write to it."""

    info: FolderInfo
    uids: array[int]
    flags: array[int]
    modseqs: array[int]
    sizes: array[int]


@dataclass(frozen=True, slots=True)
class FolderState:
    """The little of a folder that tells whether something happened in it; `mailbox_id` is the folder, whatever its name."""

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
    """What happened to the folders of an account after a MODSEQ; sets hold `FolderState.mailbox_id`."""

    modseq: int
    """The account's, to ask from the next time."""
    folders: list[FolderState]
    """Those that are new, have another name, or whose messages changed."""
    gone: list[str]
    live: int
    """How many folders there are now: who counts otherwise has missed something and asks from 0."""
    subscriptions: frozenset[str]
    """Empty unless they were asked for."""
    own_messages: frozenset[str] = frozenset()
    """Folders in which nothing happened but messages that came by the changes that the caller calls its own."""
    own_names: frozenset[str] = frozenset()
    """Folders, gone ones included, that were named, made or deleted last by such a change."""
    from_inbox: frozenset[str] = frozenset()
    """New ones that came to be as INBOX was renamed, and took its messages (RFC 9051 §6.3.6)."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened in a folder after a MODSEQ. One message occurs in one of the lists at most."""

    highest_modseq: int
    keywords: tuple[str, ...]
    changed: list[tuple[int, int, int, int]]
    """(uid, flags, modseq, size) ascending by UID, new messages included."""
    vanished: list[int]
    """Ascending; also UIDs that came and went since."""
    complete: bool
    """False: the question lies below `expunge_floor`, so `vanished` is not all: what a client knows and `FolderView.uids`
    lacks is gone (RFC 7162 §3.2.5.2)."""


class FolderDelta(NamedTuple):
    """What a look at a folder found that was known as of an earlier state."""

    account_modseq: int
    """The account's MODSEQ then."""
    fresh: FolderView | None
    """The folder; None: nothing in the account has changed since."""
    changes: Changes | None
    """Of its messages; None: there are none, though it may have another name."""
    mark: int
    """The account's change mark from before the look: while it stands there is nothing else to be seen. 0: not known."""


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """What a change made of its folder: what `Account.news` would tell whoever knew the folder as of `since_modseq`, which is
    as it was just before. So who changed it need not look."""

    account_modseq: int
    since_modseq: int
    fresh: FolderView
    changes: Changes
    mark: int
    """The account's change mark from then on, until somebody changes something else."""


class Staged(Protocol):
    """A message on its way in, in the account's `tmp/`: nobody sees it, and what is not published is swept away."""

    @property
    def path(self) -> str: ...
    @property
    def base(self) -> str:
        """The part of its name that it keeps for ever."""
        ...

    @property
    def size(self) -> int: ...
    def write(self, octets: bytes | bytearray | memoryview) -> None:
        """Append; `DiskFull` leaves nothing behind."""
        ...

    def append_rest(self, source: int, offset: int) -> None:
        """Append what stands in the open file `source` from `offset` on; `DiskFull` leaves nothing behind."""
        ...

    def finish(self) -> None:
        """Make the content durable (fsync)."""
        ...

    def finish_later(self) -> None:
        """The content is whole; durable it is only once `finish` follows, or by the journal."""
        ...

    def discard(self) -> None:
        """Forget it; harmless after publication and when called twice."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to publish: its finished file, what it starts with and what the index answers about it."""

    staged: Staged
    answers: Answers | Callable[[], Answers]
    """Or what makes them, while the journal writes; it must not fail."""
    flags: int = 0
    keywords: tuple[str, ...] = ()
    received_at_us: int | None = None
    """INTERNALDATE; None means now."""
    origin: str | None = None
    """Idempotency key: a second delivery under the same one answers with the first and keeps nothing."""
    octets: bytes | None = None
    """The content of a file that is whole and not finished: publication makes it durable, by the journal if that takes it."""


@dataclass(frozen=True, slots=True)
class Published:
    """Where a delivery lies; `duplicate` says that its origin had been seen before."""

    folder_id: int
    uidvalidity: int
    uid: int
    modseq: int
    email_id: str
    duplicate: bool = False
    recent: bool = False
    """Told as \\Recent to nobody but the caller, who claimed it."""
    made: ChangeResult | None = None
    """With the last of those that were published together, for a caller who has their folder open; None: look."""


@dataclass(frozen=True, slots=True)
class StoreResult:
    """What STORE did; `failed` are the UIDs that `unchanged_since` held back (RFC 7162 §3.1.3), missing UIDs are in neither."""

    modseq: int
    changed: list[tuple[int, int, int]]
    """(uid, flags, modseq) of all that are now as asked; those that were so before keep their MODSEQ."""
    failed: list[int]
    keywords: tuple[str, ...]
    made: ChangeResult | None = None
    """None: look."""


@dataclass(frozen=True, slots=True)
class ExpungeResult:
    uids: list[int]
    modseq: int
    made: ChangeResult | None = None
    """None: look."""


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What COPY and MOVE did, for COPYUID (RFC 4315 §3); `modseq` is the one of both folders' change."""

    uidvalidity: int
    pairs: list[tuple[int, int]]
    """(uid in the source, uid in the target), ascending in both."""
    modseq: int
    made: ChangeResult | None = None
    """Of the source, where MOVE took its messages away; None: look."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One entry of METADATA (RFC 5464): `holder` is whose it is, "" of an entry that everybody shares."""

    holder: str
    name: str
    value: bytes | None
    """None: it was removed."""
    modseq: int
    """Of its last change."""


@dataclass(frozen=True, slots=True)
class Quota:
    octets: int
    messages: int


@dataclass(frozen=True, slots=True)
class Tombstone:
    """An expunged message that can still be brought back."""

    folder: str
    uid: int
    size: int
    flags: int
    expunged_at_us: int
    email_id: str
    envelope: bytes


@dataclass(frozen=True, slots=True)
class TextTest:
    """One search key over text (RFC 9051 §6.4.4): `BODY`, `TEXT`, or `HEADER` with a field name; compared without case."""

    kind: Literal["BODY", "TEXT", "HEADER"]
    value: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What `search.sqlite` knows: of the messages asked for those that it holds, and of these the ones that pass the test.
    Positions in the list of UIDs, ascending."""

    known: Sequence[int]
    found: Sequence[int]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `repair` found, and put right unless only asked to check."""

    kind: str
    folder: str
    detail: str


TellFinding = Callable[[Finding], None]
"""Takes findings one by one: a mailbox that was moved has one for each of 300,000 messages."""

LEFT_TO_PEOPLE = frozenset({"file-unreadable", "not-a-message"})
"""Kinds of findings that stay until an administrator has acted."""


@dataclass(frozen=True, slots=True)
class RepairReport:
    findings: Sequence[Finding]
    """None where somebody was told of them one by one."""
    folders: int
    messages: int
    octets: int

    @property
    def clean(self) -> bool:
        return not self.findings
