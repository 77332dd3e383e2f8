"""The map of positions: known ones have a rank, others are asked for."""

import pytest

from mic_mail.policy.facts import Level
from mic_mail.policy.ranks import level_of


@pytest.mark.parametrize(
    ("position", "level"),
    [
        ("Vụ trưởng", Level.DEPARTMENT),
        ("phó vụ trưởng  Vụ Công nghệ thông tin", Level.DEPARTMENT),
        ("Quyền Cục trưởng Cục Viễn thông", Level.DEPARTMENT),
        ("Chánh Văn phòng Bộ", Level.DEPARTMENT),
        ("Thứ trưởng", Level.DEPARTMENT),
        ("Trưởng phòng Hành chính", Level.DIVISION),
        ("Phó Trưởng phòng", Level.DIVISION),
        ("Chuyên viên cao cấp", Level.DIVISION),
        ("Chánh Văn phòng", None),
        ("Chánh Văn phòng Cục Viễn thông", None),
        ("Giám đốc", None),
        ("Trưởng phòngX", None),
        ("Thư ký Vụ trưởng", None),
        ("", None),
    ],
)
def test_positions(position, level):
    """A title decides only where the map is sure of it."""
    assert level_of(position) is level


def test_further_positions():
    """What the map does not know can be added, whole and in any case."""
    assert level_of("giám đốc", {"Giám đốc": Level.DEPARTMENT}) is Level.DEPARTMENT
