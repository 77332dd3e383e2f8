"""The manual is made from the fields, the written file reads back as the same configuration, and reloads know their limits."""

import re
from pathlib import Path
from typing import get_args

import pytest

from mic_mail.config.diff import changes
from mic_mail.config.load import parse, settings
from mic_mail.config.manual import reference, units, write
from mic_mail.config.model import Config
from mic_mail.config.toml_lines import locate
from mic_mail.config.units import MIB, parse_octets, parse_seconds, show_octets, show_seconds
from mic_mail.i18n.language import Language

PLACE = Path("/etc/mic-mail/mic-mail.toml")


def test_every_setting_has_a_meaning_in_both_languages() -> None:
    """`config reference` has no gap in either language, and each table of the written file has its heading."""
    for language in Language:
        assert [row.key for row in reference(language) if not row.meaning] == []
        headings = re.findall(r"^# =+ ?(.*)$", write(Config(), language), re.MULTILINE)
        assert len(headings) > 40
        assert all(heading.endswith(".") for heading in headings)


def test_every_number_has_a_unit_in_both_languages() -> None:
    """A number without a unit is a gap in the manual and in the written file."""
    rows = {row.key: row for row in reference()}
    numeric = [setting for setting in settings() if _is_number(setting.annotation)]
    assert len(numeric) > 50
    assert [setting.key for setting in numeric if not rows[setting.key].unit] == []
    assert {row.unit for row in rows.values()} - {""} == units().keys()
    assert "(tháng, khoản 2 Điều 8 Quy chế)" in write(Config(), Language.VI)
    assert "(months, Reg. 8.2)" in write(Config(), Language.EN)


def _is_number(annotation: object) -> bool:
    return annotation in (int, float) or any(_is_number(inner) for inner in get_args(annotation))


@pytest.mark.parametrize("language", list(Language))
def test_the_written_file_is_the_configuration(language: Language) -> None:
    """What `init` writes reads back equal, for defaults and for values of every kind that differ."""
    other = parse(
        b"""
        [server]
        domain = "bench.test"
        more_domains = ["a.test", "b.test"]
        data_dir = "/srv/thu \\"vi\\u1ec7t\\""
        [listen]
        smtp = 2025
        [process]
        queue_seconds = "1.5 s"
        [quota]
        default = "3 GiB"
        [auth]
        cleartext = true
        [regulation]
        issued_on = 2016-03-31
        [unit.openings]
        windows = [{start = 08:00:00, end = 09:00:00}, {start = 10:00:00, end = 11:00:00}, {start = 15:00:00, end = 17:00:00}]
        """,
        PLACE,
    )
    for config in (Config(), other):
        assert parse(write(config, language).encode(), PLACE) == config


def test_a_default_is_shown_and_not_set() -> None:
    """A later version may change a default for those who never decided it."""
    text = write(Config())
    assert '\n# domain = "mic.gov.vn"\n' in text
    assert not [line for line in text.splitlines() if line and line[0] not in "#["]


def test_what_a_reload_cannot_take_over_keeps_its_running_value() -> None:
    """SIGHUP: quota is taken over, the data folder is not, and both are named."""
    running = Config()
    fresh = parse(
        b'[server]\ndata_dir = "/elsewhere"\n[quota]\ndefault = "2 GiB"\n[limits.attachment]\nallowed_by = "x"\n', PLACE
    )
    found = changes(running, fresh)
    assert found.taken_over == ("quota.default", "limits.attachment.allowed_by")
    assert found.needs_restart == ("server.data_dir",)
    assert found.applied.server.data_dir == running.server.data_dir
    assert found.applied.quota.default == fresh.quota.default
    assert found.applied.limits.attachment.allowed_by == "x"


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("20 MiB", 20 * MIB),
        ("1.5KiB", 1536),
        ("7", 7),
        (7, 7),
        ("7 B", 7),
        ("1 gib", 1 << 30),
        ("3 GB", 3 << 30),
        ("20 mb", 20 * MIB),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str | int, octets: int) -> None:
    """Numbers are octets; units are powers of 1,024, also GB and MB, as the regulation means them (Reg. 8.3.b)."""
    assert parse_octets(text) == octets


@pytest.mark.parametrize(
    "text", ["20 Mbit", "-1", "1e3", "0.3 B", "", " ", True, None, "١ MiB", "1 " * 99, float("nan"), float("inf")]
)
def test_what_is_no_size_is_refused(text: object) -> None:
    """Neither other units, nor signs, nor what is no number."""
    with pytest.raises(ValueError, match=r"quantity|whole"):
        parse_octets(text)


@pytest.mark.parametrize(("text", "seconds"), [("2 min", 120), ("1.5 h", 5400), ("7 d", 604_800), (0.5, 0.5), ("250 ms", 0.25)])
def test_spans_are_read_as_people_write_them(text: str | float, seconds: float) -> None:
    """Numbers are seconds."""
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("octets", [0, 1, 1023, 1024, 20 * MIB, 30_991_260, (1 << 40) + 1])
def test_a_size_survives_being_shown(octets: int) -> None:
    """The unit is only chosen where it is exact."""
    assert parse_octets(show_octets(octets)) == octets


@pytest.mark.parametrize("seconds", [0.0, 0.05, 1.0, 90.0, 120.0, 5400.0, 604_800.0, 1234.5])
def test_a_span_survives_being_shown(seconds: float) -> None:
    """Likewise."""
    assert parse_seconds(show_seconds(seconds)) == seconds


def test_lines_are_found_in_every_form_of_toml() -> None:
    """Tables, dotted and quoted keys, arrays of tables, values over several lines; a `#` or `[` in a string is none."""
    text = (
        'a = 1\n"b c".d = "# [x]"\n[t]\nlist = [\n  "]", # [no]\n  1 ]\nlong = """\nfake = 1\n[fake]\n"""\nafter = 1\n'
        "[[u.v]]\nx = 1\n[[u.v]]\nx = '''\n=\n'''\ny.z = {q = 1}\n"
    )
    assert locate(text) == {
        ("a",): 1,
        ("b c", "d"): 2,
        ("t",): 3,
        ("t", "list"): 4,
        ("t", "long"): 7,
        ("t", "after"): 11,
        ("u", "v", 0): 12,
        ("u", "v", 0, "x"): 13,
        ("u", "v", 1): 14,
        ("u", "v", 1, "x"): 15,
        ("u", "v", 1, "y", "z"): 18,
    }


@pytest.mark.parametrize("odd", ["\x85", "\u2028", "\u2029"])
def test_a_line_ends_where_toml_says(odd: str) -> None:
    """What Unicode calls a line end stands in a comment or string like any letter."""
    assert locate(f"# a{odd}b = 1\r\nc = '{odd}'\r\nd = 1\r\n") == {("c",): 2, ("d",): 3}
