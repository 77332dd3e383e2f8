"""No password that anybody types comes into the log, on the terminal or into what a value shows of itself (Reg. 10.2)."""

import base64
import imaplib
import json
import poplib
import smtplib
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from harness import MailServer, config_for
from mic_mail.auth.sasl import CheckPassword
from mic_mail.auth.verifier import PasswordAttempt
from mic_mail.config.load import load
from mic_mail.config.manual import write
from population import PASSWORD, credential
from unit.web.conftest import Browser

WRONG = "Sai-Mật-Khẩu-77123-đó"
IN_THE_NAME = "Trong-Ten-88231"
"""People type it into the field for the name."""
SECRETS = (PASSWORD, WRONG, IN_THE_NAME)
DOORS = ("submission", "submissions", "imap", "imaps", "pop3", "pop3s", "ldap", "ldaps", "https")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "leaked.txt").write_text("x\n")
    settings = {"listen": {"doors": DOORS}, "auth": {"leaked_passwords": folder / "leaked.txt"}}
    server = MailServer(config_for(folder / "data", settings))
    server.issue("dvbe")
    yield server
    server.stop()


def at_imap(server: MailServer, user: str, password: str) -> None:
    for way in ("LOGIN", "PLAIN"):
        client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls())
        try:
            if way == "LOGIN":
                client.literal = password.encode()  # type: ignore[attr-defined]
                client._simple_command("LOGIN", f'"{user}"')  # type: ignore[attr-defined]
            else:
                client.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())
        except imaplib.IMAP4.error:
            pass
        client.shutdown()


def at_pop3(server: MailServer, user: str, password: str) -> None:
    client = poplib.POP3_SSL("localhost", server.ports["pop3s"], context=server.tls())
    client.encoding = "UTF-8"
    try:
        client.user(user)
        client.pass_(password)
    except poplib.error_proto:
        pass
    client.close()


def at_smtp(server: MailServer, user: str, password: str) -> None:
    for way in ("PLAIN", "LOGIN", "in the line"):
        with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls()) as client:
            client.ehlo()
            coded = [base64.b64encode(text.encode()).decode() for text in (f"\0{user}\0{password}", user, password)]
            if way == "PLAIN":
                client.docmd("AUTH", f"PLAIN {coded[0]}")
            elif way == "LOGIN":
                for line in ("AUTH LOGIN", *coded[1:]):
                    client.docmd(line)
            else:  # nonsense of a broken program
                client.docmd("AUTH", f"PLAIN {coded[0]} {coded[2]}")
                client.docmd(f"AUTH {coded[2]}")
                client.docmd(coded[2])


def at_ldap(server: MailServer, user: str, password: str) -> None:
    subprocess.run(
        ["ldapwhoami", "-x", "-H", f"ldaps://localhost:{server.ports['ldaps']}", "-D", user, "-w", password],
        capture_output=True, timeout=30, check=False, env={"LDAPTLS_REQCERT": "never", "PATH": "/usr/bin"},
    )  # fmt: skip


def at_the_page(server: MailServer, user: str, password: str) -> None:
    browser = Browser(server)
    browser.get("/")
    browser.post("/sign-in", {"address": user, "password": password})
    browser.get("/")
    browser.client.get("/", params={"password": password})
    browser.close()


def at_carddav(server: MailServer, user: str, password: str) -> None:
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    with httpx.Client(base_url=f"https://localhost:{server.ports['https']}", verify=server.tls()) as client:
        client.request("PROPFIND", "/.well-known/carddav", headers={"authorization": f"Basic {basic}"}, follow_redirects=True)


def forms(secret: str) -> list[bytes]:
    """As it might stand somewhere."""
    octets = secret.encode()
    coded = [base64.b64encode(octets), base64.b64encode(f"\0dvbe@mic.gov.vn\0{secret}".encode())]
    return [octets, *coded, octets.hex().encode(), urllib.parse.quote(secret).encode(), json.dumps(secret)[1:-1].encode(),
            repr(octets)[2:-1].encode(), urllib.parse.quote_plus(secret).encode()]  # fmt: skip


@pytest.mark.clause("10.2")
@pytest.mark.parametrize(
    "sign_in",
    [
        at_imap,
        at_pop3,
        at_smtp,
        pytest.param(at_ldap, marks=pytest.mark.needs_tool("ldapwhoami")),
        at_the_page,
        at_carddav,
    ],
)
def test_every_door(
    server: MailServer, capfd: pytest.CaptureFixture[str], sign_in: Callable[[MailServer, str, str], None]
) -> None:
    """The right one, wrong ones, one in the place of the name: nothing of them is in the log or on the terminal."""
    before = [event["event"] for event in server.events()].count("signed_in")
    sign_in(server, "dvbe@mic.gov.vn", PASSWORD)
    server.running.context.log.flush()
    assert [event["event"] for event in server.events()].count("signed_in") > before
    sign_in(server, "dvbe@mic.gov.vn", WRONG)
    sign_in(server, IN_THE_NAME, WRONG)
    sign_in(server, f"{IN_THE_NAME}@mic.gov.vn", PASSWORD)
    server.running.context.log.flush()
    written = b"".join(path.read_bytes() for path in Path(server.config.log_dir).glob("*.jsonl"))
    said = "".join(capfd.readouterr()).encode()
    assert b"sign_in_refused" in written
    lowered = written.lower() + said.lower()
    for secret in SECRETS:
        assert [form for form in forms(secret) if form.lower() in lowered] == [], sign_in


def test_nothing_else_holds_them(server: MailServer) -> None:
    """Files of the server, but for the mailboxes: not what was typed, not the secret that processes share."""
    secret = server.running.context.secret
    for path in server.config.server.data_dir.rglob("*"):
        if path.is_file() and not path.is_socket():
            octets = path.read_bytes()
            assert not any(form in octets for typed in SECRETS for form in forms(typed)), path
            assert not secret or (secret not in octets and secret.hex().encode() not in octets), path


def test_what_values_show_of_themselves(server: MailServer, tmp_path: Path) -> None:
    """Claims, credentials, the whole configuration, a server: their `repr` goes into tracebacks."""
    file = tmp_path / "mic-mail.toml"
    file.write_text(write(server.config))
    known = credential(PASSWORD)
    shown = repr([
        PasswordAttempt("dvbe@mic.gov.vn", known, WRONG), CheckPassword("dvbe@mic.gov.vn", WRONG), known, known.scram,
        server.config, load(file), server.running.server, server.running.context,
        server.population.directory.entry(server.population.directory.mailbox("dvbe@mic.gov.vn").mailbox_id),
    ])  # fmt: skip
    assert known.scram is not None
    hidden = [known.argon2, repr(known.scram.stored_key)[2:-1], repr(known.scram.server_key)[2:-1], *SECRETS]
    hidden.append(repr(server.running.context.secret)[2:-1] or "-" * 50)
    assert [secret for secret in hidden if secret in shown] == []
