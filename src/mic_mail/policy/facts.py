"""The record of a mailbox: an append-only list of facts, each bound to the one before it by a hash.

In: drafts of facts from the use cases, stored facts from the directory. Out: immutable `Fact`s, and the verification of a
chain. A fact is never changed or deleted: a mistake is corrected by a later fact (`LEAVE_CORRECTED`, `LEAVE_WITHDRAWN`,
`RESTORED`, `RECLAIM_WITHDRAWN`).

Each fact has two times: `effective_at`, when it counts in law, and `recorded_at`, when the server learned of it. Facts are
numbered from 1 in the order of recording; `recorded_at` never decreases along the chain. A fact recorded while the clock is
behind the chain (the clock was ahead once, or is behind now) takes the chain's `recorded_at`, and its `clocked_at` is the
clock's time. Rules that compare an act with its day or with the present use `clocked_at`; otherwise one fact from a clock ahead
would distort all later ones.

Chain: digest(n) = SHA-256(digest(n-1) || encoding(n)), digest(0) = 32 zero octets. The encoding is UTF-8 JSON with sorted keys,
no blanks, strings in NFC, instants in UTC with six decimals; a member of it names its version.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from unicodedata import normalize

from mic_mail.i18n.labels import LabelledEnum

Detail = str | int | bool | None
"""The types of a fact's data: values that have exactly one JSON form."""

REQUEST = "request"
"""The data member with the register number of the request on which the fact was recorded (Reg. 6.2)."""
_CLOCKED = "clocked_at"
"""The data member of a fact recorded while the clock was behind the chain: the clock's time, ISO."""
GENESIS = bytes(32)
_ENCODING = 1


class MailboxKind(LabelledEnum):
    """The three kinds of Reg. 2.4, 2.5, 5.2; each has its own address rule, eligibility and owner."""

    PERSONAL = "personal", "cá nhân", "personal"
    UNIT = "unit", "đơn vị", "unit"
    GROUP = "group", "nhóm", "group"


class FactKind(LabelledEnum):
    """The kinds of facts; data members are in brackets, `?` if they may be absent. Days are ISO."""

    ISSUED = "issued", "cấp hộp thư", "issued"
    """Reg. 6.4.a: created, or issued again to its owner after a reclaim.

    [address, received_on?, chosen_by?, symbol?]
    """
    IMPORTED = "imported", "chuyển từ hệ thống khác", "imported"
    """Reg. 5.5, 10.4: taken over from another system with its address and password.

    [address, source?, created_on?: day on which that system had created it]
    """
    LEFT = "left", "nghỉ hưu, nghỉ việc hoặc chuyển công tác", "left"
    """Reg. 6.4.c: effective on the official day of retirement, resignation or leaving. [level, cause?]"""
    LEAVE_CORRECTED = "leave_corrected", "đính chính việc nghỉ", "leave corrected"
    """The last leave had another day or rank; effective on the correct day. [level, cause?]"""
    LEAVE_WITHDRAWN = "leave_withdrawn", "hủy việc nghỉ đã ghi nhầm", "leave withdrawn"
    """The last leave was recorded by mistake."""
    RETURNED = "returned", "trở lại công tác", "returned"
    """The leaver is back from the effective day on; a reclaim that happened before is not undone."""
    SUSPENDED = "suspended", "tạm khóa", "suspended"
    """Suspended (Reg. 7.2).

    [cause: a, b or c; for b: conclusion_no, concluded_on, signatory; for a: counted_from?; trigger?, recipients?, messages?]
    """
    RESTORED = "restored", "khôi phục", "restored"
    """Reg. 7.3: lifts the suspensions recorded before it; `document` is required for 7.2.b.

    [asked_by?, channel?]
    """
    ABSENCE = "absence", "thông báo vắng mặt", "absence notified"
    """Reg. 7.2.a: a reason was notified. [until: last day of the absence]"""
    ABSENCE_ENDED = "absence_ended", "hết vắng mặt", "absence ended"
    """The person came back before the last day of the notified absence."""
    CLOCK_STOPPED = "clock_stopped", "hệ thống ngừng dịch vụ", "service downtime"
    """The service was down from the effective day on; these days do not count as inactive.

    [until: last such day]
    """
    SENDING_LOCKED = "sending_locked", "khóa gửi bằng tay", "sending locked by hand"
    """The Centre locked sending manually (Reg. 10.2). [clause?]"""
    SENDING_UNLOCKED = "sending_unlocked", "mở khóa gửi", "sending unlocked"
    """Lifts the manual locks; never the lock of a leaver."""
    PASSWORD_SET = "password_set", "đổi mật khẩu", "password chosen"
    """The person chose a password. [ends_app_passwords?]"""
    PASSWORD_RESET = "password_reset", "khởi tạo lại mật khẩu", "password reset"
    """The Centre set a password (Reg. 15.2); the person has to change it."""
    APP_PASSWORD_ADDED = "app_password_added", "tạo mật khẩu ứng dụng", "app password added"
    """A password of one device or program, beside the mailbox's own.

    [name, doors?: services it is limited to]
    """
    APP_PASSWORD_REVOKED = "app_password_revoked", "thu hồi mật khẩu ứng dụng", "app password revoked"
    """The app password opens nothing any more. [app_password: the number of the fact that added it]"""
    SECOND_FACTOR_SET = "second_factor_set", "bật xác thực hai bước", "second factor set"
    """From now on the page requires a code from a device besides the password."""
    SECOND_FACTOR_REMOVED = "second_factor_removed", "tắt xác thực hai bước", "second factor removed"
    """The page no longer requires a code. [ends_app_passwords?]"""
    PASSWORD_EXPOSED = "password_exposed", "mật khẩu đã lộ, phải đổi", "breached password, change demanded"
    """Reg. 7.2.c, 15.2: others know the password, so the person has to change it. [trigger]"""
    QUOTA_SET = "quota_set", "điều chỉnh dung lượng", "quota set"
    """Reg. 8.3. [octets, previous]"""
    TRANSFERRED = "transferred", "thuyên chuyển", "transferred"
    """Reg. 6.4.b: the person works for another unit.

    [unit_from, unit_to, position?, position_before?, level?, level_before?]
    """
    DETAILS_CHANGED = "details_changed", "thay đổi thông tin trong danh bạ", "details changed"
    """Reg. 6.2, 6.5: the directory's details of the mailbox's person or unit changed.

    [full_name?, full_name_before?, position?, position_before?, level?, level_before?, employment?, employment_before?,
    contract_from?, contract_from_before?, contract_until?, contract_until_before?, symbol?, symbol_before?, name?,
    name_before?]
    """
    REORGANISED = "reorganised", "tổ chức lại đơn vị", "unit reorganised"
    """The unit was merged or split: the mailbox, or its person, belongs to the successor.

    No grant ends by it. [unit_from, unit_to]
    """
    READDRESSED = "readdressed", "đổi địa chỉ", "address changed"
    """The mailbox has a new primary address; the former one stays an alias until it is removed.

    [address, address_before, until?: last day of the alias, led_to?: the mailbox that has the former one since]
    """
    ALIAS_ADDED = "alias_added", "thêm bí danh", "alias added"
    """An alias was added. [address]"""
    ALIAS_REMOVED = "alias_removed", "bỏ bí danh", "alias removed"
    """An alias was removed; its address stays taken.

    [address, led_to?: the mailbox of the unit's successor that has it since]
    """
    RECLAIMED = "reclaimed", "thu hồi theo yêu cầu", "reclaimed on request"
    """Reg. 6.1, 6.2: reclaimed on request, any kind of mailbox.

    For example, a unit is dissolved or a working group ends.
    """
    RECLAIM_WITHDRAWN = "reclaim_withdrawn", "hủy việc thu hồi ghi sai giờ", "reclaim withdrawn"
    """Cancels every reclaim on request that is still in the future: a clock that was ahead recorded it."""
    ARCHIVED = "archived", "lưu trữ hộp thư đã thu hồi", "archived"
    """A reclaimed mailbox was copied into the archive and is to be freed.

    [archive, messages, octets, modseq, clause, keep_until: last day on which it can be restored without the archive]
    """
    FREED = "freed", "xóa khỏi máy chủ sau khi lưu trữ", "freed"
    """The archived mailbox is deleted from the server; only the archive has its content.

    [archive, clause, by]
    """
    UNARCHIVED = "unarchived", "lấy lại từ bản lưu trữ", "restored from the archive"
    """The archive's content was restored into the mailbox before it is issued again.

    [archive, aside?: folder of what had arrived without being archived]
    """
    ARCHIVE_DROPPED = "archive_dropped", "xóa bản lưu trữ", "archive deleted"
    """The archive was deleted on the basis of `document`. [archive]"""
    AUTHORISED = "authorised", "ủy quyền sử dụng hộp thư", "rights granted"
    """Reg. 12.3, 5.2: a person may use the unit's or group's mailbox.

    [person, holder, part, until?: last day, rights?]
    """
    AUTHORITY_REVOKED = "authority_revoked", "chấm dứt ủy quyền", "rights revoked"
    """A person's grant ends before its term, in one part or in all. [person, holder, part?]"""
    HELD = "held", "lưu giữ theo yêu cầu", "held"
    """An authority demands by `document` that everything be kept (Reg. 9.2)."""
    HOLD_RELEASED = "hold_released", "chấm dứt lưu giữ", "hold released"
    """A hold is lifted by another document. [hold: the number of its fact]"""
    HANDOVER_BEGUN = "handover_begun", "bắt đầu bàn giao hộp thư", "handover begun"
    """Reg. 12.3.d: the mailbox is handed over to the person named by the head of the unit.

    Nothing may be expunged until that ends. [person, holder, named_by, named_on?: day of the document, until?: last day of the
    term to come, from_holder?, witness?]
    """
    HANDOVER_COUNTED = "handover_counted", "kiểm kê để bàn giao", "handover inventory taken"
    """The mailbox's whole content was read and counted; the inventory file has this digest.

    [handover: the number of the fact that began it, digest, folders, messages, octets, unreadable]
    """
    HANDOVER_FINISHED = "handover_finished", "hoàn thành bàn giao", "handover finished"
    """The rights have moved and the password was changed. [handover]"""
    HANDOVER_CANCELLED = "handover_cancelled", "hủy việc bàn giao", "handover cancelled"
    """The handover was cancelled: everything is as before. [handover]"""
    UNREADABLE = "unreadable", "mục không đọc được", "cannot be read"
    """Stands in for a stored fact that is damaged; never recorded.

    The chain breaks here, and no decision is made.
    """


class SuspensionCause(StrEnum):
    """The points of Reg. 7.2: inactivity, breach of Article 4, infection or hijack."""

    INACTIVE = "a"
    BREACH = "b"
    COMPROMISED = "c"


class Level(LabelledEnum):
    """The two ranks that Reg. 6.4.c distinguishes."""

    DIVISION = "division", "cấp phòng, ban trở xuống", "division level and below"
    """Leaders of phòng, ban, and all below them."""
    DEPARTMENT = "department", "cấp Vụ và tương đương trở lên", "department level and above"
    """Leaders of Vụ and equivalent, deputies included, and all above them."""


class Departure(LabelledEnum):
    """The reason for leaving (Reg. 6.4.c), recorded without effect on the terms."""

    RETIRED = "retired", "nghỉ hưu", "retired"
    RESIGNED = "resigned", "nghỉ việc", "resigned"
    MOVED = "moved", "chuyển đi", "moved"


@dataclass(frozen=True, slots=True)
class Draft:
    """A fact that is not recorded yet: no number, no recording time, no position in the chain."""

    kind: FactKind
    effective_at: datetime
    actor: str
    reason: str = ""
    document: str | None = None
    data: Mapping[str, Detail] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fact:
    """One recorded fact of one mailbox."""

    mailbox_id: int
    seq: int
    kind: FactKind
    effective_at: datetime
    recorded_at: datetime
    actor: str
    reason: str
    document: str | None
    data: Mapping[str, Detail]
    digest: bytes

    def text(self, name: str) -> str | None:
        """Return the data member `name` if it is a string."""
        value = self.data.get(name)
        return value if isinstance(value, str) else None

    @property
    def clocked_at(self) -> datetime:
        """The clock's time of recording: `recorded_at`, or earlier if the chain was ahead of the clock."""
        behind = self.text(_CLOCKED)
        return self.recorded_at if behind is None else datetime.fromisoformat(behind)


def record(draft: Draft, *, mailbox_id: int, previous: Fact | None, recorded_at: datetime) -> Fact:
    """Return the fact that follows `previous`.

    A clock that ran back does not set the chain back, but the fact keeps the clock's time.
    """
    data = dict(draft.data)
    if previous is not None and recorded_at < previous.recorded_at:
        data[_CLOCKED] = _instant(recorded_at)
        recorded_at = previous.recorded_at
    bare = Fact(
        mailbox_id=mailbox_id,
        seq=1 if previous is None else previous.seq + 1,
        kind=draft.kind,
        effective_at=draft.effective_at.astimezone(UTC),
        recorded_at=recorded_at.astimezone(UTC),
        actor=normalize("NFC", draft.actor),
        reason=normalize("NFC", draft.reason),
        document=None if draft.document is None else normalize("NFC", draft.document),
        data={name: _nfc(value) for name, value in data.items()},
        digest=b"",
    )
    before = GENESIS if previous is None else previous.digest
    return replace(bare, digest=sha256(before + encode(bare)).digest())


def encode(fact: Fact) -> bytes:
    """Return the canonical octets of a fact, without its digest."""
    members: dict[str, object] = {
        "actor": fact.actor,
        "data": dict(fact.data),
        "document": fact.document,
        "effective_at": _instant(fact.effective_at),
        "encoding": _ENCODING,
        "kind": fact.kind.value,
        "mailbox_id": fact.mailbox_id,
        "reason": fact.reason,
        "recorded_at": _instant(fact.recorded_at),
        "seq": fact.seq,
    }
    return json.dumps(members, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def first_broken(facts: Iterable[Fact]) -> int | None:
    """Return the number of the first fact that breaks a whole chain; None if the chain is intact."""
    digest, recorded_at = GENESIS, None
    for seq, fact in enumerate(facts, start=1):
        digest = sha256(digest + encode(fact)).digest()
        in_order = recorded_at is None or fact.recorded_at >= recorded_at
        if fact.seq != seq or fact.digest != digest or not in_order:
            return seq
        recorded_at = fact.recorded_at
    return None


def recorded_ahead(facts: Sequence[Fact], now: datetime, tolerance: timedelta) -> list[Fact]:
    """Return the facts recorded after `now`, or after a later fact: the clock was ahead, or is behind."""
    found, earliest = list[Fact](), now
    for fact in reversed(facts):
        if fact.clocked_at > earliest + tolerance:
            found.append(fact)
        earliest = min(earliest, fact.clocked_at)
    return found[::-1]


def known_at(facts: Sequence[Fact], instant: datetime) -> tuple[Fact, ...]:
    """Return the facts that the server knew at `instant`, for an explanation "as known then"."""
    return tuple(fact for fact in facts if fact.clocked_at <= instant)


def _nfc(value: Detail) -> Detail:
    return normalize("NFC", value) if isinstance(value, str) else value


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="microseconds")
