"""Reg. 5.5: the address rules bind only mailboxes issued after the regulation; older ones are kept and shown as such."""

import json
from datetime import date, datetime

import pytest

from mic_mail.clock import HO_CHI_MINH, SystemClock
from mic_mail.directory.repository import Directory
from mic_mail.policy.facts import Draft, FactKind, MailboxKind, record
from mic_mail.policy.naming.addresses import is_bound, is_of_name
from population import Population
from regulation.console import Console

DECISION = date(2016, 3, 31)


def born(kind: FactKind, day: str, **data: str) -> list:  # type: ignore[type-arg]
    at = datetime.fromisoformat(day).replace(tzinfo=HO_CHI_MINH)
    return [record(Draft(kind, at, "test", data=data), mailbox_id=1, previous=None, recorded_at=at)]


@pytest.mark.parametrize(
    ("facts", "issued_on", "bound"),
    [
        (born(FactKind.ISSUED, "2016-03-31"), DECISION, True),
        (born(FactKind.ISSUED, "2016-03-30"), DECISION, False),
        (born(FactKind.ISSUED, "2026-01-05"), None, True),
        (born(FactKind.IMPORTED, "2026-01-05"), DECISION, False),
        (born(FactKind.IMPORTED, "2026-01-05", created_on="2012-05-01"), DECISION, False),
        (born(FactKind.IMPORTED, "2026-01-05", created_on="2016-03-31"), DECISION, True),
        (born(FactKind.IMPORTED, "2026-01-05", created_on="2016-03-31"), None, True),
        (born(FactKind.IMPORTED, "2026-01-05"), None, False),
        ([], DECISION, False),
    ],
)
def test_whom_the_rules_bind(facts: list, issued_on: date | None, bound: bool) -> None:  # type: ignore[type-arg]
    """The day of the decision is the first that is bound, in Ha Noi; an imported one is as old as is known of it."""
    assert is_bound(facts, issued_on) is bound


@pytest.mark.parametrize(
    ("local", "name", "of"),
    [
        ("dvbe", "Đỗ Văn Bê", True),
        ("bedv.cntt", "Đỗ Văn Bê", True),
        ("dovanbe", "Đỗ Văn Bê", True),
        ("be1", "Đỗ Văn Bê", False),
        ("bang.do", "Đỗ Văn Bê", False),
    ],
)
def test_an_address_of_the_name(local: str, name: str, of: bool) -> None:
    """Any arrangement that the person could have chosen (Reg. 5.3, 5.4.b)."""
    assert is_of_name(local, name) is of


def test_the_check_leaves_older_addresses_alone(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """`directory check` notes a later one that is not of the name; `mailbox show` and the evidence say which are older."""
    console = Console(tmp_path).init()
    file = tmp_path / "mic-mail.toml"
    file.write_text(file.read_text().replace("[regulation]\n", "[regulation]\nissued_on = 2016-03-31\n", 1))
    population = Population(f"sqlite:///{tmp_path / 'data' / 'directory' / 'directory.sqlite'}", SystemClock())
    old = datetime(2012, 5, 1, tzinfo=HO_CHI_MINH)
    older = population.issue("bang.do", name="Đỗ Văn Bằng")
    later = population.issue("hoa1", name="Lê Hoa")
    population.issue("support", name="Trung tâm", kind=MailboxKind.GROUP)
    directory: Directory = population.directory
    with directory._engine.begin() as connection:  # a mailbox as an import leaves it
        for trigger in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.exec_driver_sql(f"DROP TRIGGER {trigger[0]}")
        connection.exec_driver_sql(f"DELETE FROM fact WHERE mailbox_id = {older.mailbox_id}")
    directory.append_fact(older.mailbox_id, Draft(FactKind.IMPORTED, old, "test", data={"address": "bang.do@mic.gov.vn"}))
    noted = [row for row in _check(console) if row["kind"] == "address_not_of_the_name"]
    assert [row["subject"] for row in noted] == [later.address]
    assert console.json("mailbox", "show", older.address)["older_address"] is True
    assert console.json("mailbox", "show", later.address)["older_address"] is False
    shown = console.json("regulation", "show", "5.5")["evidence"]
    assert [each["count"] for each in shown if each["what"]["en"] == "addresses older than the rules"] == [1]


def test_no_person_brings_an_address_of_a_function(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """An older address is kept, but postmaster@ and support@ are nobody's own: others write there to a function."""
    console = Console(tmp_path).init()
    console.done("unit", "add", "--document", "1/CV", "TTTT", "Trung tâm Thông tin")
    console.done("person", "add", "Lê Hoa", "--unit", "TTTT")
    old = ("import", "address", "support@mic.gov.vn", "--document", "1/YC")
    console.refused(*old, "--person", "1", says="not given to people")
    console.done(*old, "--unit", "TTTT")
    console.done("import", "address", "hoa.1999@mic.gov.vn", "--person", "1", "--document", "1/YC")


def _check(console: Console) -> list:  # type: ignore[type-arg]
    console.run("directory", "check", "--json")
    return json.loads(console.out)
