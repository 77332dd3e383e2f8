"""COPY and MOVE between two accounts, the own one and a unit's or group's.

Copies are staged from the one and published in the other.

In: UIDs of the selected mailbox, a place in another account. Out: steps. The other account's quota and rights apply. A copy
is durable before a move removes anything: a kill in between leaves a message in both accounts, never in neither. A delegation
that ends meanwhile keeps what was done by then: nothing is published or expunged where the right to it is gone.
Standards: RFC 9051 §6.4.7-6.4.8, RFC 6851 §3.3, RFC 4314 §4.
"""

from mic_mail.connection.actions import Steps
from mic_mail.imap.context import ImapContext
from mic_mail.imap.mailbox_names.acl_rights import NoPermission, allowed_flags
from mic_mail.imap.mailbox_names.resolve import Place
from mic_mail.imap.selected.mailbox_view import View
from mic_mail.storage.mailstore import Account
from mic_mail.storage.reads.cross_account import StagedCopy
from mic_mail.storage.types import CopyResult


def copy(ctx: ImapContext, view: View, uids: list[int], target: Place, *, every: bool) -> Steps[CopyResult]:
    """Copy these messages: those that still exist, or with `every` all or none."""
    destination, allowed = ctx.account_of(target), allowed_flags(target.rights)
    folder = yield from ctx.ask(lambda account: account.folder(target.name), target)
    staged: list[StagedCopy] = []

    def borrow(account: Account) -> None:
        staged.extend(account.stage_copies(destination, view.folder_id, uids, every=every, allowed=allowed))

    def publish(account: Account) -> CopyResult:
        try:
            published = account.publish(folder.folder_id, [each.delivery for each in staged], limit_octets=limit)
            pairs = [(each.uid, new.uid) for each, new in zip(staged, published, strict=True)]
            return CopyResult(published[0].uidvalidity, pairs, published[0].modseq)
        finally:
            give_back()

    def give_back() -> None:
        """Discard unpublished copies; nothing is left of published ones."""
        while staged:
            staged.pop().delivery.staged.discard()

    try:
        yield from ctx.change(borrow, view.place)
        if not staged:
            return CopyResult(folder.uidvalidity, [], 0)
        if "r" not in view.rights:
            raise NoPermission
        limit = ctx.quota_octets(ctx.place_now(target, "i").box)
        return (yield from ctx.change(publish, target))
    finally:
        if staged:  # the connection was lost, no executor turn was free, or a delegation ended
            ctx.leave_behind(give_back)


def move(ctx: ImapContext, view: View, uids: list[int], target: Place) -> Steps[tuple[CopyResult, bytes]]:
    """Copy and then expunge the originals; return the copies and the lines that report the expunge."""
    yield from ctx.ask(lambda account: account.must_not_be_frozen(), view.place)
    copied = yield from copy(ctx, view, uids, target, every=False)
    ctx.must_hold(view, "te")
    gone, enabled = [uid for uid, _ in copied.pairs], ctx.enabled

    def work(account: Account) -> tuple[CopyResult, bytes]:
        removed = account.remove(view.folder_id, gone)
        lines = b"".join(view.poll_after_change(account, enabled, own=gone))
        return CopyResult(copied.uidvalidity, copied.pairs, removed.modseq), lines

    return (yield from ctx.change(work, view.place))
