"""What a rehearsal takes from the project's files; the rehearsal itself needs root and minutes: `make rehearsal`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.rehearsal import __main__ as rehearsal
from benchmarks.rehearsal import steps

ROOT = Path(__file__).parents[2]


def test_the_pages_command_enters_all_that_is_marked_edit(tmp_path: Path):
    shutil.copy(ROOT / "cluster.yaml", tmp_path)
    account = {
        "AWS_DEFAULT_REGION": "eu-west-1",
        "ZONE": "eu-west-1b",
        "GROUP": "sg-1",
        "EFS": "fs-2",
        "IMAGE": "ami-3",
    }
    command = steps.command_of(ROOT / steps.PAGE, steps.ENTER)
    subprocess.run(["bash", "-e", "-c", command], cwd=tmp_path, env=account, check=True)
    entered = (tmp_path / "cluster.yaml").read_text()
    values = (
        "region: eu-west-1  # EDIT",
        "eu-west-1b  # EDIT",
        "ami-3  # EDIT",
        "[sg-1]  # EDIT",
        "'fs-2.efs.eu-west-1.",
    )
    for value in values:
        assert value in entered


def test_what_a_rehearsal_changes_is_in_the_file():
    text = (ROOT / "cluster.yaml").read_text()
    assert [text.count(before) for before in steps.ONLY_HERE] == [1] * len(steps.ONLY_HERE)


def test_a_machine_that_cannot_is_told_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("shutil.which", lambda program, path: None if program == "sshd" else program)
    monkeypatch.setattr("sys.argv", ["rehearsal"])
    rehearsal.main()
    assert capsys.readouterr().out == "skipped: the rehearsal needs root, openssh-server\n"
