"""What the messages of a mailbox say of themselves: how far back a folder is read."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mic_mail.clock import SystemClock
from mic_mail.services.unit_mail.message_facts import folder_facts
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef
from store_harness import deliver, message

YEAR = timedelta(days=365)


@pytest.mark.clause("12.4")
def test_an_old_file_among_new_ones_does_not_end_the_search(tmp_path: Path) -> None:
    """A mailbox of another server, or one whose index was lost, has its messages saved when their files say: one that was moved
    into the folder yesterday has a high number and an old file."""
    store = LocalMailStore(tmp_path, clock=SystemClock(), host="mail.mic.gov.vn")
    account = store.account(AccountRef(1, "mic.gov.vn/cntt"))
    inbox = account.folder("INBOX")
    uids = deliver(account, inbox.folder_id, [f"m{number}" for number in range(600)], together=True)
    old = tmp_path / "mic.gov.vn/cntt/Maildir/cur/1500000000.M1P1.x:2,S"
    old.write_bytes(message("old"))
    os.utime(old, (1_500_000_000, 1_500_000_000))
    account.rescan()
    assert account.folder("INBOX").messages == 601
    since, inbox = datetime.now(UTC) - YEAR, account.folder("INBOX")
    found = [letter.uid for letter in folder_facts(account, inbox, since, "mail.mic.gov.vn")]
    assert sorted(found) == uids
    store.close()
