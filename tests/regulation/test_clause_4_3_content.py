"""Reg. 4.3: the content of another's mailbox opens with a basis on record and a second person, and in no other way."""

import contextlib
import hashlib
import json
import os
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock, SystemClock
from mic_mail.config.model import Config
from mic_mail.policy.authorization.content_access import AccessStage, ContentRefused, Scope
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.authorization.roles import Officer, OfficerRole
from mic_mail.policy.authorization.two_persons import Hand
from mic_mail.services.exports.content_requests import ContentRequests
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import FLAGGED, SEEN, AccountRef
from regulation.officers import WHY, OfficersConsole, officers_console
from store_harness import deliver, message

BE, UNIT = "dvbe@mic.gov.vn", "cntt@mic.gov.vn"
INBOX = {f"001-INBOX/{uid}.eml" for uid in (1, 2, 3)}
BASIS = ("--reason", "xác minh khiếu nại", "--document", "7/QĐ-TTTT")


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    """A mailbox with its welcome and five messages in three folders, one of them flagged, one read, one expunged."""
    console = officers_console(tmp_path_factory.mktemp("content"))
    store, account = opened(console, BE)
    inbox = account.folder("INBOX").folder_id
    deliver(account, inbox, ["a", "b", "gone"])
    account.store_flags(inbox, [4], "+", SEEN)
    account.remove(inbox, [4])
    account.store_flags(inbox, [3], "+", FLAGGED)
    deliver(account, account.create("Đã lưu/.. 2026").folder_id, ["c"])
    deliver(account, account.folder("Sent").folder_id, ["d"], flags=SEEN)
    store.close()
    return console


def opened(console, address):
    directory = console.directory()
    mailbox = directory.mailbox(address)
    directory.close()
    store = LocalMailStore(console.folder / "data" / "mail", clock=SystemClock(), host="mail.mic.gov.vn")
    return store, store.account(AccountRef(mailbox.mailbox_id, mailbox.home))


def ask(console, *words, address=BE, by="mai"):
    return str(console.json_by(by, "content", "ask", address, *BASIS, *words)["id"])


def approved(console, *words, address=BE):
    number = ask(console, *words, address=address)
    console.done_by("minh", "content", "approve", number, *WHY)
    return number


def events(console):
    return [json.loads(line) for path in sorted((console.folder / "data" / "log").glob("*.cli.*")) for line in path.open()]


@pytest.mark.clause("4.3", "16.5")
def test_clause_4_3_asked_approved_exported(console, tmp_path):
    """The messages come out octet for octet with a list that proves them, private, and every step is on record twice."""
    number = approved(console)
    target = tmp_path / "out"
    told = console.json_by("mai", "content", "export", number, target)
    assert (told["folders"], told["messages"]) == (8, 5)
    manifest = json.loads((target / "manifest.json").read_text())
    assert (manifest["mailbox"], manifest["asked_by"], manifest["approved_by"]) == (BE, "mai", "minh")
    assert (manifest["document"], manifest["approval_document"]) == ("7/QĐ-TTTT", "3/QĐ-TTTT")
    by_file = {entry["file"]: entry for entry in manifest["messages"]}
    assert {(e["folder"], e["uid"]) for e in by_file.values()} == {
        *(("INBOX", uid) for uid in (1, 2, 3)), ("Đã lưu/.. 2026", 1), ("Sent", 1)
    }  # fmt: skip
    for file, token in (("001-INBOX/2.eml", "a"), ("001-INBOX/3.eml", "b")):
        octets = (target / file).read_bytes()
        assert octets == message(token)
        assert (by_file[file]["size"], by_file[file]["sha256"]) == (len(octets), hashlib.sha256(octets).hexdigest())
    assert all(entry["message_id"] is None or entry["message_id"].startswith("<") for entry in by_file.values())
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=target, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    assert {line.partition(":")[0] for line in checked.stdout.splitlines()} == {*by_file, "manifest.json"}
    assert hashlib.sha256((target / "SHA256SUMS").read_bytes()).hexdigest() == told["digest"]
    for path in (target, *target.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        assert target in path.resolve().parents or path == target
    acts = [act["act"] for act in console.acts if act["act"].startswith("content_")]
    assert acts[-4:] == ["content_ask", "content_approve", "content_export", "content_exported"]
    assert [event["event"] for event in events(console)][-4:] == [
        "content_asked", "content_approved", "content_opened", "content_exported",
    ]  # fmt: skip
    console.refused_by(
        "mai",
        "content",
        "export",
        number,
        console.folder / "data/mail/mic.gov.vn/other",
        says="inside the server's own folders",
        code=2,
    )
    shown = console.json_by("kiem", "content", "show", number)
    assert (shown["stage"], shown["decided_login"], shown["exports"][0]["digest"]) == ("approved", "minh", told["digest"])
    assert console.json_by("kiem", "content", "list")[0]["exports"] == 1


def test_clause_4_3_an_export_changes_nothing(console, tmp_path):
    """No flag, no read mark, no modification sequence, no name of a file."""

    def picture():
        store, account = opened(console, BE)
        with contextlib.closing(store):
            views = [account.view(info.folder_id) for info in account.folders() if info.folder_id]
            names = sorted(str(path) for path in (console.folder / "data" / "mail").rglob("*") if "/cur/" in str(path))
            return account.highest_modseq(), [(list(v.uids), list(v.flags), list(v.modseqs)) for v in views], names

    number, before = approved(console), picture()
    console.done_by("mai", "content", "export", number, tmp_path / "out")
    assert picture() == before


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (("--folder", "inbox"), INBOX),
        (("--folder", "INBOX", "--expunged"), INBOX | {"001-INBOX/expunged/4.eml"}),
        (("--folder", "INBOX", "--until", "31/12/2025"), set()),
        (("--folder", "INBOX", "--since", "01/01/2190"), set()),
    ],
)
def test_clause_4_3_no_more_than_was_asked_for(console, tmp_path, words, files):
    """One folder, some days, what was expunged only where that was asked."""
    number = approved(console, *words)
    console.done_by("mai", "content", "export", number, tmp_path / "out")
    assert {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.eml")} == files


def test_clause_4_3_nothing_without_a_basis(console):
    """No reason, no document: no request; no document: no approval."""
    for words in (
        ("--reason", "x"),
        ("--document", "1"),
        ("--reason", " ", "--document", "1"),
        ("--reason", "x", "--document", " "),
    ):
        assert console.by("mai", "content", "ask", BE, *words) in {1, 2}
    number = ask(console)
    console.refused_by("minh", "content", "approve", number, code=2)
    console.refused_by("minh", "content", "approve", number, "--document", " ", code=2)
    assert console.json_by("mai", "content", "show", number)["stage"] == "asked"


def test_clause_4_3_never_the_same_person(console, tmp_path):
    """Not who asked, not under another name, not by a second login of the same person, not by one hand that names two."""
    number = ask(console)
    console.refused_by("mai", "content", "approve", number, *WHY, says="must differ from the first")
    console.refused_by("mai", "content", "approve", number, *WHY, "--actor", "minh")
    console.done_by("mai", "officer", "add", "mai2", "phạm  MAI", "--role", "centre", "--no-login", *WHY)
    console.refused_by("mai2", "content", "approve", number, *WHY)
    by_one_hand = json.loads(_by_automation(console, "mai", "content", "ask", BE, *BASIS, "--json"))["id"]
    console.refused("--actor", "minh", "content", "approve", by_one_hand, *WHY, says="with another login")
    for login in ("hoa", "kiem", "stranger"):
        console.refused_by(login, "content", "approve", number, *WHY)
    console.refused_by("mai", "content", "export", number, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    console.done_by("mai", "officer", "end", "mai2")


def _by_automation(console, actor, *words):
    console.done("--actor", actor, *words)
    return console.out


def test_clause_4_3_namesakes_are_told_apart(console):
    """Two people of one name are taken for one until the directory's number says who they are."""
    for number, (login, person) in enumerate((("be1", 1), ("be2", 2)), start=1):
        assert (
            console.by("mai", "officer", "add", login, "Lê Văn An", "--role", "centre", "--person", person, "--no-login", *WHY)
            == 0
        ), number
    asked = ask(console, by="be1", address="lhoa@mic.gov.vn")
    console.done_by("be2", "content", "approve", asked, *WHY)
    for login in ("be1", "be2"):
        console.done_by("mai", "officer", "end", login)


def test_clause_4_3_not_the_mailboxs_own(console):
    """Whose mailbox it is does not approve, nor who is authorised in a unit's."""
    console.done_by("mai", "officer", "add", "be", "Đỗ Văn Bê", "--role", "centre", "--no-login", *WHY)
    number = ask(console)
    console.refused_by("be", "content", "approve", number, *WHY, says="A person involved in the matter cannot decide")
    console.done_by("mai", "mailbox", "grant", UNIT, BE, "--as", "keeper", *WHY)
    number = ask(console, address=UNIT)
    console.refused_by("be", "content", "approve", number, *WHY)
    console.done_by("mai", "mailbox", "revoke", UNIT, BE, *WHY)
    console.done_by("be", "content", "approve", number, *WHY)
    console.done_by("mai", "officer", "end", "be")


def test_clause_4_3_decided_once_refused_or_taken_back(console, tmp_path):
    """A decision stands; an approval can be taken back, and then nothing opens any more."""
    number = ask(console)
    console.done_by("mai", "content", "refuse", number, "--reason", "rút")
    console.refused_by("minh", "content", "approve", number, *WHY)
    console.refused_by("mai", "content", "refuse", number, "--reason", "x")
    number = approved(console)
    console.refused_by("minh", "content", "approve", number, *WHY)
    console.refused_by("minh", "content", "export", number, tmp_path / "out", says="officer who made the request")
    console.done_by("minh", "content", "refuse", number, "--reason", "hết cần")
    console.refused_by("mai", "content", "export", number, tmp_path / "out", says="was refused")
    console.refused_by("mai", "content", "approve", "999", *WHY, code=2)
    console.refused_by("mai", "content", "show", 10**30, code=2)


def test_clause_4_3_an_approval_expires(console):
    """After `content.expires_after` it opens nothing; at its last instant it still does."""
    clock = ManualClock(SystemClock().now())
    directory = console.directory(clock)
    content = ContentRequests(directory, Config(), clock)
    mai, minh = (Officer(login, login, OfficerRole.CENTRE, None, clock.now()) for login in ("mai", "minh"))
    origin = ActContext("mai", "xác minh", "7/QĐ")
    asked = content.ask(directory.mailbox(BE), Scope(), Hand.of(mai, "mai", "mai"), origin)
    granted = content.approve(asked.access_id, Hand.of(minh, "minh", "minh"), origin)
    assert granted.expires_at == clock.now() + timedelta(days=3)
    clock.move_to(granted.expires_at - timedelta(microseconds=1))
    assert content.opened(asked.access_id, Hand.of(mai, "mai", "mai")) == granted
    clock.move_to(granted.expires_at)
    with pytest.raises(ContentRefused, match="has expired"):
        content.opened(asked.access_id, Hand.of(mai, "mai", "mai"))
    assert granted.stage(clock.now()) is AccessStage.EXPIRED
    with pytest.raises(ContentRefused):
        content.approve(asked.access_id, Hand.of(minh, "minh", "minh"), origin)
    directory.close()


def test_clause_4_3_no_two_persons_no_content(tmp_path):
    """A server that knows no officer knows no second person either."""
    console = OfficersConsole(tmp_path).init()
    console.refused("mailbox", "issue", "--document", "1/CV", "--group", "Nhóm", "--sponsor", "X", code=2)
    console.done("unit", "add", "--document", "1/CV", "X", "X")
    console.done("mailbox", "issue", "--document", "1/CV", "--group", "Nhóm", "--sponsor", "X")
    console.refused("content", "ask", "nhom@mic.gov.vn", *BASIS, says="No officer is recorded")


@pytest.mark.parametrize("there", ["a folder", "an empty folder", "a file", "a link"])
def test_clause_4_3_nothing_is_overwritten(console, tmp_path, there):
    """Whatever lies at the target stays."""
    target = tmp_path / "out"
    match there:
        case "a folder":
            target.mkdir()
            (target / "x").write_text("x")
        case "an empty folder":
            target.mkdir()
        case "a file":
            target.write_text("x")
        case _:
            target.symlink_to(tmp_path / "elsewhere")
    console.refused_by("mai", "content", "export", approved(console), target, code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    console.refused_by("mai", "content", "export", approved(console), tmp_path / "no" / "where", code=3)


EXPORTER = """
import sys
from pathlib import Path
from mic_mail.clock import SystemClock
from mic_mail.directory.repository import Directory
from mic_mail.services.exports.content_export import ContentExport
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef

url, mail, number, target = sys.argv[1:]
directory, clock = Directory(url), SystemClock()
access = directory.content.get(int(number))
mailbox = directory.mailbox(access.address)
account = LocalMailStore(Path(mail), clock=clock, host="h").account(AccountRef(mailbox.mailbox_id, mailbox.home))

def progress(count):
    print(count, flush=True)
    sys.stdin.readline()

def still_open():
    print("whole", flush=True)
    sys.stdin.readline()

ContentExport(directory, clock).run(access, "mai", account, Path(target), still_open=still_open, progress=progress)
print("done", flush=True)
"""


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_clause_4_3_a_killed_export_leaves_nothing(console, tmp_path, steps):
    """Killed between any two messages, or before the last step, no folder appears; the next export clears what lay hidden."""
    number, target = approved(console), tmp_path / "out"
    directory = console.directory()
    words = [directory.url, str(console.folder / "data" / "mail"), number, str(target)]
    with subprocess.Popen(
        [sys.executable, "-c", EXPORTER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        for step in range(steps):
            assert process.stdout.readline()
            if step + 1 < steps:
                process.stdin.write("\n")
                process.stdin.flush()
        running = list(tmp_path.iterdir())
        assert len(running) == 1
        assert running[0].name.startswith(".out.exporting-")
        console.done_by("mai", "content", "export", number, tmp_path / "beside")
        assert running[0].exists()  # it still runs, and is left alone
        process.kill()
    assert not target.exists()
    console.done_by("mai", "content", "export", number, target)
    assert {path.name for path in tmp_path.iterdir()} == {"beside", "out"}
    exports = console.json_by("mai", "content", "show", number)["exports"]
    assert [export["finished_at"] is not None for export in exports] == [False, True, True]
    directory.close()


def test_clause_4_3_an_export_killed_after_its_last_step_counts(console, tmp_path):
    """The folder is there, whole: the register finds it by its digest."""
    number, target = approved(console), tmp_path / "out"
    console.done_by("mai", "content", "export", number, target)
    directory = console.directory()
    with directory._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE content_export SET finished_at = NULL WHERE access_id = ?", (int(number),))
    assert directory.content.exports(int(number))[0].finished_at is None
    console.done_by("mai", "content", "export", number, tmp_path / "more")
    assert all(export.finished_at for export in directory.content.exports(int(number)))
    directory.close()


def test_clause_4_3_a_backup_opens_no_other_mailbox(console, tmp_path):
    """Restoring one person's backup into another's mailbox takes an approved request for the former, all of it."""
    console.done_by("mai", "backup", tmp_path / "b", BE)
    source, hoa = str(tmp_path / "b" / "mic.gov.vn" / "dvbe"), "lhoa@mic.gov.vn"
    console.refused_by("mai", "restore", hoa, source, says="backup of another mailbox")
    for number in (approved(console, "--folder", "INBOX"), approved(console, address="ttlan@mic.gov.vn"), ask(console)):
        console.refused_by("mai", "restore", hoa, source, "--content", number)
    store, account = opened(console, hoa)
    assert account.quota().messages <= 1  # its own welcome
    store.close()
    console.done_by("mai", "restore", hoa, source, "--content", approved(console), "--replace")


def test_clause_4_3_no_other_command_shows_content(console):
    """What the Centre can read of a mailbox without a request holds no subject, no address of a correspondent, no text."""
    for words in (
        ("mailbox", "show", BE), ("mailbox", "explain", BE),
        ("mailbox", "undelete", BE, "--list"), ("mailbox", "repair", BE, "--check"),
    ):  # fmt: skip
        console.done_by("mai", *words)
        assert "token-a" not in console.out
        for token in ("a", "b", "gone"):
            lines = message(token).decode().splitlines()
            assert not any(line and line in console.out for line in lines if len(line) > 8)


def test_clause_4_3_the_manifest_is_read_by_programs(console, tmp_path):
    """Folders of any name stay below the target, and the manifest has their names as they are."""
    number = approved(console, "--folder", "Đã lưu/.. 2026")
    target = Path(tmp_path / "out")
    console.done_by("mai", "content", "export", number, target)
    (entry,) = json.loads((target / "manifest.json").read_text())["messages"]
    assert (entry["folder"], entry["file"]) == ("Đã lưu/.. 2026", "001-Đã_lưu_2026/1.eml")
    assert (target / entry["file"]).read_bytes() == message("c")
