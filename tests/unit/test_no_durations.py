"""No test depends on how long something takes: the tests are read for it.

A clock may be read to stop waiting for a fact (`assert time.monotonic() < limit` in a loop). The difference of two readings is
forbidden, since nothing can be done with it but to compare it with seconds; `tests/cost_growth.py` compares it with
another one. A test waits for a fact (`waiting.wait_for`); one that sleeps says why on the same line.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
MEASURING = {"cluster/demo.py", "cost_growth.py", "faults/test_large_mailbox.py", "regulation/test_clause_4_1_flood.py"}
"""`cost_growth` compares costs with costs; the others print what they measure."""
CLOCKS = {"monotonic", "perf_counter", "process_time", "thread_time", "time"}
CLOCKS |= {f"{name}_ns" for name in CLOCKS}
ASKED = re.compile(r"monotonic|perf_counter|process_time|thread_time|time\.time|loop\S*\.time\(|ru_[us]time")
"""What else needs no parser."""
USED = {"ru_utime", "ru_stime"}


def is_reading(node: ast.AST) -> bool:
    """Whether an expression reads a clock of the machine (the server's own, `clock.monotonic()`, is passed in and moved)."""
    match node:
        case ast.Attribute(attr=name):
            return name in USED
        case ast.Call(func=ast.Attribute(value=ast.Name("time"), attr=name)):
            return name in CLOCKS
        case ast.Call(func=ast.Name(name)):
            return name in CLOCKS - {"time"}
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=ast.Attribute(attr="get_running_loop")) | ast.Name("loop"), attr="time")
        ):
            return True
    return False


def kept_readings(tree: ast.AST) -> set[str]:
    """The names and attributes that are bound to a reading as it is."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) or node.value is None:
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            found.update(ast.unparse(name) for name, value in pairs if is_reading(value))
    return found


def durations(source: str) -> Iterator[int]:
    """The lines that take one reading from another, or that want a clock to have gone on so far."""
    if not ASKED.search(source):
        return
    tree = ast.parse(source)
    kept = kept_readings(tree)

    def read(node: ast.AST) -> bool:
        return is_reading(node) or ast.unparse(node) in kept

    for node in ast.walk(tree):
        match node:
            case ast.BinOp(left, ast.Sub(), right) if read(left) and read(right):
                yield node.lineno
            case ast.Assert(test):
                for each in ast.walk(test):
                    match each:
                        case ast.Compare(left, [ast.Gt() | ast.GtE()], [_]) if is_reading(left):
                            yield node.lineno
                        case ast.Compare(_, [ast.Lt() | ast.LtE()], [right]) if is_reading(right):
                            yield node.lineno


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("began = time.monotonic()\nwork()\nassert time.monotonic() - began < 2", [3]),
        ("began, before = time.process_time(), peak()\nwork()\ntook = time.process_time() - began", [3]),
        ("self.began = perf_counter()\nwork()\nended = perf_counter()\nprint(ended - self.began)", [4]),
        ("begun = asyncio.get_running_loop().time()\nassert asyncio.get_running_loop().time() - begun < 5", [2]),
        ("before = resource.getrusage(0).ru_utime\nassert resource.getrusage(0).ru_utime - before < 1", [2]),
        ("began = time.time_ns()\nassert time.time_ns() - began < 2", [2]),
        ("soon = time.monotonic() + 2\nwork()\nassert time.monotonic() >= soon", [3]),
        ("limit = time.monotonic() + 30\nwhile not found():\n    assert time.monotonic() < limit", []),
        ("left = limit - time.monotonic()", []),
        ("lost_at = time.monotonic()\ncheck(lost_at - 5)", []),
        ("begun = clock.monotonic()\nassert clock.monotonic() - begun == 60", []),
    ],
)
def test_what_is_a_duration(source: str, found: list[int]) -> None:
    """The difference of two readings, and a clock that must have gone on; not a limit of waiting, nor the server's clock."""
    assert list(durations(source)) == found


def test_no_test_measures_how_long_something_takes() -> None:
    """Cost is asserted as growth or as counted work, and what must not come too soon by the order of facts."""
    found = [
        f"{path.relative_to(TESTS)}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        if str(path.relative_to(TESTS)) not in MEASURING
        for line in durations(path.read_text())
    ]
    assert found == [], "assert growth in place of seconds: tests/cost_growth.py"


HANGS_SECONDS = 5.0
"""A peer that sleeps for so long hangs, which needs no reason."""


def unexplained_sleeps(source: str) -> Iterator[int]:
    """The lines with a sleep whose reason does not stand behind it."""
    if "sleep(" not in source:
        return
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("time" | "asyncio"), attr="sleep"), args=[seconds]):
                is_turn_or_hangs = isinstance(seconds, ast.Constant) and not 0 < seconds.value < HANGS_SECONDS
                if not is_turn_or_hangs and "#" not in lines[node.lineno - 1]:
                    yield node.lineno


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("time.sleep(0.5)\nassert heard", [1]),
        ("await asyncio.sleep(pause)", [1]),
        ("time.sleep(2)", [1]),
        ("time.sleep(dice.random())  # the kill comes at any moment", []),
        ("await asyncio.sleep(0)\ntime.sleep(60)", []),
    ],
)
def test_what_sleeps_without_a_reason(source: str, found: list[int]) -> None:
    """A turn of the loop and a peer that hangs need none."""
    assert list(unexplained_sleeps(source)) == found


def test_each_sleep_says_why() -> None:
    """Whoever waits for a fact asks for it, and does not sleep for the time in which it usually comes about."""
    found = [
        f"{path.relative_to(TESTS)}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        if path.name != "waiting.py"
        for line in unexplained_sleeps(path.read_text())
    ]
    assert found == [], "wait for a fact: tests/waiting.py"
