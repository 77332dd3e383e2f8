"""Cost asserted as growth: twice the input costs at most two and a half times as much, on any machine and beside any load.

    assert_linear(make_input, run, (small, large))        processor time of `run`, which only the two sizes are compared by
    assert_about_equal(run, like)                         `run` costs at most 2.5 times what `like` costs
    calls_of(run)                                         calls of Python functions and of built-in ones: the same each time

No number of seconds is compared with anything but another one that was measured beside it. Processor time is inflated by other
processes and never deflated, so the least of several runs counts, and a miss is measured again before it is believed.
"""

import gc
import math
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

Input = TypeVar("Input")
Clock = Callable[[], float]

MOST_GROWTH = 2.5
"""For twice the input."""
TRIES = 10
"""Of each size, before a miss is believed."""
LEAST_SECONDS = 0.005
"""A cheap run is repeated until so much can be measured; no bound."""


def assert_linear(
    make_input: Callable[[int], Input],
    run: Callable[[Input], object],
    sizes: tuple[int, int],
    *,
    clock: Clock = time.thread_time,
) -> None:
    """Fail if the cost of `run` grows by more than 2.5 for each doubling from the smaller size to the larger one.

    The sizes should be four times apart or more: linear is 4 then, the bound 6.25, and quadratic 16. Input that fills the
    processor's caches costs more beside others that fill them too: then sixteen times (16, 39 and 256). `clock` is
    `time.process_time` where threads of this process do the work, and `time.perf_counter` where waits are compared.
    """
    small, large = (make_input(size) for size in sizes)
    bound = MOST_GROWTH ** math.log2(sizes[1] / sizes[0])
    factor = _compared(lambda: run(small), lambda: run(large), bound, clock)
    assert factor is None, f"{sizes[1] / sizes[0]:g} times the input costs {factor:.1f} times as much, more than {bound:.1f}"


def assert_about_equal(
    run: Callable[[], object], like: Callable[[], object], *, times: float = MOST_GROWTH, clock: Clock = time.thread_time
) -> None:
    """Fail if `run` costs more than so many times what `like` costs."""
    factor = _compared(like, run, times, clock)
    assert factor is None, f"{factor:.1f} times the cost, more than {times:g}"


def calls_of(run: Callable[[], Any]) -> int:
    """The number of calls, of Python functions and of built-in ones, that this thread makes in `run`.

    Python 3.12 and newer make some fewer, since comprehensions are no functions there. Garbage of earlier tests waits: its
    finalizers would be counted.
    """
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before, collects = sys.getprofile(), gc.isenabled()
    gc.disable()
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(before)
        if collects:
            gc.enable()
    return count


def _compared(low: Callable[[], object], high: Callable[[], object], bound: float, clock: Clock) -> float | None:
    """None as soon as the least cost of `high` is within the bound, else how many times that of `low` it is."""
    repeats = _repeats(low, clock)
    least_low, least_high = math.inf, math.inf
    for _ in range(TRIES):
        least_low = min(least_low, _cost(low, repeats, clock))
        least_high = min(least_high, _cost(high, repeats, clock))
        if least_high <= bound * least_low:
            return None
    return least_high / least_low


def _repeats(run: Callable[[], object], clock: Clock) -> int:
    """How often a run is repeated so that it can be measured; the first one fills caches and does not count."""
    run()
    repeats = 1
    while _cost(run, repeats, clock) < LEAST_SECONDS:
        repeats *= 4
    return repeats


def _cost(run: Callable[[], object], repeats: int, clock: Clock) -> float:
    collecting = gc.isenabled()
    gc.disable()  # whose turn it is to collect is no matter of this run
    try:
        began = clock()
        for _ in range(repeats):
            run()
        return clock() - began
    finally:
        if collecting:
            gc.enable()
