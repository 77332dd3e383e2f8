"""Markings as fields: `Độ mật: Tối mật` and variants, in a line, in two cells, over two lines."""

import re
from itertools import pairwise

from mic_mail.policy.secrecy.degrees import (
    ANY_DEGREE,
    BARE,
    CELLS,
    DEGREE,
    LABEL,
    ORDINARY_AFTER,
    Degree,
    degree_in,
    degree_of,
    is_capital,
)
from mic_mail.policy.secrecy.tails import is_value_over

_CAPITAL_LABEL = r"(?:phân loại(?: tài liệu)?|tài liệu|văn bản|tính chất|chế độ|dấu|mức|loại|classification|security level)"

_SEPARATED = r"(?:\s*+(?:[:：=–\-]|là\s*+:|\.{2,})|[^\S\t]*+\t)\s*+"
"""A tab separates; beside another separator it counts as a blank, so that a run is read in one way."""
_FIELD = re.compile(
    rf"(?:^\s*(?:\(?\w{{1,3}}[.)]\s*)?|[,;(\[|–\-]\s*){LABEL}(?:\s*\([^()]{{0,60}}\))?{_SEPARATED}[\[(“\"']*(?P<value>{DEGREE}|{BARE})",
    re.IGNORECASE,
)
_CAPITAL_FIELD = re.compile(rf"^{_CAPITAL_LABEL}(?:\s*+[:：=]|[^\S\t]*+\t)\s*+[\[(“\"']*{DEGREE}[\s\])”\"'.]*$", re.IGNORECASE)
_LABEL_ALONE = re.compile(rf"{LABEL}\s*[:：]?", re.IGNORECASE)
_VALUE_ALONE = re.compile(rf"[\[(“\"]*(?:{DEGREE}|{BARE})[\])”\"]*", re.IGNORECASE)
_TICKED = re.compile(rf"(?:[☒☑✓✔🗹]|\[\s?[xX]\s?\]|\(\s?[xX]\s?\))\s*{DEGREE}", re.IGNORECASE)


def field_in(line: str) -> Degree | None:
    ticked = {degree_in(match) for match in _TICKED.finditer(line)}
    if len(ticked) == 1:
        return ticked.pop()
    field = _FIELD.search(line)
    if field is not None:
        rest = line[field.end() :]
        several = ANY_DEGREE.search(rest) and not re.match(rf"[\s\])”\"'.]*[,;|(]\s*(?!{DEGREE})", rest, re.IGNORECASE)
        if several or not is_value_over(rest) or ORDINARY_AFTER.match(rest) or _is_template(rest):
            return None
        return degree_of(field["value"])
    capital = _CAPITAL_FIELD.match(line.strip())
    return degree_in(capital) if capital is not None and is_capital(capital) else None


_TEMPLATE = re.compile(rf"[\s\])”\"'.]*[/,|(–\-]\s*(?:hoặc\s*)?(?:{DEGREE}|thường|không)", re.IGNORECASE)


def _is_template(rest: str) -> bool:
    """Return whether it is an empty form's `Độ mật: Mật/Tối mật/Tuyệt mật`."""
    return _TEMPLATE.match(rest) is not None


def field_over_lines(lines: list[str], number: int) -> Degree | None:
    """Return the degree of a label in one cell or line with the degree alone in the next.

    None if another degree follows, which makes a list.
    """
    cells = [cell.strip() for cell in CELLS.split(lines[number]) if cell.strip()]
    for label, value in pairwise(cells):
        if _LABEL_ALONE.fullmatch(label) and _VALUE_ALONE.fullmatch(value):
            others = [cell for cell in cells if _VALUE_ALONE.fullmatch(cell)]
            return degree_of(value) if len(others) == 1 else None
    if number + 1 < len(lines) and len(cells) == 1 and _LABEL_ALONE.fullmatch(cells[0]):
        value = lines[number + 1].strip()
        after = lines[number + 2].strip() if number + 2 < len(lines) else ""
        if _VALUE_ALONE.fullmatch(value) and not _VALUE_ALONE.fullmatch(after):
            return degree_of(value)
    return None
