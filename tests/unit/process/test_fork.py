"""Forked children: nothing of the parent's is touched but what is kept, and how they end is seen."""

from mic_mail.process.fork import EXIT_UNFORESEEN, HEAP
from unit.process.forked_program import run


def test_the_exit_code_is_the_works() -> None:
    """What the work returns; what it raises is told and is an end too; nothing behind the fork happens twice."""
    code = """
print("before", end=" ")
def say():
    print("by the child", flush=True)
    return 3
def fail():
    raise KeyError("x")
def leave():
    sys.exit(0)
try:
    for work in (say, fail, leave):
        print(end(fork(work, (), "a")))
except SystemExit:
    print("this frame is the parent's", flush=True)
"""
    assert run(code) == f"before by the child\n3\n{EXIT_UNFORESEEN}\n{EXIT_UNFORESEEN}\n"


def test_a_child_keeps_what_it_is_given() -> None:
    """Of the parent's descriptors it has those, output and error; standard input is empty."""
    code = """
def fds():
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
kept, other = os.pipe(), os.open("/dev/zero", os.O_RDONLY)
def work():
    names = {int(fd): os.readlink(f"/proc/self/fd/{fd}") for fd in fds()}
    os.write(kept[1], repr(sorted(names)).encode())
    return os.stat(0) != os.stat(os.devnull)
print(end(fork(work, (kept[1],), "a")))
found = eval(os.read(kept[0], 1000))
print(kept[1] in found, kept[0] in found, other in found, found[:3])
"""
    assert run(code) == "0\nTrue False False [0, 1, 2]\n"


def test_no_destructor_of_the_parents_runs_in_the_child() -> None:
    """A socket that nobody can reach any more, in a ring: its number is another's in the child, who must keep that."""
    code = """
gc.disable()
class Ring: pass
def work():
    for _ in range(20):
        os.open("/dev/null", os.O_RDONLY)
    gc.enable()
    original()
    return sum(not Path(f"/proc/self/fd/{fd}").exists() for fd in range(3, 20))
gc.collect()
rings = []
for _ in range(10):
    ring = Ring()
    ring.me, ring.socket = ring, socket.socket()
    rings.append(ring)
original = gc.collect
gc.collect = lambda: rings.clear()  # what became unreachable since the last collection
child = fork(work, (), "a")
gc.collect = original
print(end(child))
"""
    assert run(code) == "0\n"


def test_signals_are_those_of_a_new_program() -> None:
    """A signal to the child ends it; the parent's handler and its wakeup descriptor hear nothing of it."""
    code = """
mine, theirs = socket.socketpair()
mine.setblocking(False); theirs.setblocking(False)
signal.set_wakeup_fd(theirs.fileno())
signal.signal(signal.SIGTERM, lambda *_: None)
def work():
    signal.signal(signal.SIGUSR1, lambda *_: None)
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
    return 0
print(end(fork(work, (theirs.fileno(),), "a")) == -signal.SIGTERM)
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
try:
    print(mine.recv(10))
except BlockingIOError:
    print("silence")
"""
    assert run(code) == "True\nset()\nsilence\n"


def test_a_child_hears_no_key_of_the_terminal_and_shares_the_processors_with_its_parent() -> None:
    """A process group of its own in the parent's session: by session Linux shares the processors out, whatever the priority."""
    code = """
parent = os.getsid(0)
print(end(fork(lambda: int(os.getsid(0) != parent or os.getpgrp() != os.getpid()), (), "a")))
"""
    assert run(code) == "0\n"


def test_large_blocks_lie_apart_from_the_heap() -> None:
    """glibc takes blocks of 256 KiB and more from the kernel, also when one was given back; the administrator goes first."""
    code = """
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p; libc.malloc.argtypes = [ctypes.c_size_t]; libc.free.argtypes = [ctypes.c_void_p]
def work():
    first = libc.malloc(600_000)
    libc.free(first)
    again = libc.malloc(600_000)
    heap = next(line.split()[0].split("-") for line in open("/proc/self/maps") if "[heap]" in line)
    return int(int(heap[0], 16) <= again < int(heap[1], 16))
print(end(fork(work, (), "a")), "MALLOC_TRIM_THRESHOLD_" in os.environ)
"""
    assert run(code) == "0 False\n"
    assert run(code, MALLOC_MMAP_THRESHOLD_="8000000") == "1 False\n"
    assert set(HEAP) == {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}


def test_random_numbers_differ() -> None:
    """Two children of one parent: from the kernel, OpenSSL and Python, nothing comes twice."""
    code = """
import random, secrets, ssl, uuid
random.random(); ssl.RAND_bytes(8); uuid.uuid4()
reading, writing = os.pipe()
def work():
    os.write(writing, repr((random.random(), ssl.RAND_bytes(8), secrets.token_hex(8), uuid.uuid4().hex)).encode() + b"\\n")
    return 0
for _ in range(3):
    end(fork(work, (writing,), "a"))
rows = os.read(reading, 4000).decode().splitlines()
print([len(set(column)) for column in zip(*map(eval, rows))])
"""
    assert run(code) == "[3, 3, 3, 3]\n"


def test_what_a_child_looks_at_stays_with_it() -> None:
    """Its result comes back, however long; an end that is not good is an error; no descriptor is left open."""
    code = """
before = os.listdir("/proc/self/fd")
known = []
def look():
    known.append(1)
    return b"x" * 1_000_000
print(len(run_apart(look)), known)
for bad in (lambda: 1 / 0, lambda: os.kill(os.getpid(), signal.SIGKILL)):
    try:
        run_apart(bad)
    except ChildProcessError as error:
        print(error)
print(os.listdir("/proc/self/fd") == before)
"""
    ends = [f"a child that was to look at something ended with {code}" for code in (EXIT_UNFORESEEN, -9)]
    assert run(code).splitlines() == ["1000000 []", *ends, "True"]
