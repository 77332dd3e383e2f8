"""The base of every configuration table: frozen, strict about names and types, self-documenting.

Each field is `name: TYPE = setting(DEFAULT, clause=..., BOUNDS, unit=..., reload=...).means(VIETNAMESE, ENGLISH)`: all that is
known about a setting is in that one place. The clause is that of the regulation which bounds it; `reload` says whether a
running server applies a new value at SIGHUP. `doc_of` and `unit_of` read them back.
"""

import ipaddress
import itertools
import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from mic_mail.config.units import Unit

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"  # RFC 1123 §2.1


@dataclass(frozen=True, slots=True)
class SettingDoc:
    """The manual's entry for one field, as `errors.Text` is, but `en` may hold letters beyond ASCII (`§`)."""

    vi: str
    en: str
    clause: str | None = None
    reload: bool = True  # False: a new value needs a restart, and the log names it at SIGHUP


@dataclass(frozen=True, slots=True)
class UnexplainedSetting:
    """A setting without its text."""

    field: FieldInfo
    clause: str | None
    reload: bool

    def means(self, vi: str, en: str) -> Any:
        self.field.metadata.append(SettingDoc(vi, en, self.clause, self.reload))
        return self.field


def setting(
    default: object, *, clause: str | None = None, unit: Unit | None = None, reload: bool = True, **bounds: Any
) -> UnexplainedSetting:
    """Begin a setting; the default `...` means that it has none, `bounds` are those of pydantic's `Field`."""
    field = Field(default, **bounds)
    field.metadata += [unit] if unit else []
    return UnexplainedSetting(field, clause, reload)


def doc_of(field: FieldInfo) -> SettingDoc:
    """Return the entry of a field that is no table."""
    return next(item for item in field.metadata if isinstance(item, SettingDoc))


def unit_of(field: FieldInfo) -> Unit | None:
    """Return the unit of a field, written on its type or on a part of it (Optional, items of a tuple)."""
    inner = (item for kind in get_args(field.annotation) for item in getattr(kind, "__metadata__", ()))
    return next((item for item in itertools.chain(field.metadata, inner) if isinstance(item, Unit)), None)


class Section(BaseModel):
    """A table of the file; the docstring is its heading in English, and `vi` the one in Vietnamese."""

    vi: ClassVar[str]
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


DomainName = Annotated[
    str,
    StringConstraints(to_lower=True, max_length=253, pattern=rf"^(?:{_LABEL}\.)*{_LABEL}$"),
]


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError as error:
        raise PydanticCustomError("network", "not a network") from error


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise PydanticCustomError("address", "not an address") from error


def _distinct(items: tuple[object, ...]) -> tuple[object, ...]:
    for number, item in enumerate(items):
        if item in items[:number]:
            raise PydanticCustomError("duplicate", "twice", {"item": str(item)})
    return items


def _rising(numbers: tuple[int, ...]) -> tuple[int, ...]:
    if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
        raise PydanticCustomError("rising", "does not increase")
    return numbers


Distinct = AfterValidator(_distinct)
"""Rejects a list that contains an item twice."""
Rising = AfterValidator(_rising)
"""Rejects a list of numbers that is not strictly rising."""
MailboxName = Annotated[
    str,
    StringConstraints(
        to_lower=True,
        max_length=254,
        pattern=rf"^[A-Za-z0-9](?:[A-Za-z0-9._+-]*[A-Za-z0-9])?(?:@(?:{_LABEL}\.)*{_LABEL})?$",
    ),
]
PageName = Annotated[str, StringConstraints(max_length=200, pattern=r"^https?://[!-~]+$")]
NetworkName = Annotated[str, AfterValidator(_network)]
AddressName = Annotated[str, AfterValidator(_address)]


def _nameserver(text: str) -> str:
    """Check a name server: `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1`, `[2001:db8::1]:5353`."""
    found = _NAMESERVER.fullmatch(text)
    try:
        if found is None or not 0 < int(found["port"] or found["port_of_six"] or 53) < 65_536:
            raise ValueError
        ipaddress.ip_address(found["four"] or found["six"] or found["bare"])
    except ValueError:
        raise PydanticCustomError("nameserver", "not a name server") from None
    return text


_NAMESERVER = re.compile(
    r"(?P<four>[0-9.]+)(?::(?P<port>[0-9]{1,5}))?"
    r"|\[(?P<six>[0-9A-Fa-f:.]+)\](?::(?P<port_of_six>[0-9]{1,5}))?"
    r"|(?P<bare>[0-9A-Fa-f:.]+)"
)
NameserverName = Annotated[str, AfterValidator(_nameserver)]


def _scanner(text: str) -> str:
    found = _SCANNER.fullmatch(text)
    if text and (found is None or not 0 < int(found["port"] or 1) < 65_536):
        raise PydanticCustomError("scanner", "not a scanner")
    return text


_SCANNER = re.compile(r"unix:/[^\0]+|tcp://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
ScannerName = Annotated[str, StringConstraints(max_length=300), AfterValidator(_scanner)]


def _collector(text: str) -> str:
    unix = text.startswith("unix:/") and "\0" not in text
    found = _COLLECTOR.fullmatch(text)
    if not unix and (found is None or not 0 < int(found["port"] or 1) < 65_536):
        raise PydanticCustomError("collector", "not a collector")
    return text


_COLLECTOR = re.compile(r"(?:udp|tcp|tls)://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
CollectorName = Annotated[str, StringConstraints(max_length=300), AfterValidator(_collector)]


def _smarthost(text: str) -> str:
    found = _SMARTHOST.fullmatch(text)
    if text and (found is None or not 0 < int(found["port"] or 587) < 65_536):
        raise PydanticCustomError("smarthost", "not a server and a port")
    if found is not None and found["six"]:
        try:
            ipaddress.IPv6Address(found["six"])
        except ValueError:
            raise PydanticCustomError("smarthost", "not a server and a port") from None
    return text.lower()


_SMARTHOST = re.compile(rf"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>(?:{_LABEL}\.)*{_LABEL}))(?::(?P<port>[0-9]{{1,5}}))?")
SmarthostName = Annotated[str, StringConstraints(max_length=300), AfterValidator(_smarthost)]


def smarthost_place(text: str) -> tuple[str, int]:
    """Return host and port of a valid `SmarthostName`: `relay.example`, `relay.example:587`."""
    found = _SMARTHOST.fullmatch(text)
    assert found is not None, "it was looked at"
    return found["six"] or found["name"], int(found["port"] or 587)
