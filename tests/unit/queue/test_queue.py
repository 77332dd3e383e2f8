"""Entries that wait to leave: what they say of themselves, and what a kill at any step leaves of them."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addresses import parsed
from kills import killed_before
from mic_mail.errors import Text
from mic_mail.mime.original_recipient import OriginalRecipient
from mic_mail.queue.errors import SpoolUnavailable
from mic_mail.queue.local_queue import LocalQueue
from mic_mail.queue.local_spool import LocalSpool
from mic_mail.queue.queue import EntryEnded, Queue, QueueEntry, QueueEnvelope, QueueRecipient
from mic_mail.queue.recipient_log import AdminDecision, EntryState, Standing
from mic_mail.queue.spool import ELSEWHERE, SpoolEnvelope, SpoolTarget
from queue_grounds import NewQueue, rest

MESSAGE = b"Return-Path: <a@mic.gov.vn>\r\nSubject: x\r\n\r\nx\r\n"


def envelope(*addresses: str) -> QueueEnvelope:
    recipients = tuple(
        QueueRecipient(parsed(address), ("FAILURE",), OriginalRecipient.parse("rfc822;x"))
        for address in addresses or ("b@example.org",)
    )
    return QueueEnvelope(
        trace_id="ID", sender=parsed("a@mic.gov.vn"), recipients=recipients, accepted_at_us=5, return_path_octets=28, envid="q",
        submitted_by=7,
    )  # fmt: skip


@pytest.fixture
def message(tmp_path: Path) -> Path:
    path = tmp_path / "message"
    path.write_bytes(MESSAGE)
    path.chmod(0o440)
    return path


@pytest.fixture
def queue(new_queue: NewQueue) -> Queue:
    return new_queue()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalQueue]:
    queue = LocalQueue(tmp_path / "queue")
    yield queue
    queue.close()


def files(queue: LocalQueue) -> set[str]:
    root = queue._tmp.parent
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def put(queue: Queue, message: Path, *addresses: str) -> QueueEntry:
    """Put an entry, and take it up as the process that sends."""
    queue.put("ID", message, envelope(*addresses))
    (entry,) = queue.take_up(["ID"])
    assert isinstance(entry, QueueEntry)
    return entry


def test_the_life_of_an_entry(queue: Queue, message: Path) -> None:
    entry = put(queue, message, "b@example.org", "c@example.org")
    assert rest(queue) == {"ID"}
    assert (entry.envelope, entry.state) == (envelope("b@example.org", "c@example.org"), EntryState.fresh(2))
    assert (entry.octets, entry.beginning(14)) == (len(MESSAGE) - 28, MESSAGE[28:42])
    entry.begin_use()
    entry.fetch()
    assert entry.path.read_bytes() == MESSAGE
    entry.end_use()
    entry.tried([0], Standing.DELIVERED, "250 ok", next_try_us=0)
    entry.tried([1], Standing.OPEN, "450 grey", next_try_us=99)
    (again,) = queue.entries()
    assert again.state == entry.state
    assert [each.standing for each in again.state.recipients] == [Standing.DELIVERED, Standing.OPEN]
    assert [(each.reason, each.attempts) for each in again.state.recipients] == [("250 ok", 1), ("450 grey", 1)]
    assert again.state.next_try_us == 99
    again.tried([1], Standing.FAILED, "550 no", next_try_us=0)
    assert again.state.open == ()
    again.end()
    assert rest(queue) == set()
    assert message.read_bytes() == MESSAGE


def test_a_sentence_of_this_server_is_kept_in_both_languages(queue: Queue, message: Path) -> None:
    """A sentence of this server is read again in the reader's language; another server's reply stays as it came."""
    entry = put(queue, message, "b@example.org", "c@example.org")
    own = Text("4.4.1 không kết nối được", "4.4.1 no connection")
    entry.tried([0], Standing.OPEN, own, next_try_us=9)
    entry.tried([1], Standing.OPEN, "450 grey", next_try_us=9)
    (again,) = queue.entries()
    assert again.state == entry.state
    assert tuple(each.text for each in again.state.recipients) == (own, "450 grey")
    assert [each.reason for each in again.state.recipients] == ["4.4.1 no connection", "450 grey"]
    again.tried([0], Standing.OPEN, "451 later", next_try_us=9)
    assert again.state.recipients[0].text == "451 later"


def test_an_entry_is_made_once(queue: Queue, message: Path) -> None:
    """The spool may hand the same message on again after a kill."""
    put(queue, message).tried([0], Standing.DELIVERED, "250 ok", next_try_us=0)
    entry = put(queue, message, "other@example.org")
    assert entry.envelope == envelope()
    assert entry.state.open == ()


def test_what_people_decide(queue: Queue, message: Path) -> None:
    """Held, let go, tried at once, dropped; whoever sends sees it when it looks."""
    sender, person = put(queue, message, "b@example.org", "c@example.org"), next(queue.entries())
    sender.tried([0, 1], Standing.OPEN, "timeout", next_try_us=99)
    person.hold()
    sender.refresh()
    assert (sender.state.is_held, sender.state.next_try_us) == (True, 99)
    person.retry()
    person.drop([1], AdminDecision("mai", "nhầm người nhận"))
    sender.refresh()
    assert (sender.state.is_held, sender.state.next_try_us, sender.state.open) == (True, 0, (0,))
    assert sender.state.recipients[1].standing is Standing.DROPPED
    assert sender.state.recipients[1].reason == "nhầm người nhận"


def test_a_retry_each_minute_leaves_one_word(queue: Queue, message: Path) -> None:
    """What stands between other decisions is kept."""
    entry = put(queue, message)
    for at_us in range(1, 4):
        entry.retry(AdminDecision("mai", at_us=at_us))
    entry.hold(AdminDecision("mai", "chờ", 4))
    entry.release(AdminDecision("lan", "xong", 5))
    entry.retry(AdminDecision("mai", at_us=6))
    (again,) = queue.entries()
    words = [(each.did, each.by.actor, each.by.at_us) for each in again.state.decisions]
    assert words == [("retry", "mai", 3), ("hold", "mai", 4), ("release", "lan", 5), ("retry", "mai", 6)]
    assert queue.decided() == ["ID"]
    assert queue.decided() == []


def test_nothing_is_decided_of_what_has_ended(queue: Queue, message: Path) -> None:
    """And nothing of the decision stays behind."""
    entry = put(queue, message)
    (other,) = queue.entries()
    other.end()
    for decide in (entry.retry, entry.hold, lambda: entry.drop([0], AdminDecision("mai", "x"))):
        with pytest.raises(EntryEnded):
            decide()
    assert rest(queue) == set()


def test_what_was_dropped_and_delivered_all_the_same(queue: Queue, message: Path) -> None:
    """It has been delivered, and its sender is told nothing."""
    entry = put(queue, message, "b@example.org", "c@example.org")
    entry.drop([0, 1], AdminDecision("mai", "x"))
    assert entry.state.unreported == (0, 1)
    entry.tried([0], Standing.DELIVERED, "2.0.0 ok", next_try_us=0)
    entry.tried([1], Standing.FAILED, "5.0.0 no", next_try_us=0)
    (again,) = queue.entries()
    assert [each.standing for each in again.state.recipients] == [Standing.DELIVERED, Standing.DROPPED]
    assert again.state.unreported == (1,)
    assert again.state.dropped_by(1) == AdminDecision("mai", "x")


def test_what_is_settled_stays_so(queue: Queue, message: Path) -> None:
    entry = put(queue, message)
    entry.tried([0], Standing.DELIVERED, "250", next_try_us=0)
    entry.drop([0], AdminDecision("mai", "too late"))
    assert [each.standing for each in entry.state.recipients] == [Standing.DELIVERED]


def test_how_long_it_was_is_not_known_of_what_has_ended(local: LocalQueue, message: Path) -> None:
    """Somebody may look at an entry while whoever sends ends it."""
    entry = put(local, message)
    assert entry.octets == len(MESSAGE) - entry.envelope.return_path_octets
    (seen_by_the_sender,) = local.entries()
    seen_by_the_sender.end()
    with pytest.raises(EntryEnded, match="left the queue"):
        _ = entry.octets


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_line_that_was_cut(local: LocalQueue, message: Path, cut: int) -> None:
    """It never was; what comes after it counts."""
    entry = put(local, message, "b@example.org", "c@example.org")
    entry.tried([0], Standing.DELIVERED, "250 ok", next_try_us=0)
    log = local._live / "ID.log"
    whole = log.read_bytes()
    log.write_bytes(whole + whole[:cut])
    (again,) = local.entries()
    assert again.state == entry.state
    again.tried([1], Standing.DELIVERED, "250 too", next_try_us=0)
    (last,) = local.entries()
    assert last.state.open == ()


@pytest.mark.parametrize("octets", [b"", b"{}", b"[]", b'{"format": 2}', b"\xff"])
def test_an_envelope_that_cannot_be_read_is_left_to_people(local: LocalQueue, message: Path, octets: bytes) -> None:
    put(local, message)
    (local._live / "ID.env").write_bytes(octets)
    assert list(local.entries()) == []
    local.sweep()
    assert files(local) == {"live/ID.msg", "live/ID.env"}


LINES = [
    b"null",
    b'{"did":"try"}',
    b'{"did":"drop","places":[9],"reason":""}',
    b'{"did":"hold","hold":"x"}',
    b'{"did":"try","places":["x"],"standing":"open","reason":"","next_try_us":0}',
]


@given(st.lists(st.one_of(st.binary(max_size=20), st.sampled_from(LINES))))
def test_any_log_is_read(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("q")
    queue = LocalQueue(folder)
    (folder / "m").write_bytes(MESSAGE)
    queue.put("ID", folder / "m", envelope())
    (folder / "live/ID.log").write_bytes(b"\n".join(lines))
    (entry,) = queue.entries()
    assert len(entry.state.recipients) == 1
    queue.close()


def test_a_disk_that_takes_nothing(local: LocalQueue, message: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left behind, whichever step it was."""
    for name in ("link", "fsync", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
            with pytest.raises(SpoolUnavailable):
                local.put("ID", message, envelope())
        assert files(local) == set(), name


def test_a_line_that_the_disk_does_not_take(local: LocalQueue, message: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts for whoever has said it, also after a look at the file, and is written with the next one."""
    entry = put(local, message, "b@example.org", "c@example.org")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(SpoolUnavailable):
            entry.tried([0], Standing.DELIVERED, "250 ok", next_try_us=0)
    assert entry.refresh()
    assert entry.state.open == (1,)
    entry.tried([1], Standing.OPEN, "450", next_try_us=9)
    (again,) = local.entries()
    assert again.state == entry.state


# ------------------------------------------------------------ kills

STEPS = ("link", "ftruncate", "fsync", "rename", "unlink")


def test_a_kill_at_any_step_of_accepting(tmp_path: Path, message: Path) -> None:
    """There is a whole entry, or nothing after the sweep; and the same call makes it whole afterwards."""
    step, was_killed = 0, True
    while was_killed:
        step += 1
        queue = LocalQueue(tmp_path / f"queue{step}")
        was_killed = killed_before(step, lambda: queue.put("ID", message, envelope()), STEPS)  # noqa: B023 - called at once
        queue.sweep()
        assert files(queue) in (set(), {"live/ID.msg", "live/ID.env"}), step
        queue.put("ID", message, envelope())
        (entry,) = queue.entries()
        assert (entry.envelope, entry.path.read_bytes()) == (envelope(), MESSAGE)
        queue.close()
    assert step > 5


def test_a_kill_at_any_step_of_ending(tmp_path: Path, message: Path) -> None:
    """The entry is there as it was, or gone after the sweep."""
    step, was_killed = 0, True
    while was_killed:
        step += 1
        queue = LocalQueue(tmp_path / f"queue{step}")
        entry = put(queue, message)
        entry.tried([0], Standing.DELIVERED, "250", next_try_us=0)
        was_killed = killed_before(step, entry.end, STEPS)
        queue.sweep()
        assert files(queue) in (set(), {"live/ID.msg", "live/ID.env", "live/ID.log"}), step
        queue.close()
    assert step > 2


def test_what_was_sent_is_not_put_again(tmp_path: Path, message: Path) -> None:
    """Who puts is killed before the spool knows of it, and meanwhile it was sent: whoever takes the spool's entry up puts it
    once more, and nothing comes of that; when the spool has ended its entry, nothing is left. At any step of ending."""
    step, was_killed = 0, True
    while was_killed:
        step += 1
        root = tmp_path / str(step)
        spool = LocalSpool(root / "spool")
        queue = LocalQueue(root / "queue", comes_again=spool.has)
        draft = spool.draft("ID")
        draft.write(MESSAGE)
        slip = SpoolEnvelope(
            trace_id="ID",
            sender=parsed("a@mic.gov.vn"),
            targets=(SpoolTarget(ELSEWHERE, parsed("b@example.org")),),
            accepted_at_us=5,
        )
        spooled = draft.commit(slip)
        sent = put(queue, spooled.path)
        spooled.release()  # killed
        was_killed = killed_before(step, sent.end, STEPS)
        for entry in queue.entries():  # who sends is killed and comes back
            entry.end()
        queue.sweep()
        (again,) = spool.recover()
        queue.put("ID", again.path, envelope())
        assert queue.names() == [], step
        again.settle([ELSEWHERE], now_us=9)
        queue.forget_ended()
        assert files(queue) == set()
        queue.close()
        spool.close()
    assert step > 2


def test_a_sweep_beside_who_puts(tmp_path: Path, message: Path) -> None:
    """Nothing that somebody alive is making is swept away."""
    queue, ending = LocalQueue(tmp_path / "queue"), threading.Event()

    def sweep() -> None:
        other = LocalQueue(tmp_path / "queue")
        while not ending.is_set():
            other.sweep()
        other.close()

    sweeping = threading.Thread(target=sweep)
    sweeping.start()
    try:
        for number in range(300):
            queue.put(f"ID{number}", message, envelope())
    finally:
        ending.set()
        sweeping.join()
    assert len(list(queue.entries())) == 300


def test_many_who_put_the_same(new_queue: NewQueue, message: Path) -> None:
    """One of them makes it; none spoils it."""
    queue, other = new_queue(), new_queue()
    for number in range(30):
        writers = [queue, other] * 4
        threads = [threading.Thread(target=each.put, args=(f"ID{number}", message, envelope())) for each in writers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    queue.sweep()
    assert [entry.envelope for entry in queue.entries()] == [envelope()] * 30
    assert len(rest(queue)) == 30


def test_lines_of_two_processes_do_not_mix(local: LocalQueue, message: Path) -> None:
    """A person holds and lets go while somebody sends."""
    entry, person = put(local, message, *(f"u{number}@example.org" for number in range(200))), next(local.entries())
    writing = threading.Thread(target=lambda: [person.release() for _ in range(200)])
    writing.start()
    for place in range(200):
        entry.tried([place], Standing.DELIVERED, "x" * 500, next_try_us=0)
    writing.join()
    lines = (local._live / "ID.log").read_bytes().splitlines()
    # A line that crosses a page is seen half by who asks for the end just then, and gets an empty one behind it: no harm.
    assert len([json.loads(line) for line in lines if line]) == 400
    (again,) = local.entries()
    assert again.state.open == ()
