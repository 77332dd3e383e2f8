"""The command line as a person or a script meets it: help, languages, exit codes, output, and never a traceback."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import programs
from clients.cli.conftest import Command, in_turn, program
from mic_mail.cli import output
from mic_mail.cli.nouns import NOUNS
from regulation.console import run_here

# ---------------------------------------------------------------- language, help, exit codes


@pytest.mark.parametrize(
    ("lang", "environment", "expected"),
    [
        ((), {}, "The official mail server"),
        (("--lang", "vi"), {}, "Máy chủ thư điện tử công vụ"),
        ((), {"LANG": "vi_VN.UTF-8"}, "Máy chủ thư điện tử công vụ"),
        (("--lang=en",), {"LANG": "vi_VN.UTF-8"}, "The official mail server"),
    ],
)
def test_help_speaks_the_language_of_the_person(
    lang: tuple[str, ...], environment: dict[str, str], expected: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--lang` beats LANG beats English, in the help too."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    told = command(*lang, "--help")
    assert told.code == 0
    assert expected in told.out


def test_the_version_is_told(command: Command) -> None:
    """For who writes a report: the program and what it runs on; no configuration is needed."""
    run = command("--version")
    assert run.code == 0
    assert re.fullmatch(r"mic-mail \d+\.\d+\.\d+ \(Python 3\.\d+\.\d+, SQLite 3\.\d+\.\d+\)\n", run.out)


@pytest.mark.parametrize("noun", ["init", "mailbox", "request", "secrecy"])
def test_help_is_in_the_language_of_each_run(noun: str, command: Command) -> None:
    """Whoever asked first in this process: the same help as for a first reader, of each command below."""
    first = {lang: command("--lang", lang, noun, "--help").out for lang in ("vi", "en")}
    assert first["vi"] != first["en"]
    assert "\x1e" not in "".join(first.values())
    for lang in ("en", "vi", "vi", "en"):
        assert command("--lang", lang, noun, "--help").out == first[lang]
    (line, *_) = first["vi"].splitlines()[3:4]
    assert line not in first["en"].splitlines()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("lang", ["vi", "en"])
def test_help_breaks_no_word(lang: str, width: int, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the words of a long choice: at a usual width help has the words that it has on a very wide page."""

    def words() -> set[str]:
        told = command("--lang", lang, "request", "add", "--help").out + command("--lang", lang, "dkim", "--help").out
        return set(re.findall(r"[^\s│|<>]+", told.replace("─", "")))

    monkeypatch.setenv("COLUMNS", "500")
    whole = words()
    monkeypatch.setenv("COLUMNS", str(width))
    assert words() == whole


@pytest.mark.parametrize("noun", NOUNS)
def test_every_noun_has_help_in_both_languages(noun: str, command: Command) -> None:
    """Each command explains itself, without a configuration on the machine."""
    for lang, usage in (("vi", "Cách dùng"), ("en", "Usage")):
        run = command("--lang", lang, noun, "--help")
        assert (run.code, usage in run.out) == (0, True), run.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("nonsense",), 2),
        (("mailbox", "nonsense"), 2),
        (("mailbox", "show"), 2),
        (("--lang", "fr", "status"), 2),
        (("mailbox", "list", "--bogus"), 2),
        (("mailbox", "show", "ghost@mic.gov.vn"), 2),
        (("password", "reset", "cntt@mic.gov.vn"), 2),
        (("init", "--yes"), 1),
        (("status",), 3),
        (("mailbox", "list"), 0),
        (("config", "check"), 0),
    ],
)
def test_exit_codes(arguments: tuple[str, ...], code: int, command: Command, made: Path) -> None:
    """0 done, 1 refused by a rule, 2 asked wrongly, 3 trouble; what went wrong goes to standard error, without a traceback."""
    run = command("--config", made, *arguments)
    assert run.code == code, (run.out, run.err)
    assert "Traceback" not in run.out + run.err
    if code:
        assert run.err.strip()


NOT_MADE = "/tmp/a-folder-that-init-does-not-make"
NOT_UTF_8 = "\udcd0\udce7"
"""Two octets of another encoding, as Python hands them over."""


@pytest.mark.parametrize(
    "arguments",
    [
        ("mailbox", "show", NOT_UTF_8),
        ("mailbox", "repair", "--check", NOT_UTF_8),
        ("mailbox", "lock-sending", "cntt@mic.gov.vn", "--reason", NOT_UTF_8),
        ("mailbox", "issue", "--document", "1/CV", "--group", NOT_UTF_8, "--sponsor", "CNTT"),
        ("person", "show", "9" * 30),
        ("person", "move", "--document", "1/CV", "9" * 30, "CNTT"),
        ("mailbox", "issue", "--document", "1/CV", "--person", "9" * 30),
        ("restore", "cntt@mic.gov.vn", "x" * 5000),
        ("--config", "x" * 5000, "init", "--yes", "--data-dir", NOT_MADE),
        ("mailbox", "undelete", "cntt@mic.gov.vn", "--since", ""),
        ("mailbox", "explain", "cntt@mic.gov.vn", "--at", ""),
        ("person", "add", "Lê A", "--unit", "CNTT", "--contract-until", ""),
        ("mailbox", "issue", "--document", "1/CV", "--group", "Tổ A", "--sponsor", "CNTT", "--quota", ""),
        ("mailbox", "lock-sending", "cntt@mic.gov.vn", "--reason", "x", "--actor", " "),
    ],
)
def test_what_cannot_be_meant_is_told_and_not_done(arguments: tuple[str, ...], command: Command, made: Path) -> None:
    """Octets that are no UTF-8, numbers and names beyond all bounds, a variable of a script that was empty: a sentence."""
    before = command("--config", made, "mailbox", "show", "cntt@mic.gov.vn").out
    run = command("--config", made, *arguments)
    assert run.code in {2, 3}, (run.out, run.err)
    assert "Unexpected" not in run.err
    assert run.err.strip()
    assert command("--config", made, "mailbox", "show", "cntt@mic.gov.vn").out == before
    assert not Path(NOT_MADE).exists()


def test_a_narrow_terminal_shows_every_value(made: Path) -> None:
    """A column is never squeezed to nothing: the lines are wrapped by the terminal instead."""
    import pty

    try:
        ours, theirs = pty.openpty()
    except OSError:
        programs.lack("a terminal (/dev/pts)")
    told = program("--config", made, "unit", "list", stdout=theirs, environment={"COLUMNS": "12"})
    os.close(theirs)
    assert (told.returncode, "1553" in os.read(ours, 65536).decode()) == (0, True), told.stderr
    os.close(ours)


def test_an_unexpected_error_shows_a_reference_and_keeps_its_traceback(
    command: Command, made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exit 3, a reference, and the path of a file that only this user can read and that holds the traceback."""
    from mic_mail.directory.repository import Directory

    def broken(_: object) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(Directory, "mailboxes", broken)
    run = command("--config", made, "mailbox", "repair", "--check")
    assert run.code == 3
    assert "Traceback" not in run.out + run.err
    (kept,) = (tmp_path / "state" / "mic-mail").iterdir()
    assert str(kept) in run.err
    assert "nobody foresaw this" in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


def test_an_error_before_the_streams_are_ready_is_told_in_the_language_that_was_asked_for(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--lang` counts from the first moment, whatever the environment says."""
    monkeypatch.setenv("LC_ALL", "vi_VN.UTF-8")
    monkeypatch.delattr(output, "_UNACCENTED")
    for language, told in (("en", "Unexpected error"), ("vi", "Lỗi ngoài dự kiến")):
        run = command("--lang", language, "unit", "list")
        assert (run.code, told in run.err) == (3, True), run.err


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests in the background ignores it
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from mic_mail.cli.entrypoint import run
run()
"""


def test_ctrl_c_is_never_a_traceback() -> None:
    """While the program is still being read it just ends; later it says so and exits with 130."""
    early = program("status", code=INTERRUPTED.format(module="mic_mail.cli.main"))
    assert (early.returncode, early.stderr) == (-signal.SIGINT, b"")
    later = program("status", code=INTERRUPTED.format(module="mic_mail.cli.commands.status"))
    assert (later.returncode, later.stderr) == (130, b"Stopped as asked.\n")


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"PYTHONIOENCODING": "latin-1"}, marks=pytest.mark.slow),
        pytest.param({"PYTHONIOENCODING": "ascii"}, marks=pytest.mark.slow),
        {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"},
    ],
)
def test_a_terminal_without_vietnamese_letters_is_spoken_to_in_english(environment: dict[str, str], made: Path) -> None:
    """Help, tables in ASCII, names with what letters there are, and JSON with every letter escaped."""
    units = ("--config", made, "unit", "list")
    told, listed, as_json = in_turn(("--lang", "vi", "--help"), ("--lang", "vi", *units), (*units, "--json"), **environment)
    assert (told.returncode, b"Usage" in told.stdout) == (0, True), told.stderr
    assert (listed.returncode, listed.stdout.isascii() or b"latin" in str(environment).encode()) == (0, True), listed.stderr
    assert "│".encode() not in listed.stdout
    (unit,) = json.loads(as_json.stdout)
    assert unit["name"] == "Cục Công nghệ thông tin"


@pytest.mark.parametrize(
    ("encoding", "shown"), [("utf-8", "Tổ rà soát Đặng Ê"), ("ascii", "To ra soat Dang E"), ("latin-1", "To rà soát Dang Ê")]
)
def test_english_sentences_have_names_in_their_letters(encoding: str, shown: str, made: Path) -> None:
    """As they are written where they can be shown, else without their marks; never as numbers of letters."""
    asked = ("--lang", "en", "--config", made, "unit", "show", "Tổ rà soát Đặng Ê")
    code, _, told = run_here(asked, {}, encoding=encoding)
    assert code == 2
    assert shown in told
    assert "\\" not in told


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("arguments", [("unit", "list"), ("unit", "list", "--json"), ("config", "show", "--json")])
def test_a_result_that_cannot_be_written_is_trouble(
    arguments: tuple[str, ...], *, buffered: bool, command: Command, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk behind `>`: exit 3 and a sentence, whether it shows at the first octet or at the last."""
    with Path("/dev/full").open("wb", buffering=-1 if buffered else 0) as full:
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(full, "utf-8", write_through=not buffered))
        told = command("--config", made, *arguments)
    assert (told.code, "cannot be written" in told.err) == (3, True), told.err
    assert told.err.count("\n") == 2, told.err


@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}])
@pytest.mark.parametrize("arguments", [("unit", "list"), ("--help",), ("queue", "--help"), ("--version",)])
def test_a_program_whose_result_cannot_be_written_ends_with_its_code(
    arguments: tuple[str, ...], environment: dict[str, str], made: Path
) -> None:
    """Python's own flush at the end of the process changes nothing about it; nor does who prints the help."""
    with Path("/dev/full").open("wb") as full:
        told = program("--config", made, *arguments, stdout=full, environment=environment)
    assert (told.returncode, b"cannot be written" in told.stderr) == (3, True), told.stderr
    assert told.stderr.count(b"\n") == 2, told.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("nosuch",), 2), ((), 2), (("mailbox", "show", "khong.ai@mic.gov.vn"), 2), (("mailbox", "list"), 0)],
)
def test_an_error_that_nobody_can_be_told_keeps_its_code(arguments: tuple[str, ...], code: int, made: Path) -> None:
    """`mic-mail ... 2>&1 | true`, and a full disk behind `2>`."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe, Path("/dev/full").open("wb") as full:
        for stream in (pipe, full):
            assert program("--config", made, *arguments, stderr=stream).returncode == code


@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}])
@pytest.mark.parametrize("command", [("config", "reference"), ("config", "reference", "--json"), ("queue", "--help")])
def test_a_reader_who_has_seen_enough_is_no_trouble(command: tuple[str, ...], environment: dict[str, str]) -> None:
    """`mic-mail ... | head`: not a word, and the exit code of a program that SIGPIPE ends."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        told = program(*command, stdout=pipe, environment=environment)
    assert (told.returncode, told.stderr) == (141, b"")


def test_an_act_is_done_to_its_end_whoever_has_left(made: Path) -> None:
    """What is left to do after the first line of the output: here the notice to the new mailbox."""
    reading, writing = os.pipe()
    os.close(reading)
    assert program("--config", made, "unit", "add", "KHTC", "Vụ Kế hoạch", "--document", "1/QĐ").returncode == 0
    with os.fdopen(writing, "wb") as pipe:
        told = program("--config", made, "mailbox", "issue", "--unit", "KHTC", "--document", "1/CV", stdout=pipe)
    assert (told.returncode, told.stderr) == (141, b"")
    [home] = made.parent.parent.glob("data/mail/*/khtc")
    assert [path for folder in ("new", "cur") for path in (home / "Maildir" / folder).iterdir()]


def test_a_refusal_is_told_by_its_code_whoever_has_left(made: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        told = program("--config", made, "mailbox", "show", "khong.ai@mic.gov.vn", stdout=pipe)
    assert told.returncode in {1, 2}
    assert told.stderr


@pytest.mark.parametrize("number", [1, 2])
def test_a_closed_stream_is_no_trouble(number: int, made: Path) -> None:
    """`>&-`: whoever closes standard output or error does not want to read it."""
    shell = [
        "sh",
        "-c",
        f'exec "$@" {number}>&-',
        "sh",
        sys.executable,
        "-m",
        "mic_mail",
        "--config",
        str(made),
        "unit",
        "list",
    ]
    told = subprocess.run(shell, capture_output=True, check=False, timeout=60)
    assert (told.returncode, told.stderr) == (0, b"")


def test_a_folder_that_cannot_be_written_is_named(command: Command, tmp_path: Path) -> None:
    """`serve` says which folder it is, without a reference to an error that nobody foresaw."""
    path = tmp_path / "mic-mail.toml"
    path.write_text(f'[server]\ndata_dir = "{tmp_path / "data"}"\nrun_dir = "/proc/run"\n')
    run = command("--config", path, "serve")
    assert (run.code, "/proc/run cannot be written" in run.err) == (3, True), run.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--help",), ("Cách dùng:", "TÙY CHỌN", "Tùy chọn", "Lệnh", "biến môi trường", "Xem hướng dẫn này")),
        (("person", "move", "--document", "1/CV", "--help"), ("MÃ-CÁ-NHÂN ĐƠN-VỊ", "Tham số", "[bắt buộc]")),
        (("mailbox", "repair", "--help"), ("[ĐỊA-CHỈ]... ",)),
        (("demo", "--help"), ("[mặc định: 2000]",)),
        (("mailbox", "shw"), ("không có lệnh 'shw'. Có phải là 'show'?",)),
        (("mailbox", "list", "--knd"), ("(có các tùy chọn: --kind)",)),
        (("mailbox", "list", "--json=1"), ("không nhận giá trị",)),
        (("person", "move", "--document", "1/CV"), ("thiếu tham số 'MÃ-CÁ-NHÂN'",)),
    ],
)
def test_help_and_usage_errors_are_vietnamese_whole(
    arguments: tuple[str, ...], words: tuple[str, ...], command: Command
) -> None:
    """What Typer says by itself too."""
    run = command("--lang", "vi", *arguments)
    told = run.out + run.err
    for word in words:
        assert word in told
    for english in ("Usage", "Options", "Commands", "Arguments", "Show this", "default", "required", "Did you", "Possible"):
        assert english not in told


def test_a_clause_is_cited_as_letters_do(command: Command, made: Path) -> None:
    """After "Căn cứ" and in tables: the smallest part first."""
    run = command("--lang", "vi", "--config", made, "mailbox", "issue", "--unit", "CNTT", "--document", "1")
    assert "Căn cứ: khoản 1 Điều 5 Quy chế" in run.err
    assert "điểm b khoản 3 Điều 8 Quy chế" in command("--lang", "vi", "config", "reference").out


def test_what_the_system_answers_is_in_the_language_of_the_run(command: Command, tmp_path: Path) -> None:
    """The commonest reasons why a file cannot be used; the rest as the system says it."""
    missing = ("--config", tmp_path / "none.toml", "mailbox", "list")
    assert "không đọc được tệp (không có tệp hoặc thư mục này)" in command("--lang", "vi", *missing).err
    assert "cannot be read (No such file or directory)" in command("--lang", "en", *missing).err
    nowhere = ("--config", "/proc/x/y.toml", "init", "--yes", "--data-dir", tmp_path / "data")
    assert "Không tạo được /proc/x: không có tệp hoặc thư mục này." in command("--lang", "vi", *nowhere).err


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_hints_name_the_configuration_of_the_run(lang: str, command: Command, made: Path, tmp_path: Path) -> None:
    """A command that a sentence tells to type finds the server that it is about, whoever wrote the sentence."""
    given = f"mic-mail --config {made}"
    other = tmp_path / "other.toml"
    told = command("--lang", lang, "--config", other, "init", "--yes", "--data-dir", tmp_path / "other").err
    assert f"mic-mail --config {other} officer add" in told
    assert not re.search(r"mic-mail (?!--config)[a-z]", told)
    assert f"`mic-mail --config {tmp_path}/none.toml init`" in command("--config", tmp_path / "none.toml", "unit", "list").err
    wrong = tmp_path / "2026.toml"
    wrong.write_text("year = ")
    assert f"{given} calendar prefill" in command("--lang", lang, "--config", made, "calendar", "set", wrong).err


def test_a_file_that_is_not_there_is_named(command: Command, made: Path, tmp_path: Path) -> None:
    """Exit 2 in every command that reads one, with its name and why."""
    none = tmp_path / "none" / "2026.toml"
    for arguments in (
        ("calendar", "set", none),
        ("request", "import", none),
        ("import", "mbox", "cntt@mic.gov.vn", none, "--document", "1/CV"),
        ("import", "accounts", none, "--host", "imap.example", "--document", "1/CV"),
        ("--config", none, "unit", "list"),
    ):
        run = command("--config", made, *arguments)
        assert (run.code, str(none) in run.err, "No such file or directory" in run.err) == (2, True, True), run.err


def test_a_document_that_is_missing_is_asked_for_alike(command: Command, made: Path) -> None:
    """Exit 2 and how to name it, in every command that always needs one; nothing is done."""
    cntt = "cntt@mic.gov.vn"
    for arguments in (
        ("unit", "change", "CNTT", "--name", "Cục CNTT"),
        ("mailbox", "export", cntt, "/tmp/a-folder-of-nobody"),
        ("content", "ask", cntt, "--reason", "x"),
        ("mailbox", "grant", cntt, cntt, "--as", "keeper"),
        ("calendar", "confirm", "2026"),
        ("import", "mbox", cntt, "/tmp"),
    ):
        run = command("--config", made, *arguments, "--actor", "root")
        assert (run.code, "--document" in run.err) == (2, True), (arguments, run.err)


def test_a_missing_server_names_the_remedy(command: Command, tmp_path: Path) -> None:
    """Without a configuration, or without a directory behind it, the message says what to run."""
    missing = command("--config", tmp_path / "nowhere.toml", "mailbox", "list")
    assert (missing.code, f"mic-mail --config {tmp_path}/nowhere.toml init" in missing.err) == (2, True)
    path = tmp_path / "half.toml"
    path.write_text(f'[server]\ndata_dir = "{tmp_path / "empty"}"\n')
    half = command("--config", path, "mailbox", "list")
    assert (half.code, f"mic-mail --config {path} init" in half.err) == (3, True)
    assert not (tmp_path / "empty" / "directory" / "directory.sqlite").exists(), "looking makes nothing"
