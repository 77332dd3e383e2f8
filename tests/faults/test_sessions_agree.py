"""Many sessions on one folder, in two workers: each one's picture, made of what it was told, is what there is."""

import os
import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest

import pytest

from faults.client_mirror import Mirror, truth
from harness import ProcessServer

pytestmark = pytest.mark.slow

DVBE = "dvbe@mic.gov.vn"


def work(mirrors: list[Mirror], steps: int) -> None:
    """All at once."""
    with ThreadPoolExecutor(len(mirrors)) as pool:
        for done in [pool.submit(mirror.work, steps) for mirror in mirrors]:
            done.result()


def compare(server: ProcessServer, mirrors: list[Mirror]) -> None:
    """Everybody sees what there is."""
    seen = truth(server.ports, DVBE)
    for mirror in mirrors:
        wrong = [pair for pair in zip_longest(mirror.picture(), seen) if pair[0] != pair[1]]
        assert wrong == [], f"{mirror.name}\n{wrong[:4]} of {len(wrong)}\n{mirror.transcript()}"


def start(server: ProcessServer, mirrors: int, seed: int) -> list[Mirror]:
    server.population.issue("dvbe")
    server.start()
    made = [Mirror(lambda: server.ports, DVBE, f"{seed}.{number}", qresync=number % 2 == 1) for number in range(mirrors)]
    made[0].make_folders()
    return made


def test_everybody_sees_the_same(serve_processes: Callable[..., ProcessServer]) -> None:
    """Sequence numbers, UIDs, flags and MODSEQs agree with the store at every quiet point."""
    server = serve_processes({"auth": {"cleartext": True}})
    mirrors = start(server, 8, 1)
    for _ in range(3):
        work(mirrors, 25)
        compare(server, mirrors)


def kill_workers(server: ProcessServer, dice: random.Random, ended: threading.Event) -> None:
    """One now and then; another takes its place."""
    while not ended.wait(dice.uniform(0.3, 1.5)):
        os.kill(dice.choice(server.workers()), signal.SIGKILL)
        server.wait_for(lambda state: state["ready"] and len(server.workers()) == 2)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [2, pytest.param(3, marks=pytest.mark.campaign)])
def test_everybody_sees_the_same_after_kills(serve_processes: Callable[..., ProcessServer], seed: int) -> None:
    """The same for twenty sessions, of which a killed worker's come back."""
    server = serve_processes({"auth": {"cleartext": True}})
    mirrors = start(server, 20, seed)
    dice = random.Random(seed)
    for _ in range(8):
        ended = threading.Event()
        killer = threading.Thread(target=kill_workers, args=(server, dice, ended))
        killer.start()
        try:
            work(mirrors, 40)
        finally:
            ended.set()
            killer.join()
        compare(server, mirrors)
    assert sum(mirror.cuts for mirror in mirrors) > 0
