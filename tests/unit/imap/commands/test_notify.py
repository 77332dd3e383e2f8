"""NOTIFY (RFC 5465): a client that only listens knows as much as one that asks; it is told no more than it asked for."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from mic_mail.connection.actions import Action, Send
from mic_mail.imap.actions import SubscribeAccounts, Waiting, Work
from mic_mail.storage.changes.transaction import writing
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef
from session_harness import Talk
from unit.imap.commands.notify_model import APPEND, BOX, notice

# ------------------------------------------------------------------ too much


def test_what_is_too_much_is_not_told(store: LocalMailStore) -> None:
    """More than 10,000 messages in one look: NOTIFICATIONOVERFLOW, then silence as after NOTIFY NONE (RFC 5465 §5.8)."""
    ctx, other = Talk(store).sign_in(), Talk(store).sign_in()
    for each in (ctx, other):
        each.say(b"s SELECT INBOX\r\n")
    groups = b"(SELECTED (MessageNew (UID) MessageExpunge)) (PERSONAL (MessageNew MessageExpunge))"
    assert b"n OK" in ctx.say(b"n NOTIFY SET " + groups + b"\r\n")
    other.say(b"a APPEND INBOX" + b" {20+}\r\nSubject: x\r\n\r\nnoi gi" * 700 + b"\r\n")
    assert notice(ctx).count(b" FETCH (UID ") == 700
    for _ in range(4):
        assert b"c OK" in other.say(b"n NOOP\r\nc COPY 1:* INBOX\r\n")
    assert notice(ctx) == b"* OK [NOTIFICATIONOVERFLOW] Too many events; notifications are off.\r\n"
    other.say(b"d APPEND Sent {21+}\r\nSubject: x\r\n\r\nnoi gi\r\n")
    assert notice(ctx) == b""
    assert ctx.say(b"e NOOP\r\n") == b"e OK NOOP completed.\r\n"
    answer = ctx.say(b"f NOTIFY SET (SELECTED (MessageNew (UID) MessageExpunge))\r\n")
    assert b"* 11200 EXISTS\r\n" in answer
    assert b" FETCH " not in answer


def test_a_look_that_fails_is_taken_again(store: LocalMailStore) -> None:
    """A store that cannot answer now costs a second, not the connection and not what is to be told."""
    ctx, other = Talk(store).sign_in(), Talk(store).sign_in()
    ctx.say(b"n NOTIFY SET (PERSONAL (MessageNew MessageExpunge))\r\n")
    other.say(b"a APPEND Sent {21+}\r\nSubject: x\r\n\r\nnoi gi\r\n")
    ctx.session.noticed(ctx.account.highest_modseq())
    step = ctx.session.next()
    assert isinstance(step, Work)
    ctx.session.failed(step, Unavailable("busy"))
    assert ctx.run() == b""
    assert isinstance(ctx.waiting, Waiting)
    assert ctx.waiting.until == ctx.clock.monotonic() + 1.0
    ctx.clock.move_to(ctx.clock.now() + timedelta(seconds=1))
    assert ctx.run().startswith(b'* STATUS "Sent" (MESSAGES 1 ')


def test_a_unit_that_cannot_be_read_keeps_nothing_else_back(store: LocalMailStore) -> None:
    """The own mailbox is told of meanwhile; the unit's is looked at again a second later, also where it was never read."""
    for at_once in (True, False):
        ctx, other = Talk(store, boxes=[BOX]).sign_in(), Talk(store, boxes=[BOX]).sign_in()
        busy = Busy(ctx, at_once=at_once)
        busy.say(b"n NOTIFY SET (SUBTREE Shared (MessageNew MessageExpunge)) (PERSONAL (MessageNew MessageExpunge))\r\n")
        other.say(b"a APPEND Shared/cntt" + APPEND + b"\r\nb APPEND Sent" + APPEND + b"\r\n")
        busy.is_busy = True
        assert re.fullmatch(rb'\* STATUS "Sent" \(.*\)\r\n', notice(ctx))
        assert isinstance(ctx.waiting, Waiting)
        assert ctx.waiting.until == ctx.clock.monotonic() + 1.0
        busy.is_busy = False
        ctx.clock.move_to(ctx.clock.now() + timedelta(seconds=1))
        assert re.fullmatch(rb'\* STATUS "Shared/cntt" \(.*\)\r\n', ctx.run())


def test_a_look_that_nobody_waits_for_any_more_wakes_nobody(store: LocalMailStore) -> None:
    """The unit's account was busy as its folder was left, which is opened again: nothing is due, and no time to wait for."""
    ctx, other = Talk(store, boxes=[BOX]).sign_in(), Talk(store, boxes=[BOX]).sign_in()
    busy = Busy(ctx, at_once=False)
    busy.say(b"n NOTIFY SET (SUBTREE Shared (MessageNew MessageExpunge))\r\ns SELECT Shared/cntt\r\n")
    other.say(b"a APPEND Shared/cntt" + APPEND + b"\r\n")
    assert notice(ctx) == b""
    busy.is_busy = True
    busy.say(b"u UNSELECT\r\n")
    busy.is_busy = False
    assert b"s OK" in busy.say(b"s SELECT Shared/cntt\r\n")
    ctx.clock.move_to(ctx.clock.now() + timedelta(seconds=2))
    assert ctx.run() == b""
    assert isinstance(ctx.waiting, Waiting)
    assert ctx.waiting.until > ctx.clock.monotonic() + 60


class Busy:
    """Makes work on the unit's account fail while `is_busy`, `at_once` from the beginning."""

    def __init__(self, ctx: Talk, *, at_once: bool) -> None:
        self.is_busy = at_once
        self._carry_out = ctx.carry_out
        self._talk = ctx
        ctx.carry_out = self._refusing  # type: ignore[method-assign]

    def say(self, octets: bytes) -> bytes:
        return self._talk.say(octets)

    def _refusing(self, action: Action) -> None:
        if self.is_busy and isinstance(action, Work) and action.account == BOX.account:
            self._talk.session.failed(action, Unavailable("busy"))
        else:
            self._carry_out(action)


def test_so_many_accounts_are_followed_and_no_more(store: LocalMailStore) -> None:
    """32 below `Shared/`; more are refused as too expensive (RFC 5465 §3.1), or are too much when they come (§5.8)."""
    boxes = [replace(BOX, name=f"u{at}", account=AccountRef(10 + at, f"mic.gov.vn/u{at}")) for at in range(33)]
    groups = b"(SUBTREE Shared (MessageNew MessageExpunge))"
    ctx = Talk(store, boxes=boxes).sign_in()
    assert b"a NO [NOTIFICATIONOVERFLOW]" in ctx.say(b"a NOTIFY SET " + groups + b"\r\n")
    assert not ctx.overheard.accounts
    last = ctx.host.boxes.pop("u32")
    assert b"b OK" in ctx.say(b"b NOTIFY SET " + groups + b"\r\n")
    assert len(ctx.overheard.accounts) == 32
    ctx.host.boxes["u32"] = last
    ctx.session.shared_mailboxes_changed()
    assert ctx.run().startswith(b"* OK [NOTIFICATIONOVERFLOW]")
    assert (len(ctx.overheard.accounts), ctx.overheard.rights) == (0, False)


def test_a_refused_notify_forgets_no_change(store: LocalMailStore) -> None:
    """A unit that became visible meanwhile is told by the NOTIFY that goes on, which a refused one leaves as it was."""
    boxes = [replace(BOX, name=f"u{at}", account=AccountRef(10 + at, f"mic.gov.vn/u{at}")) for at in range(33)]
    ctx = Talk(store, boxes=boxes).sign_in()
    later = [ctx.host.boxes.pop(f"u{at}") for at in range(1, 33)]
    assert b"a OK" in ctx.say(b"a NOTIFY SET (MAILBOXES (Shared/u0/INBOX Shared/u1/INBOX) (MessageNew MessageExpunge))\r\n")
    carry_out = ctx.carry_out

    def meanwhile(action: Action) -> None:
        if isinstance(action, Work) and not ctx.host.boxes.keys() >= {box.name for box in later}:
            ctx.host.boxes.update({box.name: box for box in later})
            ctx.session.shared_mailboxes_changed()
        carry_out(action)

    ctx.carry_out = meanwhile  # type: ignore[method-assign]
    told = ctx.say(b"b NOTIFY SET (SUBTREE Shared (MessageNew MessageExpunge))\r\n")
    assert b"b NO [NOTIFICATIONOVERFLOW]" in told
    ctx.run()
    assert len(ctx.overheard.accounts) == 2


def test_only_what_is_asked_for_is_followed(store: LocalMailStore) -> None:
    """A session whose NOTIFY names nothing below `Shared/` is not woken by units, nor when rights move."""
    ctx = Talk(store, boxes=[BOX]).sign_in()
    ctx.say(b"a NOTIFY SET (PERSONAL (MessageNew MessageExpunge)) (SUBSCRIBED (MailboxName))\r\n")
    assert ctx.overheard == SubscribeAccounts()
    ctx.say(b"b SUBSCRIBE Shared/cntt/Sent\r\n")
    assert ctx.overheard == SubscribeAccounts(frozenset([BOX.account]), rights=True)
    ctx.say(b"c UNSUBSCRIBE Shared/cntt/Sent\r\n")
    assert ctx.overheard == SubscribeAccounts()


@pytest.mark.parametrize("by_itself", [True, False])
def test_from_the_word_on_a_subscription_all_is_told(store: LocalMailStore, by_itself: bool) -> None:
    """What comes in the moment in which the client hears that it has subscribed, at the latest: nobody else tells it."""
    ctx, other = Talk(store, boxes=[BOX]).sign_in(), Talk(store, boxes=[BOX]).sign_in()
    ctx.say(b"n NOTIFY SET (SUBSCRIBED (MessageNew MessageExpunge SubscriptionChange))\r\n")
    carry_out = ctx.carry_out

    def carried_out(action: Action) -> None:
        carry_out(action)
        if isinstance(action, Send) and b"Subscribed" in action.data:
            other.say(b"a APPEND Shared/cntt" + APPEND + b"\r\n")

    ctx.carry_out = carried_out  # type: ignore[method-assign]
    subscribing = ctx if by_itself else other
    subscribing.say(b"s SUBSCRIBE Shared/cntt\r\n")
    assert b'* STATUS "Shared/cntt" (MESSAGES 1 ' in notice(ctx) + notice(ctx)


def test_the_selected_mailbox_is_deleted(store: LocalMailStore) -> None:
    """What is to be told of others comes first, then the session ends, as it does in IDLE."""
    ctx, other = Talk(store).sign_in(), Talk(store).sign_in()
    ctx.say(b"s SELECT Trash\r\n")
    ctx.say(b"n NOTIFY SET (SELECTED (MessageNew MessageExpunge)) (PERSONAL (MailboxName))\r\n")
    other.say(b"d DELETE Trash\r\n")
    listed = b'* LIST (\\NonExistent \\HasNoChildren \\Subscribed) "/" "Trash"\r\n'
    assert notice(ctx) == listed + b"* BYE Thu muc dang mo da bi xoa. / The mailbox has been deleted.\r\n"


def test_an_index_made_anew_hides_nothing(store: LocalMailStore) -> None:
    """A folder that went while its row was lost is told: the number of folders does not fit, so all are compared."""
    ctx, other = Talk(store).sign_in(), Talk(store).sign_in()
    other.say(b"c CREATE Viec\r\n")
    ctx.say(b"n NOTIFY SET (PERSONAL (MailboxName MessageNew MessageExpunge))\r\n")
    other.say(b"d DELETE Viec\r\n")
    real = store.store(ctx.account.ref)
    with writing(real) as write:
        write.connection.execute("DELETE FROM folder WHERE deleted_at_us IS NOT NULL")
        write.announce()
    assert notice(ctx) == b'* LIST (\\NonExistent \\HasNoChildren) "/" "Viec"\r\n'


def test_a_session_without_notify_waits_as_before(store: LocalMailStore) -> None:
    """It is not woken by changes, and holds nothing of other folders."""
    ctx = Talk(store).sign_in()
    assert not isinstance(ctx.waiting, Waiting)
    work = ctx.work
    Talk(store).sign_in().say(b"a APPEND Sent {21+}\r\nSubject: x\r\n\r\nnoi gi\r\n")
    assert notice(ctx) == b""
    assert ctx.work == work


def test_what_the_client_appends_itself_is_not_fetched(store: LocalMailStore) -> None:
    """EXISTS counts it, FETCH is for what others put there (RFC 5465 §5.2)."""
    ctx, other = Talk(store).sign_in(), Talk(store).sign_in()
    ctx.say(b"s SELECT INBOX\r\n")
    ctx.say(b"n NOTIFY SET (SELECTED (MessageNew (UID) MessageExpunge)) (PERSONAL (MessageNew MessageExpunge))\r\n")
    heard = ctx.say(b"a APPEND INBOX" + APPEND + b"\r\n") + notice(ctx)
    assert b"* 1 EXISTS\r\n" in heard
    assert b"FETCH" not in heard
    other.say(b"a APPEND INBOX" + APPEND + b"\r\n")
    assert notice(ctx).endswith(b"* 2 FETCH (UID 2)\r\n")


def test_what_happens_while_followed_searches_are_looked_at_is_told_too(store: LocalMailStore) -> None:
    """An expunge that the change feed tells of in the middle of an update: nobody calls again, so it is looked for."""
    other = Talk(store).sign_in()
    for _ in range(2):
        assert b"OK" in other.say(b"a APPEND INBOX" + APPEND + b"\r\n")
    other.say(b"s SELECT INBOX\r\n")

    class Interrupted(Talk):
        """Another session expunges when its n-th work from now on has been done."""

        until = -1

        def carry_out(self, action: Action) -> None:
            super().carry_out(action)
            if isinstance(action, Work):
                self.until -= 1
                if self.until == 0:
                    assert b"EXPUNGE" in other.say(b"x EXPUNGE\r\n")
                    self.session.noticed(self.account.highest_modseq())

    for idle in (b"", b"i IDLE\r\n"):
        for place in range(1, 4):
            listener = Interrupted(store).sign_in()
            assert b"OK" in other.say(b"a APPEND INBOX" + APPEND + b"\r\n")
            listener.say(b"s SELECT INBOX\r\n")
            listener.say(b"f SEARCH RETURN (UPDATE) TEXT noi\r\n")
            listener.say(b"n NOTIFY SET (SELECTED (MessageNew MessageExpunge FlagChange))\r\n")
            if idle:
                listener.say(idle)
            other.say(b"d STORE 1 +FLAGS (\\Deleted)\r\n")
            listener.until = place
            assert listener.session.noticed(listener.account.highest_modseq())
            told = listener.run()
            if listener.until <= 0:
                assert b"* 1 EXPUNGE" in told, (idle, place, told)
            else:
                assert place == 3, told
                other.say(b"x EXPUNGE\r\n")
