"""Commands that do something on record: the act, and its options --reason, --document and --actor.

In: a command with `@requires(RIGHT, act=NAME)` and a keyword parameter of one of these types, which say what options it has. A
command that needs one of them, or words it otherwise, has it as a parameter of its own (`reason: ReasonOption`), and the act
has its value. Out: the context of the run, and `recorded`, within which the act is done (`audited`).
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from mic_mail.cli.audited import audited
from mic_mail.cli.authorization import RequiredRight
from mic_mail.cli.context import CliContext
from mic_mail.cli.option_groups import ActOptions
from mic_mail.cli.options import ActorOption, DocumentOption, WhyOption
from mic_mail.directory.records import UnitRecord
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.mailboxes.credentials import ActContext


@dataclass(kw_only=True)
class Act(ActOptions):
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

    def recorded(
        self, subject: str, *, right: Right | None = None, concerns: UnitRecord | None = None, **details: object
    ) -> AbstractContextManager[None]:
        """Record the act on `subject`, which is done within; `right` where this run requires another one than declared."""
        return audited(self.here, self.name, subject, self.origin, right=right or self.right, concerns=concerns, **details)


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
