"""The dry run of an import: counts and folder targets. Changes nothing."""

from collections.abc import Sequence

from mic_mail.services.importers.content import mark_of
from mic_mail.services.importers.importer import FolderChoice, Progress
from mic_mail.services.importers.ledger import Ledger, counted_key
from mic_mail.services.importers.source import FolderClosed, FolderCounts, Skip, Source, SourceFolder
from mic_mail.storage.mailstore import Account


class _Everything:
    """A container of all keys, so that no content is fetched."""

    def __contains__(self, key: object) -> bool:
        return key is not None


def dry_run(
    account: Account, source: Source, ledger: Ledger, choice: FolderChoice, progress: Progress = lambda tally: None
) -> Sequence[FolderCounts]:
    """Count what an import would do: `imported` would come, `already` came before.

    Messages that came by other ways are not searched for.
    """
    tallies: list[FolderCounts] = []
    for folder, tally in choice.apply(source, account):
        tallies.append(tally)
        if tally.target:
            try:
                _count(source, folder, ledger, tally, progress)
            except FolderClosed:
                tally.skip(Skip.UNREADABLE)
    return tallies


def _count(source: Source, folder: SourceFolder, ledger: Ledger, tally: FolderCounts, progress: Progress) -> None:
    seen: dict[str, int] = {}
    for item in source.messages(folder, _Everything()):
        if item.skip is not None:
            tally.skip(item.skip)
            continue
        tally.found += 1
        key = item.key
        if key is None and item.content is not None:
            key = counted_key(folder.name, mark_of(item.content).hex(), seen)
        if key is not None and key in ledger:
            tally.already += 1
        else:
            tally.imported += 1
        progress(tally)
