"""Reg. 6.2: a unit is told what became of its request, once, whenever the Centre has decided; nobody else is."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mic_mail.clock import ManualClock
from mic_mail.directory.records import UnitRecord
from mic_mail.policy.requests import Filing, Item, RequestChannel, RequestKind, RequestState
from mic_mail.services.requests.outcome_notices import WINDOW
from regulation.requests_by_mail import HEADING, NOW, Ministry, a_csv, register

ROWS = (("vướng mắc", "", "", "", "", "", "Thư đến chậm"), ("khác", "", "", "", "", "", "Xin tài liệu"))


@pytest.fixture
def ministry(serve: Callable[..., Any]) -> Ministry:
    return Ministry(serve(clock=ManualClock(NOW)))


def looked(ministry: Ministry, times: int = 1) -> list[str]:
    """What lies in the unit's mailbox after the housekeeper has come, without the answer to the mail itself."""
    for _ in range(times):
        ministry.server.refresh()
        ministry.server.housekeep()
    texts = [str(m.get_payload(decode=True), "utf-8") for m in ministry.inbox(ministry.unit)]
    return [text for text in texts if "Yêu cầu số" in text]


def test_done_and_refused_are_told_once_with_the_result(ministry: Ministry) -> None:
    """What was asked by mail: the answer is in the mailbox that asked; what is only agreed to is not told yet."""
    ministry.submit(ministry.mail("cntt@mic.gov.vn", a_csv(HEADING, *ROWS)), "cntt@mic.gov.vn")
    problem, other = ministry.opened()
    problem = register(ministry).agree(problem, "mai", "sẽ làm")
    assert looked(ministry) == []
    register(ministry).done(problem, "mai", "Đã tăng số tiến trình")
    register(ministry).refuse(other, "mai", "Không thuộc thẩm quyền")
    told = looked(ministry, 3)
    assert len(told) == 2
    assert f"Yêu cầu số {problem.request_id} của đơn vị (vướng mắc: Thư đến chậm) đã được giải quyết" in told[0]
    assert "kết quả: Đã tăng số tiến trình" in told[0]
    assert "bị từ chối" in told[1]
    assert "lý do: Không thuộc thẩm quyền" in told[1]
    assert len(ministry.inbox(ministry.support)) == 1


def test_a_letter_is_answered_to_the_units_mailbox_too(ministry: Ministry) -> None:
    """However it came; a unit without a mailbox is told by other ways, and what was decided long ago is not told anew."""
    directory, now = ministry.directory, ministry.server.clock.now()
    away = directory.add_unit(UnitRecord(0, "XA", "Đơn vị ở xa"))
    for unit_id, note in ((ministry.unit.unit_id, "gần"), (away.unit_id, "xa")):
        request = directory.requests.add(
            Filing(RequestKind.OTHER, RequestChannel.TELEPHONE, "Hoa", unit_id, now, items={Item.NOTE: note}), "mai", now
        )
        register(ministry).done(request, "mai", "xong")
    old = directory.requests.add(
        Filing(RequestKind.OTHER, RequestChannel.MAIL, "Hoa", ministry.unit.unit_id, now, items={Item.NOTE: "cũ"}),
        "x",
        now,
    )
    directory.requests.step(old, RequestState.DONE, "mai", now - WINDOW - timedelta(days=1), result="cũ")
    ministry.server.refresh()
    ministry.server.housekeep()
    boxes = {"support": ministry.support, "unit": ministry.unit, "be": ministry.be}
    letters = {name: [str(m.get_payload(decode=True), "utf-8") for m in ministry.inbox(box)] for name, box in boxes.items()}
    told = [text for texts in letters.values() for text in texts if "đã được giải quyết" in text]
    assert len(told) == 1
    assert "gần" in told[0]
    assert not any("đã được giải quyết" in text for text in letters["be"])


def test_a_kill_between_the_letter_and_its_line_tells_nobody_twice(ministry: Ministry) -> None:
    """The mailbox itself refuses a second letter of one key."""
    ministry.submit(ministry.mail("cntt@mic.gov.vn", a_csv(HEADING, *ROWS)), "cntt@mic.gov.vn")
    register(ministry).done(ministry.opened()[0], "mai", "xong")
    assert len(looked(ministry)) == 1
    with ministry.directory._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM sent_notice WHERE key LIKE 'request-decided:%'")
        connection.exec_driver_sql("UPDATE revision SET version = version + 1")
    assert len(looked(ministry, 2)) == 1
    assert ministry.directory.sent.beginning("request-decided:")
