"""`mailbox repair`, `mailbox repair --check` and `mailbox rescan`: one pass over everything, in one critical section."""

from mic_mail.storage.graves import adopt_tombstones
from mic_mail.storage.reconcile import Comparison
from mic_mail.storage.section import writing
from mic_mail.storage.store import Store
from mic_mail.storage.types import Finding, RepairReport
from mic_mail.storage.verify import verify


def repair(store: Store, *, check: bool) -> RepairReport:
    """Compare index, names and sidecars, put right what differs unless `check`."""
    with writing(store) as write:
        comparison = Comparison(write, check=check)
        comparison.run()
        findings: list[Finding] = list(comparison.findings)
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
