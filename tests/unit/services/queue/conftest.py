"""The tests of this folder run on the loop of the server."""

from typing import Any

import pytest

from event_loops import uvloop_alone as pytest_asyncio_loop_factories
from mic_mail.process.executors import Executor

__all__ = ["pytest_asyncio_loop_factories"]


@pytest.fixture
def executor_calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The calls that executors were given: each is a change of threads."""
    calls: list[Any] = []
    submit = Executor.submit

    def counted(executor: Executor, *call: Any) -> Any:
        calls.append(call)
        return submit(executor, *call)

    monkeypatch.setattr(Executor, "submit", counted)
    return calls
