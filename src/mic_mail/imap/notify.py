"""NOTIFY (RFC 5465): a client is told what happens in all its mailboxes, whether or not a command is in progress.

In: the command, then the hint of the change feed that the account has moved. Out: lines. What is told is the difference between
the account as the client was told of it and as it is now, asked from the store by MODSEQ: however much happened in between, a
mailbox costs one STATUS line, a name one LIST line, and a client that does not read costs nothing. What one look finds beyond
MOST_EVENTS is not told at all: NOTIFICATIONOVERFLOW, and from there on it is as after NOTIFY NONE (§5.8).

    selected mailbox   the view tells, as SELECTED says: at once (EXPUNGE too), with EXPUNGE delayed, or not at all: then the
                       client keeps the messages that it has, but for its own changes (§3.1; `View.withhold`)
    other mailboxes    STATUS for messages and flags, LIST for names (`nameevents`) and subscriptions, METADATA for annotations
    own changes        are known by their MODSEQs and not told (§5), unless somebody else changed the same mailbox

Notifications never set \\Seen, whatever they fetch. A turn of the feed that told of changes costs a hop to the store for the
folders and one for the selected mailbox. That may be a unit's, in another account; the others there are not watched, and who
asks for them is refused as §3.1 allows.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from mic_mail.imap import responses
from mic_mail.imap.actions import Steps
from mic_mail.imap.conversation import Conversation, Ended, Reply, refuse
from mic_mail.imap.fetching.fetch import send_unasked
from mic_mail.imap.finding.contexts import tell_updates
from mic_mail.imap.grammar.notifycommands import Events, Notify, Watch
from mic_mail.imap.mailboxes.folders import OWN, listing_of
from mic_mail.imap.mailboxes.metadata import holders
from mic_mail.imap.names.listing import Tree, described
from mic_mail.imap.names.nameevents import NameEvent, Renamed, name_events
from mic_mail.imap.names.places import find, find_box, shown_own
from mic_mail.imap.numbering import ranges
from mic_mail.imap.selected.view import Enabled, Glance, View
from mic_mail.services.sharing import ROOT, Shared
from mic_mail.storage.errors import NoSuchFolder, Unavailable
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import DELIMITER, INBOX, AccountRef, FolderNews, FolderState

MOST_EVENTS = 10_000
"""Of one look: messages of the selected mailbox that changed, mailboxes and names to tell."""
RETRY_SECONDS = 1.0
"""After a look that the store could not answer."""

_NEVER = float("inf")
_NOT_TOLD = -1
_MESSAGES_OR_FLAGS = Events.MESSAGES | Events.FLAGS
_ANNOTATED = Events.METADATA | Events.SERVER_METADATA
_LISTED = Events.NAMES | Events.SUBSCRIPTIONS


def notify(talk: Conversation, command: Notify) -> Steps[Reply]:
    """NOTIFY SET, which is a NOOP too, and NOTIFY NONE (RFC 5465 §3.1)."""
    if command.none:
        _listen_to_nothing(talk)
        return Reply("Nothing will be told.")
    if talk.notifier is not None:  # what the list before asked for and was not told yet
        yield from talk.notifier.tell(talk, expunge=True)
    listening, boxes = Listening(command.watch, holders(talk)), talk.boxes
    states = yield from talk.ask(lambda account: listening.begin(account, boxes), OWN)
    if listening.reaches_beyond(boxes):
        return refuse("Below Shared/ only the selected mailbox is told of.", b"NOTIFICATIONOVERFLOW")
    if talk.view is not None:
        talk.view.release()
        yield from talk.sync(expunge=True)
    talk.enabled |= Enabled.NOTIFY
    talk.notifier = listening
    if talk.view is not None:
        listening.attend(talk.view)
    if command.status:
        for line in listening.describe_all(states, talk):
            talk.say(line)
            yield from talk.breathe()
    return Reply("It will be told.")


def tell_all(talk: Conversation, *, expunge: bool = False) -> Steps[None]:
    """What the client asked to hear, and what that makes of the searches that it follows, until nothing has moved since."""
    while (notifier := talk.notifier) is not None:
        yield from notifier.tell(talk, expunge=expunge)
        try:
            yield from tell_updates(talk)
        except Unavailable as error:
            if talk.severed:
                raise Ended(error.text) from error
            notifier.put_off(talk)
        if notifier is talk.notifier and not notifier.is_due(talk, expunge=expunge):
            return


def _listen_to_nothing(talk: Conversation) -> None:
    talk.notifier = Listening(Watch(), ())
    if talk.view is not None:
        talk.notifier.attend(talk.view)


def _overflow(talk: Conversation) -> None:
    talk.say(responses.ok(b"*", "Too much has happened; nothing more is told.", b"NOTIFICATIONOVERFLOW"))
    _listen_to_nothing(talk)


@dataclass(frozen=True, slots=True)
class _Learned:
    """What a look at the folders of the own account has to tell; `elsewhere`: names whose subscription changed and that lie in
    another account."""

    lines: list[bytes]
    elsewhere: list[str]


class Listening:
    """What one client asked to hear, and what it has heard; the session's `Notifier`."""

    __slots__ = (
        "_fetched", "_folders", "_hears_of_folders", "_holders", "_modseq", "_needs_subscriptions", "_own", "_pending",
        "_retry_at", "_selected", "_subscriptions", "_view", "_watch", "looked",
    )  # fmt: skip

    def __init__(self, watch: Watch, holders: Collection[str]) -> None:
        """`holders`: whose annotations the client sees (`metadata.holders`)."""
        self._watch = watch
        self._holders = holders
        self._hears_of_folders = bool(watch.all_others)
        self._needs_subscriptions = bool(watch.subscribed or watch.all_others & _LISTED)
        self._folders: dict[str, FolderState] = {}
        """All folders as of `_modseq`, by mailbox id; empty if the client wants to hear of none."""
        self._subscriptions: frozenset[str] = frozenset()
        self._modseq = 0
        self._pending: dict[str, FolderState] = {}
        """Folders that changed while they were selected, as the client was told of them before."""
        self._own: dict[AccountRef | None, set[int]] = {}
        """MODSEQs of the client's changes that were not looked at yet, by account."""
        self._view: View | None = None
        self._selected: str | None = None
        """Which mailbox of the own account that is."""
        self._fetched = 0
        """Messages of the selected mailbox up to this UID need no FETCH."""
        self._retry_at = 0.0
        self.looked = 0
        """The own account's MODSEQ at the last look."""

    # ------------------------------------------------------------ the beginning

    def begin(self, account: Account, boxes: Mapping[str, Shared]) -> list[FolderState]:
        """The own account as it is now, from which on is told. Blocks."""
        if not self._hears_of_folders:
            return []
        news = _as_shown(account.folder_news(0, subscriptions=self._needs_subscriptions), boxes)
        self._folders = {state.mailbox_id: state for state in news.folders}
        self._subscriptions = news.subscriptions
        self._modseq = self.looked = news.modseq
        return news.folders

    def reaches_beyond(self, boxes: Mapping[str, Shared]) -> bool:
        """Whether mailboxes in accounts of units and groups are asked for: too expensive, since each has a feed of its own.

        PERSONAL and INBOXES are the own namespace (RFC 5465 §6.2, §6.3); a name that leads nowhere is no such mailbox.
        """
        if not boxes:
            return False
        named = [*self._watch.mailboxes.items(), *self._watch.subtrees.items()]
        names = [name for name, events in named if events]
        if self._watch.subscribed:
            names += self._subscriptions
        return bool(self._watch.subtrees.get(ROOT)) or any(find_box(name, boxes) for name in names)

    def describe_all(self, states: list[FolderState], talk: Conversation) -> Iterator[bytes]:
        """STATUS of each mailbox whose messages are watched, the selected one excepted (RFC 5465 §3.1)."""
        for state in states:
            events = self._events_of(state.name)
            if not events & _MESSAGES_OR_FLAGS or state.mailbox_id == self._selected:
                continue
            items = ["MESSAGES", "UIDNEXT", "UIDVALIDITY"] if Events.MESSAGES in events else []
            if Events.FLAGS in events:
                items = [*(items or ["UIDVALIDITY"]), "UNSEEN", "HIGHESTMODSEQ"]
            yield _status(state, items, utf8=talk.utf8)

    # ------------------------------------------------------------ the session's side

    def attend(self, view: View) -> None:
        self._view = view
        self._selected = view.info.mailbox_id if view.place.box is None else None
        self._fetched = view.uids[-1] if view.uids else 0
        view.quiet = Events.FLAGS not in self._watch.selected
        if Events.MESSAGES in self._watch.selected:
            view.release()
        else:
            view.withhold()

    def leave(self, view: View) -> None:
        """What the client was told while the mailbox was open needs no STATUS afterwards; how many are unseen it was not."""
        self._view = self._selected = None
        if view.place.box is not None:
            self._own.pop(view.place.account, None)
            return
        info = view.info
        known = self._pending.get(info.mailbox_id) or self._folders.get(info.mailbox_id)
        if known is None or (info.highest_modseq == known.highest_modseq and info.mailbox_id not in self._pending):
            return
        if view.is_whole and view.uids and view.uids[-1] + 1 == info.uidnext:
            modseq = known.highest_modseq if view.quiet else info.highest_modseq
            known = replace(
                known, uidvalidity=info.uidvalidity, uidnext=info.uidnext, messages=info.messages, highest_modseq=modseq
            )
        self._pending[info.mailbox_id] = replace(known, unseen=_NOT_TOLD)

    def own(self, at: AccountRef | None, modseqs: list[int]) -> None:
        is_open = self._view is not None and at == self._view.place.account and bool(self._watch.selected)
        if is_open or (at is None and self._hears_of_folders):  # of what is not looked at they would be kept for ever
            self._own.setdefault(at, set()).update(modseqs)
        if at is None and self._selected in self._folders:  # what the view tells of it is known when the mailbox is left
            self._pending.setdefault(self._selected, self._folders[self._selected])

    def subscribed(self, name: str, is_so: bool) -> None:
        if self._needs_subscriptions:
            self._subscriptions = self._subscriptions | {name} if is_so else self._subscriptions - {name}

    def pause(self) -> float:
        return self._retry_at or _NEVER

    def tell(self, talk: Conversation, *, expunge: bool = False) -> Steps[None]:
        """Say what is new, until nothing is. EXPUNGE may be said between commands too, unless it is to be delayed (§6.1)."""
        if talk.now() >= self._retry_at:  # also where nothing is due any more: who has looked meanwhile was a command
            self._retry_at = 0.0
        try:
            while self.is_due(talk, expunge=expunge):
                yield from self._tell(talk, expunge=expunge or not self._watch.delayed)
            self._forget_own()
        except Unavailable as error:
            if talk.severed:
                raise Ended(error.text) from error
            self.put_off(talk)

    def _forget_own(self) -> None:
        """The client's own changes that have been looked at."""
        for at, modseqs in list(self._own.items()):
            looked = [self.looked] if at is None and self._hears_of_folders else []
            looked += [self._view.looked] if self._view is not None and at == self._view.place.account else []
            left = {modseq for modseq in modseqs if looked and modseq > min(looked)}
            if left:
                self._own[at] = left
            else:
                del self._own[at]

    def put_off(self, talk: Conversation) -> None:
        self._retry_at = talk.now() + RETRY_SECONDS

    # ------------------------------------------------------------ one look

    def is_due(self, talk: Conversation, *, expunge: bool = False) -> bool:
        if talk.notifier is not self or talk.now() < self._retry_at:
            return False
        return self._owes_others(talk) or self._owes_selected(talk, expunge=expunge or not self._watch.delayed)

    def _owes_others(self, talk: Conversation) -> bool:
        return self._hears_of_folders and (talk.own_modseq > self.looked or any(key != self._selected for key in self._pending))

    def _owes_selected(self, talk: Conversation, *, expunge: bool) -> bool:
        view = talk.view
        if view is None or not self._watch.selected:
            return False
        moved = talk.known_modseq > view.looked or view.rights_moved
        return moved or (expunge and view.owes_expunges) or self._unfetched(view) > 0

    def _unfetched(self, view: View) -> int:
        """How many new messages are to be fetched."""
        return view.messages - bisect_right(view.uids, self._fetched) if self._watch.items else 0

    def _tell(self, talk: Conversation, *, expunge: bool) -> Steps[None]:
        view, others = talk.view, self._owes_others(talk)
        at = None if view is None else view.place.account
        own, there = frozenset(self._own.get(None, ())), frozenset(self._own.get(at, ()))
        if others:
            yield from self._tell_others(talk, own)
        together = others and at is None and bool(self._watch.selected)  # the client's own changes are new to both
        if talk.notifier is self and view is not None and (together or self._owes_selected(talk, expunge=expunge)):
            yield from self._tell_selected(talk, view, there, expunge=expunge)

    def _tell_others(self, talk: Conversation, own: Collection[int]) -> Steps[None]:
        """STATUS, LIST and METADATA of what happened in the own account."""
        own_modseq, boxes, enabled, utf8 = talk.own_modseq, talk.boxes, talk.enabled, talk.utf8

        def look(account: Account) -> _Learned:
            since, news = self._modseq, self._ask(account, own, boxes)
            learned = self._learn(news, boxes, enabled, utf8=utf8)
            if self._watch.all_others & _ANNOTATED:
                # What came after the folders were looked at is for the next look, else it is told twice.
                changed = account.annotations_changed(since, self._holders, own, until=self._modseq)
                learned.lines.extend(self._metadata_lines(changed, boxes, utf8=utf8))
            return learned

        learned = yield from talk.ask(look, OWN)
        self.looked = max(self.looked, own_modseq)
        if len(learned.lines) + len(learned.elsewhere) > MOST_EVENTS or self.reaches_beyond(boxes):
            _overflow(talk)
            return
        for line in learned.lines:
            talk.say(line)
            yield from talk.breathe()
        for name in learned.elsewhere:
            place = find(name, boxes)
            if "l" in place.rights:
                listed = yield from listing_of(talk, place)
                talk.say(responses.listed(b"LIST", listed.name, listed.attributes, DELIMITER, utf8=utf8))

    def _tell_selected(self, talk: Conversation, view: View, own: Collection[int], *, expunge: bool) -> Steps[None]:
        """What happened in the selected mailbox, in whichever account it is; then FETCH for new messages."""
        enabled = talk.enabled

        def look(account: Account) -> list[bytes] | None:
            glance = view.look(account)
            if _changes(glance) > MOST_EVENTS:
                return None
            lines = view.catch_up(glance, enabled, expunge=expunge)
            if lines and view.has_ghosts and Enabled.QRESYNC in enabled:
                lines.append(view.hold_line())
            return lines

        try:
            lines = yield from talk.ask(look, view.place)
        except NoSuchFolder as error:
            raise Ended("The mailbox has been deleted.") from error
        if lines is None or self._unfetched(view) > MOST_EVENTS:
            _overflow(talk)
            return
        for line in lines:
            talk.say(line)
            yield from talk.breathe()
        if self._unfetched(view):
            yield from self._fetch_new(talk, view, own)

    def _fetch_new(self, talk: Conversation, view: View, own: Collection[int]) -> Steps[None]:
        """FETCH for new messages, but those that the client has put there itself (RFC 5465 §5.2)."""
        first, last = bisect_right(view.uids, self._fetched), view.uids[-1]
        places = ranges(at for at in range(first, view.messages) if view.modseqs[at] not in own)
        yield from send_unasked(talk, view, self._watch.items, places)
        self._fetched = last

    # ------------------------------------------------------------ other mailboxes

    def _events_of(self, name: str) -> Events:
        return self._watch.of(name, subscribed=name in self._subscriptions)

    def _ask(self, account: Account, own: Collection[int], boxes: Mapping[str, Shared]) -> FolderNews:
        """What happened to folders; all of them compared where a row is missing (an index made anew, a restore)."""
        news = account.folder_news(self._modseq, own, subscriptions=self._needs_subscriptions)
        if len(self._folders) + _more(news, self._folders) == news.live:
            return _as_shown(news, boxes)
        news = account.folder_news(0, own, subscriptions=self._needs_subscriptions)
        there = {state.mailbox_id for state in news.folders}
        return replace(_as_shown(news, boxes), gone=[mailbox_id for mailbox_id in self._folders if mailbox_id not in there])

    def _learn(self, news: FolderNews, boxes: Mapping[str, Shared], enabled: Enabled, *, utf8: bool) -> _Learned:
        """Adopt these news and give the lines that tell them."""
        before, subscribed = dict(self._folders), self._subscriptions
        gone = [before[mailbox_id] for mailbox_id in news.gone if mailbox_id in before]
        for state in gone:
            del self._folders[state.mailbox_id]
            self._pending.pop(state.mailbox_id, None)
        for state in news.folders:
            self._folders[state.mailbox_id] = state
        self._subscriptions, self._modseq = news.subscriptions, news.modseq
        events = self._name_events(before, gone, news)
        listed = {event.name for event in events if not event.gone}
        moved = [
            name
            for name in sorted(subscribed ^ news.subscriptions)
            if name not in listed and Events.SUBSCRIPTIONS in self._watch.of(name, subscribed=True)
        ]
        elsewhere = [name for name in moved if find_box(name, boxes)]
        events += [NameEvent(name) for name in moved if not find_box(name, boxes)]
        lines = self._list_lines(events, utf8=utf8) if events else []
        lines += self._status_lines(before, {state.name: state for state in gone}, news, enabled, utf8=utf8)
        return _Learned(lines, elsewhere)

    def _name_events(self, before: dict[str, FolderState], gone: list[FolderState], news: FolderNews) -> list[NameEvent]:
        if Events.NAMES not in self._watch.all_others:
            return []
        own = news.own_names
        renamed = [
            Renamed(before[state.mailbox_id].name, state.name, told=state.mailbox_id in own)
            for state in news.folders
            if state.mailbox_id in before and before[state.mailbox_id].name != state.name
        ]
        made = [
            (state.name, INBOX if state.mailbox_id in news.from_inbox else None)
            for state in news.folders
            if state.mailbox_id not in before and state.mailbox_id not in own
        ]
        went = [state.name for state in gone if state.mailbox_id not in own]
        if not (renamed or made or went):
            return []
        kept = (state.name for key, state in self._folders.items() if key in before and before[key].name == state.name)
        return name_events(went, renamed, made, kept, lambda name: Events.NAMES in self._events_of(name))

    def _list_lines(self, events: list[NameEvent], *, utf8: bool) -> list[bytes]:
        tree = Tree(self._folders.values(), self._subscriptions, DELIMITER)
        return [
            responses.listed(
                b"LIST",
                event.name,
                described(tree, event.name, gone=event.gone).attributes,
                DELIMITER,
                utf8=utf8,
                old_name=event.old_name,
            )
            for event in events
        ]

    def _metadata_lines(self, changed: list[tuple[str, str]], boxes: Mapping[str, Shared], *, utf8: bool) -> list[bytes]:
        """METADATA with the names of what changed, one line a mailbox (RFC 5465 §5.6, §5.7)."""
        entries: dict[str, list[str]] = {}
        for mailbox, entry in changed:
            entries.setdefault(shown_own(mailbox, boxes), []).append(entry)
        lines: list[bytes] = []
        for mailbox, names in entries.items():
            wanted = self._events_of(mailbox) & Events.METADATA if mailbox else self._watch.all_others & Events.SERVER_METADATA
            if wanted:
                lines.append(responses.metadata_changed(mailbox, names, utf8=utf8))
        return lines

    def _status_lines(
        self, before: dict[str, FolderState], gone: dict[str, FolderState], news: FolderNews, enabled: Enabled, *, utf8: bool
    ) -> list[bytes]:
        """STATUS of each folder whose messages changed; what happens in the selected one is kept for later."""
        waiting, self._pending = self._pending, {}
        with_modseq = Enabled.CONDSTORE in enabled
        lines: list[bytes] = []
        for key in dict.fromkeys((*waiting, *(state.mailbox_id for state in news.folders))):
            state, known = self._folders[key], waiting.get(key) or before.get(key)
            if key == self._selected:
                self._pending[key] = known or state
                continue
            if key in news.own_messages and key not in waiting and known is not None:
                continue
            base = known or gone.get(state.name) or replace(state, uidnext=1, messages=0, unseen=0)
            items = _changed_items(base, state, self._events_of(state.name), with_modseq=with_modseq)
            if items:
                lines.append(_status(state, items, utf8=utf8))
        return lines


def _as_shown(news: FolderNews, boxes: Mapping[str, Shared]) -> FolderNews:
    """With the names that the client sees (`places`)."""
    if not boxes:
        return news
    return replace(news, folders=[replace(state, name=shown_own(state.name, boxes)) for state in news.folders])


def _more(news: FolderNews, known: dict[str, FolderState]) -> int:
    """By how much these news change the number of folders."""
    new = sum(state.mailbox_id not in known for state in news.folders)
    return new - sum(mailbox_id in known for mailbox_id in news.gone)


def _changes(glance: Glance) -> int:
    """Messages of the selected mailbox to tell something of."""
    if glance.changes is None:
        return 0
    return len(glance.changes.changed) + len(glance.changes.vanished)


def _changed_items(base: FolderState, state: FolderState, events: Events, *, with_modseq: bool) -> list[str]:
    """What STATUS has to say (RFC 5465 §5.1-5.3), nothing if nothing that was asked for has happened.

    With FlagChange UNSEEN too, whenever messages came or went: some of them may be the client's own, which `base` lacks.
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
