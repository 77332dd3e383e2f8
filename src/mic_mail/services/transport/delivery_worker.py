"""The blocking half of delivery: write the files, publish them, write the log.

Everything here runs in a thread. What must follow a durable step (the log line) also follows here, so a caller that goes
away changes nothing. `delivery` decides the order and the thread.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mic_mail.directory.snapshot import Entry as Mailbox
from mic_mail.log.maillog import MailLog
from mic_mail.mailbox_address import ReversePath
from mic_mail.mime.imap_structure import Answers, answers_of
from mic_mail.services.transport.envelope import JUNK, Recipient
from mic_mail.storage.delivery import Delivery, StagedContent
from mic_mail.storage.errors import Busy, NoSuchFolder, OverQuota
from mic_mail.storage.journal.frames import Journaled
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import DEFAULT_FOLDERS, INBOX, Published

PATIENCE_SECONDS = 0.02
"""The seconds a batch waits for a mailbox that is being written; another process's delivery takes 1 ms."""


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
    """The verdict of the checks: `JUNK`, or empty."""


@dataclass(slots=True, eq=False)
class PendingDelivery:
    """A small message and the future its caller waits on."""

    local: LocalDelivery
    octets: bytes
    future: "asyncio.Future[Published]"
    begun: bool = False
    """Set once publication has begun: the message can no longer be given up."""
    answers: Answers | None = None
    staged: StagedContent | None = None
    """Its file, once it is written."""
    outcome: Published | BaseException | None = None
    """Set by the thread that publishes it."""


def place(local: LocalDelivery) -> tuple[str, tuple[str, ...]]:
    """Return the folder and keywords of a message: junk is visible in Junk, not dropped (Reg. 4.2)."""
    return ("Junk", ("$Junk",)) if local.verdict == JUNK else (INBOX, ())


def _folder_id(account: Account, name: str) -> int:
    """Return the id of the folder with the special use of `name`, or of that name (RFC 6154).

    Migrated mailboxes call Junk by other names, and people rename it. Raises `NoSuchFolder`.
    """
    use = DEFAULT_FOLDERS.get(name)
    if use is not None:
        for folder in account.folders():
            if folder.special_use == use and folder.selectable:
                return folder.folder_id
    return account.folder(name).folder_id


class DeliveryWorker:
    """Publishes messages for one process; every method blocks."""

    def __init__(self, store: MailStore, log: MailLog) -> None:
        self._store = store
        self._log = log
        self._inboxes: dict[int, int] = {}

    def publish_batch(self, batch: Sequence[PendingDelivery], *, by_journal: bool) -> None:
        """Publish messages for any mailboxes; those whose mailbox is being written get `Busy`.

        `by_journal` makes them durable together in the journal, otherwise each by its own file.
        """
        staged = self._stage(batch)
        with self._store.batching_notifications():
            if not (by_journal and staged):
                self._publish(staged, patience=PATIENCE_SECONDS)
                return
            arrivals = [Journaled(each.local.mailbox.home, each.staged.base, each.octets) for each in staged if each.staged]
            with self._store.journal.holding(arrivals) as held:
                self._publish(staged, patience=PATIENCE_SECONDS, journaled=held is not None)
                # A replay must not restore these: the caller gets the error, or, where the mailbox was busy, the message is
                # tried again with a file of its own.
                failed = [number for number, each in enumerate(staged) if isinstance(each.outcome, BaseException)]
                if held is not None and failed:
                    held(failed)

    def publish_in_turn(self, batch: Sequence[PendingDelivery]) -> None:
        """Publish messages for one mailbox in its turn, together, each durable by its own file."""
        staged = self._stage(batch)
        with self._store.batching_notifications():
            self._publish(staged)

    def publish_file(self, local: LocalDelivery, staged: StagedContent, answers: Answers) -> Published:
        """Publish a message whose file is finished."""
        delivery, folder = self._delivery(local, staged, answers)
        try:
            with self._store.batching_notifications():
                (published,) = self._into(local.mailbox, folder, [delivery])
        except BaseException:
            staged.discard()
            raise
        self._log_delivery(local, published, folder, staged.size)
        return published

    def discard(self, batch: Iterable[PendingDelivery]) -> None:
        """Discard the files of messages that will not be published."""
        for pending in batch:
            if pending.staged is not None:
                pending.staged.discard()

    # ------------------------------------------------------------ files

    def _stage(self, batch: Sequence[PendingDelivery]) -> list[PendingDelivery]:
        """Scan messages and write their files; return those for which that succeeded."""
        done = []
        for pending in batch:
            try:
                if pending.answers is None:
                    pending.answers = answers_of(pending.octets)
                if pending.staged is None:
                    staged = self._store.account_of(pending.local.mailbox).stage()
                    staged.write(pending.octets)
                    pending.staged = staged
            except Exception as error:  # noqa: BLE001 - this message's result, not the others'
                pending.outcome = error
            else:
                done.append(pending)
        return done

    # ------------------------------------------------------------ folders

    def _publish(self, batch: Sequence[PendingDelivery], *, patience: float | None = None, journaled: bool = False) -> None:
        groups: dict[tuple[int, str], list[tuple[PendingDelivery, Delivery]]] = defaultdict(list)
        for pending in batch:
            assert pending.staged is not None
            assert pending.answers is not None
            try:
                if journaled:
                    pending.staged.finish_later()
                else:
                    pending.staged.finish()
                delivery, folder = self._delivery(pending.local, pending.staged, pending.answers)
            except Exception as error:  # noqa: BLE001 - as in `_stage`
                pending.staged.discard()
                pending.outcome = error
            else:
                groups[pending.local.mailbox.mailbox_id, folder].append((pending, delivery))
        for (_, folder), group in groups.items():
            self._publish_group(folder, group, patience, journaled)

    def _publish_group(
        self, folder: str, group: Sequence[tuple[PendingDelivery, Delivery]], patience: float | None, journaled: bool
    ) -> None:
        """Publish the messages for one folder; where they do not fit together, each is tried alone."""
        mailbox, deliveries = group[0][0].local.mailbox, [delivery for _, delivery in group]
        try:
            published = self._into(mailbox, folder, deliveries, patience=patience, journaled=journaled)
        except Exception as error:  # noqa: BLE001 - passed to each waiting caller
            if isinstance(error, OverQuota) and len(group) > 1:
                for member in group:
                    self._publish_group(folder, [member], patience, journaled)
                return
            for pending, delivery in group:
                pending.outcome = error
                if not isinstance(error, Busy):  # a busy mailbox's messages are tried again in its turn, with these files
                    delivery.staged.discard()
            return
        for (pending, delivery), where in zip(group, published, strict=True):
            pending.outcome = where
            self._log_delivery(pending.local, where, folder, delivery.staged.size)

    def _delivery(self, local: LocalDelivery, staged: StagedContent, answers: Answers) -> tuple[Delivery, str]:
        """Return the delivery to publish and the name of its folder."""
        folder, keywords = place(local)
        delivery = Delivery(staged, answers, keywords=keywords, received_at_us=local.arrived_at_us, origin=local.origin)
        return delivery, folder

    def _into(
        self,
        mailbox: Mailbox,
        folder: str,
        deliveries: list[Delivery],
        *,
        patience: float | None = None,
        journaled: bool = False,
    ) -> list[Published]:
        """Publish into `folder`, by its special use, or into INBOX if it was deleted.

        A journal replay restores lost files to INBOX only, so deliveries to other folders are fsynced even in a batch.
        """
        account, limit = self._store.account_of(mailbox), mailbox.quota_octets
        if folder != INBOX:
            try:
                return account.publish(_folder_id(account, folder), deliveries, limit_octets=limit, patience=patience)
            except NoSuchFolder:
                pass
        return account.publish(self._inbox(account), deliveries, limit_octets=limit, patience=patience, journaled=journaled)

    def _inbox(self, account: Account) -> int:
        """Return the id of INBOX. It can be neither deleted nor renamed, so it is cached."""
        known = self._inboxes.get(account.ref.account_id)
        if known is None:
            known = self._inboxes[account.ref.account_id] = account.folder(INBOX).folder_id
        return known

    def _log_delivery(self, local: LocalDelivery, published: Published, folder: str, octets: int) -> None:
        # A duplicate was delivered by a process that was killed, perhaps before it wrote the log.
        self._log.event(
            "delivery_found" if published.duplicate else "message_delivered",
            trace=local.trace_id,
            mailbox=local.mailbox.address,
            recipient=local.recipient.address,
            folder=folder,
            uid=published.uid,
            octets=octets,
        )
