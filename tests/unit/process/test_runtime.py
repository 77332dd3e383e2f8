"""What every service of a process shares."""

from dataclasses import FrozenInstanceError, fields

import pytest

from mic_mail.clock import SystemClock
from mic_mail.config.model import Config
from mic_mail.process.runtime import Runtime
from runtimes import runtime


def test_the_runtime_holds_six_things_and_no_collaborator() -> None:
    """A store, a directory, another service is an argument of its own, so that a constructor shows what its service uses."""
    assert [one.name for one in fields(Runtime)] == ["clock", "log", "executors", "account_executors", "config", "snapshot"]


def test_nothing_replaces_a_part_of_it() -> None:
    """A reload changes what `config` returns, never the runtime."""
    parts = runtime(Config(), SystemClock())
    with pytest.raises(FrozenInstanceError):
        parts.log = None  # type: ignore[misc]
