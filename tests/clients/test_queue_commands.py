"""`mic-mail queue`, `mailbox restore --queued`, `status` and `log trace` beside a running server, and without one."""

import email.policy
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from addresses import parsed
from clients.outgoing import PASSWORD, ZONE, elsewhere, letter, office, reports, submit
from dns_server import name_server
from harness import MailServer, ProcessServer, config_for
from mic_mail.config.manual import write
from mic_mail.errors import Text
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.queue.notifications import notify_decided
from mic_mail.queue.queue import QueueEnvelope, QueueRecipient
from mic_mail.queue.recipient_log import Standing
from mic_mail.services.mail_store import open_queue
from mic_mail.storage.types import INBOX, AccountRef
from queue_grounds import rest
from regulation.console import Console
from unit.smtpclient.server import Server
from waiting import stays, wait_for

LATER = {b"RCPT": b"451 4.2.0 later\r\n"}


class QueueConsole(Console):
    """The command line beside a server, and the server elsewhere."""

    def __init__(self, folder: Path, server: MailServer, other: Server) -> None:
        super().__init__(folder)
        (folder / "mic-mail.toml").write_text(write(server.config))
        self.server, self.other = server, other
        self.queue = open_queue(server.config)

    def submit(self, *to: str) -> str:
        """One message more that waits; its id, once the server elsewhere has put it off."""
        before, asked = set(self.queue.names()), len(self.rcpts)
        submit(self.server, letter(*to))
        (entry_id,) = wait_for(lambda: set(self.queue.names()) - before)
        wait_for(lambda: len(self.rcpts) > asked)
        wait_for(lambda: (entry := self.queue.read(entry_id)) is not None and entry.state.recipients[0].attempts)
        return str(entry_id)

    @property
    def rcpts(self) -> list[bytes]:
        return [line for line in self.other.lines if line.startswith(b"RCPT")]

    def until_ended(self) -> None:
        wait_for(lambda: not self.queue.names())

    def trace(self, entry_id: str) -> list[str]:
        """What the log tells of a message, in that order."""
        return [line["event"] for line in self.json("log", "trace", entry_id)]


@contextmanager
def queue_console(folder: Path, answers: dict[bytes, bytes] | None = None) -> Iterator[QueueConsole]:
    with office(folder, dict(LATER if answers is None else answers)) as (server, other):
        yield QueueConsole(folder, server, other)


@pytest.mark.clause("4.2")
def test_what_waits_is_seen(tmp_path: Path) -> None:
    """Whose, where to, since when, why not yet; nothing of what it says."""
    with queue_console(tmp_path) as commands:
        entry_id = commands.submit("b@one.example", "c@one.example")
        (row,) = commands.json("queue", "list")
        assert (row["id"], row["sender"], row["recipients"], row["domains"]) == (
            entry_id, "dvbe@mic.gov.vn", 2, {"one.example": 2},
        )  # fmt: skip
        assert (row["attempts"], row["held"], row["reason"]) == (1, None, "4.2.0 451 4.2.0 later")
        assert row["next_try"] > row["accepted_at"]
        assert row["age_seconds"] >= 0
        for word, count in (
            ("--sender DVBE@mic.gov.vn", 1), ("--sender x@mic.gov.vn", 0), ("--domain @One.example", 1),
            ("--domain two.example", 0), ("--held", 0),
        ):  # fmt: skip
            assert len(commands.json("queue", "list", *word.split())) == count, word
        commands.done("queue", "list")
        assert entry_id in commands.out
        one = commands.json("queue", "show", entry_id[:-1].lower())
        assert [(each["address"], each["standing"], each["server"]) for each in one["recipients"]] == [
            ("b@one.example", "open", "mx.one.example"), ("c@one.example", "open", "mx.one.example"),
        ]  # fmt: skip
        assert (one["submitted_by"], one["warned"], one["decisions"]) == ("dvbe@mic.gov.vn", False, [])
        commands.done("queue", "show", entry_id)
        assert "Báo cáo" not in commands.out
        assert "Sender notified of the delay" in commands.out
        for word in ("nothing", "", "../live"):
            commands.refused("queue", "show", word, code=2)
        commands.submit("d@one.example")
        commands.refused("queue", "show", entry_id[:2], says="2 ids begin with", code=2)
        commands.done("queue", "list", "--limit", "1")
        assert "Only the oldest 1 are shown; 2 messages wait in all" in commands.err


@pytest.mark.clause("4.2")
def test_why_it_waits_is_told_in_the_readers_language(tmp_path: Path) -> None:
    """A reason that this server found itself is in Vietnamese for a Vietnamese reader, and in English for another."""
    with queue_console(tmp_path) as commands:
        entry_id = commands.submit("b@one.example")
        own = Text("4.4.1 không kết nối được", "4.4.1 no connection")
        commands.queue.read(entry_id).tried([0], Standing.OPEN, own, next_try_us=0)
        for language, reason in (("vi", own.vi), ("en", own.en)):
            for command in (("list",), ("show", entry_id)):
                commands.done("--lang", language, "queue", *command)
                assert reason in " ".join(commands.out.split()), command


@pytest.mark.clause("4.2")
def test_one_that_cannot_be_read_is_shown(tmp_path: Path) -> None:
    """Whatever was asked for; it is sent by nobody and dropped by nobody."""
    with queue_console(tmp_path) as commands:
        entry_id = commands.submit("b@one.example")
        (commands.queue._live / "00BROKEN.env").write_bytes(b"{}")
        (commands.queue._live / "00GONE.env").write_bytes((commands.queue._live / f"{entry_id}.env").read_bytes())
        for words in ((), ("--held",), ("--sender", "x@y")):
            rows = commands.json("queue", "list", *words)
            assert [(row["id"], row["held"]) for row in rows][:2] == [("00BROKEN", "damaged"), ("00GONE", "damaged")], words
        for act in (("show",), ("drop", "--reason", "x"), ("hold", "--reason", "x"), ("retry",)):
            assert commands.run("queue", act[0], "00BROKEN", *act[1:]) == 1, act
            assert "cannot be read" in commands.err
        commands.other.answers.clear()
        commands.done("queue", "retry", "--all")
        wait_for(lambda: commands.queue.names() == ["00BROKEN", "00GONE"])


@pytest.mark.clause("4.2", "8.2")
def test_what_people_decide_is_done_at_once_and_on_record(tmp_path: Path) -> None:
    """Held, not retried while held, let go, sent; who said what stands in the entry, and the log has the whole way."""
    with queue_console(tmp_path) as commands:
        entry_id = commands.submit("b@one.example")
        commands.refused("queue", "hold", entry_id, "--reason", " ", code=2)
        commands.refused("queue", "release", entry_id)
        commands.done("queue", "hold", entry_id, "--reason", "chờ văn bản", "--document", "3/CV", "--actor", "mai")
        commands.other.answers.clear()
        commands.refused("queue", "retry", entry_id, says="queue release")
        commands.done("queue", "retry", "--all")
        assert "0 messages are tried again within seconds; 1 that are held" in commands.err
        assert [row["held"] for row in commands.json("queue", "list", "--held")] == ["person"]
        stays(lambda: commands.queue.names() == [entry_id])
        one = commands.json("queue", "show", entry_id)
        assert [(each["act"], each["actor"], each["reason"], each["document"]) for each in one["decisions"]] == [
            ("hold", "mai", "chờ văn bản", "3/CV")
        ]
        commands.done("queue", "release", entry_id, "--reason", "xong", "--actor", "mai")
        commands.done("queue", "retry", "--domain", "ONE.example", "--actor", "mai")
        commands.until_ended()
        commands.refused("queue", "show", entry_id, says="log trace", code=2)
        whole = commands.trace(entry_id)
    assert len(commands.other.messages) == 2, "one of them has no recipients"
    wanted = """message_accepted message_queued sending_deferred queue_release queue_release_refused queue_hold queue_retry
                queue_retry_refused queue_release message_sent""".split()
    assert [step for step in whole if step in wanted] == wanted


@pytest.mark.clause("4.2")
def test_what_is_dropped_is_told(tmp_path: Path) -> None:
    """One recipient, then the rest: each once, with the reason, whatever NOTIFY says; nobody gets the message."""
    with queue_console(tmp_path) as commands:
        submit(commands.server, letter("b@one.example", "c@one.example"), options=["NOTIFY=NEVER"])
        (entry_id,) = wait_for(commands.queue.names)
        wait_for(lambda: commands.rcpts)
        commands.refused("queue", "drop", entry_id, "--reason", "", "--actor", "mai", code=2)
        commands.refused("queue", "drop", entry_id, "--recipient", "x@one.example", "--reason", "x", code=2)
        commands.done("queue", "drop", entry_id, "--recipient", "B@one.example", "--reason", "sai địa chỉ")
        (first,) = wait_for(lambda: reports(commands.server, "dvbe"))
        words = first.get_payload()[0].get_content()
        assert "Lý do: sai địa chỉ" in words
        assert "b@one.example" in words
        assert "c@one.example" not in words
        assert [part["Status"] for part in first.get_payload()[1].get_payload()[1:]] == ["5.7.1"]
        commands.refused("queue", "drop", entry_id, "--recipient", "b@one.example", "--reason", "x")
        commands.done("queue", "drop", entry_id, "--reason", "đơn vị đề nghị")
        commands.until_ended()
        assert len(reports(commands.server, "dvbe")) == 2
        commands.refused("queue", "drop", entry_id, "--reason", "x", code=2)
        whole = commands.trace(entry_id)
    assert whole.count("message_dropped") == 2
    assert whole.count("queue_drop") - whole.count("queue_drop_refused") == 2
    assert whole.count("report_sent") == 2
    assert [message for message in commands.other.messages if b"Subject" in message] == []


@pytest.mark.clause("4.2")
def test_without_a_server(tmp_path: Path) -> None:
    """What is decided then is done, and told, when one starts; sent nothing."""
    with elsewhere(dict(LATER)) as (other, port), name_server(ZONE) as names:
        config = config_for(tmp_path, {"dns": {"nameservers": (names.place,)}, "sending": {"port": port}})
        server = MailServer(config)
        server.issue("dvbe", password=PASSWORD)
        commands = QueueConsole(tmp_path, server, other)
        dropped, held = commands.submit("b@one.example"), commands.submit("c@one.example")
        server.stop()
        commands.done("queue", "drop", dropped, "--reason", "sai địa chỉ")
        commands.done("queue", "hold", held, "--reason", "chờ")
        other.answers.clear()
        server = MailServer(config)
        try:
            wait_for(lambda: commands.queue.names() == [held])
            assert len(reports(server, "dvbe")) == 1
            stays(lambda: commands.queue.names() == [held])
        finally:
            server.stop()


def test_a_domain_in_either_spelling(tmp_path: Path) -> None:
    """As people write it and as the DNS has it, whichever way the sender's program wrote it."""
    config = config_for(tmp_path)
    server = MailServer(config)
    server.stop()
    commands, message = QueueConsole(tmp_path, server, Server()), tmp_path / "message"
    message.write_bytes(b"Return-Path: <>\r\n\r\nx\r\n")
    for number, domain in enumerate(("bộ.example", "xn--b-8xm.example", "one.example")):
        to = (QueueRecipient(parsed(f"b@{domain}")),)
        envelope = QueueEnvelope(
            trace_id=str(number),
            sender=parsed("dvbe@mic.gov.vn"),
            accepted_at_us=1,
            return_path_octets=17,
            recipients=to,
        )
        commands.queue.put(f"E{number}", message, envelope)
    for word in ("bộ.example", "BỘ.example", "@xn--b-8xm.example", "XN--B-8XM.example"):
        assert [row["id"] for row in commands.json("queue", "list", "--domain", word)] == ["E0", "E1"], word
        commands.done("queue", "retry", "--domain", word)
        assert "2 messages are tried again" in commands.err
    assert [row["id"] for row in commands.json("queue", "list", "--domain", "no name!ộ")] == []


@pytest.mark.clause("7.1")
def test_what_a_restored_mailbox_had_sent_goes_at_once(tmp_path: Path) -> None:
    """While it is still waited for, not after a minute; it is logged once that it waits, and `queue list` says why."""
    with queue_console(tmp_path) as commands:
        entry_id = commands.submit("b@one.example")
        own = commands.server.running.context.access.snapshot.resolve("dvbe@mic.gov.vn")
        commands.server.suspend(own)
        commands.other.answers.clear()
        commands.refused("queue", "retry", entry_id, says="mailbox restore")
        commands.server.running.context.queue.read(entry_id).retry()
        assert [row["held"] for row in commands.json("queue", "list", "--held")] == ["suspended"]
        commands.server.call(_tell(commands.server, entry_id))
        held = wait_for(lambda: [event for event in commands.server.events() if event.get("event") == "delivery_held"])
        commands.server.call(_tell(commands.server, entry_id))
        stays(lambda: commands.queue.names() == [entry_id])
        commands.server.record(own, Draft(FactKind.RESTORED, commands.server.clock.now(), "test", "", "3/CV"))
        commands.until_ended()
        assert [event["recipients"] for event in held] == [["b@one.example"]]
        assert len([event for event in commands.server.events() if event.get("event") == "delivery_held"]) == 1


async def _tell(server: MailServer, entry_id: str) -> None:
    server.running.context.queued.notify(entry_id)


@pytest.mark.clause("7.2.c")
@pytest.mark.parametrize("queued", ["send", "drop"])
def test_what_a_hijacked_mailbox_had_sent_is_asked_for(tmp_path: Path, queued: str) -> None:
    """Also what waits to leave: `mailbox restore` refuses until it is said whether it goes, or its owner hears."""
    with queue_console(tmp_path) as commands:
        commands.submit("b@one.example")
        commands.submit("c@one.example", "d@one.example")
        own = commands.server.running.context.access.snapshot.resolve("dvbe@mic.gov.vn")
        commands.server.suspend(own)
        commands.other.answers.clear()
        restore = ("mailbox", "restore", "dvbe@mic.gov.vn", "--asked-by", "CNTT", "--document", "1/CV", "--actor", "mai")
        commands.refused(*restore, says="2 messages wait")
        assert len(commands.queue.names()) == 2
        commands.done(*restore, "--queued", queued)
        commands.server.refresh()
        if queued == "send":
            commands.run("queue", "retry", "--all")
        commands.until_ended()
        letters = _subjects(commands, own)
    sent = [message for message in commands.other.messages if b"Subject" in message]
    assert len(sent) == (2 if queued == "send" else 0)
    assert [subject for subject in letters if "Message not sent" in subject] == (
        [] if queued == "send" else ["Thư chưa được gửi / Message not sent"] * 2
    )


def _subjects(commands: QueueConsole, mailbox: Any) -> list[str]:
    """By the store: nobody has the new password."""
    account = commands.server.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
    folder = account.folder(INBOX).folder_id
    found = []
    for uid in account.view(folder).uids:
        with account.open_message(folder, uid) as message:
            found.append(str(message_from_bytes(message.pread(0, 1 << 16), policy=email.policy.default)["Subject"]))
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)  # ten processes start at once
@pytest.mark.clause("4.2")
def test_ten_at_once(tmp_path: Path) -> None:
    """Ten who drop, hold and retry the same message: it ends once, its sender hears once, and nobody sees a traceback."""
    with queue_console(tmp_path) as commands:
        entry_id = commands.submit("b@one.example")
        acts = [("drop", "--reason", "x"), ("hold", "--reason", "y"), ("retry",), ("release",), ("show",)] * 2
        codes: list[int] = []
        said: list[str] = []

        def run(words: tuple[str, ...]) -> None:
            console = Console(tmp_path)
            console.installed = True
            codes.append(console.run("queue", words[0], entry_id, *words[1:]))
            said.append(console.err)

        _at_once([lambda act=act: run(act) for act in acts])  # type: ignore[misc]
        assert len(codes) == 10
        assert set(codes) <= {0, 1, 2}, said
        commands.run("queue", "drop", entry_id, "--reason", "x")
        commands.until_ended()
        assert len(reports(commands.server, "dvbe")) == 1
        wait_for(lambda: not rest(commands.queue))  # the envelope goes first, and by it the entry is seen
    assert [message for message in commands.other.messages if b"Subject" in message] == []


def _at_once(work: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.slow
@pytest.mark.clause("4.2")
def test_whoever_sends_is_killed(tmp_path: Path) -> None:
    """Real processes, kill -9 after each decision: all of it is done by the next one, once; `status` counts what waits."""
    with elsewhere(dict(LATER)) as (other, port), name_server(ZONE) as names:
        config = config_for(tmp_path / "data", {"dns": {"nameservers": (names.place,)}, "sending": {"port": port}})
        server = ProcessServer(config, tmp_path)
        server.population.issue("dvbe", password=PASSWORD)
        server.start()
        try:
            console, queue = Console(tmp_path), open_queue(config)
            for local in "abcde":
                submit(server, letter(f"{local}@one.example"))  # type: ignore[arg-type]
            wait_for(lambda: len(queue.names()) == 5 and all(entry.state.recipients[0].attempts for entry in queue.entries()))
            entry_ids = queue.names()
            state = server.wait_for(lambda state: any(one.get("queued") == 5 for one in state["processes"]))
            console.done("status")
            assert "Waiting for other domains: 5 messages, 0 being sent" in console.out
            console.done("status", "--prometheus")
            assert "mic_mail_queue_entries 5.0" in console.out
            assert "mic_mail_queue_sending 0.0" in console.out
            assert 'mic_mail_queue_transactions_total{connection="new"}' in console.out
            console.done("queue", "hold", entry_ids[0], "--reason", "chờ")
            _kill_sender(server, state)
            other.answers.clear()
            console.done("queue", "drop", entry_ids[1], entry_ids[2], "--reason", "sai địa chỉ")
            state = server.wait_for(lambda state: state["ready"])
            _kill_sender(server, state)
            console.done("queue", "retry", "--all")
            wait_for(lambda: queue.names() == [entry_ids[0]])
            wait_for(lambda: len(reports(server, "dvbe")) == 2)  # type: ignore[arg-type]
        finally:
            server.stop()
    sent = [message for message in other.messages if b"Subject" in message]
    assert {local for local in "abcde" for message in sent if f"To: {local}@".encode() in message} == {"d", "e"}
    assert len(sent) == 2


def _known_to_sender(server: ProcessServer) -> int:
    """The version of the directory that the sender's process has read."""
    (sender,) = [one for one in server.status()["processes"] if one["name"] == "sender"]
    return int(sender.get("directory_version", 0))


@pytest.mark.slow
@pytest.mark.clause("7.1", "7.2.c")
def test_a_suspension_and_its_end_by_commands(tmp_path: Path) -> None:
    """Real processes: what waits when the mailbox is suspended stays, is named in the log once, and goes after a restore."""
    with elsewhere(dict(LATER)) as (other, port), name_server(ZONE) as names:
        config = config_for(tmp_path / "data", {"dns": {"nameservers": (names.place,)}, "sending": {"port": port}})
        server = ProcessServer(config, tmp_path)
        server.population.issue("dvbe", password=PASSWORD)
        server.start()
        try:
            console, queue = Console(tmp_path), open_queue(config)
            for local in "ab":
                submit(server, letter(f"{local}@one.example"))  # type: ignore[arg-type]
            wait_for(lambda: len(queue.names()) == 2 and all(entry.state.recipients[0].attempts for entry in queue.entries()))
            known = _known_to_sender(server)
            console.done("mailbox", "suspend", "dvbe@mic.gov.vn", "--cause", "c", "--reason", "x")
            wait_for(lambda: _known_to_sender(server) > known)  # else a retry may be quicker than the word of it
            other.answers.clear()
            for entry in queue.entries():
                entry.retry()
            notify_decided(config.run_dir)
            wait_for(lambda: len(_held(server)) == 2)
            assert {row["held"] for row in console.json("queue", "list")} == {"suspended"}
            restore = ("mailbox", "restore", "dvbe@mic.gov.vn", "--asked-by", "CNTT", "--document", "1/CV")
            console.done(*restore, "--queued", "send")
            wait_for(lambda: not queue.names())
            assert len(_held(server)) == 2
        finally:
            server.stop()
    assert len([message for message in other.messages if b"Subject" in message]) == 2


def _held(server: ProcessServer) -> list[dict[str, Any]]:
    return [event for event in server.events() if event.get("event") == "delivery_held"]


def _kill_sender(server: ProcessServer, state: dict[str, Any]) -> None:
    (pid,) = [one["pid"] for one in server.status()["processes"] if one["name"].startswith("sender")]
    os.kill(pid, signal.SIGKILL)
    server.wait_for(
        lambda state: any(one["name"].startswith("sender") and one["pid"] not in (None, pid) for one in state["processes"])
    )
