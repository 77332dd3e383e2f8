"""How the log tells of what went wrong: what it was, and of a defect also where.

In: an exception. Out: fields for `MailLog.event`. What this program raises on purpose, and what the system says, explain
themselves; anything else is a defect, and whoever looks for it needs the line.
"""

import traceback

from mic_mail.errors import MicMailError
from mic_mail.log.maillog import LONGEST_TEXT

FRAMES = 8
"""Of each exception, the innermost ones."""


def failure(error: BaseException) -> dict[str, object]:
    """`error`, in both languages where it has a sentence in both, and for a defect `where`."""
    if isinstance(error, MicMailError) and error.text.vi != error.text.en == str(error):
        return {"error": error.text}
    if isinstance(error, MicMailError | OSError):
        return {"error": str(error) or type(error).__name__}
    return {"error": repr(error), "where": where(error)}


def where(error: BaseException) -> str:
    """The end of its traceback, as much as a field holds: the line that raised it stands last."""
    return "".join(traceback.format_exception(error, limit=-FRAMES))[-LONGEST_TEXT:]
