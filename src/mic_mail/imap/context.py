"""The state of one IMAP connection, and the small steps from which every command is built.

A command's handler returns a `Reply`, the tagged line, or is a generator that does: it yields actions, is sent their results
and writes untagged lines (`response_writer`). Nothing here does I/O.

    handler(ctx, arguments) -> Reply | Steps[Reply]        in the modules of `commands/`

Errors: a `MicMailError` becomes NO (`replies.refusal`); `CloseConnection` ends the connection with BYE.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar, cast

from mic_mail.clock import Clock
from mic_mail.connection.actions import LogEvent, NeedInput, RecordActivity, Steps, opening_slot
from mic_mail.connection.session_core import CloseConnection
from mic_mail.errors import Refused, Text
from mic_mail.imap.actions import Decode, SubscribeAccounts, Waiting, Work
from mic_mail.imap.compress import Credit
from mic_mail.imap.connection_state import ConnectionState, Enabled
from mic_mail.imap.host import ImapHost
from mic_mail.imap.mailbox_names import resolve
from mic_mail.imap.mailbox_names.resolve import Place
from mic_mail.imap.parser.events import NEED_INPUT, BadLine, Event, LiteralRequested, LongCommand
from mic_mail.imap.parser.reader import Limits, Reader
from mic_mail.imap.response_writer import ResponseWriter
from mic_mail.imap.responses import continuation, in_progress, ok, status_line
from mic_mail.imap.selected.mailbox_view import View
from mic_mail.imap.selected.shared_cache import SharedCache
from mic_mail.imap.session_settings import SessionSettings
from mic_mail.services.authentication.shared_mailboxes import SharedMailbox
from mic_mail.storage.errors import NoSuchFolder
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import AccountRef

T = TypeVar("T")


class Notifier(Protocol):
    """Unsolicited notifications that the client asked for (`notify.NotifyListener`)."""

    def send_updates(self, ctx: "ImapContext", *, expunge: bool = False) -> Steps[None]:
        """Write what is new, if anything; `expunge`: the command in progress allows EXPUNGE."""
        ...

    def is_due(self, ctx: "ImapContext", *, expunge: bool = False) -> bool:
        """Return whether `send_updates` would poll the store."""
        ...

    def put_off(self, ctx: "ImapContext") -> None:
        """Retry after a while: the store cannot answer now."""
        ...

    def pause(self) -> float:
        """Return when to retry what could not be sent (monotonic seconds)."""
        ...

    def watch_account(self, view: View) -> None:
        """Note that a mailbox was selected."""
        ...

    def leave(self, view: View) -> None:
        """Note that the mailbox is no longer selected."""
        ...

    def note_own_changes(self, account: AccountRef | None, modseqs: list[int]) -> None:
        """Note changes made by the client itself in this account (None: its own)."""
        ...

    def subscribed(self, ctx: "ImapContext", name: str, is_so: bool) -> Steps[None]:
        """Note that the client itself has subscribed or unsubscribed, before it gets the tagged reply."""
        ...


@dataclass(frozen=True, slots=True)
class AppendTarget:
    """The destination of an APPEND, so that the next one need not check the folder and the quota again."""

    account: AccountRef | None
    name: str
    folder_id: int
    used_octets: int | None
    """Octets that the mailbox held then, as far as this session knows; None: it has not looked."""
    until: float
    """Until then its folder and its space are not checked before the octets are sent."""
    is_sent: bool
    """True if the folder held sent messages: the next one is checked for a marking at once."""


def _still_in_progress(tag: bytes) -> bytes:
    return ok(b"*", "Still in progress.", in_progress(tag))


class ImapContext(ResponseWriter):
    """The state of a connection between two commands."""

    __slots__ = (
        "_overhearing",
        "account",
        "account_changed",
        "attending",
        "cache",
        "credit",
        "host",
        "introductions",
        "is_synced",
        "known_modseq",
        "landed",
        "leftovers",
        "notifier",
        "opened",
        "own_modseq",
        "reader",
        "saved",
        "settings",
        "shared_mailboxes_changed",
        "tag",
        "view",
    )  # fmt: skip

    settings: SessionSettings
    host: ImapHost

    def __init__(
        self, settings: SessionSettings, *, reader: Reader, clock: Clock, cache: SharedCache, host: ImapHost, tls: bool
    ) -> None:
        super().__init__(settings, clock, tls=tls)
        self.settings = settings
        self.cache = cache
        self.host = host
        self.credit: Credit | None = None  # for a client that compresses its commands
        self.reader = reader
        self.view: View | None = None
        self.opened: dict[int, int] = {}
        """The time slot in which each account was last recorded as opened (`opening_slot`), by account id."""
        self.account: AccountRef | None = None
        """The account that the current command works on (None: the session's own).

        For commands on the selected mailbox, that mailbox's account.
        """
        self.attending: AccountRef | None = None
        """The account whose changes are reported, if not the own one."""
        self.saved: tuple[int, ...] = ()
        """UIDs of the last SEARCH RETURN (SAVE) (RFC 5182)."""
        self.known_modseq = 0
        """The MODSEQ of the watched account, as the change feed reported it."""
        self.own_modseq = 0
        """The MODSEQ of the session's own account, as the change feed reported it."""
        self._overhearing = SubscribeAccounts()
        self.account_changed: dict[int, int] = {}
        """The MODSEQs of the further accounts that NOTIFY follows, by account id."""
        self.shared_mailboxes_changed = False
        """NOTIFY follows the shared mailboxes that the person may use, and these may have changed."""
        self.notifier: Notifier | None = None
        self.landed: AppendTarget | None = None
        """The destination of the last APPEND, if that succeeded."""
        self.leftovers: list[Callable[[], None]] = []
        """Staged files that will not be published, to be discarded in a thread."""
        self.tag = b""
        """The tag of the command in progress."""
        self.is_synced = False
        """The selected mailbox was compared with the store after the session's last step: no time has passed since."""
        self.introductions = 0
        """The number of ID commands received."""

    # ------------------------------------------------------------ state

    @property
    def state(self) -> ConnectionState:
        if self.view is not None:
            return ConnectionState.SELECTED
        return ConnectionState.NOT_AUTHENTICATED if self.signed_in is None else ConnectionState.AUTHENTICATED

    @property
    def hidden(self) -> frozenset[str]:
        """Capabilities that are neither listed nor enabled."""
        own = self.host.hidden(self.signed_in.mailbox_id) if self.signed_in else frozenset()
        return self.settings.hidden | own if own else self.settings.hidden

    def quota_octets(self, box: SharedMailbox | None = None) -> int | None:
        """Return the quota of a mailbox in octets; None: the session's own mailbox."""
        return self.host.quota_octets(self.mailbox_id) if box is None else box.quota_octets

    @property
    def mailbox_id(self) -> int:
        """The id of the session's own mailbox."""
        assert self.signed_in is not None
        return self.signed_in.mailbox_id

    @property
    def selected(self) -> View:
        """The selected mailbox, for commands that are legal only with one."""
        assert self.view is not None
        return self.view

    @property
    def boxes(self) -> Mapping[str, SharedMailbox]:
        """The shared mailboxes that may be used now, beside the session's own."""
        return self.host.shared(self.mailbox_id)

    def account_of(self, place: Place) -> AccountRef:
        assert self.signed_in is not None
        return place.account or self.signed_in.account

    def place(self, name: str, letters: str = "") -> Place:
        """Resolve a mailbox name as of now.

        Raises `NoPermission` or `NoSuchFolder` unless all of these rights are held there.
        """
        place = self._as_it_is_now(resolve.find(name, self.boxes))
        place.need(letters)
        return place

    def place_now(self, place: Place, letters: str) -> Place:
        """Resolve a place again: while a command runs, a delegation may end or lose rights."""
        if place.box is None:
            return place
        box = self.boxes.get(place.box.name)
        if box is None or box.account != place.box.account:
            raise NoSuchFolder(resolve.name_in_box(place.box, place.name))
        now = self._as_it_is_now(replace(place, box=box))
        now.need(letters)
        return now

    def place_of_new(self, name: str, letters: str = "") -> Place:
        """Resolve a name that is to be created; errors as `place`."""
        place = self._as_it_is_now(resolve.find_new(name, self.boxes))
        place.need(letters)
        return place

    def _as_it_is_now(self, place: Place) -> Place:
        withheld = self.host.withheld(self.mailbox_id if place.account is None else place.account.account_id)
        return place if withheld == place.withheld else replace(place, withheld=withheld)

    @property
    def own_rights(self) -> str:
        return self._as_it_is_now(Place("")).rights

    def must_hold(self, view: View, letters: str) -> None:
        """Raise `NoPermission` or `Frozen` unless the client holds all these rights in the selected mailbox."""
        if not set(letters) <= set(view.rights):
            raise self.lacks(view, letters)

    def lacks(self, view: View, letters: str) -> Refused:
        return replace(view.place, withheld=self.host.withheld(view.account_id)).lacks(letters)

    def use_condstore(self) -> None:
        """Turn on CONDSTORE for a client that has used it, and report HIGHESTMODSEQ (RFC 7162 §3.1)."""
        if Enabled.CONDSTORE not in self.enabled:
            self.enabled |= Enabled.CONDSTORE
            if self.view is not None:
                self.write(ok(b"*", "Highest mod-sequence.", b"HIGHESTMODSEQ %d" % max(self.view.reported_modseq, 1)))

    def leave(self) -> None:
        """Deselect the mailbox and forget the saved search result."""
        if self.view is not None:
            if self.notifier is not None:
                self.notifier.leave(self.view)
            self.view.let_go()
        self.view = None
        self.saved = ()

    def forget_person(self) -> None:
        """Reset the state of the signed-in person.

        The connection's state remains: TLS, the count of ID commands, the attempts to sign in.
        """
        self.notifier = None
        self.leave()
        self.signed_in = None
        self.opened = {}
        self.enabled = Enabled.NOTHING
        self.known_modseq = self.own_modseq = 0
        self._overhearing, self.account_changed, self.shared_mailboxes_changed = SubscribeAccounts(), {}, False
        self.account = self.attending = self.landed = None
        self.reader.limits = Limits.before_sign_in()
        self.reader.utf8 = False
        self.sign_in_until = self.now() + self.settings.sign_in_seconds

    @property
    def compressed(self) -> bool:
        """Both directions use DEFLATE (RFC 4978)."""
        return self.credit is not None

    def pay(self, text: int) -> None:
        """Charge the client's credit for a command of this many octets.

        A client whose commands expand far beyond the octets it sends is disconnected.
        """
        if self.credit is not None and not self.credit.spend(text, self.now()):
            raise CloseConnection(
                Text("Dữ liệu nén chứa quá nhiều lệnh.", "The compressed data holds too many commands."), b"LIMIT"
            )

    # ------------------------------------------------------------ steps

    def read_next(self) -> Event:
        """Return the reader's next event.

        After a line too large to skip, the reader takes no more input: the connection ends, in whichever state it came.
        """
        event = self.reader.next()
        if isinstance(event, BadLine) and event.fatal:
            self.write(status_line(event.tag, event.status, event.text, event.code))
            raise CloseConnection(Text("Kết nối bị đóng vì dữ liệu gửi đến quá lớn.", "Too much input."))
        return event

    def event(self, until: float, meanwhile: Callable[[], Steps[None]] | None = None) -> Steps[Event]:
        """Return the next event that the reader makes of the client's octets.

        Raises `CloseConnection` when `until` passes or the session is ended. Between commands `meanwhile` writes
        notifications whenever the account has changed.
        """
        while True:
            if self.ending is not None:
                raise self.ending
            if self.notifier is not None and meanwhile is not None:
                yield from meanwhile()
            if self.signed_in is None and self.now() >= self.sign_in_until:  # even if octets have arrived
                raise CloseConnection(Text("Kết nối bị đóng vì quá lâu chưa đăng nhập.", "Autologout; no sign-in in time."))
            event = self.read_next()
            if event is NEED_INPUT:
                if self.now() >= until:
                    raise CloseConnection(Text("Kết nối bị đóng vì quá lâu không có lệnh.", "Autologout; idle for too long."))
                if self.notifier is not None and meanwhile is not None:
                    yield Waiting(min(until, self.notifier.pause()))
                else:
                    yield NeedInput(until)
            elif isinstance(event, LiteralRequested):
                self.write(continuation())
            elif isinstance(event, LongCommand):
                event = cast("Event", (yield Decode(event.read)))
                if self.ending is not None:  # set while the command was decoded
                    raise self.ending
                return event
            else:
                return event

    def ask(self, run: Callable[[Account], T], place: Place | None = None) -> Steps[T]:
        """Run a read on the store of `place`, else on that of the current command."""
        return cast("T", (yield Work(run, account=self.account if place is None else place.account)))

    def change(self, run: Callable[[Account], T], place: Place | None = None) -> Steps[T]:
        """Run a write on the store of `place`, else on that of the current command.

        A long write is one step, so the client only learns that it is still in progress (RFC 9585).
        """
        ref = self.account if place is None else place.account
        alive = None if "INPROGRESS" in self.hidden else partial(_still_in_progress, self.tag)
        if self.notifier is None:
            return cast("T", (yield Work(run, writes=True, account=ref, meanwhile=alive)))
        work = Work(lambda account: account.recording_modseqs(run), writes=True, account=ref, meanwhile=alive)
        result, modseqs = cast("tuple[T, list[int]]", (yield work))
        self.notifier.note_own_changes(ref, modseqs)
        return result

    def leave_behind(self, discard: Callable[[], None]) -> None:
        """Have something discarded in a thread.

        That works also when the connection is lost and nothing can be awaited.
        """
        self.leftovers.append(discard)

    def take_leftovers(self) -> Callable[[], None]:
        """Return one function that discards all leftovers, to be run once."""
        left, self.leftovers = self.leftovers, []

        def clear_away() -> None:
            for discard in left:
                discard()

        return clear_away

    def subscribe_accounts(self, wanted: SubscribeAccounts) -> Steps[None]:
        """Report changes in exactly these accounts, beside the own and the watched one, from now on."""
        if wanted != self._overhearing:
            yield wanted
            self._overhearing = wanted
            there = {at.account_id for at in wanted.accounts}
            self.account_changed = {
                account_id: modseq for account_id, modseq in self.account_changed.items() if account_id in there
            }

    def modseq_of(self, account: AccountRef | None) -> int:
        """Return the last reported MODSEQ of an account that NOTIFY follows (None: the own one)."""
        return self.own_modseq if account is None else self.account_changed.get(account.account_id, 0)

    def reading(self) -> Steps[None]:
        """Record that somebody reads in the selected mailbox, where that must be recorded (Reg. 12.3.a)."""
        if self.view is not None and self.view.on_record:
            yield from self._opening(self.view.place.account, "fetch")

    def polling(self, place: Place | None) -> Steps[None]:
        """Record a poll for new mail as an opening, where the settings say so (`unit.openings.counts`)."""
        if self.settings.polls_open and place is not None:
            account_id = self.mailbox_id if place.account is None else place.account.account_id
            if self.host.records_access(account_id):
                yield from self._opening(place.account, "poll")

    def _opening(self, account: AccountRef | None, how: str) -> Steps[None]:
        account_id = self.mailbox_id if account is None else account.account_id
        stretch = opening_slot(self.clock.now_us())
        if self.opened.get(account_id) != stretch:
            self.opened[account_id] = stretch
            yield RecordActivity(account, how)

    def record_shared_act(self, event: str, place: Place, **fields: object) -> Steps[None]:
        """Log who did this in a mailbox that several people use."""
        if self.host.records_access(self.mailbox_id if place.account is None else place.account.account_id):
            address = {} if place.box is None else {"mailbox": place.box.address}
            yield LogEvent(event, {**address, "folder": place.name, **fields})

    def is_current(self, view: View) -> bool:
        """Return whether the account has not changed since the view's last poll."""
        mark = self.host.change_mark(view.account_id)
        return mark != 0 and mark == view.mark

    def sync(self, *, expunge: bool) -> Steps[None]:
        """Report changes of the selected mailbox since the last poll; poll if there can be any."""
        if (view := self.view) is not None:
            has_updates = view.has_updates(expunge=expunge)
            if self.is_synced and not has_updates:
                return
            mark = self.host.change_mark(view.account_id)
            if mark != 0 and mark == view.mark and not has_updates:
                view.polled_modseq = max(view.polled_modseq, self.known_modseq)
                self.is_synced = True
                return
            enabled = self.enabled
            delta = self.host.changes_since(view.account_id, view.folder_id, view.modseq, mark)
            if delta is not None and (change := view.cached_change(delta)) is not None:
                self.write(b"".join(view.catch_up(change, enabled, expunge=expunge)))
                return
            try:
                lines = yield from self.ask(
                    lambda account: b"".join(view.catch_up(view.poll(account), enabled, expunge=expunge)), view.place
                )
            except NoSuchFolder as error:  # deleted by another session: message numbers are void
                raise CloseConnection(Text("Thư mục đang mở đã bị xóa.", "The mailbox has been deleted.")) from error
            self.write(lines)
