"""A connection on the network, around a `session` of any protocol.

Reads when the session can take more, writes when the client has taken the earlier output, and carries out one action at a
time: work on the store in the account's executors, sign-in through `services.authentication.sign_in`, TLS. Decides
nothing: limits, answers and the order of things are the session's. Flow control bounds the cost of a client: reading
stops at 64 KiB of unused input, and the session is not asked for more output while the transport is above its high water.

A connection without a command in progress has no task: its state is the session and one timer. A protocol derives its own
classes from `Server` and `Connection`, and adds its own actions to `_do_now` and `_perform`.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, cast

from mic_mail import eager_task
from mic_mail.connection import peer
from mic_mail.connection.actions import (
    Action,
    Answer,
    Begin,
    BindAccount,
    Hangup,
    LogEvent,
    NeedInput,
    Pause,
    RecordActivity,
    Send,
    SignIn,
    StartTls,
    Work,
)
from mic_mail.connection.process_host import ProcessHost
from mic_mail.connection.server import GOING_DOWN, ServedConnection, Server
from mic_mail.connection.session_core import Session
from mic_mail.connection.slow_reader import SlowReader
from mic_mail.errors import Text
from mic_mail.net.proxy_protocol import ClientAddress
from mic_mail.net.tcp_ack import acknowledge, is_sent, outstanding, reset
from mic_mail.policy.facts import MailboxKind
from mic_mail.services.authentication.identity import SignedIn
from mic_mail.services.authentication.refusals import Refusal, RefusalKind
from mic_mail.services.authentication.sasl_exchange import SaslExchange
from mic_mail.services.authentication.watches import Watch
from mic_mail.storage.mailstore import Account

UNUSED_INPUT_OCTETS = 64 << 10
"""Octets of unused input, beyond which reading is paused."""
HIGH_WATER_OCTETS = 256 << 10
MOST_OUTSTANDING_OCTETS = 64 << 10
"""Unread octets of a client whose access ends, beyond which it is cut without a goodbye.

It would receive all of them first.
"""
LARGE_OCTETS = 32 << 10
"""Octets of writes that take a turn, in one or several."""
HANDSHAKE_SECONDS = 30.0
CLOSING_SECONDS = 10.0
"""Seconds in which a client has to read its goodbye."""
STEPS_AT_ONCE = 16
"""Steps without a wait, after which the other connections have their turn."""
LAST_WORD_SECONDS = 1.0
"""Seconds in which a client that is evicted, or has been sent everything, may read its goodbye."""
NO_ROOM = Text(
    "Máy chủ hết chỗ cho kết nối chưa đăng nhập; đề nghị thử lại sau.",
    "Too many connections without a sign-in; please try again later.",
)


def _name_of(run: Callable[..., object]) -> str:
    """Return the name of a function, also of one whose arguments are bound."""
    while isinstance(run, partial):
        run = run.func
    return run.__qualname__


class _WorkResult:
    """Takes the result of work on the store (`process.executors.Receiver`).

    A task that awaits it would cost two more turns of the loop.
    """

    __slots__ = ("_connection", "_work")

    def __init__(self, connection: "Connection", work: Work[object]) -> None:
        self._connection = connection
        self._work = work

    def cancelled(self) -> bool:
        return False

    def set_result(self, result: object, /) -> None:
        self._connection._end_work(self._work, result, None)

    def set_exception(self, exception: BaseException, /) -> None:
        self._connection._end_work(self._work, None, exception)


class Connection(ServedConnection, ProcessHost):
    """One connection; also the host that its session asks for what the process has in memory."""

    __slots__ = (
        "__weakref__", "_account", "_client", "_door", "_eof", "_exchange", "_in_progress", "_loop", "_lost", "_paused",
        "_reading", "_server", "_session", "_slow_reader", "_timer", "_timer_at", "_transport", "_unanswered", "_waiting",
        "_watch",
    )  # fmt: skip

    UNREAD_SECONDS: ClassVar[float]
    """Seconds in which a client has to take something of a response."""
    ENDING_CODES: ClassVar[Mapping[RefusalKind, bytes]] = {}
    """Codes sent besides the text when a session is ended from outside."""

    def __init__(self, server: Server, door: str, client: ClientAddress | None = None) -> None:
        ProcessHost.__init__(self, server.services)
        self._server = server
        self._door = door
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._session: Session
        self._exchange: SaslExchange | None = None
        self._account: Account | None = None
        self._watch: Watch[int] | None = None
        self._in_progress: object | None = None  # the task or the work that carries out an action now
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._slow_reader: SlowReader | None = None
        self._waiting: NeedInput | None = None  # the input that the session waits for; None while it has something to do
        self._paused = self._lost = self._eof = False
        self._reading = True
        self._unanswered = False  # nothing was written since the last input

    @abstractmethod
    def _new_session(self) -> Session:
        """Return the session of a new connection; it may hold its host only weakly (`_session_host`)."""

    # ------------------------------------------------------------ transport callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._take(cast("asyncio.Transport", transport))  # uvloop's TLS transport is none by inheritance
        self._session = self._new_session()
        self._server.open.add(self)
        if self._server.draining:
            self._session.end(GOING_DOWN, self.ENDING_CODES.get(RefusalKind.UNAVAILABLE, b""))
        self._pump()

    def _take(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER_OCTETS)
        self._peer = peer.describe(transport, self._client, self._door, self._services.tls, self._session_id)

    def data_received(self, data: bytes) -> None:
        self._services.measure_lag()
        self._unanswered = True
        self._session.feed(data)
        if self._session.buffered > UNUSED_INPUT_OCTETS:
            self._stop_reading()
        if self._waiting is not None:
            self._pump()

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Keep answering a client that has closed its half (not over TLS, which closes)."""
        self._eof = True
        if self._waiting is None:
            return self._peer.tls is None
        self._hang_up()
        return False

    def pause_writing(self) -> None:
        self._paused = True
        self._slow_reader = SlowReader(self._transport, self._session, self._services.runtime.clock, self.UNREAD_SECONDS)
        if self._session.ending:
            self._slow_reader.cut_after(CLOSING_SECONDS)

    def resume_writing(self) -> None:
        self._paused = False
        if self._slow_reader is not None:
            self._slow_reader.cancel()
            self._slow_reader = None
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        for timer in (self._timer, self._slow_reader):
            if timer is not None:
                timer.cancel()
        self._paused = False
        self._give_back()
        self._pump()

    def _give_back(self) -> None:
        """Release the session's watch and its place among the mailbox's sessions."""
        if self._watch is not None:
            self._server.open.sign_out(self)
            self._watch.close()
            self._watch = None
            assert self._signed_in is not None
            sessions, mailbox_id = self._server.sessions, self._signed_in.mailbox_id
            sessions[mailbox_id] -= 1
            if not sessions[mailbox_id]:
                del sessions[mailbox_id]

    # ------------------------------------------------------------ running the session

    def _pump(self) -> None:
        """Run the session until it waits for input, an action takes time, or the client is behind."""
        steps = 0
        while (
            self._in_progress is None
            and not self._paused
            and (not (self._lost or self._transport.is_closing()) or self._session.must_finish)
        ):
            if steps >= STEPS_AT_ONCE:
                self._loop.call_soon(self._pump)
                return
            step = self._session.next()
            if isinstance(step, NeedInput):
                if self._await_input(step):
                    return
                steps += 1
                continue
            octets = len(step.data) if isinstance(step, Send) else 0
            steps += STEPS_AT_ONCE if isinstance(step, Pause) else 1 + octets * STEPS_AT_ONCE // LARGE_OCTETS
            self._waiting = None
            if isinstance(step, Hangup):
                if self._lost:
                    break
                self._hang_up()
                return
            if self._do_now(step):
                self._session.done(step)
                then = step.then if isinstance(step, Send) else None
                if then is not None and not (self._paused or self._transport.is_closing()) and self._await_input(then):
                    return
                continue
            if isinstance(step, BindAccount):
                self._bind(step)
                continue
            if isinstance(step, Work):
                try:
                    self._in_progress = self._begin_work(step)
                except Exception as error:  # noqa: BLE001 - the session makes an answer of it
                    self._session.failed(step, error)
            else:
                self._begin_task(step)
        if self._lost and self._in_progress is None:  # else the work in progress ends first: it is not undone
            self._session.close()
            self._closed()
            self._server.open.discard(self)

    def _begin_task(self, step: Action) -> None:
        """Begin an action that takes time, in a task; it may end at once, as a sign-in with a known password does."""
        if isinstance(step, StartTls):
            self._transport.pause_reading()
            self._in_progress = self._loop.create_task(self._carry_out(step))
            return
        self._in_progress = step
        task = eager_task.begin(self._carry_out(step), self._loop)
        if self._in_progress is step:
            self._in_progress = task

    def _await_input(self, step: NeedInput) -> bool:
        """Let the session wait; return False if input that was held back has been fed to it instead."""
        self._waiting = step
        self._arm(step.until)
        if self._has_more():
            return False
        self._listen()
        return True

    def _closed(self) -> None:
        """Handle the end of the session."""

    def _has_more(self) -> bool:
        """Feed input that was held back from the session; return False if there is none."""
        return False

    def _listen(self) -> None:
        """Resume reading: the session needs input that has not come yet."""
        if self._eof:
            self._hang_up()
        elif not self._reading:
            self._reading = True
            self._transport.resume_reading()
        if self._unanswered:  # half a command
            self._unanswered = False
            acknowledge(self._transport)

    def _do_now(self, step: Action) -> bool:
        """Carry out an action that takes no time and has no result; return False if it is another one."""
        match step:
            case Send(data):
                self._write(data)
            case LogEvent():
                self._log(step)
            case Pause():
                pass
            case RecordActivity(account, how):
                if self._signed_in is not None:
                    self._used(self._signed_in, self._signed_in.mailbox_id if account is None else account.account_id, how)
            case _:
                return False
        return True

    def _write(self, data: bytes) -> None:
        if not self._lost:
            self._transport.write(data)
        self._unanswered = False

    async def _carry_out(self, action: Action) -> None:
        """Carry out one action that takes time, and go on.

        It is never cancelled: work that has begun on the store ends.
        """
        try:
            result = await self._perform(action)
        except Exception as error:  # noqa: BLE001 - the session makes an answer of it
            self._session.failed(action, error)
        else:
            self._session.done(action, result)
        has_ended_at_once = self._in_progress is action
        self._in_progress = None
        if not has_ended_at_once:  # else the pump that has begun it goes on
            self._pump()

    def _begin_work(self, work: Work[object]) -> object:
        """Begin work on the store; `_end_work` follows on the loop. It is never cancelled, either."""
        account = self._account_of(work)
        self._services.note(_name_of(work.run))
        result = _WorkResult(self, work)
        run = partial(work.run, account)
        self._services.runtime.account_executors.start(account.ref, run, result, writes=work.writes)
        return result

    def _account_of(self, work: Work[object]) -> Account:
        assert self._account is not None
        return self._account

    def _end_work(self, work: Work[object], result: object, error: BaseException | None) -> None:
        """Give the result of work to the session, or the error, and go on."""
        if error is None:
            self._session.done(work, result)
        else:
            self._session.failed(work, error)
        self._in_progress = None
        self._pump()

    async def _perform(self, action: Action) -> object:
        access = self._services.access
        match action:
            case SignIn(user, password):
                return await access.login(user, password, self._peer)
            case Begin(mechanism):
                self._exchange = SaslExchange(access, mechanism, self._peer)
            case Answer(response):
                assert self._exchange is not None
                return await self._exchange.step(response)
            case StartTls():
                await self._start_tls()
            case _:
                raise AssertionError(action)
        return None

    def _bind(self, action: BindAccount) -> None:
        """Bind the session to its account: that takes no time, but has a result."""
        try:
            is_bound = self._enter(action.signed_in)
        except Exception as error:  # noqa: BLE001 - the session makes an answer of it
            self._session.failed(action, error)
        else:
            self._session.done(action, is_bound)

    def _enter(self, signed_in: SignedIn) -> bool:
        services, sessions = self._services, self._server.sessions
        if sessions[signed_in.mailbox_id] >= services.sessions_per_mailbox:
            return False
        self._exchange = None
        self._signed_in = signed_in
        entry = services.access.snapshot.entry(signed_in.mailbox_id)
        personal = entry is None or entry.kind is MailboxKind.PERSONAL
        self._account = services.store.account(signed_in.account, None if personal else signed_in.address)
        if not self._lost:
            sessions[signed_in.mailbox_id] += 1
            self._server.open.sign_in(self)
            self._watch = services.access.watch(signed_in.mailbox_id, self._decision_moved, signed_in.decision)
        return True

    async def _start_tls(self) -> None:
        self._session.discard_input()
        tls = self._services.tls
        try:
            transport = await self._loop.start_tls(
                self._transport,
                tls.reader(self),
                tls.context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
            if transport is None or transport.is_closing():
                raise ConnectionAbortedError
        except OSError:
            self._transport.abort()
            self.connection_lost(None)  # no loop notifies the protocol of a connection lost in the handshake
            return
        self._take(transport)

    # ------------------------------------------------------------ external events

    def _decision_moved(self) -> None:
        """Check the access again after a possible change, and end the session if it is revoked.

        This happens within seconds of the change.
        """
        assert self._signed_in is not None
        if self._session.ending or self._transport.is_closing():
            return  # ended already, with the reason: once
        answer = self._services.access.recheck(self._signed_in, self._peer)
        if isinstance(answer, Refusal):
            if not self._reset_if_behind():
                self.end(answer.text, answer.kind)
        else:
            self._signed_in = answer

    def _reset_if_behind(self) -> bool:
        """Cut a client that lost a right and has not taken its output.

        The kernel may hold 4 MB of mail for it.
        """
        if outstanding(self._transport) <= MOST_OUTSTANDING_OCTETS:
            return False
        reset(self._transport)
        return True

    def end(self, text: Text, why: RefusalKind) -> None:
        """End as soon as the session can; a client that is behind with its reading is cut after a while."""
        self._session.end(text, self.ENDING_CODES.get(why, b""))
        self._go_on_ending()

    @property
    def address(self) -> str:
        """The peer's address."""
        return self._peer.address

    def evict(self) -> bool:
        """Give up the place: say goodbye, if that is possible now, and end."""
        self._server.open.discard(self)
        self.end(NO_ROOM, RefusalKind.UNAVAILABLE)
        self._loop.call_later(LAST_WORD_SECONDS, self.abort)
        return True

    def _go_on_ending(self) -> None:
        """Let the session end; stop waiting for a client that does not read."""
        if self._waiting is not None:
            self._pump()
        elif self._slow_reader is not None:
            self._slow_reader.cut_after(CLOSING_SECONDS)

    def abort(self) -> None:
        """Close now, whatever is unsent."""
        self._transport.abort()

    def _hang_up(self) -> None:
        """Close when everything is written, within CLOSING_SECONDS."""
        self._waiting = None
        self._give_back()
        self._transport.close()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(LAST_WORD_SECONDS, self._cut_unless_behind)

    def _cut_unless_behind(self) -> None:
        """Abort where only the client's TLS close_notify is missing: it may be gone, and a shutdown would wait for it."""
        seconds = 0.0 if is_sent(self._transport) else CLOSING_SECONDS - LAST_WORD_SECONDS
        self._timer = self._loop.call_later(seconds, self.abort)

    # ------------------------------------------------------------ timers

    def _arm(self, until: float) -> None:
        """Wake the session at `until`.

        An earlier timer stays, since it only causes one more check of the time.
        """
        if self._timer is not None:
            if self._timer_at <= until:
                return
            self._timer.cancel()
        self._timer_at = until
        self._timer = self._loop.call_later(max(0.0, until - self._services.runtime.clock.monotonic()) + 0.001, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._waiting is not None:
            self._pump()
