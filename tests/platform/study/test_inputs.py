"""The inputs of trials: an unreadable backbone is reported once, and read only where trials are to start from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.trials import small
from vip5platform.options import Options
from vip5platform.study.inputs import (
    PreparedInputs,
    build_options,
    check_backbones,
    check_inputs,
    unfinished_requests,
)
from vip5platform.study.plan import InputRequest, PlannedTrial

from vip5core.data.dataset import Dataset
from vip5core.errors import Failure, UserError
from vip5core.home import Home
from vip5core.trial.p5_spec import P5Stage


@pytest.fixture
def unreadable(tmp_path: Path) -> Path:
    """The folder of a backbone without weights."""
    folder = tmp_path / "t5"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def test_an_unreadable_backbone_costs_the_trials_that_need_it(shop: Dataset, unreadable: Path, tmp_path: Path):
    stage = P5Stage.of("tiny", shop, Home(tmp_path))  # to be trained, so there is nothing to read yet
    bad, good = InputRequest("minimart:40", None, str(unreadable)), InputRequest("minimart:40", None, "tiny")
    found = {bad: PreparedInputs(shop, unreadable), good: PreparedInputs(shop, stage.folder, stage)}
    checked = check_backbones(found, found.keys())
    assert checked[good] == found[good]
    failure = checked[bad]
    assert isinstance(failure, Failure)
    assert failure.kind == "unavailable"
    assert "no T5 can be read" in failure.message
    with pytest.raises(UserError, match="no T5 can be read"):
        check_backbones({bad: found[bad]}, [bad])


def test_the_backbone_of_finished_trials_is_not_read(shop: Dataset, unreadable: Path, tmp_path: Path):
    home, request = Home(tmp_path / "home"), InputRequest("minimart:40", None, str(unreadable))
    found = {request: PreparedInputs(shop, unreadable)}
    planned = [PlannedTrial({}, request, small(image_tokens=0, seed=seed)) for seed in (0, 1)]
    assert unfinished_requests(planned, found, home) == {request}
    for trial in planned:
        folder = found[request].trial(trial, home).spec.folder(home)
        folder.mkdir(parents=True)
        (folder / "result.json").touch()
    assert unfinished_requests(planned, found, home) == set()
    assert check_backbones(found, set()) == found


def test_ties_and_split_are_those_of_the_study() -> None:
    chosen = build_options("amazon-2014", "sequential", Options(ties="file", split="time"))
    assert (chosen.id_scheme, chosen.ties, chosen.split, chosen.k_core) == ("sequential", "file", "time", 5)
    usual = build_options("amazon-2014", None, Options())
    assert (usual.ties, usual.split) == ("shuffle", "leave-one-out")


@pytest.mark.parametrize(
    ("options", "given"),
    [
        (Options(ids="random"), "--ids random: "),
        (Options(ties="file"), "--ties file: "),
        (Options(split="time"), "--split time: "),
        (Options(source=Path("raw")), "--source 'raw': "),
    ],
)
def test_a_prepared_dataset_is_as_it_was_prepared(shop: Dataset, options: Options, given: str) -> None:
    with pytest.raises(UserError, match=f"^{given}.*already prepared"):
        check_inputs(options, [str(shop.folder)])
    check_inputs(options, ["minimart:40"])
