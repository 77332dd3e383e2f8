"""Options shared by several commands: a dataclass, each annotated field of which is an option.

In: a command with a keyword parameter whose type is such a dataclass. Out: the same command for Typer, with the fields in place
of that parameter. A field without `Annotated` makes no option: it takes the value of the command's own parameter of that name,
or its default. `ActOptions` are told which run they are of.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_origin, get_type_hints

import typer

from mic_mail.cli import output
from mic_mail.errors import Text

if TYPE_CHECKING:
    from mic_mail.cli.authorization import RequiredRight
    from mic_mail.cli.context import CliContext


class ActOptions(ABC):
    """The options of a command that records what it does: who does it, why, on what document (`cli.audited.Act`)."""

    @abstractmethod
    def begin(self, here: "CliContext", declared: "RequiredRight") -> None:
        """Take the context of the run and what the command declares."""


def expand_options(command: Callable[..., Any], begin: Callable[[typer.Context, ActOptions], None]) -> Callable[..., Any]:
    """Replace every dataclass among the parameters by its fields; `begin` is called with the options of an act.

    A command that needs no `ctx` for itself may leave it out. A `Text` that it returns is printed as a note.
    """
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation):
            groups[parameter.name] = parameter.annotation
            parameters += _options(parameter.annotation)
        else:
            parameters.append(parameter)
    if not groups:
        return command
    own = inspect.signature(command).parameters.keys()
    if "ctx" not in own:
        parameters.insert(0, inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context))

    def run(**given: Any) -> Any:
        arguments = {name: value for name, value in given.items() if name in own}
        for name, kind in groups.items():
            arguments[name] = kind(**{each.name: given[each.name] for each in fields(kind) if each.name in given})
            if isinstance(arguments[name], ActOptions):
                begin(given["ctx"], arguments[name])
        outcome = command(**arguments)
        return output.note(outcome) if isinstance(outcome, Text) else outcome

    run.__name__, run.__module__, run.__doc__ = command.__name__, command.__module__, command.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": None}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # Typer reads it
    return run


def _options(kind: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=_default(field), annotation=hints[field.name])
        for field in fields(kind)
        if get_origin(hints[field.name]) is Annotated
    ]


def _default(field: Field[Any]) -> Any:
    return inspect.Parameter.empty if field.default is MISSING else field.default
