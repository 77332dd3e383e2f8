"""Reg. 10.1: a server that a backup has brought back has its keys and what is in quarantine (docs/decisions/0087)."""

import json
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import dkim as dkimpy
import pytest

from addresses import parsed
from mic_mail.auth import totp
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.config.load import load
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.log.maillog import MailLog
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.quarantine.message_store import OfficerDecision
from mic_mail.quarantine.quarantine import WITH_MESSAGE, Quarantine, QuarantineState
from mic_mail.quarantine.record_files import RecordFiles
from mic_mail.quarantine.unread_messages import UnreadMessages, UnreadRecord
from mic_mail.queue.local_queue import LocalQueue
from mic_mail.queue.queue import QueueEnvelope, QueueRecipient
from mic_mail.services.authentication.second_factors import CodeResult, SecondFactors
from mic_mail.smtpclient.dkim_keys import KeyFolder, KeyUnusable
from mic_mail.smtpclient.dkim_sign import Signer
from regulation.console import Console
from regulation.quarantine_server import MESSAGE, WHY, QuarantineServer

pytestmark = pytest.mark.clause("10.1", "4.2")
DOMAIN = "mic.gov.vn"
LETTER = b"From: dvbe@mic.gov.vn\r\nTo: lan@one.example\r\nSubject: a\r\n\r\nletter\r\n"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[QuarantineServer]:
    folder = tmp_path / "old"
    folder.mkdir()
    made = QuarantineServer(folder, {"quarantine": {"digest": False}})
    yield made
    made.server.stop()


def with_device(site: QuarantineServer, name: str) -> bytes:
    """The mailbox has a second factor from now on; its secret, as the telephone holds it."""
    secret = totp.make_secret()
    factors = SecondFactors(site.server.population.directory, site.server.config, site.clock)
    factors.enrol(site.people[name].mailbox_id, 1, secret, code(secret, site.clock), ActContext("test"))
    return secret


def code(secret: bytes, clock: ManualClock) -> str:
    return totp.code(secret, int(clock.now().timestamp() // 30))


def signed(config: Config, folder: Path) -> bytes:
    """The letter as a server with this data would send it."""
    source = folder / "letter"
    source.write_bytes(b"Return-Path: <dvbe@mic.gov.vn>\r\n" + LETTER)
    envelope = QueueEnvelope(
        trace_id="0" * 32, sender=parsed("dvbe@mic.gov.vn"), recipients=(QueueRecipient(parsed("lan@one.example")),),
        accepted_at_us=0, return_path_octets=32, submitted_by=7,
    )  # fmt: skip
    queue = LocalQueue(folder / "queue")
    queue.put("0" * 32, source, envelope)
    entry = queue.read("0" * 32)
    assert entry is not None
    log = MailLog(folder / "log", "sender", clock=SystemClock(), threaded=False)
    return Signer(KeyFolder(config.server.data_dir), log, SystemClock()).sign(entry) + LETTER


def modes(folder: Path) -> dict[str, int]:
    """Of all files below, and of the folder itself."""
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}


def copied_back(backup: Path, data: Path) -> None:
    """As the manuals say it."""
    for words in (
        ["cp", str(backup / "directory.sqlite"), str(data / "directory")],
        ["cp", "-r", f"{backup}/keys/.", str(data)],
        ["cp", "-r", str(backup / "quarantine"), str(data)],
        ["cp", "-r", str(backup / "held"), str(data)],
    ):
        subprocess.run(words, check=True)


def test_keys_and_quarantine_come_back(site: QuarantineServer, tmp_path: Path) -> None:
    """Into the empty folder of another machine: codes are right, mail is signed as announced, what is held can be released."""
    secret = with_device(site, "dvbe")
    (record,) = site.console.json("dkim", "key", "add", "--selector", "s1")
    site.console.done("dkim", "key", "use", "s1", "--now")
    reference = site.keep("ttlan")
    unread = UnreadRecord("TRACE-1", "lan@one.example", ("ttlan@mic.gov.vn",), None, None)
    (tmp_path / "message").write_bytes(MESSAGE)
    UnreadMessages(site.server.config.unread_dir).keep(unread, tmp_path / "message")
    backup = tmp_path / "backup"
    site.console.done("backup", backup)
    decoys = (site.server.config.server.data_dir / "decoy.key").read_bytes()
    site.server.stop()
    shutil.rmtree(tmp_path / "old")

    new = Console(tmp_path / "new")
    new.folder.mkdir()
    data = new.folder / "data"
    new.init()
    copied_back(backup, data)
    config = load(new.folder / "mic-mail.toml")
    for address in ("dvbe@mic.gov.vn", "ttlan@mic.gov.vn"):
        new.done("restore", address, backup)

    site.clock.move_to(site.clock.now() + timedelta(seconds=30))  # the code of before is used up
    factors = SecondFactors(Directory(config.directory_url, clock=site.clock), config, site.clock)
    assert factors.check(site.people["dvbe"].mailbox_id, code(secret, site.clock)) is CodeResult.RIGHT
    (row,) = new.json("dkim", "key", "list")
    assert (row["selector"], row["state"], row["trouble"]) == ("s1", "signing", None)
    said = record["value"].strip('"').replace('" "', "").encode()
    assert dkimpy.verify(signed(config, new.folder), dnsfunc=lambda name, timeout=5: said)
    assert [row["id"] for row in new.json("quarantine", "list")] == [reference]
    new.done("quarantine", "release", reference, *WHY)
    kept = Quarantine(config.quarantine_dir)
    with kept.message(kept.record(reference)) as path:
        assert path is not None
        assert path.read_bytes() == MESSAGE
    assert [entry.record for entry in UnreadMessages(config.unread_dir).resume(10)] == [unread]
    assert (data / "decoy.key").read_bytes() == decoys
    for folder in ("dkim", "quarantine"):
        assert {mode for name, mode in modes(data / folder).items() if name != "."} == {0o600}
        assert modes(data / folder)["."] == 0o700
    assert {(data / name).stat().st_mode & 0o7777 for name in ("second-factor.key", "decoy.key")} == {0o600}


def test_what_was_delivered_already_comes_no_second_time(site: QuarantineServer, tmp_path: Path) -> None:
    """Released between the quarantine's copy and the mailbox's, it is in both: released again, it is there once."""
    reference = site.keep("dvbe")
    before = tmp_path / "before"
    site.quarantine.place.copy_into(before)
    for _ in range(2):
        site.console.done("quarantine", "release", reference, *WHY)
        site.server.housekeep()
        site.server.call(site.server.running.context.mailflow.settle())
        assert [octets for _, octets in site.messages("dvbe")] == [MESSAGE]
        shutil.copytree(before, site.server.config.quarantine_dir, dirs_exist_ok=True)
        assert site.state(reference) is QuarantineState.HELD


def test_an_earlier_backup_has_the_messages(site: QuarantineServer, tmp_path: Path) -> None:
    """Each backup is whole, and only what is new takes room; what was decided is there with its decision alone."""
    first, second = site.keep(), site.keep()
    site.console.done("backup", tmp_path / "1")
    site.console.done("quarantine", "drop", second, *WHY)
    third = site.keep()
    site.console.done("backup", tmp_path / "2", "--earlier", tmp_path / "1")
    links = {path.name: path.stat().st_nlink for path in (tmp_path / "2" / "quarantine").glob("*.msg")}
    assert links == {f"{first}.msg": 2, f"{third}.msg": 1}
    found = Quarantine(tmp_path / "2" / "quarantine").records()
    assert {record.held_id: record.state for record in found} == {
        first: QuarantineState.HELD, second: QuarantineState.DROPPED, third: QuarantineState.HELD,
    }  # fmt: skip


def test_of_named_mailboxes_nothing_that_is_others(site: QuarantineServer, tmp_path: Path) -> None:
    """Whoever gets the copy of one mailbox gets no key, and no mail that was for somebody else."""
    site.console.json("dkim", "key", "add")
    site.keep("ttlan")
    site.console.done("backup", tmp_path / "b", "dvbe@mic.gov.vn")
    assert not (tmp_path / "b" / "keys").exists()
    assert not (tmp_path / "b" / "quarantine").exists()
    acts = [json.loads(line) for path in site.server.config.log_dir.glob("audit-*") for line in path.open()]
    assert [(act["act"], act["keys"]) for act in acts if act["act"] == "backup"] == [("backup", False)]


def test_a_key_that_cannot_be_used_keeps_nothing_else_back(site: QuarantineServer, tmp_path: Path) -> None:
    """It is told, and the command fails; the other keys, and all that is no key, are in the backup."""
    with_device(site, "dvbe")
    for selector, algorithm in (("s1", "rsa"), ("s2", "ed25519")):
        site.console.json("dkim", "key", "add", "--selector", selector, "--algorithm", algorithm)
    (site.server.config.server.data_dir / "dkim" / f"s1._domainkey.{DOMAIN}.pem").write_text("no key")
    backup = tmp_path / "b"
    site.console.refused(
        "--lang", "en", "backup", backup, says=f"s1._domainkey.{DOMAIN}.pem: not an RSA or Ed25519 key", code=3
    )
    keys = KeyFolder(backup / "keys")
    bad, good = keys.read()
    keys.private(good)
    with pytest.raises(KeyUnusable):
        keys.private(bad)
    assert {path.name for path in (backup / "keys").iterdir()} == {"decoy.key", "second-factor.key", "dkim"}
    assert (backup / "directory.sqlite").exists()
    assert modes(backup / "keys") == {
        name: 0o700 if name in {".", "dkim"} else 0o600 for name in modes(backup / "keys")
    }  # fmt: skip


class Meanwhile(RecordFiles):
    """Somebody decides between the copy of a record and that of its message."""

    def __init__(self, root: Path, decide: Callable[[Quarantine, str], object]) -> None:
        super().__init__(root)
        self._decide_once: Callable[[Quarantine, str], object] | None = decide

    def _copy_message(self, held_id: str, folder: Path, earlier: Path | None) -> bool:
        if self._decide_once is not None:
            self._decide_once(Quarantine(self._root), held_id)
            self._decide_once = None
        return super()._copy_message(held_id, folder, earlier)


WORD = OfficerDecision("an", "đã xem", 1)


@pytest.mark.parametrize(
    ("decide", "states"),
    [
        (lambda kept, held_id: kept.drop(held_id, WORD), [QuarantineState.DROPPED]),
        (lambda kept, held_id: kept.release(held_id, WORD), [QuarantineState.HELD]),
        (lambda kept, held_id: kept.settled(kept.release(held_id, WORD)), [QuarantineState.DELIVERED]),
        (lambda kept, held_id: kept.forget(kept.record(held_id)), []),
    ],
)
def test_decisions_while_it_is_copied(
    site: QuarantineServer, tmp_path: Path, decide: Callable[[Quarantine, str], object], states: list[QuarantineState]
) -> None:
    """A copy has of each message the state of before or of after, and in a state that has a message the message, whole."""
    site.keep()
    made = Meanwhile(site.server.config.quarantine_dir, decide).copy_into(tmp_path / "copy")
    copy = Quarantine(tmp_path / "copy")
    assert [record.state for record in copy.records()] == states
    assert made == len(states)
    for record in copy.records():
        with copy.message(record) as path:
            assert (path is not None) == (record.state in WITH_MESSAGE)
