"""mbsync, neomutt and curl against a running server: whole programs that people and scripts use."""

import hashlib
import re
import smtplib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import imapclient
import pytest

from clients.mail_programs import MBSYNC, run
from population import PASSWORD

if TYPE_CHECKING:
    from harness import MailServer

MESSAGES = 500


@pytest.fixture
def client(mail_server: "MailServer") -> Iterator[imapclient.IMAPClient]:
    with imapclient.IMAPClient("localhost", mail_server.ports["imaps"], ssl_context=mail_server.tls()) as session:
        session.plain_login("dvbe@mic.gov.vn", PASSWORD)
        yield session


def message(number: int) -> bytes:
    text = f"Nội dung số {number}\n" * (number % 40 + 1)
    head = f"From: dvbe@mic.gov.vn\nTo: ttlan@mic.gov.vn\nSubject: =?utf-8?q?S=E1=BB=91?= {number}\nMessage-ID: <{number}@x>\n"
    return f"{head}\n{text}".replace("\n", "\r\n").encode()


# ------------------------------------------------------------------ mbsync

FLAG_LETTERS = {b"\\Seen": "S", b"\\Flagged": "F", b"\\Answered": "R", b"\\Draft": "D"}


def here(home: Path, folder: str) -> dict[str, str]:
    """Digest -> flags of the local side. mbsync adds an X-TUID line to what it uploads, and stores LF."""
    found = {}
    for path in [*(home / "mail" / folder / "cur").iterdir(), *(home / "mail" / folder / "new").iterdir()]:
        flags = path.name.partition(":2,")[2]
        found[digest(path.read_bytes())] = "".join(sorted(set(flags) & set("SFRD")))
    return found


def there(client: imapclient.IMAPClient, folder: str) -> dict[str, str]:
    client.select_folder(folder)
    data = client.fetch(client.search("ALL"), ["BODY.PEEK[]", "FLAGS"])
    return {
        digest(one[b"BODY[]"]): "".join(sorted(FLAG_LETTERS[flag] for flag in one[b"FLAGS"] if flag in FLAG_LETTERS))
        for one in data.values()
    }


def digest(octets: bytes) -> str:
    octets = re.sub(rb"X-TUID: [^\n]*\n", b"", octets.replace(b"\r\n", b"\n"))
    return hashlib.sha256(octets).hexdigest()


@pytest.mark.needs_tool("mbsync")
def test_mbsync_keeps_two_sides_equal(mail_server: "MailServer", client: imapclient.IMAPClient, tmp_path: Path) -> None:
    """500 messages with flags, changed, moved and deleted on both sides, are equal by digest on both after each sync."""
    (tmp_path / "mail").mkdir()
    (tmp_path / ".mbsyncrc").write_text(
        MBSYNC.format(
            port=mail_server.ports["imaps"], password=PASSWORD, certificate=mail_server.config.certificate, home=tmp_path
        )
    )
    flags = list(FLAG_LETTERS)
    for number in range(MESSAGES):
        client.append("INBOX", message(number), flags=[flag for i, flag in enumerate(flags) if number >> i & 1])

    def sync_and_compare() -> int:
        run(["mbsync", "-a"], home=tmp_path)
        for folder in ("INBOX", "Archive"):
            near, far = here(tmp_path, folder), there(client, folder)
            assert near == far, f"{folder}: {len(near)} here, {len(far)} there"
        return len(here(tmp_path, "INBOX"))

    assert sync_and_compare() == MESSAGES
    # There: flags, a move, an expunge. Here: new messages, flags, deletions.
    client.select_folder("INBOX")
    uids = client.search("ALL")
    client.add_flags(uids[:50], [b"\\Seen", b"\\Flagged"])
    client.move(uids[50:80], "Archive")
    client.delete_messages(uids[80:100])
    client.expunge()
    local = sorted((tmp_path / "mail/INBOX/cur").iterdir())
    for path in local[-40:-20]:
        path.rename(path.with_name(path.name.partition(":2,")[0] + ":2,R"))
    for path in local[-20:]:
        path.unlink()
    for number in range(10):
        (tmp_path / f"mail/INBOX/new/170000000{number}.x.local").write_bytes(message(1000 + number).replace(b"\r\n", b"\n"))
    sync_and_compare()
    assert sync_and_compare() <= MESSAGES - 30 - 20 - 20 + 10 + 20, "what was deleted on one side is gone on both"


# ------------------------------------------------------------------ neomutt

NEOMUTTRC = """\
set folder = "imaps://localhost:{port}/"
set spoolfile = "+INBOX"
set imap_user = "dvbe@mic.gov.vn"
set imap_pass = "{password}"
set ssl_starttls = no
set ssl_force_tls = yes
set certificate_file = {certificate}
set ssl_verify_host = no
set header_cache = ""
set imap_qresync = {qresync}
set imap_condstore = yes
set sort = mailbox-order
set confirmappend = no
set delete = yes
set move = no
set mark_old = no
set resolve = no
"""


@pytest.mark.needs_tool("neomutt", "script")
@pytest.mark.parametrize("qresync", ["yes", "no"])
def test_neomutt_reads_flags_saves_and_deletes(
    mail_server: "MailServer", client: imapclient.IMAPClient, tmp_path: Path, qresync: str
) -> None:
    """neomutt opens the INBOX, flags the first message, saves the second to a folder and deletes the third."""
    for number in range(3):
        client.append("INBOX", message(number))
    (tmp_path / ".neomuttrc").write_text(
        NEOMUTTRC.format(
            port=mail_server.ports["imaps"], password=PASSWORD, certificate=mail_server.config.certificate, qresync=qresync
        )
    )
    keys = (
        "<first-entry><flag-message><next-entry><save-message>=Archive<enter><next-entry><delete-message><sync-mailbox><quit>"
    )
    run(["script", "-qec", f"neomutt -e \"push '{keys}'\"", "/dev/null"], home=tmp_path, stdin=subprocess.DEVNULL)
    assert client.folder_status("INBOX", ["MESSAGES"]) == {b"MESSAGES": 1}
    assert client.folder_status("Archive", ["MESSAGES"]) == {b"MESSAGES": 1}
    client.select_folder("INBOX")
    assert len(client.search("FLAGGED")) == 1


# ------------------------------------------------------------------ curl


def curl(server: "MailServer", *arguments: str, home: Path, door: str = "imaps", path: str = "") -> bytes:
    return run(
        [
            "curl", "-sS", "--cacert", str(server.config.certificate), "--user", f"dvbe@mic.gov.vn:{PASSWORD}",
            f"{door}://localhost:{server.ports[door]}/{path}", *arguments,
        ],
        home=home,
    ).stdout  # fmt: skip


@pytest.mark.needs_tool("curl")
@pytest.mark.parametrize("door", ["imaps", "imap"])
def test_curl_uploads_lists_fetches_and_searches(mail_server: "MailServer", tmp_path: Path, door: str) -> None:
    """curl does its four things, over TLS from the first octet and over STARTTLS."""
    (tmp_path / "message").write_bytes(message(7))
    more = ("--ssl-reqd",) if door == "imap" else ()
    curl(mail_server, *more, "-T", str(tmp_path / "message"), home=tmp_path, door=door, path="INBOX")
    assert b'"INBOX"' in curl(mail_server, *more, home=tmp_path, door=door)
    assert curl(mail_server, *more, home=tmp_path, door=door, path="INBOX;UID=1") == message(7)
    assert (
        curl(mail_server, *more, home=tmp_path, door=door, path="INBOX;UID=1;SECTION=TEXT") == message(7).split(b"\r\n\r\n")[1]
    )
    assert curl(mail_server, *more, home=tmp_path, door=door, path="INBOX?SUBJECT%207").strip() == b"* SEARCH 1"


@pytest.mark.needs_tool("curl")
def test_curl_fetches_what_nobody_has_read(mail_server: "MailServer", tmp_path: Path) -> None:
    """It reads the first line of the answer alone, so the flag that its FETCH sets has to stand there too."""
    with smtplib.SMTP("127.0.0.1", mail_server.ports["smtp"]) as client:
        client.sendmail("a@outside.example", ["dvbe@mic.gov.vn"], message(7))
    assert curl(mail_server, home=tmp_path, path="INBOX;UID=1").endswith(message(7))


@pytest.mark.needs_tool("curl")
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
def test_curl_signs_in_by_each_mechanism(mail_server: "MailServer", tmp_path: Path, mechanism: str) -> None:
    """Every mechanism that is offered works with a program that was not written by us."""
    if mechanism == "SCRAM-SHA-256" and b"gsasl" not in run(["curl", "--version"], home=tmp_path).stdout:
        pytest.skip("this curl has no SCRAM")
    answer = curl(mail_server, "--login-options", f"AUTH={mechanism}", "-X", "NOOP", home=tmp_path)
    assert answer == b""


@pytest.mark.needs_tool("curl")
def test_curl_in_clear_is_refused(mail_server: "MailServer", tmp_path: Path) -> None:
    """Without TLS no password is taken and none is asked for (Reg. 10.2)."""
    done = subprocess.run(
        ["curl", "-sS", "--user", f"dvbe@mic.gov.vn:{PASSWORD}", f"imap://localhost:{mail_server.ports['imap']}/INBOX"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 67, done.stderr
