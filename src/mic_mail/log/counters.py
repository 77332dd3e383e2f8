"""Count the mail log's events since an instant in one pass, for the figures of today.

In: the folder of the log, an instant. Out: `EventCounts`. Files are read in pieces of whole lines and never held; only lines
of the counted events are parsed, so a million lines take a second. A line that is damaged or still being written is skipped.
Blocking; for commands and executors.
"""

import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mic_mail.log.files import READ_OCTETS, log_files, whole_lines

_LINE = re.compile(
    rb'^\{"at":"([^"]+)","n":\d+,"event":"(signed_in|message_accepted|message_delivered|message_refused|recipient_refused'
    rb'|marked_message_refused|malware_refused|report_sent|delivery_dropped|message_dropped|message_sent|message_judged)",(.*)\}$',
    re.MULTILINE,
)
_DOOR = re.compile(rb'"door":"([a-z0-9_]+)"')
_LOGIN = re.compile(rb'"login":"([^"\\]+)"')
_ACTION = re.compile(rb'"action":"([a-z]+)"')
_IN_THE_CLEAR = b'"tls":null'
"""The member `tls` without a value; no JSON string can contain it, since its quotes would be escaped."""
_SIGNED_IN, _ACCEPTED, _JUDGED = b"signed_in", b"message_accepted", b"message_judged"


@dataclass(slots=True)
class EventCounts:
    """Counts by the name of the event."""

    events: Counter[str] = field(default_factory=Counter)
    doors: Counter[str] = field(default_factory=Counter)
    """Sign-ins by protocol."""
    in_the_clear: int = 0
    """Sign-ins without TLS."""
    senders: Counter[str] = field(default_factory=Counter)
    """Messages accepted from authenticated users, by their login."""
    judged: Counter[str] = field(default_factory=Counter)
    """Messages from other servers, by the result of `services.transport.inbound.message_checks`."""


def count_events(folder: Path, since: datetime) -> EventCounts:
    found = EventCounts()
    begins = f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%S}".encode()
    first = since.astimezone(UTC).date()  # an event is never in a segment of an earlier day
    for file, size in log_files(folder).items():
        if file.day is not None and file.day >= first:
            with suppress(FileNotFoundError), (folder / file.name).open("rb") as segment:  # retention may remove it meanwhile
                for _, lines in whole_lines(segment.fileno(), 0, size, octets=READ_OCTETS):
                    _count(found, lines, begins)
    return found


def _count(found: EventCounts, piece: bytes, begins: bytes) -> None:
    for at, event, rest in _LINE.findall(piece):
        if at < begins:  # instants have a fixed format, so octets compare in their order
            continue
        found.events[event.decode()] += 1
        if event == _SIGNED_IN:
            door = _DOOR.search(rest)
            found.doors[door[1].decode() if door else "?"] += 1
            found.in_the_clear += _IN_THE_CLEAR in rest
        elif event == _ACCEPTED and (login := _LOGIN.search(rest)):
            found.senders[login[1].decode("utf-8", "replace")] += 1
        elif event == _JUDGED and (action := _ACTION.search(rest)):
            found.judged[action[1].decode()] += 1
