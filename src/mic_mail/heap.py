"""Give free memory of this process back to the kernel.

glibc keeps what was freed, in the heap of the main thread and in an arena of each other thread, up to the last page that is in
use. That is right while the memory is needed again soon; after the start of a process, and when mailboxes have been closed, it
is not.
"""

import ctypes
import gc

_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""glibc's malloc_trim; None with another C library."""


def give_back() -> None:
    """Give the free pages of all arenas back; takes a millisecond for 100 MiB. From any thread."""
    if _malloc_trim is not None:
        _malloc_trim(0)


def settle() -> None:
    """Free what the start of a process has left, before others share its memory or before it begins to serve."""
    gc.collect()
    give_back()
