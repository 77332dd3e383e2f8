"""Mailboxes under the address that the owner had at another system (Reg. 5.5), marked as imported.

The first fact of such a mailbox is IMPORTED, and its first password has to be changed. The forms of Reg. 5.1 to 5.4 bind
only what is issued after the regulation, so none is required here. Refused are only addresses that no mail system could
deliver to, that another mailbox has, or, for a person, that belong to a function. Blocking: commands only.
"""

import re
from dataclasses import dataclass, replace
from datetime import date

from mic_mail.directory.records import MailboxRecord, PersonRecord, UnitRecord
from mic_mail.errors import BadInput, Refused, Text, in_ascii
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import Detail, FactKind, MailboxKind
from mic_mail.policy.naming.addresses import MAX_LOCAL_PART, must_be_a_persons
from mic_mail.services.mailboxes.credentials import hashing, verifiers
from mic_mail.services.mailboxes.issue import must_be_local
from mic_mail.services.mailboxes.lifecycle_actions import must_be_past
from mic_mail.services.mailboxes.quota import check_quota
from mic_mail.services.use_cases import UseCases

CLAUSE = "5.5"
_CREATED = Text("Ngày lập hộp thư cũ", "The day of the old mailbox")
_LOCAL = re.compile(r"[a-z0-9_](?:[a-z0-9_+-]|\.(?!\.))*[a-z0-9_]|[a-z0-9_]")


@dataclass(frozen=True, slots=True)
class Old:
    """The known properties of the old mailbox."""

    address: str
    created_on: date | None = None
    """None: older than the regulation, as far as anybody knows (`policy.naming.addresses.is_bound`)."""
    quota_octets: int | None = None


class OldAddresses(UseCases):
    """The import of old addresses, for one server."""

    def of_person(self, person: PersonRecord, old: Old, password: str, origin: ActContext) -> MailboxRecord:
        """Create a personal mailbox; a person has only one."""
        if any(one.kind is MailboxKind.PERSONAL for one in self._directory.mailboxes_of(person_id=person.person_id)):
            raise Refused(Text("Cá nhân này đã có hộp thư.", "This person already has a mailbox."), clause="5.3")
        record = self._record(MailboxKind.PERSONAL, old, person.full_name)
        must_be_a_persons(record.address.partition("@")[0], self._config.address.reserved)
        return self._take(record, old, password, origin, person_id=person.person_id)

    def of_unit(self, unit: UnitRecord, old: Old, password: str, origin: ActContext) -> MailboxRecord:
        """Create a unit's mailbox; a unit has only one."""
        if any(one.kind is MailboxKind.UNIT for one in self._directory.mailboxes_of(unit_id=unit.unit_id)):
            raise Refused(Text("Đơn vị này đã có hộp thư.", "This unit already has a mailbox."), clause="5.1")
        record = self._record(MailboxKind.UNIT, old, unit.name)
        return self._take(record, old, password, origin, unit_id=unit.unit_id)

    def _record(self, kind: MailboxKind, old: Old, name: str) -> MailboxRecord:
        local, domain = self._parts(old.address)
        quota = self._config.quota.default if old.quota_octets is None else old.quota_octets
        return MailboxRecord(0, kind, f"{local}@{domain}", f"{domain}/{local}", name, quota)

    def _parts(self, address: str) -> tuple[str, str]:
        """Return the local part and domain of an address that can be retained."""
        local, at, domain = address.strip().lower().rpartition("@")
        if not at or not _LOCAL.fullmatch(local) or len(local) > MAX_LOCAL_PART:
            raise BadInput(
                Text(f"“{address}” không phải địa chỉ thư.", f"{in_ascii(address)} is not an address."),
                clause=CLAUSE,
            )
        must_be_local(domain, self._config, self._directory, CLAUSE)
        return local, domain

    def _take(
        self,
        record: MailboxRecord,
        old: Old,
        password: str,
        origin: ActContext,
        *,
        person_id: int | None = None,
        unit_id: int | None = None,
    ) -> MailboxRecord:
        check_quota(record.quota_octets, None, origin)
        self._directory.add_domain(record.address.partition("@")[2])
        now = self._clock.now()
        details: dict[str, Detail] = {"address": record.address}
        if old.created_on is not None:
            must_be_past(old.created_on, self._clock, _CREATED, clause=CLAUSE)
            details["created_on"] = old.created_on.isoformat()
        drafts = [
            origin.draft(FactKind.IMPORTED, now, **details),
            origin.draft(FactKind.PASSWORD_RESET, now),
        ]
        owned = replace(record, person_id=person_id, unit_id=unit_id)
        return self._directory.issue_mailbox(owned, *drafts, credential=verifiers(password, hashing(self._config)))
