"""Codes with their names in both languages, so that no table of names can lack one."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

from mic_mail.errors import Text


class LabelledEnum(StrEnum):
    """Codes of which each has a label: `NAME = "code", "Vietnamese", "English"`."""

    label: Text

    def __new__(cls, code: str, vi: str = "", en: str = "") -> Self:
        """Make a member; only its code is given where an existing one is looked up."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.label = Text(vi, en)
        return member


def labels(codes: type[LabelledEnum]) -> Mapping[str, Text]:
    """Return the labels of all codes, by code."""
    return {code.value: code.label for code in codes}
