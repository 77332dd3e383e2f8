"""Names of the regulation's clauses for people: "điểm c khoản 4 Điều 6 Quy chế", "Reg. 6.4.c"."""

from mic_mail.errors import Text


def clause(clause_id: str) -> Text:
    """Return the clause `Article.Clause.Point` as official letters word it, the smallest part first."""
    article, *rest = clause_id.split(".")
    parts = [f"Điều {article}"]
    if rest:
        parts.insert(0, f"khoản {rest[0]}")
    if len(rest) > 1:
        parts.insert(0, f"điểm {rest[1]}")
    return Text(f"{' '.join(parts)} Quy chế", f"Reg. {clause_id}")
