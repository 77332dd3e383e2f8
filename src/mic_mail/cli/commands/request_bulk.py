"""Decide several requests by one command (Reg. 6.2): each has its own record and its own result.

A refusal or trouble of one does not stop the others. After an interruption the rows so far are shown, since a password among
them is shown only once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import typer

from mic_mail.cli import output
from mic_mail.cli.directory_orders import CHANGES
from mic_mail.cli.labels import REQUEST_ITEMS
from mic_mail.cli.output import Cell, Column, Row, coded, row_of
from mic_mail.errors import BadInput, MicMailError, Text, in_ascii
from mic_mail.policy.requests import Filing, Item, Request

_ONE = (
    Column("request_id", "Số", "No.", right=True),
    *coded("kind", "Loại", "Kind"),
    Column("subject", "Về", "About"),
    Column("items", "Nội dung", "Content", names=REQUEST_ITEMS),
    Column("state", "Trạng thái", "State", json_only=True),
)
_STATE = Column("state_name", "Trạng thái", "State", of="state.label")
_WHY = (Column("refused", "Không thực hiện được vì", "Not done because"), Column("clause", "Căn cứ", "Clause", cites=True))
_MAILBOX = Column("address", "Hộp thư", "Mailbox")
_BEFORE = Column("before", "Đã thực hiện từ trước", "Done before")
DECIDED = (*_ONE, _STATE, *_WHY)
APPROVED = (*_ONE, _STATE, _MAILBOX, Column("password", "Mật khẩu mới", "New password"), _BEFORE, *_WHY)
REHEARSED = (*_ONE, Column("state_name", "Sẽ là", "Would be"), _MAILBOX, _BEFORE, *_WHY)
REHEARSED_APPROVALS = (*REHEARSED, Column("changes", "Thay đổi", "Changes", json_only=True))
"""The rows of the directory that an approval changes are in a table of their own."""
_DAYS = frozenset({Item.DAY, Item.CONTRACT_FROM, Item.CONTRACT_UNTIL})
Act = Callable[[int], Row]
"""Decides the request of this number; returns its row."""


def each_once(numbers: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


def must_be_one(numbers: Sequence[int], options: Mapping[str, object]) -> None:
    """Refuse, for several requests, options about one person or mailbox; `options`: those by name."""
    given = [name for name, value in options.items() if value]
    if len(numbers) > 1 and given:
        names = ", ".join(given)
        raise BadInput(
            Text(f"{names} chỉ dùng cho một yêu cầu.", f"{names}: only for a single request."),
            clause="6.2",
            remedy=Text("Chấp thuận riêng yêu cầu đó.", "Approve that request separately."),
        )


def decide(numbers: Sequence[int], act: Act, columns: Sequence[Column], *, as_json: bool, rehearsed: bool = False) -> None:
    """Decide each request and print all results; exit code 1 if any was not done."""
    rows: list[Row] = []
    try:
        for number in numbers:
            rows.append(_tried(number, act))  # noqa: PERF401 - one at a time: an interruption still shows the rows so far
    finally:
        output.listing(columns, rows, as_json=as_json)
    if not as_json:
        _print_changes(rows)
    failed = sum(row.get("refused") is not None for row in rows)
    done = len(rows) - failed
    if rehearsed:
        summary = Text(
            f"Chưa thay đổi gì: {done} yêu cầu sẽ được thực hiện, {failed} không thực hiện được.",
            f"Nothing is changed: {done} would be done, {failed} would not.",
        )
    else:
        summary = Text(f"Đã thực hiện {done} yêu cầu, {failed} không thực hiện được.", f"{done} done, {failed} not.")
    output.note(summary)
    if failed:
        raise typer.Exit(1)


def asked_for(filing: Filing) -> dict[str, str | date]:
    """Return a request's items; a day is a date, so that a table writes it as people do, and JSON as ISO."""
    return {item.value: date.fromisoformat(value) if item in _DAYS else value for item, value in filing.items.items()}


def request_row(request: Request) -> dict[str, Cell]:
    subject, items = output.localized(request.filing.subject) or None, asked_for(request.filing)
    return row_of((*_ONE, _STATE), request, subject=subject, items=items)


def _print_changes(rows: Iterable[Row]) -> None:
    for row in rows:
        changes: Any = row.get("changes")
        if changes:
            number = row["request_id"]
            output.listing(CHANGES, changes, as_json=False, title=Text(f"Yêu cầu số {number}", f"Request {number}"))


def _tried(number: int, act: Act) -> Row:
    try:
        return act(number)
    except MicMailError as error:
        return {"request_id": number, "refused": error.text, "clause": error.clause}
    except OSError as error:
        return {"request_id": number, "refused": Text(str(error), in_ascii(error))}
