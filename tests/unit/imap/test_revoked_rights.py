"""An authority that ends or shrinks in the midst of a command: what is not done by then is not done, nothing more is told."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from mic_mail.connection.actions import Action
from mic_mail.imap.actions import Work
from mic_mail.policy.unit_mail.delegation import RIGHTS
from mic_mail.services.authentication.shared_mailboxes import SharedMailbox
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef
from session_harness import Talk

BOX = SharedMailbox("cntt", "cntt@mic.gov.vn", AccountRef(8, "mic.gov.vn/cntt"), RIGHTS, 1 << 30)
MESSAGE = b"Subject: x\r\n\r\nso 1\r\n"


class Interrupted(Talk):
    """`meanwhile` happens behind the piece of work on the store that it counts down to."""

    after = -1
    meanwhile: Callable[[], None]

    def carry_out(self, action: Action) -> None:
        super().carry_out(action)
        if isinstance(action, Work):
            self.after -= 1
            if self.after == 0:
                self.meanwhile()

    def during(self, work: int, meanwhile: Callable[[], None], command: bytes) -> bytes:
        self.after, self.meanwhile = work, meanwhile
        answer = self.say(command)
        assert self.after <= 0, "it never came so far"
        return answer

    def end(self) -> None:
        """As the shell does."""
        self.host.boxes = {}
        self.session.access_revoked(BOX.account.account_id, "Over.")

    def shrink(self, rights: str) -> None:
        self.host.boxes = {BOX.name: replace(BOX, rights=rights)}
        self.session.rights_moved(BOX.account.account_id, rights)

    def messages(self, name: str) -> int:
        """In the unit's account."""
        return self.store.account(BOX.account).folder(name).messages


@pytest.fixture
def ctx(store: LocalMailStore) -> Interrupted:
    ctx = Interrupted(store, boxes=[BOX])
    ctx.sign_in()
    for name in (b"INBOX", b"Archive", b"Shared/cntt", b"Shared/cntt/Archive"):
        ctx.say(b"p APPEND %b {%d+}\r\n%b\r\n" % (name, len(MESSAGE), MESSAGE))
    return ctx


@pytest.mark.parametrize("work", [1, 2, 3])
def test_a_list_tells_nothing_of_what_ended_meanwhile(ctx: Interrupted, work: int) -> None:
    """Nor takes it for the person's own: no STATUS, no rights, no annotations of it."""
    ctx.say(b"a SETMETADATA Shared/cntt (/shared/comment chung)\r\n")
    answer = ctx.during(work, ctx.end, b'l LIST "" * RETURN (MYRIGHTS STATUS (MESSAGES) METADATA (/shared/comment))\r\n')
    assert b"Shared/" not in answer
    assert b'* LIST (\\HasNoChildren) "/" "INBOX"\r\n* STATUS "INBOX" (MESSAGES 1)' in answer
    assert b"l OK" in answer


@pytest.mark.parametrize("work", range(2, 7))
def test_a_search_of_many_mailboxes_leaves_out_what_ended_meanwhile(ctx: Interrupted, work: int) -> None:
    """Whenever it ends: what comes behind that says nothing of the unit's."""
    said: list[int] = []

    def ended() -> None:
        said.append(len(ctx.sent))
        ctx.host.boxes = {}

    answer = ctx.during(work, ended, b'f ESEARCH IN (subtree Shared personal) BODY "so 1"\r\n')
    assert said
    assert b"Shared/" not in b"".join(ctx.sent[said[0] :])
    assert len(re.findall(rb'MAILBOX "(?:INBOX|Archive)"', answer)) == 2


@pytest.mark.parametrize("command", [b"COPY", b"MOVE"])
def test_nothing_is_published_where_one_may_not_write_any_more(ctx: Interrupted, command: bytes) -> None:
    """It ends between lending and publication: nothing is there, nothing is left over, nothing is taken away."""
    ctx.say(b"a SELECT INBOX\r\n")
    answer = ctx.during(2, ctx.end, b"c %b 1 Shared/cntt\r\n" % command)
    assert b"c NO [NONEXISTENT]" in answer
    assert (ctx.messages("INBOX"), ctx.account.folder("INBOX").messages) == (1, 1)
    answer = ctx.say(b"d NOOP\r\n")
    assert b"d OK" in answer


def test_nothing_is_copied_out_of_what_may_not_be_read_any_more(ctx: Interrupted) -> None:
    """The session ends with BYE, and the copy is not made."""
    ctx.say(b"a SELECT Shared/cntt\r\n")
    answer = ctx.during(2, ctx.end, b"c COPY 1 INBOX\r\n")
    assert answer.endswith(b"* BYE Over.\r\n")
    assert ctx.account.folder("INBOX").messages == 1


def test_a_move_takes_nothing_from_where_one_may_not_expunge_any_more(ctx: Interrupted) -> None:
    """The copy is made by then and stays; the message stays too (RFC 6851 §3.3)."""
    ctx.say(b"a SELECT Shared/cntt\r\n")
    answer = ctx.during(3, lambda: ctx.shrink("lrsw"), b"c MOVE 1 INBOX\r\n")
    assert b"c NO [NOPERM]" in answer
    assert (ctx.messages("INBOX"), ctx.account.folder("INBOX").messages) == (1, 2)


def test_a_replacement_needs_its_rights_when_it_is_done(ctx: Interrupted) -> None:
    """`t` and `e` go while the message comes: nothing is stored and nothing expunged."""
    ctx.say(b"a SELECT Shared/cntt\r\n")
    assert ctx.say(b"r REPLACE 1 Shared/cntt {%d}\r\n" % len(MESSAGE)) == b"+ OK\r\n"
    ctx.shrink("lrswi")
    assert b"r NO [NOPERM]" in ctx.say(MESSAGE + b"\r\n")
    assert ctx.messages("INBOX") == 1
    assert ctx.store.account(BOX.account).folder("INBOX").uidnext == 2
