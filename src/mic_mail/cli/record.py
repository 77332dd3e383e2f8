"""An administrative act on record: what was begun, and what a rule refused (Reg. 4.3, 8.2).

The line is durable before the act begins, so that nothing happens that is not on record; a refusal is a second line.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from mic_mail.cli.frame import Frame
from mic_mail.errors import BadInput, Refused
from mic_mail.services.credentials import Origin


@contextmanager
def on_record(here: Frame, act: str, subject: str, origin: Origin, **details: object) -> Iterator[None]:
    """Do one act; afterwards a running server is told to look at the directory."""
    here.audit.record(actor=origin.actor, act=act, subject=subject, reason=origin.reason, document=origin.document, **details)
    try:
        yield
    except (Refused, BadInput) as refusal:
        here.audit.record(
            actor=origin.actor, act=f"{act}_refused", subject=subject, clause=refusal.clause, answer=refusal.text.en
        )
        raise
    here.tell_server()
