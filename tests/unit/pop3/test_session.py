"""The core on a real store: what it answers follows a plain model, for any commands and any way to cut them."""

import re
import shutil
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mic_mail.clock import ManualClock
from mic_mail.errors import Text
from mic_mail.pop3 import maildrop
from mic_mail.pop3.context import Pop3Context, SessionSettings, refuse
from mic_mail.pop3.session import VERBS
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import SEEN
from session_harness import START, Host, Pop3Talk, Talk, open_store

MESSAGES = [
    b"Subject: x\r\n\r\n.\r\n..\r\nmot\r\n.hai",
    b"",
    b"Subject: y\n\n.\n\nba",
    b"\r\n.\r\n",
    b"no header ends here\r\n",
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalMailStore]:
    store = open_store(tmp_path)
    yield store
    store.close()


def fill(store: LocalMailStore, messages: Sequence[bytes] = MESSAGES) -> None:
    ctx = Talk(store).sign_in()
    for message in messages:
        answer = ctx.say(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(message), message))
        assert b"a OK" in answer or not message, answer


# ------------------------------------------------------------------ a model


class Model:
    """RFC 1939 §5 in memory."""

    def __init__(self, messages: Sequence[bytes], uidvalidity: int) -> None:
        self.messages = list(messages)
        self.uidvalidity = uidvalidity
        self.deleted: set[int] = set()

    def here(self) -> list[int]:
        return [number for number in range(1, len(self.messages) + 1) if number not in self.deleted]

    def size(self) -> bytes:
        octets = sum(len(self.messages[number - 1]) for number in self.here())
        return b"+OK %d messages (%d octets).\r\n" % (len(self.here()), octets)

    def scan(self, number: int) -> bytes:
        return b"%d %d" % (number, len(self.messages[number - 1]))

    def unique(self, number: int) -> bytes:
        return b"%d %d.%d" % (number, self.uidvalidity, number)

    def answer(self, line: bytes) -> bytes | None:
        """What the server has to say; None for -ERR."""
        word, *arguments = line.split()
        word = word.upper()
        row = {b"LIST": self.scan, b"UIDL": self.unique}.get(word)
        if word in (b"LIST", b"UIDL") and not arguments:
            return self.size() + b"".join([row(number) + b"\r\n" for number in self.here()]) + b".\r\n"
        if word == b"STAT":
            return b"+OK %d %d\r\n" % (len(self.here()), sum(len(self.messages[number - 1]) for number in self.here()))
        if word == b"NOOP":
            return b"+OK\r\n"
        if word == b"RSET":
            self.deleted.clear()
            return self.size()
        number = int(arguments[0]) if arguments and arguments[0].isdigit() else 0
        if number not in self.here():
            return None
        if row is not None:
            return b"+OK " + row(number) + b"\r\n"
        if word == b"DELE":
            self.deleted.add(number)
            return b"+OK Marked as deleted.\r\n"
        message = self.messages[number - 1]
        if word == b"RETR":
            return b"+OK %d octets.\r\n" % len(message) + wire(message)
        lines = re.findall(rb"[^\n]*\n|[^\n]+$", message)
        empty = next((at for at, each in enumerate(lines) if each in (b"\n", b"\r\n")), len(lines))
        return b"+OK Top of the message follows.\r\n" + wire(b"".join(lines[: empty + 1 + int(arguments[1])]))


def wire(message: bytes) -> bytes:
    """Octets as a multi-line response."""
    ended = message if message.endswith(b"\r\n") or not message else message + b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", ended) + b".\r\n"


NUMBER = st.sampled_from([b"1", b"2", b"3", b"4", b"0", b"5", b"99999999999999999999999"])
COMMAND = st.one_of(
    st.sampled_from([b"STAT", b"LIST", b"UIDL", b"NOOP", b"RSET", b"stat"]),
    st.tuples(st.sampled_from([b"LIST", b"UIDL", b"RETR", b"DELE", b"dElE"]), NUMBER).map(b" ".join),
    st.tuples(st.just(b"TOP"), NUMBER, st.sampled_from([b"0", b"1", b"2", b"3", b"99999999999999999999999"])).map(b" ".join),
)


@pytest.fixture(scope="module")
def filled() -> Iterator[LocalMailStore]:
    folder = TemporaryDirectory()
    store = open_store(Path(folder.name))
    fill(store, KEPT)
    yield store
    store.close()
    folder.cleanup()


KEPT = [message for message in MESSAGES if message]


@settings(deadline=None)
@given(commands=st.lists(COMMAND, max_size=25), cuts=st.lists(st.integers(0, 300), max_size=6).map(sorted))
def test_answers_are_the_models_for_every_cut(filled: LocalMailStore, commands: list[bytes], cuts: list[int]) -> None:
    """STAT, LIST, UIDL, RETR, TOP, DELE, RSET and NOOP in any order, pipelined and cut anywhere."""
    octets = b"".join([line + b"\r\n" for line in commands])
    ctx = Pop3Talk(filled, SessionSettings(errors=1000)).sign_in()
    said = b"".join([ctx.say(octets[a:b]) for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)])
    model = Model(KEPT, filled.account(ctx.account.ref).folder("INBOX").uidvalidity)
    for line in commands:
        expected = model.answer(line)
        if expected is None:
            assert said.startswith(b"-ERR "), (line, said)
            said = said[said.index(b"\n") + 1 :]
        else:
            assert said.startswith(expected), (line, said, expected)
            said = said[len(expected) :]
    assert not said
    assert not ctx.notes


WORDS = st.one_of(
    st.sampled_from([*VERBS, b"APOP", b"LANG", b"+OK", b"", b"dvbe", b"right", b"PLAIN", b"="]), st.binary(max_size=9)
)


@settings(deadline=None)
@given(octets=st.lists(st.lists(WORDS, max_size=4).map(b" ".join), max_size=30).map(b"\r\n".join), cut=st.integers(0, 300))
def test_no_octets_find_a_bug(filled: LocalMailStore, octets: bytes, cut: int) -> None:
    """Whatever a stranger says: the same answers for every cut, each a line of at most 512 octets, never a bug."""
    answers = []
    for fed in ([octets + b"\r\n"], [octets[:cut], octets[cut:] + b"\r\n"]):
        ctx = Pop3Talk(filled, tls=False)
        answers.append(ctx.greeting + b"".join([ctx.say(piece) for piece in fed]))
        assert not ctx.notes, ctx.notes
    assert answers[0] == answers[1]
    assert all(len(line) <= 510 for line in answers[0].split(b"\r\n"))
    assert answers[0].endswith(b"\r\n")


# ------------------------------------------------------------------ what the model does not know


def test_only_quit_removes(store: LocalMailStore) -> None:
    """Not a lost connection, not the idle timer, not an end by the server; QUIT removes what is marked and nothing else."""
    fill(store, KEPT)
    lost = Pop3Talk(store).sign_in()
    lost.say(b"DELE 1\r\n")
    lost.session.close()
    idle = Pop3Talk(store).sign_in()
    idle.say(b"DELE 1\r\n")
    idle.clock.move_to(idle.clock.now() + timedelta(seconds=700))
    assert (idle.run(), idle.over) == (b"", True)  # RFC 1939 §3: without any response
    cut = Pop3Talk(store).sign_in()
    cut.say(b"DELE 1\r\n")
    cut.session.end(Text("Ngắt.", "Cut."), b"SYS/PERM")
    assert (cut.run(), cut.over) == (b"-ERR [SYS/PERM] Ngat. / Cut.\r\n", True)
    last = Pop3Talk(store).sign_in()
    assert last.say(b"DELE 2\r\nDELE 4\r\nQUIT\r\n").endswith(b"+OK Goodbye.\r\n")
    again = Pop3Talk(store).sign_in().say(b"UIDL\r\n")
    assert re.findall(rb"(?m)^\d+ \d+\.(\d+)\r$", again) == [b"1", b"3"]
    account = store.account(last.account.ref)
    assert [tombstone.uid for tombstone in account.tombstones()] == [2, 4]
    assert account.undelete() == 2


def test_quit_tells_what_it_could_not_do(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """-ERR where something was not removed, and why; the connection ends all the same (RFC 1939 §6)."""
    fill(store, KEPT)
    ctx = Pop3Talk(store).sign_in()
    ctx.say(b"DELE 1\r\n")
    shutil.rmtree(next(Path(store._root).rglob(".expunged")), ignore_errors=True)
    next(Path(store._root).rglob("Maildir")).joinpath(".expunged").write_bytes(b"in the way")
    answer = ctx.say(b"QUIT\r\n")
    assert answer.startswith(b"-ERR [SYS/TEMP] Chua xoa het cac thu da danh dau."), answer
    assert b" / Some deleted messages were not removed." in answer
    assert ctx.over


def test_a_restored_mailbox_is_left_alone(store: LocalMailStore, tmp_path: Path) -> None:
    """Under another UIDVALIDITY the numbers may mean other messages: nothing is read, nothing is removed."""
    fill(store, KEPT)
    ctx = Pop3Talk(store).sign_in()
    ctx.say(b"DELE 1\r\n")
    account = store.account(ctx.account.ref)
    before = account.folder("INBOX").uidvalidity
    account.backup(tmp_path / "copy")
    for lost in tmp_path.glob("mic.gov.vn/dvbe/Maildir/.mic-folder"):  # else the restored UIDs are proved to be the same
        lost.unlink()
    account.restore(tmp_path / "copy", replace=True)
    assert account.folder("INBOX").uidvalidity != before
    assert ctx.say(b"RETR 2\r\n").endswith(b" / The mailbox was rebuilt; please connect again.\r\n")
    assert b" / Some deleted messages were not removed. The mailbox was rebuilt" in ctx.say(b"QUIT\r\n")
    assert account.folder("INBOX").messages == len(KEPT)


def test_a_message_past_keeping_is_gone_for_retr_alone(store: LocalMailStore) -> None:
    """Its number stays; RETR and TOP are -ERR without a code, the others go on."""
    fill(store, KEPT)
    ctx = Pop3Talk(store).sign_in()
    account = store.account(ctx.account.ref)
    account.remove(account.folder("INBOX").folder_id, [1])
    for path in Path(store._root).rglob(".expunged/*"):
        path.unlink()
    assert ctx.say(b"RETR 1\r\n").endswith(b" / The message no longer exists.\r\n")
    assert ctx.say(b"TOP 1 0\r\n").endswith(b" / The message no longer exists.\r\n")
    assert ctx.say(b"STAT\r\n").startswith(b"+OK 4 ")
    assert ctx.say(b"RETR 2\r\n").startswith(b"+OK ")
    assert ctx.say(b"DELE 1\r\nQUIT\r\n").endswith(b"+OK Goodbye.\r\n")


def test_a_file_that_shrank_cuts_the_connection(store: LocalMailStore) -> None:
    """Lines that cannot be completed are not followed by anything that would be taken for one of them."""
    fill(store, [b"Subject: x\r\n\r\n" + b"x\r\n" * 400_000])
    ctx = Pop3Talk(store).sign_in()
    [path] = [path for path in Path(store._root).rglob("cur/*") if path.is_file()]
    path.chmod(0o600)
    opened = maildrop.LongAnswer.pull

    def pull(self: maildrop.LongAnswer, account: object) -> bytes:
        octets = opened(self, account)  # type: ignore[arg-type]
        path.write_bytes(b"")
        return octets

    maildrop.LongAnswer.pull = pull  # type: ignore[method-assign]
    try:
        answer = ctx.say(b"RETR 1\r\nSTAT\r\n")
    finally:
        maildrop.LongAnswer.pull = opened  # type: ignore[method-assign]
    assert answer.startswith(b"+OK 1200014 octets.\r\n")
    assert b"-ERR" not in answer
    assert not answer.endswith(b"\r\n.\r\n")
    assert ctx.over


def test_seen_follows_in_groups(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many, at QUIT, at an end by the server; what is deleted gets no flag, unless RSET brings it back."""
    monkeypatch.setattr("mic_mail.pop3.session.SEEN_GROUP_MESSAGES", 2)
    fill(store, KEPT)
    account = store.account(Pop3Talk(store).account.ref)
    folder_id = account.folder("INBOX").folder_id

    def seen() -> list[int]:
        view = account.view(folder_id)
        return [uid for uid, flags in zip(view.uids, view.flags, strict=True) if flags & SEEN]

    ctx = Pop3Talk(store).sign_in()
    ctx.say(b"RETR 1\r\n")
    assert (seen(), ctx.used) == ([], 2)  # signing in, and reading
    ctx.say(b"DELE 1\r\nRETR 2\r\n")
    assert seen() == []
    ctx.say(b"RETR 3\r\n")
    assert seen() == [2, 3]
    ctx.say(b"RSET\r\nTOP 4 9\r\nQUIT\r\n")
    assert seen() == [1, 2, 3]
    cut = Pop3Talk(store).sign_in()
    cut.say(b"RETR 4\r\n")
    cut.session.end(Text("Ngắt.", "Cut."), b"SYS/TEMP")
    cut.run()
    assert seen() == [1, 2, 3, 4]


def test_what_is_fetched_to_be_deleted_costs_no_flag(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """RETR and DELE one after the other, as most programs do: one piece of work for each message, and QUIT's."""
    monkeypatch.setattr("mic_mail.pop3.session.SEEN_GROUP_MESSAGES", 2)
    fill(store, KEPT)
    ctx = Pop3Talk(store).sign_in()
    before = ctx.work
    ctx.say(b"".join([b"RETR %d\r\nDELE %d\r\n" % (number, number) for number in (1, 2, 3, 4)]) + b"QUIT\r\n")
    assert ctx.over
    assert ctx.work - before == 5


def test_a_session_that_is_cut_ends_within_a_long_answer(store: LocalMailStore) -> None:
    """After the slice in progress; no line end and no dot makes it look whole."""
    fill(store, [b"Subject: x\r\n\r\n" + b"x\r\n" * 1_000_000])
    ctx = Pop3Talk(store).sign_in()
    ctx.session.feed(b"RETR 1\r\n")
    sent = b""
    while len(sent) < 300_000:
        step = ctx.session.next()
        sent += getattr(step, "data", b"")
        ctx.session.done(step, ctx.result_of(step))
    ctx.session.end(Text("Ngắt.", "Cut."), b"SYS/PERM")
    sent += ctx.run()
    assert ctx.over
    assert len(sent) < 1_000_000
    assert b"-ERR" not in sent
    assert not sent.endswith(b"\r\n.\r\n")


def test_an_account_that_cannot_be_read_ends_the_sign_in(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """-ERR [SYS/TEMP], and the end: the server may close (RFC 1939 §4)."""

    def unavailable(account: object) -> maildrop.Maildrop:
        raise Unavailable("by a test")

    monkeypatch.setattr(maildrop.Maildrop, "open", unavailable)
    ctx = Pop3Talk(store)
    assert ctx.say(b"USER dvbe\r\nPASS right\r\nSTAT\r\n").endswith(b" / The mailbox is temporarily unavailable.\r\n")
    assert ctx.over


def test_lists_of_many_messages_come_in_slices(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is marked in between: the lists are whole."""
    monkeypatch.setattr(maildrop, "LINES_AT_ONCE", 2)
    monkeypatch.setattr(maildrop, "SLICE_OCTETS", 1)
    fill(store, KEPT)
    for marked in ((), (1, 2), (3, 4), (1, 2, 3, 4), (2, 3)):
        ctx = Pop3Talk(store).sign_in()
        for number in marked:
            ctx.say(b"DELE %d\r\n" % number)
        before = ctx.work
        answer = ctx.say(b"LIST\r\n")
        assert ctx.work - before >= 2
        assert re.findall(rb"(?m)^(\d+) \d+\r$", answer) == [b"%d" % n for n in (1, 2, 3, 4) if n not in marked]
        assert answer.endswith(b"\r\n.\r\n")


def test_quit_removes_many_in_groups(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each group is one commit, and others have their turn in between; all of them go."""
    monkeypatch.setattr(maildrop, "REMOVED_AT_ONCE", 2)
    fill(store, KEPT)
    ctx = Pop3Talk(store).sign_in()
    ctx.say(b"DELE 1\r\nDELE 2\r\nDELE 4\r\n")
    before = ctx.work
    assert ctx.say(b"QUIT\r\n") == b"+OK Goodbye.\r\n"
    assert ctx.work - before >= 2
    assert Pop3Talk(store).sign_in().say(b"STAT\r\n").startswith(b"+OK 1 ")


@pytest.mark.parametrize("utf8", [False, True])
def test_a_first_line_has_512_octets_and_no_half_letters(utf8: bool) -> None:
    """RFC 2449 §4; what does not fit is left away, code and line end stay."""
    ctx = Pop3Context(SessionSettings(), clock=ManualClock(START), host=Host(), tls=True)
    ctx.utf8 = utf8
    for more in range(4):
        ctx.say_reply(refuse(Text("x" * more + "ệ" * 700, "x" * 700), b"SYS/PERM"))
        line = ctx.take_output()
        assert line.startswith(b"-ERR [SYS/PERM] " + (b"x" if more else b"\xe1" if utf8 else b"e"))
        assert line.endswith(b"\r\n")
        assert 509 < len(line) <= 512
        line.decode()
