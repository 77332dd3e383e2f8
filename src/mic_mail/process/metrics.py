"""The metrics of a running server in the Prometheus text format.

They are served at `/metrics` and by `mic-mail status --prometheus`. In: what the supervisor reports of its processes
(`status`), and the configuration, to find the disks. Out: octets. Counters belong to a process and start at zero with it, as
Prometheus expects. Nothing here names a person, a mailbox or an address.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from mic_mail.config.model import Config
from mic_mail.storage.reserve import ReserveState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LATE = "+Inf"

Snapshot = Mapping[str, object]


def exposition(snapshot: Snapshot, config: Config) -> bytes:
    """Return all metrics as text. Blocking: reads the state of the disks."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers(snapshot, config))
    return generate_latest(registry)


_Family = GaugeMetricFamily | CounterMetricFamily
_OF_PROCESSES = (
    (GaugeMetricFamily, "mic_mail_process_ready", "Whether the process serves, or waits for work on demand.", "ready"),
    (
        GaugeMetricFamily,
        "mic_mail_process_failing",
        "Whether the process died again and again before it was ready.",
        "failing",
    ),
    (CounterMetricFamily, "mic_mail_process_restarts", "How often it was started again.", "restarts"),
    (GaugeMetricFamily, "mic_mail_web_sessions", "People signed in at the page.", "sessions"),
    (CounterMetricFamily, "mic_mail_indexed_messages", "Messages read for searches.", "indexed"),
)
"""Metrics with one number for each process, by its name in the report."""
_BY_LABEL = (
    (GaugeMetricFamily, "mic_mail_connections", "Open connections.", "door", "connections"),
    (CounterMetricFamily, "mic_mail_events", "Events in the log, by name.", "event", "events"),
    (CounterMetricFamily, "mic_mail_sending_limited", "What a limit of sending refused, by limit.", "limit", "limited"),
    (
        CounterMetricFamily,
        "mic_mail_judged_messages",
        "Messages from other servers, by what the checks came to.",
        "verdict",
        "judged",
    ),
)
"""Metrics with numbers by a second label."""


class _Numbers:
    def __init__(self, snapshot: Snapshot, config: Config) -> None:
        self._snapshot = snapshot
        self._config = config
        processes = snapshot.get("processes")
        self._processes = [one for one in processes if isinstance(one, Mapping)] if isinstance(processes, list) else []

    def collect(self) -> Iterator[Metric]:
        what = "Whether the server serves: every process that is needed, but those that are failing."
        yield GaugeMetricFamily("mic_mail_ready", what, value=float(self._snapshot.get("ready") is True))
        if (started := _instant(self._snapshot.get("started_at"))) is not None:
            yield GaugeMetricFamily("mic_mail_start_time_seconds", "When the server was started, since 1970.", value=started)
        yield from (self._of_processes(*row) for row in _OF_PROCESSES)
        yield from (self._by_label(*row) for row in _BY_LABEL)
        yield from self._of_sending()
        yield from self._hints()
        yield self._lag()
        yield from self._certificate()
        yield from _disks(self._config)
        yield self._reserves()

    def _of_processes(self, kind: type[_Family], name: str, what: str, key: str) -> Metric:
        family = kind(name, what, labels=["process"])
        for process in self._processes:
            if (value := _number(process.get(key))) is not None:
                family.add_metric([str(process.get("name"))], value)
        return family

    def _by_label(self, kind: type[_Family], name: str, what: str, label: str, key: str) -> Metric:
        """Return numbers that each process has by label."""
        family = kind(name, what, labels=["process", label])
        for process in self._processes:
            for value, count in _numbers(process.get(key)):
                family.add_metric([str(process.get("name")), value], count)
        return family

    def _of_sending(self) -> Iterator[Metric]:
        for name, key, what in (
            ("mic_mail_queue_entries", "queued", "Messages that wait to leave for other domains."),
            ("mic_mail_queue_sending", "sending", "Tries to send that go on now."),
        ):
            numbers = [number for process in self._processes if (number := _number(process.get(key))) is not None]
            if numbers:
                yield GaugeMetricFamily(name, what, value=sum(numbers))
        what = "Messages sent to other servers, by whether their connection was new or kept from an earlier one."
        sent = CounterMetricFamily("mic_mail_queue_transactions", what, labels=["connection"])
        for process in self._processes:
            for connection, count in _numbers(process.get("transactions")):
                sent.add_metric([connection], count)
        yield sent

    def _hints(self) -> Iterator[Metric]:
        for process in self._processes:
            hints = process.get("hints")
            if not isinstance(hints, Mapping):
                continue
            what = "Whether hints between the servers of the same mailboxes arrive."
            yield GaugeMetricFamily("mic_mail_hints_arrive", what, value=float(hints.get("arrive") is True))
            if (milliseconds := _number(hints.get("ms"))) is not None:
                what = "How long the last hint took from this server to itself."
                yield GaugeMetricFamily("mic_mail_hints_seconds", what, value=milliseconds / 1000)
            for key in ("sent", "heard", "lost", "unreadable"):
                count = _number(hints.get(key)) or 0.0
                yield CounterMetricFamily(f"mic_mail_hints_{key}", f"Hints between servers that were {key}.", value=count)

    def _lag(self) -> Metric:
        lag = HistogramMetricFamily("mic_mail_loop_lag_seconds", "How late the event loop comes.", labels=["process"])
        for process in self._processes:
            buckets, total = [], 0.0
            for bound, count in _numbers(process.get("lag_beats")):
                total += count
                buckets.append((_LATE if bound == "more" else repr(float(bound) / 1000), total))
            if buckets:
                lag.add_metric(
                    [str(process.get("name"))], buckets, sum_value=(_number(process.get("lag_sum_ms")) or 0.0) / 1000
                )
        return lag

    def _reserves(self) -> Metric:
        what = "Whether the room for deleting mail on a full disk is set aside."
        whole = GaugeMetricFamily("mic_mail_disk_reserve_whole", what, labels=["folder"])
        for process in self._processes:
            reserves = process.get("reserves")
            for folder, state in reserves.items() if isinstance(reserves, Mapping) else ():
                whole.add_metric([str(folder)], float(state == ReserveState.WHOLE))
        return whole

    def _certificate(self) -> Iterator[Metric]:
        ends = {_instant(process.get("certificate_ends_at")) for process in self._processes} - {None}
        if ends:
            what = "When the certificate that is served ends, since 1970: the earliest of all processes'."
            yield GaugeMetricFamily("mic_mail_certificate_ends_timestamp_seconds", what, value=min(filter(None, ends)))
        each = GaugeMetricFamily(
            "mic_mail_certificate_end_timestamp_seconds", "When each certificate that is served ends.", labels=["certificate"]
        )
        earliest: dict[str, float] = {}
        for process in self._processes:
            certificates = process.get("certificates")
            for name, about in certificates.items() if isinstance(certificates, Mapping) else ():
                if isinstance(about, Mapping) and (end := _instant(about.get("ends_at"))) is not None:
                    earliest[str(name)] = min(end, earliest.get(str(name), end))
        for name, end in sorted(earliest.items()):
            each.add_metric([name], end)
        yield each


def _disks(config: Config) -> Iterator[Metric]:
    size = GaugeMetricFamily("mic_mail_disk_size_bytes", "The file system below.", labels=["folder"])
    free = GaugeMetricFamily("mic_mail_disk_free_bytes", "What the server may still fill of it.", labels=["folder"])
    for name, folder in (("data", config.server.data_dir), ("mail", config.mail_root), ("log", config.log_dir)):
        try:
            found = os.statvfs(folder)
        except OSError:
            continue
        size.add_metric([name], found.f_blocks * found.f_frsize)
        free.add_metric([name], found.f_bavail * found.f_frsize)
    yield from (size, free)
    waiting = _count(config.spool_dir / "live", ".env") if config.storage.database is None else None
    if waiting is not None:
        yield GaugeMetricFamily("mic_mail_spool_entries", "Messages that some mailbox waits for.", value=waiting)


def _count(folder: Path, ending: str) -> int | None:
    try:
        with os.scandir(folder) as entries:
            return sum(entry.name.endswith(ending) for entry in entries)
    except OSError:
        return None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _numbers(value: object) -> Iterable[tuple[str, float]]:
    if isinstance(value, Mapping):
        for name, count in value.items():
            if (number := _number(count)) is not None:
                yield str(name), number


def _instant(value: object) -> float | None:
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
