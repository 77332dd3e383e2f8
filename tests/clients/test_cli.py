"""The command line as a person or a script meets it: languages, exit codes, JSON, and never a traceback."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import programs
from mic_mail.cli.main import NOUNS, main
from mic_mail.policy.facts import MailboxKind
from mic_mail.storage.index import reader_seen_rows
from mic_mail.storage.maildir.sidecars import AccountSidecar
from mic_mail.storage.types import AccountRef
from population import PASSWORD
from waiting import wait_for

if TYPE_CHECKING:
    from harness import MailServer
    from mic_mail.storage.mailstore import Account

DVBE = "dvbe@mic.gov.vn"


class Run:
    """What one command did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Run]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Run the program in this process, in English unless told otherwise."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG", "MIC_MAIL_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def run(*arguments: object) -> Run:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        return Run(code, *capfd.readouterr())

    return run


@pytest.fixture
def made(command: Command, tmp_path: Path) -> Path:
    """The configuration file of a server that `init` made, with one mailbox in it."""
    path = tmp_path / "etc" / "mic-mail.toml"
    assert command("--config", path, "init", "--yes", "--data-dir", tmp_path / "data").code == 0
    for arguments in (
        ("unit", "add", "CNTT", "Cục Công nghệ thông tin", "--document", "1553/QĐ-BTTTT"),
        ("mailbox", "issue", "--unit", "CNTT", "--document", "12/CV-CNTT"),
    ):
        assert command("--config", path, *arguments).code == 0
    return path


@pytest.fixture
def running(serve: Callable[..., "MailServer"], tmp_path: Path) -> tuple["MailServer", Path]:
    """A running server with one mailbox, and its configuration file."""
    from mic_mail.config.manual import write

    server = serve()
    server.issue("dvbe", name="Đỗ Văn Bê")
    path = tmp_path / "running.toml"
    path.write_text(write(server.config))
    return server, path


def signs_in(server: "MailServer", address: str, password: str) -> bool:
    """Whether IMAP lets this password in."""
    import imaplib

    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=20) as client:
        try:
            client.authenticate("PLAIN", lambda _: f"\0{address}\0{password}".encode())
        except imaplib.IMAP4.error:
            return False
        return True


def refusals(server: "MailServer") -> list[dict[str, Any]]:
    """The refused sign-ins in the log, at least one; the log writes its lines a moment later."""
    return wait_for(lambda: [event for event in server.events() if event.get("event") == "sign_in_refused"])


# ---------------------------------------------------------------- language, help, exit codes


@pytest.mark.parametrize(
    ("lang", "environment", "expected"),
    [
        ((), {}, "The official mail server"),
        pytest.param(("--lang", "vi"), {}, "Máy chủ thư điện tử công vụ", marks=pytest.mark.slow),
        ((), {"LANG": "vi_VN.UTF-8"}, "Máy chủ thư điện tử công vụ"),
        pytest.param(("--lang=en",), {"LANG": "vi_VN.UTF-8"}, "The official mail server", marks=pytest.mark.slow),
    ],
)
def test_help_speaks_the_language_of_the_person(lang: tuple[str, ...], environment: dict[str, str], expected: str) -> None:
    """`--lang` beats LANG beats English, in the help too."""
    clean = {name: value for name, value in os.environ.items() if name not in {"LANG", "LC_ALL", "LC_MESSAGES"}}
    program = [sys.executable, "-m", "mic_mail", *lang, "--help"]
    told = subprocess.run(program, env={**clean, **environment}, capture_output=True, text=True, check=True)
    assert expected in told.stdout


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


def test_an_error_before_the_streams_are_ready_is_told_in_the_language_that_was_asked_for() -> None:
    """`--lang` counts from the first moment, whatever the environment says."""
    broken = "import sys; from mic_mail.cli import output, main; del output._UNACCENTED; sys.exit(main.main(sys.argv[1:]))"
    for language, told in (("en", b"Unexpected error"), ("vi", "Lỗi ngoài dự kiến".encode())):
        run = program("--lang", language, "unit", "list", code=broken, environment={"LC_ALL": "vi_VN.UTF-8", "PYTHONUTF8": "1"})
        assert (run.returncode, told in run.stderr) == (3, True), run.stderr


def program(*arguments: object, code: str = "", environment: dict[str, str] | None = None, **how: Any) -> Any:
    """The program (or `code`) in a process of its own, as a machine without settings of language runs it."""
    ours = {"LANG", "LC_ALL", "LC_MESSAGES", "PYTHONUNBUFFERED"}
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    command = [sys.executable, *(("-c", code) if code else ("-m", "mic_mail")), *map(str, arguments)]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60, **how}
    return subprocess.run(command, check=False, env={**clean, **(environment or {})}, **how)


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
    told = program("--lang", "vi", "--help", environment=environment)
    assert (told.returncode, b"Usage" in told.stdout) == (0, True), told.stderr
    listed = program("--lang", "vi", "--config", made, "unit", "list", environment=environment)
    assert (listed.returncode, listed.stdout.isascii() or b"latin" in str(environment).encode()) == (0, True), listed.stderr
    assert "│".encode() not in listed.stdout
    (unit,) = json.loads(program("--config", made, "unit", "list", "--json", environment=environment).stdout)
    assert unit["name"] == "Cục Công nghệ thông tin"


@pytest.mark.parametrize(
    ("encoding", "shown"), [("utf-8", "Tổ rà soát Đặng Ê"), ("ascii", "To ra soat Dang E"), ("latin-1", "To rà soát Dang Ê")]
)
def test_english_sentences_have_names_in_their_letters(encoding: str, shown: str, made: Path) -> None:
    """As they are written where they can be shown, else without their marks; never as numbers of letters."""
    asked = ("--lang", "en", "--config", made, "unit", "show", "Tổ rà soát Đặng Ê")
    told = program(*asked, environment={"PYTHONIOENCODING": encoding})
    assert told.returncode == 2
    assert shown in told.stderr.decode(encoding)
    assert "\\" not in told.stderr.decode(encoding)


@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}])
@pytest.mark.parametrize("arguments", [("unit", "list"), ("unit", "list", "--json"), ("config", "show", "--json")])
def test_a_result_that_cannot_be_written_is_trouble(
    arguments: tuple[str, ...], environment: dict[str, str], made: Path
) -> None:
    """A full disk behind `>`: exit 3 and a sentence, whether it shows at the first octet or at the last."""
    with Path("/dev/full").open("wb") as full:
        told = program("--config", made, *arguments, stdout=full, environment=environment)
    assert (told.returncode, b"cannot be written" in told.stderr) == (3, True), told.stderr
    assert told.stderr.count(b"\n") == 2, told.stderr


@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_a_reader_who_has_seen_enough_is_no_trouble(environment: dict[str, str]) -> None:
    """`mic-mail ... | head`: exit 0, and not a word."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        told = program("regulation", "list", "--json", stdout=pipe, environment=environment)
    assert (told.returncode, told.stderr) == (0, b"")


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
def test_help_and_usage_errors_are_vietnamese_whole(arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    """What Typer says by itself too."""
    run = program("--lang", "vi", *arguments, environment={"PYTHONIOENCODING": "utf-8"})
    told = (run.stdout + run.stderr).decode()
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


# ---------------------------------------------------------------- init, config


def test_init_makes_a_server_and_never_overwrites(command: Command, made: Path, tmp_path: Path) -> None:
    """All that `serve` needs is there, private; a second init changes nothing."""
    before = made.read_text()
    assert "# " in before
    assert (tmp_path / "data" / "tls" / "key.pem").stat().st_mode & 0o077 == 0
    assert command("--config", made, "init", "--yes").code == 1
    assert made.read_text() == before


@pytest.mark.needs_tool("another account")
def test_what_root_inits_the_server_can_read(command: Command, tmp_path: Path) -> None:
    """With `--user`, data belongs to that account, and the file to root and the account's group; nothing is for others."""
    import pwd

    nobody = pwd.getpwnam("nobody")
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            folder.chmod(0o755)
    path, data = tmp_path / "etc" / "mic-mail.toml", tmp_path / "data"
    run = command("--config", path, "init", "--yes", "--data-dir", data, "--user", "nobody")
    assert run.code == 0, run.err
    assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o777) == (0, nobody.pw_gid, 0o640)
    for made in (data, *data.rglob("*")):
        assert (made.stat().st_uid, made.stat().st_mode & 0o007) == (nobody.pw_uid, 0), made


def test_init_refuses_what_the_file_would_be_refused_for(command: Command, tmp_path: Path) -> None:
    """The answers go through the same checks as the file."""
    run = command("--config", tmp_path / "x.toml", "init", "--yes", "--domain", "not a domain", "--data-dir", tmp_path / "d")
    assert run.code == 2
    assert not (tmp_path / "x.toml").exists()


def test_init_tells_which_option_is_wrong(command: Command, tmp_path: Path) -> None:
    """Each mistake once, with its option for a place, and no clause of one of them for all."""
    run = command("--config", tmp_path / "x.toml", "init", "--yes", "--domain", "BAD DOMAIN", "--hostname", "..")
    told = run.err.splitlines()
    assert (run.code, told[0]) == (2, "Error: The configuration has 2 mistakes.")
    assert [line.partition(":")[0] for line in told[1:]] == ["  --domain", "  --hostname"]
    assert "'BAD DOMAIN'" in told[1]


def test_every_command_tells_the_mistakes_of_the_file(command: Command, tmp_path: Path) -> None:
    """File, line and key of each mistake, also where a command only wants the directory."""
    path = tmp_path / "x.toml"
    path.write_text('[quota]\ndefault = "500 MiB"\n')
    run = command("--lang", "vi", "--config", path, "mailbox", "list")
    assert run.code == 2
    assert run.err.count(f"{path}:2: quota.default: ") == 1
    assert "điểm b khoản 3 Điều 8 Quy chế" in run.err
    assert "Căn cứ" not in run.err


def test_config_check_tells_all_mistakes_at_once(command: Command, tmp_path: Path) -> None:
    """File, line, key, reason, remedy and clause of every mistake, also as JSON."""
    path = tmp_path / "bad.toml"
    path.write_text('[quota]\ndefault = "500 MiB"\n[log]\nretain_months = 3\n[servr]\n')
    run = command("--config", path, "config", "check", "--json")
    assert run.code == 2
    assert [(row["line"], row["key"], row["clause"]) for row in run.json] == [
        (2, "quota.default", "8.3.b"),
        (4, "log.retain_months", "8.2"),
        (5, "servr", None),
    ]


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ('[directory]\nurl = "garbage"\n', "directory.url"),
        ('[directory]\nurl = "oracle://host/db"\n', "directory.url"),
        ('[tls]\ncertificate = "/tmp"\n', "tls.certificate"),
        (f'[directory]\nurl = "sqlite:////{"x" * 5000}"\n', "directory.url"),
    ],
)
def test_config_check_finds_what_a_start_would_stumble_over(more: str, key: str, command: Command, made: Path) -> None:
    """Exit 1 and the setting; and every other command says it in a sentence too."""
    text = "".join(line for line in made.read_text().splitlines(True) if line.rstrip() not in ("[directory]", "[tls]"))
    made.write_text(text + more)
    run = command("--config", made, "config", "check", "--json")
    assert (run.code, [row["key"] for row in run.json]) == (1, [key]), run.err
    assert "Unexpected" not in command("--config", made, "mailbox", "list").err


def test_config_check_reads_the_directory(command: Command, made: Path, tmp_path: Path) -> None:
    """A damaged file is not right, and the server that would not start says it once, in the person's language."""
    made.write_text(re.sub(r"# doors = .*", 'doors = ["smtp"]', made.read_text()).replace("# smtp = 25", "smtp = 0"))
    (tmp_path / "data" / "directory" / "directory.sqlite").write_bytes(b"no database " * 999)
    assert command("--config", made, "config", "check").code == 1
    told = program("--lang", "vi", "--config", made, "serve", environment={"PYTHONIOENCODING": "utf-8"})
    assert (told.returncode, told.stderr.decode().count("Không đọc được danh bạ")) == (3, 1), told.stderr


def test_the_decision_is_named_above_its_clauses(command: Command, made: Path, tmp_path: Path) -> None:
    """Where the configuration names it; the list needs none."""
    made.write_text(made.read_text().replace('# decision_no = ""', 'decision_no = "1553/QĐ-BTTTT"'))
    assert "Quyết định số 1553/QĐ-BTTTT" in command("--lang", "vi", "--config", made, "regulation", "list").out
    assert command("--config", tmp_path / "none.toml", "regulation", "list").code == 0


@pytest.mark.clause("3.2")
def test_config_show_and_reference(command: Command, made: Path) -> None:
    """`show --changed` prints what was decided here; `reference` has every setting with its meaning."""
    changed = {row["key"] for row in command("--config", made, "config", "show", "--changed", "--json").json}
    assert changed == {"server.data_dir"}
    rows = command("--lang", "vi", "config", "reference", "--json").json
    meanings = {row["key"]: row for row in rows}
    assert meanings["quota.default"]["clause"] == "8.3.b"
    assert "hộp thư" in meanings["quota.default"]["meaning"]


def test_a_help_desk_that_receives_nothing_is_found(command: Command, made: Path) -> None:
    """Every refusal names it: a warning until it leads to a mailbox; an address elsewhere is left alone."""

    def kinds() -> list[str]:
        return [row["kind"] for row in command("--config", made, "directory", "check", "--json").json]

    assert "support_receives_nothing" in kinds()
    assert command("--config", made, "alias", "add", "cntt@mic.gov.vn", "support").code == 0
    assert "support_receives_nothing" not in kinds()
    made.write_text(made.read_text().replace('# support = "support"', 'support = "help@elsewhere.vn"'))
    assert "support_receives_nothing" not in kinds()


# ---------------------------------------------------------------- passwords


def test_password_set_counts_at_once(
    command: Command, running: tuple["MailServer", Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password set by command signs in on the running server, the old one does not, and the act is on record."""
    import io

    server, path = running
    assert signs_in(server, DVBE, PASSWORD)
    monkeypatch.setattr("sys.stdin", io.StringIO("ngựa pin kẹp ghim\n"))
    run = command("--config", path, "password", "set", DVBE, "--stdin", "--actor", "quản trị", "--document", "27/CV-CNTT")
    assert run.code == 0, run.err
    assert signs_in(server, DVBE, "ngựa pin kẹp ghim")
    assert not signs_in(server, DVBE, PASSWORD)
    audit = "".join(p.read_text() for p in server.config.log_dir.glob("audit-*.jsonl"))
    assert '"password_set"' in audit
    assert "ngựa pin" not in audit


@pytest.mark.clause("10.2")
def test_weak_passwords_are_refused(
    command: Command, running: tuple["MailServer", Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2 and the reason, and nothing changes."""
    import io

    server, path = running
    monkeypatch.setattr("sys.stdin", io.StringIO("matkhau123\n"))
    assert command("--config", path, "password", "set", DVBE, "--stdin", "--document", "27/CV-CNTT").code == 2
    assert signs_in(server, DVBE, PASSWORD)


def test_password_reset_needs_a_document_and_must_be_changed(command: Command, running: tuple["MailServer", Path]) -> None:
    """Reg. 15.2: only on a written request; the new password opens nothing but the password page."""
    server, path = running
    assert command("--config", path, "password", "reset", DVBE, "--document", " ").code == 2
    run = command("--config", path, "password", "reset", DVBE, "--document", "27/CV-CNTT", "--json")
    assert run.code == 0, run.err
    assert not signs_in(server, DVBE, run.json["password"])
    assert refusals(server)[-1]["reason"] == "password-due"


def test_a_password_needs_a_ground(command: Command, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reg. 15.2: the change that is due needs no more documents, any other one does; a reclaimed mailbox gets no password."""
    import io

    cntt, words = "cntt@mic.gov.vn", iter(["ngựa pin kẹp ghim\n", "pin ghim kẹp ngựa\n", "ghim ngựa pin kẹp\n"])
    set_it = ("--config", made, "password", "set", cntt, "--stdin")
    for code, more in ((0, ()), (1, ()), (0, ("--document", "27/CV"))):
        monkeypatch.setattr("sys.stdin", io.StringIO(next(words)))
        run = command(*set_it, *more)
        assert (run.code, "15.2" in run.err) == (code, code == 1), run.err
    audit = "".join(p.read_text() for p in (made.parent.parent / "data" / "log").glob("audit-*.jsonl"))
    assert '"password_set_refused"' in audit
    assert command("--config", made, "mailbox", "reclaim", cntt, "--reason", "giải thể").code == 0
    for words_of in (("set", cntt, "--stdin", "--document", "1/CV"), ("reset", cntt, "--document", "1/CV")):
        run = command("--config", made, "password", *words_of)
        assert (run.code, "reclaimed" in run.err) == (1, True), run.err


def test_without_a_terminal_no_password_is_asked_for(made: Path, tmp_path: Path) -> None:
    """Standard input that nobody types on: one sentence that names --stdin, and no warning about an echo."""
    program = [sys.executable, "-m", "mic_mail", "--config", str(made), "password", "set", "cntt@mic.gov.vn"]
    told = subprocess.run(program, input="ngựa pin kẹp ghim\n" * 2, capture_output=True, text=True, check=False, timeout=60)
    assert told.returncode == 2, told.stderr
    assert "--stdin" in told.stderr
    assert "Warning" not in told.stderr


# ---------------------------------------------------------------- status, store


def test_status_of_real_processes(command: Command, serve_processes: Callable[..., Any]) -> None:
    """`status` lists every process of a running server, and says 3 once it is gone."""
    server = serve_processes()
    server.start()
    told = command("--config", server.file, "status", "--json").json
    assert told["ready"]
    assert len(told["processes"]) >= 2
    assert "worker 0" in command("--config", server.file, "status").out
    server.terminate()
    assert command("--config", server.file, "status").code == 3


def deliver(server: "MailServer", count: int) -> None:
    import smtplib

    with smtplib.SMTP(server.host, server.ports["smtp"], timeout=20) as mx:
        for number in range(count):
            text = f"From: ban@example.org\r\nTo: {DVBE}\r\nSubject: số {number}\r\n\r\nxin chào\r\n"
            mx.sendmail("ban@example.org", [DVBE], text.encode(), ["SMTPUTF8"])


@pytest.mark.clause("10.1")
def test_repair_undelete_backup_and_restore(command: Command, running: tuple["MailServer", Path], tmp_path: Path) -> None:
    """Beside the running server: nothing to repair, the expunged comes back, a backup restores into the emptied mailbox."""
    import imaplib

    server, path = running
    deliver(server, 5)
    assert command("--config", path, "mailbox", "repair", "--check", "--json").json == []
    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=20) as client:
        client.authenticate("PLAIN", lambda _: f"\0{DVBE}\0{PASSWORD}".encode())
        client.select()
        client.store("1:2", "+FLAGS", r"(\Deleted)")
        client.expunge()
        listed = command("--config", path, "mailbox", "undelete", DVBE, "--list", "--json").json
        assert len(listed) == 2
        age = datetime.now(UTC) - datetime.fromisoformat(listed[0]["expunged_at"])
        assert abs(age) < timedelta(minutes=5), "instants are those of today's clock, not of 1970's Saigon"
        assert command("--config", path, "mailbox", "undelete", DVBE, "--json").json["restored"] == 2
        client.noop()
        assert client.search(None, "ALL")[1][0].split() == [b"1", b"2", b"3", b"4", b"5"]

    target = tmp_path / "backup"
    rows = command("--config", path, "backup", target, "--json").json
    assert [(row["address"], row["messages"]) for row in rows] == [(DVBE, 5)]
    assert command("--config", path, "backup", target).code == 2, "a backup is never written over"
    assert command("--config", path, "restore", DVBE, target).code == 1, "mail is not replaced unasked"
    told = command("--config", path, "restore", DVBE, target, "--replace", "--json")
    assert told.code == 0, told.err
    assert (told.json["messages"], told.json["findings"]) == (5, 0)
    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=20) as client:
        client.authenticate("PLAIN", lambda _: f"\0{DVBE}\0{PASSWORD}".encode())
        assert client.select()[1] == [b"5"]


# ------------------------------------------------------------ capabilities


def announced(server: "MailServer", address: str) -> list[str]:
    """What IMAP offers after sign-in."""
    import imaplib

    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=20) as client:
        client.authenticate("PLAIN", lambda _: f"\0{address}\0{PASSWORD}".encode())
        return client.capability()[1][0].decode().split()


def test_a_capability_is_hidden_from_one_mailbox(command: Command, running: tuple["MailServer", Path]) -> None:
    """From the next sign-in on, with what rests on it, and not from others; shown again likewise; reason on record."""
    server, path = running
    server.issue("khac")
    for _ in range(2):  # hiding twice is hiding
        hide = ("mailbox", "capability", DVBE, "--hide", "notify", "--hide", "CONDSTORE", "--reason", "Outlook 2013")
        answer = command("--config", path, *hide, "--json")
        assert answer.json == {"address": DVBE, "hidden": ["CONDSTORE", "NOTIFY"]}
    server.refresh()
    assert not {"NOTIFY", "CONDSTORE", "QRESYNC"} & set(announced(server, DVBE))
    assert {"NOTIFY", "CONDSTORE", "QRESYNC"} <= set(announced(server, "khac@mic.gov.vn"))
    assert command("--config", path, "mailbox", "capability", "--json").json == [
        {"address": DVBE, "hidden": ["CONDSTORE", "NOTIFY"]}
    ]
    show = command("--config", path, "mailbox", "capability", DVBE, "--show", "CONDSTORE", "--reason", "Outlook 2019")
    assert "hidden from the next sign-in on: NOTIFY." in show.err
    server.refresh()
    assert "QRESYNC" in announced(server, DVBE)
    acts = [json.loads(line) for file in server.config.log_dir.glob("audit*") for line in file.read_text().splitlines()]
    assert [act["reason"] for act in acts if act["act"] == "mailbox_capability"] == ["Outlook 2013"] * 2 + ["Outlook 2019"]


def test_read_marks_of_each(command: Command, running: tuple["MailServer", Path]) -> None:
    """`mailbox seen`: told, changed at once, on record; who is named again after a while begins as things stand then."""
    server, path = running
    group = server.issue("nhom", kind=MailboxKind.GROUP)
    server.issue("lan")
    server.allow(group, server.population.directory.mailbox(DVBE), "member")
    (row,) = command("--config", path, "mailbox", "seen", "--json").json
    assert (row["address"], row["seen"], row["seen_name"]["en"]) == (group.address, "one", "one for all")
    assert command("--config", path, "mailbox", "seen", DVBE, "each", "--reason", "x").code == 1
    assert "--reason is missing" in command("--config", path, "mailbox", "seen", group.address, "each").err
    answer = command("--config", path, "mailbox", "seen", group.address, "each", "--reason", "asked")
    assert "read marks: each person's own" in answer.err
    assert command("--config", path, "mailbox", "seen", group.address, "--json").json[0]["seen"] == "each"
    account = server.running.context.store.account(AccountRef(group.mailbox_id, group.home))
    known = AccountSidecar.read(str(server.config.mail_root / group.home / "Maildir"))
    assert known is not None
    assert known.readers == (DVBE, group.address)
    grant = ("mailbox", "grant", group.address, "lan@mic.gov.vn", "--as", "member", "--document", "1/QD")
    assert command("--config", path, *grant).code == 0
    for person in ("lan@mic.gov.vn", DVBE):
        server.running.context.store.account(account.ref, person).folders()
    begun = {person: _begun(account, person) for person in ("lan@mic.gov.vn", DVBE)}
    for person, at in begun.items():  # named again while it holds: goes on as it was
        assert command("--config", path, *grant[:3], person, *grant[4:]).code == 0
        server.running.context.store.account(account.ref, person).folders()
        assert _begun(account, person) == at
    assert command("--config", path, "mailbox", "revoke", group.address, DVBE, "--document", "2/QD").code == 0
    assert command("--config", path, *grant[:3], DVBE, *grant[4:]).code == 0
    server.running.context.store.account(account.ref, DVBE).folders()
    assert _begun(account, DVBE) > begun[DVBE]
    acts = [json.loads(line) for file in server.config.log_dir.glob("audit*") for line in file.read_text().splitlines()]
    assert [act["reason"] for act in acts if act["act"] == "mailbox_seen"] == ["asked"]


def _begun(account: "Account", person: str) -> int:
    with account._store.index.reading() as connection:
        reader = reader_seen_rows.find(connection, account.ref.account_id, person)
        assert reader is not None
        return reader.begun_modseq


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((DVBE, "--hide", "XYZZY", "--reason", "x"), "These can: "),
        ((DVBE, "--hide", "IMAP4rev1", "--reason", "x"), "cannot be hidden"),
        ((DVBE, "--hide", "IDLE"), "--reason is missing"),
        (("--hide", "IDLE", "--reason", "x"), "address is missing"),
        ((DVBE, "--hide", "IDLE", "--show", "idle", "--reason", "x"), "at once"),
    ],
)
def test_what_cannot_be_hidden(command: Command, made: Path, arguments: tuple[str, ...], says: str) -> None:
    """A slip is told, and nothing is hidden."""
    address = command("--config", made, "mailbox", "list", "--json").json[0]["address"]
    answer = command("--config", made, "mailbox", "capability", *[address if word == DVBE else word for word in arguments])
    assert answer.code == 2
    assert says in answer.err
    assert command("--config", made, "mailbox", "capability", "--json").json == []
