"""Acts on record (Reg. 4.3, 6.1, 8.2): begun and refused ones, with --reason, --document and --actor.

In: a command with `@requires(RIGHT, act=NAME)` and a keyword parameter of one of these types, which say what options it has. A
command that needs one of them, or words it otherwise, has it as its own parameter (`reason: ReasonOption`), and the act takes
its value. Out: the context of the run, and `recorded`, within which the act is done.

The line is durable before the act begins; a refusal is a second line. The actor's role is checked here for the unit that the
act concerns; the command's own check is for the role alone. A login that acts for another actor is recorded as `login`. Nothing
is begun while the machine's clock is certainly wrong.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from mic_mail.cli.context import CliContext
from mic_mail.cli.options import ActorOption, DocumentOption, WhyOption
from mic_mail.cli.required_right import RequiredRight
from mic_mail.directory.records import MailboxRecord, UnitRecord
from mic_mail.errors import BadInput, Refused, Text
from mic_mail.i18n import dates
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.mailboxes.clock_trust import ClockMark

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


@dataclass(kw_only=True)
class Act:
    """An act that has neither option, or has them from parameters of the command."""

    reason: str = ""
    document: str | None = None
    actor: ActorOption = None

    def begin(self, here: CliContext, declared: RequiredRight) -> None:
        """Take the context, and the act and the right that the command declares."""
        assert declared.right is not None, "an act requires a right"
        self.here, self.right, self.name = here, declared.right, declared.act
        self.origin = ActContext(here.actor(self.actor), self.reason, self.document)

    def because(self, reason: str) -> None:
        """Give the reason, where another argument of the command says it."""
        self.origin = replace(self.origin, reason=reason)

    def must_have_reason(self, clause: str | None = None) -> None:
        if not self.origin.reason:
            raise BadInput(Text("Thiếu lý do.", "The reason is empty."), clause=clause)

    def recorded(
        self,
        subject: str,
        *,
        act: str | None = None,
        right: Right | None = None,
        concerns: UnitRecord | None = None,
        **details: object,
    ) -> AbstractContextManager[None]:
        """Record the act on `subject`, done within; `act`, `right`: where a run differs from the declaration."""
        name, needed = act or self.name, right or self.right
        return audited(self.here, name, subject, self.origin, right=needed, concerns=concerns, **details)

    @contextmanager
    def on_mailbox(self, address: str, **details: Any) -> Iterator[MailboxRecord]:
        """Record the act on the mailbox of `address`, which is done within."""
        mailbox = self.here.directory.mailbox(address)
        with self.recorded(mailbox.address, **details):
            yield mailbox


@dataclass(kw_only=True)
class ExplainedAct(Act):
    """An act with a reason, if there is one."""

    reason: WhyOption = ""


@dataclass(kw_only=True)
class DocumentedAct(Act):
    """An act with a document, if there is one."""

    document: DocumentOption = None


@dataclass(kw_only=True)
class GroundedAct(Act):
    """An act with a reason and a document, if there are any."""

    reason: WhyOption = ""
    document: DocumentOption = None
