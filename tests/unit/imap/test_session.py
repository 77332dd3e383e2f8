"""The session core on a real store: order, limits, ends, and what may go wrong."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mic_mail.connection.actions import Action
from mic_mail.errors import Text
from mic_mail.imap.actions import Waiting, Work
from mic_mail.imap.command_table import COMMANDS
from mic_mail.imap.commands import mailboxes, message_set
from mic_mail.imap.selected import shared_cache
from mic_mail.imap.session import Session
from mic_mail.imap.session_settings import SessionSettings
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from session_harness import Talk, open_store

MESSAGE = b"From: dvbe@mic.gov.vn\r\nSubject: mot\r\n\r\nNoi dung.\r\n"


def append(ctx: Talk, octets: bytes = MESSAGE, folder: bytes = b"INBOX") -> bytes:
    return ctx.say(b"p APPEND %b {%d+}\r\n%b\r\n" % (folder, len(octets), octets))


@pytest.mark.parametrize("command", [b"x EXPUNGE\r\n", b"x CLOSE\r\n", b"x UID EXPUNGE 1\r\n"])
def test_what_is_expunged_once_the_index_was_made_anew_is_of_the_open_folder(ctx: Talk, command: bytes) -> None:
    """The index is lost under sessions; whichever number the folders have in the new one."""
    names = [info.name for info in ctx.account.folders()]
    for name in names:
        ctx.say(b"p APPEND %b (\\Deleted) {16+}\r\nSubject: x\r\n\r\nx\r\n" % name.encode())
    other = Talk(ctx.store).sign_in()
    assert b"s OK" in other.say(b"s SELECT Sent\r\n")
    for path in ctx.store._root.rglob("index.sqlite*"):
        path.unlink()
    assert b"x OK" in other.say(command)
    assert {name for name in names if not ctx.account.folder(name).messages} == {"Sent"}


def test_commands_of_a_hidden_capability_are_unknown(store: LocalMailStore) -> None:
    """What is hidden is refused, by UID as well, and a message of such a command is skipped; other commands go on."""
    hidden = frozenset({"ACL", "REPLACE", "UNAUTHENTICATE", "COMPRESS=DEFLATE", "SORT"})
    ctx = Talk(store, SessionSettings(hidden=hidden)).sign_in()
    answer = ctx.say(
        b"a SELECT INBOX\r\nb MYRIGHTS INBOX\r\nc UNAUTHENTICATE\r\nd COMPRESS DEFLATE\r\ne UID SORT (DATE) UTF-8 ALL\r\n"
        b"f UID REPLACE 1 INBOX {9+}\r\ng LOGOUT\r\nh UID SEARCH ALL\r\n"
    )
    assert re.findall(rb"^([a-h]) (OK|NO|BAD.*)", answer, re.MULTILINE) == [
        (b"a", b"OK"), *((tag, b"BAD Unknown command.\r") for tag in (b"b", b"c", b"d", b"e", b"f")), (b"h", b"OK"),
    ]  # fmt: skip


DIALOGUE = (
    b"a LOGIN dvbe right\r\nb CREATE Viec\r\nc APPEND Viec (\\Seen) {45}\r\n" + b"x" * 45 + b"\r\n"
    b"d SELECT Viec\r\ne FETCH 1 (UID FLAGS RFC822.SIZE BODY[])\r\nf STORE 1 +FLAGS (\\Deleted)\r\ng NOOP\r\n"
    b"h IDLE\r\nDONE\r\ni EXPUNGE\r\nj BOGUS\r\nk LOGOUT\r\n"
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(DIALOGUE)), max_size=30))
def test_answers_do_not_depend_on_how_the_octets_arrive(store: LocalMailStore, cuts: list[int]) -> None:
    """One packet, one octet at a time, DONE and the next commands together (iOS): the answers are the same, in order."""
    places = sorted({0, len(DIALOGUE), *cuts})
    answers = []
    for edges in ([0, len(DIALOGUE)], places):
        ctx = Talk(store)
        answers.append(ctx.say_in_pieces(DIALOGUE[low:high] for low, high in pairwise(edges)))
        Talk(store).sign_in().say(b"z DELETE Viec\r\n")
    assert anonymous(answers[0]) == anonymous(answers[1])
    assert re.findall(rb"^([a-k]) (OK|NO|BAD)", answers[0], re.MULTILINE) == [
        (b"a", b"OK"), (b"b", b"OK"), (b"c", b"OK"), (b"d", b"OK"), (b"e", b"OK"), (b"f", b"OK"), (b"g", b"OK"), (b"h", b"OK"),
        (b"i", b"OK"), (b"j", b"BAD"), (b"k", b"OK"),
    ]  # fmt: skip


def anonymous(answer: bytes) -> bytes:
    """Without ids and numbers that differ from folder to folder."""
    return re.sub(rb"MAILBOXID \([^)]*\)|UIDVALIDITY \d+|APPENDUID \d+|HIGHESTMODSEQ \d+|MODSEQ \(\d+\)", b"", answer)


def test_a_bug_costs_one_command_and_is_logged(ctx: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception is NO [SERVERBUG] with a reference that is in the log; the next command works."""

    def broken(self: object, command: object) -> object:
        raise KeyError("secret detail")

    monkeypatch.setitem(COMMANDS, "NAMESPACE", replace(COMMANDS["NAMESPACE"], handle=broken))
    answer = ctx.say(b"n NAMESPACE\r\no NOOP\r\n")
    [note] = ctx.notes
    assert isinstance(note.error, KeyError)
    assert b"n NO [SERVERBUG]" in answer
    assert str(note.fields["ref"]).encode() in answer
    assert b"secret" not in answer
    assert b"o OK" in answer
    assert mailboxes.namespace is not broken


def test_a_failing_store_is_said_to_be_unavailable(ctx: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trouble of the machine is NO [UNAVAILABLE], nothing is lost and the session goes on."""
    from mic_mail.storage.errors import DiskFull

    def full(*args: object, **more: object) -> object:
        raise DiskFull("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Account, "publish", full)
        assert b"p NO [UNAVAILABLE]" in append(ctx)
    assert b"p OK [APPENDUID" in append(ctx)


def test_wrong_passwords_end_the_connection_after_a_few(store: LocalMailStore) -> None:
    """NO [AUTHENTICATIONFAILED] each time; after `sign_in_tries` also BYE."""
    ctx = Talk(store, SessionSettings(sign_in_tries=3))
    for _ in range(2):
        assert b"l NO [AUTHENTICATIONFAILED]" in ctx.say(b"l LOGIN dvbe wrong\r\n")
        assert not ctx.over
    assert b"* BYE" in ctx.say(b"l LOGIN dvbe wrong\r\n")
    assert ctx.over


def test_one_mistake_costs_nothing_many_in_a_row_end_it(ctx: Talk) -> None:
    """BAD never ends a session early; only a client that makes no sense for a while is cut."""
    for _ in range(3):
        for _ in range(ctx.session._context.settings.errors - 1):
            assert b"BAD" in ctx.say(b"x NONSENSE\r\n")
        assert b"y OK" in ctx.say(b"y NOOP\r\n")
    for _ in range(ctx.session._context.settings.errors):
        ctx.say(b"x NONSENSE\r\n")
    assert ctx.over
    assert b"* BYE" in ctx.sent[-1]


def test_commands_wait_for_their_state(store: LocalMailStore) -> None:
    """Before sign-in nothing of a mailbox answers, APPEND neither; without SELECT no message command does."""
    ctx = Talk(store)
    for command in (b"SELECT INBOX", b'LIST "" *', b"IDLE", b"FETCH 1 UID", b"APPEND INBOX {3+}\r\nabc", b"ENABLE QRESYNC"):
        assert b"x BAD" in ctx.say(b"x " + command + b"\r\n"), command
    ctx.sign_in()
    for command in (b"FETCH 1 UID", b"STORE 1 FLAGS ()", b"SEARCH ALL", b"EXPUNGE", b"CLOSE", b"LOGIN a b", b"STARTTLS"):
        assert b"x BAD" in ctx.say(b"x " + command + b"\r\n"), command


def test_who_does_not_sign_in_is_sent_away(store: LocalMailStore) -> None:
    """The sign-in time counts from the connection's begin; octets in between do not prolong it."""
    ctx = Talk(store, SessionSettings(sign_in_seconds=60))
    for second in range(0, 59, 10):
        ctx.clock.move_to(ctx.clock.now().fromtimestamp(ctx.clock.now().timestamp() + 10, ctx.clock.now().tzinfo))
        assert not ctx.over, second
        ctx.say(b"x NOOP\r\n")
    ctx.say(b"")
    assert b"* BYE" in b"".join(ctx.sent)
    assert ctx.over


def test_the_end_comes_after_the_command_in_progress(ctx: Talk) -> None:
    """Drain and suspension: what waits gets BYE at once, what is buffered is not begun any more."""
    ctx.say(b"i IDLE\r\n")
    assert isinstance(ctx.waiting, Waiting)
    ctx.session.end(Text("Tạm ngừng.", "Going down."))
    assert ctx.run() == b"* BYE Tam ngung. / Going down.\r\n"
    assert ctx.over


def test_idle_tells_what_the_feed_says_and_nothing_else(store: LocalMailStore, ctx: Talk) -> None:
    """A change of the account is looked at only when the feed tells of one; `Still here` comes by the clock."""
    ctx.say(b"s SELECT INBOX\r\ni IDLE\r\n")
    other = Talk(store).sign_in()
    append(other)
    assert ctx.run() == b""
    ctx.session.noticed(ctx.account.highest_modseq())
    assert ctx.run() == b"* 1 EXISTS\r\n* 1 RECENT\r\n"
    work = ctx.work
    ctx.session.noticed(ctx.account.highest_modseq())
    assert ctx.run() == b""
    assert ctx.work == work, "nothing new: not even a look"
    ctx.clock.move_to(ctx.clock.now().replace(minute=2, second=1))
    assert ctx.run() == b"* OK Still here\r\n"
    assert b"i OK" in ctx.say(b"done\r\n")


def test_a_mailbox_deleted_by_another_session_ends_this_one(store: LocalMailStore, ctx: Talk) -> None:
    """No number means anything any more: BYE, and no endless error."""
    ctx.say(b"c CREATE Tam\r\ns SELECT Tam\r\n")
    Talk(store).sign_in().say(b"d DELETE Tam\r\n")
    assert b"* BYE" in ctx.say(b"n NOOP\r\n")


def test_a_saved_result_of_many_is_met_in_a_lane(ctx: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same messages by `$`, whether they are few or many; many are one more piece of work, not the loop's."""
    append = b"a APPEND INBOX" + b" {15+}\r\nSubject: x\r\n\r\ny" * 6
    ctx.say(append + b"\r\n")
    ctx.say(b"s SELECT INBOX\r\ne UID STORE 3 +FLAGS.SILENT (\\Deleted)\r\n")
    ctx.say(b"k SEARCH RETURN (SAVE) 2:5\r\n")
    ctx.say(b"x EXPUNGE\r\n")
    work = {}
    for most in (100, 2):
        monkeypatch.setattr(message_set, "MANY_SAVED", most)
        before = ctx.work
        assert re.findall(rb"UID (\d+)", ctx.say(b"f FETCH $ UID\r\n")) == [b"2", b"4", b"5"]
        work[most] = ctx.work - before
    assert work[2] == work[100] + 1


@pytest.mark.parametrize(
    ("signed_in", "octets", "answer"),
    [
        (False, b"a AUTHENTICATE PLAIN\r\n" + b"A" * 60_000 + b"\r\n", rb"\+ \r\n\* BAD .*\r\n\* BYE .*\r\n"),
        (True, b"b APPEND INBOX {300000000+}\r\n", rb"b NO \[TOOBIG\] .*\r\n\* BYE .*\r\n"),
        (True, b"c APPEND INBOX {1+}\r\nx {300000000+}\r\n", rb"c NO \[TOOBIG\] .*\r\n\* BYE .*\r\n"),
    ],
)
def test_more_than_is_passed_over_ends_the_connection_wherever_it_comes(
    store: LocalMailStore, signed_in: bool, octets: bytes, answer: bytes
) -> None:
    """An answer of SASL, a message: who is not read any more is told so, and not left without a word (RFC 7888 §4)."""
    ctx = Talk(store)
    if signed_in:
        ctx.sign_in()
    assert re.fullmatch(answer, ctx.say(octets))
    assert ctx.over


@pytest.mark.parametrize("command", [b"STORE 1 +FLAGS (\\Seen)", b"COPY 1 Archive", b"MOVE 1 Archive", b"EXPUNGE 1"])
def test_a_uid_that_another_session_was_told_of_is_known_here(store: LocalMailStore, ctx: Talk, command: bytes) -> None:
    """The feed's word may be late or lost; what APPENDUID told one connection of a client, another one may name at once."""
    ctx.say(b"c CREATE Archive\r\ns SELECT INBOX\r\n")
    Talk(store).sign_in().say(b"p APPEND INBOX (\\Deleted) {%d+}\r\n%b\r\n" % (len(MESSAGE), MESSAGE))
    answer = ctx.say(b"u UID %b\r\n" % command)
    assert re.search(rb"u OK", answer)
    assert re.search(rb"UID 1\b|COPYUID \d+ 1 |\* 1 EXPUNGE", answer)


@pytest.mark.parametrize("command", [b"COPY", b"MOVE"])
def test_trycreate_is_for_a_missing_destination(store: LocalMailStore, ctx: Talk, command: bytes) -> None:
    """Where the selected mailbox itself is gone, CREATE would not help: NONEXISTENT (RFC 9051 §6.4.7)."""
    ctx.say(b"c CREATE Viec\r\n")
    append(ctx, folder=b"Viec")
    ctx.say(b"s SELECT Viec\r\n")
    assert b"x NO [TRYCREATE]" in ctx.say(b"x %b 1 nothing\r\n" % command)
    Talk(store).sign_in().say(b"d DELETE Viec\r\n")
    ctx.host.mark = ctx.session._context.view.mark  # it happened just after the look
    assert b"x NO [NONEXISTENT]" in ctx.say(b"x %b 1 Archive\r\n" % command)


def test_one_hop_where_one_is_enough(ctx: Talk) -> None:
    """Where nothing has changed FLAGS of known messages and NOOP cost no look; an APPEND with LITERAL+ is one visit.

    Nor is anything looked up that the process has in memory: header fields and envelopes asked before, the folders.
    """
    append(ctx)
    ctx.say(b"s SELECT INBOX\r\nn NOOP\r\n")
    for command, hops in (
        (b"f FETCH 1 (UID FLAGS RFC822.SIZE)", 0),
        (b"n NOOP", 0),
        (b"t STORE 1 +FLAGS.SILENT (\\Seen)", 1),
        (b"n NOOP", 0),
        (b"x EXPUNGE", 0),
        (b"e ENABLE UTF8=ACCEPT", 0),
        (b"f FETCH 1 (BODY.PEEK[])", 1),
        (b"f FETCH 1 (UID FLAGS BODY.PEEK[])", 0),
        (b"f FETCH 1 (BODY.PEEK[]<0.9>)", 1),
        (b"f FETCH 1 (BODY.PEEK[HEADER])", 1),
        (b"f FETCH 1 (ENVELOPE BODY.PEEK[HEADER.FIELDS (SUBJECT)])", 0),
        (b"f FETCH 1 (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)] ENVELOPE FLAGS)", 0),
        (b"l STATUS Sent (MESSAGES)", 1),
        (b'l LIST "" *', 1),
        (b'l LIST "" %', 0),
        (b"l STATUS Sent (MESSAGES)", 0),
        (b"l STATUS inbox (UNSEEN)", 0),
        (b"s SELECT INBOX", 1),
    ):
        before = ctx.work
        assert b" OK" in ctx.say(command + b"\r\n")
        assert ctx.work - before == hops, command
    ctx.say(b"u UNSELECT\r\n")
    before = ctx.work
    append(ctx)
    assert ctx.work - before == 1


def test_an_open_mailbox_that_is_called_otherwise_now_takes_no_append(store: LocalMailStore, ctx: Talk) -> None:
    """The name is looked for again as soon as anything has changed; who has it now gets the message."""
    ctx.say(b"c CREATE Viec\r\ns SELECT Viec\r\n")
    assert b"p OK" in append(ctx, folder=b"Viec")
    other = Talk(store).sign_in()
    other.say(b"r RENAME Viec Cu\r\n")
    assert b"p NO [TRYCREATE]" in append(ctx, folder=b"Viec")
    other.say(b"c CREATE Viec\r\n")
    assert b"p OK" in append(ctx, folder=b"Viec")
    assert b"MESSAGES 1" in ctx.say(b"t STATUS Viec (MESSAGES)\r\n")
    assert b"MESSAGES 1" in ctx.say(b"t STATUS Cu (MESSAGES)\r\n")


class _CountingWrites(Talk):
    """It knows how often a writer's turn was asked for."""

    writes = 0

    def carry_out(self, action: Action) -> None:
        self.writes += isinstance(action, Work) and action.writes
        super().carry_out(action)


def test_nothing_to_expunge_takes_no_turn_of_a_writer(store: LocalMailStore) -> None:
    """An EXPUNGE without a \\Deleted message only looks; what another session has marked meanwhile goes all the same."""
    ctx = _CountingWrites(store).sign_in()
    append(ctx)
    append(ctx)
    ctx.say(b"s SELECT INBOX\r\n")
    before = ctx.writes
    assert ctx.say(b"e EXPUNGE\r\nu UID EXPUNGE 1:2\r\n") == b"e OK Expunged.\r\nu OK Expunged.\r\n"
    assert ctx.writes == before
    other = Talk(store).sign_in()
    other.say(b"s SELECT INBOX\r\nd STORE 2 +FLAGS (\\Deleted)\r\n")
    assert b"* 2 EXPUNGE\r\n" in ctx.say(b"e EXPUNGE\r\n")
    assert ctx.writes == before + 1


def test_folders_are_read_again_when_something_has_changed(tmp_path: Path, store: LocalMailStore, ctx: Talk) -> None:
    """LIST, LSUB and STATUS tell what is so now, whoever changed it: this session, another one, another process."""
    elsewhere = open_store(tmp_path)
    here, there = Talk(store).sign_in(), Talk(elsewhere).sign_in()
    for number, other in enumerate((ctx, here, there), 1):
        box = b"Viec%d" % number
        listed = ctx.say(b'l LIST "" *\r\n')
        assert box not in listed
        assert ctx.say(b'l LIST "" *\r\n') == listed
        assert b" OK" in other.say(b"c CREATE %b\r\n" % box)
        assert b'"/" "%b"' % box in ctx.say(b'l LIST "" *\r\n')
        assert b"MESSAGES 0" in ctx.say(b"t STATUS %b (MESSAGES)\r\n" % box)
        append(other, folder=box)
        assert b"MESSAGES 1 UNSEEN 1" in ctx.say(b"t STATUS %b (MESSAGES UNSEEN)\r\n" % box)
        other.say(b"b UNSUBSCRIBE Sent\r\n")
        assert b'"Sent"' not in ctx.say(b'l LSUB "" *\r\n')
        other.say(b"b SUBSCRIBE Sent\r\n")
        assert b'"Sent"' in ctx.say(b'l LSUB "" *\r\n')
        other.say(b"d DELETE %b\r\n" % box)
        assert b"NO [NONEXISTENT]" in ctx.say(b"t STATUS %b (MESSAGES)\r\n" % box)
    elsewhere.close()


def test_listings_are_bounded(ctx: Talk) -> None:
    """The longest unused account goes first; one that is read again counts once."""
    listings = shared_cache.Listings()
    few = [ctx.account.folder("INBOX")] * 256
    for _ in range(2):
        for account in range(128):
            listings.put((account, account), shared_cache.Listing(2, few, set()))
    assert listings.get((0, 0)) is not None
    listings.put((128, 128), shared_cache.Listing(2, few, set()))
    assert listings.get((0, 0)) is not None
    assert listings.get((1, 1)) is None


def test_folders_that_are_many_are_read_in_a_lane(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """To list them is not work for the loop."""
    monkeypatch.setattr(shared_cache, "LISTED_FOLDERS", 3)
    ctx = Talk(store).sign_in()
    before = ctx.work
    ctx.say(b'l LIST "" *\r\nl LIST "" *\r\nt STATUS Sent (MESSAGES)\r\n')
    assert ctx.work - before == 3


def test_a_session_lost_in_the_middle_of_append_leaves_nothing(ctx: Talk, store: LocalMailStore) -> None:
    """Whatever ends the connection before the last octet, no file stays and no message appears (RFC 9051 §6.3.12)."""
    ctx.say(b"p APPEND INBOX {1000000+}\r\n" + b"x" * 700_000)
    home = store.account(ctx.account.ref).folder("INBOX")
    assert home.messages == 0
    ctx.session.close()
    assert b'* STATUS "INBOX" (MESSAGES 0)' in Talk(store).sign_in().say(b"s STATUS INBOX (MESSAGES)\r\n")


def test_multiappend_is_all_or_nothing(ctx: Talk) -> None:
    """An empty message takes the whole APPEND back, and so does one that is refused (RFC 3502 §3-4)."""
    answer = ctx.say(b"p APPEND INBOX {5+}\r\nabcde {5+}\r\nfghij {0+}\r\n\r\n")
    assert b"p NO" in answer
    assert b"MESSAGES 0" in ctx.say(b"s STATUS INBOX (MESSAGES)\r\n")
    answer = ctx.say(b"p APPEND INBOX {5+}\r\nabcde {5+}\r\nfghij\r\n")
    assert re.search(rb"p OK \[APPENDUID \d+ 1:2\]", answer)


def test_limits_are_told_as_limits(ctx: Talk) -> None:
    """What would fit no more is NO [LIMIT] (RFC 5530 §3): keywords of a folder, messages of one APPEND."""
    append(ctx)
    ctx.say(b"s SELECT INBOX\r\n")
    keywords = b" ".join(b"k%d" % number for number in range(59))
    assert b"t NO [LIMIT]" in ctx.say(b"t STORE 1 +FLAGS (%b)\r\n" % keywords)
    assert b"p NO [LIMIT] Moi lan them nhieu nhat 1000 thu. / One APPEND may have at most 1000 messages." in ctx.say(
        b"p APPEND INBOX" + b" {1+}\r\nx" * 1001 + b"\r\n"
    )
    assert b"* STATUS" in ctx.say(b"s STATUS INBOX (MESSAGES)\r\n")


def test_next_is_the_only_door(store: LocalMailStore) -> None:
    """A session that is over stays over: it says so as often as it is asked."""
    ctx = Talk(store)
    ctx.say(b"l LOGOUT\r\n")
    assert ctx.over
    assert isinstance(ctx.session, Session)
    assert type(ctx.session.next()).__name__ == "Hangup"
