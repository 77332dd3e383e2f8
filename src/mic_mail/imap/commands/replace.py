"""REPLACE and UID REPLACE (RFC 8508): append a new message and expunge an old one as one action.

The message streams in as in APPEND. The message to replace is determined when the command begins, and checked again in the
store's transaction: if it is gone then, nothing is stored. APPENDUID is sent before the EXPUNGE or VANISHED (§4.3), \\Deleted
is never reported (§3.4), and the quota is checked against the growth of the mailbox.
"""

import dataclasses
from functools import partial

from mic_mail.connection.actions import Steps
from mic_mail.errors import Text
from mic_mail.imap import responses
from mic_mail.imap.commands.append import SENT, MultiAppend, check_malware, check_marking, take, target_again, target_of
from mic_mail.imap.commands.message_set import resolve_messages, uids_of
from mic_mail.imap.connection_state import Enabled
from mic_mail.imap.context import ImapContext
from mic_mail.imap.mailbox_names.acl_rights import allowed_flags
from mic_mail.imap.mailbox_names.resolve import Place
from mic_mail.imap.parser.events import AppendMessage
from mic_mail.imap.parser.number_set import NoSuchNumber
from mic_mail.imap.replies import Reply, bad, refusal, refuse
from mic_mail.imap.selected.mailbox_view import View
from mic_mail.storage.errors import SpecialUseRefused
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import Published


class Replacement(MultiAppend):
    """The new message, and the one that it replaces."""

    def __init__(self, place: Place, folder_id: int = 0, uid: int = 0, size: int = 0) -> None:
        super().__init__(place)
        self._folder_id = folder_id
        self.uid = uid
        self._size = size

    def check(self, account: Account, size: int, limit_octets: int | None) -> None:
        super().check(account, max(0, size - self._size), limit_octets)

    def exchange(self, account: Account, limit_octets: int | None, unless_use: str | None) -> Published:
        """Publish the new message and expunge the old one, both or neither.

        Raises `SpecialUseRefused` as `publish` does.
        """
        target = account.folder(self.place.name)
        if not self._deliveries:
            [message] = self.messages
            self._deliveries = [message.finish(account, allowed_flags(self.place.rights))]
        [delivery] = self._deliveries
        published = account.exchange(
            self._folder_id, self.uid, target.folder_id, delivery, limit_octets=limit_octets, unless_use=unless_use
        )
        self.messages.clear()
        return published


def replace(ctx: ImapContext, message: AppendMessage, forbidden: Reply | None) -> Steps[None]:
    chosen = forbidden or (yield from _replaced(ctx, message))
    place, refused = target_of(ctx, message.mailbox)
    if isinstance(chosen, Reply):
        intake, refused = Replacement(place), chosen
    else:
        view, uid = chosen
        at = view.position(uid)
        assert at is not None
        intake = Replacement(place, view.folder_id, uid, view.sizes[at])
        if refused is None and place.account != view.place.account:
            refused = refuse(
                Text(
                    "Chỉ thay được thư trong cùng một hộp thư; đề nghị thêm thư mới rồi xóa thư cũ.",
                    "A message can be replaced only within one account; append and delete it instead.",
                ),
                b"CANNOT",
            )
    yield from take(ctx, message, intake, partial(_exchange, ctx, message.mailbox, intake), refused)


def _replaced(ctx: ImapContext, message: AppendMessage) -> Steps[tuple[View, int] | Reply]:
    """Return the selected mailbox and the UID to replace, or the refusal."""
    assert message.replaces is not None
    view = ctx.selected
    if not {"t", "e"} <= set(view.rights):
        return refusal(ctx.lacks(view, "te"))  # the rights that STORE and EXPUNGE would need
    try:
        uids = uids_of(ctx, (yield from resolve_messages(ctx, message.replaces, by_uid=message.by_uid)))
    except NoSuchNumber:
        return bad("There is no message with that number.")
    return (
        (view, uids[0]) if uids else refuse(Text("Không có thư nào mang UID đó.", "No message with that UID."), b"NONEXISTENT")
    )


def _exchange(ctx: ImapContext, mailbox: str, intake: Replacement) -> Steps[Reply]:
    view, enabled = ctx.selected, ctx.enabled
    intake.place = place = target_again(ctx, mailbox, intake.place)
    ctx.must_hold(view, "te")  # rights may have been lost while the message arrived
    yield from check_malware(ctx, intake)
    limit, unclear = ctx.quota_octets(place.box), intake.unclear
    unless_use = SENT if unclear else None

    def work(account: Account) -> tuple[Published, list[bytes]]:
        published = intake.exchange(account, limit, unless_use)
        return published, view.poll_after_change(account, enabled, own=[intake.uid])

    try:
        published, lines = yield from ctx.change(work, place)
    except SpecialUseRefused:
        yield from check_marking(ctx, intake, unclear)
        unless_use = None
        published, lines = yield from ctx.change(work, place)
    replaced = dataclasses.replace(view.place, name=view.name)
    yield from ctx.record_shared_act("message_replaced", replaced, uid=intake.uid, to=place.name)
    stored = responses.append_uid(published.uidvalidity, [published.uid])
    ctx.write(ctx.line(b"*", Reply("The new message is stored.", code=stored)))
    ctx.write_lines(lines)
    # RFC 8508 §4.5, RFC 7162 §3.2.7: as with UID EXPUNGE.
    return Reply("Replaced.", code=b"HIGHESTMODSEQ %d" % published.modseq if Enabled.CONDSTORE in enabled else b"")
