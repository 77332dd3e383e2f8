"""Changes of the directory: the orders that are possible, and the record of each change.

Reg. 6.2, 6.4.b, 6.5. In: values only. Out: an `Order` (what is to change, from which day, on which document), the `Change`s
that it made, and the register entry that holds both. An order for a future day waits in the register and is carried out on that
day. A change is never altered or deleted: a mistake is corrected by a later order. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mic_mail.errors import Refused, Text
from mic_mail.i18n.labels import LabelledEnum

Json = str | int | bool | None | list["Json"] | dict[str, "Json"]


class OrderKind(LabelledEnum):
    """The kinds of orders; the members of their details are in brackets."""

    PERSON = "person", "thông tin cá nhân", "person"
    """A person's details change.

    [person, set: {full_name, position, level, unit_id, employment, contract_from, contract_until}, unit_from?: the unit that is
    left, moves?, until?]
    """
    ADDRESS = "address", "địa chỉ hộp thư", "mailbox address"
    """Mailboxes get other addresses; the old ones stay aliases.

    [moves: [[mailbox, address]], until: last day of the aliases]
    """
    UNIT = "unit", "thông tin đơn vị", "unit"
    """A unit's details change. [unit, set: {symbol, name, parent_id, document}, moves, until]"""
    MERGE = "merge", "sáp nhập đơn vị", "merger of units"
    """Units end in another one, which takes over everything they have.

    [units, into, own: [[unit, address of its mailbox]]]
    """
    SPLIT = "split", "chia, tách đơn vị", "split of a unit"
    """People, mailboxes and parts of a unit go to other units.

    [unit, moves: [{person|mailbox|part, to}], rest?, own]
    """
    CLOSE = "close", "giải thể đơn vị", "end of a unit"
    """A unit that has nothing left ends. [unit]"""
    LEVEL = "level", "cấp của chức danh", "level of a position"
    """The level of a position changes (Reg. 6.4.c); null: unknown. [title, level]"""
    DOMAIN = "domain", "tên miền", "domain"
    """Addresses under a domain name become local, or cease to be. [name, is_local]"""


class Subject(LabelledEnum):
    """The kind of row that a change is about."""

    PERSON = "person", "cá nhân", "person"
    UNIT = "unit", "đơn vị", "unit"
    MAILBOX = "mailbox", "hộp thư", "mailbox"
    ADDRESS = "address", "địa chỉ", "address"
    LEVEL = "level", "chức danh", "position"
    DOMAIN = "domain", "tên miền", "domain"
    OFFICER = "officer", "cán bộ quản trị", "officer"
    REQUEST = "request", "yêu cầu", "request"
    PLAN = "plan", "kế hoạch chuyển hệ thống", "migration plan"
    INCIDENT = "incident", "sự cố", "incident"


@dataclass(frozen=True, slots=True)
class Change:
    """One value that changed; None: there was none before, or is none after."""

    subject: Subject
    key: str
    """The row's identity: a number, an address, a title or a name."""
    field: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """An order to change the directory."""

    act: OrderKind
    details: Mapping[str, Json]
    effective_at: datetime
    actor: str
    reason: str = ""
    document: str | None = None
    request: int | None = None
    """The request on which it is carried out (Reg. 6.2); each request has at most one order."""


@dataclass(frozen=True, slots=True)
class OrderEntry:
    """A recorded order."""

    number: int
    order: Order
    recorded_at: datetime
    applied_at: datetime | None = None
    cancelled_at: datetime | None = None
    hindrance: Text | None = None
    """The reason why it could not be carried out on its day."""
    changes: tuple[Change, ...] = field(default=())

    @property
    def is_pending(self) -> bool:
        """Return whether the order is not carried out yet: its day is to come, or something prevented it."""
        return self.applied_at is None and self.cancelled_at is None


class ChangeRefused(Refused):
    """The directory as it is does not allow the change."""


FIELDS: Mapping[str, Text] = {
    "full_name": Text("họ và tên", "full name"),
    "position": Text("chức danh", "position"),
    "level": Text("cấp", "level"),
    "unit_id": Text("đơn vị", "unit"),
    "employment": Text("diện", "employment"),
    "contract_from": Text("hợp đồng từ", "contract from"),
    "contract_until": Text("hợp đồng đến", "contract until"),
    "symbol": Text("ký hiệu", "symbol"),
    "name": Text("tên", "name"),
    "parent_id": Text("đơn vị cấp trên", "unit above"),
    "document": Text("văn bản", "document"),
    "ended_on": Text("kết thúc ngày", "ended on"),
    "successor_id": Text("đơn vị kế thừa", "successor"),
    "kind": Text("loại", "kind"),
    "display_name": Text("tên hiển thị", "display name"),
    "mailbox_id": Text("dẫn đến hộp thư", "leads to mailbox"),
    "role": Text("vai trò", "role"),
    "until": Text("đến hết ngày", "until"),
    "is_local": Text("thuộc hệ thống", "local"),
}
