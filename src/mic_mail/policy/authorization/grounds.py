"""The grounds of an act: its actor, its reason and its document. Pure.

If an act always needs a document, its absence is the caller's mistake (`BadInput`). If only the state of things demands one, as
for a message with malware, the rule refuses the act (`Refused`).
"""

from dataclasses import dataclass
from datetime import datetime

from mic_mail.errors import BadInput, Text
from mic_mail.policy.facts import REQUEST, Detail, Draft, FactKind

ADD_DOCUMENT = Text("Thêm --document SỐ.", "Add --document NUMBER.")
ADD_REASON = Text('Thêm --reason "…".', 'Add --reason "...".')
NO_DOCUMENT = Text("Thiếu số văn bản làm căn cứ.", "A document number is required.")


def must_have_document(document: str | None, clause: str, missing: Text = NO_DOCUMENT) -> str:
    """Return the number of the document; `missing` is the error text if there is none."""
    number = (document or "").strip()
    if not number:
        raise BadInput(missing, clause=clause, remedy=ADD_DOCUMENT)
    return number


@dataclass(frozen=True, slots=True)
class ActContext:
    """The actor, the reason and the document of an act; blank strings count as none."""

    actor: str
    reason: str = ""
    document: str | None = None
    request: int | None = None
    """The request on which the act is done (Reg. 6.2): its fact names it, and is recorded once."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", self.reason.strip())
        object.__setattr__(self, "document", (self.document or "").strip() or None)

    def must_have_document(self, clause: str, missing: Text = NO_DOCUMENT) -> str:
        """Return the document that the act rests on; `BadInput` with `missing` where it names none."""
        return must_have_document(self.document, clause, missing)

    def draft(self, kind: FactKind, at: datetime, **data: Detail) -> Draft:
        """Return the fact of the act, which names the request too."""
        if self.request is not None:
            data[REQUEST] = self.request
        return Draft(kind, at, self.actor, self.reason, self.document, data)
