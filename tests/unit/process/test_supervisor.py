"""The supervisor with children that do little: what it tells systemd, what it buries, what it says of many."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unit.process.forking_program import ForkingProgram

# Each test supervises in a process of its own: pytest has threads.
MODULES = """\
import ctypes, os, signal, sys, threading, time
from pathlib import Path
from mic_mail.clock import SystemClock
from mic_mail.config.model import Config
from mic_mail.log.maillog import MailLog
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.process import status
from mic_mail.process.control_channel import Channel
from mic_mail.process.supervised_child import SupervisedChild
from mic_mail.process.supervisor import Supervisor
"""
SETUP = """\
base = Path(sys.argv[1])
(base / "run").mkdir()
config = Config.model_validate({"server": {"data_dir": str(base)}, "search": {"enabled": False}})
config.certificate.parent.mkdir(parents=True, exist_ok=True)
write_pair(config.certificate, config.key, self_signed(["localhost"], SystemClock().now()))

class Notifier:
    watchdog_seconds = None
    def __init__(self):
        self.told = []
    def ready(self, workers):
        self.told.append("ready")
    def reloading(self):
        self.told.append("reloading")
    def stopping(self):
        self.told.append("stopping")
    def alive(self):
        pass

def supervise(be):
    log = MailLog(base / "log", "super", clock=SystemClock(), threaded=False)
    return Supervisor(config, reread=lambda: config, be=be, log=log, clock=SystemClock(), notifier=Notifier())

def settle(supervisor, holds):
    limit = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < limit
        for key, _ in supervisor._selector.select(0.05):
            key.data()
"""


Run = Callable[[str, Path], str]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """What a program says that begins with `SETUP`, about a folder."""
    with ForkingProgram(MODULES) as program:
        yield lambda code, folder: program.run(SETUP + code, folder, folder)


def test_systemd_hears_of_reloads_of_a_server_that_is_ready(run: Run, tmp_path: Path) -> None:
    """`READY=1` behind a reload would say that it is ready; and one that is being stopped reads nothing again."""
    code = """
def be(spec):
    channel = Channel(__import__("socket").socket(fileno=spec.channel))
    os.read(go[0], 1)
    channel.send({"kind": "ready"})
    time.sleep(60)
    return 0
go = os.pipe()
os.set_blocking(go[0], True)
import mic_mail.process.control_channel as made
plain = made.ChildSpec.descriptors
made.ChildSpec.descriptors = lambda self: (*plain(self), go[0])
supervisor = supervise(be)
supervisor.start([], 1)
supervisor.reload()
print(supervisor._notifier.told)
os.write(go[1], b"xx")
settle(supervisor, lambda: supervisor._announced)
supervisor.reload()
print(supervisor._notifier.told)
supervisor.drain()
supervisor.reload()
print(supervisor._notifier.told)
for child in supervisor._children:
    if child.process is not None:
        child.process.kill()
"""
    assert run(code, tmp_path).splitlines() == [
        "[]",
        "['ready', 'reloading', 'ready']",
        "['ready', 'reloading', 'ready', 'stopping']",
    ]


def test_what_a_dead_child_had_started_is_buried(run: Run, tmp_path: Path) -> None:
    """The first process of a container is the parent of all who have lost theirs; here a process that asks for that."""
    code = """
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
def be(spec):
    for _ in range(3):
        if os.fork() == 0:
            time.sleep(0.3)
            os._exit(0)
    time.sleep(0.1 if spec.role == "worker" else 60)
    return 0
def others():
    mine = {child.process.pid for child in supervisor._children if child.process is not None}
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())) - mine
supervisor = supervise(be)
supervisor.start([], 1)
settle(supervisor, lambda: len(others()) == 3)
settle(supervisor, lambda: not others())
print(supervisor._children[1].process.poll())
for child in supervisor._children:
    if child.process is not None:
        child.process.kill()
"""
    assert run(code, tmp_path) == "None\n"


def test_the_state_of_many_is_told_whole(run: Run, tmp_path: Path) -> None:
    """Also where it is longer than what a socket takes at once."""
    code = """
supervisor = supervise(lambda spec: 0)
supervisor._open_status(base / "run")
report = {f"an event of a long name {number}": 123456789 for number in range(300)}
supervisor._children = [SupervisedChild("worker", f"worker{row}", row, report=report) for row in range(64)]
def answer():
    for key, _ in supervisor._selector.select(10):
        key.data()
thread = threading.Thread(target=answer)
thread.start()
print(len(status.read(base / "run")["processes"]))
thread.join()
"""
    assert run(code, tmp_path) == "64\n"


HANGING = """
class Ahead(SystemClock):
    seconds = 0.0
    def monotonic(self):
        return super().monotonic() + self.seconds
SystemClock = Ahead
def be(spec):
    if spec.role == "worker":
        Channel(__import__("socket").socket(fileno=spec.channel)).send({"kind": "ready"})
    time.sleep(60)
    return 0
supervisor = supervise(be)
supervisor.start([], 1)
worker, house = supervisor._children[:2]
settle(supervisor, lambda: worker.ready)
supervisor._look_at_the_clock()
def after(seconds, looks):
    for _ in range(looks):
        Ahead.seconds += seconds / looks
        supervisor._look_at_the_clock()
    time.sleep(0.5)
    return [child.process.poll() is None for child in (worker, house)]
"""


def test_nobody_is_taken_for_hanging_when_everything_stood_still(run: Run, tmp_path: Path) -> None:
    """`docker pause`, SIGSTOP: whoever is heard of again has had no time to report; who still does not is killed."""
    code = """
print(after(100, 1))
print(after(50, 50))
print(after(15, 15))
for child in (worker, house):
    child.process.kill()
"""
    assert run(HANGING + code, tmp_path).splitlines() == ["[True, True]", "[True, True]", "[False, True]"]


def test_who_drains_has_all_the_time_that_it_is_given(run: Run, tmp_path: Path) -> None:
    """`process.drain_seconds`: it says nothing any more, and is killed at their end and not before."""
    code = """
supervisor.config = config.model_copy(update={"process": config.process.model_copy(update={"drain_seconds": 600.0})})
supervisor.drain()
print(after(590, 590))
print(after(20, 20))
"""
    assert run(HANGING + code, tmp_path).splitlines() == ["[True, True]", "[False, False]"]


def test_who_never_gets_ready_is_killed(run: Run, tmp_path: Path) -> None:
    """After ten minutes, and started again as after any death."""
    code = """
print(after(590, 590)[1])
print(after(15, 15)[1])
worker.process.kill()
"""
    assert run(HANGING + code, tmp_path).splitlines() == ["True", "False"]


FAILING = """
def be(spec):
    channel = Channel(__import__("socket").socket(fileno=spec.channel))
    if spec.name in FAILS and not (base / "mended").exists():
        return 3
    channel.send({"kind": "ready"})
    time.sleep(60)
    return 0
def settle_by_the_clock(supervisor, holds):
    limit = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < limit
        for key, _ in supervisor._selector.select(0.01):
            key.data()
        Ahead.seconds += 1
        for child in supervisor._children:
            child.heard_at = supervisor._clock.monotonic()
        supervisor._look_at_the_clock()
class Ahead(SystemClock):
    seconds = 0.0
    def monotonic(self):
        return super().monotonic() + self.seconds
SystemClock = Ahead
def told(supervisor):
    return {one["name"]: one["failing"] for one in supervisor.status()["processes"]}
def kill_all(supervisor):
    for child in supervisor._children:
        if child.process is not None:
            child.process.kill()
"""


@pytest.mark.parametrize("failing", ["worker1", "house"])
def test_the_server_serves_without_a_process_that_does_not_come_up(run: Run, tmp_path: Path, failing: str) -> None:
    """One that dies again and again before it is ready ends nobody who serves: systemd hears that the server is ready, and
    without whom; it is tried again after pauses that have a bound, and told as recovered when it comes up."""
    code = (
        f"FAILS = ['{failing}']"
        + FAILING
        + """
supervisor = supervise(be)
supervisor.start([], 2)
[child] = [child for child in supervisor._children if child.name in FAILS]
others = [one for one in supervisor._children if one is not child]
settle_by_the_clock(supervisor, lambda: child.failures >= 12 and all(one.ready for one in others))
print(child.pause, supervisor._given_up, supervisor.status()["ready"], told(supervisor)[child.name])
print(supervisor._notifier.told, supervisor._workers)
print([one.ready for one in others])
(base / "mended").touch()
settle_by_the_clock(supervisor, lambda: child.ready)
print(supervisor._workers, any(told(supervisor).values()))
kill_all(supervisor)
supervisor._log.close()
"""
    )
    said = run(code, tmp_path).splitlines()
    assert said[0] == "60.0 False True True"
    assert said[1] == f"['ready'] 2 workers; failing: {failing}"
    assert said[2] == "[True, True, True]"
    assert said[3] == "2 workers False"
    events = [json.loads(line)["event"] for file in (tmp_path / "log").glob("*.jsonl") for line in file.open()]
    assert (events.count("process_failing"), events.count("process_recovered")) == (1, 1)
    assert "start_failed" not in events


def test_where_nobody_serves_at_the_start_the_supervisor_gives_up(run: Run, tmp_path: Path) -> None:
    """What cannot start the first time will not start the tenth time: when the last worker has died three times, it ends."""
    code = (
        "FAILS = ['worker0', 'worker1']"
        + FAILING
        + """
supervisor = supervise(be)
supervisor.start([], 2)
settle_by_the_clock(supervisor, lambda: supervisor._given_up)
print(min(child.failures for child in supervisor._children[:2]), supervisor._notifier.told)
kill_all(supervisor)
"""
    )
    assert run(code, tmp_path) == "3 ['stopping']\n"


ANSWERING = """
def be(spec):
    channel = Channel(__import__("socket").socket(fileno=spec.channel))
    channel.socket.setblocking(True)
    channel.send({"kind": "ready"})
    number, unread = 0, b""
    while octets := channel.socket.recv(4096):
        *lines, unread = (unread + octets).split(b"\\n")
        for order in map(__import__("json").loads, lines):
            if order["do"] == "report":
                number += 1
                channel.send({"kind": "report", "question": order["question"], "number": number})
    return 0
def serve_until(supervisor, thread):
    while thread.is_alive():
        for key, _ in supervisor._selector.select(min(0.05, supervisor._patience())):
            key.data()
        supervisor._look_at_the_clock()
def ask():
    found = []
    thread = threading.Thread(target=lambda: found.append(status.read(base / "run")))
    thread.start()
    serve_until(supervisor, thread)
    return {child["name"]: (child.get("number"), "silent_seconds" in child) for child in found[0]["processes"]}
supervisor = supervise(be)
supervisor.start([], 1)
settle(supervisor, lambda: all(child.ready for child in supervisor._children))
"""


def test_the_state_is_that_of_now(run: Run, tmp_path: Path) -> None:
    """Each question is answered with new reports, and a child that is stopped is shown with its last one."""
    code = """
from mic_mail.process import status_questions, supervised_child
def wait_for_answers(seconds):
    status_questions.ANSWER_SECONDS = supervised_child.ANSWER_SECONDS = seconds
status.SECONDS = 60
wait_for_answers(50)
print(ask())
print(ask())
[worker] = [child for child in supervisor._children if child.role == "worker"]
os.kill(worker.process.pid, signal.SIGSTOP)
wait_for_answers(0.3)
print(ask()["worker0"])
os.kill(worker.process.pid, signal.SIGCONT)
settle(supervisor, lambda: worker.unanswered_since is None)
wait_for_answers(50)
print(ask()["worker0"])
for child in supervisor._children:
    child.process.kill()
"""
    assert run(ANSWERING + code, tmp_path).splitlines() == [
        "{'worker0': (1, False), 'house': (1, False), 'sender': (1, False)}",
        "{'worker0': (2, False), 'house': (2, False), 'sender': (2, False)}",
        "(2, True)",
        "(4, False)",
    ]


@pytest.mark.slow
def test_an_idle_supervisor_sleeps_until_something_is_due(run: Run, tmp_path: Path) -> None:
    """For LOOK_SECONDS, and less before a child counts as hung, is started again, or is offered an order again."""
    code = """
from mic_mail.process.supervisor import LOOK_SECONDS
[worker] = [child for child in supervisor._children if child.role == "worker"]
def sleeps():
    now = supervisor._clock.monotonic()
    for child in supervisor._children:
        child.heard_at = now
    return supervisor._patience()
print(LOOK_SECONDS - sleeps() < 1)
worker.heard_at -= 55
print(0 < supervisor._patience() <= 5)
worker.restart_at = supervisor._clock.monotonic() + 3
print(0 < sleeps() <= 3)
worker.restart_at = None
worker.pending["reload"] = {"do": "reload"}
print(0 < sleeps() <= 1)
worker.pending.clear()
supervisor._notifier.watchdog_seconds = 6
supervisor._alive_at = supervisor._clock.monotonic()
print(0 < sleeps() <= 2)
for child in supervisor._children:
    child.process.kill()
"""
    assert run(ANSWERING + code, tmp_path).splitlines() == ["True"] * 5
