"""The document that an act rests on. Pure.

If an act always needs a document, its absence is the caller's mistake (`BadInput`). If only the state of things demands one, as
for a message with malware, the rule refuses the act (`Refused`).
"""

from mic_mail.errors import BadInput, Text

ADD_DOCUMENT = Text("Thêm --document SỐ.", "Add --document NUMBER.")
ADD_REASON = Text('Thêm --reason "…".', 'Add --reason "...".')
NO_DOCUMENT = Text("Thiếu số văn bản làm căn cứ.", "A document number is required.")


def must_have_document(document: str | None, clause: str, missing: Text = NO_DOCUMENT) -> str:
    """Return the number of the document; `missing` is the error text if there is none."""
    number = (document or "").strip()
    if not number:
        raise BadInput(missing, clause=clause, remedy=ADD_DOCUMENT)
    return number
