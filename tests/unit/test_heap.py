"""What was freed goes back to the kernel, also where a block above it is in use."""

import subprocess
import sys

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
