"""What a trial was made of is found by content: in its home, or where its studies had it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.studies import study_record
from vip5platform.analysis.find_inputs import find_files
from vip5platform.analysis.record import RecordedTrial

from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.serving import ModelFiles
from vip5core.trial.result import TrialResult


def test_inputs_are_found_by_their_content_whatever_they_are_called(
    trained: ModelFiles, trained_home: Home, tmp_path: Path
) -> None:
    assert find_files(TrialResult.load(trained.trial), trained_home) == trained
    home = Home(tmp_path / "home")
    shutil.copytree(trained_home.root, home.root)
    (dataset,) = home.datasets.iterdir()
    elsewhere = dataset.rename(tmp_path / "my-shop")
    (home.backbones / "tiny-untrained").rename(home.backbones / "renamed")
    (home.datasets / "older").mkdir()
    (home.datasets / "older" / "manifest.json").write_text('{"schema_version": 1}', "utf-8")
    result = TrialResult.load(home.trial(trained.trial.name))
    with pytest.raises(UserError, match="the trial's dataset 'minimart'"):
        find_files(result, home)
    recorded = RecordedTrial(cell={}, seed=0, group="my-shop", dataset=str(elsewhere), fingerprint=result.folder.name)
    study_record(
        name="a",
        question="?",
        trials=[recorded],
    ).save(home)
    found = find_files(result, home)
    assert (found.dataset, found.backbone) == (elsewhere, home.backbones / "renamed")
