"""Read the values of arguments and options that need no reading: texts, numbers, codes, paths.

Typer reads a value by pydantic, whose loading takes longer than the rest of a short command. A value that is plainly valid is
read here, with the same result; every other value goes to Typer, which has the words for what is wrong with it.

This stands between two methods of Typer's parameters that are not documented; a test compares both readings.
"""

import os
import re
import stat
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import typer
from typer.core import TyperArgument, TyperOption

_NUMBER = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_OTHER = object()
"""Stands for a value that Typer has to read."""


class PlainValues:
    """Stands for what a parameter asks for its value (`get_runtime_param`).

    `typers` returns Typer's own answer.
    """

    def __init__(self, typers: Callable[[], Any]) -> None:
        self._typers = typers

    def coerce(self, value: object, param: TyperArgument | TyperOption, ctx: typer.Context) -> Any:
        """Return the value of a parameter."""
        has_many = param.type_descriptor.is_list
        if value is None:
            return () if has_many else None
        found = _items(param, value) if has_many else _plain(param.type_descriptor.annotation, param, value)
        return self._typers().coerce(value, param=param, ctx=ctx) if found is _OTHER else found


def _items(param: TyperArgument | TyperOption, value: object) -> object:
    (kind,) = get_args(param.type_descriptor.annotation)
    if not isinstance(value, list | tuple):
        return _OTHER
    found = [_plain(kind, param, each) for each in value]
    return _OTHER if _OTHER in found else found


def _plain(kind: object, param: TyperArgument | TyperOption, value: object) -> object:
    info = param.type_descriptor.parameter_info
    if info.parser is not None:
        return _OTHER
    if kind is str:
        return str(value) if isinstance(value, str) else _OTHER
    if kind is int:
        return _number(value, info.min, info.max)
    if kind is Path and isinstance(value, str | Path):
        is_simple = not (info.exists or info.writable or info.resolve_path or info.allow_dash or info.path_type)
        return Path(value) if is_simple and _may_be(value, info) else _OTHER
    if isinstance(kind, type) and issubclass(kind, Enum):
        return value if isinstance(value, kind) else _OTHER
    return _OTHER


def _number(value: object, least: float | None, most: float | None) -> object:
    if isinstance(value, str) and _NUMBER.fullmatch(value) is not None:
        value = int(value)
    if type(value) is not int or (least is not None and value < least) or (most is not None and value > most):
        return _OTHER
    return value


def _may_be(path: str | Path, info: Any) -> bool:
    """Return whether the command takes what is at this path, or that nothing is there."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return True
    except ValueError:  # an octet 0
        return False
    if (not info.file_okay and stat.S_ISREG(mode)) or (not info.dir_okay and stat.S_ISDIR(mode)):
        return False
    return not info.readable or os.access(path, os.R_OK)
