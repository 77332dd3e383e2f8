"""An import of every message of a source into a mailbox that may be in use meanwhile (Reg. 10.4).

Messages are published in batches under the account's lock, so that sessions see them arrive and nobody waits longer than
for another delivery. A message of the source is identified by these checks in order; the first match holds:

    its key is in the ledger                      it was imported before, whatever its reader did with it since
    the ledger has its digest under a void key    UIDVALIDITY changed at the source: the same message under another key
    the folder holds the same octets, unclaimed   it was copied here by other means: it stays, and is claimed
    the store has seen its origin                 a run was killed after publishing it and before recording it
    else                                          it is published

So a kill at any instant neither duplicates nor loses a message. A message whose flags at the source differ from the
last run gets those changes, if it still lies where it was put. Blocking: commands only.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from mic_mail.errors import Refused, Text
from mic_mail.i18n import dates
from mic_mail.mime.dates import parse_date
from mic_mail.mime.headers import fields
from mic_mail.services.importers import folder_mapping
from mic_mail.services.importers.content import StagedMessage, take
from mic_mail.services.importers.existing_messages import Unclaimed
from mic_mail.services.importers.flags import read_flags
from mic_mail.services.importers.ledger import Ledger, LedgerEntry, counted_key
from mic_mail.services.importers.source import FolderClosed, FolderCounts, Skip, Source, SourceFolder, SourceMessage
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.errors import FolderExists, NoSuchFolder, OverQuota, TooMany, Unavailable
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import FlagOperation, FolderInfo, Published

BATCH_MESSAGES = 50
"""Messages in one publication."""
BATCH_OCTETS = 4 << 20
_SYNCS = 8
"""Files that are fsynced in parallel, where the journal does not hold them."""
_DAY_US = 86_400_000_000
_FIRST_US = 0
"""An INTERNALDATE before 1970 comes from a clock that was not set."""

Progress = Callable[[FolderCounts], None]


class QuotaReached(Refused):
    """The mailbox is full; imported messages stay, and a later run goes on."""

    def __init__(self, used: int, limit: int) -> None:
        vi, en = dates.size(used), dates.size(limit)
        super().__init__(
            Text(
                f"Hộp thư đã đầy ({vi.vi} trên {en.vi}); phần đã nhập được giữ, nhập lại sẽ tiếp tục.",
                f"The mailbox is full ({vi.en} of {en.en}); imported messages stay, and a later run continues.",
            ),
            clause="8.3.a",
            remedy=Text("Tăng dung lượng: mic-mail mailbox quota.", "Raise the quota: mailbox quota."),
        )


@dataclass(frozen=True, slots=True)
class FolderChoice:
    """The choice of the source's folders, and their targets."""

    folders: Collection[str] = ()
    """Names of the source's folders; empty: all."""
    without: Collection[str] = ()
    """Names of folders that are left out."""
    virtual: bool = False
    """Include folders that only show messages of others."""
    below: str | None = None
    """A folder that everything goes under."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Pairs of (folder of the source, folder here)."""

    def apply(self, source: Source, account: Account) -> Iterator[tuple[SourceFolder, FolderCounts]]:
        """Yield the folders of the source, each with a tally; one that is left out has no target."""
        renamed = dict(self.renamed)
        uses = {info.special_use: info.name for info in account.folders() if info.special_use}
        for folder in source.folders():
            tally = FolderCounts(folder.name)
            if (why := self._skips(folder)) is not None:
                tally.skip(why)
            else:
                target = renamed.get(folder.name)
                tally.target = folder_mapping.target(folder.levels, folder.use, uses, self.below) if target is None else target
            yield folder, tally

    def _skips(self, folder: SourceFolder) -> Skip | None:
        if folder.skip is not None:
            return folder.skip
        if (self.folders and folder.name not in self.folders) or folder.name in self.without:
            return Skip.NOT_CHOSEN
        if not self.virtual and folder_mapping.is_virtual(folder.levels, folder.use):
            return Skip.VIRTUAL
        return None


@dataclass(frozen=True, slots=True)
class Into:
    """The destination: a mailbox, its quota, and the ledger of earlier imports."""

    store: MailStore
    account: Account
    ledger: Ledger
    limit_octets: int
    now_us: int
    may_go_on: Callable[[], None] = lambda: None
    """Called before each change; raises where the mailbox was handed over or reclaimed meanwhile."""


class Import:
    """One run of one source into one mailbox."""

    def __init__(
        self, into: Into, source: Source, choice: FolderChoice | None = None, progress: Progress = lambda tally: None
    ) -> None:
        self._into = into
        self._source = source
        self._choice = choice or FolderChoice()
        self._progress = progress
        self.tallies: list[FolderCounts] = []

    def run(self) -> Sequence[FolderCounts]:
        """Import everything; after an error `tallies` has what was done."""
        closed: FolderClosed | None = None
        with ThreadPoolExecutor(_SYNCS) as syncs:
            for folder, tally in self._choice.apply(self._source, self._into.account):
                self.tallies.append(tally)
                if not tally.target:
                    continue
                try:
                    _FolderRun(self._into, folder, tally, syncs).run(self._source, self._progress)
                except FolderClosed as error:  # the other folders come first
                    tally.skip(Skip.UNREADABLE)
                    closed = error
        if closed is not None:
            raise closed
        return self.tallies


@dataclass(slots=True)
class _Ready:
    """A message that is about to be published."""

    key: str
    item: SourceMessage
    incoming: StagedMessage
    delivery: Delivery


class _FolderRun:
    """One folder of a run."""

    def __init__(self, into: Into, folder: SourceFolder, tally: FolderCounts, syncs: ThreadPoolExecutor) -> None:
        self._into = into
        self._account = into.account
        self._ledger = into.ledger
        self._folder = folder
        self._tally = tally
        self._syncs = syncs
        into.may_go_on()
        self._info = _create_folder(into.account, tally.target, subscribe=folder.subscribed)
        self._unclaimed = Unclaimed(into.account, self._info, into.ledger)
        self._void: dict[str, list[str]] | None = None
        self._seen: dict[str, int] = {}
        self._ready: list[_Ready] = []
        self._octets = 0
        self._reflagged: list[tuple[LedgerEntry, SourceMessage]] = []

    def run(self, source: Source, progress: Progress) -> None:
        """Import every message of the folder."""
        try:
            for item in source.messages(self._folder, self._ledger):
                if item.skip is not None:
                    self._tally.found += item.skip is not Skip.NOT_A_FILE
                    self._tally.skip(item.skip)
                    continue
                self._tally.found += 1
                self._take(item)
                if len(self._ready) >= BATCH_MESSAGES or self._octets >= BATCH_OCTETS:
                    self._publish()
                    progress(self._tally)
            self._publish()
            self._reflag()
            progress(self._tally)
        finally:
            for ready in self._ready:
                ready.incoming.staged.discard()

    # ------------------------------------------------------------ one message

    def _take(self, item: SourceMessage) -> None:
        entry = self._ledger.entry(item.key) if item.key is not None else None
        if entry is None:
            assert item.content is not None, "what is not known has its content"
            incoming = take(self._account, item.content)
            if incoming is None:
                self._tally.skip(Skip.EMPTY)
                return
            with contextlib.ExitStack() as unless_ready:
                unless_ready.callback(incoming.staged.discard)
                key = item.key or counted_key(self._folder.name, incoming.mark.hex(), self._seen)
                entry = self._ledger.entry(key) or self._known_otherwise(key, item, incoming)
                if entry is None:
                    self._ready.append(_Ready(key, item, incoming, self._delivery(key, item, incoming)))
                    self._octets += incoming.staged.size
                    unless_ready.pop_all()
                    return
        self._count_present(entry, item)

    def _count_present(self, entry: LedgerEntry, item: SourceMessage) -> None:
        self._tally.already += 1
        self._tally.there(bytes.fromhex(entry.digest))
        if frozenset(entry.flags) != item.flags:
            self._reflagged.append((entry, item))

    def _known_otherwise(self, key: str, item: SourceMessage, incoming: StagedMessage) -> LedgerEntry | None:
        return self._under_void_key(key, item, incoming) or self._claimed(key, item, incoming)

    def _under_void_key(self, key: str, item: SourceMessage, incoming: StagedMessage) -> LedgerEntry | None:
        """Return the ledger's entry of this message under a key voided by a change of the folder's generation."""
        if self._void is None:
            self._void = {}
            for entry in self._ledger.entries():
                if entry.folder == self._folder.name and entry.generation != item.generation:
                    self._void.setdefault(entry.digest, []).append(entry.key)
        old_keys = self._void.get(incoming.digest.hex())
        if not old_keys:
            return None
        old = self._ledger.entry(old_keys.pop(0))
        assert old is not None
        entry = replace(old, key=key, generation=item.generation)
        self._ledger.add([entry], gone=[old.key])
        return entry

    def _claimed(self, key: str, item: SourceMessage, incoming: StagedMessage) -> LedgerEntry | None:
        """Return the entry of a message that was copied here by other means."""
        uid = self._unclaimed.claim(incoming)
        if uid is None:
            return None
        entry = self._entry(key, item, incoming, self._info.uidvalidity, uid)
        self._ledger.add([entry])
        return entry

    def _entry(self, key: str, item: SourceMessage, incoming: StagedMessage, uidvalidity: int, uid: int) -> LedgerEntry:
        digest, flags = incoming.digest.hex(), tuple(sorted(item.flags))
        return LedgerEntry(key, self._folder.name, item.generation, self._info.mailbox_id, uidvalidity, uid, digest, flags)

    def _delivery(self, key: str, item: SourceMessage, incoming: StagedMessage) -> Delivery:
        flags, keywords = read_flags(item.flags)
        return Delivery(
            incoming.staged,
            incoming.answers,
            flags=flags,
            keywords=keywords,
            received_at_us=self._arrival(item, incoming),
            origin=self._ledger.origin(key),
            octets=incoming.octets,
        )

    def _arrival(self, item: SourceMessage, incoming: StagedMessage) -> int:
        """Return the arrival time at the old mailbox, else by the header; never in the future."""
        known = item.received_at_us
        if known is None:
            known = arrival_by_header(incoming.answers.header)
        if known is None or known < _FIRST_US:
            return self._into.now_us
        return min(known, self._into.now_us + _DAY_US)

    # ------------------------------------------------------------ many messages

    def _publish(self) -> None:
        batch, octets = self._ready, self._octets
        if not batch:
            return
        self._into.may_go_on()
        if not self._account.journal_takes(octets):
            list(self._syncs.map(lambda ready: ready.incoming.staged.finish(), batch))
            for ready in batch:
                ready.delivery = replace(ready.delivery, octets=None)
        try:
            self._settle(batch, self._published(batch))
        except OverQuota as full:
            if len(batch) == 1:
                raise QuotaReached(full.used_octets, full.limit_octets) from full
            for ready in batch:  # a batch is published whole or not at all: publish one by one as far as there is room
                try:
                    self._settle([ready], self._published([ready]))
                except OverQuota as still:
                    raise QuotaReached(still.used_octets, still.limit_octets) from still
        self._ready, self._octets = [], 0
        if self._into.store.journal.is_full:
            with contextlib.suppress(Unavailable):  # without a journal each message is durable by its own file
                self._into.store.settle_journal()

    def _published(self, batch: list[_Ready]) -> list[Published]:
        deliveries = [ready.delivery for ready in batch]
        try:
            return self._account.publish(self._info.folder_id, deliveries, limit_octets=self._into.limit_octets)
        except NoSuchFolder:  # the mailbox's user has deleted it meanwhile
            self._info = _create_folder(self._account, self._tally.target, subscribe=self._folder.subscribed)
            return self._account.publish(self._info.folder_id, deliveries, limit_octets=self._into.limit_octets)
        except TooMany:  # keywords: a folder has room for 58
            bare = [replace(delivery, keywords=()) for delivery in deliveries]
            return self._account.publish(self._info.folder_id, bare, limit_octets=self._into.limit_octets)

    def _settle(self, batch: list[_Ready], published: list[Published]) -> None:
        self._ledger.add(
            self._entry(ready.key, ready.item, ready.incoming, where.uidvalidity, where.uid)
            for ready, where in zip(batch, published, strict=True)
        )
        for ready, where in zip(batch, published, strict=True):
            self._tally.there(ready.incoming.digest)
            if where.duplicate:
                self._tally.already += 1
            else:
                self._tally.imported += 1
                self._tally.octets += ready.incoming.staged.size

    def _reflag(self) -> None:
        """Apply the flag changes at the source since the last run, to messages not moved here since."""
        at = {(info.mailbox_id, info.uidvalidity): info.folder_id for info in self._account.folders()}
        groups: dict[tuple[int, frozenset[str], frozenset[str]], list[tuple[LedgerEntry, SourceMessage]]] = {}
        for entry, item in self._reflagged:
            folder_id = at.get((entry.mailbox, entry.uidvalidity), 0)
            old = frozenset(entry.flags)
            groups.setdefault((folder_id, item.flags - old, old - item.flags), []).append((entry, item))
        for (folder_id, come, gone), members in groups.items():
            self._into.may_go_on()
            if folder_id:
                uids = [entry.uid for entry, _ in members]
                self._store_flags(folder_id, uids, "+", come)
                self._store_flags(folder_id, uids, "-", gone)
                self._tally.reflagged += len(members)
            self._ledger.add(replace(entry, flags=tuple(sorted(item.flags))) for entry, item in members)

    def _store_flags(self, folder_id: int, uids: Sequence[int], operation: FlagOperation, names: Collection[str]) -> None:
        if not names:
            return
        flags, keywords = read_flags(names)
        try:
            self._account.store_flags(folder_id, uids, operation, flags, keywords)
        except TooMany:  # as when they are published
            self._account.store_flags(folder_id, uids, operation, flags)


def arrival_by_header(header: bytes) -> int | None:
    """Return the time of the newest Received field, else of Date; microseconds since the epoch."""
    told = fields(header)
    received = next((value for name, value in told if name == b"received"), None)
    candidates: Iterator[bytes] = (
        value for value in ((received or b"").rpartition(b";")[2], dict(told).get(b"date", b"")) if value.strip()
    )
    for value in candidates:
        seconds = parse_date(value.strip())
        if seconds is not None:
            return seconds * 1_000_000
    return None


def _create_folder(account: Account, name: str, *, subscribe: bool) -> FolderInfo:
    try:
        info = account.folder(name)
    except NoSuchFolder:
        try:
            info = account.create(name)
        except FolderExists:
            info = account.folder(name)
    if subscribe and info.name not in account.subscriptions():
        with contextlib.suppress(TooMany):  # the messages are imported all the same
            account.subscribe(info.name, True)
    return info
