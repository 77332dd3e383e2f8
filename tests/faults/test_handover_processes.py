"""Reg. 12.3.d on a server of several processes: what one command says holds at every worker, for every open session."""

import imaplib
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from clients.shared_mailboxes import read_until
from harness import ProcessServer
from mic_mail.clock import SystemClock
from mic_mail.policy.facts import MailboxKind
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef
from population import PASSWORD
from store_harness import deliver

pytestmark = [pytest.mark.clause("12.3.d"), pytest.mark.slow]
CNTT, BE, LAN = "cntt@mic.gov.vn", "dvbe@mic.gov.vn", "ttlan@mic.gov.vn"


def command(server: ProcessServer, *words: str) -> dict[str, Any]:
    """What a command says as JSON; it is a process of its own."""
    full = [sys.executable, "-m", "mic_mail", "--config", str(server.file), "--lang", "en", *words, "--json"]
    done = subprocess.run(full, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def sign_in(server: ProcessServer, address: str) -> imaplib.IMAP4_SSL:
    client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=20)
    client.authenticate("PLAIN", lambda _: f"\0{address}\0{PASSWORD}".encode())
    return client


def test_clause_12_3_d_all_workers_obey_one_command(serve_processes: Callable[..., ProcessServer]) -> None:
    """Ten sessions over two workers: none expunges once `begin` has returned, and each is ended by `finish`."""
    server = serve_processes({"process": {"workers": 2}})
    unit = server.population.issue("cntt", kind=MailboxKind.UNIT, name="Cục CNTT")
    keeper = server.population.issue("dvbe", name="Đỗ Văn Bê")
    server.population.issue("ttlan", name="Trần Thị Lan")
    server.population.allow(unit, keeper, "keeper")
    store = LocalMailStore(server.config.mail_root, clock=SystemClock(), host="test")
    account = store.account(AccountRef(unit.mailbox_id, unit.home))
    deliver(account, account.folder("INBOX").folder_id, [f"thư {number}" for number in range(30)])
    if server.process is None:
        server.start()
    clients = [sign_in(server, CNTT if number % 2 else BE) for number in range(10)]
    for number, client in enumerate(clients):
        client.select("INBOX" if number % 2 else "Shared/cntt")
        client.store(str(number + 1), "+FLAGS", r"(\Deleted)")
    words = ("--to", LAN, "--named-by", "An", "--document", "45/QĐ")
    begun = command(server, "handover", "begin", CNTT, *words)
    for number, client in enumerate(clients):
        kind, answer = client.uid("EXPUNGE", str(number + 1))
        assert (kind, answer[0][:7]) == ("NO", b"[INUSE]"), answer
        idle(client)
    finished = command(server, "handover", "finish", CNTT)
    assert (begun["messages"], finished["keeper"]) == (30, LAN)
    for client in clients:
        assert read_until(client, rb"\* BYE ")
        client.shutdown()
    takes = sign_in(server, LAN)
    assert takes.select("Shared/cntt")[1] == [b"30"]
    assert command(server, "handover", "verify", CNTT)["whole"]
    takes.logout()
    store.close()


def idle(client: imaplib.IMAP4_SSL) -> None:
    client.send(b"i1 IDLE\r\n")
    assert read_until(client, rb"\+ ")
