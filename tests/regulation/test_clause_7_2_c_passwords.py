"""Reg. 7.2.c: passwords that others have, because they leaked elsewhere or are being tried at many mailboxes."""

import base64
import contextlib
import hashlib
import hmac
import imaplib
import socket
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness import MailServer
from mic_mail.auth.password_hash import WeakPassword
from mic_mail.clock import ManualClock
from mic_mail.config.model import Config
from mic_mail.directory import connection
from mic_mail.directory.repository import Directory
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import Fact, FactKind, MailboxKind
from mic_mail.services.abuse import breached_password_check
from mic_mail.services.abuse.breached_password_check import BreachedPasswordCheck
from mic_mail.services.mailboxes.credentials import set_password
from population import PASSWORD
from regulation.abuse_setup import letters
from runtimes import runtime

NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
OTHER = "một mật khẩu khác hẳn 77"


@pytest.fixture
def leaked(tmp_path: Path) -> Path:
    file = tmp_path / "leaked.txt"
    file.write_text(hashlib.sha1(PASSWORD.encode(), usedforsecurity=False).hexdigest().upper() + ":17\n")
    return file


def with_list(serve: Callable[..., MailServer], listed: Path | None, action: str = "suspend", **more: Any) -> MailServer:
    server = serve({"auth": {"leaked_passwords": listed, "leaked_action": action, **more}}, clock=ManualClock(NOW))
    server.population.issue("dvbe")
    server.population.issue("ttlan", password=OTHER)
    server.issue("support", kind=MailboxKind.GROUP, password=OTHER)
    server.housekeep()  # from here on the log is read
    return server


def sign_in(server: MailServer, local: str = "dvbe", password: str = PASSWORD, source: str = "127.0.0.1") -> str:
    """What IMAP says to a name and a password."""
    bare = socket.create_connection((server.host, server.ports["imaps"]), 20, (source, 0))
    with bare, server.tls().wrap_socket(bare, server_hostname="localhost") as wire:
        wire.recv(65_536)
        wire.sendall(b"a LOGIN %s {%d+}\r\n%s\r\n" % (local.encode(), len(password.encode()), password.encode()))
        return wire.recv(65_536).decode()


def facts(server: MailServer, kind: FactKind, local: str = "dvbe") -> list[Fact]:
    directory = server.population.directory
    return [fact for fact in directory.facts(directory.mailbox(f"{local}@mic.gov.vn").mailbox_id) if fact.kind is kind]


@pytest.mark.clause("7.2.c")
def test_who_signs_in_with_a_leaked_password_is_suspended(serve: Callable[..., MailServer], leaked: Path) -> None:
    """At the first sign-in, which hears of it; on record, told to the Centre; others go on."""
    server = with_list(serve, leaked)
    assert "a NO [CONTACTADMIN]" in sign_in(server)
    assert "a OK" in sign_in(server, "ttlan", OTHER)
    (fact,) = facts(server, FactKind.SUSPENDED)
    assert (fact.actor, fact.data["trigger"], fact.reason) == (
        "server", "leaked-password", "mật khẩu có trong danh sách bị lộ",
    )  # fmt: skip
    server.housekeep()
    assert any("has a password that is on the list of leaked passwords" in text for text in letters(server, "support"))
    server.stop()
    (told,) = [event for event in server.events() if event["event"] == "password_exposed"]
    assert (told["mailbox"], told["detail"], told["action"], told["clause"]) == (
        "dvbe@mic.gov.vn", "leaked", "suspend", "7.2.c",
    )  # fmt: skip


@pytest.mark.parametrize("action", ["suspend", "change"])
def test_what_cannot_be_recorded_lets_nobody_in(
    serve: Callable[..., MailServer], leaked: Path, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory is locked: temporarily no, not even once; others go on. It is recorded with the next sign-in."""
    monkeypatch.setattr(connection, "BUSY_MILLISECONDS", 1_000)
    server = with_list(serve, leaked, action)
    with contextlib.closing(sqlite3.connect(server.config.directory_dir / "directory.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "a NO [UNAVAILABLE]" in sign_in(server)
        assert "a OK" in sign_in(server, "ttlan", OTHER)
    answer = sign_in(server)
    assert "a NO [CONTACTADMIN]" in answer or "a NO [EXPIRED]" in answer
    assert facts(server, FactKind.SUSPENDED if action == "suspend" else FactKind.PASSWORD_EXPOSED)


@pytest.mark.clause("15.2")
def test_or_has_to_change_it(serve: Callable[..., MailServer], leaked: Path) -> None:
    """`change`: the password is due until another one is chosen, which is in no list; one fact, however often it is tried."""
    server = with_list(serve, leaked, "change")
    assert {"[EXPIRED]" in sign_in(server) for _ in range(3)} == {True}
    (fact,) = facts(server, FactKind.PASSWORD_EXPOSED)
    assert fact.actor == "server"
    server.housekeep()
    assert any("is on a list of leaked passwords" in text for text in letters(server, "dvbe"))
    assert any("dvbe" not in text and "(1)" in text for text in letters(server, "support"))
    directory = server.population.directory
    set_password(
        directory, server.config, directory.mailbox("dvbe@mic.gov.vn"), OTHER, at=NOW, origin=ActContext("x"), must_change=False
    )
    server.refresh()
    assert "a OK" in sign_in(server, "dvbe", OTHER)


def test_or_is_told_alone(serve: Callable[..., MailServer], leaked: Path) -> None:
    """`tell`: the person once, the Centre once a day; mail goes on. The list is asked once for each verified password."""
    server = with_list(serve, leaked, "tell")
    asked = []
    real = breached_password_check.is_leaked
    breached_password_check.is_leaked = lambda path, password: asked.append(password) or real(path, password)  # type: ignore[assignment,func-returns-value]
    try:
        assert {"a OK" in sign_in(server) for _ in range(5)} == {True}
    finally:
        breached_password_check.is_leaked = real
    assert asked == [PASSWORD]
    for _ in range(2):
        server.housekeep()
    assert sum("leaked" in text for text in letters(server, "dvbe")) == 1
    assert sum("Leaked passwords in use" in text or "bị lộ" in text for text in letters(server, "support")) == 1


def test_a_proof_shows_no_password(serve: Callable[..., MailServer], leaked: Path) -> None:
    """SCRAM: the server never sees it, and does not claim to know."""
    server = with_list(serve, leaked)
    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls()) as client:
        said: list[bytes] = []

        def answer(challenge: bytes) -> bytes:
            bare = b"n=dvbe@mic.gov.vn,r=abcdefgh"
            said.append(challenge)
            if len(said) == 1:
                return b"n,," + bare
            if len(said) == 3:
                return b""
            nonce, salt, rounds = (field.partition(b"=")[2] for field in challenge.split(b","))
            without = b"c=biws,r=" + nonce
            salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), base64.b64decode(salt), int(rounds))
            key = hmac.digest(salted, b"Client Key", "sha256")
            sign = hmac.digest(hashlib.sha256(key).digest(), b",".join([bare, challenge, without]), "sha256")
            return without + b",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(key, sign, strict=True)))

        assert client.authenticate("SCRAM-SHA-256", answer)[0] == "OK"
    assert facts(server, FactKind.SUSPENDED) == []


def test_a_list_that_is_gone_keeps_nobody_out(serve: Callable[..., MailServer], tmp_path: Path) -> None:
    """Sign-ins and new passwords go on; the log says so once."""
    server = with_list(serve, tmp_path / "none.txt")
    assert {"a OK" in sign_in(server) for _ in range(2)} == {True}
    assert "a OK" in sign_in(server, "ttlan", OTHER)
    mailbox = server.population.directory.mailbox("ttlan@mic.gov.vn")
    set_password(
        server.population.directory,
        server.config,
        mailbox,
        "và thêm một cái nữa 5",
        at=NOW,
        origin=ActContext("x"),
        must_change=True,
    )
    server.stop()
    assert [event["event"] for event in server.events()].count("leaked_passwords_unreadable") == 1


@pytest.mark.clause("10.2")
def test_a_leaked_password_is_not_chosen(serve: Callable[..., MailServer], leaked: Path) -> None:
    """By its person or by the Centre, told in both languages, with the clause."""
    server = with_list(serve, leaked)
    directory = server.population.directory
    for must_change in (True, False):
        with pytest.raises(WeakPassword) as refused:
            set_password(
                directory, server.config, directory.mailbox("ttlan@mic.gov.vn"), PASSWORD, at=NOW, origin=ActContext("x"),
                must_change=must_change,
            )  # fmt: skip
        assert "leaked" in refused.value.text.en
        assert "bị lộ" in refused.value.text.vi
        assert refused.value.clause == "7.2.c"


@pytest.mark.clause("7.2.c")
def test_a_password_that_is_tried_everywhere(serve: Callable[..., MailServer]) -> None:
    """From an address of its own for each guess, so that no limit is reached: who has it is suspended."""
    server = with_list(serve, None)
    for number in range(19):
        assert "a NO" in sign_in(server, f"nobody{number}", source=f"127.1.{number}.1")
    assert "a OK" in sign_in(server)
    assert "a NO" in sign_in(server, "ttlan", source="127.1.99.1")
    assert "[CONTACTADMIN]" in sign_in(server)
    (fact,) = facts(server, FactKind.SUSPENDED)
    assert fact.data["trigger"] == "sprayed-password"
    assert facts(server, FactKind.SUSPENDED, "ttlan") == []
    server.housekeep()
    assert any("is being tried at many mailboxes" in text or "đang bị dò" in text for text in letters(server, "support"))


def test_an_old_password_that_a_phone_goes_on_sending(serve: Callable[..., MailServer]) -> None:
    """One mailbox, however often and from wherever; its owner's new one is not theirs."""
    server = with_list(serve, None)
    for number in range(25):
        sign_in(server, "ttlan", source=f"127.2.{number}.1")
    assert "a OK" in sign_in(server, "ttlan", OTHER)
    assert "a OK" in sign_in(server)


def test_processes_count_together() -> None:
    """What is wrong in one process is known in the others; what is told shows neither password nor address."""
    told: list[bytes] = []

    def one() -> BreachedPasswordCheck:
        class Nobody:
            def event(self, name: str, /, **fields: object) -> None: ...
            async def suspend(self, mailbox_id: int, trigger: str, why: str) -> bool:
                return True

        nobody: Any = Nobody()
        directory: Any = Directory
        parts = runtime(Config(), ManualClock(NOW), log=nobody)
        return BreachedPasswordCheck(
            parts, key=b"k", directory=directory, suspending=nobody, changed=lambda: None, tell=told.append
        )

    first, second = one(), one()
    for number in range(20):
        first.wrong(f"x{number}@mic.gov.vn", PASSWORD)
    for word in [*told, b"", b"[]", b"{}", b'["spray","zz","","zz"]', b'["wrong","a","b","00"]', b"\xff"]:
        second.on_message(word)
    assert not any(secret in word for word in told for secret in (b"x1", b"mic.gov.vn", "khẩu".encode(), b"2026"))
    entry: Any = type("E", (), {"address": "dvbe@mic.gov.vn"})()
    assert second._tried_elsewhere(entry, PASSWORD) == "sprayed"
    assert second._tried_elsewhere(entry, OTHER) is None
