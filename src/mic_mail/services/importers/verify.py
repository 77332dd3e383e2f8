"""The comparison of a source with a mailbox, by the digests of all messages on both sides.

Tells for each folder of the source how many of its messages lie where they should, elsewhere in the mailbox (filed by
its user), were imported and deleted here since, or are missing. Trusts neither ledger nor index; nobody reads the
content (Reg. 4.3).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from mic_mail.services.importers.content import digest_of, mark_of
from mic_mail.services.importers.existing_messages import stored_digest
from mic_mail.services.importers.importer import Choice, Progress
from mic_mail.services.importers.ledger import Ledger, counted_key
from mic_mail.services.importers.source import FolderClosed, Skip, Source, SourceFolder, Tally
from mic_mail.storage.mailstore import Account

MOST_NAMED = 20


@dataclass(slots=True)
class Compared:
    """The comparison of one folder of the source."""

    tally: Tally
    there: int = 0
    elsewhere: int = 0
    removed: int = 0
    missing: int = 0
    named: list[str] = field(default_factory=list)
    """Digests of some missing messages."""
    left: list[bytes] = field(default_factory=list)


def compare(
    account: Account, source: Source, ledger: Ledger, choice: Choice, progress: Progress = lambda tally: None
) -> Sequence[Compared]:
    """Compare everything that an import would take."""
    here = _digests(account)
    imported = Counter(bytes.fromhex(entry.digest) for entry in ledger.entries())
    found: list[Compared] = []
    for folder, tally in choice.apply(source, account):
        each = Compared(tally)
        found.append(each)
        if tally.target:
            try:
                _look(source, folder, each, _Here(here, ledger), progress)
            except FolderClosed:
                tally.skip(Skip.UNREADABLE)
    for each in found:  # only now: a message that lies in its folder counts for that folder first
        _look_elsewhere(each, here, imported)
    return found


@dataclass(frozen=True, slots=True)
class _Here:
    """The messages of the mailbox, and the ledger of how they came."""

    digests: dict[bytes, Counter[str]]
    ledger: Ledger

    def take(self, digest: bytes, folder: str) -> bool:
        """Return whether a matching message is in `folder`, and count it as used."""
        if self.digests.get(digest, _NOWHERE)[folder] <= 0:
            return False
        self.digests[digest][folder] -= 1
        return True


def _look(source: Source, folder: SourceFolder, each: Compared, here: _Here, progress: Progress) -> None:
    """Search for each message of a folder in its target folder."""
    met: dict[str, int] = {}
    for item in source.messages(folder, frozenset[str]()):
        if item.skip is not None or item.content is None:
            each.tally.skip(item.skip or Skip.GONE)
            continue
        digest = digest_of(item.content)
        each.tally.found += 1
        each.tally.there(digest)
        if item.key is None:  # as it was when imported: its reader has read or tagged it in its file since
            entry = here.ledger.entry(counted_key(folder.name, mark_of(item.content).hex(), met))
            digest = digest if entry is None else bytes.fromhex(entry.digest)
        if here.take(digest, each.tally.target):
            each.there += 1
        else:
            each.left.append(digest)
        progress(each.tally)


_NOWHERE: Counter[str] = Counter()


def _look_elsewhere(each: Compared, here: dict[bytes, Counter[str]], imported: Counter[bytes]) -> None:
    for digest in each.left:
        places = here.get(digest, _NOWHERE)
        name = next((name for name, count in places.items() if count > 0), None)
        if name is not None:
            places[name] -= 1
            each.elsewhere += 1
        elif imported[digest] > 0:
            imported[digest] -= 1
            each.removed += 1
        else:
            each.missing += 1
            if len(each.named) < MOST_NAMED:
                each.named.append(digest.hex())
    each.left.clear()


def _digests(account: Account) -> dict[bytes, Counter[str]]:
    """Return the digest of every message of the mailbox, with its count in each folder."""
    found: dict[bytes, Counter[str]] = {}
    for info in account.folders():
        if not info.selectable:
            continue
        for uid in account.view(info.folder_id).uids:
            digest = stored_digest(account, info.folder_id, uid)
            if digest is not None:
                found.setdefault(digest, Counter())[info.name] += 1
    return found
