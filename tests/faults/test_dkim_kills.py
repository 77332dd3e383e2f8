"""Whoever makes, changes and removes keys is killed again and again: what the ring names is whole, and one of a kind signs.

As a program (`python -m faults.test_dkim_kills FOLDER SEED BEGAN_US`) it does so until it is killed. Nothing is removed by
insisting: that takes a key that signs as well, should another program have put it back to use meanwhile.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from mic_mail.clock import SystemClock, instant_of
from mic_mail.errors import Refused
from mic_mail.services.operations.dkim import DkimKeys
from mic_mail.smtpclient.dkim_keys import Algorithm, KeyFolder, KeyState

TESTS = Path(__file__).parents[1]
DOMAINS = ["mic.gov.vn", "mard.example"]
KILLS = 20
TIMES_AS_FAST = 100_000_000
"""A retired key may go after six milliseconds, a week of this clock."""


class FastClock(SystemClock):
    """The machine's clock, and from `began_us` on a fast one; all who are given the same instant agree."""

    def __init__(self, began_us: int) -> None:
        self._began_us = began_us

    def now(self) -> datetime:
        return instant_of(self.now_us())

    def now_us(self) -> int:
        return self._began_us + (super().now_us() - self._began_us) * TIMES_AS_FAST


@pytest.mark.slow
def test_keys_are_whole_whoever_is_killed(tmp_path: Path) -> None:
    """Two at once, twenty rounds of kills; after each everything that the ring names can be used, and signing never ends."""
    began_us = SystemClock().now_us()
    keys, rng = DkimKeys(KeyFolder(tmp_path), FastClock(began_us)), random.Random(6376)
    keys.add(DOMAINS, Algorithm.ED25519, 0, "first")
    keys.use("first", DOMAINS)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    changed = Counter[str]()
    for number in range(KILLS):
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "faults.test_dkim_kills", str(tmp_path), str(2 * number + one), str(began_us)],
                env=env, stdout=subprocess.PIPE,
            )
            for one in range(2)
        ]  # fmt: skip
        for each in running:
            assert each.stdout is not None
            each.stdout.readline()
        time.sleep(rng.random() * 0.1)  # the kill comes at any moment
        for each in running:
            each.send_signal(signal.SIGKILL)
            each.communicate()
        found = keys.all()
        assert [keys.trouble(key) for key in found] == [None] * len(found)
        assert Counter(key.domain for key in found if key.state is KeyState.SIGNING) == dict.fromkeys(DOMAINS, 1)
        assert len({key.name for key in found}) == len(found)
        changed.update(key.name for key in found)
    assert len(changed) > 4, "some have come to their end"
    with KeyFolder(tmp_path).changing():
        assert not list((tmp_path / "dkim").glob(".new-*"))


def change(folder: Path, seed: int, began_us: int) -> None:
    keys, rng = DkimKeys(KeyFolder(folder), FastClock(began_us)), random.Random(seed)
    print("ready", flush=True)
    while True:
        try:
            for key in keys.rotate(DOMAINS):
                keys.use(key.selector, [key.domain])
            for key in keys.all():
                if key.state is not KeyState.SIGNING and rng.random() < 0.7:
                    keys.remove(key.selector, [key.domain], now=False)
        except Refused:  # one waits already, or signs again
            for key in keys.all():
                if key.state is KeyState.ANNOUNCED:
                    keys.use(key.selector, [key.domain])
        except Exception as error:
            if "No key with this selector" not in str(error):
                raise


if __name__ == "__main__":
    change(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
