"""The processes of a server: killed, drained, reloaded, orphaned, while real clients use them.

Most of it is done to the same server, which another takes the place of where a test does not leave it as it was.
"""

from collections.abc import Callable

from harness import ProcessServer

Make = Callable[..., ProcessServer]
