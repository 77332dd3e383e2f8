"""Putting messages into mailboxes: one message into one mailbox at once, or an entry of the spool into each of its mailboxes.

In: messages with their trace header in front, and whose they are. Out: each is durable and visible, or the store's error.
Small messages for one mailbox that come while it is being written wait together and are published together: one lock, one
commit and one folder fsync for all of them. All that blocks runs in the account's lane, and so does what has to follow a
durable step (the log line): a waiter that goes away changes nothing.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass

from mic_mail.clock import Clock
from mic_mail.directory.snapshot import Entry as Mailbox
from mic_mail.errors import MicMailError
from mic_mail.log.maillog import MailLog, stamp
from mic_mail.mime.render import Answers, answers
from mic_mail.mime.scanner import Scanner
from mic_mail.outbound.spool import Entry as SpoolEntry
from mic_mail.outbound.spool import Slip, Target
from mic_mail.process.lanes import AccountLanes, Lanes
from mic_mail.services.envelope import Recipient
from mic_mail.services.filing import Arrival, Placement, place
from mic_mail.storage.errors import NoSuchFolder, OverQuota
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import INBOX, AccountRef, Delivery, Published, Staged

MAX_TOGETHER = 50
"""Messages in one publication: bounds how long the account's lock is held."""
SCAN_OCTETS = 1 << 18


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message for one mailbox."""

    trace_id: str
    sender: str
    recipient: Recipient
    mailbox: Mailbox
    origin: str | None = None


@dataclass(slots=True)
class _Waiting:
    parcel: Parcel
    octets: bytes
    answered: Answers | None
    future: "asyncio.Future[Published]"


def account_ref(mailbox: Mailbox) -> AccountRef:
    return AccountRef(mailbox.mailbox_id, mailbox.home)


class Delivering:
    """The way of messages into the mailboxes of one process."""

    def __init__(self, store: MailStore, lanes: Lanes, accounts: AccountLanes, log: MailLog, clock: Clock) -> None:
        self._store = store
        self._lanes = lanes
        self._accounts = accounts
        self._log = log
        self._clock = clock
        self._queues: dict[int, deque[_Waiting]] = {}
        self._inboxes: dict[int, int] = {}
        self._errands: set[asyncio.Task[object]] = set()

    # ------------------------------------------------------------ small messages

    async def small(self, parcel: Parcel, octets: bytes, answered: Answers | None = None) -> Published:
        """A whole message for one mailbox. Cancelled before its turn it may or may not arrive; nothing was promised then."""
        future: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(parcel, octets, answered, future)
        queue = self._queues.get(parcel.mailbox.mailbox_id)
        if queue is None:
            queue = self._queues[parcel.mailbox.mailbox_id] = deque([waiting])
            self._start(self._empty(queue, parcel.mailbox))
        else:
            queue.append(waiting)
        return await future

    async def _empty(self, queue: deque[_Waiting], mailbox: Mailbox) -> None:
        """Publish what waits for one mailbox until nothing does."""
        ref = account_ref(mailbox)
        account = self._store.account(ref)
        try:
            while queue:
                batch: list[_Waiting] = []
                try:
                    results = await self._accounts.write(ref, self._publish_waiting, account, queue, batch)
                except Exception as error:  # noqa: BLE001 - the turn did not come, or the store failed: everybody hears it
                    batch = batch or _take(queue)
                    results = [error] * len(batch)
                for waiting, result in zip(batch, results, strict=True):
                    _answer(waiting.future, result)
        finally:
            del self._queues[mailbox.mailbox_id]

    def _publish_waiting(
        self, account: Account, queue: deque[_Waiting], batch: list[_Waiting]
    ) -> Sequence[Published | BaseException]:
        """In the lane: take what waits by now, write each file, publish all together."""
        batch += _take(queue)
        staged: list[tuple[_Waiting, Delivery, str]] = []
        results: dict[int, Published | BaseException] = {}
        for waiting in batch:
            try:
                staged.append(self._stage(account, waiting))
            except Exception as error:  # noqa: BLE001 - this one's answer, not the others'
                results[id(waiting)] = error
        for folder in dict.fromkeys(folder for _, _, folder in staged):
            group = [(waiting, delivery) for waiting, delivery, wanted in staged if wanted == folder]
            for (waiting, _), result in zip(group, self._publish_group(account, folder, group), strict=True):
                results[id(waiting)] = result
        return [results[id(waiting)] for waiting in batch]

    def _stage(self, account: Account, waiting: _Waiting) -> tuple[_Waiting, Delivery, str]:
        answered = waiting.answered or scanned(waiting.octets)
        staged = account.stage()
        staged.write(waiting.octets)
        staged.finish()
        delivery, folder = self._delivery(waiting.parcel, staged, answered)
        return waiting, delivery, folder

    def _publish_group(
        self, account: Account, folder: str, group: list[tuple[_Waiting, Delivery]]
    ) -> Sequence[Published | BaseException]:
        quota_octets = group[0][0].parcel.mailbox.quota_octets
        try:
            published = self._into(account, folder, [delivery for _, delivery in group], quota_octets)
        except Exception as error:  # noqa: BLE001 - handed to each waiter
            if isinstance(error, OverQuota) and len(group) > 1:  # all or none: let each have its own answer
                return [self._publish_group(account, folder, [one])[0] for one in group]
            for _, delivery in group:
                delivery.staged.discard()
            return [error] * len(group)
        for (waiting, delivery), where in zip(group, published, strict=True):
            self._tell(waiting.parcel, where, folder, delivery.staged.size)
        return published

    # ------------------------------------------------------------ large messages

    async def stage(self, mailbox: Mailbox) -> Staged:
        """Room for a message that comes in slices."""
        return await self._lanes.io(self._store.account(account_ref(mailbox)).stage)

    async def staged(self, parcel: Parcel, staged: Staged, answered: Answers) -> Published:
        """Publish a message whose file is finished."""
        account = self._store.account(account_ref(parcel.mailbox))
        return await self._accounts.write(account_ref(parcel.mailbox), self._publish_one, account, parcel, staged, answered)

    def _publish_one(self, account: Account, parcel: Parcel, staged: Staged, answered: Answers) -> Published:
        delivery, folder = self._delivery(parcel, staged, answered)
        try:
            (published,) = self._into(account, folder, [delivery], parcel.mailbox.quota_octets)
        except BaseException:
            staged.discard()
            raise
        self._tell(parcel, published, folder, staged.size)
        return published

    def _delivery(self, parcel: Parcel, staged: Staged, answered: Answers) -> tuple[Delivery, str]:
        """What is published, and into which folder: the filing step."""
        placement: Placement = place(
            Arrival(parcel.trace_id, parcel.sender, parcel.recipient, parcel.mailbox.mailbox_id, answered.header)
        )
        delivery = Delivery(
            staged,
            answered,
            flags=placement.flags,
            keywords=placement.keywords,
            origin=parcel.origin,
        )
        return delivery, placement.folder

    def _into(self, account: Account, folder: str, deliveries: list[Delivery], limit_octets: int) -> list[Published]:
        """Into `folder`, or into INBOX where the person has deleted it."""
        if folder != INBOX:
            try:
                return account.publish(account.folder(folder).folder_id, deliveries, limit_octets=limit_octets)
            except NoSuchFolder:
                pass
        return account.publish(self._inbox(account), deliveries, limit_octets=limit_octets)

    def _inbox(self, account: Account) -> int:
        """INBOX's id: it can be neither deleted nor renamed away, so it is asked for once."""
        known = self._inboxes.get(account.ref.account_id)
        if known is None:
            known = self._inboxes[account.ref.account_id] = account.folder(INBOX).folder_id
        return known

    def _tell(self, parcel: Parcel, published: Published, folder: str, octets: int) -> None:
        if not published.duplicate:
            self._log.event(
                "message_delivered",
                trace=parcel.trace_id,
                mailbox=parcel.mailbox.address,
                recipient=parcel.recipient.address,
                folder=folder,
                uid=published.uid,
                octets=octets,
            )

    # ------------------------------------------------------------ entries of the spool

    def fan_out(
        self, entry: SpoolEntry, parcels: Sequence[Parcel], answered: Answers | None, *, doubtful: bool = False
    ) -> None:
        """Deliver an entry to the mailboxes that do not have it yet, beside whatever the caller does next.

        `doubtful`: somebody was killed while delivering it. The store knows what it has by origin, but an index that was lost
        since (deleted, or its last commits in a power loss) has forgotten, so the files themselves are asked first.
        """
        self._start(self._fan_out(entry, {parcel.mailbox.mailbox_id: parcel for parcel in parcels}, answered, doubtful))

    async def _fan_out(
        self, entry: SpoolEntry, parcels: Mapping[int, Parcel], answered: Answers | None, doubtful: bool
    ) -> None:
        try:
            if answered is None:
                answered = await self._scanned_file(entry)
            targets = entry.open_targets
            hurdles = await asyncio.gather(*(self._hand_over(entry, one, parcels, answered, doubtful) for one in targets))
            done = [target.mailbox_id for target, hurdle in zip(targets, hurdles, strict=True) if hurdle is None]
            await self._lanes.io(lambda: entry.settle(done, now_us=self._clock.now_us()))
            for target, hurdle in zip(targets, hurdles, strict=True):
                if hurdle is not None:
                    self._tell_deferred(entry.slip, target, parcels.get(target.mailbox_id), hurdle)
        except Exception as error:  # noqa: BLE001 - the entry is durable: recovery takes it up again
            self._log.event("spool_entry_waits", trace=entry.slip.trace_id, error=repr(error))
        finally:
            entry.release()

    async def _scanned_file(self, entry: SpoolEntry) -> Answers:
        """What the index keeps about a message that an earlier process took in."""
        scanner = Scanner()
        with open(entry.path, "rb", buffering=0) as file:  # noqa: ASYNC230 - opening does not wait; reading is in the lane
            while octets := await self._lanes.io(file.read, SCAN_OCTETS):
                await self._lanes.cpu(scanner.feed, octets)
        return await self._lanes.cpu(lambda: answers(scanner.finish()))

    async def _hand_over(
        self, entry: SpoolEntry, target: Target, parcels: Mapping[int, Parcel], answered: Answers, doubtful: bool
    ) -> str | None:
        """Settle one target, or why that is not possible yet: full, locked, no room. One's hurdle is not the others'."""
        parcel = parcels.get(target.mailbox_id)
        if parcel is None:
            return "NoMailbox"
        account = self._store.account(account_ref(parcel.mailbox))
        try:
            if doubtful and await self._accounts.write(account.ref, account.has_link, entry.path):
                return None
            staged = await self._lanes.io(account.stage_link, entry.path)
            await self.staged(parcel, staged, answered)
        except MicMailError as error:
            return type(error).__name__
        except Exception as error:  # noqa: BLE001 - a defect of ours or of the store: this one waits, the others have it
            return repr(error)
        return None

    def _tell_deferred(self, slip: Slip, target: Target, parcel: Parcel | None, hurdle: str) -> None:
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


def scanned(octets: bytes) -> Answers:
    """What the index keeps about a message that is in memory."""
    scanner = Scanner()
    scanner.feed(octets)
    return answers(scanner.finish())


def _take(queue: deque[_Waiting]) -> list[_Waiting]:
    return [queue.popleft() for _ in range(min(len(queue), MAX_TOGETHER))]


def _answer(future: "asyncio.Future[Published]", result: Published | BaseException) -> None:
    if future.done():  # nobody waits any more
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
