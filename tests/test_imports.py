"""No module imports itself by a detour, not even for types: each can be read after those that it imports."""

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest


def test_no_circle_of_imports() -> None:
    graph = grimp.build_graph("twofold", exclude_type_checking_imports=False)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports["twofold.app"]) > 10
    try:
        order = list(TopologicalSorter(imports).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
    assert set(order) == graph.modules
