"""A connection that is lost in the midst: what was staged and is not published goes, and the loop unlinks none of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mic_mail.connection.actions import Action
from mic_mail.imap.actions import ClearAway, Work
from mic_mail.policy.unit_mail.delegation import RIGHTS
from mic_mail.services.authentication.shared_mailboxes import SharedMailbox
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef
from session_harness import REF, Talk

BOX = SharedMailbox("cntt", "cntt@mic.gov.vn", AccountRef(8, "mic.gov.vn/cntt"), RIGHTS, 1 << 30)
MESSAGE = b"Subject: x\r\n\r\nso 1\r\n"


class Cut(Talk):
    """`meanwhile` happens behind the change of a store that it counts down to; what is to be cleared away is kept."""

    after = -1
    meanwhile: Callable[[], None]
    cleared: Callable[[], None] | None = None

    def carry_out(self, action: Action) -> None:
        if isinstance(action, ClearAway):
            self.cleared = action.run
            self.session.done(action)
            return
        super().carry_out(action)
        if isinstance(action, Work) and action.writes:
            self.after -= 1
            if self.after == 0:
                self.meanwhile()

    def lose(self) -> None:
        """As the shell does."""
        self.session.close()
        self.over = True

    def staged(self, ref: AccountRef) -> list[Path]:
        return list(Path(self.store.store(ref).paths.tmp).iterdir())


@pytest.fixture
def ctx(store: LocalMailStore) -> Cut:
    ctx = Cut(store, boxes=[BOX])
    ctx.sign_in()
    ctx.say(b"p APPEND INBOX" + b" {%d+}\r\n%b" % (len(MESSAGE), MESSAGE) * 3 + b"\r\ns SELECT INBOX\r\n")
    return ctx


@pytest.mark.parametrize("command", [b"UID COPY", b"UID MOVE"])
def test_what_was_lent_when_the_connection_was_lost(ctx: Cut, command: bytes) -> None:
    """COPY and MOVE between accounts, cut behind the lending: the staged files are cleared away in a thread."""
    ctx.after, ctx.meanwhile = 1, ctx.lose
    ctx.say(b"c " + command + b" 1:* Shared/cntt\r\n")
    assert len(ctx.staged(BOX.account)) == 3
    clear_away = ctx.session.pending_cleanup()
    assert clear_away is not None
    clear_away()
    assert not ctx.staged(BOX.account)
    assert ctx.account.folder("INBOX").messages == 3


def test_what_was_lent_when_the_authority_ended(ctx: Cut) -> None:
    """The same of a session that goes on: its answer does not wait for the disk."""

    def end() -> None:
        ctx.host.boxes = {}

    ctx.after, ctx.meanwhile = 1, end
    assert b"c NO" in ctx.say(b"c UID COPY 1:* Shared/cntt\r\n")
    assert len(ctx.staged(BOX.account)) == 3
    assert ctx.cleared is not None
    ctx.cleared()
    assert not ctx.staged(BOX.account)
    assert ctx.session.pending_cleanup() is None


@pytest.mark.parametrize("command", [b"APPEND INBOX", b"UID REPLACE 1 INBOX"])
def test_half_a_message(ctx: Cut, command: bytes) -> None:
    """APPEND and REPLACE whose octets stop coming: what was written of them goes, in a thread too."""
    ctx.say(b"c " + command + b" {900000+}\r\nSubject: x\r\n\r\n" + b"x" * 800_000)
    ctx.lose()
    assert len(ctx.staged(REF)) == 1
    clear_away = ctx.session.pending_cleanup()
    assert clear_away is not None
    clear_away()
    assert not ctx.staged(REF)
