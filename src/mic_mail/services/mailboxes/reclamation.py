"""What the server does with a reclaimed mailbox, and how it is undone (Reg. 6.4.c, 6.2; policy.reclaiming says when).

In: a mailbox, who acts. Out: archives below `<data_dir>/archive/<home>/` in the format of `mic-mail backup`, facts, a store
that is gone or back. Blocking; lanes and commands only. Every step can be the last before a kill:

    archive   written under another name, examined, renamed; then ARCHIVED. A copy that no fact names is removed.
    free      FREED first, then the store is set aside under its lock if the record still says so, then removed. What a kill
              leaves is finished by the next round. The archive was examined just before, and nothing has changed since it;
              a store into which something came all the same stays.
    return    the archive is restored beside the mailbox's place; then UNARCHIVED, so that no round touches what comes back
              (it names what lies aside, if that was not to be deleted); then it comes into its place; then ISSUED, or the
              word on the leave by which the mailbox is open again. Asked again in between, it believes a mailbox that holds
              everything of the archive, and makes no second copy.
    drop      ARCHIVE_DROPPED first, then the folder. A folder whose fact says so is removed by the next round.
"""

import contextlib
import os
import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import MailboxRecord, Superseded
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import BadInput, Text
from mic_mail.policy.calendar import local_day
from mic_mail.policy.facts import Detail, Draft, Fact, FactKind
from mic_mail.policy.grounds import must_have_document
from mic_mail.policy.handover import nothing_may_go
from mic_mail.policy.lifecycle import FactsUnreadable, LifecycleSettings, decide
from mic_mail.policy.reclamation import (
    ANSWERED_FOR,
    OBSTACLES,
    Course,
    Obstacle,
    Stage,
    archives,
    course,
    is_empty,
    keeps_until,
    obstacles,
    recorded_warnings,
)
from mic_mail.policy.states import Reason, State
from mic_mail.services.mailboxes.credentials import ActContext
from mic_mail.services.mailboxes.lifecycle_actions import NotAllowed
from mic_mail.services.settings.readings import lifecycle_settings
from mic_mail.storage.backup.backup import examine
from mic_mail.storage.backup.delete_account import is_left
from mic_mail.storage.maildir.maildir import make_durable
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import AccountRef

FOLDER = "archive"
"""Below `data_dir`."""
ARCHIVE_MODE = 0o700
CLOCK = ActContext("clock")
"""Who acts where nobody does."""
ASIDE = "aside"
"""In UNARCHIVED: the folder below `mail_root` that holds what lay in the mailbox's place and was not to be deleted."""


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """A reclaimed mailbox, and how far it has come."""

    entry: Entry
    reason: Reason
    way: Course


class Finished(StrEnum):
    """What has become of a mailbox that is deleted on record."""

    GONE = "gone"
    NOT_IN_ARCHIVE = "not-in-archive"
    """It stays, with messages that the archive does not have (the directory may be an old one that was brought back)."""
    HELD = "held"
    """It stays while a legal hold or a handover lasts, which came in the same moment."""
    OPENED = "opened"
    """It stays: it is issued again or brought back by now."""


class ArchiveDamaged(NotAllowed):
    """The archive that a mailbox was to have its mail from cannot be read."""

    def __init__(self, archive: str, damage: BadInput) -> None:
        super().__init__(
            Text(
                f"Bản lưu trữ {archive} bị hỏng, không lấy lại được: {damage.text.vi}",
                f"The archive {archive} is damaged and cannot be brought back: {damage.text.en}",
            ),
            clause="6.4.c",
            remedy=Text(
                "Chép lại bản lưu trữ từ bản sao lưu; nếu không còn bản nào: mic-mail archive drop, rồi cấp lại hộp thư trống.",
                "Copy the archive back from a backup; if there is none: mic-mail archive drop, then issue the mailbox empty.",
            ),
        )


DELETED = Text("Hộp thư đã được xóa.", "The mailbox is deleted already.")
RETURNING = Text("Thư đang được lấy lại từ bản lưu trữ.", "Its mail is being brought back from the archive.")
RESTORE = Text("mic-mail mailbox restore-reclaimed", "mic-mail mailbox restore-reclaimed")


class Reclaiming:
    """The use cases on reclaimed mailboxes."""

    def __init__(self, directory: Directory, store: MailStore, config: Config, clock: Clock) -> None:
        self._directory = directory
        self._store = store
        self._config = config
        self._clock = clock
        self.root = config.server.data_dir / FOLDER

    def settings(self) -> LifecycleSettings:
        """As of the calendar on record now."""
        return lifecycle_settings(self._config, self._directory.years.working_days())

    def progress_of(self, entry: Entry, settings: LifecycleSettings) -> Reclaimed | None:
        """How far a mailbox has come; None for one that is not reclaimed."""
        try:
            decision = decide(
                entry.kind, entry.facts, self._clock.steady_now(), last_activity=entry.last_activity, settings=settings
            )
        except FactsUnreadable:
            return None
        reason = decision.reason(State.RECLAIMED)
        return None if reason is None else Reclaimed(entry, reason, course(entry.facts, reason.since))

    def obstacles(self, found: Reclaimed, *, clock_trusted: bool) -> list[Obstacle]:
        """What stands against freeing it now."""
        entry = found.entry
        keys = recorded_warnings(entry.mailbox_id, entry.facts, found.reason, found.way)
        warned = all(self._directory.sent.known(alternatives) for alternatives in keys)
        return obstacles(
            found.way, self._clock.steady_now(), held=self._is_held(entry), warned=warned, clock_trusted=clock_trusted
        )

    def _is_held(self, entry: Entry) -> bool:
        """Reg. 9.2, 12.3.d: by a legal hold or a running handover, on record or by the store's own mark."""
        return nothing_may_go(entry.facts) or self._account(entry).is_held()

    # ------------------------------------------------------------ what the clock does

    def archive(self, found: Reclaimed) -> Fact:
        """Copy the mailbox into the archive and record until when it is kept here."""
        entry, now = found.entry, self._clock.steady_now()
        seq = entry.facts[-1].seq
        name = f"{entry.home}/{local_day(now):%Y%m%d}-{seq + 1}"
        target, partial = self.root / name, self.root / f"{name}.partial"
        self.tidy(entry)
        _make_private(target.parent, self.root)
        account = self._account(entry)
        modseq = account.highest_modseq()  # before the copy: what comes into it is seen as a change
        account.backup(partial)
        messages, octets = examine(partial)
        os.chmod(partial, ARCHIVE_MODE)
        os.rename(partial, target)
        make_durable(str(target.parent))
        data: dict[str, Detail] = {
            "archive": name,
            "messages": messages,
            "octets": octets,
            "modseq": modseq,
            "clause": found.reason.clause,
            "keep_until": keeps_until(now, self._config.reclaim.keep_days).isoformat(),
        }
        return self._append(entry, FactKind.ARCHIVED, CLOCK, data)

    def free(self, found: Reclaimed, origin: ActContext = CLOCK, *, clock_trusted: bool) -> Fact | None:
        """Record that the mailbox is deleted from the server; `finish` follows, and does it.

        None: it has changed since it was archived, and is archived anew. An operator (`origin`) answers for the clock and for
        warnings that were not sent, by a document; for nothing else.
        """
        by_hand = origin is not CLOCK
        if by_hand:
            _needs_document(origin)
        against = self.obstacles(found, clock_trusted=clock_trusted)
        standing = [each for each in against if not (by_hand and each in ANSWERED_FOR)]
        if standing:
            why = OBSTACLES[standing[0]]
            raise NotAllowed(
                Text(f"Chưa được xóa hộp thư: {why.vi}.", f"The mailbox may not be deleted: {why.en}."), clause="6.4.c"
            )
        entry, archived = found.entry, found.way.archived
        assert archived is not None, "what is not archived has an obstacle"
        if found.way.stage is not Stage.ARCHIVED:
            is_returning = found.way.stage is Stage.RETURNING
            raise NotAllowed(RETURNING if is_returning else DELETED, clause="6.4.c", remedy=RESTORE if is_returning else None)
        if not self._is_whole(archived) or self._account(entry).highest_modseq() != archived.data.get("modseq"):
            if by_hand:
                raise NotAllowed(
                    Text("Hộp thư đã thay đổi sau khi lưu trữ; sẽ được lưu trữ lại.", "It has changed since it was archived."),
                    clause="6.4.c",
                )
            self.archive(found)
            return None
        data: dict[str, Detail] = {
            "archive": archived.text("archive"),
            "clause": found.reason.clause,
            "by": "operator" if by_hand else "clock",
        }
        return self._append(entry, FactKind.FREED, origin, data)

    def finish(self, entry: Entry) -> Finished:
        """Delete what is left of a freed mailbox; asked under the lock once more, since it may just be issued again."""
        ended = Finished.GONE

        def may_go() -> bool:
            nonlocal ended
            ended = self._stays(entry)
            return ended is Finished.GONE

        if self._has_more(entry):
            return Finished.NOT_IN_ARCHIVE
        if is_left(self._home(entry)):
            self._account(entry).free(may_go)
        return ended

    def _has_more(self, entry: Entry) -> bool:
        """Whether a message is there that is not in the last archive. (Numbers tell nothing: a new boot raises them.)"""
        if not os.path.isdir(self._home(entry)):
            return False
        path = next((self.path_of(fact) for fact in reversed(archives(entry.facts))), None)
        account = self._account(entry)
        if path is None:
            return any(folder.messages for folder in account.folders())
        return account.has_more_than(path)

    def _home(self, entry: Entry) -> str:
        return f"{self._config.mail_root}/{entry.home}"

    def _is_back(self, entry: Entry, archived: Fact) -> bool:
        """Whether the mailbox holds everything of the archive: what of it can still be read, and as much as it ever had."""
        if not os.path.isdir(self._home(entry)):
            return False
        account, messages = self._account(entry), archived.data.get("messages")
        account.repair()  # so that it has what it says
        held = sum(folder.messages for folder in account.folders())
        return isinstance(messages, int) and 0 < messages <= held and account.has_all_of(self.path_of(archived))

    def _stays(self, entry: Entry) -> Finished:
        """Asked under the store's lock, under which a hold is put on as well; GONE: it may go."""
        now = self._directory.entry(entry.mailbox_id)
        if not is_empty(now.facts) or self.progress_of(now, self.settings()) is None:
            return Finished.OPENED
        return Finished.HELD if self._is_held(now) else Finished.GONE

    def tidy(self, entry: Entry) -> None:
        """Remove folders of the archive that no fact names: of copies that were killed, and of archives that were dropped."""
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
        """Where an archive lies."""
        return self.root / (archived.text("archive") or "")

    # ------------------------------------------------------------ what people do

    def of(self, mailbox: MailboxRecord) -> Reclaimed:
        """A mailbox that is reclaimed, as of now; else refused."""
        found = self.progress_of(self._directory.entry(mailbox.mailbox_id), self.settings())
        if found is None:
            raise NotAllowed(Text("Hộp thư chưa bị thu hồi.", "The mailbox is not reclaimed."), clause="6.4.c")
        return found

    def bring_back(self, mailbox: MailboxRecord, origin: ActContext) -> Fact | None:
        """Put the content of a freed mailbox back into its place, so that it can be issued again; None: it is still there.

        What was not to be deleted before lies aside afterwards, in the folder that the fact names (`aside`).
        """
        found = self.of(mailbox)
        entry, way = found.entry, found.way
        if way.stage is Stage.DROPPED:
            raise NotAllowed(
                Text(
                    "Bản lưu trữ đã bị xóa; không còn gì để lấy lại.", "The archive was dropped; nothing can be brought back."
                ),
                clause="6.4.c",
                remedy=Text("mic-mail mailbox issue", "mic-mail mailbox issue"),
            )
        if way.stage not in {Stage.FREED, Stage.RETURNING}:
            return None
        assert way.archived is not None, "it was freed"
        path = self.path_of(way.archived)
        data: dict[str, Detail] = {"archive": way.archived.text("archive")}
        fact = next((fact for fact in reversed(entry.facts) if fact.kind is FactKind.UNARCHIVED), None)
        is_new = way.stage is Stage.FREED
        if not is_new and self._is_back(entry, way.archived):
            return fact

        def record(aside: str) -> None:
            nonlocal fact
            if stays:
                data[ASIDE] = os.path.relpath(aside, self._config.mail_root)
            if is_new or stays:
                fact = self._append(entry, FactKind.UNARCHIVED, origin, data)
            elif self._directory.facts(entry.mailbox_id)[-1].seq != entry.facts[-1].seq:  # somebody was faster, and issued it
                raise Superseded(
                    Text("Hồ sơ hộp thư vừa thay đổi; đề nghị xem lại.", "The mailbox's record has just changed; look again.")
                )

        try:
            examine(path)  # before anything is deleted
            stays = self.finish(entry) is not Finished.GONE if is_new else self._has_more(entry)
            self._account(entry).restore(path, replace=True, ready=record)
        except BadInput as damage:
            raise ArchiveDamaged(way.archived.text("archive") or "", damage) from damage
        return fact

    def drop(self, mailbox: MailboxRecord, archive: str, origin: ActContext) -> Fact:
        """Delete an archive by the document that says so; never that of a mailbox which is still to be freed, or is held.

        Nor one whose mail is back in the mailbox, which would be there after the deletion. If it cannot be read any more while
        it is being brought back, nothing else leads on.
        """
        _needs_document(origin)
        entry = self._directory.entry(mailbox.mailbox_id)
        if not any(fact.text("archive") == archive for fact in archives(entry.facts)):
            raise BadInput(Text(f"Không có bản lưu trữ “{archive}”.", "There is no such archive of the mailbox."))
        found = self.progress_of(entry, self.settings())
        way = found.way if found is not None and found.way.archive == archive else Course(Stage.RECLAIMED)
        if way.stage is Stage.ARCHIVED or self._is_held(entry):
            raise NotAllowed(
                Text("Bản lưu trữ này còn cần đến: hộp thư chưa được xóa hoặc đang được giữ.", "The archive is still needed."),
                clause="6.4.c",
            )
        if way.stage is Stage.RETURNING and way.archived is not None and self._is_back(entry, way.archived):
            raise NotAllowed(
                Text(
                    "Thư của bản lưu trữ này đã về hộp thư, chỉ còn phải cấp lại.",
                    "The archive's mail is back in the mailbox, which is only to be issued again.",
                ),
                clause="6.4.c",
                remedy=Text(
                    "Làm xong việc lấy lại: mic-mail mailbox restore-reclaimed; sau đó mới xóa bản lưu trữ.",
                    "First finish that: mic-mail mailbox restore-reclaimed; then drop the archive.",
                ),
            )
        fact = self._append(entry, FactKind.ARCHIVE_DROPPED, origin, {"archive": archive})
        self.tidy(self._directory.entry(entry.mailbox_id))
        return fact

    # ------------------------------------------------------------ how

    def _account(self, entry: Entry) -> Account:
        return self._store.account(AccountRef(entry.mailbox_id, entry.home))

    def _append(self, entry: Entry, kind: FactKind, origin: ActContext, data: dict[str, Detail]) -> Fact:
        """Only if nobody has recorded anything since this was decided."""
        draft = Draft(kind, self._clock.steady_now(), origin.actor, origin.reason, origin.document, data)
        return self._directory.append_fact(entry.mailbox_id, draft, after=entry.facts[-1].seq)


def _needs_document(origin: ActContext) -> None:
    must_have_document(origin.document, "6.4.c", Text("Việc xóa phải có văn bản.", "A deletion needs a document."))


def _make_private(folder: Path, root: Path) -> None:
    """The archive's folders down to this one, for the server's account alone."""
    for path in (*reversed([above for above in folder.parents if above.is_relative_to(root)]), folder):
        path.mkdir(mode=ARCHIVE_MODE, exist_ok=True)
