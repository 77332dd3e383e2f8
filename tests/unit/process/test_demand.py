"""Children that run on demand: they start with the first work, end without any, and no work is lost in between."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from unit.process.forking_program import ForkingProgram
from unit.process.test_supervisor import MODULES, SETUP, Run

ON_DEMAND = """
import json, socket
from mic_mail.process.demand import BroadcastDemand, TraceDemand, ConnectionDemand
from mic_mail.process.change_feed import Peers, notify_account_changed, send_word
from mic_mail.net.listeners import Listener

work, runs = base / "work", base / "runs"
work.mkdir()
def has_work():
    return any(work.iterdir())
demand = BroadcastDemand(base / "run", "sender", b"work ", has_work, {"queued": 0})

def orders(channel):
    octets = channel.socket.recv(4096)
    return [json.loads(line)["do"] for line in octets.splitlines()] or ["drain"]

def be(spec):
    channel = Channel(socket.socket(fileno=spec.channel))
    channel.socket.setblocking(True)
    if spec.role != "sender":
        channel.send({"kind": "ready"})
        while "drain" not in orders(channel):
            pass
        return 0
    with runs.open("a") as file:
        file.write("x")
    return send(channel)

def send(channel):
    channel.send({"kind": "ready"})
    for entry in work.iterdir():
        entry.unlink()
    before_the_end()
    channel.send({"kind": "idle"})
    return code()

def before_the_end():
    pass

def code():
    return 0

def look_on(supervisor, seconds):
    Ahead.seconds += seconds
    for one in supervisor._children:
        one.heard_at = supervisor._clock.monotonic()
    supervisor._look_at_the_clock()

class Ahead(SystemClock):
    seconds = 0.0
    def monotonic(self):
        return super().monotonic() + self.seconds

def begin(demand=demand):
    log = MailLog(base / "log", "super", clock=SystemClock(), threaded=False)
    supervisor = Supervisor(config, reread=lambda: config, be=be, log=log, clock=Ahead(), notifier=Notifier(),
                            demands={"sender": demand})
    supervisor.start([], 1)
    settle(supervisor, lambda: supervisor._announced)
    [sender] = [child for child in supervisor._children if child.role == "sender"]
    return supervisor, sender

def begun():
    return len(runs.read_text()) if runs.exists() else 0

def end(supervisor):
    supervisor.drain()
    settle(supervisor, lambda: all(child.process is None for child in supervisor._children))
    supervisor._log.close()
"""


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """What a program says that begins with `SETUP` and `ON_DEMAND`, about a folder."""
    with ForkingProgram(MODULES) as program:
        yield lambda code, folder: program.run(SETUP + ON_DEMAND + code, folder, folder)


def test_a_child_starts_with_the_first_work_and_ends_without_any(run: Run, tmp_path: Path) -> None:
    """A broadcast starts it at once, each time; meanwhile it counts as ready, and the others are not asked to recover."""
    code = """
supervisor, sender = begin()
shown = sender.status(0.0)
print(sender.process, begun(), shown["ready"], shown["resting"], shown["pid"], shown["queued"])
for number in (1, 2):
    (work / "one").touch()
    send_word(base / "run", b"work one")
    settle(supervisor, lambda: begun() == number and sender.is_resting)
    print(sorted(work.iterdir()), sender.failures, sender.restarts)
[house] = [child for child in supervisor._children if child.role == "housekeeper"]
print(house.pending, supervisor._is_ready, supervisor._workers)
end(supervisor)
"""
    assert run(code, tmp_path).splitlines() == ["None 0 True True None 0", "[] 0 0", "[] 0 0", "{} True 1 workers"]


def test_only_its_own_broadcasts_start_it(run: Run, tmp_path: Path) -> None:
    """Other broadcasts do not, nor one about work that is no longer there; of changed mailboxes it is not notified."""
    code = """
supervisor, sender = begin()
peers = Peers(base / "run", None)
peers.publish({7: 1})
try:
    print(sender.signals[0].recv(4096))
except BlockingIOError:
    print("nothing")
looked = []
sender.demand._has_work = lambda: bool(looked.append(1))
send_word(base / "run", b"password")
settle(supervisor, lambda: not __import__("select").select(sender.signals, [], [], 0)[0])
print(len(looked))
send_word(base / "run", b"work gone")
settle(supervisor, lambda: looked)
print(sender.is_resting, begun())
end(supervisor)
"""
    assert run(code, tmp_path).splitlines() == ["nothing", "0", "True 0"]


def test_work_that_nobody_announced_is_found(run: Run, tmp_path: Path) -> None:
    """A lost broadcast: at the start of the server, and later at the next look, ten seconds on."""
    code = """
(work / "before").touch()
supervisor, sender = begin()
settle(supervisor, lambda: begun() == 1 and sender.is_resting)
(work / "silent").touch()
look_on(supervisor, 9)
print(sender.is_resting)
print(supervisor._patience() <= 1)
look_on(supervisor, 1)
settle(supervisor, lambda: begun() == 2 and sender.is_resting)
print(sorted(work.iterdir()))
end(supervisor)
"""
    assert run(code, tmp_path).splitlines() == ["True", "True", "[]"]


def test_work_that_arrives_while_it_ends_starts_the_next(run: Run, tmp_path: Path) -> None:
    """After its last look, before and after it says that it is idle: the broadcast goes to a socket that nobody reads any
    more, and the supervisor looks after the end."""
    code = """
def before_the_end():
    if begun() == 1:
        (work / "late").touch()
        send_word(base / "run", b"work late")
(work / "one").touch()
supervisor, sender = begin()
settle(supervisor, lambda: begun() == 2 and sender.is_resting)
print(sorted(work.iterdir()))
end(supervisor)
"""
    assert run(code, tmp_path) == "[]\n"


def test_one_that_fails_as_it_ends_is_started_again(run: Run, tmp_path: Path) -> None:
    """It is not taken for idle, and after a pause as after any death; so is one that is killed."""
    code = """
def code():
    return 3 if begun() == 1 else 0
(work / "one").touch()
supervisor, sender = begin()
settle(supervisor, lambda: sender.restart_at is not None)
print(sender.is_resting, sender.restarts, sender.pause)
look_on(supervisor, 1)
settle(supervisor, lambda: sender.is_resting)
def send(channel):
    channel.send({"kind": "ready"})
    time.sleep(60)
(work / "two").touch()
send_word(base / "run", b"work two")
settle(supervisor, lambda: sender.ready)
sender.process.kill()
settle(supervisor, lambda: sender.restart_at is not None)
print(sender.is_resting, sender.restarts)
end(supervisor)
"""
    assert run(code, tmp_path).splitlines() == ["False 1 0.1", "False 2"]


def test_a_reload_while_it_rests_counts_at_its_start(run: Run, tmp_path: Path) -> None:
    """It is forked with the configuration of then, and no order waits for it."""
    code = """
fresh = config.model_copy(update={"sending": config.sending.model_copy(update={"paused": True})})
supervisor, sender = begin()
supervisor._reread = lambda: fresh
supervisor.reload()
print(supervisor.config.sending.paused)
look_on(supervisor, 1)
(work / "one").touch()
send_word(base / "run", b"work one")
settle(supervisor, lambda: begun() == 1 and sender.is_resting)
print(sender.has_pending_orders, sender.pending)
end(supervisor)
"""
    assert run(code, tmp_path).splitlines() == ["True", "False {}"]


def test_a_server_that_stops_starts_nobody(run: Run, tmp_path: Path) -> None:
    """Neither for work that arrives meanwhile, nor does it wait for those that rest."""
    code = """
supervisor, sender = begin()
supervisor.drain()
(work / "one").touch()
send_word(base / "run", b"work one")
print(supervisor.run(), begun(), sender.is_resting)
"""
    assert run(code, tmp_path) == "True 0 False\n"


def test_the_first_connection_starts_the_web_process(run: Run, tmp_path: Path) -> None:
    """It waits in the backlog until the child accepts it; none is lost."""
    code = """
plain = be
def be(spec):
    if spec.role != "web":
        return plain(spec)
    channel = Channel(socket.socket(fileno=spec.channel))
    channel.send({"kind": "ready"})
    listening = socket.socket(fileno=spec.listeners[0][1])
    listening.setblocking(True)
    accepted, _ = listening.accept()
    accepted.sendall(b"hello")
    time.sleep(60)
listening = socket.create_server(("127.0.0.1", 0))
log = MailLog(base / "log", "super", clock=SystemClock(), threaded=False)
supervisor = Supervisor(config, reread=lambda: config, be=be, log=log, clock=SystemClock(), notifier=Notifier(),
                        demands={"sender": demand})
supervisor.start([Listener("https", listening)], 1)
settle(supervisor, lambda: supervisor._announced)
[web] = [child for child in supervisor._children if child.role == "web"]
print(web.is_resting, web.status(0.0)["ready"], web.process)
client = socket.create_connection(listening.getsockname())
settle(supervisor, lambda: web.ready)
print(client.recv(5), web.is_resting)
web.process.kill()
end(supervisor)
"""
    assert run(code, tmp_path).splitlines() == ["True True None", "b'hello' False"]


def test_what_changed_after_the_last_word_is_work(run: Run, tmp_path: Path) -> None:
    """A file's trace: the child says up to which it has done everything."""
    code = """
from mic_mail.file_trace import trace_of
file = base / "file"
file.touch()
demand = TraceDemand(file, 5.0)
print(demand.has_work({}), demand.has_work({"done": list(trace_of(file))}))
before = {"done": list(trace_of(file))}
file.write_text("more")
print(demand.has_work(before))
"""
    assert run(code, tmp_path).splitlines() == ["True False", "True"]
