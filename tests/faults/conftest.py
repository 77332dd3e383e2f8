"""A mail root of the test's own, for what kills, full disks and power cuts do to a store."""

from pathlib import Path

import pytest

from store_harness import Root


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)
