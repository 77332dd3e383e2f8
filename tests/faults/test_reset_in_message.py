"""A client that resets its connection in the middle of a large message, while the disk is behind."""

import asyncio
import contextlib
import errno
import gc
import socket
import struct
import threading
from pathlib import Path
from typing import Any

import pytest

from faults.wire import Smtp
from harness import MailServer
from mic_mail.queue.scratch import Scratch
from waiting import wait_for

LINE = b"x" * 76 + b"\r\n"
NO_WAIT = struct.pack("ii", 1, 0)
"""SO_LINGER: closing the socket resets the connection."""


class Disk:
    """Holds the writes of what arrives back until it is released; then they are made, or fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, full: bool) -> None:
        self.busy, self.released = threading.Event(), threading.Event()
        write = Scratch.write

        def held_back(scratch: Scratch, octets: bytes) -> None:
            self.busy.set()
            assert self.released.wait(30)
            if full:
                raise OSError(errno.ENOSPC, "no room")
            write(scratch, octets)

        monkeypatch.setattr(Scratch, "write", held_back)


def begin_message(port: int) -> socket.socket:
    """A connection that has sent 200 KB of a message."""
    client = socket.create_connection(("127.0.0.1", port), 30)
    heard = client.makefile("rb")
    client.sendall(b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<dvbe@mic.gov.vn>\r\nDATA\r\n")
    while not heard.readline().startswith(b"354 "):
        pass
    heard.close()
    client.sendall(b"Subject: x\r\n\r\n" + LINE * 2_600)
    return client


async def _listen(complaints: list[dict[str, Any]]) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))


async def _settle(server: MailServer) -> None:
    await server.running.context.mailflow.settle()
    gc.collect()  # the loop complains of a future when it is forgotten


async def _errands(server: MailServer) -> int:
    return len(server.running.context.mailflow._tasks)


def _target(link: Path) -> str:
    with contextlib.suppress(OSError):
        return str(link.readlink())
    return ""


@pytest.mark.parametrize("full", [False, True], ids=["the write succeeds", "the write fails"])
def test_a_reset_while_a_slice_is_written(mail_server: MailServer, monkeypatch: pytest.MonkeyPatch, full: bool) -> None:
    """Nothing of the message is left, no error is left that nobody took, and the next message is delivered."""
    complaints: list[dict[str, Any]] = []
    mail_server.call(_listen(complaints))
    with monkeypatch.context() as patches:
        disk = Disk(patches, full=full)
        client = begin_message(mail_server.ports["smtp"])
        assert disk.busy.wait(30)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_WAIT)
        client.close()
        wait_for(lambda: mail_server.call(_errands(mail_server)))
        disk.released.set()
        mail_server.call(_settle(mail_server))
    assert complaints == []
    targets = [_target(link) for link in Path("/proc/self/fd").iterdir()]
    assert [each for each in targets if each.startswith(f"{mail_server.config.spool_dir}/tmp/")] == []
    assert [path for path in mail_server.config.mail_root.rglob("tmp/*") if path.is_file()] == []
    smtp = Smtp(mail_server.ports["smtp"], 30)
    smtp.deliver(["dvbe@mic.gov.vn"], b"Subject: next\r\n\r\nx\r\n")
    smtp.close()
