"""Restores that are killed, met by another process, or left unfinished."""

import os
from pathlib import Path

import pytest

from mic_mail.storage.maildir import swap_store
from store_harness import Root, deliver, inbox, killed_at, observe


@pytest.mark.slow
@pytest.mark.parametrize("exchanging", [True, False])
def test_a_restore_that_is_killed_leaves_one_store_or_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanging: bool
) -> None:
    """Between any two steps of the replacement, also where the file system cannot do it in one: never an empty mailbox."""
    if not exchanging:
        monkeypatch.setattr(swap_store, "_renameat2", None)
    ends: set[bool] = set()
    for line in range(400):
        root = Root(tmp_path / str(line))
        root.use(lambda account: deliver(account, inbox(account), ["kept"]))
        root.use(lambda account: account.backup(tmp_path / f"backup{line}"))  # noqa: B023 - called at once
        root.use(lambda account: deliver(account, inbox(account), ["later"]))
        before = root.use(observe)
        ended = killed_at(
            line,
            lambda: root.use(lambda account: account.restore(tmp_path / f"backup{line}", replace=True)),  # noqa: B023 - likewise
            within="swap_store.py",
        )
        after = root.use(observe)
        tokens = [token for token, _ in after["INBOX"].messages.values()]
        assert tokens == ["kept"] if ended else tokens in (["kept"], ["kept", "later"]), line
        assert {name: seen.uidvalidity for name, seen in after.items()} == {
            name: seen.uidvalidity for name, seen in before.items()
        }
        assert after["INBOX"].uidnext >= before["INBOX"].uidnext
        assert root.use(lambda account: account.repair(check=True)).clean
        ends.add(ended)
        if ended:
            break
    assert ends == {True, False}, line


def test_whoever_opens_between_the_two_renames_finishes_the_restore(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that makes its directories meanwhile must not keep the restored store out."""
    monkeypatch.setattr(swap_store, "_renameat2", None)
    root.use(lambda account: deliver(account, inbox(account), ["kept"]))
    root.use(lambda account: account.backup(root.path / "backup"))
    rename = os.rename
    seen: list[object] = []

    def renaming(old: str, new: str) -> None:
        rename(old, new)
        if str(old) == str(root.home):
            seen.extend(token for token, _ in root.use(observe)["INBOX"].messages.values())

    monkeypatch.setattr(os, "rename", renaming)
    assert root.use(lambda account: account.restore(root.path / "backup", replace=True)).clean
    assert seen == ["kept"]
    assert [token for token, _ in root.use(observe)["INBOX"].messages.values()] == ["kept"]


def test_what_a_killed_restore_left_is_dropped_after_a_day(root: Root) -> None:
    """But neither what was replaced, nor a store that waits for its place, nor a mailbox that is called so."""
    root.use(inbox)
    now_us = root.clock.now_us()
    old, young = now_us - 2 * 86_400_000_000, now_us - 3_600_000_000
    kept = {
        f"dvbe.replaced-{old + 1}", f"dvbe.restoring-{young}", f"ttlan.restoring-{old}", f"ttlan.replaced-{old}",
        f"called.restoring-{old}", "dvbe.restoring-1", "dvbe",
    }  # fmt: skip
    domain = root.home.parent
    for name in {*kept, f"dvbe.restoring-{old}"}:
        (domain / name / "Maildir/cur").mkdir(parents=True, exist_ok=True)
    store = root.store()
    store.drop_unfinished_restores({"mic.gov.vn/dvbe", f"mic.gov.vn/called.restoring-{old}"})
    store.close()
    assert {file.name for file in domain.iterdir()} == kept
