"""The worker process that reads documents: it answers each message with its findings.

In: on the socket that it was started with, requests (`worker_pool`): the octets of a message, or a descriptor of its file.
Out: findings. It is a process of its own because documents are untrusted: a document that makes a reader loop, exhaust memory
or crash ends this process and nothing else. It has its own limits on memory, processor and descriptors, writes no file, and
keeps no text. Before the first request it enters a sandbox (`process.sandbox`): an attacker who takes it over by a document
reaches no file, socket or process. It ends when the other end closes.

    python -P -m mic_mail.textextract.worker FD NICE BOUNDS(JSON)
"""

import contextlib
import json
import math
import os
import pkgutil
import resource
import socket
import sys
import time
import warnings
from dataclasses import asdict
from importlib import import_module
from struct import Struct

from mic_mail.process import sandbox
from mic_mail.textextract.detect import READERS, open_document
from mic_mail.textextract.extraction import Look
from mic_mail.textextract.limits import Bounds, Budget
from mic_mail.textextract.message_file import MessageFile
from mic_mail.textextract.messages import Octets, show
from mic_mail.textextract.result import Findings

REQUEST = Struct("<BQd")
"""Source of the message, its length, and the seconds that the caller waits for the answer.

The source is `OCTETS`: it follows, or `FILE`: a descriptor comes along, by SCM_RIGHTS.
"""
ANSWER = Struct("<I")
"""The length of the answer: first the `Protection` in force, then the findings of each message."""
OCTETS, FILE = 0, 1
_SPARE_SECONDS = 2
_DESCRIPTORS = 64
_LOADED_WHOLE = ("encodings", "pypdf")
"""Packages that import submodules on demand."""
_MOST_DEEP = 400
"""Python frames: nested documents recurse, and no legitimate one comes near."""


def look_into(octets: Octets, bounds: Bounds, patience: float = math.inf) -> Findings:
    """Return the findings of one message; also for tests, and where no protection is needed.

    `Bounds.seconds` are processor time: other work on the machine does not count. `patience`: wall-clock seconds after which
    it ends in any case.
    """
    until = time.monotonic() + patience
    look = Look(Budget(bounds, time.process_time, len(octets), lambda: time.monotonic() > until), open_document)
    look.guarded(lambda: show(look, octets))
    return look.findings


def main(fd: int, nice: int, bounds: Bounds) -> None:
    """Serve until the other end is closed."""
    os.nice(nice)
    load()
    sys.meta_path.clear()  # else a missing module would be searched on disk, which ends the process
    _limit(bounds)
    channel = socket.socket(fileno=fd)
    _answer(channel, json.dumps(asdict(sandbox.enter())).encode())
    while (request := _request(channel)) is not None:
        source, size, descriptor, patience = request
        content: Octets | None = MessageFile(descriptor, size) if source == FILE else _receive(channel, size)
        if content is None:
            return
        _allow_seconds(bounds)
        findings = look_into(content, bounds, patience)
        del content
        if source == FILE:
            os.close(descriptor)
        _answer(channel, findings.encode())


def load() -> None:
    """Import everything that documents may need. Nothing can be loaded later."""
    import_module("array")  # `socket.recv_fds` does at its first call
    for reader in READERS.values():
        import_module(f"mic_mail.textextract.{reader}")
    for package in _LOADED_WHOLE:
        for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            with contextlib.suppress(ImportError):  # for another system, or for a library that is not installed
                import_module(module.name)


def _limit(bounds: Bounds) -> None:
    sys.setrecursionlimit(_MOST_DEEP)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (bounds.memory_octets, bounds.memory_octets))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))


def _allow_seconds(bounds: Bounds) -> None:
    """Limit the processor time for one message: a loop ends even if the parent process is gone."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + bounds.seconds) + _SPARE_SECONDS, hard))


def _request(channel: socket.socket) -> tuple[int, int, int, float] | None:
    """Return source, length, the descriptor that came along (-1: none), and the patience; None at the end."""
    head, descriptors, _, _ = socket.recv_fds(channel, REQUEST.size, 1)
    rest = _receive(channel, REQUEST.size - len(head)) if head else None
    if rest is None:
        return None
    source, size, patience = REQUEST.unpack(head + rest)
    return source, size, next(iter(descriptors), -1), patience


def _answer(channel: socket.socket, octets: bytes) -> None:
    channel.sendall(ANSWER.pack(len(octets)) + octets)


def _receive(channel: socket.socket, size: int) -> bytes | None:
    """Return that many octets; None at the end."""
    octets = b""
    while len(octets) < size:  # a process that is stopped and goes on receives a part
        piece = channel.recv(size - len(octets), socket.MSG_WAITALL)
        if not piece:
            return None
        octets += piece
    return octets


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Bounds(**json.loads(sys.argv[3])))
