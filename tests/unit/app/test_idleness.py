"""When a process that runs on demand has been idle for long enough."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness import NAMES, config_for
from mic_mail.app import demands
from mic_mail.app.idleness import Idleness
from mic_mail.app.indexer import IDLE_SECONDS, Indexer
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.config.model import Config
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.process.startup import make_folders
from mic_mail.queue.local_queue import folders_of
from mic_mail.services.operations.dkim import DkimKeys
from mic_mail.smtpclient.dkim_keys import Algorithm, KeyFolder
from population import Population

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = config_for(tmp_path / "data")
    make_folders(config)
    write_pair(config.certificate, config.key, self_signed(NAMES, SystemClock().now()))
    Population(config.directory_url, SystemClock()).close()
    for folder in folders_of(config.queue_dir):
        folder.mkdir(parents=True, exist_ok=True)
    return config


def test_it_ends_after_seconds_without_work() -> None:
    """Work begins them anew, also work that has come and gone between two looks."""
    clock = ManualClock(NOW)
    idleness = Idleness(clock)
    for is_busy, seen in ((True, 1), (False, 1), (False, 2), (False, 2), (True, 2), (False, 2)):
        assert not idleness.has_lasted(20.0, is_busy=is_busy, seen=seen)
        clock.move_to(clock.now() + timedelta(seconds=19))
    clock.move_to(clock.now() + timedelta(seconds=1))
    assert idleness.has_lasted(20.0, is_busy=False, seen=2)


@pytest.mark.parametrize("folder", range(4))
def test_whatever_lies_in_the_queue_is_work_for_the_sender(config: Config, folder: int) -> None:
    """A message, one that is being queued, a decision, one that has ended and may come again."""
    assert not demands.sender_has_work(config)
    (folders_of(config.queue_dir)[folder] / "ID").touch()
    assert demands.sender_has_work(config)


def test_what_the_sender_does_beside_the_queue_keeps_it(config: Config) -> None:
    """A policy to fetch again, and a key that signs once the DNS has its record; not one that signs."""
    policy = demands.cached_in(config.mta_sts_dir) / "one.example"
    policy.parent.mkdir(parents=True)
    policy.touch()
    assert demands.sender_has_work(config)
    policy.unlink()
    assert not demands.sender_has_work(config)
    keys = DkimKeys(KeyFolder(config.server.data_dir), SystemClock())
    keys.add(["mic.gov.vn"], Algorithm.ED25519, 256, "one")
    assert demands.sender_has_work(config)
    keys.use("one", ["mic.gov.vn"])
    assert not demands.sender_has_work(config)


def test_the_indexer_ends_and_says_what_it_has_seen(config: Config) -> None:
    """Its last word is the trace of the change counters; after a change that is another, and the supervisor starts the next."""

    async def end() -> None:
        clock = ManualClock(NOW)
        indexer = Indexer(config, clock, "index")
        demand = demands.demands_of(config)["indexer"]
        assert demand.has_work({})
        marks = indexer._marks
        marks.parent.mkdir(parents=True, exist_ok=True)
        marks.write_bytes(b"\2")
        await indexer._run_once()
        await indexer._look_for_work()
        await indexer._look_for_work()
        clock.move_to(clock.now() + timedelta(seconds=IDLE_SECONDS))
        marks.write_bytes(b"\2\2")
        await indexer._look_for_work()
        await indexer._run_once()
        await indexer._look_for_work()
        await indexer._look_for_work()
        assert not indexer.idleness.over.is_set()
        clock.move_to(clock.now() + timedelta(seconds=IDLE_SECONDS + 1))
        await indexer._look_for_work()
        assert indexer.idleness.over.is_set()
        assert not demand.has_work(indexer.idleness.last_word)
        marks.write_bytes(b"\2\2\2")
        assert demand.has_work(indexer.idleness.last_word)
        await indexer.drain()

    asyncio.run(end())


def test_an_indexer_of_a_database_starts_each_hour(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other servers may have left text to it, which no file of this one tells of."""
    in_database = config_for(tmp_path / "other", {"storage": {"database": "postgresql:///mail"}})
    done = {"done": []}
    assert not demands.demands_of(in_database)["indexer"].has_work(done)
    monkeypatch.setattr(demands, "LEFT_BY_OTHERS_SECONDS", 0.0)
    assert demands.demands_of(in_database)["indexer"].has_work(done)
    assert not demands.demands_of(config)["indexer"].has_work(done)
