"""Putting messages into mailboxes: one message into one mailbox at once, or an entry of the spool into each of its mailboxes.

In: messages with their trace header in front, and whose they are. Out: each is durable and visible, or the store's error.
Small messages go in waves: what has come while the last wave was written is published together, whatever its mailboxes, by one
thread. A mailbox that somebody else is writing, or whose index has to be read from the disk first, holds no wave up: its
messages wait for its turn, together. Nobody waits for ever. What happens in the threads is in delivery_worker.py.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

from mic_mail.clock import Clock
from mic_mail.directory.snapshot import Entry as Mailbox
from mic_mail.errors import MicMailError
from mic_mail.log.error_fields import described, failure
from mic_mail.log.maillog import MailLog, stamp
from mic_mail.mime.imap_structure import Answers, answers, most_octets
from mic_mail.mime.scanner import Scanner
from mic_mail.process.executors import AccountExecutors, Executors
from mic_mail.queue.spool import ELSEWHERE, SpoolEnvelope, Target
from mic_mail.queue.spool import Entry as SpoolEntry
from mic_mail.services.queue.local_dsn import ReportDecision, SpoolReports
from mic_mail.services.transport.delivery_worker import DeliveryWorker, LocalDelivery, Outcome, PendingDelivery, account_ref
from mic_mail.services.transport.envelope import Cause
from mic_mail.storage.errors import Busy, Unavailable
from mic_mail.storage.journal.journal import CLOSE_SECONDS
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.types import Published, Staged

MAX_TOGETHER = 50
"""Messages in one publication: bounds how long an account's lock is held, and how long one wave keeps the next waiting."""
GATHER_SECONDS, GATHER_TIMES = 0.001, 5
"""How long a wave waits for more, and how often: at 50 sessions waves of 5 become waves of 12, and a fifth more pass."""
GATHER_FROM = 5
"""Smaller waves do not wait: where few send, everybody's next message would come later for it."""
MOST_WAITING = 2_000
MOST_WAITING_OCTETS = 256 << 20
"""Small messages in memory that wait, and their octets with what their headers may say in the index; beyond either 451."""
SCAN_OCTETS = 1 << 18


class LocalDeliverer:
    """The way of messages into the mailboxes of one process."""

    def __init__(
        self,
        store: MailStore,
        lanes: Executors,
        accounts: AccountExecutors,
        log: MailLog,
        clock: Clock,
        *,
        arrived: Callable[[int], None],
        why_not: Callable[[Mailbox], Cause | None],
        reports: SpoolReports,
    ) -> None:
        """`arrived` hears, on the loop, of each mailbox that a message came into; `refusal_reason`: why a mailbox receives
        nothing."""
        self._reports = reports
        self._why_not = why_not
        self._store = store
        self._arrived = arrived
        self._lanes = lanes
        self._accounts = accounts
        self._log = log
        self._clock = clock
        self._posting = DeliveryWorker(store, log)
        self._wave: deque[PendingDelivery] = deque()
        self._riding = False
        self._settling = False
        self._waiting = 0
        self._waiting_octets = 0
        self._last_wave_at = -math.inf
        self._queues: dict[int, deque[PendingDelivery]] = {}
        self._errands: set[asyncio.Task[object]] = set()

    # ------------------------------------------------------------ small messages

    async def small(
        self,
        parcel: LocalDelivery,
        octets: bytes,
        answered: Answers | None = None,
        *,
        passed_over: Callable[[], None] = lambda: None,
    ) -> Published:
        """A whole message for one mailbox, scanned already where there is `answered`. One whose caller has gone before its turn
        is not delivered, which `passed_over` hears."""
        weight = len(octets) + most_octets(len(octets))
        if self._waiting >= MOST_WAITING or self._waiting_octets + weight > MOST_WAITING_OCTETS:
            raise Unavailable(f"{self._waiting} messages wait")
        loop = asyncio.get_running_loop()
        waiting = PendingDelivery(parcel, octets, loop.create_future(), answered=answered)
        if parcel.mailbox.mailbox_id in self._queues or not self._store.is_warm(account_ref(parcel.mailbox)):
            self._queue(waiting)
        else:
            self._wave.append(waiting)
            if not self._riding:
                self._riding = True
                self._start(self._run_batches())
        deadline = loop.call_later(self._lanes.patience, self._give_up, waiting)
        self._waiting += 1
        self._waiting_octets += weight
        try:
            published = await waiting.future
        except asyncio.CancelledError:
            if not waiting.begun:
                passed_over()
            raise
        finally:
            self._waiting -= 1
            self._waiting_octets -= weight
            deadline.cancel()
        self._arrived(parcel.mailbox.mailbox_id)
        return published

    def _give_up(self, waiting: PendingDelivery) -> None:
        """Its turn has not come in time: the disk hangs, or somebody keeps its mailbox. What has begun ends as it ends."""
        if not waiting.begun:
            _answer(waiting.future, Unavailable(f"waited {self._lanes.patience:g} s"))

    async def _run_batches(self) -> None:
        """Publish what waits, wave by wave, until nothing does."""
        try:
            while self._wave:
                await self._coalesce()
                if not (batch := _take(self._wave)):
                    continue
                results: Sequence[Outcome]
                try:
                    results = await self._lanes.delivery(self._posting.publish_batch, batch, by_journal=self._is_busy(batch))
                except Exception as error:  # noqa: BLE001 - a defect of ours: everybody hears of it
                    results = [error] * len(batch)
                    await self._lanes.io(self._posting.discard, batch)
                for waiting, result in zip(batch, results, strict=True):
                    if isinstance(result, Busy):
                        waiting.begun = False
                        self._queue(waiting)
                    else:
                        _answer(waiting.future, result)
                self.look_at_journal()
        finally:
            self._riding = False

    def _is_busy(self, batch: Sequence[PendingDelivery]) -> bool:
        """Whether messages come so closely that the journal should hold them; one alone is durable by its own file."""
        now = asyncio.get_running_loop().time()
        is_close, self._last_wave_at = now - self._last_wave_at < CLOSE_SECONDS, now
        return is_close or len(batch) > 1

    async def _coalesce(self) -> None:
        """Let the wave grow while more keep coming."""
        for _ in range(GATHER_TIMES):
            size = len(self._wave)
            if not GATHER_FROM <= size < MAX_TOGETHER:
                return
            await asyncio.sleep(GATHER_SECONDS)
            if len(self._wave) == size:
                return

    def look_at_journal(self) -> None:
        """Something went into the journal: if it is full now, make room in it."""
        if self._store.journal_is_full and not self._settling:
            self._settling = True
            self._start(self._settle_journal())

    async def _settle_journal(self) -> None:
        """Make room in the journal at once; the duty that does it every few seconds would come too late."""
        try:
            await settle_journal(self._store, self._lanes, self._log)
        finally:
            self._settling = False

    def _queue(self, waiting: PendingDelivery) -> None:
        """Let it wait for the mailbox's turn."""
        mailbox = waiting.parcel.mailbox
        queue = self._queues.get(mailbox.mailbox_id)
        if queue is None:
            queue = self._queues[mailbox.mailbox_id] = deque([waiting])
            self._start(self._empty(queue, mailbox))
        else:
            queue.append(waiting)

    async def _empty(self, queue: deque[PendingDelivery], mailbox: Mailbox) -> None:
        """Publish what waits for one mailbox until nothing does."""
        batch: list[PendingDelivery] = []

        def publish() -> Sequence[Outcome]:
            batch.extend(_take(queue, self._posting.discard))  # in the lane: what has come by then
            return self._posting.alone(batch)

        try:
            while queue:
                batch.clear()
                results: Sequence[Outcome]
                try:
                    results = await self._accounts.write(account_ref(mailbox), publish)
                except Exception as error:  # noqa: BLE001 - the turn did not come, or the store failed: everybody hears it
                    batch.extend(() if batch else queue)
                    queue.clear()
                    results = [error] * len(batch)
                    await self._lanes.io(self._posting.discard, batch)
                for waiting, result in zip(batch, results, strict=True):
                    _answer(waiting.future, result)
        finally:
            del self._queues[mailbox.mailbox_id]

    # ------------------------------------------------------------ large messages

    async def stage(self, mailbox: Mailbox) -> Staged:
        """Room for a message that comes in slices."""
        return await self._lanes.io(self._store.account(account_ref(mailbox)).stage)

    async def staged(self, parcel: LocalDelivery, staged: Staged, answered: Answers) -> Published:
        """Publish a message whose file is finished."""
        account = self._store.account(account_ref(parcel.mailbox))
        published = await self._accounts.write(account.ref, self._posting.one, account, parcel, staged, answered)
        self._arrived(parcel.mailbox.mailbox_id)
        return published

    # ------------------------------------------------------------ entries of the spool

    def fan_out(
        self,
        entry: SpoolEntry,
        parcels: Sequence[LocalDelivery],
        answered: Answers | None,
        *,
        send_on: Callable[[SpoolEntry], Awaitable[None]],
        doubtful: bool = False,
    ) -> None:
        """Deliver an entry to the mailboxes that do not have it yet, beside whatever the caller does next.

        `send_on` does what is to be done for targets elsewhere; when it returns that is durable, and it may be asked again.
        `doubtful`: somebody was killed while delivering it. The store knows what it has by origin, but an index that was lost
        since (deleted, or its last commits in a power loss) has forgotten, so the files themselves are asked first.
        """
        by_mailbox = {parcel.mailbox.mailbox_id: parcel for parcel in parcels}
        self._start(self._fan_out(entry, by_mailbox, answered, send_on, doubtful))

    async def _fan_out(
        self,
        entry: SpoolEntry,
        parcels: Mapping[int, LocalDelivery],
        answered: Answers | None,
        send_on: Callable[[SpoolEntry], Awaitable[None]],
        doubtful: bool,
    ) -> None:
        try:
            elsewhere = [target for target in entry.open_targets if target.mailbox_id == ELSEWHERE]
            hurdles = await self._hand_all_over(entry, parcels, answered, doubtful)
            if elsewhere:
                hurdles[ELSEWHERE] = await self._delay_reason(send_on(entry))
            outcomes = [(target, hurdles[target.mailbox_id]) for target in entry.open_targets]
            weighed = await self._reports.weigh(entry, outcomes, doubtful=doubtful)
            for target, hurdle in outcomes:
                if hurdle is not None and target in weighed.given_up:
                    self._log_given_up(entry.slip, target, parcels.get(target.mailbox_id), hurdle)
            await self._lanes.io(self._settle_entry, entry, outcomes, weighed)
            for target, hurdle in outcomes:
                if hurdle is not None and target not in weighed.given_up:
                    self._log_deferred(entry.slip, target, parcels.get(target.mailbox_id), hurdle)
            await self._reports.bring(weighed.told)
        except Exception as error:  # noqa: BLE001 - the entry is durable: recovery takes it up again
            self._log.event("spool_entry_waits", trace=entry.slip.trace_id, **failure(error))
        finally:
            entry.release()

    async def _hand_all_over(
        self, entry: SpoolEntry, parcels: Mapping[int, LocalDelivery], answered: Answers | None, doubtful: bool
    ) -> dict[int, str | None]:
        """To the mailboxes here, each once whatever addresses lead to it: what was in the way of each."""
        here = list(dict.fromkeys(target.mailbox_id for target in entry.open_targets if target.mailbox_id != ELSEWHERE))
        if not here:
            return {}
        try:
            known = answered or await self._scanned_file(entry)
        except OSError as error:  # the disk does not give the message back: nobody can have it now
            self._log.event("spool_entry_waits", trace=entry.slip.trace_id, **failure(error))
            return dict.fromkeys(here, type(error).__name__)
        hurdles = await asyncio.gather(*(self._hand_over(entry, one, parcels, known, doubtful) for one in here))
        return dict(zip(here, hurdles, strict=True))

    def _settle_entry(self, entry: SpoolEntry, outcomes: Sequence[tuple[Target, str | None]], weighed: ReportDecision) -> None:
        """A try is over. Who is killed after this leaves nothing that would be delivered, and told of, once more."""
        self._log.flush()
        over = {target.mailbox_id for target, hurdle in outcomes if hurdle is None or target in weighed.given_up}
        entry.settle(sorted(over), now_us=self._clock.steady_us(), told=weighed.told, warned=weighed.warned)

    async def _scanned_file(self, entry: SpoolEntry) -> Answers:
        """What the index keeps about a message that an earlier process took in."""
        scanner = Scanner()
        with open(entry.path, "rb", buffering=0) as file:  # noqa: ASYNC230 - opening does not wait; reading is in the lane
            while octets := await self._lanes.io(file.read, SCAN_OCTETS):
                await self._lanes.cpu(scanner.feed, octets)
        return await self._lanes.cpu(lambda: answers(scanner.finish()))

    async def _hand_over(
        self, entry: SpoolEntry, mailbox_id: int, parcels: Mapping[int, LocalDelivery], answered: Answers, doubtful: bool
    ) -> str | None:
        """Settle one mailbox, or why that is not possible yet: full, locked, no room. One's hurdle is not the others'."""
        parcel = parcels.get(mailbox_id)
        return "NoMailbox" if parcel is None else await self._delay_reason(self._link(entry, parcel, answered, doubtful))

    async def _link(self, entry: SpoolEntry, parcel: LocalDelivery, answered: Answers, doubtful: bool) -> str | None:
        account = self._store.account(account_ref(parcel.mailbox))
        if doubtful and await self._accounts.write(account.ref, account.is_delivered, entry.path):
            self._log_found(entry.slip, parcel)
            return None
        if (cause := self._why_not(parcel.mailbox)) is not None:  # it waited, and the mailbox was reclaimed meanwhile
            return cause
        staged = await self._lanes.io(account.stage_link, entry.path)
        try:
            await self.staged(parcel, staged, answered)
        except Unavailable:  # its turn has not come: nobody has seen the link
            await self._lanes.io(staged.discard)
            raise
        return None

    async def _delay_reason(self, settling: Awaitable[str | None]) -> str | None:
        """What is in the way of one target; the others have it all the same."""
        try:
            return await settling
        except MicMailError as error:
            return type(error).__name__
        except Exception as error:  # noqa: BLE001 - a defect of ours or of the store: this one waits
            return repr(error)

    def _log_found(self, slip: SpoolEnvelope, parcel: LocalDelivery) -> None:
        """Whoever delivered it was killed, perhaps before the log had it."""
        self._log.event(
            "delivery_found", trace=slip.trace_id, mailbox=parcel.mailbox.address, recipient=parcel.recipient.address
        )

    def _log_given_up(self, slip: SpoolEnvelope, target: Target, parcel: LocalDelivery | None, hurdle: str) -> None:
        """Before it is so: nothing ends without a word (Reg. 4.2)."""
        self._log.event(
            "delivery_given_up",
            trace=slip.trace_id,
            sender=slip.sender,
            mailbox=parcel.mailbox.address if parcel else None,
            recipient=target.address,
            reason=hurdle,
            attempts=slip.attempts + 1,
        )

    def _log_deferred(self, slip: SpoolEnvelope, target: Target, parcel: LocalDelivery | None, hurdle: str) -> None:
        self._log.event(
            "delivery_deferred",
            trace=slip.trace_id,
            mailbox=parcel.mailbox.address if parcel else None,
            recipient=target.address,
            reason=hurdle,
            attempts=slip.attempts,
            next_try=stamp(slip.next_try_us),
        )

    # ------------------------------------------------------------ errands

    def _start(self, errand: Coroutine[object, object, object]) -> None:
        task = asyncio.get_running_loop().create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        while self._errands:
            await asyncio.wait(list(self._errands))


async def settle_journal(store: MailStore, lanes: Executors, log: MailLog) -> None:
    """Make durable in its own place what the journal holds long enough. What the disk said to it is told, once."""
    try:
        await lanes.io(store.settle_journal)
    except Unavailable as error:  # from now on each message is durable by its own file
        log.event("journal_failed", error=described(error))


def _take(
    queue: deque[PendingDelivery], discard: Callable[[Sequence[PendingDelivery]], None] = lambda gone: None
) -> list[PendingDelivery]:
    """The next ones, of those for whom somebody still waits; the others are passed over, and their files discarded."""
    batch: list[PendingDelivery] = []
    gone: list[PendingDelivery] = []
    while queue and len(batch) < MAX_TOGETHER:
        waiting = queue.popleft()
        waiting.begun = not waiting.future.done()
        (batch if waiting.begun else gone).append(waiting)
    discard(gone)
    return batch


def _answer(future: "asyncio.Future[Published]", result: Published | BaseException) -> None:
    if future.done():  # nobody waits any more
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
