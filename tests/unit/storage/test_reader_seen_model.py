"""Per-person \\Seen against a model: two people, the own sign-in of the mailbox, restarts and lost indexes."""

import shutil
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mic_mail.storage.errors import NoSuchFolder
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.types import FLAGGED, SEEN
from postgresql_server import PostgresqlServer
from store_harness import REF, Root, deliver
from unit.storage.grounds import DatabaseRoot
from unit.storage.reader_seen import PERSONS, seen_by

MEMORY = Path("/dev/shm")
"""Where it is there; nothing here loses power."""


# ------------------------------------------------------------------ whatever happens

UIDS = st.sets(st.integers(1, 12), min_size=1, max_size=4)
WHO = st.sampled_from(PERSONS)
FOLDERS = st.sampled_from(["INBOX", "Archive", "Mới"])


class Readers(RuleBasedStateMachine):
    """Two people and the mailbox's own sign-in against a model; each has a mirror that only follows `changes`, as a client."""

    @initialize()
    def begin(self) -> None:
        self.root = self.new_root()
        self.store = self.root.store()
        self.each = False
        self.flags: dict[str, dict[int, int]] = {"INBOX": {}, "Archive": {}, "Mới": {}}
        self.common: dict[str, set[int]] = {folder: set() for folder in self.flags}
        self.seen: dict[str, dict[str, set[int]]] = {}
        self.mirrors: dict[tuple[str, str], tuple[int, dict[int, tuple[int, int]]]] = {}
        self.token = 0

    def new_root(self) -> Root | DatabaseRoot:
        self.path = Path(mkdtemp(prefix="seen", dir=MEMORY if MEMORY.is_dir() else None))
        return Root(self.path)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.path)

    def account(self, person: str | None = None) -> Account:
        return self.store.account(REF, person)

    def id(self, folder: str) -> int:
        """A folder may be made when others have begun to read."""
        try:
            return self.account().folder(folder).folder_id
        except NoSuchFolder:
            return self.account().create(folder).folder_id

    def met(self, person: str) -> dict[str, set[int]]:
        """What a person has read; a new one begins with what is common."""
        if not self.each:
            return self.common
        if person not in self.seen:
            self.seen[person] = {folder: set(uids) for folder, uids in self.common.items()}
        return self.seen[person]

    @rule(folder=FOLDERS, person=st.none() | WHO, flags=st.sampled_from([0, SEEN, FLAGGED]), count=st.integers(1, 3))
    def append(self, folder: str, person: str | None, flags: int, count: int) -> None:
        if person is not None and flags & SEEN:
            self.met(person)
        tokens = [f"t{self.token + number}" for number in range(count)]
        self.token += count
        uids = deliver(self.account(person), self.id(folder), tokens, flags=flags)
        for uid in uids:
            self.flags[folder][uid] = flags & ~SEEN
        if flags & SEEN:
            self.common[folder].update(uids)
            for who, read in self.seen.items():
                if person in (None, who):
                    read[folder].update(uids)

    @rule(folder=FOLDERS, person=WHO, uids=UIDS, operation=st.sampled_from("+-="), flags=st.sampled_from([SEEN, FLAGGED, 10]))
    def mark(self, folder: str, person: str, uids: set[int], operation: str, flags: int) -> None:
        others = {who: self.look(who, folder) for who in self.seen if who != person}
        result = self.account(person).store_flags(self.id(folder), uids, operation, flags)
        told = False
        own = self.met(person)[folder]
        for uid in uids & self.flags[folder].keys():
            before = self.flags[folder][uid] | (SEEN if uid in own else 0)
            after = {"+": before | flags, "-": before & ~flags, "=": flags}[operation]
            self.flags[folder][uid] = after & ~SEEN
            told |= bool((before ^ after) & ~SEEN)
            for read in (own, *([self.common[folder]] if (before ^ after) & SEEN else [])):
                (read.add if after & SEEN else read.discard)(uid)
        assert {uid: flags for uid, flags, _ in result.changed} == {
            uid: self.flags[folder][uid] | (SEEN if uid in own else 0) for uid in uids & self.flags[folder].keys()
        }
        if not told:  # nobody else hears of it
            assert all(self.look(who, folder) == before for who, before in others.items())

    def look(self, person: str, folder: str) -> tuple[int, list[tuple[int, int, int, int]]]:
        account, folder_id = self.account(person), self.id(folder)
        self.met(person)
        view = account.view(folder_id)
        return view.info.highest_modseq, list(zip(view.uids, view.flags, view.modseqs, view.sizes, strict=True))

    @rule(source=FOLDERS, into=FOLDERS, person=WHO, uids=UIDS, moves=st.booleans(), marks=st.booleans())
    def copy(self, source: str, into: str, person: str, uids: set[int], *, moves: bool, marks: bool) -> None:
        here = sorted(uids & self.flags[source].keys())
        act = self.account(person).move if moves else self.account(person).copy
        result = act(self.id(source), here, self.id(into), allowed=SEEN | FLAGGED if marks else FLAGGED)
        if here:
            self.met(person)
        for old, new in result.pairs:
            self.flags[into][new] = self.flags[source][old]
            for who, read in [("", self.common), *self.seen.items()]:
                if old in read[source] and (marks or (who not in {"", person})):
                    read[into].add(new)
        if moves:
            self.drop(source, here)

    def drop(self, folder: str, uids: list[int]) -> None:
        for uid in uids:
            self.flags[folder].pop(uid, None)
            for read in (self.common, *self.seen.values()):
                read[folder].discard(uid)

    @rule(folder=FOLDERS, uids=UIDS)
    def remove(self, folder: str, uids: set[int]) -> None:
        self.account().remove(self.id(folder), uids)
        self.drop(folder, sorted(uids))

    @rule(each=st.booleans(), persons=st.sets(WHO))
    def switch(self, *, each: bool, persons: set[str]) -> None:
        if self.account().keep_seen(each=each, persons=persons):
            self.each, self.seen = each, {}
            for person in persons if each else ():
                self.met(person)

    @precondition(lambda self: self.each)
    @rule(person=WHO)
    def forget(self, person: str) -> None:
        self.account().forget_reader(person)
        self.seen.pop(person, None)

    @rule(loses_index=st.booleans())
    def restart(self, *, loses_index: bool) -> None:
        self.store.close()
        if loses_index:
            self.root.lose_index()
        self.store = self.root.store()

    @rule(person=WHO, folder=FOLDERS)
    def follow(self, person: str, folder: str) -> None:
        """A client that comes back asks what changed, and has then what there is (RFC 7162 §3.2.5)."""
        account, folder_id = self.account(person), self.id(folder)
        self.met(person)
        since, known = self.mirrors.get((person, folder), (0, {}))
        view, changes = account.view(folder_id), account.changes(folder_id, since)
        for uid in known.keys() - set(view.uids) if not changes.complete else changes.vanished:
            known.pop(uid, None)
        known.update({uid: (flags, modseq) for uid, flags, modseq, _ in changes.changed})
        assert known == {uid: pair for uid, *pair in ()} | {
            uid: (flags, modseq) for uid, flags, modseq in zip(view.uids, view.flags, view.modseqs, strict=True)
        }
        self.mirrors[person, folder] = (changes.highest_modseq, known)

    @invariant()
    def all_agree(self) -> None:
        for person in self.seen if self.each else PERSONS:
            for folder, flags in self.flags.items():
                if not flags:
                    continue
                expected = {uid: bits | (SEEN if uid in self.met(person)[folder] else 0) for uid, bits in flags.items()}
                _, rows = self.look(person, folder)
                assert {uid: bits for uid, bits, _, _ in rows} == expected, person
                assert seen_by(self.store, person, folder) == self.met(person)[folder]


Readers.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
Readers.TestCase.pytestmark = pytest.mark.slow
TestReaders = Readers.TestCase


class ReadersInPostgresql(Readers):
    """The same, where there is no index to lose."""

    connection_string: str

    def new_root(self) -> DatabaseRoot:
        self.path = Path(mkdtemp(prefix="seen", dir=MEMORY if MEMORY.is_dir() else None))
        root = DatabaseRoot(self.connection_string, self.path)
        root.clear()
        return root


@pytest.fixture(scope="module")
def readers_server(postgresql: PostgresqlServer) -> None:
    ReadersInPostgresql.connection_string = postgresql.connection_string


ReadersInPostgresql.TestCase.settings = Readers.TestCase.settings
ReadersInPostgresql.TestCase.pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_tool("postgres"),
    pytest.mark.usefixtures("readers_server"),
]
TestReadersInPostgresql = ReadersInPostgresql.TestCase
