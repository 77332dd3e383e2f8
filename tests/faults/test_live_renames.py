"""RENAME of trees and of INBOX while everybody works, in two workers: sessions that have a folder open or are told of names
by NOTIFY believe at the end what there is, and no message is lost or doubled.

Mirrors (`faults.client_mirror`) work in INBOX, whose messages a RENAME takes away under them, and in a folder that goes from
name to name while they have it open. Watchers hear of everything by NOTIFY, between commands or in IDLE, and ask nothing.
"""

import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import zip_longest

import pytest

from faults.client_mirror import Mirror, truth
from faults.wire import Imap, Refused
from harness import ProcessServer
from mic_mail.clock import SystemClock
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef
from population import PASSWORD
from unit.imap.commands.notify_model import Model

DVBE = "dvbe@mic.gov.vn"
NAMES = b"Cay Cay/Con Cay/Con/Nua Rung Rung/Cay Rung/Sau/Con Vuon Vuon/Cay/Con Tam/A Tam/B".split()
FOLLOWED, OTHER = b"Cay/Con", b"Khac"
COUNTED = ("MESSAGES", "UIDNEXT", "UNSEEN")
QUIET_SECONDS = 20.0
"""Until everybody has heard: the feed tells at once, the poll every two seconds."""
_LISTED = re.compile(rb'\* LIST \((.*?)\) "/" "(.*?)"')


class Follower(Mirror):
    """Has a folder open under whatever name it goes, and takes nothing away."""

    def _acts(self) -> list[Callable[[], object]]:
        return [self._store, self._store, self._fetch, self._search, self._noop, self._idle]


class Watcher:
    """A connection that hears everything by NOTIFY and works nothing out by asking."""

    def __init__(self, port: int, name: str, *, idle: bool) -> None:
        self.name = name
        self.model = Model()
        self.heard: list[bytes] = []
        self._left = b""
        self._socket = socket.create_connection(("127.0.0.1", port), 60)
        secret = PASSWORD.encode()
        self.command(b"a LOGIN %b {%d+}\r\n%b" % (DVBE.encode(), len(secret), secret), b"a OK")
        self.command(b'l LIST "" "*" RETURN (STATUS (MESSAGES UIDNEXT UNSEEN))', b"l OK")
        everything = b"(MessageNew MessageExpunge FlagChange MailboxName)"
        self.command(b"n NOTIFY SET STATUS (PERSONAL %b)" % everything, b"n OK")
        if idle:
            self.command(b"i IDLE", b"+ ")

    def command(self, octets: bytes, until: bytes) -> None:
        self._socket.sendall(octets + b"\r\n")
        while not any(line.startswith(until) for line in self.receive(60)):
            pass

    def receive(self, seconds: float) -> list[bytes]:
        """What comes within so long, believed."""
        self._socket.settimeout(seconds)
        octets = b""
        with suppress(TimeoutError):
            octets = self._socket.recv(1 << 16)
            assert octets, f"{self.name}: the connection ended\n{self.transcript()}"
        *lines, self._left = (self._left + octets).split(b"\r\n")
        for line in lines:
            assert not line.startswith(b"* BYE"), line
            assert b"NOTIFICATIONOVERFLOW" not in line, line
            self.model.receive(line + b"\r\n")
        self.heard += lines
        return lines

    def follow(self, ended: threading.Event) -> None:
        while not ended.is_set():
            self.receive(0.05)

    def believed(self) -> dict[str, dict[str, int]]:
        """Names and counts, as `folders_now` has them."""
        known = self.model.status
        return {name: {word: known.get(name, {}).get(word, -1) for word in COUNTED} for name in self.model.folders}

    def transcript(self) -> str:
        return "\n".join(map(repr, self.heard[-80:]))

    def close(self) -> None:
        self._socket.close()


class FolderChanger:
    """Makes, renames and deletes, and puts messages that have to be somewhere at the end."""

    def __init__(self, port: int, seed: str) -> None:
        self._dice = random.Random(seed)
        self._client = Imap(port, DVBE, PASSWORD)
        self._seed = seed
        self._count = 0
        self.kept: list[bytes] = []
        """Subjects of what was stored where nobody takes anything away."""
        self.done: Counter[str] = Counter()

    def work(self, steps: int) -> None:
        for _ in range(steps):
            act = self._dice.choice([self._rename, self._rename, self._rename, self._inbox, self._make, self._drop, self._put])
            with suppress(Refused):  # another one was faster
                act()
                self.done[act.__name__] += 1

    def _folders(self) -> list[bytes]:
        listed = [_LISTED.match(b"".join(response)) for response in self._client.command(b'LIST "" "*"')]
        names = [found[2] for found in listed if found and b"\\Noselect" not in found[1]]
        return [name for name in names if name not in (b"INBOX", OTHER, b"Bo")]

    def _rename(self) -> None:
        self._client.command(b'RENAME "%b" "%b"' % (self._dice.choice(self._folders()), self._dice.choice(NAMES)))

    def _inbox(self) -> None:
        self._count += 1
        self._client.command(b"RENAME INBOX Cu/%b-%d" % (self._seed.encode(), self._count))

    def _make(self) -> None:
        self._client.command(b"CREATE " + self._dice.choice(NAMES))

    def _drop(self) -> None:
        """Only what was made for it, and stays where it is made."""
        self._client.command(b"DELETE Bo")

    def _put(self) -> None:
        self._count += 1
        subject = b"giu-%b-%d" % (self._seed.encode(), self._count)
        message = b"Subject: %b\r\n\r\nx\r\n" % subject
        self._client.command(b'APPEND "%b" {%d+}\r\n%b' % (self._dice.choice(self._folders()), len(message), message))
        self.kept.append(subject)
        self._client.command(b"CREATE Bo")

    def close(self) -> None:
        self._client.close()


def folders_now(client: Imap) -> dict[str, dict[str, int]]:
    """Names and counts as a new session hears them."""
    found: dict[str, dict[str, int]] = {}
    for response in client.command(b'LIST "" "*" RETURN (STATUS (MESSAGES UIDNEXT UNSEEN))'):
        if told := re.fullmatch(rb'\* STATUS "(.*)" \((.*)\)\r\n', b"".join(response)):
            words = told[2].decode().split()
            found[told[1].decode()] = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    return found


def name_of(client: Imap, mailbox_id: bytes) -> bytes:
    """What the folder with this id is called now."""
    for response in client.command(b'LIST "" "*" RETURN (STATUS (MAILBOXID))'):
        if told := re.fullmatch(rb'\* STATUS "(.*)" \(MAILBOXID \(%b\)\)\r\n' % re.escape(mailbox_id), b"".join(response)):
            return told[1]
    raise AssertionError("the folder is nowhere")


def everybody_agrees(server: ProcessServer, mirrors: list[Mirror], watchers: list[Watcher], followed: bytes) -> None:
    helper = Imap(server.ports["imap"], DVBE, PASSWORD)
    name = name_of(helper, followed)
    for mirror in mirrors:
        seen = truth(server.ports, DVBE, b'"%b"' % name if isinstance(mirror, Follower) else b"INBOX")
        wrong = [pair for pair in zip_longest(mirror.picture(), seen) if pair[0] != pair[1]]
        assert wrong == [], f"{mirror.name}\n{mirror.transcript()}"
    now = folders_now(helper)
    for watcher in watchers:
        until = time.monotonic() + QUIET_SECONDS
        while (told := watcher.believed()) != now:
            if time.monotonic() > until:
                wrong = {each: (told.get(each), now.get(each)) for each in told.keys() | now if told.get(each) != now.get(each)}
                raise AssertionError(f"{watcher.name} believes otherwise: {wrong}\n{watcher.transcript()}")
            watcher.receive(0.2)
    helper.close()


def subjects(server: ProcessServer) -> Counter[bytes]:
    helper, found = Imap(server.ports["imap"], DVBE, PASSWORD), Counter[bytes]()
    for name in folders_now(helper):
        helper.command(b'EXAMINE "%b"' % name.encode())
        with suppress(Refused):
            for response in helper.command(b"FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]"):
                found.update(re.findall(rb"giu-\S+", b"".join(response)))
    helper.close()
    return found


@pytest.mark.parametrize(
    "seed", [pytest.param(1, marks=pytest.mark.slow), *(pytest.param(seed, marks=pytest.mark.campaign) for seed in (2, 3))]
)
def test_renames_under_live_load(serve_processes: Callable[..., ProcessServer], seed: int) -> None:
    """Trees, INBOX and names that change hands, in two workers, with sessions in IDLE and with NOTIFY."""
    server = serve_processes({"auth": {"cleartext": True}, "process": {"workers": 2}})
    home = server.population.issue("dvbe")
    server.start()
    ports = server.ports
    helper = Imap(ports["imap"], DVBE, PASSWORD)
    for name in (b"Cay/Con/Nua", OTHER):
        helper.command(b"CREATE " + name)
    with suppress(Refused):
        helper.command(b"CREATE " + FOLLOWED)
    told = b"".join(b"".join(response) for response in helper.command(b"EXAMINE " + FOLLOWED))
    found = re.search(rb"\[MAILBOXID \((\S+)\)\]", told)
    assert found
    followed = found[1]
    helper.close()
    mirrors = [Mirror(lambda: server.ports, DVBE, f"{seed}.{at}", qresync=at % 2 == 1, folder=b"INBOX") for at in range(4)]
    mirrors += [Follower(lambda: server.ports, DVBE, f"{seed}.f{at}", qresync=at % 2 == 1, folder=FOLLOWED) for at in range(2)]
    watchers = [Watcher(ports["imap"], f"watcher {at}", idle=at % 2 == 1) for at in range(4)]
    shakers = [FolderChanger(ports["imap"], f"{seed}{letter}") for letter in "abc"]
    for mirror in mirrors:
        mirror.connect()
    for _ in range(3):
        ended = threading.Event()
        with ThreadPoolExecutor(32) as pool:
            listening = [pool.submit(watcher.follow, ended) for watcher in watchers]
            working = [pool.submit(mirror.work, 25) for mirror in mirrors] + [pool.submit(each.work, 25) for each in shakers]
            try:
                for done in working:
                    done.result()
            finally:
                ended.set()
            for done in listening:
                done.result()
        everybody_agrees(server, mirrors, watchers, followed)
    assert sum(shaker.done["_rename"] for shaker in shakers) > 0
    assert sum(shaker.done["_inbox"] for shaker in shakers) > 0
    assert sum(mirror.cuts for mirror in mirrors) == 0
    found, kept = subjects(server), Counter(subject for shaker in shakers for subject in shaker.kept)
    assert (found - kept, kept - found) == (Counter(), Counter())
    for each in (*mirrors, *watchers, *shakers):
        each.close()
    store = LocalMailStore(server.config.mail_root, clock=SystemClock(), host="checking")
    report = store.account(AccountRef(home.mailbox_id, home.home)).repair(check=True)
    assert report.clean, report.findings
    store.close()
