"""Certificates, and keys of the DNS, over a clock that is set forward and back.

What one was worth by a false time is worth nothing once the clock is right: the next message, and the next line of the log, is
sent as by a process that has just been started. A certificate that OpenSSL looks at by the machine's clock is ended here while
the clock of the test is false, as it then seems to OpenSSL.
"""

import asyncio
import random
import ssl
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from certificate_authority import Authority
from dns_server import NameServer, Zone
from event_loops import loop_thread
from mic_mail.app.clock_watcher import ClockWatcher
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.log import tail
from mic_mail.log.maillog import MailLog
from mic_mail.net.dns import Resolver
from mic_mail.net.syslog_transport import Collector, place
from mic_mail.services.operations.syslog import Forwarding
from mic_mail.smtpclient.routing import Router
from regulation.syslog_collector import HEADER, Listener
from unit.services.queue.office import STUFFED, offices
from unit.smtpclient.server import Server

DAY = 86_400
STEPS = [sign * seconds for seconds in (90, 7200, DAY, 20 * DAY, 400 * DAY, 3000 * DAY) for sign in (1, -1)]


class MovedClock(ManualClock):
    """Knows what time it really is, however it is set."""

    def __init__(self) -> None:
        self.begin = SystemClock().now()
        super().__init__(self.begin)

    @property
    def right(self) -> datetime:
        return self.begin + timedelta(seconds=self.boottime())

    async def is_right(self) -> bool:
        return abs((self.now() - self.right).total_seconds()) < 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("days", "fits"), [(90, True), (-1, True), (90, False)], ids=["valid", "ended", "of keys that are replaced"]
)
async def test_keys_of_the_dns(tmp_path: Path, days: int, fits: bool) -> None:
    """DANE-TA: a chain is looked at by the steady time, and keys that were validated by a false time are asked for anew. A mail
    server with a valid chain gets everything, one whose chain has ended nothing; one whose keys are not those of the domain any
    more nothing once the clock is right."""
    authority = Authority(tmp_path / "ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.pair("mx.signed.example", days=days, with_authority=True))
    key, other = ("_25._tcp.mx.signed.example", "TLSA"), "2 0 1 " + "00" * 32
    fitting = "2 0 1 " + sha256(ssl.PEM_cert_to_DER_cert(authority.file.read_text())).hexdigest()
    right = fitting if fits else other
    zone = {("signed.example", "MX"): ["10 mx.signed.example."], ("mx.signed.example", "A"): ["127.0.0.2"], key: [right]}
    server, clock, rng = Server(context=context), MovedClock(), random.Random()
    async with offices(tmp_path, {"127.0.0.2": server}, zone) as office:
        office.clock, office.give_up_seconds, office.warn_seconds = clock, 1e9, 1e9
        async with office.sending() as senders:
            watcher = ClockWatcher(clock, does_mark_agree=clock.is_right, stepped=senders.clock_moved, log=office.log)

            def tries() -> int:
                return sum(min(each.attempts for each in entry.state.recipients) for entry in office.queue.entries())

            async def leaves(name: str, *, shall: bool) -> bool:
                """Each second the clock is looked at; then the server is tried, perhaps with one that has waited before: what
                `shall` leave is waited for."""
                await watcher.check()
                clock.move_to(clock.now() + timedelta(hours=6))
                before = tries()
                office.put(name, "b@signed.example", age=(clock.now() - clock.steady_now()).total_seconds())
                await senders.poll()
                while (office.queue.read(name) and (shall or tries() == before)) or senders.under_way:
                    senders.wake()
                    await asyncio.sleep(0.02)  # before it is woken again
                return office.queue.read(name) is None

            for number, step in enumerate(rng.sample(STEPS, len(STEPS))):
                for shown in rng.sample((fitting, other), 2):
                    office.names.zone[key] = [shown]
                    clock.set_to(clock.right + timedelta(seconds=step))
                    is_well = shown == fitting and days > 0
                    assert await leaves(f"{number}{shown}", shall=is_well) is is_well
                    office.names.zone[key] = [right]
                    clock.set_to(clock.right)
                    is_well = fits and days > 0
                    assert await leaves(f"{number}{shown}right", shall=is_well) is is_well
    assert bool(server.messages) is (days > 0)
    assert set(server.messages) <= {STUFFED}


def test_a_collector_behind_tls(tmp_path: Path) -> None:
    """The log goes to a collector with a certificate: at the next look after the clock is right everything has come, and
    nothing twice; by a false time nothing goes over a connection that was made by another."""
    authority = Authority(tmp_path / "ca")
    good, ended = authority.context("localhost"), authority.context("localhost", days=-1)
    collector, clock, rng = Listener(context=good), MovedClock(), random.Random()
    log, own = MailLog(tmp_path / "log", "worker0", clock=clock), MailLog(tmp_path / "own", "housekeeper", clock=clock)
    where = Collector(place(f"tls://localhost:{collector.port}"), authority.file, patience=20)
    forwarding = Forwarding(where, HEADER, tmp_path / "log", tmp_path / "cursor", clock=clock, log=own)
    tail.save(tmp_path / "cursor", tail.at_the_end(tmp_path / "log", clock.now().date()))
    written = 0

    def pass_on() -> int:
        nonlocal written
        clock.move_to(clock.now() + timedelta(hours=30))  # into another segment
        log.event("sign_in_refused", mailbox=f"m{written}@mic.gov.vn")
        log.flush()
        written += 1
        return forwarding.pass_on()

    def come() -> list[Any]:
        return [message["data"]["mailbox"] for message in collector.named("sign_in_refused")]

    try:
        for step in rng.sample(STEPS, len(STEPS)):
            clock.set_to(clock.right + timedelta(seconds=step))
            collector._context = rng.choice((good, ended))  # may be valid for long, too
            for _ in range(3):
                assert pass_on() == (collector._context is good)
            waits = 1 if collector._context is good else 4
            clock.set_to(clock.right)
            collector._context = good
            assert pass_on() == waits
        while len(come()) < written:
            pass
        # What was sent over two connections may be read in either order.
        assert sorted(come()) == sorted(f"m{number}@mic.gov.vn" for number in range(written))
    finally:
        forwarding.close()
        collector.close()
        for each in (log, own):
            each.close()


class Slow(NameServer):
    """Has read the zone, and keeps the answer about keys until it may go."""

    def __init__(self, zone: Zone, *, signed: Sequence[str]) -> None:
        super().__init__(zone, signed=signed)
        self.has_read, self.may_go = threading.Event(), threading.Event()

    def answer(self, octets: bytes, transport: str) -> bytes | None:
        told = super().answer(octets, transport)
        if self.asked[-1][1] == "TLSA":
            self.has_read.set()
            self.may_go.wait(30)
        return told


async def test_an_answer_that_is_under_way_is_not_kept() -> None:
    """The clock is set while a name server is asked: who asks next asks anew."""
    key = ("_25._tcp.mx.signed.example", "TLSA")
    old, new = ("2 0 1 " + octet * 32 for octet in ("00", "11"))
    zone = {("signed.example", "MX"): ["10 mx.signed.example."], ("mx.signed.example", "A"): ["127.0.0.2"], key: [old]}
    names = Slow(zone, signed=[name for name, _ in zone])
    with loop_thread() as loop:
        loop.call(names.start())
        ways = Router(Resolver([names.place]), frozenset(), random.Random(1).shuffle, MovedClock())
        under_way = asyncio.create_task(ways.to("signed.example"))
        await asyncio.to_thread(names.has_read.wait, 30)
        names.zone[key] = [new]
        ways.forget_all()
        names.may_go.set()
        found = [(await way).hosts[0].tlsa[0].data[:1] for way in (under_way, ways.to("signed.example"))]
        assert found == [b"\x00", b"\x11"]
