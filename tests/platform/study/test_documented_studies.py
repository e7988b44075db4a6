"""The studies of the first pages and of the notebooks run, from their first command to their report."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.imports import ROOT
from support.pages import commands_of
from vip5platform import cli

pytestmark = pytest.mark.slow

#: What makes a study as short as it can be: whether it runs does not depend on how long it learns.
SHORT = ("--p5-epochs", "1", "--epochs", "1", "--baselines", "popularity")
#: What of it the notebooks say themselves.
NOTEBOOK_SAYS = '"--p5-epochs", "1"'


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
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr[-2000:]}"


def test_your_own_data_to_the_end(tmp_path):
    (tmp_path / "sweeps").symlink_to(ROOT / "sweeps")
    page = ROOT / "docs" / "own-data.md"
    script = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    run(["python", "-c", *script], tmp_path)
    for words in commands_of(page):
        run([*words, *SHORT] if words[0] == "python" else words, tmp_path)
    (report,) = (tmp_path / "runs" / "reports").glob("*/report.html")
    assert "multimodal" in report.read_text("utf-8")


@pytest.mark.parametrize("page", ["write-a-study.md"])
def test_a_study_of_a_page_can_be_planned(page, tmp_path):
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text("utf-8"), re.DOTALL)
    (tmp_path / "my_study.py").write_text(script, "utf-8")
    run(["python", "my_study.py", "--dry-run"], tmp_path)


def test_the_notebooks_run(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for name in ("first_study", "per_user_results"):  # in this order: the second uses the trials of the first
        notebook = nbformat.read(ROOT / "docs" / "notebooks" / f"{name}.ipynb", as_version=4)
        declares = notebook.cells[next(n for n, cell in enumerate(notebook.cells) if cell.cell_type == "code")]
        assert declares.source.count(NOTEBOOK_SAYS) == 1
        declares.source = declares.source.replace(NOTEBOOK_SAYS, str(SHORT)[1:-1])
        client = nbclient.NotebookClient(
            notebook, timeout=600, resources={"metadata": {"path": str(ROOT / "docs" / "notebooks")}}
        )
        client.execute(env={**os.environ, "VIP5_NOTEBOOK_HOME": str(tmp_path)})
        assert all(cell.get("execution_count") for cell in notebook.cells if cell.cell_type == "code")
