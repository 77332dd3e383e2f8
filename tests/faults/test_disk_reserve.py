"""Mail can be removed when the disk is full: a reserve is given up first, new mail cannot have it, and it is made again."""

import imaplib
import os
import poplib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from faults.ledger import message
from faults.small_disk import Disk, small_disk
from faults.wire import Imap, Refused, Smtp
from harness import ProcessServer, config_for
from mic_mail.storage.errors import DiskFull
from mic_mail.storage.reserve import FILE, Reserve, ReserveState
from mic_mail.storage.types import DELETED, FLAGGED
from population import PASSWORD
from store_harness import REF, Root, deliver, inbox, killed_at, observe
from waiting import wait_for

pytestmark = pytest.mark.slow

DVBE, TTLAN, THIRD = "dvbe@mic.gov.vn", "ttlan@mic.gov.vn", "third@mic.gov.vn"
RESERVE = 1 << 20
ENGLISH = os.environ | {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "COLUMNS": "1000"}
LARGE = b"X-Large: x\r\n\r\n" + b"large\r\n" * 400_000


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    with small_disk(tmp_path, request.param) as disk:
        yield disk


@pytest.fixture
def server(disk: Disk) -> Iterator[ProcessServer]:
    """What is expunged goes with the housekeeper's next visit."""
    settings = {
        "process": {"workers": 1}, "auth": {"cleartext": True}, "storage": {"reserve": RESERVE, "expunge_keep": 0},
    }  # fmt: skip
    server = ProcessServer(config_for(disk.path / "data", settings), disk.path)
    for address in (DVBE, TTLAN, THIRD):
        server.population.issue(address.partition("@")[0])
    server.start()
    yield server
    server.stop()


def reserve_of(server: ProcessServer) -> Reserve:
    return Reserve(str(server.config.mail_root))


def send(server: ProcessServer, to: str, octets: bytes) -> str:
    """The reply: of the end of the message, or of what refused it before."""
    client = Smtp(server.ports["smtp"])
    try:
        client.deliver([to], octets)
    except Refused as refused:
        return str(refused)[:9]
    finally:
        client.close()
    return "250"


def reserve_status(server: ProcessServer) -> object:
    """What `mic-mail status` knows of the reserve."""
    reports = [one.get("reserves") for one in server.status()["processes"] if one["name"] == "house"]
    return reports[0] and reports[0][str(server.config.mail_root)]


def logged(server: ProcessServer) -> list[str]:
    """What the log says of the reserve; it is a moment behind."""
    return [event["event"] for event in server.events() if event["event"].startswith("reserve_")]


def open_indexes(server: ProcessServer) -> list[str]:
    """Those that any process of the server holds open."""
    found = []
    for one in server.status()["processes"]:
        for link in Path(f"/proc/{one['pid']}/fd").glob("*"):
            with suppress(FileNotFoundError):
                found.append(os.readlink(link))
    return [path for path in found if path.endswith("/index.sqlite")]


@pytest.mark.timeout(300)
def test_mail_is_removed_at_no_free_block(server: ProcessServer, disk: Disk) -> None:
    """STORE, EXPUNGE and MOVE by IMAP and DELE by POP3 work at 0 free blocks, in mailboxes whose indexes were closed.

    New mail and APPEND are refused and get none of the room. The server is killed meanwhile; the next one gives back what was
    removed, sets the reserve aside and takes mail again."""
    reserve = reserve_of(server)
    wait_for(lambda: reserve.state is ReserveState.WHOLE)
    for address in (DVBE, TTLAN):
        assert [send(server, address, LARGE if number == 1 else message(f"m{number}")) for number in range(3)] == ["250"] * 3
    wait_for(lambda: server.indexed() == 6)
    server.terminate()
    server.start()
    wait_for(lambda: reserve_status(server) == "whole")
    wait_for(lambda: not open_indexes(server), "an index stays open")
    disk.leave(0)
    assert disk.free == 0

    imap = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
    imap._encoding = "utf-8"  # the password has diacritics
    imap.login(DVBE, PASSWORD)
    assert imap.select()[0] == "OK"
    assert imap.store("2", "+FLAGS", r"(\Deleted)")[0] == "OK"
    assert imap.expunge() == ("OK", [b"2"])
    assert reserve.state is ReserveState.GIVEN_UP

    assert send(server, THIRD, message("small")) == "452 4.3.1"
    assert send(server, THIRD, LARGE) == "452 4.3.1"
    assert imap.append("Archive", "", "", LARGE)[0] == "NO"  # type: ignore[arg-type]
    for refused in (imap.copy("1", "Archive"), imap.create("Another")):
        assert refused[0] == "NO"
        assert b"[UNAVAILABLE]" in refused[1][0]
        assert refused[1][0].endswith(b"The server has no room left; try again later.")
    assert disk.free > RESERVE // 2

    pop3 = poplib.POP3("127.0.0.1", server.ports["pop3"])
    pop3.user(TTLAN)
    pop3.pass_(PASSWORD)
    assert pop3.dele(2).startswith(b"+OK")
    assert pop3.quit().startswith(b"+OK")
    typ, moved = imap.uid("MOVE", "1", "Trash")
    assert typ == "OK", moved
    assert imap.search(None, "ALL") == ("OK", [b"1"])
    imap.logout()
    wait_for(lambda: reserve_status(server) == "given-up")
    command = [sys.executable, "-m", "mic_mail", "--config", str(server.file), "status"]
    assert "ALARM: the disk" in subprocess.run(command, capture_output=True, text=True, check=True, env=ENGLISH).stdout

    server.kill()
    assert reserve.state is ReserveState.GIVEN_UP
    server.start()  # the housekeeper visits all mailboxes first
    wait_for(lambda: reserve.state is ReserveState.WHOLE)
    wait_for(lambda: disk.free > len(LARGE))  # the second mailbox is visited after the first
    assert send(server, THIRD, message("again")) == "250"
    wait_for(lambda: reserve_status(server) == "whole")
    wait_for(lambda: logged(server)[-2:] == ["reserve_given_up", "reserve_set_aside"])
    assert logged(server)[0] == "reserve_set_aside"
    for address, left in ((DVBE, 1), (TTLAN, 2), (THIRD, 1)):
        client = Imap(server.ports["imap"], address, PASSWORD)
        client.command(b"SELECT INBOX")
        assert len([parts for parts in client.command(b"UID FETCH 1:* FLAGS") if b"FETCH" in parts[0]]) == left
        client.close()


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path) as disk:
        yield disk


def test_only_what_removes_or_opens_takes_the_room(tmpfs: Disk) -> None:
    """Deliveries, copies, folders and annotations meet a full disk and leave the reserve alone; a removal gives it up, and then
    they are refused though there is room. What the index holds is what was answered."""
    root = Root(tmpfs.path)
    store, reserve = root.store(), Reserve(str(tmpfs.path))
    account = store.account(REF)
    tokens = [f"t{number}" for number in range(200)]
    deliver(account, inbox(account), tokens)
    account.checkpoint()
    assert reserve.set_aside(RESERVE)
    tmpfs.leave(0)
    adding: list[Callable[[], object]] = [
        lambda: deliver(account, inbox(account), ["more"]),
        lambda: account.copy(inbox(account), [1], account.folder_id("Archive")),
        lambda: account.create("Another"),
        lambda: account.annotate(None, [("", "/private/comment", b"x" * 1000)]),
        lambda: account.subscribe("Elsewhere", True),
    ]
    for add in adding:
        with pytest.raises(DiskFull):
            add()
    assert reserve.state is ReserveState.WHOLE
    account.store_flags(inbox(account), range(1, 101), "+", DELETED)
    assert reserve.state is ReserveState.GIVEN_UP
    for add in adding:
        free = tmpfs.free
        with pytest.raises(DiskFull):
            add()
        assert tmpfs.free == free > RESERVE // 2
    assert account.expunge(inbox(account)).uids == list(range(1, 101))
    account.store_flags(inbox(account), [101], "+", FLAGGED)
    assert account.move(inbox(account), [102], account.folder_id("Trash")).pairs == [(102, 1)]
    account.delete("Drafts")
    account.sweep()
    account.annotate(None, [("", "/private/comment", None)])
    tmpfs.give_back()
    assert reserve.set_aside(RESERVE)
    assert deliver(account, inbox(account), ["more"]) == [201]
    assert account.repair(check=True).clean
    left = [token for token, _ in observe(account)["INBOX"].messages.values()]
    assert left == [tokens[100], *tokens[102:], "more"]
    store.close()


def test_a_reserve_that_is_being_set_aside_or_given_up_when_its_process_is_killed(tmp_path: Path) -> None:
    """Between any two steps: the file is missing, whole or without octets, and whoever comes next does the same again."""
    states: dict[str, set[ReserveState]] = {"made": set(), "given up": set(), "made again": set()}
    for line in range(100):
        folder = tmp_path / str(line)
        folder.mkdir()
        reserve = Reserve(str(folder))
        ended = killed_at(line, lambda: reserve.set_aside(RESERVE), within="reserve.py")  # noqa: B023 - called at once
        states["made"].add(reserve.state)
        assert reserve.set_aside(RESERVE)
        assert (folder / FILE).stat().st_blocks * 512 >= RESERVE
        ended &= killed_at(line, lambda: reserve.give_up_if_full(DiskFull("full")), within="reserve.py")  # noqa: B023 - likewise
        states["given up"].add(reserve.state)
        assert reserve.give_up_if_full(DiskFull("full"))
        assert reserve.state is ReserveState.GIVEN_UP
        ended &= killed_at(line, lambda: reserve.set_aside(RESERVE), within="reserve.py")  # noqa: B023 - likewise
        states["made again"].add(reserve.state)
        assert reserve.set_aside(RESERVE)
        assert [path.name for path in folder.iterdir()] == [FILE]
        if ended:
            break
    assert ended
    assert states == {
        "made": {ReserveState.MISSING, ReserveState.WHOLE},
        "given up": {ReserveState.WHOLE, ReserveState.GIVEN_UP},
        "made again": {ReserveState.GIVEN_UP, ReserveState.WHOLE},
    }
