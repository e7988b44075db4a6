"""The study that is disturbed, and the process that runs it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from vip5core.home import Home
from vip5core.trial.result import RESULT

_STUDY = """
import sys
from vip5platform import Study, factor, main
main(Study("survival", "Which?", (factor("image_tokens", 0, 2),)), sys.argv[1:])
"""
_SMALL = (
    *("--dataset", "minimart:40", "--p5-epochs", "1", "--baselines", "popularity", "--set"),
    *("test_users=20", "validation_users=10", "train_candidates=5", "num_beams=10", "max_target_tokens=8"),
    *("dropout=0.1",),
)
_PATIENCE_S = 1800


@dataclass(frozen=True)
class SmallStudy:
    """Two trials on a small shop.

    Attributes:
        home: Where it writes.
        epochs: Of each trial.
        options: More of the command line, such as the address of a cluster.
    """

    home: Home
    epochs: int
    options: tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        """What its drivers print, one after the other."""
        return self.home.root.with_suffix(".log")

    def start(self) -> subprocess.Popen[bytes]:
        """Start a driver."""
        command = [sys.executable, "-c", _STUDY, *_SMALL, "--epochs", str(self.epochs), "--home", str(self.home)]
        with self.log.open("ab") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            return subprocess.Popen([*command, *self.options], stdout=log, stderr=log, env=environment)

    def finish(self) -> None:
        """Run it to its end; a trial that was given up is tried once more, as a user would."""
        for _ in range(2):
            driver = self.start()
            try:
                code = driver.wait(_PATIENCE_S)
            finally:
                driver.kill()  # which does nothing to one that has ended
            if code == 0:
                return
        raise RuntimeError(f"the study left with {code}: {self.log.read_text()[-2000:]}")

    def checkpoints(self) -> dict[str, float]:
        """The trials in the middle, and when each has written its checkpoint, in seconds of the epoch."""
        found = {}
        for path in self.home.trials.glob("*.running.pt"):
            with contextlib.suppress(FileNotFoundError):  # it has just ended
                found[path.name] = path.stat().st_mtime
        return found

    def finished(self) -> dict[str, int]:
        """The finished trials, and when each was written, in nanoseconds of the epoch."""
        return {path.parent.name: path.stat().st_mtime_ns for path in self.home.trials.glob(f"*/{RESULT}")}

    def wait_for_epoch(self, driver: subprocess.Popen[bytes]) -> bool:
        """Wait until a trial has written another checkpoint; False if the driver ends before."""
        before = self.checkpoints()
        while driver.poll() is None:
            now = self.checkpoints()
            if any(when > before.get(name, 0.0) for name, when in now.items()):
                return True
            time.sleep(0.05)
        return False
