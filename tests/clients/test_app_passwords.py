"""App passwords at each door, by the libraries and programs that people have; all on one server."""

import contextlib
import imaplib
import poplib
import smtplib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

import programs
from clients.mail_programs import MBSYNC, names, run
from harness import MailServer, config_for, stopping
from ldap_client import BASE
from mic_mail.auth import totp
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.credentials.app_passwords import AppPasswordScope
from mic_mail.services.authentication.app_passwords import Added, AppPasswords
from mic_mail.services.authentication.second_factors import SecondFactors
from waiting import wait_for

OWN = "mat khau 2026 dung de thu"
"""In ASCII: smtplib and imaplib send nothing else."""
DOORS = ("imaps", "pop3s", "submissions", "ldaps", "https")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    server = MailServer(config_for(tmp_path_factory.mktemp("apps"), {"listen": {"doors": DOORS}}))
    with stopping([server]):
        yield server


def make(server: MailServer, local: str, *doors: AppPasswordScope, name: str = "máy") -> Added:
    """Another one of a mailbox; the server knows it at once."""
    mailbox = server.population.directory.mailbox(f"{local}@mic.gov.vn")
    service = AppPasswords(server.population.directory, server.config, server.clock)
    added = service.add(mailbox.mailbox_id, name, doors, ActContext(mailbox.address))
    server.refresh()
    return added


def revoke(server: MailServer, local: str) -> None:
    mailbox = server.population.directory.mailbox(f"{local}@mic.gov.vn")
    AppPasswords(server.population.directory, server.config, server.clock).revoke(mailbox.mailbox_id, None, ActContext("test"))
    server.refresh()


def by_imap(server: MailServer, user: str, password: str) -> str:
    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=20) as client:
        try:
            client.login(user, password)
        except imaplib.IMAP4.error as error:
            return str(error)
    return "in"


def by_pop3(server: MailServer, user: str, password: str) -> str:
    client = poplib.POP3_SSL("localhost", server.ports["pop3s"], context=server.tls(), timeout=20)
    with contextlib.closing(client):
        client.user(user)
        try:
            client.pass_(password)
        except poplib.error_proto as error:
            return str(error)
    return "in"


def by_smtp(server: MailServer, user: str, password: str) -> str:
    with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls(), timeout=20) as client:
        try:
            client.login(user, password)
        except smtplib.SMTPAuthenticationError as error:
            return str(error)
        client.sendmail(user, [user], b"From: %s\r\nSubject: x\r\n\r\nx\r\n" % user.encode())
    return "in"


def by_ldap(server: MailServer, user: str, password: str) -> str:
    programs.need("ldapsearch")
    url = f"ldaps://127.0.0.1:{server.ports['ldaps']}"
    command = ["ldapsearch", "-x", "-LLL", "-H", url, "-D", user, "-w", password, "-b", BASE, f"(mail={user})", "cn"]
    env = {"LDAPTLS_CACERT": str(server.config.certificate), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    return "in" if names(done.stdout) else f"{done.returncode} {done.stderr}"


def by_carddav(server: MailServer, user: str, password: str) -> str:
    base, auth = f"https://localhost:{server.ports['https']}", httpx.BasicAuth(user.encode(), password.encode())
    with httpx.Client(base_url=base, verify=server.tls(), auth=auth, timeout=20) as client:
        answer = client.request("PROPFIND", "/dav/", headers={"depth": "0"})
    return "in" if answer.status_code == 207 else str(answer.status_code)


WAYS: dict[AppPasswordScope, Callable[[MailServer, str, str], str]] = {
    AppPasswordScope.IMAP: by_imap,
    AppPasswordScope.POP3: by_pop3,
    AppPasswordScope.SUBMISSION: by_smtp,
    AppPasswordScope.LDAP: by_ldap,
    AppPasswordScope.CARDDAV: by_carddav,
}
ELSEWHERE = {
    AppPasswordScope.IMAP: "another service",
    AppPasswordScope.POP3: "[AUTH]",
    AppPasswordScope.SUBMISSION: "534",
    AppPasswordScope.LDAP: "49 ",
    AppPasswordScope.CARDDAV: "401",
}


@pytest.mark.clause("15.2")
@pytest.mark.parametrize("door", list(AppPasswordScope))
def test_it_opens_the_door_until_it_is_revoked(server: MailServer, door: AppPasswordScope) -> None:
    """Made for all, made for this door, made for the others; then revoked."""
    local, way = f"cua_{door}", WAYS[door]
    server.issue(local, password=OWN)
    user = f"{local}@mic.gov.vn"
    everywhere, here = make(server, local), make(server, local, door, name="đây")
    others = make(server, local, *(other for other in AppPasswordScope if other is not door), name="khác")
    assert way(server, user, everywhere.password) == "in"
    assert way(server, user, here.password) == "in"
    assert ELSEWHERE[door] in way(server, user, others.password)
    assert way(server, user, OWN) == "in"
    revoke(server, local)
    assert way(server, user, everywhere.password) != "in"
    assert way(server, user, OWN) == "in"


@pytest.mark.clause("15.2")
@pytest.mark.parametrize("door", list(AppPasswordScope))
def test_with_a_second_factor_it_alone_opens_the_door(server: MailServer, door: AppPasswordScope) -> None:
    """The own password is refused as at a door that it was not made for; what is wrong is told to nobody."""
    local, way = f"hai_{door}", WAYS[door]
    mailbox = server.issue(local, password=OWN)
    user = mailbox.address
    app = make(server, local)
    factors, secret = SecondFactors(server.population.directory, server.config, server.clock), totp.make_secret()
    code = totp.code(secret, int(server.clock.now().timestamp() // 30))
    factors.enrol(mailbox.mailbox_id, 1, secret, code, ActContext(user))
    server.refresh()
    refused = way(server, user, OWN)
    assert (
        "second factor"
        if door in {AppPasswordScope.IMAP, AppPasswordScope.POP3, AppPasswordScope.SUBMISSION}
        else ELSEWHERE[door]
    ) in refused
    assert "second factor" not in way(server, user, "wrong")
    assert way(server, user, app.password) == "in"


@pytest.mark.needs_tool("mbsync")
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "PLAIN"])
def test_mbsync_proves_an_app_password(server: MailServer, tmp_path: Path, mechanism: str) -> None:
    """Cyrus SASL's client, by SCRAM against keys of which the mailbox has several (RFC 5802 §3)."""
    if not server.population.directory.is_taken("dvbe@mic.gov.vn"):
        server.issue("dvbe")
    make(server, "dvbe", name=f"khác {mechanism}")
    added = make(server, "dvbe", name=mechanism)
    text = MBSYNC.format(
        port=server.ports["imaps"], password=added.password, home=tmp_path, certificate=server.config.certificate
    )
    text = text.replace('Pass "', f'AuthMechs {mechanism}\nPass "')
    (tmp_path / "mbsyncrc").write_text(text)
    (tmp_path / "mail").mkdir()
    run(["mbsync", "-c", str(tmp_path / "mbsyncrc"), "-a"], home=tmp_path)
    wanted = added.fact.seq, mechanism
    wait_for(
        lambda: any((each.get("app_password"), each.get("mechanism")) == wanted for each in server.events()), server.events
    )
