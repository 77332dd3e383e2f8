"""Which tests prove which clause, read from the tests themselves; and whether each of them passed.

A test proves a clause by its name (`test_clause_6_4_c_...`), by that of its module (`test_clause_7_2_a.py`), or by
`@pytest.mark.clause("10.3", ...)`. `python tests/clauses.py` writes what it finds to `cli/clause_tests.json`, which
`mic-mail regulation` shows. Under `--clauses` (`make test`) the run fails where a clause that this server obeys had no
test that passed.
"""

import ast
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from mic_mail.policy.clauses import ROWS, ClauseStanding

TESTS = Path(__file__).parent
WRITTEN = TESTS.parent / "src/mic_mail/cli/clause_tests.json"
_IDS = {row.id: row.id.replace(".", "_") for row in ROWS}
_NAMED = re.compile(r"test_clause_(\d+(?:_\d+)?(?:_[a-z](?![a-z]))?)")
PROVEN = "clause"
OBEYED = {ClauseStanding.ENFORCED, ClauseStanding.PARTLY}


def clauses_of(name: str) -> frozenset[str]:
    """The clause that the name of a test or of a module says: test_clause_6_4_c_late_notice, 6.4.c; 5 stands for all of 5."""
    said = _NAMED.match(name)
    if said is None:
        return frozenset()
    wanted = said[1].replace("_", ".")
    return frozenset(clause for clause in _IDS if clause == wanted or (wanted.isdigit() and clause.startswith(wanted + ".")))


def _proven(module: str, test: str, marked: frozenset[str]) -> frozenset[str]:
    """By its marks and its name, or else its module's. A module of a whole article proves only by the names of its tests."""
    named, whole = clauses_of(test), clauses_of(module)
    return named | marked | (whole if len(whole) == 1 and not named else frozenset())


def proofs() -> dict[str, list[str]]:
    """Clause -> modules with tests of it."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        for clause in _in_module(path):
            found[clause].add(path.relative_to(TESTS.parent).as_posix())
    return {clause: sorted(found[clause]) for clause in _IDS if clause in found}


def _in_module(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text("utf-8"))
    whole = _marked(statement for statement in tree.body if isinstance(statement, ast.Assign))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield from _proven(path.stem, node.name, whole | _marked(node.decorator_list))


def _marked(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """The clauses that marks name, in decorators or in `pytestmark`."""
    return frozenset(
        argument.value
        for node in nodes
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == f"pytest.mark.{PROVEN}"
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    )


# ---------------------------------------------------------------- within a run


def of_item(item: pytest.Item) -> frozenset[str]:
    """The clauses that a collected test proves."""
    marked = frozenset(str(clause) for mark in item.iter_markers(PROVEN) for clause in mark.args)
    unknown = marked - set(_IDS)
    if unknown:
        raise pytest.UsageError(f"{item.nodeid}: the regulation has no clause {', '.join(sorted(unknown))}")
    return _proven(item.path.stem, item.name.partition("[")[0], marked)


class Passed:
    """The clauses that tests of this run proved; the fold of all workers' reports."""

    def __init__(self) -> None:
        self.clauses: set[str] = set()
        self.missing: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.clauses.update(str(value) for name, value in report.user_properties if name == PROVEN)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        missing = [row.id for row in ROWS if row.standing in OBEYED and row.id not in self.clauses]
        if missing and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            self.missing = missing

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.missing:
            terminalreporter.write_line(f"no passing test for: {', '.join(self.missing)}", red=True)


if __name__ == "__main__":
    WRITTEN.write_text(json.dumps(proofs(), indent=2) + "\n", "utf-8")
    sys.stdout.write(f"{WRITTEN}\n")
