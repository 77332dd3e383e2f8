"""A process that is killed in the middle of a change leaves all of it or nothing, and nobody waits for it."""

from pathlib import Path

import pytest

from mic_mail.storage.database_ground.account import DatabaseAccount
from store_harness import deliver, exchange, inbox, killed_at, observe
from unit.storage.grounds import DatabaseRoot

pytestmark = pytest.mark.needs_tool("postgres")


def replace_and_deliver(root: DatabaseRoot, told: Path) -> None:
    """A delivery, and a REPLACE of the message before it; what is acknowledged is written down."""

    def act(account: DatabaseAccount) -> None:
        folder_id = inbox(account)
        with told.open("a", buffering=1) as file:
            [uid] = deliver(account, folder_id, ["came"], origin="spool-1")
            file.write("came\n")
            exchange(account, folder_id, uid, account.folder("Archive").folder_id, "instead")
            file.write("instead\n")

    root.use(act)


@pytest.mark.parametrize("stride", [401, pytest.param(29, marks=pytest.mark.slow)])
def test_killed_at_any_line(root: DatabaseRoot, tmp_path: Path, stride: int) -> None:
    """What was acknowledged is there, with its body; a delivery that is repeated is there once; the numbers go on."""
    line = 0
    ended = False
    while not ended:
        root.clear()
        told = tmp_path / f"told{line}"
        ended = killed_at(line, lambda told=told: replace_and_deliver(root, told))  # type: ignore[misc]
        acknowledged = told.read_text().split() if told.exists() else []
        seen = root.use(observe)
        here, there = ([token for token, _ in seen[name].messages.values()] for name in ("INBOX", "Archive"))
        assert (here, there) in [([], []), (["came"], []), ([], ["instead"])]
        assert (here, there) != ([], []) or not acknowledged
        assert there == ["instead"] or acknowledged != ["came", "instead"]
        root.use(lambda account: deliver(account, inbox(account), ["came"], origin="spool-1"))
        assert root.use(lambda account: account.folder("INBOX").uidnext) == 2
        assert deliver_next(root) == 2
        assert root.use(lambda account: account.repair(check=True)).clean
        line += stride


def deliver_next(root: DatabaseRoot) -> int:
    [uid] = root.use(lambda account: deliver(account, inbox(account), ["next"]))
    return uid
