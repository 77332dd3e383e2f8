"""Orders of commands that change the directory: recorded or dry-run, with every changed row.

`--dry-run` gives the order to a copy of the directory, where one for a later day is carried out immediately.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Annotated, Any

from mic_mail.cli import output
from mic_mail.cli.acts import Act
from mic_mail.cli.date_args import read_day
from mic_mail.cli.options import JsonOption, WhyOption, option
from mic_mail.cli.output import Cell, Column, Part, row_of
from mic_mail.directory.dry_run import rehearsal
from mic_mail.directory.records import AddressRole
from mic_mail.directory.repository import Directory
from mic_mail.errors import Text
from mic_mail.i18n.labels import labels
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.directory_changes import FIELDS, Change, OrderEntry, Subject
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Level, MailboxKind
from mic_mail.services.mailboxes.directory_changes import DirectoryChanges

DocumentOption = Annotated[
    str | None, option("--document", "Số văn bản làm căn cứ, bắt buộc.", "Number of the document; required.")
]
DryOption = Annotated[bool, option("--dry-run", "Chỉ in từng dòng sẽ thay đổi.", "Only print the rows that would change.")]
KeepOption = Annotated[
    int | None,
    option("--keep-days", "Địa chỉ cũ là bí danh trong số ngày này.", "Days for which the old address stays an alias.", min=0),
]
CHANGES = (
    Column("subject", "Đối tượng", "Subject"),
    Column("key", "Mã", "Key", json_only=True),
    Column("name", "Của", "Of"),
    Column("field", "Mục", "Field", names=FIELDS),
    Column("old", "Trước", "Before"),
    Column("new", "Sau", "After"),
)
ORDERS = (
    Column("order", "Số", "No.", right=True, of="number"),
    Column("act", "Loại", "Kind", of="order.act"),
    Column("effective_at", "Hiệu lực từ", "In force from", of="order.effective_at"),
    Column("recorded_at", "Ghi lúc", "Recorded"),
    Column("applied_at", "Thực hiện lúc", "Carried out"),
    Column("document", "Văn bản", "Document", of="order.document"),
    Column("actor", "Người thực hiện", "By", of="order.actor"),
    Column("request", "Yêu cầu số", "Request", right=True, of="order.request"),
    Column("reason", "Lý do", "Reason"),
    Column("hindrance", "Chưa thực hiện được vì", "Not carried out because"),
)
_DAYS = frozenset({"until", "ended_on", "contract_from", "contract_until"})
_NAMES: Mapping[str, Mapping[Any, Text]] = {
    "level": labels(Level),
    "employment": labels(Employment),
    "kind": labels(MailboxKind),
    "role": labels(AddressRole),
    "is_local": {"yes": Text("có", "yes"), "no": Text("không", "no")},
}
_UNITS = frozenset({"unit_id", "parent_id", "successor_id"})

Give = Callable[[DirectoryChanges, ActContext], OrderEntry]
"""Gives the order to the services."""


@dataclass(kw_only=True)
class OrderAct(Act):
    """The act of a command that changes the directory, with the options that all of them share."""

    document: DocumentOption = None
    day: Annotated[
        str | None, option("--from", "Có hiệu lực từ ngày; mặc định ngay.", "First day on which it applies; default: now.")
    ] = None
    reason: WhyOption = ""
    dry_run: DryOption = False
    as_json: JsonOption = False

    @property
    def first_day(self) -> date | None:
        return read_day(self.day) if self.day is not None else None

    def give(self, subject: str, give: Give, **details: Any) -> None:
        """Give one order, or try it on a copy, and print what it changes."""
        here = self.here
        if self.dry_run:
            with rehearsal(here.directory) as copy:
                entry = give(DirectoryChanges(copy, here.config, here.clock), self.origin)
                if entry.is_pending:
                    entry = copy.changes.carry_out(entry.number, entry.order.effective_at)
                _show(copy, replace(entry, applied_at=None), as_json=self.as_json)
            output.note("Chỉ là thử: không có gì thay đổi.", "Dry run: nothing was changed.")
            return
        with self.recorded(subject, day=self.day, **details):
            entry = give(here.use_cases(DirectoryChanges), self.origin)
        _show(here.directory, entry, as_json=self.as_json)
        if entry.is_pending:
            output.note(
                f"Thay đổi số {entry.number} chờ đến ngày có hiệu lực; hủy: mic-mail directory cancel {entry.number}",
                f"Change {entry.number} waits for its day; to cancel it: mic-mail directory cancel {entry.number}",
            )


def order_row(entry: OrderEntry) -> dict[str, Cell]:
    """Return an order without its changes, for a listing."""
    return row_of(ORDERS, entry, reason=entry.order.reason or None)


class RowNames:
    """The names of the changed rows, as the directory has them now."""

    def __init__(self, directory: Directory) -> None:
        self._units = {str(unit.unit_id): unit.symbol for unit in directory.units()}
        self._people = {str(person.person_id): person.full_name for person in directory.people()}
        self._mailboxes = {str(mailbox.mailbox_id): mailbox.address for mailbox in directory.mailboxes()}

    def row(self, change: Change) -> dict[str, Cell]:
        of: Mapping[Subject, Mapping[str, str]] = {
            Subject.UNIT: self._units, Subject.PERSON: self._people, Subject.MAILBOX: self._mailboxes,
        }  # fmt: skip
        name = of.get(change.subject, {}).get(change.key, change.key)
        old, new = self._value(change.field, change.old), self._value(change.field, change.new)
        return row_of(CHANGES, change, name=name, old=old, new=new)

    def _value(self, field: str, value: str | None) -> Cell:
        if value is None:
            return None
        if field in _UNITS:
            return self._units.get(value, value)
        if field == "mailbox_id":
            return self._mailboxes.get(value, value)
        if field in _DAYS:
            return date.fromisoformat(value)
        return _NAMES.get(field, {}).get(value, value)


def _show(directory: Directory, entry: OrderEntry, *, as_json: bool) -> None:
    rows = list(map(RowNames(directory).row, entry.changes))
    part = Part("changes", CHANGES, rows, Text("Thay đổi", "Changes"))
    output.record(ORDERS, order_row(entry), part, as_json=as_json)
