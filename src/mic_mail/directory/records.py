"""Immutable records of units, people and mailboxes, as the directory returns them to its callers.

The ORM's objects stay inside `repository`; these leave it. Dates are calendar days, instants aware and in UTC. A record with
the id 0 is not stored yet.
"""

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from mic_mail.errors import BadInput, Refused, Text
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.eligibility import Employment
from mic_mail.policy.facts import Level, MailboxKind

BRING_BACK = Text(
    "Lấy lại directory.sqlite từ bản sao lưu; với máy chủ mới, chạy `mic-mail init`.",
    "Restore directory.sqlite from a backup; for a new server run `mic-mail init`.",
)


IDS_END = 1 << 31
"""An upper bound of numbers: no register counts as far, and databases refuse larger parameters."""


class NotFound(BadInput):
    """No such unit, person, mailbox or address."""


def not_found(vi: str, en: str, number: int) -> NotFound:
    return NotFound(Text(f"Không có {vi} {number}.", f"No such {en}: {number}."))


class AlreadyThere(Refused):
    """The address or symbol is taken (Reg. 5.2, 5.4)."""


class UnitEnded(Refused):
    """The unit was merged, split or closed: nothing can belong to it any more (Reg. 6.5)."""


class Superseded(Refused):
    """A newer fact was recorded while this change was being decided; the caller has to look again."""


RECORD_CHANGED = Text(
    "Hồ sơ hộp thư vừa thay đổi; đề nghị xem lại.", "The mailbox's record has just changed; check it and try again."
)


class DoneBefore(Refused):
    """The request was already carried out.

    Its fact is in the mailbox's record, or its order in the register of changes.
    """

    def __init__(self, number: object) -> None:
        super().__init__(
            Text(f"Yêu cầu số {number} đã được thực hiện.", f"Request {number} has already been carried out."), clause="6.2"
        )


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """A unit; `symbol` as in the register of Reg. 5.1, `document` the one that lists it."""

    unit_id: int
    symbol: str
    name: str
    parent_id: int | None = None
    document: str | None = None
    ended_on: date | None = None
    """The first day on which the unit no longer exists; None: it exists."""
    successor_id: int | None = None
    """The unit that took over from an ended unit."""

    @property
    def is_living(self) -> bool:
        """Return whether people and mailboxes may belong to it."""
        return self.ended_on is None


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """A person; one without a mailbox is information, not an error (Reg. 2.6)."""

    person_id: int
    full_name: str
    unit_id: int
    position: str
    level: Level | None
    """The rank of Reg. 6.4.c; None: not known yet, asked for when it is needed."""
    employment: Employment
    contract_from: date | None = None
    contract_until: date | None = None


@dataclass(frozen=True, slots=True)
class MailboxRecord:
    """A mailbox as it was issued: to a person, or to the unit that owns or sponsors it."""

    mailbox_id: int
    kind: MailboxKind
    address: str
    home: str
    display_name: str
    quota_octets: int
    person_id: int | None = None
    unit_id: int | None = None
    capabilities_hidden: frozenset[str] = frozenset()


class AddressRole(LabelledEnum):
    """The role of an address for its mailbox; `former` ones deliver nowhere but stay taken."""

    PRIMARY = "primary", "địa chỉ chính", "primary"
    ALIAS = "alias", "bí danh", "alias"
    FORMER = "former", "địa chỉ cũ", "former"


@dataclass(frozen=True, slots=True)
class AddressRecord:
    """An address and its mailbox; `role` is primary, alias or former.

    `until` is the last day of an alias that is retained for a time.
    """

    address: str
    mailbox_id: int
    role: str
    until: date | None = None


class Mended(NamedTuple):
    """The numbers of corrected instants that were ahead of the clock."""

    uses: int
    app_passwords: int
    notices: int
