"""Security events for syslog collectors (Reg. 16.3): the log is tailed and forwarded, at least once.

In: the log's folder, the setting `log.syslog`. Out: messages to each collector; a cursor file for each; events when one
is unreachable, is back, or has missed what retention removed. It runs in the housekeeper, in its own threads, so a dead
or hanging collector delays only itself. A message is sent again (with the same `id`) if the housekeeper is killed before
the cursor is written. Segments are found by the steady time, by which they are written. A clock that is set ends the
connection and the wait: the certificate was checked at another time.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date
from hashlib import sha256
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.log import tail
from mic_mail.log.error_fields import failure
from mic_mail.log.maillog import MailLog
from mic_mail.log.syslog import FACILITIES, LONGEST, LONGEST_DATAGRAM, Header, framed, message
from mic_mail.log.tail import LogPosition, TailLine
from mic_mail.net.syslog_transport import Collector, place
from mic_mail.process.runtime import Runtime

FOLDER = "syslog"
THREADS = 8
"""Further collectors take turns."""
MOST_LINES = 1_000
"""Lines of one batch, which a collector may get twice."""
BATCHES = 40
PASS_SECONDS = 10.0
"""Seconds of one collector in one run."""
ROUND_SECONDS = 0.2
"""A run waits no longer for a collector, which goes on in the background."""
AGAIN_SECONDS = (1.0, 60.0)
"""The retry delay of a failed collector: doubled each time, between these."""
_STEP_SECONDS = 0.5
"""The tolerance below which a change of the wall clock against the time since boot is no step."""


class Forwarding:
    """One collector's progress through the log. Blocking; one thread at a time."""

    def __init__(
        self, collector: Collector, header: Header, log_dir: Path, cursor: Path, *, clock: Clock, log: MailLog
    ) -> None:
        self._collector = collector
        self._header = header
        self._log_dir = log_dir
        self._cursor_file = cursor
        self._clock = clock
        self._log = log
        self._cursor: LogPosition | None = None
        self._failures = 0
        self._not_before = 0.0
        self._ahead_of_boot = 0.0
        """The wall clock less the time since boot, at the last check."""
        self._kept = True
        """The cursor file is up to date."""

    def pass_on(self) -> int:
        """Send the collector new messages; return how many. Raises no network errors."""
        self._notice_step()
        if time.monotonic() < self._not_before:
            return 0
        passed, ends = 0, time.monotonic() + PASS_SECONDS
        try:
            for _ in range(BATCHES):
                count, more = self._pass_batch()
                passed += count
                if not more or time.monotonic() > ends:
                    break
        except OSError as error:
            self._failed(error)
        return passed

    def close(self) -> None:
        self._collector.close()

    def _notice_step(self) -> None:
        before, self._ahead_of_boot = self._ahead_of_boot, self._clock.now().timestamp() - self._clock.boottime()
        if abs(self._ahead_of_boot - before) > _STEP_SECONDS:
            self._not_before = 0.0
            self._collector.close()

    def _pass_batch(self) -> tuple[int, bool]:
        today = self._clock.steady_now().astimezone(UTC).date()
        cursor = self._cursor = self._cursor or self._begin(today)
        batch = tail.read_on(self._log_dir, cursor, today, most_lines=MOST_LINES)
        messages = [octets for line in batch.lines if (octets := self._message(line)) is not None]
        if messages:
            self._collector.send(messages)
            self._succeeded()
        if batch.missed_octets:
            self._log.event("syslog_missed", collector=str(self._collector.where), octets=batch.missed_octets)
        if batch.cursor != cursor:
            self._cursor = batch.cursor
            self._keep(batch.cursor)
        return len(messages), batch.is_full

    def _begin(self, today: date) -> LogPosition:
        """Return the saved cursor.

        A new collector gets what happens from now on; one whose cursor file is unreadable gets the last days again.
        """
        known = tail.load(self._cursor_file)
        if known is not None:
            return known
        is_lost = os.path.lexists(self._cursor_file)
        begins = tail.once_more(today) if is_lost else tail.at_the_end(self._log_dir, today)
        if is_lost:
            self._log.event("syslog_cursor_lost", collector=str(self._collector.where), since=begins.floor.isoformat())
        self._keep(begins)
        return begins

    def _keep(self, cursor: LogPosition) -> None:
        """Save the cursor; a failure is logged once, and this process still sends nothing twice."""
        try:
            tail.save(self._cursor_file, cursor)
        except OSError as error:
            if self._kept:
                self._log.event("syslog_cursor_not_kept", collector=str(self._collector.where), **failure(error))
            self._kept = False
        else:
            self._kept = True

    def _message(self, line: TailLine) -> bytes | None:
        stream = self._collector.where.is_stream
        process = ".".join(line.name.split(".")[1:3]) if line.name[:1].isdigit() else "audit"
        where, most = f"{line.name}:{line.start}", LONGEST if stream else LONGEST_DATAGRAM
        octets = message(self._header, line.fields, where, process, most=most)
        return framed(octets) if octets is not None and stream else octets

    def _failed(self, error: OSError) -> None:
        if not self._failures:
            self._log.event("syslog_unreachable", collector=str(self._collector.where), **failure(error))
        least, most = AGAIN_SECONDS
        self._not_before = time.monotonic() + min(most, least * 2 ** min(self._failures, 10))
        self._failures += 1

    def _succeeded(self) -> None:
        if self._failures:
            self._log.event("syslog_back", collector=str(self._collector.where), tries=self._failures)
            self._failures = 0


class Syslog:
    """All configured collectors. Belongs to the event loop."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._read: object = None
        self._forwardings: Mapping[str, Forwarding] = {}
        self._under_way: dict[str, asyncio.Future[int]] = {}
        self._threads: ThreadPoolExecutor | None = None

    def is_idle(self) -> bool:
        """Return whether there is no collector, and none has to be closed after a reload."""
        config = self._runtime.config()
        return not config.log.syslog.collectors and not self._forwardings

    async def run_once(self) -> None:
        """Start each collector that is not running; quick ones are done when this returns."""
        is_settled = self._follow(self._runtime.config())
        for name, forwarding in self._forwardings.items() if is_settled else ():
            if name not in self._under_way or self._under_way[name].done():
                assert self._threads is not None
                self._under_way[name] = asyncio.get_running_loop().run_in_executor(self._threads, forwarding.pass_on)
        if self._under_way:
            done, _ = await asyncio.wait(self._under_way.values(), timeout=ROUND_SECONDS)
            for each in done:
                each.result()  # a defect is an event of the job

    def _follow(self, config: Config) -> bool:
        """Apply a reload; a collector that stays goes on where it was, since each has its cursor file.

        False while some still run by the old settings: none is started then, or slow ones could take turns for ever.
        """
        syslog, server = config.log.syslog, config.server
        if self._read == (syslog, server.hostname):
            return True
        if any(not each.done() for each in self._under_way.values()):
            return False  # within seconds; the next run
        for forwarding in self._forwardings.values():
            forwarding.close()
        header = Header(server.hostname, FACILITIES[syslog.facility], syslog.enterprise)
        self._under_way = {}
        self._forwardings = {
            name: Forwarding(
                Collector(place(name), syslog.tls_ca),
                header,
                config.log_dir,
                cursor_file(config, name),
                clock=self._runtime.clock,
                log=self._runtime.log,
            )
            for name in syslog.collectors
        }
        if self._forwardings and self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, "syslog")
        self._read = (syslog, server.hostname)
        return True


def cursor_file(config: Config, collector: str) -> Path:
    return config.state_dir / FOLDER / f"{sha256(collector.encode()).hexdigest()[:16]}.json"
