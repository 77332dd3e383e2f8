"""The common context of server processes: log, executors, directory, mailboxes and sign-in.

In: a configuration, a clock, the process's name. Out: a `ProcessContext`, which follows reloads, the directory and the clock,
and ends what it has begun. The web process adds its pages (`app.web_process`), the others stores and services (`app.context`).
"""

import asyncio
import hmac
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence

from mic_mail.app.clock_watcher import ClockWatcher, begin_by_the_mark
from mic_mail.app.directory_watcher import DirectoryFollower
from mic_mail.auth.password_hash import DECOY_KEY, load_secret
from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.errors import MicMailError
from mic_mail.file_trace import trace_of
from mic_mail.log.error_fields import described, failure
from mic_mail.log.maillog import MailLog
from mic_mail.log.tee import Tee
from mic_mail.process.background_tasks import BackgroundTasks
from mic_mail.process.change_feed import Feed, notify_directory_changed
from mic_mail.process.executors import AccountExecutors, Executors
from mic_mail.process.loop_lag import LoopLag
from mic_mail.process.runtime import Runtime
from mic_mail.services.abuse.auto_suspend import AutoSuspend
from mic_mail.services.abuse.breached_password_check import BreachedPasswordCheck
from mic_mail.services.authentication import known_networks
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.mail_store import open_mail_store, prepare_mail_store
from mic_mail.services.mailboxes.clock_trust import ClockMark
from mic_mail.storage.types import AccountRef

CLOSE_SECONDS = 1.0
"""Seconds for each store to close.

Only waiting for a lock of another process takes so long; the supervisor waits 3 s.
"""


class ProcessContext:
    """The context of one process. Create it in the running loop, `open` it, and `follow` when it begins to serve."""

    access: SignInService
    """The sign-in service, with the present directory."""
    auto_suspend: AutoSuspend
    clock_watcher: ClockWatcher

    def __init__(
        self, config: Config, clock: Clock, name: str, *, secret: bytes, tee: bool = False, has_clients: bool = True
    ) -> None:
        """`secret` is the same in all processes of a server; with `tee` the log also goes to standard error.

        A process without clients (`has_clients`) holds few mailboxes open.
        """
        process = config.process
        shown = Tee(sys.stderr, name) if tee else None
        self.config = config
        self.clock = clock
        self.log = MailLog(config.log_dir, name, clock=clock, segment_octets=config.log.segment, tee=shown)
        self.lag = LoopLag(self.log, process.lag_seconds)
        self.executors = Executors(
            io_threads=process.io_threads,
            hash_threads=process.hash_threads,
            patience=process.queue_seconds,
            measure_lag=self.lag.measure,
        )
        self.account_executors = AccountExecutors(self.executors)
        self.runtime = Runtime(
            clock, self.log, self.executors, self.account_executors, lambda: self.config, lambda: self.access.snapshot
        )
        self.feed = Feed(config.run_dir, name, poll_seconds=process.poll_seconds, measure_lag=self.lag.measure)
        self.directory = Directory(config.directory_url, clock=clock)
        self.store = open_mail_store(config, clock, has_clients=has_clients, on_change=self._account_changed)
        self.secret = secret
        self.common_secret = secret
        """The same in all processes of all servers that have these mailboxes, once `open`."""
        self._tasks = BackgroundTasks()

    def _account_changed(self, account_id: int, modseq: int) -> None:
        """Pass a change of an account on to the subscribers in all processes. From any thread."""
        self.feed.changed(account_id, modseq)

    async def open(self) -> None:
        """Read the directory; sign-ins are checked for breached passwords from now on."""
        config = self.config
        await self.executors.io(begin_by_the_mark, config.state_dir, self.clock)
        await self.executors.io(self._prepare_directory)
        decoy_key = await self.executors.io(load_secret, config.server.data_dir / DECOY_KEY)
        if config.storage.database:
            self.common_secret = hmac.digest(decoy_key, b"servers of one database", "sha256")
        self.access = SignInService(
            self.runtime,
            directory=self.directory,
            snapshot=await self.executors.io(self.directory.load_snapshot),
            decoy_key=decoy_key,
            digest_key=self.common_secret,
            log_key=self.secret,
            tell=self.feed.send_to_all_servers,
        )
        now = self.clock.steady_now().timestamp()
        self.access.remember(await self.executors.io(lambda: list(known_networks.load(config.state_dir, now))))
        self.feed.listen(self.access.on_message)
        self.auto_suspend = AutoSuspend(self.runtime, self.access, self.directory, notify_others=self._notify_directory_changed)
        self.access.exposure = BreachedPasswordCheck(
            self.runtime,
            key=self.common_secret,
            directory=self.directory,
            suspending=self.auto_suspend,
            changed=self._notify_directory_changed,
            tell=self.feed.send_to_all_servers,
        )

    def _prepare_directory(self) -> None:
        """Migrate the directory's schema, and make tables for mailboxes. Several processes may do it at the same time."""
        self.directory.migrate(must_exist=True)
        prepare_mail_store(self.config)

    def _notify_directory_changed(self) -> None:
        notify_directory_changed(self.config.run_dir)

    def spawn(self, errand: Coroutine[object, object, object]) -> None:
        """Start a background task; a failure is logged, and the work is repeated by the next poll or job."""
        task = self._tasks.start(self._run_background(errand))
        task.add_done_callback(lambda _: errand.close())  # what is cancelled before it began has awaited nothing

    async def _run_background(self, errand: Coroutine[object, object, object]) -> None:
        try:
            await errand
        except (MicMailError, OSError) as error:
            self.log.event("errand_failed", error=described(error))

    # ------------------------------------------------------------ following

    def follow(self, stepped: Callable[[], None] = lambda: None) -> None:
        """Follow the directory, other processes and the clock from now on; measure the lag of the loop.

        The feed polls, each `poll_seconds` and at every hint, the MODSEQ of the accounts that are watched here and the files of
        the directory. Where these have changed it asks for the directory's version; a new version is loaded as a new snapshot.
        `stepped` is called at a step of the wall clock, and when a step is accepted.
        """
        follower = DirectoryFollower(self.access.refresh, self.spawn, self.log)

        async def version() -> int:
            try:
                return await self.executors.io(self.directory.version)
            except MicMailError:
                follower.begin()  # it logs the failure, and when it is over
                raise

        def clock_moved() -> None:
            self.access.clock_moved()
            stepped()

        self.feed.watch_directory(lambda _version: follower.changed())
        self.feed.start(self._modseqs, version, self._directory_trace)
        self.lag.start()
        self.clock_watcher = ClockWatcher(self.clock, does_mark_agree=self._does_mark_agree, stepped=clock_moved, log=self.log)
        self.spawn(self.clock_watcher.run())

    def _directory_trace(self) -> object:
        """Return what each commit in the directory changes; None if it is not in a file.

        SQLite commits in WAL mode by writing to the log beside the file, at its end or again from its beginning: its size or
        its times change. What is mapped into memory (the index of the log) is not looked at.
        """
        file = self.config.directory_file
        # SQLite follows links, and keeps its log beside the file itself.
        return None if file is None else (trace_of(file), trace_of(f"{os.path.realpath(file)}-wal"))

    async def _modseqs(self, account_ids: Sequence[int]) -> Mapping[int, int]:
        refs = [AccountRef.of(entry) for entry in filter(None, map(self.access.snapshot.entry, account_ids))]

        return await self.executors.io(self.store.newest_modseqs, refs)

    async def _does_mark_agree(self) -> bool:
        return await self.executors.io(ClockMark(self.config.state_dir, self.clock).agrees, self.access.snapshot)

    def configure(self, config: Config) -> None:
        """Apply the settings that a reload may change."""
        self.config = config
        self.executors.patience = config.process.queue_seconds
        self.lag.threshold_seconds = config.process.lag_seconds
        self.access.apply_reload()

    # ------------------------------------------------------------ ending

    async def close(self) -> None:
        """End the tasks and close every file. Whatever cannot be ended now is safe to leave."""
        self._end_tasks()
        await self._close_files(self.store.close, self.directory.close)

    def _end_tasks(self) -> None:
        self.feed.close()
        self._tasks.cancel()
        self.lag.close()

    async def _close_files(self, *closers: Callable[[], None]) -> None:
        for close in closers:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self.executors.io(close)
            except (MicMailError, OSError) as error:  # a mailbox locked by another process: recovery handles it
                self.log.event("close_failed", **failure(error))
        self.executors.close()
        self.log.close()
