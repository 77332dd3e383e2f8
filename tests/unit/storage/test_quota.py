"""The quota of an account: what refuses, and what is known of it while the account is closed."""

import contextlib
import sqlite3

import pytest

from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.errors import OverQuota
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.types import AccountRef, Quota
from store_harness import REF, Root, deliver, inbox, message


def test_quota_refuses_and_leaves_nothing(account: Account, root: Root) -> None:
    """Above the limit nothing is published and nothing counted; the staged file is the caller's to discard."""
    size = len(message("a"))
    deliver(account, inbox(account), ["a"])
    staged = account.stage()
    staged.write(message("b"))
    staged.finish()
    with pytest.raises(OverQuota):
        account.publish(inbox(account), [Delivery(staged, answers_of(message("b")))], limit_octets=2 * size - 1)
    staged.discard()
    staged.discard()
    assert account.quota().octets == size
    assert root.staged() == []
    with pytest.raises(OverQuota):
        account.copy(inbox(account), [1], account.folder("Sent").folder_id, limit_octets=2 * size - 1)
    assert account.repair(check=True).clean


def test_quota_at_rest_of_a_sound_index(account: Account, root: Root) -> None:
    """Who looks at thousands of accounts once opens none of them: no handle stays, no epoch begins, no sidecar is written."""
    deliver(account, inbox(account), ["a", "b"])
    expected = account.quota()
    with contextlib.closing(root.store()) as reporting:
        there = {path: path.stat().st_mtime_ns for path in root.home.rglob(".mic-*")}
        assert reporting.account(account.ref).quota_at_rest() == expected
        assert reporting.store(account.ref).rests
        assert not reporting.store(account.ref).is_ready
        assert {path: path.stat().st_mtime_ns for path in root.home.rglob(".mic-*")} == there


def test_quota_at_rest_of_what_has_no_store(root: Root) -> None:
    """A mailbox that nobody has used yet; a report makes nothing of it."""
    with contextlib.closing(root.store()) as reporting:
        assert reporting.account(AccountRef(7, "m/nobody")).quota_at_rest() == Quota(0, 0)
        assert not (root.path / "m/nobody").exists()


@pytest.mark.parametrize("what", ["no index", "an index of another version", "a damaged index", "another boot"])
def test_quota_at_rest_where_only_opening_can_tell(root: Root, what: str) -> None:
    """The store is opened as at any first use, and the answer is as right."""

    def fill(account: Account) -> Quota:
        deliver(account, inbox(account), ["a", "b"])
        return account.quota()

    expected = root.use(fill)
    if what == "no index":
        root.lose_index()
    elif what == "an index of another version":
        with contextlib.closing(sqlite3.connect(root.home / "index.sqlite")) as connection:
            connection.execute("PRAGMA user_version = 0")
    elif what == "a damaged index":
        (root.home / "index.sqlite").write_bytes(b"no index of SQLite " * 1000)
    else:
        root.settings["boot_id"] = "second boot"
    with contextlib.closing(root.store()) as reporting:
        assert reporting.account(REF).quota_at_rest() == expected
        assert reporting.store(REF).is_ready
