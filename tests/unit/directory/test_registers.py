"""The registers beside the mailboxes: the calendar, the officers, what was sent."""

from datetime import date, timedelta

from sqlalchemy import insert

from mic_mail.clock import ManualClock
from mic_mail.directory.engine import connect, writing
from mic_mail.directory.register_model import RequestMail
from mic_mail.directory.repository import Directory
from mic_mail.directory.sent_notices import MOST_ASKED
from mic_mail.policy.authorization.roles import Officer, OfficerRole
from mic_mail.policy.calendar import Year

TET = Year(2026, frozenset({date(2026, 2, 16), date(2026, 2, 17)}), frozenset({date(2026, 8, 22)}), "12/TB-VP")


def test_a_year_is_replaced_whole(directory: Directory) -> None:
    """What was expected goes when the announcement comes; a snapshot counts by it at once."""
    old = directory.load_snapshot()
    directory.years.put(Year(2026, frozenset({date(2026, 2, 14)}), provisional=True))
    directory.years.put(Year(2025))
    directory.years.put(TET)
    assert directory.years.all() == [Year(2025), TET]
    new = directory.load_snapshot(old)
    assert old.working_days.known == frozenset()
    assert new.working_days == directory.years.working_days()
    assert new.working_days.is_rest(date(2026, 2, 16))
    assert not new.working_days.is_rest(date(2026, 8, 22))


def test_terms_of_officers(directory: Directory, clock: ManualClock) -> None:
    """A term ends for each login by itself, once; what is over stays on record."""
    now = clock.now()
    lan = Officer("lan", "Trần Thị Lan", OfficerRole.CENTRE, None, now, None, "5/QĐ")
    hoa = Officer("hoa", "Lê Hoa", OfficerRole.UNIT, 1, now, now + timedelta(days=365))
    for officer in (lan, hoa):
        directory.officers.add(officer)
    assert directory.officers.all() == [lan, hoa]
    later = now + timedelta(days=2)
    assert directory.officers.end("hoa", later) == 1
    assert directory.officers.end("hoa", later) == 0
    assert directory.officers.end("nobody", later) == 0
    assert [officer.until for officer in directory.officers.all()] == [None, later]


def test_what_was_sent_is_known(directory: Directory, clock: ManualClock) -> None:
    """By any number of keys; saying it twice changes nothing."""
    keys = [f"leave:{number}" for number in range(MOST_ASKED + 3)]
    for _ in range(2):
        directory.sent.put(keys[1:], clock.now())
    assert directory.sent.known(keys) == set(keys[1:])
    assert directory.sent.known(keys[:3]) == set(keys[1:3])
    assert directory.sent.known([]) == set()


def test_mail_whose_sender_is_not_on_record_is_answered_by_nobody(directory: Directory, url: str, clock: ManualClock) -> None:
    """It was read, and answered, before revision 0009 of the tables."""
    known = {"read_at": clock.now(), "outcomes": "[]"}
    engine = connect(url)
    with writing(engine) as connection:
        connection.execute(insert(RequestMail).values(key="old", **known))
        connection.execute(insert(RequestMail).values(key="new", sender="cntt@mic.gov.vn", unit_id=1, **known))
    engine.dispose()
    assert [mail.key for mail in directory.requests.mail_read(clock.now())] == ["new"]
