"""Broken configurations (one file each in tests/configs) and what is said of them."""

import re
from pathlib import Path

import pytest

from mic_mail.config.load import ConfigErrors, load, parse
from mic_mail.config.units import MIB

CONFIGS = Path(__file__).parents[2] / "configs"
EXPECTED = re.compile(r"# expect (\d+) (\S+) (\S+): (.+)")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_mistake_is_told_with_line_key_clause_reason_and_remedy(path: Path) -> None:
    """All mistakes of a file are reported together, each with its line, its key, its clause, why, and what to do."""
    expected = [match.groups() for line in path.read_bytes().splitlines() if (match := EXPECTED.match(line.decode("latin-1")))]
    assert expected
    with pytest.raises(ConfigErrors) as caught:
        load(path)
    mistakes = caught.value.mistakes
    found = [(str(mistake.line), mistake.key, mistake.clause or "-") for mistake in mistakes]
    assert found == [(line, key, clause) for line, key, clause, _ in expected]
    for mistake, (_, _, _, words) in zip(mistakes, expected, strict=True):
        assert words in f"{mistake.reason.en}. {mistake.remedy.en}"
        assert mistake.file == path
        assert mistake.reason.vi
        assert mistake.remedy.vi
        assert mistake.remedy.en


def test_an_empty_file_is_a_configuration() -> None:
    """Every setting has a default; the defaults are those of the ministry."""
    config = parse(b"", Path("/etc/mic-mail/mic-mail.toml"))
    assert config.server.domain == "mic.gov.vn"
    assert config.server.hostname == "mail.mic.gov.vn"
    assert config.support == "support@mic.gov.vn"


def test_a_missing_file_is_told_like_any_mistake(tmp_path: Path) -> None:
    """No traceback for a file that is not there, and the way to make one."""
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path / "none.toml")
    assert "mic-mail init" in caught.value.mistakes[0].remedy.en


def test_a_relative_path_belongs_to_the_folder_of_the_file(tmp_path: Path) -> None:
    """`data_dir = "data"` is beside the file, wherever the command is run."""
    file = tmp_path / "mic-mail.toml"
    file.write_text('[server]\ndata_dir = "data"\n[tls]\nkey = "/etc/key.pem"\n')
    config = load(file)
    assert config.server.data_dir == tmp_path / "data"
    assert config.mail_root == tmp_path / "data" / "mail"
    assert config.key == Path("/etc/key.pem")


def test_another_attachment_limit_needs_its_document() -> None:
    """Reg. 8.3.b: 20 MiB, and another limit only with the document that allows it."""
    text = b'[limits.attachment]\nallowed_by = "12/QD-TTTT"\nmaximum = "25 MiB"\n'
    assert parse(text, Path("x.toml")).limits.attachment.maximum == 25 * MIB


def test_a_full_message_of_attachments_fits_into_the_announced_size() -> None:
    """20 MiB of attachments in base64 lines of 60 columns, with CRLF, and 2 MiB of text are within SIZE."""
    config = parse(b"", Path("x.toml"))
    encoded = (20 * MIB // 45 + 1) * (60 + 2)
    assert encoded + 2 * MIB <= config.message_octets < encoded + 2 * MIB + 100


def test_a_mistake_shows_no_octet_that_a_terminal_obeys(tmp_path: Path) -> None:
    """Control characters of the file do not reach the terminal through a message."""
    file = tmp_path / "x.toml"
    file.write_text('[tls]\nminimum = "\\u001b[31m1.2"\n"ke\\u001by" = 1\n')
    with pytest.raises(ConfigErrors) as caught:
        load(file)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", ["/dev/zero", "large.toml"])
def test_a_file_of_a_size_that_no_configuration_has_is_told(name: str, tmp_path: Path) -> None:
    """Neither read to its end nor taken for wrong TOML."""
    with (tmp_path / "large.toml").open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path / name)
    (mistake,) = caught.value.mistakes
    assert mistake.reason.en == "is larger than 1 MiB: not a configuration file"
    assert mistake.place == str(tmp_path / name)


@pytest.mark.parametrize("text", ["support", "support@mic.gov.vn", "ho-tro_1@a.b"])
def test_a_help_desk_is_a_local_part_or_an_address(text: str) -> None:
    """And is kept as it is, in small letters."""
    assert parse(f'[regulation]\nsupport = "{text.upper()}"\n'.encode(), Path("x.toml")).regulation.support == text
