"""What a Vietnamese reader is shown, rendered for real: tables, notices, documents and help, in the words of an office.

Beside `unit/i18n/test_office_language.py`, which reads the texts in the source: here values stand in them too.
"""

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mic_mail.i18n.notices.catalogue import CATALOGUE
from office_language import wrong_words
from regulation.console import Console, made

BE, UNIT = "dvbe@mic.gov.vn", "cntt@mic.gov.vn"
ACTS = (
    ("mailbox", "issue", "--unit", "CNTT", "--document", "1/CV"),
    ("mailbox", "grant", UNIT, "1", "--as", "quản lý", "--document", "2/CV"),
    ("request", "add", "cấp", "--unit", "CNTT", "--asked-by", "Hoa", "--document", "1/CV", "--name", "Lê An",
     "--position", "Chuyên viên", "--employment", "công chức"),
    ("incident", "open", "mã độc", "Máy trạm nhiễm mã độc", "--mailbox", BE),
    ("mailbox", "suspend", BE, "--cause", "c", "--reason", "lộ mật khẩu"),
    ("mailbox", "restore", BE, "--asked-by", "Vụ CNTT", "--channel", "điện thoại"),
    ("mailbox", "leave", BE, "30/12/2199", "--cause", "nghỉ hưu", "--document", "3/CV"),
    ("migration", "plan", "CNTT", "--system", "Zimbra", "--mailboxes", "3", "--by", "01/01/2030"),
    ("signatory", "add", "Nguyễn Văn A", "--position", "Thứ trưởng", "--document", "5/CV"),
    ("unit", "change", "CNTT", "--name", "Cục Công nghệ thông tin", "--document", "6/CV"),
    ("person", "change", "2", "--position", "Trưởng phòng", "--document", "7/CV"),
)  # fmt: skip
SHOWN = (
    "unit list", "unit show CNTT", "person list", "person show 1", "mailbox list", f"mailbox show {BE}",
    f"mailbox explain {BE}",
    f"mailbox rights {UNIT}", "mailbox due --within 400", "mailbox seen", f"mailbox capability {BE}", "alias list",
    "calendar show", "calendar list", "officer list", "request list", "request show 1", "incident list",
    "incident show 1", "notice list",
    "notice list --replies", "census list", "census show CNTT", "report unanswered", "report openings", "report passed-on",
    f"report correspondence --mailbox {UNIT}", "queue list", "quarantine list", "secrecy list", "log search", "log verify",
    "log anchor", "directory check", "directory history", "directory pending", "dkim key list", "migration list",
    "maintenance list", "position list", "signatory list", "domain list", "content list", f"app-password list {BE}",
    "second-factor list", "dns records", "clock show", "archive list", "handover list", "mailbox repair --check",
    "mailbox rescan", "config check", "directory check", "log search --mailbox " + BE,
)  # fmt: skip
DOCUMENTS = ("report usage", "report problems", "report openings", f"report correspondence --mailbox {UNIT}", "migration paper")


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    """A server on which each kind of thing has happened once."""
    console = made(tmp_path_factory.mktemp("shown"))
    console.env["COLUMNS"] = "1000"
    for words in ACTS:
        console.done("--lang", "vi", *words)
    return console


def _wrong(text: str) -> dict[str, list[str]]:
    lines = (re.sub(r"\S+@\S+|https?://\S+|(?<=mic-mail )--config \S+ ", "", line).strip() for line in text.splitlines())
    return {line[:200]: wrong for line in lines if (wrong := wrong_words(line))}


@pytest.mark.parametrize("words", SHOWN)
def test_a_command_shows_the_words_of_an_office(console: Console, words: str) -> None:
    """No code, event's name, ISO date or open place is in a table, nor in what stands beside it."""
    assert console.run("--lang", "vi", *words.split()) in {0, 1}, console.err
    assert _wrong(console.out + console.err) == {}


@pytest.fixture(scope="module")
def acting(tmp_path_factory: pytest.TempPathFactory) -> Console:
    """A server on which nothing has happened yet."""
    return made(tmp_path_factory.mktemp("acting"))


def test_what_was_done_is_told_in_the_words_of_an_office(acting: Console) -> None:
    """Whatever a command prints of its act; and when it is refused, as some are for having been done already."""
    for words in ACTS:
        for _ in range(2):
            acting.run("--lang", "vi", *words)
            assert _wrong(acting.out + acting.err) == {}, words


@pytest.mark.parametrize("number", range(1, len(CATALOGUE) + 1))
def test_a_notice_is_previewed_by_its_number(console: Console, number: int) -> None:
    """The Vietnamese of each notice, as `notice preview` shows it above the English."""
    console.done("--lang", "vi", "notice", "preview", number)
    assert _wrong(console.out.partition("Tiếng Anh")[0]) == {}


@pytest.mark.parametrize("words", DOCUMENTS)
def test_a_document_speaks_as_an_office_does(console: Console, words: str, tmp_path: Path) -> None:
    """The reports that are signed and filed, whole."""
    file = tmp_path / "x.html"
    console.done("--lang", "vi", *words.split(), "--out", file)
    text = re.sub(r"<style.*?</style>|<svg.*?>|<[^>]*>", "\n", file.read_text(), flags=re.DOTALL)
    assert len(text) > 200
    assert _wrong(html.unescape(text)) == {}


HELP = """
import io, json, sys
from contextlib import redirect_stdout
from mic_mail.cli.main import main
from mic_mail.cli.nouns import NOUNS, load_noun
from mic_mail.cli import output
from mic_mail.i18n.language import Language
output.settle(Language.VI)
def below(words, made):
    yield words
    for name, inner in getattr(made, "commands", {}).items():
        yield from below([*words, name], inner)
shown = {}
for noun in NOUNS:
    for words in below([noun], load_noun(noun)):
        out = io.StringIO()
        with redirect_stdout(out):
            main(["--lang", "vi", *words, "--help"])
        shown[" ".join(words)] = out.getvalue()
json.dump(shown, sys.stdout)
"""


@pytest.mark.slow
def test_help_speaks_as_an_office_does() -> None:
    """Of every command: its summary, its options and what they take."""
    environment = {**os.environ, "COLUMNS": "300", "LC_ALL": "C.UTF-8", "TERM": "dumb"}
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True, env=environment)
    shown: dict[str, str] = json.loads(done.stdout)
    assert len(shown) > 150
    wrong = {}
    for words, text in shown.items():
        plain = re.sub(r"--?[a-z][a-z-]*|mic-mail (?:--config \S+ )?[a-z -]+|│ [a-z-]+ ", " ", text)
        if found := _wrong(plain):
            wrong[words] = found
    assert wrong == {}
