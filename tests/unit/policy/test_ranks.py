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


def test_what_the_centre_has_entered_comes_first():
    """A title covers what begins with it, a longer one counts before a shorter, and one that is not known is asked for."""
    table = {"giám đốc": Level.DEPARTMENT, "giám đốc trung tâm": Level.DIVISION, "vụ trưởng": None}
    assert level_of("Giám đốc Sở", table) is Level.DEPARTMENT
    assert level_of("GIÁM ĐỐC  Trung tâm, Bộ", table) is Level.DIVISION
    assert level_of("Phụ trách Giám đốc Trung tâm", table) is Level.DIVISION
    assert level_of("Vụ trưởng", table) is None
    assert level_of("Phó Vụ trưởng", table) is Level.DEPARTMENT
