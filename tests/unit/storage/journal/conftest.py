"""What the tests of the journal share: its segments, a machine that has lost power, and what that does to files."""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mic_mail.clock import ManualClock
from mic_mail.storage.journal.frames import Journaled
from mic_mail.storage.journal.journal import FOLDER, LOCK
from mic_mail.storage.local_mailstore import LocalMailStore
from store_harness import Root, Seen, arrivals_in, message


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 24, tzinfo=UTC))


@pytest.fixture
def root(tmp_path: Path, clock: ManualClock) -> Root:
    return Root(tmp_path / "mail", clock=clock)


@pytest.fixture
def store(root: Root) -> Iterator[LocalMailStore]:
    store = root.store()
    store.prepare_journal()
    yield store
    store.close()


def segments(root: Root) -> list[Path]:
    folder = root.path / FOLDER
    return sorted(path for path in folder.iterdir() if path.name != LOCK) if folder.exists() else []


def held(root: Root) -> list[Journaled]:
    """All messages that the journal holds."""
    return [arrival for path in segments(root) for arrival in arrivals_in(str(path))]


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def in_inbox(seen: dict[str, Seen]) -> dict[str, int]:
    return {token: uid for uid, (token, _) in seen["INBOX"].messages.items()}


class Crash:
    """A machine that has lost power: a copy of everything as it lay in memory, to be damaged, under the next boot id."""

    def __init__(self, root: Root) -> None:
        path = root.path.with_name(f"{root.path.name}'")
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(root.path, path, symlinks=True)
        self.root = Root(path, clock=root.clock, settings=dict(root.settings))
        self.root.settings["boot_id"] = f"{root.settings['boot_id']}'"

    def file_of(self, token: str) -> Path:
        for path in self.root.home.glob("Maildir/**/*.M*"):
            if path.is_file() and message(token) == path.read_bytes():
                return path
        raise LookupError(token)


def lose_content(path: Path) -> None:
    """The name is on disk, the octets are not."""
    path.chmod(0o600)
    path.write_bytes(b"")


def get_zeros(path: Path) -> None:
    size = path.stat().st_size
    path.chmod(0o600)
    path.write_bytes(bytes(size))


def lose_half(path: Path) -> None:
    path.chmod(0o600)
    os.truncate(path, path.stat().st_size // 2)


def lose_name(path: Path) -> None:
    path.unlink()


def stay_staged(path: Path) -> None:
    """The rename into `cur` is not on disk."""
    path.rename(path.parent.parent / "tmp" / path.name.partition(",")[0])


def survive(path: Path) -> None:
    pass


Damage = Callable[[Path], None]
DAMAGES: tuple[Damage, ...] = (lose_content, get_zeros, lose_half, lose_name, stay_staged, survive)
KEEP_THE_NAME = (lose_content, get_zeros, lose_half, survive)


NOBODY = 65534


def as_a_service_user(act: Callable[[], object]) -> Callable[[], object]:
    """For a forked child: with no more rights than a server has, whoever runs the tests."""

    def acting() -> object:
        if os.getuid() == 0:
            os.setuid(NOBODY)
        return act()

    return acting


@pytest.fixture
def owned(clock: ManualClock) -> Iterator[Root]:
    """A mail root in a folder that a service user can have."""
    with TemporaryDirectory() as folder:
        root = Root(Path(folder) / "mail", clock=clock)
        yield root


def give_away(root: Root) -> None:
    if os.getuid() == 0:
        for path in (root.path.parent, *root.path.parent.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
