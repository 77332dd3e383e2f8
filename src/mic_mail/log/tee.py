"""Print the log: one line an event, in the time of Ho Chi Minh City, coloured on a terminal.

    16:04:05 worker0  message_delivered  mailbox=dvbe@mic.gov.vn uid=7 octets=4096

The mail log's thread calls `show` with plain values (no secrets), and with all events of one moment in one call, for one write
to the terminal. It never raises: a closed terminal only ends the output.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import TextIO

from mic_mail.clock import HO_CHI_MINH

_RESET, _DIM = "\x1b[0m", "\x1b[2m"
_COLOURS = (  # by a part of the event's name, first match
    ("failed", "\x1b[31m"),
    ("lost", "\x1b[31m"),
    ("lag", "\x1b[31m"),
    ("refused", "\x1b[33m"),
    ("suspended", "\x1b[33m"),
    ("delivered", "\x1b[32m"),
    ("accepted", "\x1b[32m"),
    ("signed_in", "\x1b[36m"),
)
_EMPTY: tuple[object, ...] = ([], {})


class Tee:
    """Prints events on a text stream."""

    def __init__(self, stream: TextIO, process: str, *, colour: bool | None = None) -> None:
        self._stream = stream
        self._process = process
        self._colour = stream.isatty() if colour is None else colour
        self._broken = False
        self._head = lru_cache(maxsize=256)(self._begun)  # the events of a second share their beginnings

    def show(self, events: Iterable[tuple[int, str, Mapping[str, object]]]) -> None:
        """Write each event (microseconds since the epoch, name, fields) as one line."""
        if self._broken:
            return
        try:
            self._stream.write("".join([self._line(*event) for event in events]))
            self._stream.flush()
        except (OSError, ValueError):
            self._broken = True

    def _begun(self, second: int, name: str) -> str:
        moment = _local_time(second)
        if self._colour:
            return f"{_DIM}{moment} {self._process:<9}{_RESET} {_colour_of(name)}{name:<22}{_RESET}"
        return f"{moment} {self._process:<9} {name:<22}"

    def _line(self, at_us: int, name: str, fields: Mapping[str, object]) -> str:
        """Format one event; with `maillog.plain_fields` before it, 3 us."""
        told = self._head(at_us // 1_000_000, name)
        for key, value in fields.items():
            if isinstance(value, str):  # most are, and simple words and numbers need no quoting
                if value:
                    told += f" {key}={value if value.isprintable() and ' ' not in value else _log_value(value)}"
            elif isinstance(value, int):
                told += f" {key}={value}"
            elif value is not None and value not in _EMPTY:
                told += f" {key}={_log_value(value)}"
        return told + "\n"


@lru_cache(maxsize=4)
def _local_time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, HO_CHI_MINH):%H:%M:%S}"


@lru_cache(maxsize=256)
def _colour_of(name: str) -> str:
    return next((colour for part, colour in _COLOURS if part in name), "")


def _log_value(value: object) -> str:
    """Format a value on one line, without control characters."""
    if isinstance(value, list):
        return ",".join(map(_log_value, value))
    if isinstance(value, dict):
        return ",".join([f"{_log_value(key)}:{_log_value(item)}" for key, item in value.items()])
    text = str(value)
    if not text.isprintable():
        text = "".join([c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text])
    return f'"{text}"' if " " in text else text
