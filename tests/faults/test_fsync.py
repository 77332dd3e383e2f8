"""Before each acknowledgement the message's content and the directory that names it were fsynced, or else the journal that
holds the message was: shown by the system calls.

A worker runs under strace while one client at a time delivers, appends, copies, moves, creates and renames, or while several
deliver at once; TLS is off, so the replies can be read in the trace. `Disk` is what would be left after a power cut at any line
of it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from posixpath import basename, dirname
from threading import Barrier

import pytest

from faults.ledger import message
from faults.system_calls import Call, calls, tracing
from faults.wire import Imap, Smtp
from harness import ProcessServer
from population import PASSWORD
from waiting import wait_for

SYNCS = "fsync,fdatasync,syncfs"
NAMES = "rename,renameat,renameat2,link,linkat,mkdir,mkdirat"
BEGINS = ("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg")
"""What counts from the line on where it begins."""
CALLS = f"{SYNCS},{NAMES},{','.join(BEGINS)}"
SHOWN_OCTETS = 400_000
"""Of what is written: more than all messages of a wave, or of a command."""
DVBE, TTLAN, FRESH = "dvbe@mic.gov.vn", "ttlan@mic.gov.vn", "fresh@mic.gov.vn"
STAGED = "/Maildir/tmp/"
"""Not "/tmp/", which the test's own folder lies in."""
_SYNC = re.compile(r"\d+<([^>]*)>")
_SAID = re.compile(r"\d+<(?:socket|TCP)[^>]*>, (?:\[\{iov_base=)?\"((?:[^\"\\]|\\.)*)\"")
_WRITTEN = re.compile(r"\d+<(/[^>]*)>, \"((?:[^\"\\]|\\.)*)\", (\d+)(?:, (\d+))? *\) += \3$")
"""What was written, wholly and shown wholly: path, octets as strace escapes them, how many, and where."""
_VECTOR = re.compile(r"\[((?:\{iov_base=\"(?:[^\"\\]|\\.)*\", iov_len=\d+\}(?:, )?)+)\], \d+(, \d+)(?:, 0)?( *\) += (\d+))$")
"""The pieces of a write, and how many octets they had together."""
_PIECE = re.compile(r"iov_base=\"((?:[^\"\\]|\\.)*)\"")
_ACKNOWLEDGED = re.compile(r"(?:^|\\r\\n)(250 2\.6\.0 Message[^\\]*|T\d+ OK )")
_TOKEN = re.compile(r"X-Token: (\S+?)\\r")


class Disk:
    """What a power cut would leave: contents that were fsynced, names whose directory was fsynced after they were made.

    And whole messages, name and content, that stand in a segment of the journal since an fdatasync of it.
    """

    def __init__(self) -> None:
        self._contents: dict[str, int] = {}
        """Since when."""
        self._names: set[str] = set()
        self._made: dict[str, int] = {}
        """Names that mail depends on, and when they were made."""
        self._octets: dict[str, str] = {}
        """What was written to files, staged or named."""
        self._frames: dict[str, dict[str, int]] = {}
        """By segment the base names of the messages in it, and when they were written."""
        self._journaled: dict[str, tuple[str, int]] = {}
        """Base names: in which segment, and since when it is durable."""
        self.early: list[str] = []
        """Names of messages that led to content which was not durable yet."""

    def sync(self, path: str, call: Call) -> None:
        """An fsync that is over: of a file, or of a directory with the names that stood when it began."""
        self._contents.setdefault(path, call.ended)
        self._names |= {name for name, made in self._made.items() if dirname(name) == path and made < call.begun}
        for base, written in self._frames.get(path, {}).items():
            if written < call.begun:
                self._journaled.setdefault(base, (path, call.ended))

    def sync_all(self, call: Call) -> None:
        """A syncfs that is over."""
        stood = {name: call.ended for name, made in self._made.items() if made < call.begun}
        self._names |= set(stood)
        self._contents = stood | self._contents

    def write(self, path: str, octets: str) -> None:
        self._octets[path] = self._octets.get(path, "") + octets

    def write_journal(self, segment: str, octets: str, at: int, ended: int) -> None:
        """Messages that are still staged; what is written to the beginning ends all that the segment held."""
        if at == 0:
            self._frames.pop(segment, None)
            self._journaled = {base: held for base, held in self._journaled.items() if held[0] != segment}
        for path, message_octets in self._octets.items():
            if STAGED in path and re.search(f"{re.escape(_base(path))}(,[^\\\\]*)?\\\\0{re.escape(message_octets)}", octets):
                self._frames.setdefault(segment, {})[_base(path)] = ended

    def name(self, old: str, new: str, call: Call) -> None:
        durable = [self._contents.get(old), self._journaled.get(_base(old), ("", None))[1]]
        if "/cur/" in new and not any(since is not None and since < call.begun for since in durable):
            self.early.append(new)
        if old in self._contents:
            self._contents[new] = self._contents[old]
        if old in self._octets:
            self._octets[new] = self._octets.pop(old)
        self._make(new, call.ended)

    def make_directory(self, path: str, at: int) -> None:
        self._contents[path] = at
        self._make(path, at)

    def _make(self, path: str, at: int) -> None:
        self._made[path] = at
        self._names.discard(path)

    def written(self, text: str) -> dict[str, str]:
        """Files with this in them."""
        return {path: octets for path, octets in self._octets.items() if text in octets}

    def lacks(self, places: Sequence[str]) -> list[str]:
        """Names below `places` that a power cut would take, or leave without their content."""
        return [
            name
            for name in self._made
            if any(place in name for place in places)
            and not (name in self._names and name in self._contents)
            and _base(name) not in self._journaled
        ]


def _base(path: str) -> str:
    """What of a message's name stays the same, staged, named or expunged (the folder's id then stands in front)."""
    name = basename(path).partition(",")[0]
    return name.partition(".")[2] if "/.expunged/" in path else name


def as_one_piece(arguments: str) -> str:
    """A write of several pieces, as if it had been one of all their octets."""
    vector = _VECTOR.search(arguments)
    if vector is None:
        return arguments
    octets = "".join(_PIECE.findall(vector[1]))
    return f'{arguments[: vector.start()]}"{octets}", {vector[4]}{vector[2]}{vector[3]}'


def replayed(found: Iterable[Call]) -> Iterator[tuple[str, Disk, int]]:
    """Each acknowledgement, the disk at the moment it was sent, and how many names were made since the one before."""
    disk, made = Disk(), 0
    events = [(one.begun if one.name in BEGINS else one.ended, one) for one in found]
    for at, call in sorted(events, key=lambda event: event[0]):
        match call.name:
            case "fsync" | "fdatasync":
                path = _SYNC.match(call.arguments)
                assert path, call
                disk.sync(path[1], call)
            case "syncfs":
                disk.sync_all(call)
            case "rename" | "renameat" | "renameat2" | "link" | "linkat":
                old, new = call.paths
                disk.name(old, new, call)
                made += 1
            case "mkdir" | "mkdirat":
                disk.make_directory(call.paths[0], at)
                made += 1
            case _:
                if (written := _WRITTEN.match(as_one_piece(call.arguments))) and "/.journal/" in written[1]:
                    disk.write_journal(written[1], written[2], int(written[4]), call.ended)
                elif written and STAGED in written[1]:
                    disk.write(written[1], written[2])
                said = _SAID.match(call.arguments)
                if said and (acknowledged := _ACKNOWLEDGED.search(said[1])):
                    yield acknowledged[1], disk, made
                    made = 0


MAIL, SPOOL, FOLDERS, SIDECARS = ("/cur/",), ("/spool/live/",), ("/Maildir/.",), ("/.mic-",)


@pytest.fixture
def traced(serve_processes: Callable[..., ProcessServer], tmp_path: Path) -> Iterator[tuple[ProcessServer, Path]]:
    """A server whose only worker is under strace, and the trace."""
    server = serve_processes({"process": {"workers": 1}, "auth": {"cleartext": True}})
    for local in ("dvbe", "ttlan", "fresh"):
        server.population.issue(local)
    server.start()
    trace = tmp_path / "trace"
    with tracing(server.workers()[0], trace, f"-s{SHOWN_OCTETS}", f"-etrace={CALLS}"):
        yield server, trace


def conversation(server: ProcessServer) -> list[tuple[str, tuple[str, ...]]]:
    """Do one thing after the other; for each acknowledgement in turn what it was for, and what must be durable by then."""
    done: list[tuple[str, tuple[str, ...]]] = []
    smtp, large = Smtp(server.ports["smtp"]), b"Subject: large\r\n\r\n" + b"large\r\n" * 40_000

    def deliver(what: str, octets: bytes, *to: str, durable: tuple[str, ...] = MAIL) -> None:
        smtp.deliver(to, octets)
        done.append((what, durable))
        wait_until_empty(server.config.spool_dir / "live")

    def imap(what: str, command: bytes, durable: tuple[str, ...]) -> None:
        client.command(command)
        done.append((what, durable))

    deliver("the first message of a mailbox", message("first"), FRESH, durable=("/fresh",))
    deliver("a small message", message("small"), DVBE)
    deliver("a large message", large, DVBE)
    deliver("a message that is read behind its reply", large * 5, DVBE, durable=(*MAIL, "/held/unread/"))
    deliver("a small message for two", message("two"), DVBE, TTLAN, durable=SPOOL)
    deliver("a large message for two", large, DVBE, TTLAN, durable=SPOOL)
    client = Imap(server.ports["imap"], DVBE, PASSWORD)
    done.append(("sign-in", MAIL))
    small = message("appended")
    imap("CREATE", b"CREATE B", FOLDERS)
    imap("APPEND", b"APPEND INBOX {%d+}\r\n%s" % (len(small), small), MAIL)
    imap("APPEND of a large message", b"APPEND B {%d+}\r\n%s" % (len(large), large), MAIL)
    imap("MULTIAPPEND", b"APPEND B {%d+}\r\n%s {%d+}\r\n%s" % (len(small), small, len(small), small), MAIL)
    imap("SELECT", b"SELECT INBOX", MAIL)
    imap("COPY", b"UID COPY 1:3 B", MAIL)
    imap("MOVE", b"UID MOVE 2:3 B", MAIL)
    imap("REPLACE", b"UID REPLACE 1 B {%d+}\r\n%s" % (len(small), small), MAIL)
    imap("SETMETADATA", b"SETMETADATA B (/shared/comment x)", SIDECARS)
    imap("SETMETADATA of the server", b'SETMETADATA "" (/private/comment x)', SIDECARS)
    imap("RENAME", b"RENAME B C", FOLDERS)
    client.close()
    smtp.close()
    return done


def wait_until_empty(folder: Path) -> None:
    wait_for(lambda: not any(folder.iterdir()))


def without(found: Sequence[Call], drop: Callable[[str], bool]) -> list[Call]:
    """The trace of a server that forgets some fsyncs."""
    return [one for one in found if one.name not in ("fsync", "fdatasync") or not drop(one.arguments.partition("<")[2])]


def test_nothing_is_acknowledged_before_it_is_on_disk(traced: tuple[ProcessServer, Path]) -> None:
    """250 to the final dot and OK to APPEND, REPLACE, COPY, MOVE, CREATE, RENAME, SETMETADATA: file and folder are fsynced."""
    server, trace = traced
    done = conversation(server)

    def traced_to_the_end() -> list[Call]:
        found = calls(trace.read_text(errors="replace").splitlines())
        return found if len(list(replayed(found))) >= len(done) else []

    found = wait_for(traced_to_the_end)  # strace writes a call down behind it
    answers = list_of_lacks(found, done)
    assert [answer for answer in answers if answer[2]] == []
    assert all(made for what, made, _ in answers if what not in ("sign-in", "SELECT"))
    # A server that forgot either kind would have been found out, by every command that makes names.
    forgets_folders = list_of_lacks(without(found, lambda path: basename(path.rstrip(">) =0")) in ("cur", "live")), done)
    assert len([answer for answer in forgets_folders if answer[2]]) >= 10
    forgets_files = list_of_lacks(without(found, lambda path: STAGED in path or "/spool/tmp/" in path), done)
    assert len([answer for answer in forgets_files if answer[2]]) >= 8
    forgets_unread = list_of_lacks(without(found, lambda path: "/held/unread" in path), done)
    assert [what for what, _, lacks in forgets_unread if lacks] == ["a message that is read behind its reply"]
    forgets_sidecars = list_of_lacks(without(found, lambda path: "/.mic-" in path), done)
    assert {what for what, _, lacks in forgets_sidecars if lacks and "METADATA" in what} == {
        "SETMETADATA", "SETMETADATA of the server",
    }  # fmt: skip


def list_of_lacks(found: Sequence[Call], done: Sequence[tuple[str, tuple[str, ...]]]) -> list[tuple[str, int, list[str]]]:
    """For each acknowledgement what it was for, how many names were made for it, and what a power cut would have taken."""
    answers = []
    for (said, disk, made), (what, durable) in zip(replayed(found), done, strict=True):
        answers.append((f"{what}", made, disk.lacks(durable)))
        assert said
    return answers


SENDERS, EACH = 8, 10


def deliver_together(server: ProcessServer, boxes: Sequence[str]) -> set[str]:
    """Several clients at once, after one message to each mailbox, which opens its index; the tokens of all that went in."""
    start = Barrier(SENDERS, timeout=60)

    def deliver(smtp: Smtp, token: str, to: str) -> str:
        smtp.deliver([to], f"X-Token: {token}\r\nSubject: together\r\n\r\nfrom {token}\r\n".encode())
        return token

    def send(sender: int) -> list[str]:
        smtp = Smtp(server.ports["smtp"])
        start.wait()
        tokens = [deliver(smtp, f"{sender}-{number}", boxes[(sender + number) % len(boxes)]) for number in range(EACH)]
        smtp.close()
        return tokens

    first = Smtp(server.ports["smtp"])
    tokens = [deliver(first, f"first-{box}", box) for box in boxes]
    first.close()
    with ThreadPoolExecutor(SENDERS) as threads:
        return {*tokens, *(token for sent in threads.map(send, range(SENDERS)) for token in sent)}


def append_in_a_row(server: ProcessServer) -> list[tuple[str, tuple[str, ...]]]:
    """One message after the other, and two at once, into two folders; as `conversation`."""
    client = Imap(server.ports["imap"], DVBE, PASSWORD)
    client.command(b"CREATE B")
    client.command(b"SELECT B")
    done = [("sign-in", MAIL), ("CREATE", FOLDERS), ("SELECT", MAIL)]
    for number in range(EACH):
        for folder in (b"INBOX", b"B"):
            octets = b"Subject: in a row\r\n\r\n%s %d\r\n" % (folder, number)
            literal = b"(\\Flagged) {%d+}\r\n%s" % (len(octets), octets)
            client.command(b"APPEND %s %s%s" % (folder, literal, b" " + literal if number % 5 == 4 else b""))
            done.append(("APPEND", MAIL))
    client.close()
    return done


@pytest.mark.slow
def test_what_is_appended_in_a_row_is_on_disk_before_ok(traced: tuple[ProcessServer, Path]) -> None:
    """OK to APPENDs that follow one another closely: the journal that holds them is fsynced before they are named; settled at
    the end."""
    server, trace = traced
    done = append_in_a_row(server)
    assert server.terminate() == 0
    found = calls(trace.read_text(errors="replace").splitlines())
    assert [answer for answer in list_of_lacks(found, done) if answer[2]] == []
    disk = [disk for _, disk, _ in replayed(found)][-1]
    assert disk.early == []
    assert disk.lacks(MAIL) == []
    # A server that forgot the journal's fdatasync would have been found out by most of them.
    forgets = list_of_lacks(without(found, lambda path: "/.journal/" in path), done)
    assert len([answer for answer in forgets if answer[2]]) > EACH
    disk = [disk for _, disk, _ in replayed(without(found, lambda path: "/.journal/" in path))][-1]
    assert len(disk.early) > EACH


def by_token(found: Sequence[Call]) -> tuple[dict[str, bool], Disk]:
    """By its token whether each message was durable, in a mailbox, when 250 was said to it; and the disk at the end."""
    durable: dict[str, bool] = {}
    disk = Disk()
    for said, disk, _ in replayed(found):
        trace_id = said.rpartition(" ")[2]
        ((name, octets),) = disk.written(f"\\tid {trace_id} ").items()
        token = _TOKEN.search(octets)
        assert token, octets
        durable[token[1]] = "/cur/" in name and not disk.lacks([name])
    return durable, disk


@pytest.mark.slow
def test_nothing_that_arrives_together_is_acknowledged_before_it_is_on_disk(traced: tuple[ProcessServer, Path]) -> None:
    """250 to messages that arrive together: the journal that holds them is fsynced, and only then are they named, or file and
    folder are as ever; everything is before the journal is wiped."""
    server, trace = traced
    sent = deliver_together(server, (DVBE, TTLAN, FRESH))
    assert len(sent) == SENDERS * EACH + 3
    assert server.terminate() == 0  # settles the journal
    found = calls(trace.read_text(errors="replace").splitlines())
    durable, disk = by_token(found)
    assert durable == dict.fromkeys(sent, True)
    assert disk.early == []
    assert disk.lacks(MAIL) == []
    # A server that forgot the journal's fdatasync, or the syncfs before it is wiped, would have been found out by most of them.
    durable, disk = by_token(without(found, lambda path: "/.journal/" in path))
    assert list(durable.values()).count(False) > len(sent) / 2
    assert len(disk.early) > len(sent) / 2
    durable, disk = by_token([one for one in found if one.name != "syncfs"])
    assert len(disk.lacks(MAIL)) > len(sent) / 2
