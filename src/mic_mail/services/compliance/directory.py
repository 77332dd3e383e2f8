"""Evidence from the directory: entries, address book, check, names, contracts and censuses of units."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from unicodedata import is_normalized

from mic_mail.addressbook.cards import CardKind
from mic_mail.directory.records import PersonRecord
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import MicMailError, Text
from mic_mail.policy import census
from mic_mail.policy.calendar import local_day
from mic_mail.policy.eligibility import refusal_reason
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.naming.addresses import personal_local_part
from mic_mail.policy.requests import Item, RequestKind
from mic_mail.policy.states import FINAL, MailboxState
from mic_mail.services.compliance.finding import Finding, Records, dated, dated_acts, evidence
from mic_mail.services.mailboxes.address_book import make_book
from mic_mail.services.mailboxes.consistency_check import FindingSeverity, inspect
from mic_mail.services.settings import lifecycle_settings

SOON = timedelta(days=30)
"""Contracts that end within this time are reported."""


@evidence("2.6")
def entries(records: Records) -> Iterator[Finding]:
    """Count what the directory holds, what the address book lists of it, and the exports."""
    yield Finding(Text("cá nhân trong danh bạ", "people in the directory"), len(records.people))
    cards = make_book(records.directory, records.config, records.now).cards
    people = [card for card in cards if card.kind is CardKind.PERSON]
    units = sum(card.kind is CardKind.UNIT for card in cards)
    yield Finding(Text("đơn vị trong danh bạ", "units in the directory"), units)
    shown = Text("cá nhân hiện nêu trong danh bạ, không kể người đã nghỉ", "people listed now, without leavers")
    yield Finding(shown, len(people))
    without = sum(not card.addresses for card in people)
    yield Finding(Text("trong đó chưa có hộp thư", "of these without a mailbox"), without)
    yield dated_acts(Text("lần xuất danh bạ", "exports of the directory"), records.acts("directory_export"))


@evidence("13.2")
def listeners(records: Records) -> Iterator[Finding]:
    doors = [door for door in ("ldap", "ldaps") if door in records.config.listen.doors]
    named = ", ".join(doors) or "-"
    yield Finding(Text(f"dịch vụ danh bạ đang mở: {named}", f"listeners of the directory: {named}"), len(doors))


@evidence("6.5")
def agreement(records: Records) -> Iterator[Finding]:
    found = inspect(
        records.snapshot,
        records.config.mail_root,
        records.now,
        lifecycle_settings(records.config, records.snapshot.working_days),
        records.config.support,
        officers=records.directory.officers.all(),
        issued_on=records.config.regulation.issued_on,
    )
    names = {
        FindingSeverity.ERROR: Text("lỗi khi đối chiếu danh bạ với hộp thư", "errors between directory and mailboxes"),
        FindingSeverity.WARNING: Text("cảnh báo khi đối chiếu", "warnings"),
        FindingSeverity.NOTE: Text("lưu ý khi đối chiếu", "notes"),
    }
    for severity, what in names.items():
        count = sum(each.severity is severity for each in found)
        yield Finding(what, count, overdue=severity is FindingSeverity.ERROR and count > 0)


@evidence("3.1")
def users(records: Records) -> Iterator[Finding]:
    using = {records.unit_of(entry) for entry in records.live}
    units = {unit.unit_id for unit in records.units}
    yield Finding(Text("đơn vị có hộp thư trong hệ thống", "units with mailboxes in the system"), len(units & using))
    yield Finding(Text("đơn vị chưa có hộp thư nào", "units without any mailbox"), len(units - using))


@evidence("5.1")
def unit_mailboxes(records: Records) -> Iterator[Finding]:
    kept = {entry.owner.unit_id for entry in records.live if entry.kind is MailboxKind.UNIT}
    units = {unit.unit_id for unit in records.units}
    yield Finding(Text("đơn vị", "units"), len(units))
    yield Finding(Text("đơn vị có hộp thư đơn vị", "units with a unit mailbox"), len(units & kept))
    yield Finding(Text("chưa có", "without one"), len(units - kept))


def _censuses(records: Records) -> Mapping[int, Sequence[census.Census]]:
    found: dict[int, list[census.Census]] = {}
    seen = {unit.unit_id for unit in records.directory.units()}
    for each in records.directory.censuses.of():
        if each.unit_id in seen:
            found.setdefault(each.unit_id, []).append(each)
    return found


@evidence("14.6")
def confirmed(records: Records) -> Iterator[Finding]:
    period = census.period_of(local_day(records.now), records.config.census.months)
    by_unit = _censuses(records)
    first: dict[int, datetime] = {}
    for entry in records.snapshot:
        unit = records.unit_of(entry)
        if unit is not None and entry.facts:
            recorded = entry.facts[0].recorded_at
            first[unit] = min(first.get(unit, recorded), recorded)
    stands = Counter(census.standing(period, by_unit.get(unit, ()), since, records.now) for unit, since in first.items())
    last = max((each.confirmed_at for found in by_unit.values() for each in found if each.confirmed_at), default=None)
    name = f"{period:%m/%Y}"
    what = Text(f"đơn vị đã xác nhận kỳ {name}", f"units that confirmed the list of {name}")
    yield Finding(what, stands[census.CensusStanding.CONFIRMED], last)
    if stands[census.CensusStanding.OVERDUE]:
        what = Text(f"đơn vị chưa xác nhận kỳ {name}", f"units that did not confirm the list of {name}")
        yield Finding(what, stands[census.CensusStanding.OVERDUE], overdue=True)


@evidence("14.3")
def lists(records: Records) -> Iterator[Finding]:
    made = [each.made_at for found in _censuses(records).values() for each in found]
    yield dated(Text("danh sách đã lập", "lists made"), made)


@evidence("5.3")
def plain_forms(records: Records) -> Iterator[Finding]:
    people = list(_people(records))
    plain = sum(
        any(address.partition("@")[0] == form for address in entry.addresses)
        for entry, person in people
        if (form := _plain(person.full_name)) is not None
    )
    yield Finding(Text("hộp thư cá nhân có địa chỉ dạng chuẩn", "personal mailboxes of the plain form"), plain)
    yield Finding(Text("có dạng khác (5.4.b, 5.5)", "of another form (5.4.b, 5.5)"), len(people) - plain)


@evidence("5.4.a")
def shared_forms(records: Records) -> Iterator[Finding]:
    """Count the plain forms that several people share, and those asked for that are given already."""
    forms = Counter(form for _, person in _people(records) if (form := _plain(person.full_name)) is not None)
    what = Text("dạng chuẩn mà nhiều người dùng thư cùng có", "plain forms that several users share")
    yield Finding(what, sum(count > 1 for count in forms.values()))
    asked = [each for each in records.directory.requests.pending() if each.kind is RequestKind.ISSUE]
    late = sum(
        form is not None and any(f"{form}@{domain}" in records.snapshot.addresses for domain in records.snapshot.domains)
        for form in (_plain(request.item(Item.NAME) or "") for request in asked)
    )
    what = Text("yêu cầu cấp mới mà dạng chuẩn đã có người", "requests for a mailbox whose plain form is already taken")
    yield Finding(what, late)


@evidence("6.3")
def contracts(records: Records) -> Iterator[Finding]:
    """Count contracts too short or at their end; mailboxes stay with their people, so none is overdue."""
    today = local_day(records.now)
    people = [person for _, person in _people(records)]
    without = sum(
        refusal_reason(each.employment, each.contract_from, each.contract_until, today) is not None for each in people
    )
    what = Text("người có hộp thư nay không đủ điều kiện cấp mới", "people with a mailbox who would not be issued one now")
    yield Finding(what, without)
    ends = [each.contract_until for each in people if each.contract_until is not None]
    soon = sum(today <= end <= today + SOON for end in ends)
    yield Finding(Text("hợp đồng hết hạn trong 30 ngày tới", "contracts that end within 30 days"), soon)
    what = Text("hợp đồng đã hết hạn mà chưa báo nghỉ (6.4.c)", "contracts that have ended without a recorded leave (6.4.c)")
    yield Finding(what, sum(end < today for end in ends))


@evidence("13.1")
def composed_names(records: Records) -> Iterator[Finding]:
    names = [person.full_name for person in records.people]
    names += [unit.name for unit in records.units]
    names += [entry.display_name for entry in records.snapshot]
    yield Finding(Text("tên trong danh bạ", "names in the directory"), len(names))
    wrong = sum(not is_normalized("NFC", name) for name in names)
    yield Finding(Text("không phải Unicode dựng sẵn", "that are not composed Unicode"), wrong, overdue=wrong > 0)


def _people(records: Records) -> Iterator[tuple[Entry, PersonRecord]]:
    """Yield people with a personal mailbox that is not reclaimed, who have not left."""
    known = {person.person_id: person for person in records.people}
    for entry, decision in records.decided():
        person = known.get(entry.owner.person_id or 0)
        left = decision.states & set(FINAL) or any(
            reason.state is MailboxState.SEND_LOCKED and reason.clause.startswith("6.4.c") for reason in decision.reasons
        )
        if entry.kind is MailboxKind.PERSONAL and person is not None and not left:
            yield entry, person


def _plain(name: str) -> str | None:
    """Return the plain local part; None: no address can be made of the name."""
    try:
        return personal_local_part(name)
    except MicMailError:
        return None
