"""`repair` of an account whose rows contradict each other: all is put right, and mail goes on."""

import pytest

from mic_mail.storage.database_ground.account import DatabaseAccount
from mic_mail.storage.types import SEEN
from postgresql_server import PostgresqlServer
from store_harness import deliver, inbox, observe

pytestmark = pytest.mark.needs_tool("postgres")

DAMAGE = {
    "uidnext": "UPDATE folder SET uidnext = 1 WHERE name = 'INBOX'",
    "modseq": "UPDATE account SET modseq = 1",
    "modseq of a folder": "UPDATE folder SET highest_modseq = 1 WHERE name = 'INBOX'",
    "counters": "UPDATE folder SET unseen = 7 WHERE name = 'INBOX'",
    "counters of the account": "UPDATE account SET octets = -5, messages = 99",
    "content-refs": "UPDATE email SET refs = refs + 1",
    "seen-stray": "INSERT INTO seen SELECT account_id, reader_id, 1, 77, 1, 1 FROM reader",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_repair_puts_rows_right(account: DatabaseAccount, postgresql: PostgresqlServer, damage: str) -> None:
    """What was damaged is named once; numbers go on from where they were; nothing is lost."""
    folder_id = inbox(account)
    deliver(account, folder_id, ["a", "b", "c"])
    account.store_flags(folder_id, [1], "+", SEEN)
    account.remove(folder_id, [3])
    account.keep_seen(each=True, persons=["ttlan@mic.gov.vn"])
    before = observe(account)
    modseq = account.highest_modseq()
    postgresql.psql(DAMAGE[damage])
    findings = account.repair().findings
    assert {finding.kind for finding in findings} == {damage.split(maxsplit=1)[0]}
    assert account.repair(check=True).clean
    assert deliver(account, folder_id, ["d"]) == [before["INBOX"].uidnext]
    assert modseq < account.highest_modseq() < modseq + 10
    after = observe(account)
    assert after["INBOX"].messages.items() >= before["INBOX"].messages.items()
    assert account.repair(check=True).clean
