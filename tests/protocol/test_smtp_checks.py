"""The order in which a message is checked is that of the tables in `transport.pipeline`, and of docs/architecture.md."""

import re
import smtplib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clients.smtp_sessions import mx, submission
from harness import MailServer
from mic_mail.services.transport import pipeline
from mic_mail.services.transport.envelope import Role
from mic_mail.services.transport.incoming_message import SMALL_OCTETS

MOMENTS = ("AT_MAIL", "AT_RCPT", "ON_OCTETS", "ON_HEADER", "AT_END", "ON_ARRIVAL", "BEFORE_ACCEPTANCE")
STRANGERS: dict[str, Any] = {"inbound": {"trusted_networks": (), "authenticate": False}}
MESSAGE = b"From: dvbe@mic.gov.vn\r\nSubject: x\r\n\r\n"
PAGE = Path(__file__).parents[2] / "docs/architecture.md"


def rows(role: Role, *without: str) -> list[tuple[str, int, str]]:
    """Each check of this role: its moment, its place there, its name."""
    return [
        (moment, place, check.name)
        for moment in MOMENTS
        if moment not in without
        for place, check in enumerate(getattr(pipeline, moment))
        if role in check.roles
    ]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, str]]:
    """Every check that runs in a server that is started from now on."""
    seen: list[tuple[str, int, str]] = []

    def noted(row: tuple[str, int, str], check: Any) -> Any:
        return replace(check, run=lambda by, subject: (seen.append(row), check.run(by, subject))[1])

    for moment in MOMENTS:
        checks = enumerate(getattr(pipeline, moment))
        monkeypatch.setattr(pipeline, moment, tuple(noted((moment, place, check.name), check) for place, check in checks))
    return seen


def with_people(server: MailServer) -> MailServer:
    server.issue("dvbe")
    server.issue("ttlan")
    return server


def send(client: smtplib.SMTP, sender: str, octets: int) -> None:
    client.mail(sender)
    client.rcpt("ttlan@mic.gov.vn")
    assert client.data(MESSAGE + b"x" * 70 + b"\r\n" * (octets // 2))[0] == 250


@pytest.mark.parametrize("octets", [0, SMALL_OCTETS], ids=["small", "large"])
@pytest.mark.parametrize(
    ("settings", "role", "without"),
    [
        (STRANGERS, Role.MX, ()),
        ({}, Role.MX, ("ON_ARRIVAL",)),
        (STRANGERS, Role.SUBMISSION, ("ON_ARRIVAL",)),
    ],
    ids=["another server", "a trusted server", "submission"],
)
def test_each_check_of_its_role_runs_in_the_order_of_the_tables(
    serve: Callable[..., MailServer],
    ran: list[tuple[str, int, str]],
    octets: int,
    settings: dict[str, Any],
    role: Role,
    without: tuple[str, ...],
) -> None:
    """An accepted message passes all of them; the pieces of a large one repeat only their own."""
    server = with_people(serve(settings))
    if role is Role.MX:
        with mx(server) as client:
            send(client, "lan@one.example", octets)
    else:
        with submission(server, "dvbe") as client:
            send(client, "dvbe@mic.gov.vn", octets)
    assert list(dict.fromkeys(ran)) == rows(role, *without)
    assert {row for row in ran if ran.count(row) > 1} <= set(rows(role, *{*MOMENTS} - {"ON_OCTETS"}))


def test_no_check_runs_behind_a_refusal(serve: Callable[..., MailServer], ran: list[tuple[str, int, str]]) -> None:
    """A bare LF in the header: neither the author nor anything after it is looked at."""
    server = with_people(serve(STRANGERS))
    with submission(server, "dvbe") as client:
        client.mail("dvbe@mic.gov.vn")
        client.rcpt("ttlan@mic.gov.vn")
        message = MESSAGE.replace(b"\r\nSubject", b"\nSubject")
        client.sock.sendall(b"BDAT %d LAST\r\n" % len(message) + message)  # type: ignore[union-attr]  # connected
        assert client.getreply()[0] == 550
    assert ran[-1] == ("ON_HEADER", 0, "line ends")


def test_the_architecture_shows_the_tables() -> None:
    """The page names every check, in order; `*` marks those of submitted mail, `+` those of mail from other servers."""
    marks = {pipeline.SUBMISSION: "*", pipeline.MX: "+"}
    shown = dict(re.findall(r"^    (A[A-Z_]+|ON_[A-Z]+|B[A-Z_]+) +(.+)$", PAGE.read_text(), re.MULTILINE))
    held = {
        moment: ", ".join(check.name + marks.get(check.roles, "") for check in getattr(pipeline, moment)) for moment in MOMENTS
    }
    assert shown == held
