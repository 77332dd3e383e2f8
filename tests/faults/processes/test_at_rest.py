"""A server that nobody uses sleeps (docs/decisions/0107)."""

import time
from pathlib import Path

from faults.process_servers import Make
from faults.processes.conftest import ADDRESS, message, sign_in, stored
from harness import BASE, STAYING
from waiting import PATIENCE_SECONDS

WINDOW_SECONDS = 5.0
MOST_WAKE_UPS = 25
"""Of one process in such a window; it has five to fifteen. A timer of a tenth of a second would make fifty."""


def switches(pid: int) -> int:
    """How often threads of a process have gone to sleep so far; those that end meanwhile are left out.

    What another program does on a busy machine does not count: a thread that loses its core to it has not gone to sleep.
    """
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            lines = (task / "status").read_text().splitlines()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return total


def wake_ups(pids: dict[str, int]) -> dict[str, int]:
    """Of each process, in a window."""
    before = {name: switches(pid) for name, pid in pids.items()}
    time.sleep(WINDOW_SECONDS)  # what must not happen is counted meanwhile
    return {name: switches(pid) - before[name] for name, pid in pids.items()}


def test_a_server_at_rest_sleeps(serve_processes: Make) -> None:
    """Some seconds after the last client has left, whatever that has done, no process polls, and those are not there that
    nobody has needed."""
    server = serve_processes({"process": {"workers": 2}, "listen": {"doors": (*BASE["listen"]["doors"], "https")}})
    server.program = ["-c", STAYING]
    server.population.issue(ADDRESS.partition("@")[0])
    server.start()
    state = server.wait_for(lambda state: all(one["ready"] for one in state["processes"]))
    client = sign_in(server)
    client.append("INBOX", "", None, message("rests"))  # type: ignore[arg-type]  # the stubs know no None
    client.select()
    client.store("1:*", "+FLAGS", "\\Flagged")
    client.logout()
    assert stored(server, ADDRESS)
    assert server.process is not None
    pids = {one["name"]: one["pid"] for one in state["processes"] if one["pid"]} | {"supervisor": server.process.pid}
    assert not pids.keys() & {"sender", "web"}
    pids = {one["name"]: one["pid"] for one in server.start_all()["processes"]} | pids
    assert pids.keys() == {"worker0", "worker1", "house", "sender", "index", "web", "supervisor"}
    limit = time.monotonic() + PATIENCE_SECONDS
    while counts := {name: count for name, count in wake_ups(pids).items() if count > MOST_WAKE_UPS}:
        assert time.monotonic() < limit, counts
        pids = {name: pids[name] for name in counts}  # the others had their moment of rest
