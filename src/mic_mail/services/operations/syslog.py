"""Security events to syslog collectors (Reg. 16.3): the log is read behind its writers and passed on, at least once.

In: the log's folder, the setting `log.syslog`. Out: messages to each collector; a file for each that says how far it has come;
events when one cannot be reached, is back, or has missed what retention took away. The housekeeper's, in threads of its own:
no worker and no loop does anything for it, and a collector that is dead or hangs holds up nobody but itself. What it could not
be given stays in the log and comes when it is back. Segments are looked for by the steady time, by which they are written. A
clock that is set ends the connection and the wait: the certificate was looked at by another time.

A message is given again if the housekeeper is killed between a batch and the word that it went (`id` tells the two apart).
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
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
from mic_mail.log.tail import Cursor, Line
from mic_mail.net.syslog_transport import Collector, place

FOLDER = "syslog"
THREADS = 8
"""More collectors take turns."""
MOST_LINES = 1_000
"""Of one batch: what a collector may get twice."""
BATCHES = 40
PASS_SECONDS = 10.0
"""Of one collector in one round."""
ROUND_SECONDS = 0.2
"""A round does not wait longer for a collector; it goes on by itself."""
AGAIN_SECONDS = (1.0, 60.0)
"""After how long a collector that failed is tried again: doubled each time, between these."""
_STEP_SECONDS = 0.5
"""Changes of the wall clock against the time since boot, from one look to the next, that are no step."""


class Forwarding:
    """One collector's way through the log. Blocking; one thread at a time."""

    def __init__(
        self, collector: Collector, header: Header, log_dir: Path, cursor: Path, *, clock: Clock, log: MailLog
    ) -> None:
        self._collector = collector
        self._header = header
        self._log_dir = log_dir
        self._cursor_file = cursor
        self._clock = clock
        self._log = log
        self._cursor: Cursor | None = None
        self._failures = 0
        self._not_before = 0.0
        self._ahead_of_boot = 0.0
        """The wall clock less the time since boot, at the last look."""
        self._kept = True
        """Whether the file says how far it has come."""

    def pass_on(self) -> int:
        """Give the collector what it does not have; how many messages that were. Never raises what a network can do."""
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

    def _begin(self, today: date) -> Cursor:
        """Where it stopped. One that is named for the first time gets what happens from now on; one whose file says nothing
        any more gets the last days again."""
        known = tail.load(self._cursor_file)
        if known is not None:
            return known
        is_lost = os.path.lexists(self._cursor_file)
        begins = tail.once_more(today) if is_lost else tail.at_the_end(self._log_dir, today)
        if is_lost:
            self._log.event("syslog_cursor_lost", collector=str(self._collector.where), since=begins.floor.isoformat())
        self._keep(begins)
        return begins

    def _keep(self, cursor: Cursor) -> None:
        """Put down how far it has come. What this process has given is not given again because a disk is full; told once."""
        try:
            tail.save(self._cursor_file, cursor)
        except OSError as error:
            if self._kept:
                self._log.event("syslog_cursor_not_kept", collector=str(self._collector.where), **failure(error))
            self._kept = False
        else:
            self._kept = True

    def _message(self, line: Line) -> bytes | None:
        stream = self._collector.where.is_stream
        process = ".".join(line.name.split(".")[1:3]) if line.name[:1].isdigit() else "audit"
        where, most = f"{line.name}:{line.start}", LONGEST if stream else LONGEST_DATAGRAM
        octets = message(self._header, line.fields, where, process, most=most)
        return framed(octets) if octets is not None and stream else octets

    def _failed(self, error: OSError) -> None:
        """Told once; tried again later and later."""
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
    """All collectors that the configuration names. Belongs to the event loop."""

    def __init__(self, config: Callable[[], Config], clock: Clock, log: MailLog) -> None:
        self._config = config
        self._clock = clock
        self._log = log
        self._read: object = None
        self._forwardings: Mapping[str, Forwarding] = {}
        self._under_way: dict[str, asyncio.Future[int]] = {}
        self._threads: ThreadPoolExecutor | None = None

    async def run_once(self) -> None:
        """Begin with each collector that nobody is with; those that are quick are done when this returns."""
        is_settled = self._follow(self._config())
        for name, forwarding in self._forwardings.items() if is_settled else ():
            if name not in self._under_way or self._under_way[name].done():
                assert self._threads is not None
                self._under_way[name] = asyncio.get_running_loop().run_in_executor(self._threads, forwarding.pass_on)
        if self._under_way:
            done, _ = await asyncio.wait(self._under_way.values(), timeout=ROUND_SECONDS)
            for each in done:
                each.result()  # a defect is an event of the duty

    def _follow(self, config: Config) -> bool:
        """Other collectors after a reload; who stays goes on where it was, since each has a file of its own. False while some
        are still under way by the old settings: nobody begins then, or those that are slow could take turns for ever."""
        syslog, server = config.log.syslog, config.server
        if self._read == (syslog, server.hostname):
            return True
        if any(not each.done() for each in self._under_way.values()):
            return False  # within seconds; the next round
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
                clock=self._clock,
                log=self._log,
            )
            for name in syslog.collectors
        }
        if self._forwardings and self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, "syslog")
        self._read = (syslog, server.hostname)
        return True


def cursor_file(config: Config, collector: str) -> Path:
    """What says how far a collector has come."""
    return config.state_dir / FOLDER / f"{sha256(collector.encode()).hexdigest()[:16]}.json"
