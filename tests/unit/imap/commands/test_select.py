"""SELECT: what is found among the messages of a mailbox, and what is asked of whom."""

import contextlib
import os
import random
from array import array
from pathlib import Path

import pytest

from mic_mail.imap.commands import select
from mic_mail.storage.maildir.cached_read import CachedReader
from mic_mail.storage.types import DELETED, FLAGGED, KEYWORD_FLAGS, SEEN, FolderView
from session_harness import REF, Talk
from store_harness import Root, deliver


def view_of(flags: list[int], unseen: int, talk: Talk) -> FolderView:
    info = talk.account.folder("INBOX")._replace(unseen=unseen)
    count = range(1, len(flags) + 1)
    return FolderView(info, array("I", count), array("Q", flags), array("Q", count), array("Q", count))


def test_the_first_unseen_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each position, within and beyond a slice, whatever other flags and keywords there are."""
    monkeypatch.setattr(select, "_FLAGS_AT_ONCE", 4)
    dice = random.Random(1)
    store = Root(tmp_path).store()
    talk = Talk(store)
    others = [0, DELETED, FLAGGED, KEYWORD_FLAGS]
    for count in (1, 3, 4, 5, 12, 13):
        for first in range(count):
            flags = [SEEN | dice.choice(others) for _ in range(first)] + [
                dice.choice(others) | dice.choice([0, SEEN]) for _ in range(count - first)
            ]
            flags[first] &= ~SEEN
            assert select.first_unseen(view_of(flags, 1, talk)) == first
    assert select.first_unseen(view_of([SEEN] * 9, 1, talk)) is None
    assert select.first_unseen(view_of([0], 0, talk)) is None
    store.close()


@pytest.mark.skipif(CachedReader().stat("/") is None, reason="the kernel has no lookups that do not wait")
@pytest.mark.parametrize("most", [select.LOOKED_AT_IN_THE_LOOP, 1])
def test_a_select_in_the_loop_says_what_one_of_the_store_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """With new messages and without, SELECT and EXAMINE; many messages are looked at in a thread."""
    monkeypatch.setattr(select, "LOOKED_AT_IN_THE_LOOP", most)
    root = Root(tmp_path)
    store = root.store()
    account = store.account(REF)
    folder_id = account.folder("INBOX").folder_id
    deliver(account, folder_id, ["a", "b", "c"])
    account.store_flags(folder_id, [1], "+", SEEN)
    os.utime(root.home / "Maildir" / "new", (1_500_000_000, 1_500_000_000))
    at_once, asking = Talk(store).sign_in(), Talk(store).sign_in()
    asking.host.remembers = False
    for _ in range(2):  # new messages are claimed, and the time of `new/` noted
        asking.say(b"a SELECT INBOX\r\n")
    assert store.opened(REF, "INBOX") is not None
    asking.say(b"a CLOSE\r\n")
    for line in (b"a SELECT INBOX\r\n", b"a EXAMINE INBOX\r\n", b"a select inbox\r\n", b"a SELECT None\r\n"):
        assert at_once.say(line) == asking.say(line)
    deliver(account, folder_id, ["d"])
    for line, recent in ((b"EXAMINE", 1), (b"EXAMINE", 1), (b"SELECT", 1), (b"SELECT", 0)):
        answer = at_once.say(b"a %b INBOX\r\n" % line)
        assert b"* 4 EXISTS\r\n* %d RECENT\r\n* OK [UNSEEN 2]" % recent in answer
    store.close()


@pytest.mark.skipif(CachedReader().stat("/") is None, reason="the kernel has no lookups that do not wait")
def test_status_of_a_folder_whose_state_is_in_memory_asks_nobody(tmp_path: Path) -> None:
    """Also after a change, of which the list of all folders knows nothing; the answer is that of the store."""
    root = Root(tmp_path)
    store = root.store()
    account = store.account(REF)
    folder_id = account.folder("INBOX").folder_id
    os.utime(root.home / "Maildir" / "new", (1_500_000_000, 1_500_000_000))
    at_once, asking = Talk(store).sign_in(), Talk(store).sign_in()
    asking.host.remembers = False
    for talk in (at_once, asking):
        talk.say(b"a ENABLE CONDSTORE\r\n")
    line = b"a STATUS Inbox (MESSAGES UIDNEXT UNSEEN RECENT DELETED SIZE HIGHESTMODSEQ UIDVALIDITY)\r\n"
    for change, count in (((), 0), (("a", "b"), 2), (("c",), 3)):
        if change:
            deliver(account, folder_id, change)
        for _ in range(2):
            at_once.say(b"a SELECT INBOX\r\n")
        at_once.say(b"a UNSELECT\r\n")
        account.store_flags(folder_id, [1], "+", DELETED)
        before = at_once.work
        answer = at_once.say(line)
        assert at_once.work == before
        assert b"MESSAGES %d " % count in answer
        assert answer == asking.say(line)
    with contextlib.closing(root.store()) as another_process:
        deliver(another_process.account(REF), folder_id, ["d"])
    assert b"MESSAGES 4 " in at_once.say(line)
    store.close()
