"""The commands that README and docs show are ones that the project understands, and those of the first pages run."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.imports import ROOT
from vip5platform import cli
from vip5platform.cli import sweep, vip5

PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def commands_of(page: Path) -> list[list[str]]:
    """The commands of a page's shell blocks as words: no comments, lines joined, one turn of each loop."""
    found = []
    for block in _BLOCK.findall(page.read_text("utf-8")):
        for name, values in re.findall(r"for (\w+) in ([^;]+); do", block):
            block = block.replace(f"${name}", values.split()[0])
        # A quoted text may go over several lines: those belong to the command that quotes it.
        block = re.sub(r"'[^']*'", lambda quoted: quoted[0].replace("\n", " "), block)
        for line in block.replace("\\\n", " ").replace("&&", "\n").splitlines():
            if words := shlex.split(line, comments=True):
                found.append(words[: words.index("|")] if "|" in words else words)
    return found


def parse(words: list[str]) -> None:
    """Parse a command of the project; others are left alone."""
    if words[0] == "vip5":
        vip5.parser(words[1]).parse_args(words[1:])
    elif words[0] == "python" and words[1].startswith("sweeps/"):
        path = ROOT / words[1]
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sweep.parser(getattr(module, "STUDY", None) or module.SEARCH).parse_args(words[2:])
    elif words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert set(words[1:]) - {w for w in words if "=" in w} <= set(targets)
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]) is not None


def refusal(words: list[str]) -> str:
    """What a command line says against these words; nothing if it understands them."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output), contextlib.redirect_stdout(io.StringIO()):
            parse(words)
    except SystemExit as stopped:
        return f"{shlex.join(words)}: {output.getvalue()}" if stopped.code else ""
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_understood(page):
    for words in commands_of(page):
        if "…" in " ".join(words) or any(w.isupper() for w in words):
            continue  # a pattern, not a command
        assert refusal(words) == ""


def run(words: list[str], folder: Path) -> None:
    """Run a command in a folder that has the sweeps."""
    python = {"python": [sys.executable], "vip5": [sys.executable, "-m", cli.__name__]}
    done = subprocess.run(
        [*python[words[0]], *words[1:]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(words)}: {done.stderr[-2000:]}"


@pytest.mark.slow
def test_your_own_data_to_the_end(tmp_path):
    (tmp_path / "sweeps").symlink_to(ROOT / "sweeps")
    page = ROOT / "docs" / "own-data.md"
    script = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    run(["python", "-c", *script], tmp_path)
    for words in commands_of(page):
        run([*words, "--p5-epochs", "1", "--baselines", "popularity"] if words[0] == "python" else words, tmp_path)
    (report,) = (tmp_path / "runs" / "reports").glob("*/report.html")
    assert "multimodal" in report.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("page", ["write-a-study.md"])
def test_a_study_of_a_page_can_be_planned(page, tmp_path):
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text("utf-8"), re.DOTALL)
    (tmp_path / "my_study.py").write_text(script, "utf-8")
    run(["python", "my_study.py", "--dry-run"], tmp_path)


@pytest.mark.slow
def test_the_notebooks_run(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for name in ("first_study", "per_user_results"):  # in this order: the second uses the trials of the first
        notebook = nbformat.read(ROOT / "docs" / "notebooks" / f"{name}.ipynb", as_version=4)
        client = nbclient.NotebookClient(
            notebook, timeout=600, resources={"metadata": {"path": str(ROOT / "docs" / "notebooks")}}
        )
        client.execute(env={**os.environ, "VIP5_NOTEBOOK_HOME": str(tmp_path)})
        assert all(cell.get("execution_count") for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.slow
def test_the_site_builds_without_a_broken_link(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "site" / "index.html").is_file()
