"""The tests of this folder run on the loop of the server."""

from event_loops import uvloop_alone as pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
