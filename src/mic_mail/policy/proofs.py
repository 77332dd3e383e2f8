"""Which tests prove which clause; written by tests/clauses.py from the tests themselves."""

from collections.abc import Mapping

PROOFS: Mapping[str, tuple[str, ...]] = {
    "4.3": ("tests/regulation/test_clause_4_3.py",),
    "5.1": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_5.py",
    ),
    "5.2": ("tests/regulation/test_clause_5.py",),
    "5.3": ("tests/regulation/test_clause_5.py",),
    "5.4.a": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_5.py",
    ),
    "5.4.b": ("tests/regulation/test_clause_5.py",),
    "6.1": ("tests/regulation/test_clause_6_1.py",),
    "6.3": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_6_3.py",
    ),
    "6.4.a": ("tests/regulation/test_acts.py",),
    "6.4.b": ("tests/regulation/test_acts.py",),
    "6.4.c": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_6_4_c.py",
    ),
    "6.5": ("tests/regulation/test_acts.py",),
    "7.1": ("tests/regulation/test_clause_7_1.py",),
    "7.2.a": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_7_2_a.py",
    ),
    "7.2.b": (
        "tests/regulation/test_acts.py",
        "tests/regulation/test_clause_7_2_b.py",
    ),
    "7.2.c": ("tests/regulation/test_acts.py",),
    "7.3.b": ("tests/regulation/test_acts.py",),
    "8.2": (
        "tests/unit/housekeeping/test_housekeeping.py",
        "tests/unit/log/test_retention.py",
    ),
    "12.3": ("tests/regulation/test_clause_12_3.py",),
    "15.2": ("tests/regulation/test_clause_15_2.py",),
}
