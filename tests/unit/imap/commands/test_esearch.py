"""ESEARCH over several mailboxes (RFC 7377): progress, mailboxes that go meanwhile, nothing that is selected by it."""

import re
import time
from datetime import timedelta

import pytest

from cost_growth import assert_linear
from mic_mail.imap.commands import search_run
from mic_mail.storage.errors import NoSuchFolder
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.types import FolderView
from session_harness import Talk


def fill(ctx: Talk, folder: bytes, count: int) -> None:
    for number in range(count):
        octets = b"Subject: x\r\n\r\nso %d\r\n" % number
        assert b"p OK" in ctx.say(b"p APPEND %b {%d+}\r\n%b\r\n" % (folder, len(octets), octets))


def test_progress_is_that_of_all_mailboxes(ctx: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9585: so many of so many messages, of those mailboxes too that have yet to be searched; and it can be cut."""
    monkeypatch.setattr(search_run, "BODY_SCAN_MESSAGES", 1)
    monkeypatch.setattr(search_run, "READING_SECONDS", 0.0)
    fill(ctx, b"Archive", 3)
    fill(ctx, b"INBOX", 3)
    slow = Account.find_text

    def scan(self: Account, *args: object) -> object:
        ctx.clock.move_to(ctx.clock.now() + timedelta(minutes=1))
        return slow(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Account, "find_text", scan)
    answer = ctx.say(b'f ESEARCH IN (personal) BODY "so 2"\r\n')
    told = [(int(done), int(goal)) for done, goal in re.findall(rb'\* OK \[INPROGRESS \("f" (\d+) (\d+)\)\]', answer)]
    assert told == [(done, 6) for done in range(1, 6)]
    assert len(re.findall(rb"\* ESEARCH .* UID ALL 3\r\n", answer)) == 2
    ctx.session.feed(b'g ESEARCH IN (personal) BODY "so 2"\r\n')
    for _ in range(4):
        ctx.carry_out(ctx.session.next())  # type: ignore[arg-type]
    ctx.session.end("Going down.")
    assert ctx.run().endswith(b"* BYE Going down.\r\n")


def test_a_mailbox_that_goes_meanwhile_is_passed_over(ctx: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are searched all the same."""
    fill(ctx, b"Archive", 1)
    fill(ctx, b"INBOX", 1)
    archive, view = ctx.account.folder("Archive").folder_id, Account.view

    def gone(self: Account, folder_id: int) -> FolderView:
        if folder_id == archive:
            raise NoSuchFolder("Archive")
        return view(self, folder_id)

    monkeypatch.setattr(Account, "view", gone)
    answer = ctx.say(b"f ESEARCH IN (personal) ALL\r\n")
    assert re.findall(rb'MAILBOX "(\w+)"', answer) == [b"INBOX"]
    assert b"\r\nf OK" in answer


def test_the_selected_mailbox_is_searched_as_its_client_knows_it(ctx: Talk) -> None:
    """A message that is gone has its number still, and is told; the mailbox stays selected, the others are not touched."""
    fill(ctx, b"INBOX", 2)
    fill(ctx, b"Archive", 1)
    ctx.say(b"a SELECT INBOX\r\n")
    inbox = ctx.account.folder("INBOX").folder_id
    ctx.account.store_flags(inbox, [1], "+", 4)
    ctx.account.expunge(inbox)
    answer = ctx.say(b"b ESEARCH IN (selected mailboxes Archive) 1:2\r\n")
    assert re.findall(rb'MAILBOX "(\w+)" UIDVALIDITY \d+\) UID ALL ([0-9:]+)', answer) == [
        (b"INBOX", b"1:2"),
        (b"Archive", b"1"),
    ]
    assert b"EXPUNGE" not in answer, "numbers are among the keys"
    assert b"* 1 EXPUNGE\r\n" in ctx.say(b"c ESEARCH ALL\r\n")
    assert b"* 1 FETCH (UID 2)" in ctx.say(b"d FETCH 1 UID\r\n")
    assert b"\\Recent" in ctx.say(b"e SELECT Archive\r\nf FETCH 1 FLAGS\r\n"), "a search is no look at what is new"


def test_a_hundred_sources(ctx: Talk) -> None:
    """However often a mailbox is named, it is searched once."""
    fill(ctx, b"INBOX", 1)
    sources = b" ".join([b"mailboxes INBOX subtree (INBOX INBOX)", b"personal"] * 100)
    assert ctx.say(b"f ESEARCH IN (%b) ALL\r\n" % sources).count(b"* ESEARCH") == 1


def test_a_folder_is_held_against_all_names_at_once(ctx: Talk) -> None:
    """Not against each of the thousands that a command may hold: that kept the loop for seconds."""
    sizes = (3_000, 12_000)
    for names in sizes:
        for number in range(names // 60):
            assert b"p OK" in ctx.say(b"p CREATE among-%d/folder-%d\r\n" % (names, number))
        fill(ctx, b"among-%d/folder-7" % names, 1)

    def search(names: int) -> None:
        held = b" ".join(b"%x" % number for number in range(names))
        answer = ctx.say(b"f ESEARCH IN (subtree (%b among-%d)) ALL\r\n" % (held, names))
        assert re.findall(rb'MAILBOX "([^"]+)"', answer) == [b"among-%d/folder-7" % names]

    assert_linear(int, search, sizes, clock=time.process_time)


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        (b"subtree a", [b"a", b"a/b", b"a/b/c"]),
        (b"subtree-one a", [b"a", b"a/b"]),
        (b'subtree-one ("a/b/" x)', [b"a/b", b"a/b/c"]),
        (b'subtree-one "/"', []),
        (b'subtree "/"', []),
        (b"subtree (a/b/c b)", [b"a/b/c"]),
        (b"mailboxes (a ab nowhere) mailboxes a/b", [b"a", b"a/b", b"ab"]),
        (b"subscribed mailboxes ab", [b"INBOX", b"a/b", b"ab"]),
        (b"personal mailboxes a", [b"INBOX", b"a", b"a/b", b"a/b/c", b"ab"]),
    ],
)
def test_sources_together(ctx: Talk, sources: bytes, found: list[bytes]) -> None:
    """RFC 7377 §2.2, RFC 5465 §6: each mailbox once, whichever of them name it."""
    for name in (b"a", b"a/b", b"a/b/c", b"ab"):
        assert b"p OK" in ctx.say(b"p CREATE %b\r\n" % name)
        fill(ctx, name, 1)
    fill(ctx, b"INBOX", 1)
    assert b"p OK" in ctx.say(b"p SUBSCRIBE a/b\r\n")
    answer = ctx.say(b"f ESEARCH IN (%b) ALL\r\n" % sources)
    assert sorted(re.findall(rb'MAILBOX "([^"]+)"', answer)) == found
    assert b"f OK" in answer
