"""Check the values of settings by their types, as lenient as people write TOML.

`"7"` is a whole number, `"on"` is true.

`check_of(TYPE)` returns a function of a value and of the folder of the configuration file. It returns the value as the setting
has it, or raises `Invalid`; a list or a table raises `InvalidSettings` with every fault in it. A code of a fault is a word that
`load` translates.

The types are those of `schema.Section`: `bool`, `int`, `float`, `str`, `date`, `time`, `Path`, `Literal` of strings,
`tuple[TYPE, ...]`, `TYPE | None`, a `Table`, and `Annotated` with the marks that are defined here. Anything else is a defect of
the class and raises `TypeError`.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Self, Union, get_args, get_origin

Check = Callable[[Any, Path | None], Any]
"""Returns a value as its setting has it; the path is the folder of the configuration file."""


AS_GIVEN = object()


class Invalid(ValueError):
    """A value that the setting cannot have; `code` says why.

    `bounds` is what a sentence about it names, such as the bound that it exceeds; `read` the value where it is not as given.
    """

    def __init__(self, code: str, message: str, *, read: object = AS_GIVEN, **bounds: object) -> None:
        super().__init__(message)
        self.code = code
        self.read = read
        self.bounds = bounds


class Fault(NamedTuple):
    """One fault in a table of settings."""

    place: tuple[str | int, ...]
    """The names of tables and settings, and the positions in lists, that lead to the value."""
    code: str
    given: object
    """The value; the table itself where a setting is missing."""
    message: str
    bounds: Mapping[str, object]

    def below(self, part: str | int) -> "Fault":
        """Return the fault as the table or list around it reports it."""
        return self._replace(place=(part, *self.place))


class InvalidSettings(ValueError):
    """A table or list of settings with at least one fault."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, fault.place))}: {fault.message}" for fault in faults))
        self.faults = tuple(faults)


class Table:
    """A type that checks its values itself: `schema.Section`."""

    @classmethod
    def model_validate(cls, given: object, *, folder: Path | None = None) -> Self:
        """Return the checked table; `schema.Section`, the only kind, does it."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Bounds:
    """Marks the bounds of a number, or of the length of a list."""

    ge: float | None = None
    le: float | None = None
    min_length: int | None = None
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class StringForm:
    """Marks the form of a string; letters become small after it was compared with the pattern."""

    pattern: str = ""
    """Must match the whole string."""
    max_length: int | None = None
    strip_whitespace: bool = False
    to_lower: bool = False


@dataclass(frozen=True, slots=True)
class Before:
    """Marks a function that reads the value as given; the check of the type gets its result."""

    read: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class After:
    """Marks a function that checks, and may replace, the value after its type was checked."""

    check: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class AfterInFolder:
    """Marks a function as `After`, which also gets the folder of the configuration file."""

    check: Check


def faults_of(error: Invalid | InvalidSettings, part: str | int, given: object) -> list[Fault]:
    """Return the faults of one item of a table or list, which was given as `given`."""
    if isinstance(error, Invalid):
        return [Fault((part,), error.code, given if error.read is AS_GIVEN else error.read, str(error), error.bounds)]
    return [fault.below(part) for fault in error.faults]


def check_of(kind: Any) -> Check:
    """Return the check of values of this type."""
    if (read := _SCALARS.get(kind)) is not None:
        return lambda value, _folder: read(value)
    if isinstance(kind, type) and issubclass(kind, Table):
        return lambda value, folder: kind.model_validate(value, folder=folder)
    arguments = get_args(kind)
    match get_origin(kind):
        case origin if origin is Annotated:
            return _marked(arguments[0], arguments[1:])
        case origin if origin is Literal:
            return _choice(arguments)
        case origin if origin is tuple and arguments[1:] == (...,):
            return _items(check_of(arguments[0]))
        case origin if origin in (Union, UnionType) and arguments[1:] == (NoneType,):
            return _optional(check_of(arguments[0]))
    raise TypeError(f"no type of a setting: {kind!r}")


def bounded(check: Check, bounds: Bounds) -> Check:
    """Return `check`, after which a number or the length of a list must be within `bounds`."""

    def within(value: object, folder: Path | None) -> object:
        found = check(value, folder)
        if bounds.ge is not None and not found >= bounds.ge:
            raise Invalid("greater_than_equal", f"less than {bounds.ge}", read=found, ge=bounds.ge)
        if bounds.le is not None and not found <= bounds.le:
            raise Invalid("less_than_equal", f"more than {bounds.le}", read=found, le=bounds.le)
        if bounds.min_length is not None and len(found) < bounds.min_length:
            raise Invalid("too_short", f"fewer than {bounds.min_length} items", min_length=bounds.min_length)
        if bounds.max_length is not None and len(found) > bounds.max_length:
            raise Invalid("too_many", f"more than {bounds.max_length} items", max_length=bounds.max_length)
        return found

    return within


def _marked(kind: Any, marks: tuple[object, ...]) -> Check:
    check = check_of(kind)
    for mark in marks:
        check = _with_mark(check, mark)
    return check


def _with_mark(check: Check, mark: object) -> Check:
    match mark:
        case Bounds():
            return bounded(check, mark)
        case StringForm():
            return lambda value, folder: _in_form(check(value, folder), mark)
        case Before():
            return lambda value, folder: check(mark.read(value), folder)
        case After():
            return lambda value, folder: mark.check(check(value, folder))
        case AfterInFolder():
            return lambda value, folder: mark.check(check(value, folder), folder)
    return check  # a unit, for the manual


def _in_form(text: str, form: StringForm) -> str:
    if form.strip_whitespace:
        text = text.strip()
    if form.max_length is not None and len(text) > form.max_length:
        raise Invalid("string_too_long", f"more than {form.max_length} characters", max_length=form.max_length)
    if form.pattern and re.fullmatch(form.pattern, text) is None:
        raise Invalid("string_pattern_mismatch", "not of the form of this setting")
    return text.lower() if form.to_lower else text


def _choice(choices: tuple[str, ...]) -> Check:
    *others, last = map(repr, choices)
    expected = f"{', '.join(others)} or {last}" if others else last

    def check(value: object, _folder: Path | None) -> object:
        if not isinstance(value, str) or value not in choices:
            raise Invalid("literal_error", f"not one of {expected}", expected=expected)
        return value

    return check


def _optional(check: Check) -> Check:
    return lambda value, folder: None if value is None else check(value, folder)


def _items(check: Check) -> Check:
    def all_of(value: object, folder: Path | None) -> tuple[object, ...]:
        if not isinstance(value, list | tuple):
            raise Invalid("tuple_type", "not a list")
        found: list[object] = []
        faults: list[Fault] = []
        for number, item in enumerate(value):
            try:
                found.append(check(item, folder))
            except (Invalid, InvalidSettings) as error:
                faults += faults_of(error, number, item)
        if faults:
            raise InvalidSettings(faults)
        return tuple(found)

    return all_of


# ------------------------------------------------------------ values without parts

_WHOLE = re.compile(r"[+-]?\d+(?:_\d+)*(?:\.0+)?", re.ASCII)
_MOST_DIGITS = 300
"""Far more than any bound has; Python refuses to read thousands."""
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d\d:\d\d.*", re.ASCII)
_SWITCHES = {
    **dict.fromkeys(("1", "on", "t", "true", "y", "yes"), True),
    **dict.fromkeys(("0", "off", "f", "false", "n", "no"), False),
}


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    found = _SWITCHES.get(value.lower()) if isinstance(value, str) else None
    if found is None and isinstance(value, int | float) and value in (0, 1):
        found = bool(value)
    if found is None:
        raise Invalid("bool_type", "neither true nor false")
    return found


def _int(value: object) -> int:
    if isinstance(value, int):
        return int(value)  # also of true and false
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) <= _MOST_DIGITS and _WHOLE.fullmatch(value.strip()) is not None:
        return int(value.strip().partition(".")[0])
    raise Invalid("int_type", "not a whole number")


def _float(value: object) -> float:
    try:
        found = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if math.isnan(found):
        raise Invalid("float_type", "not a number")
    return found


def _str(value: object) -> str:
    if not isinstance(value, str):
        raise Invalid("string_type", "not a string")
    return value


def _date(value: object) -> date:
    if isinstance(value, datetime):
        if value.time() != time():
            raise Invalid("date_type", "not a date, but an instant")
        return value.date()
    if isinstance(value, date):
        return value
    if isinstance(value, str) and _DAY.fullmatch(value) is not None:
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise Invalid("date_type", "no day of the calendar") from error
    raise Invalid("date_type", "not a date")


def _time(value: object) -> time:
    if isinstance(value, time):
        return value
    if isinstance(value, str) and _TIME.fullmatch(value) is not None:
        try:
            return time.fromisoformat(value)
        except ValueError as error:
            raise Invalid("time_type", "no time of the day") from error
    raise Invalid("time_type", "not a time of day")


def _path(value: object) -> Path:
    if not isinstance(value, str | Path):
        raise Invalid("path_type", "not a path")
    return Path(value)


_SCALARS: Mapping[Any, Callable[[object], Any]] = {
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    date: _date,
    time: _time,
    Path: _path,
}
