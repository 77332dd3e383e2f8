"""STORE, COPY and MOVE: changes to messages of the selected mailbox.

In: commands. Out: steps. Each is one store operation: the change and a poll of its result. So the client learns of its own
changes and of others' in the same way, exactly once. Between two accounts: `cross_account_copy`.
Standards: RFC 9051 §6.4.6-6.4.8, RFC 7162 §3.1.3 (UNCHANGEDSINCE), RFC 4315 (COPYUID), RFC 6851 (MOVE).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from mic_mail.connection.actions import Steps
from mic_mail.errors import Text
from mic_mail.imap import responses
from mic_mail.imap.actions import Teach
from mic_mail.imap.commands import cross_account_copy
from mic_mail.imap.commands.message_set import resolve_messages, uids_of
from mic_mail.imap.connection_state import Enabled
from mic_mail.imap.context import ImapContext
from mic_mail.imap.mailbox_names import resolve
from mic_mail.imap.mailbox_names.acl_rights import allowed_flags
from mic_mail.imap.mailbox_names.resolve import Place
from mic_mail.imap.parser.fetch import FlagChange, Store
from mic_mail.imap.parser.messages import Transfer
from mic_mail.imap.parser.number_set import format_set
from mic_mail.imap.replies import Reply, refusal, refuse
from mic_mail.imap.selected.mailbox_view import View
from mic_mail.services.transport.inbound.junk_signals import junk_from_keywords
from mic_mail.storage.errors import NoSuchFolder, NoSuchMessage
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import ALL_FLAGS, DELETED, KEYWORD_FLAGS, KEYWORD_SHIFT, CopyResult, StoreResult

STORED_AT_ONCE = 10_000
"""Messages whose flags are changed in one transaction, for which other writers of the account wait: 50 ms."""


def store(ctx: ImapContext, command: Store) -> Steps[Reply]:
    """Handle STORE; with .SILENT only flags are sent that the client cannot infer (RFC 9051 §6.4.6).

    Messages that UNCHANGEDSINCE left alone are sent with their current flags, which saves the client a FETCH (RFC 7162
    §3.1.3). Many messages are changed in slices, each with a MODSEQ of its own.
    """
    view = ctx.selected
    if not _may_change(view, command):
        raise ctx.lacks(view, "t" if command.flags.system & DELETED else "w")
    if command.unchanged_since is not None:
        ctx.use_condstore()
    known = view.uids, view.flags
    uids = uids_of(ctx, (yield from resolve_messages(ctx, command.messages, by_uid=command.by_uid)))
    if not uids:
        return Reply("No such messages.")
    enabled, allowed = ctx.enabled, view.allowed
    says_something, is_recorded = _says(ctx, command) is not None, _marks_passed_on(ctx, command)

    def work(account: Account, uids: list[int]) -> tuple[list[int], list[int], int, bytes]:
        before = _flags_of(view, uids) if command.silent else {}
        retold = tuple(_retold(*known, view, uids)) if command.silent else ()
        since = account.highest_modseq() if says_something else 0
        result = account.store_flags(
            view.folder_id,
            uids,
            command.change.value,
            command.flags.system,
            command.flags.keywords,
            unchanged_since=command.unchanged_since,
            allowed=allowed,
        )
        lines = view.catch_up(
            view.poll(account, own_change=result.made),
            enabled,
            expunge=command.by_uid,
            expected=_expected(command, before, result) if command.silent else None,
            asked={*result.failed, *(retold if command.silent else (uid for uid, _, _ in result.changed))},
            with_uid=command.by_uid,
        )
        failed = result.failed
        if not command.by_uid:
            failed = [at + 1 for uid in failed if (at := view.position(uid)) is not None]
        new = [uid for uid, _, modseq in result.changed if modseq > since] if says_something else []
        # Only what is needed is returned: freeing the rest would take long in the loop.
        return failed, new, len(result.changed), b"".join(lines)

    at_once = len(uids) if is_recorded or says_something else STORED_AT_ONCE  # what is recorded is done as a whole
    failed, changed, stored = yield from _in_slices(ctx, uids, at_once, work)
    if is_recorded:
        named = format_set(uids).decode("ascii")
        yield from ctx.record_shared_act("messages_passed_on", replace(view.place, name=view.name), uids=named)
    yield from _taught_by_keywords(ctx, view, command, changed)
    if failed:
        return Reply("Some messages were changed by others.", code=responses.modified(failed))
    # Another session's EXPUNGE is not this client's failure: OK, and the code says why not all were sent (RFC 5530 §3).
    return Reply("Stored.", code=b"EXPUNGEISSUED" if stored < len(uids) else b"")


def _in_slices(
    ctx: ImapContext,
    uids: list[int],
    at_once: int,
    work: Callable[[Account, list[int]], tuple[list[int], list[int], int, bytes]],
) -> Steps[tuple[list[int], list[int], int]]:
    """Change so many messages at a time and write the lines of each slice.

    Returns the messages that were left alone, those whose new flags say something, and how many were changed.
    """
    failed: list[int] = []
    changed: list[int] = []
    stored = 0
    for start in range(0, len(uids), at_once):
        if start:
            yield from ctx.yield_output()
        some = uids[start : start + at_once]
        of_some = yield from ctx.change(lambda account, some=some: work(account, some))  # type: ignore[misc]
        ctx.write(of_some[3])
        failed += of_some[0]
        changed += of_some[1]
        stored += of_some[2]
    return failed, changed, stored


def _marks_passed_on(ctx: ImapContext, command: Store) -> bool:
    """Return whether messages are marked as handed to the document system, which is recorded (Reg. 12.3.c)."""
    if command.change is FlagChange.REMOVE:
        return False
    return any(keyword.lower() in ctx.settings.passed_on for keyword in command.flags.keywords)


def _says(ctx: ImapContext, command: Store) -> bool | None:
    """Return whether the keywords set mark messages as spam or not spam; None: neither, or not needed."""
    if not ctx.settings.teaches or command.change is FlagChange.REMOVE:
        return None
    return junk_from_keywords(command.flags.keywords)


def _taught_by_keywords(ctx: ImapContext, view: View, command: Store, uids: Sequence[int]) -> Steps[None]:
    spam = _says(ctx, command)
    if spam is not None and uids:
        yield Teach(view.place.account, view.name, uids, spam=spam)


def _taught_by_move(ctx: ImapContext, view: View, target: Place, result: CopyResult) -> Steps[None]:
    """Report a move into or out of Junk (Reg. 15.5); the receiver finds out which folder is Junk."""
    if ctx.settings.teaches and result.pairs:
        new = [uid for _, uid in result.pairs]
        yield Teach(target.account, target.name, new, came_from=(view.place.account, view.name))


def _flags_of(view: View, uids: Sequence[int]) -> dict[int, int]:
    """Return the flags of those of these messages that the client knows."""
    run = view.run_at(uids)
    if run is not None:
        return dict(zip(uids, view.flags[run : run + len(uids)], strict=True))
    return {uid: view.flags[at] for uid in uids if (at := view.position(uid)) is not None}


def _retold(uids: Sequence[int], flags: Sequence[int], view: View, wanted: Sequence[int]) -> Iterator[int]:
    """Yield messages whose changed flags were sent earlier in this command (`uids`, `flags`: before).

    The client cannot know whether these are older or newer than its own change. They are sent again at the end, so that its
    flags are determinate (RFC 9051 §6.4.6).
    """
    if flags is view.flags:
        return
    first, run = bisect_left(uids, wanted[0]), view.run_at(wanted)
    if run is not None:
        count = len(wanted)
        are_same = uids[first : first + count] == view.uids[run : run + count]
        if are_same and flags[first : first + count] == view.flags[run : run + count]:
            return
    for uid in wanted:
        at, now = bisect_left(uids, uid), view.position(uid)
        if at < len(uids) and uids[at] == uid and now is not None and flags[at] != view.flags[now]:
            yield uid


def _may_change(view: View, command: Store) -> bool:
    """Return whether at least one of the named flags may be changed (RFC 4314 §4).

    A STORE that names none replaces all.
    """
    named = command.flags.system | (KEYWORD_FLAGS if command.flags.keywords else 0)
    return bool(view.allowed & (named or ALL_FLAGS))


def _expected(command: Store, before: Mapping[int, int], result: StoreResult) -> dict[int, int]:
    names = {name.lower(): 1 << (KEYWORD_SHIFT + place) for place, name in enumerate(result.keywords)}
    bits = command.flags.system
    for keyword in command.flags.keywords:
        bits |= names.get(keyword.lower(), 0)
    match command.change:
        case FlagChange.ADD:
            return {uid: before[uid] | bits for uid, _, _ in result.changed}
        case FlagChange.REMOVE:
            return {uid: before[uid] & ~bits for uid, _, _ in result.changed}
        case FlagChange.REPLACE:
            return {uid: bits for uid, _, _ in result.changed}


def copy(ctx: ImapContext, command: Transfer) -> Steps[Reply]:
    """Handle COPY: all or nothing; COPYUID reports the copies (RFC 4315 §3).

    An expunged message's number fails the whole command (RFC 9051 §6.4.7); UIDs that do not exist are ignored (§6.4.9).
    """
    view = ctx.selected
    target = ctx.place(command.mailbox, "i")
    uids = uids_of(ctx, (yield from resolve_messages(ctx, command.messages, by_uid=command.by_uid)))
    if not uids:
        return Reply("Nothing to copy.")
    every, allowed = not command.by_uid, allowed_flags(target.rights)
    try:
        if target.account != view.place.account:
            result = yield from cross_account_copy.copy(ctx, view, uids, target, every=every)
        else:
            folder_id, limit = view.folder_id, ctx.quota_octets(target.box)

            def work(account: Account) -> CopyResult:
                target_id = account.folder_id(target.name)
                return account.copy(folder_id, uids, target_id, limit_octets=limit, every=every, allowed=allowed)

            result = yield from ctx.change(work)
    except NoSuchFolder as error:
        return refusal(error, target)
    except NoSuchMessage:
        return _gone(by_uid=False)
    yield from _taught_by_move(ctx, view, target, result)
    return Reply("Copied.", code=_copyuid(result)) if result.pairs else _gone(by_uid=True)


def move(ctx: ImapContext, command: Transfer) -> Steps[Reply]:
    """Handle MOVE: COPYUID is sent before EXPUNGE or VANISHED (RFC 6851 §4.3).

    It needs the rights of STORE \\Deleted, COPY and EXPUNGE (RFC 6851 §4.2).
    """
    view = ctx.selected
    ctx.must_hold(view, "te")
    target = ctx.place(command.mailbox, "i")
    uids = uids_of(ctx, (yield from resolve_messages(ctx, command.messages, by_uid=command.by_uid)))
    if not uids:
        return Reply("Nothing to move.")
    try:
        if target.account != view.place.account:
            result, lines = yield from cross_account_copy.move(ctx, view, uids, target)
        else:
            result, lines = yield from _move_within(ctx, view, uids, target)
    except NoSuchFolder as error:
        return refusal(error, target)
    if result.pairs:
        ctx.write(ctx.line(b"*", Reply("Moved.", code=_copyuid(result))))
    ctx.write(lines)  # also if nothing was moved: the view has caught up, so the client must (RFC 9051 §7.5.1)
    if not result.pairs:
        return _gone(by_uid=command.by_uid)
    moved = format_set([old for old, _ in result.pairs]).decode("ascii")
    source = replace(view.place, name=view.name)
    yield from _taught_by_move(ctx, view, target, result)
    yield from ctx.record_shared_act("messages_moved", source, uids=moved, to=resolve.client_name(target, ctx.boxes))
    code = b"HIGHESTMODSEQ %d" % result.modseq if Enabled.CONDSTORE in ctx.enabled else b""  # RFC 7162 §3.2.9
    return Reply("Moved.", code=code)


def _move_within(ctx: ImapContext, view: View, uids: list[int], target: Place) -> Steps[tuple[CopyResult, bytes]]:
    """Move within one account: one rename per message."""
    enabled, allowed = ctx.enabled, allowed_flags(target.rights)

    def work(account: Account) -> tuple[CopyResult, bytes]:
        result = account.move(view.folder_id, uids, account.folder_id(target.name), allowed=allowed)
        own = [uid for uid, _ in result.pairs]
        return result, b"".join(view.poll_after_change(account, enabled, own=own, own_change=result.made))

    return (yield from ctx.change(work))


def _copyuid(result: CopyResult) -> bytes:
    return responses.copy_uid(result.uidvalidity, [old for old, _ in result.pairs], [new for _, new in result.pairs])


def _gone(*, by_uid: bool) -> Reply:
    """Return the reply for expunged messages: no error where UIDs were given (RFC 9051 §6.4.9)."""
    if by_uid:
        return Reply("No such messages.")
    return refuse(Text("Các thư này đã bị xóa.", "The messages have been expunged."), b"EXPUNGEISSUED")
