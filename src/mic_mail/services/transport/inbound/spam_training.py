"""Spam training: moves to and from Junk train Rspamd (Reg. 15.5).

The session's process notes them, the housekeeper submits them to Rspamd.

    into Junk by COPY or MOVE, or `$Junk` set                    spam
    out of Junk to anything but Trash, or `$NotJunk` set         ham

The session waits for none of it and gets no error. One mailbox trains at most `rspamd.taught_per_hour` messages an
hour: neither a stolen password nor a user who tidies up ten years of mail decides what spam is for the ministry. APPEND
trains nothing, as archives are imported by it.
"""

import asyncio
import os
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from os import SEEK_END
from pathlib import Path
from weakref import WeakValueDictionary

from mic_mail.errors import MicMailError
from mic_mail.filters.rspamd import NotScored, Rspamd, TrainingResult, Unwilling
from mic_mail.filters.training_queue import TrainingQueue, TrainingSample
from mic_mail.log.error_fields import described, failure
from mic_mail.process.background_tasks import BackgroundTasks
from mic_mail.process.runtime import Runtime
from mic_mail.services.transport.inbound.junk_signals import junk_from_move
from mic_mail.services.transport.inbound.message_chunks import message_chunks
from mic_mail.smtpclient.smarthost import NoPassword, read_password
from mic_mail.storage.errors import NoSuchFolder, NoSuchMessage
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import AccountRef

MAX_PER_RUN = 200
_PIECE = 1 << 20
TOO_OLD_SECONDS = 7 * 86_400.0
HOUR = 3_600.0
MAX_LOOKUPS = 3
"""Attempts to find a file that was renamed: names contain flags, which may change meanwhile."""
MAX_ATTEMPTS = 20
"""Attempts for a message for which Rspamd reports an error of its own; it delays no other sample."""


@dataclass(frozen=True, slots=True)
class UserVerdict:
    """Messages, and what a user did with them."""

    at: AccountRef
    """The mailbox they are in now."""
    folder: str
    uids: Sequence[int]
    came_from: tuple[AccountRef, str] | None = None
    """The folder they were moved from; None: `spam` decides."""
    spam: bool = False
    login: str = ""
    session: str = ""


class TrainingNotes:
    """Notes the training samples of one process; belongs to the loop."""

    def __init__(self, runtime: Runtime, *, store: MailStore) -> None:
        self._runtime = runtime
        self._store = store
        self._queue = TrainingQueue(runtime.config().training_dir)
        self._tasks = BackgroundTasks()
        self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        """By mailbox: of two verdicts about one message the last counts, and some take longer than others."""

    def note(self, verdict: UserVerdict) -> None:
        """Note a user's verdict in the background."""
        self._tasks.start(self._note_in_turn(verdict))

    async def settle(self) -> None:
        """Wait until everything is noted: the end of a drain."""
        await self._tasks.settle()

    async def _note_in_turn(self, verdict: UserVerdict) -> None:
        async with self._turns.setdefault(verdict.at.account_id, asyncio.Lock()):
            await self._note(verdict)

    async def _note(self, verdict: UserVerdict) -> None:
        try:
            spam = verdict.spam
            if verdict.came_from is not None:
                source, folder = verdict.came_from
                uses = [await self._use(source, folder), await self._use(verdict.at, verdict.folder)]
                decided = junk_from_move(*uses)
                if decided is None:
                    return
                spam = decided
            noted = await self._runtime.account_executors.read(verdict.at, self._take, verdict, spam)
        except NoSuchFolder:  # deleted meanwhile
            return
        except (MicMailError, OSError) as error:
            self._runtime.log.event("lesson_failed", mailbox_id=verdict.at.account_id, **failure(error))
            return
        entry = {"messages": noted, "of": len(verdict.uids), "spam": spam, "login": verdict.login, "session": verdict.session}
        self._runtime.log.event(
            "junk_reported", mailbox_id=verdict.at.account_id, folder=verdict.folder, clause="15.5", **entry
        )

    async def _use(self, at: AccountRef, folder: str) -> str | None:
        account = self._store.account(at)
        return (await self._runtime.account_executors.read(at, account.folder, folder)).special_use

    def _take(self, verdict: UserVerdict, spam: bool) -> int:
        account: Account = self._store.account(verdict.at)
        folder_id, left, noted = (
            account.folder(verdict.folder).folder_id,
            verdict.uids[: self._runtime.config().rspamd.taught_per_hour],
            0,
        )
        for _ in range(MAX_LOOKUPS):
            paths = sorted(account.paths(folder_id, left).items())
            if paths and not any(path for _, path in paths):  # they are no files
                return noted + self._take_copies(account, folder_id, left, spam)
            sources = [Path(path) for _, path in paths]
            noted += self._queue.note(verdict.at.account_id, sources, spam=spam, now_us=self._runtime.clock.steady_us())
            left = [uid for uid, path in paths if not os.path.lexists(path)]
            for uid in left:
                with suppress(NoSuchMessage), account.open_message(folder_id, uid):
                    pass  # opening it finds its new name and updates the index
            if not left:
                break
        return noted

    def _take_copies(self, account: Account, folder_id: int, uids: Sequence[int], spam: bool) -> int:
        copies = [
            (email_id, partial(_octets_of, account, folder_id, uid))
            for uid, email_id in account.rows(folder_id, uids, ("uid", "email_id"))
        ]
        now_us = self._runtime.clock.steady_us()
        return self._queue.note_copies(account.ref.account_id, copies, spam=spam, now_us=now_us)


def _octets_of(account: Account, folder_id: int, uid: int) -> Iterator[bytes]:
    try:
        with account.open_message(folder_id, uid) as message:
            at = 0
            while octets := message.pread(at, _PIECE):
                yield octets
                at += len(octets)
    except NoSuchMessage as error:
        raise FileNotFoundError(str(error)) from error


class SpamTrainer:
    """The housekeeper's job that trains Rspamd."""

    def __init__(self, runtime: Runtime, queue: TrainingQueue) -> None:
        self._runtime = runtime
        self._queue = queue
        self._trained: defaultdict[int, deque[float]] = defaultdict(deque)
        """The times of each mailbox's samples within the last hour."""
        self._unwilling: Counter[Path] = Counter()
        self._is_waiting = False
        self._lock = asyncio.Lock()

    async def run_once(self) -> bool:
        """Learn the queued samples; those that Rspamd does not answer are retried. Return whether there are any."""
        async with self._lock:
            return await self._run() and bool(await self._runtime.executors.io(self._queue.waiting))

    async def _run(self) -> bool:
        """Learn samples; return whether that was possible or failed in passing."""
        waiting = await self._runtime.executors.io(self._queue.waiting)
        if not waiting:
            return False
        now = self._runtime.clock.now().timestamp()
        await self._runtime.executors.io(self._queue.sweep, now - 3600)
        waiting = await self._without_old(waiting, now - TOO_OLD_SECONDS)
        # the others are gone, by a newer verdict or by age
        self._unwilling &= Counter({sample.path: MAX_ATTEMPTS for sample in waiting})
        settings = self._runtime.config().rspamd
        if not settings.controller or not waiting:
            return False
        try:
            password = await self._runtime.executors.io(read_password, settings.password) if settings.password else ""
        except NoPassword as error:
            self._wait(len(waiting), error)
            return True
        rspamd = Rspamd(settings.controller, seconds=settings.seconds, connections=1)
        left_out: Counter[int] = Counter()
        for sample in waiting[:MAX_PER_RUN]:
            if self._has_trained_enough(sample.mailbox_id, settings.taught_per_hour, now):
                left_out[sample.mailbox_id] += 1
            else:
                try:
                    await self._train(rspamd, sample, password, settings.largest)
                except Unwilling as error:
                    self._unwilling[sample.path] += 1
                    if self._unwilling[sample.path] < MAX_ATTEMPTS:
                        continue
                    self._runtime.log.event("lesson_failed", mailbox=self._name(sample.mailbox_id), error=described(error))
                except NotScored as error:
                    self._wait(len(waiting), error)
                    break
                else:
                    self._trained[sample.mailbox_id].append(now)
                self._is_waiting = False
            self._unwilling.pop(sample.path, None)
            await self._runtime.executors.io(self._queue.forget, sample)
        for mailbox_id, messages in left_out.items():
            self._runtime.log.event("lessons_left_out", mailbox=self._name(mailbox_id), messages=messages, clause="15.5")
        return True

    def _wait(self, samples: int, error: Exception) -> None:
        """Log a failure once, not in every run."""
        if not self._is_waiting:
            self._runtime.log.event("teaching_waits", lessons=samples, error=described(error))
        self._is_waiting = True

    def _has_trained_enough(self, mailbox_id: int, most: int, now: float) -> bool:
        trained = self._trained[mailbox_id]
        while trained and trained[0] <= now - HOUR:
            trained.popleft()
        return len(trained) >= most

    async def _without_old(self, waiting: list[TrainingSample], before: float) -> list[TrainingSample]:
        old = [sample for sample in waiting if sample.at_us < before * 1_000_000]
        for sample in old:
            await self._runtime.executors.io(self._queue.forget, sample)
        if old:
            self._runtime.log.event("lessons_expired", messages=len(old))
        return waiting[len(old) :]

    async def _train(self, rspamd: Rspamd, sample: TrainingSample, password: str, largest: int) -> None:
        try:
            octets = await self._runtime.executors.io(_size_of, sample.path)
        except FileNotFoundError:  # a newer verdict replaced it meanwhile
            return
        except OSError as error:
            self._runtime.log.event("lesson_failed", mailbox=self._name(sample.mailbox_id), **failure(error))
            return
        trained = TrainingResult.UNFIT
        if octets <= largest:
            trained = await rspamd.train(
                message_chunks(self._runtime.executors, sample.path), octets, spam=sample.spam, password=password
            )
        self._runtime.log.event(
            "message_taught", mailbox=self._name(sample.mailbox_id), spam=sample.spam, result=trained, clause="15.5"
        )

    def _name(self, mailbox_id: int) -> str:
        entry = self._runtime.snapshot().entry(mailbox_id)
        return entry.address if entry is not None else str(mailbox_id)


def _size_of(path: Path) -> int:
    """Return the size of a file; raises if it cannot be read."""
    with path.open("rb") as file:
        return file.seek(0, SEEK_END)
