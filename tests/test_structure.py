"""The three layers know only the ones below; see the README's map."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SWEEPS = sorted((ROOT / "sweeps").glob("*.py"))
FORBIDDEN = {
    "vip5core": {"ray", "mlflow", "optuna", "vip5platform"},
    "sweeps": {"torch", "ray", "mlflow", "optuna"},
}


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


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_sweep_is_a_short_declaration(path):
    assert len(path.read_text("utf-8").splitlines()) <= 30
    names = runpy.run_path(str(path))
    declared = names.get("STUDY") or names["SEARCH"]
    assert declared.name == path.stem.replace("_", "-")
    assert declared.question.endswith("?")
    assert len(declared.cells() if "STUDY" in names else declared.space) > 1


def test_no_room_is_over_500_lines():
    files = [f for folder in ("vip5core", "platform", "sweeps", "benchmarks") for f in (ROOT / folder).rglob("*.py")]
    assert [str(f) for f in files if len(f.read_text("utf-8").splitlines()) > 500] == []
