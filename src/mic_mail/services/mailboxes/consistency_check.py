"""Disagreements between the directory and the mailboxes in operation (Reg. 6.5).

In: the directory's snapshot and the mail root. Out: a list of disagreements, gravest first. Reads only and repairs
nothing: each entry names the remedy. A person without a mailbox is information, not an error (Reg. 2.6), and not
listed.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path

from mic_mail.config.limits import QUOTA_FLOOR
from mic_mail.directory.records import PersonRecord, UnitRecord
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.errors import MicMailError, Text, in_ascii
from mic_mail.policy.authorization.roles import NotAuthorised, Officer, must_keep_centre
from mic_mail.policy.directory_changes import OrderEntry as Order
from mic_mail.policy.facts import MailboxKind, first_broken
from mic_mail.policy.legal_holds import must_keep
from mic_mail.policy.lifecycle import Decision, FactsUnreadable, LifecycleSettings, State, decide
from mic_mail.policy.naming.addresses import is_bound, is_of_name
from mic_mail.policy.unit_mail.handover import running
from mic_mail.storage.maildir.swap_store import set_aside


class Severity(StrEnum):
    """The severity of a disagreement."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One point on which the directory and the mailboxes differ."""

    severity: Severity
    kind: str
    subject: str
    text: Text


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
    order = list(Severity)
    return sorted(found, key=lambda d: (order.index(d.severity), d.kind, d.subject))


def _of_mailbox(
    entry: Entry, snapshot: Snapshot, mail_root: Path, now: datetime, settings: LifecycleSettings
) -> Iterator[Disagreement]:
    subject = entry.address
    there = (mail_root / entry.home / "Maildir").is_dir()
    broken = first_broken(entry.facts)
    if broken is not None:
        yield Disagreement(
            Severity.ERROR, "chain_broken", subject,
            Text(f"Hồ sơ bị sửa từ mục {broken}.", f"The record was altered from fact {broken} on."),
        )  # fmt: skip
    if not entry.facts:
        yield Disagreement(
            Severity.ERROR, "no_facts", subject,
            Text("Hộp thư không có hồ sơ cấp.", "The record has no fact of the issue."),
        )  # fmt: skip
    if entry.quota_octets < QUOTA_FLOOR:
        yield Disagreement(
            Severity.ERROR, "quota_below_floor", subject,
            Text("Dung lượng dưới 01 GB (8.3.b).", "The quota is below 1 GB (Reg. 8.3.b)."),
        )  # fmt: skip
    for address in entry.addresses:
        if address.rpartition("@")[2] not in snapshot.domains:
            yield Disagreement(
                Severity.WARNING, "foreign_domain", address,
                Text("Tên miền không thuộc hệ thống.", "The domain of the address is not local."),
            )  # fmt: skip
    try:
        decision = _decision(entry, now, settings)
    except FactsUnreadable:  # one unreadable record must not hide the findings on the others
        yield Disagreement(
            Severity.ERROR, "unreadable_facts", subject,
            Text("Hồ sơ có dữ liệu không đọc được.", "The record contains data that cannot be read."),
        )  # fmt: skip
        return
    if decision.receives and not there:
        used = entry.last_activity is not None
        yield Disagreement(
            Severity.ERROR if used else Severity.NOTE, "no_folder", subject,
            Text("Chưa có thư mục hộp thư trên đĩa.", "The mailbox has no folder on disk."),
        )  # fmt: skip
    if State.RECLAIMED in decision.states and there:
        yield Disagreement(
            Severity.NOTE, "reclaimed_with_mail", subject,
            Text("Đã thu hồi nhưng thư vẫn còn trên đĩa.", "The mailbox is reclaimed, but its mail is still on disk."),
        )  # fmt: skip
    if decision.receives and entry.credential is None:
        yield Disagreement(
            Severity.WARNING, "no_password", subject, Text("Hộp thư chưa có mật khẩu.", "The mailbox has no password.")
        )


def _administration(officers: Sequence[Officer], now: datetime) -> Iterator[Disagreement]:
    """Check that somebody of the Centre serves (Reg. 6.1).

    Until an officer is on record, everybody at the machine counts as the Centre.
    """
    if not officers:
        yield Disagreement(
            Severity.WARNING, "no_officer", "officer",
            Text(
                "Chưa ghi nhận cán bộ quản trị nào (6.1): ai chạy được lệnh đều được coi là Trung tâm Thông tin.",
                "No officer is recorded (Reg. 6.1): anybody who runs commands counts as the Centre. See `mic-mail officer "
                "add`.",
            ),
        )  # fmt: skip
        return
    try:
        must_keep_centre(officers, now)
    except NotAuthorised as why:
        yield Disagreement(Severity.ERROR, "no_centre", "officer", why.text)


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
                Severity.ERROR, "ended_unit", subject,
                Text(f"Thuộc đơn vị {ended[unit_id]} đã kết thúc.", f"Belongs to {in_ascii(ended[unit_id])}, which has ended."),
            )  # fmt: skip
    own = Counter(each.owner.unit_id for each in snapshot if each.kind is MailboxKind.UNIT)
    for unit in units:
        if own[unit.unit_id] > 1:
            yield Disagreement(
                Severity.ERROR, "two_unit_mailboxes", unit.symbol,
                Text("Đơn vị có hơn một hộp thư đơn vị.", "The unit has more than one unit mailbox."),
            )  # fmt: skip


def _of_orders(pending: Sequence[Order]) -> Iterator[Disagreement]:
    """Report a change whose day has come and that is hindered (Reg. 6.2)."""
    for order in pending:
        if order.hindrance is not None:
            yield Disagreement(
                Severity.WARNING, "change_hindered", str(order.number),
                Text(
                    f"Thay đổi số {order.number} chưa thực hiện được: {order.hindrance.vi}",
                    f"Change {order.number} could not be carried out: {order.hindrance.en}",
                ),
            )  # fmt: skip


def _of_hold(entry: Entry, mail_root: Path) -> Iterator[Disagreement]:
    """Report the mark of a hold whose fact was never recorded, or whose release was killed (Reg. 9.2)."""
    if (mail_root / entry.home / "hold").exists() and not must_keep(entry.facts):
        yield Disagreement(
            Severity.WARNING, "hold_left", entry.address,
            Text(
                "Trên đĩa còn dấu lưu giữ mà hồ sơ không có: chạy `mic-mail mailbox release-hold`.",
                "The store has a hold that is not recorded: run `mic-mail mailbox release-hold`.",
            ),
        )  # fmt: skip


def _of_address(entry: Entry, issued_on: date | None) -> Iterator[Disagreement]:
    """Report a personal address that is not made of its person's name (Reg. 5.3, 5.4).

    People marry, so it is a note.
    """
    local = entry.address.partition("@")[0]
    if entry.kind is MailboxKind.PERSONAL and is_bound(entry.facts, issued_on) and not _is_of(local, entry.owner.name):
        yield Disagreement(
            Severity.NOTE, "address_not_of_the_name", entry.address,
            Text(
                "Địa chỉ không theo họ tên hiện nay, hộp thư cấp sau Quy chế (5.3, 5.5).",
                "Not formed from the present name, though issued after the regulation (Reg. 5.3, 5.5).",
            ),
        )  # fmt: skip


def _of_handover(entry: Entry, mail_root: Path) -> Iterator[Disagreement]:
    """Report a store whose handover mark differs from the record (Reg. 12.3.d).

    The housekeeper repairs it within minutes.
    """
    if (mail_root / entry.home / "frozen").exists() != (running(entry.facts) is not None) and (mail_root / entry.home).exists():
        yield Disagreement(
            Severity.WARNING, "handover_mark", entry.address,
            Text(
                "Dấu bàn giao trên đĩa không khớp hồ sơ: máy chủ tự sửa khi chạy.",
                "The store's handover mark differs from the record: a running server corrects it.",
            ),
        )  # fmt: skip


def _is_of(local: str, name: str) -> bool:
    try:
        return is_of_name(local, name)
    except MicMailError:  # no address can be made of the name
        return True


def _decision(entry: Entry, now: datetime, settings: LifecycleSettings) -> Decision:
    return decide(entry.kind, entry.facts, now, last_activity=entry.last_activity, settings=settings)


def _check_support_address(
    support: str, snapshot: Snapshot, now: datetime, settings: LifecycleSettings
) -> Iterator[Disagreement]:
    """Check that the help desk receives mail: refusals name it (Reg. 6.2).

    An address in a foreign domain is not checked.
    """
    if support.rpartition("@")[2] not in snapshot.domains:
        return
    entry = snapshot.resolve(support)
    try:
        receives = entry is not None and _decision(entry, now, settings).receives
    except FactsUnreadable:
        receives = False
    if not receives:
        yield Disagreement(
            Severity.WARNING, "support_receives_nothing", support,
            Text(
                "Địa chỉ hỗ trợ (regulation.support) không nhận được thư: thêm bí danh bằng `mic-mail alias add`.",
                "The help desk (regulation.support) receives no mail: give it to a mailbox with `mic-mail alias add`.",
            ),
        )  # fmt: skip


def _strays(snapshot: Snapshot, mail_root: Path) -> Iterator[Disagreement]:
    """Report mailbox folders that no mailbox of the directory owns."""
    homes = {entry.home for entry in snapshot}
    for home in _homes(mail_root):
        if home not in homes and set_aside(home) in homes:
            yield Disagreement(
                Severity.NOTE, "set_aside", home,
                Text(
                    "Bản cũ được giữ lại hoặc bản khôi phục dở dang: xóa khi không còn cần.",
                    "Left by a restore (replaced or unfinished): delete it when it is no longer needed.",
                ),
            )  # fmt: skip
        elif home not in homes:
            yield Disagreement(
                Severity.ERROR, "stray_folder", home,
                Text("Thư mục hộp thư không có trong danh bạ.", "A mailbox folder that the directory does not know."),
            )  # fmt: skip


def _homes(mail_root: Path) -> Iterator[str]:
    """Yield `domain/name` of every mailbox folder on disk."""
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
