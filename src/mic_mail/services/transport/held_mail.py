"""The services of the jobs on mail that is kept back: held for a marking, or in quarantine."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mic_mail.directory.snapshot import Entry
from mic_mail.queue.spool import Spool
from mic_mail.services.notifications.notices import Notices


@dataclass(frozen=True, slots=True)
class HeldMailServices:
    """The services by which kept mail is released, expires, and is reported to its people."""

    spool: Spool
    """Takes what is released."""
    notices: Callable[[], Notices]
    takes_mail: Callable[[Entry], bool]
    """Returns whether a mailbox can get notices. Called in a thread."""
    trusts_clock: Callable[[], bool]
    """Returns whether anything may expire. Called in a thread."""
    recover: Callable[[], Awaitable[object]]
    """Resumes what is in the spool."""
