"""Options shared by several commands: a dataclass, each field of which is an option.

In: a command with a keyword parameter whose type is such a dataclass. Out: the same command for Typer, with the fields in place
of that parameter.
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def expand_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace every dataclass among the parameters by its fields."""
    parameters: list[inspect.Parameter] = []
    gathered: dict[str, tuple[type[Any], list[str]]] = {}
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation):
            options = _options(parameter.annotation)
            gathered[parameter.name] = parameter.annotation, [option.name for option in options]
            parameters += options
        else:
            parameters.append(parameter)

    def run(**given: Any) -> None:
        for name, (kind, names) in gathered.items():
            given[name] = kind(**{each: given.pop(each) for each in names})
        command(**given)

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
    ]
