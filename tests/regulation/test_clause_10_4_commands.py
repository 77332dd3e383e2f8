"""Reg. 10.4: imports by command, from files of each kind, rehearsed, compared, and stopped."""

import json
import mailbox
import os
import signal
import subprocess
import threading
import time
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from mic_mail.clock import SystemClock
from mic_mail.services.importers.eml import EmlSource
from mic_mail.services.importers.imap import ImapSource
from mic_mail.services.importers.ledger import Ledger, ledgers, taken
from mic_mail.services.importers.source import SourceWrong
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef
from regulation.console import PROGRAM, Console, defects
from regulation.import_setup import letter, maildir
from scripted_imap_server import ScriptedServer, answer_honestly

pytestmark = pytest.mark.clause("10.4")


# ------------------------------------------------------------ by command


@pytest.fixture
def console(tmp_path: Path) -> Console:
    made = Console(tmp_path).init()
    made.done("unit", "add", "--document", "1/CV", "CNTT", "Vụ Công nghệ thông tin")
    made.done("person", "add", "Đỗ Văn Bê", "--unit", "CNTT")
    made.done("mailbox", "issue", "--document", "1/CV", "--person", "1")
    return made


def test_a_mailbox_that_is_put_back_gets_again_what_came_later(console: Console, tmp_path: Path) -> None:
    """What its backup does not have comes again; what its person had deleted by then does not. Backups have the ledgers."""
    source = maildir(tmp_path / "old", 4)
    assert report(console, "maildir", "dvbe@mic.gov.vn", str(source))["INBOX"]["imported"] == 4
    store = LocalMailStore(tmp_path / "data" / "mail", clock=SystemClock(), host="test")
    account = store.account(AccountRef(1, "mic.gov.vn/dvbe"))
    account.remove(account.folder_id("INBOX"), [1])
    store.close()
    console.done("backup", tmp_path / "copy")
    maildir(source, 3, first=4)
    assert report(console, "maildir", "dvbe@mic.gov.vn", str(source))["INBOX"]["imported"] == 3
    words = ("restore", "dvbe@mic.gov.vn", str(tmp_path / "copy"), "--reason", "x")
    console.refused(*words)  # it holds mail: nothing is put back, and nothing forgotten
    assert [each.messages for each in taken(tmp_path / "data")] == [7]
    (path,) = ledgers(tmp_path / "data", 1)
    with Ledger(path, 1, "as if an import ran"):
        console.refused(*words, "--replace")
    console.done(*words, "--replace")
    done = report(console, "maildir", "dvbe@mic.gov.vn", str(source))["INBOX"]
    assert (done["imported"], done["already"]) == (3, 4)
    assert [each.messages for each in taken(tmp_path / "copy")] == [4]


def test_a_list_that_names_a_mailbox_twice(console: Console, tmp_path: Path) -> None:
    """Also by an alias: two people's old mail would become one mailbox's."""
    console.done("alias", "add", "dvbe@mic.gov.vn", "bedv")
    listed = tmp_path / "accounts.csv"
    listed.write_text("be,dvbe@mic.gov.vn,x\nlan,bedv@mic.gov.vn,y\n")
    listed.chmod(0o600)
    words = ("import", "accounts", str(listed), "--host", "127.0.0.1", "--port", "1", "--plain", "--document", "1/YC")
    console.refused(*words, code=2)
    assert "twice" in console.err or "hai lần" in console.err


def test_a_defect_that_one_account_shows(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends no other's import, and is in the log with the line that raised it: a person is told what it was alone."""

    def broken(source: ImapSource) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(ImapSource, "folders", broken)
    there = ScriptedServer(answer_honestly)
    listed = tmp_path / "accounts.csv"
    listed.write_text("be,dvbe@mic.gov.vn,x\n")
    listed.chmod(0o600)
    place = ("--host", "127.0.0.1", "--port", str(there.port), "--plain")
    console.refused("import", "accounts", listed, *place, "--document", "1/YC", code=3)
    there.stop()
    assert "nobody foresaw this" in console.err
    (told,) = defects(tmp_path, "import_failed", mailbox="dvbe@mic.gov.vn")
    assert told["error"] == "RuntimeError('nobody foresaw this')"
    assert "in broken" in told["where"]


def test_many_imports_are_stopped_at_once(console: Console, tmp_path: Path) -> None:
    """Ctrl-C does not wait for a server that keeps silent; the run is on record as one that did not come to its end."""
    silent = ScriptedServer(lambda tag, command: slowly() if "SEARCH" in command else answer_honestly(tag, command))
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
        console.refused("import", *words, "--dry-run", "--document", "1/YC")


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
    console.refused("import", "maildir", "dvbe@mic.gov.vn", old, says="--document", code=2)
    console.refused("import", "maildir", "dvbe@mic.gov.vn", old, "--document", "1/YC", "--quota", "3 GiB", code=2)
    words = ("import", "maildir", "dvbe@mic.gov.vn", str(old), "--document", "1/YC", "--quota", "3 GiB", "--reason", "thư cũ")
    console.done(*words)
    assert console.json("mailbox", "show", "dvbe@mic.gov.vn")["quota_octets"] == 3 << 30
    console.refused("import", "maildir", "khong@mic.gov.vn", old, "--document", "1/YC", code=2)
    console.refused("import", "maildir", "dvbe@mic.gov.vn", tmp_path, "--document", "1/YC", code=2)
    console.refused("import", "mbox", "dvbe@mic.gov.vn", old / "cur" / "0.x:2,S", "--document", "1/YC", code=2)
    for option in (("--folder", "Sent"), ("--without", "Sent"), ("--map", "Sent=x"), ("--map", "x")):
        assert console.run("import", "maildir", "dvbe@mic.gov.vn", old, "--document", "1/YC", *option) == 2, option


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
