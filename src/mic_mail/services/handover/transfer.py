"""The handover of a unit's mailbox: begun, counted, finished or cancelled (Reg. 12.3.d, 12.3, 10.2).

In: the successor named by the head of the unit, the document. Out: facts in the mailbox's chain, the store's mark that
prevents expunging, an inventory in a file, a new password. Blocking. Every step can be the last before a kill:

    begin     the mark, then HANDOVER_BEGUN, both under the store's lock: an EXPUNGE is wholly before the inventory, or refused
    count     the inventory, whole or not at all; then HANDOVER_COUNTED with its digest. Repeated, it is taken anew
    finish    in one transaction: the naming of the successor, the end of every substitution, the new password,
              HANDOVER_FINISHED; then the mark goes. A kill between leaves the mark, which is harmless: the next `finish`
              removes it, and so does the housekeeper (`settle`)
    cancel    HANDOVER_CANCELLED, then the mark goes, with the same recovery

The previous keeper loses the mailbox with the naming, at every listener within seconds; sessions under the mailbox's
own password end with the password.
"""

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import MailboxRecord
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import Detail, Draft, Fact, FactKind, MailboxKind
from mic_mail.policy.lifecycle import MailboxState
from mic_mail.policy.reclamation import must_be_there
from mic_mail.policy.unit_mail.delegation import Grant, Part, grants, in_service
from mic_mail.policy.unit_mail.handover import CLAUSE, BeingHandedOver, Handover, HandoverStanding, handovers, running
from mic_mail.services.authentication.delegation import Delegations, Term
from mic_mail.services.handover.inventory import FOLDER, Inventory, Progress, file_name, no_progress, read_head, take, tidy
from mic_mail.services.handover.removals import Removals
from mic_mail.services.handover.verify import Verification, verify
from mic_mail.services.mailboxes.credentials import check_new, hashing, verifiers
from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle, NotAllowed, must_be_past
from mic_mail.services.use_cases import MailUseCases
from mic_mail.storage.mailstore import MailStore

SUSPENDED_CLAUSE = "7.1"


@dataclass(frozen=True, slots=True)
class Nomination:
    """The naming of a successor by the head of the unit; its document is in the `ActContext`."""

    successor: str
    """The person's id, or the address of the own mailbox."""
    named_by: str
    """The head of the unit: id or own address of a recorded person, or name and position in words."""
    named_on: date | None = None
    until: date | None = None
    """The last day of the term; None: until further notice."""
    witness: str = ""


class Handovers(MailUseCases):
    def __init__(self, directory: Directory, store: MailStore, config: Config, clock: Clock) -> None:
        super().__init__(directory, store, config, clock)
        self._accounts = MailboxLifecycle(directory, config, clock)
        self._delegations = Delegations(directory, config, clock)

    def of(self, mailbox: MailboxRecord, number: int | None = None) -> Handover:
        """Return the handover of this number, or the newest one."""
        found = handovers(self._directory.facts(mailbox.mailbox_id))
        chosen = next((each for each in reversed(found) if number is None or each.seq == number), None)
        if chosen is None:
            raise BadInput(
                Text(f"{mailbox.address} chưa có lần bàn giao này.", "The mailbox has no such handover."),
                remedy=Text("Xem: mic-mail handover list", "See: mic-mail handover list"),
            )
        return chosen

    def path_of(self, home: str, handover: Handover) -> Path:
        digest = handover.counted.text("digest") if handover.counted is not None else None
        return self._place(home) / file_name(handover.seq, digest or "")

    def _place(self, home: str) -> Path:
        return self._config.server.data_dir / FOLDER / home

    def inventory(self, mailbox: MailboxRecord, handover: Handover) -> Inventory | None:
        """Return the inventory, None before the count; `InventoryDamaged` where the file differs."""
        if handover.counted is None:
            return None
        return read_head(self.path_of(mailbox.home, handover), handover.counted.text("digest") or "")

    def verify(self, mailbox: MailboxRecord, handover: Handover, progress: Progress = no_progress) -> Verification:
        """Find out what became of everything that was counted."""
        if handover.counted is None:
            raise _not_counted()
        must_be_there(mailbox.address, self._directory.facts(mailbox.mailbox_id))
        removals = Removals(self._config.log_dir, mailbox.address, handover.since)
        return verify(self._store.account_of(mailbox), self.path_of(mailbox.home, handover), handover, removals, progress)

    def begin(self, mailbox: MailboxRecord, naming: Nomination, origin: ActContext) -> Handover:
        """Begin a handover, after which nothing is expunged; repeated, it changes nothing."""
        if mailbox.kind is not MailboxKind.UNIT:
            raise NotAllowed(
                Text("Chỉ hộp thư đơn vị có người quản lý để bàn giao.", "Only a unit's mailbox can be handed over."),
                clause=CLAUSE,
            )
        self._must_be_named(naming)
        naming = replace(naming, named_by=self._head(naming.named_by.strip()))
        entry = self._directory.entry(mailbox.mailbox_id)
        person, own = self._delegations.person(naming.successor)
        now_running = running(entry.facts)
        if now_running is not None:
            _must_be_the_same(entry.address, now_running, person.person_id, naming, origin)
            return now_running
        term = Term(None, naming.until)
        self._naming(mailbox, naming.successor, term, origin)  # refused now rather than at the end
        before = self._predecessor(entry)
        if before is not None and before.person_id == person.person_id and self._serves(before, own):
            raise NotAllowed(
                Text(f"{own.address} đang quản lý hộp thư này.", f"{own.address} is already its keeper."),
                clause=CLAUSE,
                remedy=Text("Gia hạn: mic-mail mailbox grant --as keeper.", "To extend the term: mailbox grant --as keeper."),
            )
        details: dict[str, Detail] = {
            "person": person.person_id,
            "holder": own.address,
            "named_by": naming.named_by,
            "named_on": naming.named_on.isoformat() if naming.named_on else None,
            "until": naming.until.isoformat() if naming.until else None,
            "from_holder": before.holder if before is not None else None,
            "witness": naming.witness.strip(),
        }
        account = self._store.account_of(mailbox)
        account.rescan()  # the files of other tools have to be counted
        given = {name: value for name, value in details.items() if value}
        draft = origin.draft(FactKind.HANDOVER_BEGUN, self._clock.now(), **given)
        account.freeze(lambda: self._directory.append_to(entry, draft))
        return self.of(mailbox)

    def count(self, mailbox: MailboxRecord, origin: ActContext, progress: Progress = no_progress) -> tuple[Inventory, Fact]:
        """Read every message, write the inventory and record its digest; of several the newest counts."""
        entry, handover = self._running(mailbox)
        self.settle(entry)
        place = self._place(mailbox.home)
        inventory, digest = take(
            self._store.account_of(mailbox), place,
            mailbox=mailbox.address, handover=handover.seq, now=self._clock.now(), progress=progress,
        )  # fmt: skip
        draft = origin.draft(
            FactKind.HANDOVER_COUNTED, self._clock.now(), handover=handover.seq, digest=digest, folders=len(inventory.folders),
            messages=inventory.messages, octets=inventory.octets, unreadable=inventory.unreadable,
        )  # fmt: skip
        return inventory, self._directory.append_fact(mailbox.mailbox_id, draft)

    def finish(self, mailbox: MailboxRecord, password: str, origin: ActContext) -> bool:
        """Move the rights, set a password that has to be changed, and allow expunging; False: done before."""
        entry = self._directory.entry(mailbox.mailbox_id)
        known = handovers(entry.facts)
        if known and known[-1].standing is HandoverStanding.FINISHED:
            self.settle(entry)
            return False
        _, handover = self._running(mailbox)
        if self.inventory(mailbox, handover) is None:
            raise _not_counted()
        drafts = self._drafts_of_end(mailbox, entry, handover, origin)
        check_new(self._directory, self._config, mailbox, password, chosen=False)
        made = verifiers(password, hashing(self._config))
        after = entry.facts[-1].seq
        self._store.account_of(mailbox).thaw(
            lambda: (self._directory.set_credential(mailbox.mailbox_id, made, *drafts, after=after), False)
        )
        tidy(self._place(mailbox.home))
        return True

    def cancel(self, mailbox: MailboxRecord, origin: ActContext) -> Handover:
        """Cancel the handover: nothing has moved, and expunging is allowed again."""
        if not origin.reason:
            raise BadInput(Text("Hủy bàn giao phải có lý do.", "Cancelling a handover needs a reason."), clause=CLAUSE)
        entry, handover = self._running(mailbox)
        draft = origin.draft(FactKind.HANDOVER_CANCELLED, self._clock.now(), handover=handover.seq)
        self._store.account_of(mailbox).thaw(lambda: (self._directory.append_to(entry, draft), False))
        return self.of(mailbox, handover.seq)

    def settle(self, entry: Entry) -> bool:
        """Make the store's mark match the record after a kill or a restore; return whether it differed."""
        account, runs = self._store.account_of(entry), running(entry.facts) is not None
        if account.is_frozen() == runs:
            return False
        if runs:
            account.freeze(lambda: None)
        # Checked again under the lock: a handover may begin or end at this moment.
        account.thaw(lambda: (None, running(self._directory.facts(entry.mailbox_id)) is not None))
        return True

    def _drafts_of_end(self, mailbox: MailboxRecord, entry: Entry, handover: Handover, origin: ActContext) -> list[Draft]:
        named = ActContext(origin.actor, handover.begun.reason, handover.begun.document)
        naming = self._naming(mailbox, str(handover.successor_id), Term(None, handover.until), named)
        now = self._clock.now()
        ends = [
            named.draft(
                FactKind.AUTHORITY_REVOKED, now, person=grant.person_id, holder=grant.holder, part=Part.SUBSTITUTE.value
            )
            for grant in grants(entry.kind, entry.facts)
            if grant.part is Part.SUBSTITUTE and (grant.until is None or grant.until > now)
        ]
        finished = origin.draft(FactKind.HANDOVER_FINISHED, now, handover=handover.seq)
        return [*ends, naming, named.draft(FactKind.PASSWORD_RESET, now), finished]

    def _naming(self, mailbox: MailboxRecord, successor: str, term: Term, origin: ActContext) -> Draft:
        """Return the fact that names the successor, who gets the mailbox's password.

        Refused where the successor's own mailbox is suspended (Reg. 7.1).
        """
        draft = self._delegations.naming(mailbox, successor, Part.KEEPER, term, origin)
        own = self._directory.entry(self._delegations.person(successor)[1].mailbox_id)
        if MailboxState.SUSPENDED in self._accounts.decide(own).states:
            raise NotAllowed(
                Text(f"{own.address} đang bị tạm khóa.", f"{own.address} is suspended."),
                clause=SUSPENDED_CLAUSE,
                remedy=Text("Trước hết: mic-mail mailbox restore.", "Run mic-mail mailbox restore first."),
            )
        return draft

    def _must_be_named(self, naming: Nomination) -> None:
        if not naming.named_by.strip():
            raise NotAllowed(
                Text("Phải ghi thủ trưởng đã phân công.", "The head of the unit who named the successor is missing."),
                clause=CLAUSE,
                remedy=Text(
                    'Thêm --named-by: địa chỉ của thủ trưởng, hoặc "HỌ TÊN, CHỨC VỤ".',
                    'Add --named-by: the head\'s address, or "NAME, POSITION".',
                ),
            )
        if naming.named_on is not None:
            must_be_past(naming.named_on, self._clock, Text("Ngày văn bản", "The day of the document"), clause=CLAUSE)

    def _head(self, named_by: str) -> str:
        if not (named_by.isdecimal() or "@" in named_by):
            return named_by
        person = self._delegations.person(named_by)[0]
        return f"{person.full_name}, {person.position}"

    def _predecessor(self, entry: Entry) -> Grant | None:
        now = self._clock.now()
        keepers = [grant for grant in grants(entry.kind, entry.facts) if grant.part is Part.KEEPER and grant.since <= now]
        return max(keepers, key=lambda grant: (grant.holds(now), grant.since), default=None)

    def _serves(self, grant: Grant, own: MailboxRecord) -> bool:
        """Return whether the grant's person is keeper now: not ended by the clock, a leave or a transfer."""
        left = in_service(grant, self._directory.facts(own.mailbox_id))
        return left is not None and left.holds(self._clock.now())

    def _running(self, mailbox: MailboxRecord) -> tuple[Entry, Handover]:
        entry = self._directory.entry(mailbox.mailbox_id)
        found = running(entry.facts)
        if found is None:
            raise NotAllowed(
                Text(f"{mailbox.address} không đang bàn giao.", f"{mailbox.address} is not being handed over."), clause=CLAUSE
            )
        return entry, found


def _must_be_the_same(address: str, known: Handover, person_id: int, naming: Nomination, origin: ActContext) -> None:
    """Require the parameters of the running handover; for others it has to be cancelled first."""
    as_begun = (known.successor_id, known.begun.text("named_by"), known.named_on, known.until, known.begun.document)
    if as_begun != (person_id, naming.named_by, naming.named_on, naming.until, origin.document):
        raise BeingHandedOver(address)


def _not_counted() -> NotAllowed:
    return NotAllowed(
        Text("Chưa kiểm kê xong hộp thư.", "The inventory of the mailbox is not complete."),
        clause=CLAUSE,
        remedy=Text("Chạy lại: mic-mail handover begin.", "Run mic-mail handover begin again."),
    )
