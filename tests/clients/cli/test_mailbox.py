"""Commands about mailboxes beside a running server: passwords, status, the store, capabilities, read marks."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mic_mail.policy.facts import MailboxKind
from mic_mail.storage.index import reader_seen_rows
from mic_mail.storage.maildir.sidecars import AccountSidecar
from mic_mail.storage.types import AccountRef
from population import PASSWORD

if TYPE_CHECKING:
    from harness import MailServer
    from mic_mail.storage.local_mailstore import Account
from clients.cli.conftest import DVBE, Command, refusals, signs_in

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


@pytest.mark.slow
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
