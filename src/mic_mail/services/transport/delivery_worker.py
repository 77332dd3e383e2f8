"""The blocking half of delivery: write the files, publish them, write the log.

In: messages with their trace header in front, and their mailboxes. Out: for each its location, or its error. Everything
here runs in a thread. What must follow a durable step (the log line) also follows here, so a caller that goes away
changes nothing. delivery.py decides the order and the thread.
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
"""The seconds a batch waits for a mailbox that is being written.

Another process's delivery takes about 1 ms.
"""


@dataclass(frozen=True, slots=True)
class LocalDelivery:
    """One message for one mailbox."""

    trace_id: str
    sender: ReversePath
    recipient: Recipient
    mailbox: Mailbox
    origin: str | None = None
    arrived_at_us: int | None = None
    """Time of arrival if the message was accepted earlier; None: now."""
    verdict: str = ""
    """The verdict of the checks (`folder_placement.Arrival`)."""


@dataclass(slots=True, eq=False)
class PendingDelivery:
    """A small message and the future its caller waits on."""

    parcel: LocalDelivery
    octets: bytes
    future: "asyncio.Future[Published]"
    begun: bool = False
    """Set once publication has begun: the message can no longer be given up."""
    answered: Answers | None = None
    staged: Staged | None = None
    """Its file, once it is written."""


Outcome = Published | BaseException


def _refused(outcomes: Iterable[Outcome]) -> list[int]:
    """Return the indexes of the messages that must not be restored by a journal replay.

    Their callers get the error, or, where the mailbox was busy, each is tried again with a file of its own.
    """
    return [number for number, each in enumerate(outcomes) if isinstance(each, BaseException)]


def account_ref(mailbox: Mailbox) -> AccountRef:
    return AccountRef(mailbox.mailbox_id, mailbox.home)


def _folder_id(account: Account, name: str) -> int:
    """Return the id of the folder with the special use that `name` has by default.

    Without one, the folder of that name (RFC 6154). Migrated mailboxes call Junk by other names, and people rename it.
    Raises `NoSuchFolder`.
    """
    use = DEFAULT_FOLDERS.get(name)
    if use is not None:
        for folder in account.folders():
            if folder.special_use == use and folder.selectable:
                return folder.folder_id
    return account.folder(name).folder_id


@dataclass(slots=True)
class _Group:
    """The messages for one folder of one mailbox."""

    account: Account
    folder: str
    quota_octets: int
    members: list[tuple[PendingDelivery, Delivery]]


class DeliveryWorker:
    """Publishes messages for one process; every method blocks."""

    def __init__(self, store: MailStore, log: MailLog) -> None:
        self._store = store
        self._log = log
        self._inboxes: dict[int, int] = {}

    def publish_batch(self, batch: Sequence[PendingDelivery], *, by_journal: bool) -> Sequence[Outcome]:
        """Publish messages for any mailboxes; those whose mailbox is being written get `Busy`.

        `by_journal` makes them durable together in the journal, otherwise each by its own file.
        """
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
        """Publish messages for one mailbox in its turn, together, each durable by its own file."""
        results: dict[int, Outcome] = {}
        whole = [waiting for waiting in batch if self._stage(waiting, results)]
        with self._store.batching_notifications():
            self._publish(whole, results)
        return [results[id(waiting)] for waiting in batch]

    def discard(self, batch: Sequence[PendingDelivery]) -> None:
        """Discard the files of messages that will not be published."""
        for waiting in batch:
            if waiting.staged is not None:
                waiting.staged.discard()

    def one(self, account: Account, parcel: LocalDelivery, staged: Staged, answered: Answers) -> Published:
        """Publish a message whose file is finished."""
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
        """Scan a message and write its file; return False if that failed, which affects this message alone."""
        try:
            if waiting.answered is None:
                waiting.answered = answers_of(waiting.octets)
            if waiting.staged is None:
                staged = self._store.account(account_ref(waiting.parcel.mailbox)).stage()
                staged.write(waiting.octets)
                waiting.staged = staged
        except Exception as error:  # noqa: BLE001 - this message's result, not the others'
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
        except Busy as busy:  # the files stay, as each message is tried again in its mailbox's turn
            return [busy] * len(group.members)
        except Exception as error:  # noqa: BLE001 - passed to each waiting caller
            # publication is all or nothing: try each alone for its own result
            if isinstance(error, OverQuota) and len(group.members) > 1:
                alone = (_Group(group.account, group.folder, group.quota_octets, [member]) for member in group.members)
                return [self._group(each, patience, journaled)[0] for each in alone]
            for delivery in deliveries:
                delivery.staged.discard()
            return [error] * len(group.members)
        for (waiting, delivery), where in zip(group.members, published, strict=True):
            self._log_delivery(waiting.parcel, where, group.folder, delivery.staged.size)
        return published

    def _delivery(self, parcel: LocalDelivery, staged: Staged, answered: Answers) -> tuple[Delivery, str]:
        """Return the delivery to publish and the name of its folder (folder_placement.py)."""
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
        """Publish into `folder`, by its special use, or into INBOX if it was deleted.

        A journal replay restores lost files to INBOX only, so deliveries to other folders are fsynced even in a batch.
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
        """Return the id of INBOX. It can be neither deleted nor renamed, so it is cached."""
        known = self._inboxes.get(account.ref.account_id)
        if known is None:
            known = self._inboxes[account.ref.account_id] = account.folder(INBOX).folder_id
        return known

    def _log_delivery(self, parcel: LocalDelivery, published: Published, folder: str, octets: int) -> None:
        # A duplicate was delivered by a process that was killed, perhaps before it wrote the log.
        self._log.event(
            "delivery_found" if published.duplicate else "message_delivered",
            trace=parcel.trace_id,
            mailbox=parcel.mailbox.address,
            recipient=parcel.recipient.address,
            folder=folder,
            uid=published.uid,
            octets=octets,
        )
