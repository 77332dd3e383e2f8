"""poplib, curl, fetchmail, mpop and getmail against a running server: what people and scripts fetch mail with."""

import mailbox
import poplib
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from faults.wire import Smtp
from population import PASSWORD

if TYPE_CHECKING:
    from harness import MailServer

ADDRESS = "dvbe@mic.gov.vn"
BODIES = [
    b"Subject: mot\r\n\r\n.\r\n..\r\n.a\r\nmot\r\n",
    "Subject: =?utf-8?q?hai?=\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHai Đỗ Văn Bê\r\n".encode(),
    b"Subject: ba\r\n\r\n" + b"x" * 900 + b"\r\n" + b"y\r\n" * 20_000,
]


def run(command: list[str], *, home: Path, codes: Iterable[int] = (0,)) -> bytes:
    """Run a program with a home folder of its own; its complaint is the test's."""
    done = subprocess.run(
        command,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "FETCHMAILHOME": str(home)},
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode in codes, (done.stdout + done.stderr).decode(errors="replace")[-3000:]
    return done.stdout


def deliver(server: "MailServer", bodies: Iterable[bytes] = BODIES) -> None:
    client = Smtp(server.ports["smtp"])
    for body in bodies:
        client.deliver([ADDRESS], body)
    client.close()


def left(server: "MailServer") -> int:
    """How many messages are in the mailbox."""
    client = poplib.POP3_SSL("localhost", server.ports["pop3s"], context=server.tls())
    client.user(ADDRESS)
    client.pass_(PASSWORD)
    messages = client.stat()[0]
    client.quit()
    return messages


def check(found: Iterable[bytes]) -> None:
    """What was fetched ends with what was sent, whatever the program did to line ends and put in front."""
    ends = sorted(octets.replace(b"\r\n", b"\n").rstrip(b"\n").partition(b"\n\n")[2] for octets in found)
    assert ends == sorted(body.replace(b"\r\n", b"\n").rstrip(b"\n").partition(b"\n\n")[2] for body in BODIES)


def in_maildir(folder: Path) -> list[bytes]:
    return [path.read_bytes() for part in ("new", "cur") for path in (folder / part).iterdir()]


# ------------------------------------------------------------------ poplib


@pytest.mark.clause("8.1", "13.2")
def test_poplib_fetches_and_deletes(mail_server: "MailServer") -> None:
    """By STLS and in UTF-8 mode: lists agree with one another, TOP is the beginning of RETR, unique-ids stay."""
    deliver(mail_server)
    client = poplib.POP3("localhost", mail_server.ports["pop3"])
    client.stls(mail_server.tls())
    client.utf8()
    client.user("dvbe")
    client.pass_(PASSWORD)
    count, octets = client.stat()
    assert count == len(BODIES)
    assert sum(int(row.split()[1]) for row in client.list()[1]) == octets
    unique = [row.split()[1] for row in client.uidl()[1]]
    check(b"\r\n".join(client.retr(number)[1]) + b"\r\n" for number in (1, 2, 3))
    whole, top = client.retr(3)[1], client.top(3, 5)[1]
    assert top == whole[: len(top)]
    assert len(top) == whole.index(b"") + 6
    client.dele(2)
    client.quit()
    again = poplib.POP3_SSL("localhost", mail_server.ports["pop3s"], context=mail_server.tls())
    again.user(ADDRESS)
    again.pass_(PASSWORD)
    assert [row.split()[1] for row in again.uidl()[1]] == [unique[0], unique[2]]
    again.quit()


# ------------------------------------------------------------------ curl


def curl(server: "MailServer", *arguments: str, home: Path, door: str = "pop3s", path: str = "") -> bytes:
    return run(
        [
            "curl", "-sS", "--ssl-reqd", "--cacert", str(server.config.certificate), "--user", f"{ADDRESS}:{PASSWORD}",
            f"{door}://localhost:{server.ports[door]}/{path}", *arguments,
        ],
        home=home,
    )  # fmt: skip


@pytest.mark.needs_tool("curl")
@pytest.mark.parametrize("door", ["pop3s", "pop3"])
def test_curl_lists_fetches_and_deletes(mail_server: "MailServer", tmp_path: Path, door: str) -> None:
    """curl does its things, over TLS from the first octet and over STLS."""
    deliver(mail_server)
    assert [row.split()[0] for row in curl(mail_server, home=tmp_path, door=door).splitlines()] == [b"1", b"2", b"3"]
    check(curl(mail_server, home=tmp_path, door=door, path=str(number)) for number in (1, 2, 3))
    rows = curl(mail_server, "-X", "UIDL", home=tmp_path, door=door).splitlines()
    assert [row.rpartition(b".")[2] for row in rows] == [b"1", b"2", b"3"]
    curl(mail_server, "-X", "DELE 1", "-l", home=tmp_path, door=door)
    assert left(mail_server) == 2


@pytest.mark.needs_tool("curl")
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
def test_curl_signs_in_by_each_mechanism(mail_server: "MailServer", tmp_path: Path, mechanism: str) -> None:
    """With an initial response and without, by a program that was not written by us."""
    if mechanism == "SCRAM-SHA-256" and b"gsasl" not in run(["curl", "--version"], home=tmp_path):
        pytest.skip("this curl has no SCRAM")
    for more in ((), ("--sasl-ir",)):
        assert curl(mail_server, "--login-options", f"AUTH={mechanism}", *more, home=tmp_path).strip() == b""


# ------------------------------------------------------------------ fetchmail

FETCHMAIL = """\
poll localhost protocol POP3 port {port} uidl
  user "dvbe@mic.gov.vn" password "{password}" {more}
  sslcertfile {certificate} sslcertck
  mda "/bin/sh -c 'cat > $(mktemp {home}/got/XXXXXXXX)'"
"""


@pytest.mark.needs_tool("fetchmail")
@pytest.mark.parametrize("door", ["pop3s", "pop3"])
def test_fetchmail(mail_server: "MailServer", tmp_path: Path, door: str) -> None:
    """With `keep` each message once, by its unique-id; without, all are deleted from the server."""
    (tmp_path / "got").mkdir()
    deliver(mail_server)

    def fetch(more: str, *, codes: Iterable[int] = (0,)) -> int:
        rc = tmp_path / "rc"
        ssl = "ssl" if door == "pop3s" else "sslproto TLS1.2+"
        rc.write_text(
            FETCHMAIL.format(
                port=mail_server.ports[door],
                password=PASSWORD,
                more=f"{more} {ssl}",
                certificate=mail_server.config.certificate,
                home=tmp_path,
            )
        )
        rc.chmod(0o600)
        run(["fetchmail", "-f", str(rc), "--pidfile", str(tmp_path / "pid"), "--nodetach", "-v"], home=tmp_path, codes=codes)
        return len(list((tmp_path / "got").iterdir()))

    assert fetch("keep") == 3
    check(path.read_bytes() for path in (tmp_path / "got").iterdir())
    assert fetch("keep", codes=(0, 1)) == 3
    assert left(mail_server) == 3
    assert fetch("fetchall nokeep") == 6
    assert left(mail_server) == 0


# ------------------------------------------------------------------ mpop

MPOP = """\
account ours
host localhost
port {port}
tls on
tls_starttls {starttls}
tls_trust_file {certificate}
tls_priorities NORMAL:-VERS-ALL:+VERS-TLS{version}
auth {mechanism}
user dvbe@mic.gov.vn
password "{password}"
keep {keep}
delivery maildir {home}/mail
uidls_file {home}/uidls
received_header off
"""


@pytest.mark.needs_tool("mpop")
@pytest.mark.parametrize(
    ("door", "mechanism", "version", "log"),
    [
        ("pop3s", "user", "1.3", "password"),
        ("pop3s", "plain", "1.3", "PLAIN"),
        ("pop3s", "login", "1.3", "LOGIN"),
        ("pop3", "on", "1.2", "SCRAM-SHA-256-PLUS"),  # in TLS 1.3 it insists on tls-exporter: docs/decisions/0012
    ],
)
def test_mpop(mail_server: "MailServer", tmp_path: Path, door: str, mechanism: str, version: str, log: str) -> None:
    """It pipelines: each message once, then all deleted; by the mechanisms that it knows."""
    mailbox.Maildir(str(tmp_path / "mail"))
    deliver(mail_server)

    def fetch(keep: str) -> list[bytes]:
        rc = tmp_path / "rc"
        rc.write_text(
            MPOP.format(
                port=mail_server.ports[door],
                starttls="on" if door == "pop3" else "off",
                certificate=mail_server.config.certificate,
                mechanism=mechanism,
                version=version,
                password=PASSWORD,
                keep=keep,
                home=tmp_path,
            )
        )
        rc.chmod(0o600)
        run(["mpop", "-C", str(rc), "ours"], home=tmp_path)
        return in_maildir(tmp_path / "mail")

    check(fetch("on"))
    check(fetch("on"))
    check(fetch("off"))
    assert left(mail_server) == 0
    entered = [(event["door"], event["mechanism"]) for event in mail_server.events() if event["event"] == "signed_in"]
    assert entered[0] == (door, log)


# ------------------------------------------------------------------ getmail

GETMAIL = """\
[retriever]
type = SimplePOP3SSLRetriever
server = localhost
port = {port}
username = dvbe@mic.gov.vn
password = {password}
ca_certs = {certificate}
[destination]
type = MDA_external
path = /bin/sh
arguments = ("-c", "cat > $(mktemp {home}/got/XXXXXXXX)")
allow_root_commands = true
unixfrom = false
[options]
delete = {delete}
read_all = false
delivered_to = false
received = false
"""


@pytest.mark.needs_tool("getmail")
def test_getmail(mail_server: "MailServer", tmp_path: Path) -> None:
    """Each message once, by its unique-id; then all deleted."""
    (tmp_path / "got").mkdir()
    deliver(mail_server)
    for delete, stay in (("false", 3), ("false", 3), ("true", 0)):
        (tmp_path / "rc").write_text(
            GETMAIL.format(
                port=mail_server.ports["pop3s"],
                password=PASSWORD,
                certificate=mail_server.config.certificate,
                home=tmp_path,
                delete=delete,
            )
        )
        run(["getmail", "--getmaildir", str(tmp_path), "--rcfile", str(tmp_path / "rc")], home=tmp_path)
        check(path.read_bytes() for path in (tmp_path / "got").iterdir())
        assert left(mail_server) == stay
