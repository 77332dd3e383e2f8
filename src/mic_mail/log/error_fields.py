"""Describe errors for the log: the message, and for a defect also its location.

In: an exception. Out: fields for `MailLog.event`. Errors that this program raises on purpose, and errors of the system,
explain themselves; any other is a defect, whose location is needed.
"""

import traceback

from mic_mail.errors import MicMailError, Text, in_ascii
from mic_mail.log.maillog import LONGEST_TEXT

FRAMES = 8
"""Innermost frames shown of each exception."""


def described(error: BaseException) -> Text | str:
    """Return the message of `error`; this program's own errors have both languages, with detail."""
    words = str(error) or type(error).__name__
    if not isinstance(error, MicMailError) or error.text.vi == error.text.en:
        return words
    if words == error.text.en:
        return error.text
    return Text(f"{error.text.vi} ({words})", f"{error.text.en} ({in_ascii(words)})")


def failure(error: BaseException) -> dict[str, object]:
    """Return `error`, and for a defect `where`."""
    if isinstance(error, MicMailError | OSError):
        return {"error": described(error)}
    return {"error": repr(error), "where": where(error)}


def where(error: BaseException) -> str:
    """Return the end of its traceback that fits into a field: the raising line is last."""
    return "".join(traceback.format_exception(error, limit=-FRAMES))[-LONGEST_TEXT:]
