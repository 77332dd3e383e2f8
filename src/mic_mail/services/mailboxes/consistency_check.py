"""Disagreements between the directory and the mailboxes in operation (Reg. 6.5).

In: the directory's snapshot and the mail root. Out: a list of disagreements, gravest first. Reads only and repairs
nothing: each entry names the remedy. A person without a mailbox is information, not an error (Reg. 2.6), and not
listed.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from mic_mail.config.limits import QUOTA_FLOOR
from mic_mail.directory.records import PersonRecord, UnitRecord
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.errors import MicMailError, Text, in_ascii
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.authorization.roles import NotAuthorised, Officer, must_keep_centre
from mic_mail.policy.directory_changes import OrderEntry as Order
from mic_mail.policy.facts import MailboxKind, first_broken
from mic_mail.policy.legal_holds import must_keep
from mic_mail.policy.lifecycle import LifecycleSettings, MailboxState
from mic_mail.policy.naming.addresses import is_bound, is_of_name
from mic_mail.policy.unit_mail.handover import running
from mic_mail.storage.maildir.swap_store import set_aside


class FindingSeverity(LabelledEnum):
    ERROR = "error", "lỗi", "error"
    WARNING = "warning", "cảnh báo", "warning"
    NOTE = "note", "lưu ý", "note"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One point on which the directory and the mailboxes differ."""

    severity: FindingSeverity
    kind: str
    subject: str
    text: Text


_TEXTS: Mapping[FindingSeverity, Mapping[str, Text]] = {
    FindingSeverity.ERROR: {
        "no_facts": Text("Hộp thư không có hồ sơ cấp.", "The record has no fact of the issue."),
        "quota_below_floor": Text("Dung lượng dưới 01 GB (8.3.b).", "The quota is below 1 GB (Reg. 8.3.b)."),
        "unreadable_facts": Text("Hồ sơ có dữ liệu không đọc được.", "The record contains data that cannot be read."),
        "two_unit_mailboxes": Text("Đơn vị có hơn một hộp thư đơn vị.", "The unit has more than one unit mailbox."),
        "stray_folder": Text("Thư mục hộp thư không có trong danh bạ.", "The directory does not know this mailbox folder."),
    },
    FindingSeverity.WARNING: {
        "foreign_domain": Text("Tên miền không thuộc hệ thống.", "The domain of the address is not local."),
        "no_password": Text("Hộp thư chưa có mật khẩu.", "The mailbox has no password."),
        "no_officer": Text(
            "Chưa ghi nhận cán bộ quản trị nào (6.1): ai chạy được lệnh đều được coi là Trung tâm Thông tin. "
            "Xem `mic-mail officer add`.",
            "No officer is recorded (Reg. 6.1): anybody who runs commands counts as the Centre. See `mic-mail officer add`.",
        ),
        "hold_left": Text(
            "Trên đĩa còn dấu lưu giữ mà hồ sơ không có: chạy `mic-mail mailbox release-hold`.",
            "The store has a hold that is not recorded: run `mic-mail mailbox release-hold`.",
        ),
        "handover_mark": Text(
            "Dấu bàn giao trên đĩa không khớp hồ sơ: máy chủ tự sửa khi chạy.",
            "The store's handover mark differs from the record: a running server corrects it.",
        ),
        "support_receives_nothing": Text(
            "Địa chỉ hỗ trợ (regulation.support) không nhận được thư: thêm bí danh bằng `mic-mail alias add`.",
            "The help desk (regulation.support) receives no mail: give it to a mailbox with `mic-mail alias add`.",
        ),
    },
    FindingSeverity.NOTE: {
        "reclaimed_with_mail": Text(
            "Đã thu hồi nhưng thư vẫn còn trên đĩa.", "The mailbox is reclaimed, but its mail is still on disk."
        ),
        "address_not_of_the_name": Text(
            "Địa chỉ không theo họ tên hiện nay, hộp thư cấp sau Quy chế (5.3, 5.5).",
            "Not formed from the present name, though issued after the regulation (Reg. 5.3, 5.5).",
        ),
        "set_aside": Text(
            "Bản cũ được giữ lại hoặc bản khôi phục dở dang: xóa khi không còn cần.",
            "Left by a restore (replaced or unfinished): delete it when it is no longer needed.",
        ),
    },
}
"""The kinds whose text names no details."""


def _of_kind(kind: str, subject: str) -> Disagreement:
    severity = next(severity for severity, texts in _TEXTS.items() if kind in texts)
    return Disagreement(severity, kind, subject, _TEXTS[severity][kind])


def inspect(
    snapshot: Snapshot,
    mail_root: Path,
    now: datetime,
    settings: LifecycleSettings,
    support: str | None = None,
    *,
    officers: Sequence[Officer] | None = None,
    issued_on: date | None = None,
    units: Sequence[UnitRecord] = (),
    people: Sequence[PersonRecord] = (),
    pending: Sequence[Order] = (),
) -> list[Disagreement]:
    """Return every disagreement, gravest first, then by subject.

    `support` is the help desk that refusals name; `officers` are those on record, None: do not check them. `issued_on` is
    the day of the decision: the addresses of older mailboxes always conform (Reg. 5.5). `units`, `people`,
    `pending`: those of the directory, and the pending orders.
    """
    found = [*_strays(snapshot, mail_root)]
    if officers is not None:
        found.extend(_administration(officers, now))
    if support is not None:
        found.extend(_check_support_address(support, snapshot, now, settings))
    found.extend(_of_units(units, people, snapshot))
    found.extend(_of_orders(pending))
    for entry in snapshot:
        found.extend(_of_mailbox(entry, snapshot, mail_root, now, settings))
        found.extend(_of_hold(entry, mail_root))
        found.extend(_of_address(entry, issued_on))
        found.extend(_of_handover(entry, mail_root))
    gravity = {severity: number for number, severity in enumerate(FindingSeverity)}
    return sorted(found, key=lambda each: (gravity[each.severity], each.kind, each.subject))


def _of_mailbox(
    entry: Entry, snapshot: Snapshot, mail_root: Path, now: datetime, settings: LifecycleSettings
) -> Iterator[Disagreement]:
    subject = entry.address
    has_folder = (mail_root / entry.home / "Maildir").is_dir()
    if (broken := first_broken(entry.facts)) is not None:
        yield Disagreement(
            FindingSeverity.ERROR,
            "chain_broken",
            subject,
            Text(f"Hồ sơ bị sửa từ mục {broken}.", f"The record was altered from fact {broken} on."),
        )
    if not entry.facts:
        yield _of_kind("no_facts", subject)
    if entry.quota_octets < QUOTA_FLOOR:
        yield _of_kind("quota_below_floor", subject)
    for address in entry.addresses:
        if address.rpartition("@")[2] not in snapshot.domains:
            yield _of_kind("foreign_domain", address)
    decision = entry.decide_if_readable(now, settings)
    if decision is None:  # one unreadable record must not hide the findings on the others
        yield _of_kind("unreadable_facts", subject)
        return
    if decision.receives and not has_folder:
        used = entry.last_activity is not None
        yield Disagreement(
            FindingSeverity.ERROR if used else FindingSeverity.NOTE,
            "no_folder",
            subject,
            Text("Chưa có thư mục hộp thư trên đĩa.", "The mailbox has no folder on disk."),
        )
    if MailboxState.RECLAIMED in decision.states and has_folder:
        yield _of_kind("reclaimed_with_mail", subject)
    if decision.receives and entry.credential is None:
        yield _of_kind("no_password", subject)


def _administration(officers: Sequence[Officer], now: datetime) -> Iterator[Disagreement]:
    """Check that somebody of the Centre serves (Reg. 6.1)."""
    if not officers:
        yield _of_kind("no_officer", "officer")
        return
    try:
        must_keep_centre(officers, now)
    except NotAuthorised as why:
        yield Disagreement(FindingSeverity.ERROR, "no_centre", "officer", why.text)


def _of_units(units: Sequence[UnitRecord], people: Sequence[PersonRecord], snapshot: Snapshot) -> Iterator[Disagreement]:
    """Check that nobody and nothing belongs to an ended unit, and a unit has one mailbox (Reg. 6.5)."""
    ended = {unit.unit_id: unit.symbol for unit in units if not unit.is_living}
    left = [
        *((each.full_name, each.unit_id) for each in people),
        *((each.address, each.owner.unit_id) for each in snapshot if each.owner.person_id is None),
    ]
    for subject, unit_id in left:
        if unit_id in ended:
            yield Disagreement(
                FindingSeverity.ERROR,
                "ended_unit",
                subject,
                Text(f"Thuộc đơn vị {ended[unit_id]} đã kết thúc.", f"Belongs to {in_ascii(ended[unit_id])}, which has ended."),
            )
    own = Counter(each.owner.unit_id for each in snapshot if each.kind is MailboxKind.UNIT)
    for unit in units:
        if own[unit.unit_id] > 1:
            yield _of_kind("two_unit_mailboxes", unit.symbol)


def _of_orders(pending: Sequence[Order]) -> Iterator[Disagreement]:
    """Report a change whose day has come and that is hindered (Reg. 6.2)."""
    for order in pending:
        if order.hindrance is not None:
            yield Disagreement(
                FindingSeverity.WARNING,
                "change_hindered",
                str(order.number),
                Text(
                    f"Thay đổi số {order.number} chưa thực hiện được: {order.hindrance.vi}",
                    f"Change {order.number} could not be carried out: {order.hindrance.en}",
                ),
            )


def _of_hold(entry: Entry, mail_root: Path) -> Iterator[Disagreement]:
    """Report the mark of a hold whose fact was never recorded, or whose release was killed (Reg. 9.2)."""
    if (mail_root / entry.home / "hold").exists() and not must_keep(entry.facts):
        yield _of_kind("hold_left", entry.address)


def _of_address(entry: Entry, issued_on: date | None) -> Iterator[Disagreement]:
    """Report a personal address not made of the person's name (Reg. 5.3, 5.4); people marry: a note."""
    local = entry.address.partition("@")[0]
    if entry.kind is MailboxKind.PERSONAL and is_bound(entry.facts, issued_on) and not _is_of(local, entry.owner.name):
        yield _of_kind("address_not_of_the_name", entry.address)


def _of_handover(entry: Entry, mail_root: Path) -> Iterator[Disagreement]:
    """Report a handover mark that differs from the record (Reg. 12.3.d); the housekeeper repairs it."""
    if (mail_root / entry.home / "frozen").exists() != (running(entry.facts) is not None) and (mail_root / entry.home).exists():
        yield _of_kind("handover_mark", entry.address)


def _is_of(local: str, name: str) -> bool:
    try:
        return is_of_name(local, name)
    except MicMailError:  # no address can be made of the name
        return True


def _check_support_address(
    support: str, snapshot: Snapshot, now: datetime, settings: LifecycleSettings
) -> Iterator[Disagreement]:
    """Check that the help desk receives mail (Reg. 6.2), unless its domain is foreign."""
    if support.rpartition("@")[2] not in snapshot.domains:
        return
    entry = snapshot.resolve(support)
    decision = entry.decide_if_readable(now, settings) if entry is not None else None
    if decision is None or not decision.receives:
        yield _of_kind("support_receives_nothing", support)


def _strays(snapshot: Snapshot, mail_root: Path) -> Iterator[Disagreement]:
    homes = {entry.home for entry in snapshot}
    for home in _homes(mail_root):
        if home not in homes and set_aside(home) in homes:
            yield _of_kind("set_aside", home)
        elif home not in homes:
            yield _of_kind("stray_folder", home)


def _homes(mail_root: Path) -> Iterator[str]:
    for domain in _folders(mail_root):
        for name in _folders(mail_root / domain):
            if (mail_root / domain / name / "Maildir").is_dir():
                yield f"{domain}/{name}"


def _folders(parent: Path) -> list[str]:
    try:
        with os.scandir(parent) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
