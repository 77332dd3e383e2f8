"""A mail root of the test's own, and what an account of it is filled with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import DELETED, FLAGGED
from store_harness import REF, Root, deliver, inbox


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


@pytest.fixture
def account(root: Root) -> Iterator[Account]:
    store = root.store()
    yield store.account(REF)
    store.close()


def fill(account: Account) -> None:
    deliver(account, inbox(account), ["a", "b", "c", "d"], received_at_us=1_500_000_000_000_000)
    account.store_flags(inbox(account), [2], "+", FLAGGED, ["work"])
    account.copy(inbox(account), [1], account.create("Đã lưu").folder_id)
    account.store_flags(inbox(account), [4], "+", DELETED)
    account.expunge(inbox(account))
    account.delete("Junk")
    account.flush_names()
