"""The archiving, deletion and return of reclaimed mailboxes (Reg. 6.4.c, 6.2).

`policy.reclamation` decides when. In: a mailbox, the actor. Out: archives below `<data_dir>/archive/<home>/` in the
format of `mic-mail backup`, facts, a store that is gone or back. Blocking; executors and commands only. Every step can
be the last before a kill:

    archive   written under a temporary name, examined, renamed; then ARCHIVED. A copy that no fact names is removed.
    free      FREED first, then the store is set aside under its lock if the record still says so, then removed. The next
              run finishes what a kill leaves. The archive was examined just before, and nothing has changed since; a store
              that received something all the same stays.
    return    the archive is restored beside the mailbox's place; then UNARCHIVED, so that no run touches what comes back
              (it names what was set aside, if that was not to be deleted); then it is moved into place; then ISSUED, or
              the fact on the leave that reopens the mailbox. Repeated in between, it accepts a mailbox that holds
              everything of the archive, and makes no second copy.
    drop      ARCHIVE_DROPPED first, then the folder. The next run removes a folder whose fact says so.
"""

import contextlib
import os
import shutil
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import RECORD_CHANGED, MailboxRecord, Superseded
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry
from mic_mail.durable_files import make_durable
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.calendar import local_day
from mic_mail.policy.facts import Detail, Fact, FactKind
from mic_mail.policy.lifecycle import LifecycleSettings
from mic_mail.policy.reclamation import (
    ANSWERED_FOR,
    Course,
    Obstacle,
    ReclaimStage,
    archives,
    course,
    is_empty,
    keeps_until,
    obstacles,
    recorded_warnings,
)
from mic_mail.policy.states import MailboxState, Reason
from mic_mail.policy.unit_mail.handover import nothing_may_go
from mic_mail.services.mailboxes.lifecycle_actions import RESTORE_RECLAIMED, NotAllowed
from mic_mail.services.use_cases import MailUseCases
from mic_mail.storage.backup.format import OfAnotherVersion, examine
from mic_mail.storage.mailstore import MailStore

FOLDER = "archive"
ARCHIVE_MODE = 0o700
CLOCK = ActContext("clock")
ASIDE = "aside"
"""The key in UNARCHIVED: the name of an earlier store that had to stay, that of its folder where mail lies in files."""


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """A reclaimed mailbox and its progress."""

    entry: Entry
    reason: Reason
    way: Course


class Finished(StrEnum):
    """The result of finishing a mailbox that is deleted on record."""

    GONE = "gone"
    NOT_IN_ARCHIVE = "not-in-archive"
    """The store stays: it has messages that the archive lacks (perhaps an old directory was restored)."""
    HELD = "held"
    """The store stays while a legal hold or a handover lasts, which came at the same moment."""
    OPENED = "opened"
    """The store stays: the mailbox is issued again or brought back by now."""


class ArchiveDamaged(NotAllowed):
    """The archive of a mailbox to be restored is unreadable, or of another version of this program."""

    def __init__(self, archive: str, damage: BadInput) -> None:
        if isinstance(damage, OfAnotherVersion):
            super().__init__(
                Text(
                    f"Không lấy lại được bản lưu trữ {archive}: {damage.text.vi}",
                    f"The archive {archive} cannot be restored: {damage.text.en}",
                ),
                clause="6.4.c",
                remedy=Text(
                    "Chép bản lưu trữ ra nơi khác; chạy mic-mail archive drop, cấp lại hộp thư trống, rồi nhập thư mục Maildir "
                    "trong bản chép: mic-mail import maildir.",
                    "Copy the archive elsewhere, run mic-mail archive drop, issue the mailbox empty, then import the Maildir "
                    "in the copy: mic-mail import maildir.",
                ),
            )
            return
        super().__init__(
            Text(
                f"Bản lưu trữ {archive} bị hỏng, không lấy lại được: {damage.text.vi}",
                f"The archive {archive} is damaged and cannot be restored: {damage.text.en}",
            ),
            clause="6.4.c",
            remedy=Text(
                "Chép lại bản lưu trữ từ bản sao lưu; nếu không còn bản nào: mic-mail archive drop, rồi cấp lại hộp thư trống.",
                "Copy the archive back from a backup; if there is none, run mic-mail archive drop, then issue the mailbox "
                "empty.",
            ),
        )


DELETED = Text("Hộp thư đã được xóa.", "The mailbox has already been deleted.")
RETURNING = Text("Thư đang được lấy lại từ bản lưu trữ.", "Its mail is being restored from the archive.")


class Reclaiming(MailUseCases):
    def __init__(self, directory: Directory, store: MailStore, config: Config, clock: Clock) -> None:
        super().__init__(directory, store, config, clock)
        self.root = config.server.data_dir / FOLDER

    def progress_of(self, entry: Entry, settings: LifecycleSettings) -> Reclaimed | None:
        """Return the progress of a mailbox; None for one that is not reclaimed."""
        decision = entry.decide_if_readable(self._clock.steady_now(), settings)
        reason = decision.reason(MailboxState.RECLAIMED) if decision is not None else None
        return None if reason is None else Reclaimed(entry, reason, course(entry.facts, reason.since))

    def obstacles(self, found: Reclaimed, *, clock_trusted: bool) -> list[Obstacle]:
        entry = found.entry
        keys = recorded_warnings(entry.mailbox_id, entry.facts, found.reason, found.way)
        warned = all(self._directory.sent.known(alternatives) for alternatives in keys)
        return obstacles(
            found.way, self._clock.steady_now(), held=self._is_held(entry), warned=warned, clock_trusted=clock_trusted
        )

    def _is_held(self, entry: Entry) -> bool:
        """Return whether a hold or a handover is in force, by record or mark (Reg. 9.2, 12.3.d)."""
        return nothing_may_go(entry.facts) or self._store.account_of(entry).is_held()

    def archive(self, found: Reclaimed) -> Fact:
        """Copy the mailbox into the archive and record until when its store is retained."""
        entry, now = found.entry, self._clock.steady_now()
        seq = entry.facts[-1].seq
        name = f"{entry.home}/{local_day(now):%Y%m%d}-{seq + 1}"
        target, partial = self.root / name, self.root / f"{name}.partial"
        self.tidy(entry)
        _make_private(target.parent, self.root)
        account = self._store.account_of(entry)
        modseq = account.highest_modseq()  # before the copy: mail that arrives during it counts as a change
        account.backup(partial)
        messages, octets = examine(partial)
        os.chmod(partial, ARCHIVE_MODE)
        os.rename(partial, target)
        make_durable(str(target.parent))
        return self._append(
            entry, FactKind.ARCHIVED, CLOCK, archive=name, messages=messages, octets=octets, modseq=modseq,
            clause=found.reason.clause, keep_until=keeps_until(now, self._config.reclaim.keep_days).isoformat(),
        )  # fmt: skip

    def free(self, found: Reclaimed, origin: ActContext = CLOCK, *, clock_trusted: bool) -> Fact | None:
        """Record that the mailbox is deleted from the server; `finish` then deletes it.

        None: it has changed since it was archived, and is archived anew. By a document an operator (`origin`) answers for
        the clock and for warnings that were not sent; for nothing else.
        """
        by_hand = origin is not CLOCK
        if by_hand:
            _needs_document(origin)
        against = self.obstacles(found, clock_trusted=clock_trusted)
        standing = [each for each in against if not (by_hand and each in ANSWERED_FOR)]
        if standing:
            why = standing[0].label
            raise NotAllowed(
                Text(f"Chưa được xóa hộp thư: {why.vi}.", f"The mailbox may not be deleted: {why.en}."), clause="6.4.c"
            )
        entry, archived = found.entry, found.way.archived
        assert archived is not None, "what is not archived has an obstacle"
        if found.way.stage is not ReclaimStage.ARCHIVED:
            if found.way.stage is ReclaimStage.RETURNING:
                raise NotAllowed(RETURNING, clause="6.4.c", remedy=RESTORE_RECLAIMED)
            raise NotAllowed(DELETED, clause="6.4.c")
        if not self._is_whole(archived) or self._store.account_of(entry).highest_modseq() != archived.data.get("modseq"):
            if by_hand:
                raise NotAllowed(
                    Text("Hộp thư đã thay đổi sau khi lưu trữ; sẽ được lưu trữ lại.", "It has changed since it was archived."),
                    clause="6.4.c",
                )
            self.archive(found)
            return None
        by, archive = "operator" if by_hand else "clock", archived.text("archive")
        return self._append(entry, FactKind.FREED, origin, archive=archive, clause=found.reason.clause, by=by)

    def finish(self, entry: Entry) -> Finished:
        """Delete the store of a freed mailbox, after a last check under its lock: it may just be issued again."""
        ended = Finished.GONE

        def may_go() -> bool:
            nonlocal ended
            ended = self._stays(entry)
            return ended is Finished.GONE

        if self._has_more(entry):
            return Finished.NOT_IN_ARCHIVE
        account = self._store.account_of(entry)
        if account.is_left:
            account.free(may_go)
        return ended

    def _has_more(self, entry: Entry) -> bool:
        """Return whether the store has a message that the last archive lacks; MODSEQs do not tell."""
        account = self._store.account_of(entry)
        if not account.exists:
            return False
        path = next((self.path_of(fact) for fact in reversed(archives(entry.facts))), None)
        if path is None:
            return any(folder.messages for folder in account.folders())
        return account.has_more_than(path)

    def _is_back(self, entry: Entry, archived: Fact) -> bool:
        """Return whether the mailbox holds all that is readable in the archive, and as many messages."""
        account, messages = self._store.account_of(entry), archived.data.get("messages")
        if not account.exists:
            return False
        account.repair()  # so that its counts are right
        held = sum(folder.messages for folder in account.folders())
        return isinstance(messages, int) and 0 < messages <= held and account.has_all_of(self.path_of(archived))

    def _stays(self, entry: Entry) -> Finished:
        """Return whether the store may go (GONE), asked under its lock, under which holds are set as well."""
        now = self._directory.entry(entry.mailbox_id)
        if not is_empty(now.facts) or self.progress_of(now, self.settings()) is None:
            return Finished.OPENED
        return Finished.HELD if self._is_held(now) else Finished.GONE

    def tidy(self, entry: Entry) -> None:
        """Remove archive folders that no fact names: of killed copies, and of dropped archives."""
        named = {Path(fact.text("archive") or "").name for fact in archives(entry.facts)}
        with contextlib.suppress(FileNotFoundError):
            for found in os.scandir(self.root / entry.home):
                if found.name not in named:
                    shutil.rmtree(found.path)

    def _is_whole(self, archived: Fact) -> bool:
        try:
            return examine(self.path_of(archived)) == (archived.data.get("messages"), archived.data.get("octets"))
        except BadInput:
            return False

    def path_of(self, archived: Fact) -> Path:
        return self.root / (archived.text("archive") or "")

    def of(self, mailbox: MailboxRecord) -> Reclaimed:
        """Return the progress of a reclaimed mailbox, as of now; refuse any other."""
        found = self.progress_of(self._directory.entry(mailbox.mailbox_id), self.settings())
        if found is None:
            raise NotAllowed(Text("Hộp thư chưa bị thu hồi.", "The mailbox is not reclaimed."), clause="6.4.c")
        return found

    def bring_back(self, mailbox: MailboxRecord, origin: ActContext) -> Fact | None:
        """Put the content of a freed mailbox back into place, so that it can be issued again.

        None: it is still there. An earlier store that was not to be deleted is set aside, in the folder that the fact names
        (`aside`).
        """
        found = self.of(mailbox)
        entry, way = found.entry, found.way
        if way.stage is ReclaimStage.DROPPED:
            raise NotAllowed(
                Text("Bản lưu trữ đã bị xóa; không còn gì để lấy lại.", "The archive was deleted; nothing can be restored."),
                clause="6.4.c",
                remedy=Text("mic-mail mailbox issue", "mic-mail mailbox issue"),
            )
        if way.stage not in {ReclaimStage.FREED, ReclaimStage.RETURNING}:
            return None
        assert way.archived is not None, "it was freed"
        path = self.path_of(way.archived)
        data: dict[str, Detail] = {"archive": way.archived.text("archive")}
        fact = next((fact for fact in reversed(entry.facts) if fact.kind is FactKind.UNARCHIVED), None)
        is_new = way.stage is ReclaimStage.FREED
        if not is_new and self._is_back(entry, way.archived):
            return fact

        def record(aside: str) -> None:
            nonlocal fact
            if stays:
                data[ASIDE] = aside
            if is_new or stays:
                fact = self._append(entry, FactKind.UNARCHIVED, origin, **data)
            elif self._directory.facts(entry.mailbox_id)[-1].seq != entry.facts[-1].seq:  # others issued it meanwhile
                raise Superseded(RECORD_CHANGED)

        try:
            examine(path)  # before anything is deleted
            stays = self.finish(entry) is not Finished.GONE if is_new else self._has_more(entry)
            self._store.account_of(entry).restore(path, replace=True, ready=record)
        except BadInput as damage:
            raise ArchiveDamaged(way.archived.text("archive") or "", damage) from damage
        return fact

    def drop(self, mailbox: MailboxRecord, archive: str, origin: ActContext) -> Fact:
        """Delete an archive on a document; refused while the mailbox is yet to be freed, or is held.

        Refused also where its mail is back in the mailbox, which would survive the deletion. An archive that has become
        unreadable while it is being brought back may be dropped, since nothing else leads on.
        """
        _needs_document(origin)
        entry = self._directory.entry(mailbox.mailbox_id)
        if not any(fact.text("archive") == archive for fact in archives(entry.facts)):
            raise BadInput(Text(f"Không có bản lưu trữ “{archive}”.", "The mailbox has no such archive."))
        found = self.progress_of(entry, self.settings())
        way = found.way if found is not None and found.way.archive == archive else Course(ReclaimStage.RECLAIMED)
        if way.stage is ReclaimStage.ARCHIVED or self._is_held(entry):
            raise NotAllowed(
                Text("Bản lưu trữ này còn cần đến: hộp thư chưa được xóa hoặc đang được giữ.", "The archive is still needed."),
                clause="6.4.c",
            )
        if way.stage is ReclaimStage.RETURNING and way.archived is not None and self._is_back(entry, way.archived):
            raise NotAllowed(
                Text(
                    "Thư của bản lưu trữ này đã về hộp thư, chỉ còn phải cấp lại.",
                    "The archive's mail is back in the mailbox, which has not been issued again yet.",
                ),
                clause="6.4.c",
                remedy=Text(
                    "Làm xong việc lấy lại: mic-mail mailbox restore-reclaimed; sau đó mới xóa bản lưu trữ.",
                    "First finish the restore: mic-mail mailbox restore-reclaimed; then drop the archive.",
                ),
            )
        fact = self._append(entry, FactKind.ARCHIVE_DROPPED, origin, archive=archive)
        self.tidy(self._directory.entry(entry.mailbox_id))
        return fact

    def _append(self, entry: Entry, kind: FactKind, origin: ActContext, **data: Detail) -> Fact:
        # No fact names the request: it is carried out by the issue that follows, and a step may be repeated.
        draft = replace(origin, request=None).draft(kind, self._clock.steady_now(), **data)
        return self._directory.append_to(entry, draft)


def _needs_document(origin: ActContext) -> None:
    origin.must_have_document("6.4.c", Text("Việc xóa phải có văn bản.", "A deletion needs a document."))


def _make_private(folder: Path, root: Path) -> None:
    for path in (*reversed([above for above in folder.parents if above.is_relative_to(root)]), folder):
        path.mkdir(mode=ARCHIVE_MODE, exist_ok=True)
