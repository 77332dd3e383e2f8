"""Delivery into local mailboxes: a single message, or a spool entry into each of its mailboxes.

In: messages with their trace header in front, and their mailboxes. Out: each is durable and visible, or the store's
error. Small messages that arrived while the last batch was written are published together by one thread, whichever
mailboxes they are for. A mailbox that another writer holds, or whose index must first be read from disk, does not delay
a batch: its messages wait together for its turn. Every wait has a deadline.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

from mic_mail.directory.snapshot import Entry as Mailbox
from mic_mail.errors import MicMailError
from mic_mail.log.error_fields import described, failure
from mic_mail.log.maillog import stamp
from mic_mail.mime.imap_structure import Answers, answers, most_octets
from mic_mail.mime.scanner import Scanner
from mic_mail.process.background_tasks import BackgroundTasks
from mic_mail.process.backoff import Backoff
from mic_mail.process.runtime import Runtime
from mic_mail.queue.spool import ELSEWHERE, SpoolEntry, SpoolEnvelope, SpoolTarget
from mic_mail.services.queue.inbound_dsn import InboundReports, ReportDecision
from mic_mail.services.transport.delivery_worker import DeliveryWorker, LocalDelivery, PendingDelivery
from mic_mail.services.transport.envelope import Cause
from mic_mail.storage.delivery import StagedContent
from mic_mail.storage.errors import Busy, Overloaded, Unavailable
from mic_mail.storage.journal.journal import CLOSE_SECONDS
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.types import AccountRef, Published

MAX_BATCH = 50
"""Messages in one publication: bounds how long an account's lock is held and a batch delays the next."""
GATHER_SECONDS, GATHER_TIMES = 0.002, 5
"""The pause in which a batch waits for more messages, and the maximum number of such pauses."""
GATHER_SECONDS_PER_OCTET = 0.003 / 102_400
"""The growth of the pause with each octet of the first message.

Larger messages take longer to receive and to check.
"""
MOST_WAITING = 2_000
MOST_WAITING_OCTETS = 256 << 20
"""Small messages waiting in memory, with the index data of their headers; beyond that the client gets 451."""
SCAN_OCTETS = 1 << 18


class LocalDeliverer:
    """Delivers messages into mailboxes for one process."""

    def __init__(
        self,
        runtime: Runtime,
        store: MailStore,
        *,
        arrived: Callable[[int], None],
        why_not: Callable[[Mailbox], Cause | None],
        reports: InboundReports,
    ) -> None:
        """`arrived` is called on the loop with each mailbox that received a message.

        `why_not` returns why a mailbox receives nothing, or None.
        """
        self._runtime = runtime
        self._reports = reports
        self._why_not = why_not
        self._store = store
        self._arrived = arrived
        self._worker = DeliveryWorker(store, runtime.log)
        self._next_batch: deque[PendingDelivery] = deque()
        self._is_publishing = False
        self._is_settling = False
        self._waiting = 0
        self._waiting_octets = 0
        self._in_batch = 0
        """Messages that are being published."""
        self._together = 0
        """The most messages that waited at once since the last batch was taken, that batch included."""
        self._wanted = 0
        """The number of messages that the next batch waits for."""
        self._enough: asyncio.Future[None] | None = None
        """Ends the pause of a batch that waits for more messages."""
        self._last_batch_at = -math.inf
        self._queues: dict[int, deque[PendingDelivery]] = {}
        """The messages that wait for the turn of their mailbox."""
        self.tasks = BackgroundTasks()
        self.backoff = Backoff(runtime.clock)
        """The pauses of spool entries, by trace id, whose attempt failed and could not be recorded."""

    # ------------------------------------------------------------ small messages

    async def small(
        self,
        local: LocalDelivery,
        octets: bytes,
        answers: Answers | None = None,
        *,
        passed_over: Callable[[], None] = lambda: None,
    ) -> Published:
        """Deliver a whole message to one mailbox; `answers` is its scan, if it was scanned already.

        If the caller is cancelled before the message's turn comes, it is not delivered and `passed_over` is called.
        """
        weight = len(octets) + most_octets(len(octets))
        if self._waiting >= MOST_WAITING or self._waiting_octets + weight > MOST_WAITING_OCTETS:
            raise Overloaded(f"{self._waiting} messages wait")
        loop = asyncio.get_running_loop()
        pending = PendingDelivery(local, octets, loop.create_future(), answers=answers)
        if local.mailbox.mailbox_id in self._queues or not self._store.is_warm(AccountRef.of(local.mailbox)):
            self._queue(pending)
        else:
            self._next_batch.append(pending)
            self._together = max(self._together, self._in_batch + len(self._next_batch))
            if self._enough is not None and len(self._next_batch) >= self._wanted:
                self._end_pause(self._enough)
            if not self._is_publishing:
                self._is_publishing = True
                self.tasks.start(self._run_batches())
        deadline = loop.call_later(self._runtime.executors.patience, self._give_up, pending)
        self._waiting += 1
        self._waiting_octets += weight
        try:
            published = await pending.future
        except asyncio.CancelledError:
            if not pending.begun:
                passed_over()
            raise
        finally:
            self._waiting -= 1
            self._waiting_octets -= weight
            deadline.cancel()
        self._arrived(local.mailbox.mailbox_id)
        return published

    def _give_up(self, pending: PendingDelivery) -> None:
        """Fail a message whose turn did not come in time; a delivery that has begun is left to finish."""
        if not pending.begun:
            _answer(pending.future, Unavailable(f"waited {self._runtime.executors.patience:g} s"))

    async def _run_batches(self) -> None:
        """Publish waiting messages, batch by batch, until none is left."""
        try:
            while self._next_batch:
                await self._coalesce()
                if not (batch := _take(self._next_batch)):
                    continue
                self._in_batch = self._together = len(batch)
                by_journal = self._goes_by_journal(batch)
                try:
                    await self._runtime.executors.delivery(self._worker.publish_batch, batch, by_journal=by_journal)
                except Exception as error:  # noqa: BLE001 - a defect of ours: every waiting caller gets it
                    await self._fail(batch, error)
                self._in_batch = 0
                for pending in batch:
                    if isinstance(pending.outcome, Busy):
                        pending.begun = False
                        self._queue(pending)
                    else:
                        _answer(pending.future, pending.outcome)
                self.look_at_journal()
        finally:
            self._is_publishing = False

    async def _fail(self, batch: Sequence[PendingDelivery], error: Exception) -> None:
        for pending in batch:
            pending.outcome = error
        await self._runtime.executors.io(self._worker.discard, batch)

    def _goes_by_journal(self, batch: Sequence[PendingDelivery]) -> bool:
        """Return whether the journal should hold the messages, since they come closely or it holds others already."""
        now = asyncio.get_running_loop().time()
        is_close, self._last_batch_at = now - self._last_batch_at < CLOSE_SECONDS, now
        return is_close or len(batch) > 1 or self._store.journal.is_begun

    async def _coalesce(self) -> None:
        """Let the batch grow while more messages keep coming, until there are as many as waited at once before.

        Those who were answered together send again together. Without the pause the first of them would have a batch of its
        own, whose thread competes with the loop for the interpreter while that reads the others.
        """
        self._wanted = min(self._together, MAX_BATCH)
        loop = asyncio.get_running_loop()
        seconds = GATHER_SECONDS + GATHER_SECONDS_PER_OCTET * len(self._next_batch[0].octets)
        for _ in range(GATHER_TIMES):
            size = len(self._next_batch)
            if size >= self._wanted:
                return
            self._enough = loop.create_future()
            timer = loop.call_later(seconds, self._end_pause, self._enough)
            await self._enough
            self._enough = None
            timer.cancel()
            if len(self._next_batch) == size:
                return

    def _end_pause(self, pause: "asyncio.Future[None]") -> None:
        if not pause.done():
            pause.set_result(None)

    def look_at_journal(self) -> None:
        """Empty the journal in the background if it is full; called after something was written to it."""
        if self._store.journal.is_full and not self._is_settling:
            self._is_settling = True
            self.tasks.start(self._settle_journal())

    async def _settle_journal(self) -> None:
        """Empty the journal now; the job that does so every few seconds would come too late."""
        try:
            await settle_journal(self._runtime, self._store)
        finally:
            self._is_settling = False

    def _queue(self, pending: PendingDelivery) -> None:
        mailbox = pending.local.mailbox
        queue = self._queues.get(mailbox.mailbox_id)
        if queue is None:
            queue = self._queues[mailbox.mailbox_id] = deque([pending])
            self.tasks.start(self._empty(queue, mailbox))
        else:
            queue.append(pending)

    async def _empty(self, queue: deque[PendingDelivery], mailbox: Mailbox) -> None:
        """Publish the messages that wait for one mailbox until none is left."""
        batch: list[PendingDelivery] = []

        def publish() -> None:
            # in the executor, so that messages that have come by then are included
            batch.extend(_take(queue, self._worker.discard))
            self._worker.publish_in_turn(batch)

        try:
            while queue:
                batch.clear()
                try:
                    await self._runtime.account_executors.write(AccountRef.of(mailbox), publish)
                except Exception as error:  # noqa: BLE001 - no turn, or the store failed: every waiting caller gets it
                    batch.extend(() if batch else queue)
                    queue.clear()
                    await self._fail(batch, error)
                for pending in batch:
                    _answer(pending.future, pending.outcome)
        finally:
            del self._queues[mailbox.mailbox_id]

    # ------------------------------------------------------------ large messages

    async def staged(self, local: LocalDelivery, staged: StagedContent, answers: Answers) -> Published:
        """Publish a message whose file is finished."""
        published = await self._runtime.account_executors.write(
            AccountRef.of(local.mailbox), self._worker.publish_file, local, staged, answers
        )
        self._arrived(local.mailbox.mailbox_id)
        return published

    # ------------------------------------------------------------ entries of the spool

    async def deliver_entry(
        self,
        entry: SpoolEntry,
        deliveries: Mapping[int, LocalDelivery],
        answers: Answers | None,
        *,
        send_on: Callable[[SpoolEntry], Awaitable[None]],
        doubtful: bool,
    ) -> None:
        """Deliver an entry to the mailboxes that do not have it yet, and release it.

        `deliveries` are those of the open targets, by mailbox; a mailbox that no longer exists has none. `send_on` handles
        the targets on other servers; its work is durable when it returns, and it may be called again. `doubtful`: an
        earlier process was killed while it delivered the entry. The store knows by origin what it has, but an index that
        was lost since (deleted, or its last commits lost in a power failure) does not, so the files themselves are checked
        first.
        """
        try:
            elsewhere = [target for target in entry.open_targets if target.mailbox_id == ELSEWHERE]
            delays = await self._deliver_here(entry, deliveries, answers, doubtful)
            if elsewhere:
                delays[ELSEWHERE] = await self._delay_reason(send_on(entry))
            outcomes = [(target, delays[target.mailbox_id]) for target in entry.open_targets]
            decision = await self._reports.decide(entry, outcomes, doubtful=doubtful)
            for target, delay in outcomes:
                if delay is not None and target in decision.given_up:
                    self._log_given_up(entry.envelope, target, deliveries.get(target.mailbox_id), delay)
            await self._runtime.executors.io(self._settle_entry, entry, outcomes, decision)
            for target, delay in outcomes:
                if delay is not None and target not in decision.given_up:
                    self._log_deferred(entry.envelope, target, deliveries.get(target.mailbox_id), delay)
            await self._reports.deliver(decision.told)
            self.backoff.succeeded(entry.envelope.trace_id)
        except Exception as error:  # noqa: BLE001 - the entry is durable, and recovery will take it up again
            self.backoff.failed(entry.envelope.trace_id)
            self._runtime.log.event("spool_entry_waits", trace=entry.envelope.trace_id, **failure(error))
        finally:
            entry.close()

    async def _deliver_here(
        self, entry: SpoolEntry, deliveries: Mapping[int, LocalDelivery], answers: Answers | None, doubtful: bool
    ) -> dict[int, str | None]:
        """Deliver once to each local mailbox; return what delays each, None for those that have the message."""
        here = dict.fromkeys(target.mailbox_id for target in entry.open_targets if target.mailbox_id != ELSEWHERE)
        if not here:
            return {}
        try:
            known = answers or await self._scanned_file(entry)
        except OSError as error:  # the disk does not return the message, so no mailbox can get it now
            self._runtime.log.event("spool_entry_waits", trace=entry.envelope.trace_id, **failure(error))
            return dict.fromkeys(here, type(error).__name__)
        delays = await asyncio.gather(
            *(self._delay_reason(self._link(entry, deliveries.get(mailbox_id), known, doubtful)) for mailbox_id in here)
        )
        return dict(zip(here, delays, strict=True))

    def _settle_entry(
        self, entry: SpoolEntry, outcomes: Sequence[tuple[SpoolTarget, str | None]], decision: ReportDecision
    ) -> None:
        """Record an attempt; the log is flushed first, as nothing is delivered or reported again."""
        self._runtime.log.flush()
        over = {target.mailbox_id for target, delay in outcomes if delay is None or target in decision.given_up}
        entry.settle(sorted(over), now_us=self._runtime.clock.steady_us(), told=decision.told, warned=decision.warned)

    async def _scanned_file(self, entry: SpoolEntry) -> Answers:
        """Compute the index data of a message that an earlier process accepted."""
        scanner = Scanner()
        if not entry.is_local:
            await self._runtime.executors.io(lambda: entry.path)
        with open(entry.path, "rb", buffering=0) as file:  # noqa: ASYNC230 - opening does not wait; reads run in an executor
            while octets := await self._runtime.executors.io(file.read, SCAN_OCTETS):
                await self._runtime.executors.cpu(scanner.feed, octets)
        return await self._runtime.executors.cpu(lambda: answers(scanner.finish()))

    async def _link(self, entry: SpoolEntry, local: LocalDelivery | None, answers: Answers, doubtful: bool) -> str | None:
        """Deliver to one mailbox, or return why it receives nothing."""
        if local is None:
            return "NoMailbox"
        account = self._store.account_of(local.mailbox)
        if (
            doubtful
            and entry.is_local
            and await self._runtime.account_executors.write(account.ref, account.is_delivered, entry.path)
        ):
            # by a process that was killed, perhaps before it wrote the log
            self._runtime.log.event(
                "delivery_found", trace=local.trace_id, mailbox=local.mailbox.address, recipient=local.recipient.address
            )
            return None
        if (cause := self._why_not(local.mailbox)) is not None:  # the mailbox was reclaimed while the entry waited
            return cause
        if (octets := entry.content) is not None:
            await self.small(local, octets, answers)
            return None
        staged = await self._runtime.executors.io(account.stage_link, entry.path)
        try:
            await self.staged(local, staged, answers)
        except Unavailable:  # its turn did not come, and nobody has seen the link
            await self._runtime.executors.io(staged.discard)
            raise
        return None

    async def _delay_reason(self, settling: Awaitable[str | None]) -> str | None:
        """Return what delays one target, as a full disk; the others are delivered all the same."""
        try:
            return await settling
        except MicMailError as error:
            return type(error).__name__
        except Exception as error:  # noqa: BLE001 - a defect of ours or of the store: only this target waits
            return repr(error)

    def _log_given_up(self, envelope: SpoolEnvelope, target: SpoolTarget, local: LocalDelivery | None, reason: str) -> None:
        """Log that a delivery is given up, before it takes effect, so that none ends unlogged (Reg. 4.2)."""
        self._runtime.log.event(
            "delivery_given_up",
            trace=envelope.trace_id,
            sender=envelope.sender,
            mailbox=local.mailbox.address if local else None,
            recipient=target.address,
            reason=reason,
            attempts=envelope.attempts + 1,
        )

    def _log_deferred(self, envelope: SpoolEnvelope, target: SpoolTarget, local: LocalDelivery | None, reason: str) -> None:
        self._runtime.log.event(
            "delivery_deferred",
            trace=envelope.trace_id,
            mailbox=local.mailbox.address if local else None,
            recipient=target.address,
            reason=reason,
            attempts=envelope.attempts,
            next_try=stamp(envelope.next_try_us),
        )


async def settle_journal(runtime: Runtime, store: MailStore) -> None:
    """Write messages that the journal has held long enough to their own files; log a disk error once."""
    try:
        await runtime.executors.io(store.settle_journal)
    except Unavailable as error:  # from now on each message is made durable by its own file
        runtime.log.event("journal_failed", error=described(error))


def _take(
    queue: deque[PendingDelivery], discard: Callable[[Sequence[PendingDelivery]], None] = lambda gone: None
) -> list[PendingDelivery]:
    """Take the next batch of messages whose caller still waits; discard the files of the others."""
    batch: list[PendingDelivery] = []
    gone: list[PendingDelivery] = []
    while queue and len(batch) < MAX_BATCH:
        pending = queue.popleft()
        pending.begun = not pending.future.done()
        (batch if pending.begun else gone).append(pending)
    discard(gone)
    return batch


def _answer(future: "asyncio.Future[Published]", result: Published | BaseException | None) -> None:
    assert result is not None
    if future.done():  # the caller no longer waits
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
