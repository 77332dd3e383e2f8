"""Evidence from names and contracts: 5.1, 5.3, 5.4.a, 6.3, 13.1."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from unicodedata import is_normalized

from mic_mail.directory.records import PersonRecord
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import MicMailError, Text
from mic_mail.policy.addresses import personal_local_part
from mic_mail.policy.calendar import local_day
from mic_mail.policy.eligibility import refusal_reason
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.requests import Item, Kind
from mic_mail.policy.states import FINAL, State
from mic_mail.services.compliance.finding import Evidence, Finding, Office

SOON = timedelta(days=30)
"""Contracts that end within this time are reported."""


def evidence(office: Office) -> Evidence:
    """Yield today's figures."""
    yield from _units(office)
    yield from _forms(office)
    yield from _contracts(office)
    yield from _unicode(office)


def _units(office: Office) -> Evidence:
    kept = {
        entry.owner.unit_id
        for entry, decision in office.decided()
        if entry.kind is MailboxKind.UNIT and not decision.states & set(FINAL)
    }
    units = {unit.unit_id for unit in office.units}
    yield "5.1", Finding(Text("đơn vị có hộp thư đơn vị", "units with a unit mailbox"), len(units & kept))
    yield "5.1", Finding(Text("chưa có", "without one"), len(units - kept))


def _forms(office: Office) -> Evidence:
    """Yield the people with the plain form of their name, and the plain forms that several share."""
    people = list(_people(office))
    forms = [_plain(person.full_name) for _, person in people]
    plain = sum(
        form is not None and any(address.partition("@")[0] == form for address in entry.addresses)
        for (entry, _), form in zip(people, forms, strict=True)
    )
    yield "5.3", Finding(Text("hộp thư cá nhân có địa chỉ dạng chuẩn", "personal mailboxes of the plain form"), plain)
    yield "5.3", Finding(Text("có dạng khác (5.4.b, 5.5)", "of another form (5.4.b, 5.5)"), len(people) - plain)
    shared = Counter(form for form in forms if form is not None)
    several = sum(count > 1 for count in shared.values())
    what = Text("dạng chuẩn mà nhiều người dùng thư cùng có", "plain forms that the names of several users make")
    yield "5.4.a", Finding(what, several)
    asked = [each for each in office.directory.requests.pending() if each.kind is Kind.ISSUE]
    late = sum(
        form is not None and any(f"{form}@{domain}" in office.snapshot.addresses for domain in office.snapshot.domains)
        for form in (_plain(request.item(Item.NAME) or "") for request in asked)
    )
    what = Text("yêu cầu cấp mới mà dạng chuẩn đã có người", "requests for a mailbox whose plain form is given already")
    yield "5.4.a", Finding(what, late)


def _contracts(office: Office) -> Evidence:
    """Yield contracts (Reg. 6.3); nothing is taken from people with a mailbox, so none is overdue."""
    today = local_day(office.now)
    people = [person for _, person in _people(office)]
    without = sum(
        refusal_reason(each.employment, each.contract_from, each.contract_until, today) is not None for each in people
    )
    what = Text("người có hộp thư nay không đủ điều kiện cấp mới", "people with a mailbox who would not be given one now")
    yield "6.3", Finding(what, without)
    ends = [each.contract_until for each in people if each.contract_until is not None]
    soon = sum(today <= end <= today + SOON for end in ends)
    yield "6.3", Finding(Text("hợp đồng hết hạn trong 30 ngày tới", "contracts that end within 30 days"), soon)
    what = Text("hợp đồng đã hết hạn mà chưa báo nghỉ (6.4.c)", "contracts that have ended, and no leave is told (6.4.c)")
    yield "6.3", Finding(what, sum(end < today for end in ends))


def _unicode(office: Office) -> Evidence:
    """Yield whether the directory's names are composed Unicode (Reg. 13.1)."""
    names = [person.full_name for person in office.people]
    names += [unit.name for unit in office.units]
    names += [entry.display_name for entry in office.snapshot]
    yield "13.1", Finding(Text("tên trong danh bạ", "names in the directory"), len(names))
    wrong = sum(not is_normalized("NFC", name) for name in names)
    yield "13.1", Finding(Text("không phải Unicode dựng sẵn", "that are not composed Unicode"), wrong, overdue=wrong > 0)


def _people(office: Office) -> Iterator[tuple[Entry, PersonRecord]]:
    """Yield people with a personal mailbox that is not reclaimed, who have not left."""
    known = {person.person_id: person for person in office.people}
    for entry, decision in office.decided():
        person = known.get(entry.owner.person_id or 0)
        left = decision.states & set(FINAL) or any(
            reason.state is State.SEND_LOCKED and reason.clause.startswith("6.4.c") for reason in decision.reasons
        )
        if entry.kind is MailboxKind.PERSONAL and person is not None and not left:
            yield entry, person


def _plain(name: str) -> str | None:
    """Return the plain local part; None: no address can be made of the name."""
    try:
        return personal_local_part(name)
    except MicMailError:
        return None
