"""`mic-mail demo` as its first visitor meets it: one command, a table, mail to read, and every state at its door."""

import imaplib
import json
import os
import poplib
import signal
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from free_ports import free_base
from harness import config_for, open_to_others
from mic_mail.cli.commands.demo import MARKER, certify, claim, configuration
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.net.tls import TlsFront
from mic_mail.services.demo.population import DEMO, PASSWORD
from regulation.console import run_here
from waiting import PATIENCE_SECONDS, wait_for


class DemoServer:
    """One run of the command."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.base = free_base()
        command = [
            sys.executable,
            "-m",
            "mic_mail",
            "--lang",
            "vi",
            "demo",
            "--data",
            str(data),
            "--ports-from",
            str(self.base),
        ]
        self.out, self.log = data.with_suffix(f".{self.base}.out"), data.with_suffix(f".{self.base}.log")
        with self.out.open("wb") as out, self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--workers", "2", *options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=log, env={**os.environ, "COLUMNS": "200"},
            )  # fmt: skip
        self._until(lambda: "server_ready" in self.log.read_text())

    def _until(self, test: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
        wait_for(lambda: self.process.poll() is not None or bool(test()), self.log.read_text, seconds=seconds)
        assert self.process.poll() is None, self.log.read_text()

    def imap(self, local: str, password: str = PASSWORD) -> imaplib.IMAP4_SSL:
        context = ssl.create_default_context(cafile=str(self.data / "tls" / "cert.pem"))
        client = imaplib.IMAP4_SSL("127.0.0.1", self.base + 993, ssl_context=context, timeout=20)
        try:
            client.authenticate("PLAIN", lambda _: f"\0{local}@mic.gov.vn\0{password}".encode())
        except imaplib.IMAP4.error:
            client.shutdown()
            raise
        return client

    def stop(self) -> int:
        """Ctrl-C."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    server = DemoServer(tmp_path_factory.mktemp("demo") / "data", "--bench-users", "3")
    yield server
    server.stop()


@pytest.mark.clause("3.1")
def test_the_table_tells_everything(demo: DemoServer) -> None:
    """Every mailbox with its state, the common password, the ports to type in, and a log line per event."""
    table = demo.out.read_text()
    for member in DEMO:
        assert member.address in table
    for word in (PASSWORD, "khóa chức năng gửi", "tạm khóa", "phải đổi mật khẩu", "đã thu hồi", "SSL/TLS", "STARTTLS"):
        assert word in table
    for port in (993, 143, 465, 587, 25):
        assert str(demo.base + port) in table
    row = next(line for line in table.splitlines() if "htnam@" in line)
    assert " 92 " in row


def test_its_files_are_its_accounts_alone(demo: DemoServer) -> None:
    """Directory, keys, mail and log; the certificate is everybody's."""
    assert open_to_others(demo.data, demo.data / "tls" / "cert.pem") == []


def test_the_password_page_answers_where_the_table_says(demo: DemoServer) -> None:
    """And a mail program whose password is due is sent there (Reg. 7.3.c, 15.2)."""
    page = f"https://127.0.0.1:{demo.base + 443}/"
    assert page in demo.out.read_text()
    context = ssl.create_default_context(cafile=str(demo.data / "tls" / "cert.pem"))
    with httpx.Client(verify=context, timeout=20) as client:
        assert "<h1>Đăng nhập</h1>" in client.get(page).raise_for_status().text
    with pytest.raises(imaplib.IMAP4.error, match=page):
        demo.imap("lthoa")


def test_letters_folders_and_an_attachment(demo: DemoServer) -> None:
    """A readable mailbox has Vietnamese letters in several folders, unread ones among them, and one PDF."""
    client = demo.imap("dvbe")
    assert int(client.select()[1][0]) >= 4
    assert client.search(None, "UNSEEN")[1][0]
    structures = b" ".join(part for part in client.fetch("1:*", "(BODYSTRUCTURE)")[1] if isinstance(part, bytes))
    assert b'"application" "pdf"' in structures.lower()
    assert client.select('"C&APQ-ng v&AQM-n &AREevw-n"')[1] == [b"1"]
    assert client.select("Sent")[1] == [b"1"]
    client.logout()


@pytest.mark.parametrize(
    ("local", "code"), [("pqkhanh", "CONTACTADMIN"), ("lthoa", "EXPIRED"), ("vdminh", "AUTHENTICATIONFAILED")]
)
def test_states_at_the_imap_door(demo: DemoServer, local: str, code: str) -> None:
    """Suspended, password due and reclaimed are refused, each with its own code."""
    with pytest.raises(imaplib.IMAP4.error, match=code):
        demo.imap(local)


def test_a_leaver_reads_and_does_not_send(demo: DemoServer) -> None:
    """Reg. 6.4.c at both doors."""
    demo.imap("nvhung").logout()
    context = ssl.create_default_context(cafile=str(demo.data / "tls" / "cert.pem"))
    with smtplib.SMTP_SSL("127.0.0.1", demo.base + 465, context=context, timeout=20) as smtp:
        smtp.login("nvhung@mic.gov.vn", PASSWORD)
        assert smtp.mail("nvhung@mic.gov.vn")[0] == 550


def test_the_full_mailbox_is_full_on_paper_only(demo: DemoServer) -> None:
    """htnam uses 92 % of its gibibyte as links of one file, and was warned (Reg. 8.3.c)."""
    client = demo.imap("htnam")
    client.select()
    quota = client.getquotaroot("INBOX")[1][1][0]
    used, limit = (int(word.strip(b"()")) for word in quota.split()[2:4])
    assert 92 <= 100 * used / limit < 92.1
    headers = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
    assert any(b"full" in part[1].lower() or b"=?utf-8?" in part[1].lower() for part in headers if isinstance(part, tuple))
    client.logout()
    files = list((demo.data / "mail" / "mic.gov.vn" / "htnam" / "Maildir" / "cur").iterdir())
    assert len({file.stat().st_ino for file in files}) < len(files) / 2


def test_cleartext_is_refused_unless_asked_for(demo: DemoServer) -> None:
    """Without TLS nothing is offered and nothing works."""
    client = imaplib.IMAP4("127.0.0.1", demo.base + 143, timeout=20)
    assert "LOGINDISABLED" in client.capabilities
    with pytest.raises(imaplib.IMAP4.error):
        client.login("dvbe@mic.gov.vn", PASSWORD)
    client.shutdown()


def test_bench_users_sign_in(demo: DemoServer) -> None:
    """`--bench-users K` makes u0.. at bench.test with their simple password."""
    context = ssl.create_default_context(cafile=str(demo.data / "tls" / "cert.pem"))
    with imaplib.IMAP4_SSL("127.0.0.1", demo.base + 993, ssl_context=context, timeout=20) as client:
        assert client.login("u2@bench.test", "pass")[0] == "OK"


def test_its_mail_is_fetched_by_pop3(demo: DemoServer) -> None:
    """The POP3 doors are 110 and 995 more than what was asked for, and the table says so."""
    context = ssl.create_default_context(cafile=str(demo.data / "tls" / "cert.pem"))
    client = poplib.POP3("localhost", demo.base + 110, timeout=20)
    client.stls(context)
    client.user("dvbe@mic.gov.vn")
    client.pass_(PASSWORD)
    messages = client.stat()[0]
    client.quit()
    again = poplib.POP3_SSL("localhost", demo.base + 995, timeout=20, context=context)
    again.user("dvbe@mic.gov.vn")
    again.pass_(PASSWORD)
    assert len(again.uidl()[1]) == messages > 0
    again.quit()
    table = demo.out.read_text()
    assert f"{demo.base + 110} " in table
    assert f"{demo.base + 995} " in table


def test_commands_work_beside_it(demo: DemoServer) -> None:
    """The data folder has a configuration like any server's: other commands take it."""
    code, out, err = run_here(("--config", demo.data / "mic-mail.toml", "mailbox", "list", "--json"), {})
    assert code == 0, err
    rows = json.loads(out)
    assert {member.address for member in DEMO} <= {row["address"] for row in rows}


@pytest.mark.slow
def test_a_second_start_keeps_everything(tmp_path: Path) -> None:
    """Ctrl-C ends it with 0; the next start finds the mail as it was left, and `--cleartext` holds for that start."""
    first = DemoServer(tmp_path / "data")
    client = first.imap("dvbe")
    client.select()
    uids = client.uid("SEARCH", "ALL")[1][0]
    client.logout()
    assert first.stop() == 0
    again = DemoServer(tmp_path / "data", "--cleartext")
    try:
        plain = imaplib.IMAP4("127.0.0.1", again.base + 143, timeout=20)
        plain.login("dvbe@mic.gov.vn", PASSWORD)
        plain.select()
        assert set(uids.split()) <= set(plain.uid("SEARCH", "ALL")[1][0].split()), "a reminder may have come since"
        plain.logout()
    finally:
        assert again.stop() == 0


def test_a_certificate_that_has_ended_is_made_anew(tmp_path: Path) -> None:
    """Data of an old demonstration: the certificate holds today; one that holds is kept, as somebody has accepted it."""
    config, clock = config_for(tmp_path), ManualClock(SystemClock().now())
    certify(config, clock)
    first = config.certificate.read_bytes()
    certify(config, clock)
    assert config.certificate.read_bytes() == first
    clock.move_to(clock.now() + timedelta(days=1000))
    certify(config, clock)
    assert TlsFront(config.certificate, config.key).ends_at > clock.now()


def command(*arguments: object) -> tuple[int, str]:
    """The exit code and the errors of a command that ends before it serves, in English."""
    code, _, err = run_here(("--lang", "en", *arguments), {})
    return code, err


def test_a_folder_with_other_things_is_never_touched(tmp_path: Path) -> None:
    """A real server's data folder (or anything else that holds files) is refused with exit 1, and every octet stays."""
    (tmp_path / "mic-mail.toml").write_text("# a real server\n")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, err = command("demo", "--data", tmp_path)
    assert (code, "something other than" in err) == (1, True), err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_demonstration_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    """The marker comes before anything else, so a folder is known again whenever a start was killed; so are older ones."""
    for name in ("new", "older", "begun"):
        (tmp_path / name).mkdir()
    (tmp_path / "older" / "population-complete").touch()
    (tmp_path / "begun" / MARKER).touch()
    (tmp_path / "begun" / "directory.sqlite").touch()
    for name in ("missing", "new", "older", "begun"):
        claim(tmp_path / name)
        assert (tmp_path / name / MARKER).exists()


def test_a_second_demonstration_changes_nothing_of_the_first(demo: DemoServer) -> None:
    """Exit 3 and "already running", and the file still says what the running one was started with."""
    path = demo.data / "mic-mail.toml"
    before = path.read_bytes()
    program = [sys.executable, "-m", "mic_mail", "--lang", "en", "demo", "--data", str(demo.data), "--ports-from", "32000"]
    second = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert (second.returncode, "already running" in second.stderr) == (3, True), second.stderr
    assert path.read_bytes() == before


def test_what_was_edited_in_the_file_stays(tmp_path: Path) -> None:
    """Ports, workers and `--cleartext` are those of this start; the rest is what the file says, wherever the folder is now."""
    path = tmp_path / "moved" / "mic-mail.toml"
    path.parent.mkdir()
    path.write_text(
        '[server]\ndata_dir = "/elsewhere"\n[listen]\nsmtp = 9\nimap = 9\n[quota]\ndefault = "3 GiB"\n[smtp]\nerrors = 7\n'
    )
    config = configuration(path, ports_from=4000, workers=3, cleartext=True)
    assert (config.quota.default, config.smtp.errors) == (3 << 30, 7)
    assert (config.listen.smtp, config.listen.imaps, config.process.workers, config.auth.cleartext) == (4025, 4993, 3, True)
    assert config.server.data_dir == tmp_path / "moved"
    first = configuration(tmp_path / "new" / "mic-mail.toml", ports_from=0, workers=0, cleartext=False)
    assert first.listen.addresses == ("127.0.0.1",)
    assert "http" not in first.listen.doors


@pytest.mark.parametrize(("data", "code"), [("/proc/x", 3), ("a-file", 2), ("a-file/below", 3)])
def test_a_place_that_cannot_be_a_folder_is_told(data: str, code: int, tmp_path: Path) -> None:
    """A sentence and what to do, not an error that nobody foresaw."""
    (tmp_path / "a-file").touch()
    ended, err = command("demo", "--data", tmp_path / data)
    assert (ended, "--data" in err, "Unexpected" in err) == (code, True, False), err


def test_the_help_desk_is_there(demo: DemoServer) -> None:
    """The addresses that every refusal names receive mail."""
    with smtplib.SMTP("127.0.0.1", demo.base + 25, timeout=20) as smtp:
        for local in ("support", "abuse"):
            text = "From: ban@example.org\r\nTo: support@mic.gov.vn\r\nSubject: x\r\n\r\nxin chao\r\n"
            assert smtp.sendmail("ban@example.org", f"{local}@mic.gov.vn", text) == {}
    client = demo.imap("cntt")
    client.select()
    assert len(client.search(None, "FROM", "ban@example.org")[1][0].split()) == 2
    client.logout()
