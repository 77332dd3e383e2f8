"""Documents are kept in a records system outside the mail system: a unit's mail as files with digests, also when broken off."""

import csv
import email
import hashlib
import json
import os
import stat
import subprocess
from datetime import timedelta

import pytest

from kills import Countdown, in_child
from mic_mail.clock import SystemClock
from mic_mail.config.load import load
from mic_mail.errors import BadInput, MicMailError
from mic_mail.policy.unit_mail.records_export import Selection
from mic_mail.services.exports import records_export
from mic_mail.services.exports.records_export import JOURNAL, RecordsExport
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import SEEN, AccountRef
from regulation.officers import WHY, officers_console
from store_harness import deliver, message

CNTT, BE, LAN = "cntt@mic.gov.vn", "dvbe@mic.gov.vn", "ttlan@mic.gov.vn"
ASKED = ("--asked-by", BE, *WHY)


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    """For tests that leave the mail as it is."""
    return made(tmp_path_factory.mktemp("records"))


@pytest.fixture
def own_desk(tmp_path):
    """One of the test's own."""
    (tmp_path / "console").mkdir()
    return made(tmp_path / "console")


def made(folder):
    """cntt@ in the keeping of dvbe@, with messages in three folders, one read, one passed on, one in a folder that says so."""
    console = officers_console(folder)
    console.done_by("mai", "mailbox", "grant", CNTT, "1", "--as", "keeper", *WHY)
    store, account = opened(console)
    inbox = account.folder("INBOX").folder_id
    deliver(account, inbox, ["a", "b"])
    account.store_flags(inbox, [2], "+", SEEN)
    account.store_flags(inbox, [3], "+", 0, ("$PassedOn",))
    deliver(account, account.create("Đã chuyển QLVB/2026").folder_id, ["c"])
    deliver(account, account.create(".. ../=cmd").folder_id, ["d"])
    store.close()
    return console


def opened(console):
    directory = console.directory()
    mailbox = directory.mailbox(CNTT)
    directory.close()
    store = LocalMailStore(console.folder / "data" / "mail", clock=SystemClock(), host="mail.mic.gov.vn")
    return store, store.account(AccountRef(mailbox.mailbox_id, mailbox.home))


def export(console, target, *words, by="mai", code=0):
    """What `mailbox export` says."""
    assert console.by(by, "mailbox", "export", CNTT, target, *ASKED, *words, "--json") == code, console.err
    return json.loads(console.out) if code == 0 else {}


def checked(target):
    """`sha256sum -c` and its list of files."""
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=target, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return {line.partition(":")[0] for line in done.stdout.splitlines()}


def rows(target):
    return json.loads((target / "manifest.json").read_text())["messages"]


def test_clause_11_4_octet_for_octet_with_a_list_that_proves_them(own_desk, tmp_path):
    """Two lists and sums, verified by sha256sum; private; the digest is among the acts, and the keeper is told."""
    console = own_desk
    target = tmp_path / "out"
    told = export(console, target)
    assert (told["messages"], told["resumed"]) == (5, 0)
    found = {row["file"]: row for row in rows(target)}
    assert checked(target) == {*found, "manifest.json", "manifest.csv"}
    assert {(row["folder"], row["uid"]) for row in found.values()} == {
        ("INBOX", 1), ("INBOX", 2), ("INBOX", 3), ("Đã chuyển QLVB/2026", 1), (".. ../=cmd", 1),
    }  # fmt: skip
    by_place = {(row["folder"], row["uid"]): row for row in found.values()}
    for place, token in ((("INBOX", 2), "a"), (("INBOX", 3), "b"), ((".. ../=cmd", 1), "d")):
        row = by_place[place]
        octets = (target / row["file"]).read_bytes()
        assert octets == message(token)
        assert (row["size"], row["sha256"]) == (len(octets), hashlib.sha256(octets).hexdigest())
    assert by_place["INBOX", 2]["flags"] == "\\Seen"
    assert by_place["INBOX", 3]["flags"] == "$PassedOn"
    assert [by_place[place]["passed_on"] for place in (("INBOX", 2), ("INBOX", 3), ("Đã chuyển QLVB/2026", 1))] == [
        False, True, True,
    ]  # fmt: skip
    with (target / "manifest.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["sha256"] for row in table] == [row["sha256"] for row in rows(target)]
    assert {row["passed_on"] for row in table} == {"true", "false"}
    assert not any(cell.startswith("=") for row in table for cell in row.values())
    assert hashlib.sha256((target / "SHA256SUMS").read_bytes()).hexdigest() == told["digest"]
    for path in (target, *target.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        assert path == target or target in path.resolve().parents
    acts = [act for act in console.acts if act["act"].startswith("mailbox_export")]
    assert [act["act"] for act in acts[-2:]] == ["mailbox_export", "mailbox_exported"]
    assert (acts[-1]["sums"], acts[-1]["asked_by"], acts[-1]["document"]) == (told["digest"], BE, WHY[1])
    own = (console.folder / "data/mail/mic.gov.vn/dvbe/Maildir/cur").iterdir()
    texts = [email.message_from_bytes(path.read_bytes()).get_payload(decode=True).decode() for path in own]
    assert any(told["digest"] in text.replace("\n", "") for text in texts)
    evidence = console.json_by("kiem", "regulation", "show", "11.4")["evidence"]
    assert evidence[0]["count"] == 1


def test_clause_11_4_a_part_of_it(console, tmp_path):
    """By folder, by day, what was passed on and what was not."""
    assert export(console, tmp_path / "a", "--folder", "INBOX")["messages"] == 3
    assert export(console, tmp_path / "b", "--only-passed-on")["messages"] == 2
    assert export(console, tmp_path / "c", "--only-not-passed-on")["messages"] == 3
    assert export(console, tmp_path / "d", "--until", "2020-01-01")["messages"] == 0
    assert checked(tmp_path / "d") == {"manifest.json", "manifest.csv"}
    export(console, tmp_path / "e", "--folder", "none", code=2)
    assert not (tmp_path / "e").exists(), "what was mistyped takes no place"
    export(console, tmp_path / "f", "--since", "2026-02-01", "--until", "2026-01-01", code=2)


@pytest.mark.clause("4.3")
def test_clause_11_4_on_whose_request(console, tmp_path):
    """Of who holds the mailbox now, with the unit's document, to an officer of the Centre who is somebody else."""
    target = str(tmp_path / "out")
    for login, words, clause in (
        ("mai", (CNTT, target, "--asked-by", LAN, *WHY), "11.4"),
        ("mai", (CNTT, target, "--asked-by", BE, "--document", " "), "11.4"),
        ("mai", (BE, target, "--asked-by", BE, *WHY), "4.3"),
        ("hoa", (CNTT, target, *ASKED), "6.1"),
        ("kiem", (CNTT, target, *ASKED), "6.1"),
    ):
        assert console.by(login, "mailbox", "export", *words) == (2 if " " in words else 1), (login, words)
        assert f"Reg. {clause}" in console.err, (login, console.err)
    console.done_by("mai", "officer", "add", "be", "Đỗ Văn Bê", "--role", "centre", "--person", "1", "--no-login", *WHY)
    console.refused_by("be", "mailbox", "export", CNTT, target, *ASKED, says="must differ from the first")
    assert not os.path.lexists(target)


def test_clause_11_4_never_over_what_is_there(console, tmp_path):
    """A folder of somebody's, an export that is finished, one of another selection, a link, a file."""
    done = tmp_path / "done"
    export(console, done)
    before = {path: path.read_bytes() for path in done.rglob("*") if path.is_file()}
    export(console, done, code=2)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "x").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "theirs")
    (tmp_path / "file").write_text("x")
    for name in ("theirs", "link", "file"):
        export(console, tmp_path / name, code=2)
    half = tmp_path / "half"
    export(console, half)
    (half / JOURNAL).write_text("{}\n")
    export(console, half, code=2)
    assert "another export" in console.err
    assert {path: path.read_bytes() for path in done.rglob("*") if path.is_file()} == before
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["x"]


def test_clause_11_4_never_among_the_servers_own_files(console, tmp_path):
    """A folder beside the mailboxes would be taken for one; nor by a link."""
    (tmp_path / "mail").symlink_to(console.folder / "data" / "mail")
    for target in (console.folder / "data/mail/mic.gov.vn/ttlan2", console.folder / "data/out", tmp_path / "mail/mic.gov.vn/x"):
        export(console, target, code=2)
        assert "inside the server's own folders" in console.err
        assert not target.exists()


def _killed(console, target, step):
    """Whether an export in a process of its own was killed before its n-th step that writes anything."""

    def work(say):
        count = Countdown(step)
        for name in ("fsync", "mkdir", "rename", "unlink"):
            setattr(os, name, count.before(getattr(os, name)))
        records_export._encoded = count.before(records_export._encoded)
        run(console, target)

    return in_child(work).killed


def run(console, target):
    store, account = opened(console)
    config = load(console.folder / "mic-mail.toml")
    try:
        return RecordsExport(store, config, SystemClock()).run(account, Selection(), target, {"mailbox": CNTT})
    finally:
        store.close()


@pytest.mark.slow
def test_clause_11_4_killed_anywhere_it_goes_on(console, tmp_path):
    """At each step that writes: the same call again ends in the same files and the same sums as one that was left alone."""
    whole = tmp_path / "whole"
    assert run(console, whole).messages == 5
    wanted = {path.relative_to(whole): path.read_bytes() for path in whole.rglob("*.eml")}
    step = 1
    while _killed(console, tmp_path / f"out{step}", step):
        target = tmp_path / f"out{step}"
        if (target / JOURNAL).exists() or not (target / "SHA256SUMS").exists():
            assert run(console, target).messages == 5
        assert {path.relative_to(target): path.read_bytes() for path in target.rglob("*.eml")} == wanted, step
        assert len(checked(target)) == 7
        assert [path.name for path in target.iterdir() if path.name.startswith(".")] == []
        step += 3
    assert step > 20


def test_clause_11_4_torn_lines_and_files(console, tmp_path):
    """A last line that is torn, a file that is shorter than its line says, one that has no line: made anew."""
    config = load(console.folder / "mic-mail.toml")
    store, account = opened(console)
    basis = {"mailbox": CNTT, "document": "1"}

    def stopped(target, stop=99):
        def progress(done):
            if done == stop:
                raise KeyboardInterrupt

        return RecordsExport(store, config, SystemClock()).run(account, Selection(), target, basis, progress=progress)

    target = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        stopped(target, stop=4)
    with (target / JOURNAL).open("ab") as journal:
        journal.write(b'{"file": "INBOX')
    files = sorted(target.rglob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
    files[-1].write_bytes(b"short")
    done = stopped(target)
    assert (done.messages, done.resumed) == (5, 3)
    assert len(checked(target)) == 7
    with pytest.raises(BadInput):
        stopped(target)
    other = tmp_path / "other"
    with pytest.raises(KeyboardInterrupt):
        stopped(other, stop=1)
    with pytest.raises(MicMailError, match="another export"):
        RecordsExport(store, config, SystemClock()).run(account, Selection(folder="INBOX"), other, basis)
    store.close()


def test_clause_11_4_on_record_before_it_is_finished(console, tmp_path):
    """Who is killed between has the digest on record, and may go on: it is told once more, and is the same."""
    config = load(console.folder / "mic-mail.toml")
    store, account = opened(console)
    told = []

    def whole(exported):
        told.append(exported.digest)
        assert len(checked(tmp_path / "out")) == 7
        if len(told) == 1:
            raise KeyboardInterrupt

    def once_more():
        return RecordsExport(store, config, SystemClock()).run(account, Selection(), tmp_path / "out", {}, whole=whole)

    with pytest.raises(KeyboardInterrupt):
        once_more()
    assert once_more().digest == told[0] == told[1]
    with pytest.raises(BadInput):
        once_more()
    store.close()


def test_clause_11_4_two_at_once(console, tmp_path):
    """The second is refused, and the first is none the worse."""
    config = load(console.folder / "mic-mail.toml")
    store, account = opened(console)
    target, refused = tmp_path / "out", []

    def meanwhile(done):
        with pytest.raises(BadInput) as error:
            RecordsExport(store, config, SystemClock()).run(account, Selection(), target, {})
        refused.append(str(error.value))

    assert RecordsExport(store, config, SystemClock()).run(account, Selection(), target, {}, progress=meanwhile).messages == 5
    assert len(refused) == 5
    assert all("Another export to" in text for text in refused)
    assert len(checked(target)) == 7
    store.close()


def test_clause_11_4_what_comes_meanwhile(own_desk, tmp_path):
    """A message that comes, one that is expunged and one that is marked while it runs harm nothing; days are the ministry's."""
    console = own_desk
    config = load(console.folder / "mic-mail.toml")
    store, account = opened(console)
    fresh = account.create("Mới").folder_id
    uids = deliver(account, fresh, [f"m{n}" for n in range(20)])

    def meanwhile(done):
        if done == 2:
            account.store_flags(fresh, uids[10:12], "+", 0, ("$PassedOn",))
            account.remove(fresh, uids[15:17])
            deliver(account, fresh, ["late"])

    done = RecordsExport(store, config, SystemClock()).run(account, Selection("Mới"), tmp_path / "out", {}, progress=meanwhile)
    assert 18 <= done.messages <= 21
    assert len(checked(tmp_path / "out")) == done.messages + 2
    day = SystemClock().now().date()
    some = RecordsExport(store, config, SystemClock())
    assert some.run(account, Selection("Mới", since=day + timedelta(days=2)), tmp_path / "none", {}).messages == 0
    store.close()


def test_clause_11_4_folders_of_one_uidvalidity(own_desk, tmp_path):
    """Folders that came from another server may have the same UIDVALIDITY and UIDs (RFC 3501 §2.3.1.1: a message is known by
    the name of its folder too): nothing is left out, and a run that was broken off goes on rightly."""
    console = own_desk
    config = load(console.folder / "mic-mail.toml")
    store, account = opened(console)
    for name in ("Moi-1", "Moi+1"):
        cur = console.folder / "data/mail/mic.gov.vn/cntt/Maildir" / f".{name}" / "cur"
        cur.mkdir(parents=True)
        (cur.parent / "new").mkdir()
        (cur.parent / "tmp").mkdir()
        (cur / "1700000000.M1P1.x:2,").write_bytes(message(name))
        (cur.parent / "dovecot-uidlist").write_text("3 V1700000000 N2\n1 :1700000000.M1P1.x\n")
    account.rescan()
    assert {account.folder(name).uidvalidity for name in ("Moi-1", "Moi+1")} == {1700000000}

    def both(target, stop=99):
        def progress(done):
            if done == stop:
                raise KeyboardInterrupt

        return RecordsExport(store, config, SystemClock()).run(account, Selection(), target, {}, progress=progress)

    whole = both(tmp_path / "whole").messages
    for stop in range(1, whole):
        target = tmp_path / f"out{stop}"
        with pytest.raises(KeyboardInterrupt):
            both(target, stop)
        assert both(target).messages == whole
        found = {row["folder"]: (target / row["file"]).read_bytes() for row in rows(target)}
        assert (found["Moi-1"], found["Moi+1"]) == (message("Moi-1"), message("Moi+1"))
        assert len(checked(target)) == whole + 2
    store.close()
