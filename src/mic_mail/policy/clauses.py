"""The regulation, clause by clause: its text, what this server does, and the settings that read it.

Out: `CLAUSES`, in the order of the text, and `clause(id)`. The rows are in `clause_rows`; the code that obeys a clause cites
its id (`Reg. 6.4.c`), and the test that holds it there is named `test_clause_6_4_c`.
"""

from collections.abc import Mapping

from mic_mail.errors import BadInput, Text
from mic_mail.policy.clause_rows import ROWS, Clause

CLAUSES: Mapping[str, Clause] = {row.id: row for row in ROWS}


class UnknownClause(BadInput):
    """The regulation has no clause of this id."""


def clause(clause_id: str) -> Clause:
    """Return the clause `Article.Clause.Point`, e.g. 6.4.c."""
    found = CLAUSES.get(clause_id.strip().lower())
    if found is None:
        raise UnknownClause(
            Text(f"Quy chế không có điểm, khoản “{clause_id}”.", "The regulation has no such clause."),
            remedy=Text("Xem: mic-mail regulation list", "See: mic-mail regulation list"),
        )
    return found
