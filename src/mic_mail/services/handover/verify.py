"""The verification of a handover: an inventory against the mailbox as it is now (Reg. 12.3.d).

In: an inventory, the account, the mail log. Out: a finding for every message of the inventory, and how many came since.
Blocking: commands only. Every message of the inventory that is there is read and compared by its digest, independent of
index, UIDs and names; so the result is right for a mailbox that was repaired, restored from a backup or reindexed.

    same       in its folder, with these octets
    moved      with these octets, elsewhere in the mailbox
    expunged   removed after the handover with permission: it can still be restored, or the log names the person
    changed    there, with other octets: damaged, or tampered with
    missing    not there, and nothing explains it; or expunged before the handover had ended

A message counts once: of two equal ones, a removed one is missing.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mic_mail.clock import instant_of
from mic_mail.errors import Text, in_ascii
from mic_mail.i18n import dates
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.unit_mail.handover import Handover
from mic_mail.services.handover.inventory import (
    InventoriedFolder,
    InventoriedMessage,
    Progress,
    digest_of_message,
    no_progress,
    read_folders,
    read_head,
    read_messages,
)
from mic_mail.services.handover.removals import Removals
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import FolderInfo


class MessageFinding(LabelledEnum):
    """The state of an inventoried message."""

    SAME = "same", "nguyên vẹn", "same"
    MOVED = "moved", "chuyển thư mục", "moved"
    EXPUNGED = "expunged", "xóa sau bàn giao", "expunged since"
    CHANGED = "changed", "bị thay đổi", "changed"
    MISSING = "missing", "bị mất", "missing"


WRONG = frozenset({MessageFinding.CHANGED, MessageFinding.MISSING})


@dataclass(frozen=True, slots=True)
class Deviation:
    """A message of the inventory that is not as it was."""

    folder: str
    message: InventoriedMessage
    fate: MessageFinding
    note: Text


@dataclass(slots=True)
class FolderCheck:
    """The result for one folder of the inventory."""

    folder: InventoriedFolder
    fates: dict[MessageFinding, int] = field(default_factory=lambda: dict.fromkeys(MessageFinding, 0))
    added: int = 0
    """Messages that are there and not in the inventory."""

    @property
    def is_whole(self) -> bool:
        return not any(self.fates[fate] for fate in WRONG)


@dataclass(frozen=True, slots=True)
class Verification:
    folders: Sequence[FolderCheck]
    found: Sequence[Deviation]
    new_folders: Sequence[tuple[str, int]]
    """Folders created since, with their number of messages."""

    @property
    def is_whole(self) -> bool:
        """True if nothing is changed or missing."""
        return all(folder.is_whole for folder in self.folders)


def verify(
    account: Account, path: Path, handover: Handover, removals: Removals, progress: Progress = no_progress
) -> Verification:
    """Compare; `InventoryDamaged` where the inventory itself differs from what was recorded."""
    assert handover.counted is not None, "there is no inventory before that"
    digest = handover.counted.text("digest") or ""
    of = read_head(path, digest).messages
    return _Checking(account, handover, removals, lambda done: progress(done, of)).run(path, digest)


@dataclass(slots=True)
class _Here:
    info: FolderInfo
    left: set[int]
    """UIDs that no message of the inventory was found under."""


_Location = tuple[str, int]
"""A folder's id and a UID."""
_Locations = dict[str, list[int]]
"""UIDs by folder, the lowest last."""
_Pending = list[tuple[FolderCheck, InventoriedMessage]]


class _Checking:
    def __init__(self, account: Account, handover: Handover, removals: Removals, progress: Callable[[int], None]) -> None:
        self._account = account
        self._until = None if handover.ended is None else handover.ended.effective_at
        self._removals = removals
        self._progress = progress
        infos = [info for info in account.folders() if info.selectable]
        self._here = {info.mailbox_id: _Here(info, set(account.view(info.folder_id).uids)) for info in infos}
        self._names = {info.name: info.mailbox_id for info in infos}
        self._digests: dict[_Location, str | None] = {}
        """Digests of messages in `left` that were read."""
        self._found: list[Deviation] = []
        self._done = 0

    def run(self, path: Path, digest: str) -> Verification:
        checks: list[FolderCheck] = []
        pending: _Pending = []
        for folder, messages in read_folders(path, digest):
            checks.append(FolderCheck(folder))
            pending += [(checks[-1], message) for message in self._in_place(checks[-1], messages)]
        if pending:
            pending = self._elsewhere(pending)
            pending = self._with_other_octets(pending)
            for check in checks:
                self._removed(check, [message for of, message in pending if of is check])
        return self._answer(checks)

    def _answer(self, checks: list[FolderCheck]) -> Verification:
        known: set[str] = set()
        for check in checks:
            if (here := self._now(check.folder)) is not None:
                check.added = len(here.left)
                known.add(here.info.mailbox_id)
        new = [(here.info.name, len(here.left)) for mailbox_id, here in self._here.items() if mailbox_id not in known]
        return Verification(checks, self._found, sorted(new))

    def _now(self, folder: InventoriedFolder) -> _Here | None:
        """Return the present folder by its id; by its name, where it was created anew."""
        return self._here.get(folder.mailbox_id) or self._here.get(self._names.get(folder.name, ""))

    # ------------------------------------------------------------ steps, each for the messages not found so far

    def _in_place(self, check: FolderCheck, messages: Sequence[InventoriedMessage]) -> list[InventoriedMessage]:
        """Find the messages that are still in place; return the others."""
        here = self._now(check.folder)
        if here is None:
            return list(messages)
        open_ones: list[InventoriedMessage] = []
        paths = self._account.paths(here.info.folder_id, [message.uid for message in messages if message.uid in here.left])
        for message in messages:
            self._done += 1
            if message.uid in here.left:
                digest = digest_of_message(self._account, here.info.folder_id, message.uid, paths.get(message.uid))
                self._progress(self._done)
                if digest == message.digest or message.digest is None:  # it was unreadable then: the UID decides
                    here.left.discard(message.uid)
                    check.fates[MessageFinding.SAME] += 1
                    continue
                self._digests[here.info.mailbox_id, message.uid] = digest
            open_ones.append(message)
        return open_ones

    def _elsewhere(self, pending: _Pending) -> _Pending:
        """Find messages with another UID or folder: by digest, among those of the same size."""
        by_digest = self._by_digest({message.octets for _, message in pending})

        def report(check: FolderCheck, message: InventoriedMessage, location: _Location) -> None:
            here = self._here[location[0]]
            if here is self._now(check.folder):
                check.fates[MessageFinding.SAME] += 1  # under another UID
                return
            now_in = f"{here.info.name}, UID {location[1]}"
            note = Text(f"nay ở {now_in}", f"now in {in_ascii(now_in)}")
            self._record_finding(check, message, MessageFinding.MOVED, note)

        return self._match(pending, by_digest, lambda message: message.digest or "", report)

    def _match(
        self,
        pending: _Pending,
        locations: dict[str, _Locations],
        key: Callable[[InventoriedMessage], str],
        report: Callable[[FolderCheck, InventoriedMessage, _Location], None],
    ) -> _Pending:
        """Report on each message that has a location under its key; return the others."""
        others: _Pending = []
        for check, message in pending:
            own = self._now(check.folder)
            location = _taken(locations.get(key(message), {}), own.info.mailbox_id if own is not None else "")
            if location is None:
                others.append((check, message))
            else:
                self._here[location[0]].left.discard(location[1])
                report(check, message, location)
        return others

    def _by_digest(self, sizes: set[int]) -> dict[str, _Locations]:
        found: dict[str, _Locations] = defaultdict(dict)
        for mailbox_id, here in self._here.items():
            sized = self._account.rows(here.info.folder_id, here.left, ("uid", "size"))
            fitting = [uid for uid, size in sized if size in sizes]
            unread = [uid for uid in fitting if (mailbox_id, uid) not in self._digests]
            for message in read_messages(self._account, here.info.folder_id, unread):
                self._digests[mailbox_id, message.uid] = message.digest
            for uid in reversed(fitting):
                if (digest := self._digests.get((mailbox_id, uid))) is not None:
                    found[digest].setdefault(mailbox_id, []).append(uid)
        return found

    def _with_other_octets(self, pending: _Pending) -> _Pending:
        """Find messages with the same EMAILID and other octets: in place, or where a repair has put them."""
        by_email: dict[str, _Locations] = defaultdict(dict)
        for mailbox_id, here in self._here.items():
            for uid, email_id in reversed(self._account.rows(here.info.folder_id, here.left, ("uid", "email_id"))):
                by_email[email_id].setdefault(mailbox_id, []).append(uid)

        def report(check: FolderCheck, message: InventoriedMessage, location: _Location) -> None:
            if self._digests.get(location, "") is None:
                note = Text("không đọc được tệp", "its file cannot be read")
                self._record_finding(check, message, MessageFinding.MISSING, note)
                return
            where = f"{self._here[location[0]].info.name}, UID {location[1]}"
            note = Text(f"mã băm khác ({where})", f"another digest ({in_ascii(where)})")
            self._record_finding(check, message, MessageFinding.CHANGED, note)

        return self._match(pending, by_email, lambda message: message.email_id, report)

    def _removed(self, check: FolderCheck, messages: Sequence[InventoriedMessage]) -> None:
        if not messages:
            return
        fates = self._account.message_outcomes(check.folder.mailbox_id, [message.uid for message in messages])
        for message in messages:
            gone = fates.get(message.uid)
            folder, uid = (gone.folder, gone.uid) if gone is not None else (check.folder.name, message.uid)
            removal = self._removals.of(folder, uid)
            if gone is not None and gone.can_come_back:
                at = instant_of(gone.gone_at_us)
            elif removal is not None:
                at = removal.at
            else:
                self._record_finding(check, message, MessageFinding.MISSING, self._last_known(folder, uid))
                continue
            in_time = self._until is not None and at >= self._until
            who = f" ({removal.actor})" if removal is not None else ""
            when = dates.short(at)
            note = Text(f"xóa lúc {when}{who}", f"expunged {when}{who}")
            self._record_finding(check, message, MessageFinding.EXPUNGED if in_time else MessageFinding.MISSING, note)

    def _last_known(self, folder: str, uid: int) -> Text:
        moved = self._removals.moved(folder, uid)
        if moved is None:
            return Text("không có ghi nhận ai đã xóa", "no record of who removed it")
        when, to = dates.short(moved.at), moved.to
        return Text(
            f"chuyển sang {to} lúc {when} ({moved.actor}), nay không còn ở đó",
            f"moved to {in_ascii(to)} {when} ({moved.actor}), but not there now",
        )

    def _record_finding(self, check: FolderCheck, message: InventoriedMessage, fate: MessageFinding, note: Text) -> None:
        check.fates[fate] += 1
        self._found.append(Deviation(check.folder.name, message, fate, note))


def _taken(locations: _Locations, own_id: str) -> _Location | None:
    """Take one of the locations, the own folder first; it is not used again."""
    mailbox_id = own_id if own_id in locations else next(iter(locations), None)
    if mailbox_id is None:
        return None
    uid = locations[mailbox_id].pop()
    if not locations[mailbox_id]:
        del locations[mailbox_id]
    return mailbox_id, uid
