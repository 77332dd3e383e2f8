"""SELECT, EXAMINE, CLOSE, UNSELECT, EXPUNGE and IDLE.

In: commands. Out: steps. Every SELECT sends HIGHESTMODSEQ, also if the client has not enabled CONDSTORE (RFC 7162 §3.1.2.1).
Standards: RFC 9051 §6.3.2, §6.3.13, §6.4.1-6.4.3; RFC 7162 §3.2.5 (QRESYNC); RFC 4315 (UID EXPUNGE); RFC 8474 (MAILBOXID).
"""

import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mic_mail.connection.actions import RecordActivity, Steps, opening_slot
from mic_mail.connection.session_core import CloseConnection
from mic_mail.errors import Text
from mic_mail.imap import responses
from mic_mail.imap.actions import DropCompressor, Waiting, WatchAccount
from mic_mail.imap.commands.fetch import vanished_of
from mic_mail.imap.commands.mailboxes import listing_of
from mic_mail.imap.commands.message_set import resolve_messages, uids_of
from mic_mail.imap.commands.notify import RETRY_SECONDS, notify_all
from mic_mail.imap.commands.search_context import send_search_updates
from mic_mail.imap.connection_state import Enabled
from mic_mail.imap.context import ImapContext
from mic_mail.imap.mailbox_names.acl_rights import reads_only
from mic_mail.imap.mailbox_names.list_match import ListedFolder
from mic_mail.imap.mailbox_names.resolve import Place
from mic_mail.imap.parser.command import Arguments
from mic_mail.imap.parser.events import NEED_INPUT, Line
from mic_mail.imap.parser.mailbox import QResync, Select
from mic_mail.imap.parser.messages import Expunge
from mic_mail.imap.parser.number_set import MAX_NUMBER, Ranges, SequenceSet, format_set
from mic_mail.imap.replies import Reply, bad
from mic_mail.imap.selected.mailbox_view import View, claim_recent
from mic_mail.storage.errors import Frozen, Unavailable
from mic_mail.storage.index.open_folders import OpenFolder
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import DELETED, SEEN, Changes, ExpungeResult, FolderInfo, FolderView

LOOKED_AT_IN_THE_LOOP = 500_000
"""Messages of a mailbox among which the first unseen one is found in the event loop: 1 to 2 ms."""
EXPUNGED_AT_ONCE = 2_000
"""Messages that are expunged in one transaction, for which other writers of the account wait: 100 ms."""

_FLAGS_AT_ONCE = 4_096
_LOW_OCTET = 0 if sys.byteorder == "little" else array("Q").itemsize - 1
"""The place of the octet of the system flags in a message's flags."""
_IS_UNSEEN = bytes(not flags & SEEN for flags in range(256))


@dataclass(frozen=True, slots=True)
class Opened:
    """The data that SELECT reads from the store in one call."""

    mark: int
    """The account's change mark from before the read, so that no later change is missed."""
    polled_modseq: int
    """The account's MODSEQ that `fresh` reflects."""
    fresh: FolderView
    recent: Ranges
    first_unseen: int | None
    """The position of the first unseen message."""
    changes: Changes | None
    presence: OpenFolder


def _open(account: Account, command: Select, name: str, *, read_only: bool, claims: bool) -> Opened:
    """Open a folder by its name in the account; `claims`: new messages can be \\Recent to this session."""
    polled_modseq, fresh, _, mark = account.opened(name)
    assert fresh is not None
    info = fresh.info
    presence = account.enter(info.folder_id, claims=claims)
    recent = _unclaimed(info) if read_only else claim_recent(account, fresh)
    resync = command.qresync
    known = resync is not None and resync.uidvalidity == info.uidvalidity
    changes = account.changes(info.folder_id, resync.modseq) if resync is not None and known else None
    return Opened(mark, polled_modseq, fresh, recent, first_unseen(fresh), changes, presence)


def _open_known(ctx: ImapContext, command: Select, place: Place, *, read_only: bool, claims: bool) -> Opened | None:
    """Open a folder in the event loop, without a turn of a thread; None where the store has to be asked."""
    if command.qresync is not None:
        return None
    account = ctx.account_of(place)
    if (delta := ctx.host.opened(account, place.name)) is None or delta.fresh is None:
        return None
    fresh = delta.fresh
    is_claimed = fresh.info.recent_from >= fresh.info.uidnext
    if not (is_claimed or read_only) or (fresh.info.unseen and len(fresh.uids) > LOOKED_AT_IN_THE_LOOP):
        return None
    presence = ctx.host.enter(account.account_id, fresh.info.folder_id, claims=claims)
    recent = _unclaimed(fresh.info) if read_only else ()
    return Opened(delta.mark, delta.account_modseq, fresh, recent, first_unseen(fresh), None, presence)


def _unclaimed(info: FolderInfo) -> Ranges:
    """Return the UIDs that are \\Recent to a session that claims none (RFC 3501 §6.3.2)."""
    return ((info.recent_from, MAX_NUMBER),)


def first_unseen(fresh: FolderView) -> int | None:
    """Return the position of the first message without \\Seen; of 10,000 in 20 us, which one by one take 400."""
    if not fresh.info.unseen:
        return None
    for start in range(0, len(fresh.flags), _FLAGS_AT_ONCE):
        octets = fresh.flags[start : start + _FLAGS_AT_ONCE].tobytes()[_LOW_OCTET :: fresh.flags.itemsize]
        if (at := octets.translate(_IS_UNSEEN).find(1)) >= 0:
            return start + at
    return None


def select(ctx: ImapContext, command: Select) -> Steps[Reply]:
    """Handle SELECT and EXAMINE; a SELECT that fails leaves no mailbox selected (RFC 9051 §6.3.2)."""
    if command.qresync is not None and Enabled.QRESYNC not in ctx.enabled:
        return bad("ENABLE QRESYNC comes first.")  # RFC 7162 §3.2.5
    _leave(ctx)
    if command.condstore:
        ctx.use_condstore()
    rev2 = Enabled.REV2 in ctx.enabled
    place = ctx.place(command.mailbox, "r")
    yield from _watch_account(ctx, place)
    read_only = command.read_only or reads_only(place.rights)
    claims = not (read_only or rev2)
    opened = _open_known(ctx, command, place, read_only=read_only, claims=claims) or (
        yield from ctx.ask(lambda account: _open(account, command, place.name, read_only=read_only, claims=claims), place)
    )
    listed = (yield from listing_of(ctx, place)) if rev2 else None
    place = ctx.place(command.mailbox, "r")  # a delegation may have ended while the store was read
    account_id = ctx.mailbox_id if place.account is None else place.account.account_id
    view = View(
        opened.fresh,
        polled_modseq=opened.polled_modseq,
        mark=opened.mark,
        account_id=account_id,
        place=place,
        read_only=read_only,
        recent=None if rev2 else opened.recent,
        presence=opened.presence,
        on_record=ctx.host.records_access(account_id),
    )
    ctx.view = view
    if ctx.notifier is not None:
        ctx.notifier.watch_account(view)
    ctx.write_lines(_description(view, opened, listed, command.written, ctx.enabled, utf8=ctx.utf8))
    if opened.changes is not None and command.qresync is not None:
        known, changes, enabled = command.qresync, opened.changes, ctx.enabled
        ctx.write((yield from ctx.ask(lambda account: b"".join(missed(view, known, changes, enabled)), place)))
    ctx.opened[account_id] = opening_slot(ctx.clock.now_us())
    yield RecordActivity(place.account, "select")
    # RFC 4314 §5.2: only rights over shared flags make it READ-WRITE. \Seen may be set in any case.
    shared = place.rights.replace("s", "") if opened.fresh.info.own_seen else place.rights
    return Reply("Mailbox selected.", code=b"READ-ONLY" if read_only or reads_only(shared) else b"READ-WRITE")


def _watch_account(ctx: ImapContext, place: Place) -> Steps[None]:
    """Watch the account of the mailbox to open, beginning before it is read."""
    if ctx.attending != place.account:
        yield WatchAccount(place.account)
        ctx.attending, ctx.known_modseq = place.account, 0


def _description(
    view: View, opened: Opened, listed: ListedFolder | None, written: str, enabled: Enabled, *, utf8: bool
) -> list[bytes]:
    """Return the untagged lines of SELECT (RFC 9051 §6.3.2; RECENT and UNSEEN are RFC 3501's).

    `listed` for IMAP4rev2, whose SELECT sends the mailbox's attributes; `written`: the client's spelling.
    """
    info = opened.fresh.info
    lines = [*view.keyword_lines(), responses.exists(view.messages)]
    if listed is None:
        lines.append(responses.recent(view.recent_count))
        if opened.first_unseen is not None and Enabled.UIDONLY not in enabled:  # UNSEEN is a message number
            lines.append(responses.ok(b"*", "First unseen message.", b"UNSEEN %d" % (opened.first_unseen + 1)))
    lines.append(responses.ok(b"*", "UIDs are valid.", b"UIDVALIDITY %d" % info.uidvalidity))
    lines.append(responses.ok(b"*", "Next UID.", b"UIDNEXT %d" % info.uidnext))
    lines.append(responses.ok(b"*", "Highest mod-sequence.", b"HIGHESTMODSEQ %d" % max(info.highest_modseq, 1)))
    lines.append(responses.ok(b"*", "Mailbox ID.", responses.mailbox_id(info.mailbox_id)))
    if listed is not None:
        old_name = written or None
        lines.append(responses.listed(b"LIST", listed.name, listed.attributes, utf8=utf8, old_name=old_name))
    return lines


def missed(view: View, known: QResync, changes: Changes, enabled: Enabled) -> list[bytes]:
    """Return what a returning client missed: VANISHED (EARLIER), then FETCH (RFC 7162 §3.2.5.1).

    Below the expunge floor the log is incomplete: then every UID of the client's set that does not exist has vanished
    (§3.2.5.2).
    """
    asked = known.known_uids or SequenceSet(((1, MAX_NUMBER),))  # only these are to be reported
    lines = [responses.vanished(vanished_of(changes, asked, view), earlier=True)]
    # Includes messages expunged after the view was read: these still have numbers, and HIGHESTMODSEQ covers their flags.
    for uid in sorted([*(uid for uid, _, _, _ in changes.changed), *changes.vanished]):
        at = view.position(uid)
        if at is not None and view.modseqs[at] > known.modseq and asked.contains(uid, view.uids[-1]):
            lines.append(view.fetch_line(at, enabled))
    return lines


def _leave(ctx: ImapContext) -> None:
    if ctx.view is not None:
        ctx.write(responses.ok(b"*", "Previous mailbox closed.", b"CLOSED"))
    ctx.leave()


def close(ctx: ImapContext, arguments: Arguments) -> Steps[Reply]:
    """Handle CLOSE: expunge silently and deselect (RFC 9051 §6.4.1).

    Without `e` only deselect (RFC 4314 §4).

    During a handover it only deselects too: after a NO the client would remain in a mailbox that it has left.
    """
    view = ctx.selected
    is_clean = not view.info.deleted and ctx.is_current(view)
    text: Text | str = "Closed."
    if not view.read_only and "e" in view.rights and not is_clean:
        try:
            for uids in (yield from _marked(ctx, view, None)):
                result = yield from ctx.change(lambda account, uids=uids: account.expunge(view.folder_id, uids))  # type: ignore[misc]
                yield from _send_expunged(ctx, view, result)
        except Frozen as frozen:
            text = frozen.text
    elif view.info.deleted and "e" in ctx.host.withheld(view.account_id):
        text = Frozen().text
    ctx.leave()
    return Reply(text)


def unselect(ctx: ImapContext, arguments: Arguments) -> Reply:
    """Handle UNSELECT: deselect without expunge (RFC 3691)."""
    ctx.leave()
    return Reply("Mailbox closed.")


def expunge(ctx: ImapContext, command: Expunge) -> Steps[Reply]:
    """Handle EXPUNGE and UID EXPUNGE; HIGHESTMODSEQ in the reply: RFC 7162 §3.2.7.

    Many clients send it without having marked anything. A poll finds out whether there is anything to expunge, and costs less
    than a writer's turn.
    """
    view = ctx.selected
    if "e" not in ctx.host.withheld(view.account_id):
        ctx.must_hold(view, "e")
    uids: list[int] | None = None
    if command.uids is not None:
        uids = uids_of(ctx, (yield from resolve_messages(ctx, command.uids, by_uid=True)))
        if not uids:
            return Reply("Nothing to expunge.")
    if not view.info.deleted:
        yield from ctx.sync(expunge=True)
        if not view.info.deleted:
            return Reply("Expunged.")
    ctx.must_hold(view, "e")
    enabled = ctx.enabled

    def work(account: Account, uids: Sequence[int] | None) -> tuple[ExpungeResult, bytes]:
        result = account.expunge(view.folder_id, uids)
        lines = view.catch_up(view.poll(account, own_change=result.made), enabled, expunge=True, own=result.uids)
        return result, b"".join(lines)

    modseq = 0
    for some in (yield from _marked(ctx, view, uids)):
        result, lines = yield from ctx.change(lambda account, some=some: work(account, some))  # type: ignore[misc]
        ctx.write(lines)
        yield from _send_expunged(ctx, view, result)
        yield from ctx.yield_output()
        modseq = result.modseq if result.uids else modseq
    return Reply("Expunged.", code=b"HIGHESTMODSEQ %d" % modseq if Enabled.CONDSTORE in ctx.enabled and modseq else b"")


def _marked(ctx: ImapContext, view: View, uids: Sequence[int] | None) -> Steps[list[Sequence[int] | None]]:
    """Return the slices in which the messages with \\Deleted are expunged, among `uids` if given.

    None stands for all that are marked then. A few are expunged at once; of many the last ones come first, so that the numbers
    of the others do not change.
    """
    if view.info.deleted <= EXPUNGED_AT_ONCE:
        return [uids]

    def find(account: Account) -> list[Sequence[int] | None]:
        marked = [uid for uid, flags in zip(view.uids, view.flags, strict=True) if flags & DELETED]
        if uids is not None:
            among = set(uids)
            marked = [uid for uid in marked if uid in among]
        slices = [marked[max(0, end - EXPUNGED_AT_ONCE) : end] for end in range(len(marked), 0, -EXPUNGED_AT_ONCE)]
        return [*slices, uids]

    return (yield from ctx.ask(find, view.place))


def _send_expunged(ctx: ImapContext, view: View, result: ExpungeResult) -> Steps[None]:
    if result.uids:
        uids = format_set(result.uids).decode("ascii")
        yield from ctx.record_shared_act("messages_expunged", replace(view.place, name=view.name), uids=uids)


def idle(ctx: ImapContext, arguments: Arguments) -> Steps[Reply]:
    """Handle IDLE (RFC 2177): report changes as they come, until DONE.

    A line every two minutes keeps the connection alive in middleboxes (and Outlook).
    """
    settings = ctx.settings
    ctx.reader.expect_line()
    ctx.write(responses.continuation("Idling."))
    yield from ctx.polling(None if ctx.view is None else ctx.view.place)
    must_poll = yield from _poll_failed(ctx)
    if ctx.compressed:
        yield DropCompressor()
    until = ctx.now() + settings.idle_seconds
    still_here = ctx.now() + settings.still_here_seconds
    poll_at = ctx.now() + RETRY_SECONDS
    while ctx.ending is None:
        if ctx.notifier is not None:
            yield from notify_all(ctx, expunge=True)  # RFC 5465 §4: the events of NOTIFY, and no others
        event = ctx.read_next()
        if event is not NEED_INPUT:
            done = isinstance(event, Line) and event.data.upper() == b"DONE"
            return Reply("IDLE ended.") if done else bad("Expected DONE.")
        if ctx.notifier is None and ctx.view is not None and ctx.known_modseq > ctx.view.polled_modseq and not must_poll:
            must_poll, poll_at = True, 0.0
        if must_poll and ctx.now() >= poll_at:
            must_poll, poll_at = (yield from _poll_failed(ctx)), ctx.now() + RETRY_SECONDS
            continue
        if ctx.now() >= until:
            raise CloseConnection(Text("Kết nối bị đóng vì quá lâu không hoạt động.", "Autologout; idle for too long."))
        if ctx.now() >= still_here:
            ctx.write(responses.ok(b"*", "Still here"))
            still_here = ctx.now() + settings.still_here_seconds
        wake_at = min(until, still_here, poll_at) if must_poll else min(until, still_here)
        yield Waiting(wake_at if ctx.notifier is None else min(wake_at, ctx.notifier.pause()))
    raise ctx.ending


def _poll_failed(ctx: ImapContext) -> Steps[bool]:
    """Report changes; return whether the store cannot answer now.

    A NO would end IDLE at a client that still sends DONE.
    """
    try:
        yield from ctx.sync(expunge=True)
        yield from send_search_updates(ctx)
    except Unavailable as error:
        if ctx.severed:
            raise CloseConnection(error.text) from error
        return True
    return False
