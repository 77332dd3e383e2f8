"""Messages on their way into another account (cross_account.py)."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.store import Store, Write
from mic_mail.storage.types import AccountRef
from store_harness import REF, Root, deliver, observe

UNIT = AccountRef(8, "mic.gov.vn/cntt")
TOKENS = ["t1", "t2", "t3"]


def test_what_is_expunged_behind_the_lending_is_lent_all_the_same(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process expunges and sweeps as soon as the lock is free, and nothing is kept (`storage.expunge_keep = 0`)."""
    root.settings["expunge_keep_seconds"] = 0
    waiting = root.store()  # another process's view of the same account
    ground = type(waiting.store(REF))
    writing = ground.writing

    @contextmanager
    def before_an_expunge(store: Store) -> Iterator[Write]:
        monkeypatch.undo()
        with writing(store) as write:
            yield write
        other = waiting.account(REF)
        other.remove(other.folder("INBOX").folder_id, [1, 2, 3])
        other.sweep()

    def move(own: Account) -> None:
        unit = own._mailstore.account(UNIT)
        inbox, there = own.folder("INBOX").folder_id, unit.folder("INBOX").folder_id
        deliver(own, inbox, TOKENS)
        monkeypatch.setattr(ground, "writing", before_an_expunge)
        lent = own.stage_copies(UNIT, inbox, [1, 2, 3])
        assert own.folder("INBOX").messages == 0
        unit.publish(there, [each.delivery for each in lent])
        assert [token for token, _ in observe(unit)["INBOX"].messages.values()] == TOKENS

    root.use(move)
    waiting.close()


def test_no_sweep_takes_old_messages_that_are_on_their_way(root: Root) -> None:
    """A link in `tmp/` has the time of the message, which may have come years ago; what counts is when it was made."""

    def move(own: Account) -> None:
        unit = own._mailstore.account(UNIT)
        inbox, there = own.folder("INBOX").folder_id, unit.folder("INBOX").folder_id
        deliver(own, inbox, TOKENS, received_at_us=1_600_000_000_000_000)
        lent = own.stage_copies(UNIT, inbox, [1, 2, 3])
        unit.sweep()
        unit.publish(there, [each.delivery for each in lent])
        assert [token for token, _ in observe(unit)["INBOX"].messages.values()] == TOKENS

    root.use(move)
