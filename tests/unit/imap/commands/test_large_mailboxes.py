"""STORE and EXPUNGE of many messages are done in slices: the client sees the same; the statements of a slice are few."""

import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from cost_growth import calls_of
from mic_mail.imap.commands import search_run, select, store_copy_move
from mic_mail.imap.selected import mailbox_view, sequence_numbers
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.changes import flags, flags_in_names
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.index import view_cache
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.message_names import parse_name
from mic_mail.storage.search import lookup
from mic_mail.storage.search.indexing import Visited
from mic_mail.storage.types import ANSWERED, DELETED, FLAGGED, SEEN
from session_harness import REF, Talk, open_store

MESSAGE = b"Subject: x\r\n\r\nabc\r\n"
CHANGES = [
    b"STORE 1:* +FLAGS (\\Flagged)",
    b"STORE 2:9 -FLAGS (\\Flagged \\Seen)",
    b"STORE 1,3,5:12 FLAGS (\\Answered $Label)",
    b"STORE 4:20 +FLAGS.SILENT (\\Deleted)",
    b"UID STORE 1:30 -FLAGS.SILENT ($Label)",
    b"UID STORE 3:14 FLAGS.SILENT (\\Seen \\Deleted)",
    b"STORE 1:* (UNCHANGEDSINCE 100000) +FLAGS (\\Draft)",
    b"STORE 1:* (UNCHANGEDSINCE 1) -FLAGS (\\Draft)",
    b"UID EXPUNGE 5:8",
    b"EXPUNGE",
    b"STORE 1:* +FLAGS (\\Deleted)",
    b"CLOSE",
    b"SELECT INBOX",
]


def fill(store: LocalMailStore, count: int) -> None:
    account, chance = store.account(REF), random.Random(7)
    deliveries = []
    for _ in range(count):
        staged = account.stage()
        staged.write(MESSAGE)
        staged.finish()
        deliveries.append(Delivery(staged, answers_of(MESSAGE), flags=chance.choice([0, 1, 2, 8, 12])))
    account.publish(account.folder("INBOX").folder_id, deliveries)


def told(store: LocalMailStore) -> list[list[bytes]]:
    """What a client is told of each change, and of all flags after it; without MODSEQs, since each slice has its own."""
    ctx = Talk(store).sign_in()
    ctx.say(b"s SELECT INBOX\r\n")
    answers: list[list[bytes]] = []
    for change in CHANGES:
        for command in (change, b"FETCH 1:* FLAGS"):
            if command == b"FETCH 1:* FLAGS" and change == b"CLOSE":
                continue
            lines = re.sub(rb" ?MODSEQ \(?\d+\)?", b"", ctx.say(b"c " + command + b"\r\n")).split(b"\r\n")
            answers.append([line for line in lines if not re.search(rb" RECENT$|UIDVALIDITY|MAILBOXID", line)])
    return answers


@pytest.mark.parametrize("at_once", [1, 3, 7])
def test_slices_change_nothing_that_a_client_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """Any STORE, EXPUNGE and CLOSE, with the flags in memory or from the index: the same lines in the same order."""
    whole, sliced = open_store(tmp_path / "whole"), open_store(tmp_path / "sliced")
    for store in (whole, sliced):
        fill(store, 30)
    expected = told(whole)
    monkeypatch.setattr(store_copy_move, "STORED_AT_ONCE", at_once)
    monkeypatch.setattr(select, "EXPUNGED_AT_ONCE", at_once)
    monkeypatch.setattr(flags, "MANY_MESSAGES", 2)
    monkeypatch.setattr(view_cache, "_LONG_RUN", 2)
    monkeypatch.setattr(sequence_numbers, "LONG_RUN", 2)
    monkeypatch.setattr(mailbox_view, "LONG_RUN", 2)
    assert told(sliced) == expected
    for store in (whole, sliced):
        store.close()


def statements(store: LocalMailStore, run: Callable[[], object]) -> list[str]:
    """The statements of the account's writer."""
    seen: list[str] = []
    writer = store.store(REF).index.writer()
    writer.set_trace_callback(seen.append)
    try:
        run()
    finally:
        writer.set_trace_callback(None)
    return seen


@pytest.mark.parametrize("command", [b"+FLAGS (\\Flagged)", b"FLAGS.SILENT (\\Seen)", b"-FLAGS (\\Seen)"])
def test_a_store_of_a_whole_mailbox_takes_as_few_statements_as_one_of_a_part(store: LocalMailStore, command: bytes) -> None:
    """The flags come from memory, and one UPDATE of a range changes them, whatever they were."""
    fill(store, 1_200)
    ctx = Talk(store).sign_in()
    ctx.say(b"s SELECT INBOX\r\n")
    ctx.say(b"u STORE 1 +FLAGS ($New)\r\n")
    for last in (b"300", b"*"):
        made = statements(store, lambda last=last: ctx.say(b"c STORE 1:" + last + b" " + command + b"\r\n"))  # type: ignore[misc]
        assert len(made) <= 7, made
        assert sum(each.startswith("UPDATE message") for each in made) == 1
        assert not any("json_each" in each or each.startswith("SELECT message") for each in made)


def test_an_expunge_of_many_takes_one_rename_for_each_and_a_few_statements(
    store: LocalMailStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No look at a file before its rename, no statement for each message, and a record of a few names' length for each."""
    fill(store, 600)
    account = store.account(REF)
    here = account.folder_id("INBOX")
    renames, looks, octets = [], [], []
    rename, look, record = os.rename, os.path.lexists, os.pwrite
    monkeypatch.setattr(os, "rename", lambda old, new: (renames.append(new), rename(old, new)))
    monkeypatch.setattr(os.path, "lexists", lambda path: (looks.append(path), look(path))[1])
    monkeypatch.setattr(os, "pwrite", lambda fd, some, at: (octets.append(len(some)), record(fd, some, at))[1])
    counts: list[int] = []
    for uids in (range(1, 101), range(101, 601)):
        account.store_flags(here, uids, "+", DELETED)
        renames.clear()
        looks.clear()
        octets.clear()
        made = statements(store, lambda uids=uids: account.expunge(here, uids))  # type: ignore[misc]
        counts.append(len(made))
        assert len(renames) == len(uids)
        assert len(looks) <= 1  # is the account frozen?
        assert max(octets) <= 1_000 + 150 * len(uids)
    assert counts[0] == counts[1] <= 9, counts


def test_of_many_expunged_messages_each_keeps_its_own_file(store: LocalMailStore) -> None:
    """One that another tool has renamed, one that it has removed, one whose name becomes too long, and those as usual."""
    fill(store, 5)
    account = store.account(REF)
    here = account.folder_id("INBOX")
    cur = Path(store.store(REF).paths.cur(""))
    files = sorted(cur.iterdir(), key=lambda path: parse_name(path.name).uid)
    files[1].rename(f"{files[1]}F")
    files[2].unlink()
    long = f"{files[3].name.partition(':')[0]},{'x' * (250 - len(files[3].name))}:2,"
    files[3].rename(cur / long)
    account.store_flags(here, range(1, 6), "+", DELETED)
    assert account.expunge(here).uids == [1, 2, 3, 4, 5]
    assert not [*cur.iterdir()]
    assert len([*Path(store.store(REF).paths.expunged).iterdir()]) == 4
    assert [each.uid for each in account.tombstones()] == [1, 2, 4, 5]
    assert account.repair(check=True).clean
    assert account.undelete() == 4


def test_many_are_stored_and_expunged_in_steps(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two slices other writers get the account, and other sessions the executor."""
    fill(store, 60)
    monkeypatch.setattr(store_copy_move, "STORED_AT_ONCE", 20)
    monkeypatch.setattr(select, "EXPUNGED_AT_ONCE", 20)
    ctx = Talk(store).sign_in()
    ctx.say(b"s SELECT INBOX\r\n")
    modseq = store.account(REF).highest_modseq()
    ctx.say(b"c STORE 1:* +FLAGS.SILENT (\\Deleted)\r\n")
    assert store.account(REF).highest_modseq() == modseq + 3
    ctx.say(b"c EXPUNGE\r\n")
    assert store.account(REF).highest_modseq() == modseq + 6
    assert b"* 0 EXISTS" in ctx.say(b"s SELECT INBOX\r\n")


def test_a_search_asks_each_segment_once(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many messages it holds, and whichever of them are asked about; slices of the mailbox that it spans count."""
    fill(store, 40)
    assert store.account(REF).index_text(Visited()) == 40
    asked: list[int] = []
    having = lookup._Segment.having

    def watched(self: lookup._Segment, *question: object) -> object:
        asked.append(self._segment_id)
        return having(self, *question)  # type: ignore[arg-type]

    monkeypatch.setattr(lookup._Segment, "having", watched)
    ctx = Talk(store).sign_in()
    ctx.say(b"s SELECT INBOX\r\n")
    for command, times in ((b"SUBJECT x", 1), (b"SUBJECT zz", 1), (b"2:30 BODY abc", 1), (b"OR SUBJECT zz BODY abc", 2)):
        asked.clear()
        assert b"c OK" in ctx.say(b"c SEARCH " + command + b"\r\n")
        assert len(asked) == times
    monkeypatch.setattr(search_run, "LOOK_UP_MESSAGES", 10)
    asked.clear()
    ctx.say(b"c SEARCH SUBJECT x\r\n")
    assert len(asked) == 4


def test_names_that_lag_behind_are_found_without_a_step_for_each_message(store: LocalMailStore) -> None:
    """One of a few or of many: as many steps of SQLite."""
    account = store.account(REF)
    here = account.folder_id("INBOX")
    steps: list[int] = []
    for count in (100, 900):
        fill(store, count)
        account.flush_names()
        account.store_flags(here, [max(account.view(here).uids)], "+", 0, ("new",))
        writer, taken = store.store(REF).index.writer(), [0]

        def step(taken: list[int] = taken) -> int:
            taken[0] += 1
            return 0

        writer.set_progress_handler(step, 1)
        try:
            assert account.flush_names() == 1
        finally:
            writer.set_progress_handler(None, 1)
        steps += taken
    assert steps[1] <= steps[0] + 50, steps


def test_background_names_give_way_to_other_changes(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush ends after the slice during which another writer came, for a bounded number of rounds; at drain it does not."""
    fill(store, 40)
    monkeypatch.setattr(flags_in_names, "NAMES_AT_ONCE", 10)
    monkeypatch.setattr(flags_in_names, "PUT_OFF_ROUNDS", 2)
    account = store.account(REF)
    inbox = account.folder("INBOX").folder_id
    slices: list[int] = []
    flush_slice, are_others_busy = flags_in_names._flush_slice, True

    def watched(*question: int) -> tuple[int, int, int]:
        made = flush_slice(*question)  # type: ignore[arg-type]
        slices.append(made[0])
        if are_others_busy:
            account.store_flags(inbox, [1], "-" if len(slices) % 2 else "+", SEEN)
        return made

    def flush(*, gives_way: bool) -> int:
        slices.clear()
        store.flush_names(gives_way=gives_way)
        return len(slices)

    account.store_flags(inbox, range(1, 41), "=", FLAGGED)
    monkeypatch.setattr(flags_in_names, "_flush_slice", watched)
    assert [flush(gives_way=True) for _ in range(2)] == [1, 1]
    assert store.has_names_due
    assert flush(gives_way=True) > 1  # put off often enough
    account.store_flags(inbox, range(1, 41), "=", ANSWERED)
    assert flush(gives_way=True) == 1
    assert flush(gives_way=False) > 1
    account.store_flags(inbox, range(1, 41), "=", FLAGGED)
    are_others_busy = False
    assert flush(gives_way=True) == 5
    assert not store.has_names_due


def test_a_word_is_looked_up_without_a_step_for_each_message(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a phrase asks which messages of a segment are meant, however the mailbox is cut into slices."""
    fill(store, 40)
    assert store.account(REF).index_text(Visited()) == 40
    asked: list[int] = []
    wanted_places = lookup._LookedUp._wanted_places

    def watched(self: lookup._LookedUp, held: lookup._Held) -> object:
        asked.append(held.segment_id)
        return wanted_places(self, held)

    monkeypatch.setattr(lookup._LookedUp, "_wanted_places", watched)
    monkeypatch.setattr(search_run, "LOOK_UP_MESSAGES", 10)
    ctx = Talk(store).sign_in()
    ctx.say(b"s SELECT INBOX\r\n")
    everyone = b" ".join(b"%d" % number for number in range(1, 41))
    assert b"* SEARCH " + everyone + b"\r\n" in ctx.say(b"c SEARCH SUBJECT x\r\n")
    assert b"* SEARCH 2 3 30\r\n" in ctx.say(b"c SEARCH 2,3,30 BODY abc\r\n")
    assert b"* SEARCH\r\n" in ctx.say(b'c SEARCH SUBJECT "zz zz"\r\n')
    assert not asked
    ctx.say(b'c SEARCH TEXT "x x"\r\n')
    assert asked


def test_unreported_expunges_alone_copy_no_columns(store: LocalMailStore) -> None:
    """A slice of an EXPUNGE copies a mailbox once, in the store; a session's own list stays until it is told."""
    fill(store, 40)
    ctx, other = Talk(store).sign_in(), Talk(store).sign_in()
    for each in (ctx, other):
        each.say(b"s SELECT INBOX\r\n")
    view = ctx.session._context.selected
    other.say(b"c STORE 1:* FLAGS.SILENT ()\r\n")
    other.say(b"c STORE 5:8,11,20 +FLAGS.SILENT (\\Deleted)\r\n")
    ctx.say(b"n NOOP\r\n")
    uids, flags_before = view.uids, view.flags
    other.say(b"c EXPUNGE\r\n")
    assert b"EXPUNGE" not in ctx.say(b"f FETCH 1 FLAGS\r\n")
    ctx.say(b"u STORE 1 +FLAGS.SILENT ()\r\n")
    assert view.has_pending_expunges
    assert view.uids is uids
    assert view.flags is flags_before
    other.say(b"c STORE 1 +FLAGS.SILENT (\\Answered)\r\n")
    ctx.say(b"f FETCH 1 FLAGS\r\n")
    assert view.uids == uids
    assert view.flags != flags_before
    assert ctx.say(b"n NOOP\r\n").count(b"EXPUNGE") == 6
    assert list(view.uids) == [uid for uid in range(1, 41) if uid not in {5, 6, 7, 8, 11, 20}]


@pytest.mark.parametrize("command", [b"UID FETCH 1:* (FLAGS)", b"FETCH 1:* (UID FLAGS RFC822.SIZE MODSEQ)"])
def test_lines_from_memory_cost_no_call_for_each_message(store: LocalMailStore, command: bytes) -> None:
    """Also for the first session of a mailbox, for which all messages are \\Recent."""
    fill(store, 600)
    ctx = Talk(store).sign_in()
    assert b"* 600 RECENT" in ctx.say(b"s SELECT INBOX\r\n")
    ctx.say(b"a %b\r\n" % command.replace(b"1:*", b"1:10"))
    few = calls_of(lambda: ctx.say(b"a %b\r\n" % command.replace(b"1:*", b"1:10")))
    many = calls_of(lambda: ctx.say(b"a %b\r\n" % command))
    assert many <= few + 20
