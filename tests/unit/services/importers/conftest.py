"""A mailbox that mail is imported into, and a source whose messages are listed by the test."""

from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mic_mail.clock import SystemClock
from mic_mail.services.importers.importer import FolderChoice, Import, Into
from mic_mail.services.importers.ledger import Ledger
from mic_mail.services.importers.source import FolderCounts, Source, SourceFolder, SourceMessage
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.types import AccountRef

REF = AccountRef(1, "mic.gov.vn/dvbe")
NOW_US = 1_790_000_000_000_000


def message(number: int, size: int = 30) -> bytes:
    return f"From: a@b\r\nSubject: {number}\r\nDate: Tue, 1 Oct 2019 10:00:00 +0700\r\n\r\n{'x' * size}\r\n".encode()


class Here:
    """A mailbox, and imports into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = LocalMailStore(folder / "mail", clock=SystemClock(), host="test")
        self.account: Account = self.store.account(REF)

    def ledger(self, source: Source) -> Ledger:
        return Ledger(self.folder / "imports" / "1-x.jsonl", 1, source.identity)

    def run(self, source: Source, *, limit: int = 1 << 40, choice: FolderChoice | None = None) -> dict[str, FolderCounts]:
        with self.ledger(source) as ledger:
            tallies = Import(Into(self.store, self.account, ledger, limit, NOW_US), source, choice).run()
        return {tally.source: tally for tally in tallies}

    def contents(self) -> dict[str, Counter[bytes]]:
        found: dict[str, Counter[bytes]] = {}
        for info in self.account.folders():
            for uid in self.account.view(info.folder_id).uids:
                with self.account.open_message(info.folder_id, uid) as file:
                    found.setdefault(info.name, Counter())[file.pread(0, 1 << 20)] += 1
        return found

    def flags(self, folder: str = "INBOX") -> list[int]:
        return list(self.account.view(self.account.folder_id(folder)).flags)

    def close(self) -> None:
        self.store.close()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    made = Here(tmp_path)
    yield made
    made.close()


class Listed:
    """A source in memory, with keys as IMAP gives them: UIDVALIDITY and UID."""

    identity = "test:listed"

    def __init__(self, **folders: Sequence[tuple[int, bytes, str]]) -> None:
        self.content = {name: {uid: (octets, flags) for uid, octets, flags in some} for name, some in folders.items()}
        self.validity = 7
        self.read: list[tuple[str, int]] = []
        self.before: Callable[[str, int], None] = lambda name, uid: None

    def folders(self) -> Sequence[SourceFolder]:
        return [SourceFolder(() if name == "INBOX" else tuple(name.split("/")), name) for name in self.content]

    def messages(self, folder: SourceFolder, known: Container[str]) -> Iterator[SourceMessage]:
        for uid, (octets, flags) in sorted(self.content[str(folder.place)].items()):
            self.before(str(folder.place), uid)
            key = f"{folder.name}\0{self.validity}\0{uid}"
            item = SourceMessage(key, None, frozenset(flags.split()), generation=self.validity)
            if key not in known:
                self.read.append((folder.name, uid))
                item = replace(item, content=octets)
            yield item

    def close(self) -> None:
        """Nothing."""
