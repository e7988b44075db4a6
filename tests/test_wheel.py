"""What is built for others is complete: installed elsewhere, the platform works without its checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.imports import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from an sdist built from this checkout."""
    for builder in ("build", "hatchling"):
        pytest.importorskip(builder, reason=f"{builder} is not installed: pip install -e '.[dev]'")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    assert len(list(out.glob("*.tar.gz"))) == 1
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel; what it depends on is taken from this environment."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True, capture_output=True)
    return target


def vip5(installed: Path, cwd: Path, *arguments: str) -> str:
    """What the installed command prints, run where no checkout is."""
    done = subprocess.run(
        [sys.executable, str(installed / "bin" / "vip5"), *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_wheel_holds_every_file_of_the_source_tree_and_nothing_else(wheel):
    packages = {"vip5core": "vip5core", "platform/vip5platform": "vip5platform", "sweeps": "vip5platform/sweeps"}
    expected = {
        f"{inside}/{path.relative_to(ROOT / tree)}"
        for tree, inside in packages.items()
        for path in (ROOT / tree).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == expected


def test_an_installed_command_does_without_the_checkout(installed, tmp_path):
    where = "import vip5core, vip5platform; print(vip5core.__file__, vip5platform.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(path.startswith(str(installed)) for path in found.stdout.split())
    assert "encoder-ablation" in vip5(installed, tmp_path, "run", "--list")
    vip5(installed, tmp_path, "prepare", "minimart:25", "--out", "shop")
    assert "random leak-free" in " ".join(vip5(installed, tmp_path, "describe", "shop").split())
    planned = vip5(installed, tmp_path, "run", "encoder-ablation", "--dataset", "shop", "--dry-run")
    assert "6 trials to train" in planned
    assert not (tmp_path / "runs").exists()
