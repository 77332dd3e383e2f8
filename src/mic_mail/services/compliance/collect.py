"""All evidence together; an area with unreadable records is replaced by its error."""

from collections.abc import Callable, Mapping, Sequence

from mic_mail.errors import MicMailError, Text
from mic_mail.services.compliance import (
    address_book,
    administration,
    censuses,
    downtimes,
    handovers,
    incidents,
    installation,
    logs,
    mailboxes,
    migration,
    naming,
    people,
    replies,
    reports,
    requests,
    secrecy,
    spam,
    traffic,
    unit_mail,
)
from mic_mail.services.compliance.finding import Evidence, Finding, Office

AREAS: Sequence[Callable[[Office], Evidence]] = (
    address_book.evidence,
    installation.shared,
    installation.place,
    installation.agreement,
    installation.fullness,
    secrecy.evidence,
    traffic.waiting,
    traffic.leaving,
    traffic.mail,
    traffic.sign_ins,
    traffic.judged,
    traffic.malware,
    spam.quarantine,
    spam.learning,
    mailboxes.evidence,
    naming.evidence,
    requests.evidence,
    downtimes.evidence,
    handovers.evidence,
    incidents.evidence,
    unit_mail.evidence,
    replies.evidence,
    censuses.evidence,
    migration.evidence,
    reports.evidence,
    administration.evidence,
    logs.evidence,
    people.evidence,
)
"""The areas in the order of the clauses.

Evidence that reads files has an area for each, so that an unreadable one hides no other.
"""


def gather(office: Office) -> Mapping[str, Sequence[Finding]]:
    """Return every finding, by clause."""
    found: dict[str, list[Finding]] = {}
    for area in AREAS:
        try:
            for clause, finding in area(office):
                found.setdefault(clause, []).append(finding)
        except (MicMailError, OSError) as error:
            trouble = error.text if isinstance(error, MicMailError) else Text(str(error), str(error))
            found.setdefault("10.1", []).append(Finding(trouble, overdue=True))
    return found
