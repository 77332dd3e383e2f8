"""How the log tells of what went wrong: what it was, and of a defect also where.

In: an exception. Out: fields for `MailLog.event`. What this program raises on purpose, and what the system says, explain
themselves; anything else is a defect, and whoever looks for it needs the line.
"""

import traceback

from mic_mail.errors import MicMailError, Text, in_ascii
from mic_mail.log.maillog import LONGEST_TEXT

FRAMES = 8
"""Of each exception, the innermost ones."""


def described(error: BaseException) -> Text | str:
    """What `error` says: this program's own in both languages, with its detail; of another one its words as they are."""
    words = str(error) or type(error).__name__
    if not isinstance(error, MicMailError) or error.text.vi == error.text.en:
        return words
    if words == error.text.en:
        return error.text
    return Text(f"{error.text.vi} ({words})", f"{error.text.en} ({in_ascii(words)})")


def failure(error: BaseException) -> dict[str, object]:
    """`error`, and for a defect `where`."""
    if isinstance(error, MicMailError | OSError):
        return {"error": described(error)}
    return {"error": repr(error), "where": where(error)}


def where(error: BaseException) -> str:
    """The end of its traceback, as much as a field holds: the line that raised it stands last."""
    return "".join(traceback.format_exception(error, limit=-FRAMES))[-LONGEST_TEXT:]
