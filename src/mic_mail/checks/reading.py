"""The process that reads documents: it takes messages one after the other and answers each with a verdict, until nobody asks.

In: on the socket that it was started with, requests (`readers`): the octets of a message, or the path of its file. Out:
verdicts. It is an own process because documents come from anybody: what makes a reader loop, swell or crash ends this process
and nothing else. It has limits on memory, processor and descriptors of its own, writes no file, and keeps no text.

    python -P -m mic_mail.checks.reading FD NICE BOUNDS(JSON)
"""

import json
import mmap
import os
import resource
import socket
import sys
import time
import warnings
from struct import Struct

from mic_mail.checks.bounds import Bounds
from mic_mail.checks.documents import open_document
from mic_mail.checks.looking import Look
from mic_mail.checks.verdict import Verdict

REQUEST = Struct("<BQ")
"""What follows (`OCTETS`, `PATH`), and how long it is."""
ANSWER = Struct("<I")
OCTETS, PATH = 0, 1
READY = b"."
"""Said once: what follows takes the time of the message, not of the start."""
_SPARE_SECONDS = 2
_DESCRIPTORS = 64
_MOST_DEEP = 400
"""Python frames: documents nest by our own calls, and nothing honest comes near."""


def look_into(octets: bytes, bounds: Bounds) -> Verdict:
    """The verdict on one message; also for tests, and wherever nobody needs protection."""
    look = Look(bounds, time.monotonic, open_document)
    look.document(octets, kind="message/rfc822")
    return look.verdict


def main(fd: int, nice: int, bounds: Bounds) -> None:
    """Serve until the other end is closed."""
    os.nice(nice)
    _limit(bounds)
    channel = socket.socket(fileno=fd)
    channel.sendall(READY)
    while (head := _receive(channel, REQUEST.size)) is not None:
        what, size = REQUEST.unpack(head)
        content = _receive(channel, size)
        if content is None:
            return
        _allow_seconds(bounds)
        verdict = look_into(content if what == OCTETS else _file(os.fsdecode(content)), bounds)
        del content
        answer = verdict.encode()
        channel.sendall(ANSWER.pack(len(answer)) + answer)


def _limit(bounds: Bounds) -> None:
    sys.setrecursionlimit(_MOST_DEEP)
    warnings.simplefilter("ignore")
    for what, most in (
        (resource.RLIMIT_AS, bounds.memory_octets),
        (resource.RLIMIT_NOFILE, _DESCRIPTORS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _allow_seconds(bounds: Bounds) -> None:
    """As much processor as one message may take: what loops ends even if whoever started us is gone."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + bounds.seconds) + _SPARE_SECONDS, hard))


def _receive(channel: socket.socket, size: int) -> bytes | None:
    """So many octets; None at the end."""
    held = bytearray(size)
    view, at = memoryview(held), 0
    while at < size:
        taken = channel.recv_into(view[at:])
        if not taken:
            return None
        at += taken
    view.release()
    return bytes(held)


def _file(path: str) -> bytes:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return mapped[:]


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Bounds(**json.loads(sys.argv[3])))
