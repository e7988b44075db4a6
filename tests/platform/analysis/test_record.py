"""A study's record: found again by name, whole or not at all."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from vip5platform.analysis.record import HEAD_LOG, RecordedTrial, StudyRecord, find_record, git_state, load_record

from vip5core.errors import UserError
from vip5core.home import Home


def record(name: str = "encoders", key: str = "k1", **changes) -> StudyRecord:
    values = {
        "kind": "study", "name": name, "question": "Which?", "key": key, "factors": ["encoder"],
        "metrics": ["test/sequential/ndcg_at_10"], "settings": {}, "baselines": ["popularity"],
        "trials": [RecordedTrial(cell={"encoder": "RN50"}, seed=0, group="minimart", fingerprint="f")],
        "command": "python x", "commit": "", "dirty": False, "workers": 1, "gpus": 0.0, "cpus": 1.0,
    }  # fmt: skip
    return StudyRecord(**{**values, **changes})


def test_a_record_is_found_by_the_studys_name_its_folders_or_its_folder(tmp_path):
    home = Home(tmp_path)
    for key, age in (("k1", 100), ("k2", 50)):
        record(key=key).save(home)
        file = record(key=key).folder(home) / "study.json"
        os.utime(file, (file.stat().st_mtime - age,) * 2)
    assert find_record("encoders", home).key == "k2"  # the one that was run last
    assert find_record("encoders-k1", home).key == "k1"
    assert find_record(str(record(key="k1").folder(home)), home) == record(key="k1")


def test_what_is_not_there_is_told_with_the_nearest_name(tmp_path):
    home = Home(tmp_path)
    with pytest.raises(UserError, match=r"no study in .*; run one first"):
        find_record("encoders", home)
    record().save(home)
    with pytest.raises(UserError, match="unknown study 'encoder': did you mean 'encoders'"):
        find_record("encoder", home)


def test_a_broken_record_is_a_users_error(tmp_path):
    home = Home(tmp_path)
    record().save(home)
    folder = record().folder(home)
    (folder / "study.json").write_text("{")
    with pytest.raises(UserError, match="no readable study record"):
        load_record(folder)


@pytest.mark.parametrize(
    ("log", "state"),
    [
        (f"{'0' * 40} {'b2' * 20} A 1 +0\tclone\n{'b2' * 20} {'a1' * 20} A 2 +0\tcommit: x\n", ("a1" * 20, None)),
        ("", ("", False)),
        ("damaged\n", ("", False)),
    ],
)
def test_the_commit_of_a_copy_is_the_last_of_its_log(tmp_path: Path, log: str, state: tuple[str, bool | None]):
    (tmp_path / HEAD_LOG).write_text(log)
    assert git_state(tmp_path) == state


def test_the_state_of_a_checkout(tmp_path: Path):
    assert git_state(tmp_path) == ("", False)

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", ".")
    git("commit", "-qm", "one")
    commit, dirty = git_state(tmp_path)
    assert (len(commit), dirty) == (40, False)
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path) == (commit, True)
    installed = tmp_path / ".venv"
    installed.mkdir()
    assert git_state(installed) == ("", False)
