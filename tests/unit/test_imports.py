"""No modules import each other in a circle: each can be imported first, whoever comes before it today."""

from graphlib import TopologicalSorter

import grimp


def test_there_are_no_circles() -> None:
    """`CycleError` names one."""
    graph = grimp.build_graph("mic_mail", cache_dir=None, exclude_type_checking_imports=True)
    order = TopologicalSorter(
        {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    ).static_order()
    assert len(list(order)) == len(graph.modules) > 500
