"""A store of one's own, and a signed-in session on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mic_mail.storage.local_mailstore import LocalMailStore
from session_harness import Talk, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalMailStore]:
    store = open_store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def ctx(store: LocalMailStore) -> Talk:
    return Talk(store).sign_in()
