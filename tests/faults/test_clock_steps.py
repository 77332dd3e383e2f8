"""A wall clock that is set forward and back, by seconds to years, between any two steps of a server and its clients.

Whatever was believed meanwhile: once the clock is right again every answer is the one that a fresh server gives over the same
data, open sessions are still open, no instant on record lies ahead, and no notice has gone out before its time.
"""

import os
import random
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from faults.clock_office import BEGIN, DAY, PASSWORD, PEOPLE, Office, TrueClock
from harness import config_for
from mic_mail.log.maillog import MailLog
from mic_mail.process.executors import Executors
from mic_mail.services.operations.false_instants import FalseInstants
from population import Population
from runtimes import runtime

pytestmark = pytest.mark.slow

STEPS = [sign * seconds for seconds in (5, 90, 1800, 7200, DAY, 40 * DAY, 400 * DAY, 3000 * DAY) for sign in (1, -1)]


def test_a_mailbox_is_not_suspended_by_a_clock_that_was_ahead(tmp_path: Path) -> None:
    """400 days ahead while somebody signs in, then right again: nobody is suspended, cut off or used in the future, and the
    next sign-in is let in; one day back cuts no session."""
    office = Office(tmp_path)
    try:
        office.clock.set_to(office.clock.right + timedelta(days=400))
        assert not office.by_imap("idle")
        assert office.mail_comes("leaver") == 451, "whether it is reclaimed depends on the time"
        assert office.mail_comes("idle") == 250
        office.server.housekeep()
        office.sessions_go_on()
        office.put_right()
        office.check()
        assert all(door("idle") for door in office.doors)
        office.clock.set_to(office.clock.right - timedelta(days=2))
        office.server.housekeep()
        office.sessions_go_on()
        office.put_right()
        office.check()
        office.sessions_go_on()
    finally:
        office.stop()


def test_a_clock_that_was_believed_leaves_nothing_behind(tmp_path: Path) -> None:
    """20 days ahead for so long that it is believed: what was recorded meanwhile is mended once it is right again."""
    office = Office(tmp_path)
    try:
        office.clock.set_to(office.clock.right + timedelta(days=20))
        office.server.refresh()
        office.server.call(office.server.running.context.clock_watcher.check())
        assert not office.clock.is_settled()
        office.server.move_clock_to(office.clock.now() + timedelta(hours=2))
        assert office.clock.is_settled()
        assert office.by_imap("idle")
        office.server.housekeep()
        office.put_right()
        office.check(written=False)
        assert office.by_imap("dvbe")
    finally:
        office.stop()


def test_no_message_fails_by_a_clock_that_was_ahead(tmp_path: Path) -> None:
    """400 days ahead, and 20 days for so long that it is believed, over restarts of server and machine too: mail that waits is
    late after four hours and given up after five days that really pass."""
    office = Office(tmp_path)
    try:
        office.leaving.submit()
        office.leaving.tried(1)
        office.set_clock(office.clock.right + timedelta(days=400))
        office.leaving.pass_and_try(40)
        office.put_right()
        office.check()
        office.set_clock(office.clock.right + timedelta(days=20))
        office.server.call(office.server.running.context.clock_watcher.check())
        office.leaving.pass_and_try(2 * 3600)
        assert office.clock.is_settled()
        for boot in (office.clock.boot_id, "another"):
            office.clock.boot_id, office.clock.ages_from = boot, None
            office.begin_again()
            office.leaving.pass_and_try(3600)
            assert not list(office.leaving.wrong_at_any_time())
        office.put_right()
        office.server.confirm_clock()  # after another boot nobody else knows what time it is
        office.check(written=False)
        assert not list(office.leaving.wrong_at_any_time())
        for _ in range(3):
            office.leaving.pass_and_try(5 * 3600)
        office.eventually(office.leaving.all_are_late, office.leaving.wake)
        for _ in range(24):
            office.leaving.pass_and_try(5 * 3600)
        office.eventually(lambda: not office.leaving.queue.names(), office.leaving.wake)
    finally:
        office.stop()


def test_codes_of_a_believed_false_time_close_nothing(tmp_path: Path) -> None:
    """A code that was good 20 days ahead does not use up those of the days until then."""
    office = Office(tmp_path)
    try:
        office.set_clock(office.clock.right + timedelta(days=20))
        office.server.call(office.server.running.context.clock_watcher.check())
        office.pass_seconds(2 * 3600)
        assert office.clock.is_settled()
        office.server.housekeep()
        assert office.page.sign_in(by=office.clock.now)
        office.put_right()
        office.check(written=False)
        assert office.page.sign_in()
    finally:
        office.stop()


def test_notices_of_a_believed_false_time_are_void(tmp_path: Path) -> None:
    """20 days ahead for so long that it is believed: a warning that is sent then is taken back once the clock is right, to its
    mailbox and the Centre, once; in 20 days it comes again, and whoever has no notice from ahead hears nothing."""
    office, void = Office(tmp_path), "Correction: notices sent while the server's clock was wrong"
    ending = "The certificate of ending.mic.gov.vn expires soon"
    try:
        office.set_clock(office.clock.right + timedelta(days=20))
        office.server.call(office.server.running.context.clock_watcher.check())
        office.pass_seconds(2 * 3600)
        office.server.housekeep()
        warning = "Your mailbox will be suspended on 28 December 2026"
        assert (office.notices("idle"), void in office.notices("support")) == ([warning], False)
        for _ in range(2):
            office.put_right()
            office.check(written=False)
            office.server.housekeep()
            assert office.notices("idle") == [void, warning]
            assert [office.notices("support").count(void), office.notices("ttlan")] == [1, []]
            office.set_clock(office.clock.right + timedelta(days=1))
            office.server.call(office.server.running.context.clock_watcher.check())
        office.put_right()
        office.pass_seconds(20 * DAY)
        office.server.housekeep()
        assert office.notices("idle") == [void, warning, warning]
        assert office.notices("support").count(ending) == 2
        assert not list(office.ending.wrong(office, housekept=True))
    finally:
        office.stop()


def test_a_clock_that_is_set_back_takes_no_notice_back(tmp_path: Path) -> None:
    """What was sent in the half hour before was sent by the right time."""
    office = Office(tmp_path)
    try:
        office.server.housekeep()
        office.set_clock(office.clock.right - timedelta(minutes=30))
        office.server.call(office.server.running.context.clock_watcher.check())
        for _ in range(3):
            office.server.housekeep()
        office.put_right()
        office.check()
    finally:
        office.stop()


def test_a_session_of_tls_lets_nobody_in(tmp_path: Path) -> None:
    """One that is resumed over a set of the clock, forward, back or right again, tells nothing of who may sign in: who is not
    signed in sees nothing, and a sign-in is answered as by a new session; after a renewal of the keys it is made anew."""
    office = Office(tmp_path)
    context, session = office.server.tls(), None

    def sign_in(local: str) -> tuple[bool, bytes]:
        nonlocal session
        plain = socket.create_connection((office.server.host, office.server.ports["imaps"]), 30)
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as client, client.makefile("rwb") as wire:
            wire.readline()
            said = b""
            for line in (b"a SELECT INBOX", b'b LOGIN %s "%s"' % (local.encode(), PASSWORD.encode())):
                wire.write(line + b"\r\n")
                wire.flush()
                while not (answer := wire.readline()).startswith(line[:1]):
                    assert answer
                said = answer.split()[1]
                assert line[:1] == b"b" or said in (b"BAD", b"NO")
            session, is_resumed = client.session, client.session_reused
        return bool(is_resumed), said

    try:
        assert sign_in("idle") == (False, b"OK")
        for days in (400, 0, -400, 0):
            office.clock.set_to(office.clock.right + timedelta(days=days))
            assert sign_in("idle") == (True, b"OK" if office.by_imap("idle") else b"NO")
        assert office.by_imap("idle")
        servers = office.server.running.server.servers
        assert servers is not None
        servers.renew_tls(silent=True)
        assert sign_in("idle") == (False, b"OK")
    finally:
        office.stop()


async def test_a_clock_that_is_put_right_while_it_is_asked_about(tmp_path: Path) -> None:
    """What lies ahead of a false time alone is no false instant: it stays as it is."""
    clock, executors = TrueClock(BEGIN), Executors(io_threads=1, hash_threads=1)
    population = Population(config_for(tmp_path / "data").directory_url, clock)
    directory, mailbox = population.directory, population.issue("dvbe")
    directory.touch_activity(mailbox.mailbox_id, BEGIN)

    async def is_trusted() -> bool:
        clock.set_to(clock.right)
        return True

    async def refresh() -> None: ...

    log = MailLog(tmp_path / "log", "housekeeper", clock=clock)
    parts = runtime(config_for(tmp_path / "data"), clock, executors=executors, log=log)
    false_instants = FalseInstants(parts, directory, is_trusted, refresh, refresh)
    clock.set_to(BEGIN - timedelta(days=40))
    await false_instants.run_once()
    assert directory.entry(mailbox.mailbox_id).last_activity == BEGIN
    directory.touch_activity(mailbox.mailbox_id, BEGIN + timedelta(days=20))
    await false_instants.run_once()
    assert directory.entry(mailbox.mailbox_id).last_activity == BEGIN
    log.close()
    executors.close()
    population.close()


def simulate(folder: Path, seed: int, steps: int) -> None:
    rng = random.Random(seed)
    print(f"seed {seed}")
    office = Office(folder)

    def set_clock() -> None:
        office.set_clock(office.clock.right + timedelta(seconds=rng.choice(STEPS)))

    def pass_time() -> None:
        by = timedelta(seconds=rng.choice((2, 40, 700, 5 * 3600)))
        is_right = abs(office.clock.now() - office.clock.right) < timedelta(seconds=1)
        if is_right or by < timedelta(seconds=60):
            office.server.move_clock_to(office.clock.now() + by)
            office.server.housekeep()
            office.leaving.wake()

    what_others_do = (office.leaving.submit, office.guesses.guess, office.page.sign_in, office.leaving.wake)
    what_happens = (set_clock, set_clock, "sign in", "mail", "session", office.server.housekeep, pass_time, "right")
    steps_to_take = (*what_happens, *what_others_do)
    try:
        for _ in range(steps):
            what = rng.choice(steps_to_take)
            if what == "sign in":
                rng.choice(office.doors)(rng.choice((*PEOPLE, "cntt")))
            elif what == "mail":
                office.mail_comes(rng.choice((*PEOPLE, "cntt")))
            elif what == "session":
                office.sessions_go_on()
            elif what == "right":
                office.put_right()
                office.check()
            else:
                what()
        office.put_right()
        office.check()
        office.sessions_go_on()
        assert office.page.sign_in()
        office.server.housekeep()
        assert not list(office.ending.wrong(office, housekept=True))
        for local in PEOPLE:
            signs_in, sends = office.may(local)
            for door in office.doors:
                assert door(local) == (signs_in and (sends or door != office.by_submission)), (local, door)
    finally:
        office.stop()


def test_a_clock_that_jumps_between_any_two_steps(tmp_path: Path) -> None:
    """In short: a few dozen steps in an order of their own each time."""
    simulate(tmp_path, int.from_bytes(os.urandom(4), "big"), 30)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.campaign) for seed in (3, 7))])
def test_a_clock_that_jumps_for_long(tmp_path: Path, seed: int) -> None:
    """In long, in orders that stay."""
    simulate(tmp_path, seed, 250)
