"""What README, NOTICE and the image say of licences is true of all that is installed to run."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent.parent
GPL = {"aioimaplib": "GPL-3.0-only", "unidecode": "GPL-2.0-or-later"}
LGPL = {"psycopg": "LGPL-3.0-only", "psycopg-binary": "LGPL-3.0-only"}
"""Of nodes of a cluster alone."""
NOT_ON_LINUX = {"colorama", "tzdata"}


def listed() -> dict[str, str]:
    rows = list(csv.reader((TREE / "docs/licenses.csv").read_text().splitlines()))
    assert rows[0] == ["Name", "License"]
    return {name.lower().replace("_", "-"): licence for name, licence in rows[1:]}


def test_every_package_that_is_installed_to_run_is_on_the_list() -> None:
    """By its name in the lock file, and no other: `make licenses` compares the licences themselves."""
    locked = set(re.findall(r"^([a-z0-9-]+)==", (TREE / "requirements-cluster.lock").read_text(), re.MULTILINE))
    assert listed().keys() == locked - NOT_ON_LINUX


def test_two_packages_are_under_the_gpl() -> None:
    """Those that are named wherever licences are spoken of."""
    found = {name for name, licence in listed().items() if re.search(r"GPL|General Public|AGPL|Affero", licence)}
    assert found == GPL.keys() | LGPL.keys()
    assert {name: listed()[name] for name in LGPL} == LGPL
    for place in ("README.md", "README.vi.md", "docs/dependencies.md"):
        said = (TREE / place).read_text()
        assert "Apache" in said
        assert all(licence in said for licence in GPL.values()), place
    assert 'image.licenses="GPL-3.0-only"' in (TREE / "Dockerfile").read_text()
    assert "Version 3, 29 June 2007" in (TREE / "LICENSES/GPL-3.0-only.txt").read_text()


@pytest.mark.needs_tool("make")
def test_a_package_that_is_not_on_the_list_is_refused(tmp_path: Path) -> None:
    """`make licenses`, with the list as it is and with one that lacks a line."""
    lines = (TREE / "docs/licenses.csv").read_text().splitlines(keepends=True)
    for kept, code in ((lines, 0), ([line for line in lines if "pydantic_core" not in line], 2)):
        (tmp_path / "allowed.csv").write_text("".join(kept))
        where = (f"ALLOWED={tmp_path}/allowed.csv", f"VENV={tmp_path}", f"BIN={Path(sys.executable).parent}")
        command = ["make", "-s", "-o", "setup-test", "licenses", *where]
        run = subprocess.run(command, cwd=TREE, capture_output=True, text=True, check=False)
        assert run.returncode == code, run.stderr
        assert ("pydantic_core" in run.stderr) is bool(code)
