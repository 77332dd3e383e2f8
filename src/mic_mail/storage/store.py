"""One account as the rules of a mailbox see it: `Store`, and `Write`, a change of it.

A store lies on a *ground*, which has what the rules do not know: a lock, a transaction, and where names and bodies of messages
are. The rules (publish, flags, expunge, copy_move, folders, reader ...) are functions over a `Store`; those that change
something do it inside `Store.writing`. What a change makes of names and bodies they ask of `Write.names`.

    ground             store                   change                names and bodies
    files and SQLite   LocalStore, LocalGround changes.transaction   changes.maildir_names
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeVar

from sqlalchemy import delete

from mic_mail.clock import Clock
from mic_mail.errors import Text
from mic_mail.storage.canonical_name import canonical
from mic_mail.storage.delivery import Arrival, StagedContent
from mic_mail.storage.durable_by_journal import Hold, Remember
from mic_mail.storage.errors import NoSuchFolder, TooMany, Unavailable
from mic_mail.storage.fulltext.cache import SearchCache
from mic_mail.storage.fulltext.segments import Segments
from mic_mail.storage.index import schema
from mic_mail.storage.index.answer_rows import AnswerRows
from mic_mail.storage.index.open_folders import Presences
from mic_mail.storage.index.rows import (
    AccountRow,
    FolderRow,
    MessageRow,
    read_folder,
    read_folder_named,
    read_folders,
    write_account,
    write_counters,
    write_folder,
)
from mic_mail.storage.index.statements import Connection, SqlStatement, insert, keyed_by
from mic_mail.storage.index.view_cache import NewestView, ViewCache
from mic_mail.storage.types import KEYWORD_SHIFT, MAX_KEYWORDS, StorageSettings

_S = schema.subscription.c
_SUBSCRIBE = SqlStatement(insert(schema.subscription).on_conflict_do_nothing(), ("account_id", "name"))
_UNSUBSCRIBE = SqlStatement(delete(schema.subscription).where(keyed_by(_S, "name")))

OnChange = Callable[[int, int], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SharedResources:
    """Resources that all accounts of a process share, whatever their ground."""

    clock: Clock
    settings: StorageSettings
    views: ViewCache
    answer_rows: AnswerRows
    presences: Presences
    searched: SearchCache
    on_change: OnChange


class Store(ABC):
    """One account in one process; safe from several threads."""

    account_id: int
    shared: SharedResources
    clock: Clock
    settings: StorageSettings
    search: Segments
    """The packed text of its messages."""
    names_due: bool
    """True if this process has changed flags that are not written out yet where the ground does that later."""

    # The index

    @abstractmethod
    def reading(self) -> AbstractContextManager[Connection]:
        """Return a reader of the index that raises the store's errors; each statement sees the newest commit."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Connection]:
        """Return the same; all its statements see one commit. Keep it short."""

    @abstractmethod
    def writing(
        self, folder_id: int = 0, *, patience: float | None = None, sync: bool = True, adds: bool = False
    ) -> AbstractContextManager["Write"]:
        """Begin one change: all or nothing; on leaving the block it is durable and observers know.

        `folder_id`: the folder that it mainly concerns, read together with the account. Raises `Busy` where another writer
        holds the account for longer than `patience` seconds. Without `sync`, the caller makes durable what the change does
        outside the index. A change that `adds` to the account is refused, `DiskFull`, while space is for removals only.
        """

    @abstractmethod
    def ready(self) -> None:
        """Open the account unless it is open and sound."""

    @abstractmethod
    def ensure_open(self) -> None:
        """Open the account unless this process has done so before; its folders exist from then on."""

    @abstractmethod
    def change_mark(self) -> int:
        """Return a number that changes with each change of the account, 0 if it is unknown."""

    # Messages

    @abstractmethod
    def stage(self) -> StagedContent:
        """Begin a new message; needs no lock."""

    @abstractmethod
    def open_message(self, folder_id: int, uid: int, hint: str | None = None) -> "OpenMessage":
        """Open a message, also an expunged one while it is retained; raise `NoSuchMessage` for any other.

        `hint` is what `hint_prefix` gave, with the message's name.
        """

    @abstractmethod
    def hint_prefix(self, directory: str) -> str:
        """Return what makes, before a message's name, a hint by which it can probably be opened."""

    # Errors that pass

    def require_room(self) -> None:  # noqa: B027 - a ground may set nothing aside
        """Raise OSError, ENOSPC, while the remaining space is for removals."""

    def recovers_from(self, error: Unavailable) -> bool:
        """Do what helps, as giving up space that is set aside for removals; return whether to try again."""
        return False

    def despite_loss(self, act: Callable[[], T]) -> T:
        """Run `act`; again where another tool has removed or renamed something meanwhile."""
        return act()

    # Marks (legal_hold.py)

    @abstractmethod
    def has_mark(self, name: str) -> bool:
        """Return whether the account has a mark; an exception where that is unknown."""

    @abstractmethod
    def marking(self, what: str) -> AbstractContextManager["Marks"]:
        """Hold the marks of the account against all others that set or lift one; errors say `what` was done."""

    # Changes by other tools

    @abstractmethod
    def is_unchanged(self, known: NewestView) -> bool:
        """Return whether nobody has added messages to a folder behind the index since its view was made."""

    @abstractmethod
    def has_changed_outside(self, folder: FolderRow) -> bool:
        """Return whether something was done to a folder behind the index."""

    @abstractmethod
    def take_in(self, folder_id: int) -> object:
        """Take in what was added to a folder behind the index."""

    def canonical_name(self, name: str) -> str:
        """Return the one spelling of a folder's name, or raise `NameNotAllowed`."""
        return canonical(name, max_octets=self.settings.max_folder_name_octets, max_depth=self.settings.max_folder_depth)


class Marks(Protocol):
    """The marks of an account while they are held. Each change is durable by itself, and no other change is under way then."""

    def has_mark(self, name: str) -> bool: ...

    def put_mark(self, name: str) -> None: ...

    def remove_mark(self, name: str) -> None: ...


class OpenMessage(Protocol):
    """An open message, readable whatever happens to it meanwhile; any thread may read."""

    @property
    def size(self) -> int: ...

    def pread(self, offset: int, length: int) -> bytes:
        """Read up to `length` octets, fewer at the end of the message."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Names(Protocol):
    """A change's effect on what lies outside the index's rows: names, bodies and marks.

    In: rows of the index, as they are before the operation, and new names from it.
    """

    # Messages

    def place(
        self, folder: FolderRow, arrivals: Sequence[Arrival], now_us: int, hold: Hold, meanwhile: Callable[[], None]
    ) -> list[str]:
        """Give staged content of deliveries its names in a folder; return hints by which they can be opened.

        The content is durable before it gets its name, or with the change: by `hold`, if that takes what is not yet.
        `meanwhile` is called once, while the journal may be writing.
        """
        ...

    def sync(self, folder: FolderRow) -> None:
        """Make durable what an earlier change placed in a folder: its process may have been killed before that."""
        ...

    def present(self, folder: FolderRow, rows: Sequence[MessageRow]) -> list[MessageRow]:
        """Return those of these messages of a folder whose content is there."""
        ...

    def copy(self, source: FolderRow, target: FolderRow, names: Sequence[tuple[str, str]]) -> None:
        """Copy present messages under new names: (the row's name, the copy's name)."""
        ...

    def move(self, source: FolderRow, target: FolderRow, names: Sequence[tuple[str, str]]) -> None:
        """Move present messages to new names: (the row's name, the name in the target)."""
        ...

    def stage_copy(self, folder: FolderRow, row: MessageRow, target: Store) -> StagedContent:
        """Stage a present message in another account; `finish` has to follow."""
        ...

    def expunge(self, folder: FolderRow, going: Sequence[MessageRow], remember: Remember | None = None) -> dict[int, str]:
        """Set messages aside that can be restored; return their names there by UID, without those that have no content.

        `remember` makes it durable, only if the change does nothing else to names.
        """
        ...

    def forget(self, names: Iterable[str]) -> None:
        """Remove for good what was expunged under these names, with the change."""
        ...

    def restorable(self, names: Iterable[str]) -> Collection[str]:
        """Return those of these names of expunged messages whose content is there."""
        ...

    def restore(self, messages: Sequence[tuple[str, FolderRow, str]]) -> None:
        """Restore expunged messages: (name as expunged, folder, new name in it)."""
        ...

    # Folders

    def make_folder(self, folder: FolderRow) -> None:
        """Make the folder of a new row; what is there under its name is used as it is."""
        ...

    def is_taken(self, name: str) -> bool:
        """Return whether a folder cannot get this name, whatever the index says."""
        ...

    def rename_folders(self, folders: Sequence[FolderRow]) -> None:
        """Let folders follow their rows' new names."""
        ...

    def delete_folder(self, folder: FolderRow) -> None:
        """Set a folder aside with all that is in it."""
        ...

    def is_restorable(self, folder: FolderRow) -> bool:
        """Return whether a deleted folder is still there."""
        ...

    def restore_folder(self, folder: FolderRow) -> None:
        """Restore a deleted folder under the name of its row, which is not taken."""
        ...

    # Readers

    def forget_reader(self, folders: Iterable[FolderRow], person: str) -> None:
        """Remove after the COMMIT what was written out of a reader's \\Seen."""
        ...

    def forget_readers(self, folder: FolderRow) -> None:
        """Remove after the COMMIT what was written out of all readers' \\Seen in a folder."""
        ...

    # Sidecars and marks of numbers

    def rewrite_account_sidecar(self) -> None: ...

    def rewrite_folder_sidecar(self, folder_id: int) -> None: ...

    def write_account_sidecar(self) -> None: ...

    def uid_mark(self, uidnext: int) -> int:
        """Return the UID mark of a folder with this UIDNEXT."""
        ...

    def highest_uidnext(self, folder: FolderRow) -> int:
        """Return the highest UIDNEXT that the folder may have had, where its row is wrong."""
        ...

    def highest_modseq(self, account: AccountRow) -> int:
        """Return the highest MODSEQ that the account may have given out, where its row is wrong."""
        ...

    def write_uid_mark(self, folder: FolderRow) -> None:
        """Make durable the next UID mark of a folder, before numbers reach the last one."""
        ...

    def write_modseq_mark(self) -> None:
        """Make durable the next MODSEQ mark, before numbers reach the last one."""
        ...

    # Marks of the account

    def has_mark(self, name: str) -> bool:
        """Return whether the account has a mark (legal_hold.py); an exception where that is unknown."""
        ...


class Write:
    """The operations available inside a change."""

    def __init__(
        self, store: Store, connection: Connection, account: AccountRow, folder: FolderRow | None, *, names: Names, mark: int
    ) -> None:
        """`account` and `folder` as the change has just read them."""
        self.store = store
        self.connection = connection
        self.account = account
        self._account_before = account.values
        self.mark = mark
        """The account's change mark after this change: while it stands, nothing has changed since. 0 if it is unknown."""
        self.took_modseq = False
        self.came: list[tuple[int, int, int, int]] = []
        """(uid, flags, modseq, size) of the messages that this change put into folders."""
        self.names = names
        self._folders: dict[int, FolderRow] = {}
        self._keys: dict[int, tuple[str, int | None, str | None]] = {}
        """`FolderRow.key` of each folder as it was read."""
        self._modseqs: dict[int, int] = {}
        """`highest_modseq` of each folder as it was read."""
        self._dirty_folders: dict[int, FolderRow] = {}
        if folder is not None:
            self._known(folder)

    def has_mark(self, name: str) -> bool:
        """Return whether the account has a mark (legal_hold.py)."""
        return self.names.has_mark(name)

    # Numbers

    @property
    def modseq(self) -> int:
        """The one MODSEQ of this change."""
        if not self.took_modseq:
            self.took_modseq = True
            self.account.modseq += 1
            if self.account.modseq > self.account.modseq_mark:
                self.names.write_modseq_mark()
        return self.account.modseq

    def announce(self) -> None:
        """Take this change's MODSEQ where no row carries it, so that observers are notified."""
        self.took_modseq = self.modseq > 0

    def take_uid(self, folder: FolderRow) -> int:
        """Take the folder's next UID; the caller also calls `touch` for the folder."""
        uid = folder.uidnext
        if uid >= folder.uidnext_mark:
            self.names.write_uid_mark(folder)
        folder.uidnext = uid + 1
        return uid

    def take_email_pk(self) -> int:
        self.account.email_next += 1
        return self.account.email_next - 1

    def take_uidvalidity(self) -> int:
        """Take a value never used before in this account, at least the time in seconds (RFC 9051 §2.3.1.1)."""
        value = max(self.account.uidvalidity_next, self.store.clock.steady_us() // 1_000_000)
        self.account.uidvalidity_next = value + 1
        self.names.write_account_sidecar()
        return value

    def count(self, folder: FolderRow, flags: int, octets: int, messages: int = 1) -> None:
        """Add messages with these flags to the folder's and the account's counters, or subtract them (both negative)."""
        folder.count(flags, octets, messages)
        if folder.deleted_at_us is not None:
            return
        self.account.messages += messages
        self.account.octets += octets

    # Folders

    def folder(self, folder_id: int) -> FolderRow:
        """Return a folder that is not deleted."""
        folder = self.any_folder(folder_id)
        if folder.deleted_at_us is not None:
            raise NoSuchFolder(folder.name)
        return folder

    def any_folder(self, folder_id: int) -> FolderRow:
        """Return a folder, deleted or not."""
        folder = self._folders.get(folder_id) or read_folder(self.connection, self.store.account_id, folder_id)
        if folder is None:
            raise NoSuchFolder(f"#{folder_id}")
        return self._known(folder)

    def folder_named(self, name: str) -> FolderRow | None:
        folder = read_folder_named(self.connection, self.store.account_id, name)
        return folder and self._known(folder)

    def folder_called(self, name: str, likely_id: int) -> FolderRow:
        """Return the folder with this name; nothing is asked where it is `likely_id`, read together with the account."""
        folder = self._folders.get(likely_id)
        if folder is None or folder.name != name or folder.deleted_at_us is not None:
            folder = self.folder_named(name)
        if folder is None:
            raise NoSuchFolder(name)
        return folder

    def _known(self, folder: FolderRow) -> FolderRow:
        """Return the row that this change works on; `folder` if it is the first."""
        if (known := self._folders.get(folder.folder_id)) is not None:
            return known
        self._keys[folder.folder_id], self._modseqs[folder.folder_id] = folder.key, folder.highest_modseq
        self._folders[folder.folder_id] = folder
        return folder

    def modseq_before(self, folder: FolderRow) -> int:
        """Return the folder's HIGHESTMODSEQ before this change."""
        return self._modseqs.get(folder.folder_id, 0)

    def add_folder(self, folder: FolderRow) -> None:
        self._folders[folder.folder_id] = folder
        write_folder(self.connection, folder, new=True)

    def touch(self, folder: FolderRow) -> None:
        """Give the folder this change's MODSEQ, since its messages change."""
        folder.highest_modseq = self.modseq
        self.keep(folder)

    def keep(self, folder: FolderRow) -> None:
        """Write the row back at the end."""
        self._dirty_folders[folder.folder_id] = folder

    def save(self, folder: FolderRow) -> None:
        """Write the row now, because its name is looked up later in the same change."""
        write_folder(self.connection, folder)

    def keyword_bits(self, folder: FolderRow, names: Sequence[str], *, add: bool = True) -> int:
        """Return the bits of keywords; unknown ones are added to the folder's table, or left out."""
        if not names:
            return 0
        known = list(folder.keyword_names())
        places = {name.lower(): place for place, name in enumerate(known)}  # RFC 9051 §2.3.2: flags are case-insensitive
        bits = 0
        for name in names:
            place = places.get(name.lower())
            if place is None:
                if not add:
                    continue
                if len(known) >= MAX_KEYWORDS:
                    raise TooMany(Text("Thư mục đã có quá nhiều nhãn.", "The folder has too many keywords."))
                place = places[name.lower()] = len(known)
                known.append(name)
            bits |= 1 << (KEYWORD_SHIFT + place)
        if len(known) > len(folder.keyword_names()):
            folder.set_keywords(known)
            self.names.rewrite_folder_sidecar(folder.folder_id)
            self.keep(folder)
        return bits

    def subscribe(self, name: str, subscribed: bool) -> None:
        if subscribed:
            _SUBSCRIBE.on(self.connection, account_id=self.store.account_id, name=name)
        else:
            _UNSUBSCRIBE.on(self.connection, account=self.store.account_id, name=name)
        self.names.rewrite_account_sidecar()

    def count_folders(self) -> int:
        return len(read_folders(self.connection, self.store.account_id))

    # End

    def save_rows(self) -> None:
        for folder_id, folder in self._dirty_folders.items():
            write = write_counters if self._keys.get(folder_id) == folder.key else write_folder
            write(self.connection, folder)
        if self.account.values != self._account_before:
            write_account(self.connection, self.account)
