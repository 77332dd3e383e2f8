"""Administrative acts on record: what was begun, and what a rule refused (Reg. 4.3, 6.1, 8.2).

The line is durable before the act begins; a refusal is a second line. The actor's role is checked here for the unit that the
act concerns; the command's own check is for the role alone. A login that acts for another actor is recorded as `login`. Nothing
is begun while the machine's clock is certainly wrong.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mic_mail.cli.context import CliContext
from mic_mail.directory.records import UnitRecord
from mic_mail.errors import BadInput, Refused, Text
from mic_mail.i18n import dates
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.mailboxes.clock_trust import ClockMark
from mic_mail.services.mailboxes.credentials import ActContext

CONFIRMS_CLOCK = "clock_confirm"


class ClockIsWrong(Refused):
    """The machine's clock shows a time that it cannot be."""


def _must_be_the_time(here: CliContext) -> None:
    differs = ClockMark(here.config.state_dir, here.clock).contradiction()
    if differs is None:
        return
    now, right = dates.instant(here.clock.now()), dates.instant(here.clock.now() - differs)
    raise ClockIsWrong(
        Text(
            f"Đồng hồ máy là {now.vi}, còn theo mốc đã ghi thì bây giờ là {right.vi}; chưa thực hiện và chưa ghi gì.",
            f"The machine's clock shows {now.en}, but by the recorded time it is {right.en}; nothing was done or recorded.",
        ),
        remedy=Text(
            "chỉnh lại đồng hồ máy, hoặc nếu đồng hồ đúng: mic-mail clock confirm",
            "set the clock, or if it is right: mic-mail clock confirm",
        ),
    )


@contextmanager
def audited(
    here: CliContext,
    act: str,
    subject: str,
    origin: ActContext,
    *,
    right: Right = Right.ACT,
    concerns: UnitRecord | None = None,
    **details: object,
) -> Iterator[None]:
    """Run one act that requires `right`, for one unit or the whole ministry, and notify a running server."""
    if act != CONFIRMS_CLOCK:
        _must_be_the_time(here)
    details = {**details, **here.behind(origin.actor)}
    here.audit.record(actor=origin.actor, act=act, subject=subject, reason=origin.reason, document=origin.document, **details)
    try:
        here.authorise(origin.actor, right, concerns)
        yield
    except (Refused, BadInput) as refusal:
        trace: dict[str, Any] = {"trace": details["trace"]} if "trace" in details else {}  # `log trace` finds the refusal, too
        here.audit.record(
            actor=origin.actor, act=f"{act}_refused", subject=subject, clause=refusal.clause, answer=refusal.text.en,
            **trace,
        )  # fmt: skip
        raise
    here.notify_server()
