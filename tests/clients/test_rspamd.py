"""Messages under the eyes of a real Rspamd: its actions, the envelope, and what it learns from Junk (Reg. 10.2, 15.5)."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import MailServer
from regulation.learning_program import OWNER, Program
from regulation.spam_server import OUTSIDE, STRANGER, events, found, furnished, message, one_of, sent
from rspamd_server import GREY, GTUBE, MARKED, PASSWORD, SOFT, Rspamd
from waiting import wait_for

pytestmark = [
    pytest.mark.needs_tool("rspamd"),
    pytest.mark.clause("10.2", "15.5"),
]
SPAM = "đề nghị chuyển khoản ngay hôm nay để nhận giải thưởng lớn dành riêng cho ông bà tại ngân hàng".split()
HAM = "kính gửi các cơ quan đơn vị báo cáo tuần về tình hình thực hiện nhiệm vụ công tác năm theo quyết định".split()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rspamd]:
    one = Rspamd(tmp_path_factory.mktemp("real") / "rspamd", more="rbl { enabled = false; }")
    one.start()
    yield one
    one.stop()


@pytest.fixture
def server(serve: Callable[..., MailServer], daemon: Rspamd) -> MailServer:
    return furnished(serve({"inbound": OUTSIDE, "rspamd": {"url": daemon.place}}))


def test_its_actions(server: MailServer) -> None:
    """Each comes to what is written down for it; the symbols of its rules are in the field and in the log."""
    assert sent(server, message("harmless"))[0] == 250
    assert sent(server, message(MARKED))[0] == 250
    assert sent(server, message(GREY))[0] == 250
    assert sent(server, message(SOFT))[0] == 451
    assert sent(server, message("gtube") + GTUBE.encode() + b"\r\n")[0] == 550
    assert b"X-Spam-Status: No," in one_of(server, "INBOX", "harmless")
    assert b"X-Spam-Status: No," in one_of(server, "INBOX", GREY)
    junk = one_of(server, "Junk", MARKED)
    assert b"X-Spam-Status: Yes, score=0.50 required=15.00 action=add_header\r\n\ttests=[WORD_ADD_HEADER=0.50]\r\n" in junk
    judged = {event["spam"]: event for event in events(server, "message_judged")}
    assert judged.keys() == {"no action", "add header", "greylist", "soft reject", "reject"}
    assert judged["reject"]["symbols"] == ["GTUBE=0"]
    assert (judged["reject"]["action"], judged["soft reject"]["action"]) == ("refused", "later")


def test_what_it_knows_of_the_envelope(server: MailServer, daemon: Rspamd) -> None:
    """Its log names the reference of ours, so that an administrator finds one in the other."""
    assert sent(server, message("envelope"))[0] == 250
    (judged,) = events(server, "message_judged")
    wait_for(lambda: judged["trace"] in daemon.log())
    (line,) = [line for line in daemon.log().splitlines() if judged["trace"] in line and "rspamd_task_write_log" in line]
    assert f"from: <{STRANGER}>" in line
    assert "ip: 127.0.0.1" in line


def test_recipients_that_are_many_and_long(server: MailServer) -> None:
    """Whoever names a thousand addresses with long details does not keep the filter from looking."""
    recipients = [f"dvbe+{number:03}{'x' * 56}@mic.gov.vn" for number in range(1_000)]
    code, said = sent(server, message("gtube") + GTUBE.encode() + b"\r\n", *recipients)
    assert (code, "spam" in said) == (550, True), said


def test_a_large_message(server: MailServer) -> None:
    """Five megabytes, from their file."""
    assert sent(server, message("large", padding=5_000_000))[0] == 250
    assert b"X-Spam-Status: No," in one_of(server, "INBOX", "large")


def test_it_is_away_and_comes_back(serve: Callable[..., MailServer], tmp_path: Path) -> None:
    daemon = Rspamd(tmp_path / "rspamd")
    server = furnished(serve({"inbound": OUTSIDE, "rspamd": {"url": daemon.place}}))
    assert sent(server, message("first"))[0] == 451
    daemon.start()
    try:
        assert sent(server, message("second"))[0] == 250
    finally:
        daemon.stop()
    assert sent(server, message("third"))[0] == 451
    assert len(found(server, "INBOX")) == 1


def letter(number: int, words: list[str]) -> bytes:
    text = " ".join(words[number:] + words[:number])
    return message(f"letter {number}", fields="Content-Type: text/plain; charset=utf-8\r\n") + f"{text}\r\n".encode()


@pytest.mark.slow
@pytest.mark.needs_tool("redis-server")
def test_it_learns_from_junk(serve: Callable[..., MailServer], tmp_path: Path) -> None:
    """What somebody moves to Junk is known when its like comes; moved back it is unlearned; said twice it is known already."""
    daemon = Rspamd(tmp_path / "rspamd", learning=True)
    daemon.start()
    try:
        secret = tmp_path / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o600)
        settings = {"url": daemon.place, "controller": daemon.controller, "password": secret}
        server = furnished(serve({"inbound": OUTSIDE, "rspamd": settings}))
        program = Program(server)
        for number in range(12):
            program.imap.append("INBOX", "", None, letter(number, HAM if number < 6 else SPAM))
        program.imap.select("INBOX")
        program.do("STORE", "1:6", "+FLAGS", "$NotJunk")
        program.do("MOVE", "7:12", "Junk")
        taught(server, 12)
        daemon.restart()
        assert sent(server, letter(3, SPAM), OWNER)[0] == 250
        (judged,) = events(server, "message_judged")
        assert any(symbol.startswith("BAYES_SPAM") for symbol in judged["symbols"]), judged

        program.imap.select("Junk")
        program.do("STORE", "1", "+FLAGS", "$Junk")
        assert taught(server, 13)[-1] == (True, "known")
        program.do("MOVE", "1", "INBOX")
        assert taught(server, 14)[-1] == (False, "learned")
    finally:
        daemon.stop()


def taught(server: MailServer, many: int) -> list[tuple[bool, str]]:
    wait_for(lambda: len(events(server, "message_taught")) >= many, meanwhile=server.housekeep)
    return [(event["spam"], event["result"]) for event in events(server, "message_taught")]


def test_a_wrong_password(serve: Callable[..., MailServer], daemon: Rspamd, tmp_path: Path) -> None:
    """Nothing is taught, nothing is lost, and the log says why without the password."""
    secret = tmp_path / "password"
    secret.write_text("not this one")
    secret.chmod(0o600)
    server = furnished(serve({"rspamd": {"controller": daemon.controller, "password": secret}}))
    program = Program(server)
    program.put("INBOX", "lesson")
    program.do("MOVE", "1", "Junk")
    waiting = wait_for(lambda: events(server, "teaching_waits"), meanwhile=server.housekeep)
    assert "401" in waiting[0]["error"] or "403" in waiting[0]["error"]
    assert "not this one" not in repr(server.events())
    assert len(list(server.config.training_dir.iterdir())) == 1
