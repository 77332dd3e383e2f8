"""What happens in a thread to messages that come to their mailboxes: files written, published, told to the log.

In: messages with their trace header in front, and whose they are. Out: for each where it lies, or the error that it met.
All of it blocks, and what has to follow a durable step (the log line) follows here, so that a waiter that goes away changes
nothing. Who comes when, and in which thread, is decided in delivery.py.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mic_mail.directory.snapshot import Entry as Mailbox
from mic_mail.log.maillog import MailLog
from mic_mail.mailbox_address import ReversePath
from mic_mail.mime.imap_structure import Answers, answers_of
from mic_mail.services.transport.envelope import Recipient
from mic_mail.services.transport.folder_placement import Arrival, Placement, place
from mic_mail.storage.errors import Busy, NoSuchFolder, OverQuota
from mic_mail.storage.journal.frames import Journaled
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import DEFAULT_FOLDERS, INBOX, AccountRef, Delivery, Published, Staged

PATIENCE_SECONDS = 0.02
"""How long a wave waits for a mailbox that somebody else writes: another process's delivery takes a millisecond."""


@dataclass(frozen=True, slots=True)
class LocalDelivery:
    """One message for one mailbox."""

    trace_id: str
    sender: ReversePath
    recipient: Recipient
    mailbox: Mailbox
    origin: str | None = None
    arrived_at_us: int | None = None
    """When it came, where that was long ago; None: now."""
    verdict: str = ""
    """The checks' word for the message (`filing.Arrival`)."""


@dataclass(slots=True, eq=False)
class PendingDelivery:
    """A small message and who waits for it."""

    parcel: LocalDelivery
    octets: bytes
    future: "asyncio.Future[Published]"
    begun: bool = False
    """It is being published: nobody can give it up any more."""
    answered: Answers | None = None
    staged: Staged | None = None
    """Its file, once there is one."""


Outcome = Published | BaseException


def _refused(outcomes: Iterable[Outcome]) -> list[int]:
    """The numbers of those that must not come by a replay: who hears that, or finds the mailbox busy, and comes again by a file
    of its own, or is refused then."""
    return [number for number, each in enumerate(outcomes) if isinstance(each, BaseException)]


def account_ref(mailbox: Mailbox) -> AccountRef:
    return AccountRef(mailbox.mailbox_id, mailbox.home)


def _folder_id(account: Account, name: str) -> int:
    """Of the folder that has the use of the one that is called so at first (RFC 6154): mailboxes that were taken over call
    Junk by other names, and people rename it. `NoSuchFolder`."""
    use = DEFAULT_FOLDERS.get(name)
    if use is not None:
        for folder in account.folders():
            if folder.special_use == use and folder.selectable:
                return folder.folder_id
    return account.folder(name).folder_id


@dataclass(slots=True)
class _Group:
    """What goes into one folder of one mailbox."""

    account: Account
    folder: str
    quota_octets: int
    members: list[tuple[PendingDelivery, Delivery]]


class DeliveryWorker:
    """The blocking half of delivery, for one process."""

    def __init__(self, store: MailStore, log: MailLog) -> None:
        self._store = store
        self._log = log
        self._inboxes: dict[int, int] = {}

    def publish_batch(self, batch: Sequence[PendingDelivery], *, by_journal: bool) -> Sequence[Outcome]:
        """Messages for whatever mailboxes, durable together or each by its own file; `Busy` for those that others write now."""
        results: dict[int, Outcome] = {}
        whole = [waiting for waiting in batch if self._stage(waiting, results)]
        with self._store.batching_notifications():
            if by_journal and whole:
                arrivals = [Journaled(each.parcel.mailbox.home, each.staged.base, each.octets) for each in whole if each.staged]
                with self._store.journal_holding(arrivals) as held:
                    self._publish(whole, results, patience=PATIENCE_SECONDS, journaled=held is not None)
                    if held is not None and (refused := _refused(results[id(each)] for each in whole)):
                        held(refused)
            else:
                self._publish(whole, results, patience=PATIENCE_SECONDS)
        return [results[id(waiting)] for waiting in batch]

    def alone(self, batch: Sequence[PendingDelivery]) -> Sequence[Outcome]:
        """Messages for one mailbox, in its turn: published together, each durable by its own file."""
        results: dict[int, Outcome] = {}
        whole = [waiting for waiting in batch if self._stage(waiting, results)]
        with self._store.batching_notifications():
            self._publish(whole, results)
        return [results[id(waiting)] for waiting in batch]

    def discard(self, batch: Sequence[PendingDelivery]) -> None:
        """Forget the files of messages that will not be published."""
        for waiting in batch:
            if waiting.staged is not None:
                waiting.staged.discard()

    def one(self, account: Account, parcel: LocalDelivery, staged: Staged, answered: Answers) -> Published:
        """A message whose file is finished."""
        delivery, folder = self._delivery(parcel, staged, answered)
        try:
            with self._store.batching_notifications():
                (published,) = self._into(account, folder, [delivery], parcel.mailbox.quota_octets)
        except BaseException:
            staged.discard()
            raise
        self._log_delivery(parcel, published, folder, staged.size)
        return published

    # ------------------------------------------------------------ files

    def _stage(self, waiting: PendingDelivery, results: dict[int, Outcome]) -> bool:
        """Read it and write its file; False where that failed, for this one alone."""
        try:
            if waiting.answered is None:
                waiting.answered = answers_of(waiting.octets)
            if waiting.staged is None:
                staged = self._store.account(account_ref(waiting.parcel.mailbox)).stage()
                staged.write(waiting.octets)
                waiting.staged = staged
        except Exception as error:  # noqa: BLE001 - this one's answer, not the others'
            results[id(waiting)] = error
            return False
        return True

    # ------------------------------------------------------------ folders

    def _publish(
        self,
        batch: Sequence[PendingDelivery],
        results: dict[int, Outcome],
        *,
        patience: float | None = None,
        journaled: bool = False,
    ) -> None:
        groups: dict[tuple[int, str], _Group] = {}
        for waiting in batch:
            assert waiting.staged is not None
            assert waiting.answered is not None
            try:
                if journaled:
                    waiting.staged.finish_later()
                else:
                    waiting.staged.finish()
                delivery, folder = self._delivery(waiting.parcel, waiting.staged, waiting.answered)
            except Exception as error:  # noqa: BLE001 - as in `_stage`
                waiting.staged.discard()
                results[id(waiting)] = error
                continue
            mailbox = waiting.parcel.mailbox
            group = groups.get((mailbox.mailbox_id, folder))
            if group is None:
                account = self._store.account(account_ref(mailbox))
                group = groups[mailbox.mailbox_id, folder] = _Group(account, folder, mailbox.quota_octets, [])
            group.members.append((waiting, delivery))
        for group in groups.values():
            outcomes = self._group(group, patience, journaled)
            for (waiting, _), outcome in zip(group.members, outcomes, strict=True):
                results[id(waiting)] = outcome

    def _group(self, group: _Group, patience: float | None, journaled: bool) -> Sequence[Outcome]:
        deliveries = [delivery for _, delivery in group.members]
        try:
            published = self._into(
                group.account, group.folder, deliveries, group.quota_octets, patience=patience, journaled=journaled
            )
        except Busy as busy:  # the files stay: each comes again, in its turn
            return [busy] * len(group.members)
        except Exception as error:  # noqa: BLE001 - handed to each waiter
            if isinstance(error, OverQuota) and len(group.members) > 1:  # all or none: let each have its own answer
                alone = (_Group(group.account, group.folder, group.quota_octets, [member]) for member in group.members)
                return [self._group(each, patience, journaled)[0] for each in alone]
            for delivery in deliveries:
                delivery.staged.discard()
            return [error] * len(group.members)
        for (waiting, delivery), where in zip(group.members, published, strict=True):
            self._log_delivery(waiting.parcel, where, group.folder, delivery.staged.size)
        return published

    def _delivery(self, parcel: LocalDelivery, staged: Staged, answered: Answers) -> tuple[Delivery, str]:
        """What is published, and into which folder: the filing step."""
        placement: Placement = place(
            Arrival(
                parcel.trace_id,
                parcel.sender,
                parcel.recipient,
                parcel.mailbox.mailbox_id,
                answered.header,
                parcel.verdict,
            )
        )
        delivery = Delivery(
            staged,
            answered,
            flags=placement.flags,
            keywords=placement.keywords,
            received_at_us=parcel.arrived_at_us,
            origin=parcel.origin,
        )
        return delivery, placement.folder

    def _into(
        self,
        account: Account,
        folder: str,
        deliveries: list[Delivery],
        limit_octets: int,
        *,
        patience: float | None = None,
        journaled: bool = False,
    ) -> list[Published]:
        """Into `folder`, whatever the person calls it now, or into INBOX where it was deleted.

        A replay puts lost names into INBOX, so the names of other folders are fsynced also in a wave.
        """
        if folder != INBOX:
            try:
                return account.publish(_folder_id(account, folder), deliveries, limit_octets=limit_octets, patience=patience)
            except NoSuchFolder:
                pass
        return account.publish(
            self._inbox(account), deliveries, limit_octets=limit_octets, patience=patience, journaled=journaled
        )

    def _inbox(self, account: Account) -> int:
        """INBOX's id: it can be neither deleted nor renamed away, so it is asked for once."""
        known = self._inboxes.get(account.ref.account_id)
        if known is None:
            known = self._inboxes[account.ref.account_id] = account.folder(INBOX).folder_id
        return known

    def _log_delivery(self, parcel: LocalDelivery, published: Published, folder: str, octets: int) -> None:
        # A duplicate was delivered by somebody who was killed, perhaps before the log had it.
        self._log.event(
            "delivery_found" if published.duplicate else "message_delivered",
            trace=parcel.trace_id,
            mailbox=parcel.mailbox.address,
            recipient=parcel.recipient.address,
            folder=folder,
            uid=published.uid,
            octets=octets,
        )
