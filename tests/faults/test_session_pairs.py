"""Each two commands by two sessions in two workers on the same messages at the same time: whoever is second hears the truth.

Both commands are sent before either answer is read, first the one, then the other first. Each answer has to be one that the
RFC allows (`faults.client_mirror` asserts it of every untagged line), and afterwards both sessions, a new one and the check of
`mailbox repair` agree.
"""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import pytest

from faults.client_mirror import MESSAGE, Mirror, truth
from faults.wire import Cut, Imap
from harness import ProcessServer, config_for, stopping
from mic_mail.clock import SystemClock
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef
from population import PASSWORD

pytestmark = pytest.mark.slow

DVBE = "dvbe@mic.gov.vn"
FOLDERS = 3_000
"""A mailbox may keep twice as many, deleted ones included: all the pairs make 3,200."""
APPENDING = b" (\\Seen) {%d+}\r\n%b" % (len(MESSAGE), MESSAGE)

COMMANDS: dict[str, bytes] = {
    "SELECT": b"",  # as the mirror would: QRESYNC from what it knows
    "FETCH": b"FETCH 1:* (UID FLAGS BODY.PEEK[TEXT])",
    "STORE": b"STORE 1:* +FLAGS (\\Flagged %(who)b)",
    "UID STORE": b"UID STORE 1:* FLAGS (\\Deleted %(who)b)",
    "EXPUNGE": b"EXPUNGE",
    "MOVE": b"MOVE 1:3 %(other)b",
    "COPY": b"COPY 2:4 %(folder)b",
    "APPEND": b"APPEND %(folder)b" + APPENDING,
    "RENAME": b"RENAME %(folder)b %(folder)b-%(who)b",
    "DELETE": b"DELETE %(folder)b",
}
COUNTS = {"FETCH", "STORE"}
"""In their answers no EXPUNGE may come (RFC 9051 §7.5.1)."""
REFUSALS = {
    "SELECT": (b"NONEXISTENT",),
    "FETCH": (b"NONEXISTENT", b"EXPUNGEISSUED"),
    "STORE": (b"NONEXISTENT", b"EXPUNGEISSUED"),
    "UID STORE": (b"NONEXISTENT",),
    "EXPUNGE": (b"NONEXISTENT",),
    "MOVE": (b"NONEXISTENT", b"EXPUNGEISSUED"),
    "COPY": (b"NONEXISTENT", b"TRYCREATE", b"EXPUNGEISSUED"),
    "APPEND": (b"TRYCREATE",),
    "RENAME": (b"NONEXISTENT",),
    "DELETE": (b"NONEXISTENT",),
}
"""The codes with which each may be refused, because the other one was first."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessServer]:
    """One for all pairs, since each has folders of its own."""
    folder: Path = tmp_path_factory.mktemp("pairs")
    settings = {"auth": {"cleartext": True}, "process": {"workers": 2}, "storage": {"folders": FOLDERS}}
    server = ProcessServer(config_for(folder / "data", settings), folder)
    with stopping([server]):
        server.home = server.population.issue("dvbe")  # type: ignore[attr-defined]
        server.start()
        yield server


class Round:
    """Two sessions with five messages before them, some of them \\Deleted."""

    def __init__(self, server: ProcessServer, name: str) -> None:
        self.server = server
        self.folder = name.encode()
        self.other = self.folder + b".khac"
        self.helper = Imap(server.ports["imap"], DVBE, PASSWORD)
        self.helper.command(b"CREATE " + self.folder)
        self.helper.command(b"CREATE " + self.other)
        self.helper.command(b"APPEND " + self.folder + APPENDING * 5)
        self.helper.command(b"SELECT " + self.folder)
        self.helper.command(b"STORE 2,5 +FLAGS (\\Deleted)")
        self.helper.command(b"UNSELECT")
        self.mirrors = [
            Mirror(lambda: server.ports, DVBE, f"{name}.{number}", qresync=number == 1, folder=self.folder)
            for number in range(2)
        ]
        for mirror in self.mirrors:
            mirror.connect()

    def race(self, verbs: tuple[str, str], order: tuple[int, int]) -> None:
        """`verbs[0]` is the first mirror's; `order` says who sends first."""
        commands = [
            COMMANDS[verb] % {b"folder": self.folder, b"other": self.other, b"who": b"ab"[who : who + 1]}
            for who, verb in enumerate(verbs)
        ]
        alive = [True, True]
        answers = [b"", b""]
        for who in order:
            if verbs[who] == "SELECT":
                self.mirrors[who].send_select()
            else:
                self.mirrors[who].send(commands[who])
        for who in order:
            try:
                if verbs[who] == "SELECT":
                    answers[who] = self.mirrors[who].selected()
                else:
                    answers[who] = self.mirrors[who].answer(commands[who], counts=verbs[who] in COUNTS)
            except Cut:
                assert "DELETE" in verbs, (verbs, self.mirrors[who].transcript())  # the mailbox is no more
                alive[who] = False
        for who, verb in enumerate(verbs):
            if answers[who].startswith(b"NO "):
                assert answers[who][3:].startswith(tuple(b"[%b]" % code for code in REFUSALS[verb])), (verbs, answers)
        for verb in ("RENAME", "DELETE"):
            if verbs == (verb, verb):
                assert sum(answer.startswith(b"OK") for answer in answers) == 1, answers
        self.compare(verbs, answers)

    def compare(self, verbs: tuple[str, str], answers: list[bytes]) -> None:
        gone = any(verb == "DELETE" and answer.startswith(b"OK") for verb, answer in zip(verbs, answers, strict=True))
        for who, verb in enumerate(verbs):
            if verb == "RENAME" and answers[who].startswith(b"OK"):
                self.helper.command(b"RENAME %b-%b %b" % (self.folder, b"ab"[who : who + 1], self.folder))
        for verb, answer, mirror in zip(verbs, answers, self.mirrors, strict=True):
            if verb == "SELECT" and answer.startswith(b"NO"):
                mirror.close()  # it has nothing open, and opens it for its picture
        if not gone:
            seen = truth(self.server.ports, DVBE, self.folder)
            for mirror in self.mirrors:
                wrong = [pair for pair in zip_longest(mirror.picture(), seen) if pair[0] != pair[1]]
                assert wrong == [], f"{verbs} {answers}\n{mirror.name}\n{mirror.transcript()}"
            uids = [uid for uid, _ in seen]
            assert uids == sorted(set(uids))

    def close(self) -> None:
        for mirror in self.mirrors:
            mirror.close()
        for name in (self.folder, self.other):
            self.helper.send(b"x DELETE " + name + b"\r\n")
            while not self.helper.line().startswith(b"x "):
                pass
        self.helper.close()


@pytest.mark.parametrize("times", [2, pytest.param(6, marks=pytest.mark.campaign)])
@pytest.mark.parametrize("second", COMMANDS)
@pytest.mark.parametrize("first", COMMANDS)
def test_two_commands_at_once(server: ProcessServer, first: str, second: str, times: int) -> None:
    """In both orders, some times each."""
    for turn in range(2 * times):
        pair = Round(server, f"{first}-{second}-{times}-{turn}".replace(" ", ""))
        try:
            pair.race((first, second), (0, 1) if turn % 2 else (1, 0))
        finally:
            pair.close()
    store = LocalMailStore(server.config.mail_root, clock=SystemClock(), host="checking")
    mailbox = server.home  # type: ignore[attr-defined]
    report = store.account(AccountRef(mailbox.mailbox_id, mailbox.home)).repair(check=True)
    assert report.clean, report.findings
    store.close()
