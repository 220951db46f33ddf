"""Counts what `pipeline/` is made of: its rooms, and the floors and arrows of their imports.

    python -m tests.import_graph [CHECKOUT]

A room is a package below `pipeline`, or a module that stands beside the packages. An arrow leads
from a room to another that it imports. Rooms that import each other, directly or not, share a
floor; every other room stands above those that it imports.
"""

import ast
import sys
from pathlib import Path

import networkx as nx


def room_of(module: str) -> str:
    """The package or module below `pipeline` that a dotted name is of; "" for `pipeline` itself."""
    return module.partition(".")[2].partition(".")[0]


def rooms(checkout: Path) -> "nx.DiGraph[str]":
    """The rooms, and an arrow to each that a room imports."""
    found: nx.DiGraph[str] = nx.DiGraph()
    for path in (checkout / "pipeline").rglob("*.py"):
        here = room_of(".".join(path.relative_to(checkout).with_suffix("").parts))
        if here == "__init__":
            continue
        found.add_node(here)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipeline."):
                there = room_of(str(node.module))
                if there != here:
                    found.add_edge(here, there)
    return found


def main() -> None:
    """Print the counts."""
    graph = rooms(Path(sys.argv[1] if sys.argv[1:] else "."))
    groups = nx.condensation(graph)
    back = sum(len(members) for _, members in groups.nodes(data="members") if len(members) > 1)
    floors = nx.dag_longest_path_length(groups) + 1
    print(
        f"{graph.number_of_nodes()} rooms, {floors} floors, {graph.number_of_edges()} arrows; "
        f"{back} rooms import each other"
    )


if __name__ == "__main__":
    main()
