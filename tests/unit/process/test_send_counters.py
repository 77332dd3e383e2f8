"""Counts of what each mailbox sends: one file for each process, the sums of all."""

import multiprocessing
import os
from pathlib import Path

import pytest

from mic_mail.process.send_counters import RECORD_OCTETS, VERSION, Amounts, SendCounters
from mic_mail.services.abuse.send_limits import Ceilings, SendLimits

NOW = 1_764_000_000.0
HOUR, DAY = 3_600.0, 86_400.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_sums_of_all_processes(folder: Path) -> None:
    """Each sees at once what the others have added; mailboxes do not mix; who only looks makes no file."""
    first, second, looking = SendCounters(folder, "worker0"), SendCounters(folder, "worker1"), SendCounters(folder, None)
    assert looking.sums(7, NOW).day.total() == Amounts()
    first.add(7, NOW, Amounts(1, 2, 30))
    second.add(7, NOW + 1, Amounts(1, 1, 5))
    second.add(8, NOW, Amounts(9, 9, 9))
    for one in (first, second, looking):
        assert one.sums(7, NOW + 2).hour.total() == one.sums(7, NOW + 2).day.total() == Amounts(2, 3, 35)
    assert looking.sums(6, NOW) == looking.sums(10_000, NOW)
    assert sorted(os.listdir(folder)) == ["worker0" + VERSION, "worker1" + VERSION]


def test_what_a_process_counted_outlives_it(folder: Path) -> None:
    """Nothing is kept in memory: whoever is killed has counted, also where there are fewer processes the next time."""
    SendCounters(folder, "worker0").add(3, NOW, Amounts(1, 4, 10))
    SendCounters(folder, "worker1").add(3, NOW, Amounts(1, 4, 10))
    again = SendCounters(folder, "worker0")
    again.add(3, NOW + 60, Amounts(1, 1, 1))
    assert again.sums(3, NOW + 60).day.total() == Amounts(3, 9, 21)


def test_an_hour_and_a_day_pass(folder: Path) -> None:
    """No hour misses what was sent in it; after an hour and five minutes, a day and an hour, it is gone; slots come again."""
    counts = SendCounters(folder, "w")
    for hour in range(60):
        counts.add(1, NOW + hour * HOUR, Amounts(1, 1, 1))
        found = counts.sums(1, NOW + hour * HOUR)
        assert found.hour.total().messages in {1, 2}
        assert found.day.total().messages == min(hour + 1, 25)
    end = NOW + 59 * HOUR
    assert counts.sums(1, end + HOUR - 1).hour.total() == Amounts(1, 1, 1)
    assert counts.sums(1, end + HOUR + 300).hour.total() == Amounts()
    assert counts.sums(1, end + DAY - 1).day.total().messages >= 1
    assert counts.sums(1, end + DAY + HOUR).day.total() == Amounts()


def test_a_clock_that_is_set_back(folder: Path) -> None:
    """By minutes: what was sent still counts. By years: it does not count for years."""
    counts = SendCounters(folder, "w")
    counts.add(1, NOW, Amounts(1, 1, 1))
    assert counts.sums(1, NOW - 1_200).hour.total() == Amounts(1, 1, 1)
    assert counts.sums(1, NOW - 365 * DAY).day.total() == Amounts()
    counts.add(1, NOW - 365 * DAY, Amounts(1, 1, 1))
    assert counts.sums(1, NOW - 365 * DAY).day.total() == Amounts(1, 1, 1)


def test_what_is_refused_stands_apart(folder: Path) -> None:
    """It counts for the hour in which it was refused, and takes nothing of the limits."""
    counts = SendCounters(folder, "w")
    counts.add(1, NOW, Amounts(1, 5), refused=True)
    found = counts.sums(1, NOW)
    assert (found.refused, found.hour.total()) == (Amounts(1, 5), Amounts())
    assert counts.sums(1, NOW + 2 * HOUR).refused == Amounts()


def test_nothing_goes_below_zero_or_above_its_room(folder: Path) -> None:
    """What is given back after its slot has passed, and what no number can hold."""
    counts = SendCounters(folder, "w")
    counts.add(1, NOW, Amounts(-3, -3, -3))
    assert counts.sums(1, NOW).day.total() == Amounts()
    for _ in range(2):
        counts.add(1, NOW, Amounts((1 << 32) - 1, (1 << 32) - 1, (1 << 64) - 1))
        counts.add(1, NOW, Amounts((1 << 32) - 1, (1 << 32) - 1), refused=True)
    assert counts.sums(1, NOW).day.total() == Amounts((1 << 32) - 1, (1 << 32) - 1, (1 << 64) - 1)


@pytest.mark.parametrize("octets", [b"", b"\xff" * 100, os.urandom(RECORD_OCTETS * 3), b"\xff" * RECORD_OCTETS * 3])
def test_a_damaged_file_is_no_error(folder: Path, octets: bytes) -> None:
    """Whatever lies there is read as some numbers; the process counts on."""
    (folder / f"worker9{VERSION}").write_bytes(octets)
    (folder / "notes.txt").write_bytes(octets)
    counts = SendCounters(folder, "w")
    counts.add(1, NOW, Amounts(1, 1, 1))
    assert counts.sums(1, NOW).day.total().messages >= 1


def test_a_folder_that_is_gone(folder: Path) -> None:
    """Who reads sees nothing, who writes hears of it."""
    counts = SendCounters(folder / "none", "w")
    assert counts.sums(1, NOW).day.total() == Amounts()
    with pytest.raises(OSError, match="none"):
        counts.add(1, NOW, Amounts(1))


def _take(folder: Path, name: str, tries: int, limit: int) -> int:
    rates = SendLimits(SendCounters(folder, name))
    ceilings = Ceilings(Amounts(limit, limit, 1 << 40), Amounts(limit, limit, 1 << 40))
    return sum(rates.take(1, Amounts(1, 1, 10), ceilings, NOW) is None for _ in range(tries))


def test_processes_at_once_never_pass_a_limit(folder: Path) -> None:
    """Four that take as fast as they can get the limit between them, or some less where two came for the last one."""
    limit = 400
    with multiprocessing.get_context("fork").Pool(4) as pool:
        taken = pool.starmap(_take, [(folder, f"worker{number}", limit, limit) for number in range(4)])
    assert limit - 8 <= sum(taken) <= limit
    assert SendCounters(folder, None).sums(1, NOW).day.total().messages == sum(taken)
