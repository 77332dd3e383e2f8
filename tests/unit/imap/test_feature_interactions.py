"""Where features meet: NOTIFY, searches that are followed, units' mailboxes, a store that cannot answer now."""

import gc
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from mic_mail.connection.actions import Action
from mic_mail.imap.actions import Waiting, Work
from mic_mail.imap.commands.notify import NotifyListener
from mic_mail.imap.commands.search_context import MANY_MESSAGES
from mic_mail.imap.parser.number_set import Ranges
from mic_mail.imap.selected.mailbox_view import FolderChange, View
from mic_mail.policy.unit_mail.delegation import RIGHTS
from mic_mail.services.authentication.shared_mailboxes import SharedMailbox
from mic_mail.storage.changes.transaction import writing
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.types import AccountRef, ChangeResult
from session_harness import Talk
from store_harness import deliver

BOX = SharedMailbox("cntt", "cntt@mic.gov.vn", AccountRef(8, "mic.gov.vn/cntt"), RIGHTS, 1 << 30)


class Failing(Talk):
    """The store cannot answer the pieces of work that it counts down to."""

    after = failures = 0

    def carry_out(self, action: Action) -> None:
        if isinstance(action, Work) and self.failures:
            self.after -= 1
            if self.after < 0:
                self.failures -= 1
                self.session.failed(action, Unavailable("busy"))
                return
        super().carry_out(action)

    def fail(self, after: int = 0, times: int = 1) -> None:
        """And what others have done they did in another process."""
        self.after, self.failures = after, times
        self.host.remembers = False

    def wait(self) -> bytes:
        """Until it wants to go on by itself."""
        assert self.waiting is not None
        ahead = self.waiting.until - self.clock.monotonic()
        self.clock.move_to(self.clock.now() + timedelta(seconds=ahead))
        return self.run()


def appended(mailbox: bytes, subject: bytes) -> bytes:
    message = b"Subject: %b\r\n\r\nnoi gi" % subject
    return b"p APPEND %b {%d+}\r\n%b\r\n" % (mailbox, len(message), message)


def notice(ctx: Talk) -> bytes:
    """The change feed's hint, of the account that is attended."""
    at = ctx.attended[-1] if ctx.attended else None
    account = ctx.account if at is None else ctx.store.account(at)
    if ctx.session.noticed(account.highest_modseq(), there=at is not None) and isinstance(ctx.waiting, Waiting):
        return ctx.run()
    return b""


@pytest.mark.parametrize("command", [b"q NOOP\r\n", b"q IDLE\r\n", appended(b"INBOX", b"third")])
@pytest.mark.parametrize(
    "wish",
    [
        b"n NOTIFY SET (SELECTED (MessageNew (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT]) MessageExpunge))\r\n",
        b"n SEARCH RETURN (UPDATE (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)] BODY.PEEK[TEXT])) ALL\r\n",
    ],
)
def test_what_is_fetched_unasked_is_of_the_open_mailbox(store: LocalMailStore, wish: bytes, command: bytes) -> None:
    """Whatever was done last: a unit's mailbox is open, and the command was about no mailbox, or about the own one."""
    ctx = Talk(store, boxes=[BOX]).sign_in()
    ctx.say(appended(b"INBOX", b"own"))
    assert b"s OK" in ctx.say(b"s SELECT Shared/cntt\r\n")
    assert b"n OK" in ctx.say(wish)
    other = Talk(store, boxes=[BOX]).sign_in()
    other.say(appended(b"Shared/cntt", b"unit"))
    heard = notice(ctx) if b"SEARCH" in wish else b""  # heard of, and told with the next command
    heard += ctx.say(command) + notice(ctx)
    assert b"Subject: unit" in heard
    assert b"Subject: own" not in heard


def test_a_look_that_became_needless_wakes_nobody(store: LocalMailStore) -> None:
    """The store could not answer; before it is asked again a command has looked: the session waits for the client, not for
    an instant that is past."""
    ctx, other = Failing(store).sign_in(), Talk(store).sign_in()
    ctx.say(b"s SELECT INBOX\r\n")
    ctx.say(b"n NOTIFY SET (SELECTED (MessageNew MessageExpunge))\r\n")
    other.say(appended(b"INBOX", b"x"))
    ctx.fail()
    assert notice(ctx) == b""
    assert b"* 1 EXISTS" in ctx.say(b"q NOOP\r\n")
    ctx.wait()
    assert ctx.waiting is not None
    assert ctx.waiting.until > ctx.clock.monotonic() + 60


@pytest.mark.parametrize("idle", [b"", b"i IDLE\r\n"])
def test_a_followed_search_waits_for_a_store_that_cannot_answer(store: LocalMailStore, idle: bytes) -> None:
    """The view has told of the message, what it is to the search is told a second later: no bug, and no goodbye."""
    ctx, other = Failing(store).sign_in(), Talk(store).sign_in()
    ctx.say(b"s SELECT INBOX\r\n")
    ctx.say(b"f SEARCH RETURN (UPDATE) UNSEEN\r\n")
    ctx.say(b"n NOTIFY SET (SELECTED (MessageNew MessageExpunge))\r\n" + idle)
    other.say(appended(b"INBOX", b"x"))
    ctx.fail(after=1)
    told = notice(ctx)
    assert b"* 1 EXISTS" in told
    assert b"BYE" not in told
    assert not ctx.notes
    assert ctx.waiting is not None
    assert ctx.waiting.until == ctx.clock.monotonic() + 1.0
    assert b"ADDTO (0 1)" in ctx.wait()


def test_idle_waits_for_a_store_that_cannot_answer(store: LocalMailStore) -> None:
    """At its beginning, and when the change feed tells of something: it goes on, and what is new is told a second later."""
    ctx, other = Failing(store).sign_in(), Talk(store).sign_in()
    ctx.say(b"s SELECT INBOX\r\n")
    for number in (1, 2):
        other.say(appended(b"INBOX", b"x"))
        ctx.fail(times=2)
        assert ctx.say(b"i IDLE\r\n") == b"+ Idling.\r\n" if number == 1 else notice(ctx) == b""
        assert ctx.wait() == b""
        assert b"* %d EXISTS" % number in ctx.wait()
    assert ctx.say(b"DONE\r\n") == b"i OK IDLE ended.\r\n"


def test_what_another_session_here_has_done_needs_no_store(store: LocalMailStore) -> None:
    """New messages, flags, expunges: told between two commands, in IDLE and with a command, while the store answers nobody."""
    other, ctx = Talk(store).sign_in(), Failing(store).sign_in()
    for each in (other, ctx):
        each.say(b"s SELECT INBOX\r\n")
    ctx.fail(times=1000)
    ctx.host.remembers = True
    other.say(appended(b"INBOX", b"x") + appended(b"INBOX", b"y"))
    assert ctx.say(b"q NOOP\r\n") == b"* 2 EXISTS\r\n* 0 RECENT\r\nq OK NOOP completed.\r\n"
    other.say(b"p STORE 1 +FLAGS.SILENT (\\Deleted \\Seen)\r\n")
    ctx.say(b"i IDLE\r\n")
    other.say(b"p EXPUNGE\r\n")
    assert notice(ctx) == b"* 1 EXPUNGE\r\n"
    other.say(b"p STORE 1 +FLAGS (\\Flagged)\r\n")
    assert notice(ctx) == b"* 1 FETCH (FLAGS (\\Flagged))\r\n"
    assert ctx.failures == 1000
    assert ctx.say(b"DONE\r\n") == b"i OK IDLE ended.\r\n"


def test_what_is_delivered_here_is_recent_once(store: LocalMailStore) -> None:
    """Two sessions of the process: the first that hears of the message has it as \\Recent, without the store being asked."""
    talks = [Failing(store).sign_in() for _ in range(2)]
    for ctx in talks:
        ctx.say(b"s SELECT INBOX\r\n")
        ctx.fail(times=1000)
        ctx.host.remembers = True
    deliver(talks[0].account, talks[0].account.folder_id("INBOX"), ["a", "b"])
    assert talks[1].say(b"q NOOP\r\n") == b"* 2 EXISTS\r\n* 2 RECENT\r\nq OK NOOP completed.\r\n"
    assert talks[0].say(b"q NOOP\r\n") == b"* 2 EXISTS\r\n* 0 RECENT\r\nq OK NOOP completed.\r\n"
    assert [ctx.failures for ctx in talks] == [1000, 1000]
    late = Talk(store).sign_in()
    assert b"* 0 RECENT\r\n" in late.say(b"s SELECT INBOX\r\n")


class Losing(Talk):
    """Its connection is lost as the work is done that it asks for."""

    left_at: type[Action] | None = None

    def carry_out(self, action: Action) -> None:
        if self.left_at is not None and isinstance(action, self.left_at):
            self.session.done(action, b"")
            self.session.close()
            self.over = True
            return
        super().carry_out(action)


@pytest.mark.parametrize(
    "how",
    [
        lambda ctx: ctx.say(b"l LOGOUT\r\n"),
        lambda ctx: ctx.say(b"x\r\n" * 20),
        lambda ctx: ctx.session.close(),
        lambda ctx: (ctx.say(b"i IDLE\r\n"), ctx.session.close()),
        lambda ctx: (ctx.say(b"n NOTIFY SET (SELECTED (MessageNew MessageExpunge))\r\n"), ctx.session.close()),
        lambda ctx: (ctx.say(b"p APPEND INBOX {20}\r\n"), ctx.session.close()),
        lambda ctx: (setattr(ctx, "left_at", Work), ctx.say(b"p FETCH 1 BODY.PEEK[]\r\n")),
        lambda ctx: ctx.say(b"u UNAUTHENTICATE\r\n"),
    ],
)
def test_nothing_is_claimed_for_a_session_that_is_gone(store: LocalMailStore, how: Callable[[Talk], object]) -> None:
    """Whichever way it ended, and before any collector comes by: what is delivered then is \\Recent for the next one."""
    ctx = Losing(store).sign_in()
    deliver(ctx.account, ctx.account.folder_id("INBOX"), ["a"])
    gc.disable()
    try:
        assert b"* 1 RECENT" in ctx.say(b"s SELECT INBOX\r\n")
        how(ctx)
        deliver(ctx.account, ctx.account.folder_id("INBOX"), ["b"])
        assert b"* 1 RECENT" in Talk(store).sign_in().say(b"s SELECT INBOX\r\n")
    finally:
        gc.enable()


def test_nothing_is_claimed_for_a_session_that_keeps_to_its_messages(store: LocalMailStore) -> None:
    """NOTIFY has it hear of no new messages: they are \\Recent for who is told of them, itself once it wants to be."""
    ctx = Talk(store).sign_in()
    folder_id = ctx.account.folder_id("INBOX")
    ctx.say(b"s SELECT INBOX\r\n")
    ctx.say(b"n NOTIFY SET (SELECTED (FlagChange MessageExpunge)) (PERSONAL (MessageNew MessageExpunge))\r\n")
    ctx.say(b"n NOTIFY NONE\r\n")
    deliver(ctx.account, folder_id, ["a"])
    assert b"EXISTS" not in ctx.say(b"q NOOP\r\n")
    other = Talk(store).sign_in()
    assert b"* 1 RECENT" in other.say(b"s SELECT INBOX\r\n")
    other.say(b"u UNSELECT\r\n")
    deliver(ctx.account, folder_id, ["b"])
    told = ctx.say(b"n NOTIFY SET (SELECTED (MessageNew MessageExpunge))\r\nf FETCH 1:* FLAGS\r\n")
    assert b"* 2 EXISTS\r\n* 1 RECENT\r\n" in told
    assert b"* 1 FETCH (FLAGS ())\r\n* 2 FETCH (FLAGS (\\Recent))\r\n" in told


@pytest.mark.parametrize(
    ("command", "work", "done"),
    [
        (appended(b"INBOX", b"x"), 1, b"p OK [APPENDUID "),
        (b"p COPY 1 Sent\r\n", 2, b"p OK [COPYUID "),
        (b"p CREATE Viec\r\n", 1, b"p OK [MAILBOXID "),
    ],
)
def test_what_is_done_is_answered_so(store: LocalMailStore, command: bytes, work: int, done: bytes) -> None:
    """The look behind it finds the store busy: NO would have the client do it once more."""
    ctx, other = Failing(store).sign_in(), Talk(store).sign_in()
    ctx.say(appended(b"Drafts", b"x"))
    ctx.say(b"s SELECT Drafts\r\n")
    other.say(appended(b"Drafts", b"x"))
    ctx.fail(after=work)
    ctx.host.mark = 0  # somebody is changing something
    ctx.session.noticed(1 << 40)
    heard = ctx.say(command)
    assert done in heard
    assert not ctx.failures
    assert b"* 2 EXISTS" in heard + ctx.say(b"q NOOP\r\n")


@pytest.mark.parametrize(
    ("command", "done", "gone"),
    [
        (b"p REPLACE 1 Drafts {15+}\r\nSubject: y\r\n\r\nz\r\n", b"* OK [APPENDUID ", b"* 1 EXPUNGE"),
        (b"p MOVE 1 Sent\r\n", b"* OK [COPYUID ", b"* 1 EXPUNGE"),
        (b"p MOVE 1 Shared/cntt\r\n", b"* OK [COPYUID ", b"* 1 EXPUNGE"),
    ],
)
def test_what_cannot_be_done_twice_is_answered_so(
    store: LocalMailStore, monkeypatch: pytest.MonkeyPatch, command: bytes, done: bytes, gone: bytes
) -> None:
    """The look that belongs to the change itself fails: the next one tells what has become of the old message."""
    ctx = Talk(store, boxes=[BOX]).sign_in()
    ctx.say(appended(b"Drafts", b"x"))
    ctx.say(b"s SELECT Drafts\r\n")

    before, look = ctx.account.highest_modseq(), View.poll

    def busy(view: View, account: Account, *known: Ranges, own_change: ChangeResult | None = None) -> FolderChange:
        if account.highest_modseq() > before:
            raise Unavailable("busy")
        return look(view, account, *known, own_change=own_change)

    with monkeypatch.context() as moment:
        moment.setattr(View, "poll", busy)
        moment.setattr(ctx.host, "remembers", False)
        answer = ctx.say(command)
    assert done in answer
    assert gone not in answer
    assert b"\r\np OK" in answer
    assert gone in ctx.say(b"q NOOP\r\n")


def test_a_mailbox_out_of_step_takes_no_answer_back(store: LocalMailStore) -> None:
    """UIDVALIDITY has changed below the client when its message is stored: it hears that it is, and then goodbye."""
    ctx = Talk(store).sign_in()
    ctx.say(b"s SELECT INBOX\r\n")
    real = store.store(ctx.account.ref)
    with writing(real) as write:
        folder = write.folder(ctx.account.folder_id("INBOX"))
        folder.uidvalidity += 1
        write.save(folder)
        write.touch(folder)
    heard = ctx.say(appended(b"INBOX", b"x"))
    ctx.session.noticed(ctx.account.highest_modseq())
    heard += ctx.say(b"q NOOP\r\n") if not ctx.over else b""
    assert b"p OK [APPENDUID " in heard
    assert b"* BYE The mailbox was rebuilt" in heard
    assert ctx.over


def test_only_what_is_told_of_is_kept_as_the_clients_own(store: LocalMailStore) -> None:
    """Changes in accounts that nobody looks at for it would be kept as long as it is connected."""
    ctx = Talk(store, boxes=[BOX]).sign_in()
    ctx.say(appended(b"INBOX", b"x"))
    ctx.say(b"s SELECT INBOX\r\n")
    ctx.say(b"n NOTIFY SET (SELECTED (MessageNew MessageExpunge))\r\n")
    for _ in range(3):
        assert b"OK [COPYUID" in ctx.say(b"c COPY 1 Shared/cntt\r\n")
        assert b"OK [APPENDUID" in ctx.say(appended(b"Sent", b"x"))
        ctx.say(b"q NOOP\r\n")
        notice(ctx)
    ctx.say(b"u UNSELECT\r\n")
    for _ in range(3):
        assert b"OK [APPENDUID" in ctx.say(appended(b"Shared/cntt", b"x") + appended(b"Sent", b"x"))
    notifier = ctx.session._context.notifier
    assert isinstance(notifier, NotifyListener)
    assert sum(map(len, notifier._own.values())) == 0


def test_without_message_numbers_no_search_is_followed_by_them(store: LocalMailStore) -> None:
    """ENABLE UIDONLY (RFC 9586) while a mailbox is open: of what was asked without UID no more is told, and that is said."""
    ctx, other = Talk(store).sign_in(), Talk(store).sign_in()
    ctx.say(b"s SELECT INBOX\r\n")
    ctx.say(b"f SEARCH RETURN (UPDATE) UNSEEN\r\ng UID SEARCH RETURN (UPDATE) UNSEEN\r\n")
    enabled = ctx.say(b"e ENABLE UIDONLY\r\n")
    assert b'* NO [NOUPDATE "f"]' in enabled
    assert b"e OK" in enabled
    other.say(appended(b"INBOX", b"x"))
    told = ctx.say(b"q NOOP\r\n")
    assert b'* ESEARCH (TAG "g") UID ADDTO (0 1)' in told
    assert b'"f"' not in told


def test_what_many_changes_mean_to_a_search_is_worked_out_in_a_lane(store: LocalMailStore) -> None:
    """100,000 flags at once took the event loop half a second; no step between two of its turns looks at many messages."""
    ctx, other = Talk(store).sign_in(), Talk(store).sign_in()
    message = b" {20+}\r\nSubject: x\r\n\r\nnoi gi"
    for _ in range(2):
        assert b"OK" in ctx.say(b"p APPEND INBOX" + message * (MANY_MESSAGES // 2 + 100) + b"\r\n")
    ctx.say(b"s SELECT INBOX\r\nf UID SEARCH RETURN (UPDATE COUNT) UNSEEN\r\n")
    other.say(b"s SELECT INBOX\r\ng STORE 7 +FLAGS (\\Flagged)\r\n")
    ctx.session.noticed(ctx.account.highest_modseq())  # so .SILENT has to be told of what was another's
    loop, excerpt = threading.get_ident(), []

    class Threaded(Talk):
        """Its work is done by another thread, as in the server."""

        def carry_out(self, action: Action) -> None:
            if isinstance(action, Work):
                thread = threading.Thread(target=super().carry_out, args=(action,))
                thread.start()
                thread.join()
            else:
                super().carry_out(action)

    ctx.__class__ = Threaded
    with pytest.MonkeyPatch.context() as watching:
        position = View.position
        watching.setattr(View, "position", lambda view, uid: (excerpt.append(threading.get_ident()), position(view, uid))[1])
        told = ctx.say(b"t STORE 1:* +FLAGS.SILENT (\\Seen)\r\n")
    assert b'(TAG "f") UID REMOVEFROM (0 1:%d)' % (MANY_MESSAGES + 200) in told
    assert len(excerpt) > MANY_MESSAGES
    assert excerpt.count(loop) < MANY_MESSAGES
