"""Assertions of growth tell linear work from quadratic work, whatever else the machine does (`tests/cost_growth.py`)."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

import cost_growth
from cost_growth import assert_about_equal, assert_linear, calls_of


@pytest.fixture
def load() -> Iterator[None]:
    """Two processes that compute without end beside the test."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: sum(range(10_000))"]) for _ in range(2)]
    yield
    for process in busy:
        process.kill()
        process.wait()


def linear(items: list[int]) -> int:
    return sum(item * item for item in items)


def quadratic(items: list[int]) -> int:
    return sum(item in items[:place] for place, item in enumerate(items))


def make(size: int) -> list[int]:
    return list(range(size))


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.campaign)])
def test_linear_work_passes_and_quadratic_work_does_not(load: None, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Each time, beside two processes that compute, though less is measured than elsewhere."""
    monkeypatch.setattr(cost_growth, "LEAST_SECONDS", cost_growth.LEAST_SECONDS / 10)
    for _ in range(times):
        assert_linear(make, linear, (1_000, 4_000))
        with pytest.raises(AssertionError, match="times the input costs"):
            assert_linear(make, quadratic, (30, 240))


@pytest.mark.slow
def test_what_costs_more_than_its_like_is_noticed(load: None) -> None:
    """One cost beside another."""
    few, some, many = make(1_000), make(4_000), make(16_000)
    assert_about_equal(lambda: linear(few), lambda: linear(few))
    assert_about_equal(lambda: linear(some), lambda: linear(few), times=6)
    with pytest.raises(AssertionError, match="times the cost"):  # far beyond, or a first measurement that was disturbed passes
        assert_about_equal(lambda: linear(many), lambda: linear(few))


def test_a_miss_is_measured_again() -> None:
    """A run that was disturbed, as a clock sees it that goes on by leaps, does not fail what is linear."""
    readings = iter([0, 1, 0, 1, 0, 1, 0, 100, 0, 1, 0, 4])
    assert cost_growth._compared(list, list, 6.25, lambda: float(next(readings))) is None


def test_calls_are_counted_the_same_each_time() -> None:
    """Functions of Python, and built-in ones."""
    few, many = (calls_of(lambda count=count: [abs(number) for number in range(count)]) for count in (100, 200))
    assert many - few == 100
    assert few == calls_of(lambda: [abs(number) for number in range(100)])
