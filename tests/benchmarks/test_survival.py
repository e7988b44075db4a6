"""The loop that disturbs a study, without Ray: its study is a process that writes checkpoints, its faults kill that."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.survival import survive
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
