"""All evidence together; a source with unreadable records is replaced by its error (Reg. 10.1)."""

from collections.abc import Mapping, Sequence
from itertools import chain

from mic_mail.errors import MicMailError, Text
from mic_mail.policy.clauses import CLAUSES
from mic_mail.services.compliance import (  # noqa: F401  they register their sources
    administration,
    directory,
    filtering,
    logs,
    mailboxes,
    operations,
    traffic,
    unit_mail,
)
from mic_mail.services.compliance.finding import SOURCES, Finding, Records, Source

_ERRORS_CLAUSE = "10.1"


def gather(records: Records) -> Mapping[str, Sequence[Finding]]:
    """Return every finding by clause, in the order of the regulation."""
    findings: dict[Source, Sequence[Finding]] = {}
    errors: dict[str, Finding] = {}
    for source in dict.fromkeys(chain.from_iterable(SOURCES.values())):
        try:
            findings[source] = list(source(records))
        except (MicMailError, OSError) as error:
            trouble = error.text if isinstance(error, MicMailError) else Text(str(error), str(error))
            errors[trouble.en] = Finding(trouble, overdue=True)
    found: dict[str, list[Finding]] = {}
    for clause_id, sources in SOURCES.items():
        uncounted = CLAUSES[clause_id].uncounted
        found[clause_id] = [Finding(uncounted)] if uncounted else []
        found[clause_id] += chain.from_iterable(findings.get(source, ()) for source in sources)
    found[_ERRORS_CLAUSE] += errors.values()
    return found
