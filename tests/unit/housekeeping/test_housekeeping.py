"""Duties that come again and again, one housekeeper at a time, and the warning about a mailbox that fills up."""

import asyncio
import imaplib
import smtplib
from collections.abc import Callable
from pathlib import Path

from harness import MailServer
from mic_mail.clock import SystemClock
from mic_mail.errors import Trouble
from mic_mail.log.maillog import MailLog
from mic_mail.services.housekeeping import Duties, Duty, only_housekeeper
from population import PASSWORD


async def test_a_duty_that_fails_comes_again_and_harms_no_other(tmp_path: Path) -> None:
    """Trouble and defects alike are events in the log."""
    done: list[str] = []

    async def fail(error: Exception) -> None:
        done.append(type(error).__name__)
        raise error

    async def work() -> None:
        done.append("work")

    log = MailLog(tmp_path, "house", clock=SystemClock(), threaded=False)
    duties = Duties(
        [
            Duty("trouble", 0.001, lambda: fail(Trouble("later"))),
            Duty("defect", 0.001, lambda: fail(KeyError("x"))),
            Duty("work", 0.001, work),
        ],
        log,
    )
    await duties.round()
    assert done == ["Trouble", "KeyError", "work"]
    duties.start()
    while min(map(done.count, ("Trouble", "KeyError", "work"))) < 3:
        await asyncio.sleep(0.001)
    await duties.close()
    log.close()
    assert b'"duty":"defect"' in next(tmp_path.glob("*.jsonl")).read_bytes()


async def test_only_one_housekeeper_at_a_time(tmp_path: Path) -> None:
    """The second waits for the end of the first, or until it is told to end itself."""
    never, now = asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def second() -> None:
        async with only_housekeeper(tmp_path, never) as mine:
            order.append("second" if mine else "none")

    async with only_housekeeper(tmp_path, never) as mine:
        assert mine
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.05)
        now.set()
        async with only_housekeeper(tmp_path, now) as other:
            assert not other
        order.append("first")
    await waiting
    assert order == ["first", "second"]


def test_a_mailbox_that_fills_up_is_warned_once_whoever_fills_it(serve: Callable[..., MailServer]) -> None:
    """Reg. 8.3.c: a delivery that crosses 80 % brings one notice, an APPEND that crosses 90 % another, and no more."""
    server = serve()
    server.issue("dvbe", quota_octets=100_000)
    filler = b"From: a@example.org\r\nSubject: filler\r\n\r\n" + b"x" * 70 + b"\r\n"

    def message(octets: int) -> bytes:
        return filler + (b"y" * 70 + b"\r\n") * (octets // 72)

    with smtplib.SMTP(server.host, server.ports["smtp"]) as client:
        client.sendmail("a@example.org", ["dvbe@mic.gov.vn"], message(81_000))
    server.housekeep()
    server.housekeep()
    imap = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls())
    imap.authenticate("PLAIN", lambda _: f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode())
    assert imap.select()[1] == [b"2"]
    assert imap.append("Archive", "", "", message(8_000))[0] == "OK"
    server.housekeep()
    server.housekeep()
    assert imap.select()[1] == [b"3"]
    imap.logout()
