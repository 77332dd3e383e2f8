"""Count the mail log's events by local days, for reports (Reg. 16.2).

In: the folder of the log, a span of days, the mailboxes (all of them, or some). Out: a `Traffic` for each day of the span.
Segments are read line by line in the order of their names and never held: memory is that of one line and of the days. Parsing
is avoided where possible: for all mailboxes, a million lines take 1 s. A line that is damaged or still being written is
skipped. Blocking; for commands and executors.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from mic_mail.log.files import log_files
from mic_mail.policy.calendar import local_day

_HEAD = re.compile(rb'\{"at":"(\d{4}-\d\d-\d\dT\d\d)[^"]*","n":\d+,"event":"([a-z_]+)"')
_OCTETS = re.compile(rb'"octets":(\d+)')
_BY_NOBODY = b'"login":null'
"""The member `login` without a value.

No JSON string can contain it, since its quotes would be escaped.
"""
_ONE_DAY = timedelta(days=1)


@dataclass(slots=True)
class Traffic:
    """The counts of one day, in messages; octets as accepted, before delivery to each recipient."""

    sent: int = 0
    """Accepted from authenticated users."""
    received: int = 0
    """Accepted from other servers."""
    delivered: int = 0
    """Put into mailboxes: a message with two recipients counts twice."""
    refused: int = 0
    """Messages and recipients refused, for any sender."""
    octets: int = 0

    def add(self, other: "Traffic") -> None:
        for name in ("sent", "received", "delivered", "refused", "octets"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def count(folder: Path, first: date, last: date, mailboxes: Collection[str] | None = None) -> Mapping[date, Traffic]:
    """Count each day from `first` to `last`.

    With `mailboxes` (addresses) only their sent, refused and delivered messages count. Mail from outside cannot be attributed
    to single mailboxes and is 0 then.
    """
    days = {first + _ONE_DAY * number: Traffic() for number in range((last - first).days + 1)}
    hours: dict[bytes, Traffic | None] = {}
    """The day of each hour of the log; Ho Chi Minh City is whole hours from UTC."""
    for file in log_files(folder):
        # The name has the UTC day of the segment's start.
        if file.day is None or not first - _ONE_DAY <= file.day <= last + _ONE_DAY:
            continue
        with (folder / file.name).open("rb") as lines:
            for line in lines:
                head = _HEAD.match(line)
                if head is None or not line.endswith(b"}\n"):
                    continue
                hour = head[1]
                if hour not in hours:
                    hours[hour] = days.get(local_day(datetime.fromisoformat(hour.decode() + ":00:00+00:00")))
                if (traffic := hours[hour]) is not None:
                    _count(traffic, head[2], line, mailboxes)
    return days


def _count(traffic: Traffic, event: bytes, line: bytes, mailboxes: Collection[str] | None) -> None:
    match event:
        case b"message_accepted":
            if _BY_NOBODY in line:
                traffic.received += mailboxes is None
                traffic.octets += _octets(line) if mailboxes is None else 0
            elif _is_of(line, "login", mailboxes):
                traffic.sent += 1
                traffic.octets += _octets(line)
        case b"message_delivered":
            traffic.delivered += _is_of(line, "mailbox", mailboxes)
        case b"message_refused" | b"recipient_refused":
            traffic.refused += _is_of(line, "login", mailboxes)


def _octets(line: bytes) -> int:
    found = _OCTETS.search(line)
    return int(found[1]) if found else 0


def _is_of(line: bytes, member: str, mailboxes: Collection[str] | None) -> bool:
    if mailboxes is None:
        return True
    try:
        return json.loads(line).get(member) in mailboxes
    except ValueError:
        return False
