"""Decide where glibc's malloc keeps the memory of this process.

glibc keeps what was freed, in the heap of the main thread and in an arena of each other thread, up to the last page that is in
use. That is right while the memory is needed again soon; after the start of a process, and when mailboxes have been closed, it
is not (`give_back`, `settle`). Nor is it in a process that forks others: each child would fill the gaps between the blocks of
its parent, and so take a copy of its own of every page around one (`fill_gaps`).
"""

import ctypes
import gc
from itertools import chain

_libc = ctypes.CDLL(None)
_malloc_trim = getattr(_libc, "malloc_trim", None)
"""glibc's malloc_trim; None with another C library."""
_LARGEST_GAP = 100_000
"""Less than what malloc allocates outside the heap; larger gaps are filled piece by piece."""
_LARGEST_SMALL = 8_192
"""Up to this size, gaps of each size that malloc distinguishes are filled.

The rest of a larger gap is one of these.
"""


class _MallocInfo(ctypes.Structure):
    """`struct mallinfo2` of malloc.h."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


def give_back() -> None:
    """Give the free pages of all arenas back; takes a millisecond for 100 MiB. From any thread."""
    if _malloc_trim is not None:
        _malloc_trim(0)


def settle() -> None:
    """Free what the start of a process has left, before others share its memory or before it begins to serve."""
    gc.collect()
    give_back()


def fill_gaps() -> None:
    """Allocate whatever is free between the blocks of the heap, for ever: later blocks are behind all present ones.

    For a process of one thread, once, before it forks the first of others. Takes 5 ms; does nothing with another C library.
    """
    if not hasattr(_libc, "mallinfo2"):
        return
    allocate, free, end = _libc.malloc, _libc.free, _libc.sbrk
    allocate.restype, allocate.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    free.restype, free.argtypes = None, (ctypes.c_void_p,)
    end.restype, end.argtypes = ctypes.c_void_p, (ctypes.c_ssize_t,)
    _libc.mallinfo2.restype = _MallocInfo
    found = _libc.mallinfo2()
    behind = end(0) - found.keepcost  # from here on nothing is allocated
    left = found.arena  # more than all gaps: another malloc than glibc's may know no end of them
    for size in chain(range(_LARGEST_GAP, _LARGEST_SMALL, -512), range(_LARGEST_SMALL, 8, -16)):
        while (block := allocate(size)) is not None and block < behind and left > 0:
            left -= size
        free(block)
