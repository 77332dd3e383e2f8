"""`mailbox repair`, `mailbox repair --check` and `mailbox rescan`: one pass in one critical section."""

from mic_mail.storage.changes.transaction import writing
from mic_mail.storage.index.connection import translated
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maintenance.adopt_tombstones import adopt_tombstones
from mic_mail.storage.maintenance.reconcile import FolderComparison
from mic_mail.storage.maintenance.verify import verify
from mic_mail.storage.types import RepairFinding, RepairReport, TellFinding


def repair(store: LocalStore, *, check: bool = False, tell: TellFinding | None = None) -> RepairReport:
    """Compare index, names and sidecars; put right what differs unless `check`.

    An index that SQLite finds damaged is rebuilt first; with `check` nothing else is reported then, since nothing in it can be
    trusted. `tell` is called with each finding, inside the critical section; without it the report holds them all.
    """
    findings: list[RepairFinding] = []
    tell = tell or findings.append
    store.ready()
    with translated("reading the index"):
        damage = [RepairFinding("index-damaged", "", text) for text in store.index.damage()]
    for finding in damage:
        tell(finding)
    if damage and check:
        return RepairReport(findings, 0, 0, 0)
    store.index.doubtful = bool(damage)
    with translated("reading the search file"):
        damage = [RepairFinding("search-damaged", "", text) for text in store.search.damage()]
        if damage and not check:
            store.search.discard()  # the indexer rebuilds it
    for finding in damage:
        tell(finding)
    with writing(store) as write:
        comparison = FolderComparison(write, check=check, tell=tell)
        comparison.run()
        if not check:
            adopt_tombstones(write, comparison.contents)
        for finding in verify(write, check=check):
            tell(finding)
        return RepairReport(findings, write.count_folders(), write.account.messages, write.account.octets)


def rescan(store: LocalStore, *, tell: TellFinding | None = None) -> RepairReport:
    """Take in what other Maildir tools did; `tell` as for `repair`."""
    with writing(store) as write:
        comparison = FolderComparison(write, tell=tell)
        comparison.run()
        return RepairReport(comparison.findings, write.count_folders(), write.account.messages, write.account.octets)
