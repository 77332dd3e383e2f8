"""What was freed goes back to the kernel, also below a block that is in use; gaps are filled before processes fork."""

import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest

from mic_mail import heap

FREED = """
import ctypes, re
from mic_mail import heap

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def dirty():
    with open("/proc/self/smaps_rollup") as file:
        return int(re.search(r"Private_Dirty: +([0-9]+)", file.read())[1])

blocks = [libc.malloc(20_000) for _ in range(1_000)]  # from the heap: below the threshold of blocks of their own
for block in blocks:
    ctypes.memset(block, 1, 20_000)
for block in blocks[:-1]:
    libc.free(block)
before = dirty()
heap.settle()
print(before - dirty())
"""


def test_it_goes_back() -> None:
    """Nearly all of 20 MB, of which the last block is still in use."""
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 15_000


FILLED = """
import ctypes, os, random
from mic_mail import heap

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
sizes = random.Random(1).choices(range(24, 20_000, 8), k=6_000)
blocks = [libc.malloc(size) for size in sizes]
end = max(blocks)
for block in blocks[:-1:2]:
    libc.free(block)
if FILLS:
    heap.fill_gaps()
print(sum(libc.malloc(size) < end for size in sizes[::3]))
"""


def test_another_malloc_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose blocks all lie below the end of the heap."""
    sizes: list[int] = []

    def malloc(size: int) -> int:
        sizes.append(size)
        return 4_096

    def mallinfo2() -> SimpleNamespace:
        return SimpleNamespace(arena=10_000_000, keepcost=0)

    libc = SimpleNamespace(malloc=malloc, mallinfo2=mallinfo2, free=partial(int), sbrk=partial(max, 1 << 40))
    monkeypatch.setattr(heap, "_libc", libc)
    heap.fill_gaps()
    assert 10_000_000 < sum(sizes) < 25_000_000  # as much as there is, and one block of each size


@pytest.mark.parametrize(("fills", "fewest", "most"), [("False", 1_000, 2_000), ("True", 0, 20)], ids=["left", "filled"])
def test_gaps_are_filled(fills: str, fewest: int, most: int) -> None:
    """Of 2,000 later blocks nearly all are behind the present ones, so that a fork writes to no page around these."""
    done = subprocess.run([sys.executable, "-c", FILLED.replace("FILLS", fills)], capture_output=True, text=True, check=True)
    assert fewest <= int(done.stdout) <= most
