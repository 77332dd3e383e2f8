"""An office with people of a unit who hold its mailbox."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

from mic_mail.clock import HO_CHI_MINH, ManualClock
from mic_mail.config.model import Config, Server
from mic_mail.directory.records import MailboxRecord, PersonRecord, UnitRecord
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Draft, FactKind, Level, MailboxKind
from mic_mail.policy.unit_mail.delegation import Part
from mic_mail.services.authentication.delegation import Delegations, Term
from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle
from population import migrated

START = datetime(2026, 11, 24, 9, tzinfo=HO_CHI_MINH)
KEEPER, SUBSTITUTE, MEMBER = Part
HEAD = ActContext("centre", "phân công", "12/QĐ-CNTT")


class Office:
    """CNTT with a division PM below it, and VP; a person in each; the mailbox of CNTT and a group's."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(START)
        config = Config(server=Server(data_dir=folder))
        self.directory = migrated(config.directory_url, self.clock)
        self.delegations = Delegations(self.directory, config, self.clock)
        self.accounts = MailboxLifecycle(self.directory, config, self.clock)
        self.units = {"CNTT": self.directory.add_unit(UnitRecord(0, "CNTT", "Cục CNTT"))}
        self.units["PM"] = self.directory.add_unit(UnitRecord(0, "PM", "Phòng Phần mềm", parent_id=self.units["CNTT"].unit_id))
        self.units["VP"] = self.directory.add_unit(UnitRecord(0, "VP", "Văn phòng"))
        self.people = {local: self._person(local, unit) for local, unit in (("be", "CNTT"), ("lan", "PM"), ("hoa", "VP"))}
        self.unit = self._issue("cntt", MailboxKind.UNIT, unit_id=self.units["CNTT"].unit_id)
        self.group = self._issue("doan", MailboxKind.GROUP, unit_id=self.units["VP"].unit_id)

    def _person(self, local: str, unit: str) -> PersonRecord:
        record = PersonRecord(0, local, self.units[unit].unit_id, "Chuyên viên", Level.DIVISION, Employment.CIVIL_SERVANT)
        person = self.directory.add_person(record)
        self._issue(local, MailboxKind.PERSONAL, person_id=person.person_id)
        return person

    def _issue(self, local: str, kind: MailboxKind, **owner: Any) -> MailboxRecord:
        record = MailboxRecord(0, kind, f"{local}@mic.gov.vn", f"mic.gov.vn/{local}", local, 1 << 30, **owner)
        drafts = [Draft(kind_, START, "test") for kind_ in (FactKind.ISSUED, FactKind.PASSWORD_SET)]
        return self.directory.issue_mailbox(record, *drafts)

    def grant(self, who: str, part: Part, begins: date | None = None, until: date | None = None, **how: Any) -> None:
        how = {"origin": HEAD, "mailbox": self.group if part is MEMBER else self.unit, **how}
        self.delegations.grant(how.pop("mailbox"), who, part, Term(begins, until), how.pop("origin"), **how)

    def held(self, day: date, mailbox: MailboxRecord | None = None) -> dict[str, str]:
        """Rights by person at noon of a day."""
        entry = self.directory.entry((mailbox or self.unit).mailbox_id)
        at = datetime(day.year, day.month, day.day, 12, tzinfo=HO_CHI_MINH)
        return {h.person.address.partition("@")[0]: h.holding.rights for h in self.delegations.holders(entry, at) if h.holding}
