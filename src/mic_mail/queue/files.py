"""File operations of spool and queue, and the SMTP errors of a failing disk."""

import errno
import os
from pathlib import Path

from mic_mail.errors import Text, Trouble


class SpoolUnavailable(Trouble):
    """The disk does not take the entry now: SMTP 451 4.3.0."""


class SpoolFull(SpoolUnavailable):
    """No space: SMTP 452 4.3.1. No partial file stays behind."""


def unlink(path: Path) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def trouble(error: OSError) -> SpoolUnavailable:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SpoolFull(Text("Máy chủ tạm hết chỗ.", "No room for the message."))
    return SpoolUnavailable(Text("Hàng đợi tạm thời không ghi được.", "The spool cannot be written."))
