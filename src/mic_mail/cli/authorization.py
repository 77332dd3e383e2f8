"""What every command asks of who runs it, before it runs (Reg. 6.1, 4.3, 14.3).

In: a command as Typer built it. Out: the same, behind its gate. A command says what it asks for by `@asks(Right...)`, or by
`@open_to_all` that the server's account may run it whoever types; one that says nothing is for the Centre alone, so what is
forgotten is shut. Who comes in for a unit only finds a directory that holds nothing else (`directory.partial`). A test walks
over all commands and wants each to say what it asks for.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from mic_mail.cli.context import CliContext
from mic_mail.cli.officer_totp import must_show_code
from mic_mail.errors import MicMailError
from mic_mail.policy.roles import NotAuthorised, Right

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__asks__"


@dataclass(frozen=True, slots=True)
class RequiredRight:
    """What a command asks for."""

    right: Right | None
    """None: nothing."""
    whole: bool = True
    """Of the whole ministry; False: also of one unit, which then sees its own alone."""


SHUT = RequiredRight(Right.ACT)
CHANGES = frozenset({Right.ACT, Right.REQUEST})
"""What changes something: an officer who has a second factor shows a code of it."""


def requires(right: Right, *, whole: bool = False) -> Callable[[F], F]:
    """This command asks for `right`; with `whole`, for the whole ministry."""
    return _marked(RequiredRight(right, whole or right is Right.ACT))


def open_to_all(command: F) -> F:
    """This command shows or does nothing that the regulation gives to some only."""
    return _marked(RequiredRight(None))(command)


def gate_of(command: TyperCommand) -> RequiredRight | None:
    """What the command says that it asks for; None: nothing was said."""
    found: RequiredRight | None = getattr(command.callback, _MARK, None)
    return found


def guard(command: TyperGroup | TyperCommand) -> None:
    """Put every command below `command` behind its gate."""
    if isinstance(command, TyperGroup):
        for inner in command.commands.values():
            assert isinstance(inner, (TyperGroup, TyperCommand))
            guard(inner)
        return
    gate, invoke = gate_of(command) or SHUT, command.invoke

    def behind(ctx: typer.Context) -> Any:
        _pass(gate, ctx)
        return invoke(ctx)

    command.invoke = behind  # type: ignore[method-assign,assignment]  # Typer asks for this one instance's


def _pass(gate: RequiredRight, ctx: typer.Context) -> None:
    here = ctx.find_object(CliContext)
    assert here is not None, "main's callback runs before every command"
    here.must_be_the_servers()  # first: what it names is not believed, nor written to, nor served
    if gate.right is None:
        return
    actor = here.actor(ctx.params.get("actor"))
    try:
        here.enter(actor, gate.right, whole=gate.whole)
        if gate.right in CHANGES:
            must_show_code(here, here.officer)
    except NotAuthorised as refusal:
        with contextlib.suppress(MicMailError):  # who may not even write the record is refused all the same
            here.audit.record(
                actor=actor,
                act="command_refused",
                subject=ctx.command_path,
                clause=refusal.clause,
                answer=refusal.text.en,
                **here.behind(actor),
            )
        raise


def _marked(gate: RequiredRight) -> Callable[[F], F]:
    def mark(command: F) -> F:
        setattr(command, _MARK, gate)
        return command

    return mark
