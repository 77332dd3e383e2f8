"""The log as a person watches it pass: one line an event, in the time of Ho Chi Minh City, in colour on a terminal.

    16:04:05 worker0  message_delivered  mailbox=dvbe@mic.gov.vn uid=7 octets=4096

The mail log's thread calls `show` with values that are already plain (no secrets). It never raises: a closed terminal
only ends the showing.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from mic_mail.clock import HO_CHI_MINH

_RESET, _DIM = "\x1b[0m", "\x1b[2m"
_COLOURS = (  # by what the event's name contains, the first that fits
    ("failed", "\x1b[31m"),
    ("lost", "\x1b[31m"),
    ("lag", "\x1b[31m"),
    ("refused", "\x1b[33m"),
    ("suspended", "\x1b[33m"),
    ("delivered", "\x1b[32m"),
    ("accepted", "\x1b[32m"),
    ("signed_in", "\x1b[36m"),
)


class Tee:
    """Shows events on a text stream."""

    def __init__(self, stream: TextIO, process: str, *, colour: bool | None = None) -> None:
        self._stream = stream
        self._process = process
        self._colour = stream.isatty() if colour is None else colour
        self._broken = False

    def show(self, at_us: int, name: str, fields: Mapping[str, object]) -> None:
        """Write one event as one line."""
        if self._broken:
            return
        moment = datetime.fromtimestamp(at_us / 1_000_000, UTC).astimezone(HO_CHI_MINH)
        told = " ".join(f"{key}={_shown(value)}" for key, value in fields.items() if value not in (None, "", [], {}))
        if self._colour:
            colour = next((colour for part, colour in _COLOURS if part in name), "")
            line = f"{_DIM}{moment:%H:%M:%S} {self._process:<9}{_RESET} {colour}{name:<22}{_RESET} {told}\n"
        else:
            line = f"{moment:%H:%M:%S} {self._process:<9} {name:<22} {told}\n"
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):
            self._broken = True


def _shown(value: object) -> str:
    """A value on one line: text without control characters, quoted where it has spaces; lists and mappings by commas."""
    if isinstance(value, Mapping):
        return ",".join(f"{key}:{item}" for key, item in value.items())
    if isinstance(value, list):
        return ",".join(map(_shown, value))
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    return f'"{text}"' if " " in text else text
