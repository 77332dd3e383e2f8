"""What the tests of the store share: a mail root, messages with a token each, what an observer sees, and death by `kill -9`.

`killed_at(n, act)` runs `act` in a forked child that dies, without any clean-up, before the n-th line of the store's code
that it comes to: between any two steps, that is, with no hook in the code itself.
"""

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import mic_mail
from mic_mail.clock import Clock, SystemClock
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.journal.frames import Journaled, frames_in
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.types import AccountRef, Published, StorageSettings

Result = TypeVar("Result")


def arrivals_in(segment: str) -> list[Journaled]:
    """The whole messages of the turn of a segment of the journal, in order."""
    return [frame for frame in frames_in(segment) if isinstance(frame, Journaled)]


REF = AccountRef(7, "mic.gov.vn/dvbe")
_FILES_CODE = os.path.join("mic_mail", "durable_files.py")
_STORE_CODE = os.sep + os.path.join("mic_mail", "storage") + os.sep


def inbox(account: Account) -> int:
    """The id of the INBOX."""
    return account.folder("INBOX").folder_id


def message(token: str, *, lines: int = 3) -> bytes:
    head = f"From: dvbe@mic.gov.vn\r\nSubject: {token}\r\nMessage-ID: <{token}@mic.gov.vn>\r\n\r\n"
    return (head + f"{token} xin chao\r\n" * lines).encode()


def deliver(account: Account, folder_id: int, tokens: Iterable[str], *, together: bool = False, **fields: object) -> list[int]:
    """Acknowledged on return; `together`: by the journal, as a batch of the server does it."""
    deliveries = []
    arrivals = []
    for token in tokens:
        octets = message(token)
        staged = account.stage()
        staged.write(octets)
        staged.finish_later() if together else staged.finish()
        deliveries.append(Delivery(staged, answers_of(octets), **fields))
        arrivals.append(Journaled(account.ref.home, staged.base, octets))
    if not together:
        return [published.uid for published in account.publish(folder_id, deliveries)]
    account._mailstore.prepare_journal()
    with account._mailstore.journal.holding(arrivals) as held:
        assert held
        return [published.uid for published in account.publish(folder_id, deliveries, journaled=True)]


def append(account: Account, folder_id: int, tokens: Iterable[str], **fields: object) -> list[int]:
    """Acknowledged on return: durable by the journal, as APPENDs that follow one another closely."""
    deliveries = []
    for token in tokens:
        octets = message(token)
        staged = account.stage()
        staged.write(octets)
        staged.finish_later()
        deliveries.append(Delivery(staged, partial(answers_of, octets), octets=octets, **fields))
    account._mailstore.prepare_journal()
    return [published.uid for published in account.publish(folder_id, deliveries)]


def exchange(account: Account, source_id: int, uid: int, target_id: int, token: str, **fields: object) -> Published:
    """REPLACE: acknowledged on return."""
    octets = message(token)
    staged = account.stage()
    staged.write(octets)
    staged.finish()
    limit = fields.pop("limit_octets", None)
    delivery = Delivery(staged, answers_of(octets), **fields)
    return account.exchange(source_id, uid, target_id, delivery, limit_octets=limit)


@dataclass
class Root:
    """A mail root with one account; `open` gives it cold."""

    path: Path
    clock: Clock = field(default_factory=SystemClock)
    settings: dict[str, object] = field(default_factory=lambda: {"boot_id": "first boot"})
    changes: list[tuple[int, int]] = field(default_factory=list)

    def store(self) -> LocalMailStore:
        return LocalMailStore(
            self.path,
            clock=self.clock,
            host="mail.mic.gov.vn",
            settings=StorageSettings(**self.settings),  # type: ignore[arg-type]  # each test names its own
            on_change=lambda account_id, modseq: self.changes.append((account_id, modseq)),
        )

    def use(self, act: Callable[[Account], Result]) -> Result:
        store = self.store()
        try:
            store.recover()
            store.settle_left_behind()  # as a server does when it starts
            return act(store.account(REF))
        finally:
            store.close()

    @property
    def home(self) -> Path:
        return self.path / REF.home

    def lose_index(self) -> None:
        for file in self.home.glob("index.sqlite*"):
            file.unlink()

    def lose_store(self) -> None:
        """All of the account is gone."""
        shutil.rmtree(self.home)

    def files(self) -> list[Path]:
        """The files of its messages."""
        return list(self.home.rglob("cur/*"))

    def set_aside(self) -> list[str]:
        """The names of what restores have replaced."""
        domain = str(Path(REF.home).parent)
        return [f"{domain}/{path.name}" for path in self.home.parent.glob(f"{self.home.name}.replaced-*")]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the index has, while nobody uses it."""
        with closing(sqlite3.connect(self.home / "index.sqlite")) as index:
            return index.execute(query).fetchall()

    def staged(self) -> list[Path]:
        """What lies about of messages that are not published."""
        return list((self.home / "Maildir/tmp").iterdir())

    def index_copy(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in self.home.glob("index.sqlite*")}

    def power_loss(self, index: dict[str, bytes]) -> None:
        """Another boot, and the index as it was at an earlier instant; files and sidecars are durable."""
        self.lose_index()
        for name, octets in index.items():
            (self.home / name).write_bytes(octets)
        self.settings["boot_id"] = f"{self.settings['boot_id']}'"


@dataclass(frozen=True)
class Seen:
    """One folder as an observer finds it: (token, flags with keyword names) by UID; annotations by holder and name.

    INBOX has the account's own annotations too, with a space in front of their holder.
    """

    uidvalidity: int
    uidnext: int
    messages: dict[int, tuple[str, frozenset[str]]]
    annotations: dict[tuple[str, str], bytes | None] = field(default_factory=dict)


HOLDERS = ("", "dvbe@mic.gov.vn", "ttlan@mic.gov.vn")
"""Whose annotations the model sets, everybody's first."""

SYSTEM = {1: "\\Answered", 2: "\\Flagged", 4: "\\Deleted", 8: "\\Seen", 16: "\\Draft"}


def flag_names(bits: int, keywords: tuple[str, ...]) -> frozenset[str]:
    named = {name for bit, name in SYSTEM.items() if bits & bit}
    return frozenset(named | {name for place, name in enumerate(keywords) if bits >> (5 + place) & 1})


def observe(account: Account) -> dict[str, Seen]:
    """Everything, read message by message; also that answers, files, counters and order agree."""
    seen: dict[str, Seen] = {}
    for info in account.folders():
        if not info.selectable:
            continue
        view = account.view(info.folder_id)
        assert list(view.uids) == sorted(set(view.uids))
        assert not view.uids or view.uids[-1] < view.info.uidnext
        assert len(view.uids) == view.info.messages
        messages: dict[int, tuple[str, frozenset[str]]] = {}
        rows = account.rows(info.folder_id, view.uids, ["uid", "size", "header", "flags"])
        for (uid, size, header, flags), bits in zip(rows, view.flags, strict=True):
            assert bits == flags
            with account.open_message(info.folder_id, uid) as file:
                octets = file.pread(0, 1 << 20)
            assert len(octets) == size
            token = header.split(b"Subject: ")[1].split(b"\r\n")[0].decode()
            assert octets == message(token)
            messages[uid] = (token, flag_names(flags, view.info.keywords))
        annotations = {(each.holder, each.name): each.value for each in account.annotations(info.folder_id, HOLDERS)}
        if info.name == "INBOX":
            annotations |= {(f" {each.holder}", each.name): each.value for each in account.annotations(None, HOLDERS)}
        seen[info.name] = Seen(view.info.uidvalidity, view.info.uidnext, messages, annotations)
    assert account.quota().messages == sum(len(folder.messages) for folder in seen.values())
    return seen


@cache
def _sources() -> list[str]:
    return [str(path) for path in Path(mic_mail.__file__).parent.rglob("*.py")]


def killed_at(line: int, act: Callable[[], object], within: str = _STORE_CODE) -> bool:
    """True if `act` came to its end before the death that waited for it.

    Lines of files with `within` in their path count, and those that write and fsync files for them.
    """
    assert any(within in path for path in _sources()), f"no module is {within}"
    child = os.fork()
    if child == 0:
        left = line

        def count(frame: FrameType, event: str, arg: object) -> object:
            nonlocal left
            if within not in frame.f_code.co_filename and not frame.f_code.co_filename.endswith(_FILES_CODE):
                return None
            if event == "line":
                left -= 1
                if left < 0:
                    os._exit(9)
            return count

        status = 1
        try:
            sys.settrace(count)
            act()
            status = 0
        finally:
            sys.settrace(None)
            os._exit(status)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9), f"the child failed with {code}"
    return code == 0
