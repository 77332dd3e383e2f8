"""People for tests: mailboxes issued straight into a directory, with facts as they would have been recorded.

Hashing takes most of the time of a test, so credentials are made once per password with the cheapest settings that are allowed.
"""

import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from mic_mail.auth.password_hash import HashSettings
from mic_mail.clock import Clock, ManualClock, SystemClock
from mic_mail.config.model import Config
from mic_mail.directory.records import Employment, MailboxRecord, NotFound, PersonRecord, UnitRecord
from mic_mail.directory.repository import Directory
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.calendar import local_day
from mic_mail.policy.credentials.verifiers import Credential
from mic_mail.policy.facts import Detail, Draft, FactKind, Level, MailboxKind
from mic_mail.services.mailboxes.credentials import verifiers
from mic_mail.services.mailboxes.directory_changes import DirectoryChanges, PersonChange
from mic_mail.services.operations.working_calendar import prefill

PASSWORD = "mật khẩu 2026 dùng để thử"
UNIT = UnitRecord(0, "CNTT", "Trung tâm Thông tin", document="1553/QĐ-BTTTT")


@cache
def credential(password: str, *, memory_kib: int = 8 << 10) -> Credential:
    """Verifiers of a password, made once; `memory_kib` is what each sign-in costs that knows no better."""
    return verifiers(password, HashSettings(memory_kib, 1, 65_536))


def draft(kind: FactKind, at: datetime, reason: str = "", document: str | None = None, **data: str) -> Draft:
    """A fact to be recorded at `at`."""
    return Draft(kind, at, "test", reason, document, data)


def transfer(directory: Directory, person: PersonRecord, to: UnitRecord) -> None:
    """The person works for another unit from now on (Reg. 6.4.b)."""
    changes = DirectoryChanges(directory, Config(), directory.clock)
    changes.person(person, PersonChange(unit=to), ActContext("test", "", "2/QĐ-TCCB"))


@cache
def _empty() -> bytes:
    """A directory without anything in it, as a file: Alembic takes half of the time in which a server starts."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "directory.sqlite")
        made = Directory(f"sqlite:///{file}", clock=SystemClock())
        made.migrate()
        made.close()
        return file.read_bytes()


def migrated(url: str, clock: Clock) -> Directory:
    """The directory at `url`, with this program's tables; an empty one where there was none."""
    file = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:///") and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(0o600)
        file.write_bytes(_empty())
    directory = Directory(url, clock=clock)
    directory.migrate()
    return directory


class Population:
    """Issues mailboxes at `mic.gov.vn`; each fact is recorded at its own instant."""

    def __init__(self, url: str, clock: Clock, domain: str = "mic.gov.vn") -> None:
        self._clock = clock
        self._past = ManualClock(clock.now())
        self.directory = migrated(url, self._past)
        self.directory.add_domain(domain)
        prefill(self.directory, local_day(clock.now()))
        self.domain = domain

    def unit(self) -> UnitRecord:
        try:
            return self.directory.unit(UNIT.symbol)
        except NotFound:
            return self.directory.add_unit(UNIT)

    def _has_mailbox(self, unit: UnitRecord) -> bool:
        entries = self.directory.load_snapshot().entries.values()
        return any(entry.kind is MailboxKind.UNIT and entry.owner.unit_id == unit.unit_id for entry in entries)

    def issue(
        self,
        local: str,
        *,
        name: str = "",
        kind: MailboxKind = MailboxKind.PERSONAL,
        password: str | None = PASSWORD,
        quota_octets: int = 1 << 30,
        issued_days_ago: float = 30,
        facts: Sequence[Draft] = (),
        aliases: Sequence[str] = (),
    ) -> MailboxRecord:
        """A mailbox that was issued, got its password and then lived through `facts` (ascending)."""
        unit = self.unit()
        if kind is MailboxKind.UNIT and (local == "support" or self._has_mailbox(unit)):
            unit = self.directory.add_unit(UnitRecord(0, f"OF-{local}", name or local))  # a unit has one of its own (Reg. 5.1)
        issued_at = self._clock.now() - timedelta(days=issued_days_ago)
        person = None
        self._past.move_to(issued_at)
        if kind is MailboxKind.PERSONAL:
            record = PersonRecord(0, name or local, unit.unit_id, "Chuyên viên", Level.DIVISION, Employment.CIVIL_SERVANT)
            person = self.directory.add_person(record).person_id
        mailbox = self.directory.issue_mailbox(
            MailboxRecord(
                mailbox_id=0,
                kind=kind,
                address=f"{local}@{self.domain}",
                home=f"{self.domain}/{local}",
                display_name=name or local,
                quota_octets=quota_octets,
                person_id=person,
                unit_id=None if person else unit.unit_id,
            ),
            draft(FactKind.ISSUED, issued_at, address=f"{local}@{self.domain}"),
        )
        if password is not None:
            self.directory.set_credential(mailbox.mailbox_id, credential(password), draft(FactKind.PASSWORD_SET, issued_at))
        for alias in aliases:
            self.directory.add_alias(
                mailbox.mailbox_id,
                f"{alias}@{self.domain}",
                draft(FactKind.ALIAS_ADDED, issued_at, address=f"{alias}@{self.domain}"),
            )
        for fact in facts:
            self.record(mailbox, fact)
        self._past.move_to(self._clock.now())
        return mailbox

    def record(self, mailbox: MailboxRecord, *drafts: Draft) -> None:
        """Append facts, each recorded at the instant from which it holds."""
        for fact in drafts:
            self._past.move_to(fact.effective_at)
            self.directory.append_fact(mailbox.mailbox_id, fact)

    def allow(
        self, mailbox: MailboxRecord, person: MailboxRecord, part: str, rights: str | None = None, until: str | None = None
    ) -> None:
        """The owner of `person` may use `mailbox` from now on; a substitute for a long time, unless said otherwise."""
        until = until or ("2099-12-31" if part == "substitute" else None)
        data: dict[str, Detail] = {"person": person.person_id, "holder": person.address, "part": part}
        data |= {name: value for name, value in (("rights", rights), ("until", until)) if value is not None}
        self.record(mailbox, Draft(FactKind.AUTHORISED, self._clock.now(), "test", "", "1/QĐ", data))

    def deny(self, mailbox: MailboxRecord, person: MailboxRecord) -> None:
        """And from now on not any more."""
        data: dict[str, Detail] = {"person": person.person_id, "holder": person.address}
        self.record(mailbox, Draft(FactKind.AUTHORITY_REVOKED, self._clock.now(), "test", "", "2/QĐ", data))

    def close(self) -> None:
        self.directory.close()
