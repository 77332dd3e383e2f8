"""Values of settings by their types: what is taken as people write it, and which code each fault has."""

import re
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest

from mic_mail.config import load, schema, units
from mic_mail.config.model import Config
from mic_mail.config.schema import Section, rule, setting
from mic_mail.config.validation import After, AfterInFolder, Before, Bounds, Invalid, InvalidSettings, StringForm, check_of

SOURCES = Path(schema.__file__).parent


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (bool, True, True),
        (bool, "on", True),
        (bool, "NO", False),
        (bool, 0, False),
        (int, 7, 7),
        (int, 7.0, 7),
        (int, " -7 ", -7),
        (int, "1_000", 1000),
        (int, "7.00", 7),
        (float, 7, 7.0),
        (float, "1e3", 1000.0),
        (str, "", ""),
        (date, date(2016, 3, 31), date(2016, 3, 31)),
        (date, datetime(2016, 3, 31), date(2016, 3, 31)),
        (date, "2016-03-31", date(2016, 3, 31)),
        (time, "07:30", time(7, 30)),
        (time, time(7, 30), time(7, 30)),
        (Path, "a/b", Path("a/b")),
        (Literal["a", "b"], "b", "b"),
        (int | None, None, None),
        (int | None, "7", 7),
        (tuple[int, ...], ["7", 8], (7, 8)),
        (Annotated[int, Bounds(ge=1)], 1, 1),
        (Annotated[str, StringForm(strip_whitespace=True, to_lower=True, pattern="[A-Z]+", max_length=2)], " AB ", "ab"),
        (Annotated[int, Before(len), After(abs)], "abc", 3),
        (Annotated[Path, AfterInFolder(lambda path, folder: folder / path)], "a", Path("/etc/a")),
    ],
)
def test_it_is_taken(kind: Any, given: object, value: object) -> None:
    """As TOML has it, or as a text."""
    found = check_of(kind)(given, Path("/etc"))
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "given", "code"),
    [
        *[(bool, given, "bool_type") for given in ("", "maybe", 2, None, [])],
        *[(int, given, "int_type") for given in ("", "x", "7.5", 7.5, float("nan"), float("inf"), "٣", "1" * 999, None)],
        *[(float, given, "float_type") for given in ("", "x", float("nan"), "nan", 10**400, None)],
        *[(str, given, "string_type") for given in (7, None, b"")],
        *[(date, given, "date_type") for given in (0, "31/3/2016", "2016-02-31", datetime(2016, 3, 31, 1), None)],
        *[(time, given, "time_type") for given in (0, "0730", "25:00", None)],
        (Path, 7, "path_type"),
        (Literal["a"], "b", "literal_error"),
        (Literal["a"], [], "literal_error"),
        (tuple[int, ...], "7", "tuple_type"),
        (Annotated[tuple[int, ...], Bounds(min_length=1)], [], "too_short"),
        (Annotated[tuple[int, ...], Bounds(max_length=1)], [1, 2], "too_many"),
        (Annotated[float, Bounds(ge=1)], 0.5, "greater_than_equal"),
        (Annotated[int, Bounds(le=1)], 2, "less_than_equal"),
        (Annotated[str, StringForm(max_length=1)], "ab", "string_too_long"),
        (Annotated[str, StringForm(pattern="^a$")], "a\n", "string_pattern_mismatch"),
        (schema.DomainName, "a.b\n", "string_pattern_mismatch"),
        (units.LocalTime, "07:30Z", "time_type"),
    ],
)
def test_it_is_refused(kind: Any, given: object, code: str) -> None:
    """With the code for which `load` has words."""
    with pytest.raises(Invalid) as refusal:
        check_of(kind)(given, None)
    assert refusal.value.code == code


def test_what_is_no_type_of_a_setting_is_a_defect() -> None:
    """Found when the first value is read, not a value that passes unchecked."""
    for kind in (bytes, list[int], dict[str, int], int | str, tuple[int, int], object):
        with pytest.raises(TypeError, match="no type of a setting"):
            check_of(kind)


def test_every_fault_has_words() -> None:
    """No code is raised that `load` cannot translate."""
    sources = "".join(path.read_text() for path in SOURCES.glob("*.py"))
    raised = set(re.findall(r'Invalid\(\s*"(\w+)"', sources)) | set(re.findall(r'Fault\(\(name,\), "(\w+)"', sources))
    assert len(raised) > 25
    assert raised | {"octets", "seconds"} <= load._WORDS.keys()


def defaults(section: type[Section]) -> list[tuple[schema.Field, Any]]:
    found = []
    for field in section.model_fields.values():
        if isinstance(field.default, Section):
            found += defaults(type(field.default))
        elif not field.is_required:
            found.append((field, field.default))
    return found


def test_a_default_is_valid_as_it_is() -> None:
    """Defaults are not checked when a file is read."""
    found = defaults(Config)
    assert len(found) > 150
    assert [default for field, default in found if field.validated(default, None) != default] == []


class Inner(Section):
    """A table."""

    vi: ClassVar[str] = "Bảng."

    number: int = setting(..., ge=1).means("Số.", "Number.")


class Outer(Section):
    """A table around it."""

    vi: ClassVar[str] = "Bảng ngoài."

    low: int = setting(1, le=9).means("Thấp.", "Low.")
    high: int = setting(5).means("Cao.", "High.")
    inner: tuple[Inner, ...] = setting(()).means("Trong.", "Inner.")

    @staticmethod
    @rule("high")
    def _above(high: int, before: dict[str, Any]) -> int:
        if high < before.get("low", 0):
            raise Invalid("window", "below low")
        return high


def test_all_faults_are_told_with_their_places() -> None:
    """Of tables in lists, of names that are unknown or missing, of rules; a rule sees valid settings only."""
    with pytest.raises(InvalidSettings) as refusal:
        Outer.model_validate({"low": 10, "high": 2, "inner": [{"number": 0}, {}, 3, {"number": 1, "x": 2}], "y": 1})
    assert [(fault.place, fault.code, fault.given) for fault in refusal.value.faults] == [
        (("low",), "less_than_equal", 10),
        (("inner", 0, "number"), "greater_than_equal", 0),
        (("inner", 1, "number"), "missing", {}),
        (("inner", 2), "model_type", 3),
        (("inner", 3, "x"), "extra_forbidden", 2),
        (("y",), "extra_forbidden", 1),
    ]


def test_a_rule_holds_for_a_default() -> None:
    """The default of one setting may not fit to another one that is set."""
    with pytest.raises(InvalidSettings) as refusal:
        Outer(low=6)
    assert [(fault.place, fault.code, fault.given) for fault in refusal.value.faults] == [(("high",), "window", 5)]


def test_a_section_is_a_frozen_value() -> None:
    """Equal where its settings are; copies and JSON have all of them; nothing changes it."""
    one, other = Outer(inner=[Inner(number=1)]), Outer.model_validate({"inner": [{"number": "1"}]})
    assert one == other
    assert hash(one) == hash(other)
    assert one != one.model_copy(update={"low": 0})
    assert one != Config()
    assert Outer.model_validate(one.model_dump()) == one
    assert Config.model_validate_json(Config().model_dump_json()) == Config()
    with pytest.raises(AttributeError, match="Outer is frozen"):
        one.low = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="Outer is frozen"):
        del one.low
    assert repr(Inner(number=1)) == "Inner(number=1)"
    assert not hasattr(Outer, "low")
