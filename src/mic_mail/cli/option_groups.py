"""Parameters of a command that Typer does not know: the context of the run, and groups of options.

In: a command with a parameter of type `CliContext`, or of a dataclass each annotated field of which is an option. Out: the same
command for Typer, with the fields in place of that parameter. A field without `Annotated` is no option: it takes the value of
the command's own parameter of that name, or its default. A group with a method `begin` (`cli.acts.Act`) gets the context.
A command that returns an `output.CommandResult` gets the option --json.
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from mic_mail.cli import output
from mic_mail.cli.context import CliContext, frame
from mic_mail.cli.options import JsonOption
from mic_mail.cli.required_right import RequiredRight
from mic_mail.errors import Text


def expand_options(command: Callable[..., Any], declared: RequiredRight) -> Callable[..., Any]:
    """Return the command as Typer takes it.

    It prints a `Text` that the command returns as a note, a `CommandResult` as the result.
    """
    parameters = [inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    groups: dict[str, Any] = {}
    signature = inspect.signature(command, eval_str=True)
    own = signature.parameters
    for name, parameter in own.items():
        if is_dataclass(parameter.annotation):
            groups[name] = parameter.annotation
            parameters += [] if parameter.annotation is CliContext else _options(groups[name])
        else:
            parameters.append(parameter)
    kinds = get_args(signature.return_annotation) or (signature.return_annotation,)
    if any(isinstance(kind, type) and issubclass(kind, output.CommandResult) for kind in kinds):
        parameters.append(inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption))

    def run(ctx: typer.Context, **given: Any) -> Any:
        here = frame(ctx)
        arguments = {name: value for name, value in given.items() if name in own}
        for name, kind in groups.items():
            if kind is CliContext:
                arguments[name] = here
                continue
            arguments[name] = kind(**{each.name: given[each.name] for each in fields(kind) if each.name in given})
            if hasattr(kind, "begin"):
                arguments[name].begin(here, declared)
        outcome = command(**arguments)
        match outcome:
            case Text():
                return output.note(outcome)
            case output.CommandResult():
                return outcome.print(as_json=given["as_json"])
            case _:
                return outcome

    run.__name__, run.__module__, run.__doc__ = command.__name__, command.__module__, command.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": None}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # Typer reads it
    return run


def _options(kind: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(kind)
        if get_origin(hints[field.name]) is Annotated
    ]
