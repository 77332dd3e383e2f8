"""Mail of a real Dovecot comes over TLS by the commands that an administrator types: whole, once, with everything about it."""

import json
import os
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from clients.dovecot_server import PASSWORD, OldSystem, start_old_system
from mic_mail.clock import SystemClock
from mic_mail.config.load import load
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.types import ANSWERED, FLAGGED, SEEN, AccountRef
from regulation.console import Console

pytestmark = pytest.mark.needs_tool("dovecot")


def letter(number: int, octets: int = 100) -> bytes:
    return f"From: a@b.vn\r\nSubject: {number}\r\nMessage-ID: <{number}@b.vn>\r\n\r\nChào {'x' * octets}\r\n".encode()


class Centre(Console):
    """The Centre's console, a server's data, and mailboxes of it."""

    def __init__(self, folder: Path, old: OldSystem) -> None:
        super().__init__(folder)
        self.old = old
        assert self.run("init", "--yes", "--data-dir", str(folder / "data"), "--user", "") == 0, self.err
        assert self.run("unit", "add", "--document", "1/CV", "CNTT", "Vụ Công nghệ thông tin") == 0, self.err
        for name in ("Đỗ Văn Bê", "Trần Thị Lan"):
            assert self.run("person", "add", name, "--unit", "CNTT") == 0, self.err
        for person in ("1", "2"):
            assert self.run("mailbox", "issue", "--document", "1/CV", "--person", person) == 0, self.err
        (folder / "password").write_text(f"{PASSWORD}\n")
        self.store = LocalMailStore(folder / "data" / "mail", clock=SystemClock(), host="test")

    def account(self, number: int, local: str) -> Account:
        return self.store.account(AccountRef(number, f"mic.gov.vn/{local}"))

    @property
    def source(self) -> tuple[str, ...]:
        return (
            "--host", "localhost", "--port", str(self.old.port), "--ca", str(self.old.certificate),
            "--password-file", str(self.folder / "password"),
        )  # fmt: skip

    def bring(self, *more: str, user: str = "be", code: int = 0) -> dict[str, dict[str, object]]:
        """`import imap` into dvbe; its report by folder."""
        words = ("import", "imap", "dvbe@mic.gov.vn", *self.source, "--user", user, "--document", "1/YC", "--json", *more)
        assert self.run(*words) == code, self.err
        return {row["source"]: row for row in json.loads(self.out)}

    def contents(self, account: Account) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = {}
        for info in account.folders():
            for uid in account.view(info.folder_id).uids:
                with account.open_message(info.folder_id, uid) as file:
                    found.setdefault(info.name, []).append(file.pread(0, 1 << 24))
        return found


@pytest.fixture(scope="module")
def old() -> Iterator[OldSystem]:
    yield from start_old_system(("be", "lan", "odd"))


@pytest.fixture
def centre(tmp_path: Path, old: OldSystem) -> Iterator[Centre]:
    shutil.rmtree(old.folder / "mail")
    (old.folder / "mail").mkdir()
    old.give(old.folder / "mail")
    made = Centre(tmp_path, old)
    yield made
    made.store.close()


@pytest.mark.clause("10.4")
def test_everything_about_a_message_comes(centre: Centre, old: OldSystem) -> None:
    """Octets, flags, keywords, day of arrival, folders by their use and in Vietnamese, large ones in slices."""
    old.fill("be", "", ("1.a:2,FSa", letter(1)), ("2.b:2,R", letter(2)), ("3.c:2,", letter(3, 9 << 20)))
    (old.maildir("be") / "dovecot-keywords").write_text("0 $Forwarded\n")
    os.utime(old.maildir("be") / "cur" / "1.a:2,FSa", (1_500_000_000, 1_500_000_000))
    old.fill("be", ".Gesendet", ("4.d:2,S", letter(4)))
    old.fill("be", ".D&HvE- &AOE-n.2019", ("5.e:2,S", letter(5)))
    old.fill("be", ".Th&AbA- r&AOE-c", ("6.f:2,", letter(6)))
    rehearsed = centre.bring("--dry-run")
    assert {name: row["imported"] for name, row in rehearsed.items()} == {
        "INBOX": 3,
        "Gesendet": 1,
        "Dự án/2019": 1,
        "Thư rác": 1,
    }
    account = centre.account(1, "dvbe")
    before = len(account.view(account.folder_id("INBOX")).uids)
    report = centre.bring()
    assert {name: (row["target"], row["imported"]) for name, row in report.items()} == {
        "INBOX": ("INBOX", 3), "Gesendet": ("Sent", 1), "Dự án/2019": ("Dự án/2019", 1), "Thư rác": ("Junk", 1),
    }  # fmt: skip
    found = centre.contents(account)
    assert found["INBOX"][before:] == [letter(1), letter(2), letter(3, 9 << 20)]
    assert (found["Sent"], found["Dự án/2019"], found["Junk"]) == ([letter(4)], [letter(5)], [letter(6)])
    info = account.folder("INBOX")
    assert info.keywords == ("$Forwarded",)
    assert list(account.view(info.folder_id).flags)[before:] == [SEEN | FLAGGED | 32, ANSWERED, 0]
    (arrived,) = account.rows(info.folder_id, [before + 1], ("internaldate_us",))
    assert arrived == (1_500_000_000_000_000,)
    assert all(row["imported"] == 0 for row in centre.bring().values())
    assert all(row["missing"] == 0 and row["there"] == row["found"] for row in centre.bring("--verify").values())
    evidence = centre.json("regulation", "show", "10.4")["evidence"]
    assert evidence[0]["count"] == 1
    (listed,) = centre.json("import", "list")
    assert (listed["messages"], listed["complete"]) == (6, True)


@pytest.mark.clause("10.4")
def test_a_second_pass_before_the_change_over(centre: Centre, old: OldSystem) -> None:
    """What came and what was read since; and nothing twice where Dovecot has lost its UIDs."""
    old.fill("be", "", *((f"{n}.m:2,", letter(n)) for n in range(1, 8)))
    centre.bring()
    place = old.maildir("be") / "cur"
    for path in place.glob("2.m*"):
        path.rename(place / f"{path.name.partition(':')[0]}:2,S")
    for path in place.glob("3.m*"):
        path.unlink()
    old.fill("be", "", ("9.m:2,", letter(9)))
    report = centre.bring()["INBOX"]
    assert (report["found"], report["imported"], report["already"], report["reflagged"]) == (7, 1, 6, 1)
    for name in ("dovecot-uidlist", "dovecot.index.log", "dovecot.index.cache", "dovecot.index"):
        (old.maildir("be") / name).unlink(missing_ok=True)
    for path in old.maildir("be").glob("dovecot-uidvalidity*"):
        path.unlink()
    report = centre.bring()["INBOX"]
    assert (report["found"], report["imported"], report["already"]) == (7, 0, 7)


@pytest.mark.clause("10.4")
def test_many_accounts_by_an_administrator(centre: Centre, old: OldSystem) -> None:
    """By one password and a file of names; one that fails keeps no other back, and a later run goes on."""
    old.fill("be", "", ("1.a:2,", letter(1)))
    old.fill("lan", "", ("2.b:2,", letter(2)))
    accounts = centre.folder / "accounts.csv"
    accounts.write_text(f"user,address,password\nbe,dvbe@mic.gov.vn,{PASSWORD}\nlan,ttlan@mic.gov.vn,sai\n")
    words = ("import", "accounts", str(accounts), *centre.source, "--document", "1/YC", "--parallel", "2")
    accounts.chmod(0o644)
    assert centre.run(*words) == 1, "a file with passwords that everybody can read"
    assert "chmod 600" in centre.err
    accounts.chmod(0o600)
    centre.refused(*words, says="1 mailboxes are not done", code=3)
    assert letter(1) in centre.contents(centre.account(1, "dvbe"))["INBOX"]
    accounts.write_text("be,dvbe@mic.gov.vn\nlan,ttlan@mic.gov.vn\n")
    centre.done(*words, "--admin", "admin")
    assert letter(2) in centre.contents(centre.account(2, "ttlan"))["INBOX"]
    assert len(centre.contents(centre.account(1, "dvbe"))["INBOX"]) == 2, "the welcome, and the one message once"
    acts = [json.loads(line) for path in (centre.folder / "data" / "log").glob("audit-*") for line in path.open()]
    ended = [(act["subject"], act["imported"]) for act in acts if act["act"] == "mailbox_import_ended"]
    assert sorted(ended) == [
        ("dvbe@mic.gov.vn", 0), ("dvbe@mic.gov.vn", 1), ("ttlan@mic.gov.vn", 0), ("ttlan@mic.gov.vn", 1),
    ]  # fmt: skip


@pytest.mark.clause("4.3")
def test_whom_it_does_not_trust(centre: Centre, old: OldSystem) -> None:
    """A certificate of nobody, a name that is not its own, no TLS to elsewhere; nothing without a document or a password."""
    old.fill("be", "", ("1.a:2,", letter(1)))
    base = ("import", "imap", "dvbe@mic.gov.vn", "--user", "be", "--document", "1/YC", "--port", str(old.port))
    secret = ("--password-file", str(centre.folder / "password"))
    centre.refused(*base, *secret, "--host", "localhost", says="is not trusted", code=2)
    assert centre.run(*base, *secret, "--host", "localhost.localdomain", "--ca", old.certificate) in {2, 3}
    centre.refused(*base, *secret, "--host", "mail.example.vn", "--plain")
    centre.refused(*base, "--host", "localhost", "--ca", old.certificate, says="--password-file", code=2)
    (centre.folder / "wrong").write_text("sai\n")
    wrong = ("--ca", str(old.certificate), "--password-file", str(centre.folder / "wrong"))
    centre.refused(*base, "--host", "localhost", *wrong, says="refuses be", code=2)
    assert PASSWORD not in centre.err + centre.out
    centre.refused(*(word for word in base if word not in {"--document", "1/YC"}), *secret, "--host", "localhost", code=2)
    logs = b"".join(path.read_bytes() for path in (centre.folder / "data" / "log").glob("audit*"))
    assert PASSWORD.encode() not in logs


def test_odd_folders_and_messages(centre: Centre, old: OldSystem) -> None:
    """Names that lead elsewhere, 8-bit headers, no header, NUL: as they are, in folders that can be called so."""
    octets = [b"\xff\xfe: x\r\n\r\n", b"no header\r\n", b"Subject: \xe1\xba\xa5\r\n\r\nx\r\n"]
    octets.append(b"Subject: long " + b"y" * 70_000 + b"\r\n\r\n")
    old.fill("odd", ".&AC8-etc", ("1.a:2,", octets[0]))
    old.fill("odd", ".'; drop", *((f"{n}.a:2,", each) for n, each in enumerate(octets)))
    assert "NONEXISTENT" in str(centre.bring(user="odd", code=3) and centre.err), "Dovecot lists a folder that it cannot open"
    report = centre.bring("--without", "&AC8-etc", user="odd")
    assert sum(int(str(row["already"])) for row in report.values()) == 4, "the others had come"
    found = centre.contents(centre.account(1, "dvbe"))
    assert {sha256(each).digest() for each in found["'; drop"]} == {sha256(each).digest() for each in octets}
    assert load(centre.folder / "mic-mail.toml").mail_root.exists()
