"""Reg. 10.4: units that move mail from another system are helped: from files of any kind, while people work, nothing twice.

From a real IMAP server: tests/clients/test_import_from_dovecot.py.
"""

import contextlib
import imaplib
import json
import mailbox
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Container, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

import programs
from harness import MailServer, config_for
from mic_mail.clock import SystemClock
from mic_mail.errors import Refused, Trouble
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from mic_mail.services.importers.eml import EmlSource
from mic_mail.services.importers.imap import ImapSource
from mic_mail.services.importers.import_job import Moving, Outcome
from mic_mail.services.importers.importer import Choice
from mic_mail.services.importers.ledger import Ledger, ledgers, taken
from mic_mail.services.importers.maildir import MaildirSource
from mic_mail.services.importers.mbox import MboxSource
from mic_mail.services.importers.pst import PstSource
from mic_mail.services.importers.source import Item, Source, SourceFolder, SourceWrong
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.types import AccountRef
from population import PASSWORD
from regulation.console import PROGRAM, Console, defects
from unit.services.importers.test_hostile_imap_servers import Liar, honest
from waiting import PATIENCE_SECONDS, wait_for

pytestmark = pytest.mark.clause("10.4")


def letter(number: int, octets: int = 50) -> bytes:
    return f"From: a@b.vn\nSubject: thu {number}\nDate: Tue, 1 Oct 2019 10:00:00 +0700\n\n{'x' * octets}\n".encode()


def maildir(path: Path, count: int, first: int = 0) -> Path:
    for inner in ("cur", "new", "tmp"):
        (path / inner).mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        (path / "cur" / f"{number}.x:2,S").write_bytes(letter(number))
    return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    made = MailServer(config_for(tmp_path / "data"))
    yield made
    made.stop()


class Beside:
    """Imports as a command does them: in a store of its own, beside the running server."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self.store = MailStore(server.config.mail_root, clock=SystemClock(), host="cli")
        directory = server.population.directory
        self.moving = Moving(directory, self.store, server.config, SystemClock(), directory.years.working_days())

    def bring(self, mailbox_id: int, source: Source) -> Outcome:
        entry = self._server.population.directory.entry(mailbox_id)
        return self.moving.run(entry, source, Choice(), lambda tally: None)

    def close(self) -> None:
        self.store.close()


def test_its_person_works_while_mail_arrives(server: MailServer, tmp_path: Path) -> None:
    """A session sees the messages come, in order, and its own flags and deletions stand; delivery goes on beside."""
    bee = server.issue("dvbe")
    session = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls())
    session.authenticate("PLAIN", lambda _: f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode())
    session.select("INBOX")
    beside = Beside(server)
    source = MaildirSource(str(maildir(tmp_path / "old", 300)))
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(beside.bring(bee.mailbox_id, source)))
    thread.start()
    session.append("INBOX", "", None, b"Subject: mine\r\n\r\nx\r\n")
    thread.join(60)
    assert outcomes[0].error is None
    assert outcomes[0].imported == 300
    session.noop()
    assert session.untagged_responses.get("EXISTS", [b"0"])[-1] == b"301"
    kind, (uids,) = session.uid("SEARCH", "ALL")
    assert kind == "OK"
    assert [int(uid) for uid in uids.split()] == list(range(1, 302))
    session.uid("STORE", uids.split()[5].decode(), "+FLAGS", "(\\Deleted)")
    session.expunge()
    assert beside.bring(bee.mailbox_id, source).imported == 0
    session.noop()
    assert len(session.uid("SEARCH", "ALL")[1][0].split()) == 300
    session.logout()
    beside.close()


def test_two_imports_at_once(server: MailServer, tmp_path: Path) -> None:
    """Of two sources into one mailbox: all of both, once."""
    bee = server.issue("dvbe")
    sources = [MaildirSource(str(maildir(tmp_path / str(place), 150, 1000 * place))) for place in range(3)]
    outcomes: list[Outcome] = []

    def bring(source: Source) -> None:
        beside = Beside(server)
        outcomes.append(beside.bring(bee.mailbox_id, source))
        beside.close()

    threads = [threading.Thread(target=bring, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [(outcome.error, outcome.imported) for outcome in outcomes] == [(None, 150)] * 3
    account = server.running.context.store.account(AccountRef(bee.mailbox_id, bee.home))
    info = account.folder("INBOX")
    assert (info.messages, info.uidnext) == (450, 451)
    assert account.repair(check=True).clean


def test_what_was_reclaimed_or_is_handed_over_takes_nothing(server: MailServer, tmp_path: Path) -> None:
    """Mail is not moved to where nobody may read it (6.4.c), nor into what is handed over as it stands (12.3.d)."""
    bee = server.issue("dvbe")
    server.record(bee, Draft(FactKind.RECLAIMED, server.clock.now(), "test"))
    beside = Beside(server)
    with pytest.raises(Refused):
        beside.bring(bee.mailbox_id, MaildirSource(str(maildir(tmp_path / "old", 1))))
    unit = server.issue("cntt", kind=MailboxKind.UNIT)
    begun = {"person": 1, "holder": "dvbe@mic.gov.vn", "named_by": "An", "until": "2090-01-01"}
    server.record(unit, Draft(FactKind.HANDOVER_BEGUN, server.clock.now(), "test", data=begun))
    with pytest.raises(Refused, match="handed over"):
        beside.bring(unit.mailbox_id, MaildirSource(str(tmp_path / "old")))
    beside.close()


class Watched(MaildirSource):
    """A source of 120 messages, at the 70th of which something happens to the mailbox."""

    def __init__(self, path: Path, happens: Callable[[], object]) -> None:
        super().__init__(str(maildir(path, 120)))
        self._happens = happens

    def messages(self, folder: SourceFolder, known: Container[str]) -> Iterator[Item]:
        for number, item in enumerate(super().messages(folder, known)):
            if number == 70:
                self._happens()
            yield item


@pytest.mark.parametrize("kind", [FactKind.RECLAIMED, FactKind.HANDOVER_BEGUN])
def test_what_becomes_of_the_mailbox_meanwhile_ends_the_import(server: MailServer, tmp_path: Path, kind: FactKind) -> None:
    """What came before stays, nothing more comes; the record of the run says why, and that it is not complete."""
    begun = {"person": 1, "holder": "dvbe@mic.gov.vn", "named_by": "An", "until": "2090-01-01"}
    unit = server.issue("cntt", kind=MailboxKind.UNIT)
    draft = Draft(kind, server.clock.now(), "test", data=begun if kind is FactKind.HANDOVER_BEGUN else {})
    beside = Beside(server)
    outcome = beside.bring(unit.mailbox_id, Watched(tmp_path / "old", lambda: server.record(unit, draft)))
    assert isinstance(outcome.error, Refused)
    assert outcome.imported == 50
    account = server.running.context.store.account(AccountRef(unit.mailbox_id, unit.home))
    assert account.folder("INBOX").messages == 50
    assert account.repair(check=True).clean
    assert [run.complete for each in taken(server.config.server.data_dir) if (run := each.last)] == [False]
    beside.close()


# ------------------------------------------------------------ by command


@pytest.fixture
def console(tmp_path: Path) -> Console:
    made = Console(tmp_path)
    assert made.run("init", "--yes", "--data-dir", str(tmp_path / "data"), "--user", "") == 0, made.err
    assert made.run("unit", "add", "--document", "1/CV", "CNTT", "Vụ Công nghệ thông tin") == 0, made.err
    assert made.run("person", "add", "Đỗ Văn Bê", "--unit", "CNTT") == 0, made.err
    assert made.run("mailbox", "issue", "--document", "1/CV", "--person", "1") == 0, made.err
    return made


def test_a_mailbox_that_is_put_back_gets_again_what_came_later(console: Console, tmp_path: Path) -> None:
    """What its backup does not have comes again; what its person had deleted by then does not. Backups have the ledgers."""
    source = maildir(tmp_path / "old", 4)
    assert report(console, "maildir", "dvbe@mic.gov.vn", str(source))["INBOX"]["imported"] == 4
    store = MailStore(tmp_path / "data" / "mail", clock=SystemClock(), host="test")
    account = store.account(AccountRef(1, "mic.gov.vn/dvbe"))
    account.remove(account.folder_id("INBOX"), [1])
    store.close()
    assert console.run("backup", str(tmp_path / "copy")) == 0, console.err
    maildir(source, 3, first=4)
    assert report(console, "maildir", "dvbe@mic.gov.vn", str(source))["INBOX"]["imported"] == 3
    words = ("restore", "dvbe@mic.gov.vn", str(tmp_path / "copy"), "--reason", "x")
    assert console.run(*words) == 1  # it holds mail: nothing is put back, and nothing forgotten
    assert [each.messages for each in taken(tmp_path / "data")] == [7]
    (path,) = ledgers(tmp_path / "data", 1)
    with Ledger(path, 1, "as if an import ran"):
        assert console.run(*words, "--replace") == 1
    assert console.run(*words, "--replace") == 0, console.err
    done = report(console, "maildir", "dvbe@mic.gov.vn", str(source))["INBOX"]
    assert (done["imported"], done["already"]) == (3, 4)
    assert [each.messages for each in taken(tmp_path / "copy")] == [4]


def test_a_list_that_names_a_mailbox_twice(console: Console, tmp_path: Path) -> None:
    """Also by an alias: two people's old mail would become one mailbox's."""
    assert console.run("alias", "add", "dvbe@mic.gov.vn", "bedv") == 0, console.err
    listed = tmp_path / "accounts.csv"
    listed.write_text("be,dvbe@mic.gov.vn,x\nlan,bedv@mic.gov.vn,y\n")
    listed.chmod(0o600)
    words = ("import", "accounts", str(listed), "--host", "127.0.0.1", "--port", "1", "--plain", "--document", "1/YC")
    assert console.run(*words) == 2
    assert "twice" in console.err or "hai lần" in console.err


def test_a_defect_that_one_account_shows(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends no other's import, and is in the log with the line that raised it: a person is told what it was alone."""

    def broken(source: ImapSource) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(ImapSource, "folders", broken)
    there = Liar(honest)
    listed = tmp_path / "accounts.csv"
    listed.write_text("be,dvbe@mic.gov.vn,x\n")
    listed.chmod(0o600)
    place = ("--host", "127.0.0.1", "--port", str(there.port), "--plain")
    assert console.run("import", "accounts", str(listed), *place, "--document", "1/YC") == 3
    there.stop()
    assert "nobody foresaw this" in console.err
    (told,) = defects(tmp_path, "import_failed", mailbox="dvbe@mic.gov.vn")
    assert told["error"] == "RuntimeError('nobody foresaw this')"
    assert "in broken" in told["where"]


def test_many_imports_are_stopped_at_once(console: Console, tmp_path: Path) -> None:
    """Ctrl-C does not wait for a server that keeps silent; the run is on record as one that did not come to its end."""
    silent = Liar(lambda tag, command: slowly() if "SEARCH" in command else honest(tag, command))
    asked = threading.Event()

    def slowly() -> bytes:
        asked.set()
        time.sleep(60)
        return b""

    listed = tmp_path / "accounts.csv"
    listed.write_text("be,dvbe@mic.gov.vn,x\n")
    listed.chmod(0o600)
    words = (
        "import",
        "accounts",
        str(listed),
        "--host",
        "127.0.0.1",
        "--port",
        str(silent.port),
        "--plain",
        "--document",
        "1/YC",
    )
    running = subprocess.Popen(
        [PROGRAM, *words],
        env={**os.environ, **console.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Whoever runs the tests in the background ignores the signal, and so would a program of theirs.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - nothing but the call
    )
    try:
        assert asked.wait(30)
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=40)  # the server is silent for longer
    finally:
        running.kill()
        silent.stop()
    assert running.returncode == 130, said
    assert "Traceback" not in said
    assert "Lỗi ngoài" not in said
    assert [run.complete for each in taken(tmp_path / "data") if (run := each.last)] == [False]


def report(console: Console, *words: str, code: int = 0) -> dict[str, dict[str, object]]:
    assert console.run("import", *words, "--document", "1/YC", "--json") == code, console.err
    return {row["source"]: row for row in json.loads(console.out)}


def test_who_only_looks_leaves_no_trace(console: Console, tmp_path: Path) -> None:
    """A rehearsal and a comparison make no ledger, and leave one that is there as it is, a cut line too."""
    source = maildir(tmp_path / "old", 4)
    words = ("maildir", "dvbe@mic.gov.vn", str(source))
    for look, code in (("--dry-run", 0), ("--verify", 1)):
        report(console, *words, look, code=code)
        assert console.json("import", "list") == []
        assert ledgers(tmp_path / "data", 1) == []
    report(console, *words)
    (path,) = ledgers(tmp_path / "data", 1)
    with path.open("ab") as file:
        file.write(b'["cut')
    before = path.read_bytes()
    assert report(console, *words, "--dry-run")["INBOX"]["already"] == 4
    assert report(console, *words, "--verify")["INBOX"]["missing"] == 0
    assert path.read_bytes() == before
    with Ledger(path, 1, "as if an import ran"):
        assert console.run("import", *words, "--dry-run", "--document", "1/YC") == 1


def test_files_of_each_kind(console: Console, tmp_path: Path) -> None:
    """Maildir, mbox, EML; a rehearsal first, the import, once more, and the comparison; all on record."""
    box = mailbox.mbox(tmp_path / "Sent")
    for number in range(3):
        box.add(letter(number) + b"From here on\n")
    box.flush()
    box.close()
    (tmp_path / "files" / "Dự án").mkdir(parents=True)
    (tmp_path / "files" / "Dự án" / "a.eml").write_bytes(letter(70))
    (tmp_path / "files" / "b.EML").write_bytes(letter(71))
    (tmp_path / "files" / "c.txt").write_bytes(letter(72))
    places = {"maildir": maildir(tmp_path / "old", 4), "mbox": tmp_path / "Sent", "eml": tmp_path / "files"}
    expected = {"maildir": {"INBOX": 4}, "mbox": {"Sent": 3}, "eml": {"INBOX": 1, "Dự án": 1}}
    for kind, path in places.items():
        words = (kind, "dvbe@mic.gov.vn", str(path))
        assert {name: row["imported"] for name, row in report(console, *words, "--dry-run").items()} == expected[kind]
        done = report(console, *words)
        assert {name: row["imported"] for name, row in done.items()} == expected[kind]
        again = report(console, *words)
        assert {name: row["already"] for name, row in again.items()} == expected[kind]
        assert {name: row["digest"] for name, row in again.items()} == {name: row["digest"] for name, row in done.items()}
        assert all(row["missing"] == 0 for row in report(console, *words, "--verify").values())
    (tmp_path / "files" / "new.eml").write_bytes(letter(99))
    assert report(console, "eml", "dvbe@mic.gov.vn", str(tmp_path / "files"), "--verify", code=1)["INBOX"]["missing"] == 1
    assert len(console.json("import", "list")) == 3
    acts = [json.loads(line) for path in (tmp_path / "data" / "log").glob("audit-*") for line in path.open()]
    kinds = [act["act"] for act in acts if act["act"].startswith("mailbox_import")]
    assert kinds.count("mailbox_import") == kinds.count("mailbox_import_ended") == 6
    assert all(act["document"] == "1/YC" for act in acts if act["act"] == "mailbox_import")


def test_a_basis_is_needed_and_room(console: Console, tmp_path: Path) -> None:
    """No document, no import (4.3); the quota is raised with a reason (8.3.a), else the import stops and says so."""
    old = maildir(tmp_path / "old", 1)
    assert console.run("import", "maildir", "dvbe@mic.gov.vn", str(old)) == 2
    assert "--document" in console.err
    assert console.run("import", "maildir", "dvbe@mic.gov.vn", str(old), "--document", "1/YC", "--quota", "3 GiB") == 2
    words = ("import", "maildir", "dvbe@mic.gov.vn", str(old), "--document", "1/YC", "--quota", "3 GiB", "--reason", "thư cũ")
    assert console.run(*words) == 0, console.err
    assert console.json("mailbox", "show", "dvbe@mic.gov.vn")["quota_octets"] == 3 << 30
    assert console.run("import", "maildir", "khong@mic.gov.vn", str(old), "--document", "1/YC") == 2
    assert console.run("import", "maildir", "dvbe@mic.gov.vn", str(tmp_path), "--document", "1/YC") == 2
    assert console.run("import", "mbox", "dvbe@mic.gov.vn", str(old / "cur" / "0.x:2,S"), "--document", "1/YC") == 2
    for option in (("--folder", "Sent"), ("--without", "Sent"), ("--map", "Sent=x"), ("--map", "x")):
        assert console.run("import", "maildir", "dvbe@mic.gov.vn", str(old), "--document", "1/YC", *option) == 2, option


@pytest.mark.clause("4.3")
def test_an_import_is_no_sending(console: Console, tmp_path: Path) -> None:
    """Old mail is old mail: markings (4.1) and attachments beyond 20 MiB (8.3.b) come along, from files of strangers."""
    old = maildir(tmp_path / "old", 0)
    marked = "Subject: x\nContent-Type: text/plain; charset=utf-8\n\nĐộ mật: TỐI MẬT\n".encode()
    (old / "cur" / "1.x:2,").write_bytes(marked)
    (old / "cur" / "2.x:2,").write_bytes(b"Subject: big\n\n" + b"A" * 70 + (b"A" * 76 + b"\n") * 300_000)
    assert report(console, "maildir", "dvbe@mic.gov.vn", str(old))["INBOX"]["imported"] == 2


def test_an_export_comes_back(console: Console, tmp_path: Path) -> None:
    """Files as `content export` writes them: by its manifest, without what was expunged or altered since."""
    folder = tmp_path / "export"
    (folder / "002-Du_an").mkdir(parents=True)
    told = []
    for number in range(3):
        octets = letter(number).replace(b"\n", b"\r\n")
        (folder / "002-Du_an" / f"{number}.eml").write_bytes(octets)
        told.append(
            {
                "file": f"002-Du_an/{number}.eml", "folder": "Dự án/2019", "sha256": sha256(octets).hexdigest(),
                "arrived_at": "2020-02-03T04:05:06+00:00", "expunged_at": "2021-01-01T00:00:00+00:00" if number == 1 else None,
                "flags": "\\Flagged $label1",
            }
        )  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps({"messages": told}))
    (folder / "002-Du_an" / "2.eml").write_bytes(letter(50))
    done = report(console, "eml", "dvbe@mic.gov.vn", str(folder))
    assert {name: (row["target"], row["imported"]) for name, row in done.items()} == {"Dự án/2019": ("Dự án/2019", 1)}
    assert done["Dự án/2019"]["skipped"] == {"deleted": 1, "altered": 1}
    source = EmlSource(str(folder))
    items = list(source.messages(source.folders()[0], frozenset()))
    assert (items[0].flags, items[0].received_at_us) == ({"\\Flagged", "$label1"}, 1_580_702_706_000_000)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(SourceWrong):
        EmlSource(str(folder))


@pytest.mark.needs_tool("readpst")
def test_a_pst_is_read_by_a_program_apart(tmp_path: Path) -> None:
    """What is none is refused, and so is one that the program cannot read; nothing is left of it."""
    path, work = tmp_path / "old.pst", tmp_path / "work"
    path.write_bytes(b"no pst")
    with pytest.raises(SourceWrong, match="Not a PST"):
        PstSource(str(path), work)
    path.write_bytes(b"!BDN" + b"\0" * 5000)
    with pytest.raises(SourceWrong, match="readpst cannot read"):
        PstSource(str(path), work)
    assert list(work.iterdir()) == []


def test_a_pst_in_folders_as_readpst_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root that Outlook calls after the file is left out, Outlook's folders come to ours; limits hold for the program."""
    program = tmp_path / "bin" / "readpst"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport os, random, resource, sys\n"
        "target = sys.argv[sys.argv.index('-o') + 1]\n"
        "for name, text in (('O/Inbox/1.eml', 'a'), ('O/Sent Items/1.eml', 'b'), ('O/Sent Items/2.ics', 'c')):\n"
        "    os.makedirs(os.path.dirname(f'{target}/{name}'), exist_ok=True)\n"
        "    mark = f'boundary-LibPST-iamunique-{random.randrange(10**9)}_-_-'\n"
        "    open(f'{target}/{name}', 'w').write(f'Subject: x\\n\\n--{mark}\\n{text}\\n--{mark}--\\n')\n"
        "limits = [resource.getrlimit(what)[0] for what in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)]\n"
        "assert all(limit != resource.RLIM_INFINITY for limit in limits), limits\n"
        "assert set(os.environ) <= {'LC_ALL', 'PATH', 'LC_CTYPE'}, os.environ\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    path = tmp_path / "old.pst"
    path.write_bytes(b"!BDN" + b"\0" * 100)
    (tmp_path / "work" / "pst-left-by-a-kill").mkdir(parents=True)
    source = PstSource(str(path), tmp_path / "work")
    assert len(list((tmp_path / "work").iterdir())) == 1
    assert [folder.name for folder in source.folders()] == ["Inbox", "Sent Items"]
    items = [item for folder in source.folders() for item in source.messages(folder, frozenset())]
    wanted = b"Subject: x\r\n\r\n--boundary-LibPST-iamunique-1_-_-\r\n%b\r\n--boundary-LibPST-iamunique-1_-_---\r\n"
    assert [item.content for item in items] == [wanted % b"a", wanted % b"b"], "the same each time, though drawn by lot"
    assert all(item.flags == {"\\Seen"} for item in items)
    source.close()
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("exits", [0, 1])
def test_a_full_disk_while_a_pst_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exits: int) -> None:
    """Is told as such, and nothing is left. What the program could not write it leaves out without a word (`exits` 0): no half
    message passes for a whole one."""
    program, disk = tmp_path / "bin" / "readpst", tmp_path / "disk"
    program.parent.mkdir()
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=90m", "tmpfs", disk], capture_output=True, check=False).returncode:
        programs.lack("a file system of its own (mount, as root)")
    try:
        program.write_text(
            f"#!{sys.executable}\nimport sys\n"
            "target = sys.argv[sys.argv.index('-o') + 1]\n"
            "try:\n"
            "    for number in range(200):\n"
            "        with open(f'{target}/{number}.eml', 'wb', buffering=0) as file:\n"
            "            file.write(b'Subject: x\\n\\n' + b'x' * (1 << 19))\n"
            "except OSError: pass\n"
            f"sys.exit({exits})\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        path = tmp_path / "old.pst"
        path.write_bytes(b"!BDN" + b"\0" * 100)
        with pytest.raises(Trouble, match="no room"):
            PstSource(str(path), disk / "work")
        assert list((disk / "work").iterdir()) == []
        with (disk / "ballast").open("wb") as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(b"x" * (1 << 16))
                ballast.flush()
        with pytest.raises(Trouble):
            PstSource(str(path), disk / "other")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_what_was_unpacked_and_cannot_be_written_again_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the disk is full only when messages are made lasting: trouble with a reason, and nothing is left."""
    program = tmp_path / "bin" / "readpst"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "target = sys.argv[sys.argv.index('-o') + 1]\n"
        "open(f'{target}/1.eml', 'w').write('Subject: x\\n\\n')\n"
        "os.mkdir(f'{target}/1.eml.new')\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    path = tmp_path / "old.pst"
    path.write_bytes(b"!BDN" + b"\0" * 100)
    with pytest.raises(Trouble, match="Is a directory"):
        PstSource(str(path), tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_the_program_that_reads_a_pst_ends_with_who_asked(tmp_path: Path) -> None:
    """Also where that one is killed: nothing goes on filling the disk for nobody."""
    program, told = tmp_path / "bin" / "readpst", tmp_path / "told"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport os, time\n"
        f"open('{told}.new', 'w').write(str(os.getpid()))\n"
        f"os.rename('{told}.new', '{told}')\n"
        "time.sleep(60)\n"
    )
    program.chmod(0o755)
    path = tmp_path / "old.pst"
    path.write_bytes(b"!BDN" + b"\0" * 100)
    script = (
        "import sys\nfrom pathlib import Path\nfrom mic_mail.services.importers.pst import PstSource\n"
        "PstSource(sys.argv[1], Path(sys.argv[2]))\n"
    )
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    asking = subprocess.Popen([sys.executable, "-c", script, path, tmp_path / "work"], env=environment)
    wait_for(told.exists)
    reading = os.pidfd_open(int(told.read_text()))
    try:
        asking.kill()
        asking.wait()
        ended, _, _ = select.select([reading], [], [], PATIENCE_SECONDS)
        assert ended
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(reading, signal.SIGKILL)
        os.close(reading)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_large_mbox_in_little_memory(tmp_path: Path) -> None:
    """Whatever the size of the file and of one message in it; another process, so that its memory is its own."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        for number in range(300):
            file.write(b"From a@b Tue Oct  1 10:00:00 2019\n" + letter(number, 1 << 20) + b"\n")
        file.write(b"From a@b Tue Oct  1 10:00:00 2019\nSubject: huge\n\n")
        for _ in range(400):
            file.write((b"y" * 1023 + b"\n") * 1024)
    script = (
        "import re, sys\n"
        "from mic_mail.services.importers.mbox import MboxSource\n"
        "from mic_mail.services.importers.content import digest_of\n"
        "source = MboxSource(sys.argv[1])\n"
        "count = sum(bool(digest_of(item.content)) for item in source.messages(source.folders()[0], ()))\n"
        # Its own peak: what getrusage says has that of the process which started it.
        "print(count, re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    count, kib = map(int, done.stdout.split())
    assert count == 301
    assert kib < 120_000
    assert len(list(MboxSource(str(path)).folders())) == 1
