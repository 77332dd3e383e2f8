"""The comparison of a source with a mailbox, by the digests of all messages on both sides.

Tells for each folder of the source how many of its messages lie where they should, elsewhere in the mailbox (filed by
its user), were imported and deleted here since, or are missing. Trusts neither ledger nor index; nobody reads the
content (Reg. 4.3).
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from mic_mail.services.importers.content import digest_of, mark_of
from mic_mail.services.importers.existing_messages import stored_digest
from mic_mail.services.importers.importer import FolderChoice, Progress
from mic_mail.services.importers.ledger import Ledger, counted_key
from mic_mail.services.importers.source import FolderClosed, FolderCounts, Skip, Source, SourceFolder
from mic_mail.storage.mailstore import Account

MOST_NAMED = 20


@dataclass(slots=True)
class Compared:
    """The comparison of one folder of the source."""

    tally: FolderCounts
    there: int = 0
    elsewhere: int = 0
    removed: int = 0
    missing: int = 0
    named: list[str] = field(default_factory=list)
    """Digests of some missing messages."""
    left: list[bytes] = field(default_factory=list)


def compare(
    account: Account, source: Source, ledger: Ledger, choice: FolderChoice, progress: Progress = lambda tally: None
) -> Sequence[Compared]:
    comparison = _Comparison(account, ledger)
    found: list[Compared] = []
    for folder, tally in choice.apply(source, account):
        found.append(Compared(tally))
        if tally.target:
            try:
                comparison.look(source, folder, found[-1], progress)
            except FolderClosed:
                tally.skip(Skip.UNREADABLE)
    for each in found:  # only now: a message that lies in its folder counts for that folder first
        comparison.look_elsewhere(each)
    return found


class _Comparison:
    """The messages of the mailbox that no message of the source has been found to be yet."""

    def __init__(self, account: Account, ledger: Ledger) -> None:
        self._ledger = ledger
        self._imported = Counter(bytes.fromhex(entry.digest) for entry in ledger.entries())
        self._folders: defaultdict[bytes, Counter[str]] = defaultdict(Counter)
        """By digest, the number of messages in each folder."""
        for info in account.folders():
            for uid in account.view(info.folder_id).uids if info.selectable else ():
                digest = stored_digest(account, info.folder_id, uid)
                if digest is not None:
                    self._folders[digest][info.name] += 1

    def look(self, source: Source, folder: SourceFolder, each: Compared, progress: Progress) -> None:
        """Search for each message of a folder in its target folder."""
        seen: dict[str, int] = {}
        for item in source.messages(folder, frozenset[str]()):
            if item.skip is not None or item.content is None:
                each.tally.skip(item.skip or Skip.GONE)
                continue
            digest = digest_of(item.content)
            each.tally.found += 1
            each.tally.there(digest)
            if item.key is None:  # as it was when imported: its reader has read or tagged it in its file since
                entry = self._ledger.entry(counted_key(folder.name, mark_of(item.content).hex(), seen))
                digest = digest if entry is None else bytes.fromhex(entry.digest)
            if self._folders[digest][each.tally.target] > 0:
                self._folders[digest][each.tally.target] -= 1
                each.there += 1
            else:
                each.left.append(digest)
            progress(each.tally)

    def look_elsewhere(self, each: Compared) -> None:
        """Search for the messages that are left in other folders, and among those deleted here since."""
        for digest in each.left:
            name = next((name for name, count in self._folders[digest].items() if count > 0), None)
            if name is not None:
                self._folders[digest][name] -= 1
                each.elsewhere += 1
            elif self._imported[digest] > 0:
                self._imported[digest] -= 1
                each.removed += 1
            else:
                each.missing += 1
                if len(each.named) < MOST_NAMED:
                    each.named.append(digest.hex())
        each.left.clear()
