"""Tracks what a NOTIFY client was told of one account's folders, and computes what changed (RFC 5465).

In: the account, and the watched events. Out: the response lines of one poll. A tracker is of the own account, or of a unit's
or group's below `Shared/` (`box`). It does not decide when to poll.

    messages, flags   STATUS            `r` (RFC 4314 §4); a mailbox that may be seen but not read is \\NoAccess (§3.1, §5.9)
    names             LIST              `l`; a mailbox that may no longer be seen is gone (§5.4), and \\NoAccess (§5.9)
    annotations       METADATA          as GETMETADATA

When an account becomes visible (by a delegation, a right), all its folders are new; nothing is retained of what the client
knew of them before.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from mic_mail.imap import responses
from mic_mail.imap.commands.metadata import may_annotate
from mic_mail.imap.connection_state import Enabled
from mic_mail.imap.mailbox_names.list_match import NameTree, described
from mic_mail.imap.mailbox_names.name_events import NameEvent, Renamed, name_events
from mic_mail.imap.mailbox_names.resolve import find_box, name_in_box, own_name
from mic_mail.imap.parser.notify import Events, Watch
from mic_mail.services.authentication.shared_mailboxes import SharedMailbox
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import INBOX, AccountRef, FolderChanges, FolderState

_UNREPORTED = -1
_MESSAGES_OR_FLAGS = Events.MESSAGES | Events.FLAGS
_ANNOTATED = Events.METADATA | Events.SERVER_METADATA
_LISTED = Events.NAMES | Events.SUBSCRIPTIONS
_NO_ACCESS = "\\NoAccess"


class AttachReason(Enum):
    """The reason why an account is attached."""

    ASKED = auto()
    """The client asked for it and knows its state: only mailboxes that it may not read are reported."""
    ALLOWED = auto()
    """The client may see the mailbox from now on: all its folders are new."""
    ALLOWED_AGAIN = auto()
    """As ALLOWED, and the client was told before that they are \\NoAccess."""


@dataclass(frozen=True, slots=True)
class TrackerUpdate:
    """The result of one poll."""

    lines: list[bytes]
    names_beyond: list[str]
    """Mailboxes of other accounts whose subscription changed; the caller sends their LIST."""


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """The current options for writing lines to this client."""

    boxes: Mapping[str, SharedMailbox]
    enabled: Enabled
    utf8: bool


class AccountTracker:
    """The tracker of one account: `begin` it, then `poll` whenever the account changed."""

    __slots__ = (
        "_folders", "_holders", "_modseq", "_needs_subscriptions", "_pending", "_watch", "box", "has_begun",
        "polled_modseq", "reason", "retry_at", "selected", "subscriptions",
    )  # fmt: skip

    def __init__(
        self,
        watch: Watch,
        holders: Collection[str],
        box: SharedMailbox | None = None,
        reason: AttachReason = AttachReason.ASKED,
    ) -> None:
        """`holders`: the holders whose annotations the client sees (`metadata.holders`)."""
        self._watch = watch
        self._holders = holders
        self._needs_subscriptions = box is None and bool(watch.subscribed or watch.all_others & _LISTED)
        self._folders: dict[str, FolderState] = {}
        """The folders as of `_modseq`, by mailbox id."""
        self._pending: dict[str, FolderState] = {}
        """Folders that changed while they were selected, as last reported to the client."""
        self._modseq = 0
        self.box = box
        self.reason = reason
        self.has_begun = False
        self.subscriptions: frozenset[str] = frozenset()
        """The person's subscriptions in all accounts.

        Maintained by the own account's tracker, copied to the others.
        """
        self.selected: str | None = None
        """The folder of this account that the client has selected."""
        self.polled_modseq = 0
        """The account's MODSEQ at the last poll."""
        self.retry_at = 0.0
        """Earliest next poll of another account than the own one, after a failure (monotonic seconds)."""

    @property
    def account(self) -> AccountRef | None:
        return None if self.box is None else self.box.account

    @property
    def box_rights(self) -> str:
        """The person's rights in the shared account, as last known; empty for the own account."""
        return "" if self.box is None else self.box.rights

    @property
    def watches_subscriptions(self) -> bool:
        """True if the watched events depend on the person's subscriptions."""
        return self._needs_subscriptions

    def is_behind(self, modseq: int) -> bool:
        """Return whether there may be something to report, if the account has reached `modseq`."""
        return not self.has_begun or modseq > self.polled_modseq or any(key != self.selected for key in self._pending)

    # ------------------------------------------------------------ watched events

    def events_of(self, name: str) -> Events:
        """Return the events that are watched in a mailbox (its name as clients write it)."""
        return self._watch.of(name, subscribed=name in self.subscriptions, personal=self.box is None)

    def _allowed_part(self, name: str) -> Events:
        events = self.events_of(name)
        if self.box is None:
            return events
        if "r" not in self.box.rights:
            events &= ~_MESSAGES_OR_FLAGS
        return events if may_annotate(self.box.rights) else events & ~Events.METADATA

    def _lacks_access(self, name: str) -> bool:
        """Return whether message events are watched that the client may not read (RFC 5465 §3.1)."""
        return self.box is not None and "r" not in self.box.rights and bool(self.events_of(name) & _MESSAGES_OR_FLAGS)

    # ------------------------------------------------------------ begin and end

    def begin(self, account: Account, options: OutputOptions) -> list[bytes]:
        """Take the account's current state as the baseline, and return the lines to send for it. Blocks."""
        news = self._with_client_names(account.folder_changes(0, subscriptions=self._needs_subscriptions), options.boxes)
        self._folders = {state.mailbox_id: state for state in news.folders}
        if self.box is None:
            self.subscriptions = news.subscriptions
        self._modseq = self.polled_modseq = news.modseq
        self.has_begun = True
        return self._first_lines(options)

    def _first_lines(self, options: OutputOptions) -> list[bytes]:
        if self.box is None:
            return []
        names = sorted(state.name for state in self._folders.values())
        is_new = self.reason is not AttachReason.ASKED
        told_before = self.reason is AttachReason.ALLOWED_AGAIN

        def is_listed(name: str) -> bool:
            events = self.events_of(name)
            return self._lacks_access(name) or (is_new and (Events.NAMES in events or (told_before and bool(events))))

        listed = filter(is_listed, names)
        lines = self._list_lines([NameEvent(name) for name in listed], utf8=options.utf8)
        if is_new:
            nothing = (replace(state, uidnext=1, messages=0, unseen=0) for state in self._folders.values())
            with_modseq = Enabled.CONDSTORE in options.enabled
            for state, base in zip(self._folders.values(), nothing, strict=True):
                items = _changed_items(base, state, self._allowed_part(state.name), with_modseq=with_modseq)
                if items and state.mailbox_id != self.selected:
                    lines.append(_status(state, items, utf8=options.utf8))
        return lines

    def lost_lines(self, *, utf8: bool) -> list[bytes]:
        """Return the LIST lines for an account that is no longer visible: \\NonExistent and \\NoAccess."""
        names = sorted(state.name for state in self._folders.values() if self.events_of(state.name))
        subscribed = [("\\Subscribed",) if name in self.subscriptions else () for name in names]
        attributes = ("\\NonExistent", _NO_ACCESS, "\\HasNoChildren")
        return [
            responses.listed(b"LIST", name, (*attributes, *also), utf8=utf8)
            for name, also in zip(names, subscribed, strict=True)
        ]

    def no_access_lines(self, *, utf8: bool) -> list[bytes]:
        """Return the LIST lines for mailboxes whose messages may no longer be read."""
        names = sorted(state.name for state in self._folders.values() if self._lacks_access(state.name))
        return self._list_lines([NameEvent(name) for name in names], utf8=utf8)

    def describe_all(self, *, utf8: bool) -> Iterator[bytes]:
        """Yield STATUS of each mailbox whose messages are watched, except the selected one (RFC 5465 §3.1)."""
        for state in self._folders.values():
            events = self._allowed_part(state.name)
            if not events & _MESSAGES_OR_FLAGS or state.mailbox_id == self.selected:
                continue
            items = ["MESSAGES", "UIDNEXT", "UIDVALIDITY"] if Events.MESSAGES in events else []
            if Events.FLAGS in events:
                items = [*(items or ["UIDVALIDITY"]), "UNSEEN", "HIGHESTMODSEQ"]
            yield _status(state, items, utf8=utf8)

    # ------------------------------------------------------------ the selected mailbox

    def keep_selected(self) -> None:
        """Retain the selected mailbox's reported state before a change by the client.

        The messages reported by the view are compared when the mailbox is deselected.
        """
        if self.selected in self._folders:
            self._pending.setdefault(self.selected, self._folders[self.selected])

    def known_of(self, mailbox_id: str) -> FolderState | None:
        """Return the folder as last reported to the client; None: nothing to report on leaving it."""
        return self._pending.get(mailbox_id) or self._folders.get(mailbox_id)

    def is_pending(self, mailbox_id: str) -> bool:
        """Return whether something is to be reported of it once it is no longer selected."""
        return mailbox_id in self._pending

    def left(self, known: FolderState) -> None:
        """Note that the mailbox was deselected and what the client knows of it; UNSEEN was not reported."""
        self._pending[known.mailbox_id] = replace(known, unseen=_UNREPORTED)

    # ------------------------------------------------------------ one poll

    def poll(self, account: Account, own: Collection[int], options: OutputOptions) -> TrackerUpdate:
        """Return what happened since the last poll; `own`: MODSEQs of the client's own changes. Blocks."""
        since, news = self._modseq, self._ask(account, own, options.boxes)
        update = self._learn(news, options)
        if self._watch.all_others & _ANNOTATED:
            # Changes after the folders were read belong to the next poll, or they would be reported twice.
            changed = account.annotations_changed(since, self._holders, own, until=self._modseq)
            update.lines.extend(self._metadata_lines(changed, options))
        return update

    def _ask(self, account: Account, own: Collection[int], boxes: Mapping[str, SharedMailbox]) -> FolderChanges:
        """Return the folder changes.

        All folders are compared where a row is missing (a rebuilt index, a restore).
        """
        news = account.folder_changes(self._modseq, own, subscriptions=self._needs_subscriptions)
        if len(self._folders) + _more(news, self._folders) == news.live:
            return self._with_client_names(news, boxes)
        news = account.folder_changes(0, own, subscriptions=self._needs_subscriptions)
        there = {state.mailbox_id for state in news.folders}
        gone = [mailbox_id for mailbox_id in self._folders if mailbox_id not in there]
        return replace(self._with_client_names(news, boxes), gone=gone)

    def _with_client_names(self, news: FolderChanges, boxes: Mapping[str, SharedMailbox]) -> FolderChanges:
        """Put the names that the client sees (`resolve`) in place of the store's.

        The special use of a unit's folders is not reported.
        """
        if self.box is not None:
            box = self.box
            return replace(
                news, folders=[replace(state, name=name_in_box(box, state.name), special_use=None) for state in news.folders]
            )
        if not boxes:
            return news
        return replace(news, folders=[replace(state, name=own_name(state.name, boxes)) for state in news.folders])

    def _learn(self, news: FolderChanges, options: OutputOptions) -> TrackerUpdate:
        before, subscribed = dict(self._folders), self.subscriptions
        gone = [before[mailbox_id] for mailbox_id in news.gone if mailbox_id in before]
        for state in gone:
            del self._folders[state.mailbox_id]
            self._pending.pop(state.mailbox_id, None)
        for state in news.folders:
            self._folders[state.mailbox_id] = state
        if self.box is None:
            self.subscriptions = news.subscriptions
        self._modseq = news.modseq
        events = self._name_events(before, gone, news)
        listed = {event.name for event in events if not event.gone}
        moved = [
            name
            for name in sorted(subscribed ^ self.subscriptions)
            if name not in listed and Events.SUBSCRIPTIONS in self._watch.of(name, subscribed=True)
        ]
        names_beyond = [name for name in moved if find_box(name, options.boxes)]
        events += [NameEvent(name) for name in moved if not find_box(name, options.boxes)]
        lines = self._list_lines(events, utf8=options.utf8) if events else []
        lines += self._status_lines(before, {state.name: state for state in gone}, news, options)
        return TrackerUpdate(lines, names_beyond)

    def _name_events(self, before: dict[str, FolderState], gone: list[FolderState], news: FolderChanges) -> list[NameEvent]:
        if Events.NAMES not in self._watch.all_others:
            return []
        own = news.own_names
        renamed = [
            Renamed(before[state.mailbox_id].name, state.name, by_client=state.mailbox_id in own)
            for state in news.folders
            if state.mailbox_id in before and before[state.mailbox_id].name != state.name
        ]
        made = [
            (state.name, self._inbox if state.mailbox_id in news.from_inbox else None)
            for state in news.folders
            if state.mailbox_id not in before and state.mailbox_id not in own
        ]
        went = [state.name for state in gone if state.mailbox_id not in own]
        if not (renamed or made or went):
            return []
        kept = (state.name for key, state in self._folders.items() if key in before and before[key].name == state.name)
        return name_events(went, renamed, made, kept, lambda name: Events.NAMES in self.events_of(name))

    @property
    def _inbox(self) -> str:
        return INBOX if self.box is None else name_in_box(self.box, INBOX)

    def _list_lines(self, events: Iterable[NameEvent], *, utf8: bool) -> list[bytes]:
        tree = NameTree(self._folders.values(), self.subscriptions)
        lines: list[bytes] = []
        for event in events:
            attributes = described(tree, event.name, gone=event.gone).attributes
            if self._lacks_access(event.name) and not event.gone:
                attributes = (_NO_ACCESS, *attributes)
            lines.append(responses.listed(b"LIST", event.name, attributes, utf8=utf8, old_name=event.old_name))
        return lines

    def _metadata_lines(self, changed: list[tuple[str, str]], options: OutputOptions) -> list[bytes]:
        """Return METADATA with the names of changed entries, one line a mailbox (RFC 5465 §5.6, §5.7)."""
        entries: dict[str, list[str]] = {}
        for mailbox, entry in changed:
            if self.box is None:
                entries.setdefault(own_name(mailbox, options.boxes), []).append(entry)
            elif mailbox:  # a person's server annotations are stored in the own account
                entries.setdefault(name_in_box(self.box, mailbox), []).append(entry)
        lines: list[bytes] = []
        for mailbox, names in entries.items():
            wanted = (
                self._allowed_part(mailbox) & Events.METADATA if mailbox else self._watch.all_others & Events.SERVER_METADATA
            )
            if wanted:
                lines.append(responses.metadata_changed(mailbox, names, utf8=options.utf8))
        return lines

    def _status_lines(
        self, before: dict[str, FolderState], gone: dict[str, FolderState], news: FolderChanges, options: OutputOptions
    ) -> list[bytes]:
        """Return STATUS of each folder whose messages changed; changes of the selected one stay pending."""
        waiting, self._pending = self._pending, {}
        with_modseq = Enabled.CONDSTORE in options.enabled
        lines: list[bytes] = []
        for key in dict.fromkeys((*waiting, *(state.mailbox_id for state in news.folders))):
            state, known = self._folders[key], waiting.get(key) or before.get(key)
            if key == self.selected:
                self._pending[key] = known or state
                continue
            if key in news.own_messages and key not in waiting and known is not None:
                continue
            # A folder made under the name of a deleted one is to the client the same mailbox with another UIDVALIDITY.
            base = known or gone.get(state.name) or replace(state, uidnext=1, messages=0, unseen=0)
            items = _changed_items(base, state, self._allowed_part(state.name), with_modseq=with_modseq)
            if items:
                lines.append(_status(state, items, utf8=options.utf8))
        return lines


def _more(news: FolderChanges, known: dict[str, FolderState]) -> int:
    """Return by how much these changes alter the number of folders."""
    new = sum(state.mailbox_id not in known for state in news.folders)
    return new - sum(mailbox_id in known for mailbox_id in news.gone)


def _changed_items(base: FolderState, state: FolderState, events: Events, *, with_modseq: bool) -> list[str]:
    """Return the STATUS items to report (RFC 5465 §5.1-5.3); none if no watched event happened.

    With FlagChange that includes UNSEEN whenever messages came or went: some may be the client's own, which `base` lacks.
    """
    moved = (base.uidnext, base.messages, base.uidvalidity) != (state.uidnext, state.messages, state.uidvalidity)
    flags, modseq = Events.FLAGS in events, ["HIGHESTMODSEQ"] if with_modseq else []
    if moved and Events.MESSAGES in events:
        return ["MESSAGES", "UIDNEXT", "UIDVALIDITY", *(["UNSEEN"] if flags else []), *modseq]
    if flags and (base.unseen != state.unseen or (with_modseq and base.highest_modseq != state.highest_modseq)):
        return ["UIDVALIDITY", "UNSEEN", *modseq]
    return []


def _status(state: FolderState, items: list[str], *, utf8: bool) -> bytes:
    values = {
        "MESSAGES": state.messages,
        "UIDNEXT": state.uidnext,
        "UIDVALIDITY": state.uidvalidity,
        "UNSEEN": state.unseen,
        "HIGHESTMODSEQ": max(state.highest_modseq, 1),
    }
    return responses.status(state.name, [(item, values[item]) for item in items], utf8=utf8)
