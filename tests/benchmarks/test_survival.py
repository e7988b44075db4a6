"""The loop that disturbs a study, without Ray: its study is a process that writes checkpoints, its faults kill that."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from vip5platform.tracking.recorded import default_uri
from vip5platform.tracking.tracker import Tracker

from benchmarks.survival import survive
from benchmarks.survival.compare import differing_runs
from benchmarks.survival.study import SmallStudy
from benchmarks.survival.survive import Survival
from vip5core.home import Home

_DRIVER = """
import pathlib, sys, time
trials = pathlib.Path(sys.argv[1])
for epoch in range(30):
    (trials / "one.running.pt").write_text(str(epoch))
    time.sleep(0.05)
(trials / "one.running.pt").unlink()
(trials / "one").mkdir(exist_ok=True)
(trials / "one" / "result.json").touch()
"""


class FakeStudy(SmallStudy):
    def start(self) -> subprocess.Popen[bytes]:
        self.home.trials.mkdir(parents=True, exist_ok=True)
        self.log.touch()
        return subprocess.Popen([sys.executable, "-c", _DRIVER, str(self.home.trials)])


class FakeFaults:
    """Kills the driver, or has a trial's end told after a while."""

    def __init__(self, log: Path) -> None:
        self.log, self.rng = log, random.Random(1)

    def inject(self, name: str, driver: subprocess.Popen[bytes]) -> bool:
        if name == "driver":
            driver.kill()
            driver.wait()
        else:
            time.sleep(0.1)
            with self.log.open("a") as log:
                log.write("↻ one  its process died\n")
        return True


@pytest.mark.slow
def test_a_driver_that_was_killed_is_started_again_and_what_was_told_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(survive, "_SOON_S", 0.1)
    monkeypatch.setattr(survive, "_ANY_S", 0.1)
    study = FakeStudy(Home(tmp_path / "pieces"), epochs=30)
    found = Survival()
    names = survive._evenly(["driver", "trial"], random.Random(0))
    survive._disturb(study, FakeFaults(study.log), names, 6, time.monotonic() + 60, found)
    assert sorted(row[:4] for row in found.rows()) == [
        ("driver", "3", "nothing 3", "0"),
        ("trial", "3", "trial restarted 3", "0"),
    ]
    assert found.resumed == 3
    assert found.trained_again == 0
    assert study.finished().keys() == {"one"}


def _recorded(home: Home, *failures: int) -> str:
    """The address of an MLflow in which a study has ended once for each number of failures."""
    for count in failures:
        study = Tracker(default_uri(home), home, "study", "key", {})
        metrics = {"study/failures": float(count), "study/hours": 0.1 * count, "test/loss": 0.5}
        study.close(succeeded=True, note="", tags={}, files=[], metrics=metrics)
    return default_uri(home)


@pytest.mark.slow
def test_a_study_that_found_its_missing_trial_later_is_recorded_as_one_that_never_missed_it(tmp_path: Path):
    """What counts of a study is what its run came to; of a trial, every step."""
    homes = [Home(tmp_path / name) for name in ("peace", "pieces", "failed")]
    homes[0].root.mkdir()
    peace = _recorded(homes[0], 0)
    for home in homes[1:]:
        shutil.copytree(homes[0].root, home.root)
    assert differing_runs(peace, _recorded(homes[1], 1, 0)) == []
    assert differing_runs(peace, _recorded(homes[2], 1)) == ["run parent, study/failures: 0.0 in peace, 1.0 in pieces"]
    client = MlflowClient(peace)
    run = client.search_runs([client.get_experiment_by_name("vip5").experiment_id])[0].info.run_id
    client.log_metric(run, "test/loss", 0.5, step=0)
    told = ["run parent, recorded twice: ['test/loss'] in peace, [] in pieces"]
    assert differing_runs(peace, _recorded(homes[1], 0)) == told
