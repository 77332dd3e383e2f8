"""Death between any two steps: every acknowledged message is there once, UIDs in order of publication, everything or nothing.

The machine does one operation after another in a child process that may be killed before any line of the store's code. An
observer then opens the store cold and must find exactly the state before or the state after; the one after if the child had
answered. Between operations the index may be deleted, or the power may fail: another boot, and the index as it was some
operations ago.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from memory_folder import folder_in_memory
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.types import ANSWERED, DELETED, FLAGGED, SEEN
from store_harness import HOLDERS, Root, Seen, deliver, exchange, flag_names, killed_at, observe

pytestmark = pytest.mark.slow

Messages = dict[int, tuple[str, frozenset[str]]]
Annotations = dict[tuple[str, str], bytes | None]
FLAGS = st.sampled_from([SEEN, FLAGGED, ANSWERED, DELETED, SEEN | DELETED])
KEYWORDS = st.sampled_from([(), ("work",), ("$Forwarded", "work")])
ENTRIES = st.tuples(st.sampled_from(HOLDERS), st.sampled_from(["/shared/comment", "/private/vendor/kolab/color"]))
VALUES = st.one_of(st.none(), st.binary(max_size=8))
LIFE = st.one_of(st.just(10**9), st.integers(0, 900))
"""Lines of the store's code until death; most operations take some hundreds."""


@dataclass
class Wanted:
    """A folder after an operation: messages that keep their UIDs, then new ones in order."""

    kept: Messages
    new: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    annotations: Annotations = field(default_factory=dict)


class KilledStore(RuleBasedStateMachine):
    """The store against a model that is a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self._memory = ExitStack()
        self.root = Root(self._memory.enter_context(folder_in_memory()))
        self.count = 0
        self.state: dict[str, Seen] = {}
        self.old_index: dict[str, bytes] = {}
        self.root.use(lambda account: [account.create(name) for name in ("A", "B")])
        self.state = self.root.use(observe)
        self.old_index = self.root.index_copy()

    def teardown(self) -> None:
        self._memory.close()

    # Doing

    def attempt(self, life: int, act: Callable[[Account], object], wanted: dict[str, Wanted]) -> None:
        """Do it with that long to live; what an observer finds becomes the state."""
        answered = killed_at(life, lambda: self.root.use(act))
        found = self.root.use(observe)
        before = self.unchanged()
        happened = self.agrees(found, wanted)
        assert happened or (not answered and self.agrees(found, before)), (answered, found, wanted)
        self.state = found

    def agrees(self, found: dict[str, Seen], wanted: dict[str, Wanted]) -> bool:
        if found.keys() != wanted.keys():
            return False
        for name, folder in wanted.items():
            seen = found[name]
            if seen.annotations != folder.annotations:
                return False
            uidnext = self.state[name].uidnext if name in self.state else 1
            new = [(uid, message) for uid, message in seen.messages.items() if uid not in folder.kept]
            if {uid: message for uid, message in seen.messages.items() if uid in folder.kept} != folder.kept:
                return False
            if [message for _, message in sorted(new)] != folder.new or any(uid < uidnext for uid, _ in new):
                return False
        return True

    def unchanged(self) -> dict[str, Wanted]:
        return {name: Wanted(dict(seen.messages), [], dict(seen.annotations)) for name, seen in self.state.items()}

    def some_folder(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.state)))

    def some_uids(self, data: st.DataObject, folder: str) -> list[int]:
        uids = sorted(self.state[folder].messages)
        return data.draw(st.lists(st.sampled_from(uids), unique=True)) if uids else []

    # Operations

    @rule(data=st.data(), life=LIFE, number=st.integers(1, 3), flags=FLAGS, keywords=KEYWORDS, together=st.booleans())
    def deliver(
        self, data: st.DataObject, life: int, number: int, flags: int, keywords: tuple[str, ...], together: bool
    ) -> None:
        name = self.some_folder(data)
        tokens = [f"t{self.count + n}" for n in range(number)]
        self.count += number
        wanted = self.unchanged()
        wanted[name].new = [(token, flag_names(flags, ()) | set(keywords)) for token in tokens]
        self.attempt(
            life,
            lambda account: deliver(
                account, account.folder(name).folder_id, tokens, together=together, flags=flags, keywords=keywords
            ),
            wanted,
        )

    @rule(data=st.data(), life=LIFE, operation=st.sampled_from("+-="), flags=FLAGS, keywords=KEYWORDS, flush=st.booleans())
    def store(self, data: st.DataObject, life: int, operation: str, flags: int, keywords: tuple[str, ...], flush: bool) -> None:
        name = self.some_folder(data)
        uids = self.some_uids(data, name)
        operand = flag_names(flags, ()) | set(keywords)
        change = {"+": lambda old: old | operand, "-": lambda old: old - operand, "=": lambda old: operand}[operation]
        wanted = self.unchanged()
        for uid in uids:
            token, old = wanted[name].kept[uid]
            wanted[name].kept[uid] = (token, change(old))

        def act(account: Account) -> None:
            account.store_flags(account.folder(name).folder_id, uids, operation, flags, keywords)  # type: ignore[arg-type]  # drawn

        self.attempt(life, act, wanted)
        if flush:
            self.attempt(life, lambda account: account.flush_names(), self.unchanged())

    @rule(data=st.data(), life=LIFE)
    def expunge(self, data: st.DataObject, life: int) -> None:
        name = self.some_folder(data)
        wanted = self.unchanged()
        wanted[name].kept = {uid: row for uid, row in wanted[name].kept.items() if "\\Deleted" not in row[1]}
        self.attempt(life, lambda account: account.expunge(account.folder(name).folder_id), wanted)

    @rule(data=st.data(), life=LIFE, flags=FLAGS, keywords=KEYWORDS)
    def exchange(self, data: st.DataObject, life: int, flags: int, keywords: tuple[str, ...]) -> None:
        source, target = self.some_folder(data), self.some_folder(data)
        uids = self.some_uids(data, source)[:1]
        if not uids:
            return
        token = f"t{self.count}"
        self.count += 1
        wanted = self.unchanged()
        del wanted[source].kept[uids[0]]
        wanted[target].new = [(token, flag_names(flags, ()) | set(keywords))]

        def act(account: Account) -> None:
            folders = account.folder(source).folder_id, account.folder(target).folder_id
            exchange(account, folders[0], uids[0], folders[1], token, flags=flags, keywords=keywords)

        self.attempt(life, act, wanted)

    @rule(data=st.data(), life=LIFE, moving=st.booleans())
    def copy_or_move(self, data: st.DataObject, life: int, moving: bool) -> None:
        source, target = self.some_folder(data), self.some_folder(data)
        uids = self.some_uids(data, source)
        wanted = self.unchanged()
        wanted[target].new = [wanted[source].kept[uid] for uid in sorted(uids)]
        if moving:
            for uid in uids:
                del wanted[source].kept[uid]

        def act(account: Account) -> None:
            folders = account.folder(source).folder_id, account.folder(target).folder_id
            if moving:
                account.move(folders[0], uids, folders[1])
            else:
                account.copy(folders[0], uids, folders[1])

        self.attempt(life, act, wanted)

    @rule(data=st.data(), life=LIFE)
    def rename(self, data: st.DataObject, life: int) -> None:
        old = data.draw(st.sampled_from([name for name in sorted(self.state) if "/" not in name]))
        self.count += 1
        new = f"Đã đổi {self.count}" if self.count % 2 else "dài" * 90 + str(self.count)
        wanted = self.unchanged()
        if old == "INBOX":
            inbox = wanted["INBOX"]
            copied = {key: value for key, value in inbox.annotations.items() if not key[0].startswith(" ")}
            wanted[new] = Wanted({}, [message for _, message in sorted(inbox.kept.items())], copied)
            inbox.kept = {}
        else:
            wanted = {new if name == old else name: folder for name, folder in wanted.items()}
        self.attempt(life, lambda account: account.rename(old, new), wanted)

    @rule(life=LIFE)
    @precondition(lambda self: len(self.state) < 14)
    def create(self, life: int) -> None:
        self.count += 1
        name = f"new.{self.count}"
        self.attempt(life, lambda account: account.create(name), self.unchanged() | {name: Wanted({})})

    @rule(data=st.data(), life=LIFE)
    @precondition(lambda self: len(self.state) > 4)
    def delete(self, data: st.DataObject, life: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.state.keys() - {"INBOX"})))
        wanted = self.unchanged()
        del wanted[name]
        self.attempt(life, lambda account: account.delete(name), wanted)

    @rule(data=st.data(), life=LIFE, changes=st.dictionaries(ENTRIES, VALUES, min_size=1), of_account=st.booleans())
    def annotate(self, data: st.DataObject, life: int, changes: dict[tuple[str, str], bytes | None], of_account: bool) -> None:
        name = "INBOX" if of_account else self.some_folder(data)
        wanted = self.unchanged()
        for (holder, entry), value in changes.items():
            key = (f" {holder}" if of_account else holder, entry)
            wanted[name].annotations.pop(key, None)
            if value is not None:
                wanted[name].annotations[key] = value
        listed = [(holder, entry, value) for (holder, entry), value in changes.items()]
        self.attempt(
            life, lambda account: account.annotate(None if of_account else account.folder(name).folder_id, listed), wanted
        )

    @rule(life=st.integers(0, 3000))
    def lose_the_index(self, life: int) -> None:
        """Names have followed; then the index is all derived data, and making it anew may be killed too."""
        self.root.use(lambda account: account.flush_names())
        self.root.lose_index()
        killed_at(life, lambda: self.root.use(lambda account: account.folders()))
        found = self.root.use(observe)
        assert {name: seen.messages for name, seen in found.items()} == {
            name: seen.messages for name, seen in self.state.items()
        }
        assert all(found[name].uidvalidity == seen.uidvalidity for name, seen in self.state.items())
        assert all(found[name].annotations == seen.annotations for name, seen in self.state.items())
        assert all(found[name].uidnext >= seen.uidnext for name, seen in self.state.items())
        self.state = found
        self.old_index = self.root.index_copy()

    @rule()
    def remember_the_index(self) -> None:
        self.old_index = self.root.index_copy()

    @rule(life=st.integers(0, 3000))
    def lose_power(self, life: int) -> None:
        """Content, UID, folder and annotations of everything acknowledged survive; only flags may be older."""
        self.root.power_loss(self.old_index)
        killed_at(life, lambda: self.root.use(lambda account: account.folders()))
        found = self.root.use(observe)
        assert {name: {uid: token for uid, (token, _) in seen.messages.items()} for name, seen in found.items()} == {
            name: {uid: token for uid, (token, _) in seen.messages.items()} for name, seen in self.state.items()
        }
        assert all(found[name].uidvalidity == seen.uidvalidity for name, seen in self.state.items())
        assert all(found[name].annotations == seen.annotations for name, seen in self.state.items())
        assert all(found[name].uidnext >= seen.uidnext for name, seen in self.state.items())
        self.state = found
        self.old_index = self.root.index_copy()

    @invariant()
    def is_sound(self) -> None:
        report = self.root.use(lambda account: account.repair(check=True))
        assert report.clean, report.findings


def _run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        KilledStore,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would take hours; the steps are printed
        ),
    )


@pytest.mark.parametrize("apart", [37, pytest.param(9, marks=pytest.mark.timeout(600))])
def test_an_exchange_is_all_or_nothing_wherever_it_is_killed(memory: Path, apart: int) -> None:
    """REPLACE (RFC 8508 §3.4): the old message or the new one, under every kill of its way; what was answered has happened.

    It dies every so many (`apart`) lines of the store's code.
    """
    root = Root(memory)
    inbox, sent = root.use(lambda account: [account.folder(name).folder_id for name in ("INBOX", "Sent")])
    life, answered, old = 0, False, "old"
    root.use(lambda account: deliver(account, inbox, [old]))
    while not answered:
        [uid] = root.use(observe)["INBOX"].messages
        new = f"t{life}"
        answered = killed_at(life, lambda uid=uid, new=new: root.use(lambda account: exchange(account, inbox, uid, sent, new)))  # type: ignore[misc]
        found = root.use(observe)
        tokens = [token for seen in found.values() for token, _ in seen.messages.values()]
        assert tokens == [new] or (tokens == [old] and not answered)
        assert root.use(lambda account: account.repair(check=True)).clean
        if tokens == [new] and not answered:  # killed after the COMMIT: go on from there
            root.use(lambda account: account.remove(sent, list(account.view(sent).uids)))
            root.use(lambda account: deliver(account, inbox, [old]))
        life += apart


def test_an_expunge_of_several_is_all_or_nothing_wherever_it_is_killed(memory: Path) -> None:
    """Also where another tool has renamed one of the files: it goes with the others, or stays under that name."""
    root = Root(memory)
    inbox = root.use(lambda account: account.folder("INBOX").folder_id)
    tokens = [f"t{number}" for number in range(6)]
    life, answered = 0, False
    while not answered:
        if not root.use(observe)["INBOX"].messages:
            root.use(lambda account: deliver(account, inbox, tokens))
        uids = [*root.use(observe)["INBOX"].messages]
        root.use(lambda account, uids=uids: account.store_flags(inbox, uids, "+", DELETED))  # type: ignore[misc]
        root.use(lambda account: account.flush_names())
        file = next(path for path in (root.home / "Maildir/cur").iterdir() if f",U={uids[2]}:" in path.name)
        file.rename(f"{file.parent}/{file.name.partition(':')[0]}:2,{'ST' if file.name.endswith(',T') else 'T'}")
        answered = killed_at(life, lambda: root.use(lambda account: account.expunge(inbox)))
        found = [token for token, _ in root.use(observe)["INBOX"].messages.values()]
        assert found == [] or (found == tokens and not answered)
        root.use(lambda account: account.rescan())
        assert root.use(lambda account: account.repair(check=True)).clean
        life += 19
    assert root.use(lambda account: account.undelete()) >= len(tokens)


def test_killed_between_any_two_steps() -> None:
    """Acknowledged is there once, UIDs keep their order, repair --check is clean, whatever is killed when."""
    _run(examples=8, steps=12)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("examples", [20, pytest.param(120, marks=pytest.mark.campaign)])
def test_killed_between_any_two_steps_at_length(examples: int) -> None:
    """The same over many histories."""
    _run(examples, steps=25)
