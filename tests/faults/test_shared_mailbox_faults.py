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

import pytest

from faults.processes.conftest import message, sign_in, stored
from harness import ProcessServer, Standing, config_for, rests, stopping
from mic_mail.policy.facts import MailboxKind
from mic_mail.services.authentication.shared_mailboxes import SharedMailbox
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.types import SEEN, AccountRef
from session_harness import REF, Talk
from store_harness import REF as OWN
from store_harness import Root, deliver, killed_at, observe
from waiting import wait_for

pytestmark = pytest.mark.slow

UNIT = AccountRef(8, "mic.gov.vn/cntt")
BOX = SharedMailbox("cntt", "cntt@mic.gov.vn", UNIT, "lrswipkxte", 1 << 30)
TOKENS = ["t1", "t2", "t3"]
CNTT, DVBE, TTLAN = "cntt@mic.gov.vn", "dvbe@mic.gov.vn", "ttlan@mic.gov.vn"


def tokens_in(account: Account) -> list[str]:
    """Every message, read to its last octet and compared with its index (`observe`)."""
    return sorted(token for folder in observe(account).values() for token, _ in folder.messages.values())


def both(root: Root) -> tuple[list[str], list[str]]:
    """What a fresh process finds in the own account and in the unit's."""
    return root.use(lambda own: (tokens_in(own), tokens_in(own._mailstore.account(UNIT))))


def talk_to(store: LocalMailStore) -> Talk:
    return Talk(store, boxes=[BOX]).sign_in()


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("verb", "together"), [("MOVE", True), ("MOVE", False), ("COPY", False)])
def test_killed_between_two_accounts(memory: Path, verb: str, together: bool) -> None:
    """Wherever a MOVE dies: each message is in one of the accounts or in both, whole; never in neither, never twice in one.

    Whether it came by the journal (`together`) or by itself. It dies every 61 lines of the store's code: each
    death costs a process and two looks at everything.
    """
    ends: Counter[str] = Counter()
    for number, life in enumerate(itertools.count(0, 61)):
        root = Root(memory / str(number))

        def fill(own: Account) -> None:
            own._mailstore.account(UNIT).folders()
            deliver(own, own.folder("INBOX").folder_id, TOKENS, together=together)

        root.use(fill)

        def act(root: Root = root) -> None:
            ctx = talk_to(root.store())
            assert b"s OK" in ctx.say(b"s SELECT INBOX\r\n")
            assert b"m OK" in ctx.say(b"m UID %b 1:* Shared/cntt/Archive\r\n" % verb.encode())

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
        ctx = talk_to(own._mailstore)
        ctx.say(b"s SELECT INBOX\r\n")
        assert b"m OK" in ctx.say(b"m MOVE 1:* Shared/cntt\r\n")

    store = root.store()  # never closed: nothing is settled
    store.recover()
    move(store.account(REF))
    root.settings["boot_id"] = "second boot"
    own, unit = both(root)
    assert set(unit) == set(TOKENS)
    assert set(own) <= set(TOKENS)


def seen_by(account: Account, person: str) -> frozenset[int]:
    view = account._mailstore.account(account.ref, person).view(account.folder("INBOX").folder_id)
    return frozenset(uid for uid, flags in zip(view.uids, view.flags, strict=True) if flags & SEEN)


@pytest.mark.timeout(600)
def test_killed_while_reading(memory: Path) -> None:
    """Wherever it dies where each has their own \\Seen: what was acknowledged is there, and what was not is so wholly or not at
    all, for that person alone; also once the index is lost."""
    ends: Counter[frozenset[int]] = Counter()
    for number, life in enumerate(itertools.count(0, 29)):
        root = Root(memory / str(number))

        def fill(account: Account) -> None:
            folder = account.folder("INBOX").folder_id
            deliver(account, folder, [*TOKENS, "t4"])
            account.keep_seen(each=True, persons=[DVBE])
            account._mailstore.account(account.ref, DVBE).store_flags(folder, [1], "+", SEEN)

        def act(root: Root = root) -> None:
            store = root.store()
            account = store.account(OWN, DVBE)
            folder = account.folder("INBOX").folder_id
            account.store_flags(folder, [2, 3], "+", SEEN)
            store.account(OWN, TTLAN).store_flags(folder, [4], "+", SEEN)
            account.remove(folder, [1])
            store.close()

        root.use(fill)
        answered = killed_at(life, act)
        found = root.use(lambda account: seen_by(account, DVBE))
        assert found in map(frozenset, ([1], [1, 2, 3], [2, 3]))
        lan = root.use(lambda account: seen_by(account, TTLAN))
        if not answered:
            assert lan - {1, 2, 3, 4} == frozenset()
        assert root.use(lambda account: account.repair(check=True)).clean
        root.use(Account.flush_names)  # as the server does for a process that was killed (`flush_names_left`)
        root.lose_index()
        assert root.use(lambda account: (seen_by(account, DVBE), seen_by(account, TTLAN))) == (found, lan)
        assert root.use(lambda account: account.repair(check=True)).clean
        ends[found] += 1
        if answered:
            assert (found, lan) == (frozenset({2, 3}), frozenset({2, 3, 4}))
            break
    assert len(ends) == 3


@pytest.mark.timeout(600)
@pytest.mark.parametrize("each", [True, False])
def test_killed_while_the_setting_changes(memory: Path, each: bool) -> None:
    """It is as before or as wanted, and so it stays when the index is lost."""
    ends: Counter[bool] = Counter()
    for number, life in enumerate(itertools.count(0, 19)):
        root = Root(memory / str(number))

        def fill(account: Account) -> None:
            folder = account.folder("INBOX").folder_id
            deliver(account, folder, TOKENS)
            account.store_flags(folder, [1], "+", SEEN)
            if not each:
                account.keep_seen(each=True, persons=[DVBE, TTLAN])
                account._mailstore.account(account.ref, DVBE).store_flags(folder, [2], "+", SEEN)

        def act(root: Root = root) -> None:
            root.store().account(OWN).keep_seen(each=each, persons=[DVBE, TTLAN])

        root.use(fill)
        answered = killed_at(life, act)
        for _ in range(2):
            now = root.use(Account.seen_is_each)
            be, lan = root.use(lambda account: (seen_by(account, DVBE), seen_by(account, TTLAN)))
            assert be == ({1} if each else {1, 2})
            assert lan == ({1, 2} if not now and not each else {1})
            assert root.use(lambda account: account.repair(check=True)).clean
            root.use(Account.flush_names)
            root.lose_index()
        ends[now] += 1
        if answered:
            assert now is each
            break
    assert len(ends) == 2


# ------------------------------------------------------------------ processes


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Two workers; unit mailboxes with a keeper and a substitute, one for each test."""

    def make(number: int) -> ProcessServer:
        folder = tmp_path_factory.mktemp(f"standing{number}")
        made = ProcessServer(config_for(folder / "data", {"process": {"workers": 2}}), folder)
        people = made.population
        keeper, substitute = people.issue("dvbe"), people.issue("ttlan")
        for local in ("cntt", "khtc", "vp"):
            unit = people.issue(local, kind=MailboxKind.UNIT)
            people.allow(unit, keeper, "keeper")
            people.allow(unit, substitute, "substitute", until="2099-12-31")
        return made

    one = Standing(make)
    with stopping([one]):
        yield one


@pytest.fixture
def server(standing: Standing) -> ProcessServer:
    return standing.get()


def line(client: imaplib.IMAP4_SSL, expression: bytes, seconds: float = 15) -> bytes:
    client.socket().settimeout(seconds)
    while heard := client.readline():
        if re.match(expression, heard):
            return heard
    raise AssertionError(f"closed before {expression!r}")


def idling(server: ProcessServer, address: str, unit: str, count: int) -> list[imaplib.IMAP4_SSL]:
    """Sessions of one person in IDLE on a unit's INBOX: more than one worker has them."""
    clients = [sign_in(server, address) for _ in range(count)]
    for client in clients:
        client.select(f"Shared/{unit}")
        client.send(b"X IDLE\r\n")
        line(client, rb"\+ ")
    return clients


def test_two_people_in_two_workers(server: ProcessServer) -> None:
    """What comes and what one of them does reaches every session of both, whichever worker has it."""
    clients = idling(server, DVBE, "cntt", 4) + idling(server, TTLAN, "cntt", 4)
    assert sign_in(server).append("Shared/cntt", "", "", message("x"))[0] == "OK"
    for client in clients:
        line(client, rb"\* 1 EXISTS")
    other = sign_in(server, TTLAN)
    other.select("Shared/cntt")
    other.store("1", "+FLAGS", r"(\Flagged)")
    for client in clients:
        line(client, rb"\* 1 FETCH \(FLAGS \(.*\\Flagged.*\)\)")


def test_two_people_read_in_two_workers(server: ProcessServer, capfd: pytest.CaptureFixture[str]) -> None:
    """`mailbox seen ... each` from a shell holds in open sessions; then what one reads is told to that one's sessions, in
    whichever worker they are, and to nobody else's."""
    from mic_mail.cli.main import main

    assert sign_in(server).append("Shared/khtc", "", "", message("x"))[0] == "OK"
    mine, others = idling(server, DVBE, "khtc", 4), idling(server, TTLAN, "khtc", 4)
    command = ["--lang", "en", "--config", str(server.file), "mailbox", "seen", "khtc@mic.gov.vn", "each", "--reason", "x"]
    assert main(command) == 0
    client = sign_in(server)
    client.select("Shared/khtc")
    assert client.fetch("1", "(BODY[TEXT])")[0] == "OK"
    for each in mine:
        line(each, rb"\* 1 FETCH \(FLAGS \(.*\\Seen.*\)\)")
    assert client.status("Shared/khtc", "(UNSEEN)")[1] == [b'"Shared/khtc" (UNSEEN 0)']
    client.store("1", "+FLAGS", r"(\Flagged)")
    for each in others:
        assert b"Seen" not in line(each, rb"\* 1 FETCH ")
        each.send(b"DONE\r\n")
        line(each, rb"X OK")
        assert each.search(None, "UNSEEN")[1] == [b"1"]
        assert each.status("Shared/khtc", "(UNSEEN)")[1] == [b'"Shared/khtc" (UNSEEN 1)']


def test_a_revocation_cuts_every_worker_within_seconds(server: ProcessServer, capfd: pytest.CaptureFixture[str]) -> None:
    """`mailbox revoke` from a shell: the keeper's sessions end with the clause, the substitute's and the keeper's own go on."""
    from mic_mail.cli.main import main

    clients, others, own = idling(server, DVBE, "vp", 6), idling(server, TTLAN, "vp", 2), sign_in(server)
    command = ["--lang", "en", "--config", str(server.file), "mailbox", "revoke", "vp@mic.gov.vn", DVBE, "--document", "9/QĐ"]
    assert main(command) == 0
    for client in clients:
        assert b"Reg. 12.3" in line(client, rb"\* BYE ")
    assert own.select("Shared/vp")[0] == "NO"
    assert own.select("INBOX")[0] == "OK"
    for client in others:
        client.send(b"DONE\r\n")
        line(client, rb"X OK")
        assert client.noop()[0] == "OK"


def test_workers_killed_while_messages_move(server: ProcessServer) -> None:
    """kill -9 of all workers at any moment of many moves to and fro: what was there is there, once or in both accounts."""
    left = {name for address in (DVBE, CNTT) for _, name in _stored(lambda a=address: stored(server, a))}  # by other tests
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
            time.sleep(dice.random() * 0.4)  # the kill comes at any moment
        server.kill_workers()
        server.wait_for(lambda state: state["ready"] and all(one["pid"] or rests(one) for one in state["processes"]))
        time.sleep(0.5)  # what the next worker does at its start is done, or goes on meanwhile
        there = [name for address in (DVBE, CNTT) for _, name in _stored(lambda a=address: stored(server, a))]
        assert set(there) == names | left
        for address in (DVBE, CNTT):
            found = Counter(name for _, name in stored(server, address))
            assert found.keys() <= names | left


def _stored(ask: Callable[[], list[tuple[int, str]]]) -> list[tuple[int, str]]:
    """A worker that is being started again takes a moment."""
    found: list[list[tuple[int, str]]] = []

    def answered() -> bool:
        with suppress(OSError, imaplib.IMAP4.abort, imaplib.IMAP4.error):
            found.append(ask())
        return bool(found)

    wait_for(answered)
    return found[0]
