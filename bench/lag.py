"""How long the event loop of a worker keeps everybody waiting under load, as the server itself counts it (`process.lag`).

`measure(server, load, fill)` yields a row for each kind of load: the share of heartbeats that came late. Only our server tells.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

from measure import ImapClient
from peers import PASSWORD, Server

USER, MESSAGES, READERS = 152, 2_000, 8


def measure(
    server: Server, load: Callable[[Server, int, int, int], object], fill: Callable[[Server, int, int], None]
) -> Iterator[tuple[str, dict[str, object]]]:
    """Name and figures of each load: messages delivered, large ones, and mail programs that read everything."""
    yield "loop lag, 4096 B, 50 sessions", _during(server, lambda: load(server, 50, 10_000, 4096))
    yield "loop lag, 27 MiB, 20 at once", _during(server, lambda: load(server, 20, 20, 27 << 20))
    fill(server, USER, MESSAGES)
    yield f"loop lag, {READERS} reading {MESSAGES}", _during(server, lambda: _read_together(server))


def _during(server: Server, work: Callable[[], object]) -> dict[str, object]:
    before = _beats(server)
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    grown = {bound: count - before[bound] for bound, count in _beats(server).items()}
    beats = max(1, sum(grown.values()))
    late = {f"over_{bound}ms": _share_beyond(grown, bound, beats) for bound in ("5", "10", "20", "50", "100")}
    return {"s": round(seconds, 1), "beats": beats, **late}


def _share_beyond(grown: dict[str, int], bound: str, beats: int) -> str:
    """Heartbeats that came later than `bound` milliseconds, of all; the bounds are in order."""
    names = list(grown)
    return f"{sum(grown[name] for name in names[names.index(bound) + 1 :]) / beats:.2%}"


def _beats(server: Server) -> dict[str, int]:
    """Heartbeats of all workers since the start, by lateness."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(server.status)
        told = json.loads(b"".join(iter(lambda: asking.recv(1 << 16), b"")))
    workers = [one["lag_beats"] for one in told["processes"] if one["name"].startswith("worker")]
    return {bound: sum(beats[bound] for beats in workers) for bound in workers[0]}


def _read_together(server: Server) -> None:
    """Mail programs that fetch envelopes, structures and all bodies at the same time."""

    def read() -> None:
        client = ImapClient(server.imap).login(server.user % USER, PASSWORD)
        client.command("SELECT INBOX")
        client.command("FETCH 1:* (ENVELOPE BODYSTRUCTURE FLAGS)")
        client.command("UID FETCH 1:* (BODY.PEEK[])")
        client.close()

    readers = [threading.Thread(target=read) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
