"""The population of the demonstration server: one mailbox in each state, and mail to read.

Idempotent: existing data stays, what a killed start left out is added, and a marker shows that nothing is missing. The
history of each mailbox is recorded with the dates on which it would have happened, because terms count from recording
too. Blocking.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from mic_mail.auth.password_hash import HashSettings
from mic_mail.clock import Clock, ManualClock
from mic_mail.config.model import Config
from mic_mail.directory.records import MailboxRecord, NotFound, PersonRecord, UnitRecord
from mic_mail.directory.repository import Directory
from mic_mail.mailbox_address import MailboxAddress
from mic_mail.mime.compose import Attachment, Mailbox, compose
from mic_mail.mime.imap_structure import Answers, answers_of
from mic_mail.policy.calendar import local_day
from mic_mail.policy.credentials.verifiers import Credential
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Detail, Draft, FactKind, Level, MailboxKind
from mic_mail.policy.unit_mail.delegation import Part
from mic_mail.services.authentication.delegation import show_in
from mic_mail.services.demo.sample_mail import SAMPLE_MESSAGES, SampleMessage, large_message, plan_as_pdf
from mic_mail.services.mailboxes.credentials import hashing, verifiers
from mic_mail.services.notifications.notices import Notices
from mic_mail.services.operations.working_calendar import prefill
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import FLAGGED, INBOX, SEEN

DOMAIN = "mic.gov.vn"
PASSWORD = "demo-mic-2026"  # noqa: S105  public on purpose: the demonstration prints it
BENCH_DOMAIN = "bench.test"
BENCH_PASSWORD = "pass"  # noqa: S105  public as well; drivers of benchmarks expect it
ACTOR = "demo"
FULL_SHARE = 0.92
HELP_DESK = "cntt"
HELP_DESK_ALIASES = ("support", "abuse")
"""The addresses that refusals name have to receive mail."""
KEEPER = (HELP_DESK, "dvbe")
"""The mailbox, and its keeper."""
MARKER = "population-complete"


@dataclass(frozen=True, slots=True)
class Event:
    """A fact of a mailbox's history, so many days ago."""

    days_ago: int
    kind: FactKind
    reason: str = ""
    document: str | None = None
    data: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Demo:
    """One mailbox of the demonstration."""

    local: str
    name: str
    kind: MailboxKind
    unit: str = "CNTT"
    level: Level | None = Level.DIVISION
    issued_days_ago: int = 60
    history: tuple[Event, ...] = ()
    readable: bool = True
    nearly_full: bool = False

    @property
    def address(self) -> str:
        return f"{self.local}@{DOMAIN}"


UNITS = (
    ("CNTT", "Cục Công nghệ thông tin"),
    ("PTTH&TTĐT", "Cục Phát thanh, truyền hình và thông tin điện tử"),
)

DEMO = (
    Demo("cntt", UNITS[0][1], MailboxKind.UNIT),
    Demo("ptth_ttdt", UNITS[1][1], MailboxKind.UNIT, unit="PTTH&TTĐT"),
    Demo("doanthanhnien", "Đoàn Thanh niên Bộ", MailboxKind.GROUP),
    Demo("dvbe", "Đỗ Văn Bê", MailboxKind.PERSONAL),
    Demo("ttlan", "Trần Thị Lan", MailboxKind.PERSONAL, unit="PTTH&TTĐT"),
    Demo(
        "nvhung", "Nguyễn Văn Hùng", MailboxKind.PERSONAL,
        history=(Event(20, FactKind.LEFT, "nghỉ hưu", "118/QĐ-TCCB", {"level": Level.DIVISION.value, "cause": "retired"}),),
    ),
    Demo(
        "pqkhanh", "Phạm Quốc Khánh", MailboxKind.PERSONAL, unit="PTTH&TTĐT",
        history=(Event(2, FactKind.SUSPENDED, "máy tính nhiễm mã độc", "45/BC-TTTT", {"cause": "c"}),),
    ),
    Demo(
        "lthoa", "Lê Thị Hoa", MailboxKind.PERSONAL,
        history=(Event(1, FactKind.PASSWORD_RESET, "quên mật khẩu", "27/CV-CNTT"),),
    ),
    Demo(
        "vdminh", "Vũ Đức Minh", MailboxKind.PERSONAL, issued_days_ago=900,
        history=(Event(250, FactKind.LEFT, "nghỉ việc", "31/QĐ-TCCB", {"level": Level.DIVISION.value, "cause": "resigned"}),),
        readable=False,
    ),
    Demo(
        "htnam", "Hoàng Thành Nam", MailboxKind.PERSONAL, nearly_full=True,
    ),
)  # fmt: skip


class Population:
    """Makes the demonstration's mailboxes."""

    def __init__(self, config: Config, store: MailStore, clock: Clock) -> None:
        self._config = config
        self._store = store
        self._now = clock.now()
        self._clock = clock
        self._past = ManualClock(self._now)
        self._directory = Directory(config.directory_url, clock=self._past)
        self._marker = config.server.data_dir / MARKER

    def fill(self, bench_users: int = 0) -> Iterator[str]:
        """Add what is missing; yield each step's address, for a progress display."""
        self._directory.migrate()
        try:
            if not self._marker.exists():
                yield from self._ministry()
                self._marker.touch()
            yield from self._bench(bench_users)
        finally:
            self._directory.close()

    def _ministry(self) -> Iterator[str]:
        self._directory.add_domain(DOMAIN)
        prefill(self._directory, local_day(self._clock.now()))
        units = {symbol: self._unit(symbol, name) for symbol, name in UNITS}
        for demo in DEMO:
            mailbox = self._mailbox(demo, units[demo.unit])
            if demo.readable:
                self._sample_messages(mailbox)
            if demo.nearly_full:
                self._fill_up(mailbox)
            if demo.local == HELP_DESK:
                self._support_aliases(mailbox)
            yield demo.address
        self._grant_delegate(*(self._directory.mailbox(f"{local}@{DOMAIN}") for local in KEEPER))

    def _grant_delegate(self, mailbox: MailboxRecord, own: MailboxRecord) -> None:
        """Name a person who may use a unit's mailbox with the own password (Reg. 12.3)."""
        if any(fact.kind is FactKind.AUTHORISED for fact in self._directory.facts(mailbox.mailbox_id)):
            return
        assert own.person_id is not None
        at = self._ago(57)
        self._past.move_to(at)
        data: dict[str, Detail] = {"person": own.person_id, "holder": own.address, "part": Part.KEEPER.value}
        named = Draft(FactKind.AUTHORISED, at, ACTOR, "phân công quản lý hộp thư đơn vị", "21/QĐ-CNTT", data)
        self._directory.append_fact(mailbox.mailbox_id, named)
        show_in(self._store, own, mailbox, self._config.server.domain)

    def _support_aliases(self, mailbox: MailboxRecord) -> None:
        """Add the help desk's common addresses as aliases of a mailbox that somebody reads."""
        known = {address.address for address in self._directory.addresses(mailbox.mailbox_id)}
        for local in HELP_DESK_ALIASES:
            if (address := f"{local}@{DOMAIN}") not in known:
                added = self._draft(Event(58, FactKind.ALIAS_ADDED, data={"address": address}))
                self._directory.add_alias(mailbox.mailbox_id, address, added)

    def _unit(self, symbol: str, name: str) -> UnitRecord:
        try:
            return self._directory.unit(symbol)
        except NotFound:
            return self._directory.add_unit(UnitRecord(0, symbol, name, document="1553/QĐ-BTTTT"))

    def _mailbox(self, demo: Demo, unit: UnitRecord) -> MailboxRecord:
        """Return the mailbox with its whole history; each fact is recorded on its own day."""
        try:
            mailbox = self._directory.mailbox(demo.address)
        except NotFound:
            mailbox = self._issue(demo, unit)
        recorded = len(self._directory.facts(mailbox.mailbox_id))
        password = self._draft(Event(demo.issued_days_ago - 1, FactKind.PASSWORD_SET))
        for seq, event in enumerate((None, *demo.history), start=2):
            if seq <= recorded:
                continue
            if event is None:
                self._directory.set_credential(mailbox.mailbox_id, self._credential(), password)
            else:
                self._directory.append_fact(mailbox.mailbox_id, self._draft(event))
        return mailbox

    def _issue(self, demo: Demo, unit: UnitRecord) -> MailboxRecord:
        issued = self._draft(Event(demo.issued_days_ago, FactKind.ISSUED, data={"address": demo.address}))
        person = None
        if demo.kind is MailboxKind.PERSONAL:
            person = self._directory.add_person(
                PersonRecord(0, demo.name, unit.unit_id, "Chuyên viên", demo.level, Employment.CIVIL_SERVANT)
            ).person_id
        record = MailboxRecord(
            mailbox_id=0,
            kind=demo.kind,
            address=demo.address,
            home=f"{DOMAIN}/{demo.local}",
            display_name=demo.name,
            quota_octets=self._config.quota.default,
            person_id=person,
            unit_id=None if person else unit.unit_id,
        )
        return self._directory.issue_mailbox(record, issued)

    def _draft(self, event: Event) -> Draft:
        """Return the fact of `event`, to be recorded when it happened."""
        at = self._ago(event.days_ago)
        self._past.move_to(at)
        return Draft(event.kind, at, ACTOR, event.reason, event.document, event.data)

    def _ago(self, days: int) -> datetime:
        return self._now - timedelta(days=days)

    def _credential(self) -> Credential:
        return verifiers(PASSWORD, hashing(self._config))

    # ------------------------------------------------------------ mail

    def _sample_messages(self, mailbox: MailboxRecord) -> None:
        account = self._store.account_of(mailbox)
        Notices(self._store, self._config, self._clock).welcome(mailbox)
        to = Mailbox(mailbox.display_name, MailboxAddress.parse(mailbox.address))
        for number, sample in enumerate(SAMPLE_MESSAGES):
            sent_at = self._ago(0) - timedelta(hours=sample.hours_ago)
            octets = self._compose(sample, to, sent_at, f"demo.{mailbox.mailbox_id}.{number}@{self._config.server.hostname}")
            flags = (SEEN if sample.seen else 0) | (FLAGGED if sample.flagged else 0)
            staged = account.stage()
            try:
                staged.write(octets)
                staged.finish()
                origin = f"demo:{mailbox.mailbox_id}:{number}"
                delivery = Delivery(staged, answers_of(octets), flags, (), int(sent_at.timestamp() * 1_000_000), origin)
                account.publish(self._folder(account, sample.folder), [delivery])
            finally:
                staged.discard()

    @staticmethod
    def _folder(account: Account, name: str) -> int:
        """Return the folder's id; create and subscribe it where it is missing."""
        if name not in {info.name for info in account.folders()}:
            account.create(name)
            account.subscribe(name, True)
        return account.folder(name).folder_id

    @staticmethod
    def _compose(sample: SampleMessage, to: Mailbox, sent_at: datetime, message_id: str) -> bytes:
        attachments = [Attachment(sample.attachment, "application/pdf", plan_as_pdf())] if sample.attachment else []
        sender = Mailbox(sample.sender_name, MailboxAddress.parse(sample.sender_address))
        return compose(
            sender=to if sample.own else sender,
            to=[sender if sample.own else to],
            subject=sample.subject,
            text=sample.text.format(name=to.name),
            date=sent_at,
            message_id=message_id,
            auto_submitted=None,
            attachments=attachments,
        )

    def _fill_up(self, mailbox: MailboxRecord) -> None:
        """Fill FULL_SHARE of the quota with links of one large message: 1 GiB counted, 24 MB on disk."""
        account = self._store.account_of(mailbox)
        sent_at = self._ago(30)
        to = Mailbox(mailbox.display_name, MailboxAddress.parse(mailbox.address))
        octets = large_message(to, sent_at, f"demo.large@{self._config.server.hostname}")
        missing = int(mailbox.quota_octets * FULL_SHARE) - account.quota().octets
        if missing < len(octets):
            return
        source = self._config.server.data_dir / "large-message.eml"
        source.write_bytes(octets)
        try:
            self._publish_links(account, source, answers_of(octets), -(-missing // len(octets)), sent_at)
            Notices(self._store, self._config, self._clock).usage(mailbox, account.quota().octets)
        finally:
            source.unlink()

    @staticmethod
    def _publish_links(account: Account, source: Path, answers: Answers, count: int, sent_at: datetime) -> None:
        at_us = int(sent_at.timestamp() * 1_000_000)
        os.chmod(source, 0o400)
        staged = [account.stage_link(source) for _ in range(count)]
        try:
            deliveries: Sequence[Delivery] = [
                Delivery(link, answers, SEEN, (), at_us + number, f"demo:large:{number}") for number, link in enumerate(staged)
            ]
            account.publish(account.folder(INBOX).folder_id, deliveries)
        finally:
            for link in staged:
                link.discard()

    # ------------------------------------------------------------ for benchmarks

    def _bench(self, count: int) -> Iterator[str]:
        """Issue `u0..` at bench.test with one password, hashed once: hashing K times would take minutes."""
        if not count:
            return
        self._directory.add_domain(BENCH_DOMAIN)
        there = {record.address for record in self._directory.mailboxes()}
        missing = [n for n in range(count) if f"u{n}@{BENCH_DOMAIN}" not in there]
        credential = verifiers(BENCH_PASSWORD, HashSettings(self._config.auth.argon2_memory >> 10, 1)) if missing else None
        for n in missing:
            assert credential is not None
            record = MailboxRecord(
                0, MailboxKind.GROUP, f"u{n}@{BENCH_DOMAIN}", f"{BENCH_DOMAIN}/u{n}", f"Bench {n}", 1 << 40, None, None
            )
            mailbox = self._directory.issue_mailbox(record, self._draft(Event(1, FactKind.ISSUED)))
            self._directory.set_credential(mailbox.mailbox_id, credential, self._draft(Event(0, FactKind.PASSWORD_SET)))
            yield mailbox.address
