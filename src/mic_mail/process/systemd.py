"""Service notifications to systemd (sd_notify(3)): ready, reloading, stopping, watchdog.

One datagram each to `$NOTIFY_SOCKET`. Without that variable, or when the datagram is not accepted, nothing happens.
"""

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """The client of the service manager's notification socket."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        microseconds = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_seconds = int(microseconds) / 1_000_000 if microseconds.isdecimal() and mine else None
        """Seconds within which a watchdog notification is due; None: no watchdog."""

    def ready(self, status: str) -> None:
        self._notify(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        # Type=notify-reload wants the monotonic instant at which reloading began.
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._notify("STOPPING=1\nSTATUS=draining")

    def alive(self) -> None:
        self._notify("WATCHDOG=1")

    def _notify(self, state: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(state.encode(), address)
        except OSError:
            return
