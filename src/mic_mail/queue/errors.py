"""The SMTP errors of spool and queue when a disk or a database fails."""

import errno
from typing import Final

from mic_mail.errors import Text, Trouble
from mic_mail.storage.errors import DiskFull, Unavailable

UNREADABLE: Final = (OSError, Unavailable)
"""Exceptions that a look at the queue raises while its disk, or its database, does not answer."""


class SpoolUnavailable(Trouble):
    """The disk, or the database, does not take the entry now: SMTP 451 4.3.0."""


class SpoolFull(SpoolUnavailable):
    """No space: SMTP 452 4.3.1. No partial file stays behind."""


class LeaseLost(SpoolUnavailable):
    """Another node sends the entry now, since this one could not renew its lease in time; nothing was recorded."""

    def __init__(self) -> None:
        super().__init__(
            Text("Thư này do máy chủ khác gửi tiếp.", "Another node goes on with this message; this one lost its lease.")
        )


def trouble(error: OSError | Unavailable) -> SpoolUnavailable:
    if isinstance(error, DiskFull) or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return SpoolFull(Text("Máy chủ tạm hết chỗ.", "No room for the message."))
    return SpoolUnavailable(Text("Hàng đợi tạm thời không ghi được.", "The spool cannot be written."))
