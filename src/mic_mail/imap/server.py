"""The IMAP door on the network: the shell around `session`.

Reads when the session can take more, writes when the client has taken what it was sent, and carries out one action at a time:
work on the store in the account's lanes, sign-in through `services.access`, TLS and compression. Decides nothing: limits,
answers and the order of things are the session's. What a client costs is bounded here by flow control: reading stops at 64 KiB
of unused input, the session is not asked for more output while the transport is above its high water.

A connection without a command in progress has no task: its state is the session and one timer.
"""

import asyncio
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from mic_mail.clock import Clock
from mic_mail.errors import Text
from mic_mail.ids import trace_id
from mic_mail.imap.actions import (
    PROGRESS_SECONDS,
    Action,
    Answer,
    Attend,
    Begin,
    DropCompressor,
    EndCompression,
    Enter,
    Hangup,
    Leave,
    NeedInput,
    Note,
    Send,
    SignIn,
    StartCompression,
    StartTls,
    Used,
    Waiting,
    Work,
)
from mic_mail.imap.conversation import SessionSettings
from mic_mail.imap.deflate import Damaged, Deflate
from mic_mail.imap.session import Session
from mic_mail.imap.shelf import Shelf
from mic_mail.log.maillog import MailLog
from mic_mail.net.acknowledging import acknowledge
from mic_mail.net.connections import OpenConnections
from mic_mail.net.tls import TlsFront
from mic_mail.policy.facts import MailboxKind
from mic_mail.process.feed import Feed, Subscription
from mic_mail.process.lanes import AccountLanes, Lanes
from mic_mail.services.access import Access, Dialog, Peer, SignedIn, TlsInfo
from mic_mail.services.refusals import Refusal
from mic_mail.services.sharing import Pair, Shared
from mic_mail.services.watching import Watch
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import AccountRef

UNUSED_INPUT_OCTETS = 64 << 10
"""Of unused input; beyond it the client is not listened to."""
HIGH_WATER_OCTETS = 256 << 10
INLINE_DEFLATE_OCTETS = 32 << 10
"""More is compressed in the cpu lane."""
HANDSHAKE_SECONDS = 30.0
CLOSING_SECONDS = 10.0
"""How long a client may take to read its goodbye."""
UNREAD_SECONDS = 300.0
"""How long a client may leave an answer unread."""
STEPS_AT_ONCE = 16
"""After so many steps without a wait the other connections have their turn."""


@dataclass(frozen=True, slots=True)
class ImapServices:
    """What the composition root gives the door."""

    access: Access
    store: MailStore
    lanes: Lanes
    accounts: AccountLanes
    feed: Feed
    clock: Clock
    log: MailLog
    tls: TlsFront | None
    settings: SessionSettings
    sessions_per_mailbox: int = 64
    note: Callable[[str], None] = lambda label: None
    """Told each piece of work as it begins, so that a long pause of the loop can be logged with it."""


class ImapServer:
    """Makes the connections of one process and ends them together."""

    def __init__(self, services: ImapServices, changed: Callable[[int], None] = lambda by: None) -> None:
        """`changed` is told of each connection that begins (+1) or ends (-1)."""
        self.services = services
        self.shelf = Shelf()
        self.open: OpenConnections[ImapConnection] = OpenConnections(changed)
        self.sessions: Counter[int] = Counter()
        """Signed-in sessions by mailbox."""

    def configure(self, services: ImapServices) -> None:
        """Take new settings (SIGHUP); open connections keep what they were greeted with."""
        self.services = services

    def factory(self, *, door: str, implicit_tls: bool = False) -> Callable[[], asyncio.Protocol]:
        """What makes the protocol of each connection at a door."""
        return lambda: ImapConnection(self, door)

    async def drain(self, seconds: float) -> None:
        """BYE to all: at once where nothing is in progress, else after it, and for `seconds` at most."""
        text = Text("Máy chủ tạm ngừng; xin kết nối lại.", "The server is going down; please connect again.")
        for connection in self.open:
            connection.end(text)
        if not await self.open.all_closed(seconds):
            for connection in self.open:
                connection.abort()


class ImapConnection(asyncio.Protocol):
    """One connection. Also the `Desk` at which its session asks what the process has in memory."""

    __slots__ = (
        "_account", "_attended", "_deflate", "_dialog", "_door", "_eof", "_loop", "_lost", "_paused", "_peer", "_reading",
        "_server", "_services", "_session", "_session_id", "_shared_subscription", "_shared_watch", "_signed_in",
        "_subscription", "_task", "_timer", "_timer_at", "_transport", "_unanswered", "_unread", "_waiting", "_watch",
    )  # fmt: skip

    def __init__(self, server: ImapServer, door: str) -> None:
        self._server = server
        self._services = server.services
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._session_id = trace_id(self._services.clock.now_us())
        self._transport: asyncio.Transport
        self._session: Session
        self._peer: Peer
        self._dialog: Dialog | None = None
        self._signed_in: SignedIn | None = None
        self._account: Account | None = None
        self._subscription: Subscription | None = None
        self._watch: Watch[int] | None = None
        self._attended: AccountRef | None = None  # another account than the own one, whose changes are told
        self._shared_subscription: Subscription | None = None
        self._shared_watch: Watch[Pair] | None = None  # of the rights in it
        self._deflate: Deflate | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._unread: asyncio.TimerHandle | None = None  # cuts off a client that does not read what it asked for
        self._waiting: NeedInput | Waiting | None = None  # what the session waits for; None while it has something to do
        self._paused = self._lost = self._eof = False
        self._reading = True
        self._unanswered = False  # nothing was written since the client was last heard

    # ------------------------------------------------------------ the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's TLS transport is none by inheritance
        self._transport.set_write_buffer_limits(high=HIGH_WATER_OCTETS)
        self._peer = self._describe_peer()
        services = self._services
        self._session = Session(
            services.settings, clock=services.clock, shelf=self._server.shelf, desk=self, tls=self._peer.tls is not None
        )
        self._server.open.add(self)
        self._pump()

    def data_received(self, data: bytes) -> None:
        self._unanswered = True
        if self._deflate is None:
            self._session.feed(data)
        elif self._waiting is None:
            self._deflate.hold(data)
            if self._deflate.waiting_octets > UNUSED_INPUT_OCTETS:
                self._stop_reading()
        elif not self._inflate(data):
            return
        if self._session.buffered > UNUSED_INPUT_OCTETS:
            self._stop_reading()
        if self._waiting is not None:
            self._pump()

    def eof_received(self) -> bool:
        """A client that has said all it will still gets its answers (not over TLS, which closes)."""
        self._eof = True
        if self._waiting is None:
            return self._peer.tls is None
        self._transport.close()
        return False

    def pause_writing(self) -> None:
        self._paused = True
        self._unread = self._loop.call_later(CLOSING_SECONDS if self._session.ending else UNREAD_SECONDS, self.abort)

    def resume_writing(self) -> None:
        self._paused = False
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        for timer in (self._timer, self._unread):
            if timer is not None:
                timer.cancel()
        self._give_back()
        if self._task is None:  # else the work in progress ends first: it is not undone
            self._close_session()

    def _give_back(self) -> None:
        """The session is over: nothing is watched for it any more, and the mailbox has room for another."""
        for held in (self._subscription, self._watch, self._shared_subscription, self._shared_watch):
            if held is not None:
                held.close()
        if self._subscription is not None:
            self._subscription = None
            assert self._signed_in is not None
            self._server.sessions[self._signed_in.mailbox_id] -= 1
            if not self._server.sessions[self._signed_in.mailbox_id]:
                del self._server.sessions[self._signed_in.mailbox_id]

    def _close_session(self) -> None:
        self._session.close()
        self._server.open.discard(self)

    # ------------------------------------------------------------ the session's side

    def _pump(self) -> None:
        """Do what the session says until it waits for something, an action takes time, or the client is behind."""
        steps = 0
        while self._task is None and not self._paused and not self._lost and not self._transport.is_closing():
            if steps >= STEPS_AT_ONCE:
                self._loop.call_soon(self._pump)
                return
            step = self._session.next()
            steps += STEPS_AT_ONCE if isinstance(step, Send) and len(step.data) > INLINE_DEFLATE_OCTETS else 1
            match step:
                case NeedInput() | Waiting():
                    self._waiting = step
                    self._arm(step.until)
                    if not self._more_input():
                        if self._unanswered:  # half a command
                            self._unanswered = False
                            acknowledge(self._transport)
                        return
                case Send() if self._deflate is None or len(step.data) <= INLINE_DEFLATE_OCTETS:
                    self._waiting = None
                    self._write(step)
                case Note() | Used() | Attend() | Leave() | DropCompressor() | EndCompression():
                    self._waiting = None
                    self._do_now(step)
                case Hangup():
                    self._hang_up()
                    return
                case _:
                    self._waiting = None
                    if isinstance(step, StartTls):
                        self._transport.pause_reading()
                    self._task = self._loop.create_task(self._carry_out(step))

    def _more_input(self) -> bool:
        """The session wants more: give it what waits to be inflated, else listen again. True if there is something new."""
        if self._deflate is not None and self._deflate.has_more:
            return self._inflate(b"")
        if self._eof:
            self._hang_up()
        elif not self._reading:
            self._reading = True
            self._transport.resume_reading()
        return False

    def _write(self, step: Send) -> None:
        self._transport.write(step.data if self._deflate is None else self._deflate.deflate(step.data))
        self._unanswered = False
        self._session.done(step)

    def _do_now(self, step: Note | Used | Attend | Leave | DropCompressor | EndCompression) -> None:
        """Actions that take no time."""
        match step:
            case Note():
                self._log(step)
            case Used(at, how) if self._signed_in is not None:
                self._used(self._signed_in, self._signed_in.mailbox_id if at is None else at.account_id, how)
            case Attend(at) if self._subscription is not None:
                self._attend(at)
            case Leave():
                self._leave()
            case DropCompressor() if self._deflate is not None:
                self._transport.write(self._deflate.drop())
            case EndCompression() if self._deflate is not None:
                self._session.feed(self._deflate.end())
                self._deflate = None
            case _:
                pass
        self._session.done(step)

    async def _carry_out(self, action: Action) -> None:
        """One action that takes time; then go on. Never cancelled: what has begun on the store ends."""
        try:
            result = await self._perform(action)
        except Exception as error:  # noqa: BLE001 - the session makes an answer of it
            self._session.failed(action, error)
        else:
            self._session.done(action, result)
        self._task = None
        if self._lost:
            self._close_session()
        else:
            self._pump()

    async def _perform(self, action: Action) -> object:
        services, access = self._services, self._services.access
        match action:
            case Work():
                return await self._work(action)
            case Send(data):
                assert self._deflate is not None
                self._transport.write(await services.lanes.cpu(self._deflate.deflate, data))
            case SignIn(user, password):
                return await access.login(user, password, self._peer)
            case Begin(mechanism):
                self._dialog = access.begin(mechanism, self._peer)
            case Answer(response):
                assert self._dialog is not None
                return await self._dialog.step(response)
            case Enter(signed_in):
                return self._enter(signed_in)
            case StartTls():
                await self._start_tls()
            case StartCompression(pending):
                self._deflate = Deflate()
                self._inflate(pending)
            case _:
                raise AssertionError(action)
        return None

    async def _work(self, work: Work[object]) -> object:
        """Run work on the account in its lane; who waits long hears that it goes on."""
        assert self._account is not None
        account = self._account if work.at is None else self._services.store.account(work.at)
        self._services.note(work.run.__qualname__)
        lane = self._services.accounts.write if work.writes else self._services.accounts.read
        if not work.meanwhile:
            return await lane(account.ref, work.run, account)
        timer: asyncio.TimerHandle | None = None

        def still_at_it() -> None:
            nonlocal timer
            if timer is not None and not (self._lost or self._paused or self._transport.is_closing()):
                self._transport.write(work.meanwhile if self._deflate is None else self._deflate.deflate(work.meanwhile))
            timer = self._loop.call_later(PROGRESS_SECONDS, still_at_it)

        still_at_it()
        try:
            return await lane(account.ref, work.run, account)
        finally:
            if timer is not None:
                timer.cancel()

    def _inflate(self, data: bytes) -> bool:
        """Feed the session from compressed input; False if that is damaged, which ends the connection."""
        assert self._deflate is not None
        try:
            self._session.feed(self._deflate.inflate(data))
        except Damaged:
            self._transport.abort()
            return False
        if self._deflate.has_more:
            self._stop_reading()
        return True

    def _enter(self, signed_in: SignedIn) -> bool:
        """Take the account, if it has room for one more session."""
        services, sessions = self._services, self._server.sessions
        if sessions[signed_in.mailbox_id] >= services.sessions_per_mailbox:
            return False
        self._dialog = None
        self._signed_in = signed_in
        if not self._lost:
            sessions[signed_in.mailbox_id] += 1
            self._account = services.store.account(signed_in.account)
            self._subscription = services.feed.subscribe(signed_in.account.account_id, self._noticed)
            self._watch = services.access.watch(signed_in.mailbox_id, self._decision_moved)
        return True

    def _leave(self) -> None:
        """Nobody is signed in any more (RFC 8437): nothing that belongs to the mailbox stays."""
        self._give_back()
        self._dialog = self._signed_in = self._account = None
        self._watch = self._shared_watch = self._shared_subscription = self._attended = None

    def _attend(self, at: AccountRef | None) -> None:
        """Be told of this account's changes beside the own one's, and of what the person may do there."""
        assert self._signed_in is not None
        for held in (self._shared_subscription, self._shared_watch):
            if held is not None:
                held.close()
        self._attended, self._shared_subscription, self._shared_watch = at, None, None
        if at is not None:
            self._shared_subscription = self._services.feed.subscribe(at.account_id, self._noticed_there)
            sharing = self._services.access.sharing
            self._shared_watch = sharing.watch(self._signed_in.mailbox_id, at.account_id, self._rights_moved)

    def _used(self, signed_in: SignedIn, mailbox_id: int, how: str) -> None:
        """A mailbox was opened: of a unit's it is on record by whom (Reg. 12.3.a)."""
        self._services.access.used(mailbox_id)
        if self.on_record(mailbox_id):
            entry = self._services.access.snapshot.entries[mailbox_id]
            self._services.log.event(
                "mailbox_opened", mailbox=entry.address, actor=signed_in.actor, how=how,
                peer=self._peer.address, session=self._session_id,
            )  # fmt: skip

    async def _start_tls(self) -> None:
        """The handshake; what came in clear is thrown away first, and nothing more of it is read."""
        assert self._services.tls is not None
        self._session.discard_input()
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self._services.tls.reader(self),
                self._services.tls.context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
            if transport is None or transport.is_closing():
                raise ConnectionAbortedError
        except OSError:
            self._transport.abort()
            self.connection_lost(None)  # no loop tells its protocol of a connection that is lost in the handshake
            return
        self._transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER_OCTETS)
        self._peer = self._describe_peer()

    # ------------------------------------------------------------ what comes from elsewhere

    def _noticed(self, modseq: int) -> None:
        """The change feed: the account has moved."""
        if self._session.noticed(modseq) and isinstance(self._waiting, Waiting):
            self._pump()

    def _noticed_there(self, modseq: int) -> None:
        """The same of the other account that is attended."""
        if self._session.noticed(modseq, there=True) and isinstance(self._waiting, Waiting):
            self._pump()

    def _decision_moved(self) -> None:
        """The word on the mailbox may have changed: ask, and end if it is no (DESIGN: within seconds)."""
        assert self._signed_in is not None
        answer = self._services.access.recheck(self._signed_in, self._peer)
        if isinstance(answer, Refusal):
            self.end(answer.text)
        else:
            self._signed_in = answer

    def _rights_moved(self) -> None:
        """What the person may do in the account that is attended may have changed: a term ended, a fact came (Reg. 12.3)."""
        assert self._signed_in is not None
        assert self._attended is not None
        answer = self._services.access.recheck_shared(self._signed_in, self._attended.account_id, self._peer)
        if isinstance(answer, Refusal):
            self._session.barred(self._attended.account_id, answer.text)
            self._wake()
        else:
            self._session.rights_moved(self._attended.account_id, answer)

    def end(self, text: Text) -> None:
        """BYE as soon as the session can; a client that is behind with its reading is cut off after a while."""
        self._session.end(text)
        self._wake()

    def _wake(self) -> None:
        """Go on, if the session has to end; what is written and not read by then is waited for no longer."""
        if not self._session.ending:
            return
        if self._waiting is not None:
            self._pump()
        elif self._unread is not None:
            self._unread.cancel()
            self._unread = self._loop.call_later(CLOSING_SECONDS, self.abort)

    def abort(self) -> None:
        self._transport.abort()

    def _hang_up(self) -> None:
        """Close when everything is written, and for CLOSING_SECONDS at most."""
        self._waiting = None
        self._give_back()
        self._transport.close()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(CLOSING_SECONDS, self.abort)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()

    # ------------------------------------------------------------ time

    def _arm(self, until: float) -> None:
        """Wake the session at `until`; an earlier timer stays, since it only makes the session look at the clock once more."""
        if self._timer is not None:
            if self._timer_at <= until:
                return
            self._timer.cancel()
        self._timer_at = until
        self._timer = self._loop.call_later(max(0.0, until - self._services.clock.monotonic()) + 0.001, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._waiting is not None:
            self._pump()

    # ------------------------------------------------------------ the desk

    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms to offer on this connection as it is now."""
        return self._services.access.mechanisms(self._peer)

    def quota_octets(self, mailbox_id: int) -> int | None:
        """How much a mailbox may hold."""
        entry = self._services.access.snapshot.entry(mailbox_id)
        return None if entry is None else entry.quota_octets

    def hidden(self, mailbox_id: int) -> frozenset[str]:
        """Capabilities that this mailbox is not offered."""
        entry = self._services.access.snapshot.entry(mailbox_id)
        return frozenset() if entry is None else entry.capabilities_hidden

    def shared(self, mailbox_id: int) -> Mapping[str, Shared]:
        """What its owner may use beside it now."""
        return self._services.access.sharing.of(mailbox_id)

    def holders(self, mailbox_id: int) -> Mapping[str, str]:
        """Who else may use it now."""
        return self._services.access.sharing.holders(mailbox_id)

    def on_record(self, mailbox_id: int) -> bool:
        """Whether it is a unit's or a group's."""
        entry = self._services.access.snapshot.entry(mailbox_id)
        return entry is not None and entry.kind is not MailboxKind.PERSONAL

    # ------------------------------------------------------------ who, and the log

    def _describe_peer(self) -> Peer:
        address, port = (self._transport.get_extra_info("peername") or ("", 0))[:2]
        local_port = (self._transport.get_extra_info("sockname") or ("", 0))[1]
        return Peer(str(address), int(port), int(local_port), "imap", self._describe_tls(), self._session_id)

    def _describe_tls(self) -> TlsInfo | None:
        session = self._transport.get_extra_info("ssl_object")
        if session is None:
            return None
        cipher = session.cipher()
        bindings = self._services.tls.bindings(session) if self._services.tls is not None else {}
        return TlsInfo(session.version() or "", cipher[0] if cipher else "", bindings)

    def _log(self, note: Note) -> None:
        own = self._signed_in.address if self._signed_in is not None else None
        mailbox = note.fields.get("mailbox", own)
        actor = own if mailbox != own else None
        fields = {**note.fields, "mailbox": mailbox, "actor": actor}
        trace = "".join(traceback.format_exception(note.error)) if note.error is not None else None
        self._services.log.event(note.event, **fields, peer=self._peer.address, session=self._session_id, trace=trace)
