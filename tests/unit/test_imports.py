"""No modules import each other in a circle: each can be imported first, whoever comes before it today.

What a rule knows without an import, it does not know either.
"""

import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]


def test_there_are_no_circles() -> None:
    """`CycleError` names one."""
    graph = grimp.build_graph("mic_mail", cache_dir=None, exclude_type_checking_imports=True)
    order = TopologicalSorter(
        {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    ).static_order()
    assert len(list(order)) == len(graph.modules) > 500


def test_the_rules_of_a_mailbox_build_no_paths() -> None:
    """No module that may import nothing of files reaches for the paths of its store."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [contract] = [each for each in contracts if each["name"] == "The rules of a mailbox know no files"]
    sources = {name: ROOT.joinpath("src", *name.split(".")).with_suffix(".py") for name in contract["source_modules"]}
    assert len(sources) > 20
    assert [name for name, path in sources.items() if ".paths" in path.read_text()] == []
