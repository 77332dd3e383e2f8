"""Servers of several processes, for tests that kill, drain and reload them while real clients use them."""

from collections.abc import Callable

from harness import ProcessServer

Make = Callable[..., ProcessServer]
"""Makes a server of several processes, and its clients."""
