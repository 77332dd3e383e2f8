"""Acts of the Centre on issued mailboxes: suspend, restore, leave, lock sending, change the quota.

In: the actor, the reason, the document. Out: facts in the mailbox's chain, or a refusal with its clause; the state
follows from the facts. Each act reads the chain, decides, and appends only if nothing was recorded in between
(`Superseded`). Blocking. Content is never touched here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import MailboxRecord
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import BadInput, Refused, Text
from mic_mail.i18n import dates
from mic_mail.policy.authorization.grounds import ADD_DOCUMENT, ADD_REASON, ActContext
from mic_mail.policy.authorization.signatories import must_sign
from mic_mail.policy.calendar import local_day, start_of
from mic_mail.policy.credentials.verifiers import Credential
from mic_mail.policy.facts import Departure, Detail, Draft, Fact, FactKind, Level, MailboxKind, SuspensionCause, record
from mic_mail.policy.leavers import Leave, leaves, reclaim_at, reclaimed_on_request
from mic_mail.policy.lifecycle import Decision, MailboxState, Reason, decide
from mic_mail.policy.ranks import level_of
from mic_mail.policy.reclamation import is_empty, lies_in_archive
from mic_mail.policy.states import FINAL, Span
from mic_mail.policy.suspension import absent_until, ahead, send_locked_by_decision, suspended_by_decision
from mic_mail.policy.unit_mail.handover import BeingHandedOver, running
from mic_mail.services.mailboxes.quota import check_quota
from mic_mail.services.settings import lifecycle_settings
from mic_mail.services.use_cases import UseCases

RESTORE_RECLAIMED = Text("mic-mail mailbox restore-reclaimed", "mic-mail mailbox restore-reclaimed")


class NotAllowed(Refused):
    """The act does not fit the mailbox's state or lacks what its clause requires."""


class InArchive(NotAllowed):
    """The mailbox would be open while its mail is in the archive only."""

    def __init__(self, address: str) -> None:
        super().__init__(
            Text(
                f"Hộp thư {address} đã được xóa khỏi máy chủ; phải lấy lại thư từ bản lưu trữ trước.",
                f"{address} has been deleted from the server; restore its mail from the archive first.",
            ),
            clause="6.4.c",
            remedy=RESTORE_RECLAIMED,
        )


def must_be_past(day: date, clock: Clock, what: Text, *, clause: str) -> None:
    """Refuse a day that should be past and has not come: of a conclusion, of the receipt of a request."""
    if day > local_day(clock.now()):
        shown = dates.day(day)
        raise BadInput(Text(f"{what.vi} {shown.vi} chưa đến.", f"{what.en} {shown.en} is in the future."), clause=clause)


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The conclusion of the ministry's leadership on a breach of Article 4 (Reg. 7.2.b)."""

    number: str
    concluded_on: date
    signatory: str


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """A request to restore (Reg. 7.3.a).

    By whom, by which channel (letter, mail, fax, telephone), and when it was received (None: today).
    """

    by: str
    channel: str
    received_on: date | None = None


BringBack = Callable[[], Fact | None]
"""Restore the mail of a mailbox that was deleted from the server (`services.mailboxes.reclamation`)."""
RECEIVED = Text("Ngày nhận yêu cầu", "The day of receipt")


class MailboxLifecycle(UseCases):
    def __init__(self, directory: Directory, config: Config, clock: Clock) -> None:
        super().__init__(directory, config, clock)
        self._working_days = directory.years.working_days()
        self._settings = lifecycle_settings(config, self._working_days)
        self._min_wait = config.restore.min_wait

    def decide(self, entry: Entry, at: datetime | None = None) -> Decision:
        """Return the decision on the mailbox at `at`, or now."""
        instant = at or self._clock.now()
        return entry.decide(instant, self._settings)

    def state_of(self, mailbox: MailboxRecord) -> Decision:
        return self._look(mailbox)[1]

    def timeline_of(self, mailbox: MailboxRecord) -> tuple[Span, ...]:
        """Return every span of the mailbox's life, past and to come, from the facts on record."""
        entry = self._directory.entry(mailbox.mailbox_id)
        return entry.timeline(self._settings)

    # ------------------------------------------------------------ Reg. 7.2, 7.3

    def suspend(
        self, mailbox: MailboxRecord, cause: SuspensionCause, origin: ActContext, conclusion: Conclusion | None = None
    ) -> Fact:
        """Suspend the mailbox from now on (Reg. 7.2); a breach needs the conclusion it rests on."""
        data: dict[str, Detail] = {"cause": cause.value}
        if cause is SuspensionCause.BREACH:
            if conclusion is None or not conclusion.number.strip() or not conclusion.signatory.strip():
                raise NotAllowed(
                    Text(
                        "Tạm khóa do vi phạm Điều 4 phải có kết luận của Lãnh đạo Bộ: số, ngày, người ký.",
                        "A suspension for a breach needs the leadership's conclusion: number, date and signatory.",
                    ),
                    clause="7.2.b",
                )
            must_be_past(
                conclusion.concluded_on, self._clock, Text("Ngày kết luận", "The day of the conclusion"), clause="7.2.b"
            )
            signatory = must_sign(self._directory.signatories.all(), conclusion.signatory, conclusion.concluded_on)
            data |= {
                "conclusion_no": conclusion.number,
                "concluded_on": conclusion.concluded_on.isoformat(),
                "signatory": signatory.full_name,
            }
        _needs_reason(origin, "7.2")
        return self._record(self._in_use(mailbox), FactKind.SUSPENDED, origin, **data)

    def restore(self, mailbox: MailboxRecord, asked: RestoreRequest, verifiers: Credential, origin: ActContext) -> Decision:
        """Lift the suspensions and set a password to be changed at the first sign-in (Reg. 7.3.b, 7.3.c)."""
        entry, decision = self._restorable(mailbox, asked, origin)
        recorded = {fact.seq for fact in entry.facts if fact.kind is FactKind.SUSPENDED}
        drafts = [  # a suspension by the clock alone (Reg. 7.2.a): after the restore the last use no longer shows it
            Draft(FactKind.SUSPENDED, reason.since, "clock", data=dict(reason.params))
            for reason in _suspensions(decision)
            if not recorded & set(reason.fact_seqs)
        ]
        drafts.append(origin.draft(FactKind.RESTORED, self._clock.now(), asked_by=asked.by, channel=asked.channel))
        self._directory.set_credential(entry.mailbox_id, verifiers, *drafts, after=decision.fact_seq)
        return self.state_of(mailbox)

    def may_restore(self, mailbox: MailboxRecord, asked: RestoreRequest, origin: ActContext) -> Decision:
        """Return the present decision if `restore` would lift the suspensions; else raise the refusal."""
        return self._restorable(mailbox, asked, origin)[1]

    def _restorable(self, mailbox: MailboxRecord, asked: RestoreRequest, origin: ActContext) -> tuple[Entry, Decision]:
        if asked.received_on is not None:
            must_be_past(asked.received_on, self._clock, RECEIVED, clause="7.3.b")
        entry, decision = self._look(mailbox)
        to_come = ahead(entry.facts, suspended_by_decision(entry.facts, self._settings), self._clock.now())
        suspensions = _suspensions(decision) or to_come
        if not suspensions:
            raise NotAllowed(Text("Hộp thư không bị tạm khóa.", "The mailbox is not suspended."), clause="7.3")
        breach = any(reason.clause == "7.2.b" for reason in suspensions)
        if breach and self._settings.breach_document and not origin.document:
            raise NotAllowed(
                Text(
                    "Khôi phục hộp thư bị khóa do vi phạm Điều 4 phải có văn bản.",
                    "A suspension for a breach can be lifted only with the document that lifts it.",
                ),
                clause="7.2.b",
                remedy=ADD_DOCUMENT,
            )
        if not asked.by.strip() or not asked.channel.strip():
            raise NotAllowed(
                Text("Phải nêu ai yêu cầu và bằng kênh nào.", "The person who asked and the channel are missing."),
                clause="7.3.a",
                remedy=Text("Thêm --asked-by và --channel.", "Add --asked-by and --channel."),
            )
        self._must_have_waited(asked)
        return entry, decision

    def _must_have_waited(self, asked: RestoreRequest) -> None:
        """Require the wait of `restore.min_wait` (Reg. 7.3.b); by default the one working day is a deadline."""
        today = local_day(self._clock.now())
        earliest = self._working_days.after(asked.received_on or today, self._min_wait)
        if today < earliest:
            day = dates.day(earliest)
            raise NotAllowed(
                Text(f"Chỉ được khôi phục từ ngày {day.vi}.", f"The mailbox may be restored from {day.en}."), clause="7.3.b"
            )

    def note_absence(self, mailbox: MailboxRecord, begins: date, until: date, origin: ActContext) -> Fact:
        """Record a notified absence: no suspension for inactivity until it ends (Reg. 7.2.a)."""
        if until < begins:
            raise BadInput(Text("Ngày kết thúc trước ngày bắt đầu.", "The absence ends before it begins."), clause="7.2.a")
        _needs_reason(origin, "7.2.a")
        return self._record(self._in_use(mailbox), FactKind.ABSENCE, origin, start_of(begins), until=until.isoformat())

    def end_absence(self, mailbox: MailboxRecord, origin: ActContext) -> Fact:
        """End an absence before the day that was notified."""
        entry, _ = self._look(mailbox)
        if absent_until(entry.facts, self._clock.now()) is None:
            raise NotAllowed(Text("Không có lần vắng mặt nào đang diễn ra.", "No absence is in progress."), clause="7.2.a")
        return self._record(entry, FactKind.ABSENCE_ENDED, origin)

    # ------------------------------------------------------------ Reg. 6.4

    def leave(
        self, mailbox: MailboxRecord, official: date, level: Level | None, cause: Departure | None, origin: ActContext
    ) -> Fact:
        """Record a leave on the official day, past or to come (Reg. 6.4.c); its cause is never assumed."""
        entry = self._in_use(mailbox)
        if entry.kind is not MailboxKind.PERSONAL:
            raise NotAllowed(Text("Chỉ áp dụng cho hộp thư cá nhân.", "For personal mailboxes only."), clause="6.4.c")
        current = leaves(entry.facts)
        if current and current[-1].returned is None:
            raise NotAllowed(
                Text("Đã ghi nhận thời điểm nghỉ; đề nghị đính chính.", "A leave is already recorded; correct it instead."),
                clause="6.4.c",
                remedy=Text("mic-mail mailbox leave --correct", "mic-mail mailbox leave --correct"),
            )
        self._must_follow_issue(official, entry.facts)
        if cause is None:
            raise NotAllowed(
                Text("Thiếu nguyên nhân nghỉ.", "The cause of leaving is missing."),
                clause="6.4.c",
                remedy=Text(
                    "Thêm --cause: nghỉ-hưu, nghỉ-việc hoặc chuyển-công-tác.",
                    "Add --cause: retired, resigned or moved.",
                ),
            )
        known = self._level(entry, level).value
        return self._record(entry, FactKind.LEFT, origin, start_of(official), level=known, cause=cause.value)

    def correct_leave(
        self,
        mailbox: MailboxRecord,
        official: date,
        level: Level | None,
        cause: Departure | None,
        origin: ActContext,
        *,
        bring_back: BringBack | None = None,
    ) -> Fact:
        """Correct the day, rank or cause of the last leave; what is not given stays."""
        entry, _ = self._look(mailbox)
        last = self._last_leave(entry)
        if last.returned is not None and start_of(official) > last.returned.effective_at:
            raise _ended(last.returned)
        self._must_follow_issue(official, entry.facts[: last.notices[0].seq])
        data: dict[str, Detail] = {"level": (level or last.level).value}
        known = cause.value if cause else next((n.text("cause") for n in reversed(last.notices) if n.text("cause")), None)
        if known:
            data["cause"] = known
        return self._reopen(entry, origin.draft(FactKind.LEAVE_CORRECTED, start_of(official), **data), bring_back)

    def withdraw_leave(self, mailbox: MailboxRecord, origin: ActContext, *, bring_back: BringBack | None = None) -> Fact:
        """Withdraw the last leave, which was recorded by mistake."""
        entry, _ = self._look(mailbox)
        self._last_leave(entry)
        _needs_reason(origin, "6.4.c")
        return self._reopen(entry, origin.draft(FactKind.LEAVE_WITHDRAWN, self._clock.now()), bring_back)

    def _reopen(self, entry: Entry, draft: Draft, bring_back: BringBack | None) -> Fact:
        """Record a fact on a leave; where it reopens a deleted mailbox, bring its mail back or refuse."""
        seq = entry.facts[-1].seq
        if self._needs_its_mail(entry, draft):
            if bring_back is None:
                raise InArchive(entry.address)
            brought = bring_back()
            seq = max(seq, brought.seq if brought is not None else 0)
        return self._directory.append_fact(entry.mailbox_id, draft, after=seq)

    def _needs_its_mail(self, entry: Entry, draft: Draft) -> bool:
        if not is_empty(entry.facts):
            return lies_in_archive(entry.facts)  # an earlier attempt was killed while bringing it back: repeat it
        facts, now = list(entry.facts), self._clock.now()
        for each in (Draft(FactKind.UNARCHIVED, now, draft.actor), draft):
            facts.append(record(each, mailbox_id=entry.mailbox_id, previous=facts[-1], recorded_at=now))
        then = decide(entry.kind, facts, now, last_activity=entry.last_activity, settings=self._settings)
        return MailboxState.RECLAIMED not in then.states

    def return_from_leave(self, mailbox: MailboxRecord, returned: date, origin: ActContext) -> Fact:
        """Record the leaver's return; a mailbox that is reclaimed by then has to be issued anew."""
        entry, decision = self._look(mailbox)
        last = self._last_leave(entry)
        if last.returned is not None and last.returned.effective_at <= self._clock.now():
            raise _ended(last.returned)
        if start_of(returned) < last.fact.effective_at:
            left = dates.day(last.fact.effective_at)
            raise NotAllowed(
                Text(f"Ngày trở lại trước ngày nghỉ {left.vi}.", f"The return comes before the leave of {left.en}."),
                clause="6.4.c",
                remedy=Text(
                    "Nếu ghi nhầm: mic-mail mailbox leave --correct, hoặc --withdraw.",
                    "To correct a mistake: mic-mail mailbox leave --correct, or --withdraw.",
                ),
            )
        if MailboxState.RECLAIMED in decision.states or reclaim_at(last, self._settings) <= start_of(returned):
            raise NotAllowed(
                Text("Đến ngày đó hộp thư đã thu hồi; phải cấp lại.", "The mailbox is reclaimed by then; issue it again."),
                clause="6.4.a",
            )
        return self._record(entry, FactKind.RETURNED, origin, start_of(returned))

    def lock_sending(self, mailbox: MailboxRecord, origin: ActContext) -> Fact:
        """Lock sending by hand, until the Centre unlocks it (Reg. 10.2)."""
        _needs_reason(origin, "10.2")
        return self._record(self._in_use(mailbox), FactKind.SENDING_LOCKED, origin)

    def unlock_sending(self, mailbox: MailboxRecord, origin: ActContext) -> Fact:
        """Lift the locks set by hand; the lock of Reg. 6.4.c stays."""
        entry, decision = self._look(mailbox)
        by_hand = {fact.seq for fact in entry.facts if fact.kind is FactKind.SENDING_LOCKED}
        to_come = ahead(entry.facts, send_locked_by_decision(entry.facts), self._clock.now())
        if not any(by_hand & set(span.fact_seqs) for span in (*decision.reasons, *to_come)):
            raise NotAllowed(Text("Không có khóa gửi bằng tay.", "Sending is not locked by hand."), clause="10.2")
        return self._record(entry, FactKind.SENDING_UNLOCKED, origin)

    def reclaim(self, mailbox: MailboxRecord, origin: ActContext) -> Fact:
        """Reclaim a mailbox on the unit's request (Reg. 6.1, 6.2), but not during a handover (Reg. 12.3.d)."""
        _needs_reason(origin, "6.2")
        entry = self._in_use(mailbox)
        if running(entry.facts) is not None:
            raise BeingHandedOver(mailbox.address)
        return self._record(entry, FactKind.RECLAIMED, origin)

    def withdraw_reclaim(self, mailbox: MailboxRecord, origin: ActContext) -> Fact:
        """Withdraw a reclamation on request that is still to come, recorded by a clock that was ahead."""
        _needs_reason(origin, "6.2")
        entry, decision = self._look(mailbox)
        if not ahead(entry.facts, reclaimed_on_request(entry.facts), self._clock.now()):
            raise NotAllowed(
                Text("Không có việc thu hồi theo yêu cầu nào chưa đến giờ.", "No reclaim on request is pending."),
                clause="6.2",
                remedy=RESTORE_RECLAIMED if MailboxState.RECLAIMED in decision.states else None,
            )
        return self._record(entry, FactKind.RECLAIM_WITHDRAWN, origin)

    # ------------------------------------------------------------ Reg. 15.2

    def may_change_password(self, mailbox: MailboxRecord, origin: ActContext) -> Decision:
        """Refuse a new password for a mailbox that is reclaimed or not issued, or without a ground.

        A change that is due (after an issue, a reset, a restore, by age) rests on the document of that act. Any other needs
        a letter or the unit's mail (Reg. 15.2): an absent person cannot be told from one who lost the password.
        """
        _, decision = self._look(mailbox)
        must_be_issued(decision)
        if not decision.password_change_due and not origin.document:
            raise NotAllowed(
                Text(
                    "Chưa đến lúc phải đổi mật khẩu; đặt mật khẩu khác cần văn bản hoặc thư của đơn vị.",
                    "No password change is due; any other change needs a letter or mail from the unit.",
                ),
                clause="15.2",
                remedy=ADD_DOCUMENT,
            )
        return decision

    # ------------------------------------------------------------ Reg. 8.3

    def set_quota(self, mailbox: MailboxRecord, octets: int, origin: ActContext) -> None:
        """Change the quota (Reg. 8.3.a, 8.3.b)."""
        entry, decision = self._look(mailbox)
        check_quota(octets, entry.quota_octets, origin)
        draft = origin.draft(FactKind.QUOTA_SET, self._clock.now(), octets=octets, previous=entry.quota_octets)
        self._directory.set_quota(entry.mailbox_id, octets, draft, after=decision.fact_seq)

    def _look(self, mailbox: MailboxRecord) -> tuple[Entry, Decision]:
        entry = self._directory.entry(mailbox.mailbox_id)
        return entry, self.decide(entry)

    def _record(self, entry: Entry, kind: FactKind, origin: ActContext, at: datetime | None = None, /, **data: Detail) -> Fact:
        return self._directory.append_to(entry, origin.draft(kind, at or self._clock.now(), **data))

    def _in_use(self, mailbox: MailboxRecord) -> Entry:
        entry, decision = self._look(mailbox)
        must_be_issued(decision)
        return entry

    def _must_follow_issue(self, official: date, facts: Sequence[Fact]) -> None:
        """Refuse a leave before the issue; an imported mailbox may belong to a former leaver."""
        births = [fact for fact in facts if fact.kind in {FactKind.ISSUED, FactKind.IMPORTED}]
        if births and births[-1].kind is FactKind.ISSUED and official < local_day(births[-1].effective_at):
            issued = dates.day(births[-1].effective_at)
            raise NotAllowed(
                Text(f"Ngày nghỉ trước ngày cấp hộp thư {issued.vi}.", f"The leave is before the issue of {issued.en}."),
                clause="6.4.c",
                remedy=Text(
                    "Nếu cấp nhầm: mic-mail mailbox reclaim.", "If it was issued by mistake: mic-mail mailbox reclaim."
                ),
            )

    def _last_leave(self, entry: Entry) -> Leave:
        found = leaves(entry.facts)
        if not found:
            raise NotAllowed(Text("Chưa ghi nhận việc nghỉ nào.", "No leave is recorded."), clause="6.4.c")
        return found[-1]

    def _level(self, entry: Entry, named: Level | None) -> Level:
        """Return the rank of Reg. 6.4.c: as given, as recorded for the person, or by position; else refuse."""
        if named is not None:
            return named
        if entry.owner.person_id is not None:
            person = self._directory.person(entry.owner.person_id)
            known = person.level or level_of(person.position, self._directory.changes.levels())
            if known is not None:
                return known
        raise NotAllowed(
            Text(
                "Chưa rõ cấp lãnh đạo của cá nhân; nêu rõ: phòng (phòng, ban trở xuống) hoặc vụ (Vụ trở lên).",
                "The rank is unknown; give it: division (or below) or department (or above).",
            ),
            clause="6.4.c",
            remedy=Text("Thêm --level phòng hoặc --level vụ.", "Add --level division or --level department."),
        )


def must_be_issued(decision: Decision) -> None:
    """Refuse a mailbox that is reclaimed or not issued yet."""
    if decision.states & set(FINAL):
        raise NotAllowed(Text("Hộp thư đã thu hồi hoặc chưa cấp.", "The mailbox is reclaimed or not issued yet."))


def _ended(returned: Fact) -> NotAllowed:
    back = dates.day(returned.effective_at)
    return NotAllowed(
        Text(f"Lần nghỉ này đã kết thúc khi trở lại ngày {back.vi}.", f"That leave ended with the return of {back.en}."),
        clause="6.4.c",
        remedy=Text("Nếu nghỉ lần nữa: ghi nhận không có --correct.", "Record a new leave without --correct."),
    )


def _suspensions(decision: Decision) -> list[Reason]:
    return [reason for reason in decision.reasons if reason.state is MailboxState.SUSPENDED]


def _needs_reason(origin: ActContext, clause: str) -> None:
    if not origin.reason:
        raise NotAllowed(Text("Phải nêu lý do.", "A reason is needed."), clause=clause, remedy=ADD_REASON)
