"""Servers that lie, break off, keep silent or send without end: an import ends with a word about it, in bounded memory."""

import gc
import inspect
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aioimaplib
import pytest
from aioimaplib import aioimaplib as library

from mic_mail.services.importers import imap, imap_connection, imap_folders
from mic_mail.services.importers.imap import ImapSource, SourceServer
from mic_mail.services.importers.imap_connection import Lost, Overlong, Wire
from mic_mail.services.importers.source import Skip, SourceFailed, SourceWrong
from scripted_imap_server import Answer, ScriptedServer, answer_honestly
from waiting import wait_for


@pytest.fixture
def lie() -> Iterator[Callable[..., ScriptedServer]]:
    """Makes liars."""
    made: list[ScriptedServer] = []

    def make(answer: Answer, greeting: bytes = b"* OK hello\r\n") -> ScriptedServer:
        made.append(ScriptedServer(answer, greeting))
        return made[-1]

    yield make
    for liar in made:
        liar.stop()


def instead(when: str, told: bytes | None, times: int = 1 << 30) -> Answer:
    """Honest, but for commands that contain `when`, so many times."""
    left = [times]

    def answer(tag: str, command: str) -> bytes | Iterator[bytes] | None:
        if when in command and left[0] > 0:
            left[0] -= 1
            return None if told is None else told.replace(b"TAG", tag.encode())
        return answer_honestly(tag, command)

    return answer


def everything(liar: ScriptedServer, tmp_path: Path, seconds: float = 2.0) -> list[tuple[bytes | None, Skip | None]]:
    """All that is read of it."""
    server = SourceServer("127.0.0.1", liar.port, None, "u", 'p"\\ á')
    source = ImapSource(server, tmp_path, seconds=seconds, pauses=(0.01, 0.01))
    try:
        found: list[tuple[bytes | None, Skip | None]] = []
        for folder in source.folders():
            for item in source.messages(folder, frozenset()):
                content = b"".join(item.content()) if callable(item.content) else item.content
                found.append((content, item.skip))
        return found
    finally:
        source.close()


GOOD = [(b"Subject: %d\r\n" % n, None) for n in (1, 2, 3)]


def test_an_honest_server(lie: Callable[..., ScriptedServer], tmp_path: Path) -> None:
    """And what is said to it: nothing that changes anything there."""
    liar = lie(answer_honestly)
    assert everything(liar, tmp_path) == GOOD
    said = [line.partition(" ")[2].split(" ")[0] for line in liar.lines]
    assert set(said) <= {"CAPABILITY", "AUTHENTICATE", "LIST", "LSUB", "STATUS", "EXAMINE", "UID", "LOGOUT"}


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (["INBOX", "INBOX.INBOX", "INBOX.Sent"], {"INBOX": "INBOX", "INBOX/INBOX": "INBOX.INBOX", "Sent": "INBOX.Sent"}),
        (["INBOX.inbox", "INBOX"], {"INBOX": "INBOX", "INBOX/inbox": "INBOX.inbox"}),
        (["&AMk-", "É", "&AMk-"], {"É": "&AMk-", "É (2)": "É"}),
        (["INBOX.É", "INBOX.&AMk-", "É"], {"É": "INBOX.&AMk-", "É (2)": "INBOX.É", "É (3)": "É"}),
        (["INBOX", "inbox", "Inbox"], {"INBOX": "INBOX"}),
    ],
)
def test_folders_that_are_called_alike_all_come(
    lie: Callable[..., ScriptedServer], tmp_path: Path, listed: list[str], expected: dict[str, str]
) -> None:
    """Below the prefix of Courier and Cyrus, and in both spellings of a name."""
    told = "".join(f'* LIST () "." "{name}"\r\n' for name in listed).encode()

    def answer(tag: str, command: str) -> bytes | None:
        done = f"{tag} OK done\r\n".encode()
        if command.upper() == "CAPABILITY":
            return b"* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN NAMESPACE\r\n" + done
        if command == "NAMESPACE":
            return b'* NAMESPACE (("INBOX." ".")) NIL NIL\r\n' + done
        return told + done if command.startswith("LIST") else answer_honestly(tag, command)

    source = ImapSource(SourceServer("127.0.0.1", lie(answer).port, None, "u", "p"), tmp_path, seconds=2.0, pauses=())
    try:
        assert {folder.name: folder.place for folder in source.folders()} == expected
    finally:
        source.close()


def test_a_delimiter_within_a_letter(lie: Callable[..., ScriptedServer], tmp_path: Path) -> None:
    """Parts no letter in two."""
    liar = lie(instead("LIST", b'* LIST () "\xc3" "a\xc3\x89b"\r\n* LIST () "/" INBOX\r\nTAG OK done\r\n'))
    assert everything(liar, tmp_path) == [*GOOD, *GOOD]


@pytest.mark.parametrize("when", ["LIST", "EXAMINE", "UID SEARCH", "RFC822.SIZE", "BODY"])
def test_a_connection_that_breaks_is_made_again(lie: Callable[..., ScriptedServer], tmp_path: Path, when: str) -> None:
    """Wherever it broke; nothing is missing."""
    liar = lie(instead(when, None, times=2))
    assert everything(liar, tmp_path) == GOOD
    assert liar.connections == 3


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("BODY", None),
        ("BODY", b"* BYE enough\r\n"),
        ("BODY", b"* 1 FETCH (UID 1 BODY[] {99}\r\nhalf"),
        ("UID SEARCH", b""),
    ],
)
def test_a_server_that_never_ends_an_answer(
    lie: Callable[..., ScriptedServer], tmp_path: Path, when: str, told: bytes | None
) -> None:
    """Is given up after some connections."""
    with pytest.raises(Lost):
        everything(lie(instead(when, told)), tmp_path, seconds=0.2)


@pytest.mark.parametrize(
    "told",
    [
        b"* 1 FETCH (UID 1 BODY[] {99999999999}\r\n",
        b"* 1 FETCH (UID 1 BODY[] {33554433}\r\n",
        b"x" * (1 << 16),
        b"* 1 FETCH (FLAGS (\\Seen))\r\n" * 9_000,
        b"* \r\n" * 9_000,
        b"* 1 FETCH (" + b"X {1}\r\ny" * 9_000,
    ],
)
def test_a_server_that_sends_too_much(
    lie: Callable[..., ScriptedServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bytes
) -> None:
    """Is not listened to any longer."""
    monkeypatch.setattr(imap_connection, "MAX_LINE", 1 << 15)
    monkeypatch.setattr(imap_connection, "MAX_ANSWER", 1 << 17)
    with pytest.raises(Overlong):
        everything(lie(instead("BODY", told)), tmp_path)


def test_a_message_without_end(lie: Callable[..., ScriptedServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large message comes in slices; a server that always has another one is not believed."""
    monkeypatch.setattr(imap, "FETCHED_OCTETS", 10)
    monkeypatch.setattr(imap, "_LIES_OCTETS", 1_000)
    part = b"* 1 FETCH (UID 1 BODY[]<0> {10}\r\n0123456789)\r\nTAG OK\r\n"
    with pytest.raises(SourceFailed, match="endless"):
        everything(lie(instead("BODY.PEEK[]<", part)), tmp_path)


@pytest.mark.timeout(30)
def test_a_server_that_sends_an_octet_now_and_then(lie: Callable[..., ScriptedServer], tmp_path: Path) -> None:
    """Is not silent, and is given up all the same."""

    def drops() -> Iterator[bytes]:
        while True:
            time.sleep(0.02)  # less than the silence that is borne
            yield b"x"

    with pytest.raises(Lost):
        everything(
            lie(lambda tag, command: drops() if "SEARCH" in command else answer_honestly(tag, command)), tmp_path, seconds=0.05
        )


@pytest.mark.slow
@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("UID SEARCH", b"* SEARCH" + b" 1" * 7_000_000 + b"\r\nTAG OK done\r\n"),
        ("RFC822.SIZE", b"* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n" * 1_000_000 + b"TAG OK done\r\n"),
        ("LIST", b"* LIST () NIL " + b"(" * 15_000_000 + b"\r\nTAG OK done\r\n"),
        ("BODY", b"* \r\n" * 8_000_000 + b"TAG OK done\r\n"),
        ("BODY", b"* 1 FETCH (" + b"X {0}\r\n" * 5_000_000 + b")\r\nTAG OK done\r\n"),
    ],
)
def test_no_answer_takes_much_memory(tmp_path: Path, when: str, told: bytes) -> None:
    """Sixteen accounts are read at a time: none of them may take much. In another process, so that its memory is its own."""
    pid = os.fork()
    if pid == 0:
        liar = ScriptedServer(instead(when, told))
        print(liar.port, file=(tmp_path / "port").open("w"), flush=True)
        time.sleep(100)  # it is killed before
        os._exit(0)
    try:
        wait_for(lambda: (tmp_path / "port").exists() and (tmp_path / "port").read_text())
        script = (
            "import re, sys, pathlib\n"
            "from mic_mail.services.importers.imap import ImapSource, SourceServer\n"
            "from mic_mail.services.importers.source import SourceFailed\n"
            "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
            "server, before = SourceServer('127.0.0.1', int(sys.argv[1]), None, 'u', 'p'), peak()\n"
            "try:\n"
            "    source = ImapSource(server, pathlib.Path(sys.argv[2]), seconds=10, pauses=())\n"
            "    for folder in source.folders():\n"
            "        for item in source.messages(folder, frozenset()): pass\n"
            "except SourceFailed: pass\n"
            "print(peak() - before)\n"
        )
        words = [sys.executable, "-c", script, (tmp_path / "port").read_text().strip(), str(tmp_path)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert int(done.stdout) < 128 << 10, "KiB"


def test_sizes_that_are_lies(lie: Callable[..., ScriptedServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that are much longer than said come whole, one by one."""
    monkeypatch.setattr(imap, "FETCHED_OCTETS", 1_500)
    monkeypatch.setattr(imap, "_LIES_OCTETS", 5_000)
    letters = {uid: b"Subject: %d\r\n\r\n" % uid + b"x" * 4_000 for uid in (1, 2, 3)}

    def answer(tag: str, command: str) -> bytes:
        done = f"{tag} OK done\r\n".encode()
        if "BODY.PEEK[]<" in command:
            uid, at = int(command.split()[2]), int(command.partition("<")[2].partition(".")[0])
            part = letters[uid][at : at + 1_500]
            return b"* 1 FETCH (UID %d BODY[]<%d> {%d}\r\n%b)\r\n" % (uid, at, len(part), part) + done
        if "BODY.PEEK[]" in command:
            some = letters.items()
            return b"".join(b"* %d FETCH (UID %d BODY[] {%d}\r\n%b)\r\n" % (n, n, len(b), b) for n, b in some) + done
        return answer_honestly(tag, command)

    assert everything(lie(answer), tmp_path) == [(letter, None) for letter in letters.values()]


@pytest.mark.parametrize("host", ["mail..vn", "a" * 70 + ".vn", "\udc80"])
def test_what_is_no_name_of_a_server(tmp_path: Path, host: str) -> None:
    """Is told as such."""
    with pytest.raises(SourceWrong):
        ImapSource(SourceServer(host, 993, None, "u", "p"), tmp_path, seconds=2.0, pauses=())


def test_a_server_without_tls(lie: Callable[..., ScriptedServer], tmp_path: Path) -> None:
    """Is told as such, and not as a lack of permission."""
    with pytest.raises(Lost, match="no TLS") as told:
        ImapSource(
            SourceServer("127.0.0.1", lie(answer_honestly).port, ssl.create_default_context(), "u", "p"), tmp_path, seconds=2.0
        )
    assert "không được phép" not in told.value.text.vi


def test_an_import_that_ends_early_leaves_nothing_running(
    lie: Callable[..., ScriptedServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Though the next messages are being fetched."""
    monkeypatch.setattr(imap, "FETCHED_TOGETHER", 1)

    closed, answered = threading.Event(), []

    def answer(tag: str, command: str) -> bytes | None:
        if "UID FETCH 2 (UID BODY" in command:
            answered.append(closed.wait(60))
        return answer_honestly(tag, command)

    source = ImapSource(SourceServer("127.0.0.1", lie(answer).port, None, "u", "p"), tmp_path, seconds=600.0, pauses=())
    items = source.messages(source.folders()[0], frozenset())
    next(items)
    source.close()
    assert answered == [], "the end does not wait for an answer"
    closed.set()
    gc.collect()  # of what was left running the loop would complain
    assert not caplog.records


def test_large_messages_in_slices(lie: Callable[..., ScriptedServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put together again."""
    monkeypatch.setattr(imap, "FETCHED_OCTETS", 5)

    def answer(tag: str, command: str) -> bytes | None:
        if "BODY.PEEK[]<" not in command:
            return answer_honestly(tag, command)
        uid, at = int(command.split()[2]), int(command.partition("<")[2].partition(".")[0])
        part = (b"Subject: %d\r\n" % uid)[at : at + 5]
        return b"* 1 FETCH (UID %d BODY[]<%d> {%d}\r\n%b)\r\n%b OK\r\n" % (uid, at, len(part), part, tag.encode())

    assert everything(lie(answer), tmp_path) == GOOD
    (tmp_path / "no folder").write_text("")
    with pytest.raises(SourceFailed, match="cannot be buffered"):  # as with a full disk
        everything(lie(answer), tmp_path / "no folder")


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (b"* 2 FETCH (UID 2 BODY[] {0}\r\n)\r\nTAG OK\r\n", [(None, Skip.GONE), (b"", None), (None, Skip.GONE)]),
        (b"* 1 FETCH (UID 1 BODY[] NIL)\r\nTAG OK\r\n", [(None, Skip.GONE)] * 3),
        (b"* 1 FETCH (UID 99 BODY[] {1}\r\nx)\r\nTAG OK\r\n", [(None, Skip.GONE)] * 3),
        (b"* 1 FETCH\r\n* x\r\n* (((\r\n*\r\n* 1 FETCH (UID\r\nTAG OK\r\n", [(None, Skip.GONE)] * 3),
    ],
)
def test_answers_to_another_question(
    lie: Callable[..., ScriptedServer], tmp_path: Path, told: bytes, wanted: list[tuple[bytes | None, Skip | None]]
) -> None:
    """What was not sent is told as missing."""
    assert everything(lie(instead("BODY", told)), tmp_path) == wanted


@pytest.mark.parametrize("told", [b"OTHER OK done\r\n", b"TAG NO [LIMIT] no\r\n", b"TAG BAD\r\n"])
def test_refusals_and_answers_to_others(lie: Callable[..., ScriptedServer], tmp_path: Path, told: bytes) -> None:
    """End the import with a word about it."""
    with pytest.raises(SourceFailed):
        everything(lie(instead("UID SEARCH", told)), tmp_path, seconds=0.5)


@pytest.mark.parametrize("told", [b"\x00\xff\r\n", b"+ x\r\n", b"* SEARCH a 0 -1\r\n", b"* \r\n", b"*\r\n", b"\r\n"])
def test_nonsense_is_no_message(lie: Callable[..., ScriptedServer], tmp_path: Path, told: bytes) -> None:
    """Nothing is made of it."""
    assert everything(lie(instead("UID SEARCH", told + b"TAG OK\r\n")), tmp_path, seconds=0.5) == []


def test_signing_in(lie: Callable[..., ScriptedServer], tmp_path: Path) -> None:
    """A wrong password is told with the server's words; a password never stands in a command of ours in clear."""
    liar = lie(instead("AUTHENTICATE", b"TAG NO [AUTHENTICATIONFAILED] sai\r\n"))
    with pytest.raises(SourceWrong, match="AUTHENTICATIONFAILED"):
        everything(liar, tmp_path)
    assert liar.connections == 1, "not tried again: accounts are locked by that"
    busy = lie(instead("AUTHENTICATE", b"TAG NO [UNAVAILABLE] later\r\n", times=1))
    assert everything(busy, tmp_path) == GOOD
    old = lie(lambda tag, command: answer_honestly(tag, command).replace(b" SASL-IR AUTH=PLAIN", b""))
    assert everything(old, tmp_path) == GOOD
    assert any(line.partition(" ")[2] == 'LOGIN "u" "p\\"\\\\ á"' for line in old.lines)
    with pytest.raises(Lost):
        everything(lie(answer_honestly, b"* BYE go away\r\n"), tmp_path)


def test_a_server_that_asks_for_no_sign_in(lie: Callable[..., ScriptedServer], tmp_path: Path) -> None:
    """PREAUTH (RFC 9051 7.1.4), as through a tunnel."""
    liar = lie(answer_honestly, b"* PREAUTH hello\r\n")
    assert everything(liar, tmp_path) == GOOD
    assert not any("AUTHENTICATE" in line or "LOGIN" in line for line in liar.lines)


def test_nine_hundred_lines_at_once(lie: Callable[..., ScriptedServer], tmp_path: Path) -> None:
    """More than aioimaplib's own reader takes: it calls itself once for each."""
    count = 5_000

    def answer(tag: str, command: str) -> bytes | None:
        done = f"{tag} OK done\r\n".encode()
        if "SEARCH" in command:
            return b"* SEARCH" + b"".join(b" %d" % n for n in range(1, count + 1)) + b"\r\n" + done
        if "RFC822.SIZE" in command:
            return b"".join(b"* %d FETCH (UID %d RFC822.SIZE 12)\r\n" % (n, n) for n in range(1, count + 1)) + done
        return answer_honestly(tag, command)

    assert len(everything(lie(answer), tmp_path)) == count


def test_what_of_aioimaplib_is_touched() -> None:
    """A newer one that has it otherwise fails here and not in an import."""
    assert aioimaplib.__name__ == "aioimaplib"
    protocol, command = library.IMAP4ClientProtocol, library.Command
    for name in ("data_received", "connection_lost", "_response_done", "execute", "new_tag", "send"):
        assert callable(getattr(protocol, name)), name
    for name in ("_reset_timer", "wait", "close", "append_to_resp"):
        assert callable(getattr(command, name)), name
    assert {"name", "tag", "prefix", "timeout"} <= set(inspect.signature(command.__init__).parameters)
    for name in ("_exception", "_timer", "_event"):
        assert f"self.{name}" in inspect.getsource(command.__init__) + inspect.getsource(command._set_timer), name
    for name in ("CAPABILITY", "AUTHENTICATE", "LOGIN", "LIST", "LSUB", "NAMESPACE", "STATUS"):
        assert name in library.Commands, name
    assert (library.AUTH, library.NONAUTH, library.SELECTED, library.LOGOUT) == ("AUTH", "NONAUTH", "SELECTED", "LOGOUT")
    assert {"EXAMINE", "SEARCH", "FETCH", "LOGOUT"} <= library.Commands.keys()
    assert library.tagged_status_response_re.match(b"ABC1 OK")
    assert issubclass(Wire, protocol)


@pytest.mark.parametrize("holders", [0, 30])
def test_more_folders_than_are_taken_are_told(
    lie: Callable[..., ScriptedServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holders: int
) -> None:
    """One too many ends the import with a word; those that hold no messages count for nothing, and hide none that do."""
    monkeypatch.setattr(imap_folders, "MOST_FOLDERS", 20)
    empty = b"".join(b'* LIST (\\Noselect) "/" e%d\r\n' % number for number in range(holders))

    def listing(count: int) -> Answer:
        told = empty + b"".join(b'* LIST () "/" f%02d\r\n' % number for number in range(count))

        def answer(tag: str, command: str) -> bytes:
            return told + f"{tag} OK\r\n".encode() if command.startswith("LIST") else answer_honestly(tag, command)

        return answer

    for count in (20, 21):
        server = SourceServer("127.0.0.1", lie(listing(count)).port, None, "u", "p")
        source = ImapSource(server, tmp_path, seconds=2.0, pauses=())
        try:
            if count == 20:
                assert len(source.folders()) == 20
            else:
                with pytest.raises(Overlong):
                    source.folders()
        finally:
            source.close()
