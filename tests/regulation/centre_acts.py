"""The Centre with a directory and mailboxes, and its acts as the commands do them."""

from datetime import UTC, date, datetime, timedelta

from mic_mail.clock import ManualClock
from mic_mail.config.model import Config
from mic_mail.directory.records import PersonRecord, UnitRecord
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.authorization.signatories import Signatory
from mic_mail.policy.credentials.verifiers import Credential
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.services.mailboxes.issue import Ground, Issuing
from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle, RestoreRequest
from population import migrated

CENTRE = ActContext("quản trị", "theo đề nghị", "12/CV-CNTT")
WHY = ActContext("quản trị", "theo đề nghị")
PLAIN = ActContext("quản trị")
ASKED = RestoreRequest("Vụ CNTT", "fax")
GIB = 1 << 30


class Centre:
    """The Information Centre at its desk: a directory with two units, the use cases, a clock to move."""

    def __init__(self, path):
        self.clock = ManualClock(datetime(2026, 1, 5, 2, tzinfo=UTC))
        self.directory = migrated(f"sqlite:///{path / 'directory.sqlite'}", self.clock)
        self.directory.add_unit(UnitRecord(0, "CNTT", "Vụ Công nghệ thông tin"))
        self.directory.add_unit(UnitRecord(0, "PTTH&TTĐT", "Cục Phát thanh"))
        self.config = Config.model_validate({"auth": {"password_age": 0}})
        self.issuing = Issuing(self.directory, self.config, self.clock, lambda password: Credential(0, f"hash of {password}"))
        self.accounts = MailboxLifecycle(self.directory, self.config, self.clock)
        self.directory.signatories.add(Signatory(0, "Phạm Đức Long", "Thứ trưởng", date(2025, 1, 1), "1/QĐ-TTg"))

    def person(self, name="Đỗ Văn Bê", position="Chuyên viên", **changes):
        values = {"level": None, "employment": Employment.CIVIL_SERVANT, **changes}
        return self.directory.add_person(PersonRecord(0, name, self.directory.unit("CNTT").unit_id, position, **values))

    def mailbox(self, name="Đỗ Văn Bê", **changes):
        """A personal mailbox whose person has chosen a password."""
        mailbox = self.issuing.issue_personal(self.person(name, **changes), "first", Ground(CENTRE))
        self.chosen(mailbox)
        return mailbox

    def chosen(self, mailbox):
        """The person chooses a password."""
        self.directory.append_fact(mailbox.mailbox_id, Draft(FactKind.PASSWORD_SET, self.clock.now(), "person"))

    def states(self, mailbox):
        return set(self.accounts.decide(self.directory.entry(mailbox.mailbox_id)).states)

    def later(self, **span):
        self.clock.move_to(self.clock.now() + timedelta(**span))
