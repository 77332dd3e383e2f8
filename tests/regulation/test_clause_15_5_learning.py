"""Reg. 15.5, 10.2: who moves mail to Junk, or out of it, teaches the filter; the mail program waits for none of it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import MailServer, config_for
from mic_mail.services.transport.inbound.spam_training import UserVerdict
from mic_mail.storage.types import AccountRef
from regulation.learning_program import OWNER, Program
from rspamd_server import Pretender
from waiting import wait_for

pytestmark = pytest.mark.clause("15.5", "10.2")


@pytest.fixture(scope="module")
def pretender() -> Iterator[Pretender]:
    one = Pretender()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, pretender: Pretender) -> Iterator[MailServer]:
    folder = tmp_path_factory.mktemp("learning")
    secret = folder / "password"
    secret.write_text("of the controller\n")
    secret.chmod(0o600)
    settings = {"rspamd": {"controller": pretender.place, "password": secret, "taught_per_hour": 40, "seconds": 5}}
    one = MailServer(config_for(folder / "data", settings))
    one.issue("dvbe", name="Đỗ Văn Bê")
    yield one
    one.stop()


@pytest.fixture(autouse=True)
def nothing_is_left(pretender: Pretender) -> None:
    pretender.taught.clear()
    pretender.learns = 200


@pytest.fixture
def program(server: MailServer) -> Iterator[Program]:
    one = Program(server)
    for folder in ("INBOX", "Junk", "Archive"):
        one.imap.select(folder)
        one.imap.uid("STORE", "1:*", "+FLAGS.SILENT", r"(\Deleted)")
        one.imap.expunge()
    yield one
    one.imap.logout()


def account(server: MailServer) -> AccountRef:
    return AccountRef(server.population.directory.mailbox(OWNER).mailbox_id, "mic.gov.vn/dvbe")


def note(server: MailServer, *verdicts: UserVerdict) -> None:
    """Note these and what was said before, as the session's process does it behind its answers."""
    learning = server.running.context.learning

    async def note_all() -> None:
        for verdict in verdicts:
            learning.note(verdict)
        await learning.settle()

    server.call(note_all())


def learned(server: MailServer, pretender: Pretender, many: int = 1) -> list[tuple[str, str]]:
    """What was taught, when there is so much of it: by which path, which subject."""
    wait_for(lambda: len(pretender.taught) >= many, lambda: pretender.taught, meanwhile=server.housekeep)
    time.sleep(0.05 if many else 0.3)  # more would come meanwhile, and must not
    server.housekeep()
    return [(path, octets.split(b"\r\n")[0].decode().removeprefix("Subject: ")) for path, octets in pretender.taught]


@pytest.mark.parametrize(
    ("source", "command", "target", "path"),
    [
        ("INBOX", "MOVE", "Junk", "/learnspam"),
        ("INBOX", "COPY", "Junk", "/learnspam"),
        ("Archive", "MOVE", "Junk", "/learnspam"),
        ("Junk", "MOVE", "INBOX", "/learnham"),
        ("Junk", "COPY", "Archive", "/learnham"),
    ],
)
def test_moving_teaches(
    server: MailServer, pretender: Pretender, program: Program, source: str, command: str, target: str, path: str
) -> None:
    subject = f"{source}-{command}-{target}"
    program.put(source, subject)
    program.do(command, "1:*", target)
    assert learned(server, pretender) == [(path, subject)]


@pytest.mark.parametrize(
    ("keywords", "path"),
    [("$Junk", "/learnspam"), ("Junk", "/learnspam"), ("$NotJunk", "/learnham"), ("NonJunk", "/learnham"),
     (r"(\Seen $junk)", "/learnspam")],
)  # fmt: skip
def test_keywords_teach(server: MailServer, pretender: Pretender, program: Program, keywords: str, path: str) -> None:
    """As Thunderbird and Apple's Mail set them; said again it is no news."""
    program.put("INBOX", keywords)
    program.do("STORE", "1:*", "+FLAGS", keywords)
    assert learned(server, pretender) == [(path, keywords)]
    program.do("STORE", "1:*", "+FLAGS", keywords)
    assert learned(server, pretender, 0) == [(path, keywords)]


def test_a_file_that_gets_another_name_meanwhile_teaches_too(
    server: MailServer, pretender: Pretender, program: Program
) -> None:
    """Names follow flags: what changes its name between the command and the note is looked for again."""
    program.put("INBOX", "renamed")
    uid = int(program.imap.uid("SEARCH", "ALL")[1][0])
    (file,) = server.config.server.data_dir.glob("mail/mic.gov.vn/dvbe/Maildir/cur/*")
    file.rename(f"{file}F")
    note(server, UserVerdict(account(server), "INBOX", [uid], spam=True))
    assert learned(server, pretender) == [("/learnspam", "renamed")]


@pytest.mark.parametrize(
    ("source", "act"),
    [
        ("Junk", ("MOVE", "1:*", "Trash")),
        ("Junk", ("STORE", "1:*", "+FLAGS", r"(\Deleted)")),
        ("Junk", ("COPY", "1:*", "Junk")),
        ("INBOX", ("MOVE", "1:*", "Archive")),
        ("INBOX", ("MOVE", "1:*", "Trash")),
        ("INBOX", ("STORE", "1:*", "-FLAGS", "$Junk")),
        ("INBOX", ("STORE", "1:*", "+FLAGS", "($Junk $NotJunk)")),
        ("INBOX", ("STORE", "1:*", "+FLAGS", r"(\Seen Work)")),
        ("INBOX", ("APPEND", "Junk", "($Junk)", b"Subject: x\r\n\r\nx\r\n")),
    ],
)
def test_what_says_nothing_teaches_nothing(
    server: MailServer, pretender: Pretender, program: Program, source: str, act: tuple[Any, ...]
) -> None:
    """Thrown away is not judged; APPEND is how archives are brought in."""
    program.put(source, "nothing", flags="($Junk)" if "-FLAGS" in act else "")
    program.do(*act)
    assert learned(server, pretender, 0) == []


def test_the_last_word_counts(server: MailServer, pretender: Pretender, program: Program) -> None:
    """A slip that is undone at once is not taught; and a message that is gone by then is."""
    pretender.learns = 503
    program.put("INBOX", "slip")
    program.do("MOVE", "1:*", "Junk")
    program.imap.select("Junk")
    program.do("MOVE", "1:*", "INBOX")
    note(server)  # what is expunged before can teach nothing
    program.imap.select("INBOX")
    program.do("STORE", "1:*", "+FLAGS.SILENT", r"(\Deleted)")
    program.imap.expunge()
    learned(server, pretender, 1)
    pretender.learns, pretender.taught = 200, []
    assert learned(server, pretender) == [("/learnham", "slip")]


def test_verdicts_are_noted_in_their_order(server: MailServer, pretender: Pretender, program: Program) -> None:
    """A move has to look at two folders first, a keyword at none."""
    program.put("Junk", "slip")
    uid = int(program.imap.uid("SEARCH", "ALL")[1][0])
    moved = UserVerdict(account(server), "Junk", [uid], came_from=(account(server), "INBOX"))
    note(server, moved, UserVerdict(account(server), "Junk", [uid], spam=False))
    assert learned(server, pretender) == [("/learnham", "slip")]


@pytest.mark.parametrize(("learns", "again"), [(208, False), (204, False), (404, True), (500, True), (401, True)])
def test_what_comes_of_a_lesson(server: MailServer, pretender: Pretender, program: Program, learns: int, again: bool) -> None:
    """What it knows or will never learn is over; what it does not take now comes again."""
    pretender.learns = learns
    program.put("INBOX", f"lesson {learns}")
    program.do("MOVE", "1:*", "Junk")
    assert learned(server, pretender)
    pretender.learns, pretender.taught = 200, []
    assert len(learned(server, pretender, int(again))) == again


def test_what_it_cannot_digest_holds_up_nobody(server: MailServer, pretender: Pretender, program: Program) -> None:
    """Nor a file that cannot be read; such a one is let go in the end, and the log says so."""
    for number in range(4):
        program.put("INBOX", f"indigestible {number}")
    program.do("MOVE", "1:*", "Junk")
    pretender.indigestible = b"indigestible"
    program.put("INBOX", "good")
    program.do("MOVE", "1:*", "Junk")
    wait_for(lambda: any(b"good" in octets for _, octets in pretender.taught), meanwhile=server.housekeep)
    assert len(list(server.config.training_dir.iterdir())) == 4
    for _ in range(40):
        server.housekeep()
    pretender.indigestible = b""
    assert not list(server.config.training_dir.iterdir())
    server.running.context.log.flush()
    assert len([event for event in server.events() if event.get("event") == "lesson_failed"]) == 4


def test_what_was_given_up_leaves_room_for_others(
    serve: Callable[..., MailServer], tmp_path: Path, pretender: Pretender
) -> None:
    """Only what the filter has answered counts towards what one mailbox may teach in an hour."""
    server = MailServer(config_for(tmp_path / "data", {"rspamd": {"controller": pretender.place, "taught_per_hour": 2}}))
    try:
        server.issue("dvbe", name="Đỗ Văn Bê")
        program = Program(server)
        pretender.indigestible = b"indigestible"
        for number in range(2):
            program.put("INBOX", f"indigestible {number}")
        program.do("MOVE", "1:*", "Junk")
        wait_for(lambda: server.housekeep() or not list(server.config.training_dir.iterdir()))
        pretender.taught.clear()
        for number in range(2):
            program.put("INBOX", f"good {number}")
        program.do("MOVE", "1:*", "Junk")
        assert sorted(subject for _, subject in learned(server, pretender, 2)) == ["good 0", "good 1"]
        program.imap.logout()
    finally:
        pretender.indigestible = b""
        server.stop()


def test_each_time_that_the_filter_is_away_is_logged(tmp_path: Path, pretender: Pretender) -> None:
    """Once; and again, where it was there in between and only refused what it was taught."""
    server = MailServer(config_for(tmp_path / "data", {"rspamd": {"controller": pretender.place}}))

    def waits() -> int:
        server.running.context.log.flush()
        return sum(event["event"] == "teaching_waits" for event in server.events())

    try:
        server.issue("dvbe", name="Đỗ Văn Bê")
        program = Program(server)
        for times in (1, 2):
            pretender.learns = 401
            program.put("INBOX", "indigestible")
            program.do("MOVE", "1:*", "Junk")
            wait_for(lambda times=times: waits() == times, waits, meanwhile=server.housekeep)
            server.housekeep()
            assert waits() == times
            pretender.indigestible = b"indigestible"
            wait_for(lambda: server.housekeep() or not list(server.config.training_dir.iterdir()))
            pretender.indigestible = b""
        program.imap.logout()
    finally:
        pretender.indigestible = b""
        server.stop()


def test_a_filter_that_is_away_disturbs_nobody(serve: Callable[..., MailServer], tmp_path: Path, pretender: Pretender) -> None:
    """The move is done, the lesson waits on the disk over a restart, and is taught when the filter is back."""
    data = tmp_path / "data"
    settings = {"rspamd": {"controller": "tcp://127.0.0.1:1"}}
    server = MailServer(config_for(data, settings))
    try:
        server.issue("dvbe", name="Đỗ Văn Bê")
        program = Program(server)
        program.put("INBOX", "later")
        program.do("MOVE", "1:*", "Junk")
        program.imap.logout()
        server.housekeep()
        server.housekeep()
    finally:
        server.stop()
    told = [event for event in server.events() if event["event"] in {"junk_reported", "teaching_waits"}]
    assert [event["event"] for event in told] == ["junk_reported", "teaching_waits"]
    assert (told[0]["login"], told[0]["spam"], told[0]["messages"]) == (OWNER, True, 1)
    again = MailServer(config_for(data, {"rspamd": {"controller": pretender.place}}))
    try:
        assert learned(again, pretender) == [("/learnspam", "later")]
    finally:
        again.stop()


def test_one_mailbox_does_not_decide_for_all(server: MailServer, pretender: Pretender, program: Program) -> None:
    """So many an hour and no more; the log says what was left out. Last in this module: it uses up the hour."""
    for number in range(50):
        program.put("INBOX", f"flood {number}")
    program.do("MOVE", "1:*", "Junk")  # the first 40 are noted, and taught as far as the hour has room
    learned(server, pretender, 1)
    wait_for(lambda: not list(server.config.training_dir.iterdir()), meanwhile=server.housekeep)
    assert len(pretender.taught) <= 40
    program.put("INBOX", "one more")
    program.do("MOVE", "1:*", "Junk")
    data = wait_for(
        lambda: [event for event in server.events() if event["event"] == "lessons_left_out"], meanwhile=server.housekeep
    )
    assert data[0]["mailbox"] == OWNER
