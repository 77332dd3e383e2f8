"""Commands that do something on record: the act, and its options --reason, --document and --actor.

In: a command with `@requires(RIGHT, act=NAME)` and a keyword parameter of one of these types, which say what options it has. A
command that needs one of them, or words it otherwise, has it as its own parameter (`reason: ReasonOption`), and the act takes
its value. Out: the context of the run, and `recorded`, within which the act is done (`audited`).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mic_mail.cli.audited import audited
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import ActorOption, DocumentOption, WhyOption
from mic_mail.directory.records import MailboxRecord, UnitRecord
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.mailboxes.credentials import ActContext

if TYPE_CHECKING:
    from mic_mail.cli.authorization import RequiredRight


@dataclass(kw_only=True)
class Act:
    """An act that has neither option, or has them from parameters of the command."""

    reason: str = ""
    document: str | None = None
    actor: ActorOption = None

    def begin(self, here: CliContext, declared: "RequiredRight") -> None:
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
