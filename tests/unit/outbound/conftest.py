"""The loop that the server runs on: its transports behave otherwise than asyncio's where a connection has just gone."""

from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], uvloop.Loop]]:
    """Asked by pytest-asyncio for the tests of this folder."""
    return {"uvloop": uvloop.new_event_loop}
