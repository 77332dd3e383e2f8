"""Evidence of the address book (Reg. 2.6): its entries, its listeners, and its last export."""

from datetime import datetime

from mic_mail.addressbook.cards import Kind
from mic_mail.clock import ManualClock
from mic_mail.errors import Text
from mic_mail.log.audit import Audit
from mic_mail.services.compliance.finding import Evidence, Finding, Office
from mic_mail.services.mailboxes.address_book import make_book

CLAUSE = "2.6"
STANDARDS_CLAUSE = "13.2"


def evidence(office: Office) -> Evidence:
    """Yield today's figures."""
    cards = make_book(office.directory, office.config, office.now).cards
    people = [card for card in cards if card.kind is Kind.PERSON]
    units = sum(card.kind is Kind.UNIT for card in cards)
    yield CLAUSE, Finding(Text("đơn vị trong danh bạ", "units in the directory"), units)
    shown = Text("cá nhân hiện nêu trong danh bạ, không kể người đã nghỉ", "people listed now, leavers apart")
    yield CLAUSE, Finding(shown, len(people))
    without = sum(not card.addresses for card in people)
    yield CLAUSE, Finding(Text("trong đó chưa có hộp thư", "of these without a mailbox"), without)
    audit = Audit(office.config.log_dir, clock=ManualClock(office.now))
    exports = [act for act in audit.acts() if act.get("act") == "directory_export"]
    last = max((datetime.fromisoformat(str(act["at"])) for act in exports), default=None)
    yield CLAUSE, Finding(Text("lần xuất danh bạ", "exports of the directory"), len(exports), last)
    doors = [door for door in ("ldap", "ldaps") if door in office.config.listen.doors]
    named = ", ".join(doors) or "-"
    yield STANDARDS_CLAUSE, Finding(Text(f"dịch vụ danh bạ đang mở: {named}", f"doors of the directory: {named}"), len(doors))
