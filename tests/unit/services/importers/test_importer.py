"""What is imported comes once and whole: whatever is killed, run again, moved, deleted or full in between."""

import json
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from mic_mail.cli.import_report import report_of_comparison
from mic_mail.clock import SystemClock
from mic_mail.errors import Text
from mic_mail.services.importers import importer
from mic_mail.services.importers.dry_run import dry_run
from mic_mail.services.importers.eml import EmlSource
from mic_mail.services.importers.importer import Choice, Import, Into, QuotaReached
from mic_mail.services.importers.ledger import Entry, ImportRuns, Ledger, Run, put_back, taken
from mic_mail.services.importers.maildir import MaildirSource
from mic_mail.services.importers.mbox import MboxSource
from mic_mail.services.importers.source import FolderClosed, Item, Skip, Source, SourceFolder, SourceWrong, Tally
from mic_mail.services.importers.verify import compare
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import ANSWERED, FLAGGED, SEEN, AccountRef

REF = AccountRef(1, "mic.gov.vn/dvbe")
NOW_US = 1_790_000_000_000_000


def message(number: int, size: int = 30) -> bytes:
    return f"From: a@b\r\nSubject: {number}\r\nDate: Tue, 1 Oct 2019 10:00:00 +0700\r\n\r\n{'x' * size}\r\n".encode()


class Here:
    """A mailbox, and imports into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = MailStore(folder / "mail", clock=SystemClock(), host="test")
        self.account: Account = self.store.account(REF)

    def ledger(self, source: Source) -> Ledger:
        return Ledger(self.folder / "imports" / "1-x.jsonl", 1, source.identity)

    def run(self, source: Source, *, limit: int = 1 << 40, choice: Choice | None = None) -> dict[str, Tally]:
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

    def messages(self, folder: SourceFolder, known: Container[str]) -> Iterator[Item]:
        for uid, (octets, flags) in sorted(self.content[str(folder.place)].items()):
            self.before(str(folder.place), uid)
            key = f"{folder.name}\0{self.validity}\0{uid}"
            item = Item(key, None, frozenset(flags.split()), generation=self.validity)
            if key not in known:
                self.read.append((folder.name, uid))
                item = replace(item, content=octets)
            yield item

    def close(self) -> None:
        """Nothing."""


def test_twice_brings_nothing_twice(here: Here) -> None:
    """And the second run reads nothing again; two equal messages stay two."""
    source = Listed(
        INBOX=[(1, message(1), "\\Seen"), (2, message(2), ""), (5, message(2), "\\Flagged $label1")], Sent=[(1, message(3), "")]
    )
    done = here.run(source)
    assert (done["INBOX"].found, done["INBOX"].imported, done["Sent"].imported) == (3, 3, 1)
    assert here.contents() == {"INBOX": Counter({message(1): 1, message(2): 2}), "Sent": Counter({message(3): 1})}
    source.read.clear()
    again = here.run(source)
    assert (again["INBOX"].imported, again["INBOX"].already, source.read) == (0, 3, [])
    assert again["INBOX"].digest == done["INBOX"].digest != here.run(Listed())
    info = here.account.folder("INBOX")
    assert info.keywords == ("$label1",)
    assert here.flags() == [SEEN, 0, FLAGGED | 32]
    (stored,) = here.account.rows(info.folder_id, [1], ("internaldate_us",))
    assert stored == (1_569_898_800_000_000,), "by its Date, where nothing else tells"


def test_a_later_pass_brings_what_is_new(here: Here) -> None:
    """New messages and changed flags; what its reader did here meanwhile stays done."""
    source = Listed(INBOX=[(n, message(n), "") for n in range(1, 6)])
    here.run(source)
    inbox = here.account.folder_id("INBOX")
    here.account.remove(inbox, [1])
    here.account.create("Của tôi")
    here.account.move(inbox, [2], here.account.folder_id("Của tôi"))
    here.account.store_flags(inbox, [4], "+", ANSWERED)
    for uid, flags in ((1, "\\Seen"), (2, "\\Seen"), (3, "\\Seen \\Flagged"), (4, "\\Seen")):
        source.content["INBOX"][uid] = (message(uid), flags)
    source.content["INBOX"][9] = (message(9), "")
    del source.content["INBOX"][5]
    done = here.run(source)["INBOX"]
    assert (done.found, done.imported, done.already) == (5, 1, 4)
    assert here.contents() == {
        "INBOX": Counter(message(n) for n in (3, 4, 5, 9)),
        "Của tôi": Counter([message(2)]),
    }
    assert here.flags() == [SEEN | FLAGGED, SEEN | ANSWERED, 0, 0]
    source.content["INBOX"][3] = (message(3), "")
    assert here.run(source)["INBOX"].reflagged == 1
    assert here.flags()[0] == 0


def test_another_uidvalidity_brings_nothing_twice(here: Here) -> None:
    """The messages are the same by their octets; a real second one is still a second one."""
    source = Listed(INBOX=[(1, message(1), ""), (2, message(1), ""), (3, message(3), "")])
    here.run(source)
    here.account.remove(here.account.folder_id("INBOX"), [3])
    source.validity = 8
    source.content["INBOX"] = {11: (message(1), "\\Seen"), 12: (message(3), ""), 13: (message(1), ""), 14: (message(1), "")}
    done = here.run(source)["INBOX"]
    assert (done.found, done.imported, done.already) == (4, 1, 3)
    assert here.contents() == {"INBOX": Counter({message(1): 3})}, "what was deleted here stays deleted"
    source.read.clear()
    assert here.run(source)["INBOX"].already == 4
    assert source.read == []


def test_what_came_by_other_ways_is_kept_once(here: Here) -> None:
    """Somebody had copied some by hand, or the ledger was lost: the octets tell. One message here stands for one there."""
    source = Listed(INBOX=[(1, message(1), ""), (2, message(2), ""), (3, message(2), "")])
    here.run(source)
    next(iter((here.folder / "imports").glob("*"))).unlink()
    done = here.run(source)["INBOX"]
    assert (done.imported, done.already) == (0, 3)
    here.account.remove(here.account.folder_id("INBOX"), [3])
    next(iter((here.folder / "imports").glob("*"))).unlink()
    source.identity = "another"  # type: ignore[misc]
    assert here.run(source)["INBOX"].imported == 1


def test_a_full_mailbox(here: Here) -> None:
    """As many come as there is room for, it is told, and with more room the rest comes."""
    source = Listed(INBOX=[(n, message(n, 900), "") for n in range(1, 20)])
    with pytest.raises(QuotaReached) as refusal:
        here.run(source, limit=10_000)
    assert refusal.value.clause == "8.3.a"
    came = sum(here.contents()["INBOX"].values())
    assert came == 10_000 // len(message(1, 900))
    assert not list(here.folder.glob("mail/*/*/Maildir/tmp/*"))
    assert here.run(source)["INBOX"].imported == 19 - came


def test_odd_messages(here: Here) -> None:
    """Whatever octets: they are stored as they are; nothing at all is skipped."""
    octets = [b"\0\r\n\0", b"x", b"\r\n", b"\xff" * 3000, b": :\r\n\r\n", b"From: \xe1\r\n" * 500 + b"\r\n", b"a" * (1 << 20)]
    done = here.run(Listed(INBOX=[*((n, each, "\\Bad \\Recent ( x") for n, each in enumerate(octets, 1)), (99, b"", "")]))[
        "INBOX"
    ]
    assert (done.found, done.imported, done.skipped) == (8, 7, {Skip.EMPTY: 1})
    assert here.contents()["INBOX"] == Counter(octets)


def test_keywords_beyond_what_a_folder_holds(here: Here) -> None:
    """58 are kept; messages come all the same."""
    source = Listed(INBOX=[(n, message(n), f"k{n}") for n in range(1, 80)])
    assert here.run(source)["INBOX"].imported == 79
    assert len(here.account.folder("INBOX").keywords) <= 58


def test_a_later_keyword_has_no_room(here: Here) -> None:
    """The flags come all the same, and so do the folders behind it."""
    source = Listed(INBOX=[(n, message(n), f"k{n}") for n in range(1, 59)], Sau=[(1, message(99), "")])
    assert here.run(source)["INBOX"].imported == 58
    assert len(here.account.folder("INBOX").keywords) == 58
    source.content["INBOX"][1] = (message(1), "k1 k99 \\Seen")
    source.content["Sau"][2] = (message(98), "")
    done = here.run(source)
    assert (done["INBOX"].reflagged, done["Sau"].imported) == (1, 1)
    assert here.flags()[0] & SEEN
    assert here.run(source)["INBOX"].reflagged == 0


def test_a_folder_that_is_deleted_meanwhile(here: Here) -> None:
    """By its person: it is made again."""
    source = Listed(Lớn=[(n, message(n), "") for n in range(1, 130)])

    def delete_once(name: str, uid: int) -> None:
        if uid == 60:
            here.account.delete(name)

    source.before = delete_once
    assert here.run(source)["Lớn"].imported == 129
    assert sum(here.contents()["Lớn"].values()) == 79


def test_choices(here: Here) -> None:
    """Of folders; where they go; what a rehearsal says is what happens, and it does nothing."""
    source = Listed(INBOX=[(1, message(1), "")], Cũ=[(1, message(2), "")], Bỏ=[(1, message(3), "")])
    choice = Choice(folders=("INBOX", "Cũ"), renamed=(("Cũ", "Lưu/2019"),))
    with here.ledger(source) as ledger:
        planned = dry_run(here.account, source, ledger, choice)
    assert [(each.target, each.imported, dict(each.skipped)) for each in planned] == [
        ("INBOX", 1, {}), ("Lưu/2019", 1, {}), ("", 0, {Skip.NOT_CHOSEN: 1}),
    ]  # fmt: skip
    assert here.contents() == {}
    here.run(source, choice=choice)
    assert set(here.contents()) == {"INBOX", "Lưu/2019"}
    assert "Lưu/2019" in here.account.subscriptions()


def test_comparing_tells_where_each_message_is(here: Here) -> None:
    """There, filed elsewhere, deleted here, never come, or altered on the disk."""
    source = Listed(INBOX=[(n, message(n), "") for n in range(1, 6)])
    here.run(source)
    inbox = here.account.folder_id("INBOX")
    here.account.create("Khác")
    here.account.move(inbox, [1], here.account.folder_id("Khác"))
    here.account.remove(inbox, [2])
    source.content["INBOX"][9] = (message(9), "")
    with here.ledger(source) as ledger:
        (found,) = compare(here.account, source, ledger, Choice())
        assert (found.there, found.elsewhere, found.removed, found.missing) == (3, 1, 1, 1)
        assert found.named == [sha256(message(9)).hexdigest()]
        path = next(iter(here.account.paths(inbox, [3]).values()))
        os.chmod(path, 0o600)
        Path(path).write_bytes(message(3).replace(b"x", b"y"))
        (altered,) = compare(here.account, source, ledger, Choice())
        assert (altered.there, altered.removed, altered.missing) == (2, 2, 1)


def test_one_run_of_a_source_at_a_time(here: Here) -> None:
    """The same source into the same mailbox: the second is refused, whoever runs it."""
    source = Listed(INBOX=[(1, message(1), "")])
    with here.ledger(source), pytest.raises(ImportRuns):
        here.run(source)
    assert here.run(source)["INBOX"].imported == 1


# ------------------------------------------------------------ killed


def in_child(work: Callable[[], None]) -> int:
    """Do it in a forked process; how that ended."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the parent is told by the code
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_at(step: int, work: Callable[[], None]) -> Callable[[], None]:
    """Die by SIGKILL just before the durable step of that number: a write, fsync, rename or unlink."""

    def run() -> None:
        left = [step]

        def counting(call: Callable[..., object]) -> Callable[..., object]:
            def counted(*args: object, **named: object) -> object:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*args, **named)

            return counted

        for name in ("write", "fsync", "fdatasync", "rename", "unlink", "pwrite"):
            setattr(os, name, counting(getattr(os, name)))
        work()

    return run


def _killed(folder: Path, steps: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> int:
    """Import, killed at each of these steps; how many of them came before the end."""
    monkeypatch.setattr(importer, "TOGETHER", 2)
    source = Listed(INBOX=[(n, message(n // 2), "\\Seen") for n in range(2, 7)], Dự=[(1, message(9), "")])
    wanted = {"INBOX": Counter(message(n // 2) for n in range(2, 7)), "Dự": Counter([message(9)])}
    died = 0
    for step in steps:
        place = folder / str(step)

        def work(place: Path = place) -> None:
            there = Here(place)
            there.run(source)
            there.close()

        code = in_child(killed_at(step, work))
        assert code in {0, -signal.SIGKILL}
        died += code != 0
        assert in_child(work) == 0, step
        there = Here(place)
        assert there.contents() == wanted, step
        assert there.account.repair(check=True).clean, step
        assert there.run(source)["INBOX"].already == 5
        there.close()
        shutil.rmtree(place)
    return died


def test_killed_at_some_steps(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run brings the rest, and nothing twice."""
    assert _killed(memory, range(3, 120, 17), monkeypatch) >= 3


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_every_step(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, at each durable step there is."""
    steps, at = 40, 0
    while (died := _killed(memory, range(at, at + steps), monkeypatch)) == steps:
        at += steps
    assert at + died > 40


def test_a_ledger_line_that_was_cut_off(here: Here) -> None:
    """Is no line; the message is known by its origin, and the line is written again."""
    source = Listed(INBOX=[(n, message(n), "") for n in range(1, 4)])
    here.run(source)
    path = here.folder / "imports" / "1-x.jsonl"
    path.write_bytes(path.read_bytes()[:-7])
    inbox = here.account.folder_id("INBOX")
    here.account.remove(inbox, [3])  # so that nothing but the origin tells that it was here
    done = here.run(source)["INBOX"]
    assert (done.imported, done.already) == (0, 3)
    assert [each.messages for each in taken(here.folder)] == [3]


def test_a_ledger_that_was_damaged(here: Here) -> None:
    """Lines that are none are passed over; what they told of is found by its octets, and nothing comes twice."""
    source = Listed(INBOX=[(n, message(n), "") for n in range(1, 4)])
    here.run(source)
    path = here.folder / "imports" / "1-x.jsonl"
    head, first, *rest = path.read_bytes().splitlines(keepends=True)
    told = json.loads(first)
    wrong = ([["k"], *told[1:]], [*told[:6], "zz", []], [*told[:5], "7", *told[6:]], [*told[:7], [["\\Seen"]]])
    damaged = [b"[" * 100_000, b"\xff\xfe\0", *(json.dumps(line).encode() for line in wrong)]
    path.write_bytes(head + b"".join(line + b"\n" for line in damaged) + b"".join(rest))
    done = here.run(source)["INBOX"]
    assert (done.imported, done.already) == (0, 3)
    assert [each.messages for each in taken(here.folder)] == [3]


# ------------------------------------------------------------ files of strangers


@pytest.mark.timeout(30)
def test_a_pipe_where_a_file_should_tell_something_is_not_waited_for(here: Here, tmp_path: Path) -> None:
    """Dovecot's keywords and subscriptions, a manifest: a pipe, a link out of the source, a folder tell nothing."""
    root = tmp_path / "Maildir"
    for inner in ("cur", "new"):
        (root / inner).mkdir(parents=True)
    (root / "cur" / "1.a:2,Sa").write_bytes(message(1))
    os.mkfifo(root / "subscriptions")
    os.mkfifo(root / "dovecot-keywords")
    assert here.run(MaildirSource(str(root)))["INBOX"].imported == 1
    (tmp_path / "words").write_text("0 secret\n")
    (root / "dovecot-keywords").unlink()
    (root / "dovecot-keywords").symlink_to(tmp_path / "words")
    assert here.run(MaildirSource(str(root)))["INBOX"].reflagged == 0
    files = tmp_path / "files"
    files.mkdir()
    (files / "a.eml").write_bytes(message(2))
    os.mkfifo(files / "manifest.json")
    with pytest.raises(SourceWrong):
        EmlSource(str(files))
    (files / "manifest.json").unlink()
    (files / "manifest.json").symlink_to(tmp_path / "words")
    with pytest.raises(SourceWrong):
        EmlSource(str(files))


@pytest.mark.parametrize("arrived", [5, 1e300, True, [], "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "x"])
def test_a_manifest_that_tells_nonsense_of_days(here: Here, tmp_path: Path, arrived: object) -> None:
    """Costs nothing but that day."""
    octets = message(1)
    (tmp_path / "a.eml").write_bytes(octets)
    told = {"file": "a.eml", "folder": "INBOX", "sha256": sha256(octets).hexdigest(), "arrived_at": arrived}
    (tmp_path / "manifest.json").write_text(json.dumps({"messages": [told]}))
    assert here.run(EmlSource(str(tmp_path)))["INBOX"].imported == 1


# ------------------------------------------------------------ Maildir


def test_a_maildir_of_strangers(here: Here, tmp_path: Path) -> None:
    """Flags, keywords, folders in UTF-7 and UTF-8, days by the file; links, pipes and folders are no messages."""
    root = tmp_path / "Maildir"
    for place in ("", ".Sent", ".D&AOE- &AOE-n", ".Dự án.2019", "plain"):
        for inner in ("cur", "new", "tmp"):
            (root / place / inner).mkdir(parents=True)
    (root / "dovecot-keywords").write_text("0 $Forwarded\n1 công\n2 work\n")
    (root / "cur" / "1.a:2,FSac").write_bytes(b"Subject: unix\n\nline\n")
    os.utime(root / "cur" / "1.a:2,FSac", (1_500_000_000, 1_500_000_000))
    (root / "new" / "2.b").write_bytes(b"Subject: mixed\r\n\nline\r\n")
    (root / ".Sent" / "cur" / "3.c:2,RS").write_bytes(message(3))
    (root / ".Dự án.2019" / "cur" / "4.d").write_bytes(message(4))
    (root / "plain" / "new" / "5").write_bytes(message(5))
    (root / "cur" / "evil").symlink_to("/etc/passwd")
    os.mkfifo(root / "cur" / "pipe")
    (root / "cur" / "folder").mkdir()
    (root / ".out").symlink_to("/")
    done = here.run(MaildirSource(str(root)))
    assert {name: tally.imported for name, tally in done.items()} == {
        "INBOX": 2, "Dá án": 0, "Dự án/2019": 1, "Sent": 1, "plain": 1,
    }  # fmt: skip
    assert done["INBOX"].skipped == {Skip.NOT_A_FILE: 3}
    contents = here.contents()
    assert contents["INBOX"] == Counter([b"Subject: unix\r\n\r\nline\r\n", b"Subject: mixed\r\n\r\nline\r\n"])
    assert here.flags("Sent") == [SEEN | ANSWERED]
    info = here.account.folder("INBOX")
    assert set(info.keywords) == {"$Forwarded", "work"}
    (received,) = here.account.rows(info.folder_id, [1], ("internaldate_us",))
    assert received == (1_500_000_000_000_000,)
    os.rename(root / "new" / "2.b", root / "cur" / "2.b:2,S")
    again = here.run(MaildirSource(str(root)))["INBOX"]
    assert (again.already, again.imported, again.reflagged) == (2, 0, 1)


def test_a_folder_that_becomes_a_link_leads_nowhere(here: Here, tmp_path: Path) -> None:
    """Whoever owns the source may change it while it is read: nobody else's mail is taken for theirs."""
    other, root = tmp_path / "boss" / "cur", tmp_path / "Maildir"
    for place in (other, root / "cur", root / "new", root / ".Sent" / "cur", root / ".Sent" / "new"):
        place.mkdir(parents=True)
    (other / "1.a").write_bytes(message(1))
    (root / "cur" / "1.a").write_bytes(message(2))
    (root / ".Sent" / "cur" / "1.a").write_bytes(message(3))
    source = MaildirSource(str(root))
    folders = source.folders()
    for place in (root / "cur", root / ".Sent" / "cur"):
        os.rename(place, f"{place}-away")
        place.symlink_to(other)
    for folder in folders:
        assert [item.skip for item in source.messages(folder, frozenset())] == [Skip.NOT_A_FILE]


def test_no_day_of_arrival_is_in_the_future(here: Here) -> None:
    """Nor before there was mail; a clock that went wrong at the source is not believed."""
    octets = message(1).replace(b"2019", b"2099")
    here.run(Listed(INBOX=[(1, octets, ""), (2, message(2).replace(b"2019", b"1901"), "")]))
    rows = here.account.rows(here.account.folder_id("INBOX"), [1, 2], ("internaldate_us",))
    assert rows == [(NOW_US + 86_400_000_000,), (NOW_US,)]


# ------------------------------------------------------------ what cannot be read


class Nobody:
    """A folder of somebody whose mail the server's account may read in part only; within it we are that account."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp())
        self.path.chmod(0o755)

    def __enter__(self) -> Path:
        if os.getuid() == 0:
            os.seteuid(65534)
        return self.path

    def __exit__(self, *_: object) -> None:
        os.seteuid(os.getuid())

    def close(self) -> None:
        for folder, closed, _ in os.walk(self.path):
            for name in closed:  # before they are walked through
                os.chmod(os.path.join(folder, name), 0o755)
        shutil.rmtree(self.path)


@pytest.fixture
def nobody() -> Iterator[Nobody]:
    made = Nobody()
    yield made
    made.close()


def came_of(source: Source) -> dict[str, int | str]:
    """Of each folder how many messages there are, or why there are none."""
    found: dict[str, int | str] = {}
    for folder in source.folders():
        try:
            found[folder.name] = sum(item.skip is None for item in source.messages(folder, frozenset()))
        except FolderClosed as closed:
            found[folder.name] = closed.text.en
    return found


def test_folders_that_may_not_be_read_are_told(nobody: Nobody) -> None:
    """They are not left out without a word, which would pass for a mailbox that came whole; what can be read comes."""
    root = nobody.path
    for name in ("", ".Open", ".Closed", ".HalfClosed"):
        for inner in ("cur", "new"):
            (root / "Maildir" / name / inner).mkdir(parents=True)
        (root / "Maildir" / name / "cur" / "1.a").write_bytes(message(1))
    (root / "Maildir" / ".Copied" / "cur").mkdir(parents=True)  # by a tool that leaves out empty folders
    (root / "Maildir" / ".Copied" / "cur" / "1.a").write_bytes(message(1))
    (root / "Maildir" / ".Closed").chmod(0)
    (root / "Maildir" / ".HalfClosed" / "cur").chmod(0)
    for kind in ("eml", "mbox"):
        for name in ("Open", "Closed"):
            (root / kind / name).mkdir(parents=True)
            (root / kind / name / "a.eml").write_bytes(message(2))
            (root / kind / name / "Box").write_bytes(b"From a@b Tue Oct  1 10:00:00 2019\n" + message(2))
        (root / kind / "Closed").chmod(0)
    (root / "mbox" / "File").write_bytes(b"From a@b Tue Oct  1 10:00:00 2019\n" + message(2))
    (root / "mbox" / "File").chmod(0)
    with nobody:
        maildir = came_of(MaildirSource(str(root / "Maildir")))
        eml = came_of(EmlSource(str(root / "eml")))
        mbox = came_of(MboxSource(str(root / "mbox")))
    denied = "/{} cannot be read: Permission denied."
    assert {name: came if isinstance(came, int) else came[len(f"{root}/Maildir") :] for name, came in maildir.items()} == {
        "INBOX": 1, "Closed": denied.format(".Closed/cur"), "Copied": 1, "HalfClosed": denied.format(".HalfClosed/cur"),
        "Open": 1,
    }  # fmt: skip
    assert eml == {"Closed": f"{root}/eml" + denied.format("Closed"), "Open": 1}
    assert mbox == {
        "Closed": f"{root}/mbox" + denied.format("Closed"), "File": f"{root}/mbox" + denied.format("File"), "Open/Box": 1,
    }  # fmt: skip


def test_a_comparison_does_not_pass_over_what_cannot_be_read(here: Here) -> None:
    """Nor does an import: the others come, and it ends with a word about that folder."""

    class Closed(Listed):
        def messages(self, folder: SourceFolder, known: Container[str]) -> Iterator[Item]:
            if folder.place == "A":
                raise FolderClosed(Text("đóng", "closed"))
            yield from super().messages(folder, known)

    source = Closed(A=[(1, message(1), "")], B=[(1, message(2), "")])
    with pytest.raises(FolderClosed):
        here.run(source)
    assert set(here.contents()) == {"B"}
    with here.ledger(source) as ledger:
        assert report_of_comparison(compare(here.account, source, ledger, Choice()), as_json=True) == 1


# ------------------------------------------------------------ mbox


NOTED = (
    b"Status: RO\nX-Status: A\n",
    b"X-Mozilla-Status: 0001\nX-Mozilla-Status2: 00000000\nX-Mozilla-Keys: $label1      \n",
    b"X-UID: 7\nX-Keywords: a b\n\tc\nContent-Length: 31\nLines: 1\n",
)


@pytest.mark.parametrize("size", [30, 2 << 20])
@pytest.mark.parametrize("noted", NOTED)
def test_what_its_reader_notes_in_an_mbox_makes_no_other_message(here: Here, tmp_path: Path, noted: bytes, size: int) -> None:
    """Weeks lie between two passes, and Thunderbird, mutt and pine write into the file what was read since. Two equal ones
    stay two, flags come along, and the comparison finds all of them."""
    path = tmp_path / "box"
    begin = b"From a@b Tue Oct  1 10:00:00 2019\n"
    letters = [message(n, size).replace(b"\r\n", b"\n") + b"\n" for n in (1, 2, 2)]
    path.write_bytes(b"".join(begin + b"X-Mozilla-Status: 0000\n" + each for each in letters))
    assert here.run(MboxSource(str(path)))["box"].imported == 3
    path.write_bytes(b"".join(begin + noted + each for each in [*letters, letters[0].replace(b"Subject", b"Subjekt")]))
    source = MboxSource(str(path))
    with here.ledger(source) as ledger:
        (planned,) = dry_run(here.account, source, ledger, Choice())
    done = here.run(source)["box"]
    assert (done.found, done.imported, done.already) == (planned.found, planned.imported, planned.already) == (4, 1, 3)
    assert sum(here.contents()["box"].values()) == 4
    assert done.reflagged == (0 if b"X-UID" in noted else 3)
    with here.ledger(source) as ledger:
        (found,) = compare(here.account, source, ledger, Choice())
    assert (found.there, found.missing) == (4, 0)


def test_what_a_body_says_of_a_status_counts(here: Here, tmp_path: Path) -> None:
    """Only the header is where programs note something."""
    for number in (1, 2):
        (tmp_path / f"{number}.eml").write_bytes(b"Subject: x\r\n\r\nStatus: %d\r\n" % number)
    assert here.run(EmlSource(str(tmp_path)))["INBOX"].imported == 2


def test_a_run_that_was_killed_is_not_complete(here: Here) -> None:
    """Though the one before it was; nor is it where a mailbox was put back."""
    source = Listed(INBOX=[(1, message(1), "")])
    info = here.account.folder("INBOX")
    for lines in (1, 0):
        with here.ledger(source) as ledger:
            ledger.add([Entry("k", "INBOX", 7, info.mailbox_id, info.uidvalidity, 1, "00", ())])
            ledger.ended(Run("2026-01-01T00:00:00+00:00", 1, 1, 0, 0, complete=True))
            assert [each.last.complete for each in taken(here.folder) if each.last] == [True]
            ledger.add([Entry("l", "INBOX", 7, info.mailbox_id, info.uidvalidity, 2, "00", ())] * lines)
        with put_back(here.folder, 1, {}):
            pass
        assert [each.last.complete for each in taken(here.folder) if each.last] == [False]


def test_putting_back_with_a_ledger_whose_head_is_damaged(here: Here) -> None:
    """What came after the backup is forgotten all the same: it would never come again."""
    source = Listed(INBOX=[(n, message(n), "") for n in range(1, 4)])
    here.run(source)
    path = here.folder / "imports" / "1-x.jsonl"
    _, *lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"{\n" + b"".join(lines))
    info = here.account.folder("INBOX")
    with put_back(here.folder, 1, {info.mailbox_id: (info.uidvalidity, 2)}):
        pass
    with here.ledger(source) as ledger:
        assert len(ledger) == 1
