"""The import graph of the source tree, read from its syntax: nothing of it is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Where each package of ours lies.
_BASES = {"vip5core": ROOT, "vip5platform": ROOT / "platform"}


def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name; a package goes by its own name."""
    found = {}
    for package, base in _BASES.items():
        for path in sorted((base / package).rglob("*.py")):
            name = ".".join(path.relative_to(base).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def imported_names(path: Path) -> Iterator[tuple[str, str]]:
    """Each (module, name) that a file imports by `from`, anywhere but under `if TYPE_CHECKING`."""
    tree = ast.parse(path.read_text("utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0 and id(node) not in skipped:
            for alias in node.names:
                yield node.module, alias.name


def import_graph() -> dict[str, set[str]]:
    """Module to the modules of ours that it imports."""
    known = modules()
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        targets = set()
        for module, imported in imported_names(path):
            target = f"{module}.{imported}" if f"{module}.{imported}" in known else module
            if target in known and target != name:
                targets.add(target)
        graph[name] = targets
    return graph


def faces() -> dict[str, set[str]]:
    """The names that packages with a face (`__all__` in `__init__`) offer, by package."""
    offered = {}
    for name, path in modules().items():
        if path.name == "__init__.py":
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                    offered[name] = set(ast.literal_eval(node.value))
    return offered


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one node (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in graph.get(node, ()):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            component = [stack.pop()]
            while component[-1] != node:
                component.append(stack.pop())
            if len(component) > 1:
                found.append(sorted(component))

    for node in graph:
        if node not in index:
            visit(node)
    return found


def folder_graph(graph: dict[str, set[str]], package: str) -> dict[str, set[str]]:
    """The graph between the children of a package: an arrow wherever something inside one imports from another."""

    def child_of(module: str) -> str | None:
        rest = module.removeprefix(f"{package}.")
        return rest.split(".")[0] if rest != module else None

    edges: dict[str, set[str]] = {}
    for source, targets in graph.items():
        for target in targets:
            one, other = child_of(source), child_of(target)
            if one and other and one != other:
                edges.setdefault(one, set()).add(other)
    return edges
