"""The commented TOML file of a configuration, and the manual of all settings.

`write(config, language)` returns a file that `load` reads back as the same configuration: every setting with its meaning, unit
and clause above it. Settings with their default are commented out, so that the file shows what was decided here and what was
not. `reference(language)` yields the rows of the manual. Both are made from the fields (`schema.setting`) alone.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Literal, get_args, get_origin

from mic_mail.config.load import settings
from mic_mail.config.model import Config
from mic_mail.config.schema import REQUIRED, Field, Section, SettingDoc, doc_of, unit_of
from mic_mail.config.units import Unit, show_octets, show_seconds
from mic_mail.config.validation import Bounds
from mic_mail.errors import Text
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.language import Language, in_language

_HEADS = {
    Language.VI: "# Cấu hình mic-mail. Dòng bắt đầu bằng # là giá trị mặc định; bỏ dấu # để đổi.\n"
    "# Kiểm tra bằng `mic-mail config check`; nạp lại khi đang chạy bằng tín hiệu SIGHUP.\n",
    Language.EN: "# Configuration of mic-mail. A line that begins with # shows a default; remove the # to change it.\n"
    "# Check it with `mic-mail config check`; a running server takes it over at SIGHUP.\n",
}
_RESTART = {Language.VI: "cần khởi động lại", Language.EN: "needs a restart"}
_NOT_SET = {Language.VI: "không đặt", Language.EN: "not set"}


@dataclass(frozen=True, slots=True)
class ManualRow:
    """One row of the manual."""

    key: str
    meaning: str
    unit: str
    default: str
    bounds: str
    clause: str | None
    reload: bool


def units() -> dict[str, Text]:
    """Return the names of all units in use, by the English one."""
    return {setting.unit.en: Text(setting.unit.vi, setting.unit.en) for setting in settings() if setting.unit}


def value(content: object, unit: Unit | None = None) -> str:
    if unit == Unit.OCTETS and isinstance(content, int):
        return json.dumps(show_octets(content))
    if unit == Unit.SECONDS and isinstance(content, int | float):
        return json.dumps(show_seconds(content))
    if isinstance(content, bool):
        return "true" if content else "false"
    if isinstance(content, int | float):
        return repr(content)
    if isinstance(content, date | time):
        return content.isoformat()
    if isinstance(content, str | Path):
        return json.dumps(str(content), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(content, tuple | list):
        return f"[{', '.join(value(item) for item in content)}]"
    if isinstance(content, Section):
        return f"{{ {', '.join(f'{name} = {value(getattr(content, name))}' for name in type(content).model_fields)} }}"
    raise TypeError(type(content))


def reference(language: Language = Language.EN) -> Iterator[ManualRow]:
    """Yield the rows of the manual, in the order of the tree."""
    for setting in settings():
        default = _NOT_SET[language] if setting.default in (None, REQUIRED) else value(setting.default, setting.unit)
        yield ManualRow(
            setting.key,
            _in(language, setting.about),
            setting.unit.en if setting.unit else "",
            default,
            " ".join(_bounds(setting.bounds, setting.annotation, setting.unit)),
            setting.about.clause,
            setting.about.reload,
        )


def _bounds(bounds: list[Bounds], annotation: object, unit: Unit | None) -> Iterator[str]:
    """Yield the bounds of a value, in signs that need no translation."""
    if get_origin(annotation) is Literal:
        yield " | ".join(value(choice) for choice in get_args(annotation))
    for each in bounds:
        if each.ge is not None:
            yield f">= {value(each.ge, unit)}"
        if each.le is not None:
            yield f"<= {value(each.le, unit)}"
        if each.min_length is not None:
            yield f"n >= {each.min_length}"
        if each.max_length is not None:
            yield f"n <= {each.max_length}"


def write(config: Config, language: Language = Language.EN) -> str:
    return _HEADS[language] + "".join(_table(config, "", language))


def _table(section: Section, prefix: str, language: Language) -> Iterator[str]:
    inner = []
    for name, info in type(section).model_fields.items():
        content = getattr(section, name)
        if isinstance(content, Section):
            inner.append((name, content))
            continue
        unit = unit_of(info)
        yield _comment(doc_of(info), unit, language)
        if content is None:
            yield f"# {name} = ...\n"
        else:
            yield f"{_hash(content, info)}{name} = {value(content, unit)}\n"
    for name, content in inner:
        heading = content.vi if language is Language.VI else type(content).__doc__
        yield f"\n# {'=' * 20} {heading}\n[{prefix}{name}]\n"
        yield from _table(content, f"{prefix}{name}.", language)


def _comment(about: SettingDoc, unit: Unit | None, language: Language) -> str:
    remarks = [_in(language, unit)] if unit else []
    if about.clause:
        remarks.append(in_language(clause(about.clause), language))
    if not about.reload:
        remarks.append(_RESTART[language])
    remark = f" ({', '.join(remarks)})" if remarks else ""
    return f"\n# {_in(language, about)}{remark}\n"


def _in(language: Language, entry: SettingDoc | Unit) -> str:
    return entry.vi if language is Language.VI else entry.en


def _hash(content: object, info: Field) -> str:
    """Return the comment sign of a line that only shows a default."""
    return "# " if not info.is_required and content == info.default else ""
