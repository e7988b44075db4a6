"""`vip5 run`, as its user meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.imports import ROOT
from vip5platform.cli.run import find_declared, sweep_files
from vip5platform.cli.vip5 import main

from vip5core.errors import UserError

OWN = """
from neighbour import LEVELS
from vip5platform import Factor, Study, main
STUDY = Study(name="own", question="Is it mine?", factors=(Factor("reduction_factor", LEVELS),))
if __name__ == "__main__":
    main(STUDY)
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as left:
        main(["run", *map(str, arguments)])
    seen = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, seen.out, seen.err


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A study file of one's own that imports its neighbour."""
    (tmp_path / "neighbour.py").write_text("LEVELS = {n: {'reduction_factor': n} for n in (2, 7)}\n")
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path / "own.py"


def test_the_list_has_every_sweep_with_its_question(capsys):
    code, said, _ = run(capsys, "--list")
    assert code == 0
    lines = said.splitlines()
    assert [line.split()[0].replace("-", "_") for line in lines] == sorted(p.stem for p in ROOT.glob("sweeps/*.py"))
    assert all(line.endswith("?") for line in lines)


@pytest.mark.parametrize("name", ["reduction-ablation", "reduction_ablation"])
def test_a_study_is_found_by_its_name_or_that_of_its_file(name):
    assert find_declared(name).name == "reduction-ablation"


def test_the_names_of_files_and_studies_agree():
    assert {name: find_declared(name).name for name in sweep_files()} == {name: name for name in sweep_files()}


def test_options_after_the_name_are_the_study_s_own(capsys):
    code, said, _ = run(capsys, "encoder-ablation", "--help")
    assert code == 0
    assert said.startswith("usage: vip5 run encoder-ablation [-h]")
    assert "--levels" in said
    code, _, error = run(capsys, "encoder-ablation", "--seeds", "0")
    assert (code, error) == (2, "error: --seeds 0: must be at least 1\n")


def test_a_study_file_of_one_s_own_may_import_its_neighbours(own, capsys):
    assert [list(cell.values()) for cell in find_declared(str(own)).cells()] == [[2], [7]]
    code, _, error = run(capsys, own, "--levels", "colour=red")
    assert code == 2
    assert "colour" in error


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["encoder-ablaton"], "did you mean 'encoder-ablation'?"),
        (["absent.py"], "there is no such file"),
        ([], "name a study: cross-domain, "),
    ],
)
def test_a_mistake_is_answered_in_one_line(given, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, error = run(capsys, *given)
    assert code == 2
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n\nSTUDY = undefined\n", ", line 3: NameError: name 'undefined' is not defined"),
        ("STUDY = (\n", "SyntaxError"),
        ("STUDY = 3\n", "declares no studies; must declare one Study or Search"),
    ],
)
def test_a_study_file_that_declares_nothing_is_refused(text, says, tmp_path):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(UserError) as refused:
        find_declared(str(tmp_path / "bad.py"))
    assert says in str(refused.value)


@pytest.mark.slow
def test_a_sweep_is_its_own_command_too():
    done = subprocess.run(
        [sys.executable, str(ROOT / "sweeps/reduction_ablation.py"), "--seeds", "0"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (2, "error: --seeds 0: must be at least 1\n")
