"""APPEND one by one in a session: by the journal where messages follow closely, with as few visits to the store as can be."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock
from mic_mail.connection.actions import Action
from mic_mail.errors import MicMailError, Text
from mic_mail.imap.actions import Inspect, Work
from mic_mail.imap.commands.append import HELD_OCTETS, LANDED_SECONDS, SENT
from mic_mail.imap.replies import CommandRefused
from mic_mail.imap.session_settings import SessionSettings
from mic_mail.storage.journal.frames import Journaled
from mic_mail.storage.journal.journal import FOLDER, LOCK
from mic_mail.storage.local_mailstore import LocalMailStore
from session_harness import REF, START, Talk
from store_harness import arrivals_in


def held(tmp_path: Path) -> list[Journaled]:
    """What the journal holds, as it was written."""
    paths = (path for path in (tmp_path / FOLDER).iterdir() if path.name != LOCK)
    return sorted((arrival for path in paths for arrival in arrivals_in(str(path))), key=lambda arrival: arrival.at)


def text(token: str) -> bytes:
    return b"Subject: %b\r\n\r\n%b\r\n" % (token.encode(), token.encode())


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> LocalMailStore:
    store = LocalMailStore(tmp_path, clock=clock, host="mail.mic.gov.vn")
    store.prepare_journal()
    return store


def append(ctx: Talk, what: bytes, *messages: bytes) -> bytes:
    """With literals that nobody waits for."""
    return ctx.say(b"t APPEND %b%b\r\n" % (what, b"".join(b" {%d+}\r\n%b" % (len(octets), octets) for octets in messages)))


def test_what_follows_closely_is_held_by_the_journal(store: LocalMailStore, clock: ManualClock, tmp_path: Path) -> None:
    """The first is durable by its own file, so is one that comes later; those in between, and all of a command, are held."""
    ctx = Talk(store).sign_in()
    assert b"t OK" in append(ctx, b"INBOX", text("first"))
    assert b"t OK" in append(ctx, b"Archive (\\Seen \\Flagged)", text("second"), text("third"))
    assert b"t OK" in append(ctx, b"INBOX", b"Subject: large\r\n\r\n" + b"large\r\n" * 50_000)
    clock.move_to(clock.now() + timedelta(seconds=1))
    assert b"t OK" in append(ctx, b"INBOX", text("late"))
    assert [arrival.octets for arrival in held(tmp_path)] == [text("second"), text("third")]
    names = [arrival.location.name for arrival in held(tmp_path) if arrival.location is not None]
    assert [name.partition(",U=")[2] for name in names] == ["1:2,FS", "2:2,"]
    store.close()


def test_a_command_is_one_sync_of_the_journal(store: LocalMailStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MULTIAPPEND: all of its messages with one fdatasync, and no file or folder is fsynced."""
    ctx = Talk(store).sign_in()
    append(ctx, b"INBOX", text("first"))
    synced: list[int] = []
    sync = os.fdatasync
    monkeypatch.setattr(os, "fsync", pytest.fail)
    monkeypatch.setattr(os, "fdatasync", lambda fd: (synced.append(fd), sync(fd))[1])
    assert b"t OK" in append(ctx, b"INBOX", *(text(f"t{n}") for n in range(5)))
    monkeypatch.undo()
    assert len(synced) == 1
    assert len(held(tmp_path)) == 5
    store.close()


def test_binary_messages_are_held_as_they_came(store: LocalMailStore, tmp_path: Path) -> None:
    """A literal8 may have NUL in it (RFC 3516 §4.4)."""
    ctx = Talk(store).sign_in()
    append(ctx, b"INBOX", text("first"))
    octets = b"Subject: binary\r\n\r\n\0\r\n" + bytes(range(256))
    assert b"t OK" in ctx.say(b"t APPEND INBOX ~{%d+}\r\n%b\r\n" % (len(octets), octets))
    assert [arrival.octets for arrival in held(tmp_path)] == [octets]
    store.close()


def test_attachments_are_measured_before_anything_is_held(store: LocalMailStore, tmp_path: Path) -> None:
    """What the regulation refuses (Reg. 8.3.b) must not come back after a power loss."""
    ctx = Talk(store, SessionSettings(attachment_limit=100)).sign_in()
    append(ctx, b"INBOX", text("first"))
    head = b"Content-Type: application/pdf\r\nContent-Disposition: attachment\r\n\r\n"
    assert b"t NO [TOOBIG]" in append(ctx, b"INBOX", head + b"x" * 200)
    assert held(tmp_path) == []
    store.close()


def test_messages_in_a_row_cost_one_visit_each(store: LocalMailStore) -> None:
    """Whether the folder is there is asked once; what is new in the selected mailbox is seen as the message is stored."""
    ctx = Talk(store).sign_in()
    ctx.say(b"s SELECT INBOX\r\n")
    visits = []
    for number in range(3):
        before = ctx.work
        assert ctx.say(b"t APPEND INBOX {%d}\r\n" % len(text("x"))) == b"+ OK\r\n"
        assert b"* %d EXISTS\r\n" % (number + 1) in ctx.say(text("x") + b"\r\n")
        visits.append(ctx.work - before)
    assert visits == [2, 1, 1]
    store.close()


WITH_FILE = b"From: <a@example.org>\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n"
"""A message that may hold a marking: whether its folder holds sent mail has to be known."""


class Inspected(Talk):
    """Counts the messages that were checked for a marking."""

    inspections = 0
    refusal: MicMailError | None = None

    def carry_out(self, action: Action) -> None:
        if isinstance(action, Inspect):
            self.inspections += 1
            octets = action.source if isinstance(action.source, bytes) else action.source.read_bytes()
            assert octets.startswith(WITH_FILE), "all of it is there"
            self.session.done(action, self.refusal)
        else:
            super().carry_out(action)


class Overtaken(Inspected):
    """Another session changes folders after this one has given its write to a thread, before that has the account's lock."""

    before_write: Callable[[], object] | None = None

    def carry_out(self, action: Action) -> None:
        if isinstance(action, Work) and action.writes and self.before_write is not None:
            change, self.before_write = self.before_write, None
            change()
        super().carry_out(action)


def test_a_selected_folder_that_is_renamed_meanwhile_gets_nothing(store: LocalMailStore) -> None:
    """The folder that has the name now is meant."""
    ctx, account = Overtaken(store).sign_in(), store.account(REF)
    account.create("A")
    ctx.say(b"s SELECT A\r\n")
    ctx.before_write = lambda: (account.rename("A", "B"), account.create("A"))
    assert b"t OK" in append(ctx, b"A", text("x"))
    assert [account.folder(name).messages for name in ("A", "B")] == [1, 0]
    store.close()


def test_a_selected_folder_that_is_made_again_meanwhile_gets_the_message(store: LocalMailStore) -> None:
    ctx, account = Overtaken(store).sign_in(), store.account(REF)
    account.create("A")
    ctx.say(b"s SELECT A\r\n")
    ctx.before_write = lambda: (account.delete("A"), account.create("A"))
    assert b"t OK" in append(ctx, b"A", text("x"))
    assert account.folder("A").messages == 1
    store.close()


def test_a_replacement_in_what_is_for_sent_by_then_is_checked(store: LocalMailStore) -> None:
    """Reg. 4.1: what the folder is for is seen inside the transaction, for REPLACE too."""
    ctx, account = Overtaken(store).sign_in(), store.account(REF)
    account.create("Out")
    append(ctx, b"INBOX", text("old"))
    ctx.say(b"s SELECT INBOX\r\n")
    ctx.refusal = CommandRefused(Text("Mat.", "Secret."))
    ctx.before_write = lambda: (account.rename("Out", "Then"), account.rename("Sent", "Out"))
    ctx.say(b"t REPLACE 1 Out {%d+}\r\n%b\r\n" % (len(WITH_FILE), WITH_FILE))
    assert account.folder("Out").special_use == SENT
    assert (ctx.inspections, account.folder("Out").messages, account.folder("INBOX").messages) == (1, 0, 1)
    ctx.refusal = None
    ctx.say(b"t REPLACE 1 Out {%d+}\r\n%b\r\n" % (len(WITH_FILE), WITH_FILE))
    assert (ctx.inspections, account.folder("Out").messages, account.folder("INBOX").messages) == (2, 1, 0)
    store.close()


def test_a_file_costs_one_visit_with_nothing_selected(store: LocalMailStore) -> None:
    """What the folder is for is seen as the message is stored."""
    ctx, visits = Inspected(store).sign_in(), []
    for _ in range(3):
        before = ctx.work
        append(ctx, b"INBOX", WITH_FILE)
        visits.append(ctx.work - before)
    assert visits == [1, 1, 1]
    assert ctx.inspections == 0
    store.close()


def test_what_a_folder_is_for_is_seen_as_the_message_is_stored(store: LocalMailStore) -> None:
    """Another folder has got the name meanwhile, one for sent mail: the message is checked once, and goes there once."""
    ctx, account = Inspected(store).sign_in(), store.account(REF)
    account.create("Out")
    for _ in range(2):
        append(ctx, b"Out", WITH_FILE)
    assert ctx.inspections == 0
    sent = next(folder for folder in account.folders() if folder.special_use == SENT)
    account.rename("Out", "Then")
    account.rename(sent.name, "Out")
    assert b"t OK" in append(ctx, b"Out", WITH_FILE, WITH_FILE)
    assert ctx.inspections == 2
    assert [account.folder(name).messages for name in ("Then", "Out")] == [2, 2]
    before = ctx.work
    append(ctx, b"Out", WITH_FILE)
    assert (ctx.inspections, ctx.work - before) == (3, 1)
    store.close()


@pytest.mark.parametrize("octets", [100, HELD_OCTETS + 1])
@pytest.mark.parametrize("times", [1, 3])
def test_a_message_refused_for_its_marking_leaves_nothing(
    store: LocalMailStore, tmp_path: Path, octets: int, times: int
) -> None:
    """Whether it was held by the journal, had a file of its own, or was too large to be held in memory. What is not refused is
    stored whole."""
    ctx = Inspected(store).sign_in()
    message = WITH_FILE + b"\r\n" * octets
    ctx.refusal = CommandRefused(Text("Mật.", "Secret."))
    for _ in range(times):
        assert b"t NO" in append(ctx, b"Sent", message)
    assert list((tmp_path / REF.home / "Maildir" / "tmp").iterdir()) == []
    assert ctx.account.folder("Sent").messages == 0
    assert b"t OK" in append(ctx, b"INBOX", message)
    ctx.refusal = None
    for _ in range(times):
        assert b"t OK" in append(ctx, b"Sent", message)
    ctx.say(b"s SELECT Sent\r\n")
    assert ctx.say(b"f FETCH 1:* BODY.PEEK[]\r\n").count(message) == times
    store.close()


def test_a_name_is_looked_up_as_the_message_is_stored(store: LocalMailStore) -> None:
    """However it is spelled; what has changed names since the last message gets none."""
    ctx, account = Talk(store).sign_in(), store.account(REF)
    account.create("A")
    for spelling in (b"inbox", b"INBOX", b"iNbOx"):
        append(ctx, spelling, text("x"))
    append(ctx, b"A", text("x"))
    account.rename("A", "B")
    account.create("A")
    append(ctx, b"A", text("x"))
    assert [account.folder(name).messages for name in ("INBOX", "A", "B")] == [3, 1, 1]
    store.close()


def test_the_selected_folder_is_not_taken_for_the_one_that_has_its_name_now(store: LocalMailStore) -> None:
    """Neither its messages nor its UIDs are those of the other, whichever of the two is selected."""
    ctx, account = Talk(store).sign_in(), store.account(REF)
    account.create("A")
    ctx.say(b"s SELECT A\r\n")
    assert b"* 1 EXISTS" in append(ctx, b"A", text("x"))
    account.rename("A", "B")
    account.create("A")
    assert b"EXISTS" not in append(ctx, b"A", text("y"), text("z"))
    assert b"* 2 EXISTS" in append(ctx, b"B", text("x"))
    assert ctx.say(b"f UID FETCH 1:* (UID)\r\n").count(b"FETCH (UID") == 2
    assert [account.folder(name).messages for name in ("A", "B")] == [2, 2]
    store.close()


def test_what_a_folder_was_for_is_not_believed_for_long(store: LocalMailStore) -> None:
    """A folder that held sent mail a while ago may be for something else now, and then accepts anything."""
    ctx, account = Inspected(store).sign_in(), store.account(REF)
    append(ctx, b"Sent", WITH_FILE)
    account.rename("Sent", "Before")
    account.create("Sent")
    ctx.clock.move_to(ctx.clock.now() + timedelta(seconds=LANDED_SECONDS))
    append(ctx, b"Sent", WITH_FILE)
    assert ctx.inspections == 1
    assert [account.folder(name).messages for name in ("Before", "Sent")] == [1, 1]
    store.close()


def test_a_folder_that_is_gone_is_noticed_all_the_same(store: LocalMailStore) -> None:
    """Once with the octets, as nobody looked before they came; then before they come."""
    ctx, account = Talk(store).sign_in(), store.account(REF)
    account.create("here")
    assert b"t OK" in ctx.say(b"t APPEND here {6}\r\n") + ctx.say(b"a: b\r\n\r\n")
    account.delete("here")
    assert ctx.say(b"t APPEND here {6}\r\n") == b"+ OK\r\n"
    assert b"t NO [TRYCREATE]" in ctx.say(b"a: b\r\n\r\n")
    assert b"t NO [TRYCREATE]" in ctx.say(b"t APPEND here {6}\r\n")
    store.close()


def test_a_mailbox_that_gets_full_is_told_before_the_octets_come(store: LocalMailStore) -> None:
    """What was appended in a row counts."""
    ctx = Talk(store).sign_in()
    ctx.host.quota = 40
    for _ in range(2):
        assert ctx.say(b"t APPEND INBOX {15}\r\n") == b"+ OK\r\n"
        assert b"t OK" in ctx.say(b"a: b\r\n\r\nsome\r\n\r\n"[:15] + b"\r\n")
    assert b"t NO [OVERQUOTA]" in ctx.say(b"t APPEND INBOX {15}\r\n")
    store.close()


def test_who_appends_to_its_own_mailbox_has_the_message_as_recent(store: LocalMailStore) -> None:
    """And nobody else; with what came from others before it, which nobody was told of (RFC 3501 §2.3.2)."""
    ctx, other = Talk(store).sign_in(), Talk(store).sign_in()
    assert b"* 0 RECENT" in ctx.say(b"s SELECT INBOX\r\n")
    assert b"* 1 EXISTS\r\n* 1 RECENT\r\n" in append(ctx, b"INBOX", text("own"))
    append(other, b"INBOX", text("another's"))
    assert b"* 3 EXISTS\r\n* 3 RECENT\r\n" in append(ctx, b"INBOX", text("own"))
    append(ctx, b"Archive", text("not here"))
    assert b"* 0 RECENT" in other.say(b"s SELECT INBOX\r\n")
    assert b"* 1 RECENT" in other.say(b"s SELECT Archive\r\n")
    store.close()


def test_messages_that_are_whole_are_not_kept_open(store: LocalMailStore, tmp_path: Path) -> None:
    """A command of hundreds that goes on, or does not: one descriptor, not one for each. Then each is durable as ever."""
    ctx = Talk(store).sign_in()
    octets = text("x" * 700)
    pieces = [b" {%d+}\r\n%b" % (len(octets), octets)] * 400

    def open_files() -> int:
        return sum(os.path.realpath(f"/proc/self/fd/{fd}").startswith(str(tmp_path)) for fd in os.listdir("/proc/self/fd"))

    assert b"t OK" in append(ctx, b"INBOX", b"Subject: before\r\n\r\n" + b"large\r\n" * 50_000)
    before = open_files()
    ctx.session.feed(b"t APPEND INBOX" + b"".join(pieces))
    ctx.run()
    staged = [path for path in tmp_path.rglob("tmp/*") if path.is_file()]
    assert len(staged) > 100
    assert open_files() <= before + 1
    assert b"t OK" in ctx.say(b"\r\n")
    assert ctx.account.folder("INBOX").messages == 401
    store.close()
