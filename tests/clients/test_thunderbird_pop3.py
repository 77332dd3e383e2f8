"""A real Thunderbird that fetches by POP3: set up, fetch, leave on the server or delete there, be refused."""

import poplib
import smtplib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clients.thunderbird import ScriptFailed, Thunderbird
from mic_mail.clock import HO_CHI_MINH
from mic_mail.policy.facts import FactKind
from population import PASSWORD, draft

if TYPE_CHECKING:
    from harness import MailServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_tool("Xvfb", "thunderbird"),
]

ADDRESS = "dvbe@mic.gov.vn"
SET_UP = """
    const [login] = args;
    const load = name => ChromeUtils.importESModule("resource:///modules/accountcreation/" + name + ".sys.mjs");
    const { AccountConfig } = load("AccountConfig");
    const { ConfigVerifier } = load("ConfigVerifier");
    const { CreateInBackend } = load("CreateInBackend");
    const config = new AccountConfig();
    Object.assign(config.incoming, { type: "pop3", hostname: "127.0.0.1", port: login.port, username: login.address,
      password: login.password, socketType: login.socket, auth: login.auth, leaveMessagesOnServer: login.keep,
      deleteOnServerWhenLocalDelete: false });
    Object.assign(config.outgoing, { type: "smtp", hostname: "127.0.0.1", port: login.smtp, username: login.address,
      password: login.password, socketType: 3, auth: 3 });
    Object.assign(config.identity, { realname: "Bê", emailAddress: login.address });
    const main = Services.wm.getMostRecentWindow("mail:3pane");
    await new ConfigVerifier(main.msgWindow, new main.AbortController().signal).verifyConfig(config, false);
    await CreateInBackend.createAccountInBackend(config);
"""
FETCH = """
    const [count] = args;
    const popServer = MailServices.accounts.allServers.find(s => s.type == "pop3");
    const main = Services.wm.getMostRecentWindow("mail:3pane");
    const inbox = popServer.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
    inbox.getNewMessages(main.msgWindow, null);
    await until(count + " messages", () => inbox.getTotalMessages(false) >= count && !popServer.serverBusy);
    await pause(500);
    return messages(inbox).map(m => m.mime2DecodedSubject);
"""


@pytest.fixture
def server(serve: Callable[..., "MailServer"]) -> "MailServer":
    server = serve()
    server.issue("dvbe", name="Đỗ Văn Bê")
    return server


@pytest.fixture
def program(server: "MailServer", tmp_path: Path) -> Iterator[Thunderbird]:
    running = Thunderbird(tmp_path / "thunderbird")
    try:
        running.trust(server.config.certificate.read_text(), server.host, list(server.ports.values()))
        yield running
    finally:
        running.screenshot(tmp_path / "end.png")
        running.close()


def set_up(program: Thunderbird, server: "MailServer", door: str, *, keep: bool, **how: object) -> None:
    login = {
        "address": ADDRESS,
        "password": PASSWORD,
        "port": server.ports[door],
        "smtp": server.ports["submissions"],
        "socket": 3 if door == "pop3s" else 2,
        "auth": 3,
        "keep": keep,
        **how,
    }
    program.script(SET_UP, login)


def deliver(server: "MailServer", subject: str) -> None:
    with smtplib.SMTP(server.host, server.ports["smtp"], timeout=20) as mx:
        mx.sendmail(
            "a@a.example", [ADDRESS], f"From: a@a.example\r\nSubject: {subject}\r\n\r\n.\r\n..\r\nxin chào\r\n".encode()
        )


def left(server: "MailServer") -> int:
    client = poplib.POP3_SSL("localhost", server.ports["pop3s"], context=server.tls())
    client.user(ADDRESS)
    client.pass_(PASSWORD)
    messages = client.stat()[0]
    client.quit()
    return messages


@pytest.mark.parametrize(("door", "keep"), [("pop3s", True), ("pop3", False)])
def test_thunderbird_fetches(server: "MailServer", program: Thunderbird, door: str, keep: bool) -> None:
    """Each message once, however often it asks; what was fetched stays on the server or goes, as the person chose."""
    for subject in ("mot", "hai"):
        deliver(server, subject)
    set_up(program, server, door, keep=keep)
    assert sorted(program.script(FETCH, 2)) == ["hai", "mot"]
    assert left(server) == (2 if keep else 0)
    deliver(server, "ba")
    assert sorted(program.script(FETCH, 3)) == ["ba", "hai", "mot"]
    assert left(server) == (3 if keep else 0)


def test_a_suspended_mailbox_is_not_set_up(server: "MailServer", program: Thunderbird) -> None:
    """Reg. 7.1: neither a suspended mailbox nor a wrong password gets through the set-up."""
    with pytest.raises(ScriptFailed, match="Unable to log in"):
        set_up(program, server, "pop3s", keep=True, password="sai mật khẩu rồi")
    suspended = draft(FactKind.SUSPENDED, datetime.now(HO_CHI_MINH) - timedelta(hours=1), "mã độc", cause="c")
    server.issue("pqkhanh", facts=[suspended])
    with pytest.raises(ScriptFailed, match="Unable to log in"):
        set_up(program, server, "pop3s", keep=True, address="pqkhanh@mic.gov.vn")
