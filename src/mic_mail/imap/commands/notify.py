"""NOTIFY (RFC 5465): a client is notified of changes in all its mailboxes, also between commands.

In: the command, then the change feed's hint that the account has changed. Out: response lines. A notification is the
difference between the account as last reported to the client and as it is now, read from the store by MODSEQ. So however much
happened in between, a mailbox costs one STATUS line, a name one LIST line, and a client that does not read costs nothing. If
one poll finds more than MOST_EVENTS, nothing of it is sent: NOTIFICATIONOVERFLOW, and from then on as after NOTIFY NONE
(§5.8).

    selected mailbox   the view reports, as SELECTED says: immediately (EXPUNGE too), with EXPUNGE delayed, or not at all:
                       then the client keeps the messages that it has, but for its own changes (§3.1; `View.withhold`)
    other mailboxes    STATUS for messages and flags, LIST for names (`name_events`) and subscriptions, METADATA for
                       annotations: one `AccountTracker` for the own account, and one for each account below `Shared/` in
                       which something is watched
    own changes        are recognised by their MODSEQs and not reported (§5), unless somebody else changed the same mailbox
    rights             that end or begin meanwhile: §5.9, §5.4

Notifications never set \\Seen, whatever they fetch. An event of the feed that reports changes in an account costs one
executor call on its store for the folders, and one for the selected mailbox if that is there. Only watched accounts wake a
session.
"""

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from mic_mail.connection.actions import Steps
from mic_mail.connection.session_core import CloseConnection
from mic_mail.errors import Text
from mic_mail.imap import responses
from mic_mail.imap.actions import SubscribeAccounts
from mic_mail.imap.commands.account_tracker import AccountTracker, AttachReason, OutputOptions, TrackerUpdate
from mic_mail.imap.commands.fetch import send_unasked
from mic_mail.imap.commands.mailboxes import OWN, listing_of
from mic_mail.imap.commands.message_set import ranges
from mic_mail.imap.commands.metadata import holders
from mic_mail.imap.commands.search_context import send_search_updates
from mic_mail.imap.connection_state import Enabled
from mic_mail.imap.context import ImapContext
from mic_mail.imap.mailbox_names.list_match import NameTree, described
from mic_mail.imap.mailbox_names.resolve import PREFIX, Place, find
from mic_mail.imap.parser.notify import Events, Notify, Watch
from mic_mail.imap.replies import Reply, refuse
from mic_mail.imap.selected.mailbox_view import FolderChange, View
from mic_mail.services.authentication.shared_mailboxes import ROOT, SharedMailbox, shared_folder
from mic_mail.storage.errors import NoSuchFolder, Unavailable
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import DELIMITER, INBOX, AccountRef

MOST_EVENTS = 10_000
"""Most events of one poll: changed messages of the selected mailbox, mailboxes and names to report."""
MOST_ACCOUNTS = 32
"""Most accounts below `Shared/` per session.

Each holds a subscription of the feed and some 300 octets a folder.
"""
RETRY_SECONDS = 1.0
"""Pause after a poll that the store could not answer."""

_NEVER = float("inf")


def notify(ctx: ImapContext, command: Notify) -> Steps[Reply]:
    """Handle NOTIFY SET, which is a NOOP too, and NOTIFY NONE (RFC 5465 §3.1)."""
    if command.none:
        yield from _watch_nothing(ctx)
        return Reply("Notifications off.")
    before = ctx.notifier
    if before is not None:  # pending events of the previous NOTIFY
        yield from before.send_updates(ctx, expunge=True)
    listener = NotifyListener(command.watch, holders(ctx))
    if not (yield from listener.begin(ctx)):
        return refuse(
            Text("Yêu cầu theo dõi hộp thư của quá nhiều đơn vị, nhóm.", "Too many unit and group mailboxes are selected."),
            b"NOTIFICATIONOVERFLOW",
        )
    if ctx.view is not None:
        ctx.view.release()
        yield from ctx.sync(expunge=True)
    ctx.enabled |= Enabled.NOTIFY
    ctx.notifier = listener
    if ctx.view is not None:
        listener.watch_account(ctx.view)
    yield from listener.describe(ctx, status=command.status)
    return Reply("Notifications set.")


def notify_all(ctx: ImapContext, *, expunge: bool = False) -> Steps[None]:
    """Send watched events and updates of followed searches until nothing more has changed."""
    while (notifier := ctx.notifier) is not None:
        yield from notifier.send_updates(ctx, expunge=expunge)
        try:
            yield from send_search_updates(ctx)
        except Unavailable as error:
            if ctx.severed:
                raise CloseConnection(error.text) from error
            notifier.put_off(ctx)
        if notifier is ctx.notifier and not notifier.is_due(ctx, expunge=expunge):
            return


def _watch_nothing(ctx: ImapContext) -> Steps[None]:
    ctx.notifier = NotifyListener(Watch(), ())
    if ctx.view is not None:
        ctx.notifier.watch_account(ctx.view)
    yield from ctx.subscribe_accounts(SubscribeAccounts())


def _overflow(ctx: ImapContext) -> Steps[None]:
    ctx.write(responses.ok(b"*", "Too many events; notifications are off.", b"NOTIFICATIONOVERFLOW"))
    yield from _watch_nothing(ctx)


@dataclass(frozen=True, slots=True)
class _Root:
    """The INBOX of an account below `Shared/`, as an existing name (`list_match.Folder`)."""

    name: str
    special_use: None = None
    selectable: bool = True


class NotifyListener:
    """The events that one client watches, and what it was told; the session's `Notifier`."""

    __slots__ = (
        "_fetched", "_holders", "_no_access", "_own", "_retry_at", "_seen", "_selected", "_selected_account", "_trackers",
        "_view", "_watch", "_watches_folders",
    )  # fmt: skip

    def __init__(self, watch: Watch, holders: Collection[str]) -> None:
        """`holders`: the holders whose annotations the client sees (`metadata.holders`)."""
        self._watch = watch
        self._holders = holders
        self._watches_folders = bool(watch.all_others)
        self._trackers: dict[AccountRef | None, AccountTracker] = {}
        """Trackers by account, the own one (None) first; empty if no folder events are watched."""
        self._seen: frozenset[AccountRef] = frozenset()
        """Accounts below `Shared/` that the person could see at the last check."""
        self._no_access: set[AccountRef] = set()
        """Accounts that were reported to the client as \\NoAccess."""
        self._own: dict[AccountRef | None, set[int]] = {}
        """MODSEQs of the client's own changes that were not polled yet, by account."""
        self._view: View | None = None
        self._selected: str | None = None
        self._selected_account: AccountRef | None = None
        self._fetched = 0
        """Messages of the selected mailbox up to this UID need no FETCH."""
        self._retry_at = 0.0

    # ------------------------------------------------------------ begin

    def begin(self, ctx: ImapContext) -> Steps[bool]:
        """Take the current state of the watched accounts as the baseline; return False if there are too many.

        In that case the accounts of the previous NOTIFY remain watched.
        """
        if not self._watches_folders:
            yield from ctx.subscribe_accounts(SubscribeAccounts())
            return True
        own, options = AccountTracker(self._watch, self._holders), _output_options(ctx)
        yield from ctx.ask(lambda account: own.begin(account, options), OWN)
        self._trackers[None] = own
        boxes = ctx.boxes
        asked, self._seen = self._asked(boxes), _visible(boxes)
        if len(asked) > MOST_ACCOUNTS:
            return False
        ctx.shared_mailboxes_changed = False
        yield from self._follow(ctx, asked, at_once=True)
        return True

    def describe(self, ctx: ImapContext, *, status: bool) -> Steps[None]:
        """Send what has to come before the OK: \\NoAccess, and STATUS where it was requested."""
        yield from self._begin_others(ctx)
        for tracker in tuple(self._trackers.values()) if status else ():
            yield from ctx.write_in_slices(tracker.describe_all(utf8=ctx.utf8))

    def _begin_others(self, ctx: ImapContext) -> Steps[None]:
        """Begin the trackers of accounts that were not polled yet."""
        for tracker in [each for each in self._trackers.values() if not each.has_begun]:
            if ctx.notifier is not self or (yield from self._send_account_updates(ctx, tracker, ())):
                continue
            if tracker.reason is AttachReason.ASKED:
                tracker.reason = AttachReason.ALLOWED  # it is reported once it can be read

    # ------------------------------------------------------------ accounts below Shared/

    def _asked(self, boxes: Mapping[str, SharedMailbox]) -> dict[AccountRef, SharedMailbox]:
        """Return the visible accounts in which something is watched.

        PERSONAL and INBOXES are the own namespace (RFC 5465 §6.2, §6.3).
        """
        if not (boxes and self._watches_folders):
            return {}
        subtrees = [name for name, events in self._watch.subtrees.items() if events]
        names = [*subtrees, *(name for name, events in self._watch.mailboxes.items() if events)]
        if self._watch.subscribed:
            names += self._trackers[None].subscriptions
        if ROOT in subtrees:
            wanted = set(boxes)
        else:
            wanted = {name.removeprefix(PREFIX).partition(DELIMITER)[0] for name in names if name.startswith(PREFIX)}
        return {box.account: box for name, box in boxes.items() if name in wanted and "l" in box.rights}

    def _reaches_beyond(self) -> bool:
        """Return whether an account that becomes visible later could be watched."""
        names = [*self._watch.subtrees, *self._watch.mailboxes]
        if self._watch.subscribed:
            names += self._trackers[None].subscriptions
        return any(name == ROOT or name.startswith(PREFIX) for name in names)

    def _follow(self, ctx: ImapContext, asked: dict[AccountRef, SharedMailbox], *, at_once: bool = False) -> Steps[None]:
        """Watch these accounts, and no others; their trackers are begun later. `at_once`: by a NOTIFY SET."""
        yield from ctx.subscribe_accounts(SubscribeAccounts(frozenset(asked), rights=self._reaches_beyond()))
        for account in [ref for ref in self._trackers if ref is not None and ref not in asked]:
            del self._trackers[account]
            if account != self._selected_account:
                self._own.pop(account, None)
        for account, box in asked.items():
            tracker = self._trackers.get(account)
            if tracker is not None and ("r" in tracker.box_rights or "r" not in box.rights):
                tracker.box = box
                continue
            reason = AttachReason.ASKED
            if not at_once and (tracker is not None or account not in self._seen):
                reason = (
                    AttachReason.ALLOWED_AGAIN if tracker is not None or account in self._no_access else AttachReason.ALLOWED
                )
            self._trackers[account] = fresh = AccountTracker(self._watch, self._holders, box, reason)
            fresh.subscriptions = self._trackers[None].subscriptions
            fresh.selected = self._selected if account == self._selected_account else None
            self._no_access.discard(account)

    def _follow_anew(self, ctx: ImapContext) -> Steps[None]:
        """Begin or stop watching after a change of rights or subscriptions (RFC 5465 §5.9, §6.4)."""
        ctx.shared_mailboxes_changed = False
        if not self._watches_folders:
            return
        boxes = ctx.boxes
        asked, seen = self._asked(boxes), _visible(boxes)
        if len(asked) > MOST_ACCOUNTS:
            yield from _overflow(ctx)
            return
        lines: list[bytes] = []
        for account, tracker in self._trackers.items():
            if account is None:
                continue
            if account not in seen:
                lines += tracker.lost_lines(utf8=ctx.utf8)
                self._no_access.add(account)
            elif account in asked and "r" in tracker.box_rights and "r" not in asked[account].rights:
                tracker.box = asked[account]
                lines += tracker.no_access_lines(utf8=ctx.utf8)
        if seen != self._seen and Events.NAMES in self._events_of_root():
            lines.append(self._root_line(boxes, utf8=ctx.utf8))
        yield from self._follow(ctx, asked)
        self._seen = seen
        yield from ctx.write_in_slices(lines)

    def _events_of_root(self) -> Events:
        own = self._trackers[None]
        return self._watch.of(ROOT, subscribed=ROOT in own.subscriptions, personal=False)

    def _root_line(self, boxes: Mapping[str, SharedMailbox], *, utf8: bool) -> bytes:
        """Return the LIST line of the parent of names that came or went (RFC 5465 §5.4)."""
        own = self._trackers[None]
        there = [_Root(shared_folder(name, INBOX)) for name, box in boxes.items() if "l" in box.rights]
        attributes = described(NameTree(there, own.subscriptions), ROOT).attributes
        return responses.listed(b"LIST", ROOT, attributes, utf8=utf8)

    # ------------------------------------------------------------ the Notifier protocol

    def watch_account(self, view: View) -> None:
        self._view = view
        self._selected, self._selected_account = view.info.mailbox_id, view.place.account
        for account, tracker in self._trackers.items():
            tracker.selected = self._selected if account == self._selected_account else None
        self._fetched = view.uids[-1] if view.uids else 0
        view.quiet = Events.FLAGS not in self._watch.selected
        if Events.MESSAGES in self._watch.selected:
            view.release()
        else:
            view.withhold()

    def leave(self, view: View) -> None:
        """Note what the client was told while the mailbox was open: that needs no STATUS afterwards.

        UNSEEN was not reported, so it may still be due.
        """
        self._view = self._selected = self._selected_account = None
        tracker = self._trackers.get(view.place.account)
        if tracker is None:
            self._own.pop(view.place.account, None)
            return
        tracker.selected = None
        info = view.info
        known, pending = tracker.known_of(info.mailbox_id), tracker.is_pending(info.mailbox_id)
        if known is None or (info.highest_modseq == known.highest_modseq and not pending):
            return
        if view.is_whole and view.uids and view.uids[-1] + 1 == info.uidnext:
            modseq = known.highest_modseq if view.quiet else info.highest_modseq
            known = replace(
                known, uidvalidity=info.uidvalidity, uidnext=info.uidnext, messages=info.messages, highest_modseq=modseq
            )
        tracker.left(known)

    def note_own_changes(self, account: AccountRef | None, modseqs: list[int]) -> None:
        tracker = self._trackers.get(account)
        is_open = self._view is not None and account == self._selected_account and bool(self._watch.selected)
        if tracker is not None or is_open:  # those of an account that is not polled would be kept for ever
            self._own.setdefault(account, set()).update(modseqs)
        if tracker is not None:
            tracker.keep_selected()

    def subscribed(self, ctx: ImapContext, name: str, is_so: bool) -> Steps[None]:
        own = self._trackers.get(None)
        if own is not None and own.watches_subscriptions:
            yield from self._subscribe(ctx, own.subscriptions | {name} if is_so else own.subscriptions - {name})

    def _subscribe(self, ctx: ImapContext, names: frozenset[str]) -> Steps[None]:
        """Set the subscribed names, and begin to watch them if asked.

        That is done before the client gets the OK of SUBSCRIBE, since it relies on events from then on.
        """
        for tracker in self._trackers.values():
            tracker.subscriptions = names
        if self._watch.subscribed:
            yield from self._follow_anew(ctx)
            yield from self._begin_others(ctx)

    def pause(self) -> float:
        again = [self._retry_at, *(tracker.retry_at for tracker in self._trackers.values())]
        return min((time for time in again if time), default=_NEVER)

    def send_updates(self, ctx: ImapContext, *, expunge: bool = False) -> Steps[None]:
        """Send pending events until there are none.

        EXPUNGE may be sent between commands too, unless it is to be delayed (§6.1).
        """
        if ctx.now() >= self._retry_at:  # also where a command has polled meanwhile and nothing is due any more
            self._retry_at = 0.0
        for tracker in self._trackers.values():
            if ctx.now() >= tracker.retry_at:
                tracker.retry_at = 0.0
        try:
            while self.is_due(ctx, expunge=expunge):
                yield from self._send_updates(ctx, expunge=expunge or not self._watch.delayed)
            self._forget_own()
        except Unavailable as error:
            if ctx.severed:
                raise CloseConnection(error.text) from error
            self.put_off(ctx)

    def _forget_own(self) -> None:
        for account, modseqs in list(self._own.items()):
            polled_modseq = [self._trackers[account].polled_modseq] if account in self._trackers else []
            polled_modseq += [self._view.polled_modseq] if self._view is not None and account == self._selected_account else []
            left = {modseq for modseq in modseqs if polled_modseq and modseq > min(polled_modseq)}
            if left:
                self._own[account] = left
            else:
                del self._own[account]

    def put_off(self, ctx: ImapContext) -> None:
        self._retry_at = ctx.now() + RETRY_SECONDS

    # ------------------------------------------------------------ one poll

    def is_due(self, ctx: ImapContext, *, expunge: bool = False) -> bool:
        if ctx.notifier is not self or ctx.now() < self._retry_at:
            return False
        if ctx.shared_mailboxes_changed or self._due(ctx):
            return True
        return self._selected_is_due(ctx, expunge=expunge or not self._watch.delayed)

    def _due(self, ctx: ImapContext) -> list[AccountTracker]:
        now = ctx.now()
        return [
            each for each in self._trackers.values() if now >= each.retry_at and each.is_behind(ctx.modseq_of(each.account))
        ]

    def _selected_is_due(self, ctx: ImapContext, *, expunge: bool) -> bool:
        view = ctx.view
        if view is None or not self._watch.selected:
            return False
        moved = ctx.known_modseq > view.polled_modseq or view.rights_moved
        return moved or (expunge and view.expunges_are_due) or self._unfetched(view) > 0

    def _unfetched(self, view: View) -> int:
        return view.messages - bisect_right(view.uids, self._fetched) if self._watch.items else 0

    def _send_updates(self, ctx: ImapContext, *, expunge: bool) -> Steps[None]:
        if ctx.shared_mailboxes_changed:
            yield from self._follow_anew(ctx)
        view = ctx.view
        account = None if view is None else view.place.account
        due = self._due(ctx)
        own = {key: frozenset(self._own.get(key, ())) for key in (account, *(tracker.account for tracker in due))}
        view_is_due = False  # the client's own changes are new to both the tracker and the view
        for tracker in due:
            if ctx.notifier is self and (yield from self._send_account_updates(ctx, tracker, own[tracker.account])):
                view_is_due = view_is_due or (tracker.account == account and bool(self._watch.selected))
        if ctx.notifier is self and view is not None and (view_is_due or self._selected_is_due(ctx, expunge=expunge)):
            yield from self._send_selected_updates(ctx, view, own[account], expunge=expunge)

    def _send_account_updates(self, ctx: ImapContext, tracker: AccountTracker, own: Collection[int]) -> Steps[bool]:
        """Send STATUS, LIST and METADATA for the changes of one account; return whether it could be read.

        If the own account cannot be read, that is an error.
        """
        reached, options, subscribed = ctx.modseq_of(tracker.account), _output_options(ctx), tracker.subscriptions

        def look(account: Account) -> TrackerUpdate:
            if tracker.has_begun:
                return tracker.poll(account, own, options)
            return TrackerUpdate(tracker.begin(account, options), [])

        try:
            update = yield from ctx.ask(look, Place("", tracker.box))
        except Unavailable:
            if tracker.box is None or ctx.severed:
                raise
            tracker.retry_at = ctx.now() + RETRY_SECONDS
            return False
        tracker.polled_modseq = max(tracker.polled_modseq, reached)
        if tracker.box is None and tracker.subscriptions != subscribed:
            yield from self._subscribe(ctx, tracker.subscriptions)
        if len(update.lines) + len(update.names_beyond) > MOST_EVENTS:
            yield from _overflow(ctx)
            return True
        if ctx.notifier is not self or self._trackers.get(tracker.account) is not tracker:
            return True
        yield from ctx.write_in_slices(update.lines)
        for name in update.names_beyond:
            place = find(name, options.boxes)
            if "l" in place.rights:
                listed = yield from listing_of(ctx, place)
                ctx.write(responses.listed(b"LIST", listed.name, listed.attributes, utf8=ctx.utf8))
        return True

    def _send_selected_updates(self, ctx: ImapContext, view: View, own: Collection[int], *, expunge: bool) -> Steps[None]:
        """Send the changes of the selected mailbox, in whichever account; then FETCH of new messages."""
        enabled = ctx.enabled

        def look(account: Account) -> list[bytes] | None:
            change = view.poll(account)
            if _changes(change) > MOST_EVENTS:
                return None
            lines = view.catch_up(change, enabled, expunge=expunge)
            if lines and view.has_pending_expunges and Enabled.QRESYNC in enabled:
                lines.append(view.hold_line())
            return lines

        try:
            lines = yield from ctx.ask(look, view.place)
        except NoSuchFolder as error:
            raise CloseConnection(Text("Thư mục đang mở đã bị xóa.", "The mailbox has been deleted.")) from error
        if lines is None or self._unfetched(view) > MOST_EVENTS:
            yield from _overflow(ctx)
            return
        yield from ctx.write_in_slices(lines)
        if self._unfetched(view):
            yield from self._fetch_new(ctx, view, own)

    def _fetch_new(self, ctx: ImapContext, view: View, own: Collection[int]) -> Steps[None]:
        """Send FETCH of new messages, except those that the client stored itself (RFC 5465 §5.2)."""
        first, last = bisect_right(view.uids, self._fetched), view.uids[-1]
        places = ranges(at for at in range(first, view.messages) if view.modseqs[at] not in own)
        yield from send_unasked(ctx, view, self._watch.items, places)
        self._fetched = last


def _visible(boxes: Mapping[str, SharedMailbox]) -> frozenset[AccountRef]:
    return frozenset(box.account for box in boxes.values() if "l" in box.rights)


def _output_options(ctx: ImapContext) -> OutputOptions:
    return OutputOptions(ctx.boxes, ctx.enabled, ctx.utf8)


def _changes(change: FolderChange) -> int:
    if change.changes is None:
        return 0
    return len(change.changes.changed) + len(change.changes.vanished)
