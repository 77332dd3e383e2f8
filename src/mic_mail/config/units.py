"""The types of settings: sizes, spans of time and paths as people write them.

`20971520`, `"20 MiB"` and `"1 GB"` are sizes, in powers of 1,024; `90`, `"90 s"`, `"2 min"`, `"1.5 h"` and `"7 d"` are spans.
Both are stored as plain numbers (octets, seconds), and `show_octets`/`show_seconds` write them back in the largest exact unit.
A relative path belongs to the folder of the file that names it. A value that cannot be read raises
`validation.Invalid`; nothing here does I/O.
"""

import math
import re
from datetime import time
from enum import Enum
from pathlib import Path
from typing import Annotated

from mic_mail.config.validation import After, AfterInFolder, Before, Invalid

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
MINUTE = 60.0
HOUR = 3600.0
DAY = 86400.0

_OCTET_UNITS = {"": 1, "b": 1, "kib": KIB, "mib": MIB, "gib": GIB, "tib": 1 << 40}
_OCTET_UNITS |= {"kb": KIB, "mb": MIB, "gb": GIB, "tb": 1 << 40}  # the regulation's MB and GB are 2^20 and 2^30 octets
_SECOND_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "min": MINUTE, "h": HOUR, "d": DAY}
_QUANTITY = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]{0,4})\s*", re.ASCII)


class Unit(Enum):
    """The unit of a field, as `config reference` and the written file show it."""

    OCTETS = "octet", "octets"
    SECONDS = "giây", "seconds"
    PATH = "đường dẫn", "path"
    PORT = "cổng", "port"
    PERCENT = "phần trăm", "percent"
    DAYS = "ngày", "days"
    WORKING_DAYS = "ngày làm việc", "working days"
    TIMES = "lần", "times"
    MONTHS = "tháng", "months"
    CONNECTIONS = "kết nối", "connections"
    CONNECTIONS_PER_MINUTE = "kết nối mỗi phút", "connections a minute"
    RECIPIENTS_PER_HOUR = "người nhận mỗi giờ", "recipients an hour"
    RECIPIENTS_PER_DAY = "người nhận mỗi ngày", "recipients a day"
    MESSAGES_PER_HOUR = "thư mỗi giờ", "messages an hour"
    MESSAGES_PER_DAY = "thư mỗi ngày", "messages a day"
    PROCESSES = "tiến trình", "processes"
    THREADS = "luồng", "threads"
    LEVELS = "tầng", "levels"
    PARTS = "phần", "parts"
    MAILBOXES = "hộp thư", "mailboxes"
    FOLDERS = "thư mục", "folders"
    SESSIONS = "phiên", "sessions"
    ENTRIES = "mục", "entries"
    REQUESTS = "yêu cầu", "requests"
    MESSAGES = "thư", "messages"
    RECIPIENTS = "người nhận", "recipients"
    NETWORKS = "mạng", "networks"
    ERRORS = "lỗi", "errors"
    COMMANDS = "lệnh", "commands"
    WRONG_PASSWORDS = "lần sai mật khẩu", "wrong passwords"
    PASSWORDS = "mật khẩu", "passwords"
    CHARACTERS = "ký tự", "characters"
    ROUNDS = "vòng", "rounds"
    PASSES = "lượt", "passes"

    def __init__(self, vi: str, en: str) -> None:
        self.vi = vi
        self.en = en


def _parse(value: object, units: dict[str, float] | dict[str, int], kind: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise Invalid(kind, "not a quantity")
        return value
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2].lower() not in units:
        raise Invalid(kind, "not a quantity")
    return float(match[1]) * units[match[2].lower()]


def parse_octets(value: object) -> int:
    """Return the octets of a size (`"20 MiB"` -> 20971520); a fraction of an octet is refused."""
    number = _parse(value, _OCTET_UNITS, "octets")
    if number != int(number):
        raise Invalid("octets", "not a whole number of octets")
    return int(number)


def parse_seconds(value: object) -> float:
    """Return the seconds of a span (`"2 min"` -> 120.0)."""
    return float(_parse(value, _SECOND_UNITS, "seconds"))


def _show(value: float, units: tuple[tuple[float, str], ...]) -> str:
    for factor, unit in units:
        if value and value % factor == 0:
            return f"{value / factor:.15g} {unit}"
    return f"{value:.15g} {units[-1][1]}"


def show_octets(octets: int) -> str:
    """Return octets as text (20971520 -> `20 MiB`)."""
    return _show(octets, ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"), (1, "B")))


def show_seconds(seconds: float) -> str:
    """Return seconds as text (120.0 -> `2 min`)."""
    return _show(seconds, ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (1, "s")))


def _local(moment: time) -> time:
    """Require a local time of day.

    A number or `17:30Z` would be a time in UTC, and an office keeps local time.
    """
    if moment.tzinfo is not None:
        raise Invalid("time_type", "no time of the local day")
    return moment


def _written(path: object) -> object:
    """Refuse an empty path: it would mean the folder of the file, which is never intended."""
    if isinstance(path, str) and (not path.strip() or "\0" in path):
        raise Invalid("path", "no path")
    return path


def _in_folder(path: Path, folder: Path | None) -> Path:
    return path if folder is None else folder / path


Octets = Annotated[int, Before(parse_octets), Unit.OCTETS]
Seconds = Annotated[float, Before(parse_seconds), Unit.SECONDS]
LocalTime = Annotated[time, After(_local)]
Location = Annotated[Path, Before(_written), AfterInFolder(_in_folder), Unit.PATH]
