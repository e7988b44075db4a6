"""How the source tree is built: layers, packages and their faces, circles, sizes; see docs/architecture.md."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from support.imports import ROOT, circles, faces, folder_graph, import_graph, imported_names, modules

SWEEPS = sorted((ROOT / "sweeps").glob("*.py"))
FORBIDDEN = {
    "vip5core": {"ray", "mlflow", "optuna", "vip5platform"},
    "sweeps": {"torch", "ray", "mlflow", "optuna"},
}
#: As many rooms can be taken in at a glance.
TOP_ROOMS = 14


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_a_layer_imports_nothing_above_it(layer):
    files = sorted((ROOT / layer).rglob("*.py"))
    assert files
    assert {
        str(f.relative_to(ROOT)): imported(f) & FORBIDDEN[layer] for f in files if imported(f) & FORBIDDEN[layer]
    } == {}


def test_platform_has_no_init_which_would_shadow_pythons_own_platform_module():
    assert not (ROOT / "platform" / "__init__.py").exists()
    done = subprocess.run(
        [sys.executable, "-c", "import platform, uuid; print(platform.python_version())"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("3.")


def test_files_import_each_other_in_no_circle():
    assert circles(import_graph()) == []


def test_the_rooms_of_no_folder_import_each_other_in_a_circle():
    graph = import_graph()
    packages = [name for name, path in modules().items() if path.name == "__init__.py"]
    found = {package: circles(folder_graph(graph, package)) for package in packages}
    assert {package: rooms for package, rooms in found.items() if rooms} == {}


def test_a_package_with_a_face_is_imported_through_it_alone():
    """One rule: a package offers what its `__init__` lists in `__all__`, or has an `__init__` that imports nothing."""
    offered = {name: names for name, names in faces().items() if "." in name}
    files = {**modules(), **{f"benchmarks.{path.stem}": path for path in (ROOT / "benchmarks").glob("*.py")}}
    around = []
    for name, path in files.items():
        for module, imported_name in imported_names(path):
            package = next((p for p in sorted(offered) if f"{module}.".startswith(f"{p}.")), None)
            outside = package is not None and not f"{name}.".startswith(f"{package}.")
            if outside and (module != package or imported_name not in offered[package]):
                around.append(f"{name} imports {imported_name} from {module}")
    assert around == []


def test_a_package_without_a_face_imports_nothing():
    for name, path in modules().items():
        if path.name == "__init__.py" and name not in faces():
            assert not imported(path), name


def test_the_top_of_the_platform_can_be_taken_in_at_a_glance():
    rooms = [path for path in (ROOT / "platform" / "vip5platform").iterdir() if path.name != "__pycache__"]
    assert len(rooms) <= TOP_ROOMS, sorted(path.name for path in rooms)


@pytest.mark.parametrize(("tests", "tree"), [("core", "vip5core"), ("platform", "platform/vip5platform")])
def test_tests_follow_the_tree(tests, tree):
    folders = {path.parent.relative_to(ROOT / "tests" / tests) for path in (ROOT / "tests" / tests).rglob("test_*.py")}
    assert folders
    assert [str(folder) for folder in folders if not (ROOT / tree / folder).is_dir()] == []


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_sweep_is_a_short_declaration(path):
    assert len(path.read_text("utf-8").splitlines()) <= 30
    names = runpy.run_path(str(path))
    declared = names.get("STUDY") or names["SEARCH"]
    assert declared.name == path.stem.replace("_", "-")
    assert declared.question.endswith("?")
    assert len(declared.cells() if "STUDY" in names else declared.space) > 1


def test_no_module_is_over_500_lines_and_half_of_them_are_under_120():
    files = [f for folder in ("vip5core", "platform", "sweeps", "benchmarks") for f in (ROOT / folder).rglob("*.py")]
    lengths = {str(f.relative_to(ROOT)): len(f.read_text("utf-8").splitlines()) for f in files}
    assert {name: length for name, length in lengths.items() if length > 500} == {}
    assert sorted(lengths.values())[len(lengths) // 2] <= 120
