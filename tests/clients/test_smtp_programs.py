"""Programs that people and scripts send with: curl, swaks, msmtp, aiosmtplib; each signs in its own way and is content."""

import base64
import hashlib
import hmac
import smtplib
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import aiosmtplib
import pytest

from harness import MailServer
from mic_mail.config.model import Config
from population import PASSWORD

LETTER = """\
From: Đỗ Văn Bê <dvbe@mic.gov.vn>
To: ttlan@mic.gov.vn
Subject: Công văn
Date: Tue, 24 Nov 2026 10:00:00 +0700

Kính gửi.
.
..
"""
BODY = b"K\xc3\xadnh g\xe1\xbb\xadi.\r\n.\r\n..\r\n"


def run(*command: str, stdin: str = "") -> str:
    done = subprocess.run(command, input=stdin.encode(), capture_output=True, timeout=30, check=False)
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == 0, said
    return said


def inbox(server: MailServer) -> list[bytes]:
    server.call(server.running.context.mailflow.settle())
    return [path.read_bytes() for path in (server.config.mail_root / "mic.gov.vn/ttlan/Maildir/cur").iterdir()]


@pytest.mark.needs_tool("curl")
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
@pytest.mark.parametrize("door", ["submission", "submissions"])
def test_curl(mail_server: MailServer, tmp_path: Path, door: str, mechanism: str) -> None:
    """STARTTLS and implicit TLS with the certificate checked, each mechanism that curl has."""
    letter = tmp_path / "letter"
    letter.write_text(LETTER, newline="\r\n")
    scheme = "smtps" if door == "submissions" else "smtp"
    if mechanism.startswith("SCRAM") and "gsasl" not in run("curl", "--version").lower():
        pytest.skip("this curl has no SCRAM")
    run(
        "curl", "-sv", "--ssl-reqd", "--cacert", str(mail_server.config.certificate), f"{scheme}://localhost:{mail_server.ports[door]}/x",
        "--login-options", f"AUTH={mechanism}", "--user", f"dvbe@mic.gov.vn:{PASSWORD}",
        "--mail-from", "dvbe@mic.gov.vn", "--mail-rcpt", "ttlan@mic.gov.vn", "--upload-file", str(letter),
    )  # fmt: skip
    (message,) = inbox(mail_server)
    assert message.endswith(BODY)
    assert b"with ESMTPSA (TLSv1.3 " in message


@pytest.mark.needs_tool("swaks")
@pytest.mark.parametrize("pipeline", [[], ["--pipeline"]])
def test_swaks(serve: Callable[..., MailServer], pipeline: list[str]) -> None:
    """AUTH LOGIN where cleartext is allowed (its TLS needs one more Perl module), also with PIPELINING; to two recipients."""
    server = serve({"auth": {"cleartext": True}})
    server.issue("dvbe")
    server.issue("ttlan")
    run(
        "swaks", "--server", "localhost", "--port", str(server.ports["submission"]), "--auth", "LOGIN",
        "--auth-user", "dvbe@mic.gov.vn", "--auth-password", PASSWORD, "--from", "dvbe@mic.gov.vn",
        "--to", "ttlan@mic.gov.vn,dvbe+copy@mic.gov.vn", "--header", "Subject: x", *pipeline,
    )  # fmt: skip
    assert len(inbox(server)) == 1


@pytest.mark.needs_tool("msmtp")
@pytest.mark.parametrize("mechanism", ["plain", "login"])
def test_msmtp(mail_server: MailServer, tmp_path: Path, mechanism: str) -> None:
    """Delivery report parameters, implicit TLS, each mechanism; it removes Bcc itself (RFC 5322 §3.6.3)."""
    if mechanism not in run("msmtp", "--version"):
        pytest.skip(f"this msmtp has no {mechanism}")
    settings = tmp_path / "msmtprc"
    settings.write_text(
        f"account default\nhost localhost\nport {mail_server.ports['submissions']}\ntls on\ntls_starttls off\n"
        f"tls_trust_file {mail_server.config.certificate}\n"
        f"auth {mechanism}\nuser dvbe@mic.gov.vn\npasswordeval printf %s '{PASSWORD}'\n"
        "from dvbe@mic.gov.vn\ndsn_notify failure,delay\ndsn_return headers\n"
    )
    settings.chmod(0o600)
    run("msmtp", "-C", str(settings), "ttlan@mic.gov.vn", stdin="Bcc: ttlan@mic.gov.vn\n" + LETTER)
    (message,) = inbox(mail_server)
    assert message.endswith(BODY)
    assert b"\r\nBcc:" not in message


@pytest.mark.needs_tool("msmtp")
@pytest.mark.parametrize(("version", "mechanism"), [("1.2", "SCRAM-SHA-256-PLUS"), ("1.3", "PLAIN")])
def test_msmtp_chooses_for_itself(serve: Callable[..., MailServer], tmp_path: Path, version: str, mechanism: str) -> None:
    """`auth on` signs in by default: bound by tls-unique in TLS 1.2, by PLAIN in TLS 1.3 (`docs/decisions/0012`)."""
    mail_server = serve({"auth": {"scram_in_tls13": Config().auth.scram_in_tls13}})
    for local in ("dvbe", "ttlan"):
        mail_server.issue(local)
    settings = tmp_path / "msmtprc"
    settings.write_text(
        f"account default\nhost localhost\nport {mail_server.ports['submission']}\ntls on\ntls_starttls on\n"
        f"tls_trust_file {mail_server.config.certificate}\ntls_priorities NORMAL:-VERS-ALL:+VERS-TLS{version}\n"
        f"auth on\nuser dvbe@mic.gov.vn\npasswordeval printf %s '{PASSWORD}'\nfrom dvbe@mic.gov.vn\n"
    )
    settings.chmod(0o600)
    run("msmtp", "-C", str(settings), "ttlan@mic.gov.vn", stdin=LETTER)
    (message,) = inbox(mail_server)
    assert f"SMTPSA (TLSv{version} ".encode() in message
    mail_server.running.context.log.flush()
    entered = [event["mechanism"] for event in mail_server.events() if event["event"] == "signed_in"]
    assert entered == [mechanism]


async def test_aiosmtplib(mail_server: MailServer) -> None:
    """The library that our own outbound queue uses: STARTTLS, sign-in, SMTPUTF8."""
    client = aiosmtplib.SMTP(
        hostname="localhost", port=mail_server.ports["submission"], start_tls=True, tls_context=mail_server.tls(), timeout=10
    )
    async with client:
        await client.ehlo()
        await client.auth_plain("dvbe@mic.gov.vn", PASSWORD)
        await client.sendmail(
            "dvbe@mic.gov.vn", "ttlan@mic.gov.vn", LETTER.encode(), mail_options=["SMTPUTF8", "BODY=8BITMIME"]
        )
        refused = await client.execute_command(b"MAIL", "FROM:<đỗ@mic.gov.vn> SMTPUTF8".encode())
    assert refused.code == 550
    assert "không thuộc hộp thư của Ông/Bà" in refused.message
    (message,) = inbox(mail_server)
    assert b"with UTF8SMTPSA " in message


def bound_by(kind: str, session: ssl.SSLSocket) -> bytes:
    """The octets that a client binds to (RFC 5929)."""
    if kind == "tls-unique":
        return session.get_channel_binding(kind) or b""
    return hashlib.sha256(session.getpeercert(binary_form=True) or b"").digest()


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("TLSv1_3", None),
        ("TLSv1_3", "tls-server-end-point"),
        ("TLSv1_2", "tls-server-end-point"),
        ("TLSv1_2", "tls-unique"),
    ],
)
def test_scram(mail_server: MailServer, version: str, kind: str | None) -> None:
    """RFC 7677 over RFC 4954: the password never travels, and the server proves that it knows the keys."""
    mail_server.issue("nvan", password="mat khau an toan")
    context = mail_server.tls()
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    with smtplib.SMTP("localhost", mail_server.ports["submission"], timeout=10) as client:
        client.starttls(context=context)
        client.ehlo()
        mechanism = "SCRAM-SHA-256-PLUS" if kind else "SCRAM-SHA-256"
        assert mechanism in client.esmtp_features["auth"].split()
        assert isinstance(client.sock, ssl.SSLSocket)
        prefix, binding = (f"p={kind},,".encode(), bound_by(kind, client.sock)) if kind else (b"n,,", b"")
        bare = b"n=nvan@mic.gov.vn,r=nonce-of-the-client"
        code, first = client.docmd("AUTH", f"{mechanism} {base64.b64encode(prefix + bare).decode()}")
        assert code == 334
        challenge = base64.b64decode(first)
        fields = dict(part.split(b"=", 1) for part in challenge.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", b"mat khau an toan", base64.b64decode(fields[b"s"]), int(fields[b"i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        final = b"c=" + base64.b64encode(prefix + binding) + b",r=" + fields[b"r"]
        said = b",".join((bare, challenge, final))
        proof = bytes(a ^ b for a, b in zip(key, hmac.digest(hashlib.sha256(key).digest(), said, "sha256"), strict=True))
        code, last = client.docmd(base64.b64encode(final + b",p=" + base64.b64encode(proof)).decode())
        assert code == 334
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        assert base64.b64decode(last) == b"v=" + base64.b64encode(hmac.digest(server_key, said, "sha256"))
        assert client.docmd("")[0] == 235
        assert client.mail("nvan@mic.gov.vn")[0] == 250
