"""Many idle sessions: memory of each, and how soon they hear of a delivery.

`measure(server, ...)` opens connections (spread over the bench users), leaves them in IDLE, then delivers messages one by one
and times the first EXISTS against the moment the final dot was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import resource
import smtplib
import ssl
import time

from measure import memory_kib
from servers import PASSWORD, Server


def _percentile(values: list[float], share: float) -> float:
    """The nearest rank in milliseconds: of a hundred values, the 99th smallest is the 99th percentile."""
    return round(sorted(values)[math.ceil(len(values) * share) - 1] * 1000, 2)


MOST_SECONDS = 60
"""For all deliveries: a server that misses notifications has each wait for them in vain."""


class _Fleet:
    def __init__(self, server: Server, connections: int, *, users: int) -> None:
        self.server, self.connections, self.users = server, connections, users
        self.ready = 0
        self.heard: dict[int, list[float]] = {}
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
        self._gate = asyncio.Semaphore(20)

    async def session(self, number: int) -> None:
        user = number % self.users
        async with self._gate:
            # many source addresses, so that no limit per address and no shortage of ports is measured
            source = (f"127.0.{1 + number // 250 % 200}.{1 + number % 250}", 0)
            reader, writer = await asyncio.open_connection("127.0.0.1", self.server.imaps, local_addr=source, ssl=self._tls)
            await reader.readline()
            for tag, line in ((b"1", f'LOGIN "{self.server.user % user}" "{PASSWORD}"'), (b"2", "SELECT INBOX")):
                writer.write(tag + b" " + line.encode() + b"\r\n")
                while not (answer := await reader.readline()).startswith(tag + b" "):
                    if not answer:
                        raise EOFError(line)
                if b" OK" not in answer[:6]:
                    raise RuntimeError(answer.decode())
            writer.write(b"3 IDLE\r\n")
            while not (answer := await reader.readline()).startswith(b"+"):
                if not answer:
                    raise EOFError("IDLE")
        self.ready += 1
        while line := await reader.readline():
            if b" EXISTS" in line:
                self.heard.setdefault(user, []).append(time.perf_counter())


def _deliver(smtp: smtplib.SMTP, recipient: str, number: int) -> float:
    body = (
        f"From: <sender@example.net>\r\nTo: <{recipient}>\r\nSubject: {number}\r\nDate: Tue, 24 Nov 2026 10:00:00 +0700\r\n"
        f"Message-ID: <{time.time_ns()}@example.net>\r\n\r\nxin chao\r\n.\r\n"
    )
    smtp.mail("sender@example.net")
    code, answer = smtp.rcpt(recipient)
    if code != 250:
        raise RuntimeError(answer)
    smtp.putcmd("data")
    smtp.getreply()
    smtp.send(body.encode())
    sent = time.perf_counter()
    if smtp.getreply()[0] != 250:
        raise RuntimeError("not delivered")
    return sent


async def _run(server: Server, connections: int, deliveries: int, *, users: int, settle: float) -> dict[str, float]:
    fleet = _Fleet(server, connections, users=users)
    await asyncio.sleep(settle)  # what a server does when it starts is no session's memory
    before = memory_kib(server.pids)
    start = time.perf_counter()
    tasks = [asyncio.create_task(fleet.session(n)) for n in range(connections)]
    while fleet.ready < connections and time.perf_counter() - start < 150:
        await asyncio.sleep(0.05)
        for task in tasks:
            if task.done():
                task.result()
    setup = time.perf_counter() - start
    await asyncio.sleep(settle)
    row = {"setup_s": setup, "pss_kib": (memory_kib(server.pids) - before) / max(1, fleet.ready)}
    smtp = (smtplib.LMTP if server.protocol == "lmtp" else smtplib.SMTP)("127.0.0.1", server.smtp, timeout=30)
    await asyncio.to_thread(smtp.ehlo)
    delays, missed, until = [], 0, time.perf_counter() + MOST_SECONDS
    for number in range(deliveries):
        if time.perf_counter() > until:
            break
        user = number * 7 % users
        expected = len(range(user, connections, users))
        fleet.heard.pop(user, None)
        sent = await asyncio.to_thread(_deliver, smtp, server.user % user, number)
        end = time.perf_counter() + 3
        while len(fleet.heard.get(user, ())) < expected and time.perf_counter() < end:
            await asyncio.sleep(0.001)
        heard = fleet.heard.get(user, [])
        missed += expected - len(heard)
        if heard:
            delays.append(heard[0] - sent)
    if delays:
        row |= {"p50_ms": _percentile(delays, 0.5), "p99_ms": _percentile(delays, 0.99)}
    row["missed"] = missed
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with contextlib.suppress(smtplib.SMTPException):
        smtp.quit()
    return row


def measure(server: Server, connections: int, deliveries: int, *, users: int, settle: float) -> dict[str, float]:
    """The figures of `server`, whose sessions have been idle for `settle` seconds when memory is read."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return asyncio.run(_run(server, connections, deliveries, users=users, settle=settle))
