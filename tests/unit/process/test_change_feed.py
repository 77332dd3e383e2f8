"""The change feed: within a process, between processes, when datagrams are lost, and when nobody tells at all."""

import asyncio
import contextlib
import errno
import os
import random
import selectors
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import pytest

from mic_mail.process import change_feed
from mic_mail.process.change_feed import Feed, Subscription, notify_account_changed, notify_directory_changed
from mic_mail.process.file_traces import Traces
from waiting import stays_on_loop, wait_on_loop

NEVER = 36_000.0
"""A period of polling that no test lives to see."""


@pytest.fixture
async def feeds(tmp_path: Path) -> AsyncIterator[Callable[..., Feed]]:
    """Make feeds of one server; they are closed in the end."""
    made: list[Feed] = []

    def make(name: str, *, poll_seconds: float = NEVER) -> Feed:
        made.append(Feed(tmp_path, name, poll_seconds=poll_seconds))
        for feed in made:
            feed._peers.refresh()
        return made[-1]

    yield make
    for feed in made:
        feed.close()


async def test_watchers_hear_of_changes_of_their_account_only(feeds: Callable[..., Feed]) -> None:
    """A change reaches every subscriber of the account, on the loop, and no other."""
    feed = feeds("worker0")
    heard: list[tuple[str, int]] = []
    feed.subscribe(1, lambda modseq: heard.append(("first", modseq)))
    feed.subscribe(1, lambda modseq: heard.append(("second", modseq)))
    feed.subscribe(2, lambda modseq: heard.append(("other", modseq)))
    feed.changed(1, 7)
    await wait_on_loop(lambda: len(heard) >= 2)
    assert sorted(heard) == [("first", 7), ("second", 7)]


async def test_the_reply_comes_before_the_feed(feeds: Callable[..., Feed]) -> None:
    """A thread reports a change and then hands over its result: the client is answered before others are notified."""
    feed, loop = feeds("worker0"), asyncio.get_running_loop()
    order: list[str] = []
    feed.subscribe(1, lambda modseq: order.append("notified"))

    def call() -> None:
        feed.changed(1, 7)
        loop.call_soon_threadsafe(order.append, "answered")

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()  # the loop waits as it would for the interpreter lock
    await wait_on_loop(lambda: len(order) == 2)
    assert order == ["answered", "notified"]


async def test_many_watchers_do_not_keep_the_loop(feeds: Callable[..., Feed]) -> None:
    """A unit's mailbox may be open in hundreds of sessions: what else there is to do gets its turn between them, and a newer
    change that comes meanwhile reaches all."""
    feed = feeds("worker0")
    heard: dict[int, list[int]] = {number: [] for number in range(200)}
    turns: list[int] = []

    def other_work() -> None:
        turns.append(sum(map(bool, heard.values())))
        if turns[-1] == 100:
            feed.changed(1, 8)
        if turns[-1] < len(heard):
            asyncio.get_running_loop().call_soon(other_work)

    for told in heard.values():
        feed.subscribe(1, told.append)
    feed.changed(1, 7)
    other_work()
    await wait_on_loop(lambda: all(told[-1:] == [8] for told in heard.values()))
    assert len(turns) > 40
    assert all(told in ([7, 8], [8]) for told in heard.values())


async def test_changes_of_one_turn_are_told_once_with_the_newest_modseq(feeds: Callable[..., Feed]) -> None:
    """A thousand changes in a burst are one call."""
    feed = feeds("worker0")
    heard: list[int] = []
    feed.subscribe(1, heard.append)
    for modseq in range(1, 1001):
        feed.changed(1, modseq)
    await wait_on_loop(lambda: heard)
    assert heard == [1000]


async def test_a_new_process_is_known_at_once(tmp_path: Path) -> None:
    """It says that it is there; nobody waits for the next poll to tell it of changes."""
    first = Feed(tmp_path, "worker0", poll_seconds=NEVER)
    second = Feed(tmp_path, "worker1", poll_seconds=NEVER)
    heard: list[int] = []
    second.subscribe(1, heard.append)
    await wait_on_loop(lambda: first._peers._names)
    first.changed(1, 7)
    await wait_on_loop(lambda: heard)
    first.close()
    second.close()


async def test_words_reach_every_sibling_and_not_the_speaker(feeds: Callable[..., Feed]) -> None:
    """Octets as they are."""
    heard: list[tuple[str, bytes]] = []
    names = ("worker0", "worker1", "house")
    made = {name: feeds(name) for name in names}
    for name in names:
        made[name].listen(lambda word, name=name: heard.append((name, word)))  # type: ignore[misc]
    made["worker0"].send(b"\0one")
    made["worker0"].send(b"")
    await wait_on_loop(lambda: len(heard) >= 4)
    assert sorted(heard) == [("house", b""), ("house", b"\0one"), ("worker1", b""), ("worker1", b"\0one")]


async def test_a_closed_subscription_hears_nothing_more(feeds: Callable[..., Feed]) -> None:
    """Sessions that ended cost nothing."""
    feed = feeds("worker0")
    heard: list[int] = []
    subscription = feed.subscribe(1, heard.append)
    feed.changed(1, 1)
    await wait_on_loop(lambda: heard)
    subscription.close()
    subscription.close()
    feed.changed(1, 2)
    await stays_on_loop(lambda: heard == [1], seconds=0.05)
    assert not feed._watched


async def test_a_subscriber_may_close_itself_and_others_while_it_is_called(feeds: Callable[..., Feed]) -> None:
    """A session that ends at a change disturbs no other."""
    feed = feeds("worker0")
    heard: list[str] = []
    first = feed.subscribe(1, lambda _: (heard.append("first"), first.close()))
    feed.subscribe(1, lambda _: heard.append("second"))
    feed.changed(1, 1)
    await wait_on_loop(lambda: len(heard) >= 2)
    assert sorted(heard) == ["first", "second"]


async def test_siblings_hear_each_other(feeds: Callable[..., Feed]) -> None:
    """A delivery in one worker wakes an IDLE session in another."""
    one, two = feeds("worker0"), feeds("worker1")
    heard: list[int] = []
    two.subscribe(5, heard.append)
    threading.Thread(target=one.changed, args=(5, 9)).start()
    await wait_on_loop(lambda: heard == [9])


def unread(feed: Feed) -> list[bytes]:
    """What lies in its socket; it does not read by itself any more."""
    asyncio.get_running_loop().remove_reader(feed._socket.fileno())
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(feed._socket.recv(10_000))
    return found


async def tell(feed: Feed, *account_ids: int) -> None:
    for account_id in account_ids:
        feed.changed(account_id, 7)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_nobody_is_woken_by_what_nobody_there_watches(feeds: Callable[..., Feed], tmp_path: Path) -> None:
    """From the first subscription to the poll after the end of the last one; also after a restart, and not where it cannot be
    known."""
    worker, sibling = feeds("worker0"), Feed(tmp_path, "worker1", poll_seconds=NEVER)
    worker._peers.refresh()
    unread(sibling)
    await tell(worker, 1)
    assert not unread(sibling)
    first, second = sibling.subscribe(1, lambda modseq: None), sibling.subscribe(1, lambda modseq: None)
    first.close()
    await tell(worker, 1, 2, 3)
    assert [len(datagram) for datagram in unread(sibling)] == [17]
    second.close()
    await tell(worker, 1)
    assert len(unread(sibling)) == 1
    await sibling._poll((), is_whole=True)
    await tell(worker, 1)
    assert not unread(sibling)
    sibling.subscribe(1, lambda modseq: None)
    sibling.close()
    sibling = feeds("worker1")
    unread(sibling)
    await tell(worker, 1)
    assert not unread(sibling)
    sibling.subscribe(5_000, lambda modseq: None)
    await tell(worker, 5_000)
    assert len(unread(sibling)) == 1
    (tmp_path / "watched.worker1").unlink()
    worker._peers.refresh()
    await tell(worker, 9)
    assert len(unread(sibling)) == 1


async def test_changes_of_one_turn_are_looked_up_together(
    feeds: Callable[..., Feed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One read of a sibling's watchlist for all of them, also for those beyond its end."""
    worker, sibling = feeds("worker0"), feeds("worker1")
    worker._peers.refresh()
    heard: list[tuple[int, int]] = []
    for account_id in (3, 5):
        sibling.subscribe(account_id, lambda modseq, account_id=account_id: heard.append((account_id, modseq)))
    real, read = os.pread, []
    monkeypatch.setattr(os, "pread", lambda fd, octets, at: read.append((octets, at)) or real(fd, octets, at))
    await tell(worker, 9, 5, 4, 3)
    assert read == [(7, 3)]
    await wait_on_loop(lambda: sorted(heard) == [(3, 7), (5, 7)])
    await tell(worker, 3, 1_000_000)
    assert read[1:] == [(1, 3), (1, 1_000_000)], "nothing between accounts that are far apart is read"
    worker._peers.publish({})


async def test_who_comes_again_and_again_writes_the_watchlist_once(
    feeds: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that signs in every second is in the list until the poll that finds it gone."""
    feed = feeds("worker0")
    written: list[tuple[bytes, int]] = []
    monkeypatch.setattr(os, "pwrite", lambda fd, octets, at: written.append((octets, at)))
    for _ in range(10):
        feed.subscribe(7, lambda modseq: None).close()
    assert written == [(b"\1", 7)]
    again = feed.subscribe(7, lambda modseq: None)
    await feed._poll((), is_whole=True)
    assert len(written) == 1
    again.close()
    for _ in range(2):
        await feed._poll((), is_whole=True)
    assert written[1:] == [(b"\0", 7)]


async def test_where_a_watchlist_has_no_room_everything_is_told(
    feeds: Callable[..., Feed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk costs wakings, not news."""
    worker, sibling = feeds("worker0"), feeds("worker1")

    def full(fd: int, octets: bytes, at: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as moment:
        moment.setattr(os, "pwrite", full)
        heard: list[int] = []
        sibling.subscribe(1, heard.append)
    worker._peers.refresh()  # as every poll does
    worker.changed(1, 7)
    await wait_on_loop(lambda: heard == [7])


async def test_a_full_queue_is_owed_one_check_of_everything(feeds: Callable[..., Feed]) -> None:
    """A sibling that does not read for a while misses nothing: when it reads again it looks at all it watches."""
    one, two = feeds("worker0"), feeds("worker1")
    truth = dict.fromkeys(range(1, 101), 0)
    heard: dict[int, int] = {}

    async def probe(accounts: Sequence[int]) -> Mapping[int, int]:
        return {account: truth[account] for account in accounts}

    two.start(probe)
    for account in truth:
        two.subscribe(account, lambda modseq, account=account: heard.__setitem__(account, modseq))
    asyncio.get_running_loop().remove_reader(two._socket.fileno())  # two is busy
    for account in truth:
        truth[account] = 50 + account
        one.changed(account, truth[account])
        await asyncio.sleep(0)
    await wait_on_loop(lambda: one._peers.undelivered == {"feed.worker1"})
    asyncio.get_running_loop().add_reader(two._socket.fileno(), two._receive, two._socket)
    await wait_on_loop(lambda: heard == truth)
    assert not one._peers.undelivered


async def test_what_is_owed_stays_owed_when_a_later_hint_comes_through(feeds: Callable[..., Feed]) -> None:
    """The sibling has read on meanwhile: the newest change reaches it, and of the ones before it must hear all the same."""
    one, two = feeds("worker0"), feeds("worker1")
    heard: set[int] = set()

    async def probe(accounts: Sequence[int]) -> Mapping[int, int]:
        return dict.fromkeys(accounts, 7)

    two.start(probe)
    for account in range(1, 102):
        two.subscribe(account, lambda modseq, account=account: heard.add(account))
    unread(two)
    for account in range(1, 101):
        await tell(one, account)
    assert one._peers.undelivered
    unread(two)
    await tell(one, 101)
    asyncio.get_running_loop().add_reader(two._socket.fileno(), two._receive, two._socket)
    await wait_on_loop(lambda: len(heard) == 101)


async def test_a_hint_that_never_came_is_made_up_for_by_polling(feeds: Callable[..., Feed]) -> None:
    """Another program's change, or a lost datagram, is seen within the poll's period."""
    feed = feeds("worker0", poll_seconds=0.05)
    heard: list[int] = []
    versions: list[int] = []
    state = {"modseq": 3, "version": 1}

    async def probe(accounts: Sequence[int]) -> Mapping[int, int]:
        return dict.fromkeys(accounts, state["modseq"])

    async def version() -> int:
        return state["version"]

    feed.subscribe(1, heard.append)
    feed.watch_directory(versions.append)
    feed.start(probe, version)
    await wait_on_loop(lambda: heard == [3] and versions == [1])  # the first one may be newer than what was loaded at the start
    await stays_on_loop(lambda: versions == [1], seconds=0.2)
    state.update(modseq=4, version=2)
    await wait_on_loop(lambda: heard == [3, 4] and versions == [1, 2])


async def test_a_store_that_does_not_answer_does_not_end_the_polling(feeds: Callable[..., Feed]) -> None:
    """After an error the next round asks again."""
    feed = feeds("worker0", poll_seconds=0.02)
    heard: list[int] = []
    calls = 0

    async def probe(accounts: Sequence[int]) -> Mapping[int, int]:
        nonlocal calls
        calls += bool(accounts)
        if calls < 3:
            raise OSError("disk")
        return dict.fromkeys(accounts, 8)

    feed.subscribe(1, heard.append)
    feed.start(probe)
    await wait_on_loop(lambda: heard == [8])


def test_a_change_counts_for_two_polls() -> None:
    """A second change within the same tick of the file system's clock leaves the same trace, and is seen all the same."""
    traces = Traces()
    assert [traces.have_changed(trace) for trace in (1, 1, 1, 2, 2, 2, 2)] == [True, True, False, True, True, False, False]
    assert [traces.have_changed(None) for _ in range(3)] == [True, True, True]


class Polls:
    """A directory and a store as the feed polls them, with what was asked."""

    def __init__(self) -> None:
        self.trace: object = 0
        self.versions = 0
        self.looks = 0
        self.asked: list[tuple[int, ...]] = []
        self.error: OSError | None = None

    async def modseqs(self, accounts: Sequence[int]) -> Mapping[int, int]:
        self.asked.append(tuple(accounts))
        return dict.fromkeys(accounts, 1)

    async def version(self) -> int:
        self.versions += 1
        if self.error is not None:
            raise self.error
        return 1

    def look(self) -> object:
        self.looks += 1
        return self.trace

    async def pass_by(self, polls: int = 4) -> int:
        """Let some polls pass, and return how often the version was asked for in them."""
        looks, versions = self.looks, self.versions
        await wait_on_loop(lambda: self.looks >= looks + polls)
        return self.versions - versions


@pytest.fixture
def polls() -> Polls:
    return Polls()


async def test_a_change_of_the_directory_counts_until_its_commit_can_be_read(feeds: Callable[..., Feed], polls: Polls) -> None:
    """Its file changes before the disk has it, which may take seconds."""
    feeds("worker0", poll_seconds=0.02).start(polls.modseqs, polls.version, polls.look)
    polls.trace = 1
    await wait_on_loop(lambda: polls.versions >= 50)
    assert feeds("worker1", poll_seconds=2.0)._directory_traces._polls == 5


async def test_a_directory_that_has_not_changed_is_not_asked(
    feeds: Callable[..., Feed], polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are looked at in each poll; it is asked at the start, and after a change of them."""
    monkeypatch.setattr(change_feed, "SETTLED_SECONDS", 0.0)
    feed = feeds("worker0", poll_seconds=0.05)
    feed.start(polls.modseqs, polls.version, polls.look)
    await polls.pass_by()
    assert await polls.pass_by() == 0
    polls.trace = 1
    assert await polls.pass_by() == 2
    assert await polls.pass_by() == 0
    assert polls.asked == []


async def test_a_directory_is_asked_now_and_then_in_any_case(
    feeds: Callable[..., Feed], polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever changes it without a trace is found within VERSION_SECONDS."""
    monkeypatch.setattr(change_feed, "VERSION_SECONDS", 0.2)
    feeds("worker0", poll_seconds=0.05).start(polls.modseqs, polls.version, polls.look)
    await polls.pass_by()
    seen = polls.versions
    await wait_on_loop(lambda: polls.versions >= seen + 3)


async def test_a_directory_that_did_not_answer_is_asked_again(
    feeds: Callable[..., Feed], polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each poll until it answers, although nothing changes."""
    monkeypatch.setattr(change_feed, "SETTLED_SECONDS", 0.0)
    polls.error = OSError("disk")
    feeds("worker0", poll_seconds=0.05).start(polls.modseqs, polls.version, polls.look)
    await polls.pass_by()
    assert await polls.pass_by() >= 3
    polls.error = None
    await polls.pass_by(2)
    assert await polls.pass_by() == 0


async def test_siblings_are_listed_again_only_after_a_change(
    feeds: Callable[..., Feed], polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket or a watchlist that comes or goes changes the folder."""
    feed = feeds("worker0", poll_seconds=0.05)
    listed: list[int] = []
    plain = feed._peers.refresh
    monkeypatch.setattr(feed._peers, "refresh", lambda: (listed.append(1), plain()))
    feed.start(polls.modseqs, polls.version, polls.look)
    await polls.pass_by()
    seen = len(listed)
    await polls.pass_by()
    assert len(listed) == seen
    sibling = feeds("worker1")
    feed._loop.remove_reader(feed._socket.fileno())  # what the sibling says of itself does not arrive
    await wait_on_loop(lambda: len(listed) > seen)
    assert feed._peers._names == ("feed.worker1",)
    assert sibling._peers._names == ("feed.worker0",)


async def test_siblings_that_could_not_be_listed_are_listed_at_the_next_poll(
    feeds: Callable[..., Feed], polls: Polls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a free descriptor, for instance; the folder does not change again."""
    feed = feeds("worker0", poll_seconds=0.05)
    plain, failures = feed._peers.refresh, iter(range(5))

    def refresh() -> None:
        if next(failures, None) is not None:
            raise OSError(errno.EMFILE, "Too many open files")
        plain()

    monkeypatch.setattr(feed._peers, "refresh", refresh)
    (tmp_path / "feed.worker9").touch()
    feed.start(polls.modseqs, polls.version, polls.look)
    await wait_on_loop(lambda: feed._peers._names == ("feed.worker9",))


class ClockLoop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still while it works, and is set to the next timer where it would sleep."""

    def __init__(self, now: float) -> None:
        selector = selectors.SelectSelector()
        super().__init__(selector)
        self.reading = now
        select = selector.select

        def skip(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            self.reading += timeout or 0
            return select(0)

        selector.select = skip  # type: ignore[method-assign]

    def time(self) -> float:
        return self.reading


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_nobody_waits_for_longer_than_a_period_whatever_is_watched(tmp_path: Path, seed: int) -> None:
    """Nor does the directory, when slices become more and fewer."""
    dice, loop = random.Random(seed), ClockLoop(1_000.0 + seed / 3)
    gaps: list[float] = []
    polled: dict[int, float] = {}

    def note(number: int) -> None:
        gaps.append(loop.reading - polled[number])
        polled[number] = loop.reading

    async def probe(accounts: Sequence[int]) -> Mapping[int, int]:
        for account_id in accounts:
            note(account_id)
        return {}

    async def version() -> int:
        note(0)
        return 1

    async def watch() -> None:
        feed = Feed(tmp_path, "worker0", poll_seconds=2.0)
        polled[0] = loop.reading
        feed.start(probe, version)
        watched: list[Subscription] = []
        for _ in range(200):
            await asyncio.sleep(dice.random() * 4)  # of that clock, at once
            wanted = dice.choice([0, 10, 40, 200, 700])
            while len(watched) > wanted:
                gone = watched.pop(dice.randrange(len(watched)))
                del polled[gone.account_id]
                gone.close()
            while len(watched) < wanted:
                watched.append(feed.subscribe(dice.getrandbits(40), lambda modseq: None))
                polled[watched[-1].account_id] = loop.reading
        feed.close()

    loop.run_until_complete(watch())
    loop.close()
    assert len(gaps) > 1_000
    assert max(gaps) <= 2.001


async def test_few_accounts_are_polled_together_and_many_in_slices(feeds: Callable[..., Feed], polls: Polls) -> None:
    """A few dozen in one go. Of hundreds each is polled as often, some at a time."""
    feed = feeds("worker0", poll_seconds=0.4)
    few = [feed.subscribe(account_id, lambda modseq: None) for account_id in range(1, 31)]
    feed.start(polls.modseqs, polls.version, polls.look)
    await wait_on_loop(lambda: len(polls.asked) >= 2)
    assert {frozenset(asked) for asked in polls.asked} == {frozenset(range(1, 31))}
    for account_id in range(31, 301):
        feed.subscribe(account_id, lambda modseq: None)
    polls.asked.clear()
    await wait_on_loop(lambda: polls.asked)
    assert set(polls.asked.pop(0)) == set(range(1, 301))  # they get new turns, and nobody waits for longer because of that
    await wait_on_loop(lambda: len(polls.asked) >= 20)
    for account_id in range(1, 301):
        turns = [turn for turn, asked in enumerate(polls.asked) if account_id in asked]
        assert all(later - earlier <= 10 for earlier, later in zip([0, *turns], [*turns, len(polls.asked)], strict=True))
    assert min(map(len, polls.asked)) < 300
    for subscription in few:
        subscription.close()


@pytest.mark.parametrize(("accounts", "slices"), [(0, 1), (32, 1), (33, 2), (64, 2), (320, 10), (321, 20), (5_000, 20)])
async def test_no_more_slices_than_the_accounts_need(feeds: Callable[..., Feed], accounts: int, slices: int) -> None:
    """Each costs a wake-up of the process."""
    feed = feeds("worker0")
    for account_id in range(accounts):
        feed.subscribe(account_id, lambda modseq: None)
    assert feed._slices_needed() == slices


async def test_commands_can_tell_a_running_server(feeds: Callable[..., Feed], tmp_path: Path) -> None:
    """`mic-mail mailbox suspend` reaches every worker at once; with no server at all nothing happens."""
    feed = feeds("worker0")
    directory: list[int] = []
    account: list[int] = []
    feed.watch_directory(directory.append)
    feed.subscribe(3, account.append)
    await asyncio.to_thread(notify_directory_changed, tmp_path)
    await asyncio.to_thread(notify_account_changed, tmp_path, 3, 11)
    await wait_on_loop(lambda: directory == [-1] and account == [11])
    notify_directory_changed(tmp_path / "nowhere")


async def test_nonsense_on_the_socket_is_ignored(feeds: Callable[..., Feed], tmp_path: Path) -> None:
    """Whatever a local program sends, the worker lives."""
    feed = feeds("worker0")
    heard: list[int] = []
    feed.subscribe(1, heard.append)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        for nonsense in (b"", b"a", b"a" + b"x" * 15, b"zzz", b"\x00" * 100, os.urandom(4000)):
            sender.sendto(nonsense, feed._peers.address("feed.worker0"))
            await asyncio.sleep(0.001)  # each is read by itself
    feed.changed(1, 1)
    await wait_on_loop(lambda: heard == [1])


async def test_a_deep_run_dir_is_no_obstacle(tmp_path: Path) -> None:
    """Unix socket paths end at 107 octets; ours may lie deeper."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    one, two = Feed(deep, "worker0", poll_seconds=NEVER), Feed(deep, "worker1", poll_seconds=NEVER)
    one._peers.refresh()
    heard: list[int] = []
    two.subscribe(1, heard.append)
    one.changed(1, 2)
    await wait_on_loop(lambda: heard == [2])
    one.close()
    two.close()


async def test_a_restarted_sibling_takes_its_place_again(feeds: Callable[..., Feed], tmp_path: Path) -> None:
    """The socket that a killed worker left behind is replaced, and senders find the new one."""
    one, two = feeds("worker0"), Feed(tmp_path, "worker1", poll_seconds=NEVER)
    one._peers.refresh()
    two.close()  # the file stays, as after a kill
    one.changed(1, 1)
    await asyncio.sleep(0.01)  # it is sent now, to nobody
    again = feeds("worker1")
    heard: list[int] = []
    again.subscribe(1, heard.append)
    one.changed(1, 2)
    await wait_on_loop(lambda: heard == [2])
