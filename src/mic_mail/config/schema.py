"""The base of every configuration table: frozen, strict about names and types, self-documenting.

Each field is `name: TYPE = setting(DEFAULT, clause=..., BOUNDS, unit=..., reload=...).means(VIETNAMESE, ENGLISH)`: all that is
known about a setting is in that one place. The clause is that of the regulation which bounds it; `reload` says whether a
running server applies a new value at SIGHUP. `doc_of` and `unit_of` read them back. `validation` has the types.

Public names of a `Section` begin with `model_`, as no setting does.
"""

import ipaddress
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Never, Self, TypeVar, dataclass_transform, get_args

from mic_mail.config.units import Unit
from mic_mail.config.validation import (
    After,
    Bounds,
    Check,
    Fault,
    Invalid,
    InvalidSettings,
    StringForm,
    Table,
    bounded,
    check_of,
    faults_of,
)

F = TypeVar("F", bound=Callable[..., Any])

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"  # RFC 1123 §2.1
REQUIRED: Any = ...
"""Stands for the default of a setting that has none."""


@dataclass(frozen=True, slots=True)
class SettingDoc:
    """The manual's entry for one field, as `errors.Text` is, but `en` may hold letters beyond ASCII (`§`)."""

    vi: str
    en: str
    clause: str | None = None
    reload: bool = True  # False: a new value needs a restart, and the log names it at SIGHUP


class Field:
    """One setting of a table."""

    __slots__ = ("_check", "_own_bounds", "_unit", "about", "annotation", "clause", "default", "marks", "reload")

    annotation: Any
    """The type, without the marks around it."""
    marks: tuple[object, ...]
    """The marks around the type."""

    def __init__(
        self, default: object, bounds: Bounds, *, clause: str | None = None, unit: Unit | None = None, reload: bool = True
    ) -> None:
        self.default = default
        self.clause = clause
        self.reload = reload
        self.about: SettingDoc | None = None
        self._unit = unit
        self._own_bounds = bounds
        self._check: Check | None = None

    def means(self, vi: str, en: str) -> Any:
        """Give the setting its text; returns the field."""
        self.about = SettingDoc(vi, en, self.clause, self.reload)
        return self

    def take_type(self, annotation: Any) -> None:
        """Give the setting the type of its annotation."""
        self.marks = getattr(annotation, "__metadata__", ())
        self.annotation = annotation.__origin__ if self.marks else annotation

    @property
    def is_required(self) -> bool:
        return self.default is REQUIRED

    @property
    def bounds(self) -> list[Bounds]:
        """The bounds of a number, or of the length of a list: those of its type, and its own."""
        return [*(mark for mark in self.marks if isinstance(mark, Bounds)), self._own_bounds]

    @property
    def units(self) -> Iterable[Unit]:
        """The units of the setting, and of its items."""
        inner = (mark for kind in get_args(self.annotation) for mark in getattr(kind, "__metadata__", ()))
        return (mark for mark in itertools.chain(self.marks, (self._unit,), inner) if isinstance(mark, Unit))

    def validated(self, value: object, folder: Path | None) -> Any:
        """Return a value as this setting has it; raises `Invalid` or `InvalidSettings`."""
        if self._check is None:  # made for the settings of a file only: hundreds of others keep their defaults
            kind = Annotated[self.annotation, *self.marks] if self.marks else self.annotation
            self._check = bounded(check_of(kind), self._own_bounds)
        return self._check(value, folder)


def setting(
    default: object,
    *,
    clause: str | None = None,
    unit: Unit | None = None,
    reload: bool = True,
    ge: float | None = None,
    le: float | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
) -> Field:
    """Begin a setting; the default `...` means that it has none. `means` has to follow."""
    return Field(default, Bounds(ge, le, min_length, max_length), clause=clause, unit=unit, reload=reload)


def doc_of(field: Field) -> SettingDoc:
    """Return the entry of a field that is no table."""
    assert field.about is not None, "each setting has its text"
    return field.about


def unit_of(field: Field) -> Unit | None:
    """Return the unit of a field, written on its type or on a part of it (Optional, items of a tuple)."""
    return next(iter(field.units), None)


Rule = Callable[[Any, Mapping[str, Any]], Any]


def rule(*names: str) -> Callable[[F], F]:
    """Mark a static method of a section as a rule for the settings of these names.

    It gets a value, also a default, and the valid settings before it in the table; it returns the value or raises `Invalid`.
    """

    def mark(function: F) -> F:
        function.__dict__["rules_of"] = names
        return function

    return mark


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(setting,))
class Section(Table):
    """A table of the file; the docstring is its heading in English, and `vi` the one in Vietnamese."""

    vi: ClassVar[str]
    model_fields: ClassVar[Mapping[str, Field]]
    _rules: ClassVar[Mapping[str, tuple[Rule, ...]]]

    def __init_subclass__(cls) -> None:
        fields: dict[str, Field] = {}
        for name, annotation in cls.__annotations__.items():
            if name != "vi":
                default = cls.__dict__[name]
                fields[name] = default if isinstance(default, Field) else Field(default, Bounds())
                fields[name].take_type(annotation)
                delattr(cls, name)  # a default is no attribute of the class
        cls.model_fields = fields
        rules: dict[str, tuple[Rule, ...]] = {}
        for member in vars(cls).values():
            if isinstance(member, staticmethod):
                for name in getattr(member.__func__, "rules_of", ()):
                    rules[name] = (*rules.get(name, ()), member.__func__)
        cls._rules = rules

    def __init__(self, **given: object) -> None:
        vars(self).update(self._validated(given, None))

    @classmethod
    def model_validate(cls, given: object, *, folder: Path | None = None) -> Self:
        """Return the section with the given settings, or raise `Invalid` or `InvalidSettings`."""
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            raise Invalid("model_type", "not a table")
        made = cls.__new__(cls)
        vars(made).update(cls._validated(given, folder))
        return made

    @classmethod
    def model_validate_json(cls, text: str) -> Self:
        """Return what `model_dump_json` has written."""
        return cls.model_validate(json.loads(text))

    def model_dump(self) -> dict[str, Any]:
        """Return the settings as `model_validate` takes them, tables as dictionaries."""
        return {name: _dumped(getattr(self, name)) for name in self.model_fields}

    def model_dump_json(self) -> str:
        return json.dumps(self.model_dump(), ensure_ascii=False, default=str)

    def model_copy(self, *, update: Mapping[str, object]) -> Self:
        """Return a copy with other values, which are not checked."""
        made = type(self).__new__(type(self))
        vars(made).update(vars(self), **update)
        return made

    @classmethod
    def _validated(cls, given: Mapping[str, object], folder: Path | None) -> dict[str, object]:
        """Return the value of every setting, or raise `InvalidSettings`."""
        values: dict[str, object] = {}
        faults: list[Fault] = []
        for name, field in cls.model_fields.items():
            value = given.get(name, _ABSENT)
            if value is _ABSENT and field.is_required:
                faults.append(Fault((name,), "missing", given, "missing", {}))
                continue
            try:
                found = field.default if value is _ABSENT else field.validated(value, folder)
                for look in cls._rules.get(name, ()):
                    found = look(found, values)
                values[name] = found
            except (Invalid, InvalidSettings) as error:
                faults += faults_of(error, name, field.default if value is _ABSENT else value)
        faults += (
            Fault((name,), "extra_forbidden", value, "no such setting", {})
            for name, value in given.items()
            if name not in cls.model_fields
        )
        if faults:
            raise InvalidSettings(faults)
        return values

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(self) is type(other) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


_ABSENT = object()


def _dumped(value: object) -> object:
    if isinstance(value, Section):
        return value.model_dump()
    return tuple(map(_dumped, value)) if isinstance(value, tuple) else value


DomainName = Annotated[
    str,
    StringForm(to_lower=True, max_length=253, pattern=rf"^(?:{_LABEL}\.)*{_LABEL}$"),
]


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError as error:
        raise Invalid("network", "not a network") from error


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise Invalid("address", "not an address") from error


def _distinct(items: tuple[object, ...]) -> tuple[object, ...]:
    for number, item in enumerate(items):
        if item in items[:number]:
            raise Invalid("duplicate", "twice", item=str(item))
    return items


def _rising(numbers: tuple[int, ...]) -> tuple[int, ...]:
    if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
        raise Invalid("rising", "does not increase")
    return numbers


Distinct = After(_distinct)
"""Rejects a list that contains an item twice."""
Rising = After(_rising)
"""Rejects a list of numbers that is not strictly rising."""
MailboxName = Annotated[
    str,
    StringForm(
        to_lower=True,
        max_length=254,
        pattern=rf"^[A-Za-z0-9](?:[A-Za-z0-9._+-]*[A-Za-z0-9])?(?:@(?:{_LABEL}\.)*{_LABEL})?$",
    ),
]
PageName = Annotated[str, StringForm(max_length=200, pattern=r"^https?://[!-~]+$")]
NetworkName = Annotated[str, After(_network)]
AddressName = Annotated[str, After(_address)]


def _nameserver(text: str) -> str:
    """Check a name server: `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1`, `[2001:db8::1]:5353`."""
    found = _NAMESERVER.fullmatch(text)
    try:
        if found is None or not 0 < int(found["port"] or found["port_of_six"] or 53) < 65_536:
            raise ValueError
        ipaddress.ip_address(found["four"] or found["six"] or found["bare"])
    except ValueError:
        raise Invalid("nameserver", "not a name server") from None
    return text


_NAMESERVER = re.compile(
    r"(?P<four>[0-9.]+)(?::(?P<port>[0-9]{1,5}))?"
    r"|\[(?P<six>[0-9A-Fa-f:.]+)\](?::(?P<port_of_six>[0-9]{1,5}))?"
    r"|(?P<bare>[0-9A-Fa-f:.]+)"
)
NameserverName = Annotated[str, After(_nameserver)]


def _scanner(text: str) -> str:
    found = _SCANNER.fullmatch(text)
    if text and (found is None or not 0 < int(found["port"] or 1) < 65_536):
        raise Invalid("scanner", "not a scanner")
    return text


_SCANNER = re.compile(r"unix:/[^\0]+|tcp://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
ScannerName = Annotated[str, StringForm(max_length=300), After(_scanner)]


def _collector(text: str) -> str:
    unix = text.startswith("unix:/") and "\0" not in text
    found = _COLLECTOR.fullmatch(text)
    if not unix and (found is None or not 0 < int(found["port"] or 1) < 65_536):
        raise Invalid("collector", "not a collector")
    return text


_COLLECTOR = re.compile(r"(?:udp|tcp|tls)://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
CollectorName = Annotated[str, StringForm(max_length=300), After(_collector)]


def _smarthost(text: str) -> str:
    found = _SMARTHOST.fullmatch(text)
    if text and (found is None or not 0 < int(found["port"] or 587) < 65_536):
        raise Invalid("smarthost", "not a server and a port")
    if found is not None and found["six"]:
        try:
            ipaddress.IPv6Address(found["six"])
        except ValueError:
            raise Invalid("smarthost", "not a server and a port") from None
    return text.lower()


_SMARTHOST = re.compile(rf"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>(?:{_LABEL}\.)*{_LABEL}))(?::(?P<port>[0-9]{{1,5}}))?")
SmarthostName = Annotated[str, StringForm(max_length=300), After(_smarthost)]


def smarthost_place(text: str) -> tuple[str, int]:
    """Return host and port of a valid `SmarthostName`: `relay.example`, `relay.example:587`."""
    found = _SMARTHOST.fullmatch(text)
    assert found is not None, "it was looked at"
    return found["six"] or found["name"], int(found["port"] or 587)
