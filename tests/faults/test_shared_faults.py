"""Unit mailboxes where things break: a killed move between accounts, two people in two workers, an authority that ends."""

import imaplib
import itertools
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from conversing import REF, Talk
from faults.test_processes import Make, message, sign_in, stored
from faults.test_storage_kill import MEMORY
from harness import ProcessServer
from mic_mail.policy.facts import MailboxKind
from mic_mail.services.sharing import Shared
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import AccountRef
from storage_model import Root, deliver, killed_at, observe

UNIT = AccountRef(8, "mic.gov.vn/cntt")
BOX = Shared("cntt", "cntt@mic.gov.vn", UNIT, "lrswipkxte", 1 << 30)
TOKENS = ["t1", "t2", "t3"]
CNTT, DVBE, TTLAN = "cntt@mic.gov.vn", "dvbe@mic.gov.vn", "ttlan@mic.gov.vn"


def tokens_in(account: Account) -> list[str]:
    """Every message, read to its last octet and compared with its index (`observe`)."""
    return sorted(token for folder in observe(account).values() for token, _ in folder.messages.values())


def both(root: Root) -> tuple[list[str], list[str]]:
    """What a fresh process finds in the own account and in the unit's."""
    return root.use(lambda own: (tokens_in(own), tokens_in(own._mailstore.account(UNIT))))


def talk_to(store: MailStore) -> Talk:
    return Talk(store, boxes=[BOX]).sign_in()


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory: a kill takes nothing from the page cache, so these files need no disk."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.parametrize(("verb", "together"), [("MOVE", False), ("MOVE", True), ("COPY", False)])
def test_killed_between_two_accounts(memory: Path, verb: str, together: bool) -> None:
    """Wherever a MOVE dies: each message is in one of the accounts or in both, whole; never in neither, never twice in one.

    Whether it came by the journal (`together`) or by itself.
    """
    ends: Counter[str] = Counter()
    for number, life in enumerate(itertools.count(0, 97)):
        root = Root(memory / str(number))

        def fill(own: Account) -> None:
            own._mailstore.account(UNIT).folders()
            deliver(own, own.folder("INBOX").folder_id, TOKENS, together=together)

        root.use(fill)

        def act(root: Root = root) -> None:
            talk = talk_to(root.store())
            assert b"s OK" in talk.say(b"s SELECT INBOX\r\n")
            assert b"m OK" in talk.say(b"m UID %b 1:* Shared/cntt/Archive\r\n" % verb.encode())

        answered = killed_at(life, act)
        own, unit = both(root)
        assert own in ([], TOKENS)
        assert unit in ([], TOKENS)
        assert own or unit
        if verb == "COPY":
            assert own == TOKENS
        ends["both" if own and unit else "own" if own else "unit"] += 1
        if answered:
            assert (own, unit) == (TOKENS if verb == "COPY" else [], TOKENS)
            break
    assert ends["own"]
    assert ends["both"]


def test_a_power_loss_behind_a_move_out_of_the_journal(tmp_path: Path) -> None:
    """What was moved while only the journal answered for its octets is in the other account, and perhaps here as well."""
    root = Root(tmp_path)

    def move(own: Account) -> None:
        deliver(own, own.folder("INBOX").folder_id, TOKENS, together=True)
        talk = talk_to(own._mailstore)
        talk.say(b"s SELECT INBOX\r\n")
        assert b"m OK" in talk.say(b"m MOVE 1:* Shared/cntt\r\n")

    store = root.store()  # never closed: nothing is settled
    store.recover()
    move(store.account(REF))
    root.settings["boot_id"] = "second boot"
    own, unit = both(root)
    assert set(unit) == set(TOKENS)
    assert set(own) <= set(TOKENS)


# ------------------------------------------------------------------ processes


@pytest.fixture
def server(serve_processes: Make) -> ProcessServer:
    """Two workers; cntt@ with a keeper and a substitute."""
    made = serve_processes({"process": {"workers": 2}})
    unit = made.population.issue("cntt", kind=MailboxKind.UNIT)
    keeper, substitute = made.population.issue("dvbe"), made.population.issue("ttlan")
    made.population.allow(unit, keeper, "keeper")
    made.population.allow(unit, substitute, "substitute", until="2099-12-31")
    made.start()
    return made


def line(client: imaplib.IMAP4_SSL, expression: bytes, seconds: float = 15) -> bytes:
    client.socket().settimeout(seconds)
    while heard := client.readline():
        if re.match(expression, heard):
            return heard
    raise AssertionError(f"closed before {expression!r}")


def idling(server: ProcessServer, address: str, count: int) -> list[imaplib.IMAP4_SSL]:
    """Sessions of one person in IDLE on the unit's INBOX: more than one worker has them."""
    clients = [sign_in(server, address) for _ in range(count)]
    for client in clients:
        client.select("Shared/cntt")
        client.send(b"X IDLE\r\n")
        line(client, rb"\+ ")
    return clients


def test_two_people_in_two_workers(server: ProcessServer) -> None:
    """What comes and what one of them does reaches every session of both, whichever worker has it."""
    clients = idling(server, DVBE, 4) + idling(server, TTLAN, 4)
    assert sign_in(server).append("Shared/cntt", "", "", message("x"))[0] == "OK"
    for client in clients:
        line(client, rb"\* 1 EXISTS")
    other = sign_in(server, TTLAN)
    other.select("Shared/cntt")
    other.store("1", "+FLAGS", r"(\Flagged)")
    for client in clients:
        line(client, rb"\* 1 FETCH \(FLAGS \(.*\\Flagged.*\)\)")


def test_a_revocation_cuts_every_worker_within_seconds(server: ProcessServer, capfd: pytest.CaptureFixture[str]) -> None:
    """`mailbox revoke` from a shell: the keeper's sessions end with the clause, the substitute's and the keeper's own go on."""
    from mic_mail.cli.main import main

    clients, others, own = idling(server, DVBE, 6), idling(server, TTLAN, 2), sign_in(server)
    command = ["--lang", "en", "--config", str(server.file), "mailbox", "revoke", CNTT, DVBE, "--document", "9/QĐ"]
    assert main(command) == 0
    for client in clients:
        assert b"Reg. 12.3" in line(client, rb"\* BYE ")
    assert own.select("Shared/cntt")[0] == "NO"
    assert own.select("INBOX")[0] == "OK"
    for client in others:
        client.send(b"DONE\r\n")
        line(client, rb"X OK")
        assert client.noop()[0] == "OK"


@pytest.mark.slow
def test_workers_killed_while_messages_move(server: ProcessServer) -> None:
    """kill -9 of all workers at any moment of many moves to and fro: what was there is there, once or in both accounts."""
    names = {f"m{number}" for number in range(120)}
    client = sign_in(server)
    for name in sorted(names):
        assert client.append("INBOX", "", "", message(name))[0] == "OK"
    dice = random.Random(12)
    for _ in range(12):
        with suppress(OSError, imaplib.IMAP4.abort, imaplib.IMAP4.error):
            client = sign_in(server)
            client.select("INBOX")
            client.send(b"A MOVE 1:* Shared/cntt\r\nB SELECT Shared/cntt\r\nC MOVE 1:* INBOX\r\n")
            time.sleep(dice.random() * 0.4)
        server.kill_workers()
        server.wait_for(lambda state: state["ready"] and all(one["pid"] for one in state["processes"]))
        time.sleep(0.5)
        there = [name for address in (DVBE, CNTT) for _, name in _stored(lambda a=address: stored(server, a))]
        assert set(there) == names
        for address in (DVBE, CNTT):
            found = Counter(name for _, name in stored(server, address))
            assert found.keys() <= names


def _stored(ask: Callable[[], list[tuple[int, str]]]) -> list[tuple[int, str]]:
    """A worker that is being started again takes a moment."""
    for _ in range(50):
        with suppress(OSError, imaplib.IMAP4.abort, imaplib.IMAP4.error):
            return ask()
        time.sleep(0.1)
    return ask()
