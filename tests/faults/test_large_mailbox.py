"""A mailbox of 300,000 messages, by two workers: right answers, nothing cut, memory in bounds, neighbours served meanwhile.

How long each act took, the memory that it cost, how late the loops came and how long a neighbour waited are printed (`-s`),
and nothing is asserted about durations.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults.wire import Imap, uid_set
from harness import ProcessServer
from mic_mail.clock import SystemClock
from mic_mail.directory.records import MailboxRecord
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef
from population import PASSWORD

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

MESSAGES = 300_000
BATCH = 1_000
MOST_MIB_GROWN = 400
"""Of one worker above what it holds when idle. A STORE on everything is one change, and held some 190 MiB: 650 octets for each
message (its row as it was and will be, the view before and after, its FETCH line). What needs twice as much doubles it.
"""

DVBE, TTLAN = "dvbe@mic.gov.vn", "ttlan@mic.gov.vn"
_NUMBERS = re.compile(rb"\* (\d+) FETCH \(.*\bUID (\d+)\b.*\)\r\n")


def fill(server: ProcessServer, mailbox: MailboxRecord, folder: Path) -> None:
    """INBOX, by links of one file for each batch: fsyncs do not dominate."""
    store = LocalMailStore(server.config.mail_root, clock=SystemClock(), host="filling")
    account = store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
    inbox = account.folder("INBOX").folder_id
    for first in range(1, MESSAGES + 1, BATCH):
        message = b"From: a@a.example\r\nSubject: so %d\r\nMessage-ID: <%d@a.example>\r\n\r\nNoi dung.\r\n" % (first, first)
        answers, source = answers_of(message), folder / f"spool{first}"
        source.write_bytes(message)
        account.publish(inbox, [Delivery(account.stage_link(source), answers) for _ in range(BATCH)])
        source.unlink()
    store.close()


def pss_mib(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    assert found
    return int(found[1]) >> 10


class Watch:
    """The workers' memory and loops, and one neighbour for each worker who asks again and again."""

    def __init__(self, server: ProcessServer) -> None:
        self.server = server
        self.pids = server.workers()
        self.idle = {pid: pss_mib(pid) for pid in self.pids}
        self.most = dict(self.idle)
        self.slowest = 0.0
        self.asked = 0
        self.failures: list[BaseException] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._measure)]
        for _ in self.pids:  # one after the other: whoever has the fewest connections accepts
            neighbour = Imap(server.ports["imap"], TTLAN, PASSWORD)
            self._threads.append(threading.Thread(target=self._ask, args=(neighbour,)))
        for thread in self._threads:
            thread.start()

    def _measure(self) -> None:
        while not self._ended.wait(0.05):
            for pid in self.pids:
                self.most[pid] = max(self.most[pid], pss_mib(pid))

    def _ask(self, client: Imap) -> None:
        try:
            client.command(b"SELECT INBOX")
            while not self._ended.wait(0.02):
                started = time.monotonic()
                assert client.command(b"STATUS Sent (MESSAGES)")[-1] == [b'* STATUS "Sent" (MESSAGES 0)\r\n']
                self.slowest = max(self.slowest, time.monotonic() - started)
                self.asked += 1
            client.close()
        except BaseException as error:  # noqa: BLE001 - told by `close`
            self.failures.append(error)

    def beats(self) -> dict[str, int]:
        """By lateness in milliseconds, of all workers."""
        told = [one["lag_beats"] for one in self.server.status()["processes"] if one["name"].startswith("worker")]
        return {bound: sum(each[bound] for each in told) for bound in told[0]}

    @contextmanager
    def act(self, name: str, *, long: bool = False) -> Iterator[None]:
        """A `long` one writes a line for each message: neighbours are served meanwhile."""
        before, self.slowest, asked = self.beats(), 0.0, self.asked
        self.most = {pid: pss_mib(pid) for pid in self.pids}
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        asked, slowest = self.asked - asked, self.slowest
        after = self.beats()
        late = {bound: after[bound] - before[bound] for bound in after if after[bound] > before[bound]}
        grown = {pid: self.most[pid] - self.idle[pid] for pid in self.pids}
        print(f"{name}: {seconds:.2f} s, MiB {grown}, neighbours {asked}, slowest {slowest * 1000:.0f} ms, late {late}")
        assert max(grown.values()) < MOST_MIB_GROWN, name
        assert asked or not long, f"nobody else was served during {name}"

    def close(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        assert self.failures == []
        assert self.server.workers() == self.pids  # nobody died


def lines(client: Imap, command: bytes) -> list[bytes]:
    """What came before the OK, but for signs of life (RFC 9585)."""
    found = [b"".join(response) for response in client.command(command)]
    return [line for line in found if not line.startswith(b"* OK [INPROGRESS")]


def starting(found: list[bytes], front: bytes) -> list[bytes]:
    return [line for line in found if line.startswith(front)]


def told_uid(line: bytes) -> tuple[int, int]:
    """Number and UID of a FETCH response."""
    found = _NUMBERS.fullmatch(line)
    assert found, line
    return int(found[1]), int(found[2])


def searched(client: Imap, command: bytes) -> list[int]:
    (line,) = starting(lines(client, command), b"* SEARCH")
    return [int(number) for number in line.split()[2:]]


def status(client: Imap, folder: bytes, items: bytes) -> dict[bytes, int]:
    (line,) = starting(lines(client, b"STATUS %s (%s)" % (folder, items)), b"* STATUS")
    words = line[line.index(b"(") + 1 : line.rindex(b")")].split()
    return {word: int(value) for word, value in zip(words[::2], words[1::2], strict=True)}


def modseq_of(found: list[bytes]) -> int:
    return int(next(filter(None, (re.search(rb"\[HIGHESTMODSEQ (\d+)\]", line) for line in found)))[1])


def test_a_mailbox_of_300_000_messages(serve_processes: Callable[..., ProcessServer], tmp_path: Path) -> None:
    """Each command that programs give on everything tells everything, once and in order, to who gave it and to the other."""
    server = serve_processes({"auth": {"cleartext": True}, "process": {"workers": 2}})
    mailbox = server.population.issue("dvbe", quota_octets=1 << 40)
    server.population.issue("ttlan")
    fill(server, mailbox, tmp_path)
    server.start()
    one, two = (Imap(server.ports["imap"], DVBE, PASSWORD) for _ in range(2))
    watch = Watch(server)
    try:
        use(watch, one, two)
    finally:
        watch.close()


def use(watch: Watch, one: Imap, two: Imap) -> None:
    two.command(b"ENABLE QRESYNC")
    with watch.act("SELECT, cold"):
        found = lines(one, b"SELECT INBOX")
    assert b"* %d EXISTS\r\n" % MESSAGES in found
    old = modseq_of(found)
    validity = int(next(filter(None, (re.search(rb"UIDVALIDITY (\d+)", line) for line in found)))[1])
    with watch.act("SELECT, the other worker"):
        assert b"* %d EXISTS\r\n" % MESSAGES in lines(two, b"SELECT INBOX")
    with watch.act("UID FETCH 1:* (FLAGS)", long=True):
        found = lines(one, b"UID FETCH 1:* (FLAGS)")
    assert [told_uid(line) for line in found] == [(at, at) for at in range(1, MESSAGES + 1)]
    with watch.act("UID SEARCH ALL, UNSEEN, SUBJECT"):
        assert searched(one, b"UID SEARCH ALL") == list(range(1, MESSAGES + 1))
        assert searched(one, b"UID SEARCH SEEN") == []
        assert searched(one, b'UID SEARCH SUBJECT "so 299001"') == list(range(299_001, MESSAGES + 1))
    with watch.act("header sync of the newest 500"):
        asked = b"(UID FLAGS ENVELOPE INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])"
        found = lines(one, b"FETCH %d:* %s" % (MESSAGES - 499, asked))
    assert [int(line.split()[1]) for line in found] == list(range(MESSAGES - 499, MESSAGES + 1))
    assert all(b"so 299001" in line for line in found)
    with watch.act("STORE 1:* +FLAGS (\\Seen)", long=True):
        found = lines(one, b"STORE 1:* +FLAGS (\\Seen)")
    assert len(found) == MESSAGES
    assert all(int(line.split()[1]) == at and b"\\Seen" in line for at, line in enumerate(found, 1))
    with watch.act("NOOP of the other"):
        found = starting(lines(two, b"NOOP"), b"* ")
    assert [int(line.split()[1]) for line in found if b" FETCH (" in line] == list(range(1, MESSAGES + 1))
    assert all(b"\\Seen" in line for line in found if b" FETCH (" in line)
    with watch.act("STORE 1:* -FLAGS.SILENT (\\Seen)"):
        assert lines(one, b"STORE 1:* -FLAGS.SILENT (\\Seen)") == []
    with watch.act("NOOP of the other, once more"):
        assert len(lines(two, b"NOOP")) == MESSAGES
    one.command(b"STORE 1:1000 +FLAGS.SILENT (\\Deleted)")
    with watch.act("EXPUNGE of 1,000"):
        found = lines(one, b"EXPUNGE")
    assert [int(line.split()[1]) for line in found if line.endswith(b" EXPUNGE\r\n")] == list(range(1000, 0, -1))
    with watch.act("NOOP of the other after EXPUNGE"):
        found = lines(two, b"NOOP")
    assert b"* VANISHED 1:1000\r\n" in found
    one.command(b"CREATE Ban")
    with watch.act("COPY of 10,000"):
        one.command(b"COPY 1:10000 Ban")
    copied = re.search(rb"\[COPYUID \d+ (\S+) (\S+)\]", one.code)
    assert copied
    assert copied.groups() == (b"1001:11000", b"1:10000")
    with watch.act("MOVE of 10,000"):
        found = lines(one, b"MOVE 1:10000 Ban")
    assert len([line for line in found if line.endswith(b" EXPUNGE\r\n")]) == 10_000
    left = MESSAGES - 11_000
    with watch.act("STATUS of both"):
        told = status(two, b"INBOX", b"MESSAGES UNSEEN DELETED UIDNEXT")
        assert told == {b"MESSAGES": left, b"UNSEEN": left, b"DELETED": 0, b"UIDNEXT": MESSAGES + 1}
        assert status(two, b"Ban", b"MESSAGES UIDNEXT") == {b"MESSAGES": 20_000, b"UIDNEXT": 20_001}
    with watch.act("QRESYNC from before everything"):
        found = lines(two, b"SELECT INBOX (QRESYNC (%d %d))" % (validity, old))
    assert [uid_set(line.split()[3]) for line in starting(found, b"* VANISHED (EARLIER)")] == [list(range(1, 11_001))]
    changed = [line for line in found if b" FETCH (" in line]
    assert [int(line.split()[1]) for line in changed] == list(range(1, left + 1))
