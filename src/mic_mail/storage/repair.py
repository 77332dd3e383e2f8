"""`mailbox repair`, `mailbox repair --check` and `mailbox rescan`: one pass over everything, in one critical section."""

from mic_mail.storage.graves import adopt_tombstones
from mic_mail.storage.index import translated
from mic_mail.storage.reconcile import Comparison
from mic_mail.storage.section import writing
from mic_mail.storage.store import Store
from mic_mail.storage.types import Finding, RepairReport
from mic_mail.storage.verify import verify


def repair(store: Store, *, check: bool) -> RepairReport:
    """Compare index, names and sidecars, put right what differs unless `check`.

    An index that SQLite finds damaged is made anew first; with `check` nothing else is said, as nothing can be believed.
    """
    store.ready()
    with translated("reading the index"):
        damage = [Finding("index-damaged", "", text) for text in store.index.damage()]
    if damage and check:
        return RepairReport(damage, 0, 0, 0)
    store.index.doubtful = bool(damage)
    with translated("reading the search file"):
        damage += [Finding("search-damaged", "", text) for text in store.search.damage()]
        if any(each.kind == "search-damaged" for each in damage) and not check:
            store.search.discard()  # the indexer makes it anew
    with writing(store) as write:
        comparison = Comparison(write, check=check)
        comparison.run()
        findings: list[Finding] = damage + comparison.findings
        if not check:
            adopt_tombstones(write, comparison.contents)
        findings += verify(write, check=check)
        return RepairReport(findings, write.count_folders(), write.account.messages, write.account.octets)


def rescan(store: Store) -> RepairReport:
    """Take in what other Maildir tools did."""
    with writing(store) as write:
        comparison = Comparison(write)
        comparison.run()
        return RepairReport(comparison.findings, write.count_folders(), write.account.messages, write.account.octets)
