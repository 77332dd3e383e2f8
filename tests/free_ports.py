"""Ports that nobody listens on, for programs that have to know them beforehand."""

import contextlib
import os
import random
import socket


def free_ports(count: int) -> list[int]:
    """Different ports below those that the kernel gives to whoever asks for any, as each connection of another test does."""
    found: set[int] = set()
    while len(found) < count:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            found.add(port)
    return list(found)


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
