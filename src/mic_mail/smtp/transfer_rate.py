"""Time limits of one message's transfer: a deadline for each read, and a minimum average rate. Pure.

In: a source of seconds and the octets that came. Out: deadlines, and whether the transfer is too slow to go on. A slow
line is allowed as long as it moves (RFC 5321 §4.5.3.2.5 asks for 3 minutes between blocks, and sets no end).
"""

from collections.abc import Callable

from mic_mail.smtp.session import Limits


class TransferRate:
    """Time limits of one message: for each read, and, after a while, for its average rate."""

    __slots__ = ("_began", "_limits", "_octets", "_time")

    def __init__(self, time: Callable[[], float], limits: Limits) -> None:
        self._time = time
        self._limits = limits
        self._began = time()
        self._octets = 0

    def deadline(self) -> float:
        return self._time() + self._limits.data_seconds

    def too_slow(self, octets: int) -> bool:
        self._octets += octets
        seconds = self._time() - self._began
        return seconds > self._limits.message_seconds and self._octets < seconds * self._limits.slowest_octets_per_second
