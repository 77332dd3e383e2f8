"""Sentences at a terminal: lines end at spaces alone, commands and TXT records stay whole and can be copied."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.cli.prose import completed, words, wrapped

PROGRAM = "mic-mail --config /srv/thu/mic-mail.toml"
COMMANDS = (
    "mic-mail init",
    "mic-mail dkim key rotate",
    "mic-mail calendar confirm NĂM --document SỐ",
    'mic-mail officer add TÊN-ĐĂNG-NHẬP "HỌ TÊN" --role trung-tâm --document SỐ-QUYẾT-ĐỊNH',
    "mic-mail handover verify cntt@mic.gov.vn --handover 3",
    "mic-mail --config '/srv/thu mục/mic-mail.toml' config check",
    "`cd '/srv/một thư mục' && sha256sum -c SHA256SUMS`",
    '"v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A" "MIIBCgKCAQEAt"',
)
WORDS = st.lists(
    st.sampled_from(("Chưa", "ghi", "nhận", "cán", "bộ", "dvbe@mic.gov.vn", "/etc/mic-mail/mic-mail.toml")), min_size=1
)


@given(before=WORDS, command=st.sampled_from(COMMANDS), after=WORDS, width=st.integers(1, 200))
def test_no_line_ends_within_a_word_or_a_command(before: list[str], command: str, after: list[str], width: int) -> None:
    """Joined by spaces the lines are the sentence again; the command is in one; only what cannot be parted is too wide."""
    text = f"{' '.join(before)}: {command}; {' '.join(after)}"
    lines = wrapped(text, width)
    assert " ".join(lines) == text
    assert any(command in line for line in lines)
    assert all(len(line) <= width or len(words(line)) == 1 for line in lines), lines


def test_further_lines_are_indented_like_the_first() -> None:
    """A step of a list stays apart from the number of the next one."""
    assert wrapped("  2. một hai ba bốn", 12) == ["  2. một hai", "     ba bốn"]
    assert wrapped("  a b", 4) == ["  a", "  b"]
    assert wrapped("", 10) == [""]


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.startswith("mic-mail ") and "--config" not in each])
def test_a_command_is_named_with_the_configuration_of_this_run(command: str) -> None:
    """What a sentence tells to type finds the same server; the usual configuration is not named."""
    text = f"Chưa có cán bộ; xem “{command}”, hoặc {command}."
    assert completed(text, PROGRAM) == text.replace("mic-mail", PROGRAM)
    assert completed(text, "mic-mail") == text


@pytest.mark.parametrize(
    "text", ["/etc/mic-mail/mic-mail.toml", "useradd --system mic-mail", "mic-mail --help", "xem: mic-mail mailbox list --help"]
)
def test_what_is_no_command_of_a_server_stays_as_it_is(text: str) -> None:
    """Paths, accounts, and help, which needs no configuration."""
    assert completed(text, PROGRAM) == text
