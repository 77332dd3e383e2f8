"""What a command tells the mail log: an event in a segment of the command's own, written when `tell` returns.

From any thread. Only for what happens beside the act, whose record is the log of acts (`record`).
"""

from mic_mail.cli.context import CliContext
from mic_mail.log.maillog import MailLog


def write_log_event(here: CliContext, event: str, **fields: object) -> None:
    """Add one event."""
    log = MailLog(here.config.log_dir, "cli", clock=here.clock, threaded=False)
    log.event(event, **fields)
    log.close()
