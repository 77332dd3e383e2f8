"""Write an event of a command to the mail log, durable when the call returns.

The event goes into a segment of the command's own. From any thread. Only for what happens beside the act, which is recorded in
the log of acts (`audited`).
"""

from mic_mail.cli.context import CliContext
from mic_mail.log.maillog import MailLog


def write_log_event(here: CliContext, event: str, **fields: object) -> None:
    """Add one event."""
    log = MailLog(here.config.log_dir, "cli", clock=here.clock, threaded=False)
    log.event(event, **fields)
    log.close()
