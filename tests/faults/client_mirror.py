"""A mail program that believes what it is told: its picture of a folder is made of untagged responses alone.

Many mirrors work on one folder at once. Whatever a server may not say is an assertion: a number beyond what exists, an EXPUNGE
in the middle of a command that counts messages, a UID in two places, a MODSEQ that goes back. At a quiet point
`Mirror.picture` has to be what a new session sees. A mirror that is cut off comes back: with QRESYNC from its last point of
synchronisation (RFC 7162 §6), else with nothing.
"""

import random
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile

from faults.wire import Cut, Imap, Refused, uid_set
from population import PASSWORD

FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "\\Draft", "work", "$Forwarded")
MESSAGE = b"From: a@a.example\r\nSubject: guong\r\n\r\nNoi dung.\r\n"
CLOSING = (b"UNSELECT", b"CLOSE")
_UID = re.compile(rb"[( ]UID (\d+)")
_MODSEQ = re.compile(rb"[( ]MODSEQ \((\d+)\)")
_FLAGS = re.compile(rb"[( ]FLAGS \(([^)]*)\)")
_NUMBERED = re.compile(rb"\* (\d+) (EXISTS|EXPUNGE|FETCH)\b")
_VANISHED = re.compile(rb"\* VANISHED (\(EARLIER\) )?([0-9:,]+)\r\n")
_HIGHEST = re.compile(rb"\[HIGHESTMODSEQ (\d+)\]")
_VALIDITY = re.compile(rb"\[UIDVALIDITY (\d+)\]")
_MODIFIED = re.compile(rb"\[MODIFIED ([0-9:,]+)\]")

Picture = list[tuple[int, frozenset[str]]]
"""UID and flags, by sequence number."""


@dataclass
class Entry:
    """One message as far as it was told. Two are never the same one."""

    uid: int | None = None
    flags: frozenset[str] | None = None
    modseq: int = 0


def flags_of(text: bytes) -> frozenset[str]:
    return frozenset(text.decode().split()) - {"\\Recent"}


class Mirror:
    """One connection after another, and the picture that it keeps."""

    def __init__(
        self, ports: Callable[[], Mapping[str, int]], address: str, name: str, *, qresync: bool, folder: bytes = b"Chung"
    ) -> None:
        self.name = name
        self.folder = folder
        self._ports = ports
        self._address = address
        self._qresync = qresync
        self._dice = random.Random(name)
        self._client: Imap | None = None
        self._tag = 0
        self._validity = 0
        self._modseq = 0
        self._entries: list[Entry] = []
        self._transcript: deque[bytes] = deque(maxlen=60)
        self.cuts = 0

    # ------------------------------------------------------------ connections

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def make_folders(self) -> None:
        """Once, for all of them."""
        client = Imap(self._ports()["imap"], self._address, PASSWORD)
        client.command(b"CREATE " + self.folder)
        client.command(b"CREATE Khac")
        client.close()

    def work(self, steps: int) -> None:
        """So many commands of any kind; a cut costs the connection, nothing else."""
        for _ in range(steps):
            try:
                self.connect()
                self._dice.choice(self._acts())()
            except Cut:
                self.cuts += 1
                self.close()
            except AssertionError as error:
                error.add_note(f"{self.transcript()}\n{self._entries}")
                raise

    def transcript(self) -> str:
        """The last that was said."""
        return "\n".join(map(repr, self._transcript))

    def picture(self) -> Picture:
        """After a last look; only while nobody works and nothing is killed."""
        try:
            self.connect()
            self._run(b"NOOP")
        except Cut:  # by a kill that it has not noticed before
            self.close()
            self.connect()
        self._fill()
        return [(entry.uid or 0, entry.flags or frozenset()) for entry in self._entries]

    def connect(self) -> None:
        """If need be."""
        if self._client is not None:
            return
        self._client = Imap(self._ports()["imap"], self._address, PASSWORD)
        if self._qresync:
            self._client.command(b"ENABLE QRESYNC")
        self._select()

    # ------------------------------------------------------------ one command

    def _run(self, command: bytes, *, counts: bool = False, expected: Sequence[tuple[Entry, frozenset[str]]] = ()) -> bytes:
        """Send it, believe what comes, and give the tagged line. `expected`: flags that are not told if they come to be."""
        self.send(command)
        return self.answer(command, counts=counts, expected=expected)

    def send(self, command: bytes) -> None:
        """The first half of a command, so that others can be sent before its `answer` is read."""
        assert self._client is not None
        self._tag += 1
        self._client.send(b"M%d %b\r\n" % (self._tag, command))
        self._transcript.append(b"> M%d %b" % (self._tag, command))

    def answer(self, command: bytes, *, counts: bool = False, expected: Sequence[tuple[Entry, frozenset[str]]] = ()) -> bytes:
        """The second half: believe what comes, and give the tagged line without its tag. `Cut` where the server says BYE."""
        client = self._client
        assert client is not None
        tag = b"M%d " % self._tag
        heard: list[bytes] = []
        while not (line := b"".join(client.response())).startswith(tag):
            if line.startswith(b"* BYE"):
                raise Cut(line.decode())
            heard.append(line)
        self._believe(tag, line, heard, counts=counts, expected=expected)
        # VANISHED says nothing of numbers: what is counted must be named before the next one comes.
        if self._qresync and command not in CLOSING:
            while unnamed := [number for number, entry in enumerate(self._entries, 1) if entry.uid is None]:
                self._run(b"FETCH %s (UID FLAGS MODSEQ)" % _numbers(unnamed), counts=True)
        return line[len(tag) :]

    def _believe(
        self,
        tag: bytes,
        tagged: bytes,
        heard: Sequence[bytes],
        *,
        counts: bool,
        expected: Sequence[tuple[Entry, frozenset[str]]],
    ) -> None:
        assert tagged.startswith((tag + b"OK", tag + b"NO")), tagged
        self._transcript += [*heard, tagged]
        modified = _MODIFIED.search(tagged)
        failed = uid_set(modified[1]) if modified else []
        for entry, flags in expected if tagged.startswith(tag + b"OK") else ():
            if entry.uid not in failed:
                entry.flags = flags
        highest = 0
        for line in heard:
            highest = max(highest, self._hear(line, counts=counts))
        told = [int(found[1]) for line in (*heard, tagged) if (found := _HIGHEST.search(line))]
        self._modseq = told[-1] if told else max(self._modseq, highest)  # RFC 7162 §6

    def _hear(self, line: bytes, *, counts: bool) -> int:
        """Take in one untagged response; the MODSEQ in it, if any."""
        if numbered := _NUMBERED.match(line):
            number, kind = int(numbered[1]), numbered[2]
            if kind == b"EXISTS":
                assert number >= len(self._entries), f"{self.name}: {line!r} after {len(self._entries)}"
                self._entries += [Entry() for _ in range(number - len(self._entries))]
                return 0
            assert 1 <= number <= len(self._entries), f"{self.name}: {line!r} of {len(self._entries)}"
            if kind == b"EXPUNGE":
                assert not counts, f"{self.name}: {line!r} while numbers must stay (RFC 9051 §7.5.1)"
                del self._entries[number - 1]
                return 0
            return self._take(number, line)
        if vanished := _VANISHED.match(line):
            assert vanished[1] or not counts, f"{self.name}: {line!r} while numbers must stay"
            self._vanish(set(uid_set(vanished[2])), line, earlier=bool(vanished[1]))
        return 0

    def _vanish(self, gone: set[int], line: bytes, *, earlier: bool) -> None:
        """They may be among those that were counted and are not named yet: then one goes that lies between its neighbours."""
        known = {entry.uid for entry in self._entries}
        self._entries = [entry for entry in self._entries if entry.uid not in gone]
        for uid in () if earlier else sorted(gone - known):
            behind = (place for place, entry in enumerate(self._entries) if entry.uid is not None and entry.uid > uid)
            place = next(behind, len(self._entries)) - 1
            assert place >= 0, f"{self.name}: {line!r} of what was never told"
            assert self._entries[place].uid is None, f"{self.name}: {line!r} of what was never told"
            del self._entries[place]

    def _take(self, number: int, line: bytes) -> int:
        entry = self._entries[number - 1]
        uid, flags, modseq = _UID.search(line), _FLAGS.search(line), _MODSEQ.search(line)
        if uid:
            assert entry.uid in {None, int(uid[1])}, f"{self.name}: {line!r} was UID {entry.uid}"
            entry.uid = int(uid[1])
            before = [other.uid for other in self._entries[: number - 1] if other.uid is not None]
            after = [other.uid for other in self._entries[number:] if other.uid is not None]
            around = [*before[-1:], entry.uid, *after[:1]]
            assert around == sorted(set(around)), f"{self.name}: {line!r} between {around}"
        if flags:
            entry.flags = flags_of(flags[1])
        if modseq:
            assert int(modseq[1]) >= entry.modseq, f"{self.name}: {line!r} after MODSEQ {entry.modseq}"
            entry.modseq = int(modseq[1])
        return entry.modseq if modseq else 0

    # ------------------------------------------------------------ opening

    def _select(self) -> None:
        self.send_select()
        assert self.selected().startswith(b"OK")

    def send_select(self) -> None:
        """The first half of opening it, anew or from what is known."""
        resync = self._qresync and self._validity and self._modseq
        since = b" (QRESYNC (%d %d))" % (self._validity, self._modseq) if resync else b""
        self.send(b"SELECT " + self.folder + since)

    def selected(self) -> bytes:
        """The second half; the tagged line without its tag. A mailbox that could not be opened leaves none."""
        # Behind one that was counted and never named none has a place.
        known = list(takewhile(lambda entry: entry.uid is not None, self._entries))
        resync = self._qresync and self._validity and self._modseq
        client = self._client
        assert client is not None
        tag = b"M%d " % self._tag
        heard: list[bytes] = []
        while not (line := b"".join(client.response())).startswith(tag):
            if line.startswith(b"* BYE"):
                raise Cut(line.decode())
            heard.append(line)
        self._transcript += [*heard, line]
        if line.startswith(tag + b"NO"):
            self._entries, self._modseq = [], 0
            return line[len(tag) :]
        assert line.startswith(tag + b"OK"), line
        everything = b"".join(heard)
        validity = _VALIDITY.search(everything)
        exists = re.search(rb"\* (\d+) EXISTS", everything)
        highest = _HIGHEST.search(everything)
        assert validity
        assert exists
        assert highest
        if not resync or int(validity[1]) != self._validity:
            known = []
        gone = {uid for line in heard if (found := _VANISHED.match(line)) for uid in uid_set(found[2])}
        changed = {}
        for told in heard:
            if told.startswith(b"* ") and b" FETCH (" in told and (uid := _UID.search(told)):
                changed[int(uid[1])] = told
        self._validity = int(validity[1])
        self._entries = [entry for entry in known if entry.uid not in gone]
        assert len(self._entries) <= int(exists[1]), f"{self.name}: {len(self._entries)} are left, SELECT told of {exists[1]!r}"
        self._entries += [Entry() for _ in range(int(exists[1]) - len(self._entries))]
        for told in changed.values():
            numbered = _NUMBERED.match(told)
            assert numbered
            self._take(int(numbered[1]), told)
        self._fill()
        self._modseq = max(self._modseq, int(highest[1])) if known else int(highest[1])
        return line[len(tag) :]

    def _fill(self) -> None:
        """Ask for what was counted and not told."""
        while any(entry.uid is None or entry.flags is None for entry in self._entries):
            lacking = [number for number, entry in enumerate(self._entries, 1) if entry.uid is None or entry.flags is None]
            self._run(b"FETCH %s (UID FLAGS MODSEQ)" % _numbers(lacking), counts=True)
            self._run(b"NOOP")

    # ------------------------------------------------------------ acts

    def _acts(self) -> list[Callable[[], object]]:
        acts = [self._append, self._append, self._store, self._store, self._store, self._fetch, self._search, self._noop]
        acts += [self._idle, self._expunge, self._expunge_some, self._move_away, self._copy, self._bring_back, self._reopen]
        return acts

    def _some(self, most: int = 6) -> list[int]:
        """Numbers of messages whose UIDs and flags are known."""
        known = [number for number, entry in enumerate(self._entries, 1) if entry.uid is not None and entry.flags is not None]
        return sorted(self._dice.sample(known, min(len(known), self._dice.randint(1, most))))

    def _names(self, numbers: Sequence[int], *, by_uid: bool) -> bytes:
        return _numbers([self._entries[number - 1].uid or 0 for number in numbers] if by_uid else numbers)

    def _append(self) -> None:
        messages = b" (\\Seen) {%d+}\r\n%b" % (len(MESSAGE), MESSAGE)
        self._run(b"APPEND " + self.folder + messages * self._dice.choice([1, 1, 1, 3]))

    def _store(self) -> None:
        numbers, by_uid = self._some(), self._dice.random() < 0.5
        if not numbers:
            return
        change = self._dice.choice(["+", "-", ""])
        flags = frozenset(self._dice.sample([*FLAGS, "\\Deleted"], self._dice.randint(1, 3)))
        silent = self._dice.random() < 0.5
        entries = [self._entries[number - 1] for number in numbers]
        came = [
            (entry, {"+": (entry.flags or frozenset()) | flags, "-": (entry.flags or frozenset()) - flags}.get(change, flags))
            for entry in entries
        ]
        unchanged = b""
        if self._qresync and by_uid and self._dice.random() < 0.3:
            unchanged = b" (UNCHANGEDSINCE %d)" % self._modseq
        line = b"%sSTORE %s%s %sFLAGS%s (%s)" % (
            b"UID " if by_uid else b"",
            self._names(numbers, by_uid=by_uid),
            unchanged,
            change.encode(),
            b".SILENT" if silent else b"",
            " ".join(sorted(flags)).encode(),
        )
        self._run(line, counts=not by_uid, expected=came if silent else ())

    def _fetch(self) -> None:
        if numbers := self._some(20):
            by_uid = self._dice.random() < 0.5
            asked = self._names(numbers, by_uid=by_uid)
            self._run(b"%sFETCH %s (UID FLAGS)" % (b"UID " if by_uid else b"", asked), counts=not by_uid)

    def _search(self) -> None:
        self._run(b"SEARCH OR SEEN FLAGGED", counts=True)

    def _noop(self) -> None:
        self._run(b"NOOP")
        self._fill()

    def _idle(self) -> None:
        """Some time; what comes with the next command is told as well."""
        client = self._client
        assert client is not None
        self._tag += 1
        tag = b"M%d " % self._tag
        client.send(tag + b"IDLE\r\n")
        heard: list[bytes] = []
        while not (line := b"".join(client.response())).startswith(b"+"):
            heard.append(line)
        client.socket.settimeout(self._dice.uniform(0.01, 0.2))
        with suppress(TimeoutError):
            client.socket.recv(1, 2)  # MSG_PEEK: something came, or nothing in that time
        client.socket.settimeout(60)
        client.send(b"DONE\r\n")
        while not (line := b"".join(client.response())).startswith(tag):
            heard.append(line)
        self._believe(tag, line, heard, counts=False, expected=())

    def _expunge(self) -> None:
        self._run(b"EXPUNGE")

    def _expunge_some(self) -> None:
        if numbers := self._some(3):
            uids = self._names(numbers, by_uid=True)
            entries = [self._entries[number - 1] for number in numbers]
            came = [(entry, (entry.flags or frozenset()) | {"\\Deleted"}) for entry in entries]
            self._run(b"UID STORE %s +FLAGS.SILENT (\\Deleted)" % uids, expected=came)
            self._run(b"UID EXPUNGE %s" % uids)

    def _move_away(self) -> None:
        if numbers := self._some(3):
            by_uid = self._dice.random() < 0.5
            self._run(b"%sMOVE %s Khac" % (b"UID " if by_uid else b"", self._names(numbers, by_uid=by_uid)))

    def _copy(self) -> None:
        if numbers := self._some(3):
            by_uid = self._dice.random() < 0.5
            self._run(b"%sCOPY %s %s" % (b"UID " if by_uid else b"", self._names(numbers, by_uid=by_uid), self.folder))

    def _bring_back(self) -> None:
        """Another connection moves everything of the other folder into this one."""
        helper = Imap(self._ports()["imap"], self._address, PASSWORD)
        try:
            helper.command(b"SELECT Khac")
            with suppress(Refused):  # others were faster
                helper.command(b"UID MOVE 1:* " + self.folder)
        finally:
            helper.close()

    def _reopen(self) -> None:
        self._run(self._dice.choice(CLOSING))
        if not self._qresync:
            self._entries = []
        self._select()


def _numbers(numbers: Sequence[int]) -> bytes:
    return b",".join(b"%d" % number for number in numbers)


def truth(ports: Mapping[str, int], address: str, folder: bytes = b"Chung") -> Picture:
    """What a new session sees."""
    client = Imap(ports["imap"], address, PASSWORD)
    client.command(b"EXAMINE " + folder)
    seen = []
    for response in client.command(b"UID FETCH 1:* (UID FLAGS)"):
        line = b"".join(response)
        uid, flags = _UID.search(line), _FLAGS.search(line)
        if uid and flags:
            seen.append((int(uid[1]), flags_of(flags[1])))
    client.close()
    return seen
