"""What is asked of the log is answered from all of it, with an index or without, whatever was killed or deleted (Reg. 8.2)."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mic_mail.log.files import microseconds
from mic_mail.log.index import Block, DamagedIndex, IndexedBlocks, Month, discard, months_on_disk, path_of
from mic_mail.log.index_loader import drop_empty_months, load_some
from mic_mail.log.query import Query, key_of, pairs_of
from mic_mail.log.search import LogSearch
from unit.log.logs import Logs, copy, made

ALL = 1 << 40
QUERIES = [
    Query(),
    Query(mailbox="m3@mic.gov.vn"),
    Query(mailbox="M3@MIC.gov.vn", event="message_delivered"),
    Query(trace="t20003"),
    Query(session="S21004"),
    Query(message_id="<ID.22005@PC>"),
    Query(event="mailbox_suspend"),
    Query(mailbox="an"),
    Query(since_us=microseconds("2026-11-21T09:00:02.000000Z"), until_us=microseconds("2026-11-22T09:00:02.000000Z")),
    Query(trace="nobody"),
]


def answers(logs: Logs, query: Query) -> list[dict[str, object]]:
    """What `newest` finds, which is what `each` finds in another order."""
    latest = [dict(found.fields) for found in LogSearch(logs.folder).newest(query, ALL)]
    assert in_time([dict(fields) for _, fields in LogSearch(logs.folder).each(query)]) == in_time(latest)
    return latest


def naive(logs: Logs, query: Query) -> list[dict[str, object]]:
    """What must be found, by looking at every line."""
    kept = [line for line in logs.lines() if query.holds(line) and query.in_time(microseconds(line["at"]))]
    return sorted(kept, key=lambda line: str(line["at"]))


def in_time(lines: list[dict[str, object]]) -> list[dict[str, object]]:
    return sorted(lines, key=lambda line: (str(line["at"]), repr(line)))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    return made(tmp_path_factory.mktemp("template"))


@pytest.fixture
def logs(template: Logs, tmp_path: Path) -> Logs:
    return copy(template, tmp_path / "log")


@pytest.mark.parametrize("query", QUERIES)
def test_an_answer_is_the_same_with_an_index_without_and_in_between(logs: Logs, query: Query) -> None:
    """Loaded to its end, loaded in part, not at all: the lines that a look at every line finds."""
    expected = in_time(naive(logs, query))
    assert in_time(answers(logs, query)) == expected
    discard(logs.folder, "2026-11")
    assert in_time(answers(logs, query)) == expected
    for _ in range(3):
        load_some(logs.folder, most_octets=1)
        assert in_time(answers(logs, query)) == expected


def test_the_questions_above_have_answers(logs: Logs) -> None:
    """None of the comparisons is one of nothing with nothing, but for the last."""
    assert [bool(answers(logs, query)) for query in QUERIES] == [True] * 9 + [False]
    assert len(answers(logs, QUERIES[3])) == 2
    assert len(answers(logs, QUERIES[5])) == 1


def test_the_latest_come_and_in_the_order_of_time(logs: Logs) -> None:
    """A limit takes the oldest away, over the ends of files and of what is loaded."""
    whole = answers(logs, Query(mailbox="m3@mic.gov.vn"))
    for limit in (1, 2, 7, len(whole), len(whole) + 1):
        some = [dict(found.fields) for found in LogSearch(logs.folder).newest(Query(mailbox="m3@mic.gov.vn"), limit)]
        assert [line["at"] for line in some] == [line["at"] for line in whole[-limit:]]


def test_what_is_written_after_the_load_is_found_at_once(logs: Logs) -> None:
    """Nobody waits for the housekeeper."""
    logs.message(777)
    search = LogSearch(logs.folder)
    assert [found.event for found in search.newest(Query(trace="T00777"), 9)] == ["message_accepted", "message_delivered"]
    assert 0 < search.unread_octets < 2_000


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_of_writing_and_loading_loads_each_line_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A block grows and never overlaps the next; every line lies in exactly one; postings lead to it."""
    logs = Logs(tmp_path_factory.mktemp("log"))
    for number in range(data.draw(st.integers(1, 6))):
        for _ in range(data.draw(st.sampled_from([0, 1, 3, 30]))):
            logs.message(number, f"worker{number % 2}")
        for _ in range(data.draw(st.integers(0, 2))):
            load_some(logs.folder, most_octets=data.draw(st.sampled_from([1, 5_000, 1 << 20])))
    logs.load()
    with Month.reading(logs.folder, "2026-11") as month:
        for path in logs.segments():
            assert month is not None
            blocks = month.blocks(path.name)
            assert [block.start for block in blocks] == [0, *(block.start + block.octets for block in blocks)][:-1]
            assert blocks[-1].start + blocks[-1].octets == path.stat().st_size
    search = LogSearch(logs.folder)
    traces = {value for line in logs.lines() for kind, value in pairs_of(line) if kind == "t"}
    for trace in traces:
        found = in_time([dict(found.fields) for found in search.newest(Query(trace=trace), ALL)])
        assert found == in_time(naive(logs, Query(trace=trace)))
        assert search.unread_octets == 0
    logs.close()


LOADER = """
    import sys, time
    from pathlib import Path
    from mic_mail.log.index_loader import load_some
    while True:
        load_some(Path(sys.argv[1]), most_octets=2000)
"""


def test_killed_while_loading_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """`kill -9` at random moments, again and again; at the end everything is there once."""
    logs = made(tmp_path)
    discard(logs.folder, "2026-11")
    rng = random.Random(7)
    for _ in range(8):
        loader = subprocess.Popen([sys.executable, "-c", textwrap.dedent(LOADER), str(tmp_path)])
        time.sleep(0.1 + rng.random() * 0.2)  # the kill comes at any moment
        loader.send_signal(signal.SIGKILL)
        loader.wait()
    logs.load()
    with Month.reading(logs.folder, "2026-11") as month:
        assert month is not None
        month.check()
        assert sum(month.loaded().values()) == sum(path.stat().st_size for path in tmp_path.glob("*.jsonl"))
    for query in QUERIES:
        assert in_time(answers(logs, query)) == in_time(naive(logs, query))


def test_two_loaders_load_each_line_once(logs: Logs) -> None:
    """Whoever comes second sees how far the first has come."""
    discard(logs.folder, "2026-11")
    program = textwrap.dedent(LOADER).replace("while True:", "for _ in range(400):")
    both = [subprocess.Popen([sys.executable, "-c", program, str(logs.folder)]) for _ in range(2)]
    assert [one.wait(60) for one in both] == [0, 0]
    logs.load()
    for query in QUERIES:
        assert in_time(answers(logs, query)) == in_time(naive(logs, query))


@pytest.mark.parametrize("damage", ["no database", "a page", "another version", "empty"])
def test_a_damaged_index_is_no_obstacle_and_is_made_anew(logs: Logs, damage: str) -> None:
    """The answer is read from the segments; the next load throws the index away and begins again."""
    path = path_of(logs.folder, "2026-11")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.close()
    octets = bytearray(path.read_bytes())
    if damage == "no database":
        octets[:] = b"x" * 5000
    elif damage == "empty":
        octets[:] = b""
    elif damage == "another version":
        octets[60:64] = (99).to_bytes(4)
    else:
        for page in range(1, pages):
            octets[page * 4096 : page * 4096 + 100] = os.urandom(100)
    path.write_bytes(octets)
    for query in QUERIES:
        assert in_time(answers(logs, query)) == in_time(naive(logs, query))
    logs.load()
    search = LogSearch(logs.folder)
    assert search.newest(Query(trace="T20003"), 9)
    assert search.unread_octets == 0


def test_an_index_is_dropped_with_the_last_file_of_its_month(logs: Logs) -> None:
    """Retention leaves no index behind; the acts keep theirs."""
    for path in logs.segments():
        path.unlink()
    assert drop_empty_months(logs.folder) == []
    for path in logs.folder.glob("*.jsonl"):
        path.unlink()
    assert drop_empty_months(logs.folder) == ["2026-11"]
    assert months_on_disk(logs.folder) == []
    assert answers(logs, Query()) == []


def test_keys_that_are_alike_find_only_what_was_asked_for(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were all keys one number, the lines would still decide."""
    discard(logs.folder, "2026-11")
    monkeypatch.setattr("mic_mail.log.query.key_of", lambda kind, value: 7)
    logs.load()
    for query in QUERIES:
        assert in_time(answers(logs, query)) == in_time(naive(logs, query))


def test_lines_that_are_none_are_passed_over(logs: Logs) -> None:
    """What a crash left, zeros, a list, other octets: the lines around them are found."""
    path = logs.segments()[-1]
    with path.open("ab") as file:
        file.write(b'{"at":"2026\n\x00\x00\x00\n[1]\n\xff\xfe\n"x"\n{"at":7,"event":9,"mailbox":{}}\n')
    logs.load()
    assert LogSearch(logs.folder).newest(Query(trace="T20003"), 9)
    assert len(LogSearch(logs.folder).newest(Query(), ALL)) == len(list(naive_readable(logs)))


def naive_readable(logs: Logs) -> list[object]:
    import json

    kept = []
    for path in logs.folder.glob("*.jsonl"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            try:
                read = json.loads(line)
            except ValueError:
                continue
            kept += [read] if isinstance(read, dict) else []
    return kept


def test_a_key_is_48_bits_of_what_it_stands_for() -> None:
    """The same in every process, and apart for each kind."""
    assert key_of("@", "a") == key_of("@", "a") < 1 << 48
    assert len({key_of(kind, "a") for kind in "@mste"}) == 5


def test_another_program_s_database_is_damage(tmp_path: Path) -> None:
    """Never written into."""
    with sqlite3.connect(path_of(tmp_path, "2026-11")) as connection:
        connection.execute("PRAGMA application_id = 77")
        connection.execute("CREATE TABLE x (y)")
    connection.close()
    with pytest.raises(DamagedIndex), Month.loading(tmp_path, "2026-11"):
        pass


def test_a_stretch_that_somebody_has_loaded_meanwhile_changes_nothing(tmp_path: Path) -> None:
    """Two loaders read the same lines; the second finds that the file stands elsewhere."""
    stretch = IndexedBlocks(
        "2026-11-20.worker0.1.1.jsonl", 0, [(Block("2026-11-20.worker0.1.1.jsonl", 0, 90, 1, 2), {7, 8})], 1
    )
    with Month.loading(tmp_path, "2026-11") as first, Month.loading(tmp_path, "2026-11") as second:
        assert first.add(stretch)
        assert not second.add(stretch)
        assert len(second.blocks(stretch.name)) == 1
        assert second.loaded() == {stretch.name: 90}
