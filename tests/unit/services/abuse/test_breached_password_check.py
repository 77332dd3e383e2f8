"""Passwords that others have: what a reload changes while the list is being looked at (Reg. 7.2.c)."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mic_mail.clock import SystemClock
from mic_mail.services.abuse.breached_password_check import BreachedPasswordCheck
from runtimes import runtime

pytestmark = pytest.mark.clause("7.2.c")
OLD, NEW = Path("old"), Path("new")


def settings(listed: Path) -> Any:
    auth = SimpleNamespace(leaked_passwords=listed, leaked_action="suspend", cache_seconds=3600.0)
    return SimpleNamespace(auth=auth, anomaly=SimpleNamespace(sprayed=20, window=3600.0))


class World:
    """Stands for the io lane, which looks when it may, the log and the suspensions."""

    def __init__(self) -> None:
        self.looks = asyncio.Event()
        self.looked: list[Path] = []
        self.suspended: list[int] = []

    async def io(self, fn: object, listed: Path, password: str) -> bool:
        self.looked.append(listed)
        await self.looks.wait()
        return listed == NEW

    async def suspend(self, mailbox_id: int, trigger: str, why: str) -> bool:
        self.suspended.append(mailbox_id)
        return True

    def event(self, name: str, /, **fields: object) -> None: ...


async def test_a_list_that_comes_during_a_look_is_looked_at_with_the_next_sign_in() -> None:
    """That a password stands not in the old one says nothing of the new one."""
    world: Any = World()
    configs = [settings(OLD)]
    parts = runtime(lambda: configs[-1], SystemClock(), log=world, executors=world)
    exposure = BreachedPasswordCheck(
        parts, key=b"k" * 32, directory=world, suspending=world, changed=lambda: None, tell=lambda _: None
    )
    entry: Any = SimpleNamespace(address="dvbe@mic.gov.vn", mailbox_id=7, last_seq=0)
    credential: Any = SimpleNamespace(version=1)
    looking = asyncio.create_task(exposure.check(entry, credential, "pw"))
    await asyncio.sleep(0)
    configs.append(settings(NEW))
    exposure.apply_reload()
    world.looks.set()
    assert not await looking
    assert await exposure.check(entry, credential, "pw")
    assert (world.looked, world.suspended) == ([OLD, NEW], [7])
