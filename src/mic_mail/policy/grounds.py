"""The document that an act rests on. Pure.

An act that always needs one and is given none was asked for wrongly (`BadInput`), whoever asks. Where only the state of things
demands a document, as of a message with malware, that rule refuses the act (`Refused`).
"""

from mic_mail.errors import BadInput, Text

_MISSING = Text("Thiếu số văn bản làm căn cứ.", "The number of the document that this rests on is missing.")


def must_have_document(document: str | None, clause: str, missing: Text = _MISSING) -> str:
    """The number of the document; `missing` says which one it has to be."""
    number = (document or "").strip()
    if not number:
        raise BadInput(missing, clause=clause, remedy=Text("Thêm --document SỐ.", "Add --document NUMBER."))
    return number
