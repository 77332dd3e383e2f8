"""Ports that nobody listens on, for programs that have to know them beforehand."""

import contextlib
import os
import socket


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


STANDARD = (25, 80, 110, 143, 389, 443, 465, 587, 636, 993, 995)


def free_base(thousands: int = 1) -> int:
    """A base to which every standard port can be added, and so each of so many bases a thousand apart.

    They lie below the ports that the kernel gives to whoever asks for any.
    """
    for base in range(10_000 + os.getpid() % 500 * 20, 32_000 - 1000 * thousands, 1013):
        try:
            for port in (base + 1000 * each + port for each in range(thousands) for port in STANDARD):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")
