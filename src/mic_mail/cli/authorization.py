"""Authorisation of every command before it runs (Reg. 6.1, 4.3, 14.3).

A command declares its right by `@requires(Right...)`, or by `@open_to_all()` that the server's account may run it for any
login; one without a declaration is for the Centre alone, so an omission denies access. The declaration names the clauses that
the command serves, for `mic-mail regulation`. An actor who has the right for a unit only gets a directory that holds nothing
else (`directory.scoped`).
"""

import contextlib
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from mic_mail.cli.context import frame
from mic_mail.cli.officer_totp import must_show_code
from mic_mail.cli.option_groups import expand_options
from mic_mail.cli.options import F
from mic_mail.cli.required_right import RequiredRight
from mic_mail.errors import MicMailError
from mic_mail.policy.authorization.roles import NotAuthorised, Right

_MARK = "__asks__"


SHUT = RequiredRight(Right.ACT)
CHANGES = frozenset({Right.ACT, Right.REQUEST})
"""Rights that change something: an officer who has a second factor has to enter a code."""


def requires(right: Right, *, whole: bool = False, act: str = "", clauses: str = "") -> Callable[[F], F]:
    """Declare that this command requires `right`, with `whole` for the ministry, and serves `clauses`.

    A command that records `act` has a keyword parameter whose type is an `acts.Act`.
    """
    return _marked(RequiredRight(right, whole or right is Right.ACT, tuple(clauses.split()), act))


def open_to_all(*, clauses: str = "") -> Callable[[F], F]:
    """Declare that this command shows or does nothing that the regulation reserves."""
    return _marked(RequiredRight(None, clauses=tuple(clauses.split())))


def required_right(command: TyperCommand) -> RequiredRight | None:
    """Return the right that the command declares; None where it declares nothing."""
    found: RequiredRight | None = getattr(command.callback, _MARK, None)
    return found


def guard(command: TyperGroup | TyperCommand) -> None:
    """Put every command below `command` behind its check."""
    if isinstance(command, TyperGroup):
        for inner in command.commands.values():
            assert isinstance(inner, (TyperGroup, TyperCommand))
            guard(inner)
        return
    required, invoke = required_right(command) or SHUT, command.invoke

    def invoke_checked(ctx: typer.Context) -> Any:
        _check(required, ctx)
        return invoke(ctx)

    command.invoke = invoke_checked  # type: ignore[method-assign,assignment]  # Typer calls this instance's method


def _check(required: RequiredRight, ctx: typer.Context) -> None:
    here = frame(ctx)
    here.must_be_the_servers()  # first: a foreign configuration must not be trusted, written to or served
    if required.right is None:
        return
    actor = here.actor(ctx.params.get("actor"))
    try:
        here.enter(actor, required.right, whole=required.whole)
        if required.right in CHANGES:
            must_show_code(here, here.officer)
    except NotAuthorised as refusal:
        with contextlib.suppress(MicMailError):  # an actor who may not even write the record is refused all the same
            here.audit.record(
                actor=actor,
                act="command_refused",
                subject=ctx.command_path,
                clause=refusal.clause,
                answer=refusal.text.en,
                **here.behind(actor),
            )
        raise


def expanded(command: Callable[..., Any] | None) -> Callable[..., Any]:
    """Return the function of a command as Typer takes it (`option_groups`), with its declaration."""
    assert command is not None, "every command has a function"
    required: RequiredRight | None = getattr(command, _MARK, None)
    if required is None:
        return command
    made = expand_options(command, required)
    setattr(made, _MARK, required)
    return made


def _marked(required: RequiredRight) -> Callable[[F], F]:
    def mark(command: F) -> F:
        setattr(command, _MARK, required)
        return command

    return mark
