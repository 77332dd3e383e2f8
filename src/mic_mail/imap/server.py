"""The IMAP service on the network: the part of `connection.connection` that only IMAP needs.

Compression (RFC 4978); changes of the own account, of a watched one and of those that NOTIFY follows; progress lines while
work takes long; UNAUTHENTICATE (RFC 8437). Compressed input is bounded too: it is inflated in pieces, as the session takes
them.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from mic_mail.connection import actions, connection
from mic_mail.connection.actions import Action, Send
from mic_mail.connection.server import Server
from mic_mail.connection.services import Services
from mic_mail.errors import MicMailError, Text
from mic_mail.imap.actions import (
    PROGRESS_SECONDS,
    ClearAway,
    Decode,
    DropCompressor,
    EndCompression,
    Inspect,
    Leave,
    ScanMessage,
    StartCompression,
    SubscribeAccounts,
    Teach,
    Waiting,
    WatchAccount,
    Work,
)
from mic_mail.imap.compress import Damaged, Deflate
from mic_mail.imap.selected.shared_cache import SharedCache
from mic_mail.imap.session import Session
from mic_mail.imap.session_settings import SessionSettings
from mic_mail.net.connection_registry import Changed
from mic_mail.net.proxy_protocol import ClientAddress
from mic_mail.process.change_feed import Feed, Subscription
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.services.authentication.refusals import Refusal, RefusalKind
from mic_mail.services.authentication.shared_mailboxes import MailboxPair, SharedMailbox
from mic_mail.services.authentication.watches import Watch
from mic_mail.services.operations.downtimes import announcements
from mic_mail.services.transport.inbound.spam_training import TrainingNotes, UserVerdict
from mic_mail.services.transport.malware import MalwareCheck
from mic_mail.services.transport.secrecy import SecrecyCheck
from mic_mail.storage.index.answer_rows import FolderKey
from mic_mail.storage.index.open_folders import OpenFolder
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import AccountRef, AnswerRow, FolderDelta

INLINE_DEFLATE_OCTETS = 32 << 10
"""Octets above which output is compressed in the CPU executor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImapServices(Services):
    """The dependencies that the composition root passes in."""

    feed: Feed
    secrecy: SecrecyCheck
    malware: MalwareCheck
    learning: TrainingNotes
    settings: SessionSettings
    stored: Callable[[], None] = lambda: None
    """Called after each change of an account, since the journal may be full."""


class ImapConnection(connection.Connection):
    """One IMAP connection."""

    __slots__ = (
        "_attended", "_boxes_watch", "_deflate", "_meanwhile", "_overheard", "_progress", "_progress_due",
        "_shared_subscription", "_shared_watch", "_subscription",
    )  # fmt: skip

    UNREAD_SECONDS = 300.0
    ENDING_CODES: ClassVar[Mapping[RefusalKind, bytes]] = {RefusalKind.UNAVAILABLE: b"UNAVAILABLE"}
    """Codes of endings after which trying again helps (RFC 5530 §3)."""

    _server: "ImapServer"
    _services: ImapServices
    _session: Session

    def __init__(self, server: "ImapServer", door: str, client: ClientAddress | None = None) -> None:
        super().__init__(server, "imap", client)  # one name in the log, whether TLS starts at once or by STARTTLS
        self._subscription: Subscription | None = None
        self._attended: AccountRef | None = None  # another account than the own one that is watched
        self._shared_subscription: Subscription | None = None
        self._shared_watch: Watch[MailboxPair] | None = None  # on the rights in it
        self._overheard: dict[AccountRef, Subscription] | None = None  # accounts that NOTIFY follows; most sessions have none
        self._boxes_watch: Watch[int] | None = None  # on all mailboxes that the person may use, for NOTIFY
        self._deflate: Deflate | None = None
        self._meanwhile: Callable[[], bytes] | None = None  # makes a progress line of the work that is running
        self._progress: asyncio.TimerHandle | None = None
        self._progress_due = 0.0

    def _new_session(self) -> Session:
        settings, clock, cache = self._services.settings, self._services.runtime.clock, self._server.cache
        return Session(settings, clock=clock, cache=cache, host=self._session_host(), tls=self._peer.tls is not None)

    # ------------------------------------------------------------ octets, compressed or not

    def data_received(self, data: bytes) -> None:
        if self._deflate is None:
            super().data_received(data)
            return
        self._services.measure_lag()
        self._unanswered = True
        if self._waiting is None:
            self._deflate.hold(data)
            if self._deflate.waiting_octets > connection.UNUSED_INPUT_OCTETS:
                self._stop_reading()
        elif self._inflate(data):
            if self._session.buffered > connection.UNUSED_INPUT_OCTETS:
                self._stop_reading()
            self._pump()

    def _has_more(self) -> bool:
        if self._deflate is None or not self._deflate.has_more:
            return False
        self._inflate(b"")
        return True

    def _inflate(self, data: bytes) -> bool:
        """Feed the session from compressed input; return False if that is damaged, which ends the connection."""
        assert self._deflate is not None
        try:
            self._session.feed(self._deflate.inflate(data), compressed=self._deflate.taken)
        except Damaged:
            self._transport.abort()
            return False
        if self._deflate.has_more:
            self._stop_reading()
        return True

    # ------------------------------------------------------------ actions

    def _do_now(self, step: Action) -> bool:
        match step:
            case Send(data):
                if self._deflate is not None and len(data) > INLINE_DEFLATE_OCTETS:
                    return False
                self._write(data if self._deflate is None else self._deflate.deflate(data))
            case Work():
                return False
            case WatchAccount(account) if self._subscription is not None:
                self._watch_account(account)
            case SubscribeAccounts() if self._subscription is not None:
                self._subscribe_accounts(step)
            case Leave():
                self._leave()
            case ClearAway(run):
                self._server.clear_away(run)
            case Teach():
                self._teach(step)
            case DropCompressor() if self._deflate is not None:
                self._transport.write(self._deflate.drop())
            case EndCompression() if self._deflate is not None:
                self._session.feed(self._deflate.end())
                self._deflate = None
            case WatchAccount() | SubscribeAccounts() | DropCompressor() | EndCompression():
                pass
            case _:
                return super()._do_now(step)
        return True

    def _closed(self) -> None:
        if self._progress is not None:
            self._progress.cancel()
        if (run := self._session.pending_cleanup()) is not None:
            self._server.clear_away(run)

    async def _perform(self, action: Action) -> object:
        match action:
            case Send(data):
                assert self._deflate is not None
                self._write(await self._services.runtime.executors.cpu(self._deflate.deflate, data))
            case Decode(run):
                return await self._services.runtime.executors.cpu(run)
            case Inspect(source):
                return await self._inspect(source)
            case ScanMessage(source):
                return await self._scan(source)
            case StartCompression(pending):
                self._deflate = Deflate()
                self._inflate(pending)
            case _:
                return await super()._perform(action)
        return None

    async def _inspect(self, source: bytes | Path) -> MicMailError | None:
        assert self._signed_in is not None
        return await self._services.secrecy.check_append(
            source, login=self._signed_in.address, peer=self._peer.address, session=self._session_id
        )

    async def _scan(self, source: bytes | Path) -> Text | None:
        assert self._signed_in is not None
        login = self._signed_in.address
        return await self._services.malware.check_stored(source, login=login, peer=self._peer.address, session=self._session_id)

    def _teach(self, step: Teach) -> None:
        assert self._signed_in is not None
        own = self._signed_in.account
        came_from = None if step.came_from is None else (step.came_from[0] or own, step.came_from[1])
        who = {"login": self._signed_in.address, "session": self._session_id}
        self._services.learning.note(UserVerdict(step.account or own, step.folder, step.uids, came_from, spam=step.spam, **who))

    def _begin_work(self, work: actions.Work[object]) -> object:
        """Begin work on an account in its executor; a client that waits long gets progress lines."""
        assert isinstance(work, Work)
        begun = super()._begin_work(work)
        if work.meanwhile is not None:
            self._meanwhile, self._progress_due = work.meanwhile, self._loop.time() + PROGRESS_SECONDS
            if self._progress is None:
                self._progress = self._loop.call_at(self._progress_due, self._write_progress)
        return begun

    def _account_of(self, work: actions.Work[object]) -> Account:
        assert isinstance(work, Work)
        if work.account is None:
            return super()._account_of(work)
        assert self._signed_in is not None
        return self._services.store.account(work.account, self._signed_in.address)

    def _write_progress(self) -> None:
        """Write a progress line if one is due.

        Work that ends leaves its timer to the next work: most take less than a millisecond, and a timer costs 10 us.
        """
        self._progress = None
        if self._meanwhile is None:
            return
        now = self._loop.time()
        if now >= self._progress_due:
            self._progress_due = now + PROGRESS_SECONDS
            if not (self._lost or self._paused or self._transport.is_closing()):
                line = self._meanwhile()
                self._transport.write(line if self._deflate is None else self._deflate.deflate(line))
        self._progress = self._loop.call_at(self._progress_due, self._write_progress)

    def _end_work(self, work: actions.Work[object], result: object, error: BaseException | None) -> None:
        self._meanwhile = None
        if work.writes:
            self._services.stored()
        super()._end_work(work, result, error)

    # ------------------------------------------------------------ accounts

    def _enter(self, signed_in: SignedIn) -> bool:
        if not super()._enter(signed_in):
            return False
        if not self._lost:
            self._subscription = self._services.feed.subscribe(signed_in.account.account_id, self._noticed)
        return True

    def _give_back(self) -> None:
        if self._subscription is not None:  # without it there are none of the others
            self._watch_account(None)
            self._subscribe_accounts(SubscribeAccounts())
            self._subscription.close()
            self._subscription = None
        super()._give_back()

    def _leave(self) -> None:
        """Release everything that belongs to the mailbox: UNAUTHENTICATE (RFC 8437)."""
        self._give_back()
        self._exchange = self._signed_in = self._account = None

    def _watch_account(self, at: AccountRef | None) -> None:
        """Watch another account's changes beside the own one's, and the person's rights in it."""
        for held in (self._shared_subscription, self._shared_watch):
            if held is not None:
                held.close()
        self._attended, self._shared_subscription, self._shared_watch = at, None, None
        if at is not None:
            assert self._signed_in is not None
            self._shared_subscription = self._services.feed.subscribe(at.account_id, self._noticed_there)
            sharing = self._services.access.sharing
            self._shared_watch = sharing.watch(self._signed_in.mailbox_id, at.account_id, self._rights_moved)

    def _subscribe_accounts(self, wanted: SubscribeAccounts) -> None:
        """Watch exactly these further accounts, and the usable shared mailboxes where NOTIFY asks for it."""
        overheard = self._overheard or {}
        for at in overheard.keys() - wanted.accounts:
            overheard.pop(at).close()
        for at in wanted.accounts - overheard.keys():
            overheard[at] = self._services.feed.subscribe(at.account_id, partial(self._noticed_beyond, at.account_id))
        self._overheard = overheard or None
        if self._boxes_watch is not None and not wanted.rights:
            self._boxes_watch.close()
            self._boxes_watch = None
        elif self._boxes_watch is None and wanted.rights:
            assert self._signed_in is not None
            self._boxes_watch = self._services.access.sharing.watch_all(self._signed_in.mailbox_id, self._boxes_moved)

    # ------------------------------------------------------------ callbacks of feeds and watches

    def _noticed(self, modseq: int) -> None:
        """Handle the change feed: the own account has changed."""
        self._wake_if(self._session.noticed(modseq))

    def _noticed_there(self, modseq: int) -> None:
        """Handle the change feed: the watched account has changed."""
        self._wake_if(self._session.noticed(modseq, there=True))

    def _noticed_beyond(self, account_id: int, modseq: int) -> None:
        """Handle the change feed: an account that NOTIFY follows has changed."""
        self._wake_if(self._session.account_changed(account_id, modseq))

    def _boxes_moved(self) -> None:
        """Handle a possible change of the shared mailboxes that the person may use."""
        assert self._signed_in is not None
        self._services.access.sharing.renew_all(self._signed_in.mailbox_id)
        self._wake_if(self._session.shared_mailboxes_changed())

    def _wake_if(self, matters: bool) -> None:
        if matters and isinstance(self._waiting, Waiting):
            self._pump()

    def _decision_moved(self) -> None:
        """Recompute the rights in the own mailbox: nobody expunges once its handover begins (Reg. 12.3.d)."""
        super()._decision_moved()
        assert self._signed_in is not None
        self._session.own_rights_moved()

    def _rights_moved(self) -> None:
        """Handle a possible change of the person's rights in the watched account (Reg. 12.3).

        A term has ended, or a fact was recorded. If no mailbox of the account is open (it was closed, or is being opened and
        is checked then), nothing is ended. Changes of the person's own mailbox come first, since they are then the reason to
        give.
        """
        assert self._signed_in is not None
        assert self._attended is not None
        self._decision_moved()
        if self._session.ending or self._transport.is_closing():
            return
        if not self._session.has_open(self._attended.account_id):
            self._services.access.sharing.renew(self._signed_in.mailbox_id, self._attended.account_id)
            return
        answer = self._services.access.recheck_shared(self._signed_in, self._attended.account_id, self._peer)
        if isinstance(answer, Refusal):
            if self._reset_if_behind():
                return
            self._session.access_revoked(self._attended.account_id, answer.text)
            if self._session.ending:
                self._go_on_ending()
        else:
            self._session.rights_moved(self._attended.account_id, answer)

    # ------------------------------------------------------------ ImapHost

    def quota_octets(self, mailbox_id: int) -> int | None:
        entry = self._services.access.snapshot.entry(mailbox_id)
        return None if entry is None else entry.quota_octets

    def change_mark(self, mailbox_id: int) -> int:
        return self._services.store.change_mark(mailbox_id)

    def changes_since(self, mailbox_id: int, folder_id: int, since_modseq: int, mark: int) -> FolderDelta | None:
        return self._services.store.changes_since(mailbox_id, folder_id, since_modseq, mark)

    def opened(self, account: AccountRef, name: str) -> FolderDelta | None:
        return self._services.store.opened(account, name)

    def enter(self, account_id: int, folder_id: int, *, claims: bool) -> OpenFolder:
        return self._services.store.enter(account_id, folder_id, claims=claims)

    def read_cached(self, path: str, size: int) -> bytes | None:
        return self._services.store.read_cached(path, size)

    def answer_rows(self, folder: FolderKey, uids: Sequence[int]) -> list[AnswerRow] | None:
        return self._services.store.answer_rows(folder, uids)

    def hidden(self, mailbox_id: int) -> frozenset[str]:
        entry = self._services.access.snapshot.entry(mailbox_id)
        return frozenset() if entry is None else entry.capabilities_hidden

    def alerts(self) -> Sequence[Text]:
        return announcements(self._services.access.snapshot.downtimes, self._services.runtime.clock.now())

    def shared(self, mailbox_id: int) -> Mapping[str, SharedMailbox]:
        return self._services.access.sharing.of(mailbox_id)

    def holders(self, mailbox_id: int) -> Mapping[str, str]:
        return self._services.access.sharing.holders(mailbox_id)


class ImapServer(Server):
    """The IMAP service of one process."""

    connection = ImapConnection

    def __init__(self, services: ImapServices, changed: Changed = lambda by, strangers: None) -> None:
        super().__init__(services, changed)
        self.cache = SharedCache()
        self._errands: set[asyncio.Task[None]] = set()

    def clear_away(self, run: Callable[[], None]) -> None:
        """Discard abandoned files in a thread. Files that remain when the process ends are left to the sweep."""

        async def background_task() -> None:
            with contextlib.suppress(MicMailError, OSError, RuntimeError):
                await self.services.runtime.executors.io(run)

        task = asyncio.get_running_loop().create_task(background_task())
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
