"""The SMTP errors of spool and queue when a disk fails."""

import errno

from mic_mail.errors import Text, Trouble


class SpoolUnavailable(Trouble):
    """The disk does not take the entry now: SMTP 451 4.3.0."""


class SpoolFull(SpoolUnavailable):
    """No space: SMTP 452 4.3.1. No partial file stays behind."""


def trouble(error: OSError) -> SpoolUnavailable:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SpoolFull(Text("Máy chủ tạm hết chỗ.", "No room for the message."))
    return SpoolUnavailable(Text("Hàng đợi tạm thời không ghi được.", "The spool cannot be written."))
